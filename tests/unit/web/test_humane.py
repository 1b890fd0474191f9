import math

import pytest

from watchkeeper.model.numerals import price
from watchkeeper.web import humane

NOW = 1_772_550_000_000_000_000
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (0, "0"),
        (7, "7"),
        (7.94999, "7.95"),
        (0.698, "0.698"),
        (12034, "12,034"),
        (1234.5, "1,234"),
    ],
)
def test_it_writes_numbers_with_the_digits_that_matter(value: float | None, said: str) -> None:
    assert humane.number(value) == said


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "–"),
        (0.4, "0.4 ms"),
        (5.25, "5.2 ms"),
        (320, "320 ms"),
        (1840, "1.84 s"),
        (42_000, "42.0 s"),
        (245_000, "4 min 05 s"),
        (12_000_000, "3 h 20 min"),
        (2 * 86_400_000 + 4 * 3_600_000, "2 d 4 h"),
        (30 * 86_400_000, "30 d"),
    ],
)
def test_it_writes_durations_in_human_units(ms: float | None, said: str) -> None:
    assert humane.duration(ms) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (None, "–"),
        (0, "$0"),
        (0.0000931, "$0.000093"),
        (0.0000996, "$0.00010"),
        (0.0123, "$0.012"),
        (3.4, "$3.40"),
        (1204.2, "$1,204"),
        (-3.4, "-$3.40"),
    ],
)
def test_it_never_writes_a_small_amount_as_zero(amount: float | None, said: str) -> None:
    assert humane.money(amount) == said


@pytest.mark.parametrize(
    ("value", "said"), [(950, "950"), (12_400, "12.4k"), (3_100_000, "3.1M"), (None, "–")]
)
def test_it_shortens_counts(value: float | None, said: str) -> None:
    assert humane.compact(value) == said


@pytest.mark.parametrize(
    ("share", "said"), [(None, "–"), (0, "0 %"), (1, "100 %"), (0.123, "12.3 %"), (0.0042, "0.42 %")]
)
def test_it_writes_shares_as_percentages(share: float | None, said: str) -> None:
    assert humane.percent(share) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1, "just now"),
        (30, "30 s ago"),
        (600, "10 min ago"),
        (7200, "2 h ago"),
        (3 * 86_400, "3 d ago"),
        (-7200, "in 2 h"),
    ],
)
def test_it_says_how_long_ago(seconds: int, said: str) -> None:
    assert humane.ago(NOW - seconds * SECOND, NOW) == said


def test_it_reads_times_as_stored_and_as_typed() -> None:
    assert humane.to_ns("2026-03-03T15:00:00Z") == NOW
    assert humane.to_ns(humane.iso(NOW)) == NOW
    assert humane.to_ns("yesterday") is None
    assert humane.moment(NOW) == "Tue 3 Mar 2026 15:00:00 UTC"


def test_it_shows_one_digit_of_the_uncertainty_and_two_where_it_starts_with_one() -> None:
    assert [humane.digits_for(s, 7.9) for s in (3, 1.2, 0.3, 0.14, 0.03)] == [0, 1, 1, 2, 2]


def test_a_value_without_an_interval_is_not_written_as_nothing() -> None:
    given = (0.00055, 0.0042, 0.05, 0.0, 8.25, 123.4, -0.00055)
    assert [humane.number(v, humane.digits_for(None, v)) for v in given] == [
        "0.00055", "0.0042", "0.05", "0.00", "8.25", "123", "-0.00055",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("gpt-4o", "gpt-4o"),
        ("llama-3.3-70b", "llama-3.3-70b"),
        ("model-2024", "model-2024"),
    ],
)
def test_a_model_is_shown_without_its_day(model: str, said: str) -> None:
    assert humane.undated(model) == said


def test_a_price_is_never_rounded() -> None:
    assert [price(x) for x in (15, 0.3, 0.0375, 0.01875, 1200.5)] == [
        "$15.00", "$0.30", "$0.0375", "$0.01875", "$1,200.50",
    ]  # fmt: skip
