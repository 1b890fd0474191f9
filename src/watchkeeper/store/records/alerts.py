"""Alerts and silences."""

import hashlib
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.alert import Alert
from watchkeeper.store.records.tables import alerts, silences

OPEN = ("pending", "firing", "no_data", "unstable")


def _alert(document: Any) -> Alert:
    return msgspec.convert(document, Alert)


def save(conn: Connection, alert: Alert) -> None:
    """Write the alert as it now is. Its acknowledgement is kept if the writer did not know of it: a person may have
    answered between the watcher's reading and its writing."""
    here = sa.and_(alerts.c.project == alert.project, alerts.c.id == alert.id)
    known = conn.scalar(sa.select(alerts.c.document).where(here))
    if known is not None and alert.acknowledged_ns is None and known.get("acknowledged_ns") is not None:
        alert.acknowledged_by, alert.acknowledged_ns = known["acknowledged_by"], known["acknowledged_ns"]
    values = {
        "state": alert.state,
        "severity": alert.severity,
        "since_ns": alert.since_ns,
        "updated_ns": alert.updated_ns,
        "document": msgspec.to_builtins(alert),
    }
    if known is not None:
        conn.execute(sa.update(alerts).where(here).values(**values))
    else:
        conn.execute(
            sa.insert(alerts).values(id=alert.id, project=alert.project, monitor=alert.monitor, **values)
        )


def get(conn: Connection, project: str, alert_id: str) -> Alert | None:
    """One alert, or None."""
    found = conn.scalar(
        sa.select(alerts.c.document).where(alerts.c.project == project, alerts.c.id == alert_id)
    )
    return _alert(found) if found is not None else None


def find(
    conn: Connection,
    project: str,
    states: tuple[str, ...] | None = None,
    monitor: str | None = None,
    limit: int = 200,
    offset: int = 0,
) -> list[Alert]:
    """Alerts, latest change first; only some states or one monitor when given."""
    query = sa.select(alerts.c.document).where(alerts.c.project == project)
    if states is not None:
        query = query.where(alerts.c.state.in_(states))
    if monitor is not None:
        query = query.where(alerts.c.monitor == monitor)
    query = query.order_by(alerts.c.updated_ns.desc(), alerts.c.id).limit(limit).offset(offset)
    return [_alert(document) for document in conn.scalars(query)]


def counts(conn: Connection, project: str) -> dict[str, int]:
    """How many alerts have each state."""
    query = (
        sa.select(alerts.c.state, sa.func.count()).where(alerts.c.project == project).group_by(alerts.c.state)
    )
    return {str(state): int(n) for state, n in conn.execute(query)}


def acknowledge(conn: Connection, project: str, alert_id: str, author: str, now_ns: int) -> Alert | None:
    """Record who has taken the alert; the first one stays. The alert, or None when there is no such alert."""
    alert = get(conn, project, alert_id)
    if alert is None:
        return None
    if alert.acknowledged_ns is None:
        alert.acknowledged_by, alert.acknowledged_ns = author, now_ns
        save(conn, alert)
    return alert


def unacknowledge(conn: Connection, project: str, alert_id: str) -> Alert | None:
    """Undo an acknowledgement, so that reminders go on."""
    here = sa.and_(alerts.c.project == project, alerts.c.id == alert_id)
    document = conn.scalar(sa.select(alerts.c.document).where(here))
    if document is None:
        return None
    document = {**document, "acknowledged_by": None, "acknowledged_ns": None}
    conn.execute(sa.update(alerts).where(here).values(document=document))
    return _alert(document)


class SilenceRow(msgspec.Struct, frozen=True):
    """A stored silence; `matchers` as in `alerting.routing.Silence`."""

    id: str
    project: str
    matchers: dict[str, str]
    starts_ns: int
    ends_ns: int
    author: str
    comment: str = ""


def add_silence(
    conn: Connection,
    project: str,
    matchers: dict[str, str],
    starts_ns: int,
    ends_ns: int,
    author: str,
    comment: str = "",
) -> SilenceRow:
    """Add a silence. Raises ValueError for one that matches everything or ends before it starts."""
    if not matchers:
        raise ValueError("a silence needs at least one matcher, such as monitor=relevance-down")
    if ends_ns <= starts_ns:
        raise ValueError("a silence must end after it starts")
    text = "\x1f".join(
        [project, *sorted(f"{k}={v}" for k, v in matchers.items()), str(starts_ns), str(ends_ns)]
    )
    row = SilenceRow(
        hashlib.sha256(text.encode()).hexdigest()[:24], project, matchers, starts_ns, ends_ns, author, comment
    )
    here = sa.and_(silences.c.project == project, silences.c.id == row.id)
    if conn.execute(sa.select(silences.c.id).where(here)).first() is None:
        conn.execute(sa.insert(silences).values(**msgspec.to_builtins(row)))
    return row


def end_silence(conn: Connection, project: str, silence_id: str, now_ns: int) -> bool:
    """End a silence now; False when there is no such silence or it has ended."""
    query = sa.update(silences).where(
        silences.c.project == project, silences.c.id == silence_id, silences.c.ends_ns > now_ns
    )
    return conn.execute(query.values(ends_ns=now_ns)).rowcount == 1


def list_silences(conn: Connection, project: str, now_ns: int | None = None) -> list[SilenceRow]:
    """Silences, latest end first; only those not over at `now_ns` when given."""
    query = sa.select(silences).where(silences.c.project == project).order_by(silences.c.ends_ns.desc())
    if now_ns is not None:
        query = query.where(silences.c.ends_ns > now_ns)
    return [SilenceRow(**row) for row in conn.execute(query).mappings()]
