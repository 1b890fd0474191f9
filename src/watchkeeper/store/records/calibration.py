"""Samples drawn to be labelled, and calibrations: a scorer version compared with people."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.calibration import Calibration, Candidate, Drift
from watchkeeper.store.records import states
from watchkeeper.store.records.tables import calibration_samples, calibrations, labels

CANARY = "judge_canary"
SOURCE = "calibration:"


def source_of(scorer: str) -> str:
    """The review queue's source of this scorer's calibration sample."""
    return f"{SOURCE}{scorer}"[:64]


def _mine(project: str, scorer: str, version: str, judge_model: str) -> sa.ColumnElement[bool]:
    t = calibration_samples.c
    return sa.and_(
        t.project == project, t.scorer == scorer, t.version == version, t.judge_model == judge_model
    )


def add_samples(
    conn: Connection,
    project: str,
    scorer: str,
    version: str,
    judge_model: str,
    drawn: Sequence[tuple[Candidate, float]],
    now_ns: int,
) -> int:
    """Note what was drawn; a trace drawn for an earlier version is drawn anew. How many rows were written."""
    ids = [c.trace_id for c, _ in drawn]
    t = calibration_samples
    here = sa.and_(t.c.project == project, t.c.scorer == scorer)
    for start in range(0, len(ids), 500):
        conn.execute(sa.delete(t).where(here, t.c.trace_id.in_(ids[start : start + 500])))
    rows = [
        {
            "project": project,
            "scorer": scorer,
            "trace_id": c.trace_id,
            "version": version,
            "judge_model": judge_model,
            "passed": c.passed,
            "probability": probability,
            "drawn_ns": now_ns,
            "document": msgspec.to_builtins(c),
        }
        for c, probability in drawn
    ]
    if rows:
        conn.execute(sa.insert(t), rows)
    return len(rows)


def samples(
    conn: Connection, project: str, scorer: str, version: str, judge_model: str, since_ns: int = 0
) -> list[tuple[Candidate, float, int]]:
    """What was drawn for a scorer version since then: candidate, probability of being labelled, when it was drawn."""
    t = calibration_samples
    rows = conn.execute(
        sa.select(t.c.document, t.c.probability, t.c.drawn_ns)
        .where(_mine(project, scorer, version, judge_model), t.c.drawn_ns >= since_ns)
        .order_by(t.c.trace_id)
    )
    return [(msgspec.convert(d, Candidate), float(p), int(at)) for d, p, at in rows]


def waiting(conn: Connection, project: str) -> dict[str, int]:
    """How many drawn traces of each scorer have no label yet."""
    t = calibration_samples
    labelled = sa.exists().where(
        labels.c.project == t.c.project, labels.c.trace_id == t.c.trace_id, labels.c.undone_ns.is_(None)
    )
    rows = conn.execute(
        sa.select(t.c.scorer, sa.func.count()).where(t.c.project == project, ~labelled).group_by(t.c.scorer)
    )
    return {str(name): int(n) for name, n in rows}


def save(conn: Connection, made: Calibration) -> None:
    """Store a calibration."""
    conn.execute(
        sa.insert(calibrations).values(
            id=made.id,
            project=made.project,
            scorer=made.scorer,
            version=made.version,
            time_ns=made.time_ns,
            status=made.status,
            document=msgspec.to_builtins(made),
        )
    )


def history(conn: Connection, project: str, scorer: str | None = None, limit: int = 500) -> list[Calibration]:
    """Calibrations, newest first."""
    query = sa.select(calibrations.c.document).where(calibrations.c.project == project)
    if scorer is not None:
        query = query.where(calibrations.c.scorer == scorer)
    rows = conn.scalars(query.order_by(calibrations.c.time_ns.desc(), calibrations.c.id).limit(limit))
    return [msgspec.convert(d, Calibration) for d in rows]


def canary(conn: Connection, project: str, scorer: str) -> dict[str, Any] | None:
    """The fixed examples of a judge with their first verdicts, and the last day they were judged again; None without."""
    return states.get(conn, project, CANARY, scorer[:512])


def canaries(conn: Connection, project: str) -> dict[str, Drift]:
    """What the last daily run of every judge's fixed examples found."""
    found = states.get_all(conn, project, CANARY)
    return {k: msgspec.convert(v["last"], Drift) for k, v in found.items() if v.get("last")}


def keep_canary(conn: Connection, project: str, scorer: str, document: dict[str, Any], now_ns: int) -> None:
    """Store the fixed examples or what came of judging them again."""
    states.put(conn, project, CANARY, scorer[:512], document, now_ns)
