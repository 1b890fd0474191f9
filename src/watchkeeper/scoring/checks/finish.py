"""Checks of how provider calls ended."""

from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts


@dataclass(frozen=True, kw_only=True)
class Truncation(Check):
    """No provider call stopped at its token limit."""

    type = "truncation"
    row = "C5"
    summary = "No model call stopped at its token limit (finish reason `length`)."
    error_class = "truncation"
    default = True

    def one(self, subject: Subject) -> Outcome:
        calls = [(s, c) for s, c in facts(subject).llm if c.finish_reason is not None]
        if not calls:
            return NotScored("no finish reason recorded")
        for span, call in calls:
            if call.finish_reason == "length":
                limit = call.params.get("max_tokens")
                return fail(f"{span.name} stopped at {limit or 'the'} tokens limit", self.error_class)
        return PASS


@dataclass(frozen=True, kw_only=True)
class ContentFilter(Check):
    """No provider call was stopped by the provider's content filter."""

    type = "content_filter"
    row = "C5"
    summary = "No model call was stopped by the provider's content filter."
    error_class = "unsafe"
    default = True

    def one(self, subject: Subject) -> Outcome:
        calls = [(s, c) for s, c in facts(subject).llm if c.finish_reason is not None]
        if not calls:
            return NotScored("no finish reason recorded")
        for span, call in calls:
            if call.finish_reason == "content_filter":
                return fail(f"{span.name} was stopped by a content filter", self.error_class)
        return PASS
