"""How much of an answer its user changed."""

import re

import numpy as np

_TOKEN = re.compile(r"\w+|[^\w\s]")
LONGEST = 4000


def edit_distance(before: str, after: str) -> float:
    """Levenshtein's distance in words and punctuation marks, as a share of the longer text: 0 unchanged, 1 nothing kept. Texts
    are compared in their first 4,000 words.

    >>> edit_distance("Tap Orders, then Return.", "Tap Orders, then Refund.")
    0.16666666666666666
    """
    a, b = _TOKEN.findall(before)[:LONGEST], _TOKEN.findall(after)[:LONGEST]
    if not a or not b:
        return float(bool(a or b))
    numbers: dict[str, int] = {}
    left = [numbers.setdefault(t, len(numbers)) for t in a]
    right = np.array([numbers.setdefault(t, len(numbers)) for t in b])
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for i, token in enumerate(left, 1):
        fresh = np.empty_like(row)
        fresh[0] = i
        fresh[1:] = np.minimum(row[1:] + 1, row[:-1] + (right != token))
        # An insertion costs one a step: the running minimum of (cost - position) allows any number of them at once.
        row = np.minimum.accumulate(fresh - steps) + steps
    return float(row[-1]) / max(len(a), len(b))
