"""Which events later scores of a trace are: a thumbs-down, an escalation, a guard's trigger, a low score (requirement S2).

Sampling's always-on policies wait for these. They may come an hour after the trace; the decision is then taken again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from watchkeeper.model.score import Score
from watchkeeper.scoring.sampling import SIGNAL

ESCALATIONS = frozenset(("escalation", "escalated", "handover", "handoff", "escalation_request"))
RATINGS = frozenset(
    (
        "thumbs",
        "thumbs_up",
        "thumbs_down",
        "user_feedback",
        "user_rating",
        "rating",
        "stars",
        "task_completed",
        "resolved",
    )
)
GUARDS = ("guard", "guardrail")
# A check that runs on all traffic has raised its own flag when the trace was complete. People's labels are left out: who is
# asked to label is no chance, so nobody can say with what probability the trace was seen.
_LOW = frozenset(("judge", "classifier", "external"))
_SAID = frozenset(("user", "signal", "external"))
SignalAction = Literal["review_now", "review", "judge", "golden", "baseline"]
When = Literal["failed", "passed", "any"]
# Names people give to one side of a scorer.
ALIASES: dict[str, tuple[str, When]] = {
    "thumbs_down": ("thumbs", "failed"),
    "thumbs_up": ("thumbs", "passed"),
    "edited": ("correction", "any"),
}


@dataclass(frozen=True)
class SignalRoute:
    """What becomes of a signal (requirement F3): a user's word, a behaviour or an external score named `scorer`.

    when: `failed` (also an event that happened, such as `copy`), `passed` or `any`; below, above: bounds on the value beside it.
    actions: what becomes of it; `baseline` alone means that it is only counted. share: of the traces with this signal, how many
    the judges see. dataset: where `golden` puts its cases.
    """

    name: str
    scorer: str
    when: When = "failed"
    below: float | None = None
    above: float | None = None
    actions: tuple[SignalAction, ...] = ("baseline",)
    share: float = 1.0
    dataset: str = "golden"

    @property
    def flag(self) -> str:
        """Its event's name in sampling."""
        return SIGNAL + self.name

    def matches(self, score: Score) -> bool:
        """Whether a score is this signal."""
        if score.scorer != self.scorer or score.source not in _SAID:
            return False
        if self.below is not None and not (score.value is not None and score.value < self.below):
            return False
        if self.above is not None and not (score.value is not None and score.value > self.above):
            return False
        failed = score.passed is False or (score.passed is None and bool(score.value))
        return self.when == "any" or failed == (self.when == "failed")


def flags_of(score: Score, routes: Sequence[SignalRoute] = ()) -> frozenset[str]:
    """The events one score stands for; a routed signal is an event of its own."""
    found: set[str] = set()
    failed = score.passed is False
    if score.source == "user" and failed and score.scorer in RATINGS:
        found.add("thumbs_down")
    if score.source in _SAID and score.scorer in ESCALATIONS and (failed or bool(score.value)):
        found.add("escalation")
    guarded = score.scorer.lower().split(".")[0].split(":")[0] in GUARDS
    if guarded and failed:
        found.add("guard")
    if failed and score.source in _LOW and not guarded:
        found.add("low_score")
    return frozenset(found | {r.flag for r in routes if r.matches(score)})


def observed(scores: Iterable[Score], routes: Sequence[SignalRoute] = ()) -> dict[str, float]:
    """The events of a trace, each with the largest probability with which its evidence was seen: that of the score, 1 for
    what needs no sampling (a user's word)."""
    found: dict[str, float] = {}
    for score in scores:
        seen = score.inclusion_probability
        if not 0.0 < seen <= 1.0:
            continue
        for flag in flags_of(score, routes):
            found[flag] = max(found.get(flag, 0.0), seen)
    return found
