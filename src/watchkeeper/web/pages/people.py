"""Settings, people: who may do what here, and the link each of them signs in with."""

from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from watchkeeper.server.api import admin
from watchkeeper.server.api.keys import everywhere
from watchkeeper.server.routing import EVERY_PROJECT, Call, HttpError, route
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.view import view_of

#: What a person may be here, in words. An ingest key sends and cannot read: nobody signs in with that.
ROLES: Final = {"viewer": "read", "reviewer": "read and label", "editor": "change", "admin": "everything"}


async def _page(call: Call, made: dict[str, Any] | None = None) -> Response:
    view = view_of(call)
    public = call.services.config.current.server.public_url
    origin = "" if public else str(call.request.base_url).rstrip("/")
    people = [
        {
            **person,
            "role": person["roles"].get(call.project),
            "every": person["roles"].get(EVERY_PROJECT),
            "me": call.principal.actor == f"user:{person['email']}",
        }
        for person in await admin.people(call)
        if not person["disabled"] and person["roles"].keys() & {call.project, EVERY_PROJECT}
    ]
    context = {
        "people": people,
        "roles": ROLES,
        "everywhere": everywhere(call),
        "made": made and {**made, "login": origin + made["login"]},
        "banner": call.banner,
    }
    return await answer(view, "settings", "People", "settings_people.html", context)


@route("GET", "/settings/people", permission="admin")
async def people(call: Call) -> Response:
    """Who has a role in this project."""
    return await _page(call)


def _role(given: str) -> str:
    if given not in ROLES:
        raise HttpError(400, "that is not a role a person can have", "choose one from the list")
    return given


@route("POST", "/settings/people", permission="admin", kind="page")
async def add(call: Call) -> Response:
    """Add a person and show their link, once, in this answer."""
    form = await form_of(call)
    return await _page(
        call, await admin.add(call, form.get("email", "").strip().lower(), _role(form.get("role", "")))
    )


@route("POST", "/settings/people/{user_id}/link", permission="admin", kind="page")
async def link(call: Call) -> Response:
    """Make another link for somebody who is here already."""
    return await _page(call, await admin.link(call))


@route("POST", "/settings/people/{user_id}/role", permission="admin", kind="page")
async def change(call: Call) -> Response:
    """Change somebody's role here, or take it away."""
    form = await form_of(call)
    await admin.give(call, None if form.get("role") == "none" else _role(form.get("role", "")))
    return RedirectResponse(view_of(call).url("/settings/people"), 303)
