from dataclasses import dataclass

import numpy as np

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import Check, measured
from watchkeeper.scoring.facts import facts


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
        said = seen.said
        if len(said) < 3:
            return NotScored("fewer than three content words")
        n = len(said)
        found = int(np.count_nonzero(seen.evidence_mark[said] | seen.input_mark[said]))
        reason = f"{n - found} of {n} content words are not in the evidence"
        return measured(found / n, self.floor, reason if found < n else "", self.error_class)
