"""The review queue and its labels."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.review import Label, ReviewItem
from watchkeeper.store.records.tables import labels, review_items

RESERVATION_NS = 15 * 60 * 10**9


def _item(row: sa.RowMapping) -> ReviewItem:
    return ReviewItem(**{k: v for k, v in row.items() if k in ReviewItem.__struct_fields__})


def _label(row: sa.RowMapping) -> Label:
    return Label(**{k: v for k, v in row.items() if k in Label.__struct_fields__})


def add(conn: Connection, item: ReviewItem, cap: int | None = None) -> bool:
    """Put one trace in the queue; True when it is there now.

    A trace is there once per `source`, whatever is added again: the higher priority wins. With `cap`, a source holds
    at most that many open items: a worse trace displaces the mildest one, and a milder one is not added.
    """
    here = sa.and_(
        review_items.c.project == item.project,
        review_items.c.trace_id == item.trace_id,
        review_items.c.source == item.source,
    )
    known = conn.execute(sa.select(review_items.c.id, review_items.c.priority).where(here)).first()
    if known is not None:
        if item.priority > known.priority:
            conn.execute(
                sa.update(review_items).where(here).values(priority=item.priority, reason=item.reason)
            )
        return True
    if cap is not None:
        open_here = sa.and_(
            review_items.c.project == item.project,
            review_items.c.source == item.source,
            review_items.c.status == "open",
        )
        held = conn.scalar(sa.select(sa.func.count()).select_from(review_items).where(open_here)) or 0
        if held >= cap:
            mildest = conn.execute(
                sa.select(review_items.c.id, review_items.c.priority)
                .where(open_here)
                .order_by(review_items.c.priority, review_items.c.created_ns)
                .limit(1)
            ).first()
            if mildest is None or mildest.priority >= item.priority:
                return False
            conn.execute(
                sa.update(review_items).where(review_items.c.id == mildest.id).values(status="displaced")
            )
    conn.execute(
        sa.insert(review_items).values(
            **{c.name: getattr(item, c.name) for c in review_items.columns if hasattr(item, c.name)}
        )
    )
    return True


def get(conn: Connection, project: str, item_id: str) -> ReviewItem | None:
    """One item, or None."""
    rows = conn.execute(
        sa.select(review_items).where(review_items.c.project == project, review_items.c.id == item_id)
    )
    found = rows.mappings().first()
    return _item(found) if found else None


def queue(
    conn: Connection, project: str, status: str | None = "open", limit: int = 100, offset: int = 0
) -> list[ReviewItem]:
    """Items by priority, highest first, then oldest first; `status=None` for all."""
    query = sa.select(review_items).where(review_items.c.project == project)
    if status is not None:
        query = query.where(review_items.c.status == status)
    query = query.order_by(review_items.c.priority.desc(), review_items.c.created_ns, review_items.c.id)
    return [_item(row) for row in conn.execute(query.limit(limit).offset(offset)).mappings()]


def counts(conn: Connection, project: str) -> dict[str, int]:
    """How many items have each status."""
    query = (
        sa.select(review_items.c.status, sa.func.count())
        .where(review_items.c.project == project)
        .group_by(review_items.c.status)
    )
    return {status: int(n) for status, n in conn.execute(query)}


def for_trace(conn: Connection, project: str, trace_id: str) -> list[ReviewItem]:
    """Every item of a trace, newest first."""
    query = (
        sa.select(review_items)
        .where(review_items.c.project == project, review_items.c.trace_id == trace_id)
        .order_by(review_items.c.created_ns.desc())
    )
    return [_item(row) for row in conn.execute(query).mappings()]


def reserve_next(conn: Connection, project: str, reviewer: str, now_ns: int) -> ReviewItem | None:
    """Reserve the most urgent free item for `reviewer`, for a quarter of an hour; None when nothing is free.

    The reviewer's own reserved item comes first, so a reload shows the same trace. The claim is a conditional update,
    so two reviewers never get the same item.
    """
    free = sa.or_(
        review_items.c.reserved_until_ns.is_(None),
        review_items.c.reserved_until_ns < now_ns,
        review_items.c.assigned_to == reviewer,
    )
    candidates = conn.execute(
        sa.select(review_items)
        .where(review_items.c.project == project, review_items.c.status == "open", free)
        .order_by(
            sa.case((review_items.c.assigned_to == reviewer, 0), else_=1),
            review_items.c.priority.desc(),
            review_items.c.created_ns,
            review_items.c.id,
        )
        .limit(5)
    ).all()
    for row in candidates:
        claimed = conn.execute(
            sa.update(review_items)
            .where(review_items.c.id == row.id, review_items.c.status == "open", free)
            .values(assigned_to=reviewer, reserved_until_ns=now_ns + RESERVATION_NS)
        )
        if claimed.rowcount == 1:
            return get(conn, project, row.id)
    return None


def release(conn: Connection, project: str, item_id: str, reviewer: str) -> bool:
    """Give a reserved item back; False when `reviewer` does not hold it."""
    given = conn.execute(
        sa.update(review_items)
        .where(
            review_items.c.project == project,
            review_items.c.id == item_id,
            review_items.c.assigned_to == reviewer,
        )
        .values(assigned_to=None, reserved_until_ns=None)
    )
    return given.rowcount == 1


def label(conn: Connection, label: Label) -> None:
    """Append a label and close its item. A later label of the same author is a correction; nothing is overwritten.

    Raises `LookupError` when the item does not exist in the label's project.
    """
    done = conn.execute(
        sa.update(review_items)
        .where(review_items.c.project == label.project, review_items.c.id == label.item_id)
        .values(status="done", assigned_to=label.author, reserved_until_ns=None)
    )
    if done.rowcount != 1:
        raise LookupError(f"no review item {label.item_id} in project {label.project}")
    conn.execute(sa.insert(labels).values(**{f: getattr(label, f) for f in Label.__struct_fields__}))


def undo(conn: Connection, project: str, author: str, now_ns: int) -> ReviewItem | None:
    """Take back the author's newest label and reopen its item; None when there is nothing to undo."""
    row = conn.execute(
        sa.select(labels)
        .where(labels.c.project == project, labels.c.author == author, labels.c.undone_ns.is_(None))
        .order_by(labels.c.time_ns.desc(), labels.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    conn.execute(sa.update(labels).where(labels.c.id == row.id).values(undone_ns=now_ns))
    conn.execute(
        sa.update(review_items)
        .where(review_items.c.id == row.item_id)
        .values(status="open", assigned_to=author, reserved_until_ns=now_ns + RESERVATION_NS)
    )
    return get(conn, project, row.item_id)


def labels_of(conn: Connection, project: str, trace_ids: list[str] | None = None) -> list[Label]:
    """Labels in force (not undone), oldest first; of the given traces, or all of the project."""
    query = sa.select(labels).where(labels.c.project == project, labels.c.undone_ns.is_(None))
    if trace_ids is not None:
        query = query.where(labels.c.trace_id.in_(trace_ids))
    return [_label(row) for row in conn.execute(query.order_by(labels.c.time_ns, labels.c.id)).mappings()]


def taxonomy(conn: Connection, project: str) -> list[tuple[str, int]]:
    """The taxonomy names in use with how often each was given, commonest first."""
    query = (
        sa.select(labels.c.taxonomy, sa.func.count())
        .where(labels.c.project == project, labels.c.undone_ns.is_(None), labels.c.taxonomy.is_not(None))
        .group_by(labels.c.taxonomy)
        .order_by(sa.func.count().desc(), labels.c.taxonomy)
    )
    return [(str(name), int(n)) for name, n in conn.execute(query)]
