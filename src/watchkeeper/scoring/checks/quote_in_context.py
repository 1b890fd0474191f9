import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts, squeeze, words
from watchkeeper.scoring.texts import UNPARTED, without_code

_MARKS = '"“„«»「『'
# Straight marks look alike, so short quotations are read too: else the words between two of them would pass for one.
_QUOTE = re.compile(
    r"(?<!\d)\"([^\"\n]{1,600})\"|“([^“”\n]{1,600})”|„([^„“”\n]{1,600})[“”]|«([^«»\n]{1,600})»|»([^«»\n]{1,600})«|「([^「」\n]{1,600})」|『([^『』\n]{1,600})』"
)
# What a writer puts in or leaves out of a quotation: citation marks, [insertions], an ellipsis.
_GAP = re.compile(r"\[[^\]]{0,80}\]|\(?(?:\.\.\.|…)\)?|【[^】]*】")


def _spoken(pieces: Sequence[str], sources: Sequence[str]) -> bool:
    """Whether a source has the same words in the same order; commas, dashes and quotation marks are the typesetter's."""
    told = [f" {' '.join(words(piece))} " for piece in pieces]
    return any(all(piece in f" {' '.join(words(source))} " for piece in told) for source in sources)


def _quotes(text: str, least: int) -> Iterator[str]:
    """Quotations of at least so many words; of two characters a word where words are not parted."""
    for match in _QUOTE.finditer(text):
        quote = match.group(match.lastindex or 0)
        if (len(quote) >= 20 and len(quote.split()) >= least) or len(UNPARTED.findall(quote)) >= 2 * least:
            yield quote


@dataclass(frozen=True, kw_only=True)
class QuoteInContext(Check):
    """What the output puts in quotation marks occurs word for word in the evidence, the input or the system prompt.

    min_words: shorter quotations are not judged.
    """

    type = "quote_in_context"
    row = "C3"
    summary = "Quotations of at least `min_words` words occur verbatim in the evidence or input."
    error_class = "ungrounded"
    default = True
    example = {"min_words": 5}

    min_words: int = 5

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if not text or not any(mark in text for mark in _MARKS):
            return NotScored("no quotation in the output")
        seen = facts(subject)
        if not seen.evidence:
            return NotScored("no retrieved text or tool result is known")
        if text.lstrip()[:1] in ("{", "["):
            return NotScored("the output is structured data")
        quotes = list(_quotes(without_code(text), self.min_words))
        if not quotes:
            return NotScored("no quotation in the output")
        sources = (seen.evidence_squeezed, seen.input_squeezed, squeeze("\n".join(seen.system)))
        for quote in quotes:
            pieces = [p for p in (piece.strip(" .,;:!?*_") for piece in _GAP.split(squeeze(quote))) if p]
            if not any(all(piece in source for piece in pieces) for source in sources) and not _spoken(
                pieces, sources
            ):
                return fail(f"not in the evidence: “{quote[:120]}”", self.error_class)
        return PASS
