from dataclasses import dataclass
from typing import Any

import msgspec

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring import jsonschemas
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts


def parsed(arguments: Any) -> Any:
    """Arguments as an object, also where they were encoded twice. Raises ValueError where their text is not JSON; no text
    at all is no arguments."""
    if arguments is None or arguments == "":
        return {}
    for _ in range(2):
        if isinstance(arguments, str):
            try:
                arguments = msgspec.json.decode(arguments.encode("utf-8", "surrogatepass"))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ValueError(f"arguments are not JSON: {error}") from error
    return arguments


@dataclass(frozen=True, kw_only=True)
class ToolArgumentsValid(Check):
    """The arguments of every tool call fit the tool's own JSON Schema, as sent with the request."""

    type = "tool_arguments_valid"
    row = "C2"
    summary = "The arguments of every tool call are JSON that fits the tool's schema."
    error_class = "tool_error"
    default = True

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        if not seen.requested:
            return NotScored("no tool was called")
        judged = False
        for call in seen.requested:
            schema = seen.definitions.get(call.name or "")
            if (
                not schema
                and isinstance(call.arguments, str)
                and call.arguments.lstrip()[:1] not in ("{", "[")
            ):
                # Some tools take plain text: code, a patch.
                continue
            try:
                arguments = parsed(call.arguments)
            except ValueError as error:
                return fail(f"{call.where}: {call.name}: {error}", self.error_class)
            if not schema:
                continue
            try:
                wrong = jsonschemas.problem(schema, arguments)
            except ValueError:
                # The application's own schema is broken; that says nothing about the call.
                continue
            judged = True
            if wrong is not None:
                return fail(f"{call.where}: {call.name}: {wrong}", self.error_class)
        return PASS if judged else NotScored("no schema is known for the called tools")
