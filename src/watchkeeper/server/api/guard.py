"""Guards over HTTP."""

from typing import Annotated, Any

from pydantic import StringConstraints, model_validator

from watchkeeper.server.api.shapes import Body
from watchkeeper.server.routing import Call, HttpError, needed, route

Content = Annotated[str, StringConstraints(max_length=1 << 20)]


class Asked(Body):
    """What to check: an input before a model call, an output after it, or both, with the context it should rest on."""

    guard: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    input: Content | None = None
    output: Content | None = None
    context: Content | list[Any] | dict[str, Any] | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> "Asked":
        if self.input is None and self.output is None:
            raise ValueError("give an input, an output, or both")
        return self


@route("POST", "/api/guard", permission="ingest", body=Asked, max_body=4 << 20)
async def guard(call: Call) -> dict[str, Any]:
    """Run a guard: `verdict` pass, redact or block with `reasons`; `skipped` names checks that gave no answer in time
    (they count as passed unless the guard fails closed); `output` is the redacted text."""
    asked: Asked = call.body
    guards = needed(call.services.guard, "guards")
    answer = await guards.run(call.project, asked.guard, asked.input, asked.output, asked.context)
    if answer is None:
        known = ", ".join(guards.names(call.project))
        raise HttpError(
            404, f"there is no guard {asked.guard!r}", f"the guards of {call.project} are: {known}"
        )
    made: dict[str, Any] = {"verdict": answer.verdict, "reasons": answer.reasons, "skipped": answer.skipped}
    if answer.output is not None:
        made["output"] = answer.output
    if answer.shadow:
        made["shadow"] = True
    return made
