"""`watchkeeper report`: the weekly summary or the evidence report of a period, to a file or standard output."""

import argparse
from urllib.parse import urlencode

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK
from watchkeeper.cli.output import hand_over


def main(args: argparse.Namespace) -> int:
    """Fetch the report and write it."""
    wanted = {"format": args.format, **({"since": args.since} if args.since else {})}
    hand_over(Client.of(args).text(f"/api/reports/{args.kind}?{urlencode(wanted)}"), args.output)
    return OK
