"""Who did what, when and from where, in the same transaction as the deed, chained by hash.

Each line's hash covers the line and the hash before it, and the head of the chain is kept beside it, so that an
edited, removed or reordered line is found by `verify`.
"""

import hashlib
import hmac
import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.store.records.engine import storable
from watchkeeper.store.records.tables import audit, states

_HEAD = {"project": "*", "kind": "audit", "key": "head"}
_START = "0" * 64


def _hash(previous: str, row: dict[str, Any]) -> str:
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def _head(conn: Connection) -> tuple[str, int, bool]:
    where = sa.and_(*(states.c[k] == v for k, v in _HEAD.items()))
    found = conn.execute(sa.select(states.c.value).where(where).with_for_update()).scalar_one_or_none()
    return (_START, 0, False) if found is None else (found["hash"], found["lines"], True)


def record(
    conn: Connection,
    *,
    project: str,
    now_ns: int,
    actor: str,
    source: str,
    action: str,
    target: str,
    detail: dict[str, Any] | None = None,
) -> None:
    """Append one line. `detail` is plain JSON data, such as `{"before": …, "after": …}`; it must hold no secret."""
    previous, lines, exists = _head(conn)
    row: dict[str, Any] = {
        "project": project,
        "time_ns": now_ns,
        "actor": storable(actor[:255]),
        "source": storable(source[:64]),
        "action": storable(action[:64]),
        "target": storable(target[:2000]),
        "detail": detail or {},
    }
    made = _hash(previous, row)
    conn.execute(sa.insert(audit).values(**row, previous_hash=previous, hash=made))
    value = {"hash": made, "lines": lines + 1}
    if exists:
        where = sa.and_(*(states.c[k] == v for k, v in _HEAD.items()))
        conn.execute(sa.update(states).where(where).values(value=value, updated_ns=now_ns))
    else:
        conn.execute(sa.insert(states).values(**_HEAD, value=value, updated_ns=now_ns))


def verify(conn: Connection) -> str | None:
    """None when the chain is whole, else one sentence that names the first line that does not fit."""
    previous, count = _START, 0
    names = ("project", "time_ns", "actor", "source", "action", "target", "detail")
    for line in conn.execute(sa.select(audit).order_by(audit.c.seq)).mappings():
        row = {name: line[name] for name in names}
        if not hmac.compare_digest(line["previous_hash"], previous):
            return f"line {line['seq']} does not follow the line before it: something was removed or moved"
        if not hmac.compare_digest(line["hash"], _hash(previous, row)):
            return f"line {line['seq']} was changed after it was written"
        previous, count = line["hash"], count + 1
    head, lines, exists = _head(conn)
    if exists and (head != previous or lines != count):
        return f"{lines} lines were written and {count} are here: the end was cut off"
    return None


def latest(
    conn: Connection, project: str | None, limit: int = 100, before: int | None = None
) -> list[dict[str, Any]]:
    """The newest lines of a project (None: of all), newest first; `before` pages by `seq`."""
    query = sa.select(audit).order_by(audit.c.seq.desc()).limit(limit)
    if project is not None:
        query = query.where(audit.c.project == project)
    if before is not None:
        query = query.where(audit.c.seq < before)
    return [dict(row) for row in conn.execute(query).mappings()]


def of_target(conn: Connection, project: str, target: str, limit: int = 100) -> list[dict[str, Any]]:
    """What was done to one thing, newest first."""
    query = (
        sa.select(audit)
        .where(audit.c.project == project, audit.c.target == target)
        .order_by(audit.c.seq.desc())
        .limit(limit)
    )
    return [dict(row) for row in conn.execute(query).mappings()]
