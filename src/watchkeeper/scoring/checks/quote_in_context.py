import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts, squeeze

_QUOTE = re.compile(r"[\"“„«]([^\"“”„«»\n]{20,600})[\"”»]")


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
        if not text or not any(mark in text for mark in '"“„«'):
            return NotScored("no quotation in the output")
        seen = facts(subject)
        if not seen.evidence:
            return NotScored("no retrieved text or tool result is known")
        if text.lstrip()[:1] in ("{", "["):
            return NotScored("the output is structured data")
        quotes = [q for q in _QUOTE.findall(text) if len(q.split()) >= self.min_words]
        if not quotes:
            return NotScored("no quotation in the output")
        system = squeeze("\n".join(seen.system))
        for quote in quotes:
            wanted = squeeze(quote).strip(" .,;:!?…")
            if (
                wanted not in seen.evidence_squeezed
                and wanted not in seen.input_squeezed
                and wanted not in system
            ):
                return fail(f"not in the evidence: “{quote[:120]}”", self.error_class)
        return PASS
