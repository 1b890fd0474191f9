"""What was received, as stored: a span or a trace as OTLP/JSON, as a command that sends it again, as a test case."""

import asyncio
import json
import shlex
from typing import Final

import msgspec
from starlette.responses import PlainTextResponse, Response

from watchkeeper.model.score import Score
from watchkeeper.model.span import RawSpan, Trace
from watchkeeper.pipeline.promote import case_of, must_pass_of
from watchkeeper.server.reading import note_opened
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import reviews
from watchkeeper.web import media
from watchkeeper.web.pages.common import answer
from watchkeeper.web.pages.trace import found_trace
from watchkeeper.web.view import view_of
from watchkeeper.wire.encode import traces_json

# A page is for reading; larger ones are downloaded.
MOST_SHOWN: Final = 400_000
FORMS: Final = {"json": "application/json", "curl": "text/plain", "case": "application/x-ndjson"}


def curl(origin: str, document: str) -> str:
    """A shell command that sends this OTLP/JSON document to `origin`. The key is read from the environment."""
    # The document is one line, so no line of it can end the here-document, and a quoted one expands nothing.
    return (
        f"curl -sS {shlex.quote(origin + '/v1/traces')} -H 'content-type: application/json' "
        "-H \"authorization: Bearer $WATCHKEEPER_API_KEY\" --data-binary @- <<'OTLP'\n"
        f"{document}\nOTLP\n"
    )


async def _case(call: Call, trace: Trace, scores: list[Score]) -> str:
    labels = await call.services.records.read(lambda c: reviews.labels_of(c, call.project, [trace.trace_id]))
    scorers = call.services.gate.scorers(call.project) if call.services.gate else []
    made = case_of(trace, labels[-1] if labels else None, failed=must_pass_of(scores, scorers))
    return msgspec.json.encode(made).decode() + "\n"


def _spans(trace: Trace, asked: str) -> list[RawSpan]:
    found = [s.raw for s in trace.spans if s.raw is not None and (not asked or s.span_id == asked)]
    if not found:
        raise HttpError(404, "there is no such span in this trace", "open the trace and choose a step")
    return found


@route("GET", "/traces/{trace_id}/raw", permission="viewer")
async def raw(call: Call) -> Response:
    """The span `?span=`, or all of the trace, as received and redacted. `?form=` json, curl or case gives text alone."""
    view = view_of(call)
    call.need_content("prompts and outputs are hidden for your role")
    trace, scores = await found_trace(call)
    asked = view.params.get("span", "")
    spans = _spans(trace, asked)
    # Others are answered while a trace of thousands of spans is written.
    document = await asyncio.to_thread(traces_json, spans)
    form = view.params.get("form", "")
    if form and form not in FORMS:
        raise HttpError(400, f"form={form[:20]} is not known", f"use one of {', '.join(FORMS)}")
    await note_opened(
        call, f"{trace.trace_id}/{asked}" if asked else trace.trace_id, f"trace.{form or 'raw'}"
    )
    command = curl(str(call.request.base_url).rstrip("/"), document)
    case = await _case(call, trace, scores)
    if form:
        return PlainTextResponse(
            {"json": document, "curl": command, "case": case}[form],
            media_type=FORMS[form],
            headers={
                "content-disposition": f'attachment; filename="{trace.trace_id}.{"jsonl" if form == "case" else form}"'
            },
        )
    # What is too long to show unfolded would be longer still.
    shown = len(document) <= MOST_SHOWN
    pretty = json.dumps(json.loads(document), ensure_ascii=False, indent=2) if shown else document
    context = {
        "trace": trace,
        "span": asked,
        "parts": [
            ("json", "As received, redacted (OTLP/JSON)", pretty),
            ("curl", "Send it again", command),
            ("case", "As a line of a dataset", case),
        ],
        "most": MOST_SHOWN,
    }
    return await answer(view, "traces", "Raw span" if asked else "Raw trace", "raw.html", context)


@route("GET", "/traces/{trace_id}/media", permission="viewer", kind="static")
async def embedded(call: Call) -> Response:
    """The picture that came embedded in the messages of span `?span=`, the `?part=`th of its media parts from 0."""
    view = view_of(call)
    call.need_content("prompts and outputs are hidden for your role")
    trace, _ = await found_trace(call)
    place, asked = view.params.get("part", ""), view.params.get("span", "")
    parts = next((media.parts(s) for s in trace.spans if s.span_id == asked), [])
    known = parts[int(place) : int(place) + 1] if place.isdecimal() and len(place) < 6 else []
    found = media.picture(known[0]) if known else None
    if found is None:
        raise HttpError(
            404, "there is no such picture in this trace", "the span as received has what is there"
        )
    await note_opened(call, trace.trace_id)
    return Response(found[1], media_type=found[0])
