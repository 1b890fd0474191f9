"""The rate detector on metrics that are not rare: which outcome is counted, which way is down, cycles."""

import numpy as np

from tests.unit.detection.made import BASE, events, ticks
from watchkeeper.detection.baseline import Config
from watchkeeper.detection.rates import RateBaseline, RateState, fit_rate, fit_rates, log_ratios, update_rate
from watchkeeper.model.series import BINARY, Insufficient, Point, SeriesKey, gather

HOUR = 3600 * 10**9


def fitted(points: list[Point], config: Config = Config()) -> RateBaseline:
    found = fit_rate(points, ticks(), config)
    assert not isinstance(found, Insufficient)
    return found


def run(base: RateBaseline, points: list[Point]) -> list[tuple[str, str | None]]:
    state, seen = RateState(), []
    for p in points:
        state, e = update_rate(base, state, p)
        seen.append((e.verdict, e.direction))
    return seen


def test_a_metric_that_is_mostly_one_falls_when_its_failures_grow():
    rng = np.random.default_rng(3)
    base = fitted(events(rng, 0, BASE, 0.92))
    assert base.flip and 0.07 < base.rate < 0.09
    seen = run(base, events(rng, BASE, 30, 0.80))
    assert ("firing", "down") in seen[:6]
    state, e = RateState(), None
    for p in events(rng, BASE, 12, 0.80):
        state, e = update_rate(base, state, p)
    assert e is not None and e.current is not None and e.baseline is not None
    assert 0.7 < e.current.value < 0.9 and 0.91 < e.baseline.value < 0.93
    assert e.baseline.low < e.baseline.value < e.baseline.high


def test_a_rise_of_a_metric_that_is_mostly_one_is_up():
    rng = np.random.default_rng(4)
    base = fitted(events(rng, 0, BASE, 0.85))
    assert ("firing", "up") in run(base, events(rng, BASE, 48, 0.95))


def test_a_rate_that_was_never_has_a_baseline_and_any_run_of_events_is_news():
    rng = np.random.default_rng(5)
    base = fitted(events(rng, 0, BASE, 0.0))
    assert base.rate == 0.0
    assert all(v == "quiet" for v, _ in run(base, events(rng, BASE, 100, 0.0)))
    assert ("firing", "up") in run(base, events(rng, BASE, 24, 0.02))


def cycling(rng: np.random.Generator, start: int, count: int) -> list[Point]:
    found: list[Point] = []
    for t in range(start, start + count):
        p = 1 / (1 + np.exp(-(2.2 + 0.9 * np.sin(2 * np.pi * (t % 24) / 24))))
        found += events(rng, t, 1, float(p))
    return found


def test_a_daily_cycle_is_followed_and_not_taken_for_noise():
    rng = np.random.default_rng(6)
    calm = cycling(rng, 0, BASE)
    base = fitted(calm)
    assert any(abs(c) > 1e-9 for c in base.coef[1:]) and base.d < 3
    assert all(v in ("quiet", "pending") for v, _ in run(base, cycling(rng, BASE, 96)))


def test_a_rate_that_alarms_on_its_own_baseline_is_a_hint_and_never_fires():
    rng = np.random.default_rng(7)
    first, second = events(rng, 0, BASE // 2, 0.02), events(rng, BASE // 2, BASE // 2, 0.2)
    base = fitted([*first, *second])
    assert base.unstable
    seen = run(base, events(rng, BASE, 48, 0.6))
    assert {v for v, _ in seen} <= {"quiet", "unstable"} and ("unstable", "up") in seen


def test_scores_of_another_size_of_sample_weigh_as_much_as_they_know():
    key = SeriesKey("p", "m")
    rng = np.random.default_rng(8)
    base = fitted(events(rng, 0, BASE, 0.1))
    start = BASE * HOUR
    thin = gather(key, start, start + HOUR, BINARY, [(1.0, 0.01)] * 3 + [(0.0, 1.0)] * 100)
    _, e = update_rate(base, RateState(), thin)
    assert e.n == 103 and e.n_eff < 6 and e.verdict == "quiet"


def test_a_baseline_with_bursts_asks_for_several_bad_hours():
    rng = np.random.default_rng(21)
    calm = fitted(events(rng, 0, BASE, 0.02))
    bursts = [
        p
        for t in range(BASE)
        for p in events(rng, t, 1, 0.16 if t % 60 == 30 else 0.02)
    ]  # fmt: skip
    bursty = fitted(bursts)
    burst = events(rng, BASE, 1, 0.16)
    assert run(calm, burst)[0][0] == "firing"
    seen = run(bursty, [*burst, *events(rng, BASE + 1, 40, 0.02)])
    assert "firing" not in [v for v, _ in seen]
    assert ("firing", "up") in run(bursty, events(rng, BASE, 12, 0.16))


def test_busy_hours_that_are_also_bad_hours_do_not_shift_the_level_of_a_rate():
    # Ten times the traffic by day, and three times the failures: the rate of all traffic is nearly that of the day.
    day = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(BASE) / 24)
    n, p = np.rint(100 + 900 * day)[None], 0.02 + 0.04 * day
    times = np.arange(BASE, dtype=np.int64) * HOUR + HOUR // 2
    base = fit_rates(np.rint(n * p), n, times)
    ell = log_ratios(base, n * p, n, times)
    # What happens is what was expected, so no ratio may gain from it, at noon or at night.
    assert np.abs(base.coef[0, 1:]).max() > 0.005
    assert ell.sum(axis=1).max() < 0 and ell.max() < 0.5
