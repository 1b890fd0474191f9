"""Statistics of a merged point, each with two one-sided bounds at a stated error.

Means, rates and percentiles are those of `stats`; a sum has the Horvitz–Thompson variance of a counting process,
Σw²x²; a standard deviation the chi-square interval on the effective size.
"""

import math

from watchkeeper.model.series import BINARY, Estimate, Insufficient, Point
from watchkeeper.stats.distributions import chi2_above
from watchkeeper.stats.estimates import point_mean, point_quantile, point_rate
from watchkeeper.stats.intervals import clopper_pearson, z_of

# From this level on a bound is one that a limit is judged by, not one that is shown.
EXACT = 0.96


def _sum(p: Point, level: float) -> Estimate:
    half = z_of(level) * math.sqrt(max(p.sw2x2, 0.0))
    return Estimate(p.swx, p.swx - half, p.swx + half, p.n, p.n_eff, level)


def _sd(p: Point, level: float) -> Estimate:
    mean, n = p.swx / p.sw, max(p.n_eff, 2.0)
    sd = math.sqrt(max(p.swx2 / p.sw - mean * mean, 0.0) * n / (n - 1))
    tail = (1 - level) / 2
    low = math.sqrt((n - 1) / chi2_above(tail, n - 1))
    high = math.sqrt((n - 1) / chi2_above(1 - tail, n - 1))
    return Estimate(sd, sd * low, sd * high, p.n, p.n_eff, level)


def _mean(p: Point, level: float) -> Estimate | Insufficient:
    """The usual interval for showing; the exact one where a limit is judged far out in the tail, in which Wilson's calls
    2 failures of 23 proof of more than 1 %."""
    exact = level >= EXACT
    if p.axis != BINARY:
        return point_mean(p, level=level, exact=exact)
    found = point_rate(p, level=level)
    if isinstance(found, Insufficient) or not exact:
        return found
    low, high = clopper_pearson(found.value * found.n_eff, found.n_eff, level)
    return Estimate(found.value, low, high, found.n, found.n_eff, level)


def estimate(point: Point | None, stat: str, alpha: float = 0.025, min_n: int = 2) -> Estimate | Insufficient:
    """`stat` (mean, sum, n, sd, p50, p99.9, …) of `point`; each bound is wrong with probability `alpha`.

    Insufficient when there is no point or fewer than `min_n` scores in it. A count is exact and needs none.
    """
    n = point.n if point is not None else 0
    if point is None or (n < min_n and stat != "n") or (point.sw <= 0 and stat != "n"):
        reason = "no data" if n == 0 else f"fewer than {min_n} scores"
        return Insufficient(reason, n, point.n_eff if point is not None else 0.0)
    if stat == "n":
        return Estimate(float(n), float(n), float(n), n, point.n_eff, 1.0)
    level = 1 - 2 * alpha
    if stat == "mean":
        return _mean(point, level)
    if stat == "sum":
        return _sum(point, level)
    if stat == "sd":
        return _sd(point, level)
    return point_quantile(point, float(stat[1:]) / 100, level=level, exact=level >= EXACT)


def scaled(found: Estimate | Insufficient, factor: float) -> Estimate | Insufficient:
    """The estimate times a positive constant: a sum over two weeks as a sum per hour."""
    if isinstance(found, Insufficient):
        return found
    return Estimate(
        found.value * factor, found.low * factor, found.high * factor, found.n, found.n_eff, found.level
    )


def look_error(
    series: int, ticks_per_week: float, alarms_per_week: float = 1.0, severity: str = "warn"
) -> float:
    """The error of one look at one threshold, so that all looks of a week together are wrong `alarms_per_week` times
    even if every series stood exactly at its limit; pages ten times rarer. Between 1e-6 and 0.025."""
    looks = max(series, 1) * max(ticks_per_week, 1.0)
    error = alarms_per_week / looks / (10 if severity == "page" else 1)
    return min(max(error, 1e-6), 0.025)
