"""The review queue: what waits for a person, labels and undo."""

import secrets
from typing import Any, Literal

import msgspec
from pydantic import Field

from watchkeeper.model.review import Label, ReviewItem
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Long, Query, Short, TraceId
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import audit, reviews


class Wanted(Query):
    """Which part of the queue."""

    status: Literal["open", "done", "all"] = "open"
    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000)


class Labelled(Body):
    """What a reviewer says about the trace of an item."""

    verdict: Literal["good", "bad"]
    taxonomy: Short | None = None
    severity: Literal["low", "medium", "high", "critical"] | None = None
    expected_output: Long | None = None
    comment: Long | None = None


class ByHand(Body):
    """A trace somebody wants reviewed."""

    trace_id: TraceId
    reason: Short
    priority: float = Field(6.0, ge=0, le=10)


def item_json(item: ReviewItem) -> dict[str, Any]:
    """One queue item."""
    shown = msgspec.to_builtins(item)
    shown["created"] = iso(item.created_ns)
    shown["reserved_until"] = iso(item.reserved_until_ns)
    return shown


def label_json(label: Label) -> dict[str, Any]:
    """One label."""
    return {**msgspec.to_builtins(label), "time": iso(label.time_ns)}


@route("GET", "/api/reviews", permission="viewer", query=Wanted)
async def queue(call: Call) -> dict[str, Any]:
    """Items by priority, highest first, and how many have each status."""
    wanted: Wanted = call.query
    status = None if wanted.status == "all" else wanted.status
    items = await call.services.records.read(
        lambda c: reviews.queue(c, call.project, status, wanted.limit, wanted.offset)
    )
    counts = await call.services.records.read(lambda c: reviews.counts(c, call.project))
    return {"items": [item_json(i) for i in items], "counts": counts}


@route("POST", "/api/reviews", permission="reviewer", body=ByHand, status=201)
async def add(call: Call) -> dict[str, Any]:
    """Put a trace in the queue by hand."""
    given: ByHand = call.body
    if call.services.review is None:
        raise HttpError(503, "this server does not run reviews", "", {"retry-after": "5"})
    if not any(await call.services.columns.read_trace(call.project, given.trace_id)):
        raise HttpError(404, f"there is no trace {given.trace_id} in {call.project}", "")
    made = await call.services.review.add(
        call.project, given.trace_id, given.reason, call.principal.actor, given.priority
    )
    return {"id": made}


@route("POST", "/api/reviews/next", permission="reviewer")
async def take_next(call: Call) -> dict[str, Any]:
    """Reserve the most urgent free item for a quarter of an hour; `item` is null when nothing is free."""
    now = call.services.wall_clock()
    item = await call.services.records.write(
        lambda c: reviews.reserve_next(c, call.project, call.principal.actor, now)
    )
    return {"item": item_json(item) if item else None}


@route("GET", "/api/reviews/{item_id}", permission="viewer")
async def one(call: Call) -> dict[str, Any]:
    """One item with the labels of its trace."""
    item = await _item(call)
    labels = await call.services.records.read(lambda c: reviews.labels_of(c, call.project, [item.trace_id]))
    return {**item_json(item), "labels": [label_json(found) for found in labels]}


async def _item(call: Call) -> ReviewItem:
    item_id = str(call.request.path_params["item_id"])
    item = await call.services.records.read(lambda c: reviews.get(c, call.project, item_id))
    if item is None:
        raise HttpError(404, f"there is no review item {item_id[:80]!r}", "GET /api/reviews lists them")
    return item


@route("POST", "/api/reviews/{item_id}/label", permission="reviewer", body=Labelled, status=201)
async def label(call: Call) -> dict[str, Any]:
    """Label an item's trace and close the item. A second label of yours is a correction; nothing is overwritten."""
    given: Labelled = call.body
    item = await _item(call)
    made = Label(
        id=f"lab_{secrets.token_hex(12)}",
        project=call.project,
        item_id=item.id,
        trace_id=item.trace_id,
        author=call.principal.actor,
        time_ns=call.services.clock(),
        verdict=given.verdict,
        taxonomy=given.taxonomy,
        severity=given.severity,
        expected_output=given.expected_output,
        comment=given.comment,
    )
    wall = call.services.wall_clock()

    def work(conn: Any) -> None:
        reviews.label(conn, made)
        audit.record(
            conn, project=call.project, now_ns=wall, actor=call.principal.actor, source=call.source,
            action="review.label", target=item.trace_id, detail={"verdict": given.verdict, "item": item.id},
        )  # fmt: skip

    await call.services.records.write(work)
    return label_json(made)


@route("POST", "/api/reviews/undo", permission="reviewer")
async def undo(call: Call) -> dict[str, Any]:
    """Take back your newest label; its item is open again. `item` is null when there was nothing to take back."""
    now = call.services.clock()
    item = await call.services.records.write(
        lambda c: reviews.undo(c, call.project, call.principal.actor, now)
    )
    return {"item": item_json(item) if item else None}
