"""What one process does for all that run on the same two databases.

Capture, checks, pages and the API run in every process. What reads whole projects or must not be done twice (judging, rolling,
watching, delivering, retention) runs in the one that leads. All of it goes on from the records, so when that one ends, however
it ends, another takes over.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from watchkeeper.compose.configured import Scoring
from watchkeeper.compose.flows import BEHAVING, TRIAGING, WATCHING, Flows
from watchkeeper.compose.loops import HEAVY
from watchkeeper.pipeline.forward import ForwardFlow
from watchkeeper.pipeline.reprice import Recompute
from watchkeeper.store.records import jobs
from watchkeeper.store.records.lead import Lead

log = logging.getLogger(__name__)
LEAD_SECONDS = 2.0
WATCH_SECONDS = 5.0
BEHAVIOUR_SECONDS = 10.0
BACKFILL_SECONDS = 0.5
TRIAGE_SECONDS = 10.0
RETENTION_SECONDS, RETENTION_FIRST = 600.0, 30.0
SIGNAL_SECONDS = 120.0
ERASURE_SECONDS = 20.0
CALIBRATION_SECONDS = 300.0
LABEL_SECONDS = 2.0
KEEPING_SECONDS = 5.0


@contextlib.asynccontextmanager
async def leading(
    lead: Lead, duties: Callable[[], AbstractAsyncContextManager[None]]
) -> AsyncGenerator[None]:
    """Run `duties` whenever this process leads. The first try is over when the context begins, and what it raises is raised."""
    stop = asyncio.Event()
    begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def pause() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LEAD_SECONDS)

    async def turn() -> None:
        if not await lead.take():
            return
        try:
            async with duties():
                if not begun.done():
                    begun.set_result(None)
                else:
                    log.warning("this process leads now")
                while not stop.is_set() and await lead.holds():
                    await pause()
                if not stop.is_set():
                    log.warning("another process may lead now: the connection to the records was cut")
        finally:
            await lead.give_up()

    async def turns() -> None:
        while not stop.is_set():
            try:
                await turn()
            # Whatever went wrong, somebody must lead: without it nothing would be watched.
            except Exception as error:
                if not begun.done():
                    begun.set_exception(error)
                    return
                log.exception("leading failed; it is tried again in %g s", LEAD_SECONDS)
            if not begun.done():
                begun.set_result(None)
            await pause()

    task = asyncio.create_task(turns(), name="leading")
    try:
        await begun
        yield
    finally:
        stop.set()
        await task


@contextlib.asynccontextmanager
async def duties(
    flows: Flows,
    scoring: Scoring,
    forward: ForwardFlow,
    reprice: Recompute,
    more: Sequence[tuple[str, float, Callable[[], Awaitable[None]]]],
) -> AsyncGenerator[None]:
    """Take up what an earlier leader left, and run every loop of which there is one."""
    cards = [(p, card.name) for p, plan in scoring.plans.items() for card in plan.cards]
    await flows.judges.restore_spending(cards)
    # Only who leads works on jobs.
    await flows.records.write(jobs.release)
    for project in {"default", *(m.project for m in flows.watcher.monitors)}:
        await flows.watcher.mirror_all(project)
    await reprice.resume()
    forward.start()
    stop = asyncio.Event()
    heavy = (
        (WATCHING, WATCH_SECONDS, flows.watch_once),
        (BEHAVING, BEHAVIOUR_SECONDS, flows.behave_once),
        ("grouping failures", SIGNAL_SECONDS, flows.group_once),
    )
    loops = (
        (TRIAGING, TRIAGE_SECONDS, flows.triage_once),
        ("backfilling", BACKFILL_SECONDS, flows.backfill.run_once),
        ("scores of labels", LABEL_SECONDS, flows.label_once),
        ("calibration", CALIBRATION_SECONDS, flows.calibrate_once),
        ("erasure", ERASURE_SECONDS, flows.sweep_once),
        ("late keeping", KEEPING_SECONDS, flows.keep_once),
        *more,
    )
    running = [asyncio.create_task(flows.loops.forever(*loop)) for loop in loops]
    running += [asyncio.create_task(flows.loops.forever(*loop, HEAVY)) for loop in heavy]
    retention = flows.loops.forever(
        "retention", RETENTION_SECONDS, flows.retain.run_once, first=RETENTION_FIRST
    )
    running.append(asyncio.create_task(retention))
    running.append(asyncio.create_task(flows.delivery.run()))
    judging = asyncio.create_task(flows.judges.run(stop))
    try:
        yield
    finally:
        stop.set()
        await judging
        for loop in running:
            loop.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await forward.close()
        await reprice.close()
