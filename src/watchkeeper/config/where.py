"""Conditions over one trace, as scorecards write them: `scenario = 'support' and cost > 0.01`.

The same words as SQL, evaluated here on one trace's facts. Unknown (NULL) is neither true nor false, as in SQL.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import expressions as e
from sqlglot.errors import SqlglotError

from watchkeeper.config.problems import did_you_mean

FACTS = (
    "scenario", "model", "provider", "prompt_name", "prompt_version", "variant", "release", "service", "environment",
    "region", "agent_name", "user_id", "session_id", "root_name", "error_class", "finish_reason", "duration_ms",
    "ttft_ms", "cost", "input_tokens", "output_tokens", "spans", "llm_calls", "tool_calls", "errors",
)  # fmt: skip
MAX_LENGTH, MAX_NODES = 4000, 200
Value = str | float | bool | None
Truth = bool | None
Test = Callable[[Mapping[str, Any]], Truth]
_COMPARE: dict[type[e.Expression], Callable[[Any, Any], bool]] = {
    e.EQ: operator.eq,
    e.NEQ: operator.ne,
    e.LT: operator.lt,
    e.LTE: operator.le,
    e.GT: operator.gt,
    e.GTE: operator.ge,
}


class WhereError(ValueError):
    """A condition that cannot be used; the text says what and what is allowed."""


@dataclass(frozen=True)
class Where:
    """A condition ready to be asked about traces."""

    text: str
    columns: frozenset[str]
    test: Test

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether a trace with these facts (by the names of `FACTS`, absent: unknown) meets the condition.

        >>> parse_where("scenario = 'support' and cost > 0.01").matches({"scenario": "support", "cost": 0.02})
        True
        """
        return self.test(facts) is True


def parse_where(text: str) -> Where:
    """The condition of a text. Raises `WhereError`."""
    if len(text) > MAX_LENGTH:
        raise WhereError(f"longer than {MAX_LENGTH} characters")
    try:
        tree = sqlglot.parse_one(text, into=e.Condition, dialect="clickhouse")
    except (SqlglotError, RecursionError, ValueError) as error:
        first = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
        raise WhereError(f"cannot be read: {first[0] if first else 'empty'}") from None
    if sum(1 for _ in tree.walk()) > MAX_NODES:
        raise WhereError(f"has more than {MAX_NODES} parts")
    columns = frozenset(c.name for c in tree.find_all(e.Column))
    return Where(text, columns, _test(tree))


def _test(node: e.Expression) -> Test:
    if isinstance(node, e.Paren):
        return _test(node.this)
    if isinstance(node, e.And):
        left, right = _test(node.left), _test(node.right)
        return lambda facts: _both(left(facts), right(facts))
    if isinstance(node, e.Or):
        left, right = _test(node.left), _test(node.right)
        return lambda facts: _either(left(facts), right(facts))
    if isinstance(node, e.Not):
        inner = _test(node.this)
        return lambda facts: None if (found := inner(facts)) is None else not found
    if isinstance(node, e.Is) and isinstance(node.expression, e.Null):
        name = _column(node.this)
        return lambda facts: facts.get(name) is None
    if type(node) in _COMPARE:
        return _comparison(node)
    if isinstance(node, e.In) and node.expressions:
        name = _column(node.this)
        values = frozenset(_value(v) for v in node.expressions)
        return lambda facts: None if (found := facts.get(name)) is None else found in values
    if isinstance(node, e.Like):
        name, pattern = _column(node.this), _like(_value(node.expression))
        return lambda facts: None if (found := facts.get(name)) is None else bool(pattern(str(found)))
    raise WhereError(
        f"{node.sql(dialect='clickhouse')[:60]!r} is not possible here; "
        "compare columns with =, !=, <, <=, >, >=, in, like, is null, joined by and, or, not"
    )


def _comparison(node: e.Expression) -> Test:
    compare = _COMPARE[type(node)]
    name, wanted = _column(node.this), _value(node.expression)

    def test(facts: Mapping[str, Any]) -> Truth:
        found = facts.get(name)
        if found is None or wanted is None:
            return None
        if isinstance(found, str) != isinstance(wanted, str):
            return None
        return compare(found, wanted)

    return test


def _like(pattern: Value) -> Callable[[str], bool]:
    """SQL's LIKE by plain string steps: no regular expression is built from a user's text."""
    if not isinstance(pattern, str) or "_" in pattern:
        raise WhereError("like takes a text in which % stands for anything")
    first, *rest = pattern.split("%")

    def matches(text: str) -> bool:
        if not rest:
            return text == first
        if not text.startswith(first) or len(text) < len(first) + len(rest[-1]) or not text.endswith(rest[-1]):
            return False
        at, end = len(first), len(text) - len(rest[-1])
        for piece in rest[:-1]:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return matches


def _column(node: e.Expression) -> str:
    if not isinstance(node, e.Column) or node.table:
        raise WhereError(f"{node.sql()[:60]!r} must be a column; {did_you_mean('', FACTS)}")
    if node.name not in FACTS:
        raise WhereError(f"there is no column {node.name[:60]!r} here; {did_you_mean(node.name, FACTS)}")
    return node.name


def _value(node: e.Expression) -> Value:
    if isinstance(node, e.Neg):
        inner = _value(node.this)
        if isinstance(inner, float):
            return -inner
    if isinstance(node, e.Literal):
        return str(node.this) if node.is_string else float(node.this)
    raise WhereError(f"{node.sql()[:60]!r} must be a text in single quotes or a number")


def _both(left: Truth, right: Truth) -> Truth:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _either(left: Truth, right: Truth) -> Truth:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False
