"""Saved views of the trace list: a name for its filters, shared in the project."""

from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, StringConstraints
from sqlalchemy.engine import Connection

from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import saved_views

# What a view keeps of an address: which traces and in which order, not the page, and not the project it is saved in.
KEPT: Final = ("range", "since", "until", "cohort", "where", "q", "session", "user", "sort", "order", "live")
LONGEST: Final = 4_000


def kept(address: str) -> str:
    """The filters of an address of the list, in one order, so that equal views are equal."""
    given = dict(parse_qsl(urlsplit(address).query))
    return urlencode({name: given[name] for name in KEPT if given.get(name)})


class Saved(Body):
    """A name for filters."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]
    query: str = Field(
        max_length=LONGEST, description="What stands after the question mark in the list's address."
    )


async def save_view(call: Call, name: str, address: str) -> str:
    """Save an address's filters under a name; a name that is taken gets the new filters. The view's id. Raises `HttpError`."""
    query = kept(address)
    if not name or len(name) > 80:
        raise HttpError(400, "the view needs a name", "of up to 80 characters, such as “refunds that failed”")
    if len(query) > LONGEST:
        raise HttpError(400, "these filters are too long to save", f"at most {LONGEST} characters")
    now = call.services.wall_clock()

    def work(conn: Connection) -> str:
        return saved_views.put(conn, call.project, name, query, call.principal.actor, now)

    try:
        made = await call.services.records.write(work)
    except ValueError as error:
        raise HttpError(409, str(error), "GET /api/views lists them") from None
    await note_change(call, "view.save", name)
    return made


async def delete_view(call: Call, view_id: str) -> None:
    """Delete a view of this project. Raises `HttpError` 404."""
    name = await call.services.records.write(lambda c: saved_views.delete(c, call.project, view_id))
    if name is None:
        raise HttpError(404, "there is no such view in this project", "somebody may have deleted it already")
    await note_change(call, "view.delete", name)


@route("GET", "/api/views", permission="viewer")
async def listed(call: Call) -> list[dict[str, Any]]:
    """The project's saved views by name; `query` after `/traces?` shows one."""
    found = await call.services.records.read(lambda c: saved_views.listing(c, call.project))
    return [
        {"id": v.id, "name": v.name, "query": v.query, "author": v.author, "created": iso(v.created_ns)}
        for v in found
    ]


@route("POST", "/api/views", permission="editor", body=Saved, status=201)
async def save(call: Call) -> dict[str, Any]:
    """Save filters of the trace list under a name; a name that is taken gets the new filters."""
    given: Saved = call.body
    return {"id": await save_view(call, given.name, f"?{given.query.lstrip('?')}"), "name": given.name}


@route("DELETE", "/api/views/{view_id}", permission="editor")
async def delete(call: Call) -> dict[str, Any]:
    """Delete a saved view."""
    await delete_view(call, str(call.request.path_params["view_id"]))
    return {"deleted": True}
