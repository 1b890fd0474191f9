"""One fast pass that says which kinds can occur at all: hyperscan where its wheel exists, else RE2, else `re`."""

import importlib.util
import re
import threading
from collections.abc import Sequence
from typing import Any

from watchkeeper.redaction.keyforms import FORMS
from watchkeeper.redaction.views import CODED, FORM_BLANK
from watchkeeper.redaction.words import MADE_LIKE_A_KEY, PAPER, SECRETS

EMAIL, DIGITS, IBAN, IPV4, IPV6, SECRET, ALNUM_ID, ESCAPED, RUN, ASSIGNED, SAID_ID = range(11)

# As `secrets._ASSIGNED` up to its value: names alone (`token limit`) are far more frequent than assignments.
_ASSIGNED = (
    rf"(?i:(?:{SECRETS})"
    r"\\?[\"']?\s{0,3}(?:is|es|é|è|är|jest|lautet|to\s|:|=|>|：|是|为|は|는|은)|(?:bearer\\?[\"']?|--password|--token)\s)"
)
_PREFIXES = (
    "|".join(begin for begin, _ in FORMS)
    + rf"|-----BEGIN|sk-|{MADE_LIKE_A_KEY}(?:[A-Za-z0-9]{{1,15}}[_-])?[A-Za-z0-9]{{0,12}}[0-9][A-Za-z0-9]{{3}}"
)
_URL_PASSWORD = r":\/\/[^\s/:@]{0,64}:[^\s/@]{3,64}@|:thin:[^\s/@]{1,64}\/|\s(?:-u|--user)[ =][\"']?[^\s:\"']{1,64}:[^\s\"']{4}"
PATTERNS: tuple[str, ...] = (
    r"[^\s,;:<>()\[\]]@[^\s,;:<>()\[\]]",
    r"\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d",
    r"[A-Za-z]{2}\d{2}[ .-]?[A-Za-z0-9]{4}[ .-]?[A-Za-z0-9]{4}|[A-Z]{2} \d{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
    r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}",
    r"[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:|[0-9A-Fa-f]::[0-9A-Fa-f]",
    _PREFIXES,
    r"\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D]|\d{7}-?[A-Z]|\d{2}[A-Za-z]\d{2} ?[A-Za-z]\d{3}|\d[A-Z][A-Z0-9]\d-?[A-Z][A-Z0-9]\d-?[A-Z]{2}\d|\d{6}[-+A]\d{3}[0-9A-Z]"
    r"|\d\.\d{3}\.\d{3}-?[A-Z]|[A-Z9]{4}\d{4}|[A-Z]\d{6}(?:\(|\d{3})",
    rf"{CODED}|{FORM_BLANK}|\\[nrt\"'/]",
    r"[A-Za-z0-9+/]{16}",
    rf"{_ASSIGNED}|{_URL_PASSWORD}",
    rf"(?i:{PAPER})",
)


def _collect(pattern_id: int, _start: int, _end: int, _flags: int, found: Any) -> None:
    found.append(pattern_id)


class Prefilter:
    """Which of `PATTERNS` occur in a text."""

    def __init__(self, patterns: Sequence[str] = PATTERNS, engine: str = "auto") -> None:
        """`engine`: auto, hyperscan, re2 or re."""
        self.engine = engine if engine != "auto" else _best()
        self._local = threading.local()
        self._database: Any = None
        self._others: list[Any] = []
        if self.engine == "hyperscan":
            import hyperscan as hs

            self._hs: Any = hs
            self._database = hs.Database()
            self._database.compile(
                expressions=[p.encode() for p in patterns],
                ids=list(range(len(patterns))),
                elements=len(patterns),
                flags=[hs.HS_FLAG_SINGLEMATCH] * len(patterns),
            )
        elif self.engine == "re2":
            import re2

            self._others = [re2.compile(p) for p in patterns]
        else:
            self._others = [re.compile(p) for p in patterns]

    def ids(self, text: str) -> list[int]:
        """Indices of the patterns that occur, in no order."""
        if self._database is None:
            return [i for i, p in enumerate(self._others) if p.search(text) is not None]
        # Scratch space belongs to one scan at a time, so each thread has its own.
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = self._hs.Scratch(self._database)
        found: list[int] = []
        self._database.scan(
            text.encode("utf-8", "replace"), match_event_handler=_collect, context=found, scratch=scratch
        )
        return found


def _best() -> str:
    return next((name for name in ("hyperscan", "re2") if importlib.util.find_spec(name) is not None), "re")
