"""Data out: the answer to a statement as a file of any size, and whole traces in a form that can be imported again."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any, Literal, cast

import msgspec
from pydantic import Field
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from watchkeeper.dialects import derive, normalise
from watchkeeper.model.score import Score
from watchkeeper.scoring.keeping import bring
from watchkeeper.server.answers import to_json
from watchkeeper.server.api.shapes import Range, WhichTraces, ns_of, sql_time
from watchkeeper.server.reading import note_opened
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.server.trace_json import trace_json
from watchkeeper.store.columns import QueryRefused, TraceFilter
from watchkeeper.store.sandbox_words import of_condition
from watchkeeper.wire import encode

log = logging.getLogger("watchkeeper.export")
MEDIA = {
    "jsonl": "application/jsonl",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
# How many traces are in memory at once; one may be of ten thousand spans, and of each the store unpacks about a megabyte.
TRACES_AT_ONCE = 40
PAGE = 500


class Rows(Range):
    """What to export: one SELECT, or a table with a time range and a condition."""

    format: Literal["jsonl", "csv", "parquet", "arrow"] = "jsonl"
    query: str | None = Field(None, max_length=20_000, description="One SELECT, as for /api/sql.")
    table: Literal["traces", "spans", "scores"] = "traces"


class Whole(WhichTraces):
    """Which traces to export whole, and in which form."""

    format: Literal["watchkeeper", "otlp"] = Field(
        "watchkeeper",
        description="watchkeeper: a trace a line, with scores. otlp: a request a line, as any OTLP receiver takes it.",
    )


def statement(wanted: Rows, now_ns: int) -> str:
    """The one SELECT these parameters stand for. Raises `HttpError` 400."""
    if wanted.query is not None:
        if wanted.since or wanted.until or wanted.where or "table" in wanted.model_fields_set:
            raise HttpError(
                400, "query: leave out table, since, until and where", "write the condition into the query"
            )
        return wanted.query
    since_ns, until_ns = wanted.bounds(now_ns)
    parts: list[str] = []
    if since_ns is not None:
        parts.append(f"time >= {sql_time(since_ns)}")
    if until_ns is not None:
        parts.append(f"time < {sql_time(until_ns)}")
    if wanted.where:
        parts.append(f"({wanted.where}\n)")
    return f"select * from {wanted.table}" + (f" where {' and '.join(parts)}" if parts else "")


async def _watched(call: Call, pieces: AsyncGenerator[bytes], first: bytes) -> AsyncGenerator[bytes]:
    """The pieces; a failure after the answer has begun can only cut it off, which every HTTP client notices."""
    try:
        yield first
        async for piece in pieces:
            yield piece
    except QueryRefused as error:
        call.services.counters.add("watchkeeper_export_failed_total")
        log.warning("an export was cut off: %s", error)
        raise
    finally:
        await pieces.aclose()


class _Closing(StreamingResponse):
    """Ends what makes the pieces when the reader goes: left to be collected, it would keep its place among the few."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await cast(AsyncGenerator[bytes], self.body_iterator).aclose()


async def _answer(call: Call, pieces: AsyncGenerator[bytes], form: str, name: str) -> StreamingResponse:
    # The first piece is awaited, so that what is refused is still answered in words.
    first = await anext(pieces, b"")
    headers = {"content-disposition": f'attachment; filename="{name}.{form}"', "cache-control": "no-store"}
    return _Closing(_watched(call, pieces, first), media_type=MEDIA[form], headers=headers)


@route("GET", "/api/export", permission="viewer", query=Rows)
async def export_rows(call: Call) -> StreamingResponse:
    """A statement's whole answer as JSON lines, CSV, Parquet or an Arrow stream. It is noted in the audit log."""
    wanted: Rows = call.query
    call.need_content("an export holds prompts and outputs")
    query = statement(wanted, call.services.clock())
    await note_opened(call, f"{wanted.format}: {call.services.redact(query)[:480]}", "export")
    pieces = call.services.columns.export(call.project, query, wanted.format)
    try:
        return await _answer(call, pieces, wanted.format, "watchkeeper" if wanted.query else wanted.table)
    except QueryRefused as error:
        raise of_condition(error, wanted.where) if wanted.where else error from None


@route("GET", "/api/export/traces", permission="viewer", query=Whole)
async def export_traces(call: Call) -> StreamingResponse:
    """Whole traces as JSON lines, newest first, with the raw spans that `watchkeeper import` takes back; as OTLP requests with
    `format=otlp`."""
    wanted: Whole = call.query
    call.need_content("an export holds prompts and outputs")
    chosen = wanted.chosen(call.services.clock(), PAGE)
    said = {k: v for k, v in wanted.model_dump().items() if v is not None}
    await note_opened(call, call.services.redact(f"traces: {said}")[:500], "export")
    return await _answer(
        call, whole_traces(call, chosen, _otlp if wanted.format == "otlp" else _line), "jsonl", "traces"
    )


Form = Callable[[list[Any], list[Any], list[Score]], bytes]


async def whole_traces(call: Call, wanted: TraceFilter, form: Form) -> AsyncGenerator[bytes]:
    """Every trace of the filter in lines of JSON; pages are read as they are taken."""
    columns = call.services.columns
    while True:
        rows = await columns.list_traces(call.project, wanted)
        for at in range(0, len(rows), TRACES_AT_ONCE):
            ids = [str(r["trace_id"]) for r in rows[at : at + TRACES_AT_ONCE]]
            found = await columns.read_traces(call.project, ids)
            scores = await columns.read_scores(call.project, ids)
            kept = {str(r["trace_id"]): float(r.get("keep_probability") or 1) for r in rows}
            # The work of a page must not hold up everybody else on the loop.
            if lines := await asyncio.to_thread(_lines, ids, found, scores, kept, form):
                yield lines
        if len(rows) < wanted.limit:
            return
        before = (ns_of(rows[-1]["time"]), str(rows[-1]["trace_id"]))
        wanted = msgspec.structs.replace(wanted, before=before)


def _lines(
    ids: list[str],
    found: dict[str, tuple[list[Any], list[Any]]],
    scores: list[Score],
    kept: dict[str, float],
    form: Form,
) -> bytes:
    said: dict[str, list[Score]] = {}
    for score in scores:
        said.setdefault(score.trace_id, []).append(score)
    return b"".join(
        form(_weighed(found[i][0], kept[i]), found[i][1], said.get(i, [])) for i in ids if i in found
    )


def _weighed(spans: list[Any], kept: float) -> list[Any]:
    """The spans with what storage sampling had to do with the probability that they were `kept`; of sampling upstream they say
    themselves."""
    if kept >= 1:
        return spans
    upstream = [s.keep_probability for s in map(normalise, spans) if s.keep_probability is not None]
    return bring(spans, min(kept / min(upstream, default=1.0), 1.0))


def _otlp(spans: list[Any], logs: list[Any], _scores: list[Score]) -> bytes:
    made = [encode.traces_json(spans)] if spans else []
    if logs:
        made.append(encode.logs_json(logs))
    return "".join(line + "\n" for line in made).encode("utf-8", "replace")


def _line(spans: list[Any], logs: list[Any], scores: list[Score]) -> bytes:
    made = trace_json(derive(spans, logs), scores)
    made["raw"] = {"spans": msgspec.to_builtins(spans), "logs": msgspec.to_builtins(logs)}
    return to_json(made) + b"\n"


__all__ = ["export_rows", "export_traces", "statement", "whole_traces"]
