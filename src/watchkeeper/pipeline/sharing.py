"""Who may send how much: quotas by project, and a fair share of what ingest holds when more arrives than can be stored."""

from collections import Counter, deque
from collections.abc import Callable
from math import ceil
from typing import Generic, Protocol, TypeVar

import msgspec

# A reservation ends when its request arrives or fails; this is for one of which nobody hears again.
ADMITTED_S = 60.0
# For how long a project that sent something counts as one of those that share.
ACTIVE_S = 10.0
BURST_S = 5.0
# How far those below their share may go beyond the limit, so that one that filled it cannot keep them out.
OVER = 1.25


class Busy(msgspec.Struct, frozen=True):
    """Why nothing more is taken now, and in how many whole seconds to try again (1 to 5). `quota`: it is the project's own."""

    reason: str
    retry_after: int
    quota: bool = False


class Shares:
    """What is held and admitted of each project, in bytes. `quota(project)` is how many bytes a second it may send on
    average over `BURST_S`, None for no limit. Times are monotonic seconds.

    Below half of `max_bytes` everybody is taken. Above it a project with more than max_bytes / (projects that are active) is
    refused first; one below its share is taken up to `OVER` × max_bytes, the bound of everything held.
    """

    def __init__(self, max_bytes: int, quota: Callable[[str], int | None] = lambda _project: None) -> None:
        self._max, self._quota = max_bytes, quota
        self._held: Counter[str] = Counter()
        self._admitted: dict[str, deque[tuple[float, int]]] = {}
        self._admitted_bytes: Counter[str] = Counter()
        self._seen: dict[str, float] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    @property
    def held(self) -> int:
        """Bytes held of all projects."""
        return self._held.total()

    def admit(self, project: str, size: int, now: float) -> Busy | None:
        """None when a request of about this many bytes may be read now, for which they are reserved then."""
        busy = self.refuses(project, size, now)
        if busy is None:
            self._admitted.setdefault(project, deque()).append((now, size))
            self._admitted_bytes[project] += size
        return busy

    def refuses(self, project: str, size: int, now: float) -> Busy | None:
        """Why a request of about this many bytes would not be admitted now."""
        self._expire(now)
        self._seen[project] = now
        rate = self._quota(project)
        if rate is not None and (level := self._level(project, rate, now)) <= 0:
            return Busy(
                f"the project sends more than {rate} bytes a second",
                min(5, max(1, ceil(-level / rate))),
                True,
            )
        mine = self._held[project] + self._admitted_bytes[project]
        total = self._held.total() + self._admitted_bytes.total()
        active = len(self._seen)
        fair = self._max / active
        # A lone request larger than everything we hold is still taken: refusing it forever would lose it.
        if total and total + size > self._max:
            if active == 1 or mine + size > fair or total + size > OVER * self._max:
                return Busy("more is arriving than can be stored", 1 if total < 2 * self._max else 3)
        elif active > 1 and mine and mine + size > fair and total + size > self._max / 2:
            return Busy("more is arriving than can be stored, and most of it is this project's", 1)
        return None

    def larger(self, project: str, was: int, size: int, now: float) -> Busy | None:
        """None when a request that reserved `was` bytes may have `size` instead, as if it had asked for them at first."""
        self._expire(now)
        waiting = self._admitted.get(project)
        if not waiting:
            return None
        place = self._place(project, was) or 0
        at, was = waiting[place]
        self._admitted_bytes[project] -= was
        busy = self.refuses(project, size, now)
        kept = was if busy is not None else size
        self._admitted_bytes[project] += kept
        waiting[place] = (at, kept)
        return busy

    def smaller(self, project: str, was: int, size: int) -> None:
        """Of what a request reserved so much is enough for now."""
        place = self._place(project, was)
        if place is not None:
            self._admitted[project][place] = (self._admitted[project][place][0], size)
            self._admitted_bytes[project] += size - was

    def _place(self, project: str, reserved: int) -> int | None:
        """Where the reservation of so many bytes stands; those of equal size are as good as one another."""
        waiting = self._admitted.get(project, ())
        return next((i for i, (_, size) in enumerate(waiting) if size == reserved), None)

    def coming(self, now: float) -> bool:
        """Whether a request that was admitted has not arrived yet."""
        self._expire(now)
        return bool(self._admitted_bytes.total())

    def _expire(self, now: float) -> None:
        for project in [p for p, at in self._seen.items() if at < now - ACTIVE_S and not self._held[p]]:
            del self._seen[project]
            # What it owes of its quota is owed however long it is silent.
            rate = self._quota(project)
            if rate is None or self._level(project, rate, now) >= BURST_S * rate:
                self._buckets.pop(project, None)
        for project, waiting in list(self._admitted.items()):
            while waiting and waiting[0][0] < now - ADMITTED_S:
                self._admitted_bytes[project] -= waiting.popleft()[1]
            if not waiting:
                del self._admitted[project]

    def _level(self, project: str, rate: int, now: float) -> float:
        """Bytes the project may still send; refilled to at most `BURST_S` seconds' worth, below 0 is what it owes."""
        level, at = self._buckets.get(project, (BURST_S * rate, now))
        level = min(BURST_S * rate, level + (now - at) * rate)
        self._buckets[project] = (level, now)
        return level

    def arrived(self, project: str, reserved: int) -> None:
        """A request that was admitted is here, or will not come: the bytes that were reserved for it are not any more."""
        place = self._place(project, reserved)
        if place is not None:
            del self._admitted[project][place]
            self._admitted_bytes[project] -= reserved

    def hold(self, project: str, size: int, now: float) -> None:
        """This many bytes are held, and paid for."""
        self._held[project] += size
        rate = self._quota(project)
        if rate is not None:
            self._buckets[project] = (self._level(project, rate, now) - size, now)

    def release(self, project: str, size: int) -> None:
        """They are stored or refused."""
        self._held[project] -= size


class Owned(Protocol):
    """Something of a project."""

    project: str


T = TypeVar("T", bound=Owned)


class Turns(Generic[T]):
    """A queue in which projects take turns; within one, first come first served."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def append(self, item: T) -> None:
        """To the end of its project's own line."""
        self._waiting.setdefault(item.project, deque()).append(item)

    def popleft(self) -> T:
        """The first of the project whose turn it is. Raises IndexError when nothing waits."""
        if not self._waiting:
            raise IndexError("nothing waits")
        project = next(iter(self._waiting))
        line = self._waiting.pop(project)
        item = line.popleft()
        if line:
            self._waiting[project] = line
        return item
