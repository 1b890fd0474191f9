"""How two things go together."""

from math import atanh, sqrt, tanh

import numpy as np
from numpy.typing import ArrayLike

from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.distributions import ranks
from watchkeeper.stats.intervals import z_of


def spearman(x: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> Estimate | Insufficient:
    """Spearman's rank correlation with Fisher's interval, its standard error widened by 1.06 (Fieller, Hartley & Pearson
    1957). Raises ValueError for different lengths; fewer than ten pairs, or one that never varies, are `Insufficient`."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"{a.size} values cannot be paired with {b.size}")
    n = int(a.size)
    if n < 10:
        return Insufficient("a correlation needs at least ten pairs", n, float(n))
    ra, rb = ranks(a), ranks(b)
    sa, sb = float(ra.std()), float(rb.std())
    if sa == 0 or sb == 0:
        return Insufficient("one of the two never varies", n, float(n))
    r = float(((ra - ra.mean()) * (rb - rb.mean())).mean()) / (sa * sb)
    r = min(max(r, -1.0), 1.0)
    if 1 - abs(r) < 1e-12:
        r = round(r)
        return Estimate(r, r, r, n, float(n), level)
    half = z_of(level) * 1.06 / sqrt(n - 3)
    return Estimate(r, tanh(atanh(r) - half), tanh(atanh(r) + half), n, float(n), level)
