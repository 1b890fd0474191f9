"""Alerts and silences: what fires, and who took it."""

from typing import Any, Literal

import msgspec
from pydantic import Field
from sqlalchemy.engine import Connection
from starlette.responses import Response

from watchkeeper.alerting.picture_link import read
from watchkeeper.config.units import duration_ns
from watchkeeper.model.alert import Alert
from watchkeeper.model.times import DAY
from watchkeeper.pipeline.selfwatch import document
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Long, Query, Short, moment_ns
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import alerts, audit, incidents

LONGEST_SILENCE_NS = 90 * DAY
State = Literal["ok", "pending", "firing", "resolved", "no_data", "unstable", "open", "all"]


class Wanted(Query):
    """Which alerts; `open` is everything that is not over."""

    state: State = "all"
    monitor: Short | None = None
    limit: int = Field(200, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=1_000_000)


class NewSilence(Body):
    """Alerts nobody is to be told about for a while. Matchers: monitor, severity, owner or a cohort dimension to an
    exact value, or `~` and a pattern in which only `*` is special. Give `ends` or `duration` (`2h`)."""

    matchers: dict[Short, Short] = Field(min_length=1, max_length=20)
    comment: Long = ""
    starts: str | None = Field(None, max_length=40)
    ends: str | None = Field(None, max_length=40)
    duration: str | None = Field(None, max_length=20)


class Quiet(Body):
    """For how long nobody is to be told about an alert like this."""

    duration: str = Field("2h", max_length=20)
    comment: Long = ""


def alert_json(alert: Alert) -> dict[str, Any]:
    """One alert with its times as ISO 8601."""
    shown = msgspec.to_builtins(alert)
    names = ("since", "onset", "fired", "resolved", "updated", "acknowledged")
    return {**shown, **{name: iso(shown[f"{name}_ns"]) for name in names}}


@route("GET", "/api/alerts", permission="viewer", query=Wanted)
async def list_alerts(call: Call) -> list[dict[str, Any]]:
    """Alerts, latest change first."""
    wanted: Wanted = call.query
    states = None if wanted.state == "all" else alerts.OPEN if wanted.state == "open" else (wanted.state,)
    found = await call.services.records.read(
        lambda c: alerts.find(c, call.project, states, wanted.monitor, wanted.limit, wanted.offset)
    )
    return [alert_json(a) for a in found]


def _id(call: Call) -> str:
    return str(call.request.path_params["alert_id"])


def _no_alert(call: Call) -> HttpError:
    return HttpError(404, f"there is no alert {_id(call)[:80]!r}", "GET /api/alerts lists them")


@route("GET", "/api/alerts/{alert_id}", permission="viewer")
async def one_alert(call: Call) -> dict[str, Any]:
    """One alert with its evidence, what moved, worst traces and deployments."""
    found = await call.services.records.read(lambda c: alerts.get(c, call.project, _id(call)))
    if found is None:
        raise _no_alert(call)
    return alert_json(found)


async def _picture(call: Call, project: str, alert_id: str) -> Response:
    drawn = None if call.services.pictures is None else await call.services.pictures.draw(project, alert_id)
    if drawn is None:
        raise HttpError(404, "there is no chart of this alert", "it may be about no series, or be forgotten")
    return Response(drawn, media_type="image/png", headers={"cache-control": "private, max-age=300"})


@route("GET", "/api/alerts/{alert_id}/chart.png", permission="viewer")
async def chart(call: Call) -> Response:
    """The alert's chart: its series against the baseline, with deploys and the alert's span, as PNG."""
    return await _picture(call, call.project, _id(call))


@route("GET", "/pictures/{token}", permission="public", kind="static")
async def picture(call: Call) -> Response:
    """The chart of an alert by the signed address its messages carry, good for a day after sending."""
    pictures, given = call.services.pictures, str(call.request.path_params["token"])
    known = None if pictures is None else read(pictures.key, given, call.services.wall_clock() // 10**9)
    if known is None:
        raise HttpError(404, "this address is over, or was never ours", "open the alert instead")
    return await _picture(call, *known)


async def _acknowledged(call: Call, on: bool) -> dict[str, Any]:
    now, wall = call.services.clock(), call.services.wall_clock()

    def work(conn: Connection) -> Alert | None:
        if on:
            found = alerts.acknowledge(conn, call.project, _id(call), call.principal.actor, now)
        else:
            found = alerts.unacknowledge(conn, call.project, _id(call))
        if found is not None:
            group, actor = found.evidence.get("group"), call.principal.actor
            words = f"{'took' if on else 'gave back'} {found.monitor}"
            incidents.on_alert_taken(conn, call.project, group, now, actor, words, on)
            _note(call, conn, wall, "alert.acknowledge" if on else "alert.unacknowledge", found.id)
        return found

    found = await call.services.records.write(work)
    if found is None:
        raise _no_alert(call)
    return alert_json(found)


def _note(
    call: Call, conn: Connection, wall: int, action: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    audit.record(
        conn, project=call.project, now_ns=wall, actor=call.principal.actor, source=call.source,
        action=action, target=target, detail=detail,
    )  # fmt: skip


@route("POST", "/api/alerts/{alert_id}/ack", permission="reviewer")
async def acknowledge(call: Call) -> dict[str, Any]:
    """Take an alert: reminders stop. Who took it first stays."""
    return await _acknowledged(call, True)


@route("DELETE", "/api/alerts/{alert_id}/ack", permission="reviewer")
async def unacknowledge(call: Call) -> dict[str, Any]:
    """Give an alert back: reminders go on."""
    return await _acknowledged(call, False)


@route("GET", "/api/silences", permission="viewer")
async def list_silences(call: Call) -> list[dict[str, Any]]:
    """Silences, latest end first, those that are over included."""
    found = await call.services.records.read(lambda c: alerts.list_silences(c, call.project))
    return [_silence_json(s) for s in found]


def _silence_json(silence: alerts.SilenceRow) -> dict[str, Any]:
    shown = msgspec.to_builtins(silence)
    return {**shown, "starts": iso(silence.starts_ns), "ends": iso(silence.ends_ns)}


@route("POST", "/api/silences", permission="editor", body=NewSilence, status=201)
async def silence(call: Call) -> dict[str, Any]:
    """Add a silence of at most 90 days; alerts go on being watched, and nobody is told."""
    given: NewSilence = call.body
    now, wall = call.services.clock(), call.services.wall_clock()
    starts = moment_ns(given.starts, now, "starts") if given.starts else now
    ends = _ends(given, starts, now)

    def work(conn: Connection) -> alerts.SilenceRow:
        author = call.principal.actor
        made = alerts.add_silence(conn, call.project, given.matchers, starts, ends, author, given.comment)
        _note(call, conn, wall, "silence.add", made.id, {"matchers": given.matchers, "ends_ns": ends})
        return made

    try:
        return _silence_json(await call.services.records.write(work))
    except ValueError as error:
        raise HttpError(400, str(error), "") from None


@route("POST", "/api/alerts/{alert_id}/silence", permission="editor", body=Quiet, status=201)
async def silence_alert(call: Call) -> dict[str, Any]:
    """Silence an alert's monitor for its cohort, for two hours unless `duration` says otherwise."""
    given: Quiet = call.body
    found = await call.services.records.read(lambda c: alerts.get(c, call.project, _id(call)))
    if found is None:
        raise _no_alert(call)
    matchers = {"monitor": found.monitor, **found.cohort}
    call.body = NewSilence.model_validate(
        {"matchers": matchers, "duration": given.duration, "comment": given.comment}
    )
    return await silence(call)


def _ends(given: NewSilence, starts: int, now: int) -> int:
    if (given.ends is None) == (given.duration is None):
        raise HttpError(400, "give either ends or duration", "duration: 2h")
    try:
        ends = moment_ns(given.ends, now, "ends") if given.ends else starts + duration_ns(given.duration)
    except ValueError as error:
        raise HttpError(400, f"duration: {error}", "") from None
    if not starts < ends <= starts + LONGEST_SILENCE_NS:
        raise HttpError(400, "a silence must end after it starts, within 90 days", "")
    return ends


@route("DELETE", "/api/silences/{silence_id}", permission="editor")
async def unsilence(call: Call) -> dict[str, Any]:
    """End a silence now."""
    silence_id = str(call.request.path_params["silence_id"])
    now, wall = call.services.clock(), call.services.wall_clock()

    def work(conn: Connection) -> bool:
        done = alerts.end_silence(conn, call.project, silence_id, now)
        if done:
            _note(call, conn, wall, "silence.end", silence_id)
        return done

    if not await call.services.records.write(work):
        raise HttpError(404, "there is no such silence, or it is over", "GET /api/silences lists them")
    return {"id": silence_id, "ends": iso(now)}


@route("GET", "/api/self-monitoring", permission="viewer")
async def self_monitoring(call: Call) -> list[dict[str, Any]]:
    """The built-in monitors of Watchkeeper itself: condition, state, and the figure last read with its n."""
    watch = call.services.selfwatch
    return [] if watch is None else document(await watch.standing())
