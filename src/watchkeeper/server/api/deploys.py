"""Deployments and other changes, as markers on every chart and in every alert."""

from typing import Any

from pydantic import Field

from watchkeeper.model.alert import Deploy
from watchkeeper.model.times import DAY, MINUTE
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Long, Page, Short, moment_ns
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import audit

AGAIN_NS = 5 * MINUTE


class Change(Body):
    """Something that changed: a release, a prompt version, a configuration."""

    name: Short
    version: Short
    time: int | str | None = Field(
        None, description="ISO 8601, nanoseconds, or how long ago; now when left out."
    )
    note: Long | None = None


@route("POST", "/api/deploys", permission="editor", body=Change, status=201)
async def add_deploy(call: Call) -> dict[str, Any]:
    """Mark a change. Without `time` it happened now; the same change sent twice, without a time within five minutes, is one marker."""
    change: Change = call.body
    now = call.services.clock()
    time_ns = now if change.time is None else moment_ns(str(change.time), now)
    if time_ns > now + DAY:
        raise HttpError(400, "time: more than a day in the future", "send it when it happens")
    if change.time is None:
        time_ns = await _told_before(call, change, now)
    deploy = Deploy(call.project, change.name, change.version, time_ns, change.note)
    await call.services.columns.write_deploys([deploy])
    wall = call.services.wall_clock()
    await call.services.records.write(
        lambda c: audit.record(
            c, project=call.project, now_ns=wall, actor=call.principal.actor, source=call.source,
            action="deploy", target=f"{change.name} {change.version}",
        )
    )  # fmt: skip
    return {"name": change.name, "version": change.version, "time": iso(time_ns)}


async def _told_before(call: Call, change: Change, now: int) -> int:
    """When this change was told of if that was a moment ago and nothing of its name came after it, else `now`: whoever had no answer
    tells again."""
    found = await call.services.columns.read_deploys(call.project, now - AGAIN_NS, now + 1)
    last = max((d for d in found if d.name == change.name), key=lambda d: d.time_ns, default=None)
    same = last is not None and (last.version, last.note) == (change.version, change.note)
    return last.time_ns if last is not None and same else now


@route("GET", "/api/deploys", permission="viewer", query=Page)
async def list_deploys(call: Call) -> list[dict[str, Any]]:
    """The newest changes first."""
    limit = int(call.query.limit)
    query = f"select name, version, time, note from deploys order by time desc limit {limit}"
    return (await call.services.columns.sql(call.project, query, limit)).dicts()
