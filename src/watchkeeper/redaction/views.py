"""The same text as a reader would see it: escapes undone, look-alikes folded, base64 decoded; with the way back."""

import base64
import binascii
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property

ESCAPE = re.compile(r"%[2-7][0-9A-Fa-f]|\\u00[0-7][0-9A-Fa-f]|\\[nrt\"'/]|&#x?[0-9A-Fa-f]{2,5};")
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_INVISIBLE = dict.fromkeys((0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x00AD))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SHORT = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "/": "/"}


class View:
    """A changed text, piece by piece: a piece is either copied as it was or stands whole for a part of the original."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._at: list[int] = []
        self._from: list[tuple[int, int, bool]] = []
        self._length = 0

    def add(self, piece: str, start: int, end: int, copied: bool) -> None:
        """Append a piece that comes from characters `start` to `end` of the original."""
        if piece:
            self._pieces.append(piece)
            self._at.append(self._length)
            self._from.append((start, end, copied))
            self._length += len(piece)

    @cached_property
    def text(self) -> str:
        return "".join(self._pieces)

    def _origin(self, position: int) -> tuple[int, int]:
        index = bisect_right(self._at, position) - 1
        start, end, copied = self._from[index]
        if not copied:
            return start, end
        at = start + position - self._at[index]
        return at, at + 1

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that characters `start` to `end` stand for."""
        return self._origin(start)[0], self._origin(end - 1)[1]


def _decode(token: str) -> str:
    if token[0] == "%":
        return chr(int(token[1:], 16))
    if token[0] == "&":
        number = int(token[3:-1], 16) if token[2] in "xX" else int(re.sub(r"\D", "", token) or "0")
        return chr(number) if 0 < number < 0x110000 else token
    return chr(int(token[2:], 16)) if token[1] == "u" else _SHORT[token[1]]


_QUICK = (('\\"', '"'), ("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\/", "/"), ("\\'", "'"))
_SLOW = re.compile(r"%[2-7][0-9A-Fa-f]|\\u00[0-7][0-9A-Fa-f]|&#x?[0-9A-Fa-f]{2,5};")


def quickly(text: str) -> tuple[str, bool]:
    """The text with its escapes undone but no way back, and whether any was more than a backslash escape: enough to see
    that most escaped texts (JSON in JSON) hold nothing."""
    plain = text
    if "\\" in text:
        for escape, char in _QUICK:
            plain = plain.replace(escape, char)
    if _SLOW.search(plain) is None:
        return plain, False
    return _SLOW.sub(lambda m: _decode(m.group(0)), plain), True


def unescaped(text: str) -> View | None:
    """URL, JSON and character-reference escapes of ASCII characters undone; None when there are none."""
    view = View()
    at = 0
    for match in ESCAPE.finditer(text):
        view.add(text[at : match.start()], at, match.start(), True)
        view.add(_decode(match.group(0)), match.start(), match.end(), False)
        at = match.end()
    if not at:
        return None
    view.add(text[at:], at, len(text), True)
    return view


def folded(text: str) -> View | None:
    """Compatibility look-alikes (full-width digits, ＠, mathematical letters) as plain characters, invisible characters
    left out; None when nothing changes."""
    if text.isascii():
        return None
    if unicodedata.is_normalized("NFKC", text) and not any(chr(c) in text for c in _INVISIBLE):
        return None
    view = View()
    at = 0
    for match in _NOT_ASCII.finditer(text):
        char = match.group(0)
        plain = "" if ord(char) in _INVISIBLE else unicodedata.normalize("NFKC", char)
        if plain != char:
            view.add(text[at : match.start()], at, match.start(), True)
            view.add(plain, match.start(), match.end(), False)
            at = match.end()
    view.add(text[at:], at, len(text), True)
    return view


def encoded(text: str, holds: Callable[[str], str | None]) -> list[tuple[int, int, str]]:
    """Base64 runs whose decoded text `holds` something: start, end and what it said."""
    out: list[tuple[int, int, str]] = []
    for match in BASE64.finditer(text):
        decoded = _plain(match.group(0))
        if decoded is not None:
            kind = holds(decoded)
            if kind is not None:
                out.append((match.start(), match.end(), kind))
    return out


def _plain(run: str) -> str | None:
    """The text a base64 run stands for, None where it is not printable text (ids, hashes, images)."""
    # Encoded text mixes cases; identifiers and hexadecimal numbers do not.
    if run.islower() or run.isupper() or run.isdigit():
        return None
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    if len(body) % 4 == 1:
        return None
    try:
        head = base64.b64decode(body[:16])
        # Ids and images show in the first bytes; a megabyte need not be decoded to see it.
        if not _printable(head):
            return None
        raw = base64.b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        return None
    return raw.decode("latin-1") if _printable(raw[:200]) else None


def _printable(raw: bytes) -> bool:
    return sum(32 <= b < 127 or b in (9, 10, 13) for b in raw) >= 0.95 * len(raw)
