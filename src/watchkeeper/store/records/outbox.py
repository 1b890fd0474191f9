"""The outbox: notifications written in the transaction that changed their alert, delivered afterwards.

status: due (to be sent at next_attempt_ns), sending (claimed until next_attempt_ns), delivered, superseded (a newer
message about the same group went instead), dead (will never be delivered; the reason is kept).
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.alert import Notification
from watchkeeper.store.records.tables import notifications

_LIVE = ("due", "sending")


def enqueue(conn: Connection, notification: Notification) -> bool:
    """Add a notification; False when one with its id is already there, whatever became of it."""
    if (
        conn.execute(sa.select(notifications.c.id).where(notifications.c.id == notification.id)).first()
        is not None
    ):
        return False
    conn.execute(
        sa.insert(notifications).values(
            id=notification.id,
            project=notification.project,
            alert_id=notification.alert_id,
            dedup_key=notification.dedup_key,
            route=notification.route,
            event=notification.event,
            document=msgspec.to_builtins(notification),
            status="due",
            attempts=0,
            created_ns=notification.created_ns,
            next_attempt_ns=notification.next_attempt_ns,
        )
    )
    return True


def _notification(row: sa.RowMapping) -> Notification:
    found = msgspec.convert(row["document"], Notification)
    found.attempts = row["attempts"]
    found.next_attempt_ns = row["next_attempt_ns"]
    found.delivered_ns = row["delivered_ns"]
    found.failed_reason = row["error"]
    return found


def claim(conn: Connection, now_ns: int, lease_ns: int, limit: int = 50) -> list[Notification]:
    """Take what is due, at most one message per group and channel: the newest.

    Older undelivered messages of that group and channel become superseded, so that a receiver that comes back hears
    the present state once. A group whose message is being sent is left alone until its lease ends, which keeps the
    order. `attempts` counts this claim.
    """
    t = notifications
    rows = conn.execute(
        sa.select(t.c.id, t.c.project, t.c.route, t.c.dedup_key, t.c.status, t.c.next_attempt_ns)
        .where(t.c.status.in_(_LIVE))
        .order_by(t.c.created_ns.desc(), t.c.id)
    ).all()
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for row in rows:
        groups.setdefault((row.project, row.route, row.dedup_key), []).append(row)
    claimed: list[Notification] = []
    for newest, *older in sorted(groups.values(), key=lambda g: g[0].next_attempt_ns):
        if len(claimed) == limit:
            break
        if newest.next_attempt_ns > now_ns:
            continue
        if any(row.status == "sending" and row.next_attempt_ns > now_ns for row in older):
            continue
        taken = conn.execute(
            sa.update(t)
            .where(
                t.c.id == newest.id,
                t.c.status == newest.status,
                t.c.next_attempt_ns == newest.next_attempt_ns,
            )
            .values(status="sending", next_attempt_ns=now_ns + lease_ns, attempts=t.c.attempts + 1)
        )
        if taken.rowcount != 1:
            continue
        if older:
            ids = [row.id for row in older]
            conn.execute(
                sa.update(t).where(t.c.id.in_(ids), t.c.status.in_(_LIVE)).values(status="superseded")
            )
        claimed.append(_notification(conn.execute(sa.select(t).where(t.c.id == newest.id)).mappings().one()))
    return claimed


def _finish(conn: Connection, notification_id: str, **values: Any) -> bool:
    here = sa.and_(notifications.c.id == notification_id, notifications.c.status == "sending")
    return conn.execute(sa.update(notifications).where(here).values(**values)).rowcount == 1


def delivered(conn: Connection, notification_id: str, now_ns: int) -> bool:
    """The receiver has it."""
    return _finish(conn, notification_id, status="delivered", delivered_ns=now_ns, error=None)


def retry(conn: Connection, notification_id: str, due_ns: int, reason: str) -> bool:
    """It is to be sent again at `due_ns`."""
    return _finish(conn, notification_id, status="due", next_attempt_ns=due_ns, error=reason)


def dead(conn: Connection, notification_id: str, reason: str) -> bool:
    """It will not be sent; kept with its reason."""
    return _finish(conn, notification_id, status="dead", error=reason)


def requeue(conn: Connection, project: str, now_ns: int, notification_id: str | None = None) -> int:
    """Send a project's dead letters again, or one of them; how many. One that is as old as messages may get has one attempt."""
    dead = [notifications.c.project == project, notifications.c.status == "dead"]
    dead += [notifications.c.id == notification_id] if notification_id is not None else []
    values = {"status": "due", "next_attempt_ns": now_ns, "attempts": 0}
    return conn.execute(sa.update(notifications).where(*dead).values(**values)).rowcount


def find(
    conn: Connection, project: str, status: str | None = None, alert_id: str | None = None, limit: int = 200
) -> list[tuple[str, Notification]]:
    """(status, notification) pairs, newest first."""
    query = sa.select(notifications).where(notifications.c.project == project)
    if status is not None:
        query = query.where(notifications.c.status == status)
    if alert_id is not None:
        query = query.where(notifications.c.alert_id == alert_id)
    rows = conn.execute(query.order_by(notifications.c.created_ns.desc()).limit(limit)).mappings()
    return [(str(row["status"]), _notification(row)) for row in rows]


def summary(conn: Connection, now_ns: int) -> dict[str, float]:
    """Figures for the system's own metrics: messages by status, and the age of the oldest undelivered one, s."""
    t = notifications
    by_status = conn.execute(sa.select(t.c.status, sa.func.count()).group_by(t.c.status))
    found = {str(status): float(n) for status, n in by_status}
    oldest = conn.scalar(sa.select(sa.func.min(t.c.created_ns)).where(t.c.status.in_(_LIVE)))
    found["oldest_undelivered_s"] = (now_ns - oldest) / 1e9 if oldest is not None else 0.0
    return found
