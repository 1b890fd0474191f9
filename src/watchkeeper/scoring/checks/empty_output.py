from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail

_NOTHING = frozenset(("null", "none", "undefined", "nan", "n/a", "{}", "[]", '""', "''", "[object object]"))


@dataclass(frozen=True, kw_only=True)
class EmptyOutput(Check):
    """The output says something. A missing output is unknown and not judged; blank, `null` or `{}` is empty."""

    type = "empty_output"
    row = "C1"
    summary = "The recorded output is not blank, `null`, `{}` or the like."
    error_class = "invalid_output"
    default = True

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if text is None:
            return NotScored("no output recorded")
        if len(text) < 24:
            stripped = text.strip()
            if not stripped:
                return fail("the output is blank", self.error_class)
            if stripped.lower() in _NOTHING:
                return fail(f"the output is {stripped}", self.error_class)
        elif text.isspace():
            return fail("the output is blank", self.error_class)
        return PASS
