"""What was done about an alert, and the buttons to do and undo it; part of the alert's and the incident's page."""

from typing import Any

from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.model.alert import Alert
from watchkeeper.server.api import actions as api
from watchkeeper.server.login import safe_next
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import actions
from watchkeeper.web.pages.common import form_of


async def actions_of(call: Call, about: list[Alert]) -> dict[str, Any]:
    """The actions of some alerts, and what the configuration offers for the first one beside."""
    ids = tuple(a.id for a in about)

    def read(c: Connection) -> list[actions.ActionRow]:
        return actions.find(c, call.project, ids) if ids else []

    done = await call.services.records.read(read)
    actor = call.services.actor
    names = {r.order.name for r in done if r.state in ("due", "done", "undoing")}
    offered = [s for s in actor.of(about[0]) if s.name not in names] if actor is not None and about else []
    shown = [
        {"row": r, "at": r.history[-1]["at_ns"] if r.history else r.order.created_ns, "who": r.order.actor}
        for r in done
    ]
    return {
        "done": shown,
        "offered": offered,
        "alert_id": about[0].id if about and actor is not None else None,
    }


@route("POST", "/alerts/{alert_id}/act", permission="editor", kind="page")
async def acting(call: Call) -> Response:
    """Do something about an alert."""
    form = await form_of(call)
    wanted: dict[str, Any] = {k: form[k] for k in ("name", "type", "scorer", "version") if k in form}
    if form.get("count", "").isdigit():
        wanted["count"] = int(form["count"])
    wanted["dry_run"] = form.get("dry_run") == "yes"
    try:
        given = api.Doing.model_validate(wanted)
    except ValueError:
        raise HttpError(400, "this action is not known", "open_reviews, pause, mark_release") from None
    await api.act_on(call, str(call.request.path_params["alert_id"]), given)
    return RedirectResponse(safe_next(form.get("back")), 303)


@route("POST", "/actions/{action_id}/undo", permission="editor", kind="page")
async def undoing(call: Call) -> Response:
    """Take an action back."""
    form = await form_of(call)
    await api.undone(call, str(call.request.path_params["action_id"]))
    return RedirectResponse(safe_next(form.get("back")), 303)
