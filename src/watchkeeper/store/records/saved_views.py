"""Named lists of traces: the filters of an address, shared in the project."""

import secrets
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.store.records.tables import saved_views

MOST: Final = 200


class SavedView(msgspec.Struct, frozen=True):
    """One view: `query` is what stands after the question mark in the list's address."""

    id: str
    name: str
    query: str
    author: str
    created_ns: int


def listing(conn: Connection, project: str) -> list[SavedView]:
    """The project's views by name."""
    rows = conn.execute(
        sa.select(saved_views).where(saved_views.c.project == project).order_by(saved_views.c.name)
    )
    return [SavedView(r.id, r.name, r.query, r.author, r.created_ns) for r in rows]


def put(conn: Connection, project: str, name: str, query: str, author: str, now_ns: int) -> str:
    """Save a view under a name, in place of what had it; its id. Raises ValueError when there are too many."""
    here = sa.and_(saved_views.c.project == project, saved_views.c.name == name)
    known = conn.execute(sa.select(saved_views.c.id).where(here)).scalar_one_or_none()
    values = {"query": query, "author": author, "created_ns": now_ns}
    if known is not None:
        conn.execute(sa.update(saved_views).where(here).values(**values))
        return str(known)
    held = sa.select(sa.func.count()).select_from(saved_views).where(saved_views.c.project == project)
    if conn.execute(held).scalar_one() >= MOST:
        raise ValueError(f"this project has {MOST} saved views; delete one first")
    made = f"view_{secrets.token_hex(12)}"
    conn.execute(sa.insert(saved_views).values(id=made, project=project, name=name, **values))
    return made


def delete(conn: Connection, project: str, view_id: str) -> str | None:
    """Delete a view; its name, None when there is none."""
    here = sa.and_(saved_views.c.project == project, saved_views.c.id == view_id)
    name = conn.execute(sa.select(saved_views.c.name).where(here)).scalar_one_or_none()
    conn.execute(sa.delete(saved_views).where(here))
    return None if name is None else str(name)
