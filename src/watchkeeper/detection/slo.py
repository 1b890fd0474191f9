"""Quality objectives: error budget and multi-window burn-rate alerts (requirement D4).

Burn rate = bad share / allowed bad share. A rule (factor, long, short) fires when the *lower* 95 % bound of the long
window's burn rate is past the factor and the short window's estimate is too, so that it stops soon after recovery.
The rules of the Google SRE workbook: 14.4× on 1 h / 5 m, 6× on 6 h / 30 m, 1× on 3 d / 6 h.
"""

from dataclasses import dataclass

import msgspec

from watchkeeper.detection.protocol import Evidence, Verdict
from watchkeeper.model.series import Estimate, Point
from watchkeeper.stats.intervals import wilson

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


class BurnRule(msgspec.Struct, frozen=True):
    """Burn `factor` over both a long and a short window; `severity` page or warn."""

    factor: float
    long_ns: int
    short_ns: int
    severity: str = "page"


RULES = (
    BurnRule(14.4, HOUR_NS, 5 * MINUTE_NS),
    BurnRule(6.0, 6 * HOUR_NS, 30 * MINUTE_NS),
    BurnRule(1.0, 3 * DAY_NS, 6 * HOUR_NS, "warn"),
)


class Tick(msgspec.Struct, frozen=True, array_like=True):
    """What a tick adds to the budget: effective bad and all scores, and how many there were."""

    start_ns: int
    end_ns: int
    bad: float
    n_eff: float
    n: int


class BurnState(msgspec.Struct, frozen=True):
    """The ticks of the SLO's period, the open rule, and the budget's totals."""

    tick: int = -1
    ticks: tuple[Tick, ...] = ()
    open: int | None = None
    onset: int | None = None
    last: Evidence | None = None


class Burn(msgspec.Struct, frozen=True):
    """Burn rate of a window with its 95 % interval (all in multiples of the budget)."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class BurnRateDetector:
    """`objective` is the good share promised over `period_ns`. Points of the metric are 0/1 with 1 = good, or scores

    that are good when they are above `good_above` (an edge of the metric's axis).
    """

    objective: float
    period_ns: int = 28 * DAY_NS
    good_above: float | None = None
    rules: tuple[BurnRule, ...] = RULES
    name: str = "burn_rate"

    def __post_init__(self) -> None:
        if not 0 < self.objective < 1:
            raise ValueError(f"an objective is a share between 0 and 1, not {self.objective}")

    def start(self) -> BurnState:
        """The state before the first tick."""
        return BurnState()

    def update(self, state: BurnState, point: Point) -> tuple[BurnState, Evidence]:
        """The state and evidence after `point`; a tick at or before the last one taken changes nothing."""
        if point.start_ns <= state.tick and state.last is not None:
            return state, state.last
        if point.n == 0:
            evidence = Evidence(
                point.start_ns,
                "no_data",
                firing=state.open is not None,
                onset_ns=state.onset,
                reason="no scores arrived in this tick",
            )
            return msgspec.structs.replace(state, tick=point.start_ns, last=evidence), evidence
        now = point.end_ns
        ticks = tuple(t for t in (*state.ticks, self._tick(point)) if t.end_ns > now - self._span())
        burning = [i for i, rule in enumerate(self.rules) if self._burns(ticks, rule, now)]
        verdict, kept = self._advance(state, ticks, burning, now)
        onset = (
            state.onset
            if state.open is not None
            else now - self.rules[kept].short_ns
            if kept is not None
            else None
        )
        evidence = self._evidence(point, verdict, ticks, kept if kept is not None else state.open, onset, now)
        new = BurnState(point.start_ns, ticks, kept, onset if kept is not None else None, evidence)
        return new, evidence

    def _span(self) -> int:
        return max(rule.long_ns for rule in self.rules)

    def _advance(
        self, state: BurnState, ticks: tuple[Tick, ...], burning: list[int], now: int
    ) -> tuple[Verdict, int | None]:
        if burning:
            return "firing", burning[0]
        if state.open is not None:
            rule = self.rules[state.open]
            short = self.burn(ticks, rule.short_ns, now)
            still = short is None or short.value >= rule.factor
            return ("firing", state.open) if still else ("resolved", None)
        fast = self.burn(ticks, self.rules[-1].long_ns, now)
        return ("pending" if fast is not None and fast.value >= self.rules[-1].factor else "quiet"), None

    def _burns(self, ticks: tuple[Tick, ...], rule: BurnRule, now: int) -> bool:
        long, short = self.burn(ticks, rule.long_ns, now), self.burn(ticks, rule.short_ns, now)
        return (
            long is not None and short is not None and long.low >= rule.factor and short.value >= rule.factor
        )

    def burn(self, ticks: tuple[Tick, ...], window_ns: int, now: int) -> Burn | None:
        """The burn rate over the last `window_ns`, None without data. A tick longer than the window counts whole."""
        inside = [t for t in ticks if t.end_ns > now - window_ns]
        size = sum(t.n_eff for t in inside)
        if size <= 0:
            return None
        budget = 1 - self.objective
        bad = sum(t.bad for t in inside)
        low, high = wilson(bad, size)
        return Burn(bad / size / budget, low / budget, high / budget, sum(t.n for t in inside))

    def budget_left(self, points: "list[Point]") -> float | None:
        """The share of the error budget that is left after the points of one period; negative when overspent."""
        ticks = [self._tick(p) for p in points if p.n > 0]
        total = sum(p.sw for p in points)
        if not ticks or total <= 0:
            return None
        bad = sum(t.bad / t.n_eff * p.sw for t, p in zip(ticks, [p for p in points if p.n > 0], strict=True))
        return 1 - bad / total / (1 - self.objective)

    def _tick(self, p: Point) -> Tick:
        if self.good_above is None:
            good = p.swx / p.sw
        else:
            edges = p.axis.edges
            at = min(range(len(edges)), key=lambda i: abs(edges[i] - (self.good_above or 0.0)))
            good = sum(p.hist_w[at + 1 :]) / p.sw
        return Tick(p.start_ns, p.end_ns, (1 - min(max(good, 0.0), 1.0)) * p.n_eff, p.n_eff, p.n)

    def _evidence(
        self,
        p: Point,
        verdict: Verdict,
        ticks: tuple[Tick, ...],
        rule: int | None,
        onset: int | None,
        now: int,
    ) -> Evidence:
        shown = self.rules[rule if rule is not None else -1]
        burn = self.burn(ticks, shown.long_ns, now)
        allowed = 1 - self.objective
        current = None
        if burn is not None:
            size = sum(t.n_eff for t in ticks if t.end_ns > now - shown.long_ns)
            current = Estimate(burn.value * allowed, burn.low * allowed, burn.high * allowed, burn.n, size)
        quiet = verdict == "quiet"
        return Evidence(
            p.start_ns,
            verdict,
            firing=verdict == "firing",
            component=None if quiet else f"burn {shown.factor:g}x",
            direction=None if quiet else "up",
            onset_ns=onset,
            current=current,
            baseline=Estimate(allowed, allowed, allowed, 0, 0.0, 1.0),
            n=p.n,
            n_eff=p.n_eff,
            reason=None
            if quiet
            else f"{shown.severity}: {burn.value:.1f} times the budget"
            if burn
            else None,
        )
