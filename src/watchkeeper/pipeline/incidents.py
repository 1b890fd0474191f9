"""Incidents at work: their triage, computed when they open and kept fresh while they fire, and their post-mortem."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.alerting import postmortem
from watchkeeper.alerting.routing import onset_of
from watchkeeper.model.alert import Alert
from watchkeeper.model.incident import Triage
from watchkeeper.model.series import cohort_of
from watchkeeper.model.times import HOUR
from watchkeeper.pipeline import triage
from watchkeeper.pipeline.triage import Question
from watchkeeper.pipeline.watching.normals import BASELINE_NS
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import alerts, incidents
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.incidents import Entry, Incident

log = logging.getLogger(__name__)
STALE_NS = 6 * HOUR


@dataclass
class Counts:
    """What has been done since the start; exported as metrics."""

    triaged: int = 0
    failed: int = 0


def triage_of(incident: Incident) -> Triage | None:
    """The triage an incident carries, None when it has none."""
    stored = incident.document.get("triage")
    return msgspec.convert(stored, Triage) if isinstance(stored, dict) else None


@dataclass
class IncidentFlow:
    """`split_by(project, monitor)` gives the dimensions a monitor is split by, None for one that is gone; `clock` is data
    time in ns."""

    columns: Columns
    records: Records
    clock: Callable[[], int]
    split_by: Callable[[str, str], Sequence[str] | None]
    counts: Counts = field(default_factory=Counts)

    async def read(self, project: str, incident_id: str) -> tuple[Incident, list[Entry], list[Alert]] | None:
        """An incident, its timeline and its alerts, the first one first; None when there is none."""

        def work(c: Connection) -> tuple[Incident, list[Entry], list[Alert]] | None:
            found = incidents.get(c, project, incident_id)
            if found is None:
                return None
            known = [alerts.get(c, project, str(i)) for i in found[0].document.get("alerts", [])]
            return *found, [a for a in known if a is not None]

        return await self.records.read(work)

    async def question(self, incident: Incident, of: Sequence[Alert]) -> Question | None:
        """What there is to explain, None when neither an alert nor whoever opened it named a metric."""
        now = self.clock()
        for alert in of:
            deploys = await self.columns.read_deploys(incident.project, onset_of(alert), now + 1)
            where = triage.where_of(alert, self.split_by(incident.project, alert.monitor))
            found = triage.question_of(alert, where, now, deploys)
            if found is not None:
                return found
        document: Mapping[str, Any] = incident.document
        metric, since = document.get("metric"), document.get("since_ns")
        if not isinstance(metric, str) or not isinstance(since, int):
            return None
        until = max(min(incident.closed_ns or now, now), since + 1)
        cohort = cohort_of(document.get("cohort", {}))
        return Question(incident.project, metric, cohort, (since - BASELINE_NS, since), (since, until))

    async def triage(self, project: str, incident_id: str) -> Triage | None:
        """Compute an incident's triage and keep it; None when there is no such incident or nothing to explain."""
        found = await self.read(project, incident_id)
        if found is None:
            return None
        question = await self.question(found[0], found[2])
        if question is None:
            return None
        made = await triage.run(self.columns, question, self.clock())
        stored = msgspec.to_builtins(made)
        await self.records.write(lambda c: incidents.put(c, project, incident_id, "triage", stored))
        self.counts.triaged += 1
        return made

    async def run_due(self, project: str) -> int:
        """Compute what is missing or stale of the incidents that are not over; how many were computed."""
        done = 0
        for incident in await self.records.read(lambda c: incidents.find(c, project, incidents.UNRESOLVED)):
            known = triage_of(incident)
            if known is not None and (
                self.clock() - known.made_ns < STALE_NS or not await self._firing(project, incident)
            ):
                continue
            try:
                done += await self.triage(project, incident.id) is not None
            except Exception:  # one incident's data must not keep the others' waiting; the page can ask again
                self.counts.failed += 1
                log.exception("the triage of incident %s could not be computed", incident.id)
        return done

    async def _firing(self, project: str, incident: Incident) -> bool:
        ids = [str(i) for i in incident.document.get("alerts", [])]
        known = await self.records.read(lambda c: [alerts.get(c, project, i) for i in ids])
        return any(a is not None and a.state == "firing" for a in known)

    async def postmortem(
        self, project: str, incident_id: str, base_url: str = "", content: bool = True
    ) -> str | None:
        """The draft of an incident's post-mortem in Markdown; None when there is no such incident."""
        found = await self.read(project, incident_id)
        if found is None:
            return None
        incident, lines, of = found
        url = f"{base_url.rstrip('/')}/incidents/{incident.id}?project={project}" if base_url else ""
        known = triage_of(incident)
        awaited = known is None and await self.question(incident, of) is not None
        return postmortem.render(
            incident.title, incident.status, incident.severity, incident.owner, incident.opened_ns,
            incident.closed_ns, lines, of, known, url, content, awaited,
        )  # fmt: skip
