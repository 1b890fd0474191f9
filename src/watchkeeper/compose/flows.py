"""The pipeline of one process, the loops that drive it and what it says of itself."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from watchkeeper.alerting.monitor import Monitor, capped
from watchkeeper.compose.loops import Loops
from watchkeeper.compose.pictures import Pictures
from watchkeeper.config import adapters
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.model.times import DAY, MINUTE, Clock
from watchkeeper.pipeline.act import Actor
from watchkeeper.pipeline.alert import Delivery
from watchkeeper.pipeline.assembly import Assembly
from watchkeeper.pipeline.backfill import BackfillFlow
from watchkeeper.pipeline.behaviour import BehaviourFlow
from watchkeeper.pipeline.calibrate import Calibrator
from watchkeeper.pipeline.calm import collect_young
from watchkeeper.pipeline.check import CheckFlow
from watchkeeper.pipeline.coverage import missing, totals
from watchkeeper.pipeline.desk import Desk
from watchkeeper.pipeline.erase import EraseFlow
from watchkeeper.pipeline.incidents import IncidentFlow
from watchkeeper.pipeline.ingest import Ingest
from watchkeeper.pipeline.isolate import Isolation
from watchkeeper.pipeline.judge import JudgeFlow
from watchkeeper.pipeline.labels import LabelScores
from watchkeeper.pipeline.late import LateKeeping, LatePolicies
from watchkeeper.pipeline.levers import Pauses
from watchkeeper.pipeline.retain import Retain
from watchkeeper.pipeline.review import ReviewRouting
from watchkeeper.pipeline.roll import Roller, metric_of
from watchkeeper.pipeline.signals import SignalFlow
from watchkeeper.pipeline.sketch import Sketcher
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.server.metrics import Sample
from watchkeeper.server.services import Sampler
from watchkeeper.store.clickhouse.store import ClickHouseColumns
from watchkeeper.store.columns import Retention
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
RELIEF_SECONDS = 20.0
SCRUB_SECONDS = 2.0
FOLLOW_SECONDS = 3.0
# A write of another process may take this long from its clock to being visible.
MARGIN_NS = MINUTE
# Each instance tells its total so far with everything it sends.
LOST_BY_CLIENTS = """select sum(lost) from (select max(value) as lost from measurements
  where name = 'watchkeeper.sdk.dropped_spans' group by attributes['watchkeeper.sdk.instance'])"""
# The loops whose work `catch_up` does.
WATCHING, BEHAVING, TRIAGING = "watching", "scoring behaviour", "triage"
# A clock that is moved by hand passes days in seconds; grouping once a day of its time is enough.
GROUPED_NS = DAY


@dataclass
class Flows:
    """The pipeline of one process, connected."""

    clock: Clock
    columns: ClickHouseColumns
    records: Records
    ingest: Ingest
    assembly: Assembly
    checks: CheckFlow
    judges: JudgeFlow
    late: LatePolicies
    late_keeping: LateKeeping
    behaviour: BehaviourFlow
    backfill: BackfillFlow
    roller: Roller
    watcher: Watcher
    delivery: Delivery
    review: ReviewRouting
    signals: SignalFlow
    incidents: IncidentFlow
    holder: ConfigHolder
    calibrator: Calibrator
    sketcher: Sketcher
    pictures: Pictures
    pauses: Pauses
    actor: Actor
    erasing: EraseFlow
    labels: LabelScores
    rules: tuple[Config | None, tuple[Monitor, ...]] = (None, ())
    watching: asyncio.Lock = field(default_factory=asyncio.Lock)
    grouped_ns: int = 0
    watched_at: float | None = None
    known: Sequence[str] = ()
    loops: Loops = field(default_factory=Loops)

    def settled_ns(self) -> int:
        """Everything that arrived up to this time is stored whole, whichever process took it in."""
        own = self.ingest.settled_ns
        return own if self.records.is_sqlite else min(own, self.clock() - MARGIN_NS)

    async def watch_once(self) -> None:
        """Roll what changed and watch every tick that closed."""
        async with self.watching:
            now = self.clock()
            for project in self.projects():
                await self.late.run_once(project)
                await self.roller.roll(project, now)
                await self.sketcher.run(project, now)
            await self.hold_back()
            if await self.watcher.tick(now):
                self.delivery.wake.set()
            self.watched_at = time.monotonic()

    async def keep_once(self) -> int:
        """Have the traces looked at again that a user's word keeps; how many."""
        return sum([await self.late_keeping.run_once(project) for project in self.projects()])

    async def hold_back(self) -> None:
        """Monitors that page on a scorer nobody has calibrated warn instead, until somebody has."""
        if self.rules[0] is not self.holder.current:
            self.rules = (self.holder.current, tuple(adapters.rules_of(self.holder.current)))
        rules = self.rules[1]
        provisional: dict[str, dict[str, str]] = {}
        for project in {m.project for m in rules if m.severity == "page"}:
            found = await self.calibrator.standings(project)
            provisional[project] = {metric_of(n): s.reason for n, s in found.items() if s.provisional}
        self.watcher.monitors = tuple(capped(m, provisional.get(m.project, {})) for m in rules)

    async def calibrate_once(self) -> None:
        """What is due once a day: new labels, new samples, canaries."""
        await self.calibrator.nightly(self.projects())

    async def behave_once(self) -> None:
        """Score what users did after their last answers."""
        for project in self.projects():
            await self.behaviour.run_once(project)

    async def label_once(self) -> None:
        """Let every project's human scores say what its labels say."""
        await self.labels.run_once(self.projects())

    async def group_once(self) -> None:
        """Group every project's failures into signals."""
        desk = Desk(self.records, self.holder.current.review, self.clock, self.clock)
        for project in self.projects():
            await self.signals.run_once(project)
            await desk.triage_due(project, self.columns)

    async def triage_once(self) -> None:
        """Compute the triage of every incident that has none or an old one."""
        for project in self.projects():
            await self.incidents.run_due(project)

    def projects(self) -> list[str]:
        """Every project that has a monitor, has sent something or has a key."""
        seen = {
            labels["project"]
            for name, labels, _ in self.ingest.ledger.samples()
            if name == "watchkeeper_ingest_received_total"
        }
        return sorted({"default", *self.known, *(m.project for m in self.watcher.monitors), *seen} - {"*"})

    async def catch_up(self) -> None:
        """Finish everything that has arrived: assemble every open trace, roll, watch, deliver what is due."""
        await self.assembly.flush(everything=True)
        if await self.keep_once():
            await self.assembly.flush(everything=True)
        await self.label_once()
        for name, work in (
            (BEHAVING, self.behave_once),
            (WATCHING, self.watch_once),
            (TRIAGING, self.triage_once),
        ):
            await work()
            self.loops.done(name)
        await self.delivery.deliver_due()
        await self.actor.run_due()
        now = self.clock()
        if not 0 <= now - self.grouped_ns < GROUPED_NS:
            self.grouped_ns = now
            await self.group_once()

    @functools.cached_property
    def retain(self) -> Retain:
        """Drops what is older than the configuration keeps."""

        def keep() -> Retention:
            kept = self.holder.current.server.retention
            return Retention(kept.content // DAY, kept.traces // DAY, kept.aggregates // DAY)

        return Retain(
            self.columns,
            self.records,
            self.clock,
            time.monotonic_ns,
            keep,
            lambda: None if (rule := self.holder.current.storage.keep) is None else rule.wait,
        )

    async def scrub_once(self) -> None:
        """Set aside what is damaged on the disk, and make again what the rest can tell: rows of spans from their content,
        rows of traces from their spans."""
        if await self.columns.scrub():
            await self.assembly.restore()
            await self.assembly.recover(0)

    async def sweep_once(self) -> None:
        """Finish erasures: what was interrupted, and what was under way when they were asked for."""
        await self.erasing.sweep()


def stages(flows: Flows) -> list[Sample]:
    """What every stage has counted."""
    found = [Sample(*s) for s in flows.ingest.ledger.samples()]
    found += [Sample(*s) for s in flows.assembly.samples()]
    counted: dict[str, Mapping[str, object]] = {
        "check": vars(flows.checks.counts),
        "judge": vars(flows.judges.counts),
        "late": vars(flows.late.counts),
        "behaviour": vars(flows.behaviour.counts),
        "backfill": vars(flows.backfill.counts),
        "watch": vars(flows.watcher.counts),
        "deliver": vars(flows.delivery.counts),
        "triage": vars(flows.incidents.counts),
        "review": flows.review.counts,
        "signals": flows.signals.counts,
        "calibration": flows.calibrator.counts,
        "labels": flows.labels.counts,
    }
    for stage, counts in counted.items():
        for what, value in counts.items():
            if isinstance(value, int):
                labels = {"stage": stage, "what": what}
                found.append(Sample("watchkeeper_stage_total", labels, value, kind="counter"))
    held = "1 while nothing is dropped by age because the clock has leapt."
    return [
        *found,
        *flows.loops.samples(),
        Sample("watchkeeper_retention_held", {}, float(flows.retain.held), held),
    ]


def samplers(flows: Flows) -> list[Sampler]:
    """What `/metrics` tells of the flows."""

    async def pipeline() -> list[Sample]:
        return stages(flows)

    async def coverage() -> list[Sample]:
        found: list[Sample] = []
        now = flows.clock()
        for project in flows.projects():
            for scorer, n in sorted((await totals(flows.columns, project, now - DAY, now)).items()):
                for what, value in (*n.items(), ("missing", missing(n))):
                    labels = {"project": project, "scorer": scorer, "what": what}
                    found.append(Sample("watchkeeper_coverage", labels, value))
            for name, one in (await flows.calibrator.standings(project)).items():
                labels = {"project": project, "scorer": name}
                found.append(Sample("watchkeeper_scorer_provisional", labels, float(one.provisional)))
        return found

    async def lost() -> list[Sample]:
        found: list[Sample] = []
        for project in flows.projects():
            rows = (await flows.columns.sql(project, LOST_BY_CLIENTS, 1)).rows
            if rows and rows[0][0]:
                found.append(Sample("watchkeeper_sdk_dropped_spans", {"project": project}, float(rows[0][0])))
        return found

    return [pipeline, coverage, lost]


def suspended(isolation: Isolation) -> Sampler:
    """Which of the users' scorers rest."""

    async def resting() -> list[Sample]:
        found = isolation.resting().items()
        return [Sample("watchkeeper_scorer_suspended", {"scorer": n}, float(rests)) for n, rests in found]

    return resting


@contextlib.asynccontextmanager
async def running(
    flows: Flows, among: Sequence[tuple[str, float, Callable[[], Awaitable[None]]]]
) -> AsyncGenerator[None]:
    """What every process does: take in, put together, and the loops of one `among` several. Ends with what takes in."""

    async def relieve() -> None:
        collect_young()
        await flows.columns.give_back()

    flows.ingest.start()
    flows.assembly.start()
    loops = [
        asyncio.create_task(flows.loops.forever(*loop))
        for loop in (
            ("returning memory", RELIEF_SECONDS, relieve),
            ("looking for damage", SCRUB_SECONDS, flows.scrub_once),
            *among,
        )
    ]
    try:
        yield
    finally:
        await flows.ingest.close()
        await flows.assembly.close()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
