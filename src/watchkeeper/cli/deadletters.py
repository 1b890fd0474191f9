"""`watchkeeper dead-letters`: what was given up, and another try for it."""

import argparse
import sys

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK
from watchkeeper.cli.output import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--retry", metavar="ID", help="try this one again, or 'all'")


def main(args: argparse.Namespace) -> int:
    """List them, or give them a new life."""
    client = Client.of(args)
    if args.retry is not None:
        body = {} if args.retry == "all" else {"id": args.retry}
        print(f"{client.call('POST', '/api/dead-letters/retry', body)['retried']} will be tried again")
        return OK
    columns = ("id", "kind", "about", "reason", "attempts", "time")
    table(columns, [[d[c] for c in columns] for d in client.call("GET", "/api/dead-letters")], sys.stdout)
    return OK
