"""A against B, for the gate and experiments: differences clustered by session, ratios, and Holm's correction.

The unit of randomisation (user or session) is the unit of analysis.
"""

from collections.abc import Mapping
from math import exp, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.distributions import t_quantile

Floats = NDArray[np.float64]


def _grouped(clusters: ArrayLike, *columns: Floats) -> tuple[int, list[Floats]]:
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    groups = int(codes.max()) + 1 if codes.size else 0
    return groups, [np.bincount(codes, weights=c, minlength=groups).astype(np.float64) for c in columns]


def clustered_mean(y: ArrayLike, clusters: ArrayLike, *, level: float = 0.95) -> Estimate | Insufficient:
    """Mean with the cluster-robust variance V̂ = G/(G−1)·Σ_g(Σ_{i∈g}(y − ȳ))²/n² and t on G − 1 degrees of freedom.

    n_eff is the number of independent scores with the same variance. Fewer than two clusters are `Insufficient`.
    """
    v = np.asarray(y, dtype=np.float64)
    groups, (sums,) = _grouped(clusters, v - (v.mean() if v.size else 0.0))
    if groups < 2:
        return Insufficient("an interval needs at least two sessions", int(v.size), float(groups))
    variance = groups / (groups - 1) * float((sums**2).sum()) / v.size**2
    n_eff = float(v.var(ddof=1)) / variance if variance > 0 else float(v.size)
    half = t_quantile(0.5 + level / 2, groups - 1) * sqrt(variance)
    return Estimate(
        float(v.mean()), float(v.mean()) - half, float(v.mean()) + half, int(v.size), n_eff, level
    )


def paired_difference(
    before: ArrayLike, after: ArrayLike, clusters: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate | Insufficient:
    """after − before on the same cases, clustered by session (each case its own cluster when None)."""
    d = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    return clustered_mean(d, np.arange(d.size) if clusters is None else clusters, level=level)


def ratio(
    q: ArrayLike, c: ArrayLike, clusters: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate | Insufficient:
    """Ratio of means R = q̄/c̄ (quality per dollar) by the delta method on e = (q − Rc)/c̄, log-scale interval.

    The mean of per-trace ratios is another, misleading number (2.7 times too high at log-sd 1). `Insufficient` when a
    total is not positive.
    """
    x, y = np.asarray(q, dtype=np.float64), np.asarray(c, dtype=np.float64)
    if x.size < 2 or x.sum() <= 0 or y.sum() <= 0:
        return Insufficient("a ratio needs positive totals above and below", int(x.size))
    r = float(x.sum() / y.sum())
    e = clustered_mean(
        (x - r * y) / float(y.mean()), np.arange(x.size) if clusters is None else clusters, level=level
    )
    if isinstance(e, Insufficient):
        return e
    half = (e.high - e.low) / 2 / r
    return Estimate(r, r * exp(-half), r * exp(half), e.n, e.n_eff, level)


def holm(p_values: Mapping[str, float], alpha: float = 0.05) -> dict[str, bool]:
    """Which hypotheses Holm's step-down procedure rejects (Holm 1979): family-wise error at most `alpha`."""
    out = dict.fromkeys(p_values, False)
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda kv: kv[1])):
        if p > alpha / (len(p_values) - i):
            break
        out[name] = True
    return out
