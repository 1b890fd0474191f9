"""Exports of the column store: every format whole, streamed in pieces, nothing reached that SQL does not reach."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.columns import empty_columns
from tests.contract.columns_world import NOW, new_trace_id, raw, rows, trace_row
from tests.unit.store.hostile import statements
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.clickhouse import store as store_module
from watchkeeper.store.columns import EXPORT_FORMATS, QueryRefused

MANY = "select a.span_id as n, leftPad(b.span_id, 900, 'x') as t from spans as a cross join spans as b"
SIDE = 300


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseColumns]:
    opened = open_columns(empty_columns(tmp_path_factory.mktemp("columns") / "data"), clock=lambda: NOW)
    trace_id = new_trace_id()
    asyncio.run(opened.write_spans(rows("p", [raw(trace_id, n) for n in range(SIDE)]), []))
    yield opened
    opened.close_now()


async def collected(store: ClickHouseColumns, query: str, form: str, project: str = "p") -> list[bytes]:
    return [piece async for piece in store.export(project, query, form)]


def parsed(data: bytes, form: str) -> list[dict[str, Any]]:
    if form == "jsonl":
        return [json.loads(line) for line in data.splitlines()]
    if form == "csv":
        return list(csv.DictReader(io.StringIO(data.decode())))
    if form == "parquet":
        return pyarrow.parquet.read_table(pa.BufferReader(data)).to_pylist()
    return pa.ipc.open_stream(pa.BufferReader(data)).read_all().to_pylist()


async def filled(store: ClickHouseColumns, project: str) -> str:
    spans = [raw(new_trace_id(), 0, kind="llm", output="'=1+1", **{"in": 5})]
    await store.write_spans(rows(project, spans), [])
    await store.write_traces([trace_row(project, spans)])
    return spans[0].trace_id


@pytest.mark.parametrize("form", EXPORT_FORMATS)
async def test_each_format_holds_the_same_rows(store: ClickHouseColumns, form: str) -> None:
    trace_id = await filled(store, f"rows-{form}")
    query = (
        "with c as (select * from spans) select trace_id, input_tokens, time, attributes, output_text from c"
    )
    (row,) = parsed(b"".join(await collected(store, query, form, f"rows-{form}")), form)
    assert list(row) == ["trace_id", "input_tokens", "time", "attributes", "output_text"]
    assert row["trace_id"] == trace_id and int(row["input_tokens"]) == 5
    assert "2026-05-28" in str(row["time"]) or "2026" in str(row["time"])
    assert row["output_text"] == ("''=1+1" if form == "csv" else "'=1+1")


@pytest.mark.parametrize("form", EXPORT_FORMATS)
async def test_an_answer_without_rows_is_a_file_that_can_be_read(store: ClickHouseColumns, form: str) -> None:
    data = b"".join(await collected(store, "select trace_id, cost from traces", form, "nothing"))
    assert parsed(data, form) == []
    if form == "csv":
        assert data == b"trace_id,cost\r\n"


@pytest.mark.parametrize("form", EXPORT_FORMATS)
async def test_a_large_answer_comes_in_pieces_and_whole(store: ClickHouseColumns, form: str) -> None:
    pieces = await collected(store, MANY, form)
    assert len(pieces) >= 2
    found = parsed(b"".join(pieces), form)
    assert len(found) == SIDE * SIDE and len({(r["n"], r["t"]) for r in found}) == SIDE * SIDE


async def test_one_project_exports_nothing_of_another(store: ClickHouseColumns) -> None:
    await filled(store, "mine")
    assert await collected(store, "select * from spans", "jsonl", "theirs") == []


async def test_every_hostile_statement_is_refused_before_anything_is_sent(
    store: ClickHouseColumns, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tried = statements(str(out))
    for statement in tried:
        with pytest.raises(QueryRefused):
            async for _ in store.export("p", statement, "jsonl"):
                pass
    assert len(tried) > 100 and not out.exists()


@pytest.mark.parametrize(
    "query",
    ["select 1 into outfile '/tmp/x'", "select 1 format Parquet", "select * from file('/etc/passwd')"],
)
async def test_no_file_or_format_comes_from_the_statement(store: ClickHouseColumns, query: str) -> None:
    with pytest.raises(QueryRefused):
        await anext(store.export("p", query, "parquet"))


async def test_a_reader_who_leaves_frees_its_place(store: ClickHouseColumns) -> None:
    for _ in range(store_module.EXPORTS + 1):
        pieces = store.export("p", MANY, "jsonl")
        assert await anext(pieces)
        await pieces.aclose()


async def test_more_exports_than_places_are_refused_in_words(store: ClickHouseColumns) -> None:
    open_ = [store.export("p", MANY, "jsonl") for _ in range(store_module.EXPORTS)]
    for one in open_:
        await anext(one)
    with pytest.raises(QueryRefused, match="other exports"):
        await anext(store.export("p", "select 1", "jsonl"))
    for one in open_:
        await one.aclose()


async def test_a_mistake_is_told_as_for_sql(store: ClickHouseColumns) -> None:
    with pytest.raises(QueryRefused, match="there is no column"):
        await anext(store.export("p", "select no_such_thing from traces", "csv"))


async def test_an_export_whose_reader_is_cancelled_at_every_await_gives_its_place_back(
    store: ClickHouseColumns,
) -> None:
    for _ in range(store_module.EXPORTS + 1):
        with anyio.CancelScope() as scope:
            async for _piece in store.export("p", MANY, "jsonl"):
                scope.cancel()
        assert scope.cancelled_caught
