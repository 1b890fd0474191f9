"""Incidents and their timelines."""

import hashlib
import json
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.store.records.tables import incidents, timeline

Status = Literal["open", "acknowledged", "resolved"]
UNRESOLVED = ("open", "acknowledged")
# What each change of state is called in the timeline, and from which states it may be made.
_CHANGES: dict[Status, tuple[str, tuple[str, ...]]] = {
    "acknowledged": ("acknowledged", ("open",)),
    "resolved": ("resolved", UNRESOLVED),
    "open": ("reopened", ("resolved", "acknowledged")),
}


class Incident(msgspec.Struct, frozen=True):
    """Something that people work on. `document`: its message `group`, its `alerts`' ids, the `triage` last made
    (`model.incident.Triage` as plain data), and for one opened by hand what to look at (`metric`, `cohort`, `since_ns`)."""

    id: str
    project: str
    title: str
    status: str
    severity: str
    owner: str
    opened_ns: int
    closed_ns: int | None
    document: dict[str, Any]


class Entry(msgspec.Struct, frozen=True):
    """One line of a timeline. `kind`: opened, alert, deploy, action, comment, acknowledged, resolved, reopened."""

    seq: int
    time_ns: int
    kind: str
    actor: str
    text: str
    detail: dict[str, Any]


def _here(project: str, incident_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(incidents.c.project == project, incidents.c.id == incident_id)


def id_of_group(project: str, group: str) -> str:
    """The id of the incident of an alert group, whether or not there is one."""
    return hashlib.sha256(f"{project}\x1f{group}".encode()).hexdigest()[:24]


def open_for(
    conn: Connection,
    project: str,
    group: str,
    title: str,
    severity: str,
    owner: str,
    now_ns: int,
    actor: str,
    alerts: tuple[str, ...] = (),
) -> str:
    """The id of the incident of an alert group, opened if there is none yet and reopened if it is over."""
    incident_id = id_of_group(project, group)
    row = conn.execute(
        sa.select(incidents.c.status, incidents.c.document).where(_here(project, incident_id))
    ).first()
    if row is None:
        document = {"group": group, "alerts": list(alerts)}
        _insert(conn, incident_id, project, title, severity, owner, now_ns, document)
        note(conn, project, incident_id, now_ns, "opened", actor, title)
        return incident_id
    known = list(row.document.get("alerts", []))
    if set(alerts) - set(known):
        document = {**row.document, "alerts": list(dict.fromkeys([*known, *alerts]))}
        conn.execute(sa.update(incidents).where(_here(project, incident_id)).values(document=document))
    if row.status == "resolved":
        change(conn, project, incident_id, "open", now_ns, actor, title)
    return incident_id


def open_by_hand(
    conn: Connection,
    project: str,
    title: str,
    severity: str,
    owner: str,
    now_ns: int,
    actor: str,
    document: dict[str, Any],
) -> str:
    """Open an incident that no alert opened; `document` says what it is about. The same words about the same at the same time are
    the same incident, so that a form sent twice opens one."""
    about = {key: value for key, value in document.items() if key != "since_ns"}
    said = (project, "by hand", title, actor, severity, owner, json.dumps(about, sort_keys=True))
    incident_id = hashlib.sha256("\x1f".join((*said, str(now_ns // 10**10))).encode()).hexdigest()[:24]
    if conn.execute(sa.select(incidents.c.id).where(_here(project, incident_id))).first() is None:
        _insert(conn, incident_id, project, title, severity, owner, now_ns, document)
        note(conn, project, incident_id, now_ns, "opened", actor, title)
    return incident_id


def _insert(
    conn: Connection,
    incident_id: str,
    project: str,
    title: str,
    severity: str,
    owner: str,
    now_ns: int,
    document: dict[str, Any],
) -> None:
    conn.execute(
        sa.insert(incidents).values(
            id=incident_id, project=project, title=title, status="open", severity=severity, owner=owner,
            opened_ns=now_ns, document=document,
        )
    )  # fmt: skip


def change(
    conn: Connection, project: str, incident_id: str, status: Status, now_ns: int, actor: str, text: str = ""
) -> bool:
    """Take, resolve or reopen an incident; False where it is not in a state from which that can be done."""
    word, allowed = _CHANGES[status]
    here = sa.and_(_here(project, incident_id), incidents.c.status.in_(allowed))
    closed = now_ns if status == "resolved" else None
    done = (
        conn.execute(sa.update(incidents).where(here).values(status=status, closed_ns=closed)).rowcount == 1
    )
    if done:
        note(conn, project, incident_id, now_ns, word, actor, text or word)
    return done


def on_alert_taken(
    conn: Connection, project: str, group: str | None, now_ns: int, actor: str, text: str, on: bool = True
) -> None:
    """Whoever takes an alert takes its incident, if there is one; giving it back gives that back."""
    if group is None:
        return
    incident_id = id_of_group(project, group)
    if get(conn, project, incident_id) is not None:
        change(conn, project, incident_id, "acknowledged" if on else "open", now_ns, actor, text)


def put(conn: Connection, project: str, incident_id: str, name: str, value: Any) -> bool:
    """Set one field of an incident's document; False when there is no such incident."""
    row = conn.execute(sa.select(incidents.c.document).where(_here(project, incident_id))).first()
    if row is None:
        return False
    document = {**row.document, name: value}
    return (
        conn.execute(
            sa.update(incidents).where(_here(project, incident_id)).values(document=document)
        ).rowcount
        == 1
    )


def note(
    conn: Connection,
    project: str,
    incident_id: str,
    time_ns: int,
    kind: str,
    actor: str,
    text: str,
    detail: dict[str, Any] | None = None,
) -> None:
    """Add a line to the timeline; a line that is already there (same time, kind, person and text) is not added twice."""
    t = timeline
    same = sa.and_(
        t.c.project == project,
        t.c.incident_id == incident_id,
        t.c.time_ns == time_ns,
        t.c.kind == kind,
        t.c.actor == actor,
        t.c.text == text,
    )
    if conn.execute(sa.select(t.c.seq).where(same)).first() is None:
        conn.execute(
            sa.insert(t).values(
                project=project,
                incident_id=incident_id,
                time_ns=time_ns,
                kind=kind,
                actor=actor,
                text=text,
                detail=detail or {},
            )
        )


def get(conn: Connection, project: str, incident_id: str) -> tuple[Incident, list[Entry]] | None:
    """An incident with its timeline, oldest first."""
    row = conn.execute(sa.select(incidents).where(_here(project, incident_id))).mappings().first()
    if row is None:
        return None
    lines = conn.execute(
        sa.select(timeline)
        .where(timeline.c.project == project, timeline.c.incident_id == incident_id)
        .order_by(timeline.c.time_ns, timeline.c.seq)
    ).mappings()
    names = Entry.__struct_fields__
    return Incident(**row), [Entry(**{k: line[k] for k in names}) for line in lines]


def find(
    conn: Connection,
    project: str,
    statuses: tuple[str, ...] | None = None,
    limit: int = 100,
    since_ns: int = 0,
) -> list[Incident]:
    """Incidents, latest first; only some states, or those opened or unresolved since a time, when given."""
    query = sa.select(incidents).where(incidents.c.project == project)
    if statuses is not None:
        query = query.where(incidents.c.status.in_(statuses))
    if since_ns:
        query = query.where(
            sa.or_(
                incidents.c.opened_ns >= since_ns,
                incidents.c.closed_ns >= since_ns,
                incidents.c.status.in_(UNRESOLVED),
            )
        )
    query = query.order_by(incidents.c.opened_ns.desc(), incidents.c.id).limit(limit)
    return [Incident(**row) for row in conn.execute(query).mappings()]


def counts(conn: Connection, project: str) -> dict[str, int]:
    """How many incidents have each status."""
    query = sa.select(incidents.c.status, sa.func.count()).where(incidents.c.project == project)
    return {str(status): int(n) for status, n in conn.execute(query.group_by(incidents.c.status))}
