"""Reports say what was measured, with n, and what was not; nothing in them becomes markup."""

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from watchkeeper.alerting.evidence import less_is_better
from watchkeeper.alerting.report import (
    Facts,
    IncidentLine,
    Watching,
    evidence,
    html,
    last_due,
    markdown,
    percent,
    weekly,
)
from watchkeeper.model.alert import Alert, Deploy, Moved
from watchkeeper.model.calibration import Calibration, Standing
from watchkeeper.model.series import Estimate

NOW = 1_795_000_000 * 10**9
WEEK = 7 * 86_400 * 10**9
HOSTILE = "<script>alert(1)</script> | [x](javascript:1)\n# big"


def facts() -> Facts:
    alert = Alert(
        "a", "default", "relevance-down", {"prompt_version": HOSTILE}, "firing", "page", "ml", "r", "c", NOW - 10**12,
        fired_ns=NOW - 10**12, summary=f"fell {HOSTILE}",
    )  # fmt: skip
    old = replace_alert(alert, NOW - 2 * WEEK)
    calibration = Calibration(
        "c", "default", "helpful", "1", "m", NOW, NOW, "review", "calibrated", [], 200, {},
        agreement=Estimate(0.91, 0.86, 0.95, 200, 200.0), annotators=2,
    )  # fmt: skip
    return Facts(
        "default", NOW - WEEK, NOW, NOW, 12_034, [Watching("relevance-down", "shift(x) = 'down'", "ml", "page", 1, 0.2)], 1.0,
        ["watchkeeper.disk"], {"helpful": {"eligible": 12000, "selected": 600, "scored": 590, "failed": 10, "late": 2}},
        [Moved("helpful", 8.2, 8.1, 8.3, 4000, 7.1, 7.0, 7.2, 600, "", True), Moved("error_rate", 0.01, 0.005, 0.02, 4000, 0.01, 0.005, 0.02, 600, "rate")],
        [alert, old], [IncidentLine("fell", "open", "page", NOW - 10**12, NOW - 5 * 10**11, None, "prompt_version v2")],
        [calibration], {"helpful": Standing("helpful", "judge", "1", "m", False), "vague": Standing("vague", "judge", "1", "m", True, "never compared")},
        {"good": 150, "bad": 50}, {"pass": 2, "fail": 1}, [Deploy("default", "prompt", "v2", NOW - 10**12, HOSTILE)],
        {"webhook done": 1}, 0, "all kinds", "content 30 days", ["support-guard"],
    )  # fmt: skip


def replace_alert(alert: Alert, fired: int) -> Alert:
    return msgspec.structs.replace(alert, id="old", fired_ns=fired)


def test_the_summary_begins_with_what_matters() -> None:
    said = weekly(facts()).headline
    assert said[0] == "12,034 traces; 1 monitor; alerts that fired: 1 page."
    assert "1 incident, 1 of them open." in said and "98.3 % (97.0–99.1) · n 600" in said[2]
    assert (
        said[3] == "Against the period before: helpful fell."
        and said[4] == "Not compared with people: vague."
    )


def test_what_fired_and_what_moved_stand_before_what_held() -> None:
    moved = [msgspec.structs.replace(m, metric=f"m{i}", current=c, significant=s) for i, (m, c, s) in enumerate(
        (facts().moved[0], c, s) for c, s in ((8.2, False), (None, False), (9.0, True), (7.0, True)))]  # fmt: skip
    made = weekly(replace(facts(), moved=moved))
    titles = [part.title for part in made.parts]
    assert titles.index("Alerts") < titles.index("Scores against the period before")
    grid = made.parts[titles.index("Scores against the period before")].grid
    assert grid is not None
    assert [(row[0], row[3]) for row in grid.rows] == [
        ("m3", "fell"), ("m2", "rose"), ("m0", "held"), ("m1", "unknown"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "unit", "said"),
    [("tool_error", "rate", "98.0 % pass ± 1.0 · n 500"), ("thumbs", "rate", "98.0 % up ± 1.0 · n 500"),
     ("refusal", "rate", "98.0 % ± 1.0 · n 500"), ("error_rate", "rate", "98.0 % ± 1.0 · n 500"), ("helpful", "", "0.980 ± 0.010 · n 500"),
     ("uncertainty", "rate", "98.0 % ± 1.0 · n 500"), ("numbers_in_context", "rate", "98.0 % ± 1.0 · n 500")],
)  # fmt: skip
def test_a_share_says_what_it_is_the_share_of(metric: str, unit: str, said: str) -> None:
    line = Moved(metric, 0.98, 0.97, 0.99, 500, 0.98, 0.97, 0.99, 500, unit)
    (grid,) = [
        p.grid for p in weekly(replace(facts(), moved=[line])).parts if p.title.startswith("Scores against")
    ]
    assert grid is not None and grid.rows[0][1:3] == [said, said]


def test_more_apologies_are_worse_not_better() -> None:
    assert (
        less_is_better("uncertainty") and less_is_better("refusal") and not less_is_better("answer_relevance")
    )


def test_a_quiet_week_says_so_and_nothing_measured_is_not_zero() -> None:
    quiet = Facts("default", NOW - WEEK, NOW, NOW, 0)
    text = markdown(weekly(quiet))
    assert (
        "alerts that fired: none" in text
        and "No alert fired" in text
        and "Nothing was selected to be scored" in text
    )
    assert percent(0, 0) == "–"
    rows = {r[0]: r[1] for p in evidence(quiet).parts if p.grid for r in p.grid.rows}
    assert {v for k, v in rows.items() if k.startswith("15")} == {"nothing recorded"}


def test_the_evidence_report_has_every_row_of_both_frameworks_with_its_evidence() -> None:
    parts = {p.title: p for p in evidence(facts()).parts}
    law, nist = parts["EU AI Act, Article 15"].grid, parts["NIST AI RMF, Measure"].grid
    assert law is not None and nist is not None
    assert {r[0].split(" ")[0] for r in law.rows} == {"15(1)", "15(3)", "15(4)", "15(5)"}
    found = {r[0].split(" ")[1]: r for r in nist.rows}
    assert {"1.1", "2.4", "2.5", "2.11", "3.3", "4.3"} <= set(found)
    assert found["2.4"][1] == "recorded" and "12,034 traces" in found["2.4"][2]
    assert found["2.11"][1] == found["2.12"][1] == "nothing recorded"
    calibration = parts["Calibration and review"].grid
    assert calibration is not None and "91 % ± 5 · n 200" in calibration.rows[0][2]


def test_only_alerts_of_the_period_are_in_it() -> None:
    (part,) = [p for p in weekly(facts()).parts if p.title == "Alerts"]
    assert part.grid is not None and len(part.grid.rows) == 1


@pytest.mark.parametrize("render", [markdown, html])
@pytest.mark.parametrize("kind", [weekly, evidence])
def test_text_from_anywhere_stays_text(render, kind) -> None:  # type: ignore[no-untyped-def]
    text = render(kind(facts()))
    assert "<script" not in text.lower()
    if render is html:
        assert "http" not in text.split("</style>")[1], "nothing is fetched from anywhere"
    else:
        assert not re.search(r"(?<!\\)\]\(", text) and "\n# big" not in text


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_the_hour_comes_once_a_week_also_when_clocks_change(zone: str) -> None:
    start = int(datetime(2026, 10, 5, tzinfo=UTC).timestamp())
    seen = sorted({last_due((start + h * 3600) * 10**9, "sunday", 2, zone) for h in range(24 * 60)})
    gaps = {(b - a) // (3600 * 10**9) for a, b in itertools.pairwise(seen)}
    assert gaps <= {167, 168, 169}
    local = [datetime.fromtimestamp(s // 10**9, UTC).astimezone(ZoneInfo(zone)) for s in seen]
    assert {d.weekday() for d in local} == {6} and {d.hour for d in local} <= {2, 3}


def test_a_message_carries_the_headline() -> None:
    from watchkeeper.alerting.report import payload

    said = payload(weekly(replace(facts(), undelivered=3)))
    assert (
        said["summary"].startswith("12,034 traces")
        and said["lines"][-1] == "3 messages could not be delivered."
    )
