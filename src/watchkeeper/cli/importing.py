"""`watchkeeper import`: recorded OTLP requests and other products' exports, sent to the server as a client would."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.cli import history, tables
from watchkeeper.cli.client import Answer, Client
from watchkeeper.cli.errors import BAD_INPUT, OK, CliError
from watchkeeper.cli.output import Progress
from watchkeeper.dialects.history import FORMATS
from watchkeeper.wire.errors import WireError
from watchkeeper.wire.inflate import inflate
from watchkeeper.wire.otlp import SIGNALS, decode

MOST_BYTES = 1 << 30
BATCH_BYTES = 4 << 20
ATTEMPTS = 60
JSON, PROTOBUF = "application/json", "application/x-protobuf"
_KEYS = {"resourceSpans": "traces", "resourceLogs": "logs", "resourceMetrics": "metrics"}
_SUFFIXES = (".pb", ".bin", ".gz", *tables.SUFFIXES)


@dataclass
class Request:
    """One export request to send."""

    signal: str
    body: bytes
    content_type: str


@dataclass
class Tally:
    """What became of the records."""

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
            raise CliError(f"{path}: there is no such file or folder")
    if not found:
        raise CliError(f"there is nothing to import; files end in {', '.join(_SUFFIXES)}")
    return found


def contents(path: Path) -> tuple[bytes, str]:
    """The plain bytes of a file and its suffix without `.gz`. Raises `CliError`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CliError(f"{path}: larger than 1 GiB; split it")
        data = path.read_bytes()
    except OSError as error:
        raise CliError(f"{path}: cannot be read: {error.strerror}") from None
    suffix = path.suffix
    if data[:2] == b"\x1f\x8b":
        try:
            data = inflate(data, "gzip", MOST_BYTES)
        except WireError as error:
            raise CliError(f"{path}: {error}") from None
        suffix = path.with_suffix("").suffix if suffix == ".gz" else suffix
    return data, suffix


def _named(path: Path) -> str | None:
    name = path.name.lower()
    found = [s for s in SIGNALS if s in name or s.removesuffix("s") in name.replace("logfire", "")]
    return found[0] if len(found) == 1 else None


def _json_signal(path: Path, line: bytes, where: str) -> str:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CliError(f"{path}{where}: is not JSON: {error}") from None
    keys = [s for k, s in _KEYS.items() if isinstance(document, dict) and k in document]
    if len(keys) != 1:
        raise CliError(
            f"{path}{where}: is not an OTLP request; it has none of {', '.join(_KEYS)}; and it looks like no export we "
            "know; say what it is with --format"
        )
    return keys[0]


def _protobuf_signal(path: Path, data: bytes, wanted: str | None) -> str:
    """The signal of a protobuf file: as asked, as its name says, or whichever its records make sense as."""
    if wanted or (wanted := _named(path)):
        return wanted
    for signal in SIGNALS:
        try:
            made = decode(signal, data, PROTOBUF)
        except WireError:
            continue
        if made.received > len(made.rejected):
            return signal
    raise CliError(f"{path}: is not an OTLP request; say what it is with --signal")


def requests(path: Path, signal: str | None) -> Iterator[Request]:
    """The requests in a file: one in `.pb` and `.json`, one a line in `.jsonl`. Raises `CliError`."""
    data, suffix = contents(path)
    if suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(data.split(b"\n"), start=1):
            if line.strip():
                yield Request(_json_signal(path, line, f":{number}"), line, JSON)
    elif suffix == ".json" or data.lstrip()[:1] == b"{":
        yield Request(_json_signal(path, data, ""), data, JSON)
    else:
        yield Request(_protobuf_signal(path, data, signal), data, PROTOBUF)


def send(client: Client, path: Path, request: Request) -> Answer:
    """Send one request, waiting when the server asks for it. Raises `CliError` when it is refused for good."""
    kind = {"content-type": request.content_type}
    answer = client.send("POST", f"/v1/{request.signal}", request.body, kind)
    for _ in range(ATTEMPTS):
        if answer.status not in (429, 503):
            break
        time.sleep(float(answer.headers.get("retry-after", "1")))
        answer = client.send("POST", f"/v1/{request.signal}", request.body, kind)
    if answer.status != 200:
        said = answer.body.decode("utf-8", "replace")
        if answer.headers.get("content-type", "").startswith(JSON):
            try:
                said = str(json.loads(said).get("message", said))
            except (ValueError, AttributeError):
                said = said[:300]
        else:
            said = "".join(c for c in said if c.isprintable())
        raise CliError(f"{path}: the server answered {answer.status}: {said[:300]}")
    return answer


def main(args: argparse.Namespace) -> int:
    """Import every file; exit status 2 when a file or a record could not be imported, after trying the others."""
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
        if wanted == "otlp" or (wanted is None and tables.suffix_of(path) not in tables.SUFFIXES):
            requests_.append(path)
            continue
        try:
            form = history.format_of(path, wanted)
            if form is None and tables.suffix_of(path) in tables.TABLES:
                raise CliError(
                    f"{path}: its columns are nobody's we know; say what it is with --format, one of {', '.join(FORMATS)}"
                )
        except CliError as error:
            if tables.suffix_of(path) not in tables.TABLES and wanted is None:
                form = None
            else:
                print(error, file=sys.stderr)
                faults += 1
                continue
        if form is None:
            requests_.append(path)
        else:
            exports.append((path, form))
    return requests_, exports, faults


def _import_exports(client: Client, files: list[tuple[Path, str]], resume: Path | None, sent: Tally) -> int:
    tally, progressed = history.Tally(), history.Progressed(resume)
    bar = Progress(1000, "importing")

    def transmit(signal: str, body: bytes) -> None:
        send(client, Path(f"a batch of {signal}"), Request(signal, body, PROTOBUF))
        sent.requests += 1

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
        f"imported {len(files)} {forms} file{'' if len(files) == 1 else 's'}: {tally.spans} spans and {tally.scores} "
        f"scores from {tally.records} records, {tally.bad} records could not be imported"
    )
    if tally.before:
        print(f"{tally.before} records were imported before and not sent again")
    for reason, number in sorted(tally.skipped.items()):
        print(f"{number} left out: {reason}")
    return tally.bad


def _import_requests(client: Client, files: list[Path], signal: str | None, tally: Tally) -> int:
    faults = 0
    bar = Progress(len(files), "importing")
    try:
        for number, path in enumerate(files):
            bar.at(number, path.name)
            try:
                _import(client, path, signal, tally)
            except CliError as error:
                bar.end()
                print(error, file=sys.stderr)
                faults += 1
    finally:
        bar.end()
    print(
        f"imported {tally.files} of {len(files)} files: {tally.received - tally.rejected} records stored, "
        f"{tally.rejected} rejected"
    )
    return faults


def _import(client: Client, path: Path, signal: str | None, tally: Tally) -> None:
    for request in requests(path, signal):
        made = decode(request.signal, request.body, request.content_type) if _decodes(request) else None
        send(client, path, request)
        tally.requests += 1
        if made is not None:
            tally.received += made.received
            tally.rejected += len(made.rejected)
            for fault in made.rejected[:5]:
                print(f"{path}: {fault.where}: {fault.reason}", file=sys.stderr)
    tally.files += 1


def _decodes(request: Request) -> bool:
    try:
        decode(request.signal, request.body, request.content_type)
    except WireError:
        return False
    return True
