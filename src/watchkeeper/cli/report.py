"""`watchkeeper report`: the weekly summary or the evidence report of a period, to a file or standard output."""

import argparse
from urllib.parse import urlencode

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import hand_over


def main(args: argparse.Namespace) -> int:
    """Fetch the report and write it."""
    wanted = {"format": args.format, **({"since": args.since} if args.since else {})}
    client = Client.of(args)
    answer = client.send("GET", f"/api/reports/{args.kind}?{urlencode(wanted)}", None)
    if answer.status >= 400:
        raise CliError(client.words(answer))
    hand_over(answer.body.decode("utf-8", "replace"), args.output)
    return OK
