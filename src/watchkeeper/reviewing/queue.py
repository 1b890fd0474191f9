"""Which scored traces go to the review queue, why, and how urgently."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from watchkeeper.model.review import ReviewItem
from watchkeeper.model.score import Score


@dataclass(frozen=True)
class ReviewPolicy:
    """Send a trace to review when one of its scores matches.

    Attributes:
        source: the queue's name for this reason; a trace is in the queue once per source.
        reason: the words shown to the reviewer; `{scorer}`, `{value}` and `{reason}` are filled in.
        scorers: names it applies to; empty for any.
        score_source: only scores from this source (`user`, `judge`, …); None for any.
        below: matches values under this; None to match on `passed is False`.
        priority: urgency at the threshold; it grows by up to 1 the further the value falls below it.
        cap: open items kept for this source, the most urgent ones; None for no limit.
    """

    source: str
    reason: str
    scorers: tuple[str, ...] = ()
    score_source: str | None = None
    below: float | None = None
    priority: float = 5.0
    cap: int | None = 50

    def urgency(self, score: Score) -> float | None:
        """The priority of a trace with this score, None when the policy does not match it."""
        if self.scorers and score.scorer not in self.scorers:
            return None
        if self.score_source is not None and score.source != self.score_source:
            return None
        if self.below is None:
            return self.priority if score.passed is False else None
        if score.value is None or score.value >= self.below:
            return None
        fallen = (self.below - score.value) / self.below if self.below > 0 else 1.0
        return self.priority + min(1.0, fallen)


SAFETY_SCORERS = ("pii_in_output", "secret_in_output", "system_prompt_leak", "profanity")

DEFAULT_POLICIES: tuple[ReviewPolicy, ...] = (
    ReviewPolicy("safety", "Safety check failed: {scorer} ({reason})", SAFETY_SCORERS, priority=9.0, cap=200),
    ReviewPolicy(
        "thumbs_down", "The user was not satisfied: {reason}", score_source="user", priority=7.0, cap=200
    ),
    ReviewPolicy(
        "low_score", "{scorer} is {value}: {reason}", ("answer_relevance",), below=4.0, priority=4.0
    ),
    ReviewPolicy("ungrounded", "{scorer} is {value}: {reason}", ("groundedness",), below=0.3, priority=4.0),
)


OPINIONS = ("judge", "classifier", "user", "external")


def disagreement(scores: Sequence[Score]) -> tuple[Score, Score] | None:
    """Two that disagree on a trace: one with an opinion of the whole answer passes it and another does not (the newest score of
    each scorer and author counts). Checks are not among them: each looks at one thing only."""
    newest: dict[tuple[str, str, str, str], Score] = {}
    for score in sorted(scores, key=lambda s: s.scored_ns):
        newest[score.scorer, score.judge_model, score.author, score.span_id] = score
    said = [s for s in newest.values() if s.source in OPINIONS and s.passed is not None and not s.span_id]
    passed = sorted((s for s in said if s.passed), key=lambda s: s.scorer)
    failed = sorted((s for s in said if not s.passed), key=lambda s: s.scorer)
    return next(((a, b) for a in passed for b in failed if a.scorer != b.scorer), None)


def sampled(trace_id: str, share: float) -> bool:
    """Whether a trace belongs to the random sample that is reviewed: by a hash of its id that no other sample uses."""
    digest = hashlib.sha256(f"review\0{trace_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def item_id(project: str, trace_id: str, source: str) -> str:
    """The stable id of a queue item, so that adding it twice is one item."""
    return "rev_" + hashlib.sha256(f"{project}\0{trace_id}\0{source}".encode()).hexdigest()[:24]


def item(
    project: str,
    trace_id: str,
    source: str,
    reason: str,
    priority: float,
    now_ns: int,
    scorer: str | None = None,
    alert_id: str | None = None,
    probability: float | None = None,
) -> ReviewItem:
    """A queue item with its stable id."""
    return ReviewItem(
        id=item_id(project, trace_id, source),
        project=project,
        trace_id=trace_id,
        reason=reason[:500],
        source=source,
        priority=priority,
        created_ns=now_ns,
        scorer=scorer,
        alert_id=alert_id,
        probability=probability,
    )


def sieve(policies: Sequence[ReviewPolicy]) -> Callable[[Score], bool]:
    """Whether any of these policies can match a score, found out in a fraction of the time that asking each takes: every score
    that one matches passes, and hardly any other."""
    every = max((p.below for p in policies if p.below is not None and not p.scorers), default=-math.inf)
    limits: dict[str, float] = {}
    for policy in policies:
        for name in policy.scorers if policy.below is not None else ():
            limits[name] = max(limits.get(name, every), policy.below or 0.0)

    def passes(score: Score) -> bool:
        if score.passed is False:
            return True
        return score.value is not None and score.value < limits.get(score.scorer, every)

    return passes


def candidates(
    policies: Sequence[ReviewPolicy], project: str, trace_id: str, scores: Sequence[Score], now_ns: int
) -> list[tuple[ReviewItem, int | None]]:
    """The items this trace's scores call for, each with its policy's cap; the most urgent score speaks per source."""
    found: list[tuple[ReviewItem, int | None]] = []
    for policy in policies:
        urgent = [(u, s) for s in scores if (u := policy.urgency(s)) is not None]
        if not urgent:
            continue
        urgency, score = max(urgent, key=lambda pair: pair[0])
        value = "failed" if score.value is None else f"{score.value:g}"
        reason = policy.reason.format(
            scorer=score.scorer, value=value, reason=score.reason or score.label or value
        )
        found.append(
            (item(project, trace_id, policy.source, reason, urgency, now_ns, score.scorer), policy.cap)
        )
    return found
