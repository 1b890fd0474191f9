"""What a dataset version is made of: splits, what changed between two versions, how fresh the golden set is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.splits import SPLITS
from watchkeeper.model.times import DAY

QUARTER_NS = 91 * DAY
WANTED = (0.10, 0.20)
State = Literal["none", "young", "stale", "fresh", "churning"]


@dataclass(frozen=True)
class Changed:
    """One case that differs between two versions. `fields` has the old and new value of what changed, None where the case
    is not in that version."""

    id: str
    kind: Literal["added", "removed", "changed"]
    split: str
    input: Any
    fields: Mapping[str, tuple[Any, Any]]


def changes(old: DatasetVersion | None, new: DatasetVersion) -> list[Changed]:
    """What a version changed against another, by kind and id."""
    before = {c.id: c for c in old.cases} if old else {}
    after = {c.id: c for c in new.cases}
    found = [Changed(i, "added", after[i].split, after[i].input, {}) for i in after.keys() - before.keys()]
    found += [
        Changed(i, "removed", before[i].split, before[i].input, {}) for i in before.keys() - after.keys()
    ]
    for i in before.keys() & after.keys():
        was, now = msgspec.to_builtins(before[i]), msgspec.to_builtins(after[i])
        fields = {k: (was[k], now[k]) for k in now if was[k] != now[k]}
        if fields:
            found.append(Changed(i, "changed", after[i].split, after[i].input, fields))
    rank = {"added": 0, "changed": 1, "removed": 2}
    return sorted(found, key=lambda c: (rank[c.kind], c.id))


def splits(cases: Sequence[Case]) -> dict[str, int]:
    """How many cases each split has, the known ones first."""
    counts = Counter(c.split for c in cases)
    return {s: counts[s] for s in (*SPLITS, *sorted(counts.keys() - set(SPLITS))) if counts[s]}


@dataclass(frozen=True)
class Refresh:
    """How much of the golden set is new since a quarter ago: cases that were not in it, or asked something else, as a share
    of it. 10 to 20 % is wanted: less ages away from the traffic, more makes runs hard to compare.

    `state`: none (no golden cases), young (no version is a quarter old), stale, fresh, or churning. `add` is how many new
    cases would reach the lower bound.
    """

    state: State
    n: int
    new: int
    retired: int
    share: float | None
    since_version: int | None
    add: int


def refresh(old: DatasetVersion | None, new: DatasetVersion) -> Refresh:
    """The refresh of `new` since `old`, the version in force a quarter ago (None when there was none)."""
    golden = {c.id: c for c in new.cases if c.split == "golden"}
    n = len(golden)
    if not n:
        return Refresh("none", 0, 0, 0, None, None, 0)
    before = {c.id: c for c in old.cases if c.split == "golden"} if old else {}
    if old is None or not before:
        return Refresh("young", n, n, 0, None, None, 0)
    fresh = sum(i not in before or before[i].input != c.input for i, c in golden.items())
    retired = len(before.keys() - golden.keys())
    share = fresh / n
    state: State = "stale" if share < WANTED[0] else "churning" if share > WANTED[1] else "fresh"
    missing = max(0, -(-round(WANTED[0] * n * 1000) // 1000) - fresh)
    return Refresh(state, n, fresh, retired, share, old.version, missing)
