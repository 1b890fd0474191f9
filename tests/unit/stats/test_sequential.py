import numpy as np
import pytest

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


def test_p_values_become_e_values_with_mean_at_most_one():
    assert np.mean(seq.p_to_e(np.random.default_rng(5).random(200_000))) <= 1.02
    assert (seq.log10_evidence(1000.0), seq.log10_evidence(0.0)) == (pytest.approx(3.0), -300.0)
