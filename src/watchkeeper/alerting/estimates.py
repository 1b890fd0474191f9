"""Statistics of a merged point, each with two one-sided bounds at a stated error.

Means are Hájek estimates with the linearised variance of the process; rates use Wilson on the Korn–Graubard effective
size; percentiles invert the weighted distribution with Woodruff's interval; sums use the Horvitz–Thompson variance of
a counting process. Formulas: design/statistics §1.
"""

import math
from functools import lru_cache

from scipy import special

from watchkeeper.model.series import BINARY, Estimate, Insufficient, Point


@lru_cache(maxsize=4096)
def _z(alpha: float) -> float:
    return float(-special.ndtri(alpha))


@lru_cache(maxsize=4096)
def _t(alpha: float, freedom: float) -> float:
    return float(-special.stdtrit(max(freedom, 1.0), alpha))


def _wilson(p: float, n: float, z: float) -> tuple[float, float]:
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(p * (1 - p) / n + z * z / (4 * n * n), 0.0))
    return max(0.0, centre - half), min(1.0, centre + half)


def _mean(p: Point, alpha: float) -> tuple[float, float, float]:
    mean = p.swx / p.sw
    spread = max(p.sw2x2 - 2 * mean * p.sw2x + mean * mean * p.sw2, 0.0) / (p.sw * p.sw)
    if p.axis == BINARY:
        mean = min(max(mean, 0.0), 1.0)
        n_eff = mean * (1 - mean) / spread if spread > 0 else p.n_eff
        return (mean, *_wilson(mean, min(n_eff, p.n), _z(alpha)))
    half = _t(alpha, p.n_eff - 1) * math.sqrt(spread * p.n / max(p.n - 1, 1))
    return mean, mean - half, mean + half


def _place(p: Point, share: float) -> float:
    """The value below which `share` of the weight lies, interpolated inside its bin."""
    edges = p.axis.edges
    wanted, seen = share * math.fsum(p.hist_w), 0.0
    for i, weight in enumerate(p.hist_w):
        if weight > 0 and seen + weight >= wanted:
            if i == 0:
                return edges[0]
            if i > len(edges) - 1:
                return edges[-1]
            part = (wanted - seen) / weight
            low, high = edges[i - 1], edges[i]
            return low * (high / low) ** part if p.axis.log else low + (high - low) * part
        seen += weight
    return edges[-1]


def _percentile(p: Point, share: float, alpha: float) -> tuple[float, float, float]:
    half = _z(alpha) * math.sqrt(share * (1 - share) / p.n_eff)
    return _place(p, share), _place(p, max(share - half, 0.0)), _place(p, min(share + half, 1.0))


def _sum(p: Point, alpha: float) -> tuple[float, float, float]:
    half = _z(alpha) * math.sqrt(max(p.sw2x2, 0.0))
    return p.swx, p.swx - half, p.swx + half


def _sd(p: Point, alpha: float) -> tuple[float, float, float]:
    mean = p.swx / p.sw
    n = max(p.n_eff, 2.0)
    sd = math.sqrt(max(p.swx2 / p.sw - mean * mean, 0.0) * n / (n - 1))
    low = math.sqrt((n - 1) / float(special.chdtri(n - 1, alpha)))
    high = math.sqrt((n - 1) / float(special.chdtri(n - 1, 1 - alpha)))
    return sd, sd * low, sd * high


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
    if stat == "mean":
        value, low, high = _mean(point, alpha)
    elif stat == "sum":
        value, low, high = _sum(point, alpha)
    elif stat == "sd":
        value, low, high = _sd(point, alpha)
    else:
        value, low, high = _percentile(point, float(stat[1:]) / 100, alpha)
    return Estimate(value, low, high, n, point.n_eff, 1 - 2 * alpha)


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
