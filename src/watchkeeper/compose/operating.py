"""What runs beside the pipeline: self-monitoring, the heartbeat, carrying out actions, the weekly summary."""

import asyncio
import logging
import shutil
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from watchkeeper.alerting.builtin import Reading
from watchkeeper.compose.flows import Flows
from watchkeeper.config import adapters
from watchkeeper.config.models import Config
from watchkeeper.pipeline import selfwatch
from watchkeeper.pipeline.reporting import ReportFlow
from watchkeeper.pipeline.selfwatch import PROJECT, Said, SelfWatch, Window, queue_age, share
from watchkeeper.store import damage
from watchkeeper.store.records import jobs

log = logging.getLogger(__name__)
LOOK_SECONDS, BEAT_SECONDS, ACT_SECONDS = 15.0, 5.0, 2.0
WEEKLY_SECONDS = 60.0
# A watcher that has not come through for this long is not alive, whatever else still runs.
SILENT_SECONDS = 300.0


@dataclass
class Readings:
    """What the stages say of themselves: those of this process, and of the others on the same records."""

    flows: Flows
    data_dir: Path
    dropped: Window = field(default_factory=lambda: Window(selfwatch.MINUTE * 15))
    judged: Window = field(default_factory=lambda: Window(selfwatch.HOUR))

    def all(self) -> dict[str, Callable[[], Awaitable[Reading]]]:
        """By the name of the rule that reads it."""
        return {
            "ingest-lag": self.ingest_lag,
            "scoring-lag": self.scoring_lag,
            "drops": self.drops,
            "judge-errors": self.judge_errors,
            "disk": self.disk,
            "coverage": self.coverage,
            "coverage-gap": self.coverage_gap,
            "judge-drift": self.judge_drift,
            "damage": self.damage,
        }

    async def own(self) -> Said:
        """What this process says of itself."""
        now, ledger = self.flows.clock(), self.flows.ingest.ledger
        waiting, since = self.flows.assembly.waiting()
        totals = float(ledger.total("dropped")), float(ledger.total("received"))
        dropped, received = self.dropped.grew(now, totals)
        usage = await asyncio.to_thread(shutil.disk_usage, self.data_dir)
        damaged = [f"{d.what} in {d.kept}" for d in await asyncio.to_thread(damage.found, self.data_dir)]
        # Where it runs and what it holds: two processes never have both in common.
        process = f"{socket.gethostname()}:{self.data_dir.absolute()}"[-500:]
        return Said(process, now, waiting, since, dropped, received, usage.free, usage.total, damaged)

    async def tell(self) -> None:
        """Write what this process says of itself, for the one that leads."""
        own = await self.own()
        await self.flows.records.write(lambda c: selfwatch.tell(c, own))

    async def everybody(self) -> list[Said]:
        """What every process says of itself, this one first."""
        own = await self.own()
        if self.flows.records.is_sqlite:
            return [own]
        return await self.flows.records.read(lambda c: selfwatch.heard(c, own))

    async def ingest_lag(self) -> Reading:
        said = await self.everybody()
        since = min((s.since_ns for s in said if s.since_ns is not None), default=None)
        waiting = sum(s.waiting for s in said)
        return queue_age(since, self.flows.clock(), waiting, "traces wait to be assembled")

    async def scoring_lag(self) -> Reading:
        now = self.flows.clock()
        depth = await self.flows.records.read(lambda c: jobs.depth(c, now))
        return queue_age(depth.oldest_due_ns, now, depth.due, "judge jobs are due")

    async def drops(self) -> Reading:
        said = await self.everybody()
        dropped, received = sum(s.dropped for s in said), sum(s.received for s in said)
        where = _at(said, max(said, key=lambda s: s.dropped)) if dropped else ""
        return share(dropped, received, f"{dropped:,.0f} of {received:,.0f} records were dropped{where}")

    async def judge_errors(self) -> Reading:
        counts = self.flows.judges.counts
        failed = float(counts.retried + counts.dead)
        good = float(counts.scored + sum(counts.not_scored.values()))
        wrong, right = self.judged.grew(self.flows.clock(), (failed, good))
        return share(wrong, wrong + right, f"{wrong:,.0f} of {wrong + right:,.0f} judge calls failed")

    async def disk(self) -> Reading:
        said = await self.everybody()
        least = min(said, key=lambda s: s.free / s.size)
        return Reading(least.free / least.size, 1, f"{least.free / 1e9:,.1f} GB are free{_at(said, least)}")

    async def coverage(self) -> Reading:
        return await selfwatch.coverage(self.flows.columns, self.flows.projects(), self.flows.clock())

    async def coverage_gap(self) -> Reading:
        return await selfwatch.coverage_gap(self.flows.columns, self.flows.projects(), self.flows.clock())

    async def judge_drift(self) -> Reading:
        return await selfwatch.judge_drift(self.flows.records, self.flows.projects())

    async def damage(self) -> Reading:
        said = await self.everybody()
        found = [f"{one}{_at(said, s)}" for s in said for one in s.damaged]
        latest = "; ".join(found[-3:])
        return Reading(
            float(len(found)), 1, f"the latest: {latest}" if found else "nothing was found damaged"
        )


def _at(said: Sequence[Said], one: Said) -> str:
    """Which of several processes is meant."""
    return "" if len(said) == 1 else f" at {one.process}"


@dataclass
class Operating:
    """Self-monitoring and the heartbeat of one process; follows the configuration."""

    flows: Flows
    watch: SelfWatch
    reports: ReportFlow
    monotonic: Callable[[], float] = time.monotonic
    _failed: int = 0
    _came_through: float | None = None

    def use(self, config: Config) -> None:
        """Take the rules, the owner and the routes of a configuration."""
        own = config.self_monitoring
        self.watch.rules = adapters.built_in_of(config)
        self.watch.owner, self.watch.runbook, self.watch.notify = own.owner, own.runbook, own.notify
        self.watch.routes = adapters.routes_of(config)

    async def look(self) -> None:
        """One look at ourselves."""
        if await self.watch.look():
            self.flows.delivery.wake.set()

    def alive(self) -> bool:
        """Has the watcher come through lately, with every project? A beat from a process that watches nothing would be
        a lie."""
        now, failed = self.monotonic(), self.flows.watcher.counts.failed
        if self._came_through is None or (failed == self._failed and self.flows.watched_at is not None):
            self._came_through = self.flows.watched_at if self.flows.watched_at is not None else now
        self._failed = failed
        return now - self._came_through <= SILENT_SECONDS

    async def beat(self) -> None:
        """Queue the beat of the present interval, once."""
        heartbeat = self.flows.holder.current.heartbeat
        if heartbeat is None:
            return
        if not self.alive():
            log.error("no heartbeat is sent: watching has not come through for %g s", SILENT_SECONDS)
            return
        await self.flows.delivery.heartbeat(PROJECT, (heartbeat.route,), heartbeat.every)

    async def act(self) -> None:
        """Carry out the actions that are due."""
        if self.flows.actor is not None:
            await self.flows.actor.run_due()

    async def summarise(self) -> None:
        """Send the weekly summary when its hour has come."""
        if await self.reports.run_due():
            self.flows.delivery.wake.set()

    def loops(self) -> list[tuple[str, float, Callable[[], Awaitable[None]]]]:
        """What to run, and how often in seconds."""
        return [
            ("self-monitoring", LOOK_SECONDS, self.look),
            ("the heartbeat", BEAT_SECONDS, self.beat),
            ("actions", ACT_SECONDS, self.act),
            ("the weekly summary", WEEKLY_SECONDS, self.summarise),
        ]


def operating(flows: Flows, readings: Readings) -> Operating:
    """What runs beside the pipeline, following the configuration."""
    holder = flows.holder
    reports = ReportFlow(
        flows.columns,
        flows.records,
        flows.clock,
        lambda project: adapters.setting_of(holder.current, project),
        lambda: adapters.weekly_of(holder.current),
        flows.calibrator.standings,
    )
    watch = SelfWatch(flows.records, flows.clock, readings.all(), flows.columns)
    made = Operating(flows, watch, reports)
    made.use(flows.holder.current)
    flows.holder.on_change(made.use)
    return made
