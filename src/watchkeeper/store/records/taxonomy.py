"""Names of failures that people accepted, and labels whose name was changed later."""

import secrets

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.store.records import reviews
from watchkeeper.store.records.tables import labels, taxonomy


class Name(msgspec.Struct, frozen=True):
    """One name: retired ones say what they `became`."""

    name: str
    definition: str
    author: str
    created_ns: int
    retired_ns: int | None = None
    became: str | None = None


def names(conn: Connection, project: str, retired: bool = False) -> list[Name]:
    """The accepted names in the order they were accepted; also `retired` ones when asked."""
    query = sa.select(taxonomy).where(taxonomy.c.project == project)
    if not retired:
        query = query.where(taxonomy.c.retired_ns.is_(None))
    rows = conn.execute(query.order_by(taxonomy.c.created_ns, taxonomy.c.name))
    return [Name(r.name, r.definition, r.author, r.created_ns, r.retired_ns, r.became) for r in rows]


def put(conn: Connection, project: str, name: str, definition: str, author: str, now_ns: int) -> None:
    """Accept a name, or change its definition; a retired one is in use again."""
    here = sa.and_(taxonomy.c.project == project, taxonomy.c.name == name)
    values = {"definition": definition, "author": author, "retired_ns": None, "became": None}
    if conn.execute(sa.update(taxonomy).where(here).values(**values)).rowcount == 0:
        conn.execute(sa.insert(taxonomy).values(project=project, name=name, created_ns=now_ns, **values))


def retire(conn: Connection, project: str, name: str, became: str | None, author: str, now_ns: int) -> None:
    """Take a name out of use; one that only labels used is written down with what it became."""
    here = sa.and_(taxonomy.c.project == project, taxonomy.c.name == name)
    values = {"retired_ns": now_ns, "became": became}
    if conn.execute(sa.update(taxonomy).where(here).values(**values)).rowcount == 0:
        conn.execute(
            sa.insert(taxonomy).values(
                project=project, name=name, definition="", author=author, created_ns=now_ns, **values
            )
        )


def relabel(
    conn: Connection,
    project: str,
    to: str,
    author: str,
    now_ns: int,
    *,
    was: list[str] | None = None,
    ids: list[str] | None = None,
) -> int:
    """Give labels in force another name: those called `was`, or those with these `ids`. Each is replaced by a copy that keeps its
    author and time and says who renamed it; the old one stays in the history. How many there were."""
    query = sa.select(labels).where(
        labels.c.project == project, labels.c.undone_ns.is_(None), labels.c.replaced_ns.is_(None)
    )
    if was is not None:
        query = query.where(labels.c.taxonomy.in_(was))
    if ids is not None:
        query = query.where(labels.c.id.in_(ids), labels.c.verdict == "bad")
    done, changes = 0, dict[str, str]()
    for row in conn.execute(query).mappings().all():
        if row["taxonomy"] == to:
            continue
        conn.execute(sa.update(labels).where(labels.c.id == row["id"]).values(replaced_ns=now_ns))
        copy = {**row, "id": f"lab_{secrets.token_hex(12)}", "taxonomy": to, "replaces": row["id"]}
        conn.execute(sa.insert(labels).values(**{**copy, "relabelled_by": author, "replaced_ns": None}))
        changes[row["trace_id"]] = copy["id"]
        done += 1
    reviews.mark(conn, project, changes, now_ns)
    return done
