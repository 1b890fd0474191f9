"""`watchkeeper gate`: run a target over a dataset here, have the server judge it, say pass, fail or not enough evidence.

Standard library only: an application's CI installs the light package, not the server.
"""

import argparse
import sys
from typing import Any

from watchkeeper.cli.answering import (
    add_target,
    answer,
    cases_of,
    check_baseline,
    check_role,
    evaluate,
    how_of,
    named,
    write_reports,
)
from watchkeeper.cli.client import Client, add_server
from watchkeeper.cli.errors import JUDGED_BAD, NOT_ENOUGH, OK, CliError

EXIT = {"pass": OK, "fail": JUDGED_BAD, "not_enough_evidence": NOT_ENOUGH}


def add_judging(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how answers are judged, and where the reports go."""
    parser.add_argument("--save", metavar="NAME", help="name of this experiment, to be a baseline later")
    parser.add_argument(
        "--semantic", default="", help="scorers to compare by margin instead of 'must pass', comma-separated"
    )
    parser.add_argument("--ignore", default="", help="scorers to leave out, comma-separated")
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="SCORER=LOSS",
        help="accepted loss, in the scorer's unit",
    )
    parser.add_argument(
        "--max-failure-rate", type=float, default=0.05, help="what a perfect run must rule out (0.05)"
    )
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    parser.add_argument("--markdown", metavar="FILE", help="write a summary for a pull request")
    parser.add_argument("--json", metavar="FILE", help="write the whole experiment")
    parser.add_argument("--quiet", action="store_true", help="print the verdict only")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="NAME[@VERSION]",
        help="which cases; the newest version by default",
    )
    parser.add_argument("--split", help="only the cases of this split, e.g. golden")
    parser.add_argument(
        "--baseline",
        help="what to compare with: name or id of a stored experiment, 'production:7d', or 'release:1.4.2'",
    )
    add_target(parser)
    add_judging(parser)
    add_server(parser)


def _names(listed: str) -> list[str]:
    return [name for name in map(str.strip, listed.split(",")) if name]


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The judging arguments as the API takes them. Raises `CliError`."""
    margin: dict[str, float] = {}
    for given in args.margin:
        scorer, _, loss = given.partition("=")
        try:
            margin[scorer] = float(loss)
        except ValueError:
            raise CliError(f"--margin {given}: write SCORER=LOSS, e.g. answer_relevance=0.3") from None
    if not 0 < args.max_failure_rate < 1:
        raise CliError(f"--max-failure-rate {args.max_failure_rate}: must be between 0 and 1, e.g. 0.05")
    return {
        "semantic": _names(args.semantic),
        "ignore": _names(args.ignore),
        "margin": margin,
        "max_failure_rate": args.max_failure_rate,
    }


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 pass, 1 fail, 2 could not run, 3 not enough evidence."""
    client = Client.of(args)
    settings = settings_of(args)
    how = how_of(args, client)
    dataset = cases_of(client, args.dataset, args.split)
    check_role(client, dataset)
    if settings["ignore"]:
        known = {scorer["name"] for scorer in client.call("GET", "/api/scorers")}
        for name in sorted({*settings["ignore"]} - known):
            print(f"--ignore {name}: no scorer is called that; it changes nothing", file=sys.stderr)
    check_baseline(client, args.baseline)
    answers = answer(args, how, dataset["cases"])
    body = {
        "dataset": dataset["dataset"],
        "version": dataset["version"],
        "split": args.split,
        "target": named(args.target, how),
        "name": args.save,
        "baseline": args.baseline,
        "settings": settings,
    }
    experiment = evaluate(client, answers, body)
    measured = {m["scorer"] for m in experiment["metrics"]}
    for option in ("margin", "semantic"):
        for name in sorted({*settings[option]} - measured):
            print(
                f"--{option} {name}: no metric of this run is called that; it changed nothing",
                file=sys.stderr,
            )
    print(experiment["report"]["text"] if not args.quiet else experiment["verdict"])
    print(f"  {client.server}/experiments/{experiment['id']}")
    write_reports(args, experiment)
    return EXIT[experiment["verdict"]]
