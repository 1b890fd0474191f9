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
        found = ex.difference(*a, *b)
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
    change = ex.ratio_change(q, c, 1.2 * q, c)
    assert isinstance(change, Estimate)
    assert change.value == pytest.approx(0.2)
    assert isinstance(ex.ratio([1.0, 1.0], [0.0, 0.0]), Insufficient)


def test_cuped_takes_out_what_was_known_before():
    rng = np.random.default_rng(4)
    x = rng.normal(size=3000)
    y = 0.8 * x + 0.6 * rng.normal(size=3000)
    adjusted, theta = ex.cuped(y, x)
    assert theta[0] == pytest.approx(0.8, abs=0.05)
    assert adjusted.mean() == pytest.approx(y.mean())
    assert adjusted.var() == pytest.approx(0.36, abs=0.03)


def test_a_broken_split_is_noticed():
    assert not ex.sample_ratio([5030, 4970], [0.5, 0.5]).mismatch
    assert ex.sample_ratio([5300, 4700], [0.5, 0.5]).mismatch


def test_holm_is_statsmodels_holm():
    p = {"a": 0.001, "b": 0.02, "c": 0.03, "d": 0.5}
    assert list(ex.holm(p).values()) == multipletests(list(p.values()), method="holm")[0].tolist()


def gate(shift, n=400, sd=1.0, seed=5, margin=0.2):
    rng = np.random.default_rng(seed)
    before = rng.normal(size=n)
    return ex.non_inferiority(before, before + shift + sd * rng.normal(size=n), margin=margin)


def test_the_gate_passes_fails_or_says_how_many_more_cases_it_needs():
    assert gate(0.0).verdict == "pass"
    assert gate(-0.6).verdict == "fail"
    unsure = gate(-0.02, n=40)
    assert unsure.verdict == "not_enough_evidence"
    assert unsure.needed is not None and unsure.needed > 40
    assert gate(-0.02, n=40 + 2 * unsure.needed, seed=6).verdict != "not_enough_evidence"


def test_a_gate_at_its_margin_lets_harm_through_as_rarely_as_it_says():
    passed = sum(gate(-0.2, n=100, seed=s).verdict == "pass" for s in range(400))
    assert passed / 400 <= 0.08


def test_identical_outcomes_pass_and_one_case_says_nothing():
    same = np.ones(50)
    assert ex.non_inferiority(same, same, margin=0.1).verdict == "pass"
    assert ex.non_inferiority([1.0], [1.0], margin=0.1).verdict == "not_enough_evidence"
    for margin in (-1, 0):
        with pytest.raises(ValueError, match="margin"):
            ex.non_inferiority(same, same, margin=margin)


def test_a_deterministic_gate_needs_every_pass_and_the_rule_of_three():
    assert ex.all_must_pass(600, 600, p_max=0.005).verdict == "pass"
    assert ex.all_must_pass(599, 600, p_max=0.005).verdict == "fail"
    few = ex.all_must_pass(50, 50, p_max=0.005)
    assert few.verdict == "not_enough_evidence"
    assert few.needed == 550
    assert ex.all_must_pass(0, 0, p_max=0.005).verdict == "not_enough_evidence"


def test_a_canary_is_promoted_rolled_back_or_left_to_a_person():
    rng = np.random.default_rng(7)
    control = rng.normal(size=4000)
    assert ex.canary(control, rng.normal(size=4000), planned=4000).verdict == "promote"
    assert ex.canary(control[:200], rng.normal(-0.8, 1, 200), planned=4000).verdict == "rollback"
    assert ex.canary(control[:20], control[:20], planned=4000).verdict == "continue"
    assert ex.canary(control[:100], control[:100][::-1] - 0.07, planned=100).verdict == "inconclusive"


def test_peeking_at_a_harmless_canary_rarely_rolls_it_back():
    rng = np.random.default_rng(8)
    back = 0
    for _ in range(200):
        a, b = rng.normal(size=(2, 600))
        for n in range(50, 601, 25):
            verdict = ex.canary(a[:n], b[:n], planned=600).verdict
            if verdict != "continue":
                back += verdict == "rollback"
                break
    assert back / 200 <= 0.06
