"""Which of several processes on one PostgreSQL does what only one may do."""

import asyncio
import contextlib

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from watchkeeper.store.records.engine import LEADING, Records


class Lead:
    """A lock of PostgreSQL held by one connection: it ends with the process, however that ends, so that another can take
    it at once. A process on SQLite holds its data directory and so leads."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._connection: Connection | None = None

    async def take(self) -> bool:
        """Lead from now on, if nobody does. Raises `StoreUnavailable`."""
        return self._records.is_sqlite or await asyncio.to_thread(self._take)

    def _take(self) -> bool:
        with self._records.reached():
            made = self._records.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            # Not the pool's any more: whoever got it back would lead without knowing.
            made.detach()
            try:
                if made.scalar(sa.select(sa.func.pg_try_advisory_lock(LEADING))):
                    self._connection = made
            finally:
                if self._connection is None:
                    made.close()
        return self._connection is not None

    async def holds(self) -> bool:
        """Whether this process still leads; a connection that was cut has given the lock up."""
        return self._records.is_sqlite or await asyncio.to_thread(self._holds)

    def _holds(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute(sa.select(1))
        except SQLAlchemyError:
            self._let_go()
            return False
        return True

    async def give_up(self) -> None:
        """Let another lead."""
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        held, self._connection = self._connection, None
        if held is not None:
            with contextlib.suppress(SQLAlchemyError):
                held.close()
