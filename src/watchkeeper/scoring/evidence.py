"""Which events later scores of a trace are: a thumbs-down, an escalation, a guard's trigger, a low score (requirement S2).

Sampling's always-on policies wait for these. They may come an hour after the trace; the decision is then taken again.
"""

from collections.abc import Iterable

from watchkeeper.model.score import Score
from watchkeeper.scoring.sampling import SIGNAL

ESCALATIONS = frozenset(("escalation", "escalated", "handover", "handoff", "escalation_request"))
GUARDS = ("guard", "guardrail")
# A check that runs on all traffic has raised its own flag when the trace was complete. People's labels are left out: who is
# asked to label is no chance, so nobody can say with what probability the trace was seen.
_LOW = frozenset(("judge", "classifier", "external"))
_SAID = frozenset(("user", "signal", "external"))


def flags_of(score: Score) -> frozenset[str]:
    """The events one score stands for."""
    found: set[str] = set()
    failed = score.passed is False
    if score.source == "user" and failed and score.scorer not in ESCALATIONS:
        found.add("thumbs_down")
    if score.source in _SAID and score.scorer in ESCALATIONS and (failed or bool(score.value)):
        found.add("escalation")
    guarded = score.scorer.lower().split(".")[0].split(":")[0] in GUARDS
    if guarded and failed:
        found.add("guard")
    if failed and score.source in _LOW and not guarded:
        found.add("low_score")
    if score.source in ("user", "signal") and (failed or (score.passed is None and bool(score.value))):
        found.add(SIGNAL + score.scorer)
    return frozenset(found)


def observed(scores: Iterable[Score]) -> dict[str, float]:
    """The events of a trace, each with the largest probability with which its evidence was seen: that of the score, 1 for
    what needs no sampling (a user's word)."""
    found: dict[str, float] = {}
    for score in scores:
        seen = score.inclusion_probability
        if not 0.0 < seen <= 1.0:
            continue
        for flag in flags_of(score):
            found[flag] = max(found.get(flag, 0.0), seen)
    return found
