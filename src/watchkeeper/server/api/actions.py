"""Actions about alerts: what was done, doing it by hand, taking it back."""

from typing import Any, Literal

from pydantic import Field

from watchkeeper.model.action import ActionSpec
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Query, ScorerName, Short
from watchkeeper.server.routing import Call, HttpError, needed, refused, route
from watchkeeper.store.records import actions, incidents
from watchkeeper.store.records.actions import ActionRow


class Wanted(Query):
    """Which actions: of an alert, or of an incident's alerts."""

    alert_id: Short | None = None
    incident_id: Short | None = None
    limit: int = Field(100, ge=1, le=1000)


class Doing(Body):
    """An action of the alert's monitor by its `name`, or one that needs no configuration by its `type`."""

    name: Short | None = None
    type: Literal["open_reviews", "pause", "mark_release"] | None = None
    count: int | None = Field(None, ge=1, le=200)
    scorer: ScorerName | None = None
    scorecard: ScorerName | None = None
    version: Short | None = None
    dry_run: bool = False


def action_json(row: ActionRow) -> dict[str, Any]:
    """One action with how it stands and its history."""
    o = row.order
    return {
        "id": row.id, "name": o.name, "type": o.type, "state": row.state, "says": row.says, "params": o.params,
        "alert_id": o.alert_id, "incident_id": o.incident_id, "actor": o.actor, "asked": iso(o.created_ns),
        "attempts": row.attempts, "history": [{**h, "at": iso(h["at_ns"])} for h in row.history],
    }  # fmt: skip


@route("GET", "/api/actions", permission="viewer", query=Wanted)
async def list_actions(call: Call) -> list[dict[str, Any]]:
    """Actions, latest first: what was asked for, by whom, what came of it."""
    wanted: Wanted = call.query

    def work(c: Any) -> list[ActionRow]:
        ids = None if wanted.alert_id is None else (wanted.alert_id,)
        if wanted.incident_id is not None:
            found = incidents.get(c, call.project, wanted.incident_id)
            ids = tuple(found[0].document.get("alerts", [])) if found is not None else ()
        return actions.find(c, call.project, ids, wanted.limit)

    return [action_json(r) for r in await call.services.records.read(work)]


def spec_of(given: Doing) -> ActionSpec | None:
    """The action of a request that names none of the configuration's; None where it does. Raises `HttpError`."""
    if (given.name is None) == (given.type is None):
        raise HttpError(
            400, "give the name of a configured action, or a type", "open_reviews, pause, mark_release"
        )
    if given.type is None:
        return None
    if given.type == "pause" and (given.scorer is None) == (given.scorecard is None):
        raise HttpError(400, "pause needs a scorer or a scorecard", "scorer: helpful")
    params = {
        k: v for k in ("count", "scorer", "scorecard", "version") if (v := getattr(given, k)) is not None
    }
    words = " ".join([given.type, *(str(params[k]) for k in sorted(params))])
    return ActionSpec(words, given.type, params=params)


async def act_on(call: Call, alert_id: str, given: Doing) -> ActionRow:
    """Order it and carry it out now if it can be. Raises `HttpError` 400 and 404."""
    actor, spec = needed(call.services.actor, "actions"), spec_of(given)
    name = spec.name if spec is not None else str(given.name)
    try:
        row = await actor.by_hand(call.project, alert_id, name, call.principal.actor, given.dry_run, spec)
    except Refused as error:
        raise refused(error) from None
    await actor.run_due()
    found = await call.services.records.read(lambda c: actions.get(c, call.project, row.id))
    return found or row


@route("POST", "/api/alerts/{alert_id}/actions", permission="editor", body=Doing, status=201)
async def act(call: Call) -> dict[str, Any]:
    """Do something about an alert: once, whoever asks and however often; `dry_run` only says what would be done."""
    return action_json(await act_on(call, str(call.request.path_params["alert_id"]), call.body))


async def undone(call: Call, action_id: str) -> ActionRow:
    """Take an action back and carry that out now if it can be. Raises `HttpError`."""
    actor = needed(call.services.actor, "actions")
    try:
        row = await actor.undo(call.project, action_id, call.principal.actor)
    except Refused as error:
        raise refused(error) from None
    await actor.run_due()
    found = await call.services.records.read(lambda c: actions.get(c, call.project, action_id))
    return found or row


@route("POST", "/api/actions/{action_id}/undo", permission="editor")
async def undo(call: Call) -> dict[str, Any]:
    """Take back what was done."""
    return action_json(await undone(call, str(call.request.path_params["action_id"])))
