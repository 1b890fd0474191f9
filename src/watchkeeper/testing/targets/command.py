"""A command as a target: one JSON case a line in, one JSON answer a line out."""

import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from typing import Any

from watchkeeper.testing.targets.answers import Answer, Case, TargetError, answer_of, failed, text_of

# Of a command that prints something else altogether nobody wants every line in the log of their CI.
_TOLD = 20
# Told of every answer as it comes; False stops the command (the cost cap is reached).
Heard = Callable[[Case, Answer], bool]


async def run_command(command: str, cases: list[Case], timeout: float, heard: Heard) -> list[Answer]:
    """Start the command once, write one JSON line a case to its input, read one JSON line an answer from its output.

    Answers carry the case's `id` and may come in any order. What is missing when the command ends, or when it was
    silent for `timeout` seconds for every case it still owes, is a failure of that case. Raises `TargetError`.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise TargetError(f"'command: {command}' cannot be read as a command: {error}") from None
    if not words:
        raise TargetError("'command:' names no command; write 'command: ./answer --json'")
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 26
        )
    except OSError as error:
        raise TargetError(f"cannot start {words[0]!r}: {error.strerror}") from error
    assert process.stdin is not None and process.stdout is not None
    answers: dict[str, Answer] = {}
    writing = asyncio.create_task(_write(process.stdin, cases))
    ended = ""
    try:
        await asyncio.wait_for(
            _read(process.stdout, {c["id"]: c for c in cases}, answers, heard), timeout * max(1, len(cases))
        )
    except TimeoutError:
        ended = f"no answer within {timeout:g} s a case; the command was stopped"
    finally:
        writing.cancel()
        if process.returncode is None and (ended or len(answers) == len(cases)):
            try:
                await asyncio.wait_for(process.wait(), 0.0 if ended else 10.0)
            except TimeoutError:
                process.kill()
        elif process.returncode is None:
            # Its output ended early: it is either leaving or stopped by us.
            try:
                await asyncio.wait_for(process.wait(), 2.0)
            except TimeoutError:
                process.kill()
    status = await process.wait()
    missing = ended or f"the command ended with status {status} without answering this case"
    return [answers.get(c["id"]) or failed(c, missing) for c in cases]


async def _write(stream: asyncio.StreamWriter, cases: list[Case]) -> None:
    try:
        for case in cases:
            stream.write(json.dumps({**case, "text": text_of(case)}, default=str).encode() + b"\n")
            await stream.drain()
        stream.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # it does not read all it is given; what it answered still counts


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:
        return b"a line of more than 64 MB"


async def _read(
    stream: asyncio.StreamReader, by_id: dict[str, Case], answers: dict[str, Answer], heard: Heard
) -> None:
    ignored = 0
    while line := await _line(stream):
        try:
            said: Any = json.loads(line)
            case = by_id[said["id"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            ignored += 1
            if ignored <= _TOLD:
                why = (
                    "no JSON"
                    if isinstance(error, ValueError | RecursionError)
                    else "without the id of a case"
                )
                more = "; more of them are not told" if ignored == _TOLD else ""
                shown = "".join(
                    c if c.isprintable() else " " for c in line[:240].decode(errors="replace")
                ).strip()
                sys.stderr.write(f"ignored a line that is not an answer, {why}: {shown[:120]}{more}\n")
            continue
        if case["id"] in answers:
            continue
        answers[case["id"]] = answer_of(case, said, None)
        if not heard(case, answers[case["id"]]):
            return
