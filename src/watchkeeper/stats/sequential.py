"""Sequential evidence: Shiryaev–Roberts recursions, confidence sequences, e-values.

An e-value's expectation is at most 1 when nothing changed. R_t = (1 + R_{t−1})·L_t with E[L_t] ≤ 1 gives E[R_t] ≤ t, so
"alarm when R ≥ A" raises a false alarm at most once in A ticks on average (e-detectors: Shin, Ramdas, Rinaldo 2022).
"""

from math import log, log10, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.distributions import normal_cdf

Floats = NDArray[np.float64]
# Evidence beyond this is certainty; the cap keeps every later sum and product finite.
R_MAX = 1e100


def sr_step(r: Floats, log_likelihood: Floats) -> Floats:
    """One Shiryaev–Roberts step R ← (1 + R)·exp(ℓ), capped at `R_MAX`; any shape."""
    return np.minimum((1.0 + r) * np.exp(log_likelihood), R_MAX)


def cusum_step(w: Floats, log_likelihood: Floats) -> Floats:
    """Page's CUSUM W ← max(0, W + ℓ); its last zero dates the change."""
    return np.maximum(0.0, w + log_likelihood)


def e_bh(e_values: ArrayLike, alpha: float, total: int | None = None) -> NDArray[np.intp]:
    """Indices rejected by e-BH (Wang and Ramdas 2022): the k largest with k·e₍ₖ₎ ≥ S/α; any dependence.

    `total` is S when `e_values` holds only some of the hypotheses. Raises ValueError for alpha outside (0, 1].
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha is in (0, 1], not {alpha}")
    e = np.asarray(e_values, dtype=np.float64)
    if e.size == 0:
        return np.empty(0, dtype=np.intp)
    order = np.argsort(-e, kind="stable")
    passing = np.flatnonzero(np.arange(1, e.size + 1) * e[order] >= (total or e.size) / alpha)
    return np.sort(order[: int(passing[-1]) + 1]) if passing.size else np.empty(0, dtype=np.intp)


def p_to_e(p: ArrayLike) -> Floats:
    """A calibrated e-value ½·p^(−½) from a p-value (Vovk and Wang 2021)."""
    return 0.5 / np.sqrt(np.maximum(np.asarray(p, dtype=np.float64), 1e-300))


def mixture_half_width(n: float, sd: float, alpha: float, planned: float) -> float:
    """Half-width of the asymptotic confidence sequence at n (Waudby-Smith et al. 2021, arXiv 2103.06476).

    σ√(2(nρ² + 1)/(n²ρ²)·ln(√(nρ² + 1)/α)), ρ² = (−2 ln α + ln(1 − 2 ln α))/n*; tightest near n* = `planned`.
    For a one-sided bound at α pass 2α.
    """
    if n <= 0:
        return float("inf")
    rho2 = (-2 * log(alpha) + log(1 - 2 * log(alpha))) / max(planned, 1.0)
    return sd * sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * log(sqrt(n * rho2 + 1) / alpha))


def confidence_sequence(
    x: ArrayLike, *, alpha: float = 0.05, planned: float | None = None, first: int = 50
) -> Estimate | Insufficient:
    """The mean with an interval that may be looked at after every observation (AsympCS, see above).

    `planned` defaults to a quarter of the data. Asymptotic: nothing is claimed before `first` observations.
    """
    v = np.asarray(x, dtype=np.float64)
    if v.size < max(first, 2):
        return Insufficient(
            f"a confidence sequence starts at {first} observations", int(v.size), float(v.size)
        )
    half = mixture_half_width(v.size, float(v.std(ddof=1)), alpha, planned or v.size / 4)
    mu = float(v.mean())
    return Estimate(mu, mu - half, mu + half, int(v.size), float(v.size), 1 - alpha)


def betting_bounds(x: ArrayLike, *, alpha: float = 0.05, grid: int = 200) -> tuple[float, float]:
    """Time-uniform bounds of a mean in [0, 1] by hedged betting (Waudby-Smith and Ramdas 2020, arXiv 2010.09686).

    Exact at any n, also for rare events; O(n·grid). Returns (0, 1) for no data.
    """
    v = np.asarray(x, dtype=np.float64)
    if v.size == 0:
        return 0.0, 1.0
    if v.min() < 0 or v.max() > 1:
        raise ValueError("betting bounds need values in [0, 1]; rescale the score first")
    t = np.arange(1, v.size + 1)
    means = (0.5 + np.cumsum(v)) / (t + 1)
    variances = (0.25 + np.cumsum((v - means) ** 2)) / (t + 1)
    lagged = np.concatenate([[0.25], variances[:-1]])
    bet = np.minimum(np.sqrt(2 * log(2 / alpha) / (lagged * t * np.log(t + 1))), 1e6)
    m = (np.arange(grid) + 0.5) / grid
    up = np.cumsum(np.log1p(np.minimum(bet[:, None], 0.5 / m) * (v[:, None] - m)), axis=0)
    down = np.cumsum(np.log1p(-np.minimum(bet[:, None], 0.5 / (1 - m)) * (v[:, None] - m)), axis=0)
    alive = np.logaddexp(np.max(up, axis=0), np.max(down, axis=0)) - log(2) < log(1 / alpha)
    if not alive.any():
        return float(v.mean()), float(v.mean())
    kept = m[alive]
    return max(0.0, float(kept[0]) - 0.5 / grid), min(1.0, float(kept[-1]) + 0.5 / grid)


def always_valid_p(log_e: ArrayLike) -> Floats:
    """The running always-valid p-value min(1, 1/sup e) of a path of log e-values."""
    return np.minimum(1.0, np.exp(-np.maximum.accumulate(np.asarray(log_e, dtype=np.float64))))


def obrien_fleming(looks: int, alpha: float = 0.05) -> Floats:
    """Two-sided O'Brien–Fleming z boundaries C·√(K/k) for K equally spaced looks, found on the exact recursion

    (Armitage, McPherson and Rowe 1969) so that crossing at any look has probability `alpha`.
    """
    low, high = 1.0, 6.0
    for _ in range(22):
        c = (low + high) / 2
        low, high = (c, high) if _crossing(c, looks) > alpha else (low, c)
    return high * np.sqrt(looks / np.arange(1, looks + 1))


def _crossing(c: float, looks: int, points: int = 301) -> float:
    # Brownian motion at times 1..K against the constant boundary c·√K, by numerical integration.
    bound = c * sqrt(looks)
    step = 2 * bound / points
    grid = -bound + step * (np.arange(points) + 0.5)
    density = np.exp(-0.5 * grid**2) / sqrt(2 * np.pi)
    kernel = np.exp(-0.5 * (grid[:, None] - grid[None, :]) ** 2) / sqrt(2 * np.pi) * step
    crossed = 2 * float(normal_cdf(-bound))
    for _ in range(1, looks):
        out = normal_cdf(grid - bound) + normal_cdf(-bound - grid)
        crossed += float(np.sum(density * out) * step)
        density = kernel @ density
    return crossed


def log10_evidence(m: float) -> float:
    """log₁₀ of evidence that is not negative; −300 for none, which JSON can say."""
    return log10(m) if m > 0 else -300.0
