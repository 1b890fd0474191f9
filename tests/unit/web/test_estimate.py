import random

import pytest

from watchkeeper.model.series import TEN, SeriesKey, gather
from watchkeeper.stats.estimates import point_mean
from watchkeeper.web import estimate, humane
from watchkeeper.web.data import Series, add, dots
from watchkeeper.web.estimate import Estimate, proportion
from watchkeeper.web.metrics import Metric, describe, is_binary
from watchkeeper.web.pages.experiments import checks_of, said
from watchkeeper.web.view import TimeRange

SECOND = 1_000_000_000


def sums(values: list[float], weight: float = 1.0) -> dict[str, float]:
    w2 = weight * weight
    return {
        "n": len(values), "sw": weight * len(values), "sw2": w2 * len(values), "swx": weight * sum(values),
        "swx2": weight * sum(v * v for v in values), "sw2x": w2 * sum(values), "sw2x2": w2 * sum(v * v for v in values),
    }  # fmt: skip


def test_it_agrees_with_the_statistics_core() -> None:
    rng = random.Random(3)
    values = [min(10.0, max(0.0, rng.gauss(8, 1.8))) for _ in range(400)]
    expected = point_mean(gather(SeriesKey("p", "m"), 0, 1, TEN, [(v, 0.5) for v in values]))
    found = estimate.from_sums({**sums(values, 2.0), "axis": TEN.text})
    assert found.value == pytest.approx(expected.value)  # type: ignore[union-attr]
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))  # type: ignore[union-attr]


def test_it_writes_value_interval_and_n() -> None:
    found = Estimate(7.94, 7.74, 8.14, 412)
    assert (found.text, found.interval, found.n) == ("7.9", "± 0.2", 412)


def test_it_writes_the_ends_where_the_interval_is_lopsided() -> None:
    found = estimate.proportion(1, 100)
    assert found.text == "1.0 %"
    assert found.interval == "0.2–5.4"


def test_no_amount_ends_below_zero() -> None:
    found = estimate.mean_of(0.0001, 0.0004, 3, "money")
    assert found.low is not None and found.low < 0
    assert (found.low_text, found.interval) == ("$0", "$0–$0.0006")
    assert Estimate(0.1, -0.1, 0.3, 60).interval == "± 0.2"


def test_it_writes_none_and_all_without_decimals() -> None:
    every = estimate.proportion(1607, 1607)
    assert (every.text, every.interval) == ("100 %", "99.76–100")
    assert estimate.proportion(0, 1607).text == "0 %"
    assert estimate.proportion(78_800, 78_800).interval == ">99.99–100"


def test_it_gives_small_prices_the_digits_of_their_interval() -> None:
    found = Estimate(0.0000957, 0.0000951, 0.0000963, 3200, "money")
    assert (found.text, found.interval) == ("$0.0000957", "± $0.0000006")


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (Estimate(8.3, 8.1, 8.5, 213), Estimate(8.29, 8.22, 8.36, 3180), "0"),
        (Estimate(7.5, 7.1, 7.9, 219), Estimate(8.5, 8.2, 8.8, 200), "-1.0"),
        (Estimate(0.81, 0.75, 0.86, 219, "share"), Estimate(0.95, 0.9, 0.97, 200, "share"), "-14 pt"),
        (Estimate(3300, 3000, 3600, 90, "ms"), Estimate(3000, 2900, 3100, 90, "ms"), "+10 %"),
        (Estimate(1.0, None, None, 1), Estimate(None), ""),
    ],
)
def test_it_says_no_more_of_a_change_than_the_intervals_justify(
    now: Estimate, before: Estimate, said: str
) -> None:
    assert estimate.change(now, before) == said


def test_it_does_not_know_what_nothing_says() -> None:
    nothing = estimate.from_sums(sums([]))
    assert nothing.value is None
    assert nothing.text == "–"
    assert nothing.why


def test_it_gives_one_score_no_interval_and_says_why() -> None:
    one = estimate.from_sums(sums([4.0]))
    assert (one.value, one.interval, one.why) == (4.0, "", "one score has no interval")


def test_it_tells_shares_from_scales_by_their_sums() -> None:
    assert is_binary([sums([0, 1, 1, 1])])
    assert not is_binary([sums([0.2, 0.7])])
    assert not is_binary([])
    assert describe("has_steps", [sums([0, 1])]).unit == "share"
    assert describe("answer_relevance", [sums([7.5, 8.1])]).unit == ""


def test_it_leaves_buckets_without_scores_unknown() -> None:
    wanted = TimeRange(3600 * SECOND, 4 * 3600 * SECOND, "", "")
    found = dots([{"start": 2 * 3600 * SECOND, **sums([1.0, 3.0])}], wanted, 3600, "")
    assert [d.value for d in found] == [None, 2.0, None]
    assert [d.n for d in found] == [0, 2, 0]


def test_it_calls_a_fall_of_latency_better_and_of_a_score_worse() -> None:
    high, low = Estimate(10, 9, 11, 99), Estimate(5, 4, 6, 99)
    assert Series(describe("latency_ms"), [], low, high).shift == 1
    assert Series(describe("answer_relevance"), [], low, high).shift == -1
    assert Series(describe("answer_relevance"), [], low, Estimate(5.5, 4.5, 6.5, 99)).shift == 0


def test_less_of_what_is_unwanted_is_better() -> None:
    assert {
        describe(name).better for name in ("abandoned", "rephrased", "frustration", "refusal", "cost")
    } == {-1}
    assert describe("answer_relevance").better == 1


def test_it_calls_nothing_better_on_a_handful_of_scores() -> None:
    assert Series(describe("rating"), [], Estimate(5, 4.9, 5.1, 2), Estimate(3, 2.9, 3.1, 400)).shift == 0


def test_it_adds_sums() -> None:
    assert add([sums([1, 2]), sums([3])]) == sums([1, 2, 3])


def test_one_value_again_and_again_has_no_width() -> None:
    same = Estimate(0.00018, 0.00018 - 1e-19, 0.00018 + 1e-19, 3, "money")
    assert (same.text, same.interval) == ("$0.00018", "± 0")


def test_a_lopsided_interval_says_its_unit_once() -> None:
    assert Estimate(294.0, 274.0, 306.0, 259, "ms").interval == "274–306 ms"
    assert Estimate(980.0, 800.0, 1300.0, 259, "ms").interval == "800 ms–1.30 s"


@pytest.mark.parametrize("value", [0.0000495, 0.1, 7.3, 1_234.567])
@pytest.mark.parametrize("n", [2, 3, 7, 1000])
def test_what_rounding_leaves_over_of_one_and_the_same_value_is_no_width(value: float, n: int) -> None:
    for unit in ("money", "", "ms", "count"):
        assert estimate.from_sums(sums([value] * n, 1 / 3), unit).interval == "± 0"


def test_a_share_of_some_is_never_written_as_none() -> None:
    some = proportion(1, 100_000)
    assert some.text == "<0.01 %" and some.interval == "0.00–0.01"
    assert (humane.percent(1e-5), humane.percent(0.0)) == ("<0.01 %", "0 %")


@pytest.mark.parametrize(
    ("scorer", "unit", "word"),
    [("tool_error", "share", "pass"), ("thumbs", "share", "up"), ("refusal", "share", ""), ("error_rate", "share", ""),
     ("error_class:timeout", "share", ""), ("answer_relevance", "", "")],
)  # fmt: skip
def test_a_scorers_share_says_what_it_is_the_share_of(scorer: str, unit: str, word: str) -> None:
    known = describe(scorer)
    assert Metric(scorer, scorer, unit, known.better, known.derived).counts == word


def test_a_scorer_that_measures_and_has_a_floor_is_no_share() -> None:
    """8 of 10 is not 800 %, and 4.5 is not a check that passes and fails by turns."""
    graded = {"values": [8.0], "passed": [True]}
    whole = {"values": [1.0, 0.0], "passed": [True, False]}
    measured = {"values": [12.0], "passed": [None]}
    run = {"results": [{"scores": {"judge": graded, "json_valid": whole, "words": measured}}]}
    found = checks_of(run, None)
    assert found == {"json_valid"}
    assert [said(v, n, found) for v, n in ((4.5, "judge"), (0.5, "json_valid"), (0.0, "json_valid"))] == [
        "4.5", "flaky 50%", "fail",
    ]  # fmt: skip
