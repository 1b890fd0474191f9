from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.amounts import amounts, unsupported
from watchkeeper.scoring.checks.base import Check, measured
from watchkeeper.scoring.facts import facts

_NONE = NotScored("no number in the output")


@dataclass(frozen=True, kw_only=True)
class NumbersInContext(Check):
    """The share of the output's numbers that occur in the evidence, the input or the system prompt. List numbers,
    citation marks and single digits that measure nothing are left out; times, percentages, millions and small numbers may be
    written otherwise; a computed total legitimately lowers it, so it is a measurement.

    floor: below this share the verdict is failed; None measures only.
    """

    type = "numbers_in_context"
    row = "C3"
    summary = "Share of the output's numbers that occur in the evidence or input (a measurement)."
    error_class = "ungrounded"
    default = True
    unit = "share"
    example = {"floor": 0.8}

    floor: float | None = None

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if not text:
            return NotScored("no output recorded")
        seen = facts(subject)
        if not seen.evidence:
            return NotScored("no retrieved text or tool result is known")
        said = amounts(text)
        if not said:
            return _NONE
        missing = unsupported(said, seen, seen.system)
        share = 1.0 - len(missing) / len(said)
        reason = f"not in the evidence: {', '.join(missing[:5])}" if missing else ""
        return measured(share, self.floor, reason, self.error_class)
