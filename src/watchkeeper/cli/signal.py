"""`watchkeeper signal`: list failure signals, act on one, and see, export and retire what actions made."""

import argparse
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from watchkeeper.cli.client import Client, add_server
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import hand_over, moves, print_json, table
from watchkeeper.model.numerals import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own commands."""
    what = parser.add_subparsers(
        dest="what", required=True, metavar="list|show|act|change|managed|export|retire"
    )
    listing = what.add_parser("list", help="the signals, those that need somebody first")
    listing.add_argument(
        "--state", default="open", help="open, all, new, confirmed, fixed, regressed, ignored (open)"
    )
    listing.add_argument(
        "--kind",
        choices=("failure", "topic", "unanswered"),
        default="failure",
        help="what is grouped (failure)",
    )
    show = what.add_parser("show", help="one signal")
    act = what.add_parser("act", help="cases, a scorer, the gate's entry and a monitor in one action")
    act.add_argument(
        "--accept", action="store_true", help="do it; without this it only shows what would be made"
    )
    act.add_argument("--kind", help="take this proposal instead of the best")
    act.add_argument("--dataset", default="regressions", help="where its cases go (regressions)")
    act.add_argument("--name", help="the scorer's name")
    act.add_argument("--owner", help="who answers when it comes back (the signal's owner)")
    act.add_argument("--runbook", help="what to do then (the signal's page)")
    act.add_argument("--model", help="provider:model of a judge, which is then measured")
    act.add_argument("--cases", type=int, default=10, help="most cases (10)")
    act.add_argument("--json", action="store_true", help="print the answer as JSON")
    change = what.add_parser("change", help="confirm, fix, ignore, name or hand over a signal")
    change.add_argument("--state", choices=("new", "confirmed", "fixed", "ignored"), help="where it stands")
    change.add_argument("--release", help="the release that holds the fix")
    for name in ("name", "owner", "severity"):
        change.add_argument(f"--{name}", help=f"its {name} from now on")
    what.add_parser("managed", help="what actions made and is in force")
    export = what.add_parser("export", help="the same as YAML to commit")
    export.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="a file; standard output by default"
    )
    retire = what.add_parser("retire", help="take one out of force")
    for one in (show, act, change):
        one.add_argument("id", help="the signal's id")
    retire.add_argument("id", help="the entry's id")
    for name, one in what.choices.items():
        one.set_defaults(handler=f"watchkeeper.cli.signal:{name if name != 'list' else 'listed'}")
        add_server(one)


def _percent(measured: dict[str, Any]) -> str:
    if measured["value"] is None:
        return "–"
    return f"{measured['k']}/{measured['n']} ({measured['low']:.0%}–{measured['high']:.0%})"


def listed(args: argparse.Namespace) -> int:
    """One line a signal."""
    found = Client.of(args).call("GET", f"/api/signals?state={quote(args.state)}&kind={args.kind}")
    rows = [
        [
            s["id"],
            s["status"],
            s["severity"],
            s["count"],
            _share(s),
            s["trend"],
            s["owner"],
            s["scorer"],
            s["name"],
        ]
        for s in found
    ]
    table(
        ("id", "state", "severity", "traces", "share", "trend", "owner", "found by", "name"), rows, sys.stdout
    )
    return OK


def _share(signal: dict[str, Any]) -> str:
    p = signal["prevalence"]
    return "unknown" if p["value"] is None else f"{p['value']:.2%} ({p['low']:.2%}–{p['high']:.2%})"


def show(args: argparse.Namespace) -> int:
    """One signal as JSON."""
    print_json(Client.of(args).call("GET", f"/api/signals/{quote(args.id)}"))
    return OK


def act(args: argparse.Namespace) -> int:
    """Preview or accept."""
    body: dict[str, Any] = {"accept": args.accept, "dataset": args.dataset, "cases": args.cases}
    body |= {
        k: v for k in ("kind", "name", "owner", "runbook", "model") if (v := getattr(args, k)) is not None
    }
    made = Client.of(args).call("POST", f"/api/signals/{quote(args.id)}/act", body)
    if args.json:
        print_json(made)
        return OK
    if args.accept:
        entry = made["managed"]
        gate = entry["gate"]
        print(f"{entry['id']}: {entry['scorer']} runs now, watched by {entry['monitors'][0]['name']}")
        print(f"{len(gate['cases'])} cases are in {gate['dataset']} v{gate['version']} and must pass it")
        for said in moves(made["moved"]):
            print(said)
        print("watchkeeper signal export prints what to commit")
        return OK
    _show_preview(made)
    return OK


def _show_preview(made: dict[str, Any]) -> None:
    rows = [
        [
            "→" if p["kind"] == made["chosen"] else "", p["kind"], _percent(p["recall"]), _percent(p["false_alarms"]),
            _percent(p["labelled_bad"]), _percent(p["labelled_good"]), p["why"] if p["measured"] else "not measured: give --model",
        ]
        for p in made["proposals"]
    ]  # fmt: skip
    columns = ("", "kind", "finds failures", "flags passing", "labelled bad", "labelled good", "why")
    print(f"from {made['failing']} failing and {made['passing']} passing traces")
    table(columns, rows, sys.stdout)
    print(
        f"{counted(len(made['cases']), 'case')}, {counted(len(made['left_out']), 'near-duplicate')} left out"
    )
    for said in moves(made["moved"], "would move"):
        print(said)
    if made["chosen"] is None:
        print(
            "No proposal is good enough to be taken unseen: name one with --kind, or give a judge's --model."
        )
        return
    print(f"scorer {made['scorer']}; monitor {made['monitor']['name']}: {made['monitor']['condition']}")
    print("nothing is stored yet; --accept does it")


def change(args: argparse.Namespace) -> int:
    """Send what was decided."""
    given = {
        k: v for k in ("state", "release", "name", "owner", "severity") if (v := getattr(args, k)) is not None
    }
    if not given:
        raise CliError("nothing to change: give --state, --name, --owner or --severity")
    made = Client.of(args).call("POST", f"/api/signals/{quote(args.id)}", given)
    print(f"{made['id']}: {made['status']}, {made['severity']}, {made['owner'] or 'nobody'}")
    return OK


def managed(args: argparse.Namespace) -> int:
    """One line an entry."""
    rows = [
        [e["id"], e["scorer"], ", ".join(m["name"] for m in e["monitors"]), e["signal_id"], e["author"], e["in_use"]]
        for e in Client.of(args).call("GET", "/api/managed")
    ]  # fmt: skip
    table(("id", "scorer", "monitor", "signal", "author", "in use"), rows, sys.stdout)
    return OK


def export(args: argparse.Namespace) -> int:
    """Print or write the YAML."""
    text = str(Client.of(args).call("GET", "/api/managed/export")["yaml"])
    hand_over(text, args.output)
    if not text.strip():
        print("nothing is in force; 'watchkeeper signal act ID --accept' makes an entry", file=sys.stderr)
    elif args.output is not None:
        print("a server that reads it uses it instead of its own entries", file=sys.stderr)
    return OK


def retire(args: argparse.Namespace) -> int:
    """Take an entry out of force."""
    Client.of(args).call("POST", f"/api/managed/{quote(args.id)}/retire", {})
    print(f"{args.id} is retired; its cases stay")
    return OK
