"""What is said of a statement that cannot be read: the word that was probably meant, the quote or bracket that is open."""

import difflib
import re
from collections.abc import Iterable

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from watchkeeper.store.columns import QueryRefused
from watchkeeper.store.sandbox_tables import COLUMNS

UNREADABLE = "this is not a statement we can read"
WRITE_SELECT = (
    'write one SELECT; a column called like a word of SQL stands in quotes: "from"; INTO OUTFILE, FORMAT and SETTINGS are not '
    "available"
)
_BEGINNINGS = ("SELECT", "WITH", "FROM")
_WORDS = (
    *_BEGINNINGS, "WHERE", "GROUP BY", "ORDER BY", "HAVING", "LIMIT", "OFFSET", "JOIN", "LEFT JOIN", "ARRAY JOIN", "UNION ALL",
    "DISTINCT", "USING", "AS", "ON", "AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "IS NULL", "CASE", "WHEN", "THEN", "ELSE",
    "END", "DESC", "ASC",
)  # fmt: skip
# Only the first of several words is written wrongly or without the next.
_FIRST = {words.split()[0].lower(): words for words in reversed(_WORDS)}
_LOOKING = frozenset(["show", "describe", "desc", "explain"])
_CLOSES = {"(": ")", "[": "]", "{": "}"}


def of_fault(query: str, error: Exception, read: type[sqlglot.Dialect]) -> tuple[str, str]:
    """What is wrong with a statement no tree could be made of, and what to do."""
    if isinstance(error, TokenError):
        # The parser's own words for it name its parts; the quote it misses is in what it was caused by.
        missing = re.search(r"Missing (\S+) from", str(error.__cause__))
        mark = missing[1] if missing else "*/"
        return (
            f"{UNREADABLE}: the {_NAMES.get(mark, mark)} is not closed",
            f"write another {mark} where it ends",
        )
    if not isinstance(error, ParseError) or not error.errors:
        return f"{UNREADABLE}: {_first_line(error)}", WRITE_SELECT
    fault = error.errors[0]
    where = str(fault["highlight"])
    said = f"{UNREADABLE}: something is missing or too much at {where!r}"
    before = re.findall(r"[^\W\d]\w*", str(fault["start_context"]))
    for word in [*before[-1:], where, *re.findall(r"[^\W\d]\w*", query)[:1]]:
        if meant := _meant(word):
            return said, f"did you mean {meant} instead of {word}?"
    if unclosed := _unclosed(query, read):
        return said, f"the bracket {unclosed} is not closed"
    return said, WRITE_SELECT


def of_condition(refused: QueryRefused, where: str) -> QueryRefused:
    """The same fault for someone who wrote a condition, not the statement around it."""
    said, _, fault = str(refused).partition(": ")
    if said != UNREADABLE:
        return refused
    # The bracket that closes the condition is ours: what stands before it is not finished.
    fault = fault.replace("at ')'", "at its end") if where.count(")") == where.count("(") else fault
    example = "write it as answer_relevance < 5 and duration_ms > 3000"
    return QueryRefused(
        f"this is not a condition: {fault}", example if refused.hint == WRITE_SELECT else refused.hint
    )


_NAMES = {"'": "quote '", '"': 'quote "', "`": "quote `", "*/": "comment /*"}


def of_other(query: str, tree: exp.Expr, tables: list[str]) -> tuple[str, str]:
    """What is wrong with what can be read and is no SELECT, and what to do."""
    found = re.search(r"[^\W\d]\w*", re.sub(r"/\*.*?\*/|--[^\n]*", " ", query, flags=re.DOTALL))
    word = found[0] if found else ""
    listed = f"the tables are {', '.join(tables)}"
    if isinstance(tree, (exp.Command, exp.Describe)) and word.lower() in _LOOKING:
        return (
            f"{word.upper()} is not available here",
            f"{listed}; select * from traces limit 1 has its columns",
        )
    if not isinstance(tree, (exp.Column, exp.Literal, exp.Alias, exp.Condition)):
        return f"{word.upper() or 'this'} is not available here", f"only reading with SELECT is; {listed}"
    if meant := _meant(word, _BEGINNINGS):
        return f"a statement begins with SELECT, and this one with {word[:50]!r}", f"did you mean {meant}?"
    example = word if word in tables else "traces"
    shown = f"for example: select * from {example} order by time desc limit 50"
    return "this is not a statement: it does not begin with SELECT", shown


def _meant(word: str, among: tuple[str, ...] = _WORDS) -> str | None:
    """The word of SQL that a word nearly is, or the one it is the beginning of."""
    low = word.lower()
    if low in _FIRST:
        whole = _FIRST[low]
        return whole if " " in whole and whole in among else None
    known = {w.split()[0].lower() for w in among}
    close = difflib.get_close_matches(low, sorted(known), n=1, cutoff=0.7) if len(low) > 2 else []
    return _FIRST[close[0]] if close else None


def _unclosed(query: str, read: type[sqlglot.Dialect]) -> str | None:
    waiting: list[str] = []
    for token in sqlglot.tokenize(query, read=read):
        if token.text in _CLOSES:
            waiting.append(token.text)
        elif waiting and token.text == _CLOSES[waiting[-1]]:
            waiting.pop()
    return waiting[-1] if waiting else None


def _first_line(error: Exception) -> str:
    text = re.sub(r"\x1b\[\d*m", "", str(error)).strip().split("\n")[0]
    return text[:200] or type(error).__name__


# What a series or another product calls what is a column here.
CALLED = {
    "latency_ms": "duration_ms",
    "latency": "duration_ms",
    "timestamp": "time",
    "start_time": "time",
    "created_at": "time",
    "id": "trace_id",
    "user": "user_id",
    "session": "session_id",
    "input": "input_text",
    "output": "output_text",
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "total_cost": "cost",
    "error_rate": "error_class",
    "score": "value",
    "comment": "reason",
    "metric_name": "metric",
}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a column nobody knows: what it is called here, else the closest names, else all of them."""
    choices = sorted(known)
    called = CALLED.get(name.lower())
    if called in choices:
        return f"{name} is called {called} here"
    if not choices:
        return f"no table is read that could have columns; add FROM and one of {', '.join(COLUMNS)}"
    close = difflib.get_close_matches(name.lower(), choices, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"the columns are {', '.join(choices)}"
