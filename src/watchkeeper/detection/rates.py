"""Rare-event rates: guard hits, errors, failures (statistics.md §3, step 8).

R ← (1 + R)·LR with the exact binomial likelihood ratio of a rate r times the baseline's, r ∈ {0.5, 1.5, 2, 3, 5, 10};
M is the average over r. The baseline is the unfavourable end of its 90 % Beta interval, so that a rate known from few
events does not alarm by itself, and the log ratio is divided by D, the dispersion and autocorrelation of its counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log, log10, sqrt

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats as st

from watchkeeper.detection.baseline import Config
from watchkeeper.detection.fit import DAY_NS, long_run
from watchkeeper.detection.protocol import Evidence, Verdict
from watchkeeper.detection.resolve import LOG_REJECT, MAX_GAIN
from watchkeeper.model.series import Estimate, Insufficient, Point, SeriesKey
from watchkeeper.stats.estimates import point_rate
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.sequential import R_MAX

Floats = NDArray[np.float64]
RATIOS = np.array([0.5, 1.5, 2.0, 3.0, 5.0, 10.0])


@dataclass(frozen=True)
class RatePanel:
    """Baselines of S rates: `low`, `high` ends of the 90 % Beta interval, `d` the inflation, `rate` the estimate (S,)."""

    low: Floats
    high: Floats
    d: Floats
    rate: Floats
    n_eff: Floats


def fit_rates(k: Floats, n: Floats) -> RatePanel:
    """Baselines from effective counts: k events of n (S, T), n = 0 where the tick is missing."""
    total, size = k.sum(axis=1), n.sum(axis=1)
    rate = (total + 0.5) / (size + 1.0)
    spread = np.where(n > 0, n * (rate * (1 - rate))[:, None], 1.0)
    # Centred on the observed rate: around the smoothed one, a rate of zero would look perfectly autocorrelated.
    observed = total / np.maximum(size, 1e-300)
    e = np.where(n > 0, (k - n * observed[:, None]) / np.sqrt(spread), 0.0)
    seen = np.maximum((n > 0).sum(axis=1), 2)
    dispersion = (e * e).sum(axis=1) / (seen - 1)
    # χ² noise around 1 is not overdispersion: only what is beyond one standard error counts.
    noise = np.sqrt(2.0 / seen + 1.0 / np.maximum(total, 1.0))
    d = np.maximum(1.0, np.where(dispersion > 1 + noise, dispersion, 1.0)) * long_run(e[..., None])[:, 0]
    a, b = total / d + 0.5, (size - total) / d + 0.5
    return RatePanel(st.beta.ppf(0.05, a, b), st.beta.ppf(0.95, a, b), d, rate, size)


def step_rates(base: RatePanel, r: Floats, k: Floats, n: Floats) -> Floats:
    """One tick of S rates: evidence (S, 6) after k events of n; a series with n = 0 keeps its evidence."""
    p = np.where(RATIOS < 1, base.low[:, None], base.high[:, None])
    q = np.minimum(p * RATIOS, 0.5 * (1 + p))
    k2, n2 = k[:, None], n[:, None]
    ell = (k2 * np.log(q / p) + (n2 - k2) * np.log((1 - q) / (1 - p))) / base.d[:, None]
    after = np.minimum((1.0 + r) * np.exp(np.minimum(ell, 200.0)), R_MAX)
    return np.where(n2 > 0, after, r)


class RateBaseline(msgspec.Struct, frozen=True):
    """The frozen normal of one rate: its estimate, the ends of its 90 % Beta interval, D, and what it was fitted on."""

    key: SeriesKey
    rate: float
    low: float
    high: float
    d: float
    n: int
    n_eff: float
    inherited_from: SeriesKey | None = None


class RateState(msgspec.Struct, frozen=True):
    """State of one rate: evidence `r` and CUSUM `w` per ratio, where each left zero, the incident, the last evidence."""

    tick: int = -1
    r: tuple[float, ...] = (0.0,) * 6
    w: tuple[float, ...] = (0.0,) * 6
    since: tuple[int, ...] = (0,) * 6
    ratio: float | None = None
    log_e: float = 0.0
    last: Evidence | None = None


def counts(point: Point) -> tuple[float, float]:
    """(events, scores) as effective counts: the weighted rate times Kish's size. Values above 1 count as 1."""
    n = point.n_eff
    return (min(max(point.swx / point.sw, 0.0), 1.0) * n, n) if point.sw > 0 else (0.0, 0.0)


def fit_rate(
    points: Sequence[Point],
    ticks: Sequence[int],
    config: Config = Config(),
    *,
    parent: RateBaseline | None = None,
) -> RateBaseline | Insufficient:
    """The baseline of one 0/1 metric; the arguments are those of `baseline.fit`. A rate of zero is a fine baseline."""
    wanted = set(ticks)
    mine = sorted((p for p in points if p.start_ns in wanted and p.n > 0), key=lambda p: p.start_ns)
    if not mine and parent is not None:
        key = points[0].key if points else parent.key
        return msgspec.structs.replace(parent, key=key, inherited_from=parent.key)
    n, n_eff = sum(p.n for p in mine), sum(p.n_eff for p in mine)
    days = (mine[-1].end_ns - mine[0].start_ns) / DAY_NS if mine else 0.0
    if days + 1 < config.min_days or len(mine) < config.min_ticks:
        return Insufficient(
            f"a baseline needs {config.min_days:g} days and {config.min_ticks} ticks;"
            f" there are {days:.1f} and {len(mine)}",
            n,
            n_eff,
        )
    pairs = np.array([counts(p) for p in mine])
    base = fit_rates(pairs[None, :, 0], pairs[None, :, 1])
    return RateBaseline(
        mine[0].key,
        float(pairs[:, 0].sum() / pairs[:, 1].sum()),
        float(base.low[0]),
        float(base.high[0]),
        float(base.d[0]),
        n,
        n_eff,
    )


def update_rate(
    baseline: RateBaseline, state: RateState, point: Point, config: Config = Config()
) -> tuple[RateState, Evidence]:
    """The state and evidence after `point`; a tick at or before the last one taken changes nothing."""
    if point.start_ns <= state.tick and state.last is not None:
        return state, state.last
    if point.n == 0:
        last = state.last or Evidence(point.start_ns, "no_data")
        evidence = msgspec.structs.replace(
            last,
            tick_ns=point.start_ns,
            verdict="no_data",
            n=0,
            n_eff=0.0,
            current=None,
            reason="no scores arrived in this tick",
        )
        return msgspec.structs.replace(state, tick=point.start_ns, last=evidence), evidence
    k, n = counts(point)
    if state.ratio is not None:
        return _recovering(baseline, state, point, k, n)
    ell = _log_ratios(baseline, k, n)
    r = np.minimum((1 + np.array(state.r)) * np.exp(np.minimum(ell, 200.0)), R_MAX)
    before = np.array(state.w)
    w = np.maximum(0.0, before + ell)
    since = tuple(point.start_ns if b <= 0 else s for b, s in zip(before.tolist(), state.since, strict=True))
    m = float(r.mean())
    best = int(np.argmax(r))
    pending, firing = m >= sqrt(config.threshold), m >= config.threshold
    verdict: Verdict = "firing" if firing else "pending" if pending else "quiet"
    evidence = _rate_evidence(baseline, point, verdict, config.threshold, m, best, since[best])
    if firing:
        return RateState(point.start_ns, ratio=float(RATIOS[best]), last=evidence), evidence
    new = RateState(point.start_ns, tuple(r.tolist()), tuple(w.tolist()), since, last=evidence)
    return new, evidence


def _log_ratios(b: RateBaseline, k: float, n: float) -> Floats:
    p = np.where(RATIOS < 1, b.low, b.high)
    q = np.minimum(p * RATIOS, 0.5 * (1 + p))
    return (k * np.log(q / p) + (n - k) * np.log((1 - q) / (1 - p))) / b.d


def _recovering(
    baseline: RateBaseline, state: RateState, point: Point, k: float, n: float
) -> tuple[RateState, Evidence]:
    # e-process against "still shifted by at least half of what fired": see resolve.py.
    assert state.ratio is not None and state.last is not None
    p = baseline.high if state.ratio > 1 else baseline.low
    q = min(p * (1 + (state.ratio - 1) / 2), 0.5 * (1 + p))
    gain = -(k * log(q / p) + (n - k) * log((1 - q) / (1 - p))) / baseline.d
    log_e = max(0.0, state.log_e + min(gain, MAX_GAIN))
    done = log_e >= LOG_REJECT
    evidence = msgspec.structs.replace(
        state.last,
        tick_ns=point.start_ns,
        verdict="resolved" if done else "firing",
        firing=not done,
        current=_current(point),
        n=point.n,
        n_eff=point.n_eff,
        reason=None,
    )
    if done:
        return RateState(point.start_ns, last=evidence), evidence
    return msgspec.structs.replace(state, tick=point.start_ns, log_e=log_e, last=evidence), evidence


def _current(point: Point) -> Estimate | None:
    found = point_rate(point)
    return found if isinstance(found, Estimate) else None


def _rate_evidence(
    b: RateBaseline, point: Point, verdict: Verdict, a: float, m: float, best: int, onset: int
) -> Evidence:
    low, high = wilson(b.rate * b.n_eff / b.d, b.n_eff / b.d)
    quiet = verdict == "quiet"
    return Evidence(
        point.start_ns,
        verdict,
        firing=verdict == "firing",
        component=None if quiet else "rate",
        direction=None if quiet else "up" if RATIOS[best] > 1 else "down",
        log10_m=log10(m) if m > 0 else -300.0,
        log10_a=log10(a),
        onset_ns=None if quiet else onset,
        current=_current(point),
        baseline=Estimate(b.rate, low, high, b.n, b.n_eff),
        n=point.n,
        n_eff=point.n_eff,
        detectable=detectable_ratio(b, point.n_eff, a),
        reason="the cohort is new: compared with the baseline of all traffic" if b.inherited_from else None,
    )


def detectable_ratio(b: RateBaseline, n_eff: float, a: float, *, ticks: int = 24) -> float | None:
    """The smallest increase of the rate (in rate units) among the watched ratios found within `ticks` ticks; None when
    even ten times the baseline would take longer."""
    for ratio in RATIOS[RATIOS > 1]:
        q = min(b.high * ratio, 0.5 * (1 + b.high))
        gain = n_eff * (q * log(q / b.high) + (1 - q) * log((1 - q) / (1 - b.high))) / b.d
        if gain * ticks >= log(a * RATIOS.size):
            return float(q - b.rate)
    return None


@dataclass(frozen=True)
class RateDetector:
    """`update_rate` with its baseline bound: the detector that monitors name `rate`."""

    baseline: RateBaseline
    config: Config = field(default_factory=Config)
    name: str = "rate"

    def start(self) -> RateState:
        """The state before the first tick."""
        return RateState()

    def update(self, state: RateState, point: Point) -> tuple[RateState, Evidence]:
        """See `update_rate`."""
        return update_rate(self.baseline, state, point, self.config)
