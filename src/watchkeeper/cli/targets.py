"""What a gate can test: a Python function, a command, an HTTP endpoint, or stored outputs. Standard library only, so
that `pip install watchkeeper` is enough in an application's CI."""

import asyncio
import importlib
import inspect
import json
import shlex
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Case = dict[str, Any]
Answer = dict[str, Any]
Progress = Callable[[int, int], None]


class TargetError(Exception):
    """The target cannot be used at all; the text says what was wrong and what a target may be."""


def _text(case: Case) -> Any:
    given = case["input"]
    return given["text"] if isinstance(given, dict) and given.get("text") is not None else given


def _answer(case: Case, returned: Any, seconds: float) -> Answer:
    """What a target returned, as an answer: a string, or a dict with `output` and more."""
    if isinstance(returned, str):
        returned = {"output": returned}
    if not isinstance(returned, dict) or "output" not in returned:
        kind = type(returned).__name__
        return {
            "case_id": case["id"],
            "error": f"the target returned {kind}, not text or a dict with 'output'",
        }
    known = (
        "output",
        "documents",
        "tool_calls",
        "finish_reason",
        "model",
        "usage",
        "cost",
        "latency_ms",
        "error",
    )
    answer = {k: returned[k] for k in known if k in returned}
    if answer["output"] is not None and not isinstance(answer["output"], str):
        answer["output"] = json.dumps(answer["output"], ensure_ascii=False)
    return {"case_id": case["id"], "latency_ms": seconds * 1000, **answer}


def load_function(spec: str) -> Callable[..., Any]:
    """The function named by `module:function`, with the current folder importable. Raises `TargetError`."""
    module_name, _, attribute = spec.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
        for piece in attribute.split("."):
            found = getattr(found, piece)
    except (ImportError, AttributeError) as error:
        raise TargetError(
            f"target {spec}: {error}. A target is 'module:function', 'command: …', an http(s) URL or 'outputs:file.jsonl'."
        ) from error
    if not callable(found):
        raise TargetError(f"target {spec} is a {type(found).__name__}, not a function")
    return found


async def _call(function: Callable[..., Any], case: Case) -> Any:
    """Call with the whole case where the function asks for `case`, else with the input's text."""
    argument = case if "case" in inspect.signature(function).parameters else _text(case)
    if inspect.iscoroutinefunction(function):
        return await function(argument)
    return await asyncio.to_thread(function, argument)


async def _one(function: Callable[..., Any], case: Case, timeout: float) -> Answer:
    started = time.perf_counter()
    try:
        returned = await asyncio.wait_for(_call(function, case), timeout)
    except TimeoutError:
        return {"case_id": case["id"], "error": f"no answer within {timeout:g} s"}
    # The target is the user's code: whatever it raises is this case's failed answer, counted and shown by the gate.
    except Exception as error:  # noqa: BLE001
        return {"case_id": case["id"], "error": f"{type(error).__name__}: {error}"}
    return _answer(case, returned, time.perf_counter() - started)


async def run_function(
    function: Callable[..., Any], cases: list[Case], concurrency: int, timeout: float, progress: Progress
) -> list[Answer]:
    """Every case through the function, `concurrency` at a time; a case that raises or hangs is an answer with `error`."""
    limit = asyncio.Semaphore(concurrency)
    done = 0

    async def one(case: Case) -> Answer:
        nonlocal done
        async with limit:
            answer = await _one(function, case, timeout)
        done += 1
        progress(done, len(cases))
        return answer

    return list(await asyncio.gather(*(one(c) for c in cases)))


async def run_command(command: str, cases: list[Case], timeout: float, progress: Progress) -> list[Answer]:
    """Start the command once, write one JSON line a case to its input, read one JSON line an answer from its output.

    Answers carry the case's `id`; they may come in any order. What is missing when the command ends is an error.
    """
    words = shlex.split(command)
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 26
        )
    except OSError as error:
        raise TargetError(f"cannot start {words[0]!r}: {error.strerror}") from error
    assert process.stdin is not None and process.stdout is not None
    by_id = {c["id"]: c for c in cases}
    answers: dict[str, Answer] = {}
    reading = asyncio.create_task(_read_answers(process.stdout, by_id, answers, progress))
    try:
        for case in cases:
            process.stdin.write(json.dumps({**case, "text": _text(case)}).encode() + b"\n")
            await process.stdin.drain()
        process.stdin.close()
        await asyncio.wait_for(reading, timeout * max(1, len(cases)))
        await asyncio.wait_for(process.wait(), 10)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        reading.cancel()
        if process.returncode is None:
            process.kill()
    ended = await process.wait()
    missing = f"the command ended with status {ended} without answering this case"
    return [answers.get(c["id"]) or {"case_id": c["id"], "error": missing} for c in cases]


async def _read_answers(
    stream: asyncio.StreamReader, by_id: dict[str, Case], answers: dict[str, Answer], progress: Progress
) -> None:
    async for line in stream:
        try:
            said = json.loads(line)
            case = by_id[said["id"]]
        except (ValueError, KeyError, TypeError):
            sys.stderr.write(f"ignored a line that is not an answer: {line[:120]!r}\n")
            continue
        answers[case["id"]] = _answer(case, said, 0.0)
        if "latency_ms" not in said:
            answers[case["id"]].pop("latency_ms", None)
        progress(len(answers), len(by_id))


def http_function(url: str, timeout: float) -> Callable[[Case], Any]:
    """A function that POSTs the case as JSON and returns the JSON (or text) answer."""

    def ask(case: Case) -> Any:
        body = json.dumps({**case, "text": _text(case)}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read().decode("utf-8", "replace")
            is_json = "json" in (answer.headers.get("content-type") or "")
        return json.loads(text) if is_json else text

    return ask


def read_outputs(path: str, cases: list[Case]) -> list[Answer]:
    """Stored outputs: JSON lines with `id` (or `case_id`) and `output`."""
    try:
        rows = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise TargetError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise TargetError(f"{path} is not JSON lines: {error}") from error
    by_id = {r.get("case_id") or r.get("id"): r for r in rows if isinstance(r, dict)}
    return [
        _answer(c, by_id[c["id"]], 0.0)
        if c["id"] in by_id
        else {"case_id": c["id"], "error": "no stored output"}
        for c in cases
    ]


async def run(
    target: str,
    cases: list[Case],
    *,
    repeats: int = 1,
    concurrency: int = 8,
    timeout: float = 60.0,
    progress: Progress = lambda _done, _all: None,
) -> list[Answer]:
    """Run `target` over the cases, `repeats` times, and return one answer a case and repeat. Raises `TargetError`."""
    answers: list[Answer] = []
    for repeat in range(repeats):
        if target.startswith("outputs:"):
            found: Iterable[Answer] = read_outputs(target.removeprefix("outputs:"), cases)
        elif target.startswith("command:"):
            found = await run_command(target.removeprefix("command:").strip(), cases, timeout, progress)
        elif target.startswith(("http://", "https://")):
            found = await run_function(http_function(target, timeout), cases, concurrency, timeout, progress)
        else:
            found = await run_function(load_function(target), cases, concurrency, timeout, progress)
        answers.extend({**a, "repeat": repeat} for a in found)
    return answers
