"""`watchkeeper taxonomy`: names of failures, those proposed from comments, and changing them."""

import argparse
import sys
from typing import Any
from urllib.parse import quote

from watchkeeper.cli.client import Client, add_server
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import table
from watchkeeper.model.numerals import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own commands."""
    what = parser.add_subparsers(dest="what", required=True, metavar="list|propose|accept|rename|merge")
    what.add_parser("list", help="the names in use")
    what.add_parser("propose", help="names that reviewers' comments call for")
    accept = what.add_parser("accept", help="take a name into use; a proposed one is given to its labels")
    accept.add_argument("name", help="as `taxonomy propose` shows it, or one of your own")
    accept.add_argument("--definition", help="what it means (the proposal's)")
    rename = what.add_parser("rename", help="change a name in every label")
    rename.add_argument("name", help="what it is called")
    rename.add_argument("to", help="what it shall be called")
    merge = what.add_parser("merge", help="make several names one")
    merge.add_argument("names", nargs="+", metavar="NAME", help="what they are called")
    merge.add_argument("--into", required=True, metavar="NAME", help="what all shall be called")
    for name, one in what.choices.items():
        one.set_defaults(handler=f"watchkeeper.cli.taxonomy:{name if name != 'list' else 'listed'}")
        add_server(one)


def listed(args: argparse.Namespace) -> int:
    """One line a name."""
    found = Client.of(args).call("GET", "/api/taxonomy")
    rows = [[n["name"], n["count"], n["origin"], n["definition"]] for n in found]
    table(("name", "labels", "from", "definition"), rows, sys.stdout)
    return OK


def propose(args: argparse.Namespace) -> int:
    """One line a proposal."""
    found = Client.of(args).call("GET", "/api/taxonomy/proposals")
    print(f"from {counted(found['commented'], 'comment')} on {counted(found['labelled'], 'labelled trace')}")
    rows = [[p["name"], len(p["labels"]), p["existing"] or "", p["definition"]] for p in found["proposals"]]
    table(("name", "labels", "called already", "definition"), rows, sys.stdout)
    return OK


def accept(args: argparse.Namespace) -> int:
    """Accept a name, with the labels of the proposal of that name if there is one."""
    client = Client.of(args)
    proposals: list[dict[str, Any]] = client.call("GET", "/api/taxonomy/proposals")["proposals"]
    match = next((p for p in proposals if p["name"] == args.name), None)
    if match is None and args.definition is None:
        raise CliError(f"{args.name} is not proposed; give --definition to make it a name of your own")
    body = {
        "name": args.name,
        "definition": args.definition
        if args.definition is not None
        else match["definition"]
        if match
        else "",
        "labels": match["labels"] if match else [],
    }
    made = client.call("POST", "/api/taxonomy", body)
    print(f"{made['name']} is in use, in {counted(made['relabelled'], 'label')}")
    return OK


def rename(args: argparse.Namespace) -> int:
    """Rename one."""
    made = Client.of(args).call("POST", f"/api/taxonomy/{quote(args.name, safe='')}/rename", {"to": args.to})
    print(f"{args.name} is {made['name']} now, in {counted(made['relabelled'], 'label')}")
    return OK


def merge(args: argparse.Namespace) -> int:
    """Merge several."""
    made = Client.of(args).call("POST", "/api/taxonomy/merge", {"names": args.names, "into": args.into})
    print(f"{', '.join(made['was'])} became {made['name']}, in {counted(made['relabelled'], 'label')}")
    return OK
