import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats import judges
from watchkeeper.stats.intervals import wilson


def world(rng, theta=0.85, big=5000, labels=100, se=0.96, sp=0.92):
    good = rng.random(big) < theta
    judge = np.where(good, rng.random(big) < se, rng.random(big) >= sp)
    passed, failed = np.flatnonzero(judge), np.flatnonzero(~judge)
    pick = np.concatenate(
        [rng.choice(passed, labels // 2, replace=False), rng.choice(failed, labels // 2, replace=False)]
    )
    return good, judge, pick


def test_the_corrected_rate_covers_the_truth_where_the_judge_alone_does_not():
    rng = np.random.default_rng(1)
    covered = alone = 0
    for _ in range(200):
        good, judge, pick = world(rng)
        found = judges.corrected_rate(judge, judge[pick], good[pick])
        assert isinstance(found, Estimate)
        covered += found.low <= 0.85 <= found.high
        half = 1.96 * np.sqrt(judge.mean() * (1 - judge.mean()) / judge.size)
        alone += abs(judge.mean() - 0.85) <= half
    assert covered >= 186
    assert alone <= 20


def test_rogan_gladen_survives_labels_from_better_times():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(150):
        _, judge, _ = world(rng)
        good, old, pick = world(rng, theta=0.95, labels=120)
        pi = np.where(old[pick], 60 / old.sum(), 60 / (~old).sum())
        found = judges.rogan_gladen_labels(judge.sum(), judge.size, old[pick], good[pick], label_pi=pi)
        assert isinstance(found, Estimate)
        covered += found.low <= 0.85 <= found.high
    assert covered >= 135


def test_rogan_gladen_refuses_a_judge_that_says_nothing():
    found = judges.rogan_gladen(80, 100, 30, 50, 25, 50)
    assert isinstance(found, Insufficient)
    assert "1.2" in found.reason


def test_ppi_is_tighter_than_labels_alone_and_refuses_few_labels():
    rng = np.random.default_rng(3)
    truth = rng.normal(7, 1.5, 8000)
    judge = truth + rng.normal(0.4, 0.5, 8000)
    pick = rng.choice(8000, 300, replace=False)
    found = judges.ppi_mean(judge, judge[pick], truth[pick])
    assert isinstance(found, Estimate)
    assert found.low <= truth.mean() <= found.high
    assert found.high - found.low < 0.5 * 2 * 1.96 * truth[pick].std() / np.sqrt(300)
    assert isinstance(judges.ppi_mean(judge, judge[pick[:50]], truth[pick[:50]]), Insufficient)


def test_both_verdicts_need_labels():
    assert isinstance(judges.post_stratified_rate(0.9, 1000, (45, 50), (0, 0)), Insufficient)


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_kappa_agrees_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 4, 80)
    b = np.where(rng.random(80) < 0.6, a, rng.integers(0, 4, 80))
    table = np.zeros((4, 4))
    np.add.at(table, (a, b), 1)
    assert judges.kappa(a, b) == pytest.approx(cohens_kappa(table).kappa)
    assert judges.kappa(a, b, weighting="quadratic") == pytest.approx(cohens_kappa(table, wt="fc").kappa) or (
        len(np.unique(np.concatenate([a, b]))) < 4
    )


def test_alpha_is_what_krippendorff_computed_by_hand():
    # The worked example of Krippendorff (2011), nominal alpha 0.743, interval alpha 0.849.
    nan = float("nan")
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
        [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
    ]
    assert judges.krippendorff_alpha(table) == pytest.approx(0.743, abs=0.001)
    assert judges.krippendorff_alpha(table, interval=True) == pytest.approx(0.849, abs=0.001)
    assert judges.krippendorff_alpha(table, ordinal=True) == pytest.approx(0.815, abs=0.001)


@pytest.mark.parametrize(
    ("agreed", "n", "enough"),
    [(45, 50, True), (44, 50, False), (87, 100, True), (86, 100, False), (170, 200, True), (169, 200, False)],
)
def test_the_gate_needs_exactly_the_counts_of_the_specification(agreed, n, enough):
    human = [i % 2 == 0 for i in range(n)]
    judge = [h if i < agreed else not h for i, h in enumerate(human)]
    found = judges.judge_gate(judge, human, seed=1)
    assert not isinstance(found, Insufficient)
    assert (found.status == "calibrated") is enough
    assert bool(found.failed) is not enough
    assert set(found.recall) == {"True", "False"}


def test_a_judge_that_always_passes_is_provisional_however_often_it_agrees():
    human = [i % 10 != 0 for i in range(200)]
    found = judges.judge_gate([True] * 200, human, seed=1)
    assert not isinstance(found, Insufficient)
    assert found.status == "provisional"
    assert any("kappa" in f for f in found.failed)
    assert isinstance(judges.judge_gate([], [], seed=1), Insufficient)


@pytest.mark.parametrize(("groups", "each"), [(6, 8), (12, 5)])
def test_the_floor_of_agreement_holds_also_with_few_sessions(groups: int, each: int) -> None:
    """Sessions differ in how often the judge is right in them, 80 % of all: the 95 % bound may lie above that in 5 % of draws."""
    dice, sessions, draws, above = (
        np.random.default_rng(3),
        np.repeat(np.arange(groups), each),
        1500,
        0,
    )
    for _ in range(draws):
        right = dice.random(groups * each) < np.repeat(dice.beta(8, 2, groups), each)
        size = judges.independent(right, sessions)
        above += wilson(float(right.mean()) * size, size, 0.95, one_sided=True)[0] > 0.8
    assert above / draws < 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5
