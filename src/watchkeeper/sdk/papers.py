"""Numbers of people's papers: beside the name of the document, or in a form that nothing else has."""

import re
from collections.abc import Iterator
from typing import Final

from watchkeeper.sdk.listed import lower, sections, tried

_NAMES: Final = sections("names.txt")
_PAPERS: Final = [line.partition(",") for line in _NAMES["papers"]]
NAMED: Final = (*(begin.lower() for begin, _, _ in _PAPERS), *_NAMES["alone"])
_PAPER: Final = "|".join(
    [*(begin + rest for begin, _, rest in _PAPERS), rf"\b(?:{'|'.join(_NAMES['alone'])})\b"]
)
_GAP: Final = r"(?:</?\w{1,8}>|\W){0,8}+"
_SAID: Final = re.compile(
    rf"(?:{_PAPER}){_GAP}(?:(?:card|number|num|no|nr|id|code|nummer|n°|nº)\b{_GAP}){{0,2}}"
    rf"(?:(?:is|was|ist|est|es|é|è|lautet|jest|är|er)\b|是|は)?{_GAP}"
    r"(?P<value>[A-Za-z]{0,5}\d[A-Za-z0-9]*(?:[ ./-]?(?=[A-Za-z]{0,3}\d)[A-Za-z0-9]+){0,6}(?:[ /-][A-Za-z0-9]\b|\([0-9A]\))?"
    r"|(?-i:(?=[A-Z]*\d)[A-Z0-9]{8,12}))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
#: With their own separators or letters, so that no checksum is needed: Brazil (two), Belgium, Switzerland, Emirates, Thailand,
#: Korea, Russia, Argentina; the United Kingdom, Mexico, India, Hong Kong, Spain, Italy.
_SHAPED: Final = re.compile(
    r"\d(?<![\w.-].)(?:\d{2}\.\d{3}\.\d{3}-\d{2}|\d\.\d{3}\.\d{3}/\d{4}-\d{2}|\d\.\d\d\.\d\d-\d{3}\.\d\d|56\.\d{4}\.\d{4}\.\d\d"
    r"|84-(?:19|20)\d\d-\d{7}-\d|-\d{4}-\d{5}-\d\d-\d|\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[1-8]\d{6}|\d\d-\d{3}-\d{3} \d\d|[0347]-\d{8}-\d"
    r"|\d\.\d{3}\.\d{3}-[A-HJ-NP-TV-Z])(?![\w-])"
)
_LETTERED: Final = re.compile(
    r"[A-Z](?<![A-Za-z0-9].)(?:(?<=[A-CEGHJ-PR-TW-Z])(?<!B(?=G))(?<!G(?=B))(?<!N(?=[KT]))(?<!K(?=N))(?<!T(?=N))(?<!Z(?=Z))"
    r"[A-CEGHJ-NPR-TW-Z][ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D]|[A-Z9]{4}\d[0156]\d(?:0[1-9]|[12]\d|3[01])\d[A-Z][A-Z9][A-Z0-9][A-Z]{2}"
    r"|[A-Z]{2}P[A-Z]\d{4}[A-Z]|[A-Z]{3}\d{6}[HM][A-Z]{5}[A-Z0-9]\d|[A-Z]{3}\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[A-Z0-9]{3}"
    r"|\d{6}\([0-9A]\)|[A-Z]{5}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z])(?![A-Za-z0-9])"
)
_BLANKS: Final = bytes(b if chr(b).isalnum() or b > 127 else 32 for b in range(256))
_HEAD: Final = 4
#: How the first words of names begin, and the names whose first word is too common to look for.
_COMMON: Final = ("my number", "id number", "id card", "ni number")
_BY_HEAD: Final[dict[bytes, list[str]]] = {}
for _name in NAMED:
    if _name.isascii() and _name not in _COMMON:
        _BY_HEAD.setdefault(re.split(r"\W", _name)[0][:_HEAD].encode(), []).append(_name)
_ELSEWHERE: Final = tuple(n for n in NAMED if not n.isascii())


def _named(lowered: str) -> list[str]:
    """The names that a text may hold; its words are looked up sooner than every name is searched."""
    heads = {word[:_HEAD] for word in lowered.encode("utf-8", "replace").translate(_BLANKS).split()}
    names = [name for head in _BY_HEAD.keys() & heads for name in _BY_HEAD[head]]
    names += [name for name in _COMMON if name in lowered]
    return names if lowered.isascii() else [*names, *(name for name in _ELSEWHERE if name in lowered)]


def found(text: str) -> Iterator[tuple[int, int]]:
    """Where the numbers of papers stand."""
    lowered = lower(text)
    for match in tried(_SAID, text, lowered, _named(lowered)):
        value = match["value"]
        digits = sum(map(str.isdigit, value))
        if 6 <= digits <= 18 or (digits and len(value) >= 8 and value.isalnum() and value.isupper()):
            yield match.span("value")
    yield from (m.span() for m in _SHAPED.finditer(text))
    yield from (m.span() for m in _LETTERED.finditer(text))
