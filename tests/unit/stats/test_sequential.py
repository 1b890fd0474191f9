import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats import sequential as seq


def test_the_evidence_grows_by_at_most_one_a_tick_when_nothing_happens():
    rng = np.random.default_rng(1)
    r = np.zeros(20_000)
    for _ in range(30):
        r = seq.sr_step(r, 0.5 * rng.standard_normal(r.size) - 0.125)
    assert r.mean() == pytest.approx(30, rel=0.1)


def test_it_alarms_less_often_than_its_threshold_promises():
    rng = np.random.default_rng(2)
    r, alarms = np.zeros(2000), 0
    for _ in range(500):
        r = seq.sr_step(r, rng.standard_normal(r.size) - 0.5)
        alarms += int((r >= 1000).sum())
        r[r >= 1000] = 0
    assert alarms / (2000 * 500) <= 1 / 1000


def test_evidence_never_overflows():
    r = np.zeros(1)
    for _ in range(200):
        r = seq.sr_step(r, np.array([16.0]))
    assert np.isfinite(r).all()


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_e_bh_rejects_the_largest_and_only_enough_evidence(values):
    found = seq.e_bh(values, 0.05)
    e = np.array(values)
    if found.size:
        assert e[found].min() * found.size >= len(values) / 0.05 - 1e-6
        assert set(found) == set(np.flatnonzero(e >= e[found].min()))
    else:
        assert all((i + 1) * v < len(values) / 0.05 for i, v in enumerate(sorted(values, reverse=True)))


def test_e_bh_gains_over_bonferroni_when_many_change_together():
    assert seq.e_bh([100.0] * 8 + [1.0] * 2, 0.2).size == 8
    assert seq.e_bh([30.0] + [1.0] * 9, 0.2).size == 0
    with pytest.raises(ValueError, match="alpha"):
        seq.e_bh([1.0], 0.0)


def test_a_confidence_sequence_may_be_looked_at_every_time():
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(300):
        x = rng.standard_normal(600)
        wrong += any(
            not (e.low <= 0 <= e.high)
            for n in range(60, 601, 20)
            if isinstance(e := seq.confidence_sequence(x[:n], planned=150), Estimate)
        )
    assert wrong / 300 <= 0.06
    assert isinstance(seq.confidence_sequence(rng.standard_normal(20)), Insufficient)


def test_betting_bounds_hold_for_rare_events_at_any_time():
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(60):
        x = (rng.random(200) < 0.03).astype(float)
        wrong += not all(a <= 0.03 <= b for a, b in (seq.betting_bounds(x[:n]) for n in (20, 60, 120, 200)))
    assert wrong <= 5
    low, high = seq.betting_bounds(np.ones(400))
    assert low > 0.9
    assert high == 1.0
    assert seq.betting_bounds([]) == (0.0, 1.0)


def test_obrien_fleming_boundaries_are_the_published_ones():
    assert seq.obrien_fleming(5)[-1] == pytest.approx(2.040, abs=0.005)
    assert seq.obrien_fleming(10)[-1] == pytest.approx(2.087, abs=0.005)


def test_p_values_become_e_values_with_mean_at_most_one():
    assert np.mean(seq.p_to_e(np.random.default_rng(5).random(200_000))) <= 1.02
    assert (seq.log10_evidence(1000.0), seq.log10_evidence(0.0)) == (pytest.approx(3.0), -300.0)
    assert seq.always_valid_p([0.0, 3.0, 1.0]).tolist() == pytest.approx([1.0, math.exp(-3), math.exp(-3)])
