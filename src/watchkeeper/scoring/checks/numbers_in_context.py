import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import Check, measured
from watchkeeper.scoring.facts import facts

_NUMBER = re.compile(r"\d[\d.,]*")
_MARK = re.compile(r"\[[\d,; ]+\]|^\s*\d{1,2}[.)]\s", re.MULTILINE)


def numbers(text: str) -> set[str]:
    """Numbers in one spelling: grouping removed, trailing zeros of decimals dropped. Digits that touch a letter or an
    underscore belong to an identifier and are left out."""
    found: set[str] = set()
    for match in _NUMBER.finditer(text):
        before = text[match.start() - 1] if match.start() else " "
        after = text[match.end()] if match.end() < len(text) else " "
        if (
            before == "_"
            or before.isalpha()
            or after == "_"
            or (after.isalpha() and after.islower() and after not in "kms")
        ):
            continue
        digits = match.group(0).rstrip(".,")
        if "," in digits:
            if "." not in digits and digits.count(",") == 1 and len(digits) - digits.index(",") != 4:
                digits = digits.replace(",", ".")
            else:
                digits = digits.replace(",", "")
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
