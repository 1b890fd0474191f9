"""A monitor: one rule, its owner, and what to do when it fires."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

from watchkeeper.alerting.conditions import metrics_of, parse, references, shares_of
from watchkeeper.alerting.lifecycle import Timing
from watchkeeper.alerting.syntax import Condition, ConditionError, Happened, Moves, Share
from watchkeeper.model.alert import Severity
from watchkeeper.model.times import HOUR, MINUTE, SECOND

SeverityWord = Literal["page", "critical", "warn", "warning", "info", "summary"]
# What the words people use mean.
SEVERITIES: dict[SeverityWord, Severity] = {
    "page": "page",
    "critical": "page",
    "warn": "warn",
    "warning": "warn",
    "info": "info",
    "summary": "info",
}
Dimension = Literal[
    "agent_name",
    "environment",
    "model",
    "prompt_name",
    "prompt_version",
    "provider",
    "region",
    "release",
    "scenario",
    "service",
    "variant",
]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


class MonitorError(ValueError):
    """A monitor that cannot be used: which field, what is wrong, what is allowed."""

    def __init__(self, monitor: str, field_name: str, message: str) -> None:
        super().__init__(f"monitor '{monitor}', {field_name}: {message}")
        self.field = field_name
        self.message = message


@dataclass(frozen=True)
class Test:
    """A monitor's own test: `series` such as "8.2 x20, 6.5 x10" (one value a tick, each of `n` scores) and what must
    come of it: firing_at, resolved_at (the 1-based position of a value), firing_by, or never: firing."""

    series: str
    expect: dict[str, Any]
    name: str = ""
    n: int = 100

    __test__ = False


@dataclass(frozen=True)
class Monitor:
    """One rule. Times in ns; everything is checked on construction.

    `condition` is the text of `alerting.conditions`. `by` splits it into one series per combination of dimension
    values beside the one for all traffic; `where` keeps only traffic with these values. `routes` are channel names.
    `no_data`: what silence means: "keep" shows the state no_data, "alert" also tells the routes, "ok" ignores it.
    `capped` says, in words, why it only warns although it was written to page; empty when nothing holds it back.
    Raises MonitorError naming the field.
    """

    name: str
    condition: str
    owner: str
    runbook: str
    project: str = "default"
    window: int = HOUR
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    severity: Severity = "warn"
    routes: tuple[str, ...] = ()
    response_time: int | None = None
    hold: int = 0
    keep_firing: int = 0
    renotify: int | None = 24 * HOUR
    min_n: int = 20
    no_data: Literal["alert", "keep", "ok"] = "keep"
    description: str = ""
    tests: tuple[Test, ...] = field(default=())
    capped: str = ""

    def __post_init__(self) -> None:
        for name in ("owner", "runbook"):
            if not getattr(self, name).strip():
                wanted = "a team or person" if name == "owner" else "a path or URL that says what to do"
                raise MonitorError(self.name, name, f"is required; name {wanted}")
        if self.severity not in get_args(Severity):
            allowed = ", ".join(get_args(Severity))
            raise MonitorError(self.name, "severity", f"'{self.severity}' is not one of {allowed}")
        object.__setattr__(self, "by", tuple(sorted(set(self.by))))
        object.__setattr__(self, "where", tuple(sorted(self.where)))
        for dimension in (*self.by, *(k for k, _ in self.where)):
            if dimension not in DIMENSIONS:
                raise MonitorError(self.name, "by", f"'{dimension}' is not one of {', '.join(DIMENSIONS)}")
        both = sorted(set(self.by) & {k for k, _ in self.where})
        if both:
            raise MonitorError(self.name, "where", f"{', '.join(both)} is fixed here and split under by")
        if self.window < MINUTE:
            raise MonitorError(self.name, "window", "must be at least one minute")
        if self.min_n < 1:
            raise MonitorError(self.name, "min_n", "must be at least 1")
        try:
            _ = self.tree
        except ConditionError as error:
            raise MonitorError(self.name, "condition", str(error)) from None

    @cached_property
    def tree(self) -> Condition:
        """The condition, parsed."""
        return parse(self.condition)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The series it reads, indicators of shares included."""
        return metrics_of(self.tree)

    @cached_property
    def shares(self) -> tuple[Share, ...]:
        """The shares it reads, for which a 0/1 series must be rolled."""
        return shares_of(self.tree)

    @cached_property
    def moving(self) -> tuple[str, ...]:
        """The metrics watched by the sequential detector."""
        return tuple(dict.fromkeys(r.metric for r in references(self.tree) if isinstance(r, Moves)))

    @cached_property
    def limits(self) -> bool:
        """Does it read anything against a limit, beside shifts and hard events? Such a look can be wrong."""
        return any(not isinstance(r, Moves) for r in references(self.tree)) and not isinstance(
            self.tree, Happened
        )

    def series(self, cohorts: int) -> int:
        """How many series of the fleet it watches over so many cohorts: each shares the false-alarm budget."""
        return cohorts * (len(self.moving) + self.limits)

    @cached_property
    def reach(self) -> int:
        """The longest span of recent time it reads, ns."""
        spans = [self.window]
        for r in references(self.tree):
            if not isinstance(r, Moves) and r.period.name in ("last", "previous"):
                spans.append(r.period.seconds * SECOND * (2 if r.period.name == "previous" else 1))
        return max(spans)

    @property
    def timing(self) -> Timing:
        """The lifecycle's durations: data may be missing for two windows before that is a state."""
        return Timing(self.hold, self.keep_firing, 2 * self.window)

    def tick(self, longest: int = HOUR) -> int:
        """How often it is evaluated, ns: every hour, or every five minutes where the window is shorter. Finer ticks would
        cost more points than they tell: a shorter window is read as five minutes."""
        return min(HOUR if self.moving or self.window >= HOUR else 5 * MINUTE, longest)


def tick_of(monitors: Iterable[Monitor], longest: int = HOUR) -> int:
    """The tick that serves all of these monitors, ns: series are rolled at this length and the watcher reads them so."""
    return min((m.tick(longest) for m in monitors), default=longest)


def read_scorers(monitor: Monitor) -> set[str]:
    """The metrics whose values decide it: those it reads, with the metric behind each share."""
    shares = {s.indicator: s.metric for s in monitor.shares}
    return {shares.get(m, m) for m in monitor.metrics}


def capped(monitor: Monitor, provisional: Mapping[str, str]) -> Monitor:
    """The monitor as it may act: one that pages on a provisional scorer (name to why it is provisional) warns instead."""
    held = sorted(read_scorers(monitor) & provisional.keys())
    if monitor.severity != "page" or not held:
        return monitor
    words = "; ".join(f"{name} is provisional ({provisional[name]})" for name in held)
    return replace(monitor, severity="warn", capped=f"It would page, but {words}.")
