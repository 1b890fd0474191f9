"""Rows of a CSV file as people and products write them. Standard library only."""

import csv
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO

_NOT_UTF8 = "it is not UTF-8; save the file as UTF-8"
_SEPARATOR = re.compile(r"\s*sep=(.)\s*", re.IGNORECASE)


def rows(text: IO[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """The line a row begins in, and the row's cells that are not empty by their names; in place of a row that cannot be read stands
    the reason. `text` is opened with `newline=""` and `errors="surrogateescape"`, so that a row that is not UTF-8 costs itself only."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    first = text.readline()
    text.seek(0)
    names: list[str] | None = None
    # Lines that a quote left open had taken may be the rest of its row: only whole rows among them are believed.
    opened = until = 0
    for line, last, row in _records(text, _delimiter(first)):
        if isinstance(row, str):
            yield line, row
            if names is None:
                return
            opened, until = line, last
        elif not row:
            continue
        elif names is None and not utf8("".join(row)):
            yield line, _NOT_UTF8
            return
        elif names is None:
            # A spreadsheet may say before them what stands between cells.
            names = None if line == 1 and _SEPARATOR.fullmatch(first) else row
        elif len(row) > len(names):
            yield line, "it has more cells than the first line has names"
        elif line <= until and len(row) < len(names):
            yield line, f"it has fewer cells than the first line has names, after the quote of line {opened}"
        elif not utf8("".join(row)):
            yield line, _NOT_UTF8
        else:
            yield line, {name: cell for name, cell in zip(names, row, strict=False) if cell != ""}


class _Lines:
    """Lines to read, of which those since `begin` can be read again."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self._again = iter(lines), deque[str]()
        self.read, self.taken = 0, list[str]()
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.read += 1
        self.taken.append(line)
        return line

    def begin(self) -> None:
        self.taken = []

    def back(self, count: int) -> None:
        """Keep the first `count` lines since `begin`, and read the others again."""
        self._again.extendleft(reversed(self.taken[count:]))
        self.read -= len(self.taken) - count
        self.ended = False


def _records(text: Iterable[str], delimiter: str) -> Iterator[tuple[int, int, list[str] | str]]:
    """The first and last line of a record and its cells; in place of one with a quote left open that line, the last that the quote
    had taken, and the reason. The lines it had taken are read again."""
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.begin()
        began = lines.read + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield lines.read, lines.read, f"it is not CSV: {error}"
            return
        if row is None:
            return
        # A record of one line has no quote left open, unless nothing follows it.
        left = _left_open(lines.taken, delimiter) if lines.ended or len(lines.taken) > 1 else None
        if left is None:
            yield began, lines.read, row
            continue
        last = lines.read
        lines.back(left + 1)
        reader = csv.reader(lines, delimiter=delimiter)
        said = "a quote opens here and is closed nowhere; close it, and write a quote within a cell twice"
        yield began + left, last, said


def _left_open(record: list[str], delimiter: str) -> int | None:
    """The line of a record in which a quote opens that is not closed, or is closed in a later line in the middle of its text."""
    opened: int | None = None
    for number, line in enumerate(record):
        at = 0
        while at < len(line):
            if opened is None and line[at] == '"':
                opened, at = number, at + 1
            if opened is not None:
                quote = line.find('"', at)
                if quote < 0:
                    break
                if line.startswith('"', quote + 1):
                    at = quote + 2
                    continue
                at = quote + 1
                if opened < number and line[at:].partition(delimiter)[0].strip():
                    return opened
                opened = None
            at = line.find(delimiter, at) + 1 or len(line)
    return opened


def _delimiter(header: str) -> str:
    """What stands between the names of the first line: a semicolon where spreadsheets write commas in numbers, a tab in what was
    copied out of one. Only names count: a quoted one may hold any of them."""
    if told := _SEPARATOR.fullmatch(header):
        return told[1]
    names = re.sub(r'"(?:[^"]|"")*"', "", header)
    return max(",;\t", key=names.count)


def utf8(text: str) -> bool:
    """Whether it was read, with `surrogateescape`, from UTF-8 alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
