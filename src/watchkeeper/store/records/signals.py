"""Failure signals and their members."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.signal import KINDS, Member, Signal
from watchkeeper.store.records.tables import signal_traces, signals


def find(
    conn: Connection, project: str, states: Sequence[str] | None = None, kind: str = "failure"
) -> list[Signal]:
    """The project's signals of a kind, the latest failure first."""
    query = sa.select(signals.c.document).where(signals.c.project == project)
    if states is not None:
        query = query.where(signals.c.state.in_(states))
    query = query.order_by(signals.c.last_ns.desc(), signals.c.id)
    found = [msgspec.convert(d, Signal, strict=False) for d in conn.scalars(query)]
    return [s for s in found if s.kind == kind]


def get(conn: Connection, project: str, signal_id: str) -> Signal | None:
    """One signal, or None."""
    query = sa.select(signals.c.document).where(signals.c.project == project, signals.c.id == signal_id)
    found = conn.scalar(query)
    return None if found is None else msgspec.convert(found, Signal, strict=False)


def members(
    conn: Connection,
    project: str,
    signal_id: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    kind: str = "failure",
) -> list[Member]:
    """The failures of one signal, or of all of a kind, newest first."""
    query = sa.select(signal_traces).where(signal_traces.c.project == project)
    if signal_id is not None:
        query = query.where(signal_traces.c.signal_id == signal_id)
    elif kind == "failure":
        query = query.where(signal_traces.c.scorer.not_in(KINDS[1:]))
    else:
        # The members of topics have the kind for a scorer, so that one trace may be in one of each.
        query = query.where(signal_traces.c.scorer == kind)
    query = query.order_by(signal_traces.c.time_ns.desc(), signal_traces.c.trace_id, signal_traces.c.scorer)
    rows = conn.execute(query.limit(limit).offset(offset) if limit is not None else query)
    return [
        Member(r.trace_id, r.scorer, r.signal_id, r.fingerprint, r.time_ns, r.release, r.weight) for r in rows
    ]


def trace_ids(conn: Connection, project: str, signal_id: str) -> list[str]:
    """The traces of one signal, each once, newest failure first."""
    return list(conn.scalars(_newest(project, signal_id)))


def newest(conn: Connection, project: str, signal_id: str, limit: int | None) -> list[tuple[str, int]]:
    """(trace, time of its last failure, ns) of one signal, newest first, at most `limit`."""
    found = conn.execute(_newest(project, signal_id).limit(limit))
    return [(str(trace_id), int(at)) for trace_id, at in found]


def _newest(project: str, signal_id: str) -> sa.Select[Any, Any]:
    last = sa.func.max(signal_traces.c.time_ns)
    return (
        sa.select(signal_traces.c.trace_id, last)
        .where(signal_traces.c.project == project, signal_traces.c.signal_id == signal_id)
        .group_by(signal_traces.c.trace_id)
        .order_by(last.desc(), signal_traces.c.trace_id)
    )


def by_scorer(conn: Connection, project: str, signal_id: str) -> dict[str, tuple[int, int]]:
    """Of each scorer how many failures it found in the project, and how many of them are this signal's."""
    ours = sa.func.sum(sa.case((signal_traces.c.signal_id == signal_id, 1), else_=0))
    query = (
        sa.select(signal_traces.c.scorer, sa.func.count(), ours)
        .where(signal_traces.c.project == project, signal_traces.c.scorer.not_in(KINDS[1:]))
        .group_by(signal_traces.c.scorer)
    )
    return {str(scorer): (int(n), int(own)) for scorer, n, own in conn.execute(query)}


def count(conn: Connection, project: str, signal_id: str) -> int:
    """How many members a signal has."""
    query = sa.select(sa.func.count()).where(
        signal_traces.c.project == project, signal_traces.c.signal_id == signal_id
    )
    return int(conn.scalar(query) or 0)


def _values(signal: Signal) -> dict[str, object]:
    return {
        "project": signal.project,
        "state": signal.state,
        "last_ns": signal.last_ns,
        "updated_ns": signal.updated_ns,
        "document": msgspec.to_builtins(signal),
    }


def put(conn: Connection, signal: Signal) -> None:
    """Store one signal, replacing it."""
    changed = conn.execute(sa.update(signals).where(signals.c.id == signal.id).values(**_values(signal)))
    if changed.rowcount == 0:
        conn.execute(sa.insert(signals).values(id=signal.id, **_values(signal)))


def replace(
    conn: Connection,
    project: str,
    was: Sequence[Signal],
    now: Sequence[Signal],
    ours: Sequence[Member],
    merge: Callable[[Signal, Signal], Signal],
    kind: str = "failure",
) -> None:
    """Store the outcome of a run that read `was`: signals, and members in the place of all earlier ones.

    A signal that a person changed in between is given to `merge(stored, new)` and not overwritten.
    """
    read = {s.id: s for s in was}
    stored = {s.id: s for s in find(conn, project, kind=kind)}
    kept = {s.id for s in now}
    for signal in now:
        current = stored.get(signal.id)
        if current is not None and current != read.get(signal.id):
            signal = merge(current, signal)
        if current != signal:
            put(conn, signal)
    gone = [i for i in stored if i in read and i not in kept and stored[i] == read[i]]
    for start in range(0, len(gone), 500):
        conn.execute(sa.delete(signals).where(signals.c.id.in_(gone[start : start + 500])))
    before = {m.key: m for m in members(conn, project, kind=kind)}
    after = {m.key: m for m in ours}
    lost = [k for k in before if k not in after]
    for trace_id, scorer in [*lost, *(k for k in after if k in before and before[k] != after[k])]:
        conn.execute(
            sa.delete(signal_traces).where(
                signal_traces.c.project == project,
                signal_traces.c.trace_id == trace_id,
                signal_traces.c.scorer == scorer,
            )
        )
    rows = [{"project": project, **msgspec.to_builtins(m)} for k, m in after.items() if before.get(k) != m]
    if rows:
        conn.execute(sa.insert(signal_traces), rows)
