import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import Check, measured
from watchkeeper.scoring.facts import facts

_NUMBER = re.compile(r"(?<![\w.,])\d[\d,. ]*\d(?![\w])|(?<![\w.,])\d(?![\w])|\d+(?:\.\d+)?(?=%)")
_MARK = re.compile(r"\[[\d,; ]+\]|^\s*\d{1,2}[.)]\s", re.MULTILINE)


def numbers(text: str) -> set[str]:
    """Numbers in one spelling: grouping removed, trailing zeros of decimals dropped."""
    found: set[str] = set()
    for raw in _NUMBER.findall(text):
        digits = raw.replace(" ", "")
        if "," in digits and "." in digits:
            digits = digits.replace(",", "")
        elif digits.count(",") == 1 and len(digits.split(",")[1]) != 3:
            digits = digits.replace(",", ".")
        else:
            digits = digits.replace(",", "")
        digits = digits.rstrip(".")
        if digits.count(".") == 1:
            digits = digits.rstrip("0").rstrip(".")
        found.add(digits.lstrip("0") or "0")
    return found


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
        said = {n for n in numbers(_MARK.sub(" ", text)) if len(n) > 1}
        if not said:
            return NotScored("no number in the output")
        known: set[str] = set()
        for source in (*seen.evidence, seen.input or "", *seen.system):
            known |= numbers(source)
        missing = sorted(said - known)
        share = 1.0 - len(missing) / len(said)
        reason = f"not in the evidence: {', '.join(missing[:5])}" if missing else ""
        return measured(share, self.floor, reason, self.error_class)
