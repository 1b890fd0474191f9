"""What is watched of each distribution, and how far a tick lies from its baseline.

Arrays lead with the series axis; `...` may be a tick axis. Components, in this order: mean, spread, x ≤ q₁, x ≤ q₅,
x > q₉₅, x > q₉₉ of the baseline. A component whose tail is made meaningless by ties is skipped (mask False).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

COMPONENTS = ("mean", "spread", "low01", "low05", "high95", "high99")
N_COMPONENTS = len(COMPONENTS)
_TAILS = (0.01, 0.05, 0.05, 0.01)
GRID = 65


@cache
def _gauss_jacobi() -> tuple[Floats, Floats]:
    """Nodes and weights for ∫₀¹ f(t)(1 − t) dt, six points."""
    # When first asked, as in `stats.distributions`.
    from scipy.special import roots_jacobi

    x, w = roots_jacobi(6, 1.0, 0.0)
    return (np.asarray(x) + 1) / 2, np.asarray(w) / 4


@dataclass(frozen=True)
class Ticks:
    """Sufficient statistics of ticks on the detection scale.

    `n_eff` (S, ...) effective sizes, 0 where the tick is missing; `a1`, `a2` the weighted means of x and x²;
    `share` (S, ..., B) the weighted histogram as shares that sum to 1.
    """

    n_eff: Floats
    a1: Floats
    a2: Floats
    share: Floats


@dataclass(frozen=True)
class Cuts:
    """Bin indices of the four tail cuts (S, 4): low tails are bins < cut, high tails bins >= cut; mask (S, 4)."""

    at: NDArray[np.int64]
    mask: Bools


def choose_cuts(pooled: Floats) -> Cuts:
    """Tail cuts at bin edges of the pooled histogram (S, B): the edge nearest the wanted share in log-odds.

    Skipped when the nearest edge holds less than 0.3 or more than 2.5 times the wanted share, or repeats a cut.
    """
    s, b = pooled.shape
    below = np.concatenate([np.zeros((s, 1)), np.cumsum(pooled, axis=1)], axis=1)
    at = np.zeros((s, 4), dtype=np.int64)
    mask = np.zeros((s, 4), dtype=bool)
    for i, tail in enumerate(_TAILS):
        share = below if i < 2 else 1.0 - below
        share = np.clip(share, 1e-12, 1 - 1e-12)
        distance = np.abs(np.log(share / (1 - share)) - np.log(tail / (1 - tail)))
        at[:, i] = np.argmin(distance, axis=1)
        found = np.take_along_axis(share, at[:, i : i + 1], axis=1)[:, 0]
        mask[:, i] = (found >= 0.3 * tail) & (found <= 2.5 * tail) & (at[:, i] > 0) & (at[:, i] < b)
    mask[:, 0] &= ~(mask[:, 1] & (at[:, 0] == at[:, 1]))
    mask[:, 3] &= ~(mask[:, 2] & (at[:, 3] == at[:, 2]))
    return Cuts(at, mask)


def tails(share: Floats, cuts: Cuts) -> Floats:
    """Shares beyond the four cuts: (S, ..., 4) from histograms (S, ..., B)."""
    zero = np.zeros((*share.shape[:-1], 1))
    below = np.concatenate([zero, np.cumsum(share, axis=-1)], axis=-1)
    index = cuts.at.reshape(cuts.at.shape[0], *([1] * (share.ndim - 2)), 4)
    found = np.take_along_axis(below, np.broadcast_to(index, (*share.shape[:-1], 4)), axis=-1)
    found[..., 2:] = 1.0 - found[..., 2:]
    return np.clip(found, 0.0, 1.0)


def components(ticks: Ticks, mu: Floats, cuts: Cuts) -> Floats:
    """The observed components (S, ..., C) given the expected mean `mu` (S, ...) of each tick."""
    spread = ticks.a2 - 2 * mu * ticks.a1 + mu * mu
    return np.concatenate(
        [ticks.a1[..., None], np.maximum(spread, 0.0)[..., None], tails(ticks.share, cuts)], axis=-1
    )


def representatives(centres: Floats, pooled: Floats, mean: Floats, variance: Floats) -> Floats:
    """Bin representatives (S, B) moved and scaled so that the histogram has exactly this mean and variance (S,)."""
    at = (pooled * centres).sum(axis=1)
    var = (pooled * centres**2).sum(axis=1) - at**2
    scale = np.sqrt(np.where(var > 0, variance / np.where(var > 0, var, 1.0), 1.0))
    return mean[:, None] + (centres - at[:, None]) * scale[:, None]


def variance_table(values: Floats, pooled: Floats) -> tuple[Floats, Floats, Floats]:
    """v(u): the variance of the histogram exponentially tilted to mean u, on a uniform grid.

    `values`, `pooled` (S, B). Returns (first u, step, table (S, GRID)). This is the variance function of the natural
    exponential family through the baseline, so deviances are right for skewed, bounded and discrete scores.
    """
    s, _ = values.shape
    mean = (pooled * values).sum(axis=1)
    centred = values - mean[:, None]
    sd = np.sqrt((pooled * centred**2).sum(axis=1))
    safe = np.where(sd > 0, sd, 1.0)
    thetas = np.sinh(np.linspace(-3.0, 3.0, 61))
    exponent = thetas[None, :, None] * (centred / safe[:, None])[:, None, :]
    with np.errstate(divide="ignore"):
        logp = np.log(pooled)
    exponent = exponent + logp[:, None, :]
    p = np.exp(exponent - exponent.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    u = np.einsum("stb,sb->st", p, centred)
    v = np.maximum(np.einsum("stb,sb->st", p, centred**2) - u**2, 0.0)
    first, last = u[:, 0], u[:, -1]
    step = np.where(last > first, (last - first) / (GRID - 1), 1.0)
    table = np.empty((s, GRID))
    for i in range(s):
        table[i] = np.interp(first[i] + step[i] * np.arange(GRID), u[i], v[i])
    # Beyond the support the tilted variance is zero; the floor keeps deviances finite there.
    table = np.maximum(table, 0.02 * np.where(sd > 0, sd**2, 1e-12)[:, None])
    return first + mean, step, table


def look_up(first: Floats, step: Floats, table: Floats, u: Floats) -> Floats:
    """v(u) by linear interpolation: `first`, `step` (S,), `table` (S, GRID), `u` (S, ...)."""
    shape = (-1, *([1] * (u.ndim - 1)))
    place = np.clip((u - first.reshape(shape)) / step.reshape(shape), 0.0, GRID - 1.000001)
    index = place.astype(np.int64)
    flat = table.ravel()
    index_flat = index + (np.arange(table.shape[0]) * GRID).reshape(shape)
    below = flat[index_flat]
    return below + (flat[index_flat + 1] - below) * (place - index)


def root_deviance_table(
    g: Floats, m: Floats, n: Floats, first: Floats, step: Floats, table: Floats
) -> Floats:
    """sign(g − m)·√(2n·KL), KL = ∫_m^g (g − u)/v(u) du by six-point Gauss–Jacobi; all (S, ...)."""
    gap = g - m
    nodes, weights = _gauss_jacobi()
    u = m[..., None] + gap[..., None] * nodes
    return gap * np.sqrt(2.0 * n * (weights / look_up(first, step, table, u)).sum(axis=-1))


def root_deviance_share(g: Floats, m: Floats, n: Floats) -> Floats:
    """The signed root of the binomial deviance of shares g against m."""
    m = np.clip(m, 1e-9, 1 - 1e-9)
    h = 1.0 - g
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = np.where(g > 0, g * np.log(g / m), 0.0) + np.where(h > 0, h * np.log(h / (1 - m)), 0.0)
    return np.sign(g - m) * np.sqrt(2.0 * n * np.maximum(kl, 0.0))


def root_deviances(g: Floats, m: Floats, n: Floats, first: Floats, step: Floats, table: Floats) -> Floats:
    """Signed root deviances (S, T, C) of observed components g against m at sizes n: `first`, `step` (S, 2) and `table`
    (S, 2, GRID) are the variance functions of mean and spread."""
    z = np.empty_like(g)
    for c in (0, 1):
        z[..., c] = root_deviance_table(g[..., c], m[..., c], n[..., c], first[:, c], step[:, c], table[:, c])
    z[..., 2:] = root_deviance_share(g[..., 2:], m[..., 2:], n[..., 2:])
    return z
