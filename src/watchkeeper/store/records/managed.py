"""Configuration made from signals, until it is retired or committed to a file."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.managed import Managed
from watchkeeper.store.records.tables import managed


def add(conn: Connection, entry: Managed) -> None:
    """Store a new entry."""
    conn.execute(
        sa.insert(managed).values(
            id=entry.id,
            project=entry.project,
            signal_id=entry.signal_id,
            author=entry.author,
            created_ns=entry.created_ns,
            document=msgspec.to_builtins(entry),
        )
    )


def _entry(row: sa.Row[tuple[object, ...]]) -> Managed:
    made = msgspec.convert(row.document, Managed, strict=False)
    return msgspec.structs.replace(made, retired_ns=row.retired_ns, retired_by=row.retired_by)


def find(
    conn: Connection, project: str | None = None, *, signal_id: str | None = None, retired: bool = False
) -> list[Managed]:
    """Entries in the order they were made: of one project or all, of one signal or all, in force or also retired."""
    query = sa.select(managed).order_by(managed.c.created_ns, managed.c.id)
    if project is not None:
        query = query.where(managed.c.project == project)
    if signal_id is not None:
        query = query.where(managed.c.signal_id == signal_id)
    if not retired:
        query = query.where(managed.c.retired_ns.is_(None))
    return [_entry(row) for row in conn.execute(query)]


def retire(conn: Connection, project: str, entry_id: str, who: str, now_ns: int) -> bool:
    """Take an entry out of force; False when there is none in force by this id."""
    done = conn.execute(
        sa.update(managed)
        .where(managed.c.project == project, managed.c.id == entry_id, managed.c.retired_ns.is_(None))
        .values(retired_ns=now_ns, retired_by=who)
    )
    return done.rowcount == 1


def scorers(conn: Connection, project: str) -> dict[str, str]:
    """Which signal the failures of a scorer that was made for one belong to, also after its entry was retired: it may live
    on in a file."""
    return {e.scorer: e.signal_id for e in find(conn, project, retired=True) if e.scorecards}
