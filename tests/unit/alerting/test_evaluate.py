from dataclasses import dataclass, field

import pytest

from watchkeeper.alerting.conditions import parse
from watchkeeper.alerting.evaluate import Movement, Truth, judge, odds
from watchkeeper.alerting.syntax import Ref, Share
from watchkeeper.model.series import Estimate, Insufficient


@dataclass
class Given:
    """Readings from a table keyed by the canonical text of the reading."""

    values: dict[str, tuple[float, float, float]]
    moves: dict[str, Movement] = field(default_factory=dict)

    def estimate(self, wanted: Ref | Share) -> Estimate | Insufficient:
        found = self.values.get(str(wanted))
        return Insufficient("no data") if found is None else Estimate(*found, n=100, n_eff=100.0)

    def hits(self, wanted: Share) -> Estimate | Insufficient:
        return self.estimate(wanted)

    def movement(self, metric: str) -> Movement:
        return self.moves.get(metric, Movement(Truth.UNKNOWN, reason="no baseline yet"))


@pytest.mark.parametrize(
    ("reading", "truth"),
    [
        ((8.0, 7.5, 8.5), Truth.FALSE),
        ((7.1, 6.5, 7.7), Truth.FALSE),
        ((6.9, 6.5, 7.3), Truth.NEAR),
        ((6.5, 6.1, 6.9), Truth.TRUE),
        ((6.6, 6.2, 7.0), Truth.NEAR),
    ],
)
def test_a_limit_is_passed_only_when_the_interval_is(
    reading: tuple[float, float, float], truth: Truth
) -> None:
    assert judge(parse("a < 7"), Given({"a": reading})).truth == truth


def test_what_is_not_measured_is_unknown_and_not_ok() -> None:
    found = judge(parse("a < 7"), Given({}))
    assert found.truth == Truth.UNKNOWN
    assert found.terms[0].text == "a unknown: no data (n 0)"


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        ("high > 5 and low > 5", Truth.FALSE),
        ("high > 5 or low > 5", Truth.TRUE),
        ("high > 5 and edge > 5", Truth.NEAR),
        ("low > 5 or edge > 5", Truth.NEAR),
        ("high > 5 and gone > 5", Truth.UNKNOWN),
        ("low > 5 and gone > 5", Truth.FALSE),
        ("high > 5 or gone > 5", Truth.TRUE),
        ("low > 5 or gone > 5", Truth.UNKNOWN),
        ("not high > 5", Truth.FALSE),
        ("not low > 5", Truth.TRUE),
        ("not edge > 5", Truth.FALSE),
        ("not under > 5", Truth.NEAR),
    ],
)
def test_truth_combines(condition: str, truth: Truth) -> None:
    values = {"high": (9, 8, 10), "low": (1, 0, 2), "edge": (5.5, 4.5, 6.5), "under": (4.5, 3.5, 5.5)}
    assert judge(parse(condition), Given(values)).truth == truth


def test_two_estimates_are_compared_by_the_interval_of_their_difference() -> None:
    # Intervals overlap, yet the difference 1.0 ± hypot(.6, .6) = .85 does not reach zero.
    values = {"a": (6.0, 5.4, 6.6), "baseline.a": (5.0, 4.4, 5.6)}
    assert judge(parse("a > baseline.a"), Given(values)).truth == Truth.TRUE
    assert judge(parse("a > 1.04 * baseline.a"), Given(values)).truth == Truth.NEAR
    assert judge(parse("a - 2 > baseline.a"), Given(values)).truth == Truth.FALSE


def test_a_shift_counts_only_in_its_direction() -> None:
    given = Given({}, {"a": Movement(Truth.TRUE, "down", "decreasing", 5.2), "b": Movement(Truth.NEAR, "up")})
    assert judge(parse("shift(a) = 'down'"), given).truth == Truth.TRUE
    assert judge(parse("shift(a) = 'up'"), given).truth == Truth.FALSE
    assert judge(parse("shift(a) = 'any'"), given).truth == Truth.TRUE
    assert judge(parse("trend(a) = 'decreasing'"), given).truth == Truth.TRUE
    assert judge(parse("shift(b) = 'up'"), given).truth == Truth.NEAR
    assert judge(parse("shift(a) != 'down'"), given).truth == Truth.FALSE
    assert judge(parse("shift(c) = 'down'"), given).truth == Truth.UNKNOWN


def test_one_hard_event_is_enough() -> None:
    given = Given({"share(toxicity > 0.9)": (1.0, -1.0, 3.0), "share(b > 1)": (0.0, 0.0, 0.0)})
    assert judge(parse("any(toxicity > 0.9)"), given).truth == Truth.TRUE
    assert judge(parse("any(b > 1)"), given).truth == Truth.FALSE
    assert judge(parse("not any(b > 1)"), given).truth == Truth.TRUE
    assert judge(parse("any(c > 1)"), given).truth == Truth.UNKNOWN


def test_every_comparison_shows_its_interval_and_n() -> None:
    found = judge(
        parse("a.p50 < 7 and share(a < 3) > 5%"),
        Given({"a.p50": (6.5, 6.1, 6.9), "share(a < 3)": (0.2, 0.1, 0.3)}),
    )
    assert [t.text for t in found.terms] == [
        "a.p50 6.5 (6.1 to 6.9, n 100) < 7",
        "share(a < 3) 20 % (10 % to 30 %, n 100) > 5 %",
    ]


@pytest.mark.parametrize(
    ("condition", "short"),
    [
        ("latency_ms.p95 > 3s", "latency_ms.p95 5 s > 3 s"),
        ("share(a < 3) > 5%", "share(a < 3) 20 % > 5 %"),
        ("any(a < 3)", "any(a < 3): 0.2 of 100"),
        ("cost.sum > 2 * baseline.cost.sum", "cost.sum $9 > 2 * baseline.cost.sum $4"),
        ("a.sd > 3", "a.sd 4 > 3"),
        ("a < 7", ""),
        ("7 > a", ""),
    ],
)
def test_a_comparison_that_is_not_of_the_level_is_told_in_short_and_with_units(
    condition: str, short: str
) -> None:
    given = Given(
        {
            "latency_ms.p95": (5000.0, 4000.0, 6000.0), "share(a < 3)": (0.2, 0.1, 0.3), "cost.sum": (9.0, 8.0, 10.0),
            "baseline.cost.sum": (2.0, 2.0, 2.0), "a": (6.0, 5.9, 6.1), "a.sd": (4.0, 3.9, 4.1),
        }
    )  # fmt: skip
    found = judge(parse(condition), given)
    assert found.truth == Truth.TRUE and found.terms[0].short == short


@pytest.mark.parametrize(
    ("log10", "said"),
    [
        (-0.3, "no evidence of a change"),
        (0.0, "no evidence of a change"),
        (0.2, "1.6 to 1 for a change"),
        (0.8, "6 to 1 for a change"),
        (1.4, "30 to 1 for a change"),
        (4.3, "20,000 to 1 for a change"),
        (12.0, "over a billion to 1 for a change"),
    ],
)
def test_it_says_how_sure_it_is_in_words(log10: float, said: str) -> None:
    assert odds(log10) == said
