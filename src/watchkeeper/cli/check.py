"""`watchkeeper check`: is this configuration usable, and what is doubtful about it."""

import argparse
import os
import sys

import msgspec

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import BAD_INPUT, OK
from watchkeeper.cli.output import print_json
from watchkeeper.config.adapters import pack_of, rules_of
from watchkeeper.config.load import Loaded, load
from watchkeeper.config.managed import merged
from watchkeeper.config.models import Config
from watchkeeper.config.problems import ConfigError
from watchkeeper.model.managed import Managed
from watchkeeper.model.numerals import counted


def loaded(args: argparse.Namespace) -> Loaded | None:
    """The configuration of the command's argument; None after its faults were printed."""
    try:
        return load(
            args.config, dict(os.environ), allow_missing_env=getattr(args, "allow_missing_env", False)
        )
    except ConfigError as error:
        if getattr(args, "json", False):
            print_json({"ok": False, "problems": [vars(p) for p in error.problems]})
        else:
            for problem in error.problems:
                print(problem, file=sys.stderr)
            count = len(error.problems)
            print(f"{counted(count, 'problem')} in {args.config}", file=sys.stderr)
        return None


def with_managed(found: Loaded, client: Client) -> Loaded:
    """The configuration together with what the server made from signals, each entry named. Raises `CliError`."""
    entries = msgspec.convert(client.call("GET", "/api/managed"), list[Managed], strict=False)
    whole = merged(found, entries)
    for entry in entries:
        names = [str(m["name"]) for c in entry.scorecards for m in c["metrics"]] + [
            str(m["name"]) for m in entry.monitors
        ]
        print(f"managed {entry.id} (signal {entry.signal_id}): {', '.join(names)}")
    for warning in whole.warnings[len(found.warnings) :]:
        print(warning, file=sys.stderr)
    return whole


def _made_of(config: Config) -> str:
    packed = sum(len(pack_of(p)) for p in config.packs)
    promised = len(rules_of(config)) - packed - len(config.monitors)
    parts = [f"{n} of {what}" for n, what in ((packed, "packs"), (promised, "objectives")) if n]
    return f" ({', '.join(parts)})" if parts else ""


def main(args: argparse.Namespace) -> int:
    """Exit status 0 when the configuration can be used, 2 when not."""
    if args.schema:
        from watchkeeper.config.schema import schema_text

        print(schema_text(), end="")
        return OK
    found = loaded(args)
    if found is None:
        return BAD_INPUT
    if args.managed and not args.json:
        found = with_managed(found, Client.of(args))
    config = found.config
    if args.json:
        print_json({"ok": True, "problems": [vars(w) for w in found.warnings]})
        return OK
    for warning in found.warnings:
        print(warning, file=sys.stderr)
    scorers = sum(len(card.metrics) for card in config.scorecards)
    print(
        f"{args.config} is usable: {counted(len(config.scorecards), 'scorecard')} with {counted(scorers, 'scorer')}, "
        f"{counted(len(rules_of(config)), 'monitor')}{_made_of(config)}, {counted(len(config.routes), 'route')}, "
        f"{counted(len(config.guards), 'guard')}"
    )
    return OK
