"""Hostile statements end at the parser: none is rendered."""

import pytest

from tests.unit.store.hostile import statements
from watchkeeper.store.columns import QueryRefused
from watchkeeper.store.sandbox import prepare
from watchkeeper.store.sandbox_words import did_you_mean

HOSTILE = statements("/nowhere/out.csv")


def test_there_are_enough_hostile_statements() -> None:
    assert len(set(HOSTILE)) >= 300


@pytest.mark.parametrize("query", HOSTILE, ids=lambda q: q[:60])
def test_it_refuses(query: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        prepare(query, ["answer_relevance"])
    assert str(refused.value)
    assert refused.value.hint


def test_the_same_statements_would_run_without_the_list() -> None:
    """The control: the rule that refuses is the list of names, so adding a name to it lets the statement through."""
    from watchkeeper.store import sandbox_names

    sandbox_names.FUNCTIONS["sleep"] = "sleep"
    try:
        assert "sleep(1)" in prepare("select sleep(1)", []).sql
    finally:
        del sandbox_names.FUNCTIONS["sleep"]


@pytest.mark.parametrize("query", ["select", "select from traces", "(select)"])
def test_it_says_that_no_columns_are_named(query: str) -> None:
    with pytest.raises(QueryRefused, match="names no columns"):
        prepare(query, [])


def test_it_refuses_prewhere_by_its_name() -> None:
    with pytest.raises(QueryRefused, match="PREWHERE is not available"):
        prepare("select name from spans prewhere kind = 'llm'", [])


@pytest.mark.parametrize("query", ["show x\nFORGED", "explain select 'bob@example.org'"])
def test_no_statement_is_quoted_in_the_log(query: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(QueryRefused):
        prepare(query, [])
    assert not caplog.records


@pytest.mark.parametrize(
    "query", ["select * from traces where", "select from > 5 from traces", "select 1 from"]
)
def test_it_says_where_it_stopped_understanding_and_not_in_the_parsers_own_words(query: str) -> None:
    with pytest.raises(
        QueryRefused, match=r"something is missing or too much at '(where|>|from)'"
    ) as refused:
        prepare(query, [])
    assert "sqlglot" not in str(refused.value) and "Token" not in str(refused.value)


@pytest.mark.parametrize(
    ("query", "said", "hint"),
    [
        ("selct", "this one with 'selct'", "did you mean SELECT?"),
        ("selct cost, time, trace_id, session_id, user_id, scenario, service, environment, release, variant, region x y z", "missing or too much",
         "did you mean SELECT instead of selct?"),
        ("select * form traces", "'traces'", "did you mean FROM instead of form?"),
        ("select * from traces wher cost > 1", "'cost'", "did you mean WHERE instead of wher?"),
        ("select * from traces order time", "'time'", "did you mean ORDER BY instead of order?"),
        ("select * from traces limit 5 ofset 3", "'ofset'", "did you mean OFFSET instead of ofset?"),
        ("with x as (select 1) selct * from x", "'from'", "did you mean SELECT instead of selct?"),
        ("select count(* from traces", "'from'", "the bracket ( is not closed"),
        ("select 'a from traces", "the quote ' is not closed", "another '"),
        ("select 1 /* a", "the comment /* is not closed", "another */"),
        ("select a b c from traces", "'c'", "write one SELECT"),
        ("spans", "does not begin with SELECT", "select * from spans"),
        ("1 + 1", "does not begin with SELECT", "select * from traces"),
        ("show tables", "SHOW is not available", "the tables are spans,"),
        ("/* now */ describe traces", "DESCRIBE is not available", "has its columns"),
        ("set a = 1", "SET is not available", "only reading with SELECT is"),
    ],
)  # fmt: skip
def test_the_nearest_statement_is_named(query: str, said: str, hint: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        prepare(query, [])
    assert said in str(refused.value) and hint in refused.value.hint, refused.value.hint


@pytest.mark.parametrize(
    ("typed", "known", "hint"),
    [
        ("latency_ms", ["cost", "duration_ms"], "latency_ms is called duration_ms here"),
        ("Timestamp", ["time", "cost"], "Timestamp is called time here"),
        ("user", ["user_id"], "user is called user_id here"),
        ("score", ["scorer", "n"], "did you mean scorer?"),
        ("zzz", ["time", "cost"], "the columns are cost, time"),
    ],
)
def test_a_column_of_another_name_is_told_by_the_one_it_has_here(
    typed: str, known: list[str], hint: str
) -> None:
    assert did_you_mean(typed, known) == hint
