"""Incidents and their timelines."""

import hashlib
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.store.records.tables import incidents, timeline


class Incident(msgspec.Struct, frozen=True):
    """Something that people work on. `document` holds its group, its alerts' ids and notes."""

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
    """One line of a timeline. `kind`: opened, alert, deploy, action, comment, closed, reopened."""

    seq: int
    time_ns: int
    kind: str
    actor: str
    text: str
    detail: dict[str, Any]


def open_for(
    conn: Connection, project: str, group: str, title: str, severity: str, owner: str, now_ns: int, actor: str
) -> str:
    """The id of the incident of an alert group, opened if there is none yet."""
    incident_id = hashlib.sha256(f"{project}\x1f{group}".encode()).hexdigest()[:24]
    here = sa.and_(incidents.c.project == project, incidents.c.id == incident_id)
    known = conn.execute(sa.select(incidents.c.status).where(here)).first()
    if known is None:
        conn.execute(
            sa.insert(incidents).values(
                id=incident_id,
                project=project,
                title=title,
                status="open",
                severity=severity,
                owner=owner,
                opened_ns=now_ns,
                document={"group": group},
            )
        )
        note(conn, project, incident_id, now_ns, "opened", actor, title)
    elif known.status == "closed":
        conn.execute(sa.update(incidents).where(here).values(status="open", closed_ns=None))
        note(conn, project, incident_id, now_ns, "reopened", actor, title)
    return incident_id


def close(conn: Connection, project: str, incident_id: str, now_ns: int, actor: str, text: str = "") -> bool:
    """Close an open incident; False when there is none open with this id."""
    here = sa.and_(
        incidents.c.project == project, incidents.c.id == incident_id, incidents.c.status != "closed"
    )
    done = (
        conn.execute(sa.update(incidents).where(here).values(status="closed", closed_ns=now_ns)).rowcount == 1
    )
    if done:
        note(conn, project, incident_id, now_ns, "closed", actor, text or "closed")
    return done


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
    """Add a line to the timeline; a line that is already there (same time, kind and text) is not added twice."""
    t = timeline
    same = sa.and_(
        t.c.project == project,
        t.c.incident_id == incident_id,
        t.c.time_ns == time_ns,
        t.c.kind == kind,
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
    row = (
        conn.execute(
            sa.select(incidents).where(incidents.c.project == project, incidents.c.id == incident_id)
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    lines = conn.execute(
        sa.select(timeline)
        .where(timeline.c.project == project, timeline.c.incident_id == incident_id)
        .order_by(timeline.c.time_ns, timeline.c.seq)
    ).mappings()
    names = Entry.__struct_fields__
    return Incident(**row), [Entry(**{k: line[k] for k in names}) for line in lines]


def find(conn: Connection, project: str, status: str | None = None, limit: int = 100) -> list[Incident]:
    """Incidents, latest first."""
    query = sa.select(incidents).where(incidents.c.project == project)
    if status is not None:
        query = query.where(incidents.c.status == status)
    query = query.order_by(incidents.c.opened_ns.desc()).limit(limit)
    return [Incident(**row) for row in conn.execute(query).mappings()]
