"""Trained classifiers by name and version."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.trained import Trained
from watchkeeper.store.records.tables import calibration_samples, trained

RUNNING = ("active", "measuring")


def _made(document: Any) -> Trained:
    return msgspec.convert(document, Trained)


def save(conn: Connection, made: Trained) -> None:
    """Store a version, or replace it."""
    row = {
        "project": made.project, "name": made.name, "version": made.version, "state": made.state,
        "created_ns": made.created_ns, "document": made.document(),
    }  # fmt: skip
    here = sa.and_(
        trained.c.project == made.project, trained.c.name == made.name, trained.c.version == made.version
    )
    if conn.execute(sa.update(trained).where(here).values(**row)).rowcount == 0:
        conn.execute(sa.insert(trained).values(**row))


def versions(conn: Connection, project: str, name: str | None = None) -> list[Trained]:
    """A project's classifiers by name, the newest version first."""
    found = sa.select(trained.c.document).where(trained.c.project == project)
    if name is not None:
        found = found.where(trained.c.name == name)
    return [_made(r[0]) for r in conn.execute(found.order_by(trained.c.name, trained.c.version.desc()))]


def running(conn: Connection) -> list[Trained]:
    """Every version that runs on traffic, of all projects."""
    found = sa.select(trained.c.document).where(trained.c.state.in_(RUNNING))
    return [_made(r[0]) for r in conn.execute(found.order_by(trained.c.project, trained.c.name))]


def running_names(conn: Connection) -> list[tuple[str, str, int, str]]:
    """Project, name, version and state of what `running` gives, without the weights."""
    found = sa.select(trained.c.project, trained.c.name, trained.c.version, trained.c.state)
    found = found.where(trained.c.state.in_(RUNNING)).order_by(
        trained.c.project, trained.c.name, trained.c.version
    )
    return [(str(p), str(n), int(v), str(s)) for p, n, v, s in conn.execute(found)]


def calibration_traces(conn: Connection, project: str) -> frozenset[str]:
    """The traces drawn to calibrate any scorer: they are for testing, never for learning."""
    found = (
        sa.select(calibration_samples.c.trace_id).where(calibration_samples.c.project == project).distinct()
    )
    return frozenset(str(row[0]) for row in conn.execute(found))


def put(conn: Connection, project: str, name: str, version: int, state: str) -> Trained | None:
    """Give a version a state; the one that ran before is retired when this one runs. None when there is none."""
    found = {t.version: t for t in versions(conn, project, name)}
    if version not in found:
        return None
    for other in found.values():
        if state in RUNNING and other.version != version and other.state in RUNNING:
            save(conn, msgspec.structs.replace(other, state="retired"))
    made = msgspec.structs.replace(found[version], state=state)
    save(conn, made)
    return made
