import re
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail

_NOTHING = frozenset(
    ("null", "none", "undefined", "nan", "n/a", "{}", "[]", '""', "''", "[object object]", "[{}]")
)
# What a page shows nothing of: tags, invisible characters, marks without words; and an object whose only value is missing.
_UNSEEN = re.compile(
    r"```\w*|</?\w[^<>]*>|&nbsp;|\\n|[\s\u200b-\u200f\u2060\ufeff\x00-\x1f.…。·•*_#|,;:()\[\]'\"`/\\–—-]"
)
_BLANK_FIELDS = re.compile(r"\{\s*(?:\"\w+\"\s*:\s*(?:null|\"\s*\")\s*,?\s*)+\}")
_THOUGHT = re.compile(r"\s*<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL)
_SHORT = 120


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
        if "<" in text[:24]:
            # Reasoning that a model wrote into its answer is none.
            text = _THOUGHT.sub("", text, 1)
        if len(text) < _SHORT:
            stripped = text.strip()
            if not stripped or not _UNSEEN.sub("", stripped):
                return fail(f"the output is {stripped or 'blank'}", self.error_class)
            if stripped.rstrip(".").lower() in _NOTHING or _BLANK_FIELDS.fullmatch(stripped):
                return fail(f"the output is {stripped}", self.error_class)
        elif text.isspace():
            return fail("the output is blank", self.error_class)
        return PASS
