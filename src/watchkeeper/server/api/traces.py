"""Traces: a list by filter, and one whole."""

import base64
import binascii
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import MAX_NS, TraceId, WhichTraces, ns_of
from watchkeeper.server.reading import note_opened, refuse_probing, shown_trace, standings
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.server.trace_json import trace_json

_TRACE_ID: TypeAdapter[str] = TypeAdapter(TraceId)


class Wanted(WhichTraces):
    """Which traces, and how many of them at once."""

    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200, description="`next` of the page before.")


def cursor_of(time_ns: int, trace_id: str) -> str:
    """The cursor that continues after this trace."""
    return base64.urlsafe_b64encode(f"{time_ns}.{trace_id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[int, str]:
    """The position a cursor stands for. Raises `HttpError` 400."""
    try:
        time_ns, _, trace_id = (
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition(".")
        )
        position = int(time_ns[:20])
        if not 0 <= position <= MAX_NS or len(trace_id) != 32 or not set(trace_id) <= set("0123456789abcdef"):
            raise ValueError
    except (ValueError, binascii.Error):
        raise HttpError(400, "cursor: this is not a cursor of ours", "leave it out to start again") from None
    return position, trace_id


@route("GET", "/api/traces", permission="viewer", query=Wanted)
async def list_traces(call: Call) -> dict[str, Any]:
    """Traces, newest first. `next` continues the list; it is null at the end."""
    wanted: Wanted = call.query
    before = read_cursor(wanted.cursor) if wanted.cursor else None
    chosen = wanted.chosen(call.services.clock(), wanted.limit + 1, before)
    refuse_probing(call, chosen)
    rows = await call.services.columns.list_traces(call.project, chosen)
    more = len(rows) > wanted.limit
    rows = rows[: wanted.limit]
    after = cursor_of(ns_of(rows[-1]["time"]), rows[-1]["trace_id"]) if more else None
    return {"traces": [_row(row, call.sees_content) for row in rows], "next": after}


def _row(row: dict[str, Any], content: bool) -> dict[str, Any]:
    shown = {**row, "time": iso(ns_of(row["time"]))}
    if not content:
        shown.update({name: None for name in ("input_text", "output_text") if name in shown})
    return shown


@route("GET", "/api/traces/{trace_id}", permission="viewer")
async def one_trace(call: Call) -> dict[str, Any]:
    """One trace with its spans, messages, documents, tools and scores. Opening it is noted in the audit log."""
    trace_id = trace_id_of(call)
    found = await shown_trace(call.services, call.project, trace_id)
    if call.sees_content:
        await note_opened(call, trace_id)
    return trace_json(*found, content=call.sees_content, trust=await standings(call))


@route("POST", "/api/traces/settle", permission="ingest")
async def settle(call: Call) -> dict[str, Any]:
    """An import is done: traces of the past whose root never came are put together now instead of being waited for."""
    return {"settled": call.services.settle(call.project)}


def trace_id_of(call: Call) -> str:
    """The trace id in the path. Raises `HttpError` 404 for what cannot be one."""
    try:
        return _TRACE_ID.validate_python(call.request.path_params["trace_id"])
    except ValidationError:
        raise HttpError(
            404, "that is not a trace id", "a trace id is 32 hexadecimal digits that are not all zeros"
        ) from None
