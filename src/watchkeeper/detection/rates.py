"""Rates of 0/1 metrics: guard hits, errors, failures, answers that passed.

R ← (1 + R)·LR with the exact binomial likelihood ratio of odds r times the baseline's, r ∈ {0.5, 1.5, 2, 3, 5, 10} and
0.8, 1.25 for rates that are not rare (of a rare event the odds are the rate); M is the average over r. The baseline is
the unfavourable end of its 90 % Beta interval, so that a rate known from few events does not alarm by itself, and the log
ratio is divided by D, the dispersion and autocorrelation of its counts. Where the baseline has bursts (its ticks' tails are
heavier than a normal law's) one tick says at most 3 nats. A daily or weekly cycle is followed where it predicts held-out
days. Of a metric that is mostly 1 the zeros are counted: 92 % to 88 % is half as many failures again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log10, sqrt

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.baseline import Config
from watchkeeper.detection.family import root_deviance_share
from watchkeeper.detection.fit import N_SEASON, expected, fit_season, heavy, long_run, spent
from watchkeeper.detection.protocol import Evidence, Verdict
from watchkeeper.detection.resolve import LOG_REJECT, MAX_GAIN
from watchkeeper.model.series import Estimate, Insufficient, Point, SeriesKey
from watchkeeper.model.times import DAY
from watchkeeper.stats.distributions import beta_quantile
from watchkeeper.stats.estimates import point_rate
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.sequential import cusum_step, log10_evidence, sr_step

Floats = NDArray[np.float64]
RATIOS = np.array([0.5, 0.8, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0])
_NOTHING = (0.0,) * RATIOS.size
# The most that the log ratio of one tick may say, and where the baseline has bursts: then it takes several ticks.
LOG_MAX = 200.0
LOG_BURSTS = 3.0


@dataclass(frozen=True)
class RatePanel:
    """Baselines of S rates: `low`, `high` ends of the 90 % Beta interval, `d` the inflation, `rate` the share observed (S,);
    `coef` (S, 13) the seasonal coefficients of the rate (the level alone: the first); `limit` (S,) the most that the log
    ratio of one tick may say."""

    low: Floats
    high: Floats
    d: Floats
    rate: Floats
    n_eff: Floats
    coef: Floats
    limit: Floats


def at_odds(p: Floats, ratio: Floats) -> Floats:
    """The rate whose odds are `ratio` times those of `p`."""
    return ratio * p / (1.0 - p + ratio * p)


def fit_rates(k: Floats, n: Floats, times_ns: NDArray[np.int64] | None = None) -> RatePanel:
    """Baselines from effective counts: k events of n (S, T), n = 0 where the tick is missing. With the middles of the
    ticks (T,) a cycle is fitted where it predicts."""
    total, size = k.sum(axis=1), n.sum(axis=1)
    rate = (total + 0.5) / (size + 1.0)
    # Centred on the observed rate: around the smoothed one, a rate of zero would look perfectly autocorrelated.
    observed = total / np.maximum(size, 1e-300)
    coef, params = np.zeros((k.shape[0], N_SEASON)), np.ones(k.shape[0])
    coef[:, 0] = observed
    if times_ns is not None:
        share = np.where(n > 0, k / np.where(n > 0, n, 1.0), 0.0)
        coef, params = (a[:, 0] for a in fit_season(times_ns, n, share[..., None]))
    m = _at(coef, observed, times_ns if times_ns is not None else np.zeros(n.shape[1], dtype=np.int64))
    spread = np.where(n > 0, n * np.maximum(m * (1 - m), (rate * (1 - rate))[:, None] / 9), 1.0)
    e = np.where(n > 0, (k - n * m) / np.sqrt(spread), 0.0)
    seen = np.maximum((n > 0).sum(axis=1), 2)
    dispersion = (e * e).sum(axis=1) / np.maximum(seen - params, 1)
    # χ² noise around 1 is not overdispersion: only what is beyond one standard error counts.
    noise = np.sqrt(2.0 / seen + 1.0 / np.maximum(total, 1.0))
    runs = spent(long_run(e[..., None])[:, 0], params, seen)
    d = np.maximum(1.0, np.where(dispersion > 1 + noise, dispersion, 1.0)) * runs
    # The rate of one hour of a cycle is known from as many fewer events as the cycle has coefficients.
    a, b = total / (d * params) + 0.5, (size - total) / (d * params) + 0.5
    z = root_deviance_share(np.where(n > 0, k / np.where(n > 0, n, 1.0), m), m, n)
    limit = np.where(heavy(z, n > 0), LOG_BURSTS, LOG_MAX)
    return RatePanel(beta_quantile(0.05, a, b), beta_quantile(0.95, a, b), d, observed, size, coef, limit)


def _at(coef: Floats, level: Floats, times_ns: NDArray[np.int64]) -> Floats:
    # m_t (S, T); linear, so kept within a third and three times the level, and off 0 and 1.
    m = expected(coef[:, None, :], times_ns)[..., 0]
    return np.clip(m, level[:, None] / 3, np.minimum(3 * level, (2 + level) / 3)[:, None])


def _season_odds(base: RatePanel, times_ns: NDArray[np.int64]) -> Floats:
    # The odds at each time over those of the rate (S, T). Not over those of the cycle's own middle: where more happens at
    # busy hours the two differ, and the bounds are of the rate.
    level = np.clip(base.rate, 1e-12, 1 - 1e-12)
    m = np.clip(_at(base.coef, level, times_ns), 1e-12, 1 - 1e-12)
    return m / (1 - m) * ((1 - level) / level)[:, None]


def log_ratios(base: RatePanel, k: Floats, n: Floats, times_ns: NDArray[np.int64]) -> Floats:
    """Log likelihood ratios (S, T, R) of k events of n (S, T) against the baseline at the middles of the ticks (T,)."""
    factor = _season_odds(base, times_ns)[..., None]
    p = np.where(RATIOS < 1, base.low[:, None], base.high[:, None])[:, None, :]
    p = np.clip(at_odds(p, factor), 1e-12, 1 - 1e-12)
    q = at_odds(p, RATIOS)
    k2, n2 = k[..., None], n[..., None]
    ell = (k2 * np.log(q / p) + (n2 - k2) * np.log((1 - q) / (1 - p))) / base.d[:, None, None]
    return np.minimum(ell, base.limit[:, None, None])


def step_rates(base: RatePanel, r: Floats, k: Floats, n: Floats, time_ns: int = 0) -> Floats:
    """One tick of S rates: evidence (S, R) after k events of n; a series with n = 0 keeps its evidence."""
    ell = log_ratios(base, k[:, None], n[:, None], np.array([time_ns], dtype=np.int64))[:, 0]
    return np.where(n[:, None] > 0, sr_step(r, ell), r)


class RateBaseline(msgspec.Struct, frozen=True):
    """The frozen normal of one rate: its estimate, the ends of its 90 % Beta interval, D, and what it was fitted on.

    With `flip` the zeros are counted, because they are the rarer; `rate`, `low`, `high` and `coef` are then of the zeros.
    `limit` is the most that one tick may say. `unstable`: fitted on its first half, it alarmed on its own second half.
    """

    key: SeriesKey
    rate: float
    low: float
    high: float
    d: float
    n: int
    n_eff: float
    inherited_from: SeriesKey | None = None
    coef: tuple[float, ...] = ()
    flip: bool = False
    unstable: bool = False
    limit: float = LOG_MAX


class RateState(msgspec.Struct, frozen=True):
    """State of one rate: evidence `r` and CUSUM `w` per ratio, where each left zero, the incident, the last evidence."""

    tick: int = -1
    r: tuple[float, ...] = _NOTHING
    w: tuple[float, ...] = _NOTHING
    since: tuple[int, ...] = (0,) * RATIOS.size
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
    days = (mine[-1].end_ns - mine[0].start_ns) / DAY if mine else 0.0
    if days + 1 < config.min_days or len(mine) < config.min_ticks:
        return Insufficient(
            f"a baseline needs {config.min_days:g} days and {config.min_ticks} ticks;"
            f" there are {days:.1f} and {len(mine)}",
            n,
            n_eff,
        )
    pairs = np.array([counts(p) for p in mine])
    times = np.array([(p.start_ns + p.end_ns) // 2 for p in mine], dtype=np.int64)
    flip = bool(pairs[:, 0].sum() > 0.5 * pairs[:, 1].sum())
    k, size = (pairs[:, 1] - pairs[:, 0] if flip else pairs[:, 0])[None], pairs[None, :, 1]
    base = fit_rates(k, size, times)
    half = len(mine) // 2
    trial = fit_rates(k[:, :half], size[:, :half], times[:half])
    alarm = dry_run_rates(trial, k[:, half:], size[:, half:], times[half:])[0]
    return RateBaseline(
        mine[0].key,
        float(k.sum() / size.sum()),
        float(base.low[0]),
        float(base.high[0]),
        float(base.d[0]),
        n,
        n_eff,
        coef=tuple(base.coef[0].tolist()),
        flip=flip,
        unstable=bool(alarm >= (config.unstable_at or config.threshold)),
        limit=float(base.limit[0]),
    )


def dry_run_rates(base: RatePanel, k: Floats, n: Floats, times_ns: NDArray[np.int64]) -> Floats:
    """The highest M (S,) that each series reaches on these ticks."""
    ell = np.where((n > 0)[..., None], log_ratios(base, k, n, times_ns), 0.0)
    r, top = np.zeros((k.shape[0], RATIOS.size)), np.zeros(k.shape[0])
    for t in range(k.shape[1]):
        r = np.where(n[:, t, None] > 0, sr_step(r, ell[:, t]), r)
        top = np.maximum(top, r.mean(axis=1))
    return top


def _panel_of(b: RateBaseline) -> RatePanel:
    low, high, d, rate, n_eff, limit = (np.array([x]) for x in (b.low, b.high, b.d, b.rate, b.n_eff, b.limit))
    coef = np.array([b.coef]) if b.coef else np.array([[b.rate, *(0.0,) * (N_SEASON - 1)]])
    return RatePanel(low, high, d, rate, n_eff, coef, limit)


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
    k = n - k if baseline.flip else k
    middle = np.array([(point.start_ns + point.end_ns) // 2], dtype=np.int64)
    if state.ratio is not None:
        return _recovering(baseline, state, point, k, n, middle)
    ell = log_ratios(_panel_of(baseline), np.array([[k]]), np.array([[n]]), middle)[0, 0]
    r = sr_step(np.array(state.r), ell)
    before = np.array(state.w)
    w = cusum_step(before, ell)
    since = tuple(point.start_ns if b <= 0 else s for b, s in zip(before.tolist(), state.since, strict=True))
    m = float(r.mean())
    best = int(np.argmax(r))
    pending, reached = m >= sqrt(config.threshold), m >= config.threshold
    firing = reached and not baseline.unstable
    verdict: Verdict = (
        "quiet" if not pending else "unstable" if baseline.unstable else "firing" if firing else "pending"
    )
    evidence = _rate_evidence(baseline, point, verdict, config.threshold, m, best, since[best])
    if firing:
        return RateState(point.start_ns, ratio=float(RATIOS[best]), last=evidence), evidence
    if reached:
        return RateState(point.start_ns, last=evidence), evidence
    new = RateState(point.start_ns, tuple(r.tolist()), tuple(w.tolist()), since, last=evidence)
    return new, evidence


def _recovering(
    baseline: RateBaseline,
    state: RateState,
    point: Point,
    k: float,
    n: float,
    middle: NDArray[np.int64],
) -> tuple[RateState, Evidence]:
    # e-process against "still shifted by at least half of what fired": see resolve.py.
    assert state.ratio is not None and state.last is not None
    factor = float(_season_odds(_panel_of(baseline), middle)[0, 0])
    p = float(at_odds(np.array(baseline.high if state.ratio > 1 else baseline.low), np.array(factor)))
    p = min(max(p, 1e-12), 1 - 1e-12)
    q = float(at_odds(np.array(p), np.array(1 + (state.ratio - 1) / 2)))
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
    level = (1 - b.rate, 1 - high, 1 - low) if b.flip else (b.rate, low, high)
    quiet = verdict == "quiet"
    more = (RATIOS[best] > 1) != b.flip
    return Evidence(
        point.start_ns,
        verdict,
        firing=verdict == "firing",
        component=None if quiet else "rate",
        direction=None if quiet else "up" if more else "down",
        log10_m=log10_evidence(m),
        log10_a=log10(a),
        onset_ns=None if quiet else onset,
        current=_current(point),
        baseline=Estimate(*level, b.n, b.n_eff),
        n=point.n,
        n_eff=point.n_eff,
        detectable=detectable_ratio(b, point.n_eff, a),
        reason="this series also alarms on its own baseline; treat its drift as a hint"
        if verdict == "unstable"
        else "the cohort is new: compared with the baseline of all traffic"
        if b.inherited_from
        else None,
    )


def detectable_ratio(b: RateBaseline, n_eff: float, a: float, *, ticks: int = 24) -> float | None:
    """The smallest change of the rate (in rate units, towards more of the rarer outcome) among the watched ratios found
    within `ticks` ticks; None when even ten times the odds would take longer."""
    ratio = smallest_ratio(b.high, b.d, n_eff, a, ticks=ticks)
    return None if ratio is None else float(at_odds(np.array(b.high), np.array(ratio))) - b.rate


def smallest_ratio(high: float, d: float, n_eff: float, a: float, *, ticks: int = 24) -> float | None:
    """The smallest watched odds ratio against a rate of `high` whose evidence grows to A within `ticks` ticks."""
    p = min(max(high, 1e-12), 1 - 1e-12)
    for ratio in RATIOS[RATIOS > 1]:
        q = float(at_odds(np.array(p), np.array(ratio)))
        gain = n_eff * (q * log(q / p) + (1 - q) * log((1 - q) / (1 - p))) / d
        if gain * ticks >= log(a * RATIOS.size):
            return float(ratio)
    return None
