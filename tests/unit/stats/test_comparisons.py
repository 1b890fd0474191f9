import numpy as np
import pytest
from scipy import stats as sp

from watchkeeper.model.series import TEN, Insufficient, SeriesKey, gather
from watchkeeper.stats import tests2
from watchkeeper.stats.tests2 import Comparison


def likert(rng, n, shift=0.0):
    return np.clip(np.rint(rng.normal(8 + shift, 1.8, n)), 0, 10)


def test_the_ks_distance_is_scipys_and_its_p_value_is_right_under_ties():
    rng = np.random.default_rng(1)
    a, b = likert(rng, 200), likert(rng, 300)
    found = tests2.ks(a, b, repeats=199)
    assert isinstance(found, Comparison)
    assert found.value == pytest.approx(sp.ks_2samp(a, b).statistic)
    rejected = sum(
        tests2.ks(likert(rng, 150), likert(rng, 150), repeats=199, seed=i).p <= 0.05 for i in range(400)
    )
    assert 0.02 <= rejected / 400 <= 0.075


def test_weighted_ks_does_not_reject_because_of_the_weights():
    rng = np.random.default_rng(2)
    rejected = 0
    for _ in range(300):
        a, b = rng.normal(size=250), rng.normal(size=250)
        pi = rng.choice([1.0, 0.1], 250)
        found = tests2.ks(a, b, pi_a=pi, pi_b=pi[::-1])
        assert isinstance(found, Comparison) and found.p is not None
        rejected += found.p < 0.05
    assert rejected / 300 <= 0.08


def test_psi_has_a_calibrated_p_value_and_an_excess_near_zero_when_nothing_changed():
    rng = np.random.default_rng(3)
    reference = rng.multinomial(20_000, np.full(20, 0.05))
    ps, excess = [], []
    for _ in range(500):
        found = tests2.psi(
            reference, rng.multinomial(100, np.full(20, 0.05)), n_reference=20_000, n_current=100
        )
        assert isinstance(found, Comparison)
        assert found.bins is not None and found.bins <= 10
        ps.append(found.p)
        excess.append(found.excess)
    assert 0.02 <= np.mean(np.array(ps) < 0.05) <= 0.08
    assert abs(np.mean(excess)) < 0.01


def test_psi_sees_a_shift_and_refuses_too_few_scores():
    rng = np.random.default_rng(4)
    a = np.bincount(likert(rng, 5000).astype(int), minlength=11)
    b = np.bincount(likert(rng, 200, -1.0).astype(int), minlength=11)
    found = tests2.psi(a, b, n_reference=5000, n_current=200)
    assert isinstance(found, Comparison)
    assert found.p < 1e-6
    assert found.excess > 0.1
    assert isinstance(tests2.psi(a, b, n_reference=5000, n_current=6), Insufficient)


def test_jensen_shannon_says_its_base_and_is_at_most_one_in_base_two():
    found = tests2.jensen_shannon([1, 0], [0, 1], n_a=100, n_b=100)
    assert isinstance(found, Comparison)
    assert found.value == pytest.approx(1.0)
    assert "base 2" in found.effect_size
    other = tests2.jensen_shannon([3, 1], [1, 3], n_a=100, n_b=100, base=np.e, kind="distance")
    assert isinstance(other, Comparison)
    from scipy.spatial.distance import jensenshannon

    assert other.value == pytest.approx(jensenshannon([3, 1], [1, 3]))


def test_wasserstein_is_scipys_and_shifts_by_the_shift():
    rng = np.random.default_rng(5)
    a = rng.normal(size=150)
    found = tests2.wasserstein(a, a + 0.7, repeats=99)
    assert isinstance(found, Comparison)
    assert found.value == pytest.approx(sp.wasserstein_distance(a, a + 0.7))
    assert found.p is not None and found.p < 0.05


def test_chi_square_is_scipys_on_full_tables():
    a, b = np.array([30, 50, 20]), np.array([45, 40, 15])
    found = tests2.chi_square(a, b, n_a=100, n_b=100)
    assert isinstance(found, Comparison)
    assert found.p == pytest.approx(sp.chi2_contingency(np.stack([a, b]), correction=False).pvalue)


def test_points_are_compared_by_every_distance_and_nothing_is_insufficient():
    rng = np.random.default_rng(6)
    key = SeriesKey("p", "m")
    a = gather(key, 0, 1, TEN, [(v, 1.0) for v in likert(rng, 2000).tolist()])
    b = gather(key, 1, 2, TEN, [(v, 0.5) for v in likert(rng, 200, -1).tolist()])
    found = tests2.compare_points(a, b)
    assert set(found) == {"ks", "psi", "js", "wasserstein", "chi2"}
    for name in ("ks", "psi", "js", "chi2"):
        comparison = found[name]
        assert isinstance(comparison, Comparison)
        assert comparison.p is not None and comparison.p < 0.01
    none = gather(key, 0, 1, TEN, [])
    assert all(isinstance(v, Insufficient) for v in tests2.compare_points(a, none).values())
