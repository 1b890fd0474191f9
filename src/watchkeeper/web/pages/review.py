"""Review: one trace at a time, why it is here, and labels under the digits."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.model.errors import TAXONOMY
from watchkeeper.model.review import Label, ReviewItem
from watchkeeper.pipeline.promote import NearDuplicate, case_of, promote
from watchkeeper.server.login import safe_next
from watchkeeper.server.reading import load_trace, note_opened
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import audit, datasets, reviews
from watchkeeper.store.records.calibration import SOURCE as CALIBRATION
from watchkeeper.web import data
from watchkeeper.web.pages.common import answer
from watchkeeper.web.pages.trace import chosen, span_context, tree
from watchkeeper.web.view import view_of

SEVERITIES: Final = ("low", "medium", "high", "critical")
MOST_CHOICES: Final = 9


@dataclass(frozen=True, slots=True)
class Choice:
    """One label under one digit: `verdict` good or bad, `taxonomy` what is wrong."""

    key: str
    words: str
    verdict: str
    taxonomy: str
    definition: str


def choices(configured: list[tuple[str, str]], used: list[tuple[str, int]]) -> list[Choice]:
    """Good under 1, bad without a name under 2; then the configured failure names, those people used, and the built-in content classes."""
    names: dict[str, str] = dict(configured)
    for name, count in used:
        names.setdefault(name, f"given {count} times")
    for one in TAXONOMY:
        if one.family == "content":
            names.setdefault(one.name, one.definition)
    bad = list(names.items())[: MOST_CHOICES - 2]
    return [
        Choice("1", "Good", "good", "", "The answer is right as it is."),
        Choice(
            "2", "Bad", "bad", "", "Wrong or useless in a way that has no name yet; say how in the comment."
        ),
        *(
            Choice(str(i), name.replace("_", " "), "bad", name, words)
            for i, (name, words) in enumerate(bad, start=3)
        ),
    ]


def _choices(call: Call, conn: Connection) -> list[Choice]:
    configured = [(f.name, f.definition) for f in call.services.config.current.taxonomy]
    return choices(configured, reviews.taxonomy(conn, call.project))


@route("GET", "/review", permission="viewer")
async def queue(call: Call) -> Response:
    """What waits, most urgent first."""
    view = view_of(call, "30d")

    def read(conn: Connection) -> dict[str, Any]:
        mine = [x for x in reviews.labels_of(conn, view.project) if x.author == call.principal.actor]
        return {
            "items": reviews.queue(conn, view.project, "open", 100),
            "counts": reviews.counts(conn, view.project),
            "mine": len(mine),
            "taxonomy_used": reviews.taxonomy(conn, view.project),
        }

    found = await call.services.records.read(read)
    ids = [i.trace_id for i in found["items"][:100]]
    rows = await data.rows(view, "page_traces_by_id", ids=ids) if ids and call.sees_content else []
    context = {
        **found,
        "rows": {str(r["trace_id"]): r for r in rows},
        "wall_ns": call.services.wall_clock(),
        "actor": call.principal.actor,
    }
    return await answer(view, "review", "Review", "review.html", context)


async def _reserve(call: Call) -> ReviewItem | None:
    now = call.services.wall_clock()
    return await call.services.records.write(
        lambda c: reviews.reserve_next(c, call.project, call.principal.actor, now)
    )


@route("POST", "/review/next", permission="reviewer", kind="page")
async def begin(call: Call) -> Response:
    """Reserve the most urgent item and open it; the queue when nothing is free."""
    item = await _reserve(call)
    return RedirectResponse(view_of(call).url(f"/review/{item.id}" if item else "/review"), 303)


async def _item(call: Call) -> ReviewItem:
    item_id = str(call.request.path_params["item_id"])
    item = await call.services.records.read(lambda c: reviews.get(c, call.project, item_id))
    if item is None:
        raise HttpError(404, "there is no such review item in this project", "the queue lists what waits")
    return item


@route("GET", "/review/{item_id}", permission="reviewer")
async def one(call: Call) -> Response:
    """One item to label."""
    view = view_of(call, "30d")
    item = await _item(call)
    wall = call.services.wall_clock()

    def read(conn: Connection) -> dict[str, Any]:
        waiting = [i for i in reviews.queue(conn, view.project, "open", 50) if i.id != item.id]
        free = [
            i
            for i in waiting
            if i.assigned_to in (None, call.principal.actor) or (i.reserved_until_ns or 0) < wall
        ]
        return {
            "counts": reviews.counts(conn, view.project),
            "choices": _choices(call, conn),
            "labels": reviews.labels_of(conn, view.project, [item.trace_id]),
            "all_datasets": [d["name"] for d in datasets.listing(conn, view.project)],
            "following": free[0] if free else None,
        }

    known, loaded = await asyncio.gather(
        call.services.records.read(read), load_trace(call.services, view.project, item.trace_id)
    )
    if loaded is not None and call.sees_content:
        await note_opened(call, item.trace_id, "review.open")
    trace, scores = loaded if loaded is not None else (None, [])
    if item.source.startswith(CALIBRATION):
        # Labels that know the verdict are not evidence about it.
        scores = []
    asked = call.request.query_params.get("span")
    shown = (
        span_context(trace, chosen(trace, asked), scores, call.sees_content)
        if trace
        else {"span": None, "content": False}
    )
    context = {
        **shown,
        **known,
        "item": item,
        "trace": trace,
        "steps": tree(trace, scores)[:60] if trace else [],
        "severities": SEVERITIES,
        "dataset": known["all_datasets"][0] if known["all_datasets"] else "regressions",
        "taken": item.assigned_to not in (None, call.principal.actor)
        and (item.reserved_until_ns or 0) > wall,
    }
    return await answer(view, "review", "Review", "review_item.html", context)


def _label_of(call: Call, item: ReviewItem, form: dict[str, str]) -> Label:
    verdict = form.get("verdict", "")
    if verdict not in ("good", "bad"):
        raise HttpError(400, "a label is good or bad", "press one of the digits shown under the trace")
    severity = form.get("severity") or None
    if severity is not None and severity not in SEVERITIES:
        raise HttpError(400, "that is not a severity", f"one of {', '.join(SEVERITIES)}")
    expected = form.get("expected", "")
    changed = expected.strip() and expected != form.get("actual", "")
    return Label(
        id=f"lab_{secrets.token_hex(12)}",
        project=call.project,
        item_id=item.id,
        trace_id=item.trace_id,
        author=call.principal.actor,
        time_ns=call.services.clock(),
        verdict=verdict,
        taxonomy=form.get("taxonomy", "")[:255] or None,
        severity=severity,
        expected_output=expected[:200_000] if changed else None,
        comment=form.get("comment", "").strip()[:20_000] or None,
    )


@route("POST", "/review/{item_id}/label", permission="reviewer", kind="page")
async def label(call: Call) -> Response:
    """Label the item, make it a test case when asked, and open the next one."""
    item = await _item(call)
    raw = await call.request.form(max_fields=20, max_files=0)
    form = {k: v.replace("\r\n", "\n") for k, v in raw.items() if isinstance(v, str)}
    made = _label_of(call, item, form)
    wall = call.services.wall_clock()

    def work(conn: Connection) -> None:
        reviews.label(conn, made)
        audit.record(
            conn, project=call.project, now_ns=wall, actor=call.principal.actor, source=call.source,
            action="review.label", target=item.trace_id, detail={"verdict": made.verdict, "item": item.id},
        )  # fmt: skip

    await call.services.records.write(work)
    said = "labelled"
    if form.get("promote") == "yes" and call.may("editor"):
        said = await _promoted(call, item, made, form.get("dataset", "").strip()[:100] or "regressions")
    following = await _reserve(call)
    view = view_of(call)
    path = f"/review/{following.id}" if following else "/review"
    return RedirectResponse(view.url(path, done=said), 303)


async def _promoted(call: Call, item: ReviewItem, made: Label, dataset: str) -> str:
    loaded = await load_trace(call.services, call.project, item.trace_id)
    if loaded is None:
        return "not_promoted"
    try:
        await promote(
            call.services.records, call.project, dataset, [case_of(loaded[0], made)],
            author=call.principal.actor, note=made.comment or f"reviewed: {made.taxonomy or made.verdict}",
            now_ns=call.services.clock(),
        )  # fmt: skip
    except NearDuplicate:
        return "duplicate"
    return "promoted"


@route("POST", "/review/undo", permission="reviewer", kind="page")
async def undo(call: Call) -> Response:
    """Take back the newest label of the caller and open its item again."""
    now = call.services.clock()
    item = await call.services.records.write(
        lambda c: reviews.undo(c, call.project, call.principal.actor, now)
    )
    return RedirectResponse(
        view_of(call).url(f"/review/{item.id}" if item else "/review", done="undone" if item else None), 303
    )


@route("POST", "/review/{item_id}/release", permission="reviewer", kind="page")
async def release(call: Call) -> Response:
    """Give the item back and go to the queue."""
    item = await _item(call)
    form = await call.request.form(max_fields=5, max_files=0)
    await call.services.records.write(
        lambda c: reviews.release(c, call.project, item.id, call.principal.actor)
    )
    back = form.get("back")
    return RedirectResponse(safe_next(back if isinstance(back, str) else "/review"), 303)
