import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail

# Both begin with a literal, which `re` looks for much faster than for what must not stand before it.
_BRACKETS = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\](?!\()")
_LENSES = re.compile(r"【(\d{1,3})(?:[†:][^】]*)?】(?!\()")
_NAMED = re.compile(r"\[(?:doc(?:ument)?|source|ref)[ :_#-]?\s*([\w./-]{1,80})\]", re.IGNORECASE)


def cited(text: str) -> tuple[list[int], list[str]]:
    """Numbers and document names that a text cites, in order, once each."""
    numbers: dict[int, None] = {}
    for match in _BRACKETS.finditer(text):
        for part in match.group(1).replace(";", ",").split(","):
            numbers[int(part)] = None
    for match in _LENSES.finditer(text):
        before = text[match.start() - 1] if match.start() else " "
        if not (before == "]" or before == "_" or before.isalnum()):
            numbers[int(match.group(1))] = None
    return list(numbers), list({m.group(1): None for m in _NAMED.finditer(text)})


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
        documents = subject.trace.documents
        if not documents:
            return NotScored("no retrieved document is known")
        numbers, names = cited(text)
        if not numbers and not names:
            return NotScored("no citation in the output")
        ids = {d.id for d in documents if d.id}
        first = 0 if self.zero_based else 1
        for number in numbers:
            if not first <= number < len(documents) + first and str(number) not in ids:
                return fail(f"[{number}] points to none of {len(documents)} documents", self.error_class)
        for name in names:
            by_number = name.isdigit() and first <= int(name) < len(documents) + first
            if name not in ids and not by_number:
                return fail(f"[{name}] is none of the retrieved documents", self.error_class)
        return PASS
