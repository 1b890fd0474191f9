"""`watchkeeper train`: a narrow classifier from labels, compared with its judge before it may decide."""

import argparse
import json
import sys
from typing import Any
from urllib.parse import quote, urlencode

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import share


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("name", nargs="?", help="the classifier's name as a scorer")
    parser.add_argument("--judge", help="also learn this judge's verdicts, and compare with it")
    parser.add_argument(
        "--floor", type=float, help="from which value on the judge means good, where it has no floor"
    )
    parser.add_argument("--since", default="90d", help="verdicts from when on (90d)")
    parser.add_argument(
        "--decide", type=int, metavar="VERSION", help="let this version pass and fail answers"
    )
    parser.add_argument("--measure", type=int, metavar="VERSION", help="let this version run, measuring only")
    parser.add_argument("--stop", type=int, metavar="VERSION", help="stop this version")
    parser.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="print N graded examples for a judge's prompt instead, as YAML; --judge gives the scale",
    )
    parser.add_argument("--list", action="store_true", help="the classifiers there are")


def show(made: dict[str, Any]) -> None:
    """What training came to."""
    c: dict[str, Any] = made["comparison"]
    print(f"{made['name']} version {made['version']}, {made['state']}")
    print(
        f"trained on {made['trained_on']} answers, {made['from_people']} labelled by people, {made['from_judge']} by {made['judge']}"
    )
    print(
        f"held out   {c['n']} labels of {'people' if c['truth'] == 'people' else 'the judge'}, {c['good']} of them good"
    )
    print(f"right      {share(c['agreement'])}")
    print(f"of good    {share(c['recall_good'])}")
    print(f"of bad     {share(c['recall_bad'])}")
    if c["auroc"]:
        print(f"AUROC      {c['auroc']['value']:.3f} ({c['auroc']['low']:.3f} to {c['auroc']['high']:.3f})")
    if c["difference"]:
        d = c["difference"]
        print(f"judge      right {share(c['judge_agreement'])}")
        print(
            f"difference {100 * d['value']:+.1f} points ({100 * d['low']:+.1f} to {100 * d['high']:+.1f}): {c['verdict'].replace('_', ' ')}"
        )
    else:
        print(
            "judge      not compared: thirty held-out traces need a label of people and a verdict of the judge"
        )


def main(args: argparse.Namespace) -> int:
    """Train, list, or say what a version may do."""
    client = Client.of(args)
    if args.list:
        trained = client.call("GET", "/api/trained")
        for made in trained:
            show(made)
            print()
        if not trained:
            print("none is trained yet; 'watchkeeper train NAME --judge JUDGE' trains one", file=sys.stderr)
        return OK
    if args.examples is not None:
        asked = {"n": args.examples} | ({"judge": args.judge} if args.judge else {})
        found = client.call("GET", f"/api/examples?{urlencode(asked)}")
        if not found:
            raise CliError(
                "there is no labelled trace to show a judge: label some in Review; those drawn for a calibration are left out, because a "
                "judge that was shown its test would pass it"
            )
        print("examples:")
        for one in found:
            lines = [
                f"{k}: {json.dumps(one[k], ensure_ascii=False)}"
                for k in ("input", "output", "score", "reasoning")
            ]
            print("  - " + "\n    ".join(lines))
        return OK
    if not args.name:
        raise CliError("name the classifier; --list shows those there are")
    for action in ("decide", "measure", "stop"):
        version = getattr(args, action)
        if version is not None:
            made = client.call(
                "POST", f"/api/trained/{quote(args.name, safe='')}/{version}", {"action": action}
            )
            print(f"{made['name']} version {made['version']} is {made['state']}")
            return OK
    body = {k: v for k in ("name", "judge", "floor", "since") if (v := getattr(args, k)) is not None}
    made = client.call("POST", "/api/trained", body)
    show(made)
    allowed = made["comparison"]["verdict"] == "as_good"
    print(
        f"let it run with: watchkeeper train {made['name']} --{'decide' if allowed else 'measure'} {made['version']}"
    )
    return OK
