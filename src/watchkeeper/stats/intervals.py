"""Confidence intervals for proportions, sums of estimates, and anything by bootstrap."""

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.stats.distributions import beta_quantile, normal_quantile

Floats = NDArray[np.float64]


def z_of(level: float, *, one_sided: bool = False) -> float:
    """The normal quantile of an interval with coverage `level`. Raises ValueError outside (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"an interval's level is between 0 and 1, not {level}")
    return normal_quantile(level if one_sided else 0.5 + level / 2.0)


def wilson(k: float, n: float, level: float = 0.95, *, one_sided: bool = False) -> tuple[float, float]:
    """Wilson's score interval for k successes of n; both may be effective (fractional) counts (Wilson 1927).

    `one_sided` gives bounds that each hold with probability `level`. (0, 1) when n = 0: nothing is known.
    """
    if n <= 0:
        return 0.0, 1.0
    z = z_of(level, one_sided=one_sided)
    p = min(max(k / n, 0.0), 1.0)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (0.0 if p == 0 else max(0.0, centre - half)), (1.0 if p == 1 else min(1.0, centre + half))


def clopper_pearson(
    k: float, n: float, level: float = 0.95, *, one_sided: bool = False
) -> tuple[float, float]:
    """The exact binomial interval (Clopper and Pearson 1934), by Beta quantiles; never covers less than `level`."""
    if n <= 0:
        return 0.0, 1.0
    a = (1 - level) if one_sided else (1 - level) / 2
    low = 0.0 if k <= 0 else float(beta_quantile(a, k, n - k + 1))
    high = 1.0 if k >= n else float(beta_quantile(1 - a, k + 1, n - k))
    return low, high


def bounded_mean(
    value: float, square: float, n: float, level: float = 0.95, *, exact: bool = False
) -> tuple[float, float]:
    """The interval of a mean of values in [0, 1] from n (effective) scores with this mean and mean square.

    The quantiles of Σ D_i x_i with flat Dirichlet weights D over the scores and half a score at each end of the scale; with
    `exact` a whole score at the end that the bound looks to (Gaffke 2005; Learned-Miller and Thomas 2020, arXiv 1905.06208),
    which covers at any n. Two moments of it make a beta distribution. Of zeros and ones that is Jeffreys' interval, with
    `exact` Clopper and Pearson's. A t interval of ten scores that are all at the end of their scale has no width.
    """

    def bound(p: float, below: float, above: float) -> float:
        size = n + below + above
        mean, second = (n * value + above) / size, (n * square + above) / size
        variance = (second - mean * mean) / (size + 1)
        if variance <= 0:
            return mean
        scale = mean * (1 - mean) / variance - 1
        return float(beta_quantile(p, mean * scale, (1 - mean) * scale))

    tail = (1 - level) / 2
    low = bound(tail, 1.0, 0.0) if exact else bound(tail, 0.5, 0.5)
    high = bound(1 - tail, 0.0, 1.0) if exact else bound(1 - tail, 0.5, 0.5)
    return min(low, value), max(high, value)


def mover_sum(
    values: ArrayLike, lows: ArrayLike, highs: ArrayLike, weights: ArrayLike
) -> tuple[float, float, float]:
    """(estimate, low, high) of Σ weight·value from independent intervals (MOVER, Zou and Donner 2008).

    A negative weight takes the other arm of its interval, so differences work too.
    """
    v, lo, hi, w = (np.asarray(a, dtype=np.float64) for a in (values, lows, highs, weights))
    down = np.where(w >= 0, v - lo, hi - v) * np.abs(w)
    up = np.where(w >= 0, hi - v, v - lo) * np.abs(w)
    value = float(np.sum(w * v))
    return value, value - float(np.sqrt(np.sum(down**2))), value + float(np.sqrt(np.sum(up**2)))


def mover_difference(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> tuple[float, float, float]:
    """(difference, low, high) of a − b, each given as (value, low, high)."""
    return mover_sum([a[0], b[0]], [a[1], b[1]], [a[2], b[2]], [1.0, -1.0])


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    n: int,
    *,
    seed: int,
    repeats: int = 2000,
    level: float = 0.95,
    clusters: ArrayLike | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `statistic(indices)` over n rows, or over whole `clusters` of rows.

    Replicates whose statistic is not finite (a class was never drawn) are left out; (nan, nan) when all are.
    The seed is the caller's: derive it from the series key, so that the same data give the same interval.
    """
    rng = np.random.default_rng(seed)
    groups: list[NDArray[np.intp]] = []
    if clusters is not None:
        _, codes = np.unique(np.asarray(clusters), return_inverse=True)
        order = np.argsort(codes, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    found: list[float] = []
    for _ in range(repeats):
        if groups:
            index = np.concatenate([groups[g] for g in rng.integers(0, len(groups), len(groups))])
        else:
            index = rng.integers(0, n, n)
        value = statistic(index)
        if np.isfinite(value):
            found.append(value)
    if not found:
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
