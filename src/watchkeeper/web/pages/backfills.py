"""Scorers over history: what a run would cost, and how far the runs are."""

from typing import Any

from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from watchkeeper.server.api.backfills import Asked, asked, backfill_json, begin, changed, flow_of, listed
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.view import view_of

FIELDS = ("scorer", "scorecard", "back", "where", "limit", "budget")


def _wanted(form: dict[str, str]) -> Asked | None:
    """The run the form describes, None when it is empty. Raises `HttpError` 400."""
    what = form.get("scorer", "")
    if not what:
        return None
    card = what.removeprefix("scorecard:") if what.startswith("scorecard:") else None
    given: dict[str, Any] = {
        "scorer": None if card else what,
        "scorecard": card,
        "since": form.get("back") or "7d",
        "where": form.get("where") or None,
    }
    try:
        given["limit"] = int(form["limit"]) if form.get("limit") else None
        given["budget"] = float(form["budget"]) if form.get("budget") else None
        return Asked.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise HttpError(400, f"{first['loc'][0] if first['loc'] else 'form'}: {first['msg']}", "") from None
    except ValueError:
        raise HttpError(
            400, "limit and budget are numbers", "leave them empty for all traces, and no own budget"
        ) from None


@route("GET", "/backfills", permission="viewer")
async def page(call: Call) -> Response:
    """The runs, and what one more would cost."""
    view = view_of(call)
    form = {k: view.params[k] for k in FIELDS if view.params.get(k)}
    preview, wrong = None, None
    if form.get("scorer") and call.may("editor"):
        try:
            wanted = _wanted(form)
            preview = backfill_json(await asked(call, wanted)) if wanted else None
        except HttpError as error:
            wrong = f"{error.error} {error.hint}".strip()
    flow = flow_of(call)
    context = {
        "runs": await listed(call),
        "scorers": flow.scorer_names(call.project),
        "cards": flow.card_names(call.project),
        "form": form,
        "preview": preview,
        "wrong": wrong,
    }
    return await answer(view, "scorers", "Backfills", "backfills.html", context)


@route("POST", "/backfills", permission="editor", kind="page")
async def start(call: Call) -> Response:
    """Start the run whose cost was shown."""
    wanted = _wanted(await form_of(call))
    if wanted is None:
        raise HttpError(400, "choose a scorer", "")
    await begin(call, await asked(call, wanted))
    return RedirectResponse(view_of(call).url("/backfills"), 303)


@route("POST", "/backfills/{backfill_id}", permission="editor", kind="page")
async def change(call: Call) -> Response:
    """Pause, resume or cancel a run."""
    action = (await form_of(call)).get("action", "")
    if action not in ("pause", "resume", "cancel"):
        raise HttpError(400, "that cannot be done with a run", "pause, resume or cancel it")
    await changed(call, str(call.request.path_params["backfill_id"]), action)
    return RedirectResponse(view_of(call).url("/backfills"), 303)
