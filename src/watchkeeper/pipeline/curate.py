"""What gets into a dataset: cases that ask something new, so that no split leaks into another and no failure counts twice."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from watchkeeper.gating.dataset import QUARTER_NS, Refresh, refresh
from watchkeeper.gating.subject import input_text
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.reviewing.fingerprint import SAME, near_duplicates
from watchkeeper.reviewing.similar import jaccard, shingles
from watchkeeper.store.records import datasets


@dataclass(frozen=True)
class Twin:
    """A case that asks what another asks; `similarity` is the Jaccard similarity of their character 5-grams, 0..1."""

    case_id: str
    other_id: str
    other_split: str
    similarity: float


@dataclass(frozen=True)
class Moved:
    """A case that a change put into another split than it was in."""

    case_id: str
    was: str
    split: str


def moved(held: Sequence[Case], new: Sequence[Case]) -> list[Moved]:
    """Which of the new cases take one that is held out of its split."""
    splits = {c.id: c.split for c in held}
    now = {c.id: c.split for c in new}
    return [Moved(i, splits[i], s) for i, s in now.items() if splits.get(i, s) != s]


def changed(
    conn: Connection,
    project: str,
    dataset: str,
    *,
    add: Sequence[Case],
    remove: Sequence[str],
    author: str,
    note: str,
    now_ns: int,
) -> tuple[DatasetVersion, list[Moved]]:
    """Make the next version of a dataset; also which cases that takes out of their split, as nobody may mean who adds one again."""
    held = datasets.get(conn, project, dataset)
    made = datasets.commit(
        conn, project, dataset, add=list(add), remove=list(remove), author=author, note=note, now_ns=now_ns
    )
    return made, moved(held.cases if held else [], add)


def admitted(known: Sequence[Case], new: Sequence[Case], same: float = SAME) -> tuple[list[Case], list[Twin]]:
    """The new cases that ask something no known case and no earlier new one asks, and the others with their twins.

    A case that replaces one of the same id and asks the same as before stays where it is; one that asks something else is
    compared with all others. Numbers are folded: two orders' numbers do not make two questions.
    """
    asked = {c.id: input_text(c) for c in known}
    settled = [c for c in new if asked.get(c.id) == input_text(c)]
    inside = {c.id for c in settled}
    replaced = {c.id for c in new}
    pool = [*(c for c in known if c.id not in replaced), *settled]
    new = [c for c in new if c.id not in inside]
    everything = [*pool, *new]
    groups = near_duplicates([input_text(c) for c in everything], same)
    held: dict[int, list[Case]] = {}
    for case, group in zip(pool, groups, strict=False):
        held.setdefault(group, []).append(case)
    kept: list[Case] = list(settled)
    twins: list[Twin] = []
    for case, group in zip(new, groups[len(pool) :], strict=True):
        others = [c for c in held.get(group, []) if c.id != case.id]
        if others:
            own = shingles(input_text(case))
            score, other = max(
                ((jaccard(own, shingles(input_text(c))), c) for c in others[:50]), key=lambda pair: pair[0]
            )
            twins.append(Twin(case.id, other.id, other.split, score))
            continue
        held.setdefault(group, []).append(case)
        kept.append(case)
    return kept, twins


def leaks(cases: Sequence[Case], same: float = SAME) -> list[tuple[str, str]]:
    """Cases that ask what a case of another split asks, as (id, other id): a set that is tuned on must not be graded on."""
    groups = near_duplicates([input_text(c) for c in cases], same)
    by_group: dict[int, list[Case]] = {}
    for case, group in zip(cases, groups, strict=True):
        by_group.setdefault(group, []).append(case)
    return [
        (case.id, next(o.id for o in members if o.split != case.split))
        for members in by_group.values()
        if len({m.split for m in members}) > 1
        for case in members
    ]


def refreshed(conn: Connection, version: DatasetVersion, now_ns: int) -> Refresh:
    """How much of the golden set is new since the version that was in force a quarter ago."""
    rows = datasets.versions(conn, version.project, version.dataset)
    old = next(
        (
            r["version"]
            for r in rows
            if r["created_ns"] <= now_ns - QUARTER_NS and r["version"] <= version.version
        ),
        None,
    )
    before = None if old is None else datasets.get(conn, version.project, version.dataset, old)
    return refresh(before, version)
