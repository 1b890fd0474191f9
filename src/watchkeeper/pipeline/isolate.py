"""Scorers that users bring, each in a process of its own: with a deadline, a memory limit, and nothing to break here."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from watchkeeper.model.score import Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.pipeline.child import Child
from watchkeeper.scoring.custom import CustomScorer
from watchkeeper.scoring.drive import checked
from watchkeeper.scoring.protocol import BatchScorer

log = logging.getLogger(__name__)
_TAGS: dict[str, type[Verdict] | type[NotScored] | type[Failed]] = {
    "Verdict": Verdict,
    "NotScored": NotScored,
    "Failed": Failed,
}


class _Answering:
    """In the child: one user's scorer, over batches of subjects."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._scorer = CustomScorer(**description)

    def __call__(self, batch: bytes) -> bytes:
        out: list[tuple[str, Outcome]] = []
        for subject in msgspec.msgpack.decode(batch, type=list[Subject]):
            try:
                outcome = checked(self._scorer.score([subject])[0])
            # Whatever a user's function raises, MemoryError included, is that subject's failure; the parent counts it.
            except Exception as error:  # noqa: BLE001
                outcome = Failed(f"{type(error).__name__}: {error}"[:500])
            out.append((type(outcome).__name__, outcome))
        return msgspec.msgpack.encode(out)


def _child(scorer: CustomScorer, memory: int) -> Child:
    names = ("name", "function", "level", "params", "timeout_s", "floor", "error_class")
    description = {n: getattr(scorer, n) for n in names}
    return Child(f"scorer {scorer.name}", _Answering, description, memory=memory)


def _asked(child: Child, scorer: CustomScorer, subjects: Sequence[Subject]) -> list[Outcome]:
    """One batch. Raises what `Child.ask` raises."""
    plain = [
        msgspec.structs.replace(s, extra={k: v for k, v in s.extra.items() if k[:1] != "_"}) for s in subjects
    ]
    answer = child.ask(msgspec.msgpack.encode(plain), scorer.timeout_s)
    return [msgspec.convert(outcome, _TAGS[tag]) for tag, outcome in msgspec.msgpack.decode(answer)]


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
        self._children: dict[tuple[str, str], Child] = {}
        self._failed: dict[tuple[str, str], tuple[int, int]] = {}
        self._told: dict[tuple[str, str], int] = {}
        self._guard = threading.Lock()

    def __call__(self, scorer: BatchScorer, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        if not isinstance(scorer, CustomScorer):
            return scorer.score(subjects)
        key = (scorer.name, scorer.version)
        strikes, until = self._failed.get(key, (0, 0))
        if strikes >= self._strikes and self._clock() < until:
            return [Failed("suspended after repeated failures", retry=True)] * len(subjects)
        with self._guard:
            child = self._children.get(key) or self._children.setdefault(key, _child(scorer, self._memory))
        try:
            with child.lock:
                answer = _asked(child, scorer, subjects)
        except (TimeoutError, EOFError, OSError, ValueError, msgspec.MsgspecError) as error:
            self._failed[key] = (strikes + 1, self._clock() + self._rest_ns)
            log.warning("scorer %s was stopped: %r", scorer.name, error)
            if len(subjects) > 1:
                return self._one_by_one(key, scorer, subjects)
            reason = str(error) or "its process died (memory limit or crash)"
            return [Failed(f"{scorer.name}: {reason}"[:500], retry=True)] * len(subjects)
        self._failed.pop(key, None)
        self._tell(key, answer)
        return answer

    def _tell(self, key: tuple[str, str], answer: Sequence[Outcome]) -> None:
        """Log why a scorer fails, once in a while: the coverage ledger only says how often. What a function raised may quote the
        trace, so that only its kind is told."""
        reasons = [o.reason for o in answer if isinstance(o, Failed)]
        if not reasons or self._clock() < self._told.get(key, 0):
            return
        self._told[key] = self._clock() + self._rest_ns
        why = reasons[0].partition(":")[0]
        log.warning(
            "scorer %s failed on %d of %d: %s; 'watchkeeper test' shows the whole reason",
            key[0], len(reasons), len(answer), why,
        )  # fmt: skip

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
        for child in self._children.values():
            child.stop()
        self._children.clear()
