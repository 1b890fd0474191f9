from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from watchkeeper.web.view import View, parse_range, view_of

NOW = 1_772_550_000_000_000_000
SECOND = 1_000_000_000


def view(query: str = "", path: str = "/traces", project: str = "default", cookie: str = "") -> View:
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "query_string": query.encode(), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"127.0.0.1"), (b"cookie", cookie.encode())], "scheme": "http",
    }  # fmt: skip
    call: Any = SimpleNamespace(
        request=Request(scope), services=SimpleNamespace(clock=lambda: NOW), project=project
    )
    return view_of(call)


def test_it_shows_the_last_day_unless_told_otherwise() -> None:
    found = view()
    assert (found.range.key, found.range.seconds) == ("24h", 86_400)
    assert found.range.until_ns >= NOW
    assert not found.problems


@pytest.mark.parametrize(
    "query", ["range=7y", "since=tomorrow", "since=2026-03-03T15:00:00Z&until=2026-03-01T00:00:00Z"]
)
def test_it_says_what_it_cannot_read_and_shows_the_default(query: str) -> None:
    found = view(query)
    assert found.range.key == "24h"
    assert found.problems


def test_it_keeps_project_range_and_cohort_on_every_link() -> None:
    found = view("range=7d&cohort=prompt_version%3Dv2&where=cost+%3E+1", project="shop")
    assert found.url("/alerts") == "/alerts?project=shop&range=7d&cohort=prompt_version%3Dv2"
    assert "where=cost" in found.url(sort="cost")
    assert found.url("/traces/../x?y") == "/traces/../x%3Fy?project=shop&range=7d&cohort=prompt_version%3Dv2"


def test_it_reads_back_the_cohort_it_writes() -> None:
    first = view()
    link = first.with_cohort("prompt_version", "a,b%d")
    again = view(link.partition("?")[2])
    assert again.cohort == {"prompt_version": "a,b%d"}
    assert again.with_cohort("prompt_version", None) == "/traces"


def test_it_leaves_out_what_is_no_cohort_and_says_so() -> None:
    found = view("cohort=evil%3D1%2Cscenario%3Dsupport")
    assert found.cohort == {"scenario": "support"}
    assert "evil" in found.problems[0]


def test_it_takes_absolute_times() -> None:
    problems: list[str] = []
    found = parse_range(
        {"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}, NOW, "24h", problems
    )
    assert (found.seconds, found.key, problems) == (86_400, "", [])


def test_it_takes_theme_and_zone_from_cookies_and_nothing_else() -> None:
    assert view(cookie="wk_theme=dark").theme == "dark"
    assert view(cookie='wk_theme="><script>').theme == "auto"
    assert str(view(cookie="wk_zone=Europe/Berlin").zone) == "Europe/Berlin"
    assert str(view(cookie="wk_zone=../../etc/passwd").zone) == "UTC"


@pytest.mark.parametrize(("key", "most"), [("1h", 60), ("24h", 96), ("7d", 112), ("90d", 120)])
def test_it_chooses_a_round_bucket(key: str, most: int) -> None:
    found = view(f"range={key}").range
    assert 24 <= found.seconds / found.bucket <= most


def test_a_page_of_a_list_is_left_when_anything_else_changes() -> None:
    found = view("offset=50&status=done", "/review")
    assert found.offset == 50
    assert found.url(status=None) == "/review"
    assert found.url(offset=100) == "/review?status=done&offset=100"
    assert view("offset=x").offset == view("offset=-5").offset == view("offset=123456789").offset == 0
