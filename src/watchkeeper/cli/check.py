"""`watchkeeper check`: is this configuration usable, and what is doubtful about it."""

import argparse
import json
import os
import sys

from watchkeeper.cli.errors import BAD_INPUT, OK
from watchkeeper.config.load import Loaded, load
from watchkeeper.config.problems import ConfigError


def loaded(args: argparse.Namespace) -> Loaded | None:
    """The configuration of the command's argument; None after its faults were printed."""
    try:
        return load(
            args.config, dict(os.environ), allow_missing_env=getattr(args, "allow_missing_env", False)
        )
    except ConfigError as error:
        if getattr(args, "json", False):
            print(json.dumps({"ok": False, "problems": [vars(p) for p in error.problems]}, indent=1))
        else:
            for problem in error.problems:
                print(problem, file=sys.stderr)
            count = len(error.problems)
            print(f"{count} problem{'s' if count > 1 else ''} in {args.config}", file=sys.stderr)
        return None


def main(args: argparse.Namespace) -> int:
    """Exit status 0 when the configuration can be used, 2 when not."""
    if args.schema:
        from watchkeeper.config.schema import schema_text

        print(schema_text(), end="")
        return OK
    found = loaded(args)
    if found is None:
        return BAD_INPUT
    config = found.config
    if args.json:
        print(json.dumps({"ok": True, "problems": [vars(w) for w in found.warnings]}, indent=1))
        return OK
    for warning in found.warnings:
        print(warning, file=sys.stderr)
    scorers = sum(len(card.metrics) for card in config.scorecards)
    print(
        f"{args.config} is usable: {len(config.scorecards)} scorecards with {scorers} scorers, "
        f"{len(config.monitors)} monitors, {len(config.routes)} routes, {len(config.guards)} guards"
    )
    return OK
