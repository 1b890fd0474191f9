"""An absolute limit: is the metric wholly past it, not merely on the wrong side this hour? (statistics.md §3)

The evidence of a tick is its likelihood ratio against the limit itself: exact binomial for 0/1 metrics, normal with the
running variance otherwise. It runs through the Shiryaev–Roberts recursion, so it may be looked at after every tick.
Beside it runs a confidence sequence since the evidence last vanished, at the same false-alarm level 1/A: `firing` when
it lies wholly past the limit or M ≥ A, `pending` while the 95 % one straddles and the estimate is past, otherwise `quiet`.
"""

from dataclasses import dataclass
from math import log, log10, sqrt
from typing import Literal

import msgspec
import numpy as np

from watchkeeper.detection.protocol import Evidence, Verdict
from watchkeeper.detection.resolve import LOG_REJECT, MAX_GAIN
from watchkeeper.model.series import BINARY, Estimate, Insufficient, Point, merge
from watchkeeper.stats.estimates import point_mean, point_rate
from watchkeeper.stats.sequential import R_MAX, mixture_half_width

_DELTAS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
_RATIOS = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0])


class LimitState(msgspec.Struct, frozen=True):
    """Evidence per alternative, the merged point since the evidence last vanished, and the open incident's test."""

    tick: int = -1
    r: tuple[float, ...] = ()
    w: float = 0.0
    epoch: Point | None = None
    open: bool = False
    onset: int | None = None
    log_e: float = 0.0
    variance: float = 0.0
    seen: float = 0.0
    last: Evidence | None = None


@dataclass(frozen=True)
class ThresholdDetector:
    """Fires when the mean (or rate) of the metric is `bad` the limit: "below" for quality, "above" for failures.

    `a` is the threshold A of the evidence. `hard=True` is for "page on any": it fires on the point estimate of a single
    """

    limit: float
    bad: Literal["below", "above"]
    a: float = 1e4
    hard: bool = False
    name: str = "threshold"

    def start(self) -> LimitState:
        """The state before the first tick."""
        return LimitState()

    def update(self, state: LimitState, point: Point) -> tuple[LimitState, Evidence]:
        """The state and evidence after `point`; a tick at or before the last one taken changes nothing."""
        if point.start_ns <= state.tick and state.last is not None:
            return state, state.last
        if point.n == 0:
            return self._blank(state, point, "no_data", "no scores arrived in this tick")
        if self.hard:
            return self._hard(state, point)
        ell = self._log_ratios(point, state)
        if ell is None:
            return self._blank(state, point, "insufficient", "too few scores to know their variance")
        return self._fired(state, point, ell) if state.open else self._watch(state, point, ell)

    def _sign(self) -> float:
        return -1.0 if self.bad == "below" else 1.0

    def _log_ratios(self, point: Point, state: LimitState) -> "np.ndarray | None":
        n = point.n_eff
        x = point.swx / point.sw
        if point.axis == BINARY:
            # Work with the bad event, so that one set of ratios > 1 serves both directions.
            share = min(max(1 - x if self.bad == "below" else x, 0.0), 1.0)
            p = min(max(1 - self.limit if self.bad == "below" else self.limit, 1e-9), 1 - 1e-9)
            q = np.minimum(p * _RATIOS, 0.5 * (1 + p))
            return n * (share * np.log(q / p) + (1 - share) * np.log((1 - q) / (1 - p)))
        variance = self._variance(point, state)
        if variance <= 0:
            return None
        z = self._sign() * (x - self.limit) * sqrt(n / variance)
        # The mean of a few skewed scores is not normal far out: small ticks may only make small bets.
        deltas = np.minimum(_DELTAS, sqrt(n) / 2)
        return deltas * min(max(z, -6.0), 6.0) - deltas**2 / 2

    def _variance(self, point: Point, state: LimitState) -> float:
        # The running variance, this tick included: a tick's own goes with its mean where scores are skewed, and is
        # zero for a few equal scores.
        n = point.n_eff
        own = max(point.swx2 / point.sw - (point.swx / point.sw) ** 2, 0.0) * n / max(n - 1, 1.0)
        held = min(state.seen, 5000.0)
        return (own * n + state.variance * held) / (n + held)

    def _watch(self, state: LimitState, point: Point, ell: "np.ndarray") -> tuple[LimitState, Evidence]:
        r = np.array(state.r) if state.r else np.zeros(ell.size)
        r = np.minimum((1 + r) * np.exp(np.minimum(ell, 200.0)), R_MAX)
        w = max(0.0, state.w + float(ell[1]))
        fresh = state.epoch is None or state.w <= 0
        epoch = point if fresh or state.epoch is None else merge([state.epoch, point])
        m = float(r.mean())
        now, sure = (
            self._sequence(epoch, alpha, self._variance(point, state)) for alpha in (0.05, 2 / self.a)
        )
        # The sequence is asymptotic: before 50 effective scores only the evidence may fire.
        firing = m >= self.a or (sure is not None and epoch.n_eff >= 50 and self._past(sure))
        straddles = now is not None and self._wrong(now.value) and w > 0
        verdict: Verdict = "firing" if firing else "pending" if straddles or m >= sqrt(self.a) else "quiet"
        evidence = self._evidence(point, verdict, m, epoch.start_ns, now)
        size = state.seen + point.n_eff
        variance = self._variance(point, state)
        if firing:
            new = LimitState(
                point.start_ns, open=True, onset=epoch.start_ns, variance=variance, seen=size, last=evidence
            )
            return new, evidence
        new = LimitState(
            point.start_ns, tuple(r.tolist()), w, epoch, variance=variance, seen=size, last=evidence
        )
        return new, evidence

    def _fired(self, state: LimitState, point: Point, ell: "np.ndarray") -> tuple[LimitState, Evidence]:
        # Over when "still at or past the limit" is rejected at 20: the mirrored ratios, restarted at 1.
        mirrored = ThresholdDetector(self.limit, "above" if self.bad == "below" else "below", self.a)
        back = mirrored._log_ratios(point, state)
        gain = float(back[1]) if back is not None else 0.0
        log_e = max(0.0, state.log_e + min(gain, MAX_GAIN))
        done = log_e >= LOG_REJECT
        last = state.last
        m = 10.0**last.log10_m if last is not None and last.log10_m is not None else self.a
        evidence = self._evidence(
            point,
            "resolved" if done else "firing",
            m,
            state.onset,
            self._sequence(point, 0.05, self._variance(point, state)),
        )
        if done:
            new = LimitState(point.start_ns, variance=state.variance, seen=state.seen, last=evidence)
            return new, evidence
        return msgspec.structs.replace(state, tick=point.start_ns, log_e=log_e, last=evidence), evidence

    def _hard(self, state: LimitState, point: Point) -> tuple[LimitState, Evidence]:
        past = self._wrong(point.swx / point.sw)
        verdict: Verdict = "firing" if past else "resolved" if state.open else "quiet"
        onset = (state.onset or point.start_ns) if past else state.onset
        evidence = self._evidence(
            point, verdict, None, onset, self._sequence(point, 0.05, self._variance(point, state))
        )
        return LimitState(point.start_ns, open=past, onset=onset if past else None, last=evidence), evidence

    def _sequence(self, point: Point, alpha: float, running: float) -> Estimate | None:
        found = point_rate(point) if point.axis == BINARY else point_mean(point)
        if isinstance(found, Insufficient):
            return None
        x = point.swx / point.sw
        variance = max(point.swx2 / point.sw - x * x, running, 0.0)
        if point.axis == BINARY:
            variance = max(variance, self.limit * (1 - self.limit))
        half = mixture_half_width(point.n_eff, sqrt(variance), alpha, max(point.n_eff / 4, 20.0))
        if variance <= 0:
            return None
        return Estimate(x, x - half, x + half, point.n, point.n_eff, 1 - alpha)

    def _past(self, e: Estimate) -> bool:
        return e.high < self.limit if self.bad == "below" else e.low > self.limit

    def _wrong(self, x: float) -> bool:
        return x < self.limit if self.bad == "below" else x > self.limit

    def _evidence(
        self, point: Point, verdict: Verdict, m: float | None, onset: int | None, now: Estimate | None
    ) -> Evidence:
        quiet = verdict == "quiet"
        return Evidence(
            point.start_ns,
            verdict,
            firing=verdict == "firing",
            component=None if quiet else "mean",
            direction=None if quiet else "down" if self.bad == "below" else "up",
            log10_m=None if m is None else log10(m) if m > 0 else -300.0,
            log10_a=log10(self.a),
            onset_ns=None if quiet else onset,
            current=now,
            baseline=Estimate(self.limit, self.limit, self.limit, 0, 0.0, 1.0),
            n=point.n,
            n_eff=point.n_eff,
            detectable=self._detectable(now, log(self.a)),
        )

    def _detectable(self, now: Estimate | None, log_a: float) -> float | None:
        # Distance from the limit whose evidence reaches A within a day of ticks like this one.
        if now is None or now.n_eff <= 0:
            return None
        half = (now.high - now.low) / 2
        return half * sqrt(2 * log_a / 24) / 1.96

    def _blank(
        self, state: LimitState, point: Point, verdict: Verdict, reason: str
    ) -> tuple[LimitState, Evidence]:
        evidence = Evidence(
            point.start_ns,
            verdict,
            firing=state.open,
            onset_ns=state.onset,
            log10_a=log10(self.a),
            n=point.n,
            n_eff=point.n_eff,
            reason=reason,
        )
        return msgspec.structs.replace(state, tick=point.start_ns, last=evidence), evidence
