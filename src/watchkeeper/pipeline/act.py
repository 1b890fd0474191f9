"""Actions: orders are written in the transaction that changes their alert, and carried out afterwards.

At least once, under one id: a crash between doing and recording does it again, and every lever does the same id once.
For one alert an action is ordered once, however often the alert is replayed or the button pressed.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.control.port import Did, Lever
from watchkeeper.model.action import ActionSpec, Order
from watchkeeper.model.alert import Alert
from watchkeeper.model.times import SECOND, Clock
from watchkeeper.pipeline.backoff import backoff_ns
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.store.records import actions, alerts, audit, incidents
from watchkeeper.store.records.actions import ActionRow
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
LEASE_NS, MOST_ATTEMPTS = 120 * SECOND, 20


@dataclass
class Counts:
    """What has been done since the start; exported as metrics."""

    done: int = 0
    undone: int = 0
    failed: int = 0
    postponed: int = 0


def order_id(project: str, alert_id: str, name: str) -> str:
    """The key of one action for one alert: whoever asks, it is the same order."""
    return hashlib.sha256("\x1f".join((project, alert_id, name)).encode()).hexdigest()[:32]


def plain_alert(alert: Alert) -> dict[str, Any]:
    """The alert as an order carries it: without its charts, which are long and drawn from the store."""
    evidence = {k: v for k, v in alert.evidence.items() if not k.startswith("chart")}
    return msgspec.to_builtins(msgspec.structs.replace(alert, evidence=evidence))


def group_of(alert: Alert) -> str:
    """The message group of an alert, under which its incident is found."""
    return str(alert.evidence.get("group") or alert.id)


@dataclass
class Actor:
    """`levers` by type; `specs` by (project, monitor), replaced when the configuration changes; `clock` is data time and
    `wall` the world's, for the audit log, both in ns."""

    records: Records
    levers: Mapping[str, Lever]
    clock: Clock
    wall: Clock
    specs: Mapping[tuple[str, str], Sequence[ActionSpec]] = field(
        default_factory=dict[tuple[str, str], Sequence[ActionSpec]]
    )
    counts: Counts = field(default_factory=Counts)

    def of(self, alert: Alert) -> Sequence[ActionSpec]:
        """The configured actions of an alert's monitor."""
        return self.specs.get((alert.project, alert.monitor), ())

    def on_change(self, c: Connection, alert: Alert) -> None:
        """Order what the configuration wants for an alert that just changed; called in the transaction that stores it. An
        alert that is part of a wider one's story asks for nothing: the wider one does."""
        if alert.evidence.get("inhibited_by") or alert.state not in ("firing", "resolved"):
            return
        now = self.clock()
        for spec in self.of(alert):
            if spec.automatic and spec.when == alert.state:
                self._ask(c, alert, spec, "watch", spec.dry_run, now)
            if alert.state == "resolved" and spec.revert and spec.when == "firing":
                row = actions.get(c, alert.project, order_id(alert.project, alert.id, spec.name))
                # One that still waits would otherwise be done, once its receiver is back, about an alert that is over.
                if row is not None and row.state in ("done", "due"):
                    self._take_back(c, row, "watch", now)

    def _ask(self, c: Connection, alert: Alert, spec: ActionSpec, actor: str, dry: bool, now: int) -> Order:
        incident = incidents.get(c, alert.project, incidents.id_of_group(alert.project, group_of(alert)))
        order = Order(
            order_id(alert.project, alert.id, spec.name), alert.project, spec.name, spec.type, actor, now,
            dict(spec.params), alert.id, None if incident is None else incident[0].id, plain_alert(alert), spec.revert,
        )  # fmt: skip
        if dry:
            # A rehearsal must not use up the id: the real thing may follow.
            rehearsal = order_id(alert.project, alert.id, f"{spec.name} dry run")
            order = msgspec.structs.replace(order, id=rehearsal)
        said = f"would {self.levers[spec.type].would(order)}" if dry else ""
        if actions.ask(c, order, now, dry, said):
            self._record(c, order, "action.dry_run" if dry else "action.asked", actor, said)
        return order

    def _record(self, c: Connection, order: Order, what: str, actor: str, says: str) -> None:
        """The audit entry and the line of the incident's timeline."""
        detail = {
            "type": order.type,
            "name": order.name,
            "params": order.params,
            "alert_id": order.alert_id,
            "says": says,
        }
        audit.record(
            c, project=order.project, now_ns=self.wall(), actor=actor, source="control", action=what, target=order.id,
            detail=detail,
        )  # fmt: skip
        group = str((order.alert.get("evidence") or {}).get("group") or order.alert_id or "")
        incident = incidents.get(c, order.project, incidents.id_of_group(order.project, group))
        if incident is not None:
            words = f"{order.name}: {what.partition('.')[2].replace('_', ' ')}" + (
                f", {says}" if says else ""
            )
            incidents.note(c, order.project, incident[0].id, self.clock(), "action", actor, words)

    def _take_back(self, c: Connection, row: ActionRow, actor: str, now: int) -> None:
        order = row.order
        while not actions.again(c, row, "undoing", now, actor):
            found = actions.get(c, order.project, row.id)  # it was taken or settled meanwhile
            if found is None or found.state not in ("done", "due"):
                return
            row = found
        self._record(c, order, "action.undo_asked", actor, "")
        after = actions.get(c, order.project, row.id)
        if after is not None and after.state == "undone":
            self._record(c, order, "action.undone", "watchkeeper", after.says)

    async def by_hand(
        self,
        project: str,
        alert_id: str,
        name: str,
        actor: str,
        dry_run: bool = False,
        spec: ActionSpec | None = None,
    ) -> ActionRow:
        """Order an action of the alert's monitor by its name, or the one given. What was done stays done; what failed or was
        taken back is tried again. Raises `Refused`."""
        now = self.clock()

        def work(c: Connection) -> ActionRow:
            alert = alerts.get(c, project, alert_id)
            if alert is None:
                raise Refused(f"there is no alert {alert_id!r}", "GET /api/alerts lists them", missing=True)
            wanted = spec or next((s for s in self.of(alert) if s.name == name), None)
            if wanted is None or wanted.type not in self.levers:
                known = ", ".join(s.name for s in self.of(alert)) or "none"
                raise Refused(
                    f"monitor {alert.monitor} has no action {name!r}", f"configured: {known}", missing=True
                )
            order = self._ask(c, alert, wanted, actor, dry_run, now)
            row = actions.get(c, project, order.id)
            if row is not None and row.state in ("failed", "undone"):
                actions.again(c, row, "due", now, actor)
                self._record(c, row.order, "action.asked_again", actor, "")
                row = actions.get(c, project, order.id)
            assert row is not None
            return row

        return await self.records.write(work)

    async def undo(self, project: str, wanted: str, actor: str) -> ActionRow:
        """Ask for an action to be taken back that was done or waits to be. Raises `Refused`."""
        now = self.clock()

        def work(c: Connection) -> ActionRow:
            row = actions.get(c, project, wanted)
            if row is None:
                raise Refused(
                    f"there is no action {wanted[:40]!r}", "GET /api/actions lists them", missing=True
                )
            if row.state in ("undoing", "undone"):
                return row
            if row.state not in ("done", "due"):
                raise Refused(f"the action is {row.state}; only what was done or waits can be taken back")
            self._take_back(c, row, actor, now)
            return actions.get(c, project, wanted) or row

        return await self.records.write(work)

    async def run_due(self) -> int:
        """Carry out what is due; how many orders were tried."""
        now = self.clock()
        due = await self.records.write(lambda c: actions.claim(c, now, LEASE_NS))
        # Together: one receiver that hangs must hold up neither the others nor whoever waits for the page, and no order may
        # outlast its lease in a queue.
        await asyncio.gather(*(self._carry_out(row) for row in due))
        return len(due)

    async def _carry_out(self, row: ActionRow) -> None:
        lever, order = self.levers.get(row.order.type), row.order
        if lever is None:
            did = Did(False, f"this version has no action {order.type}")
        else:
            try:
                did = await (lever.undo(order, row.memory) if row.state == "undoing" else lever.pull(order))
            except Exception as error:  # one broken lever must not keep the others' orders waiting
                log.exception("action %s (%s) broke", order.id, order.type)
                did = Did(False, f"{type(error).__name__}", later=True)
        now = self.clock()
        if not did.ok and did.later and row.attempts < MOST_ATTEMPTS:
            self.counts.postponed += 1
            # Orders of one receiver are few: nothing is gained by spreading them.
            until = now + backoff_ns(row.attempts + 1, 1.0, did.after_s)
            await self.records.write(lambda c: actions.postpone(c, row, until, did.says))
            return
        await self.records.write(lambda c: self._settle(c, row, did, now))

    def _settle(self, c: Connection, row: ActionRow, did: Did, now: int) -> None:
        undoing = row.state == "undoing"
        # An undo that failed leaves the action as it was: that is how the world stands, and it can be asked for again.
        state = ("undone" if did.ok else row.was) if undoing else ("done" if did.ok else "failed")
        memory = did.memory if did.ok and not undoing else None
        if not actions.settle(c, row, state, did.says, now, memory):
            return
        what = ("undone" if did.ok else "undo_failed") if undoing else ("done" if did.ok else "failed")
        self.counts.undone += undoing and did.ok
        self.counts.done += not undoing and did.ok
        self.counts.failed += not did.ok
        self._record(c, row.order, f"action.{what}", "watchkeeper", did.says)
