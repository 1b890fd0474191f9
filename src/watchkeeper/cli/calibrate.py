"""`watchkeeper calibrate`: compare a scorer with people; only then may it gate and page."""

import argparse
import sys
from typing import Any
from urllib.parse import quote

from watchkeeper.cli.answering import dataset_of
from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import JUDGED_BAD, NOT_ENOUGH, OK
from watchkeeper.cli.output import print_json, share

FEWEST = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("scorer", help="a judge or classifier")
    parser.add_argument(
        "--dataset", metavar="NAME[@VERSION]", help="use the split 'calibration' of a dataset"
    )
    parser.add_argument(
        "--draw", type=int, metavar="N", help="put N recent traces into the review queue first"
    )
    parser.add_argument("--days", type=int, default=7, help="draw from this many days (7)")
    parser.add_argument(
        "--cut", type=float, help="from this value on an answer passes (scorers without a floor)"
    )
    parser.add_argument("--json", action="store_true", help="print the whole comparison as JSON")


def _dataset(given: str | None) -> dict[str, Any]:
    if given is None:
        return {}
    name, version = dataset_of(given)
    return {"dataset": name} if version is None else {"dataset": name, "version": version}


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 calibrated (or drawn), 1 not good enough, 3 not enough labels."""
    client = Client.of(args)
    path = f"/api/scorers/{quote(args.scorer, safe='')}/calibration"
    cut = {} if args.cut is None else {"cut": args.cut}
    if args.draw is not None:
        made = client.call("POST", f"{path}/sample", {"labels": args.draw, "days": args.days, **cut})
        print(
            f"{made['drawn']} of {made['of']:,} traces wait in the review queue: {made['fail']} that {args.scorer} failed, "
            f"{made['pass']} it passed.\nLabel them at {client.server}/review, then run: watchkeeper calibrate {args.scorer}"
        )
        return OK
    made = client.call("POST", path, {**_dataset(args.dataset), **cut})
    if args.json:
        print_json(made)
    else:
        print(report(made))
    if made["status"] == "calibrated":
        return OK
    if made["n"] < FEWEST:
        print("draw a sample with --draw 100, or name a --dataset", file=sys.stderr)
        return NOT_ENOUGH
    return JUDGED_BAD


def report(made: dict[str, Any]) -> str:
    """The comparison in words."""
    word = "CALIBRATED" if made["status"] == "calibrated" else "PROVISIONAL"
    model = f" on {made['judge_model']}" if made["judge_model"] else ""
    lines = [f"{word}  {made['scorer']} {made['version']}{model}, {made['n']} labels from {made['source']}"]
    if made["agreement"] is not None:
        lines.append(
            f"  agreement    {share(made['agreement'])}, at least {100 * made['agreement_floor']:.1f} %"
        )
        lines.append(f"  of traffic   {share(made['agreement_weighted'])}")
        kappa = made["kappa"]
        said = (
            "undefined"
            if kappa is None
            else f"{kappa['value']:.2f} ({kappa['low']:.2f} to {kappa['high']:.2f})"
        )
        lines.append(f"  kappa        {said}")
    lines += [f"  recall {name:<5} {share(found)}" for name, found in sorted(made["recall"].items())]
    for probe in made["probes"]:
        found = (
            ""
            if probe["value"] is None
            else f" {probe['value']:+.3f} ({probe['low']:+.3f} to {probe['high']:+.3f})"
        )
        lines.append(f"  {probe['name'].replace('_', ' ')}: {probe['status']}{found}, {probe['words']}")
    if made["alpha"] is not None:
        lines.append(
            f"  {made['annotators']} annotators, alpha {made['alpha']:.2f}, {made['disputed']} disputed"
        )
    lines += [f"  ✗ {why}" for why in made["failed"]]
    if made["status"] == "calibrated":
        lines.append(f"  it may gate and page until {made['expires']}")
    return "\n".join(lines)
