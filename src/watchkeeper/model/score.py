"""What a scorer said about a trace."""

from typing import Any

import msgspec

from watchkeeper.model.span import Span, Trace

SOURCES = ("check", "judge", "classifier", "signal", "user", "human", "external")
LEVELS = ("span", "trace", "session")
ABSTAINED = "abstained"
# Scorers of a user's thumb: 1 is up.
THUMBS = ("thumbs", "thumbs_up", "thumbs_down", "user_feedback")

# Scores that say how much of something unwanted there was.
TROUBLE = frozenset((
    "abandoned", "clarification", "escalated", "escalation", "escalation_request", "frustration", "handoff", "handover",
    "output_repetition", "refusal", "rephrased", "uncertainty", "user_escalated",
))  # fmt: skip
# Scores of which more is neither good nor bad by itself.
NEITHER = frozenset(("output_words",))


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """A scorer's answer. `value` in the scorer's own scale, `passed` None when it is a measurement, not a rule. A judge that
    cannot tell says so with the label `ABSTAINED`, and neither: that is kept and counted, and is in no mean."""

    value: float | None = None
    label: str | None = None
    passed: bool | None = None
    reason: str | None = None
    error_class: str | None = None
    cost: float | None = None

    @property
    def abstained(self) -> bool:
        """Whether it was asked and could not tell."""
        return self.label == ABSTAINED and self.value is None and self.passed is None


class NotScored(msgspec.Struct, frozen=True, gc=False):
    """The scorer does not apply to this subject; not a low score. `refused`: it would apply and may not be asked, as a judge of an
    answer of its own family."""

    reason: str
    refused: bool = False


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The scorer broke; never a low score. `retry` says whether trying again may help."""

    reason: str
    retry: bool = False


Outcome = Verdict | NotScored | Failed


class Subject(msgspec.Struct):
    """What is scored: a trace, or one span within its trace. `earlier` are the session's previous traces, oldest
    first (empty when unknown); `expected` is a case's expected output in the gate; `extra` is free for a scorer's
    own inputs."""

    trace: Trace
    span: Span | None = None
    earlier: list[Trace] = []
    expected: str | None = None
    extra: dict[str, Any] = {}

    @property
    def input_text(self) -> str | None:
        return self.span.input_text if self.span is not None else self.trace.input_text

    @property
    def output_text(self) -> str | None:
        return self.span.output_text if self.span is not None else self.trace.output_text


class Score(msgspec.Struct, gc=False):
    """One stored score. Unique in effect per (project, trace, span, scorer, version, judge model, author).

    `time_ns` is the trace's time, `scored_ns` when the score was made. `inclusion_probability` is the probability
    with which this trace was chosen for this scorer; 1.0 for whatever sees all traffic, 0 where it was no chance (most of what people
    label). `weighed_ns` is when that was
    last decided, where an event after the score changed it; 0 otherwise, and when read back.
    """

    project: str
    trace_id: str
    span_id: str
    scorer: str
    version: str
    source: str
    time_ns: int
    scored_ns: int
    session_id: str | None = None
    judge_model: str = ""
    author: str = ""
    value: float | None = None
    label: str | None = None
    passed: bool | None = None
    reason: str | None = None
    cost: float | None = None
    inclusion_probability: float = 1.0
    policy: str = ""
    weighed_ns: int = 0
