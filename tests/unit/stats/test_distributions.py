"""The special functions against scipy.stats, the oracle that the product itself does not import."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats as oracle

from watchkeeper.stats import distributions as d

PROBABILITIES = [1e-9, 0.001, 0.05, 0.3, 0.5, 0.8, 0.975, 0.999999]


@pytest.mark.parametrize("p", PROBABILITIES)
def test_quantiles_are_those_of_scipy(p: float) -> None:
    assert d.normal_quantile(p) == pytest.approx(oracle.norm.ppf(p), rel=1e-9, abs=1e-12)
    for df in (1.0, 2.5, 7.0, 99.3, 1e6):
        assert d.t_quantile(p, df) == pytest.approx(oracle.t.ppf(p, df), rel=1e-6, abs=1e-9)
    for a, b in ((0.5, 0.5), (3.0, 98.0), (1200.0, 4.0)):
        assert float(d.beta_quantile(p, a, b)) == pytest.approx(oracle.beta.ppf(p, a, b), rel=1e-7)


@pytest.mark.parametrize("x", [0.0, 0.2, 1.0, 3.84, 30.0, 400.0])
def test_tails_are_those_of_scipy(x: float) -> None:
    for df in (1.0, 4.0, 40.5):
        assert d.chi2_survival(x, df) == pytest.approx(oracle.chi2.sf(x, df), rel=1e-9, abs=1e-300)
        assert d.t_survival(x, df) == pytest.approx(oracle.t.sf(x, df), rel=1e-7, abs=1e-300)
        assert d.noncentral_chi2_survival(x, df, 2.5) == pytest.approx(
            oracle.ncx2.sf(x, df, 2.5), rel=1e-6, abs=1e-12
        )
    assert d.kolmogorov_survival(x) == pytest.approx(oracle.kstwobign.sf(x), rel=1e-9, abs=1e-300)


def test_counts_have_the_p_values_of_scipy() -> None:
    dice = np.random.default_rng(11)
    for _ in range(200):
        a, b, c, e = (int(v) for v in dice.integers(0, 40, 4))
        expected = float(np.asarray(oracle.fisher_exact([[a, b], [c, e]]), dtype=np.float64)[1])
        assert d.fisher_exact(((a, b), (c, e))) == pytest.approx(expected, rel=1e-7, abs=1e-12)
        total, marked, drawn = a + b + c + e, a + b, a + c
        if total:
            tail = float(oracle.hypergeom.sf(a - 1, total, marked, drawn))
            assert d.hypergeometric_survival(a - 1, total, marked, drawn) == pytest.approx(
                tail, rel=1e-7, abs=1e-12
            )
        if a + b:
            assert d.sign_test(a, a + b) == pytest.approx(oracle.binomtest(a, a + b, 0.5).pvalue, rel=1e-9)


def test_ties_share_their_ranks() -> None:
    dice = np.random.default_rng(5)
    values = dice.integers(0, 9, 200)
    assert d.ranks(values).tolist() == oracle.rankdata(values).tolist()


def test_nothing_said_is_no_evidence() -> None:
    assert d.sign_test(0, 0) == 1.0
    assert d.fisher_exact(((0, 0), (3, 4))) == 1.0
    assert d.chi2_survival(-1.0, 3.0) == 1.0


def test_a_server_starts_without_what_it_may_never_need() -> None:
    heavy = ["scipy", "jsonschema", "pandas", "pyarrow", "numpy.testing"]
    code = f"import sys, watchkeeper.compose, watchkeeper.web.routes; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
