"""Numbers of people's papers: beside the name of the document, or in a form that nothing else has."""

import re
from collections.abc import Iterator
from typing import Final

from watchkeeper.redaction import papers as rules
from watchkeeper.redaction.views import lower, tried_at
from watchkeeper.redaction.words import PAPERS

#: A part that each of the forms with letters has, from its first digit on: a search that begins with a digit is quick.
_FORM: Final = re.compile(
    r"\d(?:\d[ -]?\d{2}[ -]?\d{2}[ -]?[A-D]|\d{6}-?[A-Z]|\d[A-Za-z]\d{2} ?[A-Za-z]\d{3}|\d{5}[-+A]\d{3}[0-9A-Z]|\.\d{3}\.\d{3}-?[A-Z]"
    r"|\d\.\d{3}\.\d{3}-?[A-Z]|[A-Z][A-Z0-9]\d-?[A-Z][A-Z0-9]\d-?[A-Z]{2}\d|\d{3}(?<=[A-Z9]{4}\d{4})|\d{5}(?<=[A-Z]\d{6})(?:\(|\d{3}))"
)
_BLANKS: Final = bytes(b if chr(b).isalnum() or b > 127 else 32 for b in range(256))
_HEAD: Final = 4
#: How the first words of names begin, and the names whose first word is too common to look for.
_COMMON: Final = ("my number", "id number", "id card", "ni number")
_BY_HEAD: Final[dict[bytes, list[str]]] = {}
for _name in PAPERS:
    if _name.isascii() and _name not in _COMMON:
        _BY_HEAD.setdefault(re.split(r"\W", _name)[0][:_HEAD].encode(), []).append(_name)
_ELSEWHERE: Final = tuple(n for n in PAPERS if not n.isascii())


def _named(lowered: str) -> list[str]:
    """The names that a text may hold; its words are looked up sooner than every name is searched."""
    heads = {word[:_HEAD] for word in lowered.encode("utf-8", "replace").translate(_BLANKS).split()}
    names = [name for head in _BY_HEAD.keys() & heads for name in _BY_HEAD[head]]
    names += [name for name in _COMMON if name in lowered]
    return names if lowered.isascii() else [*names, *(name for name in _ELSEWHERE if name in lowered)]


def found(text: str) -> Iterator[tuple[int, int]]:
    """Where the numbers of papers stand."""
    lowered = lower(text)
    for match in tried_at(rules.SAID, text, lowered, _named(lowered)):
        if rules.is_number(match["value"]):
            yield match.span("value")
    if _FORM.search(text) is not None:
        yield from rules.lettered(text)
