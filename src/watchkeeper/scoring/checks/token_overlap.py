from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import Check, measured
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.lexicon import STOPWORDS


@dataclass(frozen=True, kw_only=True)
class TokenOverlap(Check):
    """The share of the output's distinct content words that occur in the evidence or input.

    floor: below this share the verdict is failed; None measures only.
    """

    type = "token_overlap"
    row = "C3"
    summary = "Share of the output's content words that occur in the evidence or input (a measurement)."
    error_class = "ungrounded"
    default = True
    unit = "share"
    example = {"floor": 0.4}

    floor: float | None = None

    def one(self, subject: Subject) -> Outcome:
        if not subject.output_text:
            return NotScored("no output recorded")
        seen = facts(subject)
        if not seen.evidence:
            return NotScored("no retrieved text or tool result is known")
        said = set(seen.output_words) - STOPWORDS
        if len(said) < 3:
            return NotScored("fewer than three content words")
        known = seen.evidence_words | set(seen.input_words)
        share = len(said & known) / len(said)
        reason = f"{len(said - known)} of {len(said)} content words are not in the evidence"
        return measured(share, self.floor, reason if share < 1.0 else "", self.error_class)
