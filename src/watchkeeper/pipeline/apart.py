"""A plan's deterministic scorers over a batch of traces: here, or in a process beside this one where the batch is large.

The interpreter runs one thread at a time, and under load scoring is a third of what it does.
"""

import logging
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from watchkeeper.model.score import Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.model.span import Trace
from watchkeeper.model.times import MINUTE
from watchkeeper.pipeline.calm import calm_gc
from watchkeeper.pipeline.child import Child
from watchkeeper.scoring.drive import Batch, direct, run_scorer
from watchkeeper.scoring.protocol import BatchScorer

log = logging.getLogger(__name__)
LEAST_SPANS = 500
SLICE_SPANS = 500
PATIENCE_S = 60.0
REST_NS = MINUTE
_PLAN, _TRACES = b"P", b"T"


def everything(_trace: Trace) -> bool:
    """The condition of a scorer for all traces."""
    return True


@dataclass(frozen=True)
class Scheduled:
    """A deterministic scorer and the traces it is for."""

    scorer: BatchScorer
    applies: Callable[[Trace], bool] = everything


class Answers(msgspec.Struct, array_like=True, gc=False):
    """What one scorer said of a batch: verdicts and failures, each with the place of its subject (among the traces, or among their
    spans in order), and of how many subjects it says nothing."""

    not_scored: int = 0
    verdicts: list[tuple[int, Verdict]] = []
    failed: list[tuple[int, Failed]] = []


Run = Callable[[Sequence[Scheduled], Sequence[Trace]], list[Answers]]


def run(scheduled: Sequence[Scheduled], traces: Sequence[Trace], isolate: Batch = direct) -> list[Answers]:
    """One `Answers` a scorer, in this process; `isolate` runs users' own ones."""
    whole = [Subject(t) for t in traces]
    parts: list[Subject] | None = None
    found: list[Answers] = []
    for one in scheduled:
        if one.scorer.level == "span" and parts is None:
            parts = [Subject(t, s) for t in traces for s in t.spans]
        pool = (parts or []) if one.scorer.level == "span" else whole
        places: Sequence[int] = range(len(pool))
        if one.applies is not everything:
            places = [i for i in places if one.applies(pool[i].trace)]
        asked = pool if len(places) == len(pool) else [pool[i] for i in places]
        found.append(_said(places, run_scorer(one.scorer, asked, isolate)))
    return found


def _said(places: Sequence[int], outcomes: Sequence[Outcome]) -> Answers:
    said = Answers()
    for place, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, NotScored):
            said.not_scored += 1
        elif isinstance(outcome, Failed):
            said.failed.append((place, outcome))
        else:
            said.verdicts.append((place, outcome))
    return said


class _Answering:
    """In the child: the plan it was told last, over slices of traces."""

    def __init__(self) -> None:
        self._scheduled: Sequence[Scheduled] = ()
        self._traces = msgspec.msgpack.Decoder(list[Trace])
        self._said = msgspec.msgpack.Encoder()
        calm_gc()

    def __call__(self, message: bytes) -> bytes:
        if message[:1] == _PLAN:
            # From the parent alone, over a pipe of its own.
            self._scheduled = pickle.loads(message[1:])
            return b""
        return self._said.encode(run(self._scheduled, self._traces.decode(memoryview(message)[1:])))


def _sendable(one: Scheduled) -> bool:
    if not one.scorer.trusted:
        return False
    try:
        pickle.dumps(one)
    # Whatever a scorer holds that cannot be sent: it is run here.
    except Exception as error:  # noqa: BLE001
        log.info("scorer %s stays in the server's own process: %r", one.scorer.name, error)
        return False
    return True


def _slices(traces: Sequence[Trace]) -> Iterator[list[Trace]]:
    """Traces without what was sent, which no scorer reads, about `SLICE_SPANS` spans at a time."""
    piece: list[Trace] = []
    size = 0
    for trace in traces:
        bare = [msgspec.structs.replace(s, raw=None) for s in trace.spans]
        piece.append(msgspec.structs.replace(trace, spans=bare))
        size += len(bare)
        if size >= SLICE_SPANS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


class Apart:
    """`run`, in a process of its own for batches from `LEAST_SPANS` spans. It is started by the first of them, which is still
    run here; whatever cannot be sent or does not come back is run here too. `clock` gives ns."""

    def __init__(self, clock: Callable[[], int], isolate: Batch = direct) -> None:
        self._clock, self._isolate = clock, isolate
        self._child = Child("checks", _Answering)
        self._starting: threading.Thread | None = None
        self._rests_until = 0
        self._told: Sequence[Scheduled] | None = None
        self._given: tuple[Sequence[Scheduled], list[bool]] = ((), [])
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray()

    def __call__(self, scheduled: Sequence[Scheduled], traces: Sequence[Trace]) -> list[Answers]:
        """One `Answers` a scorer. Not to be called by two threads at a time."""
        if sum(len(t.spans) for t in traces) < LEAST_SPANS or not self._ready():
            return run(scheduled, traces, self._isolate)
        try:
            return self.sent(scheduled, traces)
        # A value that has no place in a message, a process that was killed: the traces are scored all the same.
        except (OSError, EOFError, ValueError, TypeError, OverflowError, msgspec.MsgspecError) as error:
            log.warning("a batch of %d traces is scored here: %r", len(traces), error)
            # Whatever runs next may be another process, which was told nothing.
            self._told = None
            if self.pid is None:
                self._rests_until = self._clock() + REST_NS
            return run(scheduled, traces, self._isolate)

    def sent(self, scheduled: Sequence[Scheduled], traces: Sequence[Trace]) -> list[Answers]:
        """The same, by the process alone as far as the scorers can be sent. Raises whatever keeps it from that."""
        if self._given[0] is not scheduled:
            self._given = (scheduled, [_sendable(s) for s in scheduled])
        goes = self._given[1]
        there = iter(self._asked([s for s, go in zip(scheduled, goes, strict=True) if go], traces))
        here = iter(run([s for s, go in zip(scheduled, goes, strict=True) if not go], traces, self._isolate))
        return [next(there) if go else next(here) for go in goes]

    @property
    def pid(self) -> int | None:
        """The process's, None while there is none."""
        return self._child.pid

    def _ready(self) -> bool:
        if self._starting is not None and self._starting.is_alive():
            return False
        if self.pid is None and self._clock() >= self._rests_until:
            self._starting = threading.Thread(target=self._start, name="checks-start", daemon=True)
            self._starting.start()
            return False
        return self.pid is not None

    def start(self) -> None:
        """Start the process and wait for it. Raises what `Child.start` raises."""
        self._told = None
        self._child.start()

    def _start(self) -> None:
        try:
            self.start()
        except (OSError, EOFError, ValueError) as error:
            self._rests_until = self._clock() + REST_NS
            log.warning("the process of the checks did not start; they run in the server's own: %r", error)

    def _asked(self, scheduled: Sequence[Scheduled], traces: Sequence[Trace]) -> list[Answers]:
        if self._told is not self._given[0]:
            self._child.ask(_PLAN + pickle.dumps(scheduled), PATIENCE_S)
            self._told = self._given[0]
        total = [Answers() for _ in scheduled]
        before, spans = 0, 0
        for piece in _slices(traces):
            self._encoder.encode_into(piece, self._buffer, 1)
            self._buffer[:1] = _TRACES
            answer = self._child.ask(self._buffer, PATIENCE_S)
            for whole, part, one in zip(total, _SAID.decode(answer), scheduled, strict=True):
                offset = spans if one.scorer.level == "span" else before
                whole.not_scored += part.not_scored
                whole.verdicts += [(i + offset, v) for i, v in part.verdicts]
                whole.failed += [(i + offset, f) for i, f in part.failed]
            before += len(piece)
            spans += sum(len(t.spans) for t in piece)
        return total

    def close(self) -> None:
        """Stop the process."""
        if self._starting is not None:
            self._starting.join()
        self._child.stop()


_SAID = msgspec.msgpack.Decoder(list[Answers])
