"""Records out of exported files, one after another: JSON, JSON lines, CSV, Parquet, Arrow; the first three also gzipped."""

import codecs
import contextlib
import gzip
import importlib
import io
import json
import re
import zlib
from collections.abc import Generator, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import orjson

from watchkeeper.cli.errors import CliError
from watchkeeper.testing import csvfile

TABLES = (".csv", ".parquet", ".arrow", ".feather")
LINES = (".jsonl", ".ndjson")
SUFFIXES = (*LINES, *TABLES, ".json")
MOST_JSON = 1 << 30
# The lists that APIs wrap their records in.
_WRAPPERS = ("data", "runs", "spans", "traces", "observations", "scores", "feedback", "items", "results")
# What is not JSON to a strict reader and is written all the same.
_ODD = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
Found = tuple[str, float, "dict[str, Any] | str"]


def suffix_of(path: Path) -> str:
    """The suffix that says what is in the file, without `.gz`."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def records(path: Path) -> Iterator[Found]:
    """`(where, share of the file read, record)`; in place of a record that cannot be read, or of the rest of a damaged file,
    stands the reason.

    Raises `CliError` when nothing of the file can be read.
    """
    kind = suffix_of(path)
    if kind in (".parquet", ".arrow", ".feather"):
        found = _columns(path, kind)
    else:
        found = (_lines if kind in LINES else _csv if kind == ".csv" else _json)(path)
    began = False
    try:
        for one in found:
            began = True
            yield one
    except (OSError, EOFError, zlib.error, CliError) as error:
        said = str(error) if isinstance(error, CliError) else f"{path}: cannot be read: {error}"
        if not began:
            raise CliError(said) from None
        yield "the rest", 1.0, said.removeprefix(f"{path}: ")


@contextlib.contextmanager
def _opened(path: Path) -> Generator[tuple[IO[bytes], IO[bytes]]]:
    """The plain bytes of a file, and the file itself, which knows how far it is."""
    with open(path, "rb") as file:
        if file.peek(2)[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file) as plain:
                yield cast(IO[bytes], plain), file
        else:
            yield file, file


def _share(file: IO[bytes], size: int) -> float:
    return min(1.0, file.tell() / size) if size else 1.0


def _loads(data: bytes) -> Any:
    """JSON, also with the NaN that Python writes for an empty cell and the half characters that JavaScript writes where it
    cut a text: those become `\ufffd`. Raises ValueError."""
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if not _ODD.search(data):
            raise
        try:
            text = json.dumps(json.loads(data), ensure_ascii=False)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _lines(path: Path) -> Iterator[Found]:
    size = path.stat().st_size
    with _opened(path) as (file, raw):
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where, share = f"line {number}", _share(raw, size)
            try:
                made = _loads(line)
            except ValueError as error:
                yield where, share, f"it is not JSON: {error}"
                continue
            for record in _unwrapped(made):
                yield where, share, record


def _unwrapped(made: Any) -> list[dict[str, Any] | str]:
    """The records in one JSON value: itself, or those of the lists it is a wrapper of (an API's page; a trace that was
    downloaded together with its observations; a session with its traces); the reason when it is no record."""
    if not isinstance(made, dict):
        return [f"it is a JSON {type(made).__name__}, not an object"]
    table = cast(dict[str, Any], made)
    # A page of Braintrust's API; alone, events are a part of a span.
    wrappers = (*_WRAPPERS, "events") if "cursor" in table else _WRAPPERS
    lists = [key for key in wrappers if isinstance(table.get(key), list)]
    if not lists or ("traces" not in lists and ("trace_id" in table or "id" in table)):
        return [table]
    inner = [table["trace"]] if isinstance(table.get("trace"), dict) else []
    inner += [item for key in lists for item in table[key]]
    return [record for item in inner for record in _unwrapped(item)]


def _json(path: Path) -> Iterator[Found]:
    if path.stat().st_size > MOST_JSON:
        raise CliError(f"{path}: larger than 1 GiB in one JSON value; export JSON lines instead")
    with _opened(path) as (file, _):
        data = file.read()
    try:
        made: Any = _loads(data)
    except ValueError as error:
        # Several objects one after another are often called .json.
        if data.lstrip()[:1] == b"{" and b"\n{" in data:
            yield from _lines(path)
            return
        raise CliError(f"{path}: is not JSON: {error}") from None
    made = _rows(made)
    listed = cast(list[Any], made) if isinstance(made, list) else [made]
    if not isinstance(made, list | dict):
        raise CliError(f"{path}: holds a JSON {type(made).__name__}, not records")
    found = [record for item in listed for record in _unwrapped(item)]
    for number, record in enumerate(found, start=1):
        yield f"record {number}", number / len(found), record


def _rows(made: Any) -> Any:
    """The rows of a dataframe as pandas writes it unasked, a column after another, or split; anything else as it is."""
    if not isinstance(made, dict):
        return made
    table = cast(dict[str, Any], made)
    if table.keys() == {"columns", "index", "data"}:
        return [dict(zip(table["columns"], row, strict=False)) for row in table["data"]]
    columns = list(table.values())
    if len(columns) < 3 or not all(isinstance(c, dict) and c.keys() == columns[0].keys() for c in columns):
        return table
    return [{name: column[row] for name, column in table.items()} for row in columns[0]]


def _csv(path: Path) -> Iterator[Found]:
    size = path.stat().st_size
    with (
        _opened(path) as (file, raw),
        io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text,
    ):
        for line, row in csvfile.rows(text):
            yield f"line {line}", _share(raw, size), row


def _columns(path: Path, kind: str) -> Iterator[Found]:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
        feather = importlib.import_module("pyarrow.feather")
    except ModuleNotFoundError:
        raise CliError(f"{path}: {kind} files need pyarrow; install it with: pip install pyarrow") from None
    try:
        if kind == ".parquet":
            file = parquet.ParquetFile(path)
            total, batches = file.metadata.num_rows, file.iter_batches(batch_size=500)
        else:
            whole = _arrow_table(arrow, feather, path)
            total, batches = whole.num_rows, whole.to_batches(max_chunksize=500)
        number = 0
        for batch in batches:
            odd = {f.name for f in batch.schema if _is_odd(arrow.types, f.type)}
            for row in _plain(arrow, batch).to_pylist():
                number += 1
                told = {k: _told(v) if k in odd else v for k, v in row.items() if v is not None}
                yield f"record {number}", number / max(1, total), told
    except arrow.ArrowException as error:
        raise CliError(f"{path}: cannot be read as {kind[1:]}: {error}") from None


def _is_odd(types: Any, kind: Any) -> bool:
    """Whether values of this type may be of a kind that JSON has not."""
    return types.is_nested(kind) or any(
        check(kind) for check in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    )


def _told(value: Any) -> Any:
    """A value as JSON would have it: a map, which Arrow gives as pairs, is an object; bytes are text, decimals numbers, times ISO
    8601."""
    if isinstance(value, list):
        items = cast(list[Any], value)
        if items and all(isinstance(item, tuple) for item in items):
            return {str(_told(name)): _told(item) for name, item in items}
        return [_told(item) for item in items]
    if isinstance(value, dict):
        return {name: _told(item) for name, item in cast(dict[str, Any], value).items()}
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if isinstance(value, date) else value


def _arrow_table(arrow: Any, feather: Any, path: Path) -> Any:
    try:
        return feather.read_table(path, memory_map=True)
    except arrow.ArrowInvalid:
        # A stream rather than a file: the same data without its footer.
        with arrow.memory_map(str(path)) as source:
            return arrow.ipc.open_stream(source).read_all()


def _plain(arrow: Any, batch: Any) -> Any:
    """Times as integer nanoseconds: a Python datetime would lose the last three digits. Decimals as numbers, dates as text."""
    columns: list[Any] = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if arrow.types.is_timestamp(field.type):
            column = column.cast(arrow.timestamp("ns", tz=field.type.tz), safe=False).cast(arrow.int64())
        elif arrow.types.is_decimal(field.type):
            column = column.cast(arrow.float64())
        elif arrow.types.is_date(field.type):
            column = column.cast(arrow.string())
        columns.append(column)
    return arrow.RecordBatch.from_arrays(columns, names=batch.schema.names)
