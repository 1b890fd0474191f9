"""`watchkeeper experiment run|compare|list` and `watchkeeper replay`. Standard library only, like the gate."""

import argparse
import sys
from typing import Any
from urllib.parse import quote, urlencode

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
from watchkeeper.cli.errors import BAD_INPUT, OK, CliError
from watchkeeper.cli.gate import add_judging, settings_of
from watchkeeper.cli.output import agreed, table
from watchkeeper.model.numerals import counted, dollars


def add_run(parser: argparse.ArgumentParser) -> None:
    """The arguments of `experiment run`."""
    parser.add_argument("--dataset", required=True, metavar="NAME[@VERSION]", help="which cases")
    parser.add_argument("--split", help="only the cases of this split")
    parser.add_argument("--against", metavar="NAME", help="compare with this experiment when it is done")
    add_target(parser)
    add_judging(parser)
    add_server(parser)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """The arguments of `experiment compare`."""
    parser.add_argument("before", help="name or id of the earlier experiment")
    parser.add_argument("after", help="name or id of the later one")
    parser.add_argument("--markdown", metavar="FILE", help="write the comparison for a pull request")
    parser.add_argument("--json", metavar="FILE", help="write the whole comparison")
    add_server(parser)


def add_prefer(parser: argparse.ArgumentParser) -> None:
    """The arguments of `experiment prefer`."""
    parser.add_argument("before", help="name or id of the earlier experiment")
    parser.add_argument("after", help="name or id of the later one")
    parser.add_argument("--model", required=True, help="the judge, written provider:model")
    parser.add_argument("--question", help="what better means")
    parser.add_argument("--limit", type=int, default=200, help="most pairs (200)")
    parser.add_argument(
        "--allow-self-judging", action="store_true", help="also judge answers of the judge's own family"
    )
    parser.add_argument("--yes", action="store_true", help="ask without asking first")
    add_server(parser)


def add_list(parser: argparse.ArgumentParser) -> None:
    """The arguments of `experiment list`."""
    parser.add_argument("--dataset", help="only those of this dataset")
    parser.add_argument("--limit", type=int, default=20, help="how many, newest first (20)")
    add_server(parser)


def add_replay(parser: argparse.ArgumentParser) -> None:
    """The arguments of `replay`."""
    parser.add_argument("--since", default="7d", help="how far back (7d)")
    parser.add_argument("--until", help="up to when")
    parser.add_argument("--where", help="a condition over traces and scorers, e.g. \"prompt_version = 'v3'\"")
    parser.add_argument("--text", help="words of the input or output")
    parser.add_argument(
        "--trace", action="append", default=[], metavar="ID", help="this trace; may be repeated"
    )
    parser.add_argument("--limit", type=int, default=100, help="how many traces, 500 at most (100)")
    add_target(parser)
    add_judging(parser)
    add_server(parser)


def _said(args: argparse.Namespace, client: Client, experiment: dict[str, Any], before: str | None) -> None:
    if before is not None:
        found = _compared(client, before, experiment["id"])
        print(found["report"]["text"] if not args.quiet else found["headline"])
    else:
        print(experiment["report"]["text"] if not args.quiet else experiment["id"])
    print(f"  {client.server}/experiments/{experiment['id']}")
    write_reports(args, experiment)


def _compared(client: Client, before: str, after: str) -> dict[str, Any]:
    path = f"/api/experiments/{quote(after, safe='')}/compare?{urlencode({'against': before})}"
    found: dict[str, Any] = client.call("GET", path)
    return found


def _target(
    args: argparse.Namespace, client: Client, dataset: dict[str, Any], baseline: str | None
) -> dict[str, Any]:
    how, settings = how_of(args, client), settings_of(args)
    answers = answer(args, how, dataset["cases"])
    body = {
        "dataset": dataset["dataset"], "version": dataset["version"], "split": getattr(args, "split", None),
        "target": named(args.target, how), "name": args.save, "baseline": baseline, "settings": settings,
    }  # fmt: skip
    return evaluate(client, answers, body)


def run(args: argparse.Namespace) -> int:
    """Run a target over a dataset and store the experiment; 0 whatever its scores are."""
    client = Client.of(args)
    check_baseline(client, args.against)
    dataset = cases_of(client, args.dataset, args.split)
    check_role(client, dataset)
    made = _target(args, client, dataset, args.against)
    _said(args, client, made, args.against)
    return OK


def compare(args: argparse.Namespace) -> int:
    """Print two experiments side by side."""
    client = Client.of(args)
    found = _compared(client, args.before, args.after)
    print(found["report"]["text"])
    print(f"  {client.server}/experiments/{found['after']['id']}?against={found['before']['id']}")
    write_reports(args, found)
    return OK


def prefer(args: argparse.Namespace) -> int:
    """Ask a judge which answers are better, the cost first."""
    client = Client.of(args)
    body: dict[str, Any] = {"against": args.before, "model": args.model, "limit": args.limit}
    body |= {"question": args.question} if args.question else {}
    body |= {"self_judging": "allow"} if args.allow_self_judging else {}
    path = f"/api/experiments/{quote(args.after, safe='')}/prefer"
    planned = client.call("POST", path, body)["planned"]
    cost = "at an unknown price" if planned["cost"] is None else f"{dollars(planned['cost'])} at most"
    if not planned["pairs"]:
        print("no case has two answers that differ, so there is nothing to ask about")
        return OK
    pairs, calls = counted(planned["pairs"], "pair"), counted(planned["calls"], "call")
    print(f"{pairs}, {calls}, {cost} (price table {planned['pricing_version']})")
    if not args.yes and not agreed("ask?"):
        print("nobody was asked; --yes asks")
        return BAD_INPUT
    print(client.call("POST", path, {**body, "confirm": True})["report"]["text"])
    return OK


def listed(args: argparse.Namespace) -> int:
    """Print the newest experiments."""
    if not 1 <= args.limit <= 1000:
        raise CliError(f"--limit {args.limit}: must be from 1 to 1000")
    rows = Client.of(args).call("GET", f"/api/experiments?limit={args.limit}")
    shown = [
        [
            r["name"],
            r["verdict"],
            f"{r['dataset']} v{r['dataset_version']}",
            r.get("n_cases"),
            r["target"],
            r["created"],
            r["id"],
        ]
        for r in rows
        if args.dataset in (None, r["dataset"])
    ]
    table(["name", "verdict", "dataset", "cases", "target", "when", "id"], shown, sys.stdout)
    return OK


def replay(args: argparse.Namespace) -> int:
    """Ask stored traces again with a new target and compare with what production answered; 0 whatever the scores are."""
    if not 1 <= args.limit <= 500:
        raise CliError(f"--limit {args.limit}: must be from 1 to 500")
    client = Client.of(args)
    body = {
        "trace_ids": args.trace, "since": args.since, "until": args.until, "where": args.where, "text": args.text,
        "limit": args.limit,
    }  # fmt: skip
    # A target that cannot be found must not leave a dataset and a baseline behind.
    answer(args, how_of(args, client), [])
    made = client.call("POST", "/api/replays", {k: v for k, v in body.items() if v is not None})
    for trace_id in made["missing"]:
        print(f"--trace {trace_id}: there is no such trace", file=sys.stderr)
    dataset = cases_of(client, f"{made['dataset']}@{made['version']}")
    experiment = _target(args, client, dataset, made["baseline"])
    _said(args, client, experiment, made["baseline"])
    unknown = [r for r in experiment["results"] if r.get("excused")]
    for row in unknown[:10]:
        print(f"    not known: {row['case_id']}: {row['error']}")
    if len(unknown) > 10:
        print(f"    and {len(unknown) - 10} more whose tools were not recorded with these arguments")
    return OK
