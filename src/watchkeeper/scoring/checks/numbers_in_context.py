import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import Check, measured
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.texts import numbers, words

_MARK = re.compile(r"\[\^?[\d,; \u2013-]+\]|【[^】]*】|^\s*\d{1,2}[.)]\s", re.MULTILINE)
# How documents write small numbers out.
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
_SPELT = {
    **{str(n): word for n, word in enumerate(_TEENS.split(), 10)},
    **{str(10 * n): word for n, word in enumerate(_TENS.split(), 2)},
    "1000": "thousand",
    "1000000": "million",
}
_NONE = NotScored("no number in the output")


@dataclass(frozen=True, kw_only=True)
class NumbersInContext(Check):
    """The share of the output's numbers that occur in the evidence, the input or the system prompt. List numbers,
    citation marks and single digits are left out; a computed total legitimately lowers it, so it is a measurement.

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
            return _NONE
        said = {n for n in numbers(_MARK.sub(" ", text)) if len(n) > 1}
        if not said:
            return _NONE
        known = seen.evidence_numbers
        if not said <= known:
            for source in (seen.input or "", *seen.system):
                known = known | numbers(source)
            spelt = {n for n in said - known if n in _SPELT}
            if spelt:
                told = set(words(seen.evidence_text))
                known = known | {n for n in spelt if _SPELT[n] in told}
        missing = sorted(said - known)
        share = 1.0 - len(missing) / len(said)
        reason = f"not in the evidence: {', '.join(missing[:5])}" if missing else ""
        return measured(share, self.floor, reason, self.error_class)
