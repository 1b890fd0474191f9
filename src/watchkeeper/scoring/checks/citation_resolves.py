import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.model.span import Document
from watchkeeper.scoring.checks.base import PASS, Check, fail

# All begin with a literal, which `re` looks for much faster than for what must not stand before it.
_BRACKETS = re.compile(r"\[\^?(\d{1,3}(?:\s*[,;\u2013-]\s*\d{1,3})*)\](?!\()")
_LENSES = re.compile(r"【(\d{1,3})(?:[†:][^】]*)?】(?!\()")
_SOURCE = r"(?:doc(?:ument)?|source|ref(?:erence)?)s?"
_NAMED = re.compile(
    rf"\[{_SOURCE}(?:\s*[:_#-]+\s*|\s+(?=#?[\w./-]*\d)|(?=\d))#?([\w./-]{{1,80}}(?:\s*[,;]\s*(?:{_SOURCE}\s*)?[\w./-]{{1,80}}){{0,20}})\]",
    re.IGNORECASE,
)
_LIST = re.compile(r"\s*\[[\d\s.,-]*,[\d\s.,-]*\]\s*")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
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
    if "`" in text:
        text = _CODE.sub(" ", text)
    numbers = dict.fromkeys(_bracketed(text))
    for match in _LENSES.finditer(text):
        before = text[match.start() - 1] if match.start() else " "
        if not (before == "]" or before == "_" or before.isalnum()):
            numbers[int(match.group(1))] = None
    named = (
        re.sub(rf"^{_SOURCE}\s+", "", n, flags=re.IGNORECASE)
        for m in _NAMED.finditer(text)
        for n in re.split(r"\s*[,;]\s*", m.group(1))
    )
    return list(numbers), list(dict.fromkeys(named))


def _names(documents: Sequence[Document]) -> set[str]:
    """What documents may be called in a mark: their ids, titles, paths and file names, in lower case."""
    said = [d.id for d in documents if d.id] + [
        v for d in documents for v in d.metadata.values() if isinstance(v, str) and len(v) < 200
    ]
    return {form for name in said for form in (name.lower(), name.lower().rsplit("/", 1)[-1])}


@dataclass(frozen=True, kw_only=True)
class CitationResolves(Check):
    """Every citation mark in the output ([1], 【2】, [doc:id]) points to a retrieved document.

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
        if not text or ("[" not in text and "【" not in text):
            return NotScored("no citation in the output")
        if text.lstrip()[:2] in ('{"', "{}", "[{", '["') or _LIST.fullmatch(text):
            return NotScored("the output is structured data")
        documents = subject.trace.documents
        if not documents:
            return NotScored("no retrieved document is known")
        numbers, names = cited(text)
        if not numbers and not names:
            return NotScored("no citation in the output")
        ids = {d.id for d in documents if d.id}
        names_known = _names(documents)
        first = 0 if self.zero_based else 1
        for number in numbers:
            if not first <= number < len(documents) + first and str(number) not in ids:
                return fail(f"[{number}] points to none of {len(documents)} documents", self.error_class)
        for name in names:
            by_number = name.isdigit() and first <= int(name) < len(documents) + first
            if name.lower() not in names_known and not by_number:
                return fail(f"[{name}] is none of the retrieved documents", self.error_class)
        return PASS
