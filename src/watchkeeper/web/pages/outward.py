"""What leaves: files of what is stored, and other backends that get it as it comes."""

from starlette.responses import Response

from watchkeeper.server.api import export as api
from watchkeeper.server.api.shapes import literal
from watchkeeper.server.routing import Call, route
from watchkeeper.web.pages.common import answer
from watchkeeper.web.pages.traces import cohort_conditions, conditions
from watchkeeper.web.view import View, view_of


def condition(view: View) -> str:
    """The one condition that a trace list's filters, cohort, session and user stand for."""
    exact = {"session_id": view.params.get("session"), "user_id": view.params.get("user")}
    said = (f"{name} = {literal(value)}" for name, value in exact.items() if value)
    parts = [*conditions(view), *cohort_conditions(view.cohort), *said]
    return parts[0] if len(parts) == 1 else " and ".join(f"({part})" for part in parts)


@route("GET", "/settings/export", permission="viewer")
async def export(call: Call) -> Response:
    """Forms for a file of rows or of whole traces, filled with the filters of the list one came from."""
    view = view_of(call)
    since = view.range.key or view.params.get("since", "")
    context = {
        "where": condition(view),
        "since": since,
        "until": "" if view.range.key else view.params.get("until", ""),
        "text": view.search,
        "formats": tuple(api.MEDIA),
        "content": call.sees_content,
    }
    return await answer(view, "settings", "Export", "settings_export.html", context)


@route("GET", "/settings/export/rows", permission="viewer", query=api.Rows)
async def rows(call: Call) -> Response:
    """The file of rows; what is refused is said on a page."""
    return await api.export_rows(call)


@route("GET", "/settings/export/traces", permission="viewer", query=api.Whole)
async def traces(call: Call) -> Response:
    """The file of whole traces; what is refused is said on a page."""
    return await api.export_traces(call)


@route("GET", "/settings/forwarding", permission="admin")
async def forwarding(call: Call) -> Response:
    """Each target and signal: what was sent, what waits and for how long, what will never be taken, what is wrong."""
    forward = call.services.forward
    context = {
        "ways": [] if forward is None else await forward.summary(),
        "targets": {} if forward is None else {w.target.name: w.target for w in forward.ways},
    }
    return await answer(view_of(call), "settings", "Forwarding", "settings_forwarding.html", context)
