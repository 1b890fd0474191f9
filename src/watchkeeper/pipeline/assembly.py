"""Open traces: spans and logs are gathered until a trace is complete, then it is put together and handed on.

Nothing here is needed for durability: what is lost with the process is found again by `recover`.
"""

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from watchkeeper.model.span import LogRecord, RawSpan, Span, Trace
from watchkeeper.model.times import DAY, SECOND
from watchkeeper.pipeline.ingest import weight
from watchkeeper.pipeline.ledger import Recent
from watchkeeper.store.columns import Columns, LogRow, SpanRow, StoreUnavailable

log = logging.getLogger(__name__)

MB = 1024 * 1024
BATCH_TRACES = 1_000
BATCH_SPANS = 2_500
BATCH_BYTES = 16 * MB
# Batches at a time: one is scored while the one before it is written.
BESIDE = 2
LONGEST_S = 600.0
STARTUP_S = 600.0
SWEEP_S = 300.0
RETRY_S = 5.0
ATTEMPTS = 3
# Versions of one trace row are at least this far apart: a refresh of its scores counts up by one in between.
VERSION_STEP = 1_000_000

Key = tuple[str, str]
OnTraces = Callable[[Sequence[tuple[str, Trace]], int], Awaitable[object]]


class _Open(msgspec.Struct):
    """One trace being gathered. `whole` False: what is here is not all, the store has more."""

    first_ns: int
    last_ns: int
    spans: dict[str, Span]
    logs: list[LogRecord]
    size: int = 0
    root_ended: bool = False
    whole: bool = True
    again: bool = False
    over: bool = False


class Counts(msgspec.Struct):
    """What the stage did since it started."""

    assembled: int = 0
    again: int = 0
    without_root: int = 0
    read_back: int = 0
    spilled: int = 0
    rewritten: int = 0
    recovered: int = 0
    retried: int = 0
    failed: int = 0
    outlived: int = 0


def shown(span: Span) -> tuple[object, ...]:
    """What of a span is a column of `spans` and can change when logs and the rest of its trace are known. The agent and
    the prompt are a step's own: inheriting them is left to reading, it would rewrite most spans for little."""
    c, m = span.context, span.llm
    about = (
        () if m is None else
        (m.output_text, m.usage.input_tokens, m.usage.output_tokens, m.finish_reason, m.request_model,
         m.response_model, m.duplicate_of, m.cost)
    )  # fmt: skip
    return (
        span.kind, span.name, span.output_text, span.error and span.error.class_, c.session_id, c.user_id,
        c.scenario, c.service, c.environment, c.release, c.variant, *about,
    )  # fmt: skip


def _holds_all(trace: _Open) -> bool:
    """Whether the buffer has the whole trace as far as it shows: it began here, and every parent is in it."""
    if not trace.whole or not trace.root_ended:
        return False
    return all(s.parent_id is None or s.parent_id in trace.spans for s in trace.spans.values())


class Assembly:
    """Gathers committed spans by trace. A trace is due when its root has ended and nothing came for `quiet_s`, or when
    nothing came for `timeout_s` without a root that ended, or after ten minutes of anything; what comes later
    opens it again, with what is stored.

    `on_traces(items, read_ns)` gets (project, trace) pairs and when they were read, writes the rows, and may raise
    StoreUnavailable, upon which it is asked again. At most `max_bytes` are held; beyond it the oldest are let go and read back
    from the store when they are due. Deciding follows `clock`; only waiting is real time.
    """

    def __init__(
        self,
        columns: Columns,
        clock: Callable[[], int],
        normalise: Callable[[RawSpan], Span],
        assemble: Callable[[list[Span], list[LogRecord]], Trace],
        on_traces: OnTraces,
        *,
        quiet_s: float = 1.0,
        timeout_s: float = 60.0,
        max_bytes: int = 96 * MB,
        poll_s: float = 0.15,
    ) -> None:
        self._columns, self._clock = columns, clock
        self._normalise, self._assemble, self._on_traces = normalise, assemble, on_traces
        self._quiet, self._timeout, self._longest = (
            int(quiet_s * SECOND),
            int(timeout_s * SECOND),
            int(LONGEST_S * SECOND),
        )
        self._max_bytes, self._poll = max_bytes, poll_s
        self._open: OrderedDict[Key, _Open] = OrderedDict()
        self._size = 0
        self._more_due = False
        self._under_way: set[Key] = set()
        self._done = Recent()
        self._attempts: Counter[Key] = Counter()
        self._started_ns = clock()
        self._before: dict[str, bool] = {}
        self._version = 0
        self._thread = ThreadPoolExecutor(1, "assembly")
        self._turn = asyncio.Lock()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.counts = Counts()

    def start(self) -> None:
        """Begin; needs the running event loop. What an earlier process left undone is found first."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="assembly")

    async def close(self) -> None:
        """Stop; traces that are still open are found again by the next start."""
        self._stop.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=True)

    @property
    def open_traces(self) -> int:
        """How many traces are being gathered."""
        return len(self._open)

    def samples(self) -> "list[tuple[str, dict[str, str], float]]":
        """Metric name, labels and value, for `/metrics`."""
        found = [("watchkeeper_traces_open", dict[str, str](), float(len(self._open)))]
        found.append(("watchkeeper_traces_open_bytes", {}, float(self._size)))
        for name in Counts.__struct_fields__:
            found.append(("watchkeeper_assembly_total", {"what": name}, float(getattr(self.counts, name))))
        return found

    def waiting(self) -> tuple[int, int | None]:
        """How many finished traces wait to be assembled, and when the last span of the one that waits longest came."""
        finished = [t.last_ns for t in self._open.values() if t.root_ended]
        return len(finished), min(finished, default=None)

    def behind(self) -> bool:
        """Whether finished traces wait for their turn and a quarter of what may be held is: what is read back costs more than what
        is taken in later, so that who takes in had better wait."""
        return self._more_due and self._size > self._max_bytes // 4

    # -- gathering -----------------------------------------------------------------------------------------------

    def add(self, spans: Sequence[SpanRow], logs: Sequence[LogRow]) -> None:
        """What was just committed. Must be called in the event loop's thread."""
        self._open_new(spans, logs)
        for row in spans:
            trace = self._open[row.project, row.span.trace_id]
            trace.last_ns = max(trace.last_ns, row.received_ns)
            known = trace.spans.get(row.span.span_id)
            if known is None or known.end_ns <= row.span.end_ns:
                trace.spans[row.span.span_id] = row.span
            if row.span.parent_id is None and row.span.end_ns > 0:
                trace.root_ended = True
            self._grow(trace, weight(row.span.raw) if row.span.raw is not None else 2000)
        for item in logs:
            if item.log.trace_id:
                trace = self._open[item.project, item.log.trace_id]
                trace.last_ns = max(trace.last_ns, item.received_ns)
                trace.logs.append(item.log)
                self._grow(trace, weight(item.log))
        if self._size > self._max_bytes:
            self._spill()

    def _open_new(self, spans: Sequence[SpanRow], logs: Sequence[LogRow]) -> None:
        arrived: dict[Key, int] = {}
        for row in spans:
            arrived.setdefault((row.project, row.span.trace_id), row.received_ns)
        for item in logs:
            if item.log.trace_id:
                arrived.setdefault((item.project, item.log.trace_id), item.received_ns)
        new = [key for key in arrived if key not in self._open]
        # One question for all: each lets other threads have the interpreter, and the loop waits for its turn again.
        for key, again in zip(new, self._done.has(new), strict=True):
            at_ns = arrived[key]
            self._open[key] = _Open(at_ns, at_ns, {}, [], whole=not again, again=again)

    async def forget(self, project: str, trace_ids: Iterable[str]) -> None:
        """Let go of traces that were erased, after what is being put together now."""
        async with self._turn:
            for trace_id in trace_ids:
                trace = self._open.pop((project, trace_id), None)
                self._size -= 0 if trace is None else trace.size

    def reopen(self, project: str, trace_ids: Iterable[str]) -> None:
        """Put these traces together again from what is stored, as if something had come for them."""
        now = self._clock()
        for trace_id in trace_ids:
            self._open.setdefault((project, trace_id), _Open(now, now, {}, [], whole=False, again=True))

    def settle(self, project: str) -> int:
        """End the wait of a project's traces that are history: nothing of them ended within the time a missing root is
        waited for, so whoever sent them (an import) need only say that it is done. How many they are."""
        past = self._clock() - self._timeout
        count = 0
        for (owner, _), trace in self._open.items():
            if owner == project and trace.spans and max(s.end_ns for s in trace.spans.values()) < past:
                trace.over = True
                count += 1
        return count

    def _grow(self, trace: _Open, size: int) -> None:
        trace.size += size
        self._size += size

    def _spill(self) -> None:
        """Let go of the oldest; they are in the store."""
        for trace in self._open.values():
            if self._size <= self._max_bytes * 3 // 4:
                return
            if trace.size:
                self._size -= trace.size
                trace.spans, trace.logs, trace.size, trace.whole = {}, [], 0, False
                self.counts.spilled += 1

    def _is_due(self, trace: _Open, now: int) -> bool:
        # A clock that was set back must not hold a trace until it comes round again.
        quiet = abs(now - trace.last_ns)
        if trace.root_ended or trace.again or trace.over:
            return quiet >= self._quiet or now - trace.first_ns >= self._longest
        return quiet >= self._timeout or now - trace.first_ns >= self._longest

    # -- completing ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        found = await self._guard(self.recover())
        swept = tried = self._clock()
        while not self._stop.is_set():
            await self._guard(self.flush())
            now = self._clock()
            if not found and abs(now - tried) >= RETRY_S * SECOND:
                # A start on a full disk: what an earlier process left is looked for until it could be done.
                found, tried = await self._guard(self.recover()), now
            if abs(now - swept) >= SWEEP_S * SECOND:
                swept = now
                await self._guard(self.recover(since_ns=swept - 2 * int(SWEEP_S * SECOND) - self._longest))
            try:
                await asyncio.wait_for(self._stop.wait(), self._poll)
            except TimeoutError:
                continue

    async def _guard(self, work: Awaitable[object]) -> bool:
        """Whether the work could be done."""
        try:
            await work
        except StoreUnavailable as error:
            self.counts.retried += 1
            log.warning("traces wait for the store: %s", error)
            await asyncio.sleep(min(4 * self._poll, 2.0))
            return False
        # This loop must outlive anything: without it no trace would ever be scored again.
        except Exception:
            self.counts.failed += 1
            log.exception("assembling failed; it goes on")
            await asyncio.sleep(min(4 * self._poll, 2.0))
            return False
        return True

    async def flush(self, everything: bool = False) -> int:
        """Complete every trace that is due at the clock's time (or every open one); how many. Raises StoreUnavailable."""
        total = 0
        loop = asyncio.get_running_loop()
        async with self._turn:
            running: deque[asyncio.Task[None]] = deque()
            # What becomes due while a batch that was not full is put together waits for the next look: one after the other they
            # would be a few traces each, and a batch of ten costs what one of fifty does.
            more = True
            try:
                while True:
                    taken = self._take(everything) if more and len(running) < BESIDE else {}
                    if taken:
                        total += len(taken)
                        more = everything or self._more_due
                        running.append(loop.create_task(self._complete(taken)))
                        # Whatever else waits for the event loop goes first.
                        await asyncio.sleep(0)
                    elif running:
                        await running.popleft()
                    else:
                        return total
            finally:
                await asyncio.gather(*running, return_exceptions=True)

    def _take(self, everything: bool) -> dict[Key, _Open]:
        now = self._clock()
        taken: dict[Key, _Open] = {}
        spans = size = 0
        full = False
        for key, trace in self._open.items():
            # What came for a trace while it is put together waits until that is done, or it would be counted twice.
            if key not in self._under_way and (everything or self._is_due(trace, now)):
                taken[key] = trace
                spans += len(trace.spans)
                size += trace.size
                full = len(taken) >= BATCH_TRACES or spans >= BATCH_SPANS or size >= BATCH_BYTES
                if full:
                    break
        for key, trace in taken.items():
            del self._open[key]
            self._size -= trace.size
        self._under_way.update(taken)
        self._more_due = full
        return taken

    async def _complete(self, taken: dict[Key, _Open]) -> None:
        try:
            await self._put_together(taken)
        except StoreUnavailable:
            self._put_back(taken)
            raise
        # One trace that breaks a scorer or the store's encoding must not hold up the others.
        except Exception:
            self.counts.failed += 1
            log.exception("a batch of %d traces failed; each on its own now", len(taken))
            await self._one_by_one(taken)
        finally:
            self._under_way.difference_update(taken)

    async def _one_by_one(self, taken: dict[Key, _Open]) -> None:
        """Assemble each alone. A trace that fails three times is left as it is; when the first three all fail, the fault
        is not theirs, and everything waits."""
        keys = list(taken)
        failed = 0
        for at, key in enumerate(keys):
            try:
                await self._put_together({key: taken[key]})
            except StoreUnavailable:
                self._put_back({k: taken[k] for k in keys[at:]})
                raise
            except Exception as error:
                failed += 1
                self._attempts[key] += 1
                log.error("trace %s cannot be assembled: %s: %s", key[1], type(error).__name__, error)
                if self._attempts[key] < ATTEMPTS:
                    self._put_back({key: taken[key]})
                if failed == at + 1 == 3:
                    self._put_back({k: taken[k] for k in keys[at + 1 :]})
                    raise StoreUnavailable(f"nothing can be assembled: {error}") from error

    def _put_back(self, taken: dict[Key, _Open]) -> None:
        # They wait for something else than their turn, and nobody should wait with them.
        self._more_due = False
        for key, trace in taken.items():
            later = self._open.get(key)
            if later is None:
                self._open[key] = trace
                self._size += trace.size
            else:
                later.whole = False

    async def _put_together(self, taken: dict[Key, _Open]) -> None:
        read_ns = self._version = max(self._clock(), self._version + VERSION_STEP)
        stored = await self._stored(taken)
        loop = asyncio.get_running_loop()
        items, changed = await loop.run_in_executor(self._thread, self._build, taken, stored, read_ns)
        if outlived := await self._outlived([i for i in items if not _holds_all(taken[i[0], i[1].trace_id])]):
            items = [i for i in items if (i[0], i[1].trace_id) not in outlived]
            changed = [r for r in changed if (r.project, r.span.trace_id) not in outlived]
            self.counts.outlived += len(outlived)
        if changed:
            await self._columns.rewrite_spans(changed)
        if items:
            await self._on_traces(items, read_ns)
        self._done.add(list(taken))
        self.counts.assembled += len(items)
        self.counts.rewritten += len(changed)
        self.counts.again += sum(t.again for t in taken.values())
        self.counts.without_root += sum(not t.root_ended for t in taken.values())

    async def _outlived(self, items: list[tuple[str, Trace]]) -> set[Key]:
        """Which of these are made of less than their rows were, days ago: their content has passed its retention since. The row
        stays as it is; what has come late is among the spans."""
        asked: dict[str, dict[str, int]] = {}
        for project, trace in items:
            asked.setdefault(project, {})[trace.trace_id] = len(trace.spans)
        found: set[Key] = set()
        for project, sizes in asked.items():
            before = self._clock() - DAY
            table = await self._columns.named("assembly_known", project, ids=list(sizes), before=before)
            found |= {(project, str(t)) for t, spans in table.rows if spans > sizes[str(t)]}
        return found

    async def _stored(self, taken: dict[Key, _Open]) -> dict[Key, tuple[list[RawSpan], list[LogRecord]]]:
        """What the store has of the traces of which we do not hold everything."""
        wanted: dict[str, list[str]] = {}
        doubtful: dict[str, list[str]] = {}
        for (project, trace_id), trace in taken.items():
            if not _holds_all(trace):
                wanted.setdefault(project, []).append(trace_id)
            elif trace.first_ns - self._started_ns < STARTUP_S * SECOND:
                doubtful.setdefault(project, []).append(trace_id)
        # Clients send again what the previous process may have stored in part: its traces are read back.
        for project, ids in doubtful.items():
            if not await self._had_before(project):
                continue
            table = await self._columns.named("assembly_earlier", project, ids=ids, before=self._started_ns)
            wanted.setdefault(project, []).extend(str(row[0]) for row in table.rows)
        found: dict[Key, tuple[list[RawSpan], list[LogRecord]]] = {}
        for project, ids in wanted.items():
            for trace_id, arrived in (await self._columns.read_traces(project, ids)).items():
                found[(project, trace_id)] = arrived
        self.counts.read_back += len(found)
        return found

    async def _had_before(self, project: str) -> bool:
        """Whether an earlier process stored anything of the project; asked once, as its answer cannot become yes."""
        if project not in self._before:
            table = await self._columns.named("assembly_before", project, before=self._started_ns)
            self._before[project] = bool(table.rows)
        return self._before[project]

    def _build(
        self, taken: dict[Key, _Open], stored: dict[Key, tuple[list[RawSpan], list[LogRecord]]], read_ns: int
    ) -> tuple[list[tuple[str, Trace]], list[SpanRow]]:
        items: list[tuple[str, Trace]] = []
        changed: list[SpanRow] = []
        for key, open_trace in taken.items():
            raws, logs = stored.get(key, ([], []))
            spans = [*map(self._normalise, raws), *open_trace.spans.values()]
            trace = self._assemble(spans, [*logs, *open_trace.logs])
            if not trace.spans:
                continue
            items.append((key[0], trace))
            before = {s.span_id: s for s in spans}
            for span in trace.spans:
                known = before.get(span.span_id)
                if known is span or (known is not None and shown(known) == shown(span)):
                    continue
                changed.append(SpanRow(key[0], span, read_ns))
        return items, changed

    # -- recovery ------------------------------------------------------------------------------------------------

    async def restore(self, limit: int = 1000) -> int:
        """Write the rows of spans again whose content is stored and whose row is not, because its file was damaged; how many."""
        total, tried = 0, set[Key]()
        while keys := set(await self._columns.rowless(limit)) - tried:
            async with self._turn:
                for project, trace_id in sorted(keys):
                    raws, _ = await self._columns.read_trace(project, trace_id)
                    now = self._version = max(self._clock(), self._version + VERSION_STEP)
                    await self._columns.rewrite_spans(
                        [SpanRow(project, self._normalise(r), now) for r in raws]
                    )
                    total += len(raws)
            tried |= keys
        return total

    async def recover(self, since_ns: int | None = None, limit: int = 1000) -> int:
        """Assemble what was stored and never assembled: after a kill, and every five minutes in case; how many traces.

        `since_ns` bounds how far back arrivals are looked at (two days when None).
        """
        since = self._clock() - 2 * DAY if since_ns is None else since_ns
        total = 0
        tried: set[Key] = set()
        while not self._stop.is_set():
            left = await self._columns.unassembled(max(since, 0), limit + len(tried) + len(self._open))
            keys = [
                k for k in left if k not in tried and k not in self._open and self._attempts[k] < ATTEMPTS
            ]
            if not keys:
                break
            async with self._turn:
                for start in range(0, len(keys), BATCH_TRACES):
                    chosen = keys[start : start + BATCH_TRACES]
                    now = self._clock()
                    await self._complete(
                        {
                            k: _Open(now, now, {}, [], whole=False, again=True)
                            for k in chosen
                            if k not in self._open
                        }
                    )
            tried.update(keys)
            total += len(keys)
        self.counts.recovered += total
        if total:
            log.info("%d traces that were stored but not assembled are done", total)
        return total
