"""Where everything is made: the only package that creates clocks, clients and engines, and connects the parts."""

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from watchkeeper.compose.backups import backup_of
from watchkeeper.compose.connect import Base, base_of, flows_of, guard_builder
from watchkeeper.compose.flows import FOLLOW_SECONDS, Flows, running, samplers, suspended
from watchkeeper.compose.forwarding import forwarding, sampler
from watchkeeper.compose.installation import Stores, install_secrets
from watchkeeper.compose.leader import duties, leading
from watchkeeper.compose.together import Together
from watchkeeper.compose.upkeep import LOOK_SECONDS, Upkeep, upkeep_of
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.model.score import Score
from watchkeeper.model.times import Clock
from watchkeeper.pipeline.calm import calm_gc
from watchkeeper.pipeline.from_signal import ActFlow
from watchkeeper.pipeline.gate import Gate
from watchkeeper.pipeline.isolate import Isolation
from watchkeeper.pipeline.playground import Playground
from watchkeeper.pipeline.readings import Readings
from watchkeeper.pipeline.reprice import Recompute
from watchkeeper.pipeline.train import TrainFlow
from watchkeeper.server.guarding import Guards
from watchkeeper.server.services import Services
from watchkeeper.store.clickhouse.engine import spare_memory
from watchkeeper.store.clickhouse.lock import DataDirLock
from watchkeeper.store.records import trained
from watchkeeper.store.records.lead import Lead


def surfaces(base: Base, flows: Flows, beside: Upkeep, no_auth: bool) -> Services:
    """What the surfaces reach of the flows."""
    records, columns, clock, ask = base.records, base.columns, base.clock, base.providers.ask

    async def on_scores(given: Sequence[Score]) -> None:
        await flows.review.on_scored([(s.project, s.trace_id, [s]) for s in given])

    return Services(
        data_dir=base.data_dir,
        records=records,
        columns=columns,
        config=base.holder,
        clock=clock,
        ingest=flows.ingest,
        no_auth=no_auth,
        watch=flows.watcher,
        review=flows.review,
        gate=Gate(records, base.scoring.gating, clock, ask, columns, flows.calibrator.standings),
        backfill=flows.backfill,
        train=TrainFlow(
            columns, records, clock, trained.calibration_traces, lambda: base.scoring.take_trained(records)
        ),
        playground=Playground(columns, ask, lambda: secrets.token_hex(12)),
        from_signal=ActFlow(records, columns, clock, base.holder, base.scoring.scorers, ask),
        scorers=flows.calibrator,
        incidents=flows.incidents,
        selfwatch=beside.watch,
        pictures=flows.pictures,
        actor=flows.actor,
        reports=beside.reports,
        erasing=flows.erasing,
        retain=flows.retain,
        ask=ask,
        embed=flows.signals.embed,
        backup=backup_of(base.data_dir, columns, records),
        redact=base.redaction.text,
        on_scores=on_scores,
        catch_up=flows.catch_up,
        settle=flows.assembly.settle,
        samplers=[*samplers(flows), suspended(base.isolation)],
    )


def guards(base: Base, made: Services) -> Guards:
    """Inline checks, in processes apart from the pipeline's: one must not wait behind a batch."""
    inline = Isolation(time.monotonic_ns)
    base.stack.callback(inline.close)
    found = Guards(base.holder, guard_builder(), made.counters, base.redaction.text, inline)
    base.stack.callback(found.close)
    return found


@contextlib.asynccontextmanager
async def services(
    data_dir: Path,
    holder: ConfigHolder,
    *,
    no_auth: bool = False,
    clock: Clock = time.time_ns,
    stores: Stores | None = None,
) -> AsyncGenerator[Services]:
    """Everything a server needs on one data directory, running until the context ends.

    `clock` is data time in ns; the demo runs it faster than the world. `stores` says where the data is when not in the
    directory. Raises `DataDirBusy`, `NewerSchema`, `SchemaTooNew`, `StoreUnavailable`, `BadUrl` and `ConfigError`.
    """
    async with contextlib.AsyncExitStack() as stack:
        spare_memory()
        lock = DataDirLock(data_dir)
        stack.callback(lock.release)
        where = stores or Stores.of(data_dir)
        base = await base_of(data_dir, where, holder, clock, install_secrets(data_dir), stack)
        flows = flows_of(base)
        together = Together(flows, base.scoring)
        readings = Readings(
            flows.records, flows.columns, clock, data_dir, flows.ingest.ledger, flows.assembly.waiting,
            flows.judges.counts, flows.projects,
        )  # fmt: skip
        beside = upkeep_of(flows, readings)
        made = surfaces(base, flows, beside, no_auth)
        made.answering = lock.announce
        await together.once()
        made.guard = guards(base, made)
        calm_gc()
        await flows.columns.give_back()
        async with forwarding(flows, holder) as forward:
            made.forward = forward
            made.reprice = reprice = Recompute(flows.columns, flows.records, clock)
            stack.push_async_callback(reprice.close)
            made.samplers.append(sampler(forward))
            alone = [("noting projects", FOLLOW_SECONDS, together.note_projects)]
            among = [
                ("following other processes", FOLLOW_SECONDS, together.once),
                ("telling how it fares", LOOK_SECONDS, readings.tell),
            ]
            # Stopped in the order that loses nothing: first what takes in, last what tells.
            async with (
                leading(
                    Lead(flows.records),
                    lambda: duties(flows, base.scoring, forward, reprice, beside.loops()),
                ),
                running(flows, alone if flows.records.is_sqlite else among),
            ):
                yield made
