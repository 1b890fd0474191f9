"""What a metric's name tells a page: its unit, its words, and which way is better."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from watchkeeper.alerting.evidence import share_of
from watchkeeper.model import score
from watchkeeper.model.errors import TRANSPORT

UNITS: Final = {
    "latency_ms": "ms",
    "ttft_ms": "ms",
    "tpot_ms": "ms",
    "duration_ms": "ms",
    "cost": "money",
    "input_tokens": "count",
    "output_tokens": "count",
    "cached_input_tokens": "count",
    "reasoning_output_tokens": "count",
    "traces": "count",
    "error_rate": "share",
    "tool_error_rate": "share",
}
WORDS: Final = {
    "latency_ms": "Latency",
    "ttft_ms": "Time to first token",
    "tpot_ms": "Time per output token",
    "cost": "Cost per trace",
    "input_tokens": "Input tokens",
    "output_tokens": "Output tokens",
    "traces": "Traces",
    "error_rate": "Error rate",
    "tool_error_rate": "Tool error rate",
}
# What pages count as an error, as a condition over the table `traces`: a call that did not come back.
ERRED: Final = f"errors > 0 or error_class in ({', '.join(repr(name) for name in sorted(TRANSPORT))})"
# Trace-derived metrics; everything else that has points is a scorer.
DERIVED: Final = frozenset(UNITS)
# More of it is neither good nor bad by itself.
NEITHER: Final = score.NEITHER | {"traces"}
LOWER_IS_BETTER: Final = (frozenset(UNITS) - NEITHER) | score.TROUBLE


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as pages name it; `better` is +1 where higher is better, -1 where lower is, 0 where neither."""

    name: str
    title: str
    unit: str
    better: int
    derived: bool

    @property
    def counts(self) -> str:
        """What a scorer's share is the share of, where the name does not say it: `tool_error 98 %` would read as its opposite."""
        return counted(self.name, self.unit) if not self.derived else ""


def counted(scorer: str, unit: str) -> str:
    """What a share of this scorer's is the share of, in a word; empty where its name says it, and for what is no share."""
    return share_of(scorer) if unit == "share" and scorer not in LOWER_IS_BETTER else ""


def is_binary(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether every value behind these sums is 0 or 1: then x² = x for each, so Σwx² = Σwx exactly."""
    total = squares = 0.0
    seen = False
    for row in rows:
        total += float(row["swx"] or 0)
        squares += float(row["swx2"] or 0)
        seen = seen or bool(row["n"])
    return seen and total >= 0 and abs(total - squares) <= 1e-9 * max(1.0, abs(total))


def describe(name: str, rows: Iterable[Mapping[str, Any]] = ()) -> Metric:
    """The metric of this name; `rows` are its sums, from which a share is told from a scale."""
    derived = name in DERIVED or name.startswith("error_class:")
    if name.startswith("error_class:"):
        return Metric(name, name.removeprefix("error_class:").replace("_", " "), "share", -1, derived)
    unit = UNITS.get(name)
    if unit is None:
        unit = "share" if is_binary(rows) else ""
    better = 0 if name in NEITHER else -1 if name in LOWER_IS_BETTER else 1
    return Metric(name, WORDS.get(name, name), unit, better, derived)
