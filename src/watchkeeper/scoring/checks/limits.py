"""Latency and cost thresholds."""

from dataclasses import dataclass

from watchkeeper.model.numerals import price
from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.facts import facts


@dataclass(frozen=True, kw_only=True)
class Latency(Check):
    """Milliseconds from start to end, or to the first token; passed when within `max_ms`.

    max_ms: the limit, 0 only measures. of: total or first_token.
    """

    type = "latency"
    row = "C5"
    summary = "Milliseconds to the end or the first token, with a limit."
    unit = "ms"
    example = {"max_ms": 3000, "of": "total"}

    max_ms: float = 0.0
    of: str = "total"

    def prepare(self) -> None:
        if self.of not in ("total", "first_token"):
            raise ValueError(f"of: {self.of!r} is not allowed; one of total, first_token")
        if self.max_ms < 0:
            raise ValueError("max_ms: must not be negative")

    def one(self, subject: Subject) -> Outcome:
        if self.of == "total":
            value = subject.span.duration_ms if subject.span is not None else subject.trace.duration_ms
        else:
            value = next((c.ttft_ms for _, c in facts(subject).llm if c.ttft_ms is not None), None)
        if value is None:
            return NotScored("no duration known")
        if not self.max_ms:
            return Verdict(value=value)
        late = value > self.max_ms
        reason = f"{value:.0f} ms, at most {self.max_ms:.0f}" if late else None
        return Verdict(value=value, passed=not late, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Cost(Check):
    """US dollars spent on model calls; passed when within `max_usd`.

    max_usd: the limit, 0 only measures.
    """

    type = "cost"
    row = "C5"
    summary = "US dollars spent on the model calls of a trace, with a limit."
    unit = "USD"
    example = {"max_usd": 0.05}

    max_usd: float = 0.0

    def prepare(self) -> None:
        if self.max_usd < 0:
            raise ValueError("max_usd: must not be negative")

    def one(self, subject: Subject) -> Outcome:
        span = subject.span
        value = (
            subject.trace.totals.cost if span is None else (span.llm.cost if span.llm is not None else None)
        )
        if value is None:
            return NotScored("no cost known")
        if not self.max_usd:
            return Verdict(value=value)
        over = value > self.max_usd
        reason = f"{price(float(f'{value:.4g}'))}, at most {price(self.max_usd)}" if over else None
        return Verdict(value=value, passed=not over, reason=reason)
