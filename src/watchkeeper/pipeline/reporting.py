"""Reports: gathers what a period was like, makes the weekly summary and the evidence report, and sends the weekly one."""

import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.alerting import report as rules
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.alerting.report import Facts, IncidentLine, Watching
from watchkeeper.model.alert import Alert, Notification
from watchkeeper.model.calibration import Calibration, Standing
from watchkeeper.model.report import Report
from watchkeeper.model.series import Point, SeriesKey, axis_of
from watchkeeper.model.times import SECOND, WEEK, Clock
from watchkeeper.pipeline.coverage import totals
from watchkeeper.pipeline.explore import stands
from watchkeeper.pipeline.incidents import triage_of
from watchkeeper.pipeline.watching.evidence import compare
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import (
    access,
    actions,
    alerts,
    calibration,
    experiments,
    incidents,
    outbox,
    states,
)
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import labels

log = logging.getLogger(__name__)
KINDS: Mapping[str, Callable[[Facts], Report]] = {"weekly": rules.weekly, "evidence": rules.evidence}


@dataclass(frozen=True)
class Setting:
    """What the configuration knows of the period: monitors, budget, built-in monitors, guards, privacy in words."""

    monitors: Sequence[Monitor] = ()
    allowed: float | None = None
    built_in: Sequence[str] = ()
    guards: Sequence[str] = ()
    redaction: str = ""
    retention: str = ""


@dataclass(frozen=True)
class Weekly:
    """When and to whom the summary goes: the latest `day` (monday …) at `hour` in `zone`, to `routes`."""

    routes: tuple[str, ...]
    day: str = "monday"
    hour: int = 8
    zone: str = "UTC"


async def no_standings(_project: str) -> dict[str, Standing]:
    """Where no scorers run, none has a standing."""
    return {}


@dataclass
class ReportFlow:
    """`setting(project)` and `weekly()` follow the configuration; `standings(project)` says which scorers may decide; `clock`
    is data time in ns."""

    columns: Columns
    records: Records
    clock: Clock
    setting: Callable[[str], Setting]
    weekly: Callable[[], Weekly | None]
    standings: Callable[[str], Awaitable[Mapping[str, Standing]]] = no_standings
    counts: Counter[str] = field(default_factory=Counter[str])

    async def make(self, kind: str, project: str, since_ns: int, until_ns: int) -> Report:
        """A report over [since, until). Raises KeyError for a kind that is none of `KINDS`."""
        return KINDS[kind](await self.gather(project, since_ns, until_ns))

    async def gather(self, project: str, since: int, until: int) -> Facts:
        """Everything recorded of a period, and the scores of the period before for comparison."""
        setting = self.setting(project)
        covered = await totals(self.columns, project, since, until)
        deploys = await self.columns.read_deploys(project, since, until)
        standing = await self.standings(project)
        before, now = await series(self.columns, project, since, until)
        told = await self.records.read(lambda c: _recorded(c, project, since, until, setting))
        known: list[Alert] = told["alerts"]
        fired = Counter(a.monitor for a in known if a.fired_ns and since <= a.fired_ns < until)
        return Facts(
            project, since, until, self.clock(), round(sum(p.sw for p in now.get("traces", []))),
            [Watching(m.name, m.condition, m.owner, m.severity, fired[m.name], told["budget"].get(m.name)) for m in setting.monitors],
            setting.allowed, setting.built_in, covered, compare(before, now, ()), known, told["incidents"],
            told["calibrations"], standing, told["reviews"], told["gates"], deploys, told["actions"], told["undelivered"],
            setting.redaction, setting.retention, setting.guards,
        )  # fmt: skip

    async def run_due(self) -> bool:
        """Send the summary of the week that ended last, once; whether one was queued. A new installation, and one that had no
        weekly summary before, begins with the next week: the past is on the reports page."""
        wanted = self.weekly()
        if wanted is None or not wanted.routes:
            return False
        now = self.clock()
        due = rules.last_due(now, wanted.day, wanted.hour, wanted.zone)
        queued = False
        for project in await self.records.read(_projects):
            mark = await self.records.read(lambda c, p=project: states.get(c, p, "weekly", "mark"))
            if mark is None:
                await self.records.write(lambda c, p=project: states.put(c, p, "weekly", "mark", due, now))
            elif int(mark) < due:
                report = await self.make("weekly", project, due - WEEK, due)
                queued |= await self.records.write(
                    lambda c, r=report: self._send(c, r, wanted.routes, due, now)
                )
        return queued

    def _send(self, c: Connection, report: Report, routes: Sequence[str], due: int, now: int) -> bool:
        mark = states.get(c, report.project, "weekly", "mark")
        if mark is not None and int(mark) >= due:
            return False
        text = rules.markdown(report)
        for route in dict.fromkeys(routes):
            key = f"{report.project}\x1fweekly\x1f{route}\x1f{due}"
            message = Notification(
                id=hashlib.sha256(key.encode()).hexdigest()[:32], project=report.project, alert_id="weekly",
                dedup_key=f"wk-weekly-{report.project}-{due // SECOND}", route=route, event="weekly",
                subject=f"[WEEKLY] {report.project}: {report.headline[0]}", text=text,
                payload=rules.payload(report), created_ns=now, next_attempt_ns=now,
            )  # fmt: skip
            outbox.enqueue(c, message)
        states.put(c, report.project, "weekly", "mark", due, now)
        self.counts["weekly"] += 1
        return True


def _projects(c: Connection) -> list[str]:
    return sorted({"default", *access.list_projects(c)} - {"*"})


async def series(
    columns: Columns, project: str, since: int, until: int
) -> tuple[dict[str, list[Point]], dict[str, list[Point]]]:
    """Every series of all traffic as long before `since` as the period is, and in it: one point a scale and version, without
    histogram, that begins with the newest of its ticks; the newest last."""
    table = await columns.named(
        "report_points", project, before=since - (until - since), since=since, until=until
    )
    sides: tuple[dict[str, list[Point]], dict[str, list[Point]]] = ({}, {})
    for metric, edges, version, current, newest, seconds, n, *sums in table.rows:
        axis, start = axis_of(str(edges)), int(newest) * SECOND
        key = SeriesKey(project, str(metric))
        made = Point(key, start, start + int(seconds) * SECOND, axis, int(n), *sums, version=str(version))
        sides[bool(current)].setdefault(key.metric, []).append(made)
    return sides


def _recorded(c: Connection, project: str, since: int, until: int, setting: Setting) -> dict[str, Any]:
    verdicts = (
        sa.select(labels.c.verdict, sa.func.count())
        .where(labels.c.project == project, labels.c.time_ns >= since, labels.c.time_ns < until)
        .where(labels.c.undone_ns.is_(None))
        .group_by(labels.c.verdict)
    )
    gates = [e for e in experiments.listing(c, project, 500) if since <= int(e["created_ns"]) < until]
    done = [a for a in actions.find(c, project, None, 1000, since) if a.order.created_ns < until]
    dead = [n for _, n in outbox.find(c, project, "dead", None, 1000) if since <= n.created_ns < until]
    calibrations: list[Calibration] = [x for x in calibration.history(c, project) if x.time_ns < until]
    return {
        "alerts": [a for a in alerts.find(c, project, limit=5000) if (a.fired_ns or a.since_ns) < until],
        "incidents": [_incident(c, project, i) for i in incidents.find(c, project, None, 500, since) if i.opened_ns < until],
        "calibrations": calibrations,
        "reviews": {str(v): int(n) for v, n in c.execute(verdicts)},
        "gates": Counter(str(e.get("verdict") or "running") for e in gates),
        "actions": Counter(f"{a.order.type.replace('_', ' ')} {a.state}" for a in done),
        "undelivered": len(dead),
        "budget": {s.monitor.name: s.false_alarms for s in stands(c, project, setting.monitors)},
    }  # fmt: skip


def _incident(c: Connection, project: str, incident: incidents.Incident) -> IncidentLine:
    found = incidents.get(c, project, incident.id)
    taken = [e.time_ns for e in (found[1] if found is not None else ()) if e.kind == "acknowledged"]
    triage = triage_of(incident)
    suspect = triage.ranked[0].name if triage is not None and triage.ranked else ""
    return IncidentLine(
        incident.title, incident.status, incident.severity, incident.opened_ns, min(taken, default=None),
        incident.closed_ns, suspect,
    )  # fmt: skip
