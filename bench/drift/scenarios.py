"""Simulated series as histograms per tick: what a scorer, a latency or a failure counter would have recorded.

Effect sizes that statistics.md §3 does not state are chosen here and printed with the results.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr
from scipy.stats import beta

from watchkeeper.detection.family import Ticks
from watchkeeper.model.series import BINARY, MILLISECONDS, TEN, UNIT, Axis

Floats = NDArray[np.float64]
HOUR = 3_600_000_000_000
# A Monday, 00:00 UTC.
START = 1_736_121_600_000_000_000 // HOUR * HOUR
BASE = 336
MU, SD = 8.0, 1.8
LATENCY_SD = 0.7


@dataclass(frozen=True)
class World:
    """One scenario. `shift(t)` in sd and `spread(t)` as a factor at t ticks after the change; `collapse` is the share
    that falls to 0–2 while the mean is kept; `slow` the share of calls that is 6 times slower; `fail` the failure rate
    before and after. `wander` is the sd (in sd of a score) of an AR(`phi`) mean; `daily`, `weekly`, `office` amplitudes in
    sd (`office`: weekdays from nine to five are worse). `kicks`: share of hours and by how many sd they are worse; `tails`:
    degrees of freedom of the wandering's noise (0: normal). `uneven`: amplitude of the daily cycle of the volume, in ln;
    `closed`: hours of the night without traffic; `zeros`: share of scores that are zero. `weights`: a fifth of the traffic
    is worse and kept whole, of the rest one in ten is scored before the quiet period and one in four from then on.
    """

    name: str
    kind: str = "score"
    n: int = 100
    phi: float = 0.0
    wander: float = 0.0
    daily: float = 0.0
    weekly: float = 0.0
    office: float = 0.0
    kicks: tuple[float, float] = (0.0, 0.0)
    tails: int = 0
    uneven: float = 0.0
    closed: int = 0
    zeros: float = 0.0
    shift: Callable[[Floats], Floats] | None = None
    spread: float = 1.0
    collapse: float = 0.0
    slow: float = 0.0
    fail: tuple[float, float] = (0.001, 0.001)
    missing: float = 0.0
    volume: float = 1.0
    quiet: int = 48
    watch: int = 168
    incident: int | None = None
    weights: bool = False
    base: int = BASE

    @property
    def axis(self) -> Axis:
        return {"score": TEN, "latency": MILLISECONDS, "failures": BINARY, "share": UNIT}[self.kind]


@dataclass(frozen=True)
class Data:
    """`hist` (S, T, B) sums of weights and `hist2` of their squares, `n` (S, T), `n_eff` (S, T), `times` (T,) middles of
    the ticks, the first `base` of them the baseline."""

    hist: Floats
    hist2: Floats
    n: Floats
    n_eff: Floats
    times: NDArray[np.int64]
    axis: Axis
    base: int

    def ticks(self) -> Ticks:
        total = self.hist.sum(axis=-1, keepdims=True)
        share = self.hist / np.where(total > 0, total, 1.0)
        centres = np.asarray(self.axis.centres)
        if self.axis == BINARY:
            centres = np.array([0.0, 1.0, 1.0])
        return Ticks(self.n_eff, share @ centres, share @ centres**2, share)


def of(x: Ticks, part: slice) -> Ticks:
    """Some of the ticks."""
    return Ticks(x.n_eff[:, part], x.a1[:, part], x.a2[:, part], x.share[:, part])


def wandering(rng: np.random.Generator, s: int, t: int, phi: float, tails: int = 0) -> Floats:
    """A stationary AR(1) with unit variance (S, T); with `tails` its noise is Student's."""
    noise = (
        rng.standard_t(tails, (s, t)) * np.sqrt((tails - 2) / tails) if tails else rng.standard_normal((s, t))
    )
    e = noise * np.sqrt(1 - phi * phi)
    out = np.empty((s, t))
    out[:, 0] = rng.standard_normal(s)
    for i in range(1, t):
        out[:, i] = phi * out[:, i - 1] + e[:, i]
    return out


def score_shares(mu: Floats, sd: Floats) -> Floats:
    """P(score = 0..10) of a normal rounded and clipped, with the two unused open bins of the axis."""
    edges = np.arange(0.5, 10.0)
    below = ndtr((edges - mu[..., None]) / sd[..., None])
    zero, one = np.zeros((*mu.shape, 1)), np.ones((*mu.shape, 1))
    return np.concatenate([zero, np.diff(np.concatenate([zero, below, one], -1), axis=-1), zero], -1)


def simulate(w: World, s: int, seed: int) -> Data:
    """S independent series of baseline, quiet period and watched period."""
    rng = np.random.default_rng([seed, abs(hash_name(w.name))])
    total = w.base + w.quiet + w.watch
    since = np.arange(total) - (w.base + w.quiet)
    on = (since >= 0) & (since < w.incident if w.incident is not None else True)
    times = START + np.arange(total) * HOUR + HOUR // 2
    hours = np.arange(total)
    n = _volumes(rng, w, s, hours)
    offset = _offsets(rng, w, s, hours)
    if w.shift is not None:
        offset += np.where(on, w.shift(since.astype(float)), 0.0)
    if w.kind == "failures":
        # Of a 0/1 metric the cycle and the wandering are in log-odds.
        p = expit(logit(np.where(on, w.fail[1], w.fail[0])) + offset)
        k = rng.binomial(n.astype(np.int64), p).astype(np.float64)
        hist = np.stack([n - k, k, np.zeros_like(k)], axis=-1)
        return Data(hist, hist, n, n.copy(), times, w.axis, w.base)
    shares = _shares(w, offset, on)
    if not w.weights:
        hist = rng.multinomial(n.astype(np.int64), shares).astype(np.float64)
        return Data(hist, hist, n, n.copy(), times, w.axis, w.base)
    rate = np.where(hours < w.base, 0.1, 0.25)[None, :, None]
    worse = rng.multinomial((n // 5).astype(np.int64), _shares(w, offset - 0.5, on)).astype(np.float64)
    rest = rng.multinomial(rng.poisson(4 * n * rate[..., 0]), shares).astype(np.float64)
    hist, hist2 = worse + rest / rate, worse + rest / rate**2
    n_eff = hist.sum(axis=-1) ** 2 / np.maximum(hist2.sum(axis=-1), 1e-12)
    return Data(hist, hist2, (worse + rest).sum(axis=-1), n_eff, times, w.axis, w.base)


def _volumes(rng: np.random.Generator, w: World, s: int, hours: NDArray[np.int64]) -> Floats:
    n = np.full((s, hours.size), float(w.n))
    n[:, w.base :] *= w.volume
    if w.uneven:
        n = rng.poisson(n * np.exp(w.uneven * np.sin(2 * np.pi * (hours - 8) / 24))).astype(np.float64)
    if w.missing:
        n *= rng.random(n.shape) >= w.missing
    return n * (hours % 24 >= w.closed)


def _offsets(rng: np.random.Generator, w: World, s: int, hours: NDArray[np.int64]) -> Floats:
    offset = np.zeros((s, hours.size))
    if w.wander:
        offset += w.wander * wandering(rng, s, hours.size, w.phi, w.tails)
    if w.kicks[0]:
        offset -= w.kicks[1] * (rng.random(offset.shape) < w.kicks[0])
    weekend = hours // 24 % 7 >= 5
    offset += w.daily * np.sin(2 * np.pi * (hours % 24 - 9) / 24) - w.weekly * weekend
    return offset - w.office * ((hours % 24 >= 9) & (hours % 24 < 17) & ~weekend)


def hash_name(name: str) -> int:
    """A stable small number for a name, so that every scenario has its own stream."""
    return sum((i + 1) * ord(c) for i, c in enumerate(name))


def _shares(w: World, offset: Floats, on: NDArray[np.bool_]) -> Floats:
    if w.kind == "share":
        edges = np.asarray(w.axis.edges)
        cdf = beta.cdf(edges, 6.0, 1.2)
        p = np.diff(np.concatenate([[0.0], cdf, [1.0]]))
        return np.broadcast_to(p, (*offset.shape, p.size))
    if w.kind == "latency":
        edges = np.log(np.asarray(w.axis.edges))
        mu, sd = np.log(1500.0) + LATENCY_SD * offset, LATENCY_SD

        def cdf_at(extra: float) -> Floats:
            return ndtr((edges - mu[..., None] - extra) / sd)

        mix = np.where(on, w.slow, 0.0)[None, :, None]
        below = (1 - mix) * cdf_at(0.0) + mix * cdf_at(np.log(6.0))
        zero, one = np.zeros((*offset.shape, 1)), np.ones((*offset.shape, 1))
        return np.diff(np.concatenate([zero, below, one], -1), axis=-1)
    sd = np.where(on, SD * w.spread, SD) * np.ones_like(offset)
    mean = MU + SD * offset
    if w.spread != 1.0:
        mean = mean + np.where(on, _keep_mean(SD * w.spread), 0.0)
    p = score_shares(mean, sd)
    if w.zeros:
        p *= 1 - w.zeros
        p[..., 1] += w.zeros
    if w.collapse:
        fallen = np.zeros(p.shape[-1])
        fallen[1:4] = 1 / 3
        lost = w.collapse
        base = score_shares(np.array([MU]), np.array([SD]))[0] @ np.arange(-1, 12)
        up = _solve_mean((base - lost * 1.0) / (1 - lost), SD) - MU
        q = (1 - lost) * score_shares(mean + up, sd) + lost * fallen
        p = np.where(on[None, :, None], q, p)
    return p


def _solve_mean(target: float, sd: float) -> float:
    # The latent mean whose rounded and clipped scores average `target`.
    low, high = 0.0, 14.0
    for _ in range(60):
        mid = (low + high) / 2
        got = float(score_shares(np.array([mid]), np.array([sd]))[0] @ np.arange(-1, 12))
        low, high = (mid, high) if got < target else (low, mid)
    return high


def _keep_mean(sd: float) -> float:
    base = float(score_shares(np.array([MU]), np.array([SD]))[0] @ np.arange(-1, 12))
    return _solve_mean(base, sd) - MU


SEASONAL = {"daily": 0.3, "weekly": 0.25}

NULLS = [
    World("iid"),
    World("wandering mean (AR .7)", phi=0.7, wander=0.07),
    World("daily + weekly cycle", **SEASONAL),
    World("latency", kind="latency"),
    World("0.1 % failures", kind="failures", n=1000),
    World("strong autocorrelation (AR .9)", phi=0.9, wander=0.07),
]
VARIANTS = [
    World("n = 5", n=5),
    World("n = 20", n=20),
    World("n = 20, daily + weekly cycle", n=20, **SEASONAL),
    World("latency, daily + weekly cycle", kind="latency", **SEASONAL),
    World("n = 400", n=400),
    World("10 % of hours missing", missing=0.1),
    World("3x volume after the baseline", volume=3.0),
    World("skewed share in 0..1", kind="share"),
    World("latency, n = 10", kind="latency", n=10),
    World("2 % failures, n = 100", kind="failures", n=100, fail=(0.02, 0.02)),
    World("hours far out (Student's t, 5)", wander=0.1, tails=5),
    World("every fiftieth hour -1 sd", kicks=(0.02, 1.0)),
    World("the sampling rate is raised", n=250, weights=True),
]
# Half of these baselines hold no hour of the kind that comes later: nothing could have told.
RARE = World("hours far out (Student's t, 3)", wander=0.1, tails=3)
REPORTED = [World("AR .98 (reported, not gated)", phi=0.98, wander=0.07), RARE]


def constant(size: float) -> Callable[[Floats], Floats]:
    """A step of `size` sd."""
    return lambda t: np.full_like(t, size)


# (scenario, median delay of statistics.md in ticks)
CHANGES = [
    (World("mean -0.2 sd", shift=constant(-0.2)), 8),
    (World("mean -0.4 sd", shift=constant(-0.4)), 3),
    (World("8.0 -> 6.3", shift=constant(-1.7 / SD)), 1),
    (World("slide of 0.6 sd over 7 d", shift=lambda t: -0.6 * np.clip(t / 168, 0, 1)), 50),
    (World("4 % collapse, mean kept", collapse=0.04), 10),
    (World("spread x 1.3, mean kept", spread=1.3), 5),
    (World("seasonal, -0.4 sd", shift=constant(-0.4), **SEASONAL), 4),
    (World("4 % of calls 6x slower", kind="latency", slow=0.04), 12),
    (World("0.1 % -> 0.4 % failures", kind="failures", n=1000, fail=(0.001, 0.004)), 5),
]


def at_three(world: World) -> World:
    """The change at 03:00, when traffic differs most from the mean of the day."""
    return replace(world, name=world.name + " at 03:00", quiet=world.quiet + 3)


# 0/1 metrics, for the detector that `shift` uses on them; the panel runs beside it.
PASSES: dict[str, Any] = {"kind": "failures", "n": 100}
RATE_NULLS = [
    World("92 % pass", fail=(0.92, 0.92), **PASSES),
    World("92 % pass, wandering (AR .7)", fail=(0.92, 0.92), phi=0.7, wander=0.15, **PASSES),
    World("92 % pass, daily + weekly", fail=(0.92, 0.92), daily=0.4, weekly=0.3, **PASSES),
    World("92 % pass, n = 8", kind="failures", n=8, fail=(0.92, 0.92)),
    World("50 % pass", fail=(0.5, 0.5), **PASSES),
    World("2 % guarded", fail=(0.02, 0.02), **PASSES),
    World("never (0 %)", fail=(0.0, 0.0), **PASSES),
    World("failures 0.1 %, n = 1000", kind="failures", n=1000),
]
RATE_CHANGES = [
    World("92 % -> 88 % pass", fail=(0.92, 0.88), **PASSES),
    World("92 % -> 80 % pass", fail=(0.92, 0.80), **PASSES),
    World("92 % -> 88 %, daily + weekly", fail=(0.92, 0.88), daily=0.4, weekly=0.3, **PASSES),
    World("50 % -> 42 % pass", fail=(0.5, 0.42), **PASSES),
    World("2 % -> 5 % guarded", fail=(0.02, 0.05), **PASSES),
    World("0.1 % -> 0.4 %, n = 1000", kind="failures", n=1000, fail=(0.001, 0.004)),
    World("0 % -> 0.5 %", fail=(0.0, 0.005), **PASSES),
]
