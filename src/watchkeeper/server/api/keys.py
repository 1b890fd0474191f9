"""API keys of a project, for its admins."""

from typing import Any, Literal

from sqlalchemy.engine import Connection

from watchkeeper.model.times import DAY
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Short
from watchkeeper.server.routing import EVERY_PROJECT, Call, HttpError, route
from watchkeeper.store.records import access, audit


class NewKey(Body):
    """A key to make. `project` may be `*` where the caller is admin of every project."""

    name: Short
    role: Literal["ingest", "viewer", "reviewer", "editor", "admin"] = "ingest"
    project: Short | None = None
    expires_in_days: int | None = None


def key_json(key: access.Key, now_ns: int) -> dict[str, Any]:
    """One key without its secret."""
    return {
        "id": key.id,
        "project": key.project,
        "name": key.name,
        "role": key.role,
        "hint": key.hint,
        "state": key.state(now_ns),
        "created_by": key.created_by,
        "created": iso(key.created_ns),
        "expires": iso(key.expires_ns),
        "revoked": iso(key.revoked_ns),
        "last_used": iso(key.last_used_ns),
    }


def everywhere(call: Call) -> bool:
    """Whether the caller is admin of every project."""
    return call.principal.roles.get(EVERY_PROJECT) == "admin"


@route("GET", "/api/keys", permission="admin")
async def list_keys(call: Call) -> list[dict[str, Any]]:
    """The keys of this project, revoked ones included; admins of every project see the keys for all too."""
    now = call.services.wall_clock()
    found = await call.services.records.read(lambda c: access.list_keys(c))
    wanted = {call.project, EVERY_PROJECT} if everywhere(call) else {call.project}
    return [key_json(k, now) for k in found if k.project in wanted]


@route("POST", "/api/keys", permission="admin", body=NewKey, status=201)
async def create(call: Call) -> dict[str, Any]:
    """Make a key. `key` is shown in this answer and never again."""
    given: NewKey = call.body
    project = given.project or call.project
    if call.principal.role_in(project) != "admin" and not everywhere(call):
        raise HttpError(403, f"you are not an admin of {project!r}", "leave project out, or ask its admin")
    if given.expires_in_days is not None and not 1 <= given.expires_in_days <= 3650:
        raise HttpError(400, "expires_in_days: from 1 to 3650", "leave it out for a key that does not expire")
    now = call.services.wall_clock()
    expires = now + given.expires_in_days * DAY if given.expires_in_days else None

    def work(conn: Connection) -> tuple[access.Key, str]:
        key, text = access.create_key(
            conn, project=project, name=given.name, role=given.role,
            created_by=call.principal.actor, now_ns=now, expires_ns=expires,
        )  # fmt: skip
        audit.record(
            conn, project=project, now_ns=now, actor=call.principal.actor, source=call.source,
            action="key.create", target=f"{key.id} {key.name}", detail={"role": key.role, "expires_ns": expires},
        )  # fmt: skip
        return key, text

    key, text = await call.services.records.write(work)
    return {**key_json(key, now), "key": text}


@route("DELETE", "/api/keys/{key_id}", permission="admin")
async def revoke(call: Call) -> dict[str, Any]:
    """Revoke a key; it stops working within five seconds."""
    key_id, now = str(call.request.path_params["key_id"]), call.services.wall_clock()
    mine = None if everywhere(call) else call.project

    def work(conn: Connection) -> access.Key | None:
        key = access.revoke_key(conn, mine, key_id, now)
        if key is not None:
            audit.record(
                conn, project=key.project, now_ns=now, actor=call.principal.actor, source=call.source,
                action="key.revoke", target=f"{key.id} {key.name}", detail={"before": "active", "after": "revoked"},
            )  # fmt: skip
        return key

    key = await call.services.records.write(work)
    if key is None:
        raise HttpError(404, f"there is no active key {key_id[:20]!r}", "GET /api/keys lists them")
    call.services.auth.forget()
    return {"id": key.id, "state": "revoked"}
