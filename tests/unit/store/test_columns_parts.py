"""Pieces of the ClickHouse store that need no engine."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.contract.columns_world import DAY, NOW, new_trace_id, normal, raw, score, trace_row
from watchkeeper.model.score import Score
from watchkeeper.model.series import BINARY, SeriesKey, cohort_parse, cohort_text, gather
from watchkeeper.store.clickhouse import migrations, queries, rows
from watchkeeper.store.clickhouse.engine import Lane
from watchkeeper.store.clickhouse.refusal import refusal_of, size_of
from watchkeeper.store.columns import SpanRow, StoreUnavailable


def test_every_named_query_binds_the_project() -> None:
    found = queries.load()
    assert "assembly_earlier" in found
    assert all(q.parameters["project"] == "String" for q in found.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("-- name: a\n-- All of it.\nSELECT 1", "must bind"),
        ("-- name: a\n-- x\nSELECT {project:String}\n-- name: a\n-- y\nSELECT {project:String}", "twice"),
    ],
)
def test_a_query_file_that_is_wrong_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        queries.parse(text, "x.sql")


def test_a_query_keeps_its_parameters_and_loses_its_comments() -> None:
    [query] = queries.parse(
        "-- intro\n\n-- name: one\n-- What.\nSELECT {project:String}, {ids:Array(String)};\n", "x.sql"
    ).values()
    assert query.sql == "SELECT {project:String}, {ids:Array(String)}"
    assert query.parameters == {"project": "String", "ids": "Array(String)"}


def test_a_fragment_stands_for_its_text_with_the_parameters_it_binds() -> None:
    shared = queries.fragments("-- intro\n\n-- fragment: since\n-- What.\nAND at >= {since:Int64}\n")
    [query] = queries.parse(
        "-- name: one\n-- What.\nSELECT {project:String} ${since}", "x.sql", shared
    ).values()
    assert query.sql == "SELECT {project:String} AND at >= {since:Int64}"
    assert query.parameters == {"project": "String", "since": "Int64"}
    with pytest.raises(ValueError, match="no fragment until"):
        queries.parse("-- name: one\n-- What.\nSELECT {project:String} ${until}", "x.sql", shared)


def test_a_condition_that_an_empty_parameter_leaves_open_is_not_said() -> None:
    text = (
        "SELECT {project:String}\nWHERE 1\n  AND (empty({user:String}) OR user_id = {user:String})\n  AND 2"
    )
    query = queries.NamedQuery("one", text, {})
    assert query.said({"project": "", "user": ""}) == "SELECT {project:String}\nWHERE 1\n  AND 2"
    assert query.said({"user": "u"}).splitlines()[2] == "AND (user_id = {user:String})"
    nothing = dict.fromkeys(queries.load()["page_traffic"].parameters, "")
    assert "empty({" not in queries.load()["page_traffic"].said(nothing)


def test_migrations_are_numbered_without_gaps_and_may_run_twice() -> None:
    known = migrations.known()
    assert [n for n, _, _ in known] == list(range(1, len(known) + 1))
    for _, name, text in known:
        for statement in migrations.statements(text, embedded=True):
            # Copies of rows are replaced by key, and tables change places only after one was made anew from the other.
            repeatable = (
                "IF NOT EXISTS",
                "IF EXISTS",
                " MODIFY ",
                " RESET SETTING ",
                " MATERIALIZE ",
                "INSERT INTO",
                "EXCHANGE TABLES",
            )
            assert any(words in statement for words in repeatable), (name, statement[:60])


def test_every_table_is_synced_on_insert_and_after_merges_and_has_a_project() -> None:
    for _, _, text in migrations.known():
        for statement in migrations.statements(text, embedded=True):
            if statement.startswith("CREATE TABLE"):
                assert "fsync_after_insert = 1" in statement
                assert "fsync_part_directory = 1" in statement
                assert "min_rows_to_fsync_after_merge = 1" in statement
                assert "project LowCardinality(String)" in statement


@pytest.mark.parametrize(
    ("start", "day"),
    [(NOW, NOW), (NOW - 399 * DAY, NOW - 399 * DAY), (NOW - 401 * DAY, NOW), (NOW + 2 * DAY, NOW), (0, NOW), (2**64, NOW)],
)  # fmt: skip
def test_a_day_follows_the_client_only_where_it_can_be_believed(start: int, day: int) -> None:
    assert rows.day_of(start, NOW) == day // DAY


def test_columns_and_values_agree_in_number() -> None:
    span = normal(raw(new_trace_id(), kind="llm"))
    row = SpanRow("p", span, NOW)
    assert len(rows.span_row(row)) == len(rows.SPAN_COLUMNS) == len(set(rows.SPAN_COLUMNS))
    assert len(rows.content_row(row)) == len(rows.CONTENT_COLUMNS)
    made = trace_row("p", [raw(new_trace_id())], checks=[score("p", "t", "c", 1.0)])
    assert len(rows.trace_row(made, [])) == len(rows.TRACE_COLUMNS) == len(set(rows.TRACE_COLUMNS))
    assert len(rows.score_row(score("p", "t", "s"), 1)) == len(rows.SCORE_COLUMNS)
    point = gather(SeriesKey("p", "m"), 0, 10**9, BINARY, [])
    assert len(rows.point_row(point, 1)) == len(rows.POINT_COLUMNS)


@pytest.mark.parametrize("cohort", [(), (("a", "1"),), (("a", "x,y"), ("b", "k=v"))])
def test_a_cohort_survives_its_text(cohort: tuple[tuple[str, str], ...]) -> None:
    assert cohort_parse(cohort_text(cohort)) == cohort


@pytest.mark.parametrize(
    ("scores", "shown"),
    [
        ([score("p", "t", "s", None, label="odd")], None),
        ([score("p", "t", "s", None, passed=True)], 1.0),
        ([score("p", "t", "s", float("inf"))], None),
        ([score("p", "t", "s", 1.0), score("p", "t", "s", 9.0, span_id="x", scored_ns=NOW + 9)], 1.0),
        ([score("p", "t", "s", 9.0, span_id="x", passed=True), score("p", "t", "s", 2.0, span_id="y", passed=False)], 2.0),
        ([score("p", "t", "s", 1.0), score("p", "t", "s", 9.0, scored_ns=NOW + 9)], 9.0),
        ([score("p", "t", "s", 1.0, passed=False), score("p", "t", "s", 9.0, passed=True, scored_ns=NOW + 9)], 9.0),
    ],
)  # fmt: skip
def test_one_value_stands_for_a_scorer(scores: list[Score], shown: float | None) -> None:
    assert rows.values_of(scores) == ({} if shown is None else {"s": shown})


def test_a_refusal_gives_no_path_and_no_version_away() -> None:
    from clickhouse_connect.driver.exceptions import DatabaseError

    told = refusal_of(
        DatabaseError(
            "Code: 43. DB::Exception: Illegal type String of argument of function plus: In scope SELECT x FROM "
            "default.spans. (ILLEGAL_TYPE_OF_ARGUMENT) (version 26.9.2.1)"
        ),
        ["a"],
        [],
    )
    assert str(told) == "Illegal type String of argument of function plus"
    told = refusal_of(DatabaseError("Code: 76. DB::Exception: Cannot open file /var/lib/x"), [], [])
    assert "/var" not in str(told) + told.hint
    told = refusal_of(DatabaseError("Code: 47. DB::Exception: Unknown expression identifier `nope`"), [], [])
    assert str(told) == "there is no column nope" and "add FROM" in told.hint and "traces" in told.hint


@pytest.mark.parametrize(
    "said",
    [
        "Code: 341. DB::Exception: Exception happened during execution of mutation 'mutation_8.txt' with part '20261122_18' "
        "reason: 'Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)'. (UNFINISHED)",
        "Code: 75. DB::Exception: Cannot write to file, errno: 28, strerror: No space left on device",
    ],
)
async def test_a_full_disk_is_no_fault_and_gives_no_path_away(said: str) -> None:
    from clickhouse_connect.driver.exceptions import DatabaseError

    def work(_client: object) -> None:
        raise DatabaseError(said)

    lane = Lane("test", 1, lambda: cast("Any", SimpleNamespace(close=lambda: None)))
    with pytest.raises(StoreUnavailable, match="the store's disk has no room for it"):
        await lane.run(work)
    lane.close()


def test_the_size_of_an_answer_counts_what_is_nested() -> None:
    assert size_of(["ab", {"k": "vvv"}, ("x",), 5]) == 2 + 1 + 3 + 1 + 8


def test_writing_does_not_load_the_dataframe_packages(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from watchkeeper.model.alert import Deploy\n"
        "from watchkeeper.store.clickhouse import open_columns\n"
        "columns = open_columns(f'chdb://{sys.argv[1]}')\n"
        "asyncio.run(columns.write_deploys([Deploy('default', 'app', 'v1', 1)]))\n"
        "print([m for m in ('pandas', 'pyarrow') if m in sys.modules], flush=True)\n"
        "asyncio.run(columns.close())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "columns")], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr
