"""Which traces are stored at all, and with what probability (requirement T8): decided when a trace is complete and checked.

A trace with a reason to be read is always kept; of the others a share, by a salted hash of the trace id. The probability is
stored with the trace, and every estimate weighs by its inverse (Horvitz–Thompson), so that what is not stored biases nothing:
the mean of n kept values xᵢ is Σ xᵢ/pᵢ / Σ 1/pᵢ.

What its user says of it within a fixed time keeps a trace after the draw. Whether it was drawn or not, its probability is 1 then: all
such traces are kept.
"""

from collections.abc import Iterable, Sequence, Set
from typing import Final

import msgspec
import xxhash

from watchkeeper.model.score import Score
from watchkeeper.model.span import RawSpan
from watchkeeper.model.times import MINUTE
from watchkeeper.scoring.evidence import SignalRoute, observed

BROUGHT: Final = "watchkeeper.keep_probability"
"""The attribute by which an exported trace says with what probability the storage sampling it went through kept it."""
REASONS = ("error", "slow", "low_score", "flagged")
ROUTINE = "routine"


class Keeping(msgspec.Struct, frozen=True):
    """The rule: `routine` is the share (above 0, at most 1) of traces without a reason in `always`; `slow_ms` from when a trace
    is slow, in milliseconds; `wait_ns` for how long after the draw a user's word counts, in nanoseconds."""

    routine: float
    always: frozenset[str] = frozenset(REASONS)
    slow_ms: float = 10_000.0
    wait_ns: int = 10 * MINUTE


class Kept(msgspec.Struct, frozen=True):
    """The decision for one trace: whether it is kept, with what probability in (0, 1], why, and when that was decided."""

    kept: bool
    probability: float
    reason: str
    decided_ns: int = 0


def reasons(
    rule: Keeping, raised: Set[str], failed: bool, error_class: str | None, duration_ms: float | None
) -> list[str]:
    """Which of `REASONS` speak for keeping a trace, in their order. `raised` are its flags (`sampling.ALWAYS`), `failed`
    whether any check failed it."""
    known = {
        "error": error_class is not None or bool(raised & {"error", "timeout", "tool_failure"}),
        "slow": duration_ms is not None and duration_ms >= rule.slow_ms,
        "low_score": failed or bool(raised & {"low_score", "low_confidence"}),
        "flagged": bool(raised - {"error", "timeout", "tool_failure", "low_score", "low_confidence"}),
    }
    return [r for r in REASONS if known[r] and r in rule.always]


def spoken(
    rule: Keeping, decided: Kept, scores: Iterable[Score], routes: Sequence[SignalRoute] = ()
) -> list[str]:
    """Which of `REASONS` a user's word gives to keep a trace that was left to the draw. Only users': a judge, a reviewer or a
    system that reads the stored traces speaks of those that are kept, and the draw would no longer be one."""
    if decided.reason != ROUTINE:
        return []
    until = decided.decided_ns + rule.wait_ns
    said = observed((s for s in scores if s.source == "user" and s.scored_ns <= until), routes)
    return reasons(rule, said.keys(), False, None, None)


def brought(raws: Sequence[RawSpan | None]) -> float:
    """The probability with which another store kept these spans of one trace, 1 where nothing says so."""
    said = [raw.attributes[BROUGHT] for raw in raws if raw is not None and BROUGHT in raw.attributes]
    known = [float(p) for p in said if isinstance(p, int | float) and 0 < p <= 1]
    return min(known, default=1.0)


def bring(spans: Sequence[RawSpan], probability: float) -> list[RawSpan]:
    """The spans of one trace, the first of them saying with what probability they were kept; as they are where all are."""
    if probability >= 1 or not spans:
        return list(spans)
    first = next((s for s in spans if not s.parent_id), spans[0])
    told = msgspec.structs.replace(first, attributes={**first.attributes, BROUGHT: probability})
    return [told if s is first else s for s in spans]


def decide(rule: Keeping, salt: str, trace_id: str, why: list[str]) -> Kept:
    """Keep it for the first reason, or with the routine share. The salt's own prefix keeps the draw independent of the one
    that chooses traces for judges, so that the probability of both is their product."""
    if why:
        return Kept(True, 1.0, why[0])
    u = xxhash.xxh64_intdigest(f"keep\x00{salt}\x00{trace_id}".encode()) / 2.0**64
    return Kept(u < rule.routine, rule.routine, ROUTINE)
