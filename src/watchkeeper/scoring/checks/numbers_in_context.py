import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.amounts import claims, spellings
from watchkeeper.scoring.checks.base import Check, measured
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.texts import numbers

_MARK = re.compile(r"\[\^?[\d,; \u2013-]+\]|【[^】]*】|^\s*\d{1,2}[.)]\s", re.MULTILINE)
_WIDE_DIGIT = re.compile("[０-９]")
_WIDE = str.maketrans("０１２３４５６７８９", "0123456789")
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
        if not any(map(text.__contains__, "0123456789")):
            if text.isascii() or not _WIDE_DIGIT.search(text):
                return _NONE
            text = text.translate(_WIDE)
        rest, told = claims(_MARK.sub(" ", text))
        said = {n: {n} for n in numbers(rest) if len(n) > 1} | told
        if not said:
            return _NONE
        known = seen.evidence_numbers
        missing = [n for n, spelt in said.items() if known.isdisjoint(spelt)]
        if missing:
            wanted = {form for n in missing for form in said[n]}
            for source in (seen.input or "", *seen.system):
                known = known | numbers(source) | spellings(source, wanted)
            evidence = seen.evidence_text
            known = known | spellings(evidence, wanted)
            if not evidence.isascii() and _WIDE_DIGIT.search(evidence):
                known |= numbers(evidence.translate(_WIDE))
            missing = sorted(n for n in missing if known.isdisjoint(said[n]))
        share = 1.0 - len(missing) / len(said)
        reason = f"not in the evidence: {', '.join(missing[:5])}" if missing else ""
        return measured(share, self.floor, reason, self.error_class)
