"""The `watchkeeper` command.

Exit status: 0 fine, 1 the thing judged failed (gate, tests), 2 bad input or usage, 3 not enough evidence (gate), 130 stopped.
"""

import argparse
import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.cli import (
    backfill,
    calibrate,
    dataset,
    deadletters,
    erase,
    experiment,
    gate,
    signal,
    taxonomy,
    train,
)
from watchkeeper.cli.client import add_data_dir, add_server, add_stores
from watchkeeper.cli.errors import BAD_INPUT, OK, CliError
from watchkeeper.cli.usage import Parser

if TYPE_CHECKING:
    Parsers = argparse._SubParsersAction[Parser]  # pyright: ignore[reportPrivateUsage]


def _runs(parser: argparse.ArgumentParser, where: str) -> None:
    """The handler as `module:function`, imported only when the command is used."""
    parser.set_defaults(handler=where)


def _serving(commands: "Parsers") -> None:
    serve = commands.add_parser("serve", help="run the server")
    add_data_dir(serve)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, default=4318, help="HTTP: pages, API and OTLP (4318)")
    serve.add_argument("--grpc-port", type=int, default=4317, help="OTLP over gRPC (4317); 0 switches it off")
    serve.add_argument("--config", type=Path, help="a YAML file or a folder of them")
    add_stores(serve)
    serve.add_argument("--no-auth", action="store_true", help="no login; on loopback only")
    serve.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="least that is logged (info)",
    )
    _runs(serve, "watchkeeper.cli.serve:main")
    demo = commands.add_parser(
        "demo", help="play two weeks of a support assistant's traffic and watch the loop"
    )
    demo.add_argument("--fast", action="store_true", help="the whole story in under 40 seconds")
    demo.add_argument(
        "--exit", action="store_true", help="stop after the story; 0 only if it came out as told"
    )
    demo.add_argument("--port", type=int, default=4318, help="where its pages are (4318)")
    demo.add_argument(
        "--data-dir", type=Path, help="keep its data in this new folder; a temporary one by default"
    )
    add_stores(demo, environment=False)
    _runs(demo, "watchkeeper.demo.main:main")


def _configuration(commands: "Parsers") -> None:
    check = commands.add_parser("check", help="is this configuration usable")
    check.add_argument(
        "config", type=Path, nargs="?", default=Path("watchkeeper.yaml"), help="file or folder"
    )
    check.add_argument("--json", action="store_true", help="print the problems as JSON")
    check.add_argument(
        "--allow-missing-env", action="store_true", help="do not require the secrets to be set"
    )
    check.add_argument("--schema", action="store_true", help="print the JSON Schema for editors instead")
    check.add_argument(
        "--managed", action="store_true", help="together with what a server made from signals (--server)"
    )
    add_server(check)
    _runs(check, "watchkeeper.cli.check:main")
    plan = commands.add_parser("plan", help="what this configuration would cost and see")
    plan.add_argument("config", type=Path, help="file or folder")
    plan.add_argument("--days", type=int, default=7, help="days of traffic to plan from (7)")
    add_server(plan)
    _runs(plan, "watchkeeper.cli.plan:main")
    test = commands.add_parser("test", help="run the own tests of monitors, checks and functions")
    test.add_argument("config", type=Path, help="file or folder")
    _runs(test, "watchkeeper.cli.monitors:test")
    backtest = commands.add_parser("backtest", help="run monitors over history: when would they have fired")
    backtest.add_argument("config", type=Path, help="file or folder")
    backtest.add_argument("--monitor", help="only this one")
    backtest.add_argument("--since", default="14d", help="how far back (14d)")
    add_server(backtest)
    _runs(backtest, "watchkeeper.cli.monitors:backtest")


def _scoring(commands: "Parsers") -> None:
    history = commands.add_parser("backfill", help="run a scorer over history, its cost shown first")
    backfill.add_arguments(history)
    add_server(history)
    _runs(history, "watchkeeper.cli.backfill:main")
    training = commands.add_parser(
        "train", help="a narrow classifier from labels, compared with its judge first"
    )
    train.add_arguments(training)
    add_server(training)
    _runs(training, "watchkeeper.cli.train:main")


def _using(commands: "Parsers") -> None:
    sql = commands.add_parser("sql", help="one read-only statement over traces, spans, scores and series")
    sql.add_argument("query", help="the statement, or - to read it from standard input")
    sql.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        default="table",
        help="how the answer is printed (table); json: an object a line",
    )
    add_server(sql)
    _runs(sql, "watchkeeper.cli.sql:main")
    costs = commands.add_parser(
        "recompute-cost", help="make stored costs again with the prices in force; list models without one"
    )
    costs.add_argument("--since", help="only traces from this time on, or so long ago (30d)")
    costs.add_argument("--until", help="only traces before this time")
    costs.add_argument("--list", action="store_true", help="only list the models without a cost")
    add_server(costs)
    _runs(costs, "watchkeeper.cli.prices:main")
    agents = commands.add_parser("mcp", help="serve a coding agent (MCP on standard input and output)")
    agents.add_argument(
        "--target", help="what run_gate asks: 'module:function', 'command: …', a URL, or 'outputs:file.jsonl'"
    )
    add_server(agents)
    _runs(agents, "watchkeeper.mcp.server:main")


def _moving(commands: "Parsers") -> None:
    importing = commands.add_parser(
        "import",
        help="import OTLP files and exports of Braintrust, Langfuse, LangSmith, MLflow, Phoenix or Watchkeeper",
    )
    importing.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files or folders")
    importing.add_argument(
        "--format",
        metavar="NAME",
        help="whose export the files are, or otlp; recognised by their records otherwise",
    )
    importing.add_argument(
        "--resume", type=Path, metavar="FILE", help="note here what is done; run again to go on from there"
    )
    importing.add_argument("--signal", choices=("traces", "logs", "metrics"), help="what protobuf files hold")
    add_server(importing)
    _runs(importing, "watchkeeper.cli.importing:main")
    exporting = commands.add_parser("export", help="write data to a file: JSON lines, CSV, Parquet, Arrow")
    exporting.add_argument(
        "-o", "--output", default="-", metavar="FILE", help="- is standard output (default)"
    )
    exporting.add_argument(
        "--format",
        choices=("jsonl", "csv", "parquet", "arrow", "otlp"),
        help="by the file's suffix otherwise, or jsonl",
    )
    exporting.add_argument(
        "--query", metavar="SELECT", help="one read-only statement, or - for standard input"
    )
    exporting.add_argument("--table", choices=("traces", "spans", "scores"), help="a whole table (traces)")
    exporting.add_argument(
        "--traces", action="store_true", help="whole traces with their raw spans, for 'watchkeeper import'"
    )
    exporting.add_argument("--since", help="from this time, or so long ago (7d)")
    exporting.add_argument("--until", help="before this time")
    exporting.add_argument("--where", help="a condition over the table's columns and scorers")
    add_server(exporting)
    _runs(exporting, "watchkeeper.cli.exporting:main")


def _judging(commands: "Parsers") -> None:
    calibrating = commands.add_parser(
        "calibrate", help="compare a scorer with people; only then may it gate and page"
    )
    calibrate.add_arguments(calibrating)
    add_server(calibrating)
    _runs(calibrating, "watchkeeper.cli.calibrate:main")
    signals = commands.add_parser("signal", help="failure signals, and what one action makes of one")
    signal.add_arguments(signals)
    naming = commands.add_parser("taxonomy", help="names of failures, and those that comments call for")
    taxonomy.add_arguments(naming)
    gating = commands.add_parser(
        "gate", help="judge a target over a dataset: pass, fail, not enough evidence"
    )
    gate.add_arguments(gating)
    _runs(gating, "watchkeeper.cli.gate:main")
    held = commands.add_parser("dataset", help="list, export, import and compare versions of datasets")
    subcommands = held.add_subparsers(dest="what", required=True, metavar="list|export|import|diff")
    dataset.add_arguments(subcommands, _runs)
    trying = commands.add_parser(
        "experiment", help="run a target over a dataset, compare two runs, list them"
    )
    which = trying.add_subparsers(dest="what", required=True, metavar="run|compare|prefer|list")
    running = which.add_parser("run", help="store a target's scored answers")
    experiment.add_run(running)
    _runs(running, "watchkeeper.cli.experiment:run")
    comparing = which.add_parser("compare", help="two runs side by side, differences first")
    experiment.add_compare(comparing)
    _runs(comparing, "watchkeeper.cli.experiment:compare")
    preferring = which.add_parser("prefer", help="which run's answers a judge prefers, asked in both orders")
    experiment.add_prefer(preferring)
    _runs(preferring, "watchkeeper.cli.experiment:prefer")
    listing = which.add_parser("list", help="the newest runs")
    experiment.add_list(listing)
    _runs(listing, "watchkeeper.cli.experiment:listed")
    again = commands.add_parser("replay", help="ask stored traces again with a new prompt, model or release")
    experiment.add_replay(again)
    _runs(again, "watchkeeper.cli.experiment:replay")


def _responding(commands: "Parsers") -> None:
    report = commands.add_parser("report", help="the weekly summary or the evidence report of a period")
    report.add_argument("kind", choices=("weekly", "evidence"), help="which report")
    report.add_argument("--since", help="how far back (7d; evidence: 30d), or a time")
    report.add_argument(
        "--format", choices=("md", "html", "json"), default="md", help="Markdown (md), a page or its figures"
    )
    report.add_argument("-o", "--output", metavar="FILE", help="a file; standard output when not given")
    add_server(report)
    _runs(report, "watchkeeper.cli.report:main")
    incident = commands.add_parser("incident", help="list incidents, export a post-mortem").add_subparsers(
        dest="what", required=True, metavar="list|export"
    )
    incidents = incident.add_parser("list", help="incidents, latest first")
    incidents.add_argument(
        "--status",
        choices=("open", "acknowledged", "resolved", "unresolved", "all"),
        default="all",
        help="only these (all)",
    )
    _runs(incidents, "watchkeeper.cli.incident:listing")
    export = incident.add_parser("export", help="the draft of a post-mortem in Markdown")
    export.add_argument("id", help="as `incident list` shows it")
    export.add_argument("-o", "--output", metavar="FILE", help="a file; standard output when not given")
    _runs(export, "watchkeeper.cli.incident:export")
    for one in (incidents, export):
        add_server(one)
    given_up = commands.add_parser("dead-letters", help="what was given up: list it, try it again")
    deadletters.add_arguments(given_up)
    add_server(given_up)
    _runs(given_up, "watchkeeper.cli.deadletters:main")


def _administering(commands: "Parsers") -> None:
    keys = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        dest="what", required=True, metavar="create|list|revoke"
    )
    create = keys.add_parser("create", help="make a key; it is printed once")
    create.add_argument("name", help="who uses it")
    create.add_argument(
        "--role",
        choices=("ingest", "viewer", "reviewer", "editor", "admin"),
        default="ingest",
        help="what it may do (ingest: send)",
    )
    create.add_argument("--all-projects", action="store_true", help="for every project")
    create.add_argument(
        "--expires-in-days",
        type=int,
        metavar="DAYS",
        help="how long it is valid, 1 to 3650 (it does not expire)",
    )
    _runs(create, "watchkeeper.cli.keys:create")
    listing = keys.add_parser("list", help="the keys, without their secrets")
    _runs(listing, "watchkeeper.cli.keys:list_keys")
    revoke = keys.add_parser("revoke", help="make a key useless")
    revoke.add_argument("id", help="the part between wk_ and the second _")
    _runs(revoke, "watchkeeper.cli.keys:revoke")
    link = commands.add_parser("login-link", help="a one-time link to sign in")
    link.add_argument("--email", default="admin@localhost", help="for whom (admin@localhost)")
    _runs(link, "watchkeeper.cli.keys:login_link")
    erasing = commands.add_parser("erase", help="erase a user or traces and what was made from them")
    erase.add_arguments(erasing)
    add_server(erasing)
    _runs(erasing, "watchkeeper.cli.erase:main")
    backup = commands.add_parser(
        "backup", help="copy a data directory, also of a running server, with checksums"
    )
    backup.add_argument("to", type=Path, help="a folder that does not exist yet")
    _runs(backup, "watchkeeper.cli.backup:backup")
    restore = commands.add_parser("restore", help="make a data directory from a backup")
    restore.add_argument("source", type=Path, help="the backup's folder")
    add_data_dir(restore)
    _runs(restore, "watchkeeper.cli.backup:restore")
    add_data_dir(backup)
    add_stores(backup)
    for one in (create, listing, revoke, link):
        add_server(one)
        add_stores(one)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    made = Parser(
        prog="watchkeeper",
        description="Is your LLM application still working? Trace, score, review, alert, test.",
    )
    made.add_argument("--version", action="store_true", help="print the version")
    commands = made.add_subparsers(dest="command", metavar="COMMAND")
    _serving(commands)
    _configuration(commands)
    _scoring(commands)
    _using(commands)
    _moving(commands)
    _judging(commands)
    _responding(commands)
    _administering(commands)
    return made


def _missing(error: ModuleNotFoundError) -> str | None:
    """What to install when a package is missing that only the server extra brings; None for a fault of ours."""
    name = (error.name or "").split(".")[0]
    if name == "watchkeeper":
        return None
    if name in ("mcp", "mcp_types"):
        return "this command needs the MCP SDK; install it with: pip install 'watchkeeper[mcp]'"
    if name == "psycopg":
        return "records on PostgreSQL need its driver; install it with: pip install 'watchkeeper[postgresql]'"
    return (
        f"this command needs the server, of which {name} is not installed; "
        "install it with: pip install 'watchkeeper[server]'"
    )


def _print_version() -> int:
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(version("watchkeeper"))
    except PackageNotFoundError:
        print("unknown (not installed)")
    return 0


def _tell(words: str) -> None:
    """Words for the user, as far as there is anybody to read them: what to say must not decide how we end."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(words, file=sys.stderr, flush=True)


def _leave(code: int) -> int:
    """End with this status, whatever could not be written: Python would try again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. A user never sees a traceback unless WATCHKEEPER_DEBUG is set."""
    # Our matrices are small and requests share the cores: threads of the linear algebra would only wait for one another.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    made = parser()
    args = made.parse_args(argv)
    if args.version:
        return _print_version()
    if args.command is None:
        made.print_help()
        return BAD_INPUT
    try:
        module, _, function = str(args.handler).partition(":")
        code = int(getattr(importlib.import_module(module), function)(args) or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except CliError as error:
        _tell(f"watchkeeper {args.command}: {error}")
        return error.code
    except ModuleNotFoundError as error:
        words = _missing(error)
        if words is None:
            raise
        _tell(f"watchkeeper {args.command}: {words}")
        return BAD_INPUT
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`); that is not an error, but Python would print one at exit.
        return _leave(OK)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _tell(f"watchkeeper {args.command}: cannot write its answer: {error.strerror}")
            return _leave(BAD_INPUT)
        if os.environ.get("WATCHKEEPER_DEBUG"):
            raise
        _tell(
            f"watchkeeper {args.command}: a fault of ours: {type(error).__name__}: {error}\n"
            "  set WATCHKEEPER_DEBUG=1 to see where, and please report it"
        )
        return BAD_INPUT
