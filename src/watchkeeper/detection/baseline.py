"""Frozen baselines: fitted once from points, stored as plain data, never updated in place.

A deploy or an accepted "new normal" fits a new one. Points of an incident must be left out by the caller.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.family import GRID, N_COMPONENTS, Cuts, Ticks
from watchkeeper.detection.fit import N_SEASON, Z_MAX, Panel, fit_panel
from watchkeeper.detection.recursion import STREAMS, likelihoods, z_scores
from watchkeeper.model.series import Axis, Insufficient, Point, SeriesKey, merge
from watchkeeper.model.times import DAY
from watchkeeper.stats.sequential import R_MAX

Floats = NDArray[np.float64]
# Ticks of a dry run taken together: |ℓ| is at most 32 a tick, and e to the power of their sum must be a number.
BLOCK = 16


class Config(msgspec.Struct, frozen=True):
    """Settings of the panel detector.

    `threshold` is A: at most one false alarm per A ticks (see `fleet.threshold`). `min_effect`: differences below
    this many standard deviations of one score are not of interest. A baseline needs `min_days` days with at least
    `min_ticks` ticks; ticks with less than `min_n_eff` effective scores are merged with the next ones. A fit whose
    dry run on its own second half reaches `unstable_at` is unstable (None: the threshold).
    """

    threshold: float = 1e4
    min_effect: float = 0.02
    min_days: float = 7.0
    min_ticks: int = 48
    min_n_eff: float = 5.0
    unstable_at: float | None = None


class Baseline(msgspec.Struct, frozen=True):
    """The frozen normal of one series; the arrays of `fit.Panel` as plain lists (row-major), so that it is JSON."""

    key: SeriesKey
    axis: Axis
    from_ns: int
    to_ns: int
    n: int
    n_eff: float
    ticks: int
    unstable: bool
    inherited_from: SeriesKey | None
    coef: list[float]
    mask: list[bool]
    cuts: list[int]
    v: list[float]
    tau2: list[float]
    d: list[float]
    band: list[float]
    se: list[float]
    kappa: list[float]
    first: list[float]
    step: list[float]
    table: list[float]
    hist_w: list[float]
    hist_w2: list[float]
    limit: float = Z_MAX


def fit(
    points: Sequence[Point],
    ticks: Sequence[int],
    config: Config = Config(),
    *,
    parent: Baseline | None = None,
    cuts: Cuts | None = None,
) -> Baseline | Insufficient:
    """The baseline of one series from its points in the baseline period.

    `ticks` are the start times (ns) of every tick of that period, so that missing ones are known; points outside it
    are ignored. `parent` is the baseline of the series of all traffic: a cohort that had no data in the period (its
    value is new) inherits it, marked by `inherited_from`. `cuts` are tail cuts pooled over the metric's cohorts.
    Raises ValueError for points of different series.
    """
    wanted = set(ticks)
    mine = sorted((p for p in points if p.start_ns in wanted and p.n > 0), key=lambda p: p.start_ns)
    if any(p.key != mine[0].key for p in mine):
        raise ValueError("a baseline is fitted on the points of one series; merge cohorts first")
    if not mine and parent is not None:
        return inherit(parent, points[0].key if points else parent.key)
    n, n_eff = sum(p.n for p in mine), sum(p.n_eff for p in mine)
    grouped = group(mine, config.min_n_eff)
    days = (max(ticks) - min(ticks)) / DAY + 1 / 24 if ticks else 0.0
    covered = (grouped[-1].end_ns - grouped[0].start_ns) / DAY if grouped else 0.0
    if min(days, covered + 1.0) < config.min_days or covered < config.min_days / 2:
        return Insufficient(
            f"a baseline needs {config.min_days:g} days; there are {min(days, covered):.1f}", n, n_eff
        )
    if len(grouped) < config.min_ticks:
        return Insufficient(
            f"a baseline needs {config.min_ticks} ticks with {config.min_n_eff:g} effective scores;"
            f" there are {len(grouped)}",
            n,
            n_eff,
        )
    return _fit(grouped, config, n, n_eff, cuts)


def _fit(
    grouped: list[Point], config: Config, n: int, n_eff: float, cuts: Cuts | None
) -> Baseline | Insufficient:
    axis = grouped[0].axis
    # Per tick, so that the dry run can take its half.
    hists = np.array([p.hist_w for p in grouped]), np.array([p.hist_w2 for p in grouped])
    data, times = reduce_points(grouped, hists[0]), middles(grouped)
    hist, hist2 = (h.sum(axis=0) for h in hists)
    if np.count_nonzero(hist) < 2:
        return Insufficient(
            "every score of the baseline is the same; watch its rate or a limit instead", n, n_eff
        )
    panel = _panel(data, times, axis, (hist, hist2), config, cuts)
    half = len(grouped) // 2
    first = Ticks(*(a[:, :half] for a in (data.n_eff, data.a1, data.a2, data.share)))
    rest = Ticks(*(a[:, half:] for a in (data.n_eff, data.a1, data.a2, data.share)))
    early = hists[0][:half].sum(axis=0), hists[1][:half].sum(axis=0)
    trial = _panel(first, times[:half], axis, early, config, cuts)
    alarm = dry_run(trial, rest, times[half:])[0] >= (config.unstable_at or config.threshold)
    lists = {
        name: getattr(panel, name)[0].ravel().tolist()
        for name in ("coef", "mask", "v", "tau2", "d", "band", "se", "kappa", "first", "step", "table")
    }
    return Baseline(
        key=grouped[0].key,
        axis=axis,
        from_ns=grouped[0].start_ns,
        to_ns=grouped[-1].end_ns,
        n=n,
        n_eff=n_eff,
        ticks=len(grouped),
        unstable=bool(alarm),
        inherited_from=None,
        cuts=panel.cuts_at[0].tolist(),
        hist_w=hist.tolist(),
        hist_w2=hist2.tolist(),
        limit=float(panel.limit[0]),
        **lists,
    )


def _panel(
    data: Ticks,
    times: NDArray[np.int64],
    axis: Axis,
    pooled: tuple[Floats, Floats],
    config: Config,
    cuts: Cuts | None,
) -> Panel:
    return fit_panel(
        data,
        times,
        np.asarray(axis.centres)[None],
        pooled[0][None],
        pooled[1][None],
        min_effect=config.min_effect,
        cuts=cuts,
    )


def inherit(parent: Baseline, key: SeriesKey) -> Baseline:
    """The parent's baseline for a cohort that did not exist in the baseline period."""
    return msgspec.structs.replace(parent, key=key, inherited_from=parent.key)


def group(points: Sequence[Point], min_n_eff: float) -> list[Point]:
    """Neighbouring points (sorted by time) merged until each has `min_n_eff`; a small rest at the end is left out."""
    out: list[Point] = []
    held: list[Point] = []
    size = 0.0
    for p in points:
        held.append(p)
        size += p.n_eff
        if size >= min_n_eff:
            out.append(merge(held))
            held, size = [], 0.0
    return out


def middles(points: Sequence[Point]) -> NDArray[np.int64]:
    """The time in the middle of each point, which decides its season."""
    return np.array([(p.start_ns + p.end_ns) // 2 for p in points], dtype=np.int64)


def reduce_points(points: Sequence[Point], hist: Floats | None = None) -> Ticks:
    """Points of one series as (1, T) arrays on the detection scale; `hist` (T, B) are their histograms when at hand."""
    hist = np.array([p.hist_w for p in points], dtype=np.float64) if hist is None else hist
    sw = np.array([p.sw for p in points])
    safe = np.where(sw > 0, sw, 1.0)
    share = hist / safe[:, None]
    if points[0].axis.log:
        # Sums are of raw values; on the log scale the histogram is the record, for baseline and tick alike.
        centres = np.asarray(points[0].axis.centres)
        a1, a2 = share @ centres, share @ centres**2
    else:
        a1 = np.array([p.swx for p in points]) / safe
        a2 = np.array([p.swx2 for p in points]) / safe
    n_eff = np.array([p.n_eff for p in points])
    return Ticks(n_eff[None], a1[None], a2[None], share[None])


def stack(baselines: Sequence[Baseline]) -> Panel:
    """Baselines with the same axis size as one panel, for a vectorised tick."""

    def rows(name: str, *shape: int) -> Floats:
        return np.array([getattr(b, name) for b in baselines], dtype=np.float64).reshape(-1, *shape)

    c = N_COMPONENTS
    return Panel(
        coef=rows("coef", c, N_SEASON),
        mask=rows("mask", c).astype(bool),
        cuts_at=rows("cuts", 4).astype(np.int64),
        v=rows("v", c),
        tau2=rows("tau2", c),
        d=rows("d", c),
        band=rows("band", c),
        se=rows("se", c),
        kappa=rows("kappa", c),
        first=rows("first", 2),
        step=rows("step", 2),
        table=rows("table", 2, GRID),
        limit=np.array([b.limit for b in baselines]),
        count=np.array([b.n for b in baselines], dtype=np.float64),
        n_eff=np.array([b.n_eff for b in baselines]),
    )


def dry_run(panel: Panel, ticks: Ticks, times_ns: NDArray[np.int64]) -> Floats:
    """The highest M (S,) that each series reaches on these ticks."""
    ell = likelihoods(z_scores(panel, ticks, times_ns))
    ell = np.where((ticks.n_eff > 0)[..., None, None], ell, 0.0)
    used = (np.maximum(panel.mask.sum(axis=1), 1) * STREAMS)[:, None]
    r, top = np.zeros_like(ell[:, 0]), np.zeros(ell.shape[0])
    for first in range(0, ell.shape[1], BLOCK):
        # R_t = e^{L_t}·(R_0 + Σ_s e^{−L_{s−1}}): the recursion of a block unrolled, L the sum of ℓ from its beginning.
        # A tick that was not seen has ℓ = 0 and begins no stream.
        part = ell[:, first : first + BLOCK]
        total = np.cumsum(part, axis=1)
        began = np.where(
            (ticks.n_eff[:, first : first + BLOCK] > 0)[..., None, None], np.exp(part - total), 0.0
        )
        rows = np.minimum(np.exp(total) * (r[:, None] + np.cumsum(began, axis=1)), R_MAX)
        r = rows[:, -1]
        m = (rows * panel.mask[:, None, :, None]).sum(axis=(2, 3)) / used
        top = np.maximum(top, m.max(axis=1))
    return top
