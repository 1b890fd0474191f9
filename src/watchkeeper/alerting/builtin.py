"""The monitors Watchkeeper has for itself: limits on what it reads of its own stages, with the life of any alert."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from watchkeeper.alerting.lifecycle import Seen, Timing
from watchkeeper.model.numerals import figure
from watchkeeper.model.times import MINUTE

Name = Literal[
    "ingest-lag",
    "scoring-lag",
    "drops",
    "judge-errors",
    "disk",
    "coverage",
    "coverage-gap",
    "judge-drift",
    "damage",
]
PREFIX = "watchkeeper."
# Seconds below which a duration is told in a unit of so many.
_UNITS = ((120, 1, "s"), (7200, 60, "min"), (float("inf"), 3600, "h"))


@dataclass(frozen=True)
class Reading:
    """What a stage said of itself: a value in the rule's unit over `n` things; None where there is nothing to say yet."""

    value: float | None
    n: int
    says: str


@dataclass(frozen=True)
class BuiltIn:
    """One rule: it is a breach when the reading passes `limit` ("below": stands under it). `unit`: seconds, share or count. Fewer
    than `min_n` things say nothing. Times in ns."""

    name: Name
    what: str
    unit: Literal["seconds", "share", "count"]
    limit: float
    severity: Literal["page", "warn"]
    hold: int = 2 * MINUTE
    keep_firing: int = 5 * MINUTE
    min_n: int = 1
    side: Literal["above", "below"] = "above"

    @property
    def monitor(self) -> str:
        """Its name as an alert's monitor."""
        return PREFIX + self.name

    @property
    def condition(self) -> str:
        """What it watches, for people."""
        return f"{self.what} {'>' if self.side == 'above' else '<'} {with_unit(self.unit, self.limit)}"

    @property
    def timing(self) -> Timing:
        """The lifecycle's durations."""
        return Timing(self.hold, self.keep_firing, 0)

    def seen(self, reading: Reading) -> Seen:
        """What the reading means to the lifecycle."""
        if reading.value is None:
            return "no_data"
        if reading.n < self.min_n:
            return "unknown"
        over = reading.value > self.limit if self.side == "above" else reading.value < self.limit
        return "breach" if over else "clear"


def with_unit(unit: str, value: float) -> str:
    """A value in a rule's unit: 90 s, 12 min, 3.5 %.

    >>> with_unit("seconds", 720.0), with_unit("share", 0.035), with_unit("seconds", 4_000_000.0)
    ('12 min', '3.5 %', '1,111 h')
    """
    if unit == "share":
        return f"{figure(100 * value)} %"
    if unit == "count":
        return f"{value:,.0f}"
    size, name = next((s, n) for below, s, n in _UNITS if value < below)
    return f"{figure(value / size)} {name}"


RULES: tuple[BuiltIn, ...] = (
    BuiltIn("ingest-lag", "the oldest finished trace waits to be assembled for", "seconds", 120.0, "warn"),
    BuiltIn("scoring-lag", "the oldest due judge job has waited for", "seconds", 1800.0, "warn"),
    BuiltIn("drops", "received records dropped in the last 15 minutes", "share", 0.0, "page", hold=0),
    BuiltIn("judge-errors", "judge calls that failed in the last hour", "share", 0.2, "warn", min_n=20),
    BuiltIn("disk", "free part of the disk", "share", 0.1, "page", hold=0, side="below"),
    BuiltIn(
        "coverage", "selected traces that a scorer failed on in the last day", "share", 0.2, "warn", min_n=50
    ),
    BuiltIn(
        "coverage-gap",
        "traces selected in the last day that a scorer never scored",
        "share",
        0.01,
        "warn",
        min_n=20,
    ),
    BuiltIn("damage", "files set aside because they were damaged", "count", 0.0, "page", hold=0),
    BuiltIn("judge-drift", "judges that grade their canaries differently now", "share", 0.0, "warn", hold=0),
)
NAMES = tuple(r.name for r in RULES)


def rules(off: tuple[str, ...] = (), limits: Mapping[str, float] | None = None) -> tuple[BuiltIn, ...]:
    """The rules in force: without those switched off, with other limits where given. Raises KeyError for a name that is
    none of `NAMES`."""
    wanted = dict(limits or {})
    wrong = sorted((set(off) | set(wanted)) - set(NAMES))
    if wrong:
        raise KeyError(wrong[0])
    return tuple(replace(r, limit=wanted.get(r.name, r.limit)) for r in RULES if r.name not in off)
