"""Delivery: takes due notifications from the outbox, sends each through its channel, records what came of it.

At least once: a crash between sending and recording sends again, with the same ids, so a receiver can tell. A
receiver that was down hears one message per group with the present state, because claiming supersedes what is older.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from watchkeeper.alerting.routing import alert_id, group_key
from watchkeeper.model.alert import Alert, Notification
from watchkeeper.model.times import DAY, SECOND, Clock
from watchkeeper.notify.channel import Channel, Delivered, Outcome, Permanent, Retry
from watchkeeper.pipeline.backoff import backoff_ns
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records import alerts, outbox
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
SELF_MONITOR = "watchkeeper.delivery"


@dataclass
class Counts:
    """What delivery has done since it started; exported as metrics. claimed = delivered + retried + dead + in flight."""

    claimed: int = 0
    delivered: int = 0
    retried: int = 0
    dead: int = 0
    unrecorded: int = 0
    errors: int = 0


@dataclass
class Delivery:
    """`channels` by route name; `clock` gives ns; `roll` gives numbers in [0, 1) for jitter.

    `fallback` are the routes that hear that a message could not be delivered; `max_age_ns` is when a message that
    always fails is given up and becomes a dead letter. `dress` adds what should be fresh when a message leaves, such
    as an address that expires.
    """

    records: Records
    channels: Mapping[str, Channel]
    clock: Clock
    roll: Callable[[], float]
    fallback: tuple[str, ...] = ()
    dress: Callable[[Notification], Notification] | None = None
    lease_ns: int = 60 * SECOND
    send_timeout_s: float = 30.0
    max_age_ns: int = DAY
    parallel: int = 8
    counts: Counts = field(default_factory=Counts)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliver_due(self) -> int:
        """Send everything that is due now, `parallel` at a time; how many messages were tried."""
        now = self.clock()
        claimed = await self.records.write(lambda c: outbox.claim(c, now, self.lease_ns))
        self.counts.claimed += len(claimed)
        gate = asyncio.Semaphore(self.parallel)

        async def one(notification: Notification) -> None:
            async with gate:
                await self._deliver(notification)

        await asyncio.gather(*(one(n) for n in claimed))
        return len(claimed)

    async def _deliver(self, notification: Notification) -> None:
        outcome = await self._send(notification)
        now = self.clock()
        if isinstance(outcome, Retry) and now - notification.created_ns >= self.max_age_ns:
            outcome = Permanent(f"given up after {notification.attempts} attempts: {outcome.reason}")
        if isinstance(outcome, Delivered):
            done = await self.records.write(lambda c: outbox.delivered(c, notification.id, now))
            self.counts.delivered += 1
        elif isinstance(outcome, Retry):
            due = now + backoff_ns(notification.attempts, self.roll(), outcome.after_s)
            reason = outcome.reason
            done = await self.records.write(lambda c: outbox.retry(c, notification.id, due, reason))
            self.counts.retried += 1
            log.info(
                "notification %s to %s will be tried again: %s", notification.id, notification.route, reason
            )
        else:
            done = await self._bury(notification, outcome.reason, now)
        # False when another worker took over after our lease ended; it will record its own outcome.
        self.counts.unrecorded += not done

    async def _send(self, notification: Notification) -> Outcome:
        channel = self.channels.get(notification.route)
        if channel is None:
            known = ", ".join(sorted(self.channels)) or "none"
            return Permanent(f"there is no route named '{notification.route}' (configured: {known})")
        try:
            dressed = notification if self.dress is None else self.dress(notification)
            async with asyncio.timeout(self.send_timeout_s):
                return await channel.send(dressed)
        except TimeoutError:
            return Retry("no answer in time")
        except Exception as error:  # one broken channel must not stop the others' messages
            self.counts.errors += 1
            log.exception("the channel of route %s failed", notification.route)
            return Retry(f"the channel failed ({type(error).__name__})")

    async def _bury(self, notification: Notification, reason: str, now: int) -> bool:
        """Make it a dead letter and, in the same transaction, an alert about ourselves to the fallback routes."""
        self.counts.dead += 1
        log.error("notification %s to %s is undeliverable: %s", notification.id, notification.route, reason)
        alert, messages = self._complaint(notification, reason, now)

        def work(connection: Connection) -> bool:
            done = outbox.dead(connection, notification.id, reason)
            if done and alert is not None:
                alerts.save(connection, alert)
                for message in messages:
                    outbox.enqueue(connection, message)
            return done

        return await self.records.write(work)

    def _complaint(
        self, failed: Notification, reason: str, now: int
    ) -> tuple[Alert | None, list[Notification]]:
        # A complaint that cannot be delivered is not complained about again: that would never end.
        if failed.event == "delivery_failed":
            return None, []
        summary = f"Alerts to route '{failed.route}' are not delivered: {reason}. Lost: {failed.subject}"
        cohort = (("route", failed.route),)
        alert = Alert(
            id=alert_id(failed.project, SELF_MONITOR, cohort, 0),
            project=failed.project,
            monitor=SELF_MONITOR,
            cohort=dict(cohort),
            state="firing",
            severity="page",
            owner="whoever runs Watchkeeper",
            runbook="docs/alerts.md#undeliverable",
            condition="a notification could not be delivered",
            since_ns=now,
            onset_ns=failed.created_ns,
            fired_ns=now,
            updated_ns=now,
            summary=summary,
        )
        group = group_key(failed.project, cohort, 0)
        messages = [
            Notification(
                id=hashlib.sha256(f"{failed.id}\x1f{route}\x1fdelivery_failed".encode()).hexdigest()[:32],
                project=failed.project,
                alert_id=alert.id,
                dedup_key=group,
                route=route,
                event="delivery_failed",
                subject=f"[PAGE] {SELF_MONITOR} · route {failed.route}",
                text=summary,
                payload={"status": "firing", "severity": "page", "summary": summary, "owner": alert.owner,
                         "runbook": alert.runbook, "undelivered": failed.id},
                created_ns=now,
                next_attempt_ns=now,
            )
            for route in self.fallback
            if route != failed.route
        ]  # fmt: skip
        return alert, messages

    async def heartbeat(self, project: str, routes: tuple[str, ...], every_ns: int) -> None:
        """Queue the dead-man message of the present interval, once however often this is called: a receiver that
        stops hearing it knows that we are silent, not that all is well."""
        now = self.clock()
        beat = now // every_ns
        for route in routes:
            message = Notification(
                id=hashlib.sha256(f"{project}\x1fheartbeat\x1f{route}\x1f{beat}".encode()).hexdigest()[:32],
                project=project,
                alert_id="heartbeat",
                dedup_key=f"wk-heartbeat-{project}",
                route=route,
                event="heartbeat",
                subject=f"Watchkeeper is watching {project}",
                text="If this message stops, Watchkeeper has stopped.",
                payload={"status": "ok", "severity": "info", "summary": "Watchkeeper is watching."},
                created_ns=now,
                next_attempt_ns=now,
            )
            await self.records.write(lambda c, m=message: outbox.enqueue(c, m))

    async def run(self, poll_s: float = 1.0) -> None:
        """Deliver until cancelled. `wake.set()` makes it look at once. A failing database is waited out."""
        while True:
            try:
                tried = await self.deliver_due()
            except StoreUnavailable as error:
                self.counts.errors += 1
                log.warning("delivery waits for the records: %s", error)
                tried = 0
            except Exception:  # the loop is what recovers; it must outlive any failure of the database
                self.counts.errors += 1
                log.exception("delivery could not read or write the outbox; trying again")
                tried = 0
            if not tried:
                self.wake.clear()
                try:
                    await asyncio.wait_for(self.wake.wait(), poll_s)
                except TimeoutError:
                    continue
