"""Answers of any size, streamed: record batches from the engine, each encoded and handed on before the next is read.

The format is one of ours and its bytes are made here: no FORMAT and no file name ever reaches the engine.
"""

import csv
import importlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from clickhouse_connect.driver.client import Client

from watchkeeper.model.cells import neutral
from watchkeeper.store import sandbox, sandbox_tables
from watchkeeper.store.clickhouse.engine import dataframes
from watchkeeper.store.clickhouse.refusal import MB, SANDBOX

# As a statement of `sql`, but for the size of the answer and the time to write it out.
EXPORT: dict[str, Any] = {
    **{k: v for k, v in SANDBOX.items() if k != "readonly"},
    "max_execution_time": 900,
    "max_result_rows": 0,
    "max_result_bytes": 0,
    "max_memory_usage": 512 * MB,
    "readonly": 1,
}
UNLIMITED_ROWS = 2**40
Emit = Callable[[bytes], None]


class Abandoned(Exception):
    """Nobody takes the answer any more."""


def export(client: Client, prepared: sandbox.Prepared, project: str, form: str, emit: Emit) -> None:
    """Run the statement and give every piece of the answer to `emit`, which blocks while nobody takes it."""
    bound = {sandbox_tables.PROJECT: project} if prepared.tables else None
    sent = False
    dataframes()
    with client.query_arrow_stream(prepared.sql, parameters=bound, use_strings=True) as batches:
        for piece in encoded(_batches(batches), form):
            sent = sent or bool(piece)
            if piece:
                emit(piece)
    if not sent and form != "jsonl":
        described = client.query(f"DESCRIBE TABLE ({prepared.sql})", parameters=bound).result_rows
        for piece in encoded(iter([_without_rows([str(r[0]) for r in described])]), form):
            emit(piece)


def _without_rows(names: list[str]) -> Any:
    """A batch of these columns and nothing in them; without rows the engine does not say their types."""
    arrow = dataframes()
    return arrow.RecordBatch.from_arrays([arrow.array([], arrow.string()) for _ in names], names=names)


def _batches(found: Any) -> Iterator[Any]:
    for piece in found:
        # The driver gives tables or batches, by version.
        yield from piece.to_batches() if hasattr(piece, "to_batches") else (piece,)


def encoded(batches: Iterator[Any], form: str) -> Iterator[bytes]:
    """Record batches as the bytes of a file of this format; an answer without rows is a file without rows."""
    if form == "jsonl":
        yield from _jsonl(batches)
    elif form == "csv":
        yield from _csv(batches)
    else:
        yield from _columnar(batches, form)


def _named(batch: Any) -> Any:
    """Columns under the names the user gave: the sandbox's own prefix of common table expressions left out."""
    names = [sandbox.plain_name(n) for n in batch.schema.names]
    return batch.rename_columns(names) if names != batch.schema.names else batch


def rows(batch: Any) -> list[dict[str, Any]]:
    """A batch as plain rows. Times in UTC are texts, ISO 8601 with all the digits their column has; Python's own have six."""
    arrow = dataframes()
    compute = importlib.import_module("pyarrow.compute")
    columns: list[Any] = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        kind = field.type
        if arrow.types.is_timestamp(kind) and kind.tz in (None, "UTC"):
            column = compute.strftime(column.cast(arrow.timestamp(kind.unit)), format="%Y-%m-%dT%H:%M:%SZ")
        elif arrow.types.is_timestamp(kind) and kind.unit == "ns":
            column = column.cast(arrow.timestamp("us", tz=kind.tz), safe=False)
        values = column.to_pylist()
        if arrow.types.is_map(kind):
            values = [None if v is None else dict(v) for v in values]
        columns.append(values)
    names = batch.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _jsonl(batches: Iterator[Any]) -> Iterator[bytes]:
    options = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    for batch in batches:
        yield b"".join(orjson.dumps(row, default=str, option=options) for row in rows(_named(batch)))


def _csv(batches: Iterator[Any]) -> Iterator[bytes]:
    begun = False
    for batch in batches:
        named = _named(batch)
        text = io.StringIO()
        writer = csv.writer(text)
        if not begun:
            writer.writerow(named.schema.names)
            begun = True
        writer.writerows([_cell(v) for v in row.values()] for row in rows(named))
        yield text.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return neutral(value)
    if isinstance(value, list | dict):
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return value.isoformat() if hasattr(value, "isoformat") else value


class _Sink(io.RawIOBase):
    """A file that is only what was written since it was last emptied."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        self._parts.append(piece)
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        """What has been written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _columnar(batches: Iterator[Any], form: str) -> Iterator[bytes]:
    arrow = dataframes()
    parquet = importlib.import_module("pyarrow.parquet")
    sink = _Sink()
    writer: Any = None
    held: list[Any] = []
    size = 0
    for batch in batches:
        named = _named(batch)
        if writer is None and form == "parquet":
            writer = parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), named.schema, compression="zstd")
        elif writer is None:
            writer = arrow.ipc.new_stream(arrow.PythonFile(sink, mode="w"), named.schema)
        held.append(named)
        size += named.nbytes
        # Blocks of the engine are far smaller than a good row group.
        if size >= 16 * MB:
            writer.write_table(arrow.Table.from_batches(held))
            held, size = [], 0
            yield sink.take()
    if held:
        writer.write_table(arrow.Table.from_batches(held))
    if writer is not None:
        writer.close()
    yield sink.take()
