"""What `gate`, `experiment run` and `replay` share: a dataset fetched, a target run over it, its answers handed over.

Standard library only: an application's CI installs the light package, not the server.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import urllib.parse
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import CliError
from watchkeeper.cli.output import Progress, write_text
from watchkeeper.testing.targets import How, TargetError, run
from watchkeeper.testing.targets.prompt import find_model
from watchkeeper.testing.targets.running import Finished

TARGETS = "'module:function', 'command: …' (JSON lines), an http(s) URL, 'prompt:file.txt' with --model, or 'outputs:file.jsonl'"


def add_target(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what answers, and how it is run."""
    parser.add_argument("--target", required=True, help=TARGETS)
    model = parser.add_argument_group("the model of a prompt target")
    model.add_argument(
        "--model", metavar="PROVIDER:MODEL", help="of the server's configuration; or a name, with --base-url"
    )
    model.add_argument("--base-url", help="an OpenAI-compatible address, e.g. http://127.0.0.1:8080/v1")
    model.add_argument(
        "--api-key-env", metavar="NAME", help="environment variable that holds the model's key"
    )
    model.add_argument("--price", metavar="IN,OUT", help="USD per million tokens where the server knows none")
    model.add_argument("--temperature", type=float, default=0.0, help="0 by default")
    model.add_argument("--max-tokens", type=int, help="longest answer")
    how = parser.add_argument_group("how the target is run")
    how.add_argument("--repeats", type=int, default=1, help="answers per case, to measure flakiness (1)")
    how.add_argument("--concurrency", type=int, default=8, help="cases at once (8)")
    how.add_argument("--timeout", type=float, default=60.0, help="seconds a case may take (60)")
    how.add_argument(
        "--retries", type=int, default=2, help="further attempts after overload or a cut connection (2)"
    )
    how.add_argument("--max-cost", type=float, metavar="USD", help="begin no case that could exceed this")
    how.add_argument(
        "--cache", type=Path, metavar="FILE", help="keep answers here and never ask the same twice"
    )
    how.add_argument(
        "--fresh", action="store_true", help="ask again what an interrupted run or the cache has"
    )
    how.add_argument(
        "--target-version", metavar="TEXT", help="what else identifies the target, e.g. a commit"
    )


def how_of(args: argparse.Namespace, client: Client) -> How:
    """The run's settings. Raises `CliError` for these, and for a report that could not be written."""
    check_reports(args)
    for name, least in (("repeats", 1), ("concurrency", 1), ("retries", 0)):
        if getattr(args, name) < least:
            raise CliError(f"--{name} {getattr(args, name)}: must be at least {least}")
    if not args.timeout > 0:
        raise CliError(f"--timeout {args.timeout:g}: must be more than 0 seconds")
    if args.max_cost is not None and not args.max_cost > 0:
        raise CliError(f"--max-cost {args.max_cost:g}: must be more than 0 dollars")
    model = None
    if args.target.startswith("prompt:"):
        try:
            model = find_model(
                args.model, args.base_url, args.api_key_env, args.price, args.temperature, args.max_tokens,
                lambda name: client.call("GET", f"/api/models?model={urllib.parse.quote(name, safe='')}"),
            )  # fmt: skip
        except TargetError as error:
            raise CliError(str(error)) from None
    elif args.model:
        raise CliError(f"--model says what answers a prompt; the target {args.target} answers by itself")
    return How(
        repeats=args.repeats, concurrency=args.concurrency, timeout=args.timeout, retries=args.retries,
        max_cost=args.max_cost, cache=args.cache, fresh=args.fresh, version=args.target_version, model=model,
    )  # fmt: skip


def dataset_of(given: str) -> tuple[str, int | None]:
    """`NAME[@VERSION]` in two. Raises `CliError`."""
    name, at, version = given.rpartition("@")
    if not at:
        return given, None
    if not version.isdecimal() or not 0 < int(version) < 2**53:
        raise CliError(f"{given}: the version after @ is a number from 1, e.g. {name or 'golden'}@3")
    return name, int(version)


def cases_of(client: Client, given: str, split: str | None = None) -> dict[str, Any]:
    """The dataset version that is asked for. Raises `CliError` when it has no cases."""
    name, version = dataset_of(given)
    query = f"?version={version}" if version is not None else ""
    found: dict[str, Any] = client.call("GET", f"/api/datasets/{urllib.parse.quote(name, safe='')}{query}")
    if not found.get("cases"):
        raise CliError(f"dataset {name} has no cases yet; promote reviewed traces first")
    found["cases"] = of_split(found, split)
    return found


def of_split(found: dict[str, Any], split: str | None) -> list[dict[str, Any]]:
    """The cases of a dataset version that are in a split, all of them where none is asked for. Raises `CliError` when none is."""
    chosen = [c for c in found["cases"] if split in (None, c.get("split"))]
    if found["cases"] and not chosen:
        there = ", ".join(sorted({str(c.get("split")) for c in found["cases"]}))
        raise CliError(
            f"dataset {found['dataset']} v{found['version']} has no case of split {split}; it has {there}"
        )
    return chosen


def check_baseline(client: Client, baseline: str | None) -> None:
    """Raises `CliError` for an experiment that is not there, before anything is asked and paid for."""
    if baseline is None or baseline.startswith(("production:", "release:")):
        return
    path = f"/api/experiments/{urllib.parse.quote(baseline, safe='')}"
    answer = client.send("GET", path, None)
    if answer.status == 404:
        raise CliError(
            f"there is no experiment {baseline} to compare with; run it with --save {baseline} first"
        )
    if answer.status >= 400:
        raise CliError(client.words(answer))


def check_role(client: Client, dataset: dict[str, Any]) -> None:
    """Raises `CliError` for a key that may not store what is going to be asked and paid for."""
    body = {"dataset": dataset["dataset"], "version": dataset["version"], "answers": []}
    path = "/api/experiments/score"
    answer = client.send("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
    if answer.status in (401, 403):
        raise CliError(client.words(answer))


def _progress(quiet: bool) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        bar = Progress(total, "answering")
        if not quiet:
            bar.at(done, f"{done}/{total}")
            if done == total:
                bar.end()

    return show


def named(target: str, how: How) -> str:
    """How the target is called in the stored experiment."""
    return f"{target} with {how.model.name}" if how.model else target


async def _stopped_alike(work: Awaitable[Finished]) -> Finished:
    """Do `work`; a SIGTERM ends it as Ctrl-C does, which asyncio turns into a cancellation. Raised wherever it comes, it would
    print the traceback of whichever task it hit."""
    ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    )
    if not ours:
        return await work
    task, stopped = asyncio.current_task(), False

    def once(_number: int, _frame: FrameType | None) -> None:
        # Not through the handler of Ctrl-C: what runs in a shell's background ignores that.
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)

    signal.signal(signal.SIGTERM, once)
    try:
        return await work
    except asyncio.CancelledError:
        if stopped:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def answer(args: argparse.Namespace, how: How, cases: list[dict[str, Any]]) -> Finished:
    """The target's answers; `stored()` of them once the server has them. Raises `CliError`."""
    ours = os.open(os.devnull, os.O_RDONLY)
    try:
        found = asyncio.run(_stopped_alike(run(args.target, cases, how, _progress(args.quiet))))
    except TargetError as error:
        raise CliError(str(error)) from None
    except (OSError, ValueError):
        if _is_open(ours):
            raise
        # asyncio would tell of every task and socket that can only be dropped now.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        sys.unraisablehook = lambda _: None
        raise CliError(
            "the target closed files of this process that are not its own, so no answer can be waited for; "
            "run it as a process of its own: --target 'command: …'"
        ) from None
    except KeyboardInterrupt:
        # A second Ctrl-C ends tasks that were ending, of which asyncio would tell with tracebacks; some supervisors send two.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        print("\nthe same command continues where this left off", file=sys.stderr)
        raise
    finally:
        with contextlib.suppress(OSError):
            os.close(ours)
    if found.remembered and not args.quiet:
        where = "the cache" if args.cache else "a run that did not reach its end"
        print(f"{found.remembered} answers are from {where}; --fresh asks again", file=sys.stderr)
    return found


def evaluate(client: Client, answers: Finished, body: dict[str, Any]) -> dict[str, Any]:
    """The experiment the server made of these answers."""
    made: dict[str, Any] = client.call("POST", "/api/experiments", {**body, "answers": list(answers)})
    answers.stored()
    return made


REPORTS = ("junit", "markdown", "json")


def check_reports(args: argparse.Namespace) -> None:
    """Raises `CliError` for a report that cannot be written, before anything is asked and paid for. What is named below the
    current folder stays there, wherever the target goes."""
    for form in REPORTS:
        path = getattr(args, form, None)
        if not path:
            continue
        whole = Path(path).absolute()
        if not whole.parent.is_dir():
            raise CliError(f"--{form} {path}: there is no folder {whole.parent}")
        if whole.is_dir():
            raise CliError(f"--{form} {path}: that is a folder; name a file")
        setattr(args, form, str(whole))


def write_reports(args: argparse.Namespace, found: dict[str, Any]) -> None:
    """The JUnit, Markdown and JSON files that were asked for, of what the command can write. Raises `CliError`."""
    document = {k: v for k, v in found.items() if k != "report"}
    texts = {"json": json.dumps(document, indent=1), **found["report"]}
    for form in REPORTS:
        if path := getattr(args, form, None):
            write_text(path, texts[form])
