"""Backfills, and the state of the judgements each has queued."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.backfill import Backfill, Spent
from watchkeeper.store.records.tables import backfills, jobs, states

SPENDING = "backfill_spending"
# A paused judgement is due at a time nobody lives to see.
NEVER_NS = 2**62


def save(conn: Connection, made: Backfill) -> None:
    """Store a backfill, or replace the one with its id."""
    row = {
        "id": made.id, "project": made.project, "state": made.state, "created_ns": made.created_ns,
        "document": made.document(),
    }  # fmt: skip
    here = sa.and_(backfills.c.project == made.project, backfills.c.id == made.id)
    if conn.execute(sa.update(backfills).where(here).values(**row)).rowcount == 0:
        conn.execute(sa.insert(backfills).values(**row))


def _made(document: Any) -> Backfill:
    return msgspec.convert(document, Backfill)


def get(conn: Connection, project: str, backfill_id: str) -> Backfill | None:
    """One backfill, or None."""
    here = sa.and_(backfills.c.project == project, backfills.c.id == backfill_id)
    found = conn.execute(sa.select(backfills.c.document).where(here)).scalar()
    return None if found is None else _made(found)


def listing(conn: Connection, project: str, limit: int = 50) -> list[Backfill]:
    """A project's backfills, the newest first."""
    found = (
        sa.select(backfills.c.document)
        .where(backfills.c.project == project)
        .order_by(backfills.c.created_ns.desc(), backfills.c.id)
        .limit(limit)
    )
    return [_made(row[0]) for row in conn.execute(found)]


def running(conn: Connection) -> list[Backfill]:
    """Every backfill that is not finished or paused, the oldest first."""
    found = (
        sa.select(backfills.c.document).where(backfills.c.state == "running").order_by(backfills.c.created_ns)
    )
    return [_made(row[0]) for row in conn.execute(found)]


def _of(backfill_id: str) -> sa.ColumnElement[bool]:
    return jobs.c.payload["backfill"].as_string() == backfill_id


def spent(conn: Connection, project: str, backfill_id: str) -> Spent:
    """How its judgements stand and what they have cost."""
    here = sa.and_(jobs.c.project == project, jobs.c.kind == "judge", _of(backfill_id))
    counted = conn.execute(sa.select(jobs.c.status, sa.func.count()).where(here).group_by(jobs.c.status))
    by_state = {str(status): int(n) for status, n in counted}
    calls, usd = charged(conn, project, backfill_id)
    held = sa.select(sa.func.count()).where(here, jobs.c.status == "due", jobs.c.due_ns >= NEVER_NS)
    return Spent(
        held=int(conn.scalar(held) or 0),
        waiting=by_state.get("due", 0) + by_state.get("running", 0),
        done=by_state.get("done", 0),
        dead=by_state.get("dead", 0),
        calls=calls,
        cost=usd,
    )


def hold(conn: Connection, project: str, backfill_id: str) -> int:
    """Let its waiting judgements wait until `release`; how many."""
    here = sa.and_(
        jobs.c.project == project, jobs.c.kind == "judge", jobs.c.status == "due", _of(backfill_id)
    )
    return conn.execute(sa.update(jobs).where(here).values(due_ns=NEVER_NS)).rowcount


def release(conn: Connection, project: str, backfill_id: str, now_ns: int) -> int:
    """Make its waiting judgements due now; how many."""
    here = sa.and_(
        jobs.c.project == project, jobs.c.kind == "judge", jobs.c.status == "due", _of(backfill_id)
    )
    return conn.execute(sa.update(jobs).where(here).values(due_ns=now_ns)).rowcount


def drop(conn: Connection, project: str, backfill_id: str) -> int:
    """Forget its judgements that nobody has begun; how many."""
    here = sa.and_(
        jobs.c.project == project, jobs.c.kind == "judge", jobs.c.status == "due", _of(backfill_id)
    )
    return conn.execute(sa.delete(jobs).where(here)).rowcount


def charge(conn: Connection, project: str, backfill_id: str, calls: int, cost: float, now_ns: int) -> None:
    """Add what calls cost to the run's account."""
    where = (states.c.project == project, states.c.kind == SPENDING, states.c.key == backfill_id)
    old = conn.execute(sa.select(states.c.value).where(*where)).scalar() or {"calls": 0, "usd": 0.0}
    value = {"calls": old["calls"] + calls, "usd": old["usd"] + cost}
    if conn.execute(sa.update(states).where(*where).values(value=value, updated_ns=now_ns)).rowcount == 0:
        row = {"project": project, "kind": SPENDING, "key": backfill_id, "value": value, "updated_ns": now_ns}
        conn.execute(sa.insert(states).values(row))


def charged(conn: Connection, project: str, backfill_id: str) -> tuple[int, float]:
    """Calls and USD of the run so far."""
    where = (states.c.project == project, states.c.kind == SPENDING, states.c.key == backfill_id)
    value = conn.execute(sa.select(states.c.value).where(*where)).scalar()
    return (int(value["calls"]), float(value["usd"])) if value is not None else (0, 0.0)
