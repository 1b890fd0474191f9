"""The tree of a monitor's condition: frozen data, each node knowing where it was written."""

from dataclasses import dataclass, field, replace
from typing import Literal

Comparator = Literal["<", "<=", ">", ">=", "=", "!="]
NEGATED: dict[Comparator, Comparator] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "!=", "!=": "="}


class ConditionError(ValueError):
    """A condition that cannot be read. The text says where, what was found, and what could stand there."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class At:
    """Where a node begins, counted from 1. Two nodes are equal wherever they were written."""

    line: int = 1
    column: int = 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, At)

    def __hash__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in base units: `unit` is "" (plain), "rate" (written with %), "ms" or "USD"."""

    value: float
    unit: str = ""
    at: At = field(default_factory=At)

    def __str__(self) -> str:
        if self.unit == "rate":
            return f"{self.value * 100:.12g}%"
        return f"{self.value:.12g}" + {"ms": "ms", "USD": " USD"}.get(self.unit, "")


@dataclass(frozen=True, slots=True)
class Period:
    """Which time a metric is read over.

    `name` is "window" (the monitor's own), "baseline" (frozen), "last" or "previous" (the span of the same length
    just before); `seconds` is the length of the last two.
    """

    name: Literal["window", "baseline", "last", "previous"] = "window"
    seconds: int = 0

    def __str__(self) -> str:
        words = {3600: "hour", 86400: "day", 604800: "week"}
        if self.name == "window":
            return ""
        if self.name == "baseline":
            return "baseline."
        if self.seconds in words:
            return f"{'current' if self.name == 'last' else 'previous'}_{words[self.seconds]}."
        for size, letter in ((604800, "w"), (86400, "d"), (3600, "h"), (60, "m")):
            if self.seconds % size == 0:
                return f"{self.name}_{self.seconds // size}{letter}."
        return f"{self.name}_{self.seconds}s."


def quote(metric: str) -> str:
    """A metric name as it must be written in a condition."""
    plain = bool(metric) and (metric[0].isalpha() or metric[0] == "_")
    plain = plain and all(c.isalnum() or c in "_:" for c in metric) and metric.isascii()
    return metric if plain and metric not in RESERVED else '"' + metric.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Ref:
    """One statistic of one metric: mean, sum, n, sd, or a percentile written p50, p95, p99.9."""

    metric: str
    stat: str = "mean"
    period: Period = Period()
    at: At = field(default_factory=At)

    def __str__(self) -> str:
        return f"{self.period}{quote(self.metric)}" + ("" if self.stat == "mean" else f".{self.stat}")


@dataclass(frozen=True, slots=True)
class Share:
    """The share of scores that satisfy `metric op limit`; served by an indicator series of its own."""

    metric: str
    op: Comparator
    limit: float
    period: Period = Period()
    at: At = field(default_factory=At)

    @property
    def indicator(self) -> str:
        """The name of the 0/1 series whose mean this share is: the same text however it was spaced."""
        return f"share({quote(self.metric)} {self.op} {self.limit:.12g})"

    def __str__(self) -> str:
        return f"share({self.period}{quote(self.metric)} {self.op} {self.limit:.12g})"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Sum or difference of two readings, or a reading scaled by a number."""

    left: "Operand"
    op: Literal["+", "-", "*", "/"]
    right: "Operand"
    at: At = field(default_factory=At)

    def __str__(self) -> str:
        sides = [
            f"({side})" if isinstance(side, Arithmetic) and self.op in "*/" else str(side)
            for side in (self.left, self.right)
        ]
        return f"{sides[0]} {self.op} {sides[1]}"


Operand = Quantity | Ref | Share | Arithmetic


@dataclass(frozen=True, slots=True)
class Compare:
    """A reading against a limit or another reading."""

    left: Operand
    op: Comparator
    right: Operand
    at: At = field(default_factory=At)

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


@dataclass(frozen=True, slots=True)
class Happened:
    """A hard event: at least one score satisfied `share`'s comparison. No statistics: one is enough."""

    share: Share
    negated: bool = False
    at: At = field(default_factory=At)

    def __str__(self) -> str:
        return ("not " if self.negated else "") + "any" + str(self.share).removeprefix("share")


@dataclass(frozen=True, slots=True)
class Moves:
    """What the sequential evidence says of a metric.

    `kind` shift: any change of its distribution against the frozen baseline, with the direction it took
    (down, up, any). `kind` trend: the same evidence with a slope to it (decreasing, increasing). `kind` drift: the texts
    of a field moved against their map; a direction they have not.
    """

    kind: Literal["shift", "trend", "drift"]
    metric: str
    direction: Literal["down", "up", "any"]
    negated: bool = False
    at: At = field(default_factory=At)

    def __str__(self) -> str:
        word = self.direction
        if self.kind == "drift":
            return ("not " if self.negated else "") + self.metric
        if self.kind == "trend":
            word = {"down": "decreasing", "up": "increasing", "any": "any"}[self.direction]
        return f"{self.kind}({quote(self.metric)}) {'!=' if self.negated else '='} '{word}'"


@dataclass(frozen=True, slots=True)
class Burn:
    """The error budget of a promise is spent `factor` times too fast, in a long and a short window (seconds).

    `good` is a 0/1 metric (1 = good) or the share of scores that are good; `target` the share promised.
    """

    good: "Ref | Share"
    target: float
    factor: float
    long: int
    short: int
    negated: bool = False
    at: At = field(default_factory=At)

    @property
    def windows(self) -> "tuple[Ref | Share, Ref | Share]":
        """The good share over the long and over the short window."""
        long, short = Period("last", self.long), Period("last", self.short)
        return replace(self.good, period=long), replace(self.good, period=short)

    def __str__(self) -> str:
        good = (
            str(self.good).removeprefix("share(").removesuffix(")")
            if isinstance(self.good, Share)
            else self.good
        )
        spans = [
            str(Period("last", s)).removeprefix("last_").removesuffix(".") for s in (self.long, self.short)
        ]
        spans = [{"current_hour": "1h", "current_day": "1d", "current_week": "1w"}.get(s, s) for s in spans]
        text = f"burn({good}, {self.target * 100:.12g}%, {spans[0]}, {spans[1]}) > {self.factor:.12g}"
        return ("not " if self.negated else "") + text


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    inner: "Condition"
    at: At = field(default_factory=At)

    def __str__(self) -> str:
        return f"not ({self.inner})"


@dataclass(frozen=True, slots=True)
class Logic:
    """All (and) or any (or) of several conditions, flattened."""

    op: Literal["and", "or"]
    parts: "tuple[Condition, ...]"
    at: At = field(default_factory=At)

    def __str__(self) -> str:
        return f" {self.op} ".join(f"({p})" if isinstance(p, Logic) else str(p) for p in self.parts)


Condition = Compare | Happened | Moves | Burn | Not | Logic
RESERVED = frozenset(
    [
        "and",
        "or",
        "not",
        "share",
        "shift",
        "trend",
        "baseline",
        "current",
        "current_hour",
        "current_day",
        "current_week",
        "previous_hour",
        "previous_day",
        "previous_week",
    ]
)
