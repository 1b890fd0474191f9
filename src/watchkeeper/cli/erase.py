"""`watchkeeper erase`: what a user or some traces left behind goes, with a receipt."""

import argparse
import re
from typing import Any

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import print_json, shown
from watchkeeper.model.numerals import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom, and whether really."""
    parser.add_argument("--user", help="the user id as your application sends it")
    parser.add_argument("--trace", action="append", default=[], metavar="ID", help="a trace; may be repeated")
    parser.add_argument("--yes", action="store_true", help="erase; without it only the count is shown")
    parser.add_argument("--json", action="store_true", help="print the receipt as JSON")


def trace_of(given: str) -> str:
    """A trace id as it is stored. Raises `CliError` for what is none."""
    plain = given.strip().replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]{32}", plain) or plain == "0" * 32:
        raise CliError(f"--trace {shown(given)}: a trace id is 32 hexadecimal digits, not all zero")
    return plain


def main(args: argparse.Namespace) -> int:
    """Count, or erase and print the receipt."""
    if args.user is None and not args.trace:
        raise CliError("name --user ID or --trace ID")
    traces = [trace_of(given) for given in args.trace]
    wanted = {"user_id": args.user, "trace_ids": traces, "confirm": args.yes}
    told: dict[str, Any] = Client.of(args).call("POST", "/api/erasures", wanted)
    if args.json:
        print_json(told)
        return OK
    if told["unknown_user"]:
        print(
            f"the user id {shown(args.user)} is unknown: no trace here is theirs; write it as your application sends it"
        )
    if not args.yes:
        if told["unknown"]:
            print(f"{told['unknown']} of the given traces are unknown: they are not stored")
        print(
            f"{counted(told['traces'], 'trace')} would go, with everything made from them; add --yes to erase them"
        )
        return OK
    _receipt(told)
    return OK


def _receipt(told: dict[str, Any]) -> None:
    print(f"erasure {told['id']}: {counted(told['traces'], 'trace')}")
    if told["unknown"]:
        print(f"  {told['unknown']} of the given traces are not stored; they will not be taken in either")
    for where in ("columns", "records"):
        for table, n in sorted(told[where].items()):
            if n:
                print(f"  {table}: {n}")
    print("what remains:")
    for one in told["remains"]:
        print(f"  {one['what']}: {one['why']}")
