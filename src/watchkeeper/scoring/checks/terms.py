import re
from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.patterns import PatternSet
from watchkeeper.scoring.checks.base import PASS, Check, fail


def _pattern(term: str) -> str:
    """A term as whole words, any white space between them."""
    body = r"\s+".join(re.escape(part) for part in term.split())
    left = r"\b" if term[:1].isalnum() and term[:1].isascii() else ""
    right = r"\b" if term[-1:].isalnum() and term[-1:].isascii() else ""
    return f"{left}{body}{right}"


@dataclass(frozen=True, kw_only=True)
class Terms(Check):
    """Policy rules on words: terms the text must not or must contain. Whole words, any case.

    deny: none of these may occur. require: each of these must occur. where: output or input.
    """

    type = "terms"
    row = "C1"
    summary = "No denied term occurs and every required term does (policy rules)."
    error_class = "invalid_output"
    example = {"deny": ["diagnose", "prescribe"], "require": []}

    deny: Sequence[str] = ()
    require: Sequence[str] = ()
    where: str = "output"

    def prepare(self) -> None:
        if not self.deny and not self.require:
            raise ValueError("deny: give deny, require or both")
        if self.where not in ("output", "input"):
            raise ValueError(f"where: {self.where!r} is not allowed; one of output, input")
        for key in ("deny", "require"):
            for term in getattr(self, key):
                if not isinstance(term, str) or not term.strip():
                    raise ValueError(f"{key}: {term!r} is not a term")
        object.__setattr__(self, "_deny", PatternSet([_pattern(t) for t in self.deny]))
        object.__setattr__(self, "_require", PatternSet([_pattern(t) for t in self.require]))

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text if self.where == "output" else subject.input_text
        if text is None:
            return NotScored(f"no {self.where} recorded")
        denied: PatternSet = self.__dict__["_deny"]
        hits = denied.ids(text)
        if hits:
            return fail(f"says {', '.join(self.deny[i] for i in hits[:5])}", self.error_class)
        required: PatternSet = self.__dict__["_require"]
        missing = sorted(set(range(len(self.require))) - set(required.ids(text)))
        if missing:
            return fail(f"does not say {', '.join(self.require[i] for i in missing[:5])}", self.error_class)
        return PASS
