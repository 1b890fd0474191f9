"""Scorers that users bring, each in a process of its own: with a deadline, a memory limit, and nothing to break here."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from watchkeeper.model.score import Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.model.times import MINUTE
from watchkeeper.pipeline.child import Child
from watchkeeper.scoring.custom import CustomScorer
from watchkeeper.scoring.drive import checked
from watchkeeper.scoring.protocol import BatchScorer

log = logging.getLogger(__name__)
_Key = tuple[str, str]
# What the end of a process counts as: the time another takes to start. And what is too short a time to be asked for.
RESTART_S, SHORTEST_S = 1.0, 0.05
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


def _asked(child: Child, scorer: CustomScorer, subject: Subject, seconds: float) -> Outcome:
    """What it says of one subject. Raises what `Child.ask` raises."""
    plain = msgspec.structs.replace(subject, extra={k: v for k, v in subject.extra.items() if k[:1] != "_"})
    answer = child.ask(msgspec.msgpack.encode([plain]), seconds)
    ((tag, outcome),) = msgspec.msgpack.decode(answer)
    return msgspec.convert(outcome, _TAGS[tag])


class Isolation:
    """The `isolate` of `scoring.drive`. Each subject is asked about alone, so that one that hangs or crashes a scorer costs its
    neighbours nothing. Everybody's checks wait meanwhile: a scorer that failed as a whole `strikes` times in a row rests for
    `rest_ns`, and so does each that was waited for in vain once all of them together took `patience_s` of such a time; the subjects
    of one that rests are Failed with `retry`."""

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        memory: int = 2 << 30,
        strikes: int = 2,
        patience_s: float = 10.0,
        rest_ns: int = MINUTE,
    ) -> None:
        """`clock` gives ns; `memory` limits each child's address space in bytes, 0 for no limit."""
        self._clock, self._memory = clock, memory
        self._most, self._patience_s, self._rest_ns = strikes, patience_s, rest_ns
        self._children: dict[_Key, Child] = {}
        self._strikes: dict[_Key, int] = {}
        self._waited: list[tuple[int, _Key, float]] = []
        self._told: dict[_Key, int] = {}
        self._guard = threading.Lock()

    def __call__(self, scorer: BatchScorer, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        if not isinstance(scorer, CustomScorer):
            return scorer.score(subjects)
        key = (scorer.name, scorer.version)
        answers = [self._one(key, scorer, s) for s in subjects]
        self._tell(key, answers)
        return answers

    def resting(self) -> dict[str, bool]:
        """Every scorer that was asked by name, and whether it rests now."""
        return {key[0]: self._seconds(key, 1.0) is None for key in list(self._children)}

    def _seconds(self, key: _Key, wanted: float) -> float | None:
        """How long this scorer may be waited for now, at most what is wanted; None while it rests."""
        since = self._clock() - self._rest_ns
        self._waited = recent = [w for w in self._waited if w[0] > since]
        if all(k != key for _, k, _ in recent):
            return wanted
        left = self._patience_s - sum(s for _, _, s in recent)
        return None if left < SHORTEST_S or self._strikes.get(key, 0) >= self._most else min(wanted, left)

    def _one(self, key: _Key, scorer: CustomScorer, subject: Subject) -> Outcome:
        seconds = self._seconds(key, scorer.timeout_s)
        if seconds is None:
            return Failed("suspended after it was waited for in vain", retry=True)
        with self._guard:
            child = self._children.get(key) or self._children.setdefault(key, _child(scorer, self._memory))
        try:
            with child.lock:
                answer = _asked(child, scorer, subject, seconds)
        except (TimeoutError, EOFError, OSError, ValueError, msgspec.MsgspecError) as error:
            lost = seconds if isinstance(error, TimeoutError) else RESTART_S
            self._waited.append((self._clock(), key, lost))
            self._strikes[key] = self._strikes.get(key, 0) + 1
            rests = "; it rests for a while" if self._seconds(key, 1.0) is None else ""
            log.warning("scorer %s was stopped: %r%s", scorer.name, error, rests)
            reason = str(error) or "its process died (memory limit or crash)"
            return Failed(f"{scorer.name}: {reason}"[:500], retry=True)
        self._strikes.pop(key, None)
        return answer

    def _tell(self, key: _Key, answer: Sequence[Outcome]) -> None:
        """Log why a scorer fails, once in a while: the coverage ledger only says how often. What a function raised may quote the
        trace, so that only its kind is told."""
        reasons = [o.reason for o in answer if isinstance(o, Failed) and not o.retry]
        if not reasons or self._clock() < self._told.get(key, 0):
            return
        self._told[key] = self._clock() + self._rest_ns
        why = reasons[0].partition(":")[0]
        log.warning(
            "scorer %s failed on %d of %d: %s; 'watchkeeper test' shows the whole reason",
            key[0], len(reasons), len(answer), why,
        )  # fmt: skip

    def close(self) -> None:
        """Stop every child."""
        for child in self._children.values():
            child.stop()
        self._children.clear()
