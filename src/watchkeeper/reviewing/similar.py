"""When two cases ask the same thing: near-duplicates by character 5-grams."""

import re
from collections.abc import Iterable

_SPACE = re.compile(r"\s+")
_NUMBER = re.compile(r"\d+")


def shingles(text: str, size: int = 5) -> frozenset[str]:
    """The set of character n-grams of the text in lower case, digits and white space folded, so that two orders'
    numbers do not make two cases."""
    plain = _NUMBER.sub("0", _SPACE.sub(" ", text.lower().strip()))
    if len(plain) <= size:
        return frozenset({plain})
    return frozenset(plain[i : i + size] for i in range(len(plain) - size + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """|a ∩ b| / |a ∪ b|, 1.0 for two empty sets."""
    union = len(a | b)
    return len(a & b) / union if union else 1.0


def nearest(text: str, others: Iterable[tuple[str, str]]) -> tuple[str, float] | None:
    """The id and similarity (0..1) of the (id, text) most like `text`; None when there are none."""
    own = shingles(text)
    best: tuple[str, float] | None = None
    for other_id, other in others:
        similarity = jaccard(own, shingles(other))
        if best is None or similarity > best[1]:
            best = (other_id, similarity)
    return best
