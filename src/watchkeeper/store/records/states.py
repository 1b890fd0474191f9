"""JSON documents by (project, kind, key): frozen baselines, detector states, what groups were told, watermarks."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.store.records.tables import states


def _where(project: str, kind: str) -> sa.ColumnElement[bool]:
    return sa.and_(states.c.project == project, states.c.kind == kind)


def get(conn: Connection, project: str, kind: str, key: str) -> Any | None:
    """One document, or None."""
    return conn.scalar(sa.select(states.c.value).where(_where(project, kind), states.c.key == key))


def get_all(conn: Connection, project: str, kind: str) -> dict[str, Any]:
    """Every document of a kind by key."""
    rows = conn.execute(sa.select(states.c.key, states.c.value).where(_where(project, kind)))
    return {row.key: row.value for row in rows}


def fields(conn: Connection, project: str, kind: str, *path: str) -> dict[str, str]:
    """One text of every document of a kind by key, where each has it under `path`; the rest of them is not read."""
    found = states.c.value[path].as_string()
    rows = conn.execute(sa.select(states.c.key, found).where(_where(project, kind)))
    return {str(key): str(value) for key, value in rows}


def everywhere(conn: Connection, kind: str, key: str) -> dict[str, Any]:
    """The document of this kind and key of every project that has one, by project."""
    query = sa.select(states.c.project, states.c.value).where(states.c.kind == kind, states.c.key == key)
    return {row.project: row.value for row in conn.execute(query)}


def put(conn: Connection, project: str, kind: str, key: str, value: Any, now_ns: int) -> None:
    """Write one document, replacing what was there."""
    put_all(conn, project, kind, {key: value}, now_ns)


def put_all(conn: Connection, project: str, kind: str, values: Mapping[str, Any], now_ns: int) -> None:
    """Write several documents of a kind. Keys longer than 512 characters are refused with ValueError."""
    if not values:
        return
    for key in values:
        if len(key) > 512:
            raise ValueError(f"the key of a {kind} document is longer than 512 characters: {key[:60]}…")
    known = {
        row.key
        for row in conn.execute(
            sa.select(states.c.key).where(_where(project, kind), states.c.key.in_(list(values)))
        )
    }
    changed = [{"k": k, "value": v, "updated_ns": now_ns} for k, v in values.items() if k in known]
    if changed:
        statement = sa.update(states).where(_where(project, kind), states.c.key == sa.bindparam("k"))
        conn.execute(
            statement.values(value=sa.bindparam("value"), updated_ns=sa.bindparam("updated_ns")), changed
        )
    added = [
        {"project": project, "kind": kind, "key": k, "value": v, "updated_ns": now_ns}
        for k, v in values.items()
        if k not in known
    ]
    if added:
        conn.execute(sa.insert(states), added)


def delete(conn: Connection, project: str, kind: str, keys: Iterable[str] | None = None) -> int:
    """Remove some documents of a kind, or all of them; how many went."""
    query = sa.delete(states).where(_where(project, kind))
    if keys is not None:
        query = query.where(states.c.key.in_(list(keys)))
    return conn.execute(query).rowcount
