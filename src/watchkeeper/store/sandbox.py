"""User SQL, made safe: parsed, accepted only if every node, function and table is on a list, rendered anew.

Nothing a user wrote reaches the engine as text. What it runs under (read-only connection, deadline, memory, result
size) is set on the connection by the store.
"""

import difflib
import logging
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlglot
from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import SqlglotError

from watchkeeper.store import sandbox_tables as tables
from watchkeeper.store import sandbox_words as words
from watchkeeper.store.columns import QueryRefused
from watchkeeper.store.sandbox_names import CLAUSES, COMBINATORS, FUNCTIONS, NODES, TYPES

# What the parser logs quotes statements as they came: with what people look for, and with line ends that would forge a line.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
MAX_CHARS = 20_000
MAX_NODES = 5_000
CTE_PREFIX = "wkq_"
UNITS = frozenset(["second", "minute", "hour", "day", "week", "month", "quarter", "year", "millisecond"])
UNIT_FIRST = frozenset(
    [
        "dateadd",
        "date_add",
        "datesub",
        "date_sub",
        "timestampadd",
        "timestampsub",
        "age",
        "datediff",
        "date_diff",
    ]
)
TABLES_HINT = f"the tables are {', '.join(tables.COLUMNS)}"


class _Dialect(ClickHouse):
    """ClickHouse, with every function left as the name that was written: the list of names decides, and rendering
    cannot turn one function into another."""

    class Parser(ClickHouse.Parser):
        FUNCTIONS: Any = {}
        NO_PAREN_FUNCTIONS: Any = {}
        FUNCTION_PARSERS: Any = {k: v for k, v in ClickHouse.Parser.FUNCTION_PARSERS.items() if k == "CAST"}
        NO_PAREN_FUNCTION_PARSERS: Any = {
            k: v for k, v in ClickHouse.Parser.NO_PAREN_FUNCTION_PARSERS.items() if k == "CASE"
        }


class Prepared(msgspec.Struct, frozen=True):
    """A statement that may run: `sql` binds the parameter `wk_project`; `limit` is the row after the last shown."""

    sql: str
    tables: tuple[str, ...]
    limit: int


def _refuse(what: str, hint: str) -> QueryRefused:
    return QueryRefused(what, hint)


def _parse(query: str) -> exp.Expr:
    if len(query) > MAX_CHARS:
        raise _refuse("the statement is too long", f"write at most {MAX_CHARS:,} characters")
    if "\x00" in query:
        raise _refuse("the statement holds a NUL character", "remove it")
    try:
        found = [s for s in sqlglot.parse(query, read=_Dialect) if s is not None]
    except (SqlglotError, RecursionError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise _refuse(*words.of_fault(query, error, _Dialect)) from None
    if len(found) != 1:
        raise _refuse(
            "the statement is empty" if not found else "there is more than one statement", "write one SELECT"
        )
    return found[0]


def _check_function(name: str) -> None:
    low = name.lower()
    if low in FUNCTIONS:
        return
    stem = low
    while ending := next((c for c in COMBINATORS if stem.endswith(c) and len(stem) > len(c)), None):
        stem = stem[: -len(ending)]
        if stem in FUNCTIONS:
            return
    close = difflib.get_close_matches(low, FUNCTIONS, n=3, cutoff=0.75)
    hint = "did you mean " + " or ".join(FUNCTIONS[c] for c in close) + "?" if close else (
        "the usual aggregate, string, number, time, array, map and JSON functions are available"
    )  # fmt: skip
    raise _refuse(f"the function {name} is not available", hint)


def _check_type(node: exp.DataType) -> None:
    name = node.sql(dialect=_Dialect).split("(")[0].strip("`\"' ").lower()
    if name not in TYPES:
        raise _refuse(
            f"the type {name} is not available", "cast to String, UInt64, Int64, Float64, Date or DateTime64"
        )


def _check_clauses(node: exp.Expr) -> None:
    if isinstance(node, exp.Table) and node.db:
        raise _refuse(f"the table {node.db[:50]}.{node.name[:50]} is not available", TABLES_HINT)
    for kind, allowed in CLAUSES.items():
        if isinstance(node, kind):
            extra = sorted(k.rstrip("_") for k, v in node.args.items() if v and k not in allowed)
            if extra:
                raise _refuse(
                    f"{' and '.join(e.upper() for e in extra)} is not available in {type(node).__name__.upper()}",
                    "SELECT takes columns, FROM, JOIN, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT and WITH",
                )
    if isinstance(node, exp.Select) and not node.expressions:
        raise _refuse("SELECT names no columns", "write for example SELECT count() FROM traces")


def _check_node(node: exp.Expr) -> None:
    name = type(node).__name__
    if isinstance(node, exp.Aliases) and isinstance(node.this, (exp.Anonymous, exp.AnonymousAggFunc)):
        # A second pair of brackets after a name that is no aggregate with parameters.
        _check_function(str(node.this.this))
        raise _refuse(
            f"the function {node.this.this} takes no parameters before its arguments",
            "write it with one pair of brackets",
        )
    if name not in NODES:
        raise _refuse(f"{name.upper()} is not available here", "only reading with SELECT is; " + TABLES_HINT)
    _check_clauses(node)
    if isinstance(node, exp.Identifier):
        if not tables.NAME.match(node.name):
            raise _refuse(
                f"the name {node.name[:50]!r} holds a character that names may not",
                "use one line without double quotes, backticks, backslashes and braces",
            )
    elif isinstance(node, (exp.Anonymous, exp.AnonymousAggFunc)):
        if not isinstance(node.this, str):
            raise _refuse("a function's name must be a plain word", "write it without quotes")
        _check_function(node.this)
    elif isinstance(node, exp.With) and node.args.get("recursive"):
        raise _refuse("recursive WITH is not available", "use a plain WITH or a sub-query")
    elif isinstance(node, exp.DataType):
        _check_type(node)
    elif isinstance(node, exp.Var) and not re.fullmatch(r"\w+", node.name):
        raise _refuse(f"{node.name[:50]!r} is not available here", "write a plain word")
    elif isinstance(node, exp.Literal) and not node.is_string and not re.fullmatch(r"[\d.eE+\-]+", node.name):
        raise _refuse(f"{node.name[:50]!r} is not a number", "write a decimal number")


def _check(tree: exp.Expr) -> None:
    for count, node in enumerate(tree.walk(), start=1):
        if count > MAX_NODES:
            raise _refuse("the statement is too large", "split it into several")
        _check_node(node)


_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE)
_AGAINST_TIMES = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)


def _read_times(tree: exp.Expr) -> None:
    """`time > '2026-11-21T10:00:00Z'`, as answers write times, in the spelling the engine reads everywhere: in conditions on its
    keys it knows no other. Only beside a column that is a time: elsewhere such a text is a text."""
    for literal in list(tree.find_all(exp.Literal)):
        beside = literal.parent
        if not (literal.is_string and isinstance(beside, _AGAINST_TIMES) and _ISO.fullmatch(literal.name)):
            continue
        if any(isinstance(c, exp.Column) and c.name in tables.TIMES for c in beside.iter_expressions()):
            literal.replace(exp.Literal.string(_in_utc(literal.name)))


def _in_utc(text: str) -> str:
    whole, dot, rest = text.upper().replace("Z", "+00:00").partition(".")
    digits = re.match(r"\d*", rest)
    fraction = digits[0] if digits else ""
    try:
        moment = datetime.fromisoformat(whole + rest[len(fraction) :])
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError) as error:
        raise _refuse(f"{text!r} is not a time: {error}", "write 2026-11-21T10:00:00Z") from None
    return f"{moment:%Y-%m-%d %H:%M:%S}{dot}{fraction}"


def _fix_units(tree: exp.Expr) -> None:
    """`dateAdd(day, 1, x)` takes a bare word; a quoted one would be a column."""
    for call in tree.find_all(exp.Anonymous):
        if str(call.this).lower() in UNIT_FIRST and call.expressions:
            first = call.expressions[0]
            if isinstance(first, exp.Column) and not first.table and first.name.lower() in UNITS:
                first.replace(exp.var(first.name))


_OF_BYTES = {
    "substring": "substringUTF8",
    "substr": "substringUTF8",
    "mid": "substringUTF8",
    "left": "leftUTF8",
    "right": "rightUTF8",
}


def _cut_by_characters(tree: exp.Expr) -> None:
    """The engine's `substring`, `left` and `right` count bytes: a text cut within a character is no text any more."""
    for call in tree.find_all(exp.Anonymous):
        call.set("this", _OF_BYTES.get(str(call.this).lower(), call.this))


def _cte_names(tree: exp.Expr) -> set[str]:
    names: set[str] = set()
    for cte in tree.find_all(exp.CTE):
        if cte.args.get("scalar"):
            continue
        if cte.alias in tables.COLUMNS:
            raise _refuse(f"WITH {cte.alias}: the name is taken by a table", "choose another name")
        names.add(cte.alias)
        # A name outside its scope must not fall through to a physical table: none begins with this prefix.
        cte.args["alias"].set("this", exp.to_identifier(CTE_PREFIX + cte.alias, quoted=True))
    return names


def _bind_tables(tree: exp.Expr, database: str, scorers: Sequence[str]) -> tuple[str, ...]:
    ctes = _cte_names(tree)
    used: list[str] = []
    for table in list(tree.find_all(exp.Table)):
        if isinstance(table.parent, exp.Join) and str(table.parent.args.get("kind", "")).upper() == "ARRAY":
            continue
        if not isinstance(table.this, exp.Identifier):
            raise _refuse("table functions are not available", TABLES_HINT)
        name = table.name
        alias = table.alias or name
        if name in ctes:
            table.set("this", exp.to_identifier(CTE_PREFIX + name, quoted=True))
            table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
            continue
        if name not in tables.COLUMNS:
            close = difflib.get_close_matches(name.lower(), tables.COLUMNS, n=1, cutoff=0.6)
            raise _refuse(
                f"there is no table {name}",
                f"did you mean {close[0]}? " + TABLES_HINT if close else TABLES_HINT,
            )
        used.append(name)
        inner = sqlglot.parse_one(tables.body(name, database, list(scorers)), read=_Dialect)
        for fact in _facts_of(table) if name == "spans" else []:
            # All versions of a span share its key, so that this may be asked before the replaced ones are passed over.
            near = exp.In(this=exp.column("trace_id"), query=exp.Subquery(this=_with_fact(fact, database)))
            inner = inner.where(near, copy=False)  # type: ignore[attr-defined]
        bound = exp.Subquery(
            this=inner,
            alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)),
            joins=table.args.get("joins"),
        )
        owner = table.parent
        # FINAL is ours already; a table that carries it is wrapped in its own node.
        (owner if isinstance(owner, exp.Final) else table).replace(bound)
    return tuple(used)


def _named_columns(tree: exp.Expr) -> set[str]:
    return {c.name for c in tree.find_all(exp.Column, exp.Identifier)}


def _wanted(tree: exp.Expr, scorers: Iterable[str]) -> list[str]:
    """The scorers a statement needs as columns: those it names, and all when it has a star."""
    usable = [s for s in scorers if tables.NAME.match(s)]
    if any(
        not isinstance(star.parent, (exp.Anonymous, exp.AnonymousAggFunc)) for star in tree.find_all(exp.Star)
    ):
        return usable
    named = _named_columns(tree)
    return [s for s in usable if tables.scorer_column(s) in named]


def _limited(tree: exp.Expr, most: int) -> exp.Expr:
    limit = tree.args.get("limit")
    if isinstance(tree, exp.Select) and limit is None:
        return tree.limit(most, copy=False)
    if isinstance(tree, exp.Select) and isinstance(limit, exp.Limit):
        wanted = limit.expression
        if not (isinstance(wanted, exp.Literal) and not wanted.is_string and wanted.name.isdigit()):
            raise _refuse("LIMIT takes a whole number", "write for example LIMIT 100")
        plain = not limit.expressions and not limit.args.get("limit_options")
        if plain:
            limit.set("expression", exp.Literal.number(min(int(wanted.name), most)))
            return tree
    return (
        exp.select("*")
        .from_(exp.Subquery(this=tree, alias=exp.TableAlias(this=exp.to_identifier("answer"))))
        .limit(most)
    )


def render(tree: exp.Expr) -> str:
    """The statement as text, from the tree alone: comments gone, every name quoted."""
    return tree.sql(dialect=_Dialect, identify=True, comments=False)


def _title_columns(tree: exp.Expr) -> None:
    """Head computed columns with what the user wrote, not with the engine's name for it."""
    for item in tree.expressions if isinstance(tree, exp.Select) else []:
        if isinstance(item, (exp.Alias, exp.Column, exp.Star, exp.Literal)):
            continue
        title = item.sql(dialect=_Dialect, comments=False)
        if len(title) <= 200 and not re.search(r'[\\"]', title):
            item.replace(exp.alias_(item.copy(), title, quoted=True))


def prepare(
    query: str, scorers: Sequence[str], database: str = "default", max_rows: int = 10_000
) -> Prepared:
    """A user's statement as one that may run for one project. `scorers` are the columns `traces` has beside its own.

    Raises QueryRefused, which names what is not accepted and what is.
    """
    tree = _parse(query)
    if not isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
        raise _refuse(*words.of_other(query, tree, list(tables.COLUMNS)))
    _check(tree)
    wanted = _wanted(tree, scorers)
    _fix_units(tree)
    _read_times(tree)
    _title_columns(tree)
    _cut_by_characters(tree)
    # One more than shown, so that the answer can say whether it is whole.
    limited = _limited(tree, max_rows + 1)
    used = _bind_tables(limited, database, wanted)
    return Prepared(render(limited), used, max_rows + 1)


def plain_name(name: str) -> str:
    """A column of an answer under the name its user gave it."""
    return re.sub(rf"\b{CTE_PREFIX}", "", name)


def _condition_tree(where: str) -> exp.Expr:
    if not where.strip():
        raise _refuse("the condition is empty", "leave it out, or write for example scenario = 'support'")
    try:
        tree = _parse(f"SELECT 1 FROM traces WHERE ({where}\n)")
    except QueryRefused as refused:
        raise words.of_condition(refused, where) from None
    clauses = {k for k, v in tree.args.items() if v} - {"expressions", "from_", "where"}
    if not isinstance(tree, exp.Select) or clauses:
        raise _refuse(
            "only a condition is accepted here", "write for example scenario = 'support' and errors > 0"
        )
    _check(tree)
    condition: exp.Expr = tree.args["where"].this
    if condition.find(exp.Query, exp.Exists, exp.Window) is not None:
        raise _refuse(
            "sub-queries are not available in a condition", "use POST /api/sql or the SQL page for them"
        )
    _fix_units(condition)
    _read_times(condition)
    _cut_by_characters(condition)
    return condition.unnest()


def _known_columns(condition: exp.Expr, scorers: Sequence[str]) -> None:
    known = {*tables.COLUMNS["traces"], *(tables.scorer_column(s) for s in scorers), "attributes"}
    bound = {a.name for lam in condition.find_all(exp.Lambda) for a in lam.expressions}
    for column in condition.find_all(exp.Column):
        if column.table:
            raise _refuse(f"{column.sql(dialect=_Dialect)}: write the column alone", "for example cost > 0.1")
        if column.name not in known and column.name not in bound:
            raise _refuse(f"there is no column {column.name}", words.did_you_mean(column.name, known))


_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def _compared_with_number(holder: exp.Bracket) -> bool:
    comparison = holder.parent
    if not isinstance(comparison, _COMPARISONS):
        return False
    other = comparison.expression if comparison.this is holder else comparison.this
    other = other.this if isinstance(other, exp.Neg) else other
    return isinstance(other, exp.Literal) and not other.is_string


def _call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _compare_as_numbers(part: exp.Expr) -> None:
    """`attributes['n'] > 5` compares numbers; attributes are stored as text, and a long one is no number."""
    for holder in list(part.find_all(exp.Bracket)):
        if _compared_with_number(holder):
            short = exp.LTE(this=_call("length", holder.copy()), expression=exp.Literal.number(NUMBER_BYTES))
            text = _call("if", short, holder.copy(), exp.Literal.string(""))
            holder.replace(_call("toFloat64OrNull", text))


def _ask_keys_alone(part: exp.Expr) -> None:
    """Whether there is a key is read from the keys."""
    for call in part.find_all(exp.Anonymous):
        if str(call.this).lower() in ("mapcontains", "mapcontainskey") and call.expressions:
            first = call.expressions[0]
            if isinstance(first, exp.Column):
                call.set("this", "has")
                first.replace(sqlglot.parse_one("attributes.keys", read=_Dialect))


_JOINERS = (exp.And, exp.Or, exp.Not, exp.Paren, exp.Xor)


def _attribute_predicates(condition: exp.Expr) -> list[tuple[exp.Expr, set[str]]]:
    """The smallest yes-or-no parts that speak of attributes, with the keys they name."""
    found: dict[int, tuple[exp.Expr, set[str]]] = {}
    for column in condition.find_all(exp.Column):
        if column.name != "attributes":
            continue
        part: exp.Expr = column
        while part is not condition and part.parent is not None and not isinstance(part.parent, _JOINERS):
            part = part.parent
        others = {c.name for c in part.find_all(exp.Column)} - {"attributes"}
        if others:
            raise _refuse(
                f"one comparison mixes attributes with {', '.join(sorted(others))}",
                "attributes belong to spans: compare them with text or numbers only",
            )
        _, keys = found.setdefault(id(part), (part, set()))
        holder = column.parent
        if isinstance(holder, exp.Bracket):
            keys.update(k.name for k in holder.expressions if isinstance(k, exp.Literal) and k.is_string)
    return list(found.values())


RECEIVED = f"received_at >= fromUnixTimestamp64Nano({{{tables.RECEIVED}:Int64}})"


def _with_fact(fact: str, database: str) -> exp.Select:
    """The ids of traces with a span, of whatever version, that has this attribute."""
    bound = f"project = {{{tables.PROJECT}:String}}"
    found = sqlglot.parse_one(
        f'SELECT trace_id FROM "{database}".spans WHERE {bound} AND {fact}', read=_Dialect
    )
    assert isinstance(found, exp.Select)
    return found


def _facts_of(table: exp.Table) -> list[str]:
    """What every row of a statement over this table alone must have, as look-ups in the index of attributes."""
    select = table.parent_select
    where = select.args.get("where") if select is not None else None
    if select is None or where is None or table.args.get("joins") or select.args.get("joins"):
        return []
    if any(a.alias == "attributes" for a in select.find_all(exp.Alias)):
        return []
    condition = where.this.unnest()
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    # An attribute that is not there equals the empty text.
    return [f for p in parts if (f := _fact(p)) is not None and not f.endswith("\\n')")]


def _having(part: exp.Expr, keys: set[str], database: str, held: str | None) -> exp.Select:
    """The ids of traces with a span of which a predicate over attributes holds. `held` names the parameter with the facts for
    which it does, where they are known."""
    fact = _fact(part) if held is None else f"hasAny({FACTS}, {{{held}:Array(String)}})"
    if fact is not None:
        # For the parts to read alone: traces are asked for their own time, and to read it of every row would cost as much again.
        near = f"indexHint({RECEIVED})"
        return _with_fact(fact, database).where(near, copy=False, dialect=_Dialect)
    told = part.copy()
    _compare_as_numbers(told)
    _ask_keys_alone(told)
    # Values are most of the bytes of attributes: they are read only where a span has the keys.
    has = [f"has(attributes.keys, {_text(k)})" for k in sorted(keys)]
    first = " AND ".join([f"project = {{{tables.PROJECT}:String}}", RECEIVED, *has])
    inner = sqlglot.parse_one(f'SELECT trace_id FROM "{database}".spans PREWHERE {first}', read=_Dialect)
    assert isinstance(inner, exp.Select)
    return inner.where(exp.Paren(this=told), copy=False)


def number_look_ups(where: str, database: str = "default") -> dict[str, str]:
    """For each comparison of one attribute with a number a statement that lists the facts, of those stored, for which it holds;
    by the name of the parameter with which `compile_condition` binds them. The index of attributes has them in order, so that
    it reads those of one key. A key too long for its numbers to be in the index has none. Raises QueryRefused."""
    found: dict[str, str] = {}
    for at, (part, _) in enumerate(_attribute_predicates(exp.Paren(this=_condition_tree(where)))):
        holders = [h for h in part.find_all(exp.Bracket) if h.parent is part and _compared_with_number(h)]
        key = holders[0].expressions[0] if holders and len(holders[0].expressions) == 1 else None
        if not (
            isinstance(key, exp.Literal) and key.is_string and holders[0].this == exp.column("attributes")
        ):
            continue
        size = len(key.name.encode()) + 1
        if size + NUMBER_BYTES <= FACT_BYTES:
            told = part.copy()
            _compare_as_numbers(told)
            value = _call("substring", exp.column("token"), exp.Literal.number(size + 1))
            for holder in list(told.find_all(exp.Bracket)):
                holder.replace(value.copy())
            first, after = _text(f"{key.name}\n"), _text(f"{key.name}\x0b")
            found[f"{tables.FACTS}{at}"] = (
                f"SELECT DISTINCT token FROM mergeTreeTextIndex({_text(database)}, 'spans', 'facts') "
                f"WHERE token >= {first} AND token < {after} AND {told.sql(dialect=_Dialect, comments=False)}"
            )
    return found


def _needed(part: exp.Expr) -> bool:
    """Whether nothing matches of which this part of a condition does not hold."""
    above = part.parent
    while isinstance(above, (exp.And, exp.Paren)):
        above = above.parent
    return above is None


def trace_look_ups(where: str, database: str = "default", held: Collection[str] = ()) -> dict[str, str]:
    """For each comparison of attributes that their index answers, and of which each trace must have a span, a statement that lists
    these traces; by the name of the parameter with which `compile_condition` binds them. `held` are those of the `number_look_ups`
    that were answered. Binds what `compile_condition` binds. Raises QueryRefused."""
    found: dict[str, str] = {}
    for at, (part, keys) in enumerate(_attribute_predicates(exp.Paren(this=_condition_tree(where)))):
        facts = f"{tables.FACTS}{at}" if f"{tables.FACTS}{at}" in held else None
        if _needed(part) and (facts is not None or _fact(part) is not None):
            found[f"{tables.TRACES}{at}"] = render(_having(part, keys, database, facts).distinct(copy=False))
    return found


def compile_condition(
    where: str, scorers: Sequence[str], database: str = "default", held: Collection[str] = ()
) -> str:
    """A condition as SQL over the physical `traces`, binding `wk_project`, `wk_received`: the time in ns from which on the
    spans were received whose attributes are looked at, and those of the `number_look_ups` and `trace_look_ups` that are in `held`.
    Raises QueryRefused."""
    condition = exp.Paren(this=_condition_tree(where))
    _known_columns(condition, scorers)
    by_column = {tables.scorer_column(s): s for s in scorers if tables.NAME.match(s)}
    for at, (part, keys) in enumerate(_attribute_predicates(condition)):
        facts, traces = f"{tables.FACTS}{at}", f"{tables.TRACES}{at}"
        if traces in held:
            part.replace(sqlglot.parse_one(f"trace_id IN {{{traces}:Array(String)}}", read=_Dialect))
            continue
        having = _having(part, keys, database, facts if facts in held else None)
        part.replace(exp.In(this=exp.column("trace_id"), query=exp.Subquery(this=having)))
    for column in list(condition.find_all(exp.Column)):
        scorer = by_column.get(column.name)
        if scorer is not None and column.find_ancestor(exp.Subquery) is None:
            column.replace(sqlglot.parse_one(tables.scorer_value(scorer), read=_Dialect))
    return render(condition)


# The expression of the index `facts`, which alone answers whether a span has an attribute of this value, up to a length.
FACT_BYTES = 64
NUMBER_BYTES = 24
"""As long as a number is written that the wire can carry."""
FACTS = (
    f"arrayFilter(f -> length(f) <= {FACT_BYTES}, "
    "arrayMap((k, v) -> concat(k, '\\n', v), mapKeys(attributes), mapValues(attributes)))"
)


def _fact(part: exp.Expr) -> str | None:
    """`attributes['key'] = 'text'` as a look-up in that index; None for any other comparison."""
    if not isinstance(part, exp.EQ):
        return None
    sides = (part.this, part.expression)
    holder = next((s for s in sides if isinstance(s, exp.Bracket)), None)
    value = next((s for s in sides if isinstance(s, exp.Literal) and s.is_string), None)
    if holder is None or value is None or len(holder.expressions) != 1:
        return None
    key = holder.expressions[0]
    column = isinstance(holder.this, exp.Column) and holder.this.name == "attributes"
    if not column or not (isinstance(key, exp.Literal) and key.is_string):
        return None
    fact = f"{key.name}\n{value.name}"
    return f"has({FACTS}, {_text(fact)})" if len(fact.encode()) <= FACT_BYTES else None


def _text(value: str) -> str:
    return exp.Literal.string(value).sql(dialect=_Dialect)
