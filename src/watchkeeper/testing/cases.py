"""Files of cases: what a test session judges and what `watchkeeper dataset` brings in and takes out. Standard library only,
and pyarrow for Parquet."""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watchkeeper.model.splits import ANY_SPLIT
from watchkeeper.testing import csvfile, foreign

TEXTS = ("id", "expected", "actual", "scenario", "trace_id", "severity", "owner", "split")
LISTS = ("labels", "must_pass")
NESTED = ("input", "context")
# Those of `model.review.Case`, which the base install cannot read.
FIELDS = (*TEXTS, *LISTS, *NESTED)
# What a file of cases is called, which no dataset of a server is taken for.
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
MOST_TEXT = 200_000
_LINE = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
_TRACE = re.compile(r"[0-9a-fA-F]{32}")
_SCORER = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,99}")
_NO_QUESTION = "asks nothing: a column called input, inputs or question, or columns such as inputs.question, say what is asked"


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
    """The cases of a file: a table (Parquet, CSV), JSON lines or a JSON document, also of examples of other products (`foreign`).
    Raises `CasesError` naming the line or row that is none."""
    cases: list[dict[str, Any]] = []
    for _, case in found_in(path):
        if isinstance(case, CasesError):
            raise case
        cases.append(case)
    if not cases:
        raise CasesError(f"{path} holds no case")
    return cases


def found_in(path: Path) -> Iterator[tuple[str, "dict[str, Any] | CasesError"]]:
    """Where in a file a case stands, and the case; in place of a record that is none stands what is wrong with it. Raises
    `CasesError` for a file that cannot be read."""
    seen: set[str] = set()
    suffix = path.suffix.lower()
    rows = (
        _rows(path) if suffix == ".parquet" else _cells(path) if suffix in (".csv", ".tsv") else _lines(path)
    )
    for where, record in rows:
        try:
            case = record if isinstance(record, CasesError) else _case(where, record)
            if isinstance(case, dict) and case["id"] in seen:
                raise CasesError(f"{where}: the case {case['id']} stands in the file twice")
        except CasesError as error:
            case = error
        if isinstance(case, dict):
            seen.add(case["id"])
        if case is not None:
            yield where, case


def _case(where: str, record: Any) -> dict[str, Any] | None:
    """The case a record is, None of one that is not to be one. Raises `CasesError`."""
    made: Any = foreign.case_of(record) if isinstance(record, dict) else None
    if made == {}:
        return None
    case: Any = record if made is None else made
    if not isinstance(case, dict) or case.get("id") in (None, "") or "input" not in case:
        raise CasesError(f"{where} is no case; it needs id and input")
    if not isinstance(case["id"], str):
        raise CasesError(f"{where}: the id of a case is a text: write {json.dumps(str(case['id']))}")
    if unknown := sorted(case.keys() - set(FIELDS)):
        raise CasesError(f"{where}: {unknown[0]} is not a field of a case; fields are {', '.join(FIELDS)}")
    return case


def fault_of(case: dict[str, Any]) -> str | None:
    """Why a server would refuse this case, and with it all that are sent together; None where it would not."""
    given = {k: v for k, v in case.items() if v is not None}
    for name in (*LISTS, *TEXTS):
        value = given.get(name, [])
        if name in LISTS and not isinstance(value, list):
            return f"{name}: write a list of texts"
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str):
                return f"{name}: {json.dumps(text)[:60]} is not a text"
            if name in ("expected", "actual"):
                if len(text) > MOST_TEXT:
                    return f"{name}: it has more than {MOST_TEXT:,} characters"
            elif not _LINE.fullmatch(text):
                return f"{name}: takes one line of up to 255 characters, without control characters"
    if given.get("split", "golden") not in ANY_SPLIT:
        return f"split: {given['split']} is none; one of {', '.join(ANY_SPLIT)}"
    if not _TRACE.fullmatch(given.get("trace_id", "1" * 32)) or not given.get("trace_id", "1").strip("0"):
        return "trace_id: takes 32 hexadecimal digits, not all zero"
    if strange := next((n for n in given.get("must_pass", []) if not _SCORER.fullmatch(n)), None):
        return f"must_pass: {strange} cannot name a scorer"
    if not isinstance(given.get("context", {}), dict):
        return "context: write an object"
    try:
        json.dumps(given, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return "it holds half a character, or too many levels"
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise CasesError(f"cannot read {path}: {error.strerror}") from None


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    text = _text(path)
    whole = _document(text)
    if whole is not None and not csvfile.utf8(text):
        raise CasesError(f"cannot read {path}: it is not UTF-8; save it as UTF-8")
    if whole is not None:
        for number, record in enumerate(foreign.examples_in(whole), start=1):
            yield f"{path} record {number}", record
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            case = (
                json.loads(line)
                if csvfile.utf8(line)
                else CasesError(f"{where}: it is not UTF-8; save the file as UTF-8")
            )
        except (ValueError, RecursionError) as error:
            case = CasesError(f"{where} is not JSON: {error}")
        yield where, case


def _cells(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            for line, row in csvfile.rows(text):
                where = f"{path}:{line}"
                if isinstance(row, str):
                    yield where, CasesError(f"{where}: {row}")
                elif row and (case := foreign.case_of_row(row)) != {}:
                    yield where, case or CasesError(f"{where} {_NO_QUESTION}")
    except OSError as error:
        raise CasesError(f"cannot read {path}: {error.strerror}") from None


def _document(text: str) -> Any:
    """The one JSON document that a text of several lines, a list or a page of an API is; None of lines of JSON."""
    begin = text.lstrip()[:1]
    if begin not in ("[", "{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if begin == "[" or "id" not in found or "\n" in text.strip() else None


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
        case: Any = {k: v for k, v in row.items() if v is not None}
        if case.keys() - set(FIELDS):
            yield where, foreign.gathered(case)
            continue
        for name in NESTED:
            if isinstance(case.get(name), str):
                try:
                    case[name] = json.loads(case[name])
                except ValueError:
                    if name == "context":
                        case = CasesError(f"{where}: context is not JSON")
                        break
        yield where, case
