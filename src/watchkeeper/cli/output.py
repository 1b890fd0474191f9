"""What commands print: tables, JSON, CSV, progress."""

import contextlib
import csv
import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from watchkeeper.cli.errors import CliError
from watchkeeper.model.cells import neutral

WIDEST, MOST_NAMED = 60, 20


def shown(value: Any) -> str:
    """A cell as one printable line: no control characters reach the terminal from a trace."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = "".join(c if c.isprintable() or c == " " else " " for c in text)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO) -> None:
    """Rows aligned under their names; numbers to the right."""
    cells = [[shown(value) for value in row] for row in rows]
    widths = [
        max([_width(shown(name)), *(_width(row[i]) for row in cells)]) for i, name in enumerate(columns)
    ]
    right = [
        bool(rows) and all(isinstance(r[i], int | float) or r[i] is None for r in rows)
        for i in range(len(columns))
    ]

    def line(values: Sequence[str]) -> str:
        padded = [
            " " * (w - _width(v)) + v if r else v + " " * (w - _width(v))
            for v, w, r in zip(values, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    print(line([shown(name) for name in columns]), file=out)
    print("  ".join("─" * w for w in widths), file=out)
    for row in cells:
        print(line(row), file=out)


def harmless(value: Any) -> Any:
    """A CSV cell that no spreadsheet runs as a formula; lists and objects as JSON."""
    if isinstance(value, str):
        return neutral(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO) -> None:
    """Rows as CSV. A line ends as a shell's does: with a carriage return the last value of each would be another."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([harmless(value) for value in row] for row in rows)


def moves(moved: Sequence[dict[str, str]], said: str = "moved") -> list[str]:
    """A line for each case that a change takes out of its split; of many, the first and how many more."""
    lines = [f"  {said} {m['case_id']} from {m['was']} to {m['split']}" for m in moved[:MOST_NAMED]]
    more = len(moved) - MOST_NAMED
    return [*lines, f"  and {said} {more} more to another split"] if more > 0 else lines


class Progress:
    """A bar on standard error while that is a terminal; nothing otherwise."""

    def __init__(self, total: int, what: str) -> None:
        self.total, self.what = max(1, total), what
        self.on = sys.stderr.isatty()

    def at(self, done: int, note: str = "") -> None:
        """Show how far it is."""
        if self.on:
            width = 30 * min(done, self.total) // self.total
            bar = "█" * width + "·" * (30 - width)
            line = f"  {self.what} {bar} {100 * done // self.total:3d} % {shown(note)}"
            # A line that wraps could not be taken back.
            sys.stderr.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()

    def so_far(self, note: str) -> None:
        """Show what is known where nobody knows how much there will be."""
        if self.on:
            line = f"  {self.what} {shown(note)}"
            sys.stderr.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line clean."""
        if self.on:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def print_json(data: Any) -> None:
    """Data as indented JSON, letters as they are."""
    print(json.dumps(data, indent=1, ensure_ascii=False))


def told() -> str:
    """What standard input says. Raises `CliError` where it is closed."""
    if sys.stdin is None:
        raise CliError("- stands for standard input, which is closed")
    return sys.stdin.read()


def agreed(question: str) -> bool:
    """Whether the person at the terminal says yes; nobody there has not agreed."""
    return (
        sys.stdin is not None
        and sys.stdin.isatty()
        and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    )


@contextlib.contextmanager
def written(path: str | Path) -> Generator[BinaryIO]:
    """A file to write that appears under its name only when it is whole. Raises `CliError` that names it."""
    # What a link points to is replaced, not the link; a pipe or a terminal is written to as it comes.
    target = Path(path).resolve()
    whole = target.exists() and not target.is_file()
    partial = target if whole else target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        try:
            with open(partial, "wb") as file:
                yield file
            if not whole:
                os.replace(partial, target)
        finally:
            if not whole:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a file in UTF-8. Raises `CliError` that names it."""
    with written(path) as file:
        file.write(text.encode())


def hand_over(text: str, path: str | Path | None) -> None:
    """The text to the file that was asked for, which is said, or to standard output. Raises `CliError`."""
    if path is None:
        sys.stdout.write(text)
        return
    write_text(path, text)
    print(f"written to {path}", file=sys.stderr)


def share(found: dict[str, Any] | None) -> str:
    """A share with its interval and n as the API gives them, in per cent.

    >>> share({"value": 0.842, "low": 0.793, "high": 0.883, "n": 260})
    '84.2 % (79.3 to 88.3 %, n 260)'
    """
    if found is None:
        return "unknown"
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['value']:.1f} % ({low:.1f} to {high:.1f} %, n {found['n']})"
