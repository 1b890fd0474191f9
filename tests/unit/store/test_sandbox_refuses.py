"""Hostile statements end at the parser: none is rendered."""

import pytest

from tests.unit.store.hostile import statements
from watchkeeper.store.columns import QueryRefused
from watchkeeper.store.sandbox import prepare

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
