"""`watchkeeper backfill`: a scorer over history, its cost first."""

import argparse
import sys
import time
from typing import Any
from urllib.parse import quote

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import BAD_INPUT, JUDGED_BAD, OK, CliError
from watchkeeper.cli.output import Progress, agreed, table
from watchkeeper.model.numerals import dollars

POLL_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("scorer", nargs="?", help="a scorer's name")
    parser.add_argument("--scorecard", help="all judges of this scorecard instead")
    parser.add_argument("--since", default="7d", help="from when: 7d, 24h, 2026-11-01 (7d)")
    parser.add_argument("--until", help="up to when (now)")
    parser.add_argument("--where", help="only traces that meet this condition: \"scenario = 'support'\"")
    parser.add_argument(
        "--limit", type=int, help="this many traces, a random sample with a known probability"
    )
    parser.add_argument("--budget", type=float, help="USD it may spend, beside the scorecard's daily budget")
    parser.add_argument("--yes", action="store_true", help="start without asking")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for its end")
    parser.add_argument("--list", action="store_true", help="the runs there are")
    for action in ("pause", "resume", "cancel"):
        parser.add_argument(f"--{action}", metavar="ID", help=f"{action} a run")


def money(usd: float | None) -> str:
    """Dollars as people read them; an unknown price is said to be unknown."""
    return "unknown (no price for the model)" if usd is None else dollars(usd)


def show_preview(made: dict[str, Any]) -> None:
    """What a run would do."""
    p: dict[str, Any] = made["preview"]
    print(f"scorers       {', '.join(sorted(made['scorers']))}")
    print(f"traces        {p['traces']:,} from {made['since']} to {made['until']}")
    if made["limit"]:
        print(f"to score      {p['chosen']:,}, a sample with probability {p['probability']:.4f}")
    print(f"scored before {p['already']:,} traces of that time by this version; they are not scored again")
    if p["calls"]:
        print(
            f"calls         {p['calls']:,} at most, about {p['input_tokens']:,} tokens in and {p['output_tokens']:,} out"
        )
        print(f"cost          {money(p['cost'])} at most, by price table {p['pricing_version']},"
              f" from {p['sampled']} prompts built and not sent")  # fmt: skip
    else:
        print("cost          nothing: no model is asked")


def _listed(client: Client) -> int:
    rows = [
        [b["id"], ", ".join(sorted(b["scorers"])), b["state"], None if b["progress"] is None else round(100 * b["progress"], 1),
         b["seen"], b["scored"] + b["judged"], b["waiting"], money(b["cost"]), b["reason"]]
        for b in client.call("GET", "/api/backfills")
    ]  # fmt: skip
    table(("id", "scorers", "state", "%", "traces", "scores", "waiting", "cost", ""), rows, sys.stdout)
    return OK


def main(args: argparse.Namespace) -> int:
    """Preview, ask, start and follow; exit status 1 when it did not come to its end, 2 for wrong input."""
    client = Client.of(args)
    if args.list:
        return _listed(client)
    for action in ("pause", "resume", "cancel"):
        if chosen := getattr(args, action):
            made = client.call("POST", f"/api/backfills/{quote(chosen, safe='')}", {"action": action})
            print(f"{made['id']} is {made['state']}")
            return OK
    if (args.scorer is None) == (args.scorecard is None):
        raise CliError("name a scorer, or --scorecard NAME; --list shows the runs there are")
    body = {
        k: v
        for k in ("scorer", "scorecard", "since", "until", "where", "limit", "budget")
        if (v := getattr(args, k)) is not None
    }
    preview = client.call("POST", "/api/backfills", body)
    show_preview(preview)
    if not args.yes and not agreed("start it?"):
        print("nothing was started; --yes starts it")
        return BAD_INPUT
    started = client.call("POST", "/api/backfills", {**body, "confirm": True})
    print(f"started {started['id']}; Ctrl-C stops watching, not the run")
    return OK if args.no_wait else _followed(client, started["id"])


def _followed(client: Client, backfill_id: str) -> int:
    bar = Progress(1000, "scoring")
    while True:
        made = client.call("GET", f"/api/backfills/{backfill_id}")
        if made["state"] != "running":
            break
        scores = made["scored"] + made["judged"]
        bar.at(
            round(1000 * (made["progress"] or 0)),
            f"{scores:,} scores, {made['waiting']:,} waiting, {money(made['cost'])}",
        )
        time.sleep(POLL_S)
    bar.end()
    scores = made["scored"] + made["judged"]
    print(f"{made['state']}: {made['seen']:,} traces, {scores:,} scores, {money(made['cost'])}")
    if made["reason"]:
        print(made["reason"])
    return OK if made["state"] == "done" else JUDGED_BAD
