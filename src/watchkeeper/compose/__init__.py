"""Where everything is made: the only package that creates clocks, clients and engines, and connects the parts."""

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from watchkeeper.compose.connect import connect, guard_builder
from watchkeeper.compose.flows import FOLLOW_SECONDS, running, samplers
from watchkeeper.compose.forwarding import forwarding, sampler
from watchkeeper.compose.installation import Stores, install_secrets
from watchkeeper.compose.leading import duties, leading
from watchkeeper.compose.operating import LOOK_SECONDS, operating
from watchkeeper.compose.saving import saving
from watchkeeper.compose.together import Together
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.model.score import Score
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

Clock = Callable[[], int]


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
        flows, redaction, scoring, providers = await connect(
            data_dir, stores or Stores.of(data_dir), holder, clock, install_secrets(data_dir), stack
        )
        together = Together(flows, scoring)
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
        made.incidents = flows.incidents
        readings = Readings(
            flows.records, flows.columns, clock, data_dir, flows.ingest.ledger, flows.assembly.waiting,
            flows.judges.counts, flows.projects,
        )  # fmt: skip
        beside = operating(flows, readings)
        made.selfwatch, made.pictures, made.actor = beside.watch, flows.pictures, flows.actor
        made.reports = beside.reports
        made.scorers = flows.calibrator
        made.gate = Gate(
            flows.records, scoring.gating, clock, providers.ask, flows.columns, flows.calibrator.standings
        )
        made.embed = flows.signals.embed
        made.erasing, made.retain = flows.erasing, flows.retain
        made.backup = saving(data_dir, flows.columns, flows.records)
        made.from_signal = ActFlow(
            flows.records,
            flows.columns,
            clock,
            holder,
            scoring.scorers,
            providers.ask,
        )
        await together.once()
        # Apart from the pipeline's: an inline check must not wait behind a batch.
        inline = Isolation(time.monotonic_ns)
        stack.callback(inline.close)
        made.guard = Guards(holder, guard_builder(), made.counters, redaction.text, inline)
        stack.callback(made.guard.close)
        made.redact = redaction.text
        made.backfill = flows.backfill
        made.ask = providers.ask
        made.playground = Playground(flows.columns, providers.ask, lambda: secrets.token_hex(12))
        made.train = TrainFlow(
            flows.columns,
            flows.records,
            clock,
            trained.calibration_traces,
            lambda: scoring.take_trained(flows.records),
        )
        made.samplers.extend(samplers(flows))
        made.catch_up, made.answering = flows.catch_up, lock.announce
        made.settle = flows.assembly.settle

        async def on_scores(given: Sequence[Score]) -> None:
            await flows.review.on_scored([(s.project, s.trace_id, [s]) for s in given])

        made.on_scores = on_scores
        calm_gc()
        await flows.columns.give_back()
        async with forwarding(flows, holder) as forward:
            made.forward = forward
            made.reprice = reprice = Recompute(flows.columns, flows.records, clock)
            stack.push_async_callback(reprice.close)
            made.samplers.append(sampler(forward))
            among = [
                ("following other processes", FOLLOW_SECONDS, together.once),
                ("telling how it fares", LOOK_SECONDS, readings.tell),
            ]
            # Stopped in the order that loses nothing: first what takes in, last what tells.
            async with (
                leading(
                    Lead(flows.records), lambda: duties(flows, scoring, forward, reprice, beside.loops())
                ),
                running(flows, [] if flows.records.is_sqlite else among),
            ):
                yield made
