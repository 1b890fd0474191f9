"""Runs our detectors over simulated panels: alarms, delays and episodes, vectorised over series."""

import numpy as np
from numpy.typing import NDArray

from bench.drift.scenarios import Data, World, of, simulate
from watchkeeper.detection import rates
from watchkeeper.detection.fit import Panel, Steps, fit_panel
from watchkeeper.detection.recursion import Streams, advance, combined, z_scores

Floats = NDArray[np.float64]


def fit(data: Data, steps: Steps = Steps()) -> Panel:
    ticks = of(data.ticks(), slice(0, data.base))
    pooled = data.hist[:, : data.base].sum(axis=1)
    centres = np.broadcast_to(np.asarray(data.axis.centres), pooled.shape)
    pooled2 = data.hist2[:, : data.base].sum(axis=1)
    return fit_panel(ticks, data.times[: data.base], centres, pooled, pooled2, steps=steps)


def evidence(
    world: World, data: Data, threshold: float, steps: Steps = Steps(), as_panel: bool = False
) -> NDArray[np.bool_]:
    """(S, T) alarms after the baseline; the evidence of a series starts again after each alarm."""
    after = of(data.ticks(), slice(data.base, None))
    if world.kind == "failures" and not as_panel:
        return _rates(data, threshold)
    panel = fit(data, steps)
    z = z_scores(panel, after, data.times[data.base :])
    s, t = z.shape[:2]
    streams = Streams.fresh(s)
    alarms = np.zeros((s, t), dtype=bool)
    for i in range(t):
        advance(streams, z[:, i], panel.mask, after.n_eff[:, i] > 0)
        hit = combined(streams.r, panel.mask) >= threshold
        alarms[:, i] = hit
        for a in (streams.r, streams.w, streams.run):
            a[hit] = 0
    return alarms


def _rates(data: Data, threshold: float) -> NDArray[np.bool_]:
    k, n = data.hist[:, :, 1], data.n
    mostly = k[:, : data.base].sum(axis=1) > 0.5 * n[:, : data.base].sum(axis=1)
    k = np.where(mostly[:, None], n - k, k)
    base = rates.fit_rates(k[:, : data.base], n[:, : data.base], data.times[: data.base])
    s, t = k.shape[0], k.shape[1] - data.base
    r = np.zeros((s, rates.RATIOS.size))
    alarms = np.zeros((s, t), dtype=bool)
    for i in range(t):
        r = rates.step_rates(
            base, r, k[:, data.base + i], n[:, data.base + i], int(data.times[data.base + i])
        )
        hit = r.mean(axis=1) >= threshold
        alarms[:, i] = hit
        r[hit] = 0
    return alarms


def null_rate(
    world: World,
    series: int,
    seed: int,
    threshold: float = 1e4,
    steps: Steps = Steps(),
    as_panel: bool = False,
) -> float:
    """False alarms per 1000 window-series over the quiet and the watched period."""
    alarms, windows = 0, 0
    for block in range(-(-series // 500)):
        data = simulate(world, min(500, series - block * 500), seed * 1000 + block)
        found = evidence(world, data, threshold, steps, as_panel)
        alarms += int(found.sum())
        windows += found.size
    return 1000 * alarms / windows


def delays(
    world: World, series: int, seed: int, threshold: float = 1e4, as_panel: bool = False
) -> tuple[float, float]:
    """(median delay in ticks, the first changed tick being 1; share missed)."""
    data = simulate(world, series, seed)
    found = evidence(world, data, threshold, as_panel=as_panel)[:, world.quiet :]
    missed = ~found.any(axis=1)
    return float(np.median(np.where(missed, np.inf, found.argmax(axis=1) + 1))), float(missed.mean())
