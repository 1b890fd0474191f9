"""Groups of phrases that several scorers look for in the output, found in one pass over it."""

from collections.abc import Sequence

from watchkeeper.patterns import PatternSet
from watchkeeper.scoring.texts import Texts

_registered: list[tuple[str, ...]] = []
_compiled: dict[int, PatternSet] = {}
_KEY = "phrases"


def register(patterns: Sequence[str]) -> int:
    """A group of patterns; returns its number for `hits`."""
    _registered.append(tuple(patterns))
    return len(_registered) - 1


def _all() -> PatternSet:
    """Compiled on first use, so that importing the product does not pay for it."""
    count = len(_registered)
    if count not in _compiled:
        _compiled.clear()
        _compiled[count] = PatternSet([p for group in _registered for p in group])
    return _compiled[count]


def hits(seen: Texts, group: int) -> Sequence[int]:
    """Indices of the group's patterns that occur in the output, ascending."""
    found: dict[int, list[int]] | None = seen.kept.get(_KEY)
    if found is None:
        found = seen.kept[_KEY] = _split(_all().ids(seen.output or ""))
    return found.get(group, ())


def _split(ids: Sequence[int]) -> dict[int, list[int]]:
    """Hits by group, with indices that count within it."""
    out: dict[int, list[int]] = {}
    for i in ids:
        for number, group in enumerate(_registered):
            if i < len(group):
                out.setdefault(number, []).append(i)
                break
            i -= len(group)
    return out
