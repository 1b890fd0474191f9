"""Work that is done again and again beside the requests, and how it fares."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from watchkeeper.server.metrics import Sample
from watchkeeper.store.columns import StoreUnavailable

log = logging.getLogger(__name__)
LONGEST_REST_S = 90.0
# What reads whole hours or sessions: about a tenth of the time while the process is busy. It costs less in large pieces than in
# small ones.
HEAVY = 10.0


@dataclass
class Pace:
    """How one loop has fared: runs that ended, those of them that failed, seconds in all and of the last run; and when its work was
    done by somebody else, on the clock of the loops."""

    runs: int = 0
    failed: int = 0
    seconds: float = 0.0
    last: float = 0.0
    elsewhere: float = float("-inf")


class Loops:
    """The background loops of one process. `spent` gives the CPU seconds of the process."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.process_time,
    ) -> None:
        self._monotonic, self._spent = monotonic, spent
        self._paces: dict[str, Pace] = {}

    def done(self, name: str) -> None:
        """Say that a loop's work was just done by somebody else: the loop leaves it until its time has passed again."""
        self._paces.setdefault(name, Pace()).elsewhere = self._monotonic()

    async def forever(
        self,
        name: str,
        seconds: float,
        work: Callable[[], Awaitable[object]],
        rests: float = 1.0,
        first: float | None = None,
    ) -> None:
        """Do the work every so many seconds, for the first time after `first`. Work that took long rests as long before it is done again, and up to `rests` times
        as long where the process used a processor meanwhile, at most `LONGEST_REST_S`: ingest gets its turn, and where there is
        none to speak of, nobody waits."""
        pace = self._paces.setdefault(name, Pace())
        busy = 0.0
        wait = seconds if first is None else first
        while True:
            rested, spent = self._monotonic(), self._spent()
            times = 1.0 + (rests - 1.0) * min(busy, 1.0)
            await asyncio.sleep(max(wait, min(times * pace.last, LONGEST_REST_S)))
            began = self._monotonic()
            if began - pace.elsewhere < wait:
                continue
            wait = seconds
            busy = (self._spent() - spent) / max(began - rested, 1e-3)
            try:
                await work()
            except StoreUnavailable as error:
                pace.failed += 1
                log.warning("%s waits for the store: %s", name, error)
            # The loop must outlive any other failure too: without it nothing would be watched.
            except Exception:
                pace.failed += 1
                log.exception("%s failed; it is tried again in %g s", name, seconds)
            pace.runs += 1
            pace.last = self._monotonic() - began
            pace.seconds += pace.last

    def samples(self) -> list[Sample]:
        """What `/metrics` says of every loop."""
        found: list[Sample] = []
        for name, pace in self._paces.items():
            labels = {"loop": name}
            found += [
                Sample("watchkeeper_loop_runs_total", labels, pace.runs, kind="counter"),
                Sample("watchkeeper_loop_failures_total", labels, pace.failed, kind="counter"),
                Sample("watchkeeper_loop_seconds_total", labels, pace.seconds, kind="counter"),
                Sample("watchkeeper_loop_last_seconds", labels, pace.last),
            ]
        return found
