"""Alerts: what fires and what fired, and one of them with everything needed at three in the morning."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.alerting.builtin import with_unit
from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.evaluate import odds
from watchkeeper.config.units import duration_ns
from watchkeeper.model.alert import Alert, Moved
from watchkeeper.model.series import cohort_of, cohort_text
from watchkeeper.pipeline.selfwatch import document
from watchkeeper.server.login import safe_next
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import alerts, audit, incidents, outbox
from watchkeeper.web import data, humane
from watchkeeper.web.charts.figure import Figure
from watchkeeper.web.charts.spec import SeriesChart
from watchkeeper.web.estimate import Estimate, change
from watchkeeper.web.metrics import counted
from watchkeeper.web.pages.actions import actions_of
from watchkeeper.web.pages.charts import chart_of, figure_of, metric_of
from watchkeeper.web.pages.common import answer, form_of, monitors_of, reading_of
from watchkeeper.web.view import BUCKETS, TimeRange, View, view_of

UNITS: Final = {"rate": "share", "share": "share", "ms": "ms", "USD": "money"}
TABS: Final = {"open": alerts.OPEN, "resolved": ("resolved",), "all": None}
SILENCES: Final = ("1h", "4h", "24h", "7d")


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of the comparison: before, now, and whether they differ; `verdict` is worse, better, moved (neither) or empty."""

    metric: str
    title: str
    before: Estimate
    now: Estimate
    verdict: str
    change: str


def _line(moved: Moved) -> Line:
    unit = UNITS.get(moved.unit, "")
    if not unit and moved.metric.endswith("_ms"):
        unit = "ms"
    word = counted(moved.metric, unit)
    before = Estimate(
        moved.baseline,
        moved.baseline_low,
        moved.baseline_high,
        moved.baseline_n,
        unit,
        "no baseline",
        counts=word,
    )
    now = Estimate(
        moved.current,
        moved.current_low,
        moved.current_high,
        moved.current_n,
        unit,
        "no current value",
        counts=word,
    )
    known = data.describe(moved.metric)
    rose = (moved.current or 0) > (moved.baseline or 0)
    verdict = ""
    if moved.significant:
        verdict = "moved" if not known.better else "better" if rose == (known.better > 0) else "worse"
    return Line(
        moved.metric,
        known.title,
        before,
        now,
        verdict,
        change(now, before),
    )


def _shown(alert: Alert) -> int:
    """How many lines of the comparison are in sight: the alert's own metric and what moved with it, three at least."""
    return max(3, 1 + sum(1 for m in alert.moved[1:] if m.significant))


def window_of(alert: Alert, now_ns: int) -> TimeRange:
    """What the chart shows: the alert with as much before it, at least three days."""
    since = alert.onset_ns or alert.since_ns
    until = alert.resolved_ns or now_ns
    lead = max(3 * 86_400 * humane.NS, min(until - since, 14 * 86_400 * humane.NS))
    tail = 12 * 3_600 * humane.NS if alert.resolved_ns else 0
    until = min(max(until + tail, since + 6 * 3_600 * humane.NS), max(now_ns, since + 1))
    minute = 60 * humane.NS
    return TimeRange((since - lead) // minute * minute, -(-until // minute) * minute, "", "around the alert")


def around_alert(view: View, alert: Alert) -> View:
    """The view an alert's chart is drawn in: its cohort, and the time around it."""
    around = window_of(alert, view.now_ns)
    params = {"since": humane.iso(around.since_ns), "until": humane.iso(around.until_ns)}
    params["cohort"] = cohort_text(tuple(alert.cohort.items()))
    return replace(view, params=params, range=around, cohort=dict(alert.cohort), search="", problems=[])


async def alert_chart(of: View, alert: Alert) -> tuple[str, SeriesChart] | None:
    """The metric an alert is about and its chart in the view `around_alert`; None where there is nothing to draw."""
    metric = metric_of(alert)
    if metric is None:
        return None
    wanted = next((b for b in BUCKETS if of.range.seconds / b <= 48), BUCKETS[-1])
    one = (await data.all_series(of, metric, wanted)).get(metric)
    if one is None or not one.current.n:
        return None
    bucket = (one.dots[1].at_ns - one.dots[0].at_ns) // humane.NS if len(one.dots) > 1 else wanted
    chart = chart_of(of, one, bucket, await data.deploys(of), [alert])
    return metric, replace(chart, baseline=_baseline(alert, metric) or chart.baseline)


async def figure_around(view: View, alert: Alert) -> Figure | None:
    """The alert's chart with its links; None where there is nothing to draw."""
    of = around_alert(view, alert)
    found = await alert_chart(of, alert)
    return None if found is None else figure_of(of, found[1], found[0], "wide")


def _baseline(alert: Alert, metric: str) -> tuple[float, float, float] | None:
    """What the alert itself was judged against: a new cohort has no past of its own."""
    for m in alert.moved:
        if (
            m.metric == metric
            and m.baseline is not None
            and m.baseline_low is not None
            and m.baseline_high is not None
        ):
            return m.baseline, m.baseline_low, m.baseline_high
    return None


def timeline(alert: Alert, told: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Everything that happened to an alert, oldest first."""
    lines: list[dict[str, Any]] = [
        {"at": d.time_ns, "icon": "releases", "words": f"Deployed {d.name} {d.version}", "more": d.note or ""}
        for d in alert.deploys
    ]
    if alert.onset_ns:
        lines.append(
            {"at": alert.onset_ns, "icon": "flag", "words": "Estimated start of the change", "more": ""}
        )
    lines.append(
        {"at": alert.since_ns, "icon": "clock", "words": "Pending: the condition was first met", "more": ""}
    )
    if alert.fired_ns:
        lines.append({"at": alert.fired_ns, "icon": "bad", "words": "Firing", "more": alert.condition})
    for status, message in told:
        more = {
            "delivered": "delivered",
            "dead": f"never delivered: {message.failed_reason}",
            "due": "waiting to be sent",
            "superseded": "replaced by a newer message",
        }.get(status, status)
        lines.append(
            {
                "at": message.delivered_ns or message.created_ns,
                "icon": "alerts",
                "words": f"Told {message.route}: {message.event}",
                "more": more,
            }
        )
    if alert.acknowledged_ns:
        lines.append(
            {
                "at": alert.acknowledged_ns,
                "icon": "check",
                "words": f"Taken by {alert.acknowledged_by}",
                "more": "",
            }
        )
    if alert.resolved_ns:
        lines.append({"at": alert.resolved_ns, "icon": "good", "words": "Resolved", "more": ""})
    return sorted(lines, key=lambda line: int(line["at"]))


@route("GET", "/alerts", permission="viewer")
async def listing(call: Call) -> Response:
    """Alerts, latest change first."""
    view = view_of(call, "7d")
    tab = view.params.get("state", "open")
    tab = tab if tab in TABS else "open"

    def read(conn: Connection) -> tuple[list[Alert], dict[str, int], list[alerts.SilenceRow]]:
        return (
            alerts.find(conn, view.project, TABS[tab]),
            alerts.counts(conn, view.project),
            alerts.list_silences(conn, view.project, view.now_ns),
        )

    found, counts, silences = await call.services.records.read(read)
    order = {"firing": 0, "pending": 1, "unstable": 2, "no_data": 3}
    watch = call.services.watch
    found.sort(
        key=lambda a: (order.get(a.state, 9), {"page": 0, "warn": 1}.get(a.severity, 2), -a.updated_ns)
    )
    reading = await reading_of(call)
    context = {
        "alerts": found,
        "tab": tab,
        "tab_counts": {
            "open": sum(counts.get(s, 0) for s in alerts.OPEN),
            "resolved": counts.get("resolved", 0),
            "all": sum(counts.values()),
        },
        "silences": silences,
        "monitors": monitors_of(call),
        "reading": [m.name for m in monitors_of(call) if m.name in reading],
        "capped": [m for m in watch.mine(view.project) if m.capped] if watch is not None else [],
        "words": lambda a: cohort_words(cohort_of(a.cohort)),
        "built_in": await _built_in(call),
    }
    return await answer(view, "alerts", "Alerts", "alerts.html", context)


async def _built_in(call: Call) -> list[dict[str, Any]]:
    """How the monitors of Watchkeeper itself stand; none where they are switched off or have not looked yet."""
    watch = call.services.selfwatch
    found = [] if watch is None else document(await watch.standing())
    return [
        {**one, "figure": None if one["value"] is None else with_unit(str(one["unit"]), float(one["value"]))}
        for one in found
    ]


async def _alert(call: Call) -> Alert:
    alert_id = str(call.request.path_params["alert_id"])
    found = await call.services.records.read(lambda c: alerts.get(c, call.project, alert_id))
    if found is None:
        raise HttpError(404, "there is no such alert in this project", "the list of alerts has all of them")
    return found


@route("GET", "/alerts/{alert_id}", permission="viewer")
async def detail(call: Call) -> Response:
    """One alert: what changed, since when, how sure, which traces, who, and what to do."""
    view = view_of(call, "7d")
    alert = await _alert(call)
    ids = [str(w["trace_id"]) for w in alert.worst[:5] if w.get("trace_id")]
    picture, worst, told, silences = await asyncio.gather(
        figure_around(view, alert),
        data.rows(view, "page_traces_by_id", ids=ids) if ids and call.sees_content else _nothing(),
        call.services.records.read(lambda c: outbox.find(c, view.project, alert_id=alert.id)),
        call.services.records.read(lambda c: alerts.list_silences(c, view.project, view.now_ns)),
    )
    by_id = {str(r["trace_id"]): r for r in worst}
    monitor = next((m for m in monitors_of(call) if m.name == alert.monitor), None)
    cohort = cohort_text(tuple(alert.cohort.items()))
    since = alert.onset_ns or alert.since_ns
    until = alert.resolved_ns or view.now_ns
    context = {
        "alert": alert,
        "figure": picture,
        "metric": metric_of(alert),
        "lines": [_line(m) for m in alert.moved],
        "shown": _shown(alert),
        "worst": [{**w, "row": by_id.get(str(w.get("trace_id")))} for w in alert.worst[:3]],
        "timeline": timeline(alert, told),
        "monitor": monitor,
        "cohort_words": cohort_words(cohort_of(alert.cohort)),
        "traces_href": view.between("/traces", since, until, cohort=cohort or None, sort=_worst_first(alert)),
        "series_href": view.url(f"/quality/{metric_of(alert)}", cohort=cohort or None, range="14d")
        if metric_of(alert)
        else None,
        "silenced": [s for s in silences if s.matchers.get("monitor") == alert.monitor],
        "silence_choices": SILENCES,
        "evidence": _evidence(alert),
        "actions": await actions_of(call, [alert]),
        "incident": await call.services.records.read(lambda c: _incident_of(c, view.project, alert)),
    }
    return await answer(view, "alerts", alert.monitor, "alert.html", context)


def _worst_first(alert: Alert) -> str | None:
    """How the list of traces is sorted to begin with the alert's worst."""
    metric = metric_of(alert)
    return metric and f"{'-' if alert.evidence.get('direction') == 'up' else ''}{metric}"


def _incident_of(conn: Connection, project: str, alert: Alert) -> incidents.Incident | None:
    """The incident people work on because of this alert, if there is one."""
    group = str(alert.evidence.get("group") or alert.id)
    found = incidents.get(conn, project, incidents.id_of_group(project, group))
    return None if found is None else found[0]


async def _nothing() -> list[dict[str, Any]]:
    return []


def _evidence(alert: Alert) -> dict[str, str]:
    """How sure: what the detector left behind, in words."""
    said: dict[str, str] = dict.fromkeys(
        ("headline", "holds", "suspicion", "reason", "strength", "capped"), ""
    )
    for key in ("headline", "holds", "suspicion", "reason", "capped"):
        if isinstance(alert.evidence.get(key), str):
            said[key] = alert.evidence[key]
    strength = alert.evidence.get("log10_m")
    if isinstance(strength, int | float):
        said["strength"] = odds(strength)
    return said


def _note(
    call: Call, conn: Connection, action: str, target: str, detail: dict[str, Any] | None = None
) -> None:
    audit.record(
        conn, project=call.project, now_ns=call.services.wall_clock(), actor=call.principal.actor,
        source=call.source, action=action, target=target, detail=detail,
    )  # fmt: skip


@route("POST", "/alerts/{alert_id}/ack", permission="reviewer", kind="page")
async def acknowledge(call: Call) -> Response:
    """Take the alert, or give it back with `undo`."""
    alert, form = await _alert(call), await form_of(call)
    undo = form.get("undo") == "yes"

    def work(conn: Connection) -> None:
        if undo:
            alerts.unacknowledge(conn, call.project, alert.id)
        else:
            alerts.acknowledge(conn, call.project, alert.id, call.principal.actor, call.services.clock())
        group, now = alert.evidence.get("group"), call.services.clock()
        words = f"{'gave back' if undo else 'took'} {alert.monitor}"
        incidents.on_alert_taken(conn, call.project, group, now, call.principal.actor, words, not undo)
        _note(call, conn, "alert.unacknowledge" if undo else "alert.acknowledge", alert.id)

    await call.services.records.write(work)
    return RedirectResponse(safe_next(form.get("back")), 303)


@route("POST", "/alerts/{alert_id}/silence", permission="editor", kind="page")
async def silence(call: Call) -> Response:
    """Tell nobody about this monitor and cohort for a while; it goes on being watched."""
    alert, form = await _alert(call), await form_of(call)
    if form.get("for") not in SILENCES:
        raise HttpError(400, "choose how long to be silent", f"one of {', '.join(SILENCES)}")
    now = call.services.clock()
    matchers = {"monitor": alert.monitor, **alert.cohort}
    ends = now + duration_ns(form["for"])

    def work(conn: Connection) -> None:
        made = alerts.add_silence(
            conn, call.project, matchers, now, ends, call.principal.actor, form.get("comment", "")[:500]
        )
        _note(call, conn, "silence.add", made.id, {"matchers": matchers, "ends_ns": ends})

    await call.services.records.write(work)
    return RedirectResponse(safe_next(form.get("back")), 303)


@route("POST", "/silences/{silence_id}/end", permission="editor", kind="page")
async def unsilence(call: Call) -> Response:
    """End a silence now."""
    silence_id, form = str(call.request.path_params["silence_id"]), await form_of(call)

    def work(conn: Connection) -> bool:
        done = alerts.end_silence(conn, call.project, silence_id, call.services.clock())
        if done:
            _note(call, conn, "silence.end", silence_id)
        return done

    if not await call.services.records.write(work):
        raise HttpError(404, "there is no such silence, or it is over")
    return RedirectResponse(safe_next(form.get("back")), 303)
