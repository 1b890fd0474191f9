"""What the records hold of a trace, removed or blanked; receipts; and the hashes of what must not come back."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.erasure import Erasure
from watchkeeper.model.review import ERASED, Case
from watchkeeper.store.records.jobs import insert_missing
from watchkeeper.store.records.tables import (
    actions,
    alerts,
    backfills,
    calibration_samples,
    calibrations,
    cases,
    erased,
    erasures,
    experiments,
    incidents,
    jobs,
    judge_cache,
    labels,
    managed,
    notifications,
    review_items,
    review_seats,
    signal_traces,
    signals,
    states,
    timeline,
)

BLANK = ERASED
MARK = "erased"
CHUNK = 500
# Columns of plain data in which something may quote a trace.
DOCUMENTS = (
    (signals, signals.c.document),
    (alerts, alerts.c.document),
    (notifications, notifications.c.document),
    (incidents, incidents.c.document),
    (timeline, timeline.c.detail),
    (actions, actions.c.document),
    (experiments, experiments.c.document),
    (managed, managed.c.document),
    (calibrations, calibrations.c.document),
    (backfills, backfills.c.document),
    (states, states.c.value),
    (jobs, jobs.c.payload),
)
# Under these names an object that names a trace holds what people or models wrote.
TEXTS = frozenset(
    [
        "input",
        "output",
        "expected",
        "expected_output",
        "actual",
        "answer",
        "reason",
        "rationale",
        "comment",
        "text",
        "message",
        "quote",
        "input_text",
        "output_text",
        "messages",
        "context",
        "error",
        "documents",
        "steps",
        "replies",
        "reply",
        "raw",
        "question",
        "content",
        "evidence",
    ]
)
NAMES = ("trace_id", "case_id")
POINTERS = ("representative", "regressed_trace")


# What of that is content, which has a retention of its own; reasons and comments go with the scores.
CONTENT = TEXTS - {"reason", "rationale", "comment", "text", "message", "error", "evidence"}
# What copies the texts of traces on its own way, and when.
COPIES = (
    (alerts, alerts.c.document, alerts.c.updated_ns),
    (notifications, notifications.c.document, notifications.c.created_ns),
    (actions, actions.c.document, actions.c.created_ns),
)


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    every = sorted(ids)
    for start in range(0, len(every), CHUNK):
        yield every[start : start + CHUNK]


def _emptied(value: Any) -> Any:
    """The same kind of value without what it said; numbers and flags stay."""
    if isinstance(value, str):
        return BLANK if value else value
    if isinstance(value, list):
        return []
    return {} if isinstance(value, dict) else value


def blanked(value: Any, gone: Collection[str]) -> Any:
    """A document without what it quotes of these traces or cases: texts of the objects that name one, and their ids in lists
    and pointers. Equal to the given one when it names none."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [blanked(v, gone) for v in items if not (isinstance(v, str) and v in gone)]
    if not isinstance(value, dict):
        return value
    made = {k: blanked(v, gone) for k, v in cast("dict[str, Any]", value).items()}
    if any(made.get(name) in gone for name in NAMES if isinstance(made.get(name), str)):
        made = {k: _emptied(v) if k in TEXTS or k.endswith("_text") else v for k, v in made.items()}
        scores = made.get("scores")
        if isinstance(scores, dict):
            told = cast("dict[str, Any]", scores)
            made["scores"] = {k: _without_reason(v) for k, v in told.items()}
    for name in POINTERS:
        if isinstance(made.get(name), str) and made[name] in gone:
            made[name] = None
    return made


def unquoted(value: Any) -> Any:
    """A document without the content of any trace it names. Equal to the given one when it quotes none."""
    if isinstance(value, list):
        return [unquoted(v) for v in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    made = {k: unquoted(v) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(made.get("trace_id"), str):
        made = {k: v for k, v in made.items() if k not in CONTENT and not k.endswith("_text")}
    return made


def unquote(conn: Connection, since_ns: int, until_ns: int) -> int:
    """Remove what alerts, messages and actions of [since, until) quote of traces, of every project; how many changed."""
    changed = 0
    for table, column, at in COPIES:
        keys = list(table.primary_key.columns)
        old = conn.execute(sa.select(*keys, column).where(at >= since_ns, at < until_ns)).all()
        for row in old:
            after = unquoted(row[-1])
            if after != row[-1]:
                here = sa.and_(*(key == value for key, value in zip(keys, row, strict=False)))
                conn.execute(sa.update(table).where(here).values({column.name: after}))
                changed += 1
    return changed


def _without_reason(score: Any) -> Any:
    if not isinstance(score, dict):
        return score
    return {k: _emptied(v) if k in TEXTS else v for k, v in cast("dict[str, Any]", score).items()}


def forget(conn: Connection, project: str, trace_ids: Sequence[str]) -> dict[str, int]:
    """Remove or blank everything the records hold of these traces; how many rows of each table. Doing it again finds nothing.

    A case keeps its id and its place in every version of its dataset, blank and labelled `erased`; a label keeps its verdict.
    The project's judge cache goes whole: its replies quote what was judged and are filed by content, not by trace.
    """
    counts: Counter[str] = Counter()
    if not trace_ids:
        return {}
    gone = set(trace_ids)
    for chunk in _chunks(gone):
        _remove(conn, project, chunk, counts)
        gone |= _blank_cases(conn, project, chunk, counts)
    for table, column in DOCUMENTS:
        counts[table.name] += _blank_documents(conn, project, table, column, gone)
    counts["states"] += _forget_dead(conn, project, gone)
    counts["judge_cache"] = conn.execute(
        sa.delete(judge_cache).where(judge_cache.c.project == project)
    ).rowcount
    return {name: n for name, n in counts.items() if n}


def _remove(conn: Connection, project: str, ids: list[str], counts: Counter[str]) -> None:
    items = conn.scalars(
        sa.select(review_items.c.id).where(
            review_items.c.project == project, review_items.c.trace_id.in_(ids)
        )
    ).all()
    conn.execute(sa.delete(review_seats).where(review_seats.c.item_id.in_(items)))
    for table in (review_items, signal_traces, calibration_samples):
        found = conn.execute(sa.delete(table).where(table.c.project == project, table.c.trace_id.in_(ids)))
        counts[table.name] += found.rowcount
    said = sa.or_(labels.c.comment.is_not(None), labels.c.expected_output.is_not(None))
    mine = sa.and_(labels.c.project == project, labels.c.trace_id.in_(ids), said)
    counts["labels"] += conn.execute(
        sa.update(labels).where(mine).values(comment=None, expected_output=None)
    ).rowcount
    named = jobs.c.payload["trace_id"].as_string().in_(ids)
    counts["jobs"] += conn.execute(sa.delete(jobs).where(jobs.c.project == project, named)).rowcount


def _blank_cases(conn: Connection, project: str, ids: list[str], counts: Counter[str]) -> set[str]:
    """Blank the cases made of these traces, in every version; their ids."""
    rows = conn.execute(
        sa.select(cases.c.hash, cases.c.case_id, cases.c.document).where(
            cases.c.project == project, cases.c.trace_id.in_(ids)
        )
    ).all()
    for digest, case_id, document in rows:
        was = msgspec.convert(document, Case)
        case = Case(
            id=case_id, input=BLANK, labels=[MARK], scenario=was.scenario, severity=was.severity, owner=was.owner,
            split=was.split,
        )  # fmt: skip
        here = sa.and_(cases.c.project == project, cases.c.hash == digest)
        conn.execute(sa.update(cases).where(here).values(document=msgspec.to_builtins(case), trace_id=None))
    counts["cases"] += len(rows)
    return {str(r.case_id) for r in rows}


def _forget_dead(conn: Connection, project: str, gone: Collection[str]) -> int:
    """What forwarding keeps of records that a target would not take, which is of all projects together."""
    here = sa.and_(states.c.project == "*", states.c.kind == "forward")
    changed = 0
    for key, value in conn.execute(sa.select(states.c.key, states.c.value).where(here)).all():
        told = value.get("last_dead", [])
        kept = [
            d for d in told if d["trace_id"] not in gone or d.get("project", project) not in ("", project)
        ]
        if len(kept) != len(told):
            after = {**value, "last_dead": kept}
            conn.execute(sa.update(states).where(here, states.c.key == key).values(value=after))
            changed += 1
    return changed


def _blank_documents(
    conn: Connection, project: str, table: sa.Table, column: sa.Column[Any], gone: Collection[str]
) -> int:
    keys = list(table.primary_key.columns)
    changed: list[tuple[sa.Row[Any], Any]] = []
    for row in conn.execute(sa.select(*keys, column).where(table.c.project == project)):
        after = blanked(row[-1], gone)
        if after != row[-1]:
            changed.append((row, after))
    for row, after in changed:
        here = sa.and_(*(key == value for key, value in zip(keys, row, strict=False)))
        conn.execute(sa.update(table).where(here).values({column.name: after}))
    return len(changed)


def put(conn: Connection, erasure: Erasure) -> None:
    """Store a receipt, or replace it."""
    row = {"state": erasure.state, "document": msgspec.to_builtins(erasure)}
    if conn.execute(sa.update(erasures).where(erasures.c.id == erasure.id).values(**row)).rowcount == 0:
        given = {"id": erasure.id, "project": erasure.project, "created_ns": erasure.created_ns, **row}
        conn.execute(sa.insert(erasures).values(**given))


def find(conn: Connection, project: str, limit: int = 100) -> list[Erasure]:
    """A project's receipts, newest first."""
    rows = conn.scalars(
        sa.select(erasures.c.document)
        .where(erasures.c.project == project)
        .order_by(erasures.c.created_ns.desc(), erasures.c.id)
        .limit(limit)
    )
    return [msgspec.convert(d, Erasure) for d in rows]


def unfinished(conn: Connection) -> list[Erasure]:
    """What is not done in any project, oldest first."""
    rows = conn.scalars(
        sa.select(erasures.c.document).where(erasures.c.state != "done").order_by(erasures.c.created_ns)
    )
    return [msgspec.convert(d, Erasure) for d in rows]


def bury(conn: Connection, hashes: Collection[str], now_ns: int) -> None:
    """Remember hashes of what must not come back."""
    for chunk in _chunks(set(hashes)):
        insert_missing(conn, erased, [{"hash": h, "erased_ns": now_ns} for h in chunk])


def buried(conn: Connection) -> set[str]:
    """Every hash of what must not come back."""
    return {str(h) for h in conn.scalars(sa.select(erased.c.hash))}


def mark(conn: Connection) -> tuple[int, int]:
    """What changes when `buried` does: how many there are, and the time of the latest."""
    found = conn.execute(sa.select(sa.func.count(), sa.func.max(erased.c.erased_ns)))
    number, latest = found.one()
    return int(number), int(latest or 0)


def unbury(conn: Connection, before_ns: int) -> int:
    """Forget hashes older than any re-send can be; how many."""
    return conn.execute(sa.delete(erased).where(erased.c.erased_ns < before_ns)).rowcount
