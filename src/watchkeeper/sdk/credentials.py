"""API keys by their form, tokens in headers and addresses, and what is assigned to names such as ``password``.

The forms and names are the server's own.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from watchkeeper.redaction import spoken
from watchkeeper.redaction.keyforms import FORMS
from watchkeeper.redaction.views import lower, tried_at
from watchkeeper.redaction.words import MADE_LIKE_A_KEY, NAMED, PASSWORDS, SECRETS, WEAK

#: A piece of a form's beginning: one character, several to choose from, or a choice of texts.
_PIECE: Final = re.compile(
    r"\\(?P<mark>[^\w])|(?P<char>[\w~ -])(?![{?*])|\[(?P<chars>[\w]{1,9})\](?!\{)|\(\?:(?P<texts>[\w|-]+)\)(?!\?)"
)
_MOST: Final = 16


def _literals(begin: str) -> list[str]:
    """Texts of which one stands in every match of a form's beginning: searching them is cheap."""
    told, at = [""], 0
    while (piece := _PIECE.match(begin, at)) is not None:
        more = (
            piece["texts"].split("|")
            if piece["texts"]
            else list(piece["chars"] or piece["mark"] or piece["char"])
        )
        if len(told) * len(more) > _MOST:
            break
        told = [first + second for first in told for second in more]
        at = piece.end()
    if len(told[0]) >= 3:
        return told
    # It begins with any letters or digits: whatever stands further on.
    bare = re.sub(
        r"\[[^\]]*\](?:\{[\d,]+\})?|\\d(?:\{[\d,]+\})?|\((?:[^()]|\([^()]*\))*\)(?:\{\d+\})?", "\0", begin
    )
    return [max(bare.split("\0"), key=len).replace("\\", "")]


class _Form(NamedTuple):
    """A literal that must occur, and what a match looks like, compiled when the literal has occurred."""

    literal: str
    source: str

    def pattern(self) -> re.Pattern[str]:
        return _compiled(self.source)


@lru_cache(maxsize=1024)
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source)


_OTHER: Final = (
    _Form("://", r"(?<=://)[^\s/:@\"'<>]{0,80}:[^\s/@\"'<>]{1,120}(?=@)"),
    _Form(":thin:", r"(?<=:thin:)[^\s/@]{1,64}/[^\s/@]{3,64}(?=@)"),
    _Form("AccountKey=", r"(?<=AccountKey=)[A-Za-z0-9+/=]{40,120}"),
)


def _forms() -> Iterator[_Form]:
    for begin, rest in FORMS:
        form = rf"(?a)(?:(?<![A-Za-z0-9])|(?<=/bot))(?:{begin}{rest})"
        yield from (_Form(literal, form) for literal in _literals(begin))
    yield from _OTHER


_FORMS: Final = tuple(_forms())
#: Most literals hold a sign that words of prose do not: one search for it rules out the whole group.
_BY_SIGN: Final = tuple(
    (sign, tuple(form for form in _FORMS if " " not in form.literal and holds(form.literal)))
    for sign, holds in (
        ("_", lambda s: "_" in s),
        ("-", lambda s: "-" in s and "_" not in s),
        (".", lambda s: "." in s and "-" not in s and "_" not in s),
        ("", lambda s: not any(c in s for c in "_-.")),
    )
)
_SPACED: Final = (
    *(form for form in _FORMS if " " in form.literal),
    _Form(
        "-----BEGIN ", r"-----BEGIN [A-Z0-9 ]{1,40}-----[\s\S]{16,20000}?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)"
    ),
    _Form("PuTTY-User-", r"PuTTY-User-Key-File-\d[\s\S]{16,20000}?(?:Private-MAC: ?[0-9a-f]+|\Z)"),
    _Form("earer ", r"(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{16,4000}"),
    _Form("asic ", r"(?<=[Bb]asic )(?=[A-Za-z+/]*[0-9A-Z])[A-Za-z0-9+/]{16,500}={0,2}"),
    _Form(
        "-u",
        r"(?<=\s-u[ =])[\"']?[^\s:\"']{1,64}:(?=[^\s\"']*[A-Za-z])(?=[^\s\"']*[^A-Za-z\s\"'])[^\s\"']{4,64}",
    ),
)
#: Forms that hold only where what follows is random: words may begin like them.
_RANDOM: Final = (
    re.compile(rf"(?<![A-Za-z0-9]){MADE_LIKE_A_KEY}([\w-]{{18,}})", re.ASCII),
    re.compile(r"(?<![A-Za-z0-9])sk-()(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,250}"),
)
_ASSIGNED: Final = re.compile(
    rf"(?P<key>{SECRETS})"
    r"\\?[\"']?\s{0,3}(?:\b(?:is|ist|lautet|est|es|é|è|är|jest|je|este|to)\b|:=|=>|[:=>\uff1a]|是|为|は|는|은|(?<=--password)\s|(?<=--token)\s)"
    r"\s{0,3}\\?[\"']?(?:(?:Bearer|Basic|Token|ApiKey|GenieKey|OAuth|DPoP)\s+)?(?P<value>[^\s\"'<>,;&\\{}()\[\]]{6,512})",
    re.IGNORECASE,
)
_PASSWORD: Final = re.compile(PASSWORDS, re.IGNORECASE)
_WEAK: Final = re.compile(WEAK, re.IGNORECASE)
_DULL: Final = re.compile(
    r"(?:true|false|null|none|string|required|optional|example|changeme|your[-_\w]*|x+|\*+|\.+|\$\{?.*|%\w.*|[\w.]+\(.*)\Z",
    re.IGNORECASE,
)
_PARTS: Final = re.compile(r"[-_.:/]")


def found(text: str, long: str) -> Iterator[tuple[int, int]]:
    """Where keys, tokens, private keys, credentials in addresses and assigned secrets stand. ``long`` holds the words of the
    text that a key could be."""
    if long:
        for sign, group in _BY_SIGN:
            if sign in long:
                yield from _of(text, long, group)
        if "-" in long or "_" in long:
            for form in _RANDOM:
                if form.search(long) is not None:
                    yield from (m.span() for m in form.finditer(text) if not m[1] or spoken.random(m[1]))
    yield from _of(text, text, _SPACED)
    lowered = lower(text)
    if names := [name for name in NAMED if name in lowered]:
        yield from _assigned(text, lowered, names)
    yield from spoken.secrets(text, lowered)


def _of(text: str, where: str, forms: Iterable[_Form]) -> Iterator[tuple[int, int]]:
    for form in forms:
        if form.literal in where and form.pattern().search(where) is not None:
            yield from (m.span() for m in form.pattern().finditer(text))


def _assigned(text: str, lowered: str, names: list[str]) -> Iterator[tuple[int, int]]:
    for match in tried_at(_ASSIGNED, text, lowered, names):
        start, end = match.span("value")
        value = match["value"].rstrip(".?:")
        if text[end : end + 1] != "(" and _is_secret(match["key"], value):
            yield start, start + len(value)


def _is_secret(name: str, value: str) -> bool:
    """Whether an assigned value can be a credential: a password may be short, a token must be long and random."""
    if _DULL.match(value):
        return False
    digits, letters = any(map(str.isdigit, value)), any(map(str.isalpha, value))
    if _PASSWORD.fullmatch(name):
        return not value.isalpha() and len(value) >= 6 and (digits or _entropy(value) >= 3.0)
    if _WEAK.fullmatch(name):
        return spoken.made_up(value)
    if len(value) < 12 or not (digits and letters):
        return False
    if "secret" not in name.lower() and all(p.isalpha() or p.isdigit() for p in _PARTS.split(value) if p):
        return False
    return _entropy(value) >= 3.2


def _entropy(text: str) -> float:
    return -sum(c / len(text) * math.log2(c / len(text)) for c in Counter(text).values())
