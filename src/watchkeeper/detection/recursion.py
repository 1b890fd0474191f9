"""The Shiryaev–Roberts recursions over components, directions and sizes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.family import (
    N_COMPONENTS,
    Ticks,
    components,
    root_deviances,
)
from watchkeeper.detection.fit import Panel, expected_positive
from watchkeeper.stats.sequential import cusum_step, sr_step

Floats = NDArray[np.float64]
DELTAS = np.array([0.5, 1.0, 2.0, 4.0])
SIGNS = np.array([1.0, -1.0])
# (sign, delta) flattened to 8 streams per component: ℓ = _SLOPE·z − _DROP.
_SLOPE = (SIGNS[:, None] * DELTAS).ravel()
_DROP = np.tile(DELTAS**2 / 2, 2)
STREAMS = _SLOPE.size


@dataclass
class Streams:
    """The evidence of S series, (S, C, 8) each: `r`, the CUSUM `w`, `run` = ticks since that CUSUM left zero."""

    r: Floats
    w: Floats
    run: NDArray[np.int32]

    @classmethod
    def fresh(cls, series: int) -> "Streams":
        """No evidence yet."""
        shape = (series, N_COMPONENTS, STREAMS)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int32))


def z_scores(panel: Panel, ticks: Ticks, times_ns: NDArray[np.int64]) -> Floats:
    """Calibrated signed root deviances (S, T, C) of (S, T) ticks; 0 where a tick is missing or a component unused."""
    m = expected_positive(panel.coef, times_ns)
    g = components(ticks, m[..., 0], panel.cuts)
    gap = g - m
    shrunk = m + np.sign(gap) * np.maximum(np.abs(gap) - panel.band[:, None, :], 0.0)
    n = ticks.n_eff[..., None] * panel.kappa[:, None, :]
    z = root_deviances(shrunk, m, n, panel.first, panel.step, panel.table)
    noise = panel.v[:, None, :] / np.maximum(n, 1e-300)
    z *= np.sqrt(noise / np.maximum((noise + panel.tau2[:, None, :]) * panel.d[:, None, :], 1e-300))
    limit = panel.limit[:, None, None]
    return np.where((n > 0) & panel.mask[:, None, :], np.clip(z, -limit, limit), 0.0)


def likelihoods(z: Floats) -> Floats:
    """ℓ (..., 8) = ±δz − δ²/2 of calibrated scores z."""
    return z[..., None] * _SLOPE - _DROP


def advance(state: Streams, z: Floats, mask: NDArray[np.bool_], seen: NDArray[np.bool_]) -> None:
    """One tick in place: z, mask (S, C), seen (S,). A tick that was not seen changes nothing."""
    ell = likelihoods(z)
    live = (mask & seen[:, None])[..., None]
    state.r = np.where(live, sr_step(state.r, ell), state.r)
    state.w = np.where(live, cusum_step(state.w, ell), state.w)
    state.run = np.where(live, np.where(state.w > 0, state.run + 1, 0), state.run).astype(np.int32)


def combined(r: Floats, mask: NDArray[np.bool_]) -> Floats:
    """M (S,): the average evidence over the components in use, both directions and all sizes."""
    used = np.maximum(mask.sum(axis=1), 1) * STREAMS
    return (r * mask[..., None]).sum(axis=(1, 2)) / used
