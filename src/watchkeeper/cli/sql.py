"""`watchkeeper sql`: one read-only statement, as a table, CSV or JSON lines."""

import argparse
import json
import sys

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import as_csv, table, told


def main(args: argparse.Namespace) -> int:
    """Run the statement on the server and print its answer; exit status 2 when it is refused."""
    query = told() if args.query == "-" else args.query
    if not query.strip():
        raise CliError("the statement is empty; try: watchkeeper sql 'select * from traces limit 5'")
    if not query.isascii() and query != query.encode("utf-8", "replace").decode():
        raise CliError("the statement is not UTF-8")
    client = Client.of(args)
    answer = client.call("POST", "/api/sql", {"query": query})
    columns, rows = answer["columns"], answer["rows"]
    if args.format == "csv":
        as_csv(columns, rows, sys.stdout)
    elif args.format == "json":
        for row in rows:
            print(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False))
    else:
        table(columns, rows, sys.stdout)
        print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}", file=sys.stderr)
    if answer["truncated"]:
        print(
            "there are more rows than may be shown; add a limit or a condition, or take all with 'watchkeeper export --query'",
            file=sys.stderr,
        )
    client.note_project()
    return OK
