"""Where everything is made: the only module that creates clocks, clients and engines, and connects the parts."""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.alerting.routing import Routes
from watchkeeper.config import adapters
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.config.models import Route as RouteConfig
from watchkeeper.dialects import assemble, normalise, pricing, trace_id_of
from watchkeeper.egress.http import Egress
from watchkeeper.egress.smtp import Mailer, SmtpServer
from watchkeeper.llm.table import Providers
from watchkeeper.model.alert import Alert
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.score import Score, Subject
from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.notify import (
    Channel,
    EmailChannel,
    LogChannel,
    OpsgenieChannel,
    PagerDutyChannel,
    SlackChannel,
    TeamsChannel,
    WebhookChannel,
)
from watchkeeper.pipeline.alert import Delivery
from watchkeeper.pipeline.assembly import Assembly
from watchkeeper.pipeline.check import CheckFlow
from watchkeeper.pipeline.gate import Gate
from watchkeeper.pipeline.ingest import Ingest, calm_gc, default_reserve
from watchkeeper.pipeline.isolate import Isolation
from watchkeeper.pipeline.judge import JudgeFlow
from watchkeeper.pipeline.plan import Plan, make_plan
from watchkeeper.pipeline.plan import services as scorer_services
from watchkeeper.pipeline.review import ReviewRouting
from watchkeeper.pipeline.roll import Plan as RollPlan
from watchkeeper.pipeline.roll import Roller
from watchkeeper.pipeline.signals import SignalFlow
from watchkeeper.pipeline.watch import Settings, Watcher
from watchkeeper.redaction.apply import Redactor, redact_text
from watchkeeper.redaction.policy import Policy
from watchkeeper.scoring.classifiers import embed as embedding
from watchkeeper.scoring.protocol import Judge, Scorer
from watchkeeper.scoring.registry import build
from watchkeeper.server.guarding import Guards
from watchkeeper.server.metrics import Sample
from watchkeeper.server.services import Services
from watchkeeper.store.clickhouse.lock import DataDirLock
from watchkeeper.store.clickhouse.store import ClickHouseColumns, open_columns
from watchkeeper.store.columns import Retention
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
Clock = Callable[[], int]
DAY_NS = 86_400 * 10**9
WATCH_SECONDS = 5.0
RETENTION_SECONDS = 600.0
SIGNAL_SECONDS = 120.0
# A clock that is moved by hand passes days in seconds; grouping once a day of its time is enough.
GROUPED_NS = 24 * 3600 * 10**9


class InstallSecrets(msgspec.Struct):
    """What is this installation's alone: the key of hashed user ids and the salt of sampling. Lost, they cannot be
    made again: old hashes then match nothing."""

    hash_key: str
    sampling_salt: str


def install_secrets(data_dir: Path) -> InstallSecrets:
    """Read the data directory's secrets, making them (mode 0600) on the first start."""
    path = data_dir / "secrets.json"
    if not path.exists():
        made = InstallSecrets(secrets.token_hex(32), secrets.token_hex(16))
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(msgspec.json.encode(made))
        fresh.replace(path)
    return msgspec.json.decode(path.read_bytes(), type=InstallSecrets)


def columns_dsn(data_dir: Path) -> str:
    """The embedded column store of a data directory."""
    return f"chdb://{os.path.abspath(data_dir)}/columns"


def channel_of(route: RouteConfig, egress: Egress, clock: Clock) -> Channel:
    """The channel a configured route names."""
    match route.type:
        case "webhook":
            return WebhookChannel(
                egress,
                route.url.reveal(),
                None if route.secret is None else route.secret.reveal(),
                time.time_ns,
            )
        case "slack":
            return SlackChannel(egress, route.url.reveal())
        case "teams":
            return TeamsChannel(egress, route.url.reveal())
        case "pagerduty":
            return PagerDutyChannel(egress, route.key.reveal())
        case "opsgenie":
            return OpsgenieChannel(egress, route.key.reveal(), *([route.url] if route.url else []))
        case "email":
            password = None if route.password is None else route.password.reveal()
            server = SmtpServer(route.host, route.port, route.user, password, route.tls)
            return EmailChannel(Mailer(egress.policy, server), route.sender, route.to)
        case "log":
            return LogChannel()


@dataclass
class Redaction:
    """Redacts records before anything is stored; replaced whole when the configuration changes."""

    hash_key: str
    redactor: Redactor | None = None
    policy: Policy | None = None

    def use(self, config: Config) -> None:
        spec = adapters.redaction_of(config, self.hash_key)
        self.policy = None if spec is None else Policy(spec)
        self.redactor = None if self.policy is None else Redactor(self.policy)

    def record(self, _project: str, item: RawSpan | LogRecord) -> None:
        if self.redactor is None:
            return
        if isinstance(item, RawSpan):
            self.redactor.span(item)
        else:
            self.redactor.log(item)

    def text(self, text: str) -> str:
        return text if self.policy is None else redact_text(text, self.policy)[0]


@dataclass
class Scoring:
    """The scoring plan of every project, made on first use and again when the configuration changes."""

    holder: ConfigHolder
    salt: str
    plans: dict[str, Plan] = field(default_factory=dict[str, Plan])

    def use(self, config: Config) -> None:
        """Build the plan of every project the configuration names; a fault in it raises before the old one is gone."""
        projects = {"default", *(c.project for c in config.scorecards)}
        self.plans = {p: self._made(config, p) for p in projects}

    def _made(self, config: Config, project: str) -> Plan:
        return make_plan([c for c in config.scorecards if c.project == project], salt=self.salt)

    def plan(self, project: str) -> Plan:
        if project not in self.plans:
            self.plans[project] = self._made(self.holder.current, project)
        return self.plans[project]

    def scorers(self, project: str) -> list[Scorer]:
        plan = self.plan(project)
        return [*(s.scorer for s in plan.scheduled), *plan.judges.values()]

    def names(self, project: str) -> list[str]:
        return [s.name for s in self.scorers(project)]


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
    roller: Roller
    watcher: Watcher
    delivery: Delivery
    review: ReviewRouting
    signals: SignalFlow
    holder: ConfigHolder
    watching: asyncio.Lock = field(default_factory=asyncio.Lock)
    grouped_ns: int = 0

    async def watch_once(self) -> None:
        """Roll what changed and watch every tick that closed."""
        async with self.watching:
            now = self.clock()
            for project in self._projects():
                await self.roller.roll(project, now)
            if await self.watcher.tick(now):
                self.delivery.wake.set()

    async def group_once(self) -> None:
        """Group every project's failures into signals."""
        for project in self._projects():
            await self.signals.run_once(project)

    def _projects(self) -> list[str]:
        seen = {project for project, _, _ in self._projects_seen()}
        return sorted({"default", *(m.project for m in self.watcher.monitors), *seen})

    def _projects_seen(self) -> list[tuple[str, str, float]]:
        return [
            (labels["project"], name, value)
            for name, labels, value in self.ingest.ledger.samples()
            if name == "watchkeeper_ingest_received_total"
        ]

    async def catch_up(self) -> None:
        """Finish everything that has arrived: assemble every open trace, roll, watch, deliver what is due."""
        await self.assembly.flush(everything=True)
        await self.watch_once()
        await self.delivery.deliver_due()
        now = self.clock()
        if not 0 <= now - self.grouped_ns < GROUPED_NS:
            self.grouped_ns = now
            await self.group_once()

    async def retain(self) -> None:
        """Drop what is older than the configuration keeps."""
        kept = self.holder.current.server.retention
        keep = Retention(kept.content // DAY_NS, kept.traces // DAY_NS, kept.aggregates // DAY_NS)
        await self.columns.expire(self.clock(), keep)


async def _forever(name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except (
            Exception
        ):  # this loop must outlive any failure of the store: without it nothing would be watched
            log.exception("%s failed; it is tried again in %g s", name, seconds)


def _review_hook(clock: Clock) -> Callable[[Connection, Alert, Sequence[Mapping[str, Any]]], None]:
    def hook(connection: Connection, alert: Alert, worst: Sequence[Mapping[str, Any]]) -> None:
        ReviewRouting.open_for_alert(connection, alert, worst, clock())

    return hook


def _guard_builder() -> Callable[[dict[str, Any]], Scorer]:
    given = scorer_services()
    return lambda spec: build(spec, given)


def _owning(watcher: Watcher) -> Callable[[str, str], str | None]:
    """Who answers for a scorer: the owner of the first monitor that watches it."""

    def owner(project: str, scorer: str) -> str | None:
        watching = (m for m in watcher.monitors if m.project == project and scorer in m.metrics)
        return next((m.owner for m in watching), None)

    return owner


def _asking(providers: Providers) -> Callable[[Judge, Prompt], Awaitable[Reply]]:
    async def ask(_judge: Judge, prompt: Prompt) -> Reply:
        return await providers.ask(prompt)

    return ask


def _loading(columns: ClickHouseColumns) -> Callable[[str, str, str], Awaitable[Subject | None]]:
    async def load(project: str, trace_id: str, span_id: str) -> Subject | None:
        raws, logs = await columns.read_trace(project, trace_id)
        trace = assemble([normalise(r) for r in raws], logs)
        if not trace.spans:
            return None
        span = next((s for s in trace.spans if s.span_id == span_id), None)
        return None if span_id and span is None else Subject(trace, span)

    return load


@dataclass
class _Routing:
    """What follows the configuration: monitors, routes and channels."""

    watcher: Watcher
    roller: Roller
    delivery: Delivery
    egress: Egress
    clock: Clock
    channels: dict[str, Channel]

    def use(self, config: Config) -> None:
        rules = adapters.rules_of(config)
        routes = adapters.routes_of(config)
        self.egress.policy = adapters.egress_of(config)
        made = {r.name: channel_of(r, self.egress, self.clock) for r in config.routes}
        self.channels.clear()
        self.channels.update(made)
        self.watcher.monitors, self.watcher.routes = tuple(rules), routes
        self.watcher.settings = replace(self.watcher.settings, base_url=config.server.public_url or "")
        self.delivery.fallback = routes.page
        self.roller.plan = RollPlan.of(rules)
        pricing.use(adapters.prices_of(config))


async def _connect(
    data_dir: Path,
    holder: ConfigHolder,
    clock: Clock,
    secret: InstallSecrets,
    stack: contextlib.AsyncExitStack,
) -> tuple[Flows, Redaction, Scoring, Providers]:
    redaction = Redaction(secret.hash_key)
    scoring = Scoring(holder, secret.sampling_salt)
    for part in (redaction, scoring):
        part.use(holder.current)
        holder.on_change(part.use)
    records = Records(migrate.url_of(data_dir))
    stack.callback(records.close)
    opening = asyncio.to_thread(open_columns, columns_dsn(data_dir), clock, scoring.names)
    _, columns = await asyncio.gather(asyncio.to_thread(migrate.upgrade, records), opening)
    stack.push_async_callback(columns.close)
    egress = Egress(adapters.egress_of(holder.current))
    stack.push_async_callback(egress.close)
    providers = Providers(lambda: egress.session(timeout_s=600.0), adapters.providers_of(holder.current))
    stack.push_async_callback(providers.close)
    review = ReviewRouting(records, clock)
    isolation = Isolation(clock)
    stack.callback(isolation.close)
    checks = CheckFlow(columns, records, clock, scoring.plan, isolate=isolation, hooks=[review.on_scored])
    stack.callback(checks.close)
    assembly = Assembly(columns, clock, normalise, assemble, checks.on_traces)
    ingest = Ingest(
        columns,
        clock,
        normalise,
        redaction.record,
        assembly,
        trace_of=trace_id_of,
        free_bytes=columns.free_bytes,
        reserve_bytes=default_reserve(data_dir),
    )
    judges = JudgeFlow(
        records,
        columns,
        providers.ask,
        _loading(columns),
        scoring.plan,
        clock,
        worker=secrets.token_hex(4),
        roll=random.random,
        nonce=lambda: secrets.token_hex(12),
        hooks=[review.on_scored],
    )
    roller = Roller(columns, records, RollPlan())
    watcher = Watcher(columns, records, (), Routes(), Settings(), _review_hook(clock))
    vectors = embedding.embed if embedding.available() else None
    signals = SignalFlow(columns, records, clock, vectors, owner_of=_owning(watcher))
    channels: dict[str, Channel] = {}
    delivery = Delivery(records, channels, clock, random.random)
    routing = _Routing(watcher, roller, delivery, egress, clock, channels)
    routing.use(holder.current)
    holder.on_change(routing.use)
    flows = Flows(
        clock,
        columns,
        records,
        ingest,
        assembly,
        checks,
        judges,
        roller,
        watcher,
        delivery,
        review,
        signals,
        holder,
    )
    return flows, redaction, scoring, providers


def _samplers(flows: Flows) -> list[Callable[[], Awaitable[list[Sample]]]]:
    async def pipeline() -> list[Sample]:
        found = [Sample(*s) for s in flows.ingest.ledger.samples()]
        found += [Sample(*s) for s in flows.assembly.samples()]
        for stage, counts in (
            ("check", flows.checks.counts),
            ("judge", flows.judges.counts),
            ("watch", flows.watcher.counts),
            ("deliver", flows.delivery.counts),
        ):
            for name, value in vars(counts).items():
                if isinstance(value, int):
                    labels = {"stage": stage, "what": name}
                    found.append(Sample("watchkeeper_stage_total", labels, value, kind="counter"))
        for stage, told in (("review", flows.review.counts), ("signals", flows.signals.counts)):
            for what, value in told.items():
                labels = {"stage": stage, "what": what}
                found.append(Sample("watchkeeper_stage_total", labels, value, kind="counter"))
        return found

    return [pipeline]


@contextlib.asynccontextmanager
async def _running(flows: Flows) -> AsyncGenerator[None]:
    """Every background loop, stopped in the order that loses nothing: first what takes in, last what tells."""
    stop = asyncio.Event()
    flows.ingest.start()
    flows.assembly.start()
    loops = [
        asyncio.create_task(_forever("watching", WATCH_SECONDS, flows.watch_once)),
        asyncio.create_task(_forever("grouping failures", SIGNAL_SECONDS, flows.group_once)),
        asyncio.create_task(_forever("retention", RETENTION_SECONDS, flows.retain)),
        asyncio.create_task(flows.delivery.run()),
    ]
    judging = asyncio.create_task(flows.judges.run(stop))
    try:
        yield
    finally:
        await flows.ingest.close()
        await flows.assembly.close()
        stop.set()
        await judging
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


@contextlib.asynccontextmanager
async def services(
    data_dir: Path, holder: ConfigHolder, *, no_auth: bool = False, clock: Clock = time.time_ns
) -> AsyncGenerator[Services]:
    """Everything a server needs on one data directory, running until the context ends.

    `clock` is data time in ns; the demo runs it faster than the world. Raises `DataDirBusy`, `NewerSchema`,
    `StoreUnavailable` and `ConfigError`.
    """
    async with contextlib.AsyncExitStack() as stack:
        lock = DataDirLock(data_dir)
        stack.callback(lock.release)
        flows, redaction, scoring, providers = await _connect(
            data_dir, holder, clock, install_secrets(data_dir), stack
        )
        made = Services(
            data_dir=data_dir,
            records=flows.records,
            columns=flows.columns,
            config=holder,
            clock=clock,
            ingest=flows.ingest,
            no_auth=no_auth,
        )
        made.watch, made.judge, made.review = flows.watcher, flows.judges, flows.review
        made.gate = Gate(flows.records, scoring.scorers, clock, _asking(providers))
        made.guard = Guards(holder, _guard_builder(), made.counters, redaction.text)
        stack.callback(made.guard.close)
        made.samplers.extend(_samplers(flows))
        made.catch_up, made.answering = flows.catch_up, lock.announce

        async def on_scores(given: Sequence[Score]) -> None:
            await flows.review.on_scored([(s.project, s.trace_id, [s]) for s in given])

        made.on_scores = on_scores
        spent = [(p, card.name) for p, plan in scoring.plans.items() for card in plan.cards]
        await flows.judges.restore_spending(spent)
        calm_gc()
        for project in {"default", *(m.project for m in flows.watcher.monitors)}:
            await flows.watcher.mirror_all(project)
        async with _running(flows):
            yield made
