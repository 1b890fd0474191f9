"""`watchkeeper gate`: run a target over a dataset here, have the server judge it, say pass, fail or not enough evidence.

Standard library only: an application's CI installs the light package, not the server.
"""

import argparse
import asyncio
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from watchkeeper.cli.targets import TargetError, run

EXIT = {"pass": 0, "fail": 1, "not_enough_evidence": 3}
DEFAULT_SERVER = "http://127.0.0.1:4318"


class GateFailure(Exception):
    """The gate could not be run; the text says what was wrong and what to do (exit status 2)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="NAME[@VERSION]",
        help="which cases; the newest version by default",
    )
    parser.add_argument(
        "--target",
        required=True,
        help="'module:function', 'command: …' (JSON lines), an http(s) URL, or 'outputs:file.jsonl'",
    )
    parser.add_argument("--baseline", help="name or id of the stored experiment to compare with")
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
    parser.add_argument("--repeats", type=int, default=1, help="answers per case, to measure flakiness (1)")
    parser.add_argument("--concurrency", type=int, default=8, help="cases at once (8)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds a case may take (60)")
    parser.add_argument("--server", default=os.environ.get("WATCHKEEPER_ENDPOINT", DEFAULT_SERVER))
    parser.add_argument("--api-key", default=os.environ.get("WATCHKEEPER_API_KEY"))
    parser.add_argument("--project", default=os.environ.get("WATCHKEEPER_PROJECT"))
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    parser.add_argument("--markdown", metavar="FILE", help="write a summary for a pull request")
    parser.add_argument("--json", metavar="FILE", help="write the whole experiment")
    parser.add_argument("--quiet", action="store_true", help="print the verdict only")


class Client:
    """The three calls the gate makes."""

    def __init__(self, server: str, api_key: str | None, project: str | None) -> None:
        self.server = server.rstrip("/")
        self.headers = {"content-type": "application/json", "accept": "application/json"}
        if api_key:
            self.headers["authorization"] = f"Bearer {api_key}"
        if project:
            self.headers["x-watchkeeper-project"] = project

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer; raises `GateFailure` with the server's own words."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + path, data, self.headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise GateFailure(self._words(error)) from error
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise GateFailure(
                f"no Watchkeeper at {self.server} ({reason}); start it with 'watchkeeper serve' or pass --server"
            ) from error
        except ValueError as error:
            raise GateFailure(
                f"{self.server} does not answer like a Watchkeeper server; check --server"
            ) from error

    def _words(self, error: urllib.error.HTTPError) -> str:
        try:
            said = json.loads(error.read())
            words = f"{said['error']}. {said.get('hint') or ''}".strip()
        except (ValueError, KeyError, TypeError):
            words = f"HTTP {error.code}"
        if error.code in (401, 403):
            words += " (pass --api-key or set WATCHKEEPER_API_KEY; the key needs the role editor)"
        return words


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    margin: dict[str, float] = {}
    for given in args.margin:
        scorer, _, loss = given.partition("=")
        try:
            margin[scorer] = float(loss)
        except ValueError:
            raise GateFailure(f"--margin {given}: write SCORER=LOSS, e.g. answer_relevance=0.3") from None
    if not 0 < args.max_failure_rate < 1:
        raise GateFailure(f"--max-failure-rate {args.max_failure_rate}: must be between 0 and 1, e.g. 0.05")
    return {
        "semantic": [s for s in args.semantic.split(",") if s],
        "ignore": [s for s in args.ignore.split(",") if s],
        "margin": margin,
        "max_failure_rate": args.max_failure_rate,
    }


def _dataset(given: str) -> tuple[str, int | None]:
    name, at, version = given.rpartition("@")
    if not at:
        return given, None
    if not version.isdigit():
        raise GateFailure(f"--dataset {given}: the version after @ is a number, e.g. golden@3")
    return name, int(version)


def _progress(quiet: bool) -> Any:
    def show(done: int, total: int) -> None:
        if not quiet and sys.stderr.isatty():
            width = 30 * done // max(1, total)
            sys.stderr.write(f"\r  answering {'█' * width}{'·' * (30 - width)} {done}/{total} ")
            if done == total:
                sys.stderr.write("\n")
            sys.stderr.flush()

    return show


def _write(path: str | None, text: str) -> None:
    if path:
        try:
            Path(path).write_text(text, "utf-8")
        except OSError as error:
            raise GateFailure(f"cannot write {path}: {error.strerror}") from error


def _run(args: argparse.Namespace) -> int:
    client = Client(args.server, args.api_key, args.project)
    settings = _settings(args)
    name, version = _dataset(args.dataset)
    query = f"?version={version}" if version is not None else ""
    dataset = client.call("GET", f"/api/datasets/{urllib.parse.quote(name, safe='')}{query}")
    if not dataset.get("cases"):
        raise GateFailure(f"dataset {name} has no cases yet; promote reviewed traces first")
    answers = asyncio.run(
        run(
            args.target,
            dataset["cases"],
            repeats=max(1, args.repeats),
            concurrency=max(1, args.concurrency),
            timeout=args.timeout,
            progress=_progress(args.quiet),
        )
    )
    experiment = client.call(
        "POST",
        "/api/experiments",
        {
            "dataset": name,
            "version": dataset["version"],
            "target": args.target,
            "name": args.save,
            "baseline": args.baseline,
            "answers": answers,
            "settings": settings,
        },
    )
    print(experiment["report"]["text"] if not args.quiet else experiment["verdict"])
    print(f"  {client.server}/experiments/{experiment['id']}")
    _write(args.junit, experiment["report"]["junit"])
    _write(args.markdown, experiment["report"]["markdown"])
    _write(args.json, json.dumps({k: v for k, v in experiment.items() if k != "report"}, indent=1))
    return EXIT[experiment["verdict"]]


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 pass, 1 fail, 2 could not run, 3 not enough evidence."""
    try:
        return _run(args)
    except (GateFailure, TargetError) as error:
        print(f"watchkeeper gate: {error}", file=sys.stderr)
        return 2
