"""Files of cases: what a test session judges and what `watchkeeper dataset` brings in and takes out. Standard library only,
and pyarrow for Parquet."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watchkeeper.testing import foreign

TEXTS = ("id", "expected", "actual", "scenario", "trace_id", "severity", "owner", "split")
LISTS = ("labels", "must_pass")
NESTED = ("input", "context")
# Those of `model.review.Case`, which the base install cannot read.
FIELDS = (*TEXTS, *LISTS, *NESTED)


class CasesError(Exception):
    """A file holds no cases. The text says where, what is wrong and what to do."""


def arrow() -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`. Raises `CasesError` where they are not installed."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise CasesError(
            "Parquet needs pyarrow; install it with: pip install pyarrow, or use a .jsonl file"
        ) from None


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The cases of a file: a table of Parquet, JSON lines or a JSON document, also of examples of other products (`foreign`).
    Raises `CasesError` naming the line or row that is none."""
    cases: list[dict[str, Any]] = []
    seen: set[str] = set()
    for where, record in _rows(path) if path.suffix.lower() == ".parquet" else _lines(path):
        case: Any = foreign.case_of(record) if isinstance(record, dict) else None
        if case == {}:
            continue
        case = record if case is None else case
        if not isinstance(case, dict) or case.get("id") in (None, "") or "input" not in case:
            raise CasesError(f"{where} is no case; it needs id and input")
        if not isinstance(case["id"], str):
            raise CasesError(f"{where}: the id of a case is a text: write {json.dumps(str(case['id']))}")
        if unknown := sorted(case.keys() - set(FIELDS)):
            raise CasesError(
                f"{where}: {unknown[0]} is not a field of a case; fields are {', '.join(FIELDS)}"
            )
        if case["id"] in seen:
            raise CasesError(f"{where}: the case {case['id']} stands in the file twice")
        seen.add(case["id"])
        cases.append(case)
    if not cases:
        raise CasesError(f"{path} holds no case")
    return cases


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise CasesError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CasesError(
            f"cannot read {path}: it is not UTF-8: {error.reason} at byte {error.start}"
        ) from None
    whole = _document(text)
    if whole is not None:
        for number, record in enumerate(foreign.examples_in(whole), start=1):
            yield f"{path} record {number}", record
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CasesError(f"{path}:{number} is not JSON: {error}") from None
        yield f"{path}:{number}", case


def _document(text: str) -> Any:
    """The one JSON document that a text of several lines, a list or a page of an API is; None of lines of JSON."""
    begin = text.lstrip()[:1]
    if begin not in ("[", "{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if begin == "[" or "id" not in found else None


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    pyarrow, parquet = arrow()
    try:
        rows = parquet.read_table(path).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise CasesError(f"{path} is not a Parquet file: {error}") from None
    except OSError as error:
        # Arrow says only the name of a file that is not there.
        reason = str(error) if path.is_file() else f"there is no file {path}"
        raise CasesError(f"cannot read {path}: {reason}") from None
    for number, row in enumerate(rows, start=1):
        where = f"{path} row {number}"
        case = {k: v for k, v in row.items() if v is not None}
        for name in NESTED:
            if isinstance(case.get(name), str):
                try:
                    case[name] = json.loads(case[name])
                except ValueError:
                    if name == "context":
                        raise CasesError(f"{where}: context is not JSON") from None
        yield where, case
