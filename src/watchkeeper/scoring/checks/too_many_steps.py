import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts

_UNITS = "steps?|turns?|iterations?|iters?|rounds?|loops?|tool[ _-]?calls?|function[ _-]?calls?|cycles?"
_CAP = re.compile(
    rf"max(?:imum)?[ _-]?(?:number of |consecutive[ _-]|allowed )?(?:\w+ )?(?:{_UNITS})|(?:{_UNITS}|recursion)[ _-]?(?:limit|budget|cap)\b"
    rf"|too many (?:{_UNITS})|(?:limit|max(?:imum)?) of \d+ (?:{_UNITS})|request_limit of|MaxTurns|MaxIterations|MaxSteps|GraphRecursionError|agent stopped due to|needs? more steps",
    re.IGNORECASE,
)
# What frameworks answer in the user's stead where the cap was hit.
_SAID = re.compile(
    rf"\W*(?:agent stopped due to|sorry,? need more steps|(?:i |the agent )?(?:have |has )?(?:reached|exceeded|hit) (?:the |my )?max(?:imum)?\b.{{0,30}}(?:{_UNITS})"
    rf"|max(?:imum)? (?:number of )?(?:{_UNITS}) (?:was |has been )?(?:reached|exceeded|hit))",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class TooManySteps(Check):
    """The agent finished within its steps: not more model and tool steps than the cap, and no cap was reported hit.

    max: model calls plus tool runs in one trace.
    """

    type = "too_many_steps"
    row = "C2"
    summary = "The trace took at most `max` model and tool steps and hit no step or turn cap."
    error_class = "tool_error"
    default = True
    example = {"max": 30}

    max: int = 50

    def prepare(self) -> None:
        if self.max < 1:
            raise ValueError("max: must be at least 1")

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        steps = len(seen.llm) + len(seen.tool_runs)
        if not steps:
            return NotScored("no model or tool step")
        for span in seen.spans:
            error = span.error
            if error is not None and _CAP.search(f"{error.message or ''} {error.raw_type or ''}"):
                return fail(f"{span.name}: {error.message or error.raw_type}", self.error_class)
        if subject.output_text and _SAID.match(subject.output_text[:200]):
            return fail(f"answered “{subject.output_text[:80]}”", self.error_class)
        return PASS if steps <= self.max else fail(f"{steps} steps, at most {self.max}", self.error_class)
