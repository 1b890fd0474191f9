from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail


@dataclass(frozen=True, kw_only=True)
class Length(Check):
    """The output's length is within bounds.

    min, max: bounds, both inclusive, 0 for none. count: characters or words.
    """

    type = "length"
    row = "C1"
    summary = "The output's length in characters or words is within bounds."
    error_class = "invalid_output"
    example = {"min": 20, "max": 2000, "count": "characters"}

    min: int = 0
    max: int = 0
    count: str = "characters"

    def prepare(self) -> None:
        if self.count not in ("characters", "words"):
            raise ValueError(f"count: {self.count!r} is not allowed; one of characters, words")
        if self.min <= 0 and self.max <= 0:
            raise ValueError("min: give min, max or both")
        if self.max and self.max < self.min:
            raise ValueError(f"max: {self.max} is below min {self.min}")

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if text is None:
            return NotScored("no output recorded")
        n = len(text) if self.count == "characters" else len(text.split())
        if n < self.min:
            return fail(f"{n} {self.count}, at least {self.min} expected", self.error_class)
        if self.max and n > self.max:
            return fail(f"{n} {self.count}, at most {self.max} expected", self.error_class)
        return PASS
