"""Saved views of the trace list: a name for its filters, shared in the project."""

from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import RedirectResponse, Response

from watchkeeper.server.api.views import KEPT, delete_view, kept, save_view
from watchkeeper.server.login import safe_next
from watchkeeper.server.routing import Call, route
from watchkeeper.store.records import saved_views
from watchkeeper.web.pages.common import form_of
from watchkeeper.web.view import View, view_of


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
    await save_view(call, " ".join(form.get("name", "").split()), back)
    return RedirectResponse(back, 303)


@route("POST", "/traces/views/{view_id}/delete", permission="editor")
async def delete(call: Call) -> Response:
    """Delete a saved view."""
    form = await form_of(call)
    await delete_view(call, str(call.request.path_params["view_id"]))
    return RedirectResponse(
        safe_next(form.get("back")) if form.get("back") else view_of(call).url("/traces"), 303
    )
