"""Quality objectives: a promise about a score over weeks, and the monitors that watch its error budget (requirement D4)."""

from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.alerting.conditions import parse
from watchkeeper.alerting.monitor import Monitor, MonitorError
from watchkeeper.alerting.syntax import Burn, ConditionError, Share
from watchkeeper.model.alert import Severity
from watchkeeper.model.series import Insufficient, Point, merge
from watchkeeper.model.times import DAY, HOUR, MINUTE
from watchkeeper.stats.estimates import point_rate


@dataclass(frozen=True)
class BurnRule:
    """The budget is spent `factor` times too fast over a long and a short window (ns)."""

    factor: float
    long_ns: int
    short_ns: int
    severity: Severity


RULES = (
    BurnRule(14.4, HOUR, 5 * MINUTE, "page"),
    BurnRule(6.0, 6 * HOUR, 30 * MINUTE, "page"),
    BurnRule(1.0, 3 * DAY, 6 * HOUR, "warn"),
)
_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"))


def _span(ns: int) -> str:
    return next(f"{ns // size}{letter}" for size, letter in _UNITS if ns % size == 0)


@dataclass(frozen=True)
class Objective:
    """`good` is a 0/1 metric (1 = good) or a comparison such as `answer_relevance >= 7`; `target` the share of good ones
    promised over `period` ns. Raises MonitorError naming the field."""

    name: str
    good: str
    target: float
    owner: str
    runbook: str
    project: str = "default"
    period: int = 28 * DAY
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    routes: tuple[str, ...] = ()
    response_time: int | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise MonitorError(
                self.name, "target", f"is a share between 0 % and 100 %, not {self.target:.0%}"
            )
        try:
            _ = self.burn
        except ConditionError as error:
            raise MonitorError(self.name, "good", str(error)) from None

    @property
    def burn(self) -> Burn:
        """The promise, parsed, with the first rule's windows."""
        tree = parse(self._condition(RULES[0]))
        assert isinstance(tree, Burn)
        return tree

    @property
    def metric(self) -> str:
        """The 0/1 series whose mean is the share of good ones."""
        good = self.burn.good
        return good.indicator if isinstance(good, Share) else good.metric

    def _condition(self, rule: BurnRule) -> str:
        share = f"{self.target * 100:.10g}%"
        return f"burn({self.good}, {share}, {_span(rule.long_ns)}, {_span(rule.short_ns)}) > {rule.factor:g}"

    def monitors(self) -> list[Monitor]:
        """One monitor for each burn rate: fast ones page, the slow one warns."""
        return [
            Monitor(
                f"{self.name}-{rule.factor:g}x",
                self._condition(rule),
                self.owner,
                self.runbook,
                self.project,
                window=rule.short_ns,
                by=self.by,
                where=self.where,
                severity=rule.severity,
                routes=self.routes,
                response_time=self.response_time,
                # The bound of the long window holds for any n; the short one only says whether it goes on.
                min_n=1,
                description=self.description
                or f"{self.target:.4g} of {self.good} promised; its budget is spent {rule.factor:g} times too fast",
            )
            for rule in RULES
        ]


@dataclass(frozen=True)
class Standing:
    """Where an objective stands at the end of its period: the good share with interval, the share of the error budget that is
    left (negative: overspent; None: no data), and what was left at the end of each day (`days`: start ns, share)."""

    good: float | None
    low: float | None
    high: float | None
    n: int
    left: float | None
    left_low: float | None
    left_high: float | None
    days: tuple[tuple[int, float], ...] = ()


def standing(objective: Objective, points: Sequence[Point]) -> Standing:
    """The standing from the points of one period, of all traffic of the objective."""
    mine = sorted((p for p in points if p.n > 0 and p.sw > 0), key=lambda p: p.start_ns)
    if not mine:
        return Standing(None, None, None, 0, None, None, None)
    whole = merge(mine)
    found = point_rate(whole)
    allowed = 1 - objective.target
    value = whole.swx / whole.sw
    low, high = (None, None) if isinstance(found, Insufficient) else (found.low, found.high)

    def left(good: float | None) -> float | None:
        return None if good is None else 1 - (1 - good) / allowed

    total, spent, days = whole.sw, 0.0, dict[int, float]()
    for p in mine:
        spent += max(p.sw - p.swx, 0.0)
        days[p.start_ns // DAY * DAY] = 1 - spent / total / allowed
    return Standing(
        value, low, high, whole.n, left(value), left(low), left(high), tuple(sorted(days.items()))
    )
