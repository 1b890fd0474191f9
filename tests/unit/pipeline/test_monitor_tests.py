import pytest

from watchkeeper.alerting.monitor import MINUTE, Monitor, Test
from watchkeeper.pipeline.monitor_tests import read_series, run_test, run_tests

HOUR = 60 * MINUTE


def monitor(condition: str, *tests: Test, **change: object) -> Monitor:
    return Monitor("m", condition, "ml", "r.md", tests=tests, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("condition", "series", "expect"),
    [
        ("share(answer_relevance < 7) > 5%", "8.2 x20, 6.5 x10", {"firing_at": 21}),
        ("answer_relevance < 7", "8.2 x20, 6.5 x10, 8.2 x5", {"firing_at": 21, "resolved_at": 31}),
        ("shift(answer_relevance) = 'down'", "8.2 x20, 6.5 x10", {"firing_by": 23}),
        (
            "shift(answer_relevance) = 'down'",
            "8.2 x20, 6.5 x10, 8.2 x20",
            {"firing_by": 23, "resolved_by": 40},
        ),
        ("shift(answer_relevance) = 'down'", "6.5 x20, 8.2 x10", {"never": "firing"}),
        ("answer_relevance.p50 < 7 and trend = 'decreasing'", "8.2 x20, 6 x10", {"firing_by": 24}),
        ("error_rate > 2%", "0% x20, 9% x10", {"firing_by": 22}),
        ("error_rate > 2%", "1% x50", {"never": "firing"}),
        ("latency_ms.p99 > 5s", "800 x5, 9000 x5", {"firing_by": 7}),
        ("cost > 2 * baseline.cost", "0.01 x5, 0.05 x5", {"firing_by": 7}),
        ("any(toxicity > 0.5)", "0 x5, 1, 0 x3", {"firing_at": 6, "resolved_at": 7}),
        ("a < 3 and b > 2", "a: 5 x9, 1 x9; b: 5 x18", {"firing_by": 11}),
        ("answer_relevance < 7", "missing x20", {"never": "firing"}),
    ],
)
async def test_a_monitors_own_test_says_when_it_fires(
    condition: str, series: str, expect: dict[str, object]
) -> None:
    result = await run_test(monitor(condition), Test(series, expect))
    assert result.passed, result


async def test_a_hold_delays_firing() -> None:
    result = await run_test(monitor("a < 7", hold=2 * HOUR), Test("8 x5, 6 x5", {"firing_at": 8}))
    assert result.passed, result


async def test_short_windows_have_short_ticks() -> None:
    result = await run_test(monitor("a < 7", window=15 * MINUTE), Test("8 x20, 6 x10", {"firing_by": 23}))
    assert result.passed and result.fired[0] > 21, result


@pytest.mark.parametrize(
    ("test", "says"),
    [
        (Test("8 x20, 6 x10", {"firing_at": 3}), "expected firing at 3, but it fired at 21"),
        (Test("8 x20", {"firing_by": 5}), "no tick"),
        (Test("8 x20, 6 x10", {"never": "firing"}), "it fired at 21"),
        (Test("8 x20, 6 x10", {"fires": 3}), "expect knows firing_at"),
        (Test("8 x20; 6", {"firing_at": 3}), "part 1"),
        (Test("8 x0", {"firing_at": 3}), "1 to 10000"),
        (Test("b: 8 x3", {"firing_at": 3}), "it reads a"),
        (Test("8 x3", {"firing_at": "soon"}), "must be a position"),
    ],
)
async def test_a_failed_test_says_what_came_instead(test: Test, says: str) -> None:
    (result,) = await run_tests(monitor("a < 7", test))
    assert not result.passed and says in result.message, result


def test_a_series_is_read_part_by_part() -> None:
    assert read_series("8.2 x2, _, missing x2, 5%, -1") == [8.2, 8.2, None, None, None, 0.05, -1.0]
    with pytest.raises(ValueError, match="part 2"):
        read_series("8, nine")
