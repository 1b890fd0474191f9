"""Conditions over a trace, as scorecards write them: `scenario = 'support' and input_tokens > 1000`."""

import re
from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from watchkeeper.model.span import Trace
from watchkeeper.patterns import UserPattern

Condition = Callable[[Trace], bool]
_CONTEXT = (
    "session_id", "user_id", "agent_name", "workflow", "prompt_name", "prompt_version", "scenario", "service", "environment",
    "region", "release", "variant",
)  # fmt: skip


def _model(trace: Trace) -> str | None:
    for span in trace.llm_calls:
        if span.llm is not None and (span.llm.response_model or span.llm.request_model):
            return span.llm.response_model or span.llm.request_model
    return None


def _provider(trace: Trace) -> str | None:
    return next((s.llm.provider for s in trace.llm_calls if s.llm is not None and s.llm.provider), None)


def _context(name: str) -> Callable[[Trace], Any]:
    return lambda trace: getattr(trace.context, name)


COLUMNS: dict[str, Callable[[Trace], Any]] = {
    **{name: _context(name) for name in _CONTEXT},
    "model": _model,
    "provider": _provider,
    "name": lambda t: t.root.name if t.root is not None else None,
    "error_class": lambda t: t.error_class,
    "input_text": lambda t: t.input_text,
    "output_text": lambda t: t.output_text,
    "duration_ms": lambda t: t.duration_ms,
    "cost": lambda t: t.totals.cost,
    "input_tokens": lambda t: t.totals.input_tokens,
    "output_tokens": lambda t: t.totals.output_tokens,
    "spans": lambda t: len(t.spans),
}
# What the SQL table `traces` has under another name, and what it does not have.
_IN_SQL: dict[str, str | None] = {"model": "nullIf(models[1], '')", "name": "root_name", "workflow": None}
_COMPARE: dict[type[exp.Expr], Callable[[Any, Any], bool]] = {
    exp.EQ: lambda a, b: a == b,
    exp.NEQ: lambda a, b: a != b,
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
}
Value = Callable[[Trace], Any]


class WhereError(ValueError):
    """A condition that is not understood: `said` is what and what is allowed, `column` a column that there is not."""

    def __init__(self, said: str, column: str | None = None) -> None:
        super().__init__(f"where: {said}")
        self.said, self.column = said, column


def compile_condition(text: str) -> Condition:
    """A function that says whether a trace meets the condition. Unknown (NULL) values meet no comparison, as in SQL.
    Raises `WhereError`.

    >>> compile_condition("scenario in ('support', 'sales')")
    Where("scenario in ('support', 'sales')")
    """
    return Where(text)


def in_sql(text: str) -> str:
    """The condition over the columns of the SQL table `traces`. Raises `WhereError`, with the column that the table does not have.

    >>> in_sql("model like 'gpt%' and name = 'answer'")
    "nullIf(models[1], '') LIKE 'gpt%' AND root_name = 'answer'"
    """
    _parsed(text)
    tree = sqlglot.parse_one(text, dialect="clickhouse")
    for column in list(tree.find_all(exp.Column)):
        told = _IN_SQL.get(column.name, column.name)
        if told is None:
            raise WhereError(f"the table traces has no column {column.name}", column.name)
        column.replace(sqlglot.parse_one(told, dialect="clickhouse"))
    return tree.sql(dialect="clickhouse")


class Where:
    """A condition over a trace; another process gets it as its text."""

    def __init__(self, text: str) -> None:
        self.text, self._truth = text, _parsed(text)

    def __call__(self, trace: Trace) -> bool:
        return self._truth(trace) is True

    def __reduce__(self) -> tuple[type["Where"], tuple[str]]:
        return Where, (self.text,)

    def __repr__(self) -> str:
        return f"Where({self.text!r})"


def _parsed(text: str) -> Value:
    try:
        return _truth(sqlglot.parse_one(text, dialect="clickhouse"))
    except ParseError as error:
        # What the parser says is for a terminal, in colour, and names its own classes; where it stood is of use.
        near = (
            f"something is missing or too much at {error.errors[0]['highlight']!r}"
            if error.errors
            else "it is empty"
        )
        raise WhereError(f"{text!r} is not a condition: {near}") from error
    except SqlglotError as error:
        raise WhereError(f"{text!r} is not a condition: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise WhereError("it is nested too deeply") from None


def _truth(node: exp.Expr) -> Value:
    """Three-valued truth: True, False or None for unknown."""
    match node:
        case exp.Paren():
            return _truth(node.this)
        case exp.And():
            left, right = _truth(node.this), _truth(node.expression)
            return lambda t: _and(left(t), right(t))
        case exp.Or():
            left, right = _truth(node.this), _truth(node.expression)
            return lambda t: _or(left(t), right(t))
        case exp.Not():
            inner = _truth(node.this)
            return lambda t: None if (x := inner(t)) is None else not x
        case exp.Is():
            value = _value(node.this)
            if not isinstance(node.expression, exp.Null):
                raise WhereError(f"{node.sql()!r} is not understood; write is null or is not null")
            return lambda t: value(t) is None
        case exp.In():
            value, members = _value(node.this), [_value(e) for e in node.expressions]
            return lambda t: None if (x := value(t)) is None else x in [m(t) for m in members]
        case exp.Like() | exp.ILike():
            return _like(node)
        case _:
            compare = _COMPARE.get(type(node))
            if compare is None:
                raise WhereError(
                    f"{node.sql()!r} is not understood; allowed are comparisons, and, or, not, in, like, is null"
                )
            left, right = _value(node.this), _value(node.expression)
            return lambda t: _compared(compare, left(t), right(t))


def _and(a: bool | None, b: bool | None) -> bool | None:
    return False if a is False or b is False else (None if a is None or b is None else True)


def _or(a: bool | None, b: bool | None) -> bool | None:
    return True if a is True or b is True else (None if a is None or b is None else False)


def _compared(compare: Callable[[Any, Any], bool], a: Any, b: Any) -> bool | None:
    if a is None or b is None or isinstance(a, str) != isinstance(b, str):
        return None
    return compare(a, b)


def _like(node: exp.Expr) -> Value:
    value = _value(node.this)
    pattern = node.expression
    if not isinstance(pattern, exp.Literal):
        raise WhereError("like needs a text pattern")
    # Many % in a pattern and a long text would take `re` for ever.
    body = "".join({"%": ".*", "_": "."}.get(c) or re.escape(c) for c in str(pattern.this))
    compiled = UserPattern(f"(?s:{body})", ignore_case=isinstance(node, exp.ILike))
    return lambda t: None if (x := value(t)) is None else compiled.fullmatch(str(x))


def _value(node: exp.Expr) -> Value:
    if isinstance(node, exp.Column):
        reader = COLUMNS.get(node.name)
        if reader is None or node.table:
            raise WhereError(f"unknown column {node.sql()!r}; one of {', '.join(COLUMNS)}", node.sql())
        return reader
    if isinstance(node, exp.Literal):
        constant: Any = str(node.this) if node.is_string else float(node.this)
        return lambda _t: constant
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        negative = -float(node.this.this)
        return lambda _t: negative
    if isinstance(node, exp.Null):
        return lambda _t: None
    raise WhereError(f"{node.sql()!r} is not understood; a column or a constant is expected")
