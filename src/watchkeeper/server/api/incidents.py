"""Incidents: what people work on, its timeline, its triage, and the draft of its post-mortem."""

from typing import Any, Literal

import msgspec
from pydantic import Field
from sqlalchemy.engine import Connection
from starlette.responses import Response

from watchkeeper.alerting.monitor import DIMENSIONS
from watchkeeper.config.base import MetricName
from watchkeeper.model.times import HOUR
from watchkeeper.pipeline.incidents import IncidentFlow
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Long, Query, Short, moment_ns
from watchkeeper.server.routing import Call, HttpError, needed, route
from watchkeeper.store.records import alerts, audit, incidents

Status = Literal["open", "acknowledged", "resolved", "unresolved", "all"]


class Which(Query):
    """Which incidents; `unresolved` is everything that is not over."""

    status: Status = "all"
    limit: int = Field(100, ge=1, le=1000)


class NewIncident(Body):
    """An incident no alert opened, or one for an alert that did not page (`alert_id`). `metric`, `cohort` and `since`
    say what triage should explain."""

    title: Short | None = None
    severity: Literal["page", "warn", "info"] = "warn"
    owner: Short | None = None
    alert_id: Short | None = None
    metric: MetricName | None = None
    cohort: dict[Short, Short] = Field(default={}, max_length=5)
    since: str | None = Field(None, max_length=40)


class Comment(Body):
    """A line for the timeline."""

    text: Long = Field(min_length=1)


class Change(Body):
    """Why; it becomes the line of the timeline."""

    text: Long = ""


def incident_json(incident: incidents.Incident) -> dict[str, Any]:
    """One incident with its times as ISO 8601."""
    shown = msgspec.to_builtins(incident)
    return {**shown, "opened": iso(incident.opened_ns), "closed": iso(incident.closed_ns)}


def statuses(wanted: str) -> tuple[str, ...] | None:
    """The states a filter stands for; None for all."""
    return None if wanted == "all" else incidents.UNRESOLVED if wanted == "unresolved" else (wanted,)


@route("GET", "/api/incidents", permission="viewer", query=Which)
async def list_incidents(call: Call) -> list[dict[str, Any]]:
    """Incidents, latest first, without their triage."""
    wanted: Which = call.query
    found = await call.services.records.read(
        lambda c: incidents.find(c, call.project, statuses(wanted.status), wanted.limit)
    )
    shown = [incident_json(i) for i in found]
    for one in shown:
        one["document"] = {k: v for k, v in one["document"].items() if k != "triage"}
    return shown


def incident_id(call: Call) -> str:
    return str(call.request.path_params["incident_id"])


def no_incident(call: Call) -> HttpError:
    return HttpError(404, f"there is no incident {incident_id(call)[:80]!r}", "GET /api/incidents lists them")


def recorded(
    call: Call, conn: Connection, action: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    """The audit entry of a change, in its transaction."""
    audit.record(
        conn, project=call.project, now_ns=call.services.wall_clock(), actor=call.principal.actor,
        source=call.source, action=action, target=target, detail=detail,
    )  # fmt: skip


async def the_incident(call: Call) -> tuple[incidents.Incident, list[incidents.Entry]]:
    """The incident of the path with its timeline. Raises `HttpError` 404."""
    found = await call.services.records.read(lambda c: incidents.get(c, call.project, incident_id(call)))
    if found is None:
        raise no_incident(call)
    return found


@route("GET", "/api/incidents/{incident_id}", permission="viewer")
async def one_incident(call: Call) -> dict[str, Any]:
    """One incident with its timeline and triage."""
    incident, lines = await the_incident(call)
    shown = [{**msgspec.to_builtins(line), "time": iso(line.time_ns)} for line in lines]
    return {**incident_json(incident), "timeline": shown}


async def open_incident(call: Call, given: NewIncident) -> str:
    """Open what was asked for, in one transaction with its audit entry; the incident's id."""
    now = call.services.clock()
    since = moment_ns(given.since, now, "since") if given.since else now - 6 * HOUR
    wrong = sorted(set(given.cohort) - set(DIMENSIONS))
    if wrong:
        raise HttpError(400, f"cohort: {wrong[0]!r} is not a dimension", f"one of {', '.join(DIMENSIONS)}")
    if given.alert_id is None and (given.title is None or given.owner is None):
        raise HttpError(
            400, "an incident needs a title and an owner", "or the alert_id of the alert it is about"
        )

    def work(conn: Connection) -> str | None:
        actor = call.principal.actor
        if given.alert_id is not None:
            alert = alerts.get(conn, call.project, given.alert_id)
            if alert is None:
                return None
            title = given.title or f"{alert.monitor}: {alert.evidence.get('headline') or alert.summary}"[:255]
            group = str(alert.evidence.get("group") or alert.id)
            owner = given.owner or alert.owner
            made = incidents.open_for(
                conn, call.project, group, title, alert.severity, owner, now, actor, (alert.id,)
            )
            for deploy in alert.deploys[:3]:
                words = f"{deploy.name} {deploy.version}"
                incidents.note(conn, call.project, made, deploy.time_ns, "deploy", "watch", words)
        else:
            about = {"metric": given.metric, "cohort": given.cohort, "since_ns": since}
            title, owner = str(given.title), str(given.owner)
            made = incidents.open_by_hand(conn, call.project, title, given.severity, owner, now, actor, about)
        recorded(call, conn, "incident.open", made)
        return made

    made = await call.services.records.write(work)
    if made is None:
        raise HttpError(404, f"there is no alert {given.alert_id!r}", "GET /api/alerts lists them")
    return made


@route("POST", "/api/incidents", permission="reviewer", body=NewIncident, status=201)
async def open_one(call: Call) -> dict[str, Any]:
    """Open an incident by hand, or for an alert; one that exists for the same alerts is reopened."""
    made = await open_incident(call, call.body)
    found = await call.services.records.read(lambda c: incidents.get(c, call.project, made))
    return {"id": made} if found is None else incident_json(found[0])


@route("POST", "/api/incidents/{incident_id}/notes", permission="reviewer", body=Comment, status=201)
async def comment(call: Call) -> dict[str, Any]:
    """Add a line to the timeline."""
    incident, _ = await the_incident(call)
    given: Comment = call.body
    now = call.services.clock()
    await call.services.records.write(
        lambda c: incidents.note(
            c, call.project, incident.id, now, "comment", call.principal.actor, given.text
        )
    )
    return {"id": incident.id, "time": iso(now)}


async def changed(call: Call, status: incidents.Status, text: str) -> dict[str, Any]:
    """Move an incident to a state, with its audit entry; asking for the state it has changes nothing."""
    incident, _ = await the_incident(call)
    now = call.services.clock()

    def work(conn: Connection) -> str:
        done = incidents.change(conn, call.project, incident.id, status, now, call.principal.actor, text)
        if done:
            recorded(call, conn, f"incident.{status}", incident.id)
            return status
        found = incidents.get(conn, call.project, incident.id)
        return found[0].status if found is not None else incident.status

    stands = await call.services.records.write(work)
    if stands != status:
        raise HttpError(409, f"the incident is {stands}", "reopen it first")
    return {"id": incident.id, "status": stands}


@route("POST", "/api/incidents/{incident_id}/ack", permission="reviewer", body=Change)
async def acknowledge(call: Call) -> dict[str, Any]:
    """Take an incident."""
    return await changed(call, "acknowledged", call.body.text)


@route("POST", "/api/incidents/{incident_id}/resolve", permission="reviewer", body=Change)
async def resolve(call: Call) -> dict[str, Any]:
    """Say that an incident is over; a resolved one stays so."""
    return await changed(call, "resolved", call.body.text)


@route("POST", "/api/incidents/{incident_id}/reopen", permission="reviewer", body=Change)
async def reopen(call: Call) -> dict[str, Any]:
    """Take back that an incident is over, or that somebody has it."""
    return await changed(call, "open", call.body.text)


def _flow(call: Call) -> IncidentFlow:
    return needed(call.services.incidents, "the triage of incidents")


@route("POST", "/api/incidents/{incident_id}/triage", permission="reviewer")
async def compute(call: Call) -> dict[str, Any]:
    """Compute the triage now: retrieval, generation, routing and tools, upstream, each with a verdict and its evidence."""
    incident, _ = await the_incident(call)
    found = await _flow(call).triage(call.project, incident.id)
    if found is None:
        raise HttpError(
            409, "there is nothing to explain: no metric is known", "open the incident with metric and since"
        )
    return {"id": incident.id, "triage": msgspec.to_builtins(found)}


@route("GET", "/api/incidents/{incident_id}/postmortem", permission="viewer")
async def postmortem(call: Call) -> Response:
    """The draft of the incident's post-mortem as Markdown. Prompts and outputs are quoted for those who may see them."""
    base = call.services.config.current.server.public_url or ""
    text = await _flow(call).postmortem(call.project, incident_id(call), base, call.sees_content)
    if text is None:
        raise no_incident(call)
    name = f"postmortem-{incident_id(call)[:24]}.md"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(
        text.encode("utf-8", "replace"), media_type="text/markdown; charset=utf-8", headers=headers
    )
