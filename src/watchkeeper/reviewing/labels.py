"""What reviewers said, as scores: so that it can be asked for, exported and handed on like anything else said of a trace."""

from collections.abc import Iterable

import msgspec

from watchkeeper.model.review import Label
from watchkeeper.model.score import Score

HUMAN = "human"
"""The source of these scores, and the scorer they are filed under."""


class Settled(msgspec.Struct, frozen=True):
    """A label that counts. `reason` is why its trace was in the queue (the item's source); `probability` that with which it was
    drawn into it, 0 where that was no chance."""

    label: Label
    reason: str = ""
    probability: float = 0.0


def scores_of(given: Iterable[Settled], time_ns: int, session_id: str | None) -> list[Score]:
    """One score for each person who labelled a trace that began at `time_ns`: their last word. `given` is oldest first and holds
    what counts, all of that trace. Good is 1 and passes, bad is 0; the label is the failure's name where it has one."""
    latest = {one.label.author: one for one in given}
    return [
        Score(
            project=one.label.project, trace_id=one.label.trace_id, span_id="", scorer=HUMAN, version="1", source=HUMAN,
            time_ns=time_ns, scored_ns=one.label.time_ns, session_id=session_id, author=one.label.author,
            value=float(one.label.verdict == "good"),
            label=one.label.taxonomy if one.label.verdict == "bad" and one.label.taxonomy else one.label.verdict,
            passed=one.label.verdict == "good", reason=one.label.comment,
            inclusion_probability=one.probability, policy=one.reason,
        )
        for one in latest.values()
    ]  # fmt: skip
