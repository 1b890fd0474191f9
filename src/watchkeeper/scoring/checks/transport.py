"""Checks of whether the calls themselves worked."""

from dataclasses import dataclass
from typing import ClassVar

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts


@dataclass(frozen=True, kw_only=True)
class TransportCheck(Check):
    """Shared: no span carries the transport error class `wanted`."""

    wanted: ClassVar[str]

    def one(self, subject: Subject) -> Outcome:
        spans = facts(subject).spans
        if not spans:
            return NotScored("no span")
        for span in spans:
            if span.error is not None and span.error.class_ == self.wanted:
                return fail(f"{span.name}: {span.error.message or self.wanted}", self.error_class)
        return PASS


@dataclass(frozen=True, kw_only=True)
class Timeout(TransportCheck):
    """No step ran into a deadline."""

    type = "timeout"
    row = "C5"
    summary = "No step ran into its deadline."
    error_class = "timeout"
    default = True
    wanted = "timeout"


@dataclass(frozen=True, kw_only=True)
class RateLimit(TransportCheck):
    """No step was refused because of a quota or rate limit."""

    type = "rate_limit"
    row = "C5"
    summary = "No step was refused because of a quota or rate limit."
    error_class = "rate_limit"
    default = True
    wanted = "rate_limit"


@dataclass(frozen=True, kw_only=True)
class ServerError(TransportCheck):
    """No step failed at the provider or in the network."""

    type = "server_error"
    row = "C5"
    summary = "No step failed at the provider or in the network."
    error_class = "server_error"
    wanted = "server_error"
