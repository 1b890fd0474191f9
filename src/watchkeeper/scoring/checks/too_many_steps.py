import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts

_CAP = re.compile(
    r"max(?:imum)?[ _-]?(?:number of )?(?:steps?|turns?|iterations?)|(?:step|turn|iteration|recursion)[ _-]?limit"
    r"|MaxTurnsExceeded|GraphRecursionError|agent stopped due to",
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
        return PASS if steps <= self.max else fail(f"{steps} steps, at most {self.max}", self.error_class)
