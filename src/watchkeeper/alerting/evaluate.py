"""Conditions against estimates: true only when the interval is wholly past the limit."""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from msgspec.structs import replace

from watchkeeper.alerting.evidence import show, span
from watchkeeper.alerting.syntax import (
    Arithmetic,
    Burn,
    Comparator,
    Compare,
    Condition,
    Happened,
    Logic,
    Moves,
    Operand,
    Period,
    Quantity,
    Ref,
    Share,
)
from watchkeeper.alerting.units import normalise, unit_of
from watchkeeper.model.numerals import figure
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.intervals import mover_sum


class Truth(IntEnum):
    """What we can say of a condition, ordered so that `and` is the smallest and `or` the largest.

    FALSE: the estimate is not past the limit. UNKNOWN: too little data to say. NEAR: the estimate is past the limit
    but its interval is not. TRUE: the interval is wholly past it.
    """

    FALSE = 0
    UNKNOWN = 1
    NEAR = 2
    TRUE = 3


@dataclass(frozen=True, slots=True)
class Movement:
    """What the sequential evidence of one metric says. `strength` is a Truth: NEAR above √A, TRUE above A."""

    strength: Truth
    direction: str = "none"
    slope: str = "flat"
    log10_m: float = 0.0
    reason: str = ""


class Readings(Protocol):
    """Where a condition reads its numbers. Intervals are two one-sided bounds at the caller's confidence."""

    def estimate(self, wanted: Ref | Share) -> Estimate | Insufficient: ...
    def movement(self, metric: str) -> Movement: ...
    def hits(self, wanted: Share) -> Estimate | Insufficient:
        """How many scores satisfied the comparison; no minimum of scores applies."""
        ...


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison as it was judged: the text people see, with interval and n. `short` is the same without them, "" where it is about
    the metric's own level (its mean against a limit, its shift), which every alert tells anyway."""

    text: str
    truth: Truth
    metric: str
    n: int = 0
    short: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The whole condition's truth and every comparison in it."""

    truth: Truth
    terms: tuple[Term, ...]


def _combine(op: str, left: Estimate, right: Estimate) -> Estimate:
    """MOVER for sums and differences; exact for scaling by a number. It rests on the fewer scores; a number has none."""
    fewer = min((e for e in (left, right) if e.n), key=lambda e: e.n, default=left)
    if op in "*/":
        factor, base = (right.value, left) if right.low == right.high else (left.value, right)
        factor = 1 / factor if op == "/" else factor
        low, high = sorted((base.low * factor, base.high * factor))
        value = base.value * factor
    else:
        value, low, high = mover_sum(
            [left.value, right.value],
            [left.low, right.low],
            [left.high, right.high],
            [1, 1 if op == "+" else -1],
        )
    return replace(fewer, value=value, low=low, high=high)


def _read(operand: Operand, readings: Readings) -> Estimate | Insufficient:
    if isinstance(operand, Quantity):
        return Estimate(operand.value, operand.value, operand.value, 0, 0.0)
    if isinstance(operand, Arithmetic):
        left, right = _read(operand.left, readings), _read(operand.right, readings)
        if isinstance(left, Insufficient):
            return left
        return right if isinstance(right, Insufficient) else _combine(operand.op, left, right)
    return readings.estimate(operand)


def _past(op: Comparator, difference: Estimate) -> Truth:
    """Is left − right past zero in the direction of `op`?"""
    falls = op in ("<", "<=")
    surely, likely = (-difference.high, -difference.value) if falls else (difference.low, difference.value)
    strict = op in ("<", ">")
    if surely > 0 or (surely == 0 and not strict):
        return Truth.TRUE
    return Truth.NEAR if likely > 0 or (likely == 0 and not strict) else Truth.FALSE


def odds(log10: float) -> str:
    """How far evidence speaks for a change, in words, from the logarithm of its strength.

    >>> odds(-0.3), odds(0.8), odds(4.3)
    ('no evidence of a change', '6 to 1 for a change', '20,000 to 1 for a change')
    """
    if log10 >= 9:
        return "over a billion to 1 for a change"
    ratio = 10 ** max(log10, -1.0)
    if ratio < 1.05:
        return "no evidence of a change"
    if ratio < 2:
        return f"{ratio:.1f} to 1 for a change"
    return f"{round(ratio, -math.floor(math.log10(ratio))):,.0f} to 1 for a change"


def _describe(operand: Operand, found: Estimate) -> str:
    if isinstance(operand, Quantity):
        return _short(operand, found)
    return f"{operand} {span('', found, unit_of(operand) or '')}"


def _short(operand: Operand, found: Estimate) -> str:
    value = show("", found.value, unit_of(operand) or "")
    return value if isinstance(operand, Quantity) else f"{operand} {value}"


def _of_level(node: Compare) -> bool:
    """Is it the mean of the monitor's own window against a number?"""
    left, right = (node.left, node.right) if isinstance(node.right, Quantity) else (node.right, node.left)
    return (
        isinstance(right, Quantity)
        and isinstance(left, Ref)
        and (left.stat, left.period) == ("mean", Period())
    )


def _metric(node: Compare) -> str:
    for side in (node.left, node.right):
        if isinstance(side, Ref | Share):
            return side.metric
        if isinstance(side, Arithmetic):
            return _metric(Compare(side.left, ">", side.right))
    return ""


def _compare(node: Compare, readings: Readings) -> Term:
    left, right = _read(node.left, readings), _read(node.right, readings)
    for found, side in ((left, node.left), (right, node.right)):
        if isinstance(found, Insufficient):
            text = f"{side} unknown: {found.reason} (n {found.n})"
            return Term(text, Truth.UNKNOWN, _metric(node), found.n)
    assert isinstance(left, Estimate) and isinstance(right, Estimate)
    truth = _past(node.op, _combine("-", left, right))
    text = f"{_describe(node.left, left)} {node.op} {_describe(node.right, right)}"
    short = "" if _of_level(node) else f"{_short(node.left, left)} {node.op} {_short(node.right, right)}"
    return Term(text, truth, _metric(node), left.n or right.n, short)


def _happened(node: Happened, readings: Readings) -> Term:
    found = readings.hits(node.share)
    if isinstance(found, Insufficient):
        return Term(f"{node} unknown: {found.reason}", Truth.UNKNOWN, node.share.metric, found.n)
    seen = found.value > 0
    truth = Truth.TRUE if seen != node.negated else Truth.FALSE
    text = f"{node}: {figure(found.value)} of {found.n}"
    return Term(text, truth, node.share.metric, found.n, text)


def _moves(node: Moves, readings: Readings) -> Term:
    found = readings.movement(node.metric)
    if node.kind == "trend":
        wanted = {"down": "decreasing", "up": "increasing", "any": "any"}[node.direction]
        agrees = found.slope == wanted
        seen = found.slope
    else:
        agrees = node.direction == "any" or found.direction == node.direction
        seen = found.direction
    truth = found.strength if agrees or found.strength == Truth.UNKNOWN else Truth.FALSE
    if node.negated and truth != Truth.UNKNOWN:
        truth = Truth.TRUE if truth == Truth.FALSE else Truth.FALSE
    why = f": {found.reason}" if found.reason else f" ({odds(found.log10_m)})"
    if node.kind == "drift":
        return Term(f"{node.metric}{why}", truth, node.metric)
    return Term(f"{node.kind}({node.metric}) {seen}{why}", truth, node.metric)


def _burn(node: Burn, readings: Readings) -> Term:
    """Too fast beyond doubt over the long window, and still too fast over the short one: its estimate says whether it is going
    on, for which a few scores must do (Beyer et al., The Site Reliability Workbook, ch. 5)."""
    allowed = 1 - node.target
    long, short = (readings.estimate(w) for w in node.windows)
    for found, window in ((long, node.windows[0]), (short, node.windows[1])):
        if isinstance(found, Insufficient):
            text = f"{window} unknown: {found.reason} (n {found.n})"
            return Term(text, Truth.UNKNOWN, window.metric, found.n)
    assert not isinstance(long, Insufficient) and not isinstance(short, Insufficient)
    rate, low, high = ((1 - x) / allowed for x in (long.value, long.high, long.low))
    now = (1 - short.value) / allowed
    on = now > node.factor
    truth = Truth.FALSE if not on or rate <= node.factor else Truth.TRUE if low > node.factor else Truth.NEAR
    if node.negated:
        truth = Truth.TRUE if truth == Truth.FALSE else Truth.FALSE
    text = (
        f"{node}: budget spent {figure(rate)} times too fast ({figure(low)} to {figure(high)}, n {long.n}), "
        f"now {figure(now)} times (n {short.n})"
    )
    return Term(text, truth, node.good.metric, long.n, f"{node}: {figure(rate)} times too fast")


def judge(condition: Condition, readings: Readings) -> Judgement:
    """Evaluate a parsed condition.

    A limit is passed only when the one-sided confidence bound is; while the interval straddles the limit and the
    estimate is past it the answer is NEAR. Differences of two estimates use MOVER intervals.
    """
    return _judge(normalise(condition), readings)


def _judge(condition: Condition, readings: Readings) -> Judgement:
    match condition:
        case Compare():
            term = _compare(condition, readings)
            return Judgement(term.truth, (term,))
        case Happened():
            term = _happened(condition, readings)
            return Judgement(term.truth, (term,))
        case Burn():
            term = _burn(condition, readings)
            return Judgement(term.truth, (term,))
        case Moves():
            term = _moves(condition, readings)
            return Judgement(term.truth, (term,))
        case Logic():
            parts = [_judge(part, readings) for part in condition.parts]
            pick = min if condition.op == "and" else max
            return Judgement(pick(p.truth for p in parts), tuple(t for p in parts for t in p.terms))
        case _:
            raise TypeError("a normalised condition holds no 'not'")
