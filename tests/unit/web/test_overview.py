"""What the first page says of each scenario, and an alert's of what moved."""

from datetime import UTC
from typing import Any

import msgspec
import pytest

from tests.unit.web.world import HOUR, NOW, PROJECT, _alert
from watchkeeper.model.alert import Moved
from watchkeeper.web.data import Series
from watchkeeper.web.estimate import Estimate, proportion
from watchkeeper.web.metrics import describe
from watchkeeper.web.pages.alerts import _line
from watchkeeper.web.pages.overview import cost_stats, sentences, without_scenario
from watchkeeper.web.view import TimeRange, View

CALM = [{"scenario": f"calm-{i}", "n": 10, "errors": proportion(0, 10)} for i in range(50)]


def view(**cohort: str) -> View:
    call: Any = None
    return View(
        call, PROJECT, "/", {}, NOW, TimeRange(NOW - 24 * HOUR, NOW, "24h", ""), cohort, "", "auto", UTC
    )


def test_every_scenario_has_its_share_of_all_traffic_and_its_own_alerts_however_many_there_are() -> None:
    alert = _alert([])
    silent = msgspec.structs.replace(alert, id="al_silent", state="no_data", cohort={"scenario": "silent"})
    rare = [*CALM, {"scenario": "customer-support", "n": 1, "errors": proportion(0, 1)}]
    found = sentences(view(), rare, [alert, silent], [], 2)
    assert [(s.tone, s.scenario, s.href) for s in found[:2]] == [
        ("bad", "customer-support", "/alerts/al_relevance"), ("warn", "silent", "/alerts/al_silent"),
    ]  # fmt: skip
    assert "0.20 % of traffic" in found[0].detail and found[1].detail == "no traces in this range"
    assert len(found) == 52 and all(s.brief.startswith("2 % ") for s in found[2:])
    assert [s.scenario for s in sentences(view(scenario="calm-1"), CALM[1:2], [alert, silent], [], 2)] == [
        "calm-1"
    ]


def test_one_is_one_trace_and_what_only_model_calls_report_counts_only_their_traces() -> None:
    (only,) = sentences(view(), [{"scenario": "support", "n": 1, "errors": proportion(0, 1)}], [], [], 0)
    assert only.detail.startswith("1 trace, 100 % of traffic")
    whole = {
        "part": "whole",
        "current": True,
        "n": 3,
        "cost_sum": 0.1,
        "cost_n": 1,
        **dict.fromkeys(("cost_w", "cost_w2"), 1.0),
        **dict.fromkeys(("cost_x2", "cost_w2x2"), 0.01),
        "cost_w2x": 0.1,
    }
    tokens = {"tokens_in": 412, "in_n": 1, "tokens_out": None, "out_n": 0}
    spent, _, tokens_in, tokens_out = cost_stats(view(), [{**whole, **tokens}], [])
    assert (spent.value.n, tokens_in.value.n, tokens_in.value.text) == (1, 1, "412")
    assert tokens_out.value.value is None


def test_what_an_alert_says_of_no_scenario_in_particular_stands_once() -> None:
    alert = msgspec.structs.replace(_alert([]), cohort={"prompt_version": "v2"})
    found = sentences(view(), CALM, [alert], [], 2)
    assert [s.scenario for s in found if not s.quiet] == ["Across scenarios"] and len(found) == 51
    assert [(s.scenario, s.tone) for s in sentences(view(), CALM[:1], [alert], [], 2)] == [("calm-0", "bad")]


def test_no_alert_is_good_news_only_where_something_watches() -> None:
    scored = Series(
        describe("answer_relevance", []), [], Estimate(8.0, 7.9, 8.1, 40), Estimate(8.0, 7.9, 8.1, 40)
    )
    (alone,), (watched,) = (sentences(view(), CALM[:1], [], [scored], n) for n in (0, 1))
    assert (alone.tone, alone.href) == ("unknown", "/monitors") and "not watched" in alone.words
    assert (watched.tone, watched.href) == ("good", "/quality") and "One monitor watches" in watched.words
    (unread,), (partly,) = (sentences(view(), CALM[:1], [], [scored], 37, n) for n in (0, 3))
    assert (unread.tone, unread.href) == (
        "unknown",
        "/monitors",
    ) and "none of the 37 monitors" in unread.words
    assert partly.tone == "good" and "3 monitors watch, 34 more have no data yet;" in partly.words


def test_what_merely_counts_gets_neither_better_nor_worse() -> None:
    both = [
        _line(Moved(name, 75.9, 75.2, 76.6, 3157, 51.0, 39.0, 63.0, 33, "", True))
        for name in ("output_words", "answer_relevance", "output_tokens")
    ]
    assert [one.verdict for one in both] == ["moved", "worse", "better"]


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        ("relevance for prompt_version v2, scenario support fell from 8 to 6.", "relevance for prompt_version v2 fell from 8 to 6."),
        ("relevance for scenario support, user_tier pro fell.", "relevance for user_tier pro fell."),
        ("relevance for scenario support fell.", "relevance fell."),
        ("relevance for scenario support-eu fell.", "relevance for scenario support-eu fell."),
        ("", ""),
    ],
    ids=("last", "first", "only", "another", "none"),
)  # fmt: skip
def test_a_scenario_is_not_named_again_in_its_own_sentence(summary: str, said: str) -> None:
    assert without_scenario(summary, "support") == said
