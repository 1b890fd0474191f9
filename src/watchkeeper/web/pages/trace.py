"""One trace: its steps as a tree over time on the left, the selected one as a conversation on the right."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.model.score import Score
from watchkeeper.model.span import Span, Trace
from watchkeeper.pipeline.promote import NearDuplicate, case_of, must_pass_of, promote
from watchkeeper.reviewing.queue import item
from watchkeeper.server.login import safe_next
from watchkeeper.server.reading import load_trace, note_opened
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import audit, datasets, reviews
from watchkeeper.web import conversation, data, render
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.pages.traces import TRACE_ID
from watchkeeper.web.view import View, view_of

MOST_ROWS: Final = 400


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the tree: the span, how deep it lies, and its bar as thousandths of the trace's time."""

    span: Span
    depth: int
    x: float
    width: float
    scores: list[Score]

    @property
    def failed(self) -> bool:
        return self.span.error is not None or self.span.status == "error"


def tree(trace: Trace, scores: Iterable[Score] = ()) -> list[Step]:
    """The spans depth first, children by start. Orphans and the members of a cycle are shown at the top level."""
    known = {s.span_id for s in trace.spans}
    children: dict[str | None, list[Span]] = defaultdict(list)
    for span in trace.spans:
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else None
        children[parent].append(span)
    by_span: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        by_span[score.span_id].append(score)
    total = max(1, trace.end_ns - trace.start_ns)
    made: list[Step] = []
    seen: set[str] = set()

    def walk(first: Span) -> None:
        pending = [(first, 0)]
        while pending:
            span, depth = pending.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            x = 1000 * (span.start_ns - trace.start_ns) / total
            width = max(3.0, 1000 * max(0, span.end_ns - span.start_ns) / total)
            made.append(
                Step(
                    span,
                    depth,
                    round(min(max(x, 0), 997), 1),
                    round(min(width, 1000), 1),
                    by_span[span.span_id],
                )
            )
            pending += [(child, depth + 1) for child in reversed(children[span.span_id])]

    for top in children[None]:
        walk(top)
    for span in trace.spans:
        walk(span)
    return made


def chosen(trace: Trace, asked: str | None) -> Span | None:
    """The span to show: the one asked for, else the last model call, which holds the whole conversation."""
    if asked:
        for span in trace.spans:
            if span.span_id == asked:
                return span
    calls = trace.llm_calls
    return calls[-1] if calls else trace.root


def _sorted(scores: list[Score]) -> list[Score]:
    return sorted(scores, key=lambda s: (s.passed is not False, s.scorer, -s.scored_ns))


async def found_trace(call: Call) -> tuple[Trace, list[Score]]:
    """The trace of the path with its scores. Raises `HttpError` 404."""
    trace_id = str(call.request.path_params["trace_id"])
    loaded = await load_trace(call.services, call.project, trace_id) if TRACE_ID.fullmatch(trace_id) else None
    if loaded is None:
        raise HttpError(
            404,
            "there is no such trace in this project",
            "it may not have arrived yet, or have passed its retention",
        )
    return loaded


def span_context(trace: Trace, span: Span | None, scores: list[Score], content: bool) -> dict[str, Any]:
    """What the right-hand side needs: the selected span as conversation, its documents, scores and attributes."""
    if span is None:
        return {"span": None}
    mine = [s for s in scores if s.span_id == span.span_id]
    whole = [s for s in scores if not s.span_id]
    documents = list(enumerate(trace.documents, start=1))
    return {
        "span": span,
        "scores_beside": False,
        "content": content,
        "turns": conversation.turns(span, trace) if content else [],
        "documents": documents if content else [],
        "readable": conversation.readable,
        "attributes": conversation.attributes(span) if content else [],
        "span_scores": _sorted(mine),
        "trace_scores": _sorted(whole),
    }


async def _session(view: View, trace: Trace) -> dict[str, Any]:
    if not trace.context.session_id:
        return {"previous": None, "following": None, "turn": 0, "turns_n": 0}
    known = await data.rows(view, "page_session", session=trace.context.session_id)
    ids = [str(r["trace_id"]) for r in known]
    at = ids.index(trace.trace_id) if trace.trace_id in ids else -1
    return {
        "previous": known[at - 1] if at > 0 else None,
        "following": known[at + 1] if 0 <= at < len(ids) - 1 else None,
        "turn": at + 1,
        "turns_n": len(ids),
    }


@route("GET", "/traces/{trace_id}", permission="viewer")
async def trace(call: Call) -> Response:
    """One trace. `?span=` selects a step."""
    view = view_of(call)
    found, scores = await found_trace(call)
    if call.sees_content:
        await note_opened(call, found.trace_id)

    def known(conn: Connection) -> dict[str, Any]:
        return {
            "queued": reviews.for_trace(conn, view.project, found.trace_id),
            "labels": reviews.labels_of(conn, view.project, [found.trace_id]),
            "in_datasets": datasets.datasets_of_trace(conn, view.project, found.trace_id),
            "all_datasets": [d["name"] for d in datasets.listing(conn, view.project)],
        }

    session, record = await asyncio.gather(_session(view, found), call.services.records.read(known))
    steps = tree(found, scores)
    selected = chosen(found, call.request.query_params.get("span"))
    everything = "all" in view.params
    context = {
        "trace": found,
        "steps": steps if everything else steps[:MOST_ROWS],
        "hidden_steps": 0 if everything else max(0, len(steps) - MOST_ROWS),
        "calls": found.llm_calls,
        **session,
        **record,
        **span_context(found, selected, scores, call.sees_content),
        "scores_beside": True,
    }
    return await answer(view, "traces", _title(found), "trace.html", context)


def _title(trace: Trace) -> str:
    root = trace.root
    return root.name[:80] if root else trace.trace_id


@route("GET", "/traces/{trace_id}/panel", permission="viewer")
async def panel(call: Call) -> Response:
    """The short form that opens beside the list."""
    view = view_of(call)
    found, scores = await found_trace(call)
    if call.sees_content:
        await note_opened(call, found.trace_id)
    context = {
        "trace": found,
        "steps": tree(found, scores)[:40],
        "calls": found.llm_calls,
        "content": call.sees_content,
        "scores": _sorted([s for s in scores if s.source != "check" or s.passed is False]),
        "passed": sum(1 for s in scores if s.source == "check" and s.passed),
    }
    return render.html("panel.html", view, {"may": call.may, "csrf": call.csrf, **context})


async def _queue(call: Call, trace_ids: list[str], reason: str) -> int:
    now, wall = call.services.clock(), call.services.wall_clock()
    who = call.principal.actor
    items = [item(call.project, t, f"manual:{who}"[:64], reason, 6.0, now) for t in trace_ids]

    def work(conn: Connection) -> int:
        added = sum(reviews.add(conn, one) for one in items)
        audit.record(
            conn, project=call.project, now_ns=wall, actor=who, source=call.source,
            action="review.add", target=", ".join(trace_ids[:5]), detail={"traces": len(trace_ids)},
        )  # fmt: skip
        return added

    return await call.services.records.write(work)


@route("POST", "/traces/{trace_id}/review", permission="reviewer")
async def to_review(call: Call) -> Response:
    """Put the trace in the review queue."""
    found, _ = await found_trace(call)
    form = await form_of(call)
    await _queue(
        call,
        [found.trace_id],
        form.get("reason", "").strip()[:500] or f"Sent to review by {call.principal.actor}",
    )
    return RedirectResponse(safe_next(form.get("back")), 303)


@route("POST", "/traces/selected", permission="reviewer")
async def selected(call: Call) -> Response:
    """Put the selected rows in the review queue."""
    form = await call.request.form(max_fields=300, max_files=0)
    wanted = [v for v in form.getlist("trace") if isinstance(v, str) and TRACE_ID.fullmatch(v)]
    if not wanted:
        raise HttpError(400, "no trace is selected", "tick some rows, or press x on them")
    await _queue(call, wanted, f"Selected by {call.principal.actor}")
    back = form.get("back")
    return RedirectResponse(safe_next(back if isinstance(back, str) else None), 303)


@route("POST", "/traces/{trace_id}/dataset", permission="editor")
async def to_dataset(call: Call) -> Response:
    """Make the trace a test case in the next version of a dataset."""
    found, scores = await found_trace(call)
    form = await form_of(call)
    name = form.get("dataset", "").strip()
    if not name or len(name) > 100 or "/" in name:
        raise HttpError(400, "the dataset needs a name", "up to 100 characters, without a slash")
    labels = await call.services.records.read(lambda c: reviews.labels_of(c, call.project, [found.trace_id]))
    scorers = call.services.gate.scorers(call.project) if call.services.gate else []
    case = case_of(found, labels[-1] if labels else None, failed=must_pass_of(scores, scorers))
    expected = form.get("expected", "").strip()
    if expected:
        case = msgspec.structs.replace(case, expected=expected[:200_000])
    try:
        made = await promote(
            call.services.records, call.project, name, [case],
            author=call.principal.actor, note=form.get("note", "")[:500] or f"from trace {found.trace_id[:8]}",
            now_ns=call.services.clock(), force=form.get("force") == "yes",
        )  # fmt: skip
    except NearDuplicate as duplicate:
        raise HttpError(409, str(duplicate), f"/datasets/{name} lists it") from None
    return RedirectResponse(view_of(call).url(f"/datasets/{made.dataset}", version=made.version), 303)
