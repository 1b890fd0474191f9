"""What may be compared with what, and conditions without negation."""

from dataclasses import replace

from watchkeeper.alerting.syntax import (
    NEGATED,
    Arithmetic,
    Burn,
    Compare,
    Condition,
    ConditionError,
    Happened,
    Logic,
    Moves,
    Not,
    Operand,
    Quantity,
    Ref,
    Share,
)

# Distances from the baseline: of a rate too they are no rates.
BEYOND = ("ks", "psi", "js", "wasserstein", "smd")
_NAMES = {"ms": "a duration", "USD": "an amount of money", "rate": "a rate", "count": "a count"}


def unit_of_metric(metric: str) -> str | None:
    """The unit that a metric's name promises: ms, USD, rate, count; None where any number may be meant."""
    if metric.endswith("_ms"):
        return "ms"
    if metric == "cost" or metric.endswith(("_cost", "_usd")):
        return "USD"
    if metric.endswith("_rate") or metric.startswith(("error_class:", "share(")):
        return "rate"
    return "count" if metric in ("traces", "input_tokens", "output_tokens") else None


def unit_of(operand: Operand) -> str | None:
    """The unit of a value; None where it is free. Raises ConditionError when a sum mixes units."""
    match operand:
        case Quantity():
            return operand.unit or None
        case Share():
            return "rate"
        case Arithmetic():
            left, right = unit_of(operand.left), unit_of(operand.right)
            if operand.op in "+-":
                _agree(left, right, operand)
            elif isinstance(operand.right, Quantity) and operand.right.unit == "rate":
                return left
            elif isinstance(operand.left, Quantity) and operand.left.unit == "rate":
                return right
            return left if left is not None else right
        case _:
            if operand.stat in BEYOND and operand.stat != "wasserstein":
                return None
            return "count" if operand.stat == "n" else unit_of_metric(operand.metric)


def _agree(left: str | None, right: str | None, node: Arithmetic | Compare) -> None:
    for unit, side, other in ((left, node.left, node.right), (right, node.right, node.left)):
        if isinstance(side, Quantity) and unit == "ms" and unit_of(other) is None:
            raise ConditionError(
                f"{other} is not a duration; only metrics that end in _ms are compared with ms, s, m or h"
                f"{_timed(other)}",
                side.at.line,
                side.at.column,
            )
    if left is not None and right is not None and left != right:
        raise ConditionError(
            f"{node.left} is {_NAMES[left]} and {node.right} is {_NAMES[right]}; they cannot be compared",
            node.at.line,
            node.at.column,
        )


def _timed(operand: Operand) -> str:
    meant = f"{operand.metric}_ms" if isinstance(operand, Ref) else ""
    return f"; did you mean {meant}" if meant in ("latency_ms", "ttft_ms") else ""


def check_units(found: Compare) -> None:
    """Raise ConditionError when the two sides are not of one kind, or a rate is held against a number it cannot pass."""
    _agree(unit_of(found.left), unit_of(found.right), found)
    for side, limit in ((found.left, found.right), (found.right, found.left)):
        if not isinstance(limit, Quantity) or 0 <= limit.value <= 1 or not _is_rate(side):
            continue
        meant = f"; did you mean {limit.value:.12g}%" if limit.unit == "" and 1 < limit.value <= 100 else ""
        said = f"{side} is between 0 % and 100 %, and {limit} is beyond{meant}"
        raise ConditionError(said, limit.at.line, limit.at.column)


def _is_rate(operand: Operand) -> bool:
    if isinstance(operand, Ref):
        return operand.stat not in ("sum", "n", "sd", *BEYOND) and unit_of_metric(operand.metric) == "rate"
    return isinstance(operand, Share)


def normalise(tree: Condition, negate: bool = False) -> Condition:
    """The same condition with every `not` pushed into its comparisons.

    `not (x > 5)` must hold only where we are sure that x is at most 5, not wherever x > 5 is unproven.
    """
    match tree:
        case Not():
            return normalise(tree.inner, not negate)
        case Logic():
            op = tree.op if not negate else ("or" if tree.op == "and" else "and")
            parts: list[Condition] = []
            for part in tree.parts:
                plain = normalise(part, negate)
                # Pushing a `not` inward can put an `and` directly inside an `and`.
                parts.extend(plain.parts if isinstance(plain, Logic) and plain.op == op else (plain,))
            return Logic(op, tuple(parts), tree.at)
        case Compare():
            return Compare(tree.left, NEGATED[tree.op], tree.right, tree.at) if negate else tree
        case Happened():
            return Happened(tree.share, not tree.negated, tree.at) if negate else tree
        case Burn():
            return replace(tree, negated=not tree.negated) if negate else tree
        case _:
            if not negate:
                return tree
            return Moves(tree.kind, tree.metric, tree.direction, not tree.negated, tree.at)
