"""Rows of a CSV file as people and products write them. Standard library only."""

import csv
import re
import sys
from collections.abc import Iterator
from typing import IO


def rows(text: IO[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """The line a row begins in, and the row's cells that are not empty by their names; in place of a row that cannot be read stands
    the reason. `text` is opened with `newline=""` and `errors="surrogateescape"`, so that a row that is not UTF-8 costs itself only."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    first = text.readline()
    text.seek(0)
    reader = csv.reader(text, delimiter=_delimiter(first))
    names: list[str] | None = None
    line = 1
    try:
        for row in reader:
            began, line = line, reader.line_num + 1
            if not row:
                continue
            if names is None:
                names = row
            elif len(row) > len(names):
                yield began, "it has more cells than the first line has names"
            elif not utf8("".join(row)):
                yield began, "it is not UTF-8; save the file as UTF-8"
            else:
                yield began, {name: cell for name, cell in zip(names, row, strict=False) if cell != ""}
    except csv.Error as error:
        yield reader.line_num, f"it is not CSV: {error}"


def _delimiter(header: str) -> str:
    """What stands between the names of the first line: a semicolon where spreadsheets write commas in numbers, a tab in what was
    copied out of one. Only names count: a quoted one may hold any of them."""
    names = re.sub(r'"(?:[^"]|"")*"', "", header)
    return max(",;\t", key=names.count)


def utf8(text: str) -> bool:
    """Whether it was read, with `surrogateescape`, from UTF-8 alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
