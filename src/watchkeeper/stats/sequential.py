"""Sequential evidence: Shiryaev–Roberts and CUSUM recursions, e-values.

An e-value's expectation is at most 1 when nothing changed. R_t = (1 + R_{t−1})·L_t with E[L_t] ≤ 1 gives E[R_t] ≤ t, so
"alarm when R ≥ A" raises a false alarm at most once in A ticks on average (e-detectors: Shin, Ramdas, Rinaldo 2022).
"""

from math import log10

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
# Evidence beyond this is certainty; the cap keeps every later sum and product finite.
R_MAX = 1e100


def sr_step(r: Floats, log_likelihood: Floats) -> Floats:
    """One Shiryaev–Roberts step R ← (1 + R)·exp(ℓ), capped at `R_MAX`; any shape."""
    return np.minimum((1.0 + r) * np.exp(log_likelihood), R_MAX)


def cusum_step(w: Floats, log_likelihood: Floats) -> Floats:
    """Page's CUSUM W ← max(0, W + ℓ); its last zero dates the change."""
    return np.maximum(0.0, w + log_likelihood)


def p_to_e(p: ArrayLike) -> Floats:
    """A calibrated e-value ½·p^(−½) from a p-value (Vovk and Wang 2021)."""
    return 0.5 / np.sqrt(np.maximum(np.asarray(p, dtype=np.float64), 1e-300))


def log10_evidence(m: float) -> float:
    """log₁₀ of evidence that is not negative; −300 for none, which JSON can say."""
    return log10(m) if m > 0 else -300.0
