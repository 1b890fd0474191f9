"""The conservation law of ingest: received = stored + deduplicated + refused + dropped + in flight, at every moment."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

SIGNALS = ("traces", "logs", "metrics")
OUTCOMES = ("stored", "deduplicated", "refused", "dropped")


class Ledger:
    """Counts records by project and signal, exactly. Safe from any thread.

    `deduplicated` are records that were already stored (see `Recent` for how far back that is known); they are stored
    again and converge, but count once. Those whose content differs from what came before have the reason `conflict`. `refused` were answered with an error and stay with the client; `dropped` are
    gone, with the reason.
    """

    def __init__(self) -> None:
        self._received: Counter[tuple[str, str]] = Counter()
        self._done: Counter[tuple[str, str, str, str]] = Counter()
        self._lock = threading.Lock()

    def receive(self, project: str, signal: str, n: int) -> None:
        """`n` records came in; each must be settled once."""
        with self._lock:
            self._received[(project, signal)] += n

    def settle(self, project: str, signal: str, outcome: str, n: int, reason: str = "") -> None:
        """What became of `n` received records: an outcome of `OUTCOMES`, with a reason where it is not kept."""
        if outcome not in OUTCOMES:
            raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, not {outcome!r}")
        if n:
            with self._lock:
                self._done[(project, signal, outcome, reason)] += n

    def refuse(self, project: str, signal: str, n: int, reason: str) -> None:
        """`n` records came in and were refused at once (malformed, too large)."""
        self.receive(project, signal, n)
        self.settle(project, signal, "refused", n, reason)

    def in_flight(self) -> dict[tuple[str, str], int]:
        """Records received and not settled yet, by project and signal; all 0 when nothing is under way."""
        with self._lock:
            left = Counter(self._received)
            for (project, signal, _, _), n in self._done.items():
                left[(project, signal)] -= n
        return dict(left)

    def total(self, outcome: str, project: str | None = None, signal: str | None = None) -> int:
        """The sum of an outcome, or of `received`, over what is asked for."""
        with self._lock:
            if outcome == "received":
                items = [(p, s, n) for (p, s), n in self._received.items()]
            else:
                items = [(p, s, n) for (p, s, o, _), n in self._done.items() if o == outcome]
        return sum(n for p, s, n in items if project in (None, p) and signal in (None, s))

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Metric name, labels and value of every count, for `/metrics`."""
        with self._lock:
            received, done = dict(self._received), dict(self._done)
        for (project, signal), n in received.items():
            yield "watchkeeper_ingest_received_total", {"project": project, "signal": signal}, n
        for (project, signal, outcome, reason), n in done.items():
            labels = {"project": project, "signal": signal, "outcome": outcome, "reason": reason}
            yield "watchkeeper_ingest_settled_total", labels, n
        for (project, signal), n in self.in_flight().items():
            yield "watchkeeper_ingest_in_flight", {"project": project, "signal": signal}, n


def print_of(value: object) -> int:
    """A number that is the same for the same plain value in this process: 1 and 1.0 are the same, and so are dicts in any order."""
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        try:
            return hash(frozenset(pairs))
        except TypeError:
            return hash(frozenset((k, print_of(v)) for k, v in pairs))
    if isinstance(value, list | tuple):
        return hash(tuple(map(print_of, cast("Sequence[object]", value))))
    return hash(value)


class Recent:
    """Remembers the last `capacity` to `2 × capacity` keys in 8 bytes each, as sorted runs that double in length. `turns`
    counts how often the older half of them was forgotten. Nothing is kept of the keys themselves: small objects that stay
    would hold on to the memory of everything that was made around them.

    Two keys with one 64-bit hash count as the same: about one in 10⁷ for 2 million keys. Not safe from two threads.
    """

    def __init__(self, capacity: int = 2_000_000) -> None:
        self._capacity = capacity
        self.turns = 0
        self._young: list[NDArray[np.int64]] = []
        self._old: list[NDArray[np.int64]] = []

    def add(self, keys: Sequence[object]) -> int:
        """Remember keys; how many of them were known already, repetitions among them included."""
        if not keys:
            return 0
        given = np.fromiter((hash(k) for k in keys), dtype=np.int64, count=len(keys))
        unique = np.unique(given)
        fresh = unique[~self._known(unique)]
        if len(fresh):
            self._push(fresh)
        return len(keys) - len(fresh)

    def has(self, keys: Sequence[object]) -> list[bool]:
        """Which of these keys are known."""
        given = np.fromiter((hash(k) for k in keys), dtype=np.int64, count=len(keys))
        return [bool(x) for x in self._known(given)]

    def _known(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        found = np.zeros(len(keys), dtype=np.bool_)
        for run in (*self._young, *self._old):
            at = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            found |= run[at] == keys
        return found

    def _push(self, fresh: NDArray[np.int64]) -> None:
        runs = self._young
        runs.append(fresh)
        while len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1]):
            last = runs.pop()
            runs[-1] = np.sort(np.concatenate((runs[-1], last)))
        if sum(len(r) for r in runs) >= self._capacity:
            self._old, self._young = runs, []
            self.turns += 1
