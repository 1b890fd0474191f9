"""The review queue and its labels."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.review import Label, ReviewItem
from watchkeeper.model.times import MINUTE
from watchkeeper.store.records import states
from watchkeeper.store.records.tables import labels, review_items, review_seats

RESERVATION_NS = 15 * MINUTE
_PAGE = 50
_RELABELLED = "relabelled"
_SKIPPED = "review_skipped"
#: How many skipped items of one reviewer are remembered, the newest.
_SKIPS = 1_000


def _item(row: sa.RowMapping) -> ReviewItem:
    return ReviewItem(**{k: v for k, v in row.items() if k in ReviewItem.__struct_fields__})


def _label(row: sa.RowMapping) -> Label:
    return Label(**{k: v for k, v in row.items() if k in Label.__struct_fields__})


class _Source:
    """The items of one source that concern a batch, and what becomes of them: read once, written once."""

    def __init__(self, conn: Connection, project: str, source: str, trace_ids: Sequence[str]) -> None:
        self._conn = conn
        self._here = sa.and_(review_items.c.project == project, review_items.c.source == source)
        self.known: dict[str, tuple[str, float]] = {}
        for start in range(0, len(trace_ids), 500):
            part = review_items.c.trace_id.in_(trace_ids[start : start + 500])
            columns = (review_items.c.trace_id, review_items.c.id, review_items.c.priority)
            for row in conn.execute(sa.select(*columns).where(self._here, part)):
                self.known[row.trace_id] = (row.id, row.priority)
        self.new: dict[str, dict[str, Any]] = {}
        self._open: dict[str, tuple[float, int]] | None = None
        self._mildest: list[tuple[float, int, str]] = []
        self._displaced: list[str] = []

    def raise_to(self, item: ReviewItem) -> None:
        """Give a known item a higher priority and the reason for it."""
        ident, priority = self.known[item.trace_id]
        if item.priority <= priority:
            return
        self.known[item.trace_id] = (ident, item.priority)
        changed = {"priority": item.priority, "reason": item.reason}
        if ident in self.new:
            self.new[ident].update(changed)
        else:
            at = sa.and_(self._here, review_items.c.trace_id == item.trace_id)
            self._conn.execute(sa.update(review_items).where(at).values(changed))
        if self._open is not None and ident in self._open:
            self._note(ident, item.priority, self._open[ident][1])

    def makes_room(self, item: ReviewItem, cap: int) -> bool:
        """Whether an item may come: there is room, or it is worse than the mildest, which is displaced."""
        if self._open is None:
            self._open = {}
            columns = (review_items.c.id, review_items.c.priority, review_items.c.created_ns)
            held = sa.select(*columns).where(self._here, review_items.c.status == "open")
            for row in self._conn.execute(held):
                self._note(row.id, row.priority, row.created_ns)
            for ident, row in self.new.items():
                self._note(ident, row["priority"], row["created_ns"])
        if len(self._open) < cap:
            return True
        # What was raised since stands further down under its present priority.
        while self._mildest and self._open.get(self._mildest[0][2]) != self._mildest[0][:2]:
            heapq.heappop(self._mildest)
        if not self._mildest or self._mildest[0][0] >= item.priority:
            return False
        gone = heapq.heappop(self._mildest)[2]
        del self._open[gone]
        self._displaced.append(gone)
        return True

    def put(self, item: ReviewItem) -> None:
        """A new item."""
        self.known[item.trace_id] = (item.id, item.priority)
        self.new[item.id] = {c.name: getattr(item, c.name) for c in review_items.columns}
        if self._open is not None and item.status == "open":
            self._note(item.id, item.priority, item.created_ns)

    def write(self) -> None:
        """Store the new and take out the displaced."""
        if self.new:
            self._conn.execute(sa.insert(review_items), list(self.new.values()))
        for start in range(0, len(self._displaced), 500):
            part = review_items.c.id.in_(self._displaced[start : start + 500])
            self._conn.execute(sa.update(review_items).where(part).values(status="displaced"))

    def _note(self, ident: str, priority: float, created_ns: int) -> None:
        assert self._open is not None
        self._open[ident] = (priority, created_ns)
        heapq.heappush(self._mildest, (priority, created_ns, ident))


def add_all(conn: Connection, wanted: Sequence[tuple[ReviewItem, int | None]]) -> list[bool]:
    """Put traces in the queue, one after another; for each whether it is there now.

    A trace is there once per `source`, whatever is added again: the higher priority wins. With a number beside it, a source
    holds at most that many open items: a worse trace displaces the mildest one, and a milder one is not added.
    """
    traces: dict[tuple[str, str], list[str]] = {}
    for item, _ in wanted:
        traces.setdefault((item.project, item.source), []).append(item.trace_id)
    sources = {key: _Source(conn, *key, list(dict.fromkeys(ids))) for key, ids in traces.items()}
    there: list[bool] = []
    for item, cap in wanted:
        source = sources[(item.project, item.source)]
        if item.trace_id in source.known:
            source.raise_to(item)
        elif cap is None or source.makes_room(item, cap):
            source.put(item)
        else:
            there.append(False)
            continue
        there.append(True)
    for source in sources.values():
        source.write()
    return there


def add(conn: Connection, item: ReviewItem, cap: int | None = None) -> bool:
    """`add_all` of one trace."""
    return add_all(conn, [(item, cap)])[0]


def _with_readers(conn: Connection, items: list[ReviewItem], now_ns: int) -> list[ReviewItem]:
    ids = [i.id for i in items]
    seats: dict[str, list[str]] = {}
    votes: dict[str, set[str]] = {}
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        taken = sa.select(review_seats).where(
            review_seats.c.item_id.in_(part), review_seats.c.until_ns >= now_ns
        )
        for row in conn.execute(taken.order_by(review_seats.c.reviewer)):
            seats.setdefault(row.item_id, []).append(row.reviewer)
        given = sa.select(labels.c.item_id, labels.c.author).where(labels.c.item_id.in_(part), _in_force())
        for row in conn.execute(given):
            votes.setdefault(row.item_id, set()).add(row.author)
    for item in items:
        item.held_by, item.votes = seats.get(item.id, []), len(votes.get(item.id, ()))
    return items


def _in_force() -> sa.ColumnElement[bool]:
    return sa.and_(labels.c.undone_ns.is_(None), labels.c.replaced_ns.is_(None))


def get(conn: Connection, project: str, item_id: str, now_ns: int = 0) -> ReviewItem | None:
    """One item, or None. Seats that ended before `now_ns` do not count."""
    rows = conn.execute(
        sa.select(review_items).where(review_items.c.project == project, review_items.c.id == item_id)
    )
    found = rows.mappings().first()
    return _with_readers(conn, [_item(found)], now_ns)[0] if found else None


def queue(
    conn: Connection,
    project: str,
    status: str | None = "open",
    limit: int = 100,
    offset: int = 0,
    *,
    source: str | None = None,
    assigned_to: str | None = None,
    now_ns: int = 0,
) -> list[ReviewItem]:
    """Items by priority, highest first, then oldest first; `status=None` for all, `source` and `assigned_to` for some."""
    query = sa.select(review_items).where(review_items.c.project == project)
    if status is not None:
        query = query.where(review_items.c.status == status)
    if source is not None:
        query = query.where(review_items.c.source == source)
    if assigned_to is not None:
        query = query.where(review_items.c.assigned_to == assigned_to)
    query = query.order_by(review_items.c.priority.desc(), review_items.c.created_ns, review_items.c.id)
    found = [_item(row) for row in conn.execute(query.limit(limit).offset(offset)).mappings()]
    return _with_readers(conn, found, now_ns)


def counts(conn: Connection, project: str, source: str | None = None) -> dict[str, int]:
    """How many items have each status."""
    query = (
        sa.select(review_items.c.status, sa.func.count())
        .where(review_items.c.project == project)
        .group_by(review_items.c.status)
    )
    if source is not None:
        query = query.where(review_items.c.source == source)
    return {status: int(n) for status, n in conn.execute(query)}


def for_trace(conn: Connection, project: str, trace_id: str) -> list[ReviewItem]:
    """Every item of a trace, newest first."""
    query = (
        sa.select(review_items)
        .where(review_items.c.project == project, review_items.c.trace_id == trace_id)
        .order_by(review_items.c.created_ns.desc())
    )
    return _with_readers(conn, [_item(row) for row in conn.execute(query).mappings()], 0)


def assign(conn: Connection, project: str, item_id: str, to: str | None) -> bool:
    """Say who should read an open item, None for anybody; False when there is none."""
    done = conn.execute(
        sa.update(review_items)
        .where(
            review_items.c.project == project,
            review_items.c.id == item_id,
            _waits(),
        )
        .values(assigned_to=to)
    )
    return done.rowcount == 1


def waiting(conn: Connection) -> dict[str, dict[str, int]]:
    """The traces of every project that wait for a reader or a decision, and when the newest item of each was made (ns)."""
    made = sa.func.max(review_items.c.created_ns)
    by = (review_items.c.project, review_items.c.trace_id)
    found: dict[str, dict[str, int]] = {}
    for project, trace_id, at in conn.execute(sa.select(*by, made).where(_waits()).group_by(*by)):
        found.setdefault(project, {})[trace_id] = int(at)
    return found


def lose(conn: Connection, project: str, trace_ids: Sequence[str]) -> int:
    """Take what nobody can read any more out of the queue; how many items that were."""
    lost = 0
    for start in range(0, len(trace_ids), 500):
        here = sa.and_(
            review_items.c.project == project, review_items.c.trace_id.in_(trace_ids[start : start + 500])
        )
        lost += conn.execute(sa.update(review_items).where(here, _waits()).values(status="gone")).rowcount
    return lost


def prune(conn: Connection, before_ns: int) -> int:
    """Forget the items of before then that nobody read and nobody will, and what others quote of a score or of a user behind the
    colon of their reason; how many were forgotten."""
    old = review_items.c.created_ns < before_ns
    quoting = sa.select(review_items.c.id, review_items.c.reason).where(
        old, review_items.c.reason.contains(": ")
    )
    cut = [{"at": ident, "said": reason.partition(": ")[0]} for ident, reason in conn.execute(quoting)]
    if cut:
        named = review_items.c.id == sa.bindparam("at")
        conn.execute(sa.update(review_items).where(named).values(reason=sa.bindparam("said")), cut)
    labelled = sa.exists().where(labels.c.item_id == review_items.c.id)
    unread = review_items.c.status.in_(("displaced", "gone"))
    return conn.execute(sa.delete(review_items).where(old, unread, sa.not_(labelled))).rowcount


def _waits() -> sa.ColumnElement[bool]:
    return review_items.c.status.in_(("open", "disputed"))


def want(conn: Connection, project: str, default: int, by_source: Mapping[str, int]) -> None:
    """Let open items that nobody has labelled yet want as many reviewers as the configuration says: `by_source` names a source
    or what stands before its colon."""
    rules = [
        (
            sa.or_(
                review_items.c.source == name, review_items.c.source.startswith(f"{name}:", autoescape=True)
            ),
            n,
        )
        for name, n in by_source.items()
    ]
    wanted = sa.case(*rules, else_=default) if rules else sa.literal(default)
    differs = sa.and_(
        review_items.c.project == project,
        review_items.c.status == "open",
        review_items.c.reviewers != wanted,
    )
    # Most often nothing differs, and then nothing is written.
    if conn.scalar(sa.select(review_items.c.id).where(differs).limit(1)) is None:
        return
    labelled = sa.exists().where(labels.c.item_id == review_items.c.id, _in_force())
    conn.execute(sa.update(review_items).where(differs, sa.not_(labelled)).values(reviewers=wanted))


def free_items(
    conn: Connection, project: str, reviewer: str, now_ns: int, limit: int, source: str | None = None
) -> list[ReviewItem]:
    """What `reviewer` may read next, in order: what they hold, what is assigned to them, then by priority. An item that
    wants k reviewers has room for k of them; nobody reads one twice, nor what they skipped."""
    skipped: set[str] = set(states.get(conn, project, _SKIPPED, reviewer) or ())
    mine = sa.exists().where(
        review_seats.c.item_id == review_items.c.id,
        review_seats.c.reviewer == reviewer,
        review_seats.c.until_ns >= now_ns,
    )
    found: dict[str, ReviewItem] = {}
    for where in (mine, review_items.c.assigned_to == reviewer, review_items.c.assigned_to.is_(None)):
        for item in _open_pages(conn, project, where, source):
            if len(found) >= limit:
                return list(found.values())
            if item.id in skipped:
                continue
            if item.assigned_to in (None, reviewer) and _has_room(conn, item, reviewer, now_ns):
                found.setdefault(item.id, item)
    return list(found.values())


def _open_pages(
    conn: Connection, project: str, where: sa.ColumnElement[bool], source: str | None
) -> Iterator[ReviewItem]:
    """Open items by priority, read a page at a time along the index: most often the first one is free."""
    query = sa.select(review_items).where(
        review_items.c.project == project, review_items.c.status == "open", where
    )
    if source is not None:
        query = query.where(review_items.c.source == source)
    query = query.order_by(review_items.c.priority.desc(), review_items.c.created_ns, review_items.c.id)
    for start in range(0, 1_000_000, _PAGE):
        rows = conn.execute(query.limit(_PAGE).offset(start)).mappings().all()
        yield from (_item(row) for row in rows)
        if len(rows) < _PAGE:
            return


def _has_room(conn: Connection, item: ReviewItem, reviewer: str, now_ns: int) -> bool:
    voted = set(
        conn.scalars(sa.select(labels.c.author).where(labels.c.item_id == item.id, _in_force()).distinct())
    )
    seated = set(
        conn.scalars(
            sa.select(review_seats.c.reviewer).where(
                review_seats.c.item_id == item.id, review_seats.c.until_ns >= now_ns
            )
        )
    )
    return reviewer not in voted and len((voted | seated) - {reviewer}) < item.reviewers


def reserve_next(
    conn: Connection,
    project: str,
    reviewer: str,
    now_ns: int,
    *,
    reservation_ns: int = RESERVATION_NS,
    source: str | None = None,
) -> ReviewItem | None:
    """Give `reviewer` a seat at the most urgent item with room, until `reservation_ns` from now; None when there is none. The
    item they hold already comes first, so that a reload shows the same trace."""
    for item in free_items(conn, project, reviewer, now_ns, 5, source):
        # SQLite has one writer; on PostgreSQL two reviewers asking at once must not both take the last seat.
        row = sa.select(review_items.c.id).where(review_items.c.id == item.id)
        if conn.scalar(row.with_for_update(skip_locked=True)) and _has_room(conn, item, reviewer, now_ns):
            hold(conn, project, item.id, reviewer, now_ns + reservation_ns)
            return get(conn, project, item.id, now_ns)
    return None


def hold(conn: Connection, project: str, item_id: str, reviewer: str, until_ns: int) -> None:
    """Give `reviewer` a seat at an item, or keep theirs until later."""
    where = sa.and_(review_seats.c.item_id == item_id, review_seats.c.reviewer == reviewer)
    changed = conn.execute(sa.update(review_seats).where(where).values(until_ns=until_ns))
    if changed.rowcount == 0:
        conn.execute(
            sa.insert(review_seats).values(
                item_id=item_id, reviewer=reviewer, project=project, until_ns=until_ns
            )
        )


def release(conn: Connection, project: str, item_id: str, reviewer: str) -> bool:
    """Give a seat back; False when `reviewer` has none there."""
    given = conn.execute(
        sa.delete(review_seats).where(
            review_seats.c.project == project,
            review_seats.c.item_id == item_id,
            review_seats.c.reviewer == reviewer,
        )
    )
    return given.rowcount == 1


def skip(conn: Connection, project: str, item_id: str, reviewer: str, now_ns: int) -> ReviewItem | None:
    """Leave an item to others: it is not offered to `reviewer` again, who may still open it by its address. None where there is no
    such open item."""
    found = get(conn, project, item_id, now_ns)
    if found is None or found.status != "open":
        return None
    release(conn, project, item_id, reviewer)
    if found.assigned_to == reviewer:
        assign(conn, project, item_id, None)
    before = states.get(conn, project, _SKIPPED, reviewer) or []
    after = [*(i for i in before if i != item_id), item_id][-_SKIPS:]
    states.put(conn, project, _SKIPPED, reviewer, after, now_ns)
    return found


def label(conn: Connection, label: Label) -> str:
    """Append a label, free its author's seat, and return the item's status: done when enough people agree or somebody decided,
    disputed when they do not agree, open while more are wanted. Nothing is overwritten: a later label of the same author is a
    correction.

    Raises `LookupError` when the item does not exist in the label's project.
    """
    if get(conn, label.project, label.item_id) is None:
        raise LookupError(f"no review item {label.item_id} in project {label.project}")
    conn.execute(sa.insert(labels).values(**{f: getattr(label, f) for f in Label.__struct_fields__}))
    mark(conn, label.project, {label.trace_id: label.id}, label.time_ns)
    conn.execute(
        sa.delete(review_seats).where(
            review_seats.c.item_id == label.item_id, review_seats.c.reviewer == label.author
        )
    )
    return _settle(conn, label.item_id)


def _settle(conn: Connection, item_id: str) -> str:
    wanted = conn.scalar(sa.select(review_items.c.reviewers).where(review_items.c.id == item_id)) or 1
    given = conn.execute(
        sa.select(labels)
        .where(labels.c.item_id == item_id, _in_force())
        .order_by(labels.c.time_ns, labels.c.id)
    )
    said = [_label(row) for row in given.mappings()]
    latest = {x.author: x for x in said if x.role == "vote"}
    if any(x.role == "final" for x in said):
        status = "done"
    elif len(latest) < wanted:
        status = "open"
    else:
        status = "done" if wanted == 1 or agreed(list(latest.values())) else "disputed"
    conn.execute(sa.update(review_items).where(review_items.c.id == item_id).values(status=status))
    return status


def agreed(votes: Sequence[Label]) -> bool:
    """Whether votes say the same: the same verdict and, where it is bad, the same name."""
    return len({(v.verdict, (v.taxonomy or "").casefold() if v.verdict == "bad" else "") for v in votes}) == 1


def undo(
    conn: Connection, project: str, author: str, now_ns: int, reservation_ns: int = RESERVATION_NS
) -> ReviewItem | None:
    """Take back the author's newest label and give them their seat again; None when there is nothing to undo."""
    row = conn.execute(
        sa.select(labels)
        .where(labels.c.project == project, labels.c.author == author, _in_force())
        .order_by(labels.c.time_ns.desc(), labels.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    conn.execute(sa.update(labels).where(labels.c.id == row.id).values(undone_ns=now_ns))
    mark(conn, project, {row.trace_id: f"without {row.id}"}, now_ns)
    if _settle(conn, row.item_id) == "open":
        hold(conn, project, row.item_id, author, now_ns + reservation_ns)
    return get(conn, project, row.item_id, now_ns)


def labels_of(conn: Connection, project: str, trace_ids: list[str] | None = None) -> list[Label]:
    """The labels that count, oldest first; of the given traces, or all of the project.

    Where somebody decided, the decision alone; of an item that waits for more reviewers or for a decision, nothing yet.
    """
    votes = votes_of(conn, project, trace_ids)
    waiting = sa.select(review_items.c.id).where(
        review_items.c.project == project,
        review_items.c.reviewers > 1,
        _waits(),
    )
    undecided = set(conn.scalars(waiting))
    decided = {v.item_id for v in votes if v.role == "final"}
    return [
        v for v in votes if v.item_id not in undecided and (v.role == "final" or v.item_id not in decided)
    ]


def disputed_traces(conn: Connection, project: str) -> set[str]:
    """The traces on which reviewers do not agree and nobody has decided."""
    query = sa.select(review_items.c.trace_id).where(
        review_items.c.project == project, review_items.c.status == "disputed"
    )
    return set(conn.scalars(query))


def drawn(conn: Connection, item_ids: Sequence[str]) -> dict[str, tuple[str, float | None]]:
    """Why each of these items is in the queue (its source), and with which probability it was drawn, None where by no chance."""
    found: dict[str, tuple[str, float | None]] = {}
    ids = list(dict.fromkeys(item_ids))
    for start in range(0, len(ids), 500):
        part = review_items.c.id.in_(ids[start : start + 500])
        columns = (review_items.c.id, review_items.c.source, review_items.c.probability)
        found |= {
            row.id: (row.source, row.probability) for row in conn.execute(sa.select(*columns).where(part))
        }
    return found


def mark(conn: Connection, project: str, changes: Mapping[str, str], now_ns: int) -> None:
    """Note that the labels of these traces are others now; a change is any text that no other change of the trace has."""
    traces = list(changes)
    for start in range(0, len(traces), 500):
        part = {t: changes[t] for t in traces[start : start + 500]}
        states.put_all(conn, project, _RELABELLED, part, now_ns)


def relabelled(conn: Connection, project: str) -> dict[str, str]:
    """The traces whose labels changed since their scores were settled, each with its last change."""
    return states.get_all(conn, project, _RELABELLED)


def settle_relabelled(conn: Connection, project: str, changes: Mapping[str, str]) -> None:
    """Their scores say what their labels said at these changes; a trace that was changed again since stays noted."""
    now = relabelled(conn, project)
    done = [t for t, change in changes.items() if now.get(t) == change]
    for start in range(0, len(done), 500):
        states.delete(conn, project, _RELABELLED, done[start : start + 500])


def votes_of(conn: Connection, project: str, trace_ids: list[str] | None = None) -> list[Label]:
    """Every label in force (not undone, not renamed), oldest first, votes and decisions alike."""
    query = sa.select(labels).where(labels.c.project == project, _in_force())
    if trace_ids is not None:
        query = query.where(labels.c.trace_id.in_(trace_ids))
    return [_label(row) for row in conn.execute(query.order_by(labels.c.time_ns, labels.c.id)).mappings()]


def history_of(conn: Connection, project: str, trace_id: str) -> list[dict[str, Any]]:
    """Every label a trace ever had, also taken back and renamed ones, oldest first."""
    query = sa.select(labels).where(labels.c.project == project, labels.c.trace_id == trace_id)
    return [dict(row) for row in conn.execute(query.order_by(labels.c.time_ns, labels.c.id)).mappings()]


def taxonomy(conn: Connection, project: str) -> list[tuple[str, int]]:
    """The taxonomy names in use with how often each was given, commonest first."""
    query = (
        sa.select(labels.c.taxonomy, sa.func.count())
        .where(labels.c.project == project, _in_force(), labels.c.taxonomy.is_not(None))
        .group_by(labels.c.taxonomy)
        .order_by(sa.func.count().desc(), labels.c.taxonomy)
    )
    return [(str(name), int(n)) for name, n in conn.execute(query)]
