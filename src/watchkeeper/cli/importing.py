"""`watchkeeper import`: recorded OTLP requests from files, sent to the server as a client would send them."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.cli.client import Answer, Client
from watchkeeper.cli.errors import BAD_INPUT, OK, CliError
from watchkeeper.cli.output import Progress
from watchkeeper.wire.errors import WireError
from watchkeeper.wire.inflate import inflate
from watchkeeper.wire.otlp import SIGNALS, decode

MOST_BYTES = 1 << 30
BATCH_BYTES = 4 << 20
ATTEMPTS = 60
JSON, PROTOBUF = "application/json", "application/x-protobuf"
_KEYS = {"resourceSpans": "traces", "resourceLogs": "logs", "resourceMetrics": "metrics"}
_SUFFIXES = (".pb", ".bin", ".json", ".jsonl", ".ndjson", ".gz")


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
        raise CliError(f"{path}{where}: is not an OTLP request; it has none of {', '.join(_KEYS)}")
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
    """Import every file; exit status 2 when one could not be imported, after trying the others."""
    client, tally, faults = Client.of(args), Tally(), 0
    files = files_of(args.files)
    bar = Progress(len(files), "importing")
    try:
        for number, path in enumerate(files):
            bar.at(number, path.name)
            try:
                _import(client, path, args.signal, tally)
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
    return BAD_INPUT if faults else OK


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
