"""The parts of the pipeline made and connected."""

import asyncio
import contextlib
import importlib.metadata
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from watchkeeper.alerting.routing import Routes
from watchkeeper.compose.actions import actor_of
from watchkeeper.compose.configured import Redaction, Routing, Scoring
from watchkeeper.compose.flows import Flows
from watchkeeper.compose.installation import InstallSecrets, Stores, shared_secrets
from watchkeeper.compose.pictures import Pictures
from watchkeeper.config import adapters
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.dialects import assemble, normalise, trace_id_of
from watchkeeper.egress.http import Egress
from watchkeeper.llm.table import Providers
from watchkeeper.model.alert import Alert
from watchkeeper.model.times import Clock
from watchkeeper.notify import Channel
from watchkeeper.pipeline.act import Actor
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
from watchkeeper.pipeline.labels import LabelScores
from watchkeeper.pipeline.late import LateKeeping, LatePolicies
from watchkeeper.pipeline.levers import Pauses
from watchkeeper.pipeline.plan import finders
from watchkeeper.pipeline.quote import price_of
from watchkeeper.pipeline.reading import loading, turns_before
from watchkeeper.pipeline.review import ReviewRouting
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.pipeline.signal_actions import SignalActions
from watchkeeper.pipeline.signals import SignalFlow
from watchkeeper.pipeline.sketch import Embed, Sketcher
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.pipeline.watching.steps import Settings
from watchkeeper.redaction.apply import keyed_hash
from watchkeeper.scoring.classifiers import embed as embedding
from watchkeeper.scoring.protocol import Scorer
from watchkeeper.scoring.registry import build
from watchkeeper.scoring.texts import words
from watchkeeper.store.clickhouse.store import ClickHouseColumns, open_columns
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.rescue import rescue


def review_hook(clock: Clock) -> Callable[[Connection, Alert, Sequence[Mapping[str, Any]]], None]:
    def hook(connection: Connection, alert: Alert, worst: Sequence[Mapping[str, Any]]) -> None:
        ReviewRouting.open_for_alert(connection, alert, worst, clock())

    return hook


def guard_builder() -> Callable[[dict[str, Any]], Scorer]:
    given = finders()
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


@dataclass(frozen=True)
class Base:
    """What the flows of one process are made from. What they open is closed with `stack`."""

    data_dir: Path
    clock: Clock
    holder: ConfigHolder
    secret: InstallSecrets
    records: Records
    columns: ClickHouseColumns
    redaction: Redaction
    scoring: Scoring
    egress: Egress
    providers: Providers
    isolation: Isolation
    review: ReviewRouting
    pauses: Pauses
    tombstones: Tombstones
    stack: contextlib.AsyncExitStack


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


async def base_of(
    data_dir: Path,
    stores: Stores,
    holder: ConfigHolder,
    clock: Clock,
    secret: InstallSecrets,
    stack: contextlib.AsyncExitStack,
) -> Base:
    """Open the stores and the ways out, and make what follows the configuration."""
    records, columns = await opened(data_dir, stores, clock, lambda project: scoring.names(project), stack)
    secret = await asyncio.to_thread(shared_secrets, records, secret)
    redaction, scoring = Redaction(secret.hash_key), Scoring(holder, secret.sampling_salt)
    for part in (redaction, scoring):
        holder.follow(part.use)
    egress = Egress(adapters.egress_of(holder.current))
    stack.push_async_callback(egress.close)
    providers = Providers(
        lambda: egress.session(timeout_s=600.0), adapters.providers_of(holder.current), price=price_of
    )
    stack.push_async_callback(providers.close)
    isolation = Isolation(clock)
    stack.callback(isolation.close)
    tombstones = Tombstones(secret.hash_key)
    review = ReviewRouting(
        records, clock, routed=scoring.routed, columns=columns, settings=lambda: holder.current.review,
        erased=tombstones.holds,
    )  # fmt: skip
    return Base(
        data_dir, clock, holder, secret, records, columns, redaction, scoring, egress, providers, isolation, review,
        Pauses(records), tombstones, stack,
    )  # fmt: skip


def capturing(base: Base) -> tuple[Ingest, Assembly, CheckFlow]:
    """From a request to scored traces."""
    apart = Apart(base.clock, base.isolation)
    base.stack.callback(apart.close)
    checks = CheckFlow(
        base.columns,
        base.records,
        base.clock,
        base.pauses.wrap(base.scoring.plan),
        run=apart,
        hooks=[base.review.on_scored],
        keeping=lambda: adapters.keeping_of(base.holder.current),
        salt=base.secret.sampling_salt,
    )
    base.stack.callback(checks.close)
    assembly = Assembly(base.columns, base.clock, normalise, assemble, checks.on_traces)
    base.columns.erased = base.tombstones.holds
    ingest = Ingest(
        base.columns,
        base.clock,
        normalise,
        base.redaction.record,
        assembly,
        trace_of=trace_id_of,
        free_bytes=base.columns.free_bytes,
        reserve_bytes=base.holder.current.server.limits.reserve or default_reserve(base.data_dir),
        erased=base.tombstones.holds,
        quota=lambda _project: base.holder.current.server.limits.per_project,
    )
    return ingest, assembly, checks


def judging(base: Base) -> tuple[JudgeFlow, LatePolicies, Calibrator]:
    """What asks judges, what sends traces to them after the fact, and what compares them with people."""
    load = loading(base.columns)
    judges = JudgeFlow(
        base.records,
        base.columns,
        base.providers.ask,
        load,
        base.scoring.plan,
        base.clock,
        worker=secrets.token_hex(4),
        roll=random.random,
        nonce=lambda: secrets.token_hex(12),
        hooks=[base.review.on_scored],
        before=lambda project, trace: turns_before(base.columns, project, trace),
    )
    act = SignalActions(base.records, load, base.clock)
    late = LatePolicies(base.columns, base.records, load, base.scoring.plan, base.clock, act=act)
    calibrator = Calibrator(
        base.records,
        base.columns,
        base.scoring.scorers,
        load,
        base.clock,
        ask=base.providers.ask,
        salt=base.secret.sampling_salt,
    )
    return judges, late, calibrator


def telling(base: Base, watcher: Watcher, roller: Roller) -> tuple[Delivery, Pictures, Actor]:
    """What leaves because of an alert: messages with their charts, and actions."""
    channels: dict[str, Channel] = {}
    pictures = Pictures(
        base.columns, base.records, base.holder, base.secret.hash_key, base.clock, time.time_ns
    )
    delivery = Delivery(base.records, channels, base.clock, random.random, dress=pictures.link)
    base.holder.follow(Routing(watcher, roller, delivery, base.egress, channels, pictures.of).use)
    actor = actor_of(base.columns, base.records, channels, base.pauses, base.clock, time.time_ns)
    watcher.on_change = actor.on_change

    def use(config: Config) -> None:
        actor.specs = adapters.actions_of(config)

    base.holder.follow(use)
    return delivery, pictures, actor


def erasing(base: Base, assembly: Assembly) -> EraseFlow:
    """What erases on request, with the retention and the redaction in force."""

    def known_as(user: str) -> list[str]:
        return sorted({user, keyed_hash(user, base.redaction.hash_key)})

    return EraseFlow(
        base.columns,
        base.records,
        base.clock,
        base.tombstones,
        assembly,
        known_as,
        lambda: base.holder.current.server.retention.traces,
        lambda: bool(base.holder.current.forward),
        lambda: "er_" + secrets.token_hex(8),
    )


def flows_of(base: Base) -> Flows:
    """The flows, connected."""
    columns, records, clock, scoring = base.columns, base.records, base.clock, base.scoring
    ingest, assembly, checks = capturing(base)
    judges, late, calibrator = judging(base)
    roller = Roller(columns, records, RollPlan())
    watcher = Watcher(columns, records, (), Routes(), Settings(), review_hook(clock))
    sketcher = Sketcher(columns, records, lambda: watcher.monitors, *embedder())
    watcher.examples = sketcher.examples
    delivery, pictures, actor = telling(base, watcher, roller)
    vectors = embedding.embed if embedding.available() else None
    return Flows(
        clock=clock,
        columns=columns,
        records=records,
        ingest=ingest,
        assembly=assembly,
        checks=checks,
        judges=judges,
        late=late,
        late_keeping=LateKeeping(
            columns, lambda: adapters.keeping_of(base.holder.current), scoring.plan, assembly.reopen, clock
        ),
        behaviour=BehaviourFlow(columns, records, clock, scoring.behaviours, hooks=[base.review.on_scored]),
        backfill=BackfillFlow(columns, records, scoring.plan, scoring.place, clock, isolate=base.isolation),
        roller=roller,
        watcher=watcher,
        delivery=delivery,
        review=base.review,
        signals=SignalFlow(columns, records, clock, vectors, owner_of=owning(watcher)),
        incidents=IncidentFlow(columns, records, clock, splitting(watcher)),
        holder=base.holder,
        calibrator=calibrator,
        sketcher=sketcher,
        pictures=pictures,
        pauses=base.pauses,
        actor=actor,
        erasing=erasing(base, assembly),
        labels=LabelScores(columns, records, base.redaction.text),
    )
