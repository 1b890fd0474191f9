"""Quantiles and tails of the distributions used here, by the special functions behind them.

`scipy.stats` gives the same numbers, but importing it costs half a second and 60 MB in every process, and its generic
wrappers a hundred times the call. Formulas: Abramowitz and Stegun, chapter 26.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@cache
def _sp() -> Any:
    """`scipy.special`, whose compiled functions carry no types. Loaded when first asked: it brings as much as numpy itself, and most
    commands and every start of a server would wait for it."""
    from scipy import special

    return special


def normal_quantile(p: float) -> float:
    """The standard normal value below which a share `p` lies."""
    return float(_sp().ndtri(p))


def normal_cdf(x: ArrayLike) -> NDArray[np.float64]:
    """The share of the standard normal below `x`; elementwise."""
    return np.asarray(_sp().ndtr(x), dtype=np.float64)


def t_quantile(p: float, df: float) -> float:
    """Student's t below which a share `p` lies, with `df` > 0 degrees of freedom (not necessarily whole)."""
    return float(_sp().stdtrit(df, p))


def t_survival(x: float, df: float) -> float:
    """Probability of a Student's t above `x`."""
    return float(_sp().stdtr(df, -x))


def beta_quantile(p: ArrayLike, a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """The value of a beta(a, b) below which a share `p` lies; elementwise."""
    return np.asarray(_sp().betaincinv(a, b, p), dtype=np.float64)


def chi2_above(p: float, df: float) -> float:
    """The value of a chi-square with `df` degrees of freedom above which a share `p` lies."""
    return float(_sp().chdtri(df, p))


def chi2_survival(x: float, df: float) -> float:
    """Probability of a chi-square with `df` degrees of freedom above `x`."""
    return float(_sp().chdtrc(df, x)) if x > 0 else 1.0


def noncentral_chi2_survival(x: float, df: float, shift: float) -> float:
    """Probability of a noncentral chi-square (noncentrality `shift` > 0) above `x`."""
    return float(1.0 - _sp().chndtr(x, df, shift)) if x > 0 else 1.0


def kolmogorov_survival(x: float) -> float:
    """Probability of Kolmogorov's limit statistic, sqrt(n) D, above `x`."""
    return float(_sp().kolmogorov(x))


def _log_hypergeometric(k: NDArray[np.float64], total: int, marked: int, drawn: int) -> NDArray[np.float64]:
    def log_choose(n: Any, r: Any) -> Any:
        return _sp().gammaln(n + 1.0) - _sp().gammaln(r + 1.0) - _sp().gammaln(n - r + 1.0)

    parts = log_choose(marked, k) + log_choose(total - marked, drawn - k) - log_choose(total, drawn)
    return np.asarray(parts, dtype=np.float64)


def _support(total: int, marked: int, drawn: int) -> NDArray[np.float64]:
    return np.arange(max(0, drawn - (total - marked)), min(marked, drawn) + 1, dtype=np.float64)


def hypergeometric_survival(k: int, total: int, marked: int, drawn: int) -> float:
    """Probability of more than `k` marked among `drawn` out of `total`, of which `marked` are marked."""
    support = _support(total, marked, drawn)
    above = support[support > k]
    if above.size == 0:
        return 0.0
    return float(min(np.exp(_log_hypergeometric(above, total, marked, drawn)).sum(), 1.0))


def fisher_exact(table: tuple[tuple[int, int], tuple[int, int]]) -> float:
    """Two-sided p value of Fisher's exact test: every table with these margins that is no likelier than this one."""
    (a, b), (c, d) = table
    total, marked, drawn = a + b + c + d, a + b, a + c
    if not total or marked in (0, total) or drawn in (0, total):
        return 1.0
    logs = _log_hypergeometric(_support(total, marked, drawn), total, marked, drawn)
    seen = float(_log_hypergeometric(np.asarray([a], dtype=np.float64), total, marked, drawn)[0])
    # The slack is for tables exactly as likely as this one, as R and scipy allow it.
    return float(min(np.exp(logs[logs <= seen + 1e-7]).sum(), 1.0))


def sign_test(successes: int, n: int) -> float:
    """Two-sided p value of `successes` out of `n` when either outcome is as likely (McNemar's exact test)."""
    if n == 0:
        return 1.0
    extreme = min(successes, n - successes)
    return float(min(2.0 * _sp().bdtr(extreme, n, 0.5), 1.0))


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(
        np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True
    )
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)
