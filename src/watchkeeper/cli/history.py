"""Importing what other products exported: two passes over the files, sent as OTLP in batches that may come twice."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watchkeeper.cli.errors import CliError
from watchkeeper.cli.output import write_text
from watchkeeper.cli.tables import records
from watchkeeper.dialects import history
from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.wire import encode

BATCH_SPANS = 500
BATCH_BYTES = 3 << 20
SHOWN_FAULTS = 20
Send = Callable[[str, bytes], None]


@dataclass
class Faults:
    """What could not be imported."""

    bad: int = 0

    def fault(self, where: str, reason: str) -> None:
        """Count what cannot be imported; the first ones are shown."""
        self.bad += 1
        if self.bad <= SHOWN_FAULTS:
            print(f"{where}: {reason}", file=sys.stderr)
        elif self.bad == SHOWN_FAULTS + 1:
            print("… more that cannot be imported is counted only", file=sys.stderr)


@dataclass
class Tally(Faults):
    """What became of the records of all files."""

    records: int = 0
    spans: int = 0
    scores: int = 0
    skipped: dict[str, int] = field(default_factory=dict[str, int])
    before: int = 0


class Progressed:
    """How many records of each file were acknowledged, kept in a file so that an interrupted import can go on."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.done: dict[str, int] = {}
        if path is not None and path.exists():
            try:
                read: Any = json.loads(path.read_text())
                self.done = {str(k): int(v) for k, v in read.items()}
            except (OSError, ValueError, AttributeError, TypeError):
                raise CliError(f"{path}: is not a file that an import wrote to resume from") from None
        self._write()

    @staticmethod
    def key(path: Path) -> str:
        """A file by its size and beginning, wherever it lies."""
        with open(path, "rb") as file:
            start = hashlib.blake2b(file.read(1 << 20), digest_size=12).hexdigest()
        return f"{path.stat().st_size}-{start}"

    def save(self, key: str, number: int) -> None:
        """Note that this many records are stored."""
        self.done[key] = number
        self._write()

    def _write(self) -> None:
        if self.path is not None:
            write_text(self.path, json.dumps(self.done))


class _Batch:
    """Spans and evaluations not yet sent; spans go first, so that what is said of them finds them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.spans: list[RawSpan] = []
        self.logs: list[LogRecord] = []
        self._size = 0

    def add(self, taken: history.Taken) -> None:
        self.spans += taken.spans
        self.logs += taken.logs
        self._size += sum(_weight(s) for s in taken.spans)

    @property
    def full(self) -> bool:
        return len(self.spans) + len(self.logs) >= BATCH_SPANS or self._size >= BATCH_BYTES

    def flush(self) -> None:
        if self.spans:
            self._send("traces", encode.traces(_shared(self.spans)))
        if self.logs:
            self._send("logs", encode.logs(self.logs))
        self.spans, self.logs, self._size = [], [], 0


def _weight(span: RawSpan) -> int:
    return (
        200 + len(span.name) + _length(span.attributes) + sum(60 + _length(e.attributes) for e in span.events)
    )


def _length(value: Any) -> int:
    """About as many bytes as the value takes on the wire."""
    if isinstance(value, str):
        return 10 + len(value)
    if isinstance(value, dict):
        return 10 + sum(len(str(k)) + _length(v) for k, v in value.items())
    return 10 + sum(_length(v) for v in value) if isinstance(value, list) else 10


def _shared(spans: list[RawSpan]) -> list[RawSpan]:
    """Equal resources become one object: the encoder groups by it."""
    known: dict[str, dict[str, Any]] = {}
    for span in spans:
        span.resource = known.setdefault(
            json.dumps(span.resource, sort_keys=True, default=str), span.resource
        )
    return spans


def format_of(path: Path, wanted: str | None) -> str | None:
    """The export's format: as asked, else what its first readable records look like; None when nobody's. Raises `CliError` for a
    file of which nothing can be read."""
    if wanted is not None:
        next(records(path), None)
        return wanted
    for looked, (_, _, record) in enumerate(records(path)):
        if isinstance(record, dict) and (found := history.recognise(record)) is not None:
            return found
        if looked >= 20:
            break
    return None


def index(files: list[tuple[Path, str]], at: Callable[[float, str], None]) -> history.Index:
    """The first pass: what the records of all files say of each other."""
    made = history.Index()
    for number, (path, form) in enumerate(files):
        for _, share, record in records(path):
            at((number + share) / len(files), path.name)
            if isinstance(record, dict):
                history.note(form, record, made)
    return made


def send_files(
    files: list[tuple[Path, str]],
    known: history.Index,
    send: Send,
    tally: Tally,
    progressed: Progressed,
    at: Callable[[float, str], None],
) -> None:
    """The second pass: every record to spans and evaluations, sent in batches. Raises `CliError` when refused."""
    for number, (path, form) in enumerate(files):
        key = Progressed.key(path)
        done, batch, count = progressed.done.get(key, 0), _Batch(send), 0
        for where, share, record in records(path):
            count += 1
            at((number + share) / len(files), path.name)
            if count <= done:
                tally.before += 1
                continue
            for taken in _taken(path, where, form, record, known, tally):
                batch.add(taken)
            if batch.full:
                batch.flush()
                progressed.save(key, count)
        batch.flush()
        progressed.save(key, count)


def _taken(
    path: Path, where: str, form: str, record: dict[str, Any] | str, known: history.Index, tally: Tally
) -> Iterator[history.Taken]:
    tally.records += 1
    if isinstance(record, str):
        tally.fault(f"{path}: {where}", record)
        return
    try:
        taken = history.read(form, record, known)
    except history.Unreadable as error:
        tally.fault(f"{path}: {where}", str(error))
        return
    for reason in taken.faults:
        tally.fault(f"{path}: {where}", reason)
    if taken.skipped is not None:
        tally.skipped[taken.skipped] = tally.skipped.get(taken.skipped, 0) + 1
    tally.spans += len(taken.spans)
    tally.scores += sum(1 for log in taken.logs if log.name == "gen_ai.evaluation.result")
    yield taken
