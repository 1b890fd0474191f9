"""`watchkeeper export`: a statement's answer, a table or whole traces as a file, streamed."""

import argparse
import contextlib
import os
import sys
import urllib.parse
from pathlib import Path

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK, CliError

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".arrow": "arrow"}


def path_of(args: argparse.Namespace) -> str:
    """The request that these arguments stand for. Raises `CliError` for arguments that exclude each other."""
    if args.traces and (args.query or args.table):
        raise CliError("--traces exports whole traces: leave out --query and --table")
    if args.query and (args.table or args.since or args.until or args.where):
        raise CliError("--query: write the table and the conditions into the statement")
    suffix = Path(args.output).suffix.lower()
    form = args.format or FORMATS.get(suffix, "jsonl")
    if args.traces and form not in ("jsonl", "otlp"):
        raise CliError("--traces are JSON lines; leave out --format, say otlp, or export a table")
    if form == "otlp" and not args.traces:
        raise CliError("--format otlp: add --traces; a table has no OTLP form")
    given = {"since": args.since, "until": args.until, "where": args.where}
    if form == "otlp":
        given["format"] = form
    elif not args.traces:
        query = sys.stdin.read() if args.query == "-" else args.query
        given |= {"format": form, "query": query, "table": args.table}
    wanted = urllib.parse.urlencode({k: v for k, v in given.items() if v is not None})
    return ("/api/export/traces" if args.traces else "/api/export") + (f"?{wanted}" if wanted else "")


def main(args: argparse.Namespace) -> int:
    """Write the export; a file appears under its name only when it is whole."""
    client, path = Client.of(args), path_of(args)
    if args.output == "-":
        client.download(path, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return OK
    target = Path(args.output)
    partial = target.with_name(target.name + ".partial")
    written = 0
    try:
        with open(partial, "wb") as file:

            def take(piece: bytes) -> None:
                nonlocal written
                written += file.write(piece)

            client.download(path, take)
        os.replace(partial, target)
    except OSError as error:
        raise CliError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    print(f"wrote {written:,} bytes to {target}", file=sys.stderr)
    return OK
