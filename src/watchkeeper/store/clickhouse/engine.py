"""Clients of ClickHouse in lanes of threads: one client a thread, because a shared client takes turns."""

import asyncio
import contextlib
import ctypes
import importlib
import mmap
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary
from xml.sax.saxutils import escape

import clickhouse_connect
from clickhouse_connect.driver import options
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DataError, Error, OperationalError

from watchkeeper.store.clickhouse.rows import valid
from watchkeeper.store.columns import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

MB = 1024 * 1024
_libc = ctypes.CDLL(None)
_MAPS = Path("/proc/self/maps")
# The embedded engine sizes its caches for a machine of its own; ours shares a process with the server.
SERVER_SETTINGS: dict[str, int] = {
    "mark_cache_size": 32 * MB,
    "index_mark_cache_size": 8 * MB,
    "primary_index_cache_size": 32 * MB,
    "uncompressed_cache_size": 0,
    "query_condition_cache_size": 8 * MB,
    "text_index_tokens_cache_size": 16 * MB,
    "text_index_header_cache_size": 16 * MB,
    "text_index_postings_cache_size": 32 * MB,
    "compiled_expression_cache_size": 8 * MB,
    "mmap_cache_size": 64,
    "max_thread_pool_size": 64,
    "max_io_thread_pool_size": 16,
    "background_pool_size": 2,
    "background_schedule_pool_size": 2,
    "max_active_parts_loading_thread_pool_size": 4,
}
# A merge of many columns takes one after the other: all at once, each with buffers of a megabyte, took 200 MB for the spans
# of half a minute. Parts that were merged are removed by one thread, however many: more than a hundred would get a thread each, 128
# at most, and those stay.
MERGE_SETTINGS: dict[str, int] = {
    "vertical_merge_algorithm_min_rows_to_activate": 1,
    "min_columns_to_activate_adaptive_write_buffer": 1,
    "concurrent_part_removal_threshold": 1_000_000,
}
# What a merge makes of a projection waits in memory for a block of so many bytes: the engine's own 256 MB are all of it.
# Nothing but merges follows that, see `WRITER`. The engine gives a query no second thread unless it has 1 GB to spare for each, more
# than all it may take here.
PROFILE: dict[str, int] = {
    "min_insert_block_size_bytes": 8 * MB,
    "max_threads_min_free_memory_per_thread": 0,
}
USERS = (
    f"<clickhouse><profiles><default>{''.join(f'<{k}>{v}</{k}>' for k, v in PROFILE.items())}</default></profiles>"
    "<users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
    "</default></users><quotas><default></default></quotas></clickhouse>\n"
)
# What has just come is written with LZ4, the engine's default, which is cheap; it is merged soon, and a part that a merge makes
# is small on the disk.
COMPRESSION = (
    "<compression><case><min_part_size>1</min_part_size><min_part_size_ratio>0</min_part_size_ratio>"
    "<method>zstd</method><level>3</level></case></compression>"
)
COMMON: dict[str, Any] = {"max_threads": 2, "log_queries": 0}
# All versions of a row lie in one partition (`writing.traces` sees to it where a trace can move), so that FINAL has nothing to
# merge across partitions and may leave out those a condition rules out. Conditions on the key hold for all versions alike: what
# they rule out is not read (the engine moves no other condition before FINAL).
PARTITIONED: dict[str, Any] = {
    "do_not_merge_across_partitions_select_final": 1,
    "defer_partition_pruning_after_final": 0,
    "optimize_move_to_prewhere_if_final": 1,
}
WRITER: dict[str, Any] = {
    # Rows are also written from what is stored.
    **PARTITIONED,
    "max_insert_threads": 1,
    "max_threads": 1,
    "input_format_parallel_parsing": 0,
    "max_partitions_per_insert_block": 0,
    "optimize_on_insert": 1,
    # What is inserted stays one part, whatever its size. Its words are indexed when it is merged: until then it is small, and
    # the index would be a third of what the insert costs.
    "min_insert_block_size_bytes": 256 * MB,
    "exclude_materialize_skip_indexes_on_insert": "tokens",
    "log_queries": 0,
}
FIELD_BYTES = 10 * MB
"""How large a parameter of ours may become: the identifiers of what is looked at, tens of thousands at most."""
SECURE = {"clickhouse": False, "clickhouses": True}
"""The schemes of a server's address, and whether they mean TLS."""
FINISHED: dict[str, Any] = {"mutations_sync": 2, "max_execution_time": 0}
"""For a change of what is stored that is over when the call returns."""
READER: dict[str, Any] = {**COMMON, **PARTITIONED, "max_execution_time": 30, "max_memory_usage": 600 * MB}


# glibc's mallopt: fewer arenas for threads to leave holes in, and large buffers mapped on their own, so that freeing one
# gives it back. Left alone the threshold grows to 32 MB with the buffers that are freed, and their places stay resident.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# The embedded engine's own allocator reads this when the engine is loaded. Left alone it keeps what merges and queries freed for
# five seconds, and longer where nothing is allocated, beside what the next ones take. A tenth of a second is enough for a query to
# use its buffers again: given back at once, they cost queries more than twice the time. The largest ones are given back at once.
_ENGINE_MEMORY = f"dirty_decay_ms:100,background_thread:true,oversize_threshold:{4 * MB},prof:false"


def spare_memory() -> None:
    """Set this process's allocators so that what a burst needed is returned after it. Call before threads start and before the engine
    is loaded. What `JE_MALLOC_CONF` says already stays."""
    os.environ.setdefault("JE_MALLOC_CONF", _ENGINE_MEMORY)
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_ARENA_MAX, 2), (_M_MMAP_THRESHOLD, 256 * 1024), (_M_TRIM_THRESHOLD, MB)):
            mallopt(option, value)


_connecting = threading.Lock()


@contextlib.contextmanager
def _without_dataframes() -> Generator[None]:
    """Keep the driver and the embedded engine from loading pandas and pyarrow, 60 MB for interfaces nobody here uses: they
    do without what cannot be imported, and a module that is None cannot."""
    with _connecting:
        hidden = [name for name in ("pandas", "pyarrow") if name not in sys.modules]
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
        try:
            yield
            # The driver looks for them at its first insert and remembers: let it look now.
            for name in ("pd", "arrow"):
                getattr(options, name)
        finally:
            for name in hidden:
                if sys.modules.get(name) is None:
                    sys.modules.pop(name, None)


def dataframes() -> Any:
    """The module pyarrow, which an answer in record batches needs after all; from now on the driver knows it too."""
    with _connecting:
        found = importlib.import_module("pyarrow")
        options.__dict__["arrow"] = found  # where the driver keeps what it found when it looked
    return found


def passing(error: Error) -> StoreUnavailable | None:
    """What is nobody's fault and will pass: a disk without room, and a failure of which no server said anything (the driver then
    has no code), because nobody could be reached."""
    if any(words in str(error) for words in ("NOT_ENOUGH_SPACE", "No space left on device")):
        return StoreUnavailable("the store's disk has no room for it")
    if not isinstance(error, OperationalError) or getattr(error, "code", None) is not None:
        return None
    line = str(error).split("\n")[0]
    return StoreUnavailable(f"the column store cannot be reached: {line[:300]}")


TOO_LATE = (159, 160)
"""The engine's codes for what took longer than it may."""


@contextlib.contextmanager
def in_time() -> Generator[None]:
    """Around an answer of ours: that it took longer than `READER` lets it is StoreUnavailable, because the same answer comes in time
    when the machine is less busy."""
    try:
        yield
    except Error as error:
        if getattr(error, "code", None) not in TOO_LATE:
            raise
        raise StoreUnavailable(
            f"an answer took longer than {READER['max_execution_time']} seconds"
        ) from error


class Lane:
    """`size` threads, each with a client of its own made on first use. `run` is safe from any task; `failed` hears of
    every error of the engine."""

    def __init__(
        self,
        name: str,
        size: int,
        make: Callable[[], Client],
        failed: Callable[[Error], None] = lambda _: None,
    ) -> None:
        self._make = make
        self._failed = failed
        self._local = threading.local()
        self._clients: list[Client] = []
        self._guard = threading.Lock()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=f"columns-{name}")

    def _client(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._make()
            self._local.client = client
            with self._guard:
                self._clients.append(client)
        return client

    def run_now(self, work: Callable[Concatenate[Client, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(client, …)` in a thread of the lane and wait (blocking)."""
        return self._threads.submit(lambda: work(self._client(), *args, **kwargs)).result()

    async def run(self, work: Callable[Concatenate[Client, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(client, …)` in a thread of the lane. Raises StoreUnavailable when no server answers, and on a full
        disk."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: work(self._client(), *args, **kwargs))
        except Error as error:
            self._failed(error)
            if (unavailable := passing(error)) is not None:
                raise unavailable from error
            raise

    def close(self) -> None:
        """Wait for running work, refuse more, close the clients."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for client in self._clients:
            client.close()
        self._clients.clear()


class Source:
    """Makes clients for one DSN: `chdb:///path`, `clickhouse://user:password@host:port/database` (HTTP, port 8123) or
    `clickhouses://…` (TLS, port 8443). Raises StoreUnavailable for any other.

    For the embedded engine the directory is made with mode 0700, and temporary files of this process go into it:
    the driver hands inserts over as files, and content must not outlive a crash outside the data directory.
    """

    def __init__(self, dsn: str, memory_mb: int = 1500) -> None:
        self.dsn = dsn
        self.embedded = dsn.startswith("chdb:")
        self._tempdir_before: str | None = None
        self.path: Path | None = None
        self.database = "default"
        if self.embedded:
            self.path = Path(urlsplit(dsn).path)
            self._prepare(self.path, memory_mb)
            return
        kind, _, rest = dsn.partition("://")
        if kind not in SECURE or not rest:
            raise StoreUnavailable(
                f"the columns cannot be at {kind}://…: use clickhouse://user:password@host:8123/database, clickhouses://… "
                "with TLS, or chdb:///path"
            )
        self._secure = SECURE[kind]
        self.database = urlsplit(dsn).path.strip("/") or "default"

    def _prepare(self, path: Path, memory_mb: int) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
        handover = path / "handover"
        shutil.rmtree(handover, ignore_errors=True)
        handover.mkdir(mode=0o700)
        settings = {**SERVER_SETTINGS, "max_server_memory_usage": memory_mb * MB}
        lines = "".join(f"  <{k}>{v}</{k}>\n" for k, v in settings.items())
        merges = "".join(f"<{k}>{v}</{k}>" for k, v in MERGE_SETTINGS.items())
        users = path / "users.xml"
        users.write_text(USERS)
        self._config = path / "server.xml"
        self._config.write_text(
            f"<clickhouse>\n{lines}  <merge_tree>{merges}</merge_tree>\n  {COMPRESSION}\n"
            f"  <users_config>{escape(str(users))}</users_config>\n</clickhouse>\n"
        )
        self._tempdir_before = tempfile.tempdir
        tempfile.tempdir = str(handover)

    def client(self, settings: dict[str, Any]) -> Client:
        """A new client with these settings on its connection, applied in order (`readonly` goes last)."""
        if self.embedded:
            with _without_dataframes():
                return clickhouse_connect.get_client(
                    dsn=self.dsn,
                    chdb_options={"config-file": str(self._config)},
                    settings=settings,
                    tz_mode="aware",
                )
        with _without_dataframes():
            return clickhouse_connect.get_client(
                dsn=self.dsn,
                secure=self._secure,
                settings=settings,
                autogenerate_session_id=False,
                tz_mode="aware",
            )

    def close(self) -> None:
        """Undo what concerns the whole process."""
        if self.embedded:
            tempfile.tempdir = self._tempdir_before


def _release_code() -> None:
    """Unmap the pages of the engine's code and constants, of which its start touches 170 MB and queries a quarter. They are
    clean and stay in the system's cache of files; what runs next is mapped again from there."""
    library = getattr(sys.modules.get("chdb._chdb"), "__file__", None)
    advise = getattr(_libc, "madvise", None)
    if library is None or advise is None or not _MAPS.exists():
        return
    for line in _MAPS.read_text().splitlines():
        at, mode, offset, *_, name = line.split(maxsplit=5)
        # Its other read-only pages were written by the linker when it was loaded: those exist nowhere else.
        if name == library and "w" not in mode and ("x" in mode or int(offset, 16) == 0):
            begin, end = (int(address, 16) for address in at.split("-"))
            advise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED)


def narrowness(client: Client) -> str | None:
    """What of a server's settings is too small for large projects, and what to do; None where nothing is."""
    asked = "SELECT toUInt64(value) FROM system.settings WHERE name = 'http_max_field_value_size'"
    found = client.query(asked).result_rows
    if not found or found[0][0] >= FIELD_BYTES:
        return None
    return (
        f"the column server takes parameters of {found[0][0]:,} bytes, which grouping the failures of a large project exceeds: "
        f"set http_max_field_value_size to {FIELD_BYTES} in its default profile"
    )


def give_back(client: Client) -> None:
    """Return freed memory to the system: an allocator keeps what large batches left. The engine's has given it back by itself a moment
    later unless an operator set it otherwise (`spare_memory`)."""
    with contextlib.suppress(Error):  # an engine built without jemalloc has nothing to return
        client.command("SYSTEM JEMALLOC PURGE")
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
    _release_code()


_LOW_CARDINALITY = re.compile(r"LowCardinality\(((?:[^()]|\([^()]*\))*)\)")
_types: WeakKeyDictionary[Client, dict[str, dict[str, str]]] = WeakKeyDictionary()


def _types_of(client: Client, table: str) -> dict[str, str]:
    """The type of each column as it is sent: the dictionary of a `LowCardinality` is left to the engine, which makes it in
    a fraction of the time that the driver takes. Asked once a client, because the schema changes only before it exists."""
    known = _types.setdefault(client, {})
    if table not in known:
        described = client.query(f"DESCRIBE TABLE {table}").result_rows
        known[table] = {str(row[0]): _LOW_CARDINALITY.sub(r"\1", str(row[1])) for row in described}
    return known[table]


def change(
    client: Client, statement: str, bound: dict[str, Any], settings: dict[str, Any] | None = None
) -> None:
    """Run a statement that changes rows. Not as a command: the driver sends the parameters of one in the address, of which
    servers take 1 MB, and these as a form where they are large."""
    client.raw_query(statement, parameters=bound, settings=settings)


def insert(client: Client, table: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows as columns; durable when it returns, because the tables are made with fsync on insert.

    Text that is not valid Unicode (lone surrogates) would sink the whole batch, so it is repaired then: rare, and
    looked for only after the failure.
    """
    if not rows:
        return
    known = _types_of(client, table)
    types = [known[name] for name in names]

    def send(columns: list[tuple[Any, ...]]) -> None:
        context = client.create_insert_context(table, names, column_type_names=types, column_oriented=True)
        try:
            client.insert(data=columns, context=context)
        finally:
            # It refers to itself, and would keep what was inserted until the collector comes by: 300 MB under load.
            vars(context).clear()

    try:
        send(list(zip(*rows, strict=True)))
    except (UnicodeEncodeError, DataError):
        send(list(zip(*[[valid(v) for v in row] for row in rows], strict=True)))
