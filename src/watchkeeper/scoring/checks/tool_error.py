from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import ToolRun, facts
from watchkeeper.scoring.failures import failure


def error_of(run: ToolRun) -> str | None:
    """What went wrong in a tool run: what the client reported, else a result that is itself an error."""
    return run.error or failure(run.result)


@dataclass(frozen=True, kw_only=True)
class ToolError(Check):
    """No tool failed: neither by status nor by a result that is an error message. An empty result is no error."""

    type = "tool_error"
    row = "C2"
    summary = "No tool execution failed, by its status or by a result that is an error message."
    error_class = "tool_error"
    default = True

    def one(self, subject: Subject) -> Outcome:
        runs = facts(subject).tool_runs
        if not runs:
            return NotScored("no tool ran")
        failed = [(r, e) for r in runs if (e := error_of(r)) is not None]
        if not failed:
            return PASS
        run, error = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return fail(f"{run.name}: {error}{more}", self.error_class)
