"""Backups of a running server."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from watchkeeper.store.clickhouse.store import ClickHouseColumns
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records.engine import Records
from watchkeeper.store.snapshot import BACKUPS, copy_all, discard, link_all


def backup_of(
    data_dir: Path, columns: ClickHouseColumns, records: Records
) -> Callable[[], Awaitable[tuple[str, int]]] | None:
    """What makes a backup: its folder below the data directory and how many files it has. Writers wait only while files are
    linked and the records are copied; the bytes are copied afterwards. Raises StoreUnavailable. None where the data is on servers."""
    if not records.is_sqlite or columns.source.path is None:
        return None
    turn = asyncio.Lock()

    async def backup() -> tuple[str, int]:
        name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
        still, made = data_dir / BACKUPS / f"{name}.part", data_dir / BACKUPS / name

        def link() -> None:
            still.mkdir(parents=True, mode=0o700)
            link_all(data_dir, still)
            records.copy_to(still / "records.db")

        async with turn:
            try:
                await columns.held_still(link)
                number = await asyncio.to_thread(copy_all, still, made)
            except OSError as error:
                await asyncio.to_thread(discard, made)
                raise StoreUnavailable(f"the backup is not complete: {error.strerror}") from error
            finally:
                await asyncio.to_thread(discard, still)
        return f"{BACKUPS}/{name}", number

    return backup
