from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.patterns import UserPattern
from watchkeeper.scoring.checks.base import PASS, Check, fail


@dataclass(frozen=True, kw_only=True)
class Regex(Check):
    """The output contains (or must not contain) a pattern.

    pattern: RE2 syntax. expect: `match`, `no_match` or `full` (the whole output). ignore_case: letters' case is equal.
    """

    type = "regex"
    row = "C1"
    summary = "The output matches, fully matches or does not contain an RE2 pattern."
    error_class = "invalid_output"
    example = {"pattern": r"\bORD-\d{6}\b", "expect": "match"}

    pattern: str = ""
    expect: str = "match"
    ignore_case: bool = False

    def prepare(self) -> None:
        if not self.pattern:
            raise ValueError("pattern: an RE2 pattern is required")
        if self.expect not in ("match", "no_match", "full"):
            raise ValueError(f"expect: {self.expect!r} is not allowed; one of match, no_match, full")
        try:
            compiled = UserPattern(self.pattern, self.ignore_case)
        except ValueError as error:
            raise ValueError(f"pattern: {error}") from error
        object.__setattr__(self, "_compiled", compiled)

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if text is None:
            return NotScored("no output recorded")
        compiled: UserPattern = self.__dict__["_compiled"]
        if self.expect == "full":
            return (
                PASS
                if compiled.fullmatch(text)
                else fail(f"not of the form {self.pattern}", self.error_class)
            )
        found = compiled.search(text)
        if self.expect == "match":
            return PASS if found is not None else fail(f"{self.pattern} does not occur", self.error_class)
        return PASS if found is None else fail(f"contains {found[:80]!r}", self.error_class)
