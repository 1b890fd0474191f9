import html
import re
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import UndefinedError
from starlette.requests import Request

from watchkeeper.model.score import Score
from watchkeeper.web.estimate import Estimate, unknown
from watchkeeper.web.render import STATIC, asset_url, environment, web_link
from watchkeeper.web.routes import error_page, ways_out

TEMPLATES = STATIC.parent / "templates"
HOSTILE = "\"><script>alert(1)</script>'&{{7*7}}"
VIEW = SimpleNamespace(now_ns=1_772_550_000_000_000_000, zone=None, theme="auto")


def macro(call: str, **names: Any) -> str:
    source = '{% import "parts/macros.html" as m with context %}{{ m.' + call + " }}"
    return environment().from_string(source).render(view=VIEW, **names)


def test_it_shows_value_interval_and_n() -> None:
    shown = macro("num(e)", e=Estimate(7.94, 7.74, 8.14, 412))
    assert "7.9" in shown
    assert "± 0.2" in shown
    assert "n 412" in shown
    assert "95 % interval 7.7 to 8.1" in shown


def test_it_shows_a_dash_with_its_reason_for_what_is_unknown() -> None:
    shown = macro("num(e)", e=unknown("no scores in this range"))
    assert ">–<" in shown
    assert 'title="no scores in this range"' in shown
    assert "0" not in shown


def test_it_marks_provisional_scorers() -> None:
    assert "Provisional" in macro("num(e)", e=Estimate(1.0, 0.9, 1.1, 50, provisional=True))


def test_it_says_states_in_words_and_shape_not_by_colour_alone() -> None:
    for state, word in (
        ("firing", "Firing"),
        ("no_data", "No data"),
        ("not_enough_evidence", "Not enough evidence"),
        (None, "not judged"),
    ):
        shown = macro("state(s)", s=state)
        assert word in shown
        assert "<svg" in shown


@pytest.mark.parametrize(
    ("better", "unit", "words", "sort", "value"),
    [
        (1, "", "Lowest values", "quality", True), (-1, "", "Highest values", "-quality", True),
        (1, "share", "Latest that failed", "quality", False), (-1, "share", "Latest it was found in", "-quality", False),
    ],
)  # fmt: skip
def test_the_worst_traces_say_what_they_are_and_lead_to_all_of_them(
    better: int, unit: str, words: str, sort: str, value: bool
) -> None:
    """Of what is yes or no a column of zeros says nothing."""
    view = SimpleNamespace(**vars(VIEW), url=lambda path, **given: path + str(given))
    row = {
        "trace_id": "ab",
        "value": 0.25,
        "input": "Why?",
        "output": "No.",
        "prompt_version": "v2",
        "start": 1,
    }
    source = '{% import "parts/macros.html" as m with context %}{{ m.worst(rows, "quality", better, unit) }}'
    shown = environment().from_string(source).render(view=view, rows=[row], better=better, unit=unit)
    assert f"<h2>{words}</h2>" in shown and f"/traces{ {'sort': sort} }" in html.unescape(shown)
    assert ("<b>0.25</b>" in shown) is value


def test_a_failure_is_called_by_what_a_filter_takes_or_in_words() -> None:
    assert macro("found(f)", f={"family": "check", "name": "has_steps"}) == "has_steps"
    assert macro("found(f)", f={"family": "class", "name": "rate_limit"}) == "rate limit"


def test_the_turns_of_a_session_that_failed_stand_out_by_more_than_colour() -> None:
    fine = {"failed": [], "error_class": None, "errors": 0}
    shown = macro(
        "jump(turns)",
        turns=[fine, {**fine, "failed": ["has_steps", "timeout"]}, {**fine, "error_class": "rate_limit", "errors": 1}, {**fine, "errors": 1}],
    )  # fmt: skip
    assert re.findall(r'title="([^"]+)">(\d) ✕<span class="sr"> failed', shown) == [
        ("has steps, timeout", "2"), ("rate limit", "3"), ("an error", "4"),
    ]  # fmt: skip
    assert '<a href="#turn-1">1</a>' in shown


def test_it_folds_long_text_with_its_length() -> None:
    shown = macro("text(t, 100)", t="word " * 4000)
    assert "20k characters" in shown
    assert "<details" in shown
    assert "<details" not in macro("text(t, 100)", t="short")


@pytest.mark.parametrize(
    "call",
    [
        "text(t)",
        "text(t, 4)",
        "badge('bad', t, none, t)",
        "severity(t)",
        "state(t)",
        "error_class(t)",
        "empty(t, t, t, t, t)",
    ],
)
def test_it_escapes_whatever_it_shows(call: str) -> None:
    shown = macro(call, t=HOSTILE)
    assert "<script" not in shown
    assert (
        '">' not in shown.replace('">', "", shown.count('">') - shown.count('"><script'))
        or "&lt;script" in shown
    )
    assert "49" not in shown


def test_it_escapes_scores() -> None:
    one = Score("p", "t", "", HOSTILE, HOSTILE, "user", 1, 1, label=HOSTILE, reason=HOSTILE)
    shown = macro("score(s)", s=one)
    assert "<script" not in shown
    assert "&lt;script" in shown


def test_it_refuses_names_nobody_defined() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ nothing_here }}").render()


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("https://x/y", True),
        ("http://x", True),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt:x", False),
        ("data:text/html,x", False),
        ("//x", False),
        ("https://x\ny", False),
        (" https://x", False),
    ],
)
def test_it_makes_links_only_of_addresses_of_the_web(text: str, fine: bool) -> None:
    assert web_link(text) is fine


def test_it_names_static_files_by_content() -> None:
    assert re.fullmatch(r"/static/[0-9a-f]{12}/tokens\.css", asset_url("tokens.css"))
    # What a script imports relative to itself is the very file that a page names.
    assert asset_url("app.js").rpartition("/")[0] == asset_url("review.js").rpartition("/")[0]
    with pytest.raises(KeyError):
        asset_url("nothing.css")


@pytest.mark.parametrize(
    ("shift", "change", "words", "arrow"),
    [(-1, "+178 %", "+178 % worse", "up"), (1, "-0.1 pt", "-0.1 pt better", "down"), (-1, "-0.4", "-0.4 worse", "down")],
    ids=("dearer", "fewer", "lower"),
)  # fmt: skip
def test_an_arrow_is_the_change_s_and_a_word_says_whether_it_is_welcome(
    shift: int, change: str, words: str, arrow: str
) -> None:
    said = macro(
        "verdict(s.shift < 0, s.change.startswith('-'))", s=SimpleNamespace(shift=shift, change=change)
    )
    assert words.split()[-1] in said and macro(f"icon('{arrow}', 12)") in said
    shown = macro("moved(s)", s=SimpleNamespace(shift=shift, change=change))
    assert words in shown and macro(f"icon('{arrow}', 12)") in shown


def test_it_shows_errors_as_text() -> None:
    shown = error_page(404, HOSTILE, HOSTILE)
    assert "<script" not in shown
    assert "Not found" in shown
    assert "Something went wrong" in error_page(500, "a fault of ours", "")
    assert "data-theme" not in shown
    assert 'data-theme="dark"' in error_page(404, "", "", asked("/", cookie="wk_theme=dark"))


def asked(path: str, query: str = "", method: str = "GET", cookie: str = "") -> Request:
    headers = [(b"host", b"here"), (b"cookie", cookie.encode())]
    return Request(
        {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
    )


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/alerts/nothing", 404, [("/alerts", "Alerts"), ("/", "Overview")]),
        ("/signals/sig_1/act", 409, [("/signals/sig_1", "Back"), ("/signals", "Signals"), ("/", "Overview")]),
        ("/settings/prices/recompute", 400, [("/settings/prices", "Back"), ("/settings", "Settings"), ("/", "Overview")]),
        ("/nothing", 404, [("/", "Overview")]),
        ("/", 500, [("/", "Overview")]),
    ],
    ids=("unknown", "refused", "form", "elsewhere", "first"),
)  # fmt: skip
def test_an_error_leads_on(path: str, status: int, expected: list[tuple[str, str]]) -> None:
    assert ways_out(path, status) == expected


def test_an_error_keeps_the_project_and_says_that_a_form_is_still_there() -> None:
    shown = error_page(400, "no name", "", asked("/alerts/a/take", "project=other", "POST"))
    assert 'href="/alerts/a?project=other"' in shown and "what you typed is still there" in shown
    lost = error_page(404, "there is nothing at /x", "/api/docs lists what there is", asked("/x"))
    assert "/api/docs" not in lost and "still there" not in lost


def test_every_form_stays_in_the_project_it_was_shown_in() -> None:
    """The project is in the address: a POST names it in its action, a GET carries it as a field (its action loses it)."""
    forms = [
        (name, form)
        for name in environment().list_templates()
        for form in re.findall(r"<form .*?</form>", (TEMPLATES / name).read_text(), re.DOTALL)
    ]
    assert len(forms) > 40
    for name, form in forms:
        if 'method="post"' in form:
            assert 'action="{{ view.url(' in form or 'action="/logout"' in form, (name, form[:120])
        elif 'method="dialog"' not in form:
            assert any(x in form for x in ("m.carry()", "project()", "view.params.items()")), (
                name,
                form[:120],
            )
