import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.multitest import multipletests

from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats import experiments as ex


def sessions(rng, groups=150, turns=5, icc=0.3, shift=0.0):
    who = np.repeat(np.arange(groups), turns)
    y = np.sqrt(icc) * rng.standard_normal(groups)[who] + np.sqrt(1 - icc) * rng.standard_normal(who.size)
    return y + shift, who


def test_the_clustered_variance_is_statsmodels_cluster_robust_one():
    y, who = sessions(np.random.default_rng(1))
    found = ex.clustered_mean(y, who)
    fit = sm.OLS(y, np.ones(y.size)).fit(cov_type="cluster", cov_kwds={"groups": who, "use_correction": True})
    from scipy import stats as sp

    se = (found.high - found.low) / 2 / sp.t.ppf(0.975, 149)
    # statsmodels' small-sample factor has (n − 1)/(n − k) = 1 here.
    assert se == pytest.approx(fit.bse[0], rel=1e-6)
    assert found.n_eff < y.size


def test_an_a_a_test_is_wrong_as_often_as_it_says():
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(400):
        a, b = sessions(rng, 40), sessions(rng, 40)
        found = ex.paired_difference(a[0], b[0], a[1])
        assert isinstance(found, Estimate)
        wrong += not found.low <= 0 <= found.high
    assert 0.025 <= wrong / 400 <= 0.08


def test_a_ratio_is_of_means_and_not_the_mean_of_ratios():
    rng = np.random.default_rng(3)
    c = np.exp(rng.normal(0, 1, 4000))
    q = np.full(4000, 1.0)
    found = ex.ratio(q, c)
    assert isinstance(found, Estimate)
    assert found.low <= 1 / np.exp(0.5) <= found.high
    assert (q / c).mean() > 2.3 * found.value
    assert isinstance(ex.ratio([1.0, 1.0], [0.0, 0.0]), Insufficient)


def test_holm_is_statsmodels_holm():
    p = {"a": 0.001, "b": 0.02, "c": 0.03, "d": 0.5}
    assert list(ex.holm(p).values()) == multipletests(list(p.values()), method="holm")[0].tolist()
