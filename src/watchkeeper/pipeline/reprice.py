"""Costs made again from what is stored, with the price table in force now: after a price was corrected or added.

Tokens are read from the raw spans by the present dialects, so a better dialect counts too. The client's own cost is
part of the raw span and stays. What was done is a position in the records: a restart goes on from there, and a second
run finds nothing to do.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import msgspec

from watchkeeper.dialects import derive, pricing
from watchkeeper.model.span import Trace
from watchkeeper.model.times import Clock
from watchkeeper.store.columns import Columns, Repriced, StoreUnavailable
from watchkeeper.store.records import states
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
KIND, KEY = "reprice", "run"
PAGE = 50
RETRY_SECONDS = 5.0
SHOWN_NS = 2**62


class Run(msgspec.Struct):
    """One recompute of a project. `total` is how many traces had another version when it began.

    looked = changed + same + without_content; `without_content` are traces whose raw spans retention has removed: they keep the
    cost and the version they have.
    """

    project: str
    version: str
    since_ns: int
    until_ns: int
    started_ns: int
    status: str = "running"
    total: int = 0
    looked: int = 0
    changed: int = 0
    same: int = 0
    without_content: int = 0
    after_ns: int = -1
    after_id: str = ""
    ended_ns: int | None = None


class Busy(Exception):
    """A recompute of this project is running."""


def repriced(trace: Trace) -> Repriced:
    """The costs of a trace as the present price table and dialects say."""
    calls = {
        s.span_id: (s.llm.cost, s.llm.pricing_version)
        for s in trace.spans
        if s.llm is not None and s.kind in ("llm", "embedding")
    }
    return Repriced(trace.trace_id, trace.totals.cost, trace.totals.pricing_version, calls)


@dataclass
class Recompute:
    """Runs recomputes in the background, one a project. `start` and `resume` need the event loop."""

    columns: Columns
    records: Records
    clock: Clock
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, "asyncio.Task[None]"])

    async def current(self, project: str) -> Run | None:
        """The running or latest recompute of a project."""
        kept = await self.records.read(lambda c: states.get(c, project, KIND, KEY))
        return None if kept is None else msgspec.convert(kept, Run)

    async def start(self, project: str, since_ns: int = 0, until_ns: int = SHOWN_NS) -> Run:
        """Begin; the run as it stands. Raises `Busy`."""
        if project in self._tasks and not self._tasks[project].done():
            raise Busy(project)
        version, now = pricing.in_force().version, self.clock()
        run = Run(project, version, since_ns, until_ns, now)
        found = await self.columns.named(
            "reprice_count", project, version=version, since=since_ns, until=until_ns
        )
        run.total = int(found.rows[0][0])
        await self._save(run)
        self._go(run)
        return run

    async def resume(self) -> None:
        """Go on with what a stop interrupted; from its beginning where the prices are others now."""
        kept = await self.records.read(lambda c: states.everywhere(c, KIND, KEY))
        for value in kept.values():
            run = msgspec.convert(value, Run)
            if run.status != "running":
                continue
            if run.version != pricing.in_force().version:
                run = Run(
                    run.project,
                    pricing.in_force().version,
                    run.since_ns,
                    run.until_ns,
                    run.started_ns,
                    total=run.total,
                )
            self._go(run)

    def _go(self, run: Run) -> None:
        task = asyncio.get_running_loop().create_task(self._work(run), name=f"reprice-{run.project}")
        self._tasks[run.project] = task

    async def close(self) -> None:
        """Stop; the next start goes on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, run: Run) -> None:
        try:
            more = True
            while more:
                more = await self._turn(run)
            run.status, run.ended_ns = "done", self.clock()
        except Exception:  # a fault of one page must be seen in its state, not only in the log
            log.exception("recomputing the costs of %s failed", run.project)
            run.status, run.ended_ns = "failed", self.clock()
        await self._save(run)

    async def _turn(self, run: Run) -> bool:
        """One page, tried again while the store is away; whether there was one."""
        while True:
            try:
                # Whatever else waits for the event loop goes first: this is never urgent.
                await asyncio.sleep(0.01)
                return await self.page(run)
            except StoreUnavailable as error:
                log.warning("recomputing the costs of %s waits: %s", run.project, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def page(self, run: Run) -> bool:
        """The next traces; False at the end. Safe to repeat."""
        found = await self.columns.named(
            "reprice_page", run.project, version=run.version, since=run.since_ns, until=run.until_ns,
            after=run.after_ns, after_id=run.after_id, limit=PAGE,
        )  # fmt: skip
        if not found.rows:
            return False
        ids = [str(row[0]) for row in found.rows]
        stored = await self.columns.read_traces(run.project, ids)
        made = await asyncio.to_thread(_derive, stored)
        # What cannot be priced now either has no version, so it is met again by every run: not a change.
        changed = [m for m in made if m.pricing_version is not None]
        await self.columns.reprice(run.project, changed, self.clock())
        run.looked += len(ids)
        run.changed += len(changed)
        run.same += len(made) - len(changed)
        run.without_content += len(ids) - len(made)
        run.after_id, run.after_ns = ids[-1], int(found.rows[-1][1])
        await self._save(run)
        return True

    async def _save(self, run: Run) -> None:
        made, now = msgspec.to_builtins(run), self.clock()
        await self.records.write(lambda c: states.put(c, run.project, KIND, KEY, made, now))


def _derive(stored: dict[str, Any]) -> list[Repriced]:
    """The costs of traces from their raw spans; those without a span left are not there."""
    return [repriced(derive(spans, logs)) for spans, logs in stored.values() if spans]
