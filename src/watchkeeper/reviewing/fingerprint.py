"""Stages one and two of grouping failures: what is the same failure exactly, and what is almost the same text."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from watchkeeper.model.signal import Failure
from watchkeeper.reviewing.similar import Grams, jaccard, shingles

PERMUTATIONS = 128
BANDS, ROWS = 21, 6
SAME = 0.8
# Candidates of one band that are all compared with each other.
MANY = 50
_AT_ONCE = 4096
_FREE_TEXT = ("judge", "user", "human", "external")
_TEMPLATE = (
    (re.compile(r"https?://\S+"), "<url>"),
    (re.compile(r"\S+@\S+\.\w+"), "<email>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?=\w*\d)(?=\w*[a-z])[0-9a-z_]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<!\w)(?:\"[^\"\n]{1,300}\"|'[^'\n]{1,300}'|“[^”\n]{1,300}”|`[^`\n]{1,300}`)"), "<text>"),
    (re.compile(r"[-+]?\d[\d.,:%]*\d|\d"), "<n>"),
    (re.compile(r"(<n>|<text>|<id>)(?:\s*(?:,|;|and)\s*\1)+"), r"\1…"),
    (re.compile(r"\s+"), " "),
)
Signatures = np.ndarray[Any, np.dtype[np.uint64]]


def template(message: str) -> str:
    """The message without what differs from one occurrence to the next: numbers, ids, addresses, quoted text."""
    text = message[:2000].strip()
    for pattern, instead in _TEMPLATE:
        text = pattern.sub(instead, text)
    return text[:400]


def block_of(failure: Failure) -> tuple[str, str, str]:
    """The boundary no similarity crosses: scorer, error class and tool. A cluster then names something to fix."""
    return failure.scorer, failure.error_class or "", failure.tool or ""


def fingerprint(failure: Failure) -> str:
    """128 bits of (scorer, error class, tool, span path, templated message). A name a person gave a failure is the whole
    of its identity. Text that people or models wrote freely keeps its numbers out but its case in the clusters' hands."""
    if failure.taxonomy:
        parts = ("named", failure.taxonomy.casefold().strip())
    else:
        message = template(failure.message)
        if failure.source in _FREE_TEXT:
            message = message.casefold()
        parts = (*block_of(failure), failure.path, message)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _coefficients() -> tuple[Signatures, Signatures]:
    # Fixed for ever: signatures made today and next year must agree.
    generator = np.random.default_rng(20_000_101)
    a = generator.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return a, generator.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)


_A, _B = _coefficients()


def signature(grams: Grams) -> Signatures:
    """MinHash of a set by 128 multiply-shift hashes (Broder 1997; Dietzfelbinger 1997)."""
    least = np.full(PERMUTATIONS, np.iinfo(np.uint64).max, dtype=np.uint64)
    # A kilobyte a gram: a long text takes its turns.
    for start in range(0, grams.size, _AT_ONCE):
        hashed = (grams[start : start + _AT_ONCE, None] * _A + _B) >> np.uint64(32)
        np.minimum(least, hashed.min(axis=0), out=least)
    return least


def near_duplicates(texts: Sequence[str], same: float = SAME) -> list[int]:
    """A group number for every text: texts whose 5-gram sets have a Jaccard similarity of `same` or more share one,
    also through a chain. Candidates come from 21 bands of 6 rows (a pair at 0.8 is missed once in 400), and every
    candidate is verified on the sets themselves."""
    distinct = {t: i for i, t in reversed(list(enumerate(texts)))}
    where = sorted(distinct.values())
    sets = [shingles(texts[i]) for i in where]
    made = np.array([signature(grams) for grams in sets], dtype=np.uint32).reshape(len(sets), PERMUTATIONS)
    parent = list(range(len(where)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = {}
        for i, part in enumerate(made[:, band * ROWS : (band + 1) * ROWS]):
            buckets.setdefault(part.tobytes(), []).append(i)
        for bucket in buckets.values():
            groups: dict[int, list[int]] = {}
            for i in bucket:
                ours = root(i)
                for theirs in [g for g in groups if g != ours]:
                    # Of the many that one sentence filled in makes, the last stands for its group.
                    tried = groups[theirs] if len(bucket) <= MANY else groups[theirs][-1:]
                    if any(jaccard(sets[i], sets[j]) >= same for j in tried):
                        joined = groups.pop(theirs) + groups.pop(ours, [])
                        ours, theirs = min(ours, theirs), max(ours, theirs)
                        parent[theirs] = ours
                        groups[ours] = joined
                groups.setdefault(ours, []).append(i)
    group = {texts[where[i]]: root(i) for i in range(len(where))}
    return [group[t] for t in texts]
