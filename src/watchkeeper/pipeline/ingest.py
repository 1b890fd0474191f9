"""Bytes were decoded; this makes them durable: redact, normalise, one commit for all who wait, then answer."""

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import msgspec

from watchkeeper.model.span import Context, LogRecord, RawSpan, Span
from watchkeeper.pipeline.ledger import Ledger, Recent, print_of
from watchkeeper.pipeline.sharing import Busy, Shares, Turns
from watchkeeper.store.columns import Columns, LogRow, MetricRow, SpanRow, StoreUnavailable

log = logging.getLogger(__name__)

MB = 1024 * 1024
COMMIT_SPANS = 2_000
COMMIT_BYTES = 16 * MB
# How long a commit waits at most for requests that are on their way, and never longer than twice what the last one took:
# one of 2,000 spans costs two thirds of what four of 500 do, and where commits are quick nobody should wait.
LINGER_S = 0.3
# The same where somebody else sent something while the last commit was made: more will come, and a commit of many
# small requests costs what one of a few does. Who sends alone and waits for each answer never waits for others.
OTHERS_S = 0.02
# Requests of one project that are prepared at a time: the one thread takes turns, or one sender would fill its line.
PREPARED = 4
# How often is looked whether the sink has caught up.
BEHIND_S = 0.02
DISK_CHECK_S = 1.0
SPAN_BYTES = 1_500

Redact = Callable[[str, "RawSpan | LogRecord"], object]
Normalise = Callable[[RawSpan], Span]


class MetricPoint(Protocol):
    """A data point of a token, duration or cost instrument, as the decoder gives it."""

    name: str
    unit: str
    time_ns: int
    value: float
    count: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Sink(Protocol):
    """Who hears of what was committed: the assembly of traces."""

    def add(self, spans: Sequence[SpanRow], logs: Sequence[LogRow]) -> None: ...

    def behind(self) -> bool:
        """Whether it has as much as it can work on."""
        ...


class _Request(msgspec.Struct):
    """One caller waiting for its commit."""

    project: str
    spans: list[SpanRow]
    prints: list[int]
    logs: list[LogRow]
    metrics: list[MetricRow]
    size: int
    done: "asyncio.Future[None]"


def default_reserve(path: Path) -> int:
    """Free bytes below which nothing is taken, so that deleting and retention still can work: max(256 MB, 2 %), of a small
    disk a quarter at most."""
    disk = os.statvfs(path)
    size = disk.f_blocks * disk.f_frsize
    return min(max(256 * MB, size // 50), size // 4)


def weight(item: RawSpan | LogRecord) -> int:
    """Roughly the bytes a record holds in memory."""
    size = SPAN_BYTES
    for value in item.attributes.values():
        size += len(value) if isinstance(value, str) else _nested(value)
    if isinstance(item, RawSpan):
        for event in item.events:
            size += 300
            for value in event.attributes.values():
                size += len(value) if isinstance(value, str) else _nested(value)
    else:
        size += _nested(item.body)
    return size


def _nested(value: Any) -> int:
    """The same of one value: a client may send whole conversations as maps and lists."""
    size, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            size += len(one)
        elif isinstance(one, dict):
            size += 64 * (len(one) + 1)
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            size += 64
            left.extend(one)
        else:
            size += 64
    return size


def content_print(raw: RawSpan) -> int:
    """What tells two versions of a span apart: what it says itself. Not its resource, which many share, nor `time_suspect`, which depends
    on when it came."""
    nested = [(e.name, e.time_ns, print_of(e.attributes)) for e in raw.events] if raw.events else ()
    said = raw.name, raw.status, raw.status_message, raw.parent_id, raw.start_ns, raw.end_ns, len(raw.links)
    return hash((said, print_of(raw.attributes), tuple(nested)))


class Ingest:
    """Takes decoded records of one project and returns when they are durable.

    `redact(project, record)` changes a record in place; `normalise` derives the span; `trace_of` names the trace a
    log record is of, its own or that of its session ('' = none); `erased` which traces must not come back; `quota` how many bytes a second
    a project may send. Concurrent callers share commits, which follow one another, so
    that arrival times are in commit order. At most `max_bytes` are held; `free_bytes()` below `reserve_bytes` refuses.
    Call `start()` in the event loop and `close()` at the end.
    """

    def __init__(
        self,
        columns: Columns,
        clock: Callable[[], int],
        normalise: Normalise,
        redact: Redact,
        sink: Sink | None = None,
        *,
        trace_of: Callable[[LogRecord], str] | None = None,
        ledger: Ledger | None = None,
        max_bytes: int = 24 * MB,
        free_bytes: Callable[[], int | None] | None = None,
        reserve_bytes: int = 0,
        erased: Callable[[str, str], bool] = lambda _project, _trace_id: False,
        quota: Callable[[str], int | None] = lambda _project: None,
    ) -> None:
        self._columns, self._clock = columns, clock
        self._normalise, self._redact, self._sink, self._trace_of = normalise, redact, sink, trace_of
        self.ledger = ledger or Ledger()
        self._erased = erased
        self.faults: Counter[str] = Counter()
        self._shares = Shares(max_bytes, quota)
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._free_bytes, self._reserve = free_bytes, reserve_bytes
        self._disk_at, self._disk_full = -DISK_CHECK_S, False
        self._ready: Turns[_Request] = Turns()
        self._wake = asyncio.Event()
        self._recent, self._contents = Recent(), Recent()
        # One thread: the interpreter runs one at a time anyway, and the event loop keeps answering meanwhile.
        self._thread = ThreadPoolExecutor(1, "ingest")
        self._task: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._closing = False
        self._arrival = 0
        self._preparing = self._ready_spans = 0
        self._took_s = 0.0
        self._came, self._others = 0, False
        self._settled = clock()

    @property
    def settled_ns(self) -> int:
        """Everything that arrived up to this time is stored whole; what arrives later gets a later time."""
        return self._settled

    def start(self) -> None:
        """Begin committing; needs the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._commits(), name="ingest-commits")

    async def close(self) -> None:
        """Refuse what is new, commit what was accepted, stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=True)

    def admit(self, size: int, project: str = "") -> Busy | None:
        """None when a request of about this many bytes may be read now; decided before anything is read or parsed. When more
        arrives than can be stored, the projects share (`sharing.Shares`). What was admitted is accepted or withdrawn."""
        return self.shut() or self._shares.admit(project, size, asyncio.get_running_loop().time())

    def refuses(self, size: int, project: str = "") -> Busy | None:
        """What `admit` would say, without admitting anything."""
        return self.shut() or self._shares.refuses(project, size, asyncio.get_running_loop().time())

    def larger(self, was: int, size: int, project: str = "") -> Busy | None:
        """None when a request that was admitted with `was` bytes may go on though it has `size`."""
        return self._shares.larger(project, was, size, asyncio.get_running_loop().time())

    def smaller(self, was: int, size: int, project: str = "") -> None:
        """A request that was admitted with `was` bytes is late: while it does not come, so many are enough."""
        self._shares.smaller(project, was, size)

    def withdraw(self, project: str, reserved: int) -> None:
        """A request that was admitted with so many bytes is here, or cannot be read."""
        self._shares.arrived(project, reserved)

    def shut(self) -> Busy | None:
        """Why nothing is taken now, whoever sends and however little; None when something is."""
        if self._closing:
            return Busy("shutting down", 5)
        if self._disk_is_full(asyncio.get_running_loop().time()):
            return Busy("the disk is nearly full; free space or shorten retention", 5)
        return None

    def _disk_is_full(self, now: float) -> bool:
        if self._free_bytes is not None and now - self._disk_at >= DISK_CHECK_S:
            free = self._free_bytes()
            self._disk_at, self._disk_full = now, free is not None and free < self._reserve
        return self._disk_full

    async def accept(
        self,
        project: str,
        spans: list[RawSpan],
        logs: list[LogRecord],
        metrics: Sequence[MetricPoint] = (),
    ) -> None:
        """Store records of one project; durable on return. Raises StoreUnavailable, and then nothing is promised."""
        counts = {"traces": len(spans), "logs": len(logs), "metrics": len(metrics)}
        for signal, n in counts.items():
            if n:
                self.ledger.receive(project, signal, n)
        loop = asyncio.get_running_loop()
        if self._closing or self._disk_is_full(loop.time()):
            reason = "shutting_down" if self._closing else "disk_full"
            for signal, n in counts.items():
                self.ledger.settle(project, signal, "refused", n, reason)
            raise StoreUnavailable(
                "the server is shutting down"
                if self._closing
                else "the disk is nearly full; nothing was stored"
            )
        # A caller that hangs up does not undo what is under way: it is stored, and the count stays exact.
        work = loop.create_task(self._store(project, spans, logs, metrics))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        await asyncio.shield(work)

    async def _store(
        self, project: str, spans: list[RawSpan], logs: list[LogRecord], metrics: Sequence[MetricPoint]
    ) -> None:
        loop = asyncio.get_running_loop()
        size = sum(weight(s) for s in spans) + sum(weight(r) for r in logs) + 300 * len(metrics)
        self._shares.hold(project, size, loop.time())
        try:
            self._preparing += 1
            try:
                async with self._turns.setdefault(project, asyncio.Semaphore(PREPARED)):
                    request = await loop.run_in_executor(
                        self._thread, self._prepare, project, spans, logs, metrics, size, loop.create_future()
                    )
            finally:
                self._preparing -= 1
            self._ready.append(request)
            self._came += 1
            self._ready_spans += len(request.spans)
            self._wake.set()
            await request.done
        finally:
            self._shares.release(project, size)

    def _prepare(
        self,
        project: str,
        spans: list[RawSpan],
        logs: list[LogRecord],
        metrics: Sequence[MetricPoint],
        size: int,
        done: "asyncio.Future[None]",
    ) -> _Request:
        """The CPU's share, in the ingest thread. A record that cannot be redacted is dropped, never stored as it is."""
        kept = [s for s in spans if self._redacted(project, "traces", s)]
        heard = [r for r in logs if self._redacted(project, "logs", r)]
        if self._trace_of is not None:
            for record in heard:
                record.trace_id = self._trace_of(record)
        kept = [s for s in kept if self._wanted(project, "traces", s.trace_id)]
        heard = [r for r in heard if self._wanted(project, "logs", r.trace_id)]
        return _Request(
            project,
            [SpanRow(project, self._normal(s), 0) for s in kept],
            [content_print(s) for s in kept],
            [LogRow(project, r, 0) for r in heard],
            [row for m in metrics if (row := self._measured(project, m)) is not None],
            size,
            done,
        )  # fmt: skip

    def _wanted(self, project: str, signal: str, trace_id: str) -> bool:
        """False for what was erased and is sent again."""
        if not trace_id or not self._erased(project, trace_id):
            return True
        self.ledger.settle(project, signal, "dropped", 1, "erased")
        return False

    def _measured(self, project: str, point: MetricPoint) -> MetricRow | None:
        """A data point redacted as a log record that says the same: some clients name their user in its attributes."""
        told = {**point.resource, **point.attributes}
        record = LogRecord("", "", point.time_ns, point.name, 0, point.unit, told, {})
        if not self._redacted(project, "metrics", record):
            return None
        unit = str(record.body)
        return MetricRow(
            project, record.name, unit, point.time_ns, point.value, point.count, record.attributes, 0
        )

    def _redacted(self, project: str, signal: str, record: RawSpan | LogRecord) -> bool:
        try:
            self._redact(project, record)
        # One record nobody foresaw must not sink the batch, and must not reach the disk unredacted.
        except Exception:
            self.faults["redaction"] += 1
            self.ledger.settle(project, signal, "dropped", 1, "redaction_failed")
            log.exception("a record could not be redacted and was dropped")
            return False
        return True

    def _normal(self, raw: RawSpan) -> Span:
        try:
            span = self._normalise(raw)
        # What we do not understand is stored whole and shown, never dropped; a better dialect can read it later.
        except Exception:
            self.faults["normalise"] += 1
            log.exception("a span could not be normalised; it is stored as it came")
            return Span(
                raw.trace_id, raw.span_id, raw.parent_id, raw.name, "other", raw.start_ns, raw.end_ns, raw.status,
                "unknown", Context(), raw=raw,
            )  # fmt: skip
        if span.raw is None:
            span.raw = raw
        return span

    async def _commits(self) -> None:
        while True:
            if not self._ready:
                if self._closing and self._shares.held == 0:
                    return
                self._wake.clear()
                try:
                    await asyncio.wait_for(self._wake.wait(), 0.05 if self._closing else None)
                except TimeoutError:
                    continue
            if self._ready:
                try:
                    await self._commit_next()
                # Without this loop nothing would ever be answered again.
                except Exception:
                    self.faults["commit"] += 1
                    log.exception("committing failed; it goes on")

    async def _commit_next(self) -> None:
        await self._taken_up()
        await self._gathered()
        loop = asyncio.get_running_loop()
        began, came = loop.time(), self._came
        await self._commit(self._next())
        self._took_s = loop.time() - began
        self._others = self._came > came or self._preparing > 0

    async def _taken_up(self) -> None:
        """Wait while the sink has more than it can work on: what is held then fills up, and more is refused."""
        while self._sink is not None and self._sink.behind() and not self._closing:  # noqa: ASYNC110 - it waits for two things
            await asyncio.sleep(BEHIND_S)

    async def _gathered(self) -> None:
        """Wait until a commit is full, nothing else is on its way or to be expected, or it took long enough."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        until = now + min(LINGER_S, 2 * self._took_s)
        others = now + min(OTHERS_S, 2 * self._took_s) if self._others else now
        while self._ready_spans < COMMIT_SPANS and not self._closing:
            on_its_way = self._preparing or self._shares.coming(loop.time())
            left = (until if on_its_way else others) - loop.time()
            if left <= 0:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left)

    def _next(self) -> list[_Request]:
        """The requests of the next commit. A function, so that the loop holds on to none of them while it waits."""
        batch: list[_Request] = []
        spans = size = 0
        while self._ready and (not batch or (spans < COMMIT_SPANS and size < COMMIT_BYTES)):
            request = self._ready.popleft()
            batch.append(request)
            spans += len(request.spans)
            size += request.size
        self._ready_spans -= spans
        return batch

    async def _commit(self, batch: list[_Request]) -> None:
        # Arrival is an order that readers follow: a clock set back must not hide what comes after.
        now = self._arrival = max(self._clock(), self._arrival + 1)
        for request in batch:
            for row in (*request.spans, *request.logs, *request.metrics):
                row.received_ns = now
        spans = [s for r in batch for s in r.spans]
        logs = [x for r in batch for x in r.logs]
        metrics = [m for r in batch for m in r.metrics]
        try:
            if spans or logs:
                await self._columns.write_spans(spans, logs)
            if metrics:
                await self._columns.write_metrics(metrics)
        except StoreUnavailable as error:
            self._fail(batch, error, "store_unavailable")
            return
        # A record the store cannot encode would sink everyone who shares the commit: each on its own then.
        except Exception as error:
            self.faults["commit"] += 1
            log.exception("a commit of %d requests failed", len(batch))
            if len(batch) > 1:
                for request in batch:
                    await self._commit([request])
            else:
                self._fail(batch, StoreUnavailable(f"these records could not be stored: {error}"), "fault")
            return
        self._settled = max(self._settled, now)
        for request in batch:
            if not request.done.done():
                request.done.set_result(None)
        self._settle(batch)
        if self._sink is not None:
            self._sink.add(spans, logs)

    def _fail(self, batch: list[_Request], error: StoreUnavailable, reason: str) -> None:
        for request in batch:
            for signal, rows in (
                ("traces", request.spans),
                ("logs", request.logs),
                ("metrics", request.metrics),
            ):
                self.ledger.settle(request.project, signal, "refused", len(rows), reason)
            if not request.done.done():
                request.done.set_exception(error)

    def _settle(self, batch: list[_Request]) -> None:
        """Count what was stored. Asked once for what a project sent: each question lets other threads have the interpreter, and
        the loop waits for its turn again."""
        known: dict[tuple[str, str], list[object]] = {}
        prints: dict[str, list[int]] = {}
        for request in batch:
            project = request.project
            prints.setdefault(project, []).extend(request.prints)
            known.setdefault((project, "traces"), []).extend(
                (project, s.span.trace_id, s.span.span_id) for s in request.spans
            )
            known.setdefault((project, "logs"), []).extend(
                (project, x.log.trace_id, x.log.span_id, x.log.log_id) for x in request.logs
            )
            self.ledger.settle(project, "metrics", "stored", len(request.metrics))
        for (project, signal), keys in known.items():
            again = self._recent.add(keys)
            differing = 0
            if signal == "traces":
                # What is known as it is, is known; the others of those that are known came with another content.
                same = self._contents.add(list(zip(keys, prints[project], strict=True)))
                differing = max(0, again - same)
            self.ledger.settle(project, signal, "deduplicated", again - differing)
            self.ledger.settle(project, signal, "deduplicated", differing, "conflict")
            self.ledger.settle(project, signal, "stored", len(keys) - again)
