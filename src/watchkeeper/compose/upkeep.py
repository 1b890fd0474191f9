"""What runs beside the pipeline: self-monitoring, the heartbeat, carrying out actions, the weekly summary."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from watchkeeper.compose.flows import Flows
from watchkeeper.config import adapters
from watchkeeper.config.models import Config
from watchkeeper.pipeline.readings import PROJECT, Readings
from watchkeeper.pipeline.reporting import ReportFlow
from watchkeeper.pipeline.selfwatch import SelfWatch

log = logging.getLogger(__name__)
LOOK_SECONDS, BEAT_SECONDS, ACT_SECONDS = 15.0, 5.0, 2.0
WEEKLY_SECONDS = 60.0
# A watcher that has not come through for this long is not alive, whatever else still runs.
SILENT_SECONDS = 300.0


@dataclass
class Upkeep:
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


def upkeep_of(flows: Flows, readings: Readings) -> Upkeep:
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
    watch = SelfWatch(flows.records, flows.clock, readings.of_one_look, flows.columns)
    made = Upkeep(flows, watch, reports)
    flows.holder.follow(made.use)
    return made
