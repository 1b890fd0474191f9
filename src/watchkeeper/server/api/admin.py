"""People and their roles, projects, the audit log, and the configuration in use."""

from typing import Any, Literal

from pydantic import Field
from sqlalchemy.engine import Connection

from watchkeeper.server.answers import iso
from watchkeeper.server.api.keys import everywhere
from watchkeeper.server.api.shapes import Body, Ordinal, Query, Short
from watchkeeper.server.routing import EVERY_PROJECT, Call, HttpError, route
from watchkeeper.store.records import access, audit


class NewUser(Body):
    """A person and their role in this project."""

    email: Short
    role: Literal["viewer", "reviewer", "editor", "admin"] = "viewer"


class Role(Body):
    """A role in this project; null takes it away."""

    role: Literal["viewer", "reviewer", "editor", "admin"] | None


class Lines(Query):
    """Which part of the audit log."""

    limit: int = Field(100, ge=1, le=1000)
    before: Ordinal | None = None


@route("GET", "/api/projects", permission="viewer")
async def projects(call: Call) -> list[str]:
    """The projects the caller has a role in."""
    known = await call.services.records.read(access.list_projects)
    own = [p for p in call.principal.roles if p != EVERY_PROJECT]
    return sorted({p for p in [*known, *own, call.project] if call.principal.role_in(p)})


def _here(call: Call, person: dict[str, Any]) -> dict[str, Any]:
    roles = person["roles"]
    seen = (
        roles if everywhere(call) else {p: r for p, r in roles.items() if p in (call.project, EVERY_PROJECT)}
    )
    return {"id": person["id"], "email": person["email"], "disabled": person["disabled"], "roles": seen}


@route("GET", "/api/users", permission="admin")
async def users(call: Call) -> list[dict[str, Any]]:
    """The people with a role in this project."""
    return await people(call)


async def people(call: Call) -> list[dict[str, Any]]:
    """Whom the caller may see, by address."""
    found = await call.services.records.read(access.list_users)
    mine = [p for p in found if everywhere(call) or call.project in p["roles"] or EVERY_PROJECT in p["roles"]]
    return [_here(call, p) for p in mine]


def login_path(token: str) -> str:
    """The path of a one-time login link."""
    return f"/login?token={token}"


@route("POST", "/api/users", permission="admin", body=NewUser, status=201)
async def add_user(call: Call) -> dict[str, Any]:
    """Add a person. `login` is their one-time link, valid for 24 hours; hand it to them."""
    given: NewUser = call.body
    return await add(call, given.email, given.role)


async def add(call: Call, email: str, role: str) -> dict[str, Any]:
    """A person with a role in the call's project, and their link. Somebody who is known from another project, or was here before, is
    taken as they are by whoever administers all of them."""
    now = call.services.wall_clock()

    def work(conn: Connection) -> tuple[str, str]:
        known = access.find_user(conn, email) if everywhere(call) else None
        if known is None or known["disabled"] or known["roles"].keys() & {call.project, EVERY_PROJECT}:
            user_id = access.create_user(conn, email, now)
        else:
            user_id = known["id"]
        access.set_role(conn, user_id, call.project, role)
        _note(call, conn, "user.create", email, {"role": role})
        return user_id, access.create_login(conn, user_id, now)

    user_id, token = await call.services.records.write(work)
    base = call.services.config.current.server.public_url or ""
    return {"id": user_id, "email": email, "role": role, "login": base + login_path(token)}


def _note(
    call: Call, conn: Connection, action: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    audit.record(
        conn, project=call.project, now_ns=call.services.wall_clock(), actor=call.principal.actor,
        source=call.source, action=action, target=target, detail=detail,
    )  # fmt: skip


def _beyond(call: Call, person: dict[str, Any]) -> HttpError:
    return HttpError(
        403, f"{person['email']} has a role in every project, and you are an admin of {call.project} alone",
        "ask as an admin of every project, such as by a key of 'watchkeeper keys create NAME --role admin --all-projects', or for "
        "somebody of this project",
    )  # fmt: skip


def _person(call: Call, conn: Connection) -> dict[str, Any]:
    person = access.find_user(conn, str(call.request.path_params["user_id"]))
    known = person is not None and (
        everywhere(call) or person["roles"].keys() & {call.project, EVERY_PROJECT}
    )
    if person is None or not known:
        raise HttpError(404, "there is no such person in this project", "GET /api/users lists them")
    if call.project not in person["roles"] and not everywhere(call):
        raise _beyond(call, person)
    return person


@route("PUT", "/api/users/{user_id}/role", permission="admin", body=Role)
async def set_role(call: Call) -> dict[str, Any]:
    """Change or take away a person's role in this project."""
    given: Role = call.body
    return await give(call, given.role)


async def give(call: Call, role: str | None) -> dict[str, Any]:
    """The person of the path with another role in the call's project, with none for None."""

    def work(conn: Connection) -> dict[str, Any]:
        person = _person(call, conn)
        before = access.set_role(conn, person["id"], call.project, role)
        _note(call, conn, "user.role", person["email"], {"before": before, "after": role})
        return {"id": person["id"], "email": person["email"], "role": role}

    made = await call.services.records.write(work)
    call.services.auth.forget()
    return made


@route("POST", "/api/users/{user_id}/login", permission="admin")
async def login_link(call: Call) -> dict[str, Any]:
    """A new one-time login link for a person of this project, valid for 24 hours."""
    return await link(call)


async def link(call: Call) -> dict[str, Any]:
    """A new link for the person of the path."""
    now = call.services.wall_clock()

    def work(conn: Connection) -> tuple[str, str]:
        person = _person(call, conn)
        if EVERY_PROJECT in person["roles"] and not everywhere(call):
            # A project's admin must not become the whole server's admin through somebody else's link.
            raise _beyond(call, person)
        others = set(person["roles"]) - {call.project}
        if any(call.principal.role_in(p) != "admin" for p in others) and not everywhere(call):
            raise HttpError(
                403,
                f"{person['email']} also has roles elsewhere",
                "an admin of every project can do this",
            )
        _note(call, conn, "user.login_link", person["email"])
        return person["email"], access.create_login(conn, person["id"], now)

    email, token = await call.services.records.write(work)
    return {
        "email": email,
        "login": (call.services.config.current.server.public_url or "") + login_path(token),
    }


@route("DELETE", "/api/users/{user_id}", permission="admin")
async def disable(call: Call) -> dict[str, Any]:
    """Shut a person out of the server and end their sessions. Needs an admin of every project."""
    now = call.services.wall_clock()
    if not everywhere(call):
        raise HttpError(403, "only an admin of every project may do this", "set the role to null instead")

    def work(conn: Connection) -> dict[str, Any]:
        person = _person(call, conn)
        access.disable_user(conn, person["id"], now)
        _note(call, conn, "user.disable", person["email"], {"before": person["roles"], "after": {}})
        return {"id": person["id"], "email": person["email"], "disabled": True}

    made = await call.services.records.write(work)
    call.services.auth.forget()
    return made


@route("GET", "/api/audit", permission="admin", query=Lines)
async def audit_log(call: Call) -> dict[str, Any]:
    """The newest lines first, and whether the chain of hashes is whole (null) or what is wrong with it."""
    wanted: Lines = call.query
    project = None if everywhere(call) else call.project
    lines = await call.services.records.read(lambda c: audit.latest(c, project, wanted.limit, wanted.before))
    broken = await call.services.records.read(audit.verify)
    return {"lines": [{**line, "time": iso(line["time_ns"])} for line in lines], "broken": broken}


@route("GET", "/api/config", permission="editor")
async def config(call: Call) -> dict[str, Any]:
    """The configuration in use: where it is from, what is doubtful, and the last one that was rejected."""
    holder = call.services.config
    rejected = holder.rejected
    return {
        "path": str(holder.path) if holder.path and everywhere(call) else None,
        "generation": holder.generation,
        "warnings": [str(w) for w in holder.warnings],
        "rejected": None
        if rejected is None
        else {"time": iso(rejected.time_ns), "problems": [str(p) for p in rejected.problems]},
    }


@route("POST", "/api/config/reload", permission="admin")
async def reload_config(call: Call) -> dict[str, Any]:
    """Read the configuration again. A faulty one is rejected whole and the one in use stays."""
    if not everywhere(call):
        raise HttpError(403, "only an admin of every project may do this", "")
    holder = call.services.config
    if holder.path is None:
        raise HttpError(409, "the server was started without a configuration", "start it with --config FILE")
    before = holder.generation
    good = holder.reload(call.services.wall_clock())
    detail = {"before": before, "after": holder.generation}
    await call.services.records.write(
        lambda c: _note(call, c, "config.reload", "in use" if good else "rejected", detail)
    )
    if not good and holder.rejected is not None:
        raise HttpError(
            400, "the configuration was rejected; the one before stays in use",
            "\n".join(str(p) for p in holder.rejected.problems[:20]),
        )  # fmt: skip
    return {"generation": holder.generation, "warnings": [str(w) for w in holder.warnings]}
