"""Failures and the signals they are grouped into."""

import msgspec

KINDS = ("failure", "topic", "unanswered")
STATES = ("new", "confirmed", "fixed", "regressed", "ignored")
SEVERITIES = ("low", "medium", "high", "critical")


class Failure(msgspec.Struct, frozen=True):
    """One thing that went wrong in one trace.

    `source` is that of the score behind it (check, judge, user, human, …) or `class` for a call that errored with no
    check to say so. `message` is the scorer's reason or the person's words, `step` the span it concerns, `path` where
    that span is. `weight` is 1/π: how many traces of the traffic this one stands for.
    """

    trace_id: str
    time_ns: int
    scorer: str
    source: str
    message: str = ""
    error_class: str | None = None
    tool: str | None = None
    path: str = ""
    step: str = ""
    input: str = ""
    release: str | None = None
    weight: float = 1.0
    taxonomy: str | None = None
    severity: str | None = None


class Rate(msgspec.Struct, frozen=True):
    """A number with its interval; `value` None means unknown."""

    value: float | None
    low: float | None
    high: float | None


UNKNOWN = Rate(None, None, None)


class Signal(msgspec.Struct):
    """A kind of failure with a life of its own, like a bug.

    `prevalence` is its share of all traces of the window; `growth` the ratio of its rate in the last day to its rate
    before, and `trend` what that ratio's interval allows to say (growing, steady, shrinking, unknown). `traces` and
    `weight` are of the window. `title` is a template, not anyone's words, except where a person gave the `name`.
    `representative` is the weighted medoid, `examples` up to three more that cover the rest. `mean` is the mean of its
    members' vectors. `*_by_person` fields are never overwritten by the grouping. `kind` topic groups what is asked, unanswered
    what is asked and was not answered, in the same way.
    """

    id: str
    project: str
    title: str
    scorer: str
    source: str
    first_ns: int
    last_ns: int
    state: str = "new"
    name: str | None = None
    error_class: str | None = None
    tool: str | None = None
    severity: str = "medium"
    severity_by_person: bool = False
    owner: str | None = None
    owner_by_person: bool = False
    representative: str | None = None
    examples: list[str] = []
    traces: int = 0
    weight: float = 0.0
    prevalence: Rate = UNKNOWN
    growth: Rate = UNKNOWN
    trend: str = "unknown"
    fixed_ns: int | None = None
    fixed_release: str | None = None
    regressed_ns: int | None = None
    regressed_release: str | None = None
    regressed_trace: str | None = None
    fingerprints: list[str] = []
    mean: list[float] = []
    updated_ns: int = 0
    kind: str = "failure"

    @property
    def pinned(self) -> bool:
        """Whether a person has judged it, so that regrouping must leave it alone."""
        return self.state != "new"


class Member(msgspec.Struct, frozen=True):
    """That a failure belongs to a signal; one per (trace, scorer)."""

    trace_id: str
    scorer: str
    signal_id: str
    fingerprint: str
    time_ns: int
    release: str | None
    weight: float

    @property
    def key(self) -> tuple[str, str]:
        return self.trace_id, self.scorer
