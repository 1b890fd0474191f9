"""The review queue: what waits for a person, labels and undo."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from pydantic import Field

from watchkeeper.model.review import Label, ReviewItem
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.pipeline.desk import Desk, Given, Who
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Long, Query, Short, TraceId
from watchkeeper.server.reading import no_trace
from watchkeeper.server.routing import Call, HttpError, needed, refused, route
from watchkeeper.store.records import reviews


class Wanted(Query):
    """Which part of the queue."""

    status: Literal["open", "disputed", "done", "all"] = "open"
    source: Short | None = None
    assigned_to: Short | None = None
    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000)


class Labelled(Body):
    """What a reviewer says about the trace of an item."""

    verdict: Literal["good", "bad"]
    taxonomy: Short | None = None
    severity: Literal["low", "medium", "high", "critical"] | None = None
    expected_output: Long | None = None
    comment: Long | None = None


class Next(Query):
    """Which reason to stay with, e.g. `triage:2026-W47`."""

    source: Short | None = None


class Assigned(Body):
    """Who should read it."""

    to: Short | None


class ByHand(Body):
    """A trace somebody wants reviewed."""

    trace_id: TraceId
    reason: Short
    priority: float = Field(6.0, ge=0, le=10)


def item_json(item: ReviewItem) -> dict[str, Any]:
    """One queue item."""
    return {**msgspec.to_builtins(item), "created": iso(item.created_ns)}


def label_json(label: Label) -> dict[str, Any]:
    """One label."""
    return {**msgspec.to_builtins(label), "time": iso(label.time_ns)}


def desk_of(call: Call) -> Desk:
    """The review desk with the settings in force."""
    services = call.services
    return Desk(services.records, services.config.current.review, services.clock, services.wall_clock)


def who_of(call: Call) -> Who:
    """The caller."""
    return Who(call.principal.actor, call.source, call.may("editor"))


@contextmanager
def told() -> Generator[None]:
    """The desk's refusals as HTTP errors."""
    try:
        yield
    except Refused as error:
        raise refused(error) from None


@route("GET", "/api/reviews", permission="viewer", query=Wanted)
async def queue(call: Call) -> list[dict[str, Any]]:
    """Items by priority, highest first. `assigned_to=me` for one's own."""
    wanted: Wanted = call.query
    status = None if wanted.status == "all" else wanted.status
    mine = call.principal.actor if wanted.assigned_to == "me" else wanted.assigned_to
    wall = call.services.wall_clock()
    items = await call.services.records.read(
        lambda c: reviews.queue(
            c, call.project, status, wanted.limit, wanted.offset, source=wanted.source, assigned_to=mine, now_ns=wall
        )
    )  # fmt: skip
    return [item_json(i) for i in items]


@route("GET", "/api/reviews/counts", permission="viewer", query=Next)
async def counted(call: Call) -> dict[str, int]:
    """How many items have each status, of one `source` or of all; `gone` are those nobody had read when their content passed its
    retention."""
    return await call.services.records.read(lambda c: reviews.counts(c, call.project, call.query.source))


@route("POST", "/api/reviews", permission="reviewer", body=ByHand, status=201)
async def add(call: Call) -> dict[str, Any]:
    """Put a trace in the queue by hand."""
    given: ByHand = call.body
    review = needed(call.services.review, "reviews")
    if not any(await call.services.columns.read_trace(call.project, given.trace_id)):
        raise await no_trace(call.services, call.project, given.trace_id)
    made = await review.add(call.project, given.trace_id, given.reason, call.principal.actor, given.priority)
    return {"id": made}


@route("POST", "/api/reviews/next", permission="reviewer", query=Next)
async def take_next(call: Call) -> dict[str, Any]:
    """Reserve the most urgent item with room for you (of one `source`, or of all); `item` is null when there is none."""
    item = await desk_of(call).take_next(call.project, who_of(call), call.query.source)
    return {"item": item_json(item) if item else None}


@route("POST", "/api/reviews/triage", permission="reviewer")
async def triage(call: Call) -> dict[str, Any]:
    """Put the worst traces of the last seven days together: `source` names the list in the queue, `added` says how many are new."""
    source, added = await desk_of(call).triage(call.project, call.services.columns, who_of(call))
    counts = await call.services.records.read(lambda c: reviews.counts(c, call.project, source))
    return {"source": source, "added": added, "counts": counts}


@route("GET", "/api/reviews/agreement", permission="viewer")
async def agreeing(call: Call) -> dict[str, Any]:
    """How far several reviewers of the same items agree, with intervals."""
    found = await desk_of(call).agreement(call.project)
    return {
        "items": found.items,
        "reviewers": found.reviewers,
        **{k: shown(getattr(found, k)) for k in ("alike", "alpha", "alpha_names", "fleiss")},
        "pairs": [{"a": p.a, "b": p.b, "n": p.n, "kappa": shown(p.kappa)} for p in found.pairs],
    }


def shown(value: Estimate | Insufficient) -> dict[str, Any]:
    """An estimate, or why there is none."""
    if isinstance(value, Insufficient):
        return {
            "value": None,
            "low": None,
            "high": None,
            "n": value.n,
            "n_eff": value.n_eff,
            "why": value.reason,
        }
    return {**msgspec.to_builtins(value), "why": None}


@route("GET", "/api/reviews/{item_id}", permission="viewer")
async def one(call: Call) -> dict[str, Any]:
    """One item with the labels of its trace. While several blind reviewers are wanted, `labels` is empty and `blind` true until
    you have given yours."""
    item = await _item(call)
    labels, blind = await desk_of(call).votes(item, who_of(call))
    return {**item_json(item), "labels": [label_json(found) for found in labels], "blind": blind}


async def _item(call: Call) -> ReviewItem:
    item_id = str(call.request.path_params["item_id"])
    wall = call.services.wall_clock()
    item = await call.services.records.read(lambda c: reviews.get(c, call.project, item_id, wall))
    if item is None:
        raise HttpError(404, f"there is no review item {item_id[:80]!r}", "GET /api/reviews lists them")
    return item


@route("POST", "/api/reviews/{item_id}/label", permission="reviewer", body=Labelled, status=201)
async def label(call: Call) -> dict[str, Any]:
    """Label an item's trace. `status` says what became of the item: done, open while more reviewers are wanted, or disputed. On a
    disputed item the label is the decision; all votes are kept. A second label of yours is a correction."""
    given: Labelled = call.body
    said = Given(given.verdict, given.taxonomy, given.severity, given.expected_output, given.comment)
    with told():
        made, status = await desk_of(call).label(
            call.project, str(call.request.path_params["item_id"]), said, who_of(call)
        )
    return {**label_json(made), "status": status}


@route("POST", "/api/reviews/{item_id}/assign", permission="reviewer", body=Assigned)
async def assign(call: Call) -> dict[str, Any]:
    """Say who should read an item; `to` null gives it to anybody."""
    item_id = str(call.request.path_params["item_id"])
    with told():
        await desk_of(call).assign(call.project, item_id, call.body.to, who_of(call))
    return {"id": item_id, "assigned_to": call.body.to}


@route("POST", "/api/reviews/{item_id}/skip", permission="reviewer")
async def skip(call: Call) -> dict[str, Any]:
    """Leave an open item to others, where nothing can be said for sure: it is not offered to you again."""
    item_id = str(call.request.path_params["item_id"])
    with told():
        await desk_of(call).skip(call.project, item_id, who_of(call))
    return {"id": item_id, "skipped": True}


@route("POST", "/api/reviews/undo", permission="reviewer")
async def undo(call: Call) -> dict[str, Any]:
    """Take back your newest label; its item is open again. `item` is null when there was nothing to take back."""
    item = await desk_of(call).undo(call.project, who_of(call))
    return {"item": item_json(item) if item else None}
