from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.patterns import UserPattern
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts


@dataclass(frozen=True, kw_only=True)
class ExactIds(Check):
    """Every identifier in the output occurs, exactly, in the input or the evidence: no invented order numbers.

    pattern: RE2 pattern of an identifier. known: identifiers that are always right.
    """

    type = "exact_ids"
    row = "C1"
    summary = "Every identifier of the given form in the output occurs in the input or evidence."
    error_class = "ungrounded"
    example = {"pattern": r"\b[A-Z0-9]{6}\b"}

    pattern: str = ""
    known: Sequence[str] = ()

    def prepare(self) -> None:
        if not self.pattern:
            raise ValueError("pattern: an RE2 pattern of one identifier is required")
        try:
            compiled = UserPattern(self.pattern)
        except ValueError as error:
            raise ValueError(f"pattern: {error}") from error
        object.__setattr__(self, "_compiled", compiled)

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if not text:
            return NotScored("no output recorded")
        compiled: UserPattern = self.__dict__["_compiled"]
        found = compiled.all(text)
        if not found:
            return NotScored("no identifier in the output")
        seen = facts(subject)
        sources = [seen.input or "", *seen.evidence, *self.known]
        allowed = {i for source in sources for i in compiled.all(source)} | set(self.known)
        invented = [i for i in found if i not in allowed]
        return PASS if not invented else fail(f"{invented[0]!r} occurs nowhere else", self.error_class)
