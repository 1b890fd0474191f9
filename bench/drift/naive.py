"""The rules that the field ships, over the same data: one statistic per tick and series, alarm when it exceeds a cut."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.special import kolmogorov

from bench.drift.scenarios import Data
from watchkeeper.stats.tests2 import equal_mass_bins

Floats = NDArray[np.float64]

# name -> the cut as shipped. "2 sd hourly" compares with the trailing 7 days; the others with the baseline period.
SHIPPED = {
    "2 sd hourly": 2.0,
    "2 sd, 3 ticks": 2.0,
    "z on mean": 3.0,
    "KS p < .05": -np.log(0.05),
    "PSI > 0.2": 0.2,
    "JS > 0.1": 0.1,
    "W1/sd > 0.1": 0.1,
    "Evidently": 1.0,
}


def values_of(data: Data) -> Floats:
    centres = np.asarray(data.axis.centres)
    if data.axis.log:
        return np.exp(centres)
    return np.array([0.0, 1.0, 1.0]) if data.axis.bins == 1 else centres


def statistics(data: Data) -> dict[str, Floats]:
    """Each rule's statistic (S, ticks after the baseline); 0 where the tick is missing."""
    hist, n, weight = data.hist, np.maximum(data.n, 1.0), np.maximum(data.hist.sum(axis=-1), 1.0)
    x = values_of(data)
    means = np.where(data.n > 0, hist @ x / weight, np.nan)
    base = hist[:, : data.base].sum(axis=1)
    m = n[:, : data.base].sum(axis=1)
    p = base / base.sum(axis=1, keepdims=True)
    mu = p @ x
    sd = np.sqrt(np.maximum(p @ x**2 - mu**2, 1e-12))
    after, size = hist[:, data.base :], n[:, data.base :]
    q = after / weight[:, data.base :, None]
    windows = sliding_window_view(means, 168, axis=1)[:, data.base - 168 : -1]
    two = np.abs(means[:, data.base :] - np.nanmean(windows, -1)) / np.maximum(np.nanstd(windows, -1), 1e-12)
    two = np.nan_to_num(two)
    three = np.minimum(two, np.minimum(np.roll(two, 1, 1), np.roll(two, 2, 1)))
    three[:, :2] = 0
    gap = np.cumsum(q, -1) - np.cumsum(p, -1)[:, None]
    ks = np.abs(gap).max(-1) * np.sqrt(size * m[:, None] / (size + m[:, None]))
    mid = (q + p[:, None]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        js = (
            np.where(q > 0, q * np.log2(q / mid), 0)
            + np.where(p[:, None] > 0, p[:, None] * np.log2(p[:, None] / mid), 0)
        ).sum(-1) / 2
    w1 = (np.abs(gap)[..., :-1] * np.diff(x)).sum(-1) / sd[:, None]
    out = {
        "2 sd hourly": two,
        "2 sd, 3 ticks": three,
        "z on mean": np.abs(means[:, data.base :] - mu[:, None]) / sd[:, None] * np.sqrt(size),
        "KS p < .05": -np.log(np.maximum(kolmogorov(ks), 1e-300)),
        "PSI > 0.2": _psi(p, q),
        "JS > 0.1": np.sqrt(np.maximum(js, 0.0)),
        "W1/sd > 0.1": w1,
        "Evidently": _evidently(p, q, js, w1, x),
    }
    return {k: np.where(data.n[:, data.base :] > 0, v, 0.0) for k, v in out.items()}


def _evidently(p: Floats, q: Floats, js: Floats, w1: Floats, x: Floats) -> Floats:
    """Evidently 0.7's default for a reference of more than 1000 rows, re-implemented: the Wasserstein distance over the
    reference's sd for numbers, the Jensen-Shannon distance (natural logarithm) for columns of at most five values; both
    drift at 0.1. The statistic is the distance over that cut."""
    values = np.unique(x[(p > 0).any(axis=0)])
    return (np.sqrt(np.maximum(js, 0.0) * np.log(2)) if values.size <= 5 else w1) / 0.1


def _psi(p: Floats, q: Floats) -> Floats:
    # The customary recipe: ten equal-mass bins of the reference, empty shares replaced by 1e-4.
    groups = equal_mass_bins(p.mean(axis=0), 10)
    a = np.maximum(np.stack([p[:, g].sum(-1) for g in groups], -1), 1e-4)[:, None]
    b = np.maximum(np.stack([q[..., g].sum(-1) for g in groups], -1), 1e-4)
    return ((b - a) * np.log(b / a)).sum(-1)


def river_rates(data: Data, series: int, seed: int) -> dict[str, float] | None:
    """False alarms per 1000 ticks of river's ADWIN and Page–Hinkley with their defaults, fed single scores; None when

    river is not installed.
    """
    try:
        from river import drift
    except ImportError:
        return None
    rng = np.random.default_rng(seed)
    # Standardised: the defaults of Page-Hinkley are in units of the data.
    x = np.asarray(data.axis.centres)
    p = data.hist[:, : data.base].sum(axis=(0, 1)) / data.hist[:, : data.base].sum()
    x = (x - p @ x) / np.sqrt(p @ x**2 - (p @ x) ** 2)
    found = {"river ADWIN": 0, "river Page-Hinkley": 0}
    ticks = 0
    for s in range(min(series, data.hist.shape[0])):
        detectors = {"river ADWIN": drift.ADWIN(), "river Page-Hinkley": drift.PageHinkley()}
        for t in range(data.hist.shape[1]):
            scores = np.repeat(x, data.hist[s, t].astype(int))
            rng.shuffle(scores)
            hit = dict.fromkeys(detectors, False)
            for v in scores:
                for name, d in detectors.items():
                    d.update(v)
                    hit[name] |= d.drift_detected
            if t >= data.base:
                ticks += 1
                for name in found:
                    found[name] += hit[name]
    return {k: float(1000 * v / ticks) for k, v in found.items()}
