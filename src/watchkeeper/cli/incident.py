"""`watchkeeper incident`: the incidents of a server, and the draft of one's post-mortem."""

import argparse
import sys
from urllib.parse import quote

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK
from watchkeeper.cli.output import hand_over, table


def listing(args: argparse.Namespace) -> int:
    """Print the incidents, latest first."""
    found = Client.of(args).call("GET", f"/api/incidents?status={quote(args.status)}")
    columns = ["id", "status", "severity", "owner", "opened", "title"]
    table(columns, [[i[c] for c in columns] for i in found], sys.stdout)
    return OK


def export(args: argparse.Namespace) -> int:
    """Write the draft of a post-mortem in Markdown to a file or standard output."""
    hand_over(Client.of(args).text(f"/api/incidents/{quote(args.id, safe='')}/postmortem"), args.output)
    return OK
