"""Means, rates and quantiles of a process seen through unequal sampling, from raw scores or from a `Point`.

w = 1/π, π the recorded inclusion probability. Hájek's mean is Σwx/Σw; its variance for the *process* (not only for
today's traces) is Σw²(x − μ̂)²/(Σw)²; the effective sample size is Kish's (Σw)²/Σw².
"""

from math import exp, inf, isinf, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.model.series import Estimate, Insufficient, Point
from watchkeeper.stats.distributions import t_quantile
from watchkeeper.stats.intervals import bounded_mean, clopper_pearson, wilson, z_of

Floats = NDArray[np.float64]


def grouped(clusters: ArrayLike, *columns: Floats) -> tuple[int, list[Floats]]:
    """How many clusters there are, and each column summed within them."""
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    groups = int(codes.max()) + 1 if codes.size else 0
    return groups, [np.bincount(codes, weights=c, minlength=groups).astype(np.float64) for c in columns]


def weights_of(pi: ArrayLike | None, n: int) -> Floats:
    """1/π for each of n scores; ones when π is None. Raises ValueError for a π outside (0, 1]."""
    if pi is None:
        return np.ones(n)
    p = np.asarray(pi, dtype=np.float64)
    if p.shape != (n,):
        raise ValueError(f"{p.size} inclusion probabilities for {n} scores")
    if n and not (np.all(p > 0) and np.all(p <= 1)):
        raise ValueError("an inclusion probability is outside (0, 1]: such a score cannot be weighted")
    return 1.0 / p


def kish(w: ArrayLike) -> float:
    """Kish's effective sample size (Σw)²/Σw²; 0 for no weights."""
    a = np.asarray(w, dtype=np.float64)
    q = float(np.sum(a * a))
    return float(np.sum(a)) ** 2 / q if q > 0 else 0.0


def mean(
    x: ArrayLike,
    pi: ArrayLike | None = None,
    *,
    level: float = 0.95,
    finite_population: bool = False,
    scale: tuple[float, float] | None = None,
) -> Estimate | Insufficient:
    """Hájek's mean with a t interval on n_eff − 1 degrees of freedom, or, where a `scale` is given, that of `point_mean`.

    `finite_population` multiplies the variance terms by (1 − π): the mean of exactly these traces instead of the
    process that makes them. Fewer than two scores are `Insufficient`.
    """
    v = np.asarray(x, dtype=np.float64)
    w = weights_of(pi, v.size)
    if v.size < 2:
        return Insufficient("a mean with an interval needs at least two scores", int(v.size), kish(w))
    total = float(w.sum())
    mu = float((w * v).sum()) / total
    terms = w**2 * (v - mu) ** 2
    if finite_population:
        terms = terms * (1 - 1 / w)
    noise = float(terms.sum())
    plain = _around(mu, noise / total**2, int(v.size), kish(w), level)
    if scale is None:
        return plain
    lean = float((np.sign(v - mu) * terms**1.5).sum()) / noise**1.5 if noise > 0 else 0.0
    return _within(plain, float((w * v * v).sum()) / total, noise / total**2, scale, False, lean)


def point_mean(
    p: Point, *, level: float = 0.95, exact: bool = False, scaled: bool = True
) -> Estimate | Insufficient:
    """The weighted mean of a point, with an interval that does not leave the scale of its axis.

    Between two ends: `intervals.bounded_mean`, which holds where most scores lie at an end; `exact` for bounds far out in the
    tail. Amounts: the t interval below, cut at zero, and above the same on the log scale, the longer the more few large values make
    of the spread, because they are skewed to the right. Where the tail is so heavy that the largest value of all is most of the sum
    (Pareto with an index below 2) no interval of a mean holds what it says: docs/quality.md has what was measured. Values that cannot be of the axis' scale, and all where it is not `scaled`, have the t interval of `mean`.
    """
    if p.n < 2:
        return Insufficient("a mean with an interval needs at least two scores", p.n, p.n_eff)
    mu = p.swx / p.sw
    variance = max(p.sw2x2 - 2 * mu * p.sw2x + mu * mu * p.sw2, 0.0) / p.sw**2
    plain = _around(mu, variance, p.n, p.n_eff, level)
    lean = _lean(p) if scaled and isinf(p.axis.scale[1]) else 0.0
    return _within(plain, p.swx2 / p.sw, variance, p.axis.scale, exact, lean) if scaled else plain


def _lean(p: Point) -> float:
    """Σ(w(x − μ))³ over (Σ(w(x − μ))²)^1.5 from a histogram: near 0 where many values make the spread, 1 where one does."""
    hw, hw2 = np.asarray(p.hist_w), np.asarray(p.hist_w2)
    told = hw > 0
    if not told.any():
        return 0.0
    x = np.asarray(p.axis.centres)[told]
    hw, hw2, x = hw[told], hw2[told], np.exp(x) if p.axis.log else x
    gap = x - (hw * x).sum() / hw.sum()
    noise = float((hw2 * gap**2).sum())
    # Σw³ of a bin is no sum of ours: it is exact where all its weights are alike.
    return float((hw2**2 / hw * gap**3).sum()) / noise**1.5 if noise > 0 else 0.0


# From so many scores on, how far they lean is known well enough to be used whole.
_ENOUGH = 30.0


def _within(
    plain: Estimate, square: float, variance: float, scale: tuple[float, float], exact: bool, lean: float
) -> Estimate:
    """The estimate with the interval that its scale allows; `square` is the mean of x², `variance` that of the mean, `lean` see
    `_lean`."""
    mu, (low, high) = plain.value, scale
    if isinf(high):
        if mu <= 0:
            return plain
        longer = 1.0 + min(max(lean, 0.0), 1.0) * min(plain.n_eff / _ENOUGH, 1.0)
        top = mu * exp(min((plain.high - mu) / mu * longer, 300.0))
        return Estimate(mu, max(plain.low, 0.0), top, plain.n, plain.n_eff, plain.level)
    width = high - low
    value, square = (mu - low) / width, (square - 2 * low * mu + low * low) / width**2
    # Of values between 0 and 1 no square is larger than its value (Bhatia and Davis 2000).
    if square > value + 1e-9:
        return plain
    spread, noise = max(square - value * value, 0.0), variance / width**2
    size = min(spread / noise, float(plain.n)) if spread > 1e-12 and noise > 0 else plain.n_eff
    ends = bounded_mean(min(max(value, 0.0), 1.0), square, size, plain.level, exact=exact)
    return Estimate(
        mu, min(low + width * ends[0], mu), max(low + width * ends[1], mu), plain.n, plain.n_eff, plain.level
    )


def _around(mu: float, variance: float, n: int, n_eff: float, level: float) -> Estimate:
    half = t_quantile(0.5 + level / 2, max(n_eff - 1, 1.0)) * sqrt(variance * _small(n_eff))
    return Estimate(mu, mu - half, mu + half, n, n_eff, level)


def _small(n_eff: float) -> float:
    # The plug-in variance divides by n; the t interval expects n − 1.
    return n_eff / (n_eff - 1) if n_eff > 2 else 2.0


def rate(
    y: ArrayLike, pi: ArrayLike | None = None, *, level: float = 0.95, clusters: ArrayLike | None = None
) -> Estimate | Insufficient:
    """Weighted share of true values with Wilson's interval on the Korn–Graubard effective size p(1 − p)/V.

    Where `clusters` (sessions) repeat, V is the cluster-robust variance and the size is smaller by the t quantiles of n − 1 and of
    G − 1 degrees of freedom, at most that of independent values; for values all alike it is that of the clusters' weights. Fewer
    than two clusters of several values are `Insufficient`.
    """
    v = np.asarray(y, dtype=np.float64)
    w = weights_of(pi, v.size)
    if v.size == 0:
        return Insufficient("a rate needs at least one score")
    p = float((w * v).sum() / w.sum())
    variance = float((w**2 * (v - p) ** 2).sum()) / float(w.sum()) ** 2
    apart = _rate(p, variance, int(v.size), kish(w), level)
    if clusters is None:
        return apart
    groups, (weights, sums) = grouped(clusters, w, w * (v - p))
    if groups == v.size:
        return apart
    if groups < 2:
        return Insufficient("an interval needs at least two sessions", int(v.size), 1.0)
    if not 0 < p < 1:
        size = kish(weights)
    else:
        shared = groups / (groups - 1) * float((sums**2).sum()) / float(w.sum()) ** 2
        size = p * (1 - p) / shared if shared > 0 else apart.n_eff
        middle = 0.5 + level / 2
        size *= (t_quantile(middle, v.size - 1) / t_quantile(middle, groups - 1)) ** 2
    size = max(min(size, apart.n_eff), 1.0)
    low, high = wilson(p * size, size, level)
    return Estimate(p, low, high, int(v.size), size, level)


def point_rate(
    p: Point, *, above: float | None = None, at_most: float | None = None, level: float = 0.95
) -> Estimate | Insufficient:
    """The share of scores with x <= `at_most`, or x > `above`; of true values (x = 1) when neither is given.

    Cuts are moved to the nearest edge of the point's axis; a cut on an edge is exact. Raises ValueError for both.
    """
    if above is not None and at_most is not None:
        raise ValueError("give above or at_most, not both")
    if p.n == 0:
        return Insufficient("a rate needs at least one score")
    if above is None and at_most is None:
        q = p.swx / p.sw
        variance = max(p.sw2x2 - 2 * q * p.sw2x + q * q * p.sw2, 0.0) / p.sw**2
        return _rate(min(max(q, 0.0), 1.0), variance, p.n, p.n_eff, level)
    cut = above if above is not None else at_most
    edges = np.asarray(p.axis.edges)
    upto = int(np.argmin(np.abs(edges - cut))) + 1
    hw, hw2 = (np.asarray(h) for h in (p.hist_w, p.hist_w2))
    inside = hw[upto:].sum() if above is not None else hw[:upto].sum()
    inside2 = hw2[upto:].sum() if above is not None else hw2[:upto].sum()
    q = float(inside / p.sw)
    variance = float(inside2 * (1 - 2 * q) + q * q * p.sw2) / p.sw**2
    return _rate(q, max(variance, 0.0), p.n, p.n_eff, level)


def _rate(p: float, variance: float, n: int, n_eff: float, level: float) -> Estimate:
    size = p * (1 - p) / variance if variance > 0 and 0 < p < 1 else n_eff
    size = min(size, float(n)) if size > 0 else n_eff
    low, high = wilson(p * size, size, level)
    return Estimate(p, low, high, n, size, level)


def quantile(
    x: ArrayLike, q: float, pi: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate | Insufficient:
    """Weighted quantile (inverse of the weighted distribution) with Woodruff's interval (Woodruff 1952): the interval of the
    share at the quantile, carried back through the same distribution. An end beyond the smallest or largest score, which
    nothing is known of, is infinite: thirty scores say nothing of how large the 99th percentile may be.
    """
    v = np.asarray(x, dtype=np.float64)
    w = weights_of(pi, v.size)
    if v.size == 0:
        return Insufficient("a quantile needs at least one score")
    order = np.argsort(v, kind="stable")
    v, w = v[order], w[order]
    cumulative = np.cumsum(w) / w.sum()
    n_eff = kish(w)
    low, high = _around_share(q, n_eff, level, False)
    at = np.searchsorted(cumulative, [q - 1e-12, low, high], side="left")
    found, last = v[np.minimum(at, v.size - 1)], v.size - 1
    return Estimate(
        float(found[0]),
        -inf if low <= 0 else float(found[1]),
        inf if at[2] > last else float(found[2]),
        int(v.size),
        n_eff,
        level,
    )


def _around_share(q: float, n_eff: float, level: float, exact: bool) -> tuple[float, float]:
    """Between which shares of the scores the quantile lies; outside of (0, 1] it may lie beyond all of them. One score wider
    than the interval of a share, because the score at a share may be on either side of the quantile."""
    low, high = (clopper_pearson if exact else wilson)(q * n_eff, n_eff, level)
    return low - 0.5 / n_eff, high + 0.5 / n_eff


def point_quantile(
    p: Point, q: float, *, level: float = 0.95, exact: bool = False
) -> Estimate | Insufficient:
    """`quantile` from a point's histogram, linear within bins (of ln x on a log axis), in the metric's own unit.

    Precise to a bin's width, and exact where a bin holds one whole number; what lies in an open end, or beyond all scores, is
    reported as that end's edge. No quantile is further from the mean than the spread of these scores allows (Cantelli 1928:
    that of share s lies between μ − σ√((1 − s)/s) and μ + σ√(s/(1 − s))), so that alike scores have their own value for one
    and not the bin's edge. `exact` for bounds far out in the tail.
    """
    if p.n == 0:
        return Insufficient("a quantile needs at least one score")
    low, high = _around_share(q, p.n_eff, level, exact)
    mu = p.swx / p.sw
    spread = sqrt(max(p.swx2 / p.sw - mu * mu, 0.0))
    cumulative = np.concatenate([[0.0], np.cumsum(p.hist_w)]) / p.sw
    edges = np.asarray(p.axis.edges)
    inner = np.log(edges) if p.axis.log else edges
    knots = np.concatenate([[inner[0]], inner, [inner[-1]]])
    values: list[float] = []
    for share in (q, low, high):
        at = int(np.clip(np.searchsorted(cumulative, share - 1e-12, side="left"), 1, cumulative.size - 1))
        below, here = cumulative[at - 1], cumulative[at]
        part = (share - below) / (here - below) if here > below else 1.0
        value = float(knots[at - 1] + (knots[at] - knots[at - 1]) * min(max(part, 0.0), 1.0))
        if p.axis.whole:
            value = float(np.floor(knots[at]))
        if not 0 < share <= 1:
            value = float(knots[0] if share <= 0 else knots[-1])
        value = exp(value) if p.axis.log else value
        if 0 < share < 1 and not p.axis.whole:
            down, up = sqrt((1 - share) / share), sqrt(share / (1 - share))
            value = min(max(value, mu - spread * down), mu + spread * up)
        values.append(value)
    bottom, top = p.axis.scale
    middle, least, most = (min(max(value, bottom), top) for value in values)
    return Estimate(middle, least, most, p.n, p.n_eff, level)


def post_stratified(parts: "list[tuple[float, Estimate]]", *, level: float = 0.95) -> Estimate | Insufficient:
    """Σ (N_h/N)·ȳ_h over strata of known size N_h, given as (N_h, estimate); arms combined by MOVER."""
    total = sum(size for size, _ in parts)
    if total <= 0:
        return Insufficient("post-stratification needs strata of known, positive size")
    if any(e.level != level for _, e in parts):
        raise ValueError(f"the strata's intervals must have the level asked for, {level}")
    down = sqrt(sum((s / total * (e.value - e.low)) ** 2 for s, e in parts))
    up = sqrt(sum((s / total * (e.high - e.value)) ** 2 for s, e in parts))
    value = sum(s / total * e.value for s, e in parts)
    n = sum(e.n for _, e in parts)
    spread = sum((s / total) ** 2 / e.n_eff for s, e in parts if e.n_eff > 0)
    return Estimate(value, value - down, value + up, n, 1 / spread if spread > 0 else 0.0, level)


def chained(
    cheap_all: ArrayLike,
    cheap: ArrayLike,
    dear: ArrayLike,
    pi: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> Estimate | Insufficient:
    """mean_all(f) + Hájek mean(judge − f): a cheap scorer on everything, corrected by a dear one on a sample."""
    f = np.asarray(cheap_all, dtype=np.float64)
    gap = mean(np.asarray(dear, dtype=np.float64) - np.asarray(cheap, dtype=np.float64), pi, level=level)
    if isinstance(gap, Insufficient) or f.size < 2:
        return gap if isinstance(gap, Insufficient) else Insufficient("too few cheap scores", int(f.size))
    z = z_of(level)
    half = sqrt(((gap.high - gap.low) / 2) ** 2 + z * z * float(f.var(ddof=1)) / f.size)
    value = float(f.mean()) + gap.value
    return Estimate(value, value - half, value + half, gap.n, gap.n_eff, level)
