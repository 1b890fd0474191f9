"""`watchkeeper report`: the weekly summary or the evidence report of a period, to a file or standard output."""

import argparse
import sys
from pathlib import Path
from urllib.parse import urlencode

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK, CliError


def main(args: argparse.Namespace) -> int:
    """Fetch the report and write it."""
    wanted = {"format": args.format, **({"since": args.since} if args.since else {})}
    client = Client.of(args)
    answer = client.send("GET", f"/api/reports/{args.kind}?{urlencode(wanted)}", None)
    if answer.status >= 400:
        raise CliError(client.words(answer))
    text = answer.body.decode("utf-8", "replace")
    if args.output is None:
        sys.stdout.write(text)
        return OK
    try:
        Path(args.output).write_text(text)
    except OSError as error:
        raise CliError(f"--output {args.output}: {error.strerror}") from None
    print(f"written to {args.output}", file=sys.stderr)
    return OK
