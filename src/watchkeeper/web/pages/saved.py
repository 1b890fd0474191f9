"""Saved views of the trace list: a name for its filters, shared in the project."""

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.server.login import safe_next
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import saved_views
from watchkeeper.web.pages.common import form_of
from watchkeeper.web.view import View, view_of

# What a view keeps of an address: which traces and in which order, not the page, and not the project it is saved in.
KEPT: Final = ("range", "since", "until", "cohort", "where", "q", "session", "user", "sort", "order", "live")
LONGEST: Final = 4_000


def kept(address: str) -> str:
    """The filters of an address of the list, in one order, so that equal views are equal."""
    given = dict(parse_qsl(urlsplit(address).query))
    return urlencode({name: given[name] for name in KEPT if given.get(name)})


def shown(view: View, found: list[saved_views.SavedView]) -> list[dict[str, Any]]:
    """The views with their addresses in the view's project, and which of them is looked at."""
    here = kept(view.url())
    return [
        {
            "id": one.id,
            "name": one.name,
            "author": one.author,
            "current": one.query == here,
            "href": view.url("/traces", **{**dict.fromkeys(KEPT), **dict(parse_qsl(one.query))}),
        }
        for one in found
    ]


@route("POST", "/traces/views", permission="editor")
async def save(call: Call) -> Response:
    """Save the list's filters under a name; a name that is taken gets the new filters."""
    form = await form_of(call)
    back = safe_next(form.get("back"))
    name = " ".join(form.get("name", "").split())
    query = kept(back)
    if not name or len(name) > 80:
        raise HttpError(400, "the view needs a name", "of up to 80 characters, such as “refunds that failed”")
    if len(query) > LONGEST:
        raise HttpError(400, "these filters are too long to save", f"at most {LONGEST} characters")
    now = call.services.wall_clock()

    def work(conn: Connection) -> str:
        return saved_views.put(conn, call.project, name, query, call.principal.actor, now)

    try:
        await call.services.records.write(work)
    except ValueError as error:
        raise HttpError(409, str(error), "open the views menu of the trace list") from None
    await note_change(call, "view.save", name)
    return RedirectResponse(back, 303)


@route("POST", "/traces/views/{view_id}/delete", permission="editor")
async def delete(call: Call) -> Response:
    """Delete a saved view."""
    form = await form_of(call)
    view_id = str(call.request.path_params["view_id"])
    name = await call.services.records.write(lambda c: saved_views.delete(c, call.project, view_id))
    if name is None:
        raise HttpError(404, "there is no such view in this project", "somebody may have deleted it already")
    await note_change(call, "view.delete", name)
    return RedirectResponse(
        safe_next(form.get("back")) if form.get("back") else view_of(call).url("/traces"), 303
    )
