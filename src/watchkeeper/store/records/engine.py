"""The one way to the records database: many readers, one writer."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from watchkeeper.store.columns import StoreUnavailable

T = TypeVar("T")

# What SQLite and PostgreSQL say when the disk takes no more: nobody's fault and over when space is freed.
_FULL = ("database or disk is full", "disk I/O error", "No space left on device")


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


class Records:
    """Runs functions of a connection in a thread. Writes take turns on one connection, because SQLite before
    3.51.3 can lose data when several connections reset the write-ahead log, and turns cost less than retries."""

    def __init__(self, url: str) -> None:
        """`url` is a SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`."""
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.engine: Engine = sa.create_engine(url, pool_size=5, max_overflow=5, pool_timeout=30)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _sqlite_pragmas)
        self._turn = threading.Lock()

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read transaction and return its result (blocking)."""
        with self.engine.connect() as connection:
            return work(connection)

    def write_now(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the single write transaction; any exception rolls all of it back (blocking). Raises
        `StoreUnavailable` when the disk takes no more."""
        try:
            with self._turn, self.engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            said = str(error.orig)
            if any(words in said for words in _FULL):
                raise StoreUnavailable(f"the records cannot be written: {said[:200]}") from error
            raise

    async def read(self, work: Callable[[Connection], T]) -> T:
        """`read_now` in a worker thread."""
        return await asyncio.to_thread(self.read_now, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """`write_now` in a worker thread."""
        return await asyncio.to_thread(self.write_now, work)

    async def clear_log(self) -> bool:
        """Bring SQLite's write-ahead log into the database and empty its file, so that what was removed is in neither;
        False where a reader held it for ten seconds. Other databases have their own ways."""
        return not self.is_sqlite or await asyncio.to_thread(self._clear_log_now)

    def _clear_log_now(self) -> bool:
        with self._turn, self.engine.connect() as connection:
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
