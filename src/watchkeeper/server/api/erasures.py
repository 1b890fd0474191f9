"""Erasure on request, with its receipt."""

from typing import Any

import msgspec
from pydantic import Field

from watchkeeper.model.erasure import Erasure
from watchkeeper.pipeline.erase import EraseFlow
from watchkeeper.server.answers import timed
from watchkeeper.server.api.shapes import Body, TraceId
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, needed, route
from watchkeeper.store.records import erasure

SHOWN = 100


class Wanted(Body):
    """Whom or what to erase; without `confirm` it only says how many traces would go."""

    user_id: str | None = Field(None, min_length=1, max_length=1000)
    trace_ids: list[TraceId] = Field(default_factory=list[TraceId], max_length=1000)
    confirm: bool = False


def shown(made: Erasure) -> dict[str, Any]:
    """A receipt as the API and the pages tell it: without the ids it still works with."""
    return timed(
        {k: v for k, v in msgspec.to_builtins(made).items() if k not in ("trace_ids", "user_ids", "project")}
    )


def _flow(call: Call) -> EraseFlow:
    return needed(call.services.erasing, "erasing")


async def erase(call: Call, user_id: str | None, trace_ids: list[str]) -> Erasure:
    """Erase, and write into the audit log that somebody asked; the log names no user."""

    async def note(made: Erasure) -> None:
        what = "a user" if user_id is not None else f"{len(trace_ids)} traces"
        await note_change(call, "erase", f"{made.id}: {what}, {made.traces} traces found")

    return await _flow(call).erase(
        call.project, call.principal.actor, user_id=user_id, trace_ids=trace_ids, note=note
    )


@route("POST", "/api/erasures", permission="admin", body=Wanted)
async def begin(call: Call) -> dict[str, Any]:
    """Erase a user's traces, or some, and everything derived from them. `unknown` counts the given trace ids that are not stored, `unknown_user` says that no trace is the user's. Without `confirm` it only counts (`traces`); with it the answer is the receipt: what went, how many rows of each table, what remains and why."""
    given: Wanted = call.body
    if given.user_id is None and not given.trace_ids:
        raise HttpError(400, "nothing to erase", "give user_id, as your application sends it, or trace_ids")
    if not given.confirm:
        there = await _flow(call).find(call.project, given.user_id, given.trace_ids)
        return {
            "traces": len(there.traces),
            "unknown": len(there.unknown),
            "unknown_user": there.unknown_user,
            "confirm": "send it again with confirm: true to erase them",
        }
    return shown(await erase(call, given.user_id, given.trace_ids))


@route("GET", "/api/erasures", permission="admin")
async def listing(call: Call) -> list[dict[str, Any]]:
    """The receipts of this project, newest first. `state` is running, sweeping (once more after five minutes, for what was under way) or done."""
    return [
        shown(e) for e in await call.services.records.read(lambda c: erasure.find(c, call.project, SHOWN))
    ]
