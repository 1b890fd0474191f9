"""The same text as a reader would see it: escapes undone, look-alikes folded, base64 decoded; with the way back."""

import base64
import binascii
import codecs
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

_NAMED = {
    "nbsp": " ", "quot": '"', "apos": "'", "commat": "@", "period": ".", "hyphen": "-", "dash": "-", "plus": "+", "lpar": "(",
    "rpar": ")", "colon": ":", "equals": "=", "lowbar": "_", "sol": "/", "num": "#",
}  # fmt: skip
# Of URLs and bytes, JSON, HTML; and the blank of a form between digits and capitals.
_PLAIN = (
    r"%(?:[2-7][0-9A-Fa-f]|0[9ADad])|(?:%[89A-Fa-f][0-9A-Fa-f])+"
    r"|\\{1,4}(?:u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{2,5}\}|x[2-7][0-9A-Fa-f])|&(?:#x?[0-9A-Fa-f]{2,5}|"
    + "|".join(_NAMED)
    + r");"
)
# Of mail, which also breaks lines after an equals sign. Apart from the others: in `card=4012 …` nothing is escaped.
_MAIL = r"=(?:3D|40|2E|20)"
CODED = rf"{_PLAIN}|{_MAIL}|[0-9A-Za-z.@_-]=\r?\n[0-9A-Za-z.@_-]"
FORM_BLANK = r"[0-9]\+[0-9A-Z]{1,5}\+[0-9A-Z]|%2B[0-9]{1,3}\+[0-9]"
_ANY = rf"{_PLAIN}|\+(?<=[0-9A-Z].)(?=[0-9A-Z])"
ESCAPE = re.compile(rf"{_ANY}|\\[nrt\"'/]")
MAILED = re.compile(rf"{_MAIL}|=(?<=[0-9A-Za-z.@_-]=)\r?\n(?=[0-9A-Za-z.@_-])")
_B64 = "A-Za-z0-9+/_-"
# The next base64 run from here on. Shorter words are passed over inside one match: searching would try each of their letters.
_NEXT_RUN = re.compile(rf"[^{_B64}]*+(?:[{_B64}]{{1,15}}+[^{_B64}]++)*+([{_B64}]{{16,}}+={{0,2}})")
_INVISIBLE = dict.fromkeys((0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x00AD))
_DASHES = "\u2010-\u2015\u2212"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# What compatibility leaves as it is: dashes within one number (not between two years), and other scripts' digits. Both begin
# with a set of characters, which `re` finds fast.
_DASHED = re.compile(rf"[{_DASHES}](?<=[0-9].)[0-9]{{2,6}}[{_DASHES}][0-9]")
# Arabic, Persian, Devanagari, Bengali, Gurmukhi, Gujarati, Odia, Tamil, Telugu, Kannada, Malayalam, Thai, Lao, Tibetan, Burmese, Khmer.
_ZEROS = "\u0660\u06f0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0e50\u0ed0\u0f20\u1040\u17e0"
_OTHER_DIGITS = re.compile("[" + "".join(f"{zero}-{chr(ord(zero) + 9)}" for zero in _ZEROS) + "]")
_PRINTABLE = bytes((9, 10, 13, *range(32, 127)))
_SHORT = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "/": "/"}


class View:
    """A changed text with the way back: every match of a pattern is replaced, the rest stands as it was."""

    def __init__(self, text: str, pattern: re.Pattern[str], change: Callable[[str], str]) -> None:
        # Of every replaced token: where its piece begins and ends in the view, where it stood in the original.
        self._begins: list[int] = []
        self._tokens: list[tuple[int, int, int]] = []
        shift = 0

        def take(match: re.Match[str]) -> str:
            nonlocal shift
            token = match.group()
            piece = change(token)
            if piece is not token:
                start, end = match.span()
                begin = start + shift
                self._begins.append(begin)
                self._tokens.append((begin + len(piece), start, end))
                shift += len(piece) - len(token)
            return piece

        self.text = pattern.sub(take, text)

    @property
    def changed(self) -> bool:
        """Whether anything was replaced."""
        return bool(self._tokens)

    def _origin(self, position: int) -> tuple[int, int]:
        index = bisect_right(self._begins, position) - 1
        if index < 0:
            return position, position + 1
        piece_end, start, end = self._tokens[index]
        if position < piece_end:
            return start, end
        return end + position - piece_end, end + position - piece_end + 1

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that characters `start` to `end` stand for."""
        return self._origin(start)[0], self._origin(end - 1)[1]


def _decode(token: str) -> str:
    if token == "+":
        return " "
    if token[0] == "=":
        return chr(int(token[1:], 16)) if token[1:].isalnum() else ""
    if token[0] == "%":
        return bytes.fromhex(token.replace("%", "")).decode("utf-8", "replace")
    if token[0] == "&":
        if token[1] != "#":
            return _NAMED[token[1:-1]]
        number = int(token[3:-1], 16) if token[2] in "xX" else int(re.sub(r"\D", "", token) or "0")
        return chr(number) if 0 < number < 0x110000 else token
    if len(token) == 2:
        return _SHORT[token[1]]
    return chr(int(token.lstrip("\\")[1:].strip("{}"), 16))


_QUICK = (('\\"', '"'), ("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\/", "/"), ("\\'", "'"))
_SLOW = re.compile(_ANY)
_SIGNS = ("%", "\\", "&", "+")
_MAIL_SIGNS = ("=40", "=3D", "=2E", "=20", "=\n", "=\r")


def quickly(text: str) -> tuple[str, bool]:
    """The text with its escapes undone but no way back, and whether any was more than a backslash escape: enough to see
    that most escaped texts (JSON in JSON) hold nothing."""
    plain = text
    if "\\" in text:
        for escape, char in _QUICK:
            plain = plain.replace(escape, char)
    # Looking for a character is far quicker than the pattern, and most texts have none of these.
    if not any(map(plain.__contains__, _SIGNS)) or _SLOW.search(plain) is None:
        return plain, False
    return _SLOW.sub(lambda m: _decode(m.group(0)), plain), True


def unescaped(text: str) -> View | None:
    """Escapes of URLs, forms, JSON, bytes and HTML undone; None when there are none."""
    view = View(text, ESCAPE, _decode)
    return view if view.changed else None


def mailed(text: str) -> View | None:
    """Escapes and broken lines of mail (quoted-printable) undone; None when there are none."""
    if not any(map(text.__contains__, _MAIL_SIGNS)):
        return None
    view = View(text, MAILED, _decode)
    return view if view.changed else None


@lru_cache(maxsize=4096)
def _fold(char: str) -> str:
    """A character without its disguise; the very same object where it has none."""
    if ord(char) in _INVISIBLE:
        return ""
    digit = unicodedata.decimal(char, None)
    plain = unicodedata.normalize("NFKC", char) if digit is None else str(digit)
    plain = "-" if plain == "\u2212" or "\u2010" <= plain <= "\u2015" else plain
    return char if plain == char else plain


def _may_fold(text: str) -> bool:
    if text.isascii():
        return False
    if not unicodedata.is_normalized("NFKC", text) or any(chr(c) in text for c in _INVISIBLE):
        return True
    return _DASHED.search(text) is not None or _OTHER_DIGITS.search(text) is not None


def quickly_folded(text: str) -> str:
    """The text of `folded`, without the way back; the text itself when nothing changes."""
    return _NOT_ASCII.sub(lambda m: _fold(m.group()), text) if _may_fold(text) else text


def folded(text: str) -> View | None:
    """Compatibility look-alikes (full-width digits, ＠, mathematical letters), digits of other scripts and dashes as plain
    characters, invisible characters left out; None when nothing changes."""
    if not _may_fold(text):
        return None
    view = View(text, _NOT_ASCII, lambda char: char if _fold(char) == char else _fold(char))
    return view if view.changed else None


# Letters that `re` takes for an ASCII letter in another case, although lower case does not make them one.
_ODD_CASES = frozenset("\u017f\u0131\u0130\u212a")


def tried(pattern: re.Pattern[str], text: str, names: tuple[str, ...]) -> Iterator[re.Match[str]]:
    """What `pattern.finditer` gives (of a pattern that ignores case), tried only where one of the lower-case `names` that its
    matches begin with stands: about ten times as fast."""
    lowered = text.lower()
    if len(lowered) != len(text) or not _ODD_CASES.isdisjoint(text):
        yield from pattern.finditer(text)
    else:
        yield from tried_at(pattern, text, lowered, names)


def lower(text: str) -> str:
    """The text in lower case, or as it is where that would move its characters."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text


def tried_at(
    pattern: re.Pattern[str], text: str, lowered: str, names: Iterable[str]
) -> Iterator[re.Match[str]]:
    """What `pattern.finditer` gives of matches that begin where one of the `names` stands in the text's lower case."""
    starts: set[int] = set()
    for name in names:
        at = lowered.find(name)
        while at >= 0:
            starts.add(at)
            at = lowered.find(name, at + 1)
    end = 0
    for start in sorted(starts):
        if start >= end:
            match = pattern.match(text, start)
            if match is not None:
                yield match
                end = match.end()


# Lines of encoded text, as mail and certificates break them.
_LINES = re.compile(rf"(?:[{_B64}]{{60,76}}\r?\n)+[{_B64}]{{2,76}}={{0,2}}")


def encoded(text: str, holds: Callable[[str], str | None]) -> list[tuple[int, int, str]]:
    """Base64 and hexadecimal runs whose decoded text `holds` something: start, end and what it said."""
    out: list[tuple[int, int, str]] = []
    match = _NEXT_RUN.match(text)
    while match is not None:
        start, end = match.span(1)
        run = match.group(1)
        if 60 <= end - start <= 76 and text[end : end + 1] in ("\r", "\n"):
            lines = _LINES.match(text, start)
            if lines is not None:
                end, run = lines.end(), lines.group().replace("\r", "").replace("\n", "")
        decoded = _plain(run)
        if decoded is not None:
            kind = holds(decoded)
            if kind is not None:
                out.append((start, end, kind))
        match = _NEXT_RUN.match(text, end)
    return out


def _plain(run: str) -> str | None:
    """The text a base64 or hexadecimal run stands for, None where it is not printable text (ids, hashes, images)."""
    # Encoded text mixes cases; identifiers and hexadecimal numbers do not.
    if run.islower() or run.isupper() or run.isdigit():
        return _from_hex(run) if len(run) >= 24 and _HEX_HEAD.match(run) else None
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    if len(body) % 4 == 1:
        return None
    try:
        # Ids and images show in the first bytes; a megabyte need not be decoded to see it.
        coding = _coding(base64.b64decode(body[:16]))
        if coding is None:
            return None
        raw = base64.b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        return None
    return raw.decode(coding, "replace") if _coding(raw[:200]) else None


def _from_hex(run: str) -> str | None:
    try:
        raw = bytes.fromhex(run)
    except ValueError:
        return None
    return raw.decode("utf-8", "replace") if _coding(raw[:200]) else None


# Every other digit of printable text is 2 to 7, unless a line or a column ends; those of a number are anything.
_HEX_HEAD = re.compile("(?:[2-7][0-9A-Fa-f]|0[9ADad]){10}")


def _coding(raw: bytes) -> str | None:
    """How bytes that are text are coded, judged by their beginning; None for what is no text."""
    strange = raw.translate(None, _PRINTABLE)
    if len(strange) <= 0.05 * len(raw):
        return "latin-1" if not strange else "utf-8"
    least = min(strange)
    if least < 128:
        return "utf-16-le" if not least and not any(raw[1::2]) else None
    try:
        # The last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(raw)
    except UnicodeDecodeError:
        return None
    return "utf-8"
