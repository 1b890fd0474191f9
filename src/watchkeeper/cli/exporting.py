"""`watchkeeper export`: a statement's answer, a table or whole traces as a file, streamed."""

import argparse
import sys
import urllib.parse
from pathlib import Path

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import Progress, told, written

FORMATS = {
    "": "jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".parquet": "parquet",
    ".arrow": "arrow",
}  # fmt: skip


def path_of(args: argparse.Namespace) -> str:
    """The request that these arguments stand for. Raises `CliError` for arguments that exclude each other."""
    if args.traces and (args.query or args.table):
        raise CliError("--traces exports whole traces: leave out --query and --table")
    if args.query and (args.table or args.since or args.until or args.where):
        raise CliError("--query: write the table and the conditions into the statement")
    suffix = Path(args.output).suffix.lower()
    form = args.format or FORMATS.get(suffix)
    if form is None:
        raise CliError(
            f"-o {args.output}: {suffix} says no format; end it in .jsonl, .csv, .parquet or .arrow, or add --format"
        )
    if args.traces and form not in ("jsonl", "otlp"):
        raise CliError("--traces are JSON lines; leave out --format, say otlp, or export a table")
    if form == "otlp" and not args.traces:
        raise CliError("--format otlp: add --traces; a table has no OTLP form")
    given = {"since": args.since, "until": args.until, "where": args.where}
    if form == "otlp":
        given["format"] = form
    elif not args.traces:
        query = told() if args.query == "-" else args.query
        given |= {"format": form, "query": query, "table": args.table}
    wanted = urllib.parse.urlencode({k: v for k, v in given.items() if v is not None})
    return ("/api/export/traces" if args.traces else "/api/export") + (f"?{wanted}" if wanted else "")


def main(args: argparse.Namespace) -> int:
    """Write the export; a file appears under its name only when it is whole."""
    client, path = Client.of(args), path_of(args)
    if args.output == "-":
        client.download(path, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        client.note_project()
        return OK
    number = 0
    bar = Progress(1, "exporting")
    try:
        with written(args.output) as file:

            def take(piece: bytes) -> None:
                nonlocal number
                number += file.write(piece)
                bar.so_far(f"{number:,} bytes")

            bar.so_far("…")
            client.download(path, take)
    finally:
        bar.end()
    print(f"wrote {number:,} bytes to {args.output}", file=sys.stderr)
    client.note_project()
    return OK
