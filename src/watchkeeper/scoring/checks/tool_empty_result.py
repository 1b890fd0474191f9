from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.failures import nothing


@dataclass(frozen=True, kw_only=True)
class ToolEmptyResult(Check):
    """No tool came back empty-handed. That is not a failed tool, so it implies no error class.

    ignore: tools whose results are legitimately empty.
    """

    type = "tool_empty_result"
    row = "C2"
    summary = "No tool returned an empty result (a fact about retrieval and routing, not an error)."
    default = True
    example = {"ignore": ["log_event"]}

    ignore: tuple[str, ...] = ()

    def one(self, subject: Subject) -> Outcome:
        runs = [r for r in facts(subject).tool_runs if r.result is not None and r.name not in self.ignore]
        if not runs:
            return NotScored("no tool result is known")
        empty = [r for r in runs if r.error is None and nothing(r.result)]
        return PASS if not empty else fail(f"{empty[0].name} returned nothing ({len(empty)} of {len(runs)})")
