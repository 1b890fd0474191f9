import re
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import ToolRun, facts

_ERROR_TEXT = re.compile(
    r"\s*(?:(?:\w+\.)*\w*(?:Error|Exception)\b\s*(?::|$)|error\s*:|(?:unhandled )?exception\s*:|traceback \(most recent"
    r"|failed to \w+|(?:internal server|http) error\b)",
    re.IGNORECASE,
)


def error_of(run: ToolRun) -> str | None:
    """What went wrong in a tool run: what the client reported, else a result that is itself an error."""
    if run.error:
        return run.error
    result = run.result
    if isinstance(result, str):
        if result[:1] == "{" and len(result) < 20_000 and "rror" in result:
            try:
                result = msgspec.json.decode(result)
            except (msgspec.DecodeError, RecursionError):
                return None
        else:
            match = _ERROR_TEXT.match(result[:200])
            return result[:200] if match else None
    if isinstance(result, dict):
        fields = cast("dict[str, Any]", result)
        if fields.get("isError") is True or fields.get("is_error") is True:
            return str(fields.get("content") or fields.get("message") or "isError")[:200]
        error = fields.get("error")
        if error and error is not True:
            return str(error)[:200]
        if error is True or str(fields.get("status", "")).lower() in ("error", "failed", "failure"):
            return str(fields.get("message") or "the result says error")[:200]
    return None


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
