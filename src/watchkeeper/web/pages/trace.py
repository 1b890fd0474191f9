"""One trace: its steps as a tree over time on the left, the selected one as a conversation on the right."""

import asyncio
from typing import Any

import msgspec
from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.model.score import Score
from watchkeeper.model.span import Span, Trace
from watchkeeper.model.splits import REPLAYS
from watchkeeper.pipeline.promote import NearDuplicate, case_of, must_pass_of, promote
from watchkeeper.reviewing.labels import HUMAN
from watchkeeper.reviewing.queue import item
from watchkeeper.server.api.datasets import case_dataset
from watchkeeper.server.login import safe_next
from watchkeeper.server.reading import load_trace, no_trace, note_opened, shown_trace, standings
from watchkeeper.server.routing import Call, HttpError, route, sent_form
from watchkeeper.store.records import audit, datasets, reviews
from watchkeeper.web import conversation, data, render
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.pages.traces import TRACE_ID
from watchkeeper.web.steps import SHOWS, Listing, Step, listing, narrowed, tree
from watchkeeper.web.view import View, view_of


def of_cases(conn: Connection, project: str) -> list[str]:
    """The datasets that a trace may be made a case of."""
    return [str(d["name"]) for d in datasets.listing(conn, project) if d["name"] != REPLAYS]


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


def unlabelled(scores: list[Score]) -> list[Score]:
    """Without what people said, on pages that show it as labels."""
    return [s for s in scores if s.source != HUMAN]


def _asked(call: Call) -> str:
    trace_id = str(call.request.path_params["trace_id"])
    if not TRACE_ID.fullmatch(trace_id):
        raise HttpError(404, "that is no trace id", "one is 32 hexadecimal digits")
    return trace_id


async def found_trace(call: Call) -> tuple[Trace, list[Score]]:
    """The trace of the path with its scores, its content there. Raises `HttpError` 404."""
    trace_id = _asked(call)
    loaded = await load_trace(call.services, call.project, trace_id)
    if loaded is None:
        raise await no_trace(call.services, call.project, trace_id)
    return loaded


async def opened_trace(call: Call) -> tuple[Trace, list[Score]]:
    """The same to look at, whether its content is still there or not, with a line in the audit log where that is shown."""
    trace, scores = await shown_trace(call.services, call.project, _asked(call))
    if call.sees_content:
        await note_opened(call, trace.trace_id)
    return trace, scores


def span_context(trace: Trace, span: Span | None, scores: list[Score], content: bool) -> dict[str, Any]:
    """What the right-hand side needs: the selected span as conversation, its documents, scores and attributes."""
    if span is None:
        return {"span": None, "gone": trace.content_gone}
    # What is left of a trace without content are facts: who may not see content has them elsewhere on the page.
    facts, content = content, content and not trace.content_gone
    mine = [s for s in scores if s.span_id == span.span_id]
    whole = [s for s in scores if not s.span_id]
    documents = list(enumerate(trace.documents, start=1))
    return {
        "span": span,
        "scores_beside": False,
        "content": content,
        "gone": trace.content_gone,
        "turns": conversation.turns(span, trace) if content else [],
        "documents": documents if content else [],
        "readable": conversation.readable,
        "attributes": conversation.attributes(span) if facts else [],
        "events": conversation.events(span) if content else [],
        "stack": conversation.stack(span) if content else "",
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
    """One trace. `?span=` selects a step; `?show=` failed, llm or tool and `?find=` words narrow the tree, `?start=` pages it."""
    view = view_of(call)
    found, scores = await opened_trace(call)

    def known(conn: Connection) -> dict[str, Any]:
        return {
            "queued": reviews.for_trace(conn, view.project, found.trace_id),
            "labels": reviews.labels_of(conn, view.project, [found.trace_id]),
            "in_datasets": datasets.datasets_of_trace(conn, view.project, found.trace_id),
            "all_datasets": of_cases(conn, view.project),
        }

    session, record = await asyncio.gather(_session(view, found), call.services.records.read(known))
    scores = unlabelled(scores)
    steps = tree(found, scores)
    shown = _shown(view, steps)
    selected = _selected(view, found, shown)
    context = {
        "trace": found,
        "steps": shown,
        "shows": {name: len(narrowed(steps, name)) for name in SHOWS},
        "calls": found.llm_calls,
        **session,
        **record,
        **span_context(found, selected, scores, call.sees_content),
        "scores_beside": True,
    }
    return await answer(view, "traces", _title(found), "trace.html", context)


def _shown(view: View, steps: list[Step]) -> Listing:
    start = view.params.get("start", "")
    return listing(
        steps,
        show=view.params.get("show", ""),
        find=view.params.get("find", "")[:200],
        at=view.params.get("span"),
        start=int(start) if start.isdecimal() and len(start) < 8 else None,
    )


def _selected(view: View, trace: Trace, shown: Listing) -> Span | None:
    """What `?span=` asks for, else the trace's choice; where that is on another page of the tree, one that is on this. A trace
    of several pages opens at its beginning."""
    best = chosen(trace, view.params.get("span"))
    here = [s.span for s in shown.rows if s.span.span_id not in shown.orienting]
    if view.params.get("span") or not here or best in here:
        return best
    if not shown.earlier and trace.root in here:
        return trace.root
    return next((s for s in reversed(here) if s.kind == "llm" and s.llm is not None), here[0])


@route("GET", "/traces/{trace_id}/step", permission="viewer")
async def step(call: Call) -> Response:
    """The step `?span=` alone, as the trace's page shows it."""
    view = view_of(call)
    found, scores = await opened_trace(call)
    selected = chosen(found, view.params.get("span"))
    if selected is None:
        raise HttpError(
            404, "no span of this trace has arrived", "only log records have; the trace's page lists them"
        )
    context = {**span_context(found, selected, scores, call.sees_content), "scores_beside": True}
    return render.html("parts/span.html", view, {"trust": await standings(call), **context})


def _title(trace: Trace) -> str:
    root = trace.root
    return root.name[:80] if root else trace.trace_id


@route("GET", "/traces/{trace_id}/panel", permission="viewer")
async def panel(call: Call) -> Response:
    """The short form that opens beside the list."""
    view = view_of(call)
    found, scores = await opened_trace(call)
    context = {
        "trace": found,
        "steps": tree(found, scores)[:40],
        "calls": found.llm_calls,
        "content": call.sees_content and not found.content_gone,
        "gone": found.content_gone,
        "scores": _sorted([s for s in scores if s.source != "check" or not s.passed]),
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
    form = await sent_form(call.request)
    wanted = [v for v in form.getlist("trace") if isinstance(v, str) and TRACE_ID.fullmatch(v)]
    if not wanted:
        raise HttpError(400, "no trace is selected", "tick some rows, or press x on them")
    await _queue(call, wanted, f"Selected by {call.principal.actor}")
    back = form.get("back")
    return RedirectResponse(safe_next(back if isinstance(back, str) else None), 303)


@route("POST", "/traces/{trace_id}/dataset", permission="reviewer")
async def to_dataset(call: Call) -> Response:
    """Make the trace a test case in the next version of a dataset."""
    found, scores = await found_trace(call)
    form = await form_of(call)
    name = case_dataset(form.get("dataset", "").strip())
    labels = await call.services.records.read(lambda c: reviews.labels_of(c, call.project, [found.trace_id]))
    scorers = call.services.gate.scorers(call.project) if call.services.gate else []
    case = case_of(found, labels[-1] if labels else None, failed=must_pass_of(scores, scorers))
    expected = form.get("expected", "").strip()
    if expected:
        case = msgspec.structs.replace(case, expected=expected[:200_000])
    try:
        made, _ = await promote(
            call.services.records, call.project, name, [case],
            author=call.principal.actor, note=form.get("note", "")[:500] or f"from trace {found.trace_id[:8]}",
            now_ns=call.services.clock(), force=form.get("force") == "yes",
        )  # fmt: skip
    except NearDuplicate as duplicate:
        alike = f"{name} asks this already: case {duplicate.case_id} is {duplicate.similarity:.0%} alike"
        raise HttpError(409, alike, "add it anyway, or edit that case") from None
    return RedirectResponse(view_of(call).url(f"/datasets/{made.dataset}", version=made.version), 303)
