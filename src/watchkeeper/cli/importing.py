"""`watchkeeper import`: recorded OTLP requests and other products' exports, sent to the server as a client would."""

import argparse
import codecs
import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watchkeeper.cli import history, tables
from watchkeeper.cli.client import Answer, Client
from watchkeeper.cli.errors import BAD_INPUT, OK, CliError
from watchkeeper.cli.output import Progress
from watchkeeper.dialects.history import FORMATS
from watchkeeper.model.numerals import counted
from watchkeeper.model.times import wished_s
from watchkeeper.testing import cases, foreign
from watchkeeper.wire.decoded import Decoded
from watchkeeper.wire.errors import WireError
from watchkeeper.wire.inflate import inflate
from watchkeeper.wire.otlp import SIGNALS, decode, partial_success, status_message
from watchkeeper.wire.parts import parts

MOST_BYTES = 1 << 30
BATCH_BYTES = 4 << 20
TOGETHER_BYTES = 1 << 20
ATTEMPTS = 60
JSON, PROTOBUF = "application/json", "application/x-protobuf"
# What these answers say is said of one request; any other refusal would be said of the next one too.
REFUSED = (400, 413, 415)
_KEYS = {"resourceSpans": "traces", "resourceLogs": "logs", "resourceMetrics": "metrics"}
_SUFFIXES = (".pb", ".bin", ".gz", ".zst", *tables.SUFFIXES)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass
class Request:
    """One export request to send."""

    signal: str
    body: bytes
    content_type: str


Placed = tuple[str, Request | str]
"""A request and where it stands, or why it cannot be read."""


class Refused(CliError):
    """The server refused one request for what is in it."""


@dataclass
class Tally(history.Faults):
    """What became of the records; `bad` are requests that could not be read or were refused."""

    files: int = 0
    requests: int = 0
    received: int = 0
    rejected: int = 0


def files_of(paths: list[Path]) -> list[Path]:
    """The files to import; folders are searched. Raises `CliError` for what is not there."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found.extend(sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES and p.is_file()))
        elif path.is_file():
            found.append(path)
        else:
            what = "is neither a file nor a folder" if path.exists() else "there is no such file or folder"
            raise CliError(f"{path}: {what}")
    if not found:
        raise CliError(f"there is nothing to import; files end in {', '.join(_SUFFIXES)}")
    return found


def contents(path: Path) -> tuple[bytes, str]:
    """The plain bytes of a file and its suffix without `.gz` or `.zst`. Raises `CliError`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CliError(f"{path}: larger than 1 GiB; split it")
        data = path.read_bytes()
    except OSError as error:
        raise CliError(f"{path}: cannot be read: {error.strerror}") from None
    suffix = path.suffix
    if _compression(data):
        try:
            data = _inflated(data)
        except CliError as error:
            raise CliError(f"{path}: {error}") from None
        suffix = path.with_suffix("").suffix if suffix in (".gz", ".zst") else suffix
    return data.removeprefix(codecs.BOM_UTF8), suffix


def _compression(data: bytes) -> str | None:
    return next((name for start, name in _COMPRESSED.items() if data.startswith(start)), None)


def _inflated(data: bytes) -> bytes:
    """The plain bytes of what may be compressed. Raises `CliError`."""
    try:
        return inflate(data, _compression(data), MOST_BYTES)
    except WireError as error:
        raise CliError(str(error)) from None


_A_DATASET = "it looks like a dataset: bring that in with 'watchkeeper dataset import NAME FILE'"


# Columns that only a table of ours has together, whichever others were exported with them.
_OUR_TABLES = (
    {"trace_id", "span_id", "kind", "dialect"},
    {"trace_id", "root_name", "llm_calls"},
    {"trace_id", "scorer", "scored_at"},
)
_OURS = "it is a table that 'watchkeeper export' wrote, for reading; what can be imported again is written with --traces"


def _is_case(record: dict[str, Any]) -> bool:
    return foreign.case_of(record) is not None or {"id", "input"} <= record.keys() <= set(cases.FIELDS)


def _json_signal(data: bytes) -> str:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CliError(f"is not JSON: {error}") from None
    keys = [s for k, s in _KEYS.items() if isinstance(document, dict) and k in document]
    if len(keys) != 1:
        if any(isinstance(x, dict) and _is_case(x) for x in foreign.examples_in(document)):
            raise CliError(f"is no OTLP request; {_A_DATASET}")
        raise CliError(
            f"is not an OTLP request; it has none of {', '.join(_KEYS)}; and it looks like no export we "
            "know; say what it is with --format"
        )
    return keys[0]


def _protobuf_signal(data: bytes) -> str:
    """Whichever signal the records make sense as."""
    if not data:
        raise CliError("is empty")
    for signal in SIGNALS:
        try:
            made = decode(signal, data, PROTOBUF)
        except WireError:
            continue
        if made.received > len(made.rejected):
            return signal
    raise CliError("is not an OTLP request; say what it is with --signal")


def _framed(data: bytes) -> list[bytes]:
    """The messages of a file that are each after their length, as the Collector writes protobuf and what it compresses (of which
    the last may be cut); or the file is one."""
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        start, at = at + 4, at + 4 + int.from_bytes(data[at : at + 4], "big")
        found.append(data[start:at])
    whole = found and (at == len(data) or _compression(found[0]) == "zstd")
    return found if whole else [data]


def _named(path: Path) -> str | None:
    name = path.name.lower()
    found = [s for s in SIGNALS if s in name or s.removesuffix("s") in name.replace("logfire", "")]
    return found[0] if len(found) == 1 else None


def requests(path: Path, data: bytes, suffix: str, signal: str | None) -> Iterator[tuple[str, Request | str]]:
    """The requests in a file's contents with their places, the reason instead of one that cannot be read: JSON is one or one
    a line, protobuf one or each after its length, as is either where the Collector compressed it."""
    found = _framed(data)
    if _compression(found[0]):
        kind = None
    elif suffix in (*tables.LINES, ".json") or _is_json(data):
        kind = JSON
        # The Collector's lines are often called .json; the first line of one indented request is a bracket.
        many = suffix in tables.LINES or (b"\n{" in data and data.partition(b"\n")[0].strip() != b"{")
        found = data.split(b"\n") if many else [data]
    else:
        kind = PROTOBUF
    for number, body in enumerate(found, start=1):
        if kind == JSON and not body.strip():
            continue
        where = f"{path}:{number}" if len(found) > 1 else str(path)
        try:
            request = _request(path, _inflated(body) if kind is None else body, kind, signal)
        except CliError as error:
            request = str(error)
        yield where, request


def _is_json(data: bytes) -> bool:
    return data.lstrip()[:1] == b"{"


def _request(path: Path, body: bytes, kind: str | None, signal: str | None) -> Request:
    """One request of a file, of which kind its first byte says where that is not known. Raises `CliError`."""
    kind = kind or (JSON if _is_json(body) else PROTOBUF)
    known = _json_signal(body) if kind == JSON else signal or _named(path)
    return Request(known or _protobuf_signal(body), body, kind)


def send(client: Client, request: Request) -> Answer:
    """Send one request, waiting when the server asks for it. Raises `Refused` for what is in it, `CliError` for any other
    refusal."""
    kind = {"content-type": request.content_type}
    answer = client.send("POST", f"/v1/{request.signal}", request.body, kind)
    for _ in range(ATTEMPTS):
        if answer.status not in (429, 503):
            break
        time.sleep(_pause(answer))
        answer = client.send("POST", f"/v1/{request.signal}", request.body, kind)
    if answer.status != 200:
        fault = f"the server answered {answer.status}: {_reason(answer)[:300]}"
        raise Refused(fault) if answer.status in REFUSED else CliError(fault)
    return answer


def _pause(answer: Answer) -> float:
    """The seconds to wait: as asked, one where that is nothing, and never more than half a minute."""
    return min(wished_s(answer.headers.items()) or 1.0, 30.0)


def _reason(answer: Answer) -> str:
    """What the server said, in JSON or protobuf, or the words of whatever stands before it."""
    kind = str(answer.headers.get("content-type", ""))
    if kind.startswith(PROTOBUF) and (told := status_message(answer.body)):
        return told
    said = answer.body.decode("utf-8", "replace")
    if kind.startswith(JSON):
        with contextlib.suppress(ValueError, AttributeError):
            return str(json.loads(said).get("message", said))
    return "".join(c for c in said if c.isprintable())


def main(args: argparse.Namespace) -> int:
    """Import every file; exit status 2 when a file or a record could not be imported, after trying the others."""
    if args.format not in (None, "otlp", *FORMATS):
        raise CliError(f"--format {args.format}: one of otlp, {', '.join(FORMATS)}")
    client, tally = Client.of(args), Tally()
    files = files_of(args.files)
    requests_, exports, faults = sorted_out(files, args.format)
    if requests_:
        faults += _import_requests(client, requests_, args.signal, tally)
    if exports:
        faults += _import_exports(client, exports, args.resume, tally)
    if tally.requests:
        _settle(client)
    return BAD_INPUT if faults else OK


def _settle(client: Client) -> None:
    """Say that nothing more is coming, so that a trace without its root need not be waited for. A server that does not know
    the request, or does not allow it, waits its minute."""
    with contextlib.suppress(CliError):
        client.send("POST", "/api/traces/settle", b"", {"content-type": JSON})


def sorted_out(files: list[Path], wanted: str | None) -> tuple[list[Path], list[tuple[Path, str]], int]:
    """The files of OTLP requests, the exports with their format, and how many are neither (said on standard error)."""
    requests_: list[Path] = []
    exports: list[tuple[Path, str]] = []
    faults = 0
    for path in files:
        try:
            form = _form_of(path, wanted)
        except CliError as error:
            print(error, file=sys.stderr)
            faults += 1
            continue
        if form is None:
            requests_.append(path)
        else:
            exports.append((path, form))
    return requests_, exports, faults


def _form_of(path: Path, wanted: str | None) -> str | None:
    """Whose export a file is; None for OTLP requests. Raises `CliError` for a table that nobody's exports look like."""
    suffix = tables.suffix_of(path)
    if wanted == "otlp" or (wanted is None and suffix not in tables.SUFFIXES):
        return None
    # A table can be no OTLP request; of JSON that cannot be read as records the reader of requests says what is wrong.
    table = suffix in tables.TABLES
    try:
        form = history.format_of(path, wanted)
    except CliError:
        if table or wanted is not None:
            raise
        return None
    if form is None and (table or suffix in tables.LINES):
        record = next((r for _, _, r in tables.records(path) if isinstance(r, dict)), {})
        if any(columns <= record.keys() for columns in _OUR_TABLES):
            raise CliError(f"{path}: {_OURS}")
        if not table:
            return None
        dataset = f"; {_A_DATASET}" if foreign.case_of_row(record) else ""
        raise CliError(
            f"{path}: its columns are nobody's we know; say what it is with --format, one of {', '.join(FORMATS)}{dataset}"
        )
    return form


def _import_exports(client: Client, files: list[tuple[Path, str]], resume: Path | None, sent: Tally) -> int:
    tally, progressed = history.Tally(), history.Progressed(resume)
    bar = Progress(1000, "importing")

    def transmit(signal: str, body: bytes) -> None:
        for part in parts(signal, body, PROTOBUF, BATCH_BYTES):
            try:
                send(client, Request(signal, part, PROTOBUF))
                sent.requests += 1
            except Refused as error:
                if len(part) <= BATCH_BYTES:
                    raise
                tally.spans -= signal == "traces"
                tally.fault(f"a record of {len(part):,} bytes", str(error))

    try:
        known = history.index(files, lambda share, name: bar.at(int(share * 300), f"looking at {name}"))
        history.send_files(
            files,
            known,
            transmit,
            tally,
            progressed,
            lambda share, name: bar.at(300 + int(share * 700), name),
        )
    finally:
        bar.end()
    forms = ", ".join(sorted({form for _, form in files}))
    print(
        f"imported {counted(len(files), f'{forms} file')}: {counted(tally.spans, 'span')} and "
        f"{counted(tally.scores, 'score')} from {counted(tally.records, 'record')}, "
        f"{counted(tally.bad, 'record')} could not be imported"
    )
    if tally.before:
        print(f"imported before and not sent again: {counted(tally.before, 'record')}")
    for reason, number in sorted(tally.skipped.items()):
        print(f"{number} left out: {reason}")
    return tally.bad


def _import_requests(client: Client, files: list[Path], signal: str | None, tally: Tally) -> int:
    unread = 0
    bar = Progress(len(files), "importing")
    try:
        for number, path in enumerate(files):
            bar.at(number, path.name)
            try:
                found = requests(path, *contents(path), signal)
            except CliError as error:
                bar.end()
                print(error, file=sys.stderr)
                unread += 1
                continue
            taken = [_import_some(client, some, tally) for some in _together(found)]
            tally.files += not taken or any(taken)
    finally:
        bar.end()
    print(
        f"imported {tally.files} of {counted(len(files), 'file')}: {counted(tally.received - tally.rejected, 'record')} stored, "
        f"{tally.rejected:,} rejected"
        + (f", {counted(tally.bad, 'request')} could not be imported" if tally.bad else "")
    )
    return unread + tally.bad + tally.rejected


def _together(found: Iterable[Placed]) -> Iterator[list[Placed]]:
    """Small requests of one kind that follow one another, some at a time: each answer waits for the disk, and a file may hold a
    request a trace."""
    some: list[Placed] = []
    size = 0
    for where, request in found:
        last = some[-1][1] if some else None
        alike = (
            isinstance(request, Request)
            and isinstance(last, Request)
            and (request.signal, request.content_type) == (last.signal, last.content_type)
            and size + len(request.body) <= TOGETHER_BYTES
        )
        if some and not alike:
            yield some
            some, size = [], 0
        some.append((where, request))
        size += len(request.body) if isinstance(request, Request) else 0
    if some:
        yield some


def _import_some(client: Client, some: list[Placed], tally: Tally) -> bool:
    """Send these requests as one, and one by one where anything is wrong with any, so that its place can be named; whether any was
    taken."""
    joined = _joined([r for _, r in some if isinstance(r, Request)]) if len(some) > 1 else None
    made = _decoded(joined) if joined is not None else None
    if joined is not None and made is not None and not made.rejected:
        try:
            rejected, _ = _taken_back(send(client, joined))
        except Refused:
            rejected = 1
        if not rejected:
            tally.requests += len(some)
            tally.received += made.received
            return True
    taken = [_import(client, where, request, tally) for where, request in some]
    return any(taken)


def _joined(some: list[Request]) -> Request | None:
    """One request with what these hold, all of one signal and kind; None where one of them is not what it seems."""
    first = some[0]
    if first.content_type == PROTOBUF:
        # Messages one after the other are one message with all their lists.
        return Request(first.signal, b"".join(r.body for r in some), PROTOBUF)
    key = next(k for k, signal in _KEYS.items() if signal == first.signal)
    held: list[Any] = []
    for request in some:
        try:
            told = json.loads(request.body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(told, dict) or list(told) != [key] or not isinstance(told[key], list):
            return None
        held += told[key]
    return Request(first.signal, json.dumps({key: held}).encode(), JSON)


def _import(client: Client, where: str, request: Request | str, tally: Tally) -> bool:
    """Send a request, in parts where it is large; whether any of it was taken."""
    if isinstance(request, str):
        tally.fault(where, request)
        return False
    taken = False
    for body in parts(request.signal, request.body, request.content_type, BATCH_BYTES):
        part = Request(request.signal, body, request.content_type)
        made = _decoded(part)
        try:
            rejected, said = _taken_back(send(client, part))
        except Refused as error:
            tally.fault(where, str(error))
            continue
        taken = True
        tally.requests += 1
        known = made.rejected if made is not None else []
        tally.received += made.received if made is not None else rejected
        tally.rejected += max(rejected, len(known))
        for fault in known[:5]:
            print(f"{where}: {fault.where}: {fault.reason}", file=sys.stderr)
        if rejected > len(known):
            print(f"{where}: the server rejected {counted(rejected, 'record')}: {said}", file=sys.stderr)
    return taken


def _taken_back(answer: Answer) -> tuple[int, str]:
    """How many records the server says it rejected although it took the request, and its words."""
    return partial_success(answer.body, str(answer.headers.get("content-type", "")))


def _decoded(request: Request) -> Decoded | None:
    """What the server will find in a request, to count it; None where that is left to the server's own words."""
    try:
        return decode(request.signal, request.body, request.content_type)
    except WireError:
        return None
