"""The one way to the records database: many readers, one writer."""

import asyncio
import contextlib
import json
import math
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from watchkeeper.store.columns import StoreUnavailable

T = TypeVar("T")

# What SQLite says of its file rather than of a statement: the disk is full, fails, cannot be locked or opened, or returns what was never
# written. Nobody's fault, and over when the disk is well; what stays damaged is repaired at the next start.
_DISK = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_BUSY,
}
# The same where nothing but words came, and of PostgreSQL.
_FULL = ("database or disk is full", "disk I/O error", "No space left on device")
_DRIVER = "postgresql+psycopg"
# A server that is gone is noticed within half a minute, also where nothing says goodbye (a cable, a firewall).
_CONNECTING = {
    "connect_timeout": 5,
    "application_name": "watchkeeper",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# Locks of PostgreSQL that stand for a turn at something, under numbers nobody else is likely to use.
_WRITING, _STARTING, LEADING = 0x57_4B_01, 0x57_4B_02, 0x57_4B_03


class BadUrl(ValueError):
    """What was given is not the address of a database we know; the message says what is."""


def _sqlite_pragmas(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        "busy_timeout=10000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def storable(text: str) -> str:
    """The same as every database takes it: PostgreSQL has no NUL, and lone surrogates are no text."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _json(value: Any) -> str:
    """JSON as PostgreSQL takes it: it has no word for what is not a finite number, which is unknown then."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in cast("dict[str, Any]", value).items()}
    return [_finite(v) for v in cast("list[Any]", value)] if isinstance(value, list | tuple) else value


def _storable_parameters(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
) -> tuple[str, Any]:
    def one(given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        pairs = cast("dict[str, Any]", given).items()
        return {k: storable(v) if isinstance(v, str) else v for k, v in pairs}

    return statement, [one(p) for p in parameters] if executemany else one(parameters)


def _parsed(url: str) -> sa.URL:
    try:
        made = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise BadUrl(
            "the records need sqlite:///path or postgresql://user:password@host:port/database"
        ) from None
    if made.drivername in ("postgres", "postgresql", _DRIVER):
        return made.set(drivername=_DRIVER)
    if made.drivername != "sqlite" or not made.database:
        raise BadUrl(
            f"the records cannot be in {made.drivername}://…: use sqlite:///path or "
            "postgresql://user:password@host:port/database"
        )
    return made


class Records:
    """Runs functions of a connection in a thread. Writes take turns on one connection, because SQLite before
    3.51.3 can lose data when several connections reset the write-ahead log, and turns cost less than retries. On PostgreSQL
    the turn is one of all processes, so that what a function reads before it writes is still so when it writes."""

    def __init__(self, url: str) -> None:
        """`url` is `sqlite:///path` or `postgresql://user:password@host:port/database`. Connects on first use. Raises
        `BadUrl`, and ModuleNotFoundError without the driver of PostgreSQL."""
        parsed = _parsed(url)
        self.is_sqlite = parsed.drivername == "sqlite"
        self.where = parsed.render_as_string(hide_password=True)
        if self.is_sqlite:
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        more: dict[str, Any] = {"pool_pre_ping": True, "connect_args": _CONNECTING, "json_serializer": _json}
        more = {} if self.is_sqlite else more
        self.engine: Engine = sa.create_engine(parsed, pool_size=5, max_overflow=5, pool_timeout=30, **more)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _sqlite_pragmas)
        else:
            event.listen(self.engine, "before_cursor_execute", _storable_parameters, retval=True)
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def reached(self) -> Generator[None]:
        """Whatever is nobody's fault and will pass is `StoreUnavailable`: a full or failing disk, a server that cannot be reached."""
        try:
            yield
        except DBAPIError as error:
            said = str(error.orig)
            # The lower byte is the code, the rest says more of it.
            of_disk = (getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF in _DISK
            if of_disk or any(words in said for words in _FULL):
                raise StoreUnavailable(f"the records cannot be read or written: {said[:200]}") from error
            # Without a state of SQL nobody answered; with one of these classes a server said that it cannot now.
            state = getattr(error.orig, "sqlstate", None)
            if not self.is_sqlite and (
                error.connection_invalidated
                or (state is None and isinstance(error, OperationalError))
                or (state or "")[:2] in ("08", "53", "57")
            ):
                line = " ".join(said.split())[:200]
                raise StoreUnavailable(f"the records at {self.where} cannot be reached: {line}") from error
            raise
        except PoolTimeout as error:
            raise StoreUnavailable("the records are busy: no connection became free in 30 s") from error

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read transaction and return its result (blocking). Raises `StoreUnavailable` when the disk fails or a
        server does not answer."""
        with self.reached(), self.engine.connect() as connection:
            return work(connection)

    def write_now(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the single write transaction; any exception rolls all of it back (blocking). Raises
        `StoreUnavailable` when the disk takes no more or a server does not answer."""
        with self.reached(), self._turn, self.engine.begin() as connection:
            self.take_turn(connection)
            return work(connection)

    def take_turn(self, connection: Connection) -> None:
        """Wait until no other process writes; the end of the transaction is the end of the turn."""
        if not self.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITING)))

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Among the processes that start on one PostgreSQL, only one at a time is in here (blocking). A process alone on its
        data directory is so already."""
        if self.is_sqlite:
            yield
            return
        with self.reached(), self.engine.connect() as connection:
            turn = connection.execution_options(isolation_level="AUTOCOMMIT")
            turn.execute(sa.select(sa.func.pg_advisory_lock(_STARTING)))
            try:
                yield
            finally:
                turn.execute(sa.select(sa.func.pg_advisory_unlock(_STARTING)))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """`read_now` in a worker thread."""
        return await asyncio.to_thread(self.read_now, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """`write_now` in a worker thread."""
        return await asyncio.to_thread(self.write_now, work)

    async def clear_log(self) -> bool:
        """Bring SQLite's write-ahead log into the database and empty its file, so that what was removed is in neither;
        False where a reader held it for ten seconds. Other databases have their own ways. Raises `StoreUnavailable`
        on a full disk."""
        return not self.is_sqlite or await asyncio.to_thread(self._clear_log_now)

    def _clear_log_now(self) -> bool:
        with self.reached(), self._turn, self.engine.connect() as connection:
            for _ in range(20):
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
                if not busy:
                    return True
                threading.Event().wait(0.5)
        return False

    def copy_to(self, path: Path) -> None:
        """A whole copy of an SQLite database at one moment, while it is in use (blocking)."""
        source = self.engine.raw_connection()
        target = sqlite3.connect(path)
        try:
            with self._turn:
                driver: Any = source.driver_connection
                driver.backup(target)
        finally:
            target.close()
            source.close()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
