"""Stage three of grouping failures: clusters of meaning, from vectors somebody else made."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Vectors = np.ndarray[Any, np.dtype[np.float32]]
Embed = Callable[[Sequence[Sequence[str]]], Vectors]

# Both measured by bench/clustering.py; similarities are of centred vectors.
TOGETHER = 0.40
JOIN = 0.50
CORE = 0.45
SAMPLE = 3000
_WORD = re.compile(r"\w+")
# The commonest English words. All texts share them; what is left after taking their direction out is the subject.
COMMON = (  # noqa: SIM905
    "the of and to a in is it you that he was for on are with as i his they be at one have this from or had by not but "
    "what some we can out other were all there when up use your how said an each she which do their time if will way "
    "about many then them would like so these her has him more could go come did my no most who over know than call "
    "first may down been now find any new part get me"
).split()
_CENTRE_WEIGHT = 0.65


def words(text: str, limit: int) -> list[str]:
    """The first `limit` words in lower case."""
    return _WORD.findall(text[: limit * 12].lower())[:limit]


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length one; a row of zeros stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def centred(texts: Sequence[Sequence[str]], embed: Embed) -> Vectors:
    """Unit vectors of texts (n × d) with the direction of everyday words taken out. The centre does not depend on the
    texts, so that a vector of today can be compared with a signal of last month, and a block of one single failure is
    not torn apart by being compared with its own mean. A text without words is a row of zeros."""
    made = embed(texts)
    centre = embed([COMMON])[0] * _CENTRE_WEIGHT
    empty = ~made.any(axis=1)
    out = unit(made - centre)
    out[empty] = 0.0
    return out


def cluster(vectors: Vectors, together: float = TOGETHER, sample: int = SAMPLE) -> list[int]:
    """A cluster number for every row (n × d): average linkage, cut where two clusters' mean cosine falls under `together`.
    A row is a unit vector, or the mean of several that belong together: products of means are mean cosines.

    Beyond `sample` rows, evenly spaced ones are linked, the others join the cluster with the highest mean cosine if
    that reaches `together` – the same rule – and what is left is clustered in turn. Rows of zeros stay alone.
    """
    labels = np.full(len(vectors), -1, dtype=np.int64)
    left = np.flatnonzero(vectors.any(axis=1))
    used = 0
    while left.size:
        chosen = left
        if left.size > sample:
            chosen = left[np.linspace(0, left.size - 1, sample).astype(np.int64)]
        labels[chosen] = used + _linked(vectors[chosen], together)
        found = int(labels.max()) + 1
        rest = left[labels[left] < 0]
        if rest.size:
            means = np.stack([vectors[chosen[labels[chosen] == k]].mean(axis=0) for k in range(used, found)])
            for start in range(0, rest.size, 4096):
                part = rest[start : start + 4096]
                alike = vectors[part] @ means.T
                near = alike.max(axis=1) >= together
                labels[part[near]] = used + alike.argmax(axis=1)[near]
        used = found
        left = left[labels[left] < 0]
    alone = np.flatnonzero(labels < 0)
    labels[alone] = used + np.arange(alone.size)
    return labels.tolist()


def _linked(vectors: Vectors, together: float) -> "np.ndarray[Any, np.dtype[np.int64]]":
    if len(vectors) == 1:
        return np.zeros(1, dtype=np.int64)
    far = np.empty(len(vectors) * (len(vectors) - 1) // 2)
    at = 0
    for i in range(len(vectors) - 1):
        near = vectors[i + 1 :] @ vectors[i]
        np.subtract(1.0, near, out=far[at : at + near.size])
        at += near.size
    # Both imports of scipy wait for the nightly grouping: they cost every process memory.
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(np.maximum(far, 0.0, out=far), "average")
    return np.asarray(fcluster(tree, 1.0 - together, "distance"), dtype=np.int64) - 1


def medoid(vectors: Vectors, weights: Sequence[float]) -> int:
    """The row with the largest weighted sum of cosines to all rows."""
    pull = (vectors * np.asarray(weights, dtype=np.float32)[:, None]).sum(axis=0)
    return int(np.argmax(vectors @ pull))


def covering(vectors: Vectors, first: int, more: int = 3) -> list[int]:
    """Up to `more` further rows that, with `first`, leave every row near to one of them: greedy facility location."""
    chosen: list[int] = []
    alike = vectors @ vectors.T
    best = alike[first].copy()
    for _ in range(min(more, len(vectors) - 1)):
        gain = np.maximum(alike - best, 0.0).sum(axis=1)
        gain[[first, *chosen]] = -1.0
        pick = int(np.argmax(gain))
        if gain[pick] <= 1e-6:
            break
        chosen.append(pick)
        best = np.maximum(best, alike[pick])
    return chosen


def match(
    old: Sequence[set[tuple[str, str]]], new: Sequence[set[tuple[str, str]]], least: float = 0.2
) -> dict[int, int]:
    """Which new cluster continues which old one: {new: old}, the pairing with the largest total Jaccard similarity
    (Hungarian method); a pair under `least` is none. Members only one side can have (out of the window) are the
    caller's to leave out."""
    if not old or not new:
        return {}
    owner: dict[tuple[str, str], int] = {key: i for i, keys in enumerate(old) for key in keys}
    alike = np.zeros((len(new), len(old)))
    for j, keys in enumerate(new):
        shared: dict[int, int] = {}
        for key in keys:
            if key in owner:
                shared[owner[key]] = shared.get(owner[key], 0) + 1
        for i, n in shared.items():
            alike[j, i] = n / (len(keys) + len(old[i]) - n)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(alike, maximize=True)
    return {int(j): int(i) for j, i in zip(rows, columns, strict=True) if alike[j, i] >= least}
