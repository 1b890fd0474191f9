"""The condition language of monitors: text to tree.

    condition  := all ("or" all)*            all := one ("and" one)*
    one        := "not" one | "(" condition ")" | comparison
    comparison := value ("<" | "<=" | ">" | ">=") value
                | "any" "(" [period "."] name ("<" | "<=" | ">" | ">=") number ")"
                | "shift" "(" metric ")" "=" ("'down'" | "'up'" | "'any'")
                | "trend" ["(" metric ")"] "=" ("'decreasing'" | "'increasing'")
                | "burn" "(" (name | name comparator number) "," number "%" "," span "," span ")" ">" number
                | "drift" "(" ("input" | "output") ")"
    value      := values joined by + - * /, in parentheses where wanted; a number may carry ms, s, m, h, %, USD
    metric     := [period "."] name ["." statistic]
    share      := "share" "(" [period "."] name ("<" | "<=" | ">" | ">=") number ")"

Written by hand rather than taken from an SQL parser's tree: a condition is a tenth of SQL, units and periods are not
SQL, and every error must say where it is and what could stand there, for which SQL nodes keep no position.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Literal, cast

from watchkeeper.alerting.lexer import Token, tokens
from watchkeeper.alerting.syntax import (
    RESERVED,
    Arithmetic,
    At,
    Burn,
    Comparator,
    Compare,
    Condition,
    ConditionError,
    Happened,
    Logic,
    Moves,
    Not,
    Operand,
    Period,
    Quantity,
    Ref,
    Share,
)
from watchkeeper.alerting.units import BEYOND, check_units, normalise
from watchkeeper.model.sketch import FIELDS, metric_of_field

UNITS: dict[str, tuple[str, float]] = {
    "us": ("ms", 0.001),
    "ms": ("ms", 1.0),
    "s": ("ms", 1e3),
    "m": ("ms", 6e4),
    "min": ("ms", 6e4),
    "h": ("ms", 3.6e6),
    "USD": ("USD", 1.0),
    "usd": ("USD", 1.0),
}
SPANS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
PERIODS: dict[str, Period] = {
    "current": Period(),
    "baseline": Period("baseline"),
    **{f"current_{w}": Period("last", s) for w, s in (("hour", 3600), ("day", 86400), ("week", 604800))},
    **{f"previous_{w}": Period("previous", s) for w, s in (("hour", 3600), ("day", 86400), ("week", 604800))},
}
_PERIOD = re.compile(r"(last|previous)_([1-9]\d{0,5})([mhdw])\Z")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)\Z")
STATS = ("mean", "sum", "n", "sd")
DISTANCES = BEYOND
# What other products call it. The hint says how it is written here.
CALLED = {
    "avg": "mean",
    "average": "mean",
    "median": "p50",
    "min": "p1",
    "max": "p99.9",
    "count": "n",
    "total": "sum",
    "std": "sd",
    "stddev": "sd",
}
_WRONG_PERIODS = re.compile(
    r"(this|last|past|current|previous)_?(\d+[a-z]+|[a-z]+)\Z|(today|yesterday|ytd|mtd)\Z"
)
_SAID_PERIODS = (
    "current_ and previous_ with hour, day or week (current_week is the last seven days), last_ and previous_ with a number "
    "of m, h, d or w (last_15m, previous_30d), and baseline"
)
_FUNCTIONS = ("share", "any", "shift", "trend", "burn", "drift")
TREND: dict[str, Literal["down", "up", "any"]] = {"decreasing": "down", "increasing": "up"}
SHIFT: dict[str, Literal["down", "up", "any"]] = {"down": "down", "up": "up", "any": "any"}
_COMPARISONS = ("<", "<=", ">", ">=", "=", "==", "!=", "<>")
MAX_DEPTH = 50


def is_stat(name: str) -> bool:
    """Is `name` a statistic: mean, sum, n, sd, a percentile above 0 and below 100, or a distance from the baseline?"""
    found = _PERCENTILE.match(name)
    return name in STATS or name in DISTANCES or (found is not None and 0 < float(found[1]) < 100)


def period_named(name: str) -> Period | None:
    """The period called `name` (baseline, current_week, last_15m, …), or None."""
    found = _PERIOD.match(name)
    if found:
        return Period(cast(Literal["last", "previous"], found[1]), int(found[2]) * SPANS[found[3]])
    return PERIODS.get(name)


class _Parser:
    def __init__(self, source: str) -> None:
        self.tokens = tokens(source)
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.next
        self.at += token.kind != "end"
        return token

    def fail(self, token: Token, *expected: str, hint: str = "") -> ConditionError:
        wanted = expected[0] if len(expected) == 1 else "one of " + ", ".join(expected)
        return ConditionError(f"found {token}, expected {wanted}{hint}", token.at.line, token.at.column)

    def accept(self, *texts: str) -> Token | None:
        token = self.next
        if token.kind in ("op", "word") and token.text.lower() in texts:
            return self.take()
        return None

    def expect(self, text: str, *others: str) -> Token:
        token = self.accept(text)
        if token is None:
            raise self.fail(self.next, f"'{text}'", *others)
        return token

    def whole(self) -> Condition:
        if self.next.kind == "end":
            raise ConditionError("the condition is empty; write for example: error_rate > 2%")
        tree = self.any_of()
        if self.next.kind != "end":
            lasting = self.next.text.lower() in ("for", "during", "over", "within")
            hint = (
                "; how long a breach must last is written beside the condition: hold: 10m" if lasting else ""
            )
            raise self.fail(self.next, "'and'", "'or'", "the end of the condition", hint=hint)
        return tree

    def logic(self, op: Literal["and", "or"], first: Condition, rest: list[Condition], at: At) -> Condition:
        if not rest:
            return first
        parts: list[Condition] = []
        for part in (first, *rest):
            parts.extend(part.parts if isinstance(part, Logic) and part.op == op else (part,))
        return Logic(op, tuple(parts), at)

    def any_of(self) -> Condition:
        at, first, rest = self.next.at, self.all_of(), list[Condition]()
        while self.accept("or"):
            rest.append(self.all_of())
        return self.logic("or", first, rest, at)

    def all_of(self) -> Condition:
        at, first, rest = self.next.at, self.one(), list[Condition]()
        while self.accept("and"):
            rest.append(self.one())
        return self.logic("and", first, rest, at)

    def one(self) -> Condition:
        self.depth += 1
        try:
            if self.depth > MAX_DEPTH:
                at = self.next.at
                raise ConditionError(f"more than {MAX_DEPTH} levels of nesting", at.line, at.column)
            negation = self.accept("not")
            if negation:
                return Not(self.one(), negation.at)
            if self.next.text == "(" and self._opens_condition():
                self.take()
                inner = self.any_of()
                self.expect(")", "'and'", "'or'")
                return inner
            return self.comparison()
        finally:
            self.depth -= 1

    def _opens_condition(self) -> bool:
        """Does this parenthesis hold a condition rather than a value? It does when a comparison or a logic word
        stands in it anywhere but inside a share(…), whose comparison is part of a value; any(…) is a condition."""
        of_share: list[bool] = []
        previous = self.next
        for token in self.tokens[self.at :]:
            if token.text == "(":
                of_share.append(previous.kind == "word" and previous.text.lower() in ("share", "any"))
            elif token.text == ")":
                of_share.pop()
                if not of_share:
                    return False
            elif not any(of_share) and (
                token.text in _COMPARISONS or token.text.lower() in ("and", "or", "not")
            ):
                return True
            previous = token
        return False

    def comparator(self) -> tuple[Comparator, Token]:
        token = self.next
        if token.text in _COMPARISONS:
            self.take()
            return cast(Comparator, {"==": "=", "<>": "!="}.get(token.text, token.text)), token
        changes = token.text.lower() in ("drops", "drop", "rises", "falls", "changes")
        hint = "; to watch for a change write shift(name) = 'down'" if changes else ""
        if token.text == "(":
            word = self.tokens[max(self.at - 1, 0)].text
            close = get_close_matches(word.lower(), _FUNCTIONS, n=1)
            hint = f"; did you mean {close[0]}(…)" if close else f"; functions are {', '.join(_FUNCTIONS)}"
        raise self.fail(token, "'<'", "'<='", "'>'", "'>='", "a statistic such as '.p50'", hint=hint)

    def comparison(self) -> Condition:
        token = self.next
        following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if token.kind == "word" and token.text.lower() in ("shift", "trend") and following.text != ".":
            return self.moves()
        if token.kind == "word" and token.text.lower() == "burn" and following.text == "(":
            return self.burn()
        if token.kind == "word" and token.text.lower() == "drift" and following.text == "(":
            return self.drift()
        if token.kind == "word" and token.text.lower() == "any" and following.text == "(":
            return Happened(self.share(), False, token.at)
        left = self.value()
        op, sign = self.comparator()
        if self.next.kind == "text":
            raise self.fail(
                self.next, "a number", "a metric", hint="; only shift(…) and trend(…) compare with text"
            )
        right = self.value()
        if op in ("=", "!="):
            raise self.fail(
                sign, "'<'", "'<='", "'>'", "'>='", hint="; a measured value is never exactly equal"
            )
        if isinstance(left, Quantity) and isinstance(right, Quantity):
            raise ConditionError(
                "both sides are numbers; one must be a metric", token.at.line, token.at.column
            )
        found = Compare(left, op, right, token.at)
        check_units(found)
        return found

    def burn(self) -> Condition:
        word = self.take()
        self.expect("(")
        at = self.next.at
        name = self.metric_name()
        good: Ref | Share = Ref(name, "mean", Period(), at)
        if self.next.text in _COMPARISONS:
            op, sign = self.comparator()
            if op in ("=", "!="):
                raise self.fail(sign, "'<'", "'<='", "'>'", "'>='")
            good = Share(name, op, self.number().value, Period(), at)
        self.expect(",")
        promised = self.number()
        if promised.unit != "rate" or not 0 < promised.value < 1:
            raise ConditionError(
                f"'{promised}' is not a promise; write a share between 0 % and 100 %, such as 95%",
                promised.at.line,
                promised.at.column,
            )
        self.expect(",")
        long = self.span()
        self.expect(",")
        short = self.span()
        if short > long:
            raise ConditionError("the second window is the shorter one", word.at.line, word.at.column)
        self.expect(")")
        self.expect(">")
        return Burn(good, promised.value, self.number().value, long, short, False, word.at)

    def span(self) -> int:
        token, unit = self.take(), self.take()
        if token.kind != "number" or unit.text not in SPANS or not float(token.text).is_integer():
            raise self.fail(token, "a whole span of time such as '1h', '30m', '3d'")
        return int(float(token.text)) * SPANS[unit.text]

    def drift(self) -> Condition:
        word = self.take()
        self.expect("(")
        token = self.take()
        if token.kind != "word" or token.text not in FIELDS:
            raise self.fail(token, *FIELDS, hint="; drift(…) watches texts, shift(…) a metric")
        self.expect(")")
        return Moves("drift", metric_of_field(token.text), "any", False, word.at)

    def moves(self) -> Condition:
        word = self.take()
        kind = cast(Literal["shift", "trend"], word.text.lower())
        metric = ""
        if kind == "shift" or self.next.text == "(":
            self.expect("(")
            metric = self.metric_name()
            self.expect(")")
        words = SHIFT if kind == "shift" else TREND
        allowed = [f"'{w}'" for w in words]
        op, sign = self.comparator()
        if op not in ("=", "!="):
            raise self.fail(sign, "'='", "'!='")
        token = self.take()
        direction = words.get(token.text.strip("'")) if token.kind == "text" else None
        if direction is None:
            raise self.fail(token, *allowed)
        return Moves(kind, metric, direction, op == "!=", word.at)

    def metric_name(self) -> str:
        token = self.take()
        if token.kind == "quoted":
            return token.text[1:-1].replace('""', '"')
        if token.kind != "word" or token.text in RESERVED:
            raise self.fail(token, "a metric name")
        return token.text

    def value(self) -> Operand:
        left = self.product()
        while sign := self.accept("+", "-"):
            left = Arithmetic(left, cast(Literal["+", "-"], sign.text), self.product(), sign.at)
        return left

    def product(self) -> Operand:
        left = self.atom()
        while sign := self.accept("*", "/"):
            right = self.atom()
            if not isinstance(right, Quantity) and (sign.text == "/" or not isinstance(left, Quantity)):
                raise ConditionError(
                    "a metric can be scaled by a number, not by another metric; compare them instead",
                    sign.at.line,
                    sign.at.column,
                )
            if sign.text == "/" and isinstance(right, Quantity) and right.value == 0:
                raise ConditionError("division by zero", sign.at.line, sign.at.column)
            left = Arithmetic(left, cast(Literal["*", "/"], sign.text), right, sign.at)
        return left

    def atom(self) -> Operand:
        token = self.next
        if token.text == "(":
            self.take()
            inner = self.value()
            self.expect(")")
            return inner
        if token.kind == "number" or token.text in ("-", "$"):
            return self.number()
        if token.kind == "word" and token.text.lower() == "share":
            return self.share()
        if token.kind in ("word", "quoted"):
            return self.reference()
        raise self.fail(token, "a metric", "a number", *(f"'{f}('" for f in _FUNCTIONS), "'not'", "'('")

    def number(self) -> Quantity:
        at = self.next.at
        negative = self.accept("-") is not None
        dollars = self.accept("$") is not None
        token = self.take()
        if token.kind != "number":
            raise self.fail(token, "a number")
        value = float(token.text.replace("_", "")) * (-1 if negative else 1)
        follows = self.next
        if follows.text == "%":
            self.take()
            return Quantity(value / 100, "rate", at)
        if follows.kind == "word" and follows.text in UNITS:
            unit, factor = UNITS[self.take().text]
            return Quantity(value * factor, unit, at)
        if follows.kind == "word" and follows.text.lower() not in ("and", "or"):
            raise self.fail(follows, *(f"'{u}'" for u in ("ms", "s", "m", "h", "%", "USD", "and", "or")))
        return Quantity(value, "USD" if dollars else "", at)

    def path(self) -> tuple[Period, str]:
        """[period "."] metric"""
        token = self.next
        period = period_named(token.text) if token.kind == "word" else None
        if period is None:
            return Period(), self.metric_name()
        self.take()
        if self.next.text != ".":
            raise self.fail(self.next, "'.' and a metric", hint=f"; '{token.text}' is a period of time")
        self.take()
        return period, self.metric_name()

    def reference(self) -> Ref:
        at = self.next.at
        period, metric = self.path()
        stat = "mean"
        if self.accept("."):
            token = self.take()
            stat = token.text
            if self.next.kind == "number" and self.next.glued and self.next.text.startswith("."):
                stat += self.take().text
            if not is_stat(stat):
                hint = '; a metric name with a dot is written in double quotes: "a.b"'
                if token.text.lower() in CALLED:
                    hint = f"; {token.text} is written {CALLED[token.text.lower()]}"
                elif _WRONG_PERIODS.match(metric.lower()):
                    hint = f"; {metric} is no period: those are {_SAID_PERIODS}"
                raise self.fail(token, "mean", "p50", "p95", "p99", "sum", "n", "sd", *DISTANCES, hint=hint)
            if stat in DISTANCES and period.name == "baseline":
                raise ConditionError(
                    f"{stat} is a distance from the baseline; the baseline has none from itself",
                    at.line,
                    at.column,
                )
        return Ref(metric, stat, period, at)

    def share(self) -> Share:
        at = self.take().at
        self.expect("(")
        period, metric = self.path()
        op, sign = self.comparator()
        if op in ("=", "!="):
            raise self.fail(sign, "'<'", "'<='", "'>'", "'>='")
        limit = self.number()
        found = Share(metric, op, limit.value, period, at)
        check_units(Compare(Ref(metric, "mean", period, at), op, limit, at))
        self.expect(")")
        return found


def parse(source: str) -> Condition:
    """Read a condition. Raises ConditionError with line, column, what was found and what could stand there.

    >>> str(parse("answer_relevance.p50 < 7 and trend = 'decreasing'"))
    "answer_relevance.p50 < 7 and trend(answer_relevance) = 'decreasing'"
    """
    if len(source) > 4000:
        raise ConditionError("the condition is longer than 4000 characters; split it into several monitors")
    tree = normalise(_Parser(source).whole())
    names = tuple(dict.fromkeys(r.metric for r in references(tree) if r.metric))
    return _with_metric(tree, names)


def _with_metric(tree: Condition, names: tuple[str, ...]) -> Condition:
    """Give a bare `trend` the one metric the condition speaks of."""
    if isinstance(tree, Logic):
        return Logic(tree.op, tuple(_with_metric(p, names) for p in tree.parts), tree.at)
    if isinstance(tree, Moves) and not tree.metric:
        if len(names) != 1:
            spoken = "names no metric" if not names else f"speaks of {', '.join(names)}"
            raise ConditionError(
                f"the condition {spoken}, so write which one: trend(name) = …", tree.at.line, tree.at.column
            )
        return Moves(tree.kind, names[0], tree.direction, tree.negated, tree.at)
    return tree


def references(tree: Condition | Operand) -> Iterator[Ref | Share | Moves]:
    """Everything the condition reads, in the order it was written."""
    match tree:
        case Logic():
            for part in tree.parts:
                yield from references(part)
        case Not():
            yield from references(tree.inner)
        case Happened():
            yield tree.share
        case Burn():
            yield from tree.windows
        case Compare() | Arithmetic():
            yield from references(tree.left)
            yield from references(tree.right)
        case Quantity():
            return
        case _:
            yield tree


def metrics_of(tree: Condition) -> tuple[str, ...]:
    """The series the condition needs, once each: metric names, and for a share its indicator.

    >>> metrics_of(parse("share(tone<3) > 5% or latency_ms.p99 > 5s"))
    ('share(tone < 3)', 'latency_ms')
    """
    found = [r.indicator if isinstance(r, Share) else r.metric for r in references(tree)]
    return tuple(dict.fromkeys(found))


def shares_of(tree: Condition) -> tuple[Share, ...]:
    """The shares the condition reads, once per indicator."""
    return tuple({r.indicator: r for r in references(tree) if isinstance(r, Share)}.values())


def baselines_of(tree: Condition) -> tuple[str, ...]:
    """The series that need a frozen baseline before the condition can be judged."""
    return tuple(
        dict.fromkeys(
            r.indicator if isinstance(r, Share) else r.metric
            for r in references(tree)
            if isinstance(r, Moves)
            or r.period.name == "baseline"
            or (isinstance(r, Ref) and r.stat in DISTANCES)
        )
    )
