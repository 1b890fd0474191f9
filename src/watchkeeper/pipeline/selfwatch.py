"""Watchkeeper watching itself: lag, drops, judge errors, disk and coverage, through the lifecycle and the outbox of any
other alert. Its figures come from its own stages, so it works while every series is silent."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.alerting.builtin import RULES, BuiltIn, Reading, with_unit
from watchkeeper.alerting.evidence import iso
from watchkeeper.alerting.lifecycle import Life, advance
from watchkeeper.alerting.message import notifications
from watchkeeper.alerting.routing import Routes, Silence, Told, alert_id, due_message, group_key
from watchkeeper.model.alert import Alert
from watchkeeper.model.times import HOUR, Clock
from watchkeeper.pipeline.readings import PROJECT, Read
from watchkeeper.pipeline.watching.telling import alert_row
from watchkeeper.pipeline.watching.work import silences
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import alerts, incidents, outbox, states
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
RUNBOOK = "docs/alerts.md#watching-itself"


class Beside(msgspec.Struct):
    """What is remembered of one rule between looks and restarts."""

    life: Life
    alert_id: str | None = None
    reading: Reading | None = None


@dataclass
class Counts:
    """What self-monitoring has done; exported as metrics."""

    looks: int = 0
    unreadable: int = 0
    fired: int = 0


@dataclass(frozen=True)
class Standing:
    """One rule as it stands now, for pages."""

    rule: BuiltIn
    reading: Reading
    state: str


@dataclass
class SelfWatch:
    """`readings()` are those of one look by rule name; `rules`, `routes`, `owner` and `notify` may be replaced between looks. `clock` gives ns."""

    records: Records
    clock: Clock
    readings: Callable[[], Mapping[str, Read]]
    columns: Columns | None = None
    rules: tuple[BuiltIn, ...] = RULES
    routes: Routes = field(default_factory=Routes)
    owner: str = "operator"
    runbook: str = RUNBOOK
    notify: tuple[str, ...] = ()
    renotify: int | None = 24 * HOUR
    counts: Counts = field(default_factory=Counts)

    async def look(self) -> int:
        """Read everything, advance every rule, tell whoever is to be told; how many messages were queued."""
        now = self.clock()
        readings = self.readings()
        read = {r.name: await self._read(r, readings) for r in self.rules}
        self.counts.looks += 1
        changed, messages = await self.records.write(lambda c: self._advance(c, read, now))
        if changed and self.columns is not None:
            await self._mirror(self.columns, changed)
        return messages

    async def standing(self) -> list[Standing]:
        """How every rule stood at the last look of whichever process leads; none before the first."""
        known = await self.records.read(_known)
        found = [(rule, known[rule.name]) for rule in self.rules if rule.name in known]
        return [Standing(rule, b.reading, b.life.state) for rule, b in found if b.reading is not None]

    async def _read(self, rule: BuiltIn, readings: Mapping[str, Read]) -> Reading:
        try:
            return await readings[rule.name]()
        except Exception as error:  # a stage that cannot be read is unknown, and the other rules must go on
            self.counts.unreadable += 1
            log.exception("the reading of %s failed", rule.monitor)
            return Reading(None, 0, f"could not be read ({type(error).__name__})")

    async def _mirror(self, columns: Columns, changed: Sequence[Alert]) -> None:
        try:
            await columns.write_alerts([alert_row(a) for a in changed])
        except Exception:  # the mirror is for SQL; the records are the truth and have it
            self.counts.unreadable += 1
            log.exception("alerts about ourselves could not be mirrored to the column store")

    def _advance(self, c: Connection, read: Mapping[str, Reading], now: int) -> tuple[list[Alert], int]:
        known = _known(c)
        changed: list[Alert] = []
        messages = 0
        quiet = silences(c, PROJECT, now)
        for rule in self.rules:
            beside, reading = known.get(rule.name) or Beside(Life("no_data")), read[rule.name]
            beside.reading = reading
            beside.life, events = advance(beside.life, rule.seen(reading), now, rule.timing)
            alert = self._alert(c, rule, beside, reading, events, now)
            if alert is not None:
                alerts.save(c, alert)
                changed.append(alert)
            states.put(c, PROJECT, "built_in", rule.name, msgspec.to_builtins(beside), now)
            if beside.alert_id is not None:
                messages += self._tell(c, beside, now, quiet)
        for gone in set(known) - {r.name for r in self.rules}:
            changed += self._switched_off(c, known[gone], now)
            states.delete(c, PROJECT, "built_in", [gone])
        return changed, messages

    def _alert(
        self, c: Connection, rule: BuiltIn, beside: Beside, reading: Reading, events: Sequence[str], now: int
    ) -> Alert | None:
        if "firing" in events:
            self.counts.fired += 1
            since = beside.life.incident_since or now
            # A cohort of its own: traffic's baselines leave out what fired for them, and this did not.
            cohort = (("built_in", rule.name),)
            beside.alert_id = alert_id(PROJECT, rule.monitor, cohort, since)
            value = with_unit(rule.unit, reading.value) if reading.value is not None else "unknown"
            return Alert(
                beside.alert_id, PROJECT, rule.monitor, dict(cohort), "firing", rule.severity, self.owner, self.runbook,
                rule.condition, since, since, now, None, now, summary=f"{rule.what}: {value}. {reading.says}.",
                evidence={"group": group_key(PROJECT, cohort, since), "built_in": True,
                          "headline": f"{rule.what}: {value}", "reading": value, "n": reading.n, "at": iso(now)},
                routes=list(self.notify),
            )  # fmt: skip
        if "resolved" in events and beside.alert_id is not None:
            return _over(c, beside.alert_id, now)
        return None

    def _switched_off(self, c: Connection, beside: Beside, now: int) -> list[Alert]:
        """A rule nobody wants any more must not leave an alert that fires for ever."""
        if beside.life.state != "firing" or beside.alert_id is None:
            return []
        over = _over(c, beside.alert_id, now)
        if over is None:
            return []
        alerts.save(c, over)
        return [over]

    def _tell(self, c: Connection, beside: Beside, now: int, silences: Sequence[Silence]) -> int:
        alert = alerts.get(c, PROJECT, beside.alert_id or "")
        if alert is None:
            return 0
        group = str(alert.evidence["group"])
        stored = states.get(c, PROJECT, "told", group)
        told = msgspec.convert(stored, Told) if stored is not None else Told()
        message = due_message(group, [alert], told, now, self.routes, self.renotify, None, silences)
        if message is None:
            return 0
        states.put(c, PROJECT, "told", group, asdict(message.told), now)
        if alert.severity == "page" and message.event == "firing":
            incidents.open_for(
                c, PROJECT, group, f"{alert.monitor}: {alert.summary}"[:255], "page", alert.owner, now, "watch", (alert.id,)
            )  # fmt: skip
        queued = notifications(message, PROJECT, now)
        for notification in queued:
            outbox.enqueue(c, notification)
        if alert.state == "resolved":
            beside.alert_id = None
            states.put(
                c, PROJECT, "built_in", alert.monitor.partition(".")[2], msgspec.to_builtins(beside), now
            )
        return len(queued)


def _known(c: Connection) -> dict[str, Beside]:
    return {k: msgspec.convert(v, Beside) for k, v in states.get_all(c, PROJECT, "built_in").items()}


def _over(c: Connection, wanted: str, now: int) -> Alert | None:
    alert = alerts.get(c, PROJECT, wanted)
    if alert is None:
        return None
    alert.state, alert.resolved_ns, alert.updated_ns = "resolved", now, now
    return alert


def document(standing: Sequence[Standing]) -> list[dict[str, Any]]:
    """How the rules stand, as plain data."""
    return [
        {
            "name": s.rule.monitor, "condition": s.rule.condition, "severity": s.rule.severity, "state": s.state,
            "value": s.reading.value, "unit": s.rule.unit, "n": s.reading.n, "says": s.reading.says,
        }
        for s in standing
    ]  # fmt: skip
