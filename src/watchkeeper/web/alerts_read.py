"""Alerts as pages read them from the records."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.alert import Alert, Notification
from watchkeeper.store.records.tables import alerts, notifications, silences

ACTIVE = ("firing", "pending", "no_data", "unstable")


def _alert(document: object) -> Alert:
    return msgspec.convert(document, Alert, strict=False)


def firing(conn: Connection, project: str) -> list[Alert]:
    """The alerts that fire now, newest first."""
    return listing(conn, project, ("firing",))


def listing(conn: Connection, project: str, states: tuple[str, ...] | None = None, limit: int = 200) -> list[Alert]:
    """Alerts, latest change first; `states=None` for all."""
    query = sa.select(alerts.c.document).where(alerts.c.project == project)
    if states is not None:
        query = query.where(alerts.c.state.in_(states))
    return [_alert(d) for d in conn.scalars(query.order_by(alerts.c.updated_ns.desc()).limit(limit))]


def get(conn: Connection, project: str, alert_id: str) -> Alert | None:
    """One alert, or None."""
    found = conn.scalar(sa.select(alerts.c.document).where(alerts.c.project == project, alerts.c.id == alert_id))
    return None if found is None else _alert(found)


def told(conn: Connection, project: str, alert_id: str) -> list[dict[str, object]]:
    """The messages sent about an alert, oldest first: route, event, when, delivered or why not."""
    query = (
        sa.select(notifications)
        .where(notifications.c.project == project, notifications.c.alert_id == alert_id)
        .order_by(notifications.c.created_ns)
    )
    return [dict(row) for row in conn.execute(query).mappings()]


def silenced(conn: Connection, project: str, now_ns: int) -> list[dict[str, object]]:
    """The silences in force."""
    query = sa.select(silences).where(
        silences.c.project == project, silences.c.starts_ns <= now_ns, silences.c.ends_ns > now_ns
    )
    return [dict(row) for row in conn.execute(query).mappings()]


__all__ = ["ACTIVE", "Notification", "firing", "get", "listing", "silenced", "told"]
