"""The names of failures: those in use, those that reviewers' comments call for, and changing them with their history."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from pydantic import Field
from sqlalchemy.engine import Connection

from watchkeeper.reviewing.taxonomy import ENOUGH, suggest
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Long, Short
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import audit, reviews, taxonomy


class Accepted(Body):
    """A name and what it means. Bad labels named in `labels` get it."""

    name: Short
    definition: Long = ""
    labels: list[Short] = Field([], max_length=10_000)


class Renamed(Body):
    """What a name becomes; an existing name takes it in."""

    to: Short
    definition: Long | None = None


class Merged(Body):
    """Names that become one."""

    names: list[Short] = Field(min_length=1, max_length=100)
    into: Short
    definition: Long | None = None


async def known(call: Call) -> list[dict[str, Any]]:
    """Every name: from the configuration, accepted here, or used in labels only; with how often it was given."""
    used, accepted = await call.services.records.read(
        lambda c: (dict(reviews.taxonomy(c, call.project)), taxonomy.names(c, call.project))
    )
    made: dict[str, dict[str, Any]] = {}
    for failure in call.services.config.current.taxonomy:
        made[failure.name] = {"definition": failure.definition, "origin": "configuration", "author": None}
    for name in accepted:
        made.setdefault(
            name.name, {"definition": name.definition, "origin": "accepted", "author": name.author}
        )
    for name in used:
        made.setdefault(name, {"definition": "", "origin": "labels", "author": None})
    rows = [{"name": n, "count": used.get(n, 0), **more} for n, more in made.items()]
    return sorted(rows, key=lambda r: (-r["count"], r["name"]))


async def suggested(call: Call) -> dict[str, Any]:
    """What the comments of bad labels call for. Raises `HttpError` 403 without the right to see content."""
    call.need_content("comments quote prompts and outputs")
    labels = await call.services.records.read(lambda c: reviews.votes_of(c, call.project))
    bad = [x for x in labels if x.verdict == "bad"]
    found = await asyncio.to_thread(suggest, bad, call.services.embed)
    return {
        "labelled": len({x.trace_id for x in labels}),
        "commented": sum(1 for x in bad if x.comment),
        "enough": ENOUGH,
        "proposals": [msgspec.to_builtins(s) for s in found],
    }


async def _changed(
    call: Call, action: str, target: str, work: Callable[[Any, int], dict[str, Any]]
) -> dict[str, Any]:
    """Do `work(conn, now)` and write down what it did, in one transaction."""
    now, wall = call.services.clock(), call.services.wall_clock()

    def both(conn: Connection) -> dict[str, Any]:
        done = work(conn, now)
        audit.record(
            conn, project=call.project, now_ns=wall, actor=call.principal.actor, source=call.source,
            action=action, target=target, detail=done,
        )  # fmt: skip
        return done

    return await call.services.records.write(both)


async def accept(call: Call, given: Accepted) -> dict[str, Any]:
    """Take a name into use."""

    def work(conn: Connection, now: int) -> dict[str, Any]:
        taxonomy.put(conn, call.project, given.name, given.definition, call.principal.actor, now)
        n = taxonomy.relabel(conn, call.project, given.name, call.principal.actor, now, ids=given.labels)
        return {"name": given.name, "relabelled": n}

    return await _changed(call, "taxonomy.accept", given.name, work)


async def merge(call: Call, names: list[str], into: str, definition: str | None) -> dict[str, Any]:
    """Make names one: their labels get it, they are retired. A name of the configuration is changed there."""
    configured = {f.name for f in call.services.config.current.taxonomy}
    fixed = sorted(configured & {n for n in names if n != into})
    if fixed:
        raise HttpError(
            409, f"{', '.join(fixed)} is in the configuration", "rename it in the file, under taxonomy"
        )
    rows = {str(r["name"]): r for r in await known(call)}
    missing = sorted(n for n in names if n not in rows)
    if missing:
        raise HttpError(404, f"there is no name {missing[0][:80]!r}", "GET /api/taxonomy lists them")
    old = [n for n in names if n != into]
    meaning = definition if definition is not None else str(rows.get(into, rows[names[0]])["definition"])

    def work(conn: Connection, now: int) -> dict[str, Any]:
        who = call.principal.actor
        if into not in configured:
            taxonomy.put(conn, call.project, into, meaning, who, now)
        n = taxonomy.relabel(conn, call.project, into, who, now, was=old)
        for name in old:
            taxonomy.retire(conn, call.project, name, into, who, now)
        return {"name": into, "was": old, "relabelled": n}

    return await _changed(call, "taxonomy.rename" if len(old) == 1 else "taxonomy.merge", into, work)


@route("GET", "/api/taxonomy", permission="viewer")
async def listed(call: Call) -> list[dict[str, Any]]:
    """The names of failures with their definitions and how often each was given."""
    return await known(call)


@route("GET", "/api/taxonomy/proposals", permission="reviewer")
async def proposals(call: Call) -> dict[str, Any]:
    """Names and definitions proposed from what reviewers wrote; 50 to 100 labelled traces are enough to begin with."""
    return await suggested(call)


@route("POST", "/api/taxonomy", permission="reviewer", body=Accepted, status=201)
async def accepting(call: Call) -> dict[str, Any]:
    """Take a name into use, and give it to the labels it was proposed from."""
    return await accept(call, call.body)


@route("POST", "/api/taxonomy/merge", permission="editor", body=Merged)
async def merging(call: Call) -> dict[str, Any]:
    """Make several names one. Their labels are given the new name; each keeps its author and time, and its old name stays in the
    history with who changed it."""
    given: Merged = call.body
    return await merge(call, list(dict.fromkeys(given.names)), given.into, given.definition)


@route("POST", "/api/taxonomy/{name}/rename", permission="editor", body=Renamed)
async def renaming(call: Call) -> dict[str, Any]:
    """Give a name another spelling or meaning, in every label there is."""
    given: Renamed = call.body
    return await merge(call, [str(call.request.path_params["name"])], given.to, given.definition)


@route("GET", "/api/traces/{trace_id}/labels", permission="viewer")
async def history(call: Call) -> list[dict[str, Any]]:
    """Every label a trace ever had, also those taken back or renamed, oldest first. Open reviews of several blind reviewers are
    left out until they are decided."""
    trace_id = str(call.request.path_params["trace_id"]).lower()
    found, counted = await call.services.records.read(
        lambda c: (
            reviews.history_of(c, call.project, trace_id),
            {x.item_id for x in reviews.labels_of(c, call.project, [trace_id])},
        )
    )
    return [
        {**row, "time": iso(row["time_ns"])}
        for row in found
        if row["item_id"] in counted or row["author"] == call.principal.actor or row["undone_ns"]
    ]
