"""Experiments: one run of a target over one dataset version, with the gate's verdict when it was gated."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.store.records.tables import experiments


def save(conn: Connection, experiment: dict[str, Any]) -> None:
    """Store an experiment whole, or replace the one with its id (a run that resumed or finished).

    Keys: id, project, name, dataset, dataset_version, target, verdict, created_ns, finished_ns, and whatever else the
    run recorded, kept in the document.
    """
    known = {c.name for c in experiments.columns} - {"document"}
    row = {k: v for k, v in experiment.items() if k in known}
    row["document"] = {k: v for k, v in experiment.items() if k not in known}
    here = sa.and_(experiments.c.project == experiment["project"], experiments.c.id == experiment["id"])
    if conn.execute(sa.update(experiments).where(here).values(**row)).rowcount == 0:
        conn.execute(sa.insert(experiments).values(**row))


def _whole(row: sa.RowMapping) -> dict[str, Any]:
    fields: dict[str, Any] = {str(k): v for k, v in row.items()}
    document: dict[str, Any] = fields.pop("document") or {}
    return {**document, **fields}


def get(conn: Connection, project: str, experiment_id: str) -> dict[str, Any] | None:
    """One experiment, or None. The newest of that name when no id matches."""
    row = (
        conn.execute(
            sa.select(experiments).where(experiments.c.project == project, experiments.c.id == experiment_id)
        )
        .mappings()
        .first()
    )
    if row is None:
        row = (
            conn.execute(
                sa.select(experiments)
                .where(experiments.c.project == project, experiments.c.name == experiment_id)
                .order_by(experiments.c.created_ns.desc())
                .limit(1)
            )
            .mappings()
            .first()
        )
    return _whole(row) if row else None


def listing(conn: Connection, project: str, limit: int = 100) -> list[dict[str, Any]]:
    """The newest experiments without their per-case results."""
    rows = conn.execute(
        sa.select(experiments)
        .where(experiments.c.project == project)
        .order_by(experiments.c.created_ns.desc(), experiments.c.id)
        .limit(limit)
    )
    return [{k: v for k, v in _whole(row).items() if k != "results"} for row in rows.mappings()]
