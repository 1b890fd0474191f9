"""The coverage ledger's counters: durable totals per scorer and window, so that a restart forgets nothing."""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.times import HOUR, SECOND
from watchkeeper.store.records.tables import states

KIND = "coverage"
COUNTS = ("eligible", "selected", "scored", "failed", "late")

# How long a window of the ledger is, in seconds.
WINDOW_S = HOUR // SECOND


def window_of(at_ns: int) -> int:
    """The window a time falls into: its start in seconds since 1970."""
    return at_ns // SECOND // WINDOW_S * WINDOW_S


class Cell(msgspec.Struct, frozen=True, order=True):
    """One cell of the ledger: what a scorer version should have seen in a window (`start_s` seconds since 1970)."""

    project: str
    scorer: str
    version: str
    start_s: int
    seconds: int = WINDOW_S


def _key(cell: Cell) -> str:
    return f"{cell.start_s}:{cell.seconds}:{cell.version}:{cell.scorer}"[:512]


def add(
    connection: Connection, changes: Iterable[tuple[Cell, dict[str, int]]], now_ns: int
) -> list[dict[str, Any]]:
    """Add counts to cells; returns the new totals as rows of the column store's `coverage` table. Nothing is taken from a cell that was
    forgotten: its totals are there, not here. What is selected was eligible: a judge's new version that late data has look at
    traces from before it was never told how many of them there were."""
    given = sorted(changes)
    known: dict[tuple[str, str], dict[str, int]] = {}
    for project in {cell.project for cell, _ in given}:
        keys = [_key(cell) for cell, _ in given if cell.project == project]
        found = sa.select(states.c.key, states.c.value).where(
            states.c.project == project, states.c.kind == KIND, states.c.key.in_(keys)
        )
        known |= {(project, key): value for key, value in connection.execute(found)}
    old = set(known)
    rows: list[dict[str, Any]] = []
    for cell, counts in given:
        key = (cell.project, _key(cell))
        if key not in known and not any(n > 0 for n in counts.values()):
            continue
        before = known.get(key, {})
        totals = known[key] = {name: int(before.get(name, 0)) + counts.get(name, 0) for name in COUNTS}
        totals["eligible"] = max(totals["eligible"], totals["selected"])
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
    new = [
        {"project": p, "kind": KIND, "key": k, "value": v, "updated_ns": now_ns}
        for (p, k), v in known.items()
        if (p, k) not in old
    ]
    if new:
        connection.execute(sa.insert(states), new)
    if old:
        which = (
            states.c.project == sa.bindparam("p"),
            states.c.kind == KIND,
            states.c.key == sa.bindparam("k"),
        )
        change = sa.update(states).where(*which).values(value=sa.bindparam("v"), updated_ns=now_ns)
        connection.execute(change, [{"p": p, "k": k, "v": known[(p, k)]} for p, k in sorted(old)])
    return rows


def prune(connection: Connection, before_ns: int) -> int:
    """Forget counters that have not changed since; their totals are in the column store."""
    old = sa.delete(states).where(states.c.kind == KIND, states.c.updated_ns < before_ns)
    return connection.execute(old).rowcount
