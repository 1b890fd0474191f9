from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts


@dataclass(frozen=True, kw_only=True)
class ToolKnown(Check):
    """Every tool a model called was offered to it, or is on the list.

    allowed: names that may be called; empty takes the tool definitions sent with the request.
    """

    type = "tool_known"
    row = "C2"
    summary = "Every called tool is on the allowed list, by default the tools the request defined."
    error_class = "tool_error"
    default = True
    example = {"allowed": ["search_orders", "refund"]}

    allowed: Sequence[str] = ()

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        calls = seen.requested or (seen.tool_runs if self.allowed else [])
        if not calls:
            return NotScored("no tool was called")
        allowed = set(self.allowed) or set(seen.definitions)
        if not allowed:
            return NotScored("neither an allowed list nor tool definitions are known")
        for call in calls:
            if call.name is not None and call.name not in allowed:
                return fail(f"{call.where}: called {call.name!r}, which was not offered", self.error_class)
        return PASS
