import numpy as np
import pytest

from tests.unit.detection.made import BASE, HOUR, KEY, START, at, events, point, ticks
from watchkeeper.detection import fleet, rates, resolve
from watchkeeper.detection.baseline import Config
from watchkeeper.model.series import BINARY, Insufficient, SeriesKey


def test_the_threshold_is_the_budget_and_pages_are_ten_times_rarer():
    assert fleet.threshold(2000, HOUR) == 2000 * 168
    assert fleet.threshold(2000, HOUR, page=True) == 2000 * 1680
    with pytest.raises(ValueError, match="positive"):
        fleet.threshold(0, HOUR)


def test_recovery_needs_four_clear_ticks_and_no_relapse():
    incident = resolve.Incident(0, -1, 3.0, 100.0)
    for _ in range(3):
        incident = resolve.step(incident, 0.0, 100.0)
    assert not resolve.over(incident)
    assert resolve.over(resolve.step(incident, 0.0, 100.0))
    relapsed = resolve.step(incident, -3.0, 100.0)
    assert relapsed.log_e == 0.0
    assert resolve.evidence(relapsed) == 1.0


def base_rate(p: float = 0.002, n: int = 500) -> rates.RateBaseline:
    found = rates.fit_rate(events(np.random.default_rng(1), 0, BASE, p, n), ticks())
    assert isinstance(found, rates.RateBaseline)
    return found


def follow(baseline, points):
    state, seen = rates.RateState(), []
    for p in points:
        state, e = rates.update_rate(baseline, state, p, Config())
        seen.append(e)
    return seen


def test_a_rare_rate_that_quadruples_is_found_within_hours():
    seen = follow(base_rate(), events(np.random.default_rng(2), BASE, 24, 0.008))
    first = next(e for e in seen if e.firing)
    assert first.tick_ns <= at(BASE + 10)
    assert first.direction == "up"
    assert first.component == "rate"
    assert first.onset_ns >= START


def test_a_rate_never_seen_in_the_baseline_is_a_fine_baseline():
    base = base_rate(0.0)
    assert base.low < 1e-4 < base.high * 100
    seen = follow(base, events(np.random.default_rng(3), BASE, 48, 0.0))
    assert {e.verdict for e in seen} == {"quiet"}
    assert any(e.firing for e in follow(base, events(np.random.default_rng(4), BASE, 24, 0.01)))


def test_bursty_counts_are_not_mistaken_for_a_change():
    rng = np.random.default_rng(5)
    burst = [point(t, (rng.random(200) < rng.beta(0.5, 20)).astype(float), BINARY) for t in range(BASE + 120)]
    base = rates.fit_rate(burst[:BASE], ticks())
    assert isinstance(base, rates.RateBaseline)
    assert base.d > 2
    assert not any(e.firing for e in follow(base, burst[BASE:]))


def test_a_rate_needs_a_baseline_and_a_new_cohort_inherits_one():
    assert isinstance(rates.fit_rate([], ticks()), Insufficient)
    parent = base_rate()
    child = SeriesKey("p", "errors", (("model", "new"),))
    found = rates.fit_rate([point(BASE, [1.0], BINARY, child)], ticks(), parent=parent)
    assert isinstance(found, rates.RateBaseline)
    assert found.inherited_from == KEY
