"""The column store: every method hands a function to a lane of clients and awaits it."""

import asyncio
import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from watchkeeper.model.alert import Deploy
from watchkeeper.model.score import Score
from watchkeeper.model.series import Point
from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.store import sandbox, sandbox_tables
from watchkeeper.store.clickhouse import damage, exporting, feed, listing, queries, reading, removal, writing
from watchkeeper.store.clickhouse.engine import READER, WRITER, Lane, Source, give_back, in_time, narrowness
from watchkeeper.store.clickhouse.migrations import migrate
from watchkeeper.store.clickhouse.refusal import MAX_ANSWER_BYTES, SANDBOX, TOO_LARGE, refusal_of, size_of
from watchkeeper.store.columns import (
    Columns,
    Erased,
    Fed,
    KeepingRow,
    LogRow,
    MetricRow,
    Position,
    QueryRefused,
    Repriced,
    Retention,
    SpanRow,
    StoreUnavailable,
    Table,
    TraceFilter,
    TraceRow,
)
from watchkeeper.store.damage import FOLDER, forget

log = logging.getLogger(__name__)
READERS, SANDBOXES, SANDBOX_QUEUE, EXPORTS = 3, 2, 6, 2
TAKEN_SECONDS = 120.0
# What this process writes it learns at once; what another one did, now and then: every trace row is read for it.
SCORERS_SECONDS = 300.0
GIVE_BACK_SPANS = 3_000
STILL_SECONDS = 600.0
# Looking for damage rests three times as long as it reads.
SCRUB_REST = 3.0
KEEP = Retention()


@contextlib.contextmanager
def _filtering(wanted: TraceFilter, scorers: Iterable[str]) -> Generator[None]:
    """Around what a filter finds: with a condition of the user's, what the engine turns down is theirs to mend."""
    with in_time():
        try:
            yield
        except Error as error:
            if wanted.where is None:
                raise
            limit = READER["max_execution_time"]
            raise refusal_of(error, sandbox_tables.COLUMNS["traces"], scorers, limit) from None


class ClickHouseColumns:
    """`Columns` on ClickHouse. Made by `open_columns`.

    `erased(project, trace_id)` says what must not be written any more. Spans and content are written by a lane each; trace rows and scores share one lane of a single thread, because a
    trace row is made from the scores and a score changes the trace row.
    """

    def __init__(
        self, source: Source, clock: Callable[[], int], known_scorers: Callable[[str], Iterable[str]] | None
    ) -> None:
        self.source = source
        self._clock = clock
        self._known = known_scorers
        self._database = source.database
        self._spans = Lane("spans", 1, lambda: source.client(WRITER))
        self._content = Lane("content", 1, lambda: source.client(WRITER))
        self._rows = Lane("rows", 1, lambda: source.client({**WRITER, "max_memory_usage": 0}), self._notice)
        # What passes its age is changed in whole parts, which takes minutes where there is much: nobody waits for that.
        self._removal = Lane(
            "removal", 1, lambda: source.client({**WRITER, "max_memory_usage": 0}), self._notice
        )
        self._readers = Lane("read", READERS, lambda: source.client(READER), self._notice)
        self._sandbox = Lane("sandbox", SANDBOXES, lambda: source.client(SANDBOX), self._notice)
        self._exports = Lane("export", EXPORTS, lambda: source.client(exporting.EXPORT))
        self._exporting = 0
        self._stopping = threading.Event()
        self._asked = 0
        self._version = 0
        self._scorers: dict[str, tuple[float, set[str]]] = {}
        # By named query.
        self._columns_of: dict[str, list[str]] = {}
        self._written = 0
        self._relief: asyncio.Future[None] | None = None
        self._rounds = damage.Rounds()
        self._cleared = removal.Cleared()
        self.unchecked: int | None = None
        self._closed = False
        self.erased: Callable[[str, str], bool] = lambda _project, _trace_id: False

    def start(self) -> list[str]:
        """Mend, connect and migrate; returns the migrations applied (blocking)."""
        path = self.source.path
        if path is None:
            applied = self._rows.run_now(migrate, self._clock())
            narrow = self._rows.run_now(narrowness)
            if narrow is not None:
                log.warning(narrow)
            return applied
        folder = path.parent / FOLDER
        damage.mend(path, folder)

        def migrated() -> list[str]:
            return self._rows.run_now(
                migrate, self._clock(), embedded=True, changing=lambda: damage.forget_tables(path)
            )

        try:
            applied = migrated()
        except Error as error:
            if getattr(error, "code", None) in damage.DAMAGE_CODES:
                # What migrations ran is lost then; each may run twice.
                mended = self._rows.run_now(damage.quarantine_table, "schema_migrations", folder)
            else:
                mended = damage.drop_mutations(path, folder)
            if not mended:
                raise
            applied = migrated()
        damage.remember(path)
        return applied

    def _notice(self, error: Error) -> None:
        if getattr(error, "code", None) in damage.DAMAGE_CODES:
            self._rounds.suspect()

    async def scrub(self) -> int:
        """Set aside what is damaged, of the parts that are due to be looked at; how many things. Their other rows stay."""
        if self.source.path is None or self._closed:
            return 0
        folder = self.source.path.parent / FOLDER
        wrong = len(await self._rows.run(damage.collect, folder))
        parts = await self._readers.run(self._rounds.due)
        self.unchecked = len(parts)
        for part in parts:
            began = time.monotonic()
            reason = await self._readers.run(damage.check, part)
            if reason is not None and await self._rows.run(damage.quarantine, part, reason, folder):
                wrong += 1
            self._rounds.done(part)
            self.unchecked -= 1
            await asyncio.sleep((time.monotonic() - began) * SCRUB_REST)
        return wrong

    def _next_version(self) -> int:
        self._version = max(self._version + 1, self._clock())
        return self._version

    def _open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is shutting down")

    async def write_spans(self, spans: list[SpanRow], logs: list[LogRow]) -> None:
        self._open()
        spans = [r for r in spans if not self.erased(r.project, r.span.trace_id)]
        logs = [r for r in logs if not self.erased(r.project, r.log.trace_id)]
        # Both must be through before the answer; a crash between them leaves a span nobody was promised.
        done = await asyncio.gather(
            self._content.run(writing.content, spans, logs),
            self._spans.run(writing.spans, spans),
            return_exceptions=True,
        )
        for failed in done:
            if failed is not None:
                raise failed
        self._written += len(spans)
        if self._written >= GIVE_BACK_SPANS and self.source.embedded:
            # Not awaited: it is nobody's answer, and `close` waits for the lane.
            self._relief = asyncio.ensure_future(self.give_back())

    async def give_back(self) -> None:
        """Return memory that a burst of work left behind."""
        if self.source.embedded and not self._closed:
            self._written = 0
            await self._readers.run(give_back)

    async def write_metrics(self, rows: list[MetricRow]) -> None:
        self._open()
        await self._spans.run(writing.metrics, rows)

    async def rewrite_spans(self, rows: list[SpanRow]) -> None:
        self._open()
        rows = [r for r in rows if not self.erased(r.project, r.span.trace_id)]
        await self._spans.run(writing.spans, rows)

    async def write_traces(self, rows: list[TraceRow]) -> None:
        self._open()
        rows = [r for r in rows if not self.erased(r.project, r.trace.trace_id)]
        await self._rows.run(writing.traces, rows)
        for row in rows:
            self._learn(row.project, (c.scorer for c in row.checks))

    async def reprice(self, project: str, traces: list[Repriced], now_ns: int) -> None:
        self._open()
        # Spans first: a trace row of the new version says that all of it is done.
        await self._spans.run(writing.reprice_spans, project, traces)
        await self._rows.run(writing.reprice_traces, project, traces, now_ns)

    async def write_scores(self, scores: list[Score]) -> None:
        self._open()
        scores = [s for s in scores if not self.erased(s.project, s.trace_id)]
        await self._rows.run(writing.scores, scores, self._clock)
        for score in scores:
            self._learn(score.project, (score.scorer,))

    async def settle_scores(
        self, project: str, source: str, trace_ids: list[str], wanted: list[Score]
    ) -> int:
        self._open()
        wanted = [s for s in wanted if not self.erased(s.project, s.trace_id)]
        made = await self._rows.run(writing.settle_scores, project, source, trace_ids, wanted, self._clock)
        self._learn(project, {s.scorer for s in wanted})
        return made

    async def redecide(self, project: str, chosen: dict[str, tuple[float, str]]) -> None:
        self._open()
        if chosen:
            await self._rows.run(writing.redecide, project, chosen)

    async def decide_keeping(self, rows: list[KeepingRow]) -> None:
        self._open()
        if rows:
            await self._rows.run(writing.keeping, rows)

    async def drop_unkept(self, since_ns: int, until_ns: int) -> dict[str, int]:
        self._open()
        return await self._removal.run(removal.drop_unkept, since_ns, until_ns)

    async def write_deploys(self, deploys: list[Deploy]) -> None:
        self._open()
        await self._rows.run(writing.deploys, deploys)

    async def write_points(self, points: list[Point]) -> None:
        self._open()
        await self._rows.run(writing.points, points, self._next_version())

    async def write_sketches(self, rows: list[dict[str, Any]]) -> None:
        self._open()
        await self._rows.run(writing.sketches, rows, self._next_version())

    async def write_alerts(self, rows: list[dict[str, Any]]) -> None:
        self._open()
        await self._rows.run(writing.dict_rows, "alerts", rows, self._next_version())

    async def write_coverage(self, rows: list[dict[str, Any]]) -> None:
        self._open()
        await self._rows.run(writing.dict_rows, "coverage", rows, self._next_version())

    async def read_trace(self, project: str, trace_id: str) -> tuple[list[RawSpan], list[LogRecord]]:
        found = await self.read_traces(project, [trace_id])
        return found.get(trace_id, ([], []))

    async def read_traces(
        self, project: str, trace_ids: list[str]
    ) -> dict[str, tuple[list[RawSpan], list[LogRecord]]]:
        return await self._readers.run(reading.traces, project, trace_ids) if trace_ids else {}

    async def arrived(self, project: str, trace_ids: list[str]) -> dict[str, int]:
        return await self._readers.run(reading.arrived, project, trace_ids) if trace_ids else {}

    async def read_scores(self, project: str, trace_ids: list[str]) -> list[Score]:
        if not trace_ids:
            return []

        def work(client: Client) -> list[Score]:
            made = reading.checks(client, project, trace_ids)
            return [s for found in made.values() for s in found] + reading.stored_scores(
                client, project, trace_ids
            )

        return await self._readers.run(work)

    async def read_points(
        self,
        project: str,
        since_ns: int,
        until_ns: int,
        metric: str | None = None,
        cohort: str | None = None,
        seconds: int | None = None,
    ) -> list[Point]:
        return await self._readers.run(
            reading.points, project, since_ns, until_ns, metric, cohort, seconds or 0
        )

    async def read_deploys(self, project: str, since_ns: int, until_ns: int) -> list[Deploy]:
        return await self._readers.run(reading.deploys, project, since_ns, until_ns)

    async def read_coverage(self, project: str, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
        return await self._readers.run(reading.coverage, project, since_ns, until_ns)

    async def feed(
        self, signal: str, after: Position, until_ns: int, limit: int, projects: Sequence[str] = ()
    ) -> list[Fed]:
        return await self._readers.run(feed.read, signal, after, until_ns, limit, projects)

    async def backlog(
        self, signal: str, after_ns: int, projects: Sequence[str] = ()
    ) -> tuple[int, int | None]:
        return await self._readers.run(feed.backlog, signal, after_ns, projects)

    async def expired(self, after_ns: int, until_ns: int, projects: Sequence[str] = ()) -> int:
        return await self._readers.run(feed.expired, after_ns, until_ns, projects)

    async def rowless(self, limit: int) -> list[tuple[str, str]]:
        return await self._readers.run(reading.rowless, limit)

    async def unassembled(self, since_ns: int, limit: int) -> list[tuple[str, str]]:
        return await self._readers.run(reading.unassembled, since_ns, limit)

    async def scorers(self, project: str) -> list[str]:
        """Every scorer with a value in this project, and those the configuration names."""
        at, known = self._scorers.get(project, (-SCORERS_SECONDS, set[str]()))
        if time.monotonic() - at > SCORERS_SECONDS:
            known = known | await self._readers.run(reading.scorers, project)
            self._scorers[project] = (time.monotonic(), known)
        configured = set(self._known(project)) if self._known is not None else set[str]()
        return sorted(known | configured)

    def _learn(self, project: str, names: Iterable[str]) -> None:
        if project in self._scorers:
            self._scorers[project][1].update(names)

    async def list_traces(self, project: str, wanted: TraceFilter) -> list[dict[str, Any]]:
        names = await self.scorers(project)
        with _filtering(wanted, names):
            return await self._readers.run(
                listing.list_traces, project, wanted, names, self._database, self._clock()
            )

    async def tally(
        self, project: str, wanted: TraceFilter, bucket_seconds: int
    ) -> list[tuple[int, int, int]]:
        names = await self.scorers(project)
        with _filtering(wanted, names):
            return await self._readers.run(
                listing.tally, project, wanted, bucket_seconds, names, self._database
            )

    async def sql(self, project: str, query: str, max_rows: int = 10_000) -> Table:
        """A user's statement over the logical tables of one project. Raises QueryRefused."""
        names = await self.scorers(project)
        prepared = sandbox.prepare(query, names, self._database, min(max(max_rows, 1), 10_000))
        if self._asked >= SANDBOXES + SANDBOX_QUEUE:
            raise QueryRefused("too many statements are running", "wait for them to finish and try again")
        self._asked += 1
        try:
            return await self._sandbox.run(_answer, prepared, project)
        except Error as error:
            known = [c for t in prepared.tables for c in sandbox_tables.COLUMNS[t]]
            raise refusal_of(error, known, names if "traces" in prepared.tables else []) from None
        finally:
            self._asked -= 1

    async def export(self, project: str, query: str, form: str) -> AsyncGenerator[bytes]:
        """A user's statement of any size as a file of this format, piece by piece, at the pace it is taken.

        Raises QueryRefused before the first piece for what is not accepted, and later where the engine gives up.
        """
        names = await self.scorers(project)
        prepared = sandbox.prepare(query, names, self._database, exporting.UNLIMITED_ROWS)
        if self._exporting >= EXPORTS:
            raise QueryRefused("other exports are running", "wait for them to finish and try again")
        self._exporting += 1
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue(2)
        gone = threading.Event()

        def emit(piece: bytes) -> None:
            if gone.is_set() or self._stopping.is_set():
                raise exporting.Abandoned
            # The reader's pace: a slow one holds up its own export and nothing else.
            asyncio.run_coroutine_threadsafe(pieces.put(piece), loop).result(TAKEN_SECONDS)

        async def work() -> None:
            try:
                await self._exports.run(exporting.export, prepared, project, form, emit)
            finally:
                await pieces.put(None)

        task = asyncio.create_task(work())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await task
        except Error as error:
            known = [c for t in prepared.tables for c in sandbox_tables.COLUMNS[t]]
            limit = exporting.EXPORT["max_execution_time"]
            raise refusal_of(error, known, names if "traces" in prepared.tables else [], limit) from None
        finally:
            # Nothing is awaited: a reader that has gone cancels every await. The piece under way and the end have room.
            self._exporting -= 1
            gone.set()
            while not pieces.empty():
                pieces.get_nowait()

    async def named(self, name: str, project: str, **params: Any) -> Table:
        query = queries.load()[name]
        bound = {"project": project, **params}
        missing = sorted(set(query.parameters) - set(bound))
        if missing:
            raise TypeError(f"query {name} needs {', '.join(missing)}")

        def work(client: Client) -> Table:
            found = client.query(query.said(bound), parameters=bound)
            rows = [list(r) for r in found.result_rows]
            # The format of answers has no columns when it has no rows: they are asked for then, once, as they stay.
            if name not in self._columns_of:
                self._columns_of[name] = list(found.column_names) or _described(client, query.sql, bound)
            return Table(self._columns_of[name], rows)

        with in_time():
            return await self._readers.run(work)

    async def expire(self, now_ns: int, keep: Retention = KEEP) -> dict[str, int]:
        self._open()
        if self.source.path is not None:
            # Files are as old as the world says, whatever clock the data has.
            await asyncio.to_thread(
                forget, self.source.path.parent / FOLDER, time.time() - keep.content_days * 86_400
            )
        return await self._removal.run(removal.expire, now_ns, keep, self._cleared)

    async def erase(
        self, project: str, user_id: str | None = None, trace_ids: list[str] | None = None
    ) -> Erased:
        self._open()
        # What was handed to the other lanes before is stored by now, so that it is found.
        await asyncio.gather(self._content.run(_nothing), self._spans.run(_nothing))
        return await self._rows.run(removal.erase, project, user_id, trace_ids or [])

    async def held_still(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread while nothing is written or removed and no part is merged: what was acknowledged before is in the
        files. Writers wait meanwhile; not for what is being removed, which is waited for first."""
        self._open()
        ready, over, idle = threading.Barrier(3, timeout=60.0), threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def rest(_client: Client) -> None:
            loop.call_soon_threadsafe(idle.set)
            over.wait()

        def wait(_client: Client) -> None:
            ready.wait()
            over.wait(STILL_SECONDS)

        def hold(client: Client) -> None:
            client.command("SYSTEM STOP MERGES")
            try:
                ready.wait()
                work()
            finally:
                client.command("SYSTEM START MERGES")
                over.set()

        resting = asyncio.ensure_future(self._removal.run(rest))
        began = asyncio.ensure_future(idle.wait())
        try:
            # A store that is closed meanwhile ends the turn before it has begun.
            await asyncio.wait((resting, began), return_when=asyncio.FIRST_COMPLETED)
            if idle.is_set():
                await asyncio.gather(self._content.run(wait), self._spans.run(wait), self._rows.run(hold))
        finally:
            began.cancel()
            over.set()
            await resting

    async def stats(self) -> dict[str, Any]:
        """Rows, parts and bytes of every table, the free bytes of the disk, and how many parts wait to be looked at for
        damage (None for a server elsewhere, and before the first look)."""

        def work(client: Client) -> dict[str, Any]:
            found = client.query(
                "SELECT table, sum(rows), count(), sum(bytes_on_disk), sum(data_uncompressed_bytes) FROM system.parts "
                "WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table"
            ).result_rows
            return {
                t: {"rows": r, "parts": n, "bytes": b, "uncompressed_bytes": u} for t, r, n, b, u in found
            }

        tables = await self._readers.run(work)
        return {"tables": tables, "free_bytes": self.free_bytes(), "unchecked_parts": self.unchecked}

    def free_bytes(self) -> int | None:
        """Bytes the process may still write on the store's disk; None for a server elsewhere."""
        if self.source.path is None:
            return None
        disk = os.statvfs(self.source.path)
        return disk.f_bavail * disk.f_frsize

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """Finish what runs, then close every client (blocking)."""
        self._closed = True
        self._stopping.set()
        writers = (self._content, self._spans, self._rows, self._removal)
        for lane in (self._exports, *writers, self._sandbox, self._readers):
            lane.close()
        self.source.close()


def _nothing(_client: Client) -> None:
    """The turn of a lane."""


def _described(client: Client, sql: str, bound: dict[str, Any] | None) -> list[str]:
    """The columns of a statement, for an answer without rows, which has none."""
    return [str(r[0]) for r in client.query(f"DESCRIBE TABLE ({sql})", parameters=bound).result_rows]


def _answer(client: Client, prepared: sandbox.Prepared, project: str) -> Table:
    """The answer to a user's statement, read in blocks, because the embedded engine does not limit its size."""
    # Without a placeholder the driver would look for %(name)s of its own in the text, and in the user's literals.
    bound = {sandbox_tables.PROJECT: project} if prepared.tables else None
    rows: list[list[Any]] = []
    size = 0
    with client.query_row_block_stream(prepared.sql, parameters=bound) as blocks:
        names: list[str] = list(getattr(blocks.source, "column_names", ()))
        for block in blocks:
            rows += [list(row) for row in block]
            size += sum(map(size_of, block))
            if size > MAX_ANSWER_BYTES:
                raise QueryRefused(*TOO_LARGE)
    names = names or _described(client, prepared.sql, bound)
    most = prepared.limit - 1
    return Table([sandbox.plain_name(c) for c in names], rows[:most], truncated=len(rows) > most)


def open_columns(
    dsn: str,
    clock: Callable[[], int] = time.time_ns,
    known_scorers: Callable[[str], Iterable[str]] | None = None,
    memory_mb: int = 1500,
) -> ClickHouseColumns:
    """Open the store at `chdb:///path` or `clickhouse://user:password@host:port/database` and migrate it (blocking).

    `clock` gives now in ns; `known_scorers(project)` names scorers that are columns of `traces` before they have a
    value. Raises StoreUnavailable when it cannot be opened, SchemaTooNew for data of a newer version.
    """
    source = Source(dsn, memory_mb)
    store = ClickHouseColumns(source, clock, known_scorers)
    try:
        applied = store.start()
    except Error as error:
        store.close_now()
        raise StoreUnavailable(
            f"the column store at {_without_password(dsn)} does not open: {_cause(error)}"
        ) from error
    except BaseException:
        store.close_now()
        raise
    if applied:
        log.info("columns migrated: %s", ", ".join(applied))
    return store


def _cause(error: Error) -> str:
    """What the driver's error says at its heart, where nobody answered: it wraps that in an account of pools and retries."""
    found = re.search(r"(?:establish a new connection: |(?=Failed to resolve ))([^\"]+)\"", str(error))
    return found[1] if found else str(error)


def _without_password(dsn: str) -> str:
    return re.sub(r"//[^@/]*@", "//…@", dsn)


CONFORMS: type[Columns] = ClickHouseColumns


__all__ = ["ClickHouseColumns", "open_columns"]
