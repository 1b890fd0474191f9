"""Datasets: immutable versions over cases that are stored once by content."""

import hashlib
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.store.records.tables import cases, dataset_versions, datasets


def case_hash(case: Case) -> str:
    """The content hash of a case: equal cases are stored once."""
    return hashlib.sha256(msgspec.json.encode(case, order="deterministic")).hexdigest()


def version_hash(hashes: list[str]) -> str:
    """The content hash of a version: its case hashes, whatever their order."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def _latest(conn: Connection, project: str, dataset: str) -> sa.Row[Any] | None:
    return conn.execute(
        sa.select(dataset_versions)
        .where(dataset_versions.c.project == project, dataset_versions.c.dataset == dataset)
        .order_by(dataset_versions.c.version.desc())
        .limit(1)
    ).first()


def create(conn: Connection, project: str, name: str, description: str, now_ns: int) -> bool:
    """Create an empty dataset; False when it is already there."""
    here = sa.select(datasets.c.name).where(datasets.c.project == project, datasets.c.name == name)
    if conn.execute(here).first() is not None:
        return False
    conn.execute(
        sa.insert(datasets).values(project=project, name=name, description=description, created_ns=now_ns)
    )
    return True


def commit(
    conn: Connection,
    project: str,
    dataset: str,
    *,
    add: list[Case],
    remove: list[str],
    author: str,
    note: str,
    now_ns: int,
) -> DatasetVersion:
    """Make the next version: the latest one with cases added (same id replaces) and case ids removed.

    A change that changes nothing returns the latest version instead of making a new one. Creates the dataset.
    """
    create(conn, project, dataset, "", now_ns)
    latest = _latest(conn, project, dataset)
    hashes: list[str] = list(latest.case_hashes) if latest else []
    kept = {c.id: (h, c) for h, c in zip(hashes, _cases(conn, project, hashes), strict=True)}
    for case_id in remove:
        kept.pop(case_id, None)
    for case in add:
        digest = case_hash(case)
        kept[case.id] = (digest, case)
        known = sa.select(cases.c.hash).where(cases.c.project == project, cases.c.hash == digest)
        if conn.execute(known).first() is None:
            conn.execute(
                sa.insert(cases).values(
                    project=project,
                    hash=digest,
                    case_id=case.id,
                    trace_id=case.trace_id,
                    document=msgspec.to_builtins(case),
                )
            )
    new_hashes = [h for h, _ in kept.values()]
    content = version_hash(new_hashes)
    version = int(latest.version) if latest else 0
    if latest is None or latest.content_hash != content:
        version += 1
        conn.execute(
            sa.insert(dataset_versions).values(
                project=project,
                dataset=dataset,
                version=version,
                created_ns=now_ns,
                author=author,
                note=note,
                content_hash=content,
                case_hashes=new_hashes,
            )
        )
    found = get(conn, project, dataset, version)
    assert found is not None
    return found


def _cases(conn: Connection, project: str, hashes: list[str]) -> list[Case]:
    found: dict[str, Case] = {}
    for start in range(0, len(hashes), 500):
        chunk = hashes[start : start + 500]
        rows = conn.execute(
            sa.select(cases.c.hash, cases.c.document).where(
                cases.c.project == project, cases.c.hash.in_(chunk)
            )
        )
        found.update({h: msgspec.convert(document, Case) for h, document in rows})
    return [found[h] for h in hashes]


def get(
    conn: Connection, project: str, dataset: str, version: int | None = None, with_cases: bool = True
) -> DatasetVersion | None:
    """One version with its cases, the newest when `version` is None; None when there is no such version."""
    if version is None:
        row = _latest(conn, project, dataset)
    else:
        row = conn.execute(
            sa.select(dataset_versions).where(
                dataset_versions.c.project == project,
                dataset_versions.c.dataset == dataset,
                dataset_versions.c.version == version,
            )
        ).first()
    if row is None:
        return None
    every = _cases(conn, project, list(row.case_hashes)) if with_cases else []
    return DatasetVersion(
        project=project,
        dataset=dataset,
        version=row.version,
        created_ns=row.created_ns,
        author=row.author,
        note=row.note,
        content_hash=row.content_hash,
        cases=[c for c in every if not c.erased],
        erased=[c.id for c in every if c.erased],
    )


def listing(conn: Connection, project: str) -> list[dict[str, Any]]:
    """Every dataset with its newest version, number of cases and when it last changed."""
    rows = conn.execute(sa.select(datasets).where(datasets.c.project == project).order_by(datasets.c.name))
    found: list[dict[str, Any]] = []
    for row in rows:
        latest = _latest(conn, project, row.name)
        found.append(
            {
                "name": row.name,
                "description": row.description,
                "created_ns": row.created_ns,
                "version": latest.version if latest else None,
                "cases": len(latest.case_hashes) if latest else 0,
                "updated_ns": latest.created_ns if latest else row.created_ns,
            }
        )
    return found


def versions(conn: Connection, project: str, dataset: str) -> list[dict[str, Any]]:
    """The versions of a dataset, newest first, without their cases."""
    rows = conn.execute(
        sa.select(dataset_versions)
        .where(dataset_versions.c.project == project, dataset_versions.c.dataset == dataset)
        .order_by(dataset_versions.c.version.desc())
    )
    return [
        {
            "version": r.version,
            "created_ns": r.created_ns,
            "author": r.author,
            "note": r.note,
            "content_hash": r.content_hash,
            "cases": len(r.case_hashes),
        }
        for r in rows
    ]


def diff(old: DatasetVersion, new: DatasetVersion) -> dict[str, list[str]]:
    """Case ids added, removed and changed between two versions."""
    before = {c.id: case_hash(c) for c in old.cases}
    after = {c.id: case_hash(c) for c in new.cases}
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(i for i in before.keys() & after.keys() if before[i] != after[i]),
    }


def datasets_of_trace(conn: Connection, project: str, trace_id: str) -> list[str]:
    """The names of datasets whose newest version holds a case from this trace."""
    hashes = set(
        conn.scalars(
            sa.select(cases.c.hash).where(cases.c.project == project, cases.c.trace_id == trace_id)
        ).all()
    )
    if not hashes:
        return []
    names = conn.scalars(sa.select(datasets.c.name).where(datasets.c.project == project)).all()
    return [n for n in names if (row := _latest(conn, project, n)) and hashes & set(row.case_hashes)]
