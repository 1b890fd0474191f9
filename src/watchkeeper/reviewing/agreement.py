"""How far several reviewers of the same traces say the same."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.model.review import Label
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.intervals import bootstrap, wilson
from watchkeeper.stats.judges import kappa_interval, krippendorff_alpha

Floats = NDArray[np.float64]
Table = list[list[float]]
MIN_ITEMS = 10
_SEED = 20_260_101


@dataclass(frozen=True)
class Pair:
    """Two reviewers over the `n` items both labelled: Cohen's kappa of their verdicts."""

    a: str
    b: str
    n: int
    kappa: Estimate | Insufficient


@dataclass(frozen=True)
class Agreement:
    """Over the items with two labels or more: the share on which all verdicts are alike, Krippendorff's alpha of verdicts and
    of names (for bad ones), Fleiss' kappa of verdicts, and Cohen's kappa of every pair of reviewers; 95 % intervals."""

    items: int
    reviewers: int
    alike: Estimate | Insufficient
    alpha: Estimate | Insufficient
    alpha_names: Estimate | Insufficient
    fleiss: Estimate | Insufficient
    pairs: tuple[Pair, ...]


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa (1971) of an (items, categories) table of ratings, each row with the same number of them; nan when
    everybody always gave the same category."""
    table = np.asarray(counts, dtype=np.float64)
    ratings = table.sum(axis=1)
    observed = ((table**2).sum(axis=1) - ratings) / (ratings * (ratings - 1))
    shares = table.sum(axis=0) / table.sum()
    expected = float((shares**2).sum())
    return (float(observed.mean()) - expected) / (1 - expected) if expected < 1 else float("nan")


def agreement(votes: Sequence[Label]) -> Agreement:
    """The agreement of votes in force; of several votes of one author on one item the newest counts. Decisions are none."""
    by_item: dict[str, dict[str, Label]] = defaultdict(dict)
    for vote in sorted(votes, key=lambda v: (v.time_ns, v.id)):
        if vote.role == "vote":
            by_item[vote.item_id][vote.author] = vote
    shared = {i: said for i, said in sorted(by_item.items()) if len(said) > 1}
    authors = sorted({a for said in shared.values() for a in said})
    verdicts = _table(shared, authors, lambda v: v.verdict)
    names = _table(shared, authors, lambda v: (v.taxonomy or "").casefold() if v.verdict == "bad" else None)
    alike = [len({v.verdict for v in said.values()}) == 1 for said in shared.values()]
    return Agreement(
        len(shared), len(authors), _share(alike), _alpha(verdicts), _alpha(names), _fleiss(verdicts),
        tuple(_pairs(shared, authors)),
    )  # fmt: skip


def _table(
    shared: Mapping[str, Mapping[str, Label]], authors: Sequence[str], read: Callable[[Label], str | None]
) -> Table:
    codes: dict[str, float] = {}
    out: Table = []
    for said in shared.values():
        row: list[float] = []
        for author in authors:
            word = read(said[author]) if author in said else None
            row.append(float("nan") if word is None else codes.setdefault(word, float(len(codes))))
        out.append(row)
    return out


def _share(alike: Sequence[bool]) -> Estimate | Insufficient:
    n = len(alike)
    if n == 0:
        return Insufficient("no item has two labels yet")
    low, high = wilson(sum(alike), n)
    return Estimate(sum(alike) / n, low, high, n, float(n), 0.95)


def _alpha(table: Table) -> Estimate | Insufficient:
    rows = np.asarray(table, dtype=np.float64)
    n = int((np.isfinite(rows).sum(axis=1) > 1).sum()) if rows.size else 0
    return _bootstrapped(n, rows, lambda r: krippendorff_alpha(r.T))


def _fleiss(table: Table) -> Estimate | Insufficient:
    rows = np.asarray(table, dtype=np.float64)
    if rows.size == 0:
        return Insufficient("no item has two labels yet")
    given = np.isfinite(rows).sum(axis=1)
    # Fleiss' kappa needs equally many ratings for every item; alpha is there for the others.
    usual = int(np.bincount(given).argmax())
    kept = rows[given == usual]
    values = np.unique(rows[np.isfinite(rows)])
    counts = np.stack([(kept == v).sum(axis=1) for v in values], axis=1)
    return _bootstrapped(len(kept), counts.astype(np.float64), fleiss_kappa)


def _bootstrapped(n: int, rows: Floats, statistic: Callable[[Floats], float]) -> Estimate | Insufficient:
    if n < MIN_ITEMS:
        return Insufficient(f"{n} items have two labels; {MIN_ITEMS} are needed", n)
    value = statistic(rows)
    if not np.isfinite(value):
        return Insufficient("undefined: everybody always said the same", n)
    low, high = bootstrap(lambda i: statistic(rows[i]), len(rows), seed=_SEED)
    return Estimate(float(value), float(min(low, value)), float(max(high, value)), n, float(n), 0.95)


def _pairs(shared: Mapping[str, Mapping[str, Label]], authors: Sequence[str]) -> list[Pair]:
    out: list[Pair] = []
    for a, b in combinations(authors, 2):
        both = [(s[a].verdict, s[b].verdict) for s in shared.values() if a in s and b in s]
        if not both:
            continue
        found: Estimate | Insufficient = Insufficient(
            f"{len(both)} items have both; {MIN_ITEMS} are needed", len(both)
        )
        if len(both) >= MIN_ITEMS:
            found = kappa_interval([x for x, _ in both], [y for _, y in both], seed=_SEED)
        out.append(Pair(a, b, len(both), found))
    return sorted(out, key=lambda p: (-p.n, p.a, p.b))
