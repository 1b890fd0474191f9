"""The durable queue, what judges have cost, and their cached replies. Work is claimed by conditional update, so no lock
is held while it is done, any worker may die at any point, and any step may run twice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, RowMapping

from watchkeeper.store.records.tables import jobs, judge_cache, states

SPENDING = "judge_spending"


class NewJob(msgspec.Struct, frozen=True):
    """Work to add. `key` is its idempotent id; higher `priority` first."""

    key: str
    project: str
    kind: str
    payload: dict[str, Any]
    due_ns: int
    priority: int = 0


class Job(msgspec.Struct):
    """Claimed or listed work. `attempts` counts the running one."""

    key: str
    project: str
    kind: str
    payload: dict[str, Any]
    priority: int
    status: str
    attempts: int
    created_ns: int
    due_ns: int
    lease_until_ns: int | None
    worker: str | None
    error: str | None
    finished_ns: int | None


class Depth(msgspec.Struct, frozen=True):
    """The state of a queue. `oldest_due_ns` is when the longest waiting job became due, None when nothing is."""

    waiting: int
    due: int
    running: int
    done: int
    dead: int
    oldest_due_ns: int | None


def insert_missing(connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose primary key is new; returns how many were."""
    if not rows:
        return 0
    # SQLite allows 32,766 variables in a statement, PostgreSQL 65,535.
    step = 30_000 // len(rows[0])
    made = 0
    for start in range(0, len(rows), step):
        part = list(rows[start : start + step])
        build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        missing = build(table).values(part).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
        made += connection.execute(missing).rowcount
    return made


def add(connection: Connection, new: Sequence[NewJob], now_ns: int) -> int:
    """Queue jobs; a key that exists, in whatever state, is left alone. Returns how many were new."""
    rows = [
        {
            "key": j.key,
            "project": j.project,
            "kind": j.kind,
            "payload": j.payload,
            "priority": j.priority,
            "status": "due",
            "attempts": 0,
            "created_ns": now_ns,
            "due_ns": j.due_ns,
        }
        for j in {j.key: j for j in new}.values()
    ]
    return insert_missing(connection, jobs, rows)


def payloads(connection: Connection, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What these jobs carry, in whatever state they are; a key that does not exist is missing."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        rows = connection.execute(sa.select(jobs.c.key, jobs.c.payload).where(jobs.c.key.in_(part)))
        found |= {str(key): cast("dict[str, Any]", payload) for key, payload in rows}
    return found


def replace_payload(connection: Connection, key: str, payload: dict[str, Any], priority: int) -> None:
    """Give a job another payload and at least this priority, in whatever state it is."""
    higher = sa.case((jobs.c.priority < priority, priority), else_=jobs.c.priority)
    connection.execute(sa.update(jobs).where(jobs.c.key == key).values(payload=payload, priority=higher))


def _next(connection: Connection, kind: str, now_ns: int, limit: int) -> list[str]:
    """The keys that are next: those whose worker let its lease end, then the due ones by priority and age. One priority after
    the other, so that the index gives them in order: sorting all that is due costs 30 ms at 100,000."""
    lost = sa.select(jobs.c.key).where(
        jobs.c.kind == kind, jobs.c.status == "running", jobs.c.lease_until_ns <= now_ns
    )
    found = list(
        connection.scalars(lost.order_by(jobs.c.priority.desc(), jobs.c.due_ns, jobs.c.key).limit(limit))
    )
    here = sa.and_(jobs.c.kind == kind, jobs.c.status == "due")
    priority = connection.scalar(sa.select(sa.func.max(jobs.c.priority)).where(here))
    while priority is not None and len(found) < limit:
        ready = sa.select(jobs.c.key).where(here, jobs.c.priority == priority, jobs.c.due_ns <= now_ns)
        found += connection.scalars(ready.order_by(jobs.c.due_ns, jobs.c.key).limit(limit - len(found)))
        lower = sa.select(sa.func.max(jobs.c.priority)).where(here, jobs.c.priority < priority)
        priority = connection.scalar(lower)
    return found


def claim(
    connection: Connection, kind: str, worker: str, now_ns: int, limit: int, lease_ns: int
) -> list[Job]:
    """Take up to `limit` due jobs, or running ones whose worker let its lease end. Each is given to one worker: the update
    repeats the condition, so of two workers that saw the same row only one changes it."""
    expired = sa.and_(jobs.c.status == "running", jobs.c.lease_until_ns <= now_ns)
    ready = sa.and_(jobs.c.status == "due", jobs.c.due_ns <= now_ns)
    taken = connection.execute(
        sa.update(jobs)
        .where(jobs.c.key.in_(_next(connection, kind, now_ns, limit)), sa.or_(ready, expired))
        .values(
            status="running",
            worker=worker,
            lease_until_ns=now_ns + lease_ns,
            attempts=jobs.c.attempts + 1,
            error=None,
        )
        .returning(jobs)
    )
    found = [_job(row) for row in taken.mappings()]
    return sorted(found, key=lambda j: (-j.priority, j.due_ns, j.key))


def release(connection: Connection) -> int:
    """Give back what workers held that are gone, for a process that knows to be the only one; how many. Nobody waits for
    their leases then, and a kill uses up nobody's attempts."""
    held = sa.update(jobs).where(jobs.c.status == "running")
    given = {"status": "due", "lease_until_ns": None, "worker": None, "attempts": jobs.c.attempts - 1}
    return connection.execute(held.values(**given)).rowcount


def _job(row: RowMapping) -> Job:
    return Job(**cast("dict[str, Any]", dict(row)))


def _mine(key: str, worker: str) -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.key == key, jobs.c.worker == worker, jobs.c.status == "running")


def finish(connection: Connection, key: str, worker: str, now_ns: int) -> bool:
    """Mark a claimed job done; False when the lease was lost to another worker."""
    values = {"status": "done", "finished_ns": now_ns, "lease_until_ns": None, "error": None}
    return connection.execute(sa.update(jobs).where(_mine(key, worker)).values(**values)).rowcount == 1


def retry(
    connection: Connection,
    key: str,
    worker: str,
    due_ns: int,
    error: str,
    *,
    max_attempts: int,
    blameless: bool = False,
) -> str | None:
    """Give a claimed job back, due at `due_ns`; after `max_attempts` it is dead instead. `blameless` gives the attempt back
    as well: a provider's outage uses up nobody's attempts. Returns the new status, None when the lease was lost."""
    attempts = connection.execute(sa.select(jobs.c.attempts).where(_mine(key, worker))).scalar()
    if attempts is None:
        return None
    if not blameless and attempts >= max_attempts:
        return "dead" if dead(connection, key, worker, due_ns, error) else None
    values: dict[str, Any] = {
        "status": "due",
        "due_ns": due_ns,
        "error": error[:2000],
        "lease_until_ns": None,
    }
    if blameless:
        values["attempts"] = attempts - 1
    changed = connection.execute(sa.update(jobs).where(_mine(key, worker)).values(**values)).rowcount
    return "due" if changed == 1 else None


def dead(connection: Connection, key: str, worker: str, now_ns: int, error: str) -> bool:
    """Set a claimed job aside with its reason; it stays visible until someone requeues or deletes it."""
    values = {"status": "dead", "finished_ns": now_ns, "error": error[:2000], "lease_until_ns": None}
    return connection.execute(sa.update(jobs).where(_mine(key, worker)).values(**values)).rowcount == 1


def requeue(
    connection: Connection,
    now_ns: int,
    *,
    project: str | None = None,
    key: str | None = None,
) -> int:
    """Give dead jobs a new life with all their attempts; returns how many."""
    conditions = [jobs.c.status == "dead"]
    conditions += [jobs.c.project == project] if project is not None else []
    conditions += [jobs.c.key == key] if key is not None else []
    values = {"status": "due", "due_ns": now_ns, "attempts": 0, "finished_ns": None, "worker": None}
    return connection.execute(sa.update(jobs).where(*conditions).values(**values)).rowcount


def depth(
    connection: Connection, now_ns: int, *, kind: str | None = None, project: str | None = None
) -> Depth:
    """How much waits, runs, is done or dead, and how old the oldest due job is."""
    conditions = [jobs.c.kind == kind] if kind is not None else []
    conditions += [jobs.c.project == project] if project is not None else []
    counted = sa.select(jobs.c.status, sa.func.count()).where(*conditions).group_by(jobs.c.status)
    counts = {str(status): int(n) for status, n in connection.execute(counted)}
    ready = sa.select(sa.func.count(), sa.func.min(jobs.c.due_ns)).where(
        *conditions, jobs.c.status == "due", jobs.c.due_ns <= now_ns
    )
    due, oldest = connection.execute(ready).one()
    return Depth(
        waiting=counts.get("due", 0),
        due=int(due),
        running=counts.get("running", 0),
        done=counts.get("done", 0),
        dead=counts.get("dead", 0),
        oldest_due_ns=oldest,
    )


def listed(connection: Connection, *, project: str, status: str, limit: int = 100) -> list[Job]:
    """Jobs of a project in a state, the latest first."""
    found = (
        sa.select(jobs)
        .where(jobs.c.project == project, jobs.c.status == status)
        .order_by(jobs.c.created_ns.desc(), jobs.c.key)
        .limit(limit)
    )
    return [_job(row) for row in connection.execute(found).mappings()]


def prune(connection: Connection, before_ns: int) -> int:
    """Forget jobs that were done before, whose keys could only matter to a late duplicate of their trace, and the replies
    kept before; how many jobs."""
    connection.execute(sa.delete(judge_cache).where(judge_cache.c.created_ns < before_ns))
    # A backfill's progress is counted from its jobs.
    live = sa.func.coalesce(jobs.c.payload["backfill"].as_string(), "") == ""
    old = sa.delete(jobs).where(jobs.c.status == "done", jobs.c.finished_ns < before_ns, live)
    return connection.execute(old).rowcount


def cached(connection: Connection, project: str, content_hash: str) -> dict[str, Any] | None:
    """The stored replies of one judge to one content, None when it was not asked yet."""
    found = sa.select(judge_cache.c.reply).where(
        judge_cache.c.project == project, judge_cache.c.hash == content_hash
    )
    return cast("dict[str, Any] | None", connection.execute(found).scalar())


def cache(
    connection: Connection, project: str, content_hash: str, reply: dict[str, Any], now_ns: int
) -> None:
    """Keep the replies; the first ones stay, so a repeated call cannot change a score."""
    row = {"project": project, "hash": content_hash, "reply": reply, "created_ns": now_ns}
    insert_missing(connection, judge_cache, [row])


def charge(
    connection: Connection,
    project: str,
    day: int,
    calls: int,
    cost: float,
    now_ns: int,
    scorer: str | None = None,
) -> None:
    """Add what the calls of one judgement cost to the day's account (days since 1970 UTC), whether or not their replies were
    usable. `scorer` made them; None for calls that no scorecard's budget pays."""
    key = str(day)
    where = (states.c.project == project, states.c.kind == SPENDING, states.c.key == key)
    old = connection.execute(sa.select(states.c.value).where(*where)).scalar()
    before: dict[str, Any] = cast("dict[str, Any]", old) if old is not None else {"calls": 0, "usd": 0.0}
    value = {**before, "calls": before["calls"] + calls, "usd": before["usd"] + cost}
    if scorer is not None:
        own, judged = {**before.get("scorers", {})}, {**before.get("judged", {})}
        own[scorer] = own.get(scorer, 0.0) + cost
        judged[scorer] = judged.get(scorer, 0) + 1
        value |= {"scorers": own, "judged": judged}
    if old is None:
        row = {"project": project, "kind": SPENDING, "key": key, "value": value, "updated_ns": now_ns}
        connection.execute(sa.insert(states).values(row))
        return
    connection.execute(sa.update(states).where(*where).values(value=value, updated_ns=now_ns))


def spent(connection: Connection, project: str, day: int) -> tuple[int, float]:
    """Calls and USD charged on a day."""
    where = (states.c.project == project, states.c.kind == SPENDING, states.c.key == str(day))
    value = connection.execute(sa.select(states.c.value).where(*where)).scalar()
    return (int(value["calls"]), float(value["usd"])) if value is not None else (0, 0.0)


def spent_by(connection: Connection, project: str, day: int, scorers: Iterable[str]) -> float:
    """USD charged on a day for calls of these scorers."""
    return spent_in(accounts(connection, project, (day,)).get(day), scorers)


def accounts(connection: Connection, project: str, days: Iterable[int]) -> dict[int, Mapping[str, Any]]:
    """What `charge` wrote down on each of these days on which it did."""
    keys = states.c.key.in_([str(d) for d in days])
    query = sa.select(states.c.key, states.c.value)
    rows = connection.execute(query.where(states.c.project == project, states.c.kind == SPENDING, keys))
    return {int(key): value for key, value in rows}


def spent_in(account: Mapping[str, Any] | None, scorers: Iterable[str]) -> float:
    """USD of a day's account for calls of these scorers; None is a day without any."""
    known: dict[str, float] = (account or {}).get("scorers", {})
    return float(sum(known.get(name, 0.0) for name in scorers))


def judged_in(days: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, float]]:
    """Judgements paid for by these accounts and USD charged for them, by scorer."""
    found: dict[str, tuple[int, float]] = {}
    for account in days:
        for scorer, n in account.get("judged", {}).items():
            before = found.get(scorer, (0, 0.0))
            found[scorer] = (before[0] + n, before[1] + account["scorers"][scorer])
    return found


def waiting_by(connection: Connection, project: str) -> dict[str, int]:
    """Judgements of live traffic that are queued or being made, by scorer. What a backfill asks for is no part of it."""
    scorer = jobs.c.payload["scorer"].as_string()
    query = sa.select(scorer, sa.func.count()).where(
        jobs.c.kind == "judge",
        jobs.c.status.in_(("due", "running")),
        jobs.c.project == project,
        jobs.c.payload["backfill"].as_string() == "",
    )
    return {str(name): int(n) for name, n in connection.execute(query.group_by(scorer))}


def held_up(connection: Connection, project: str) -> dict[str, str]:
    """Why judgements that were tried are waiting, by scorer: what the last try said."""
    query = sa.select(jobs.c.payload, jobs.c.error).where(
        jobs.c.kind == "judge", jobs.c.status == "due", jobs.c.project == project, jobs.c.error.is_not(None)
    )
    # A try that failed makes its job due again later: the last tried are the last due.
    rows = connection.execute(query.order_by(jobs.c.due_ns.desc()).limit(500))
    found: dict[str, str] = {}
    for payload, error in rows:
        found.setdefault(str(payload["scorer"]), str(error))
    return found
