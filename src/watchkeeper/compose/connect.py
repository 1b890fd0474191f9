"""The parts of the pipeline made and connected."""

import asyncio
import contextlib
import importlib.metadata
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from watchkeeper.alerting.routing import Routes
from watchkeeper.compose.acting import acting, following
from watchkeeper.compose.flows import Flows
from watchkeeper.compose.following import Redaction, Routing, Scoring
from watchkeeper.compose.installation import InstallSecrets, Stores, shared_secrets
from watchkeeper.compose.pictures import Pictures
from watchkeeper.config import adapters
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.dialects import assemble, normalise, trace_id_of
from watchkeeper.egress.http import Egress
from watchkeeper.llm.table import Providers
from watchkeeper.model.alert import Alert
from watchkeeper.notify import Channel
from watchkeeper.pipeline.alert import Delivery
from watchkeeper.pipeline.apart import Apart
from watchkeeper.pipeline.assembly import Assembly
from watchkeeper.pipeline.backfill import BackfillFlow
from watchkeeper.pipeline.behaviour import BehaviourFlow
from watchkeeper.pipeline.calibrate import Calibrator
from watchkeeper.pipeline.check import CheckFlow
from watchkeeper.pipeline.erase import EraseFlow, Tombstones
from watchkeeper.pipeline.incidents import IncidentFlow
from watchkeeper.pipeline.ingest import Ingest, default_reserve
from watchkeeper.pipeline.isolate import Isolation
from watchkeeper.pipeline.judge import JudgeFlow
from watchkeeper.pipeline.late import LatePolicies
from watchkeeper.pipeline.levers import Pauses
from watchkeeper.pipeline.plan import services as scorer_services
from watchkeeper.pipeline.quote import price_of
from watchkeeper.pipeline.reading import loading, turns_before
from watchkeeper.pipeline.review import ReviewRouting
from watchkeeper.pipeline.roll import Plan as RollPlan
from watchkeeper.pipeline.roll import Roller
from watchkeeper.pipeline.signal_actions import SignalActions
from watchkeeper.pipeline.signals import SignalFlow
from watchkeeper.pipeline.sketch import Embed, Sketcher
from watchkeeper.pipeline.watch import Settings, Watcher
from watchkeeper.redaction.apply import keyed_hash
from watchkeeper.scoring.classifiers import embed as embedding
from watchkeeper.scoring.protocol import Scorer
from watchkeeper.scoring.registry import build
from watchkeeper.scoring.texts import words
from watchkeeper.store.clickhouse.store import ClickHouseColumns, open_columns
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.rescue import rescue

Clock = Callable[[], int]


def review_hook(clock: Clock) -> Callable[[Connection, Alert, Sequence[Mapping[str, Any]]], None]:
    def hook(connection: Connection, alert: Alert, worst: Sequence[Mapping[str, Any]]) -> None:
        ReviewRouting.open_for_alert(connection, alert, worst, clock())

    return hook


def guard_builder() -> Callable[[dict[str, Any]], Scorer]:
    given = scorer_services()
    return lambda spec: build(spec, given)


def owning(watcher: Watcher) -> Callable[[str, str], str | None]:
    """Who answers for a scorer: the owner of the first monitor that watches it."""

    def owner(project: str, scorer: str) -> str | None:
        watching = (m for m in watcher.monitors if m.project == project and scorer in m.metrics)
        return next((m.owner for m in watching), None)

    return owner


def splitting(watcher: Watcher) -> Callable[[str, str], Sequence[str] | None]:
    """By which dimensions a monitor is split; None for one that is not configured any more."""

    def split_by(project: str, monitor: str) -> Sequence[str] | None:
        return next((m.by for m in watcher.monitors if (m.project, m.name) == (project, monitor)), None)

    return split_by


def embedder() -> tuple[Embed | None, str]:
    """How texts become vectors, and the name and version of what makes them; None without the package."""
    if not embedding.available():
        return None, ""
    name = f"wordllama {importlib.metadata.version('wordllama')}"
    return (lambda texts: embedding.embed([words(t)[:400] for t in texts])), name


def sketching(columns: ClickHouseColumns, records: Records, watcher: Watcher) -> Sketcher:
    """Keeps the sums of texts that monitors watch, and gives the watcher examples for its alerts."""
    made = Sketcher(columns, records, lambda: watcher.monitors, *embedder())
    watcher.examples = made.examples
    return made


def review_routing(
    records: Records, clock: Clock, columns: ClickHouseColumns, scoring: Scoring, holder: ConfigHolder
) -> ReviewRouting:
    """What feeds the review queue, with the settings in force."""
    return ReviewRouting(
        records, clock, routed=scoring.routed, columns=columns, settings=lambda: holder.current.review
    )


def respond(flows: Flows, channels: Mapping[str, Channel], pauses: Pauses) -> None:
    """Let what changes of an alert order its actions, following the configuration."""
    flows.actor = acting(flows.columns, flows.records, channels, pauses, flows.clock, time.time_ns)
    flows.watcher.on_change = flows.actor.on_change
    follow = following(flows.actor)
    follow(flows.holder.current)
    flows.holder.on_change(follow)


def erasing(flows: Flows, tombstones: Tombstones, redaction: Redaction) -> EraseFlow:
    """What erases on request, with the retention and the redaction in force."""
    holder = flows.holder

    def known_as(user: str) -> list[str]:
        return sorted({user, keyed_hash(user, redaction.hash_key)})

    return EraseFlow(
        flows.columns,
        flows.records,
        flows.clock,
        tombstones,
        flows.assembly,
        known_as,
        lambda: holder.current.server.retention.traces,
        lambda: bool(holder.current.forward),
        lambda: "er_" + secrets.token_hex(8),
    )


async def opened(
    data_dir: Path,
    stores: Stores,
    clock: Clock,
    names: Callable[[str], list[str]],
    stack: contextlib.AsyncExitStack,
) -> tuple[Records, ClickHouseColumns]:
    """Both stores, brought to this version's schema; processes that start at once do so one after another."""
    await asyncio.to_thread(rescue, data_dir)
    records = Records(stores.records)
    stack.callback(records.close)

    def columns_opened() -> ClickHouseColumns:
        with records.alone():
            return open_columns(stores.columns, clock, names)

    opening = asyncio.to_thread(columns_opened)
    _, columns = await asyncio.gather(asyncio.to_thread(migrate.upgrade, records), opening)
    stack.push_async_callback(columns.close)
    return records, columns


async def connect(
    data_dir: Path,
    stores: Stores,
    holder: ConfigHolder,
    clock: Clock,
    secret: InstallSecrets,
    stack: contextlib.AsyncExitStack,
) -> tuple[Flows, Redaction, Scoring, Providers]:
    records, columns = await opened(data_dir, stores, clock, lambda project: scoring.names(project), stack)
    secret = await asyncio.to_thread(shared_secrets, records, secret)
    redaction = Redaction(secret.hash_key)
    scoring = Scoring(holder, secret.sampling_salt)
    for part in (redaction, scoring):
        part.use(holder.current)
        holder.on_change(part.use)
    egress = Egress(adapters.egress_of(holder.current))
    stack.push_async_callback(egress.close)
    providers = Providers(
        lambda: egress.session(timeout_s=600.0), adapters.providers_of(holder.current), price=price_of
    )
    stack.push_async_callback(providers.close)
    review = review_routing(records, clock, columns, scoring, holder)
    isolation = Isolation(clock)
    stack.callback(isolation.close)
    pauses = Pauses(records)
    incoming = pauses.wrap(scoring.plan)
    apart = Apart(clock, isolation)
    stack.callback(apart.close)
    checks = CheckFlow(
        columns, records, clock, incoming, run=apart, hooks=[review.on_scored],
        keeping=lambda: adapters.keeping_of(holder.current), salt=secret.sampling_salt,
    )  # fmt: skip
    stack.callback(checks.close)
    assembly = Assembly(columns, clock, normalise, assemble, checks.on_traces)
    tombstones = Tombstones(secret.hash_key)
    columns.erased = tombstones.holds
    ingest = Ingest(
        columns,
        clock,
        normalise,
        redaction.record,
        assembly,
        trace_of=trace_id_of,
        free_bytes=columns.free_bytes,
        reserve_bytes=default_reserve(data_dir),
        erased=tombstones.holds,
        quota=lambda _project: holder.current.server.limits.per_project,
    )
    judges = JudgeFlow(
        records,
        columns,
        providers.ask,
        loading(columns),
        scoring.plan,
        clock,
        worker=secrets.token_hex(4),
        roll=random.random,
        nonce=lambda: secrets.token_hex(12),
        hooks=[review.on_scored],
        before=lambda project, trace: turns_before(columns, project, trace),
    )
    behaviour = BehaviourFlow(columns, records, clock, scoring.behaviours, hooks=[review.on_scored])
    backfill = BackfillFlow(columns, records, scoring.plan, scoring.place, clock, isolate=isolation)
    late = LatePolicies(
        columns,
        records,
        loading(columns),
        scoring.plan,
        clock,
        act=SignalActions(records, loading(columns), clock),
    )
    roller = Roller(columns, records, RollPlan())
    watcher = Watcher(columns, records, (), Routes(), Settings(), review_hook(clock))
    vectors = embedding.embed if embedding.available() else None
    sketcher = sketching(columns, records, watcher)
    signals = SignalFlow(columns, records, clock, vectors, owner_of=owning(watcher))
    calibrator = Calibrator(
        records,
        columns,
        scoring.scorers,
        loading(columns),
        clock,
        ask=providers.ask,
        salt=secret.sampling_salt,
    )
    channels: dict[str, Channel] = {}
    pictures = Pictures(columns, records, holder, secret.hash_key, clock, time.time_ns)
    delivery = Delivery(records, channels, clock, random.random, dress=pictures.link)
    routing = Routing(watcher, roller, delivery, egress, clock, channels, pictures.of)
    routing.use(holder.current)
    holder.on_change(routing.use)
    flows = Flows(
        clock, columns, records, ingest, assembly, checks, judges, late, behaviour, backfill, roller,
        watcher, delivery, review, signals, IncidentFlow(columns, records, clock, splitting(watcher)),
        holder, calibrator, sketcher,
    )  # fmt: skip
    flows.pictures, flows.pauses = pictures, pauses
    flows.erasing = erasing(flows, tombstones, redaction)
    respond(flows, channels, pauses)
    return flows, redaction, scoring, providers
