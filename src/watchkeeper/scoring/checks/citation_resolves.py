import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.model.span import Document
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import Facts, facts
from watchkeeper.scoring.texts import without_code

# All begin with a literal, which `re` looks for much faster than for what must not stand before it.
_BRACKETS = re.compile(r"\[\^?(\d{1,3}(?:\s*[,;\u2013-]\s*\d{1,3})*)\](?!\()")
# 【4:0†file】 counts messages and annotations, not documents.
_LENSES = re.compile(r"【(\d{1,3})(?:†[^】]*)?】(?!\()")
_TAGS = re.compile(r"<(?:cite|sup|source|ref)>\[?(\d{1,3})\]?</")
_SOURCE = (
    r"(?:doc(?:ument)?|source|ref(?:erence)?|quelle|dokument|beleg|fuente|documento|fonte|bron|källa|kilde|źródło|kaynak|документ|источник"
    r"|来源|來源|文档|文檔|资料|資料|出典|文献|출처|문서)(?:s|n|en)?"
)
_NAMED = re.compile(
    rf"\[{_SOURCE}(?:\s*[:：_#-]+\s*|\s+(?=#?[\w./-]*\d)|(?=\d))#?([\w./-]{{1,80}}(?:\s*[,;]\s*(?:{_SOURCE}\s*)?[\w./-]{{1,80}}){{0,20}})\]",
    re.IGNORECASE,
)
_LIST = re.compile(r"\s*\[[\d\s.,-]*,[\d\s.,-]*\]\s*")
_LINK = re.compile(r"https?://[^\s<>()\[\]\"'`]+")
_LABEL = re.compile(r"\[([^\]\n]{0,120})\]\($")
_HELD = {
    "(": re.compile(r"\(([^()\n]{2,120})\)"),
    "[": re.compile(r"\[([^\[\]\n]{2,120})\]"),
    "【": re.compile(r"【([^】\n]{2,120})】"),
}
_NUMBERED = re.compile(rf"{_SOURCE} ?[:：#]? ?(\d{{1,3}})", re.IGNORECASE)
_FILE = r"(?:[^\W\d_]+: ?)?([\w-][\w .-]{0,80}\.(?:pdf|md|txt|docx?|html?|pptx?|xlsx?|csv|rst))(?:[,;:#] ?.{0,40})?"
_SAYS_SO = re.compile(rf"{_SOURCE} ?\d*", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
# An index or a list of numbers, not a mark: `row[3]`, `x = [1, 2]`, the interval [5, 10].
_NO_MARK = re.compile(
    r"(?:\b[A-Za-z]|\w*_\w*|\w*[a-z][A-Z]\w*|\w*\d|\b(?:arr(?:ay)?|list|nums?|data|df|dp|args|argv|matrix|vector|items|values|index|str|string))$"
    r"|(?:[=(,:]|\b(?:interval|range|array|list|vector|matrix|set|tuple|values?|elements?|numbers?|integers?|input|output|return|indices))\W{0,2}$|[\[\]]\s*,\s*$"
)


def _bracketed(text: str) -> Iterator[int]:
    for match in _BRACKETS.finditer(text):
        told = re.split(r"\s*([,;\u2013-])\s*", match.group(1))
        before = text[max(0, match.start() - 24) : match.start()]
        listed = len(told) > 1
        if (listed and "0" in told) or (
            (before[-1:].isalnum() or before[-1:] == "_" or listed) and _NO_MARK.search(before)
        ):
            continue
        yield from map(int, told[::2])


def cited(text: str) -> tuple[list[int], list[str]]:
    """Numbers and document names that a text cites outside of code, in order, once each."""
    if "[" not in text and "【" not in text and "</" not in text:
        return [], []
    text = without_code(text)
    numbers = dict.fromkeys(_bracketed(text))
    if "【" in text or "</" in text:
        for match in (*_LENSES.finditer(text), *_TAGS.finditer(text)):
            numbers[int(match.group(1))] = None
    named = (
        re.sub(rf"^{_SOURCE}\s+", "", n, flags=re.IGNORECASE)
        for m in _NAMED.finditer(text)
        for n in re.split(r"\s*[,;]\s*", m.group(1))
    )
    return list(numbers), list(dict.fromkeys(named))


def _plain_url(url: str) -> str:
    return url.split("://", 1)[-1].removeprefix("www.").split("#")[0].rstrip("/.,;:!?*").lower()


@lru_cache(maxsize=256)
def _form(shapes: frozenset[str], files: bool) -> re.Pattern[str]:
    """What stands in brackets and is a citation: an id of one of the shapes, or a file."""
    return re.compile("|".join([f"({one})" for one in sorted(shapes)] + [_FILE] * files), re.IGNORECASE)


def _shape(name: str) -> str | None:
    """What ids like this one look like (`KB-12` is `KB-` and digits), or None for what has no such form."""
    if not 3 <= len(name) <= 40 or not name.isascii() or name.isdigit():
        return None
    parts = _DIGITS.split(name)
    # One run of digits after a word: a hash or a UUID has many, and says nothing about others.
    if len(parts) != 2 or not parts[0].rstrip("-_:#").isalpha() or parts[1]:
        return None
    return re.escape(parts[0]) + r"\d+"


def _links(text: str, documents: Sequence[Document]) -> Iterator[tuple[str, bool]]:
    """Addresses that a text gives for its sources, and whether a document is there. One of a site that no document is of is no
    source, unless its link's text is a number or says so."""
    named = (v for d in documents for v in (d.id, *d.metadata.values()) if isinstance(v, str) and "://" in v)
    urls = {_plain_url(v) for v in named}
    if not urls:
        return
    urls |= {u.split("?", 1)[0] for u in urls}
    hosts = {u.split("/", 1)[0] for u in urls}
    for match in _LINK.finditer(text):
        url = _plain_url(match.group())
        if url in urls or url.split("?", 1)[0] in urls:
            yield match.group(), True
        elif "/" in url:
            label = _LABEL.search(text, max(0, match.start() - 124), match.start())
            said = label.group(1).strip(" []") if label else ""
            if url.split("/", 1)[0] in hosts or said.isdigit() or _SAYS_SO.fullmatch(said):
                yield match.group(), False


def _others(text: str, documents: Sequence[Document]) -> Iterator[tuple[str, bool]]:
    """Ids, files and numbered sources in brackets, where documents have ids and files of that form, and whether a document is
    called so."""
    held = [
        m.group(1).strip() for sign, inside in _HELD.items() if sign in text for m in inside.finditer(text)
    ]
    held = [inner for inner in held if inner[-1:].isdigit() or "." in inner]
    if not held:
        return
    known = _names(documents)
    shapes = frozenset(filter(None, (_shape(d.id) for d in documents if d.id)))
    files = any("." in name[-5:] for name in known)
    form = _form(shapes, files) if shapes or files else None
    for inner in held:
        told = form.fullmatch(inner) if form is not None else None
        if told is not None:
            name = told.group(told.lastindex or 0).lower()
            yield name, name in known or any(name.endswith(f" {k}") for k in known)
        elif (told := _NUMBERED.fullmatch(inner)) is not None:
            yield inner, 0 < int(told.group(1)) <= len(documents)


def _names(documents: Sequence[Document]) -> set[str]:
    """What documents may be called in a mark: their ids, titles, paths and file names, in lower case."""
    said = [d.id for d in documents if d.id] + [
        v for d in documents for v in d.metadata.values() if isinstance(v, str) and len(v) < 200
    ]
    return {form for name in said for form in (name.lower(), name.lower().rsplit("/", 1)[-1])}


# Without any of these there is no citation.
_SIGNS = ("[", "【", "(", "://", "</")
_NONE = NotScored("no citation in the output")


@dataclass(frozen=True, kw_only=True)
class CitationResolves(Check):
    """Every citation in the output ([1], 【2】, [doc:id], a file's name or an id in brackets, a link) points to a retrieved document.
    Links and names count where the documents have addresses, files or ids of that form.

    zero_based: marks count from 0.
    """

    type = "citation_resolves"
    row = "C3"
    summary = "Every citation mark in the output points to a retrieved document."
    error_class = "ungrounded"
    default = True
    example = {"zero_based": False}

    zero_based: bool = False

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if not text or not any(map(text.__contains__, _SIGNS)):
            return _NONE
        documents = subject.trace.documents
        if not documents:
            return NotScored(
                "no retrieved document is known" if "[" in text or "【" in text else _NONE.reason
            )
        if text.lstrip()[:2] in ('{"', "{}", "[{", '["') or _LIST.fullmatch(text):
            return NotScored("the output is structured data")
        wrong, any_told = self._unresolved(text, documents, facts(subject))
        if wrong is not None:
            return fail(wrong, self.error_class)
        return PASS if any_told else _NONE

    def _unresolved(self, text: str, documents: Sequence[Document], seen: Facts) -> tuple[str | None, bool]:
        """The first citation that points nowhere, in words, and whether there is any citation."""
        numbers, names = cited(text)
        ids = {d.id for d in documents if d.id}
        first = 0 if self.zero_based else 1
        for number in numbers:
            if not first <= number < len(documents) + first and str(number) not in ids:
                return f"[{number}] points to none of {len(documents)} documents", True
        names_known = _names(documents) if names else ()
        for name in names:
            by_number = name.isdigit() and first <= int(name) < len(documents) + first
            if name.lower() not in names_known and not by_number:
                return f"[{name}] is none of the retrieved documents", True
        told = bool(numbers or names)
        found = [*_others(text, documents), *(_links(text, documents) if "://" in text else ())]
        if any(not there for _, there in found):
            # What the evidence itself or a person spoke of is no citation.
            read = "\n".join((seen.evidence_text, seen.input or "", *seen.system)).lower()
            for name, there in found:
                if not there and _plain_url(name) not in read:
                    return f"[{name}] is none of the retrieved documents", True
        told = told or any(there for _, there in found)
        return None, told
