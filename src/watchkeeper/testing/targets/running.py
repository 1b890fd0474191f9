"""A target over cases: concurrency, retries with backoff, timeouts, a cost cap, resume, cache, repeats.

Every case and repeat has exactly one answer. What the target does wrong is a failed answer with its reason; what could
not be asked (the cost cap) or could not be known (a tool that was not recorded) is an answer that counts neither way.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watchkeeper.model.numerals import dollars, price
from watchkeeper.testing.targets.answers import (
    Answer,
    Case,
    TargetError,
    Transient,
    answer_of,
    excused,
    failed,
)
from watchkeeper.testing.targets.command import run_command
from watchkeeper.testing.targets.functions import caller, endpoint, load_function, outliving
from watchkeeper.testing.targets.journal import Forgetful, Journal, content_of, default_folder, digest
from watchkeeper.testing.targets.prompt import Model, Prompted

Progress = Callable[[int, int], None]
LONGEST_WAIT = 60.0


def _silent(_done: int, _all: int) -> None:
    """No progress."""


@dataclass(frozen=True)
class How:
    """How a target is run.

    Attributes:
        repeats: answers per case, to measure flakiness.
        concurrency: cases at once.
        timeout: seconds one attempt may take.
        retries: further attempts after one that may pass (overload, a cut connection, a timeout of the network).
        backoff: seconds before the first retry; doubled each time, with jitter, and never less than what was asked for.
        max_cost: USD; no case is begun that could exceed it. None: no cap.
        cache: a file that keeps answers for later runs; None keeps them only until the run is stored.
        resume: keep answers on disk until they are stored, so that a killed run continues.
        fresh: forget what an interrupted run left.
        version: what else identifies the target (a commit), for the cache.
        model: the model of a prompt target.
    """

    repeats: int = 1
    concurrency: int = 8
    timeout: float = 60.0
    retries: int = 2
    backoff: float = 0.5
    max_cost: float | None = None
    cache: Path | None = None
    resume: bool = True
    fresh: bool = False
    version: str | None = None
    model: Model | None = None


@dataclass
class Purse:
    """What has been spent and reserved. A case is begun only when the dearest case seen so far still fits beside all
    that are running, and until a price is known cases go one at a time; so the cap is passed by at most what one case
    costs more than any before it."""

    cap: float | None
    spent: float = 0.0
    running: int = 0
    dearest: float | None = None
    stopped: str | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def admit(self) -> bool:
        """Wait until another case may begin; False when none may any more."""
        if self.cap is None:
            return True
        async with self.changed:
            while True:
                if self.stopped:
                    return False
                each = self.dearest
                if self.running == 0 or (
                    each is not None and self.spent + (self.running + 1) * each <= self.cap
                ):
                    if self.spent + (each or 0.0) > self.cap or self.spent >= self.cap:
                        self.stopped = f"not asked: the cost cap of {price(self.cap)} is reached ({dollars(self.spent)} spent)"
                        return False
                    self.running += 1
                    return True
                await self.changed.wait()

    async def settle(self, answer: Answer) -> None:
        """A case that was admitted has ended."""
        if self.cap is None:
            return
        async with self.changed:
            self.running -= 1
            self.pay(answer)
            self.changed.notify_all()

    def pay(self, answer: Answer) -> None:
        """Count an answer's cost. An answer without one means that the cap cannot be kept: nothing more is asked."""
        cost = answer.get("cost")
        if isinstance(cost, int | float):
            self.spent += float(cost)
            self.dearest = max(self.dearest or 0.0, float(cost))
        elif "error" not in answer and self.cap is not None:
            self.stopped = "not asked: the target reports no cost, so the cost cap cannot be kept"


async def _attempts(ask: Callable[[Case], Awaitable[Any]], case: Case, how: How) -> Answer:
    """One case with its retries. Only what may pass is tried again; a wrong answer never is."""
    loop = asyncio.get_running_loop()
    wait = how.backoff
    for attempt in range(1, how.retries + 2):
        started = loop.time()
        after = f" (after {attempt} attempts)" if attempt > 1 else ""
        try:
            returned = await asyncio.wait_for(ask(case), how.timeout)
            answer = answer_of(case, returned, loop.time() - started)
            return {**answer, "attempts": attempt} if attempt > 1 else answer
        except TimeoutError:
            return failed(case, f"no answer within {how.timeout:g} s{after}")
        except (Transient, ConnectionError) as error:
            if attempt > how.retries:
                return failed(case, f"{error}{after}" if str(error) else f"{type(error).__name__}{after}")
            wished = error.after_s if isinstance(error, Transient) else None
        # The target is the user's code: whatever it raises is this case's failed answer, counted and shown by the gate.
        except Exception as error:  # noqa: BLE001
            return failed(case, f"{type(error).__name__}: {error}{after}")
        await asyncio.sleep(min(LONGEST_WAIT, max(wait * random.uniform(0.75, 1.25), wished or 0.0)))
        wait *= 2
    raise AssertionError("every attempt returns or waits")


@dataclass
class _Run:
    how: How
    journal: Journal | Forgetful
    purse: Purse
    progress: Progress
    total: int
    done: int = 0
    remembered: int = 0

    def note(self, case: Case, repeat: int, answer: Answer) -> Answer:
        self.journal.put(case, repeat, answer)
        self.done += 1
        self.progress(self.done, self.total)
        return {**answer, "repeat": repeat}

    def known(self, case: Case, repeat: int) -> Answer | None:
        """The answer of an earlier run. It costs nothing again, but its price is what to expect of the others."""
        answer = self.journal.get(case, repeat)
        if answer is None:
            return None
        if isinstance(cost := answer.get("cost"), int | float):
            self.purse.dearest = max(self.purse.dearest or 0.0, float(cost))
        self.done += 1
        self.remembered += 1
        self.progress(self.done, self.total)
        return {**answer, "repeat": repeat}


async def _each(ask: Callable[[Case], Awaitable[Any]], cases: list[Case], run: _Run) -> list[Answer]:
    limit = asyncio.Semaphore(run.how.concurrency)

    async def one(case: Case, repeat: int) -> Answer:
        known = run.known(case, repeat)
        if known is not None:
            return known
        async with limit:
            if not await run.purse.admit():
                return run.note(case, repeat, excused(case, run.purse.stopped or "not asked"))
            answer = failed(case, "interrupted")
            try:
                answer = await _attempts(ask, case, run.how)
            finally:
                await run.purse.settle(answer)
        return run.note(case, repeat, answer)

    work = [one(case, repeat) for repeat in range(run.how.repeats) for case in cases]
    return list(await asyncio.gather(*work))


async def _commands(command: str, cases: list[Case], run: _Run) -> list[Answer]:
    """The command once a repeat, and again for what it left unanswered while each start gets further."""
    answers: list[Answer] = []
    for repeat in range(run.how.repeats):
        known = {c["id"]: run.known(c, repeat) for c in cases}
        settled = {case_id: answer for case_id, answer in known.items() if answer is not None}
        silent: dict[str, Answer] = {}
        for _ in range(run.how.retries + 1):
            left = [c for c in cases if c["id"] not in settled]
            before = len(settled)
            if not left or run.purse.stopped:
                break
            found = await run_command(command, left, run.how.timeout, _hearing(run, repeat, settled))
            silent = {a["case_id"]: a for a in found if a["case_id"] not in settled}
            if len(settled) == before:
                break
        for case in cases:
            answer = settled.get(case["id"])
            if answer is None and run.purse.stopped:
                answer = excused(case, run.purse.stopped)
            answers.append(
                {**(answer or silent.get(case["id"]) or failed(case, "unanswered")), "repeat": repeat}
            )
    return answers


def _hearing(run: _Run, repeat: int, settled: dict[str, Answer]) -> Callable[[Case, Answer], bool]:
    def heard(case: Case, answer: Answer) -> bool:
        settled[case["id"]] = run.note(case, repeat, answer)
        run.purse.pay(answer)
        if run.purse.cap is not None and run.purse.spent >= run.purse.cap and not run.purse.stopped:
            run.purse.stopped = f"not asked: the cost cap of {price(run.purse.cap)} is reached"
        return run.purse.stopped is None

    return heard


def read_outputs(path: str, cases: list[Case]) -> list[Answer]:
    """Stored outputs: JSON lines with `id` (or `case_id`), `output` or `error`, and `repeat` where a case was asked
    more than once. Raises `TargetError`."""
    rows: list[Any] = []
    number = 0
    try:
        for line in Path(path).read_text("utf-8-sig").split("\n"):
            number += 1
            if line.strip():
                rows.append(json.loads(line))
    except OSError as error:
        raise TargetError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TargetError(f"{path} is not JSON lines: line {number}: {error}") from error
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if isinstance(row, dict):
            by_id.setdefault(str(row.get("case_id") or row.get("id")), []).append(row)
    answers: list[Answer] = []
    for case in cases:
        found = by_id.get(case["id"])
        if not found:
            answers.append({**failed(case, "no stored output"), "repeat": 0})
        for repeat, row in enumerate(found or []):
            answers.append({**answer_of(case, row, None), "repeat": row.get("repeat", repeat)})
    return answers


def _journal(
    target: str, function: Callable[..., Any] | None, cases: list[Case], how: How
) -> Journal | Forgetful:
    if not how.resume and how.cache is None:
        return Forgetful()
    version = (
        digest(how.version, how.model.name, how.model.base_url, how.model.temperature, how.model.max_tokens)
        if how.model
        else how.version
    )
    content = content_of(target, function, version)
    file = how.cache or default_folder() / f"run-{digest(content, cases)[:24]}.sqlite"
    journal = Journal(file, content, keep=how.cache is not None)
    if how.fresh:
        journal.forget()
    return journal


class Finished(list[Answer]):
    """The answers of a run, `remembered` of them from an interrupted run or a cache. `stored()` is told once they are
    safe, and then an interrupted run's memory is dropped."""

    journal: Journal | Forgetful | None = None
    remembered: int = 0

    def stored(self) -> None:
        """Forget what a resumed run would need."""
        if self.journal is None:
            return
        self.journal.finish()
        self.journal = None


async def run(
    target: "str | Callable[..., Any]",
    cases: list[Case],
    how: How | None = None,
    progress: Progress = _silent,
) -> Finished:
    """Run the target over the cases: one answer a case and repeat. Raises `TargetError`."""
    with outliving():
        return await _run(target, cases, how or How(), progress)


async def _run(
    target: "str | Callable[..., Any]", cases: list[Case], how: How, progress: Progress
) -> Finished:
    if isinstance(target, str) and target.startswith("outputs:"):
        return Finished(read_outputs(target.removeprefix("outputs:"), cases))
    function, address = (
        None,
        target if isinstance(target, str) else getattr(target, "__qualname__", repr(target)),
    )
    ask: Callable[[Case], Awaitable[Any]] | None = None
    if not isinstance(target, str):
        function = target
    elif target.startswith("prompt:"):
        if how.model is None:
            raise TargetError("a prompt needs a model; pass --model provider:model")
        if how.max_cost is not None and how.model.price is None:
            raise TargetError(
                f"the price of {how.model.name} is unknown, so --max-cost cannot be kept; pass --price INPUT,OUTPUT"
            )
        ask = caller(Prompted(target.removeprefix("prompt:"), how.model, how.timeout))
    elif target.startswith(("http://", "https://")):
        ask = caller(endpoint(target, how.timeout))
    elif not target.startswith("command:"):
        function = load_function(target)
    if function is not None:
        ask = caller(function)
    journal = _journal(address, function, cases, how)
    state = _Run(how, journal, Purse(how.max_cost), progress, len(cases) * how.repeats)
    try:
        if ask is None:
            answers = await _commands(address.removeprefix("command:").strip(), cases, state)
        else:
            answers = await _each(ask, cases, state)
    except BaseException:
        journal.close()  # what was answered stays for the run that resumes
        raise
    finished = Finished(answers)
    finished.journal, finished.remembered = journal, state.remembered
    return finished
