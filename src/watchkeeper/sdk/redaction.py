"""Personal data and secrets out of every string before it leaves the process."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, cast

from watchkeeper.redaction import spoken, views, words
from watchkeeper.sdk import credentials, finders, papers
from watchkeeper.sdk.finders import Found

_MAX_NESTING: Final = 6
_MAX_VIEWS: Final = 3
_PIECE: Final = 65_536
_MIN_LENGTH: Final = 6
_OPENERS: Final = ("{", "[", '"')
_HAS_DIGIT: Final = re.compile(r"\d")


class Redactor:
    """Replaces what it finds by typed placeholders: ``[EMAIL]``, ``[CARD]``, ``[IBAN]``, ``[PHONE]``, ``[SSN]``,
    ``[NATIONAL_ID]``, ``[IP]``, ``[SECRET]``, ``[NAME]``, and ``[KIND]`` for each custom pattern ``kind``.

    ``names``: words or full names to hide, whole words in any case. ``patterns``: kind → regular expression.

    >>> Redactor(names=["Ada Lovelace"])("Ada Lovelace <ada@example.com>")
    '[NAME] <[EMAIL]>'
    """

    def __init__(
        self, names: Iterable[str] = (), patterns: Mapping[str, str | re.Pattern[str]] | None = None
    ) -> None:
        words = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
        self._names = (
            re.compile(rf"(?<!\w)(?:{'|'.join(re.escape(word) for word in words)})(?!\w)", re.IGNORECASE)
            if words
            else None
        )
        self._patterns = tuple(
            (re.sub(r"\W+", "_", kind).upper(), re.compile(pattern))
            for kind, pattern in (patterns or {}).items()
        )

    def __call__(self, text: str) -> str:
        """``text`` with every find replaced; a string that holds JSON stays JSON."""
        return self._string(text, 0)

    def find(self, text: str) -> list[Found]:
        """What would be replaced in plain ``text``, in order, without overlaps (the longest wins)."""
        return self._find(text, finders.long_words(text))

    def _find(self, text: str, long: str) -> list[Found]:
        found: list[Found] = []
        if "@" in text or "%40" in text:
            found.extend(finders.emails(text))
        if spoken.may_hold_email(text.lower()):
            found.extend(Found(start, end, "EMAIL") for start, end in spoken.emails(text))
        found.extend(Found(start, end, "SECRET") for start, end in credentials.found(text, long))
        if _HAS_DIGIT.search(text) is not None:
            found.extend(finders.numbers(text))
            found.extend(Found(start, end, "NATIONAL_ID") for start, end in papers.found(text))
        if "::" in text or text.count(":") >= 7:
            found.extend(finders.ipv6(text))
        if self._names is not None:
            found.extend(Found(m.start(), m.end(), "NAME") for m in self._names.finditer(text))
        for kind, pattern in self._patterns:
            found.extend(
                Found(m.start(), m.end(), kind) for m in pattern.finditer(text) if m.end() > m.start()
            )
        return _apart(found) if len(found) > 1 else found

    def value(self, value: object) -> object:
        """Strings, whole numbers that are cards, and everything inside lists and mappings."""
        return self._value(value, 0)

    def _value(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            return self._string(value, depth)
        if isinstance(value, dict):
            items = cast("dict[object, object]", value).items()
            return {self._value(key, depth): self._named(key, item, depth) for key, item in items}
        if isinstance(value, (list, tuple)):
            return [self._value(item, depth) for item in cast("list[object]", value)]
        if type(value) is int and value >= 10**12:
            return self._flat(str(value)) if self.find(str(value)) else value
        return value

    def _named(self, key: object, item: object, depth: int) -> object:
        """A value whose key may say what it is: a password, a passport's number."""
        if isinstance(key, str) and isinstance(item, str) and _names(key.lower()):
            lead = f"{key}: "
            clean = self._flat(lead + item)
            if clean.startswith(lead) and clean != lead + item:
                return clean.removeprefix(lead)
        return self._value(item, depth)

    def _string(self, text: str, depth: int) -> str:
        if len(text) < _MIN_LENGTH and self._names is None and not self._patterns:
            return text
        if depth < _MAX_NESTING and (text[:1] in _OPENERS or text[:1].isspace()):
            inner = self._json(text, depth)
            if inner is not None:
                return inner
        return self._flat(text)

    def _json(self, text: str, depth: int) -> str | None:
        if text[:1].isspace() and text.lstrip()[:1] not in _OPENERS:
            return None
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return None
        redacted = self._value(document, depth + 1)
        if redacted == document:
            return text
        return json.dumps(redacted, ensure_ascii=False, separators=(",", ":"))

    def _flat(self, text: str) -> str:
        if len(text) <= _PIECE or self._patterns or "-----BEGIN" in text:
            return self._piece(text)
        return "".join(map(self._piece, _pieces(text)))

    def _piece(self, text: str) -> str:
        return _replace(text, self._everywhere(text, 0))

    def _everywhere(self, text: str, depth: int) -> list[Found]:
        """What is to be replaced in a text, also where it stands escaped, in look-alike characters or encoded."""
        long = finders.long_words(text)
        found = self._find(text, long)
        if depth >= _MAX_VIEWS:
            return found
        found += self._through(text, views.quickly(text)[0], views.unescaped, depth)
        mail = views.mailed(text)
        if mail is not None:
            inner = self._everywhere(mail.text, depth + 1)
            found += [Found(*mail.back(f.start, f.end), f.kind) for f in inner]
        if not text.isascii():
            found += self._through(text, views.quickly_folded(text), views.folded, depth)
        if finders.coded_words(long):
            found += [
                Found(start, end, kind)
                for start, end, kind in views.encoded(text, lambda inner: self._held(inner, depth))
            ]
        return _apart(found) if len(found) > 1 else found

    def _through(
        self, text: str, plain: str, view_of: Callable[[str], views.View | None], depth: int
    ) -> list[Found]:
        """Finds of a changed text at their places in ``text``."""
        if plain == text or not (found := self._everywhere(plain, depth + 1)):
            return []
        view = view_of(text)
        if view is None:
            return []
        if view.text != plain:
            found = self._everywhere(view.text, depth + 1)
        return [Found(*view.back(f.start, f.end), f.kind) for f in found]

    def _held(self, text: str, depth: int) -> str | None:
        found = self._everywhere(text, depth + 1)
        return found[0].kind if found else None


def _names(key: str) -> bool:
    told = (words.NAMED, words.PAPERS, spoken.CODE_BEGINS)
    return any(any(map(key.__contains__, names)) for names in told)


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that end at a line or word, so that no regular expression holds the interpreter long."""
    at = 0
    while at < len(text):
        end = at + _PIECE
        if end < len(text):
            cut = max(text.rfind("\n", at, end), text.rfind("  ", at, end))
            cut = cut if cut > at else text.rfind(" ", at + _PIECE // 2, end)
            end = cut + 1 if cut > at else end
        yield text[at:end]
        at = end


def _apart(found: list[Found]) -> list[Found]:
    """The finds in order; of two that overlap the longer one, and they are joined into its span."""
    found.sort(key=lambda f: (f.start, -f.end))
    apart: list[Found] = []
    for item in found:
        if apart and item.start < apart[-1].end:
            last = apart[-1]
            longer = last if last.end - last.start >= item.end - item.start else item
            apart[-1] = Found(last.start, max(last.end, item.end), longer.kind)
        else:
            apart.append(item)
    return apart


def _replace(text: str, found: list[Found]) -> str:
    if not found:
        return text
    out: list[str] = []
    at = 0
    for start, end, kind in found:
        out.append(text[at:start])
        out.append(f"[{kind}]")
        at = end
    out.append(text[at:])
    return "".join(out)


def keyed_hash(key: str | bytes) -> Callable[[str], str]:
    """A function that turns an identity into ``u_`` and 24 hex digits of HMAC-SHA-256 under ``key``.

    The same key gives the same token in every process, so a user's traces stay together and can be
    erased, while the token alone says nothing.
    """
    secret = key.encode() if isinstance(key, str) else key

    def token(identity: str) -> str:
        if identity.startswith("u_") and len(identity) == 26:
            return identity
        return "u_" + hmac.new(secret, identity.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:24]

    return token
