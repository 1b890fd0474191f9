"""The coverage ledger's counters: durable totals per scorer and window, so that a restart forgets nothing."""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.store.records.tables import states

KIND = "coverage"
COUNTS = ("eligible", "selected", "scored", "failed", "late")


class Cell(msgspec.Struct, frozen=True, order=True):
    """One cell of the ledger: what a scorer version should have seen in a window (`start_s` seconds since 1970)."""

    project: str
    scorer: str
    version: str
    start_s: int
    seconds: int


def _key(cell: Cell) -> str:
    return f"{cell.start_s}:{cell.seconds}:{cell.version}:{cell.scorer}"[:512]


def add(
    connection: Connection, changes: Iterable[tuple[Cell, dict[str, int]]], now_ns: int
) -> list[dict[str, Any]]:
    """Add counts to cells; returns the new totals as rows of the column store's `coverage` table."""
    rows: list[dict[str, Any]] = []
    for cell, counts in sorted(changes):
        where = (states.c.project == cell.project, states.c.kind == KIND, states.c.key == _key(cell))
        old = connection.execute(sa.select(states.c.value).where(*where)).scalar()
        totals = {name: int((old or {}).get(name, 0)) + counts.get(name, 0) for name in COUNTS}
        if old is None:
            row = {
                "project": cell.project,
                "kind": KIND,
                "key": _key(cell),
                "value": totals,
                "updated_ns": now_ns,
            }
            connection.execute(sa.insert(states).values(row))
        else:
            connection.execute(sa.update(states).where(*where).values(value=totals, updated_ns=now_ns))
        rows.append(
            {
                "project": cell.project,
                "scorer": cell.scorer,
                "version": cell.version,
                "time": cell.start_s,
                "seconds": cell.seconds,
                **totals,
                "row_version": now_ns,
            }
        )
    return rows


def prune(connection: Connection, before_ns: int) -> int:
    """Forget counters that have not changed since; their totals are in the column store."""
    old = sa.delete(states).where(states.c.kind == KIND, states.c.updated_ns < before_ns)
    return connection.execute(old).rowcount
