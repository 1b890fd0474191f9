"""Scorers that users bring, each in a process of its own: with a deadline, a memory limit, and nothing to break here."""

import logging
import multiprocessing
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from watchkeeper.model.score import Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.custom import CustomScorer
from watchkeeper.scoring.drive import checked
from watchkeeper.scoring.protocol import BatchScorer

log = logging.getLogger(__name__)
START_S = 30.0
_TAGS: dict[str, type[Verdict] | type[NotScored] | type[Failed]] = {
    "Verdict": Verdict,
    "NotScored": NotScored,
    "Failed": Failed,
}


def _serve(pipe: Connection, description: dict[str, Any], memory: int) -> None:
    """The child: builds the scorer, then answers batches until the pipe closes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        scorer = CustomScorer(**description)
    except ValueError as error:
        pipe.send(str(error))
        return
    pipe.send("")
    while True:
        try:
            batch = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send_bytes(_answer(scorer, batch))


def _answer(scorer: CustomScorer, batch: bytes) -> bytes:
    out: list[tuple[str, Outcome]] = []
    for subject in msgspec.msgpack.decode(batch, type=list[Subject]):
        try:
            outcome = checked(scorer.score([subject])[0])
        # Whatever a user's function raises, MemoryError included, is that subject's failure; the parent counts it.
        except Exception as error:  # noqa: BLE001
            outcome = Failed(f"{type(error).__name__}: {error}"[:500])
        out.append((type(outcome).__name__, outcome))
    return msgspec.msgpack.encode(out)


class _Worker:
    """One child process for one scorer; started on first use, replaced after it was killed."""

    def __init__(self, scorer: CustomScorer, memory: int) -> None:
        self._scorer, self._memory = scorer, memory
        self._process: Any = None
        self._pipe: Any = None
        self.lock = threading.Lock()

    def _start(self) -> None:
        # spawn: a forked child would inherit threads' locks and open stores.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        names = ("name", "function", "level", "params", "timeout_s", "floor", "error_class")
        description = {n: getattr(self._scorer, n) for n in names}
        self._process = context.Process(
            target=_serve,
            args=(theirs, description, self._memory),
            daemon=True,
            name=f"scorer {self._scorer.name}",
        )
        self._process.start()
        theirs.close()
        if not self._pipe.poll(START_S):
            self.stop()
            raise TimeoutError(f"the scorer's process did not start within {START_S:g} s")
        problem = self._pipe.recv()
        if problem:
            self.stop()
            raise ValueError(problem)

    def call(self, subjects: Sequence[Subject]) -> list[Outcome]:
        """One batch. Raises TimeoutError after the deadline and EOFError when the process died; both stop it."""
        if self._process is None or not self._process.is_alive():
            self._start()
        plain = [
            msgspec.structs.replace(s, extra={k: v for k, v in s.extra.items() if k[:1] != "_"})
            for s in subjects
        ]
        try:
            self._pipe.send_bytes(msgspec.msgpack.encode(plain))
            if not self._pipe.poll(self._scorer.timeout_s):
                raise TimeoutError(f"no answer within {self._scorer.timeout_s:g} s")
            raw = msgspec.msgpack.decode(self._pipe.recv_bytes())
        except (TimeoutError, EOFError, OSError):
            self.stop()
            raise
        return [msgspec.convert(outcome, _TAGS[tag]) for tag, outcome in raw]

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(5)
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


class Isolation:
    """The `isolate` of `scoring.drive`. A scorer that fails as a whole `strikes` times in a row rests for `rest_ns`, so that
    a hanging one costs its deadline a few times and not for every batch; meanwhile its subjects are Failed with `retry`. What
    stopped a batch is found by asking about each of its subjects alone."""

    def __init__(
        self, clock: Callable[[], int], *, memory: int = 2 << 30, strikes: int = 3, rest_ns: int = 60 * 10**9
    ) -> None:
        """`clock` gives ns; `memory` limits each child's address space in bytes, 0 for no limit."""
        self._clock, self._memory = clock, memory
        self._strikes, self._rest_ns = strikes, rest_ns
        self._workers: dict[tuple[str, str], _Worker] = {}
        self._failed: dict[tuple[str, str], tuple[int, int]] = {}
        self._guard = threading.Lock()

    def __call__(self, scorer: BatchScorer, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        if not isinstance(scorer, CustomScorer):
            return scorer.score(subjects)
        key = (scorer.name, scorer.version)
        strikes, until = self._failed.get(key, (0, 0))
        if strikes >= self._strikes and self._clock() < until:
            return [Failed("suspended after repeated failures", retry=True)] * len(subjects)
        with self._guard:
            worker = self._workers.setdefault(key, _Worker(scorer, self._memory))
        try:
            with worker.lock:
                answer = worker.call(subjects)
        except (TimeoutError, EOFError, OSError, ValueError, msgspec.MsgspecError) as error:
            self._failed[key] = (strikes + 1, self._clock() + self._rest_ns)
            log.warning("scorer %s was stopped: %r", scorer.name, error)
            if len(subjects) > 1:
                return self._one_by_one(key, scorer, subjects)
            reason = str(error) or "its process died (memory limit or crash)"
            return [Failed(f"{scorer.name}: {reason}"[:500], retry=True)] * len(subjects)
        self._failed.pop(key, None)
        return answer

    def _one_by_one(
        self, key: tuple[str, str], scorer: BatchScorer, subjects: Sequence[Subject]
    ) -> Sequence[Outcome]:
        """Each subject alone, so that one that hangs or crashes the scorer costs its neighbours nothing. Those that go well do
        not make up for the batch: with one bad trace in each, the scorer rests."""
        before = self._failed[key]
        answers = [self(scorer, [s])[0] for s in subjects]
        self._failed[key] = max(before, self._failed.get(key, before))
        return answers

    def close(self) -> None:
        """Stop every child."""
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()
