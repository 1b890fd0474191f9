"""What the stages say of themselves, as the rules of self-monitoring read it: of this process, and of the others on the same
records."""

import asyncio
import shutil
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.alerting.builtin import Reading
from watchkeeper.model.calibration import Drift
from watchkeeper.model.times import DAY, HOUR, MINUTE, Clock
from watchkeeper.pipeline.coverage import missing, totals
from watchkeeper.pipeline.judge import Counts
from watchkeeper.pipeline.ledger import Ledger
from watchkeeper.store import damage as damaged
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import calibration, jobs, states
from watchkeeper.store.records.engine import Records

PROJECT = "default"
# A process that has said nothing for so long is gone, and what it said last is no longer so.
HEARD = MINUTE
Read = Callable[[], Awaitable[Reading]]


class Window:
    """Growing counters read over the last `length` ns: how much each grew since then. In memory only: a restart starts
    counting again, and says so by a small n."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._seen: deque[tuple[int, tuple[float, ...]]] = deque()

    def grew(self, now: int, counters: tuple[float, ...]) -> tuple[float, ...]:
        """Growth of each counter within the window that ends now."""
        self._seen.append((now, counters))
        while len(self._seen) > 1 and self._seen[1][0] <= now - self.length:
            self._seen.popleft()
        first = self._seen[0][1]
        return tuple(max(b - a, 0.0) for a, b in zip(first, counters, strict=True))


def share(part: float, whole: float, says: str) -> Reading:
    """A part of a whole as a reading; unknown of nothing."""
    return Reading(part / whole if whole > 0 else None, int(whole), says)


def queue_age(oldest_due_ns: int | None, now: int, waiting: int, what: str) -> Reading:
    """How long the oldest of a queue has waited; an empty queue waits for nothing."""
    age = max((now - oldest_due_ns) / 1e9, 0.0) if oldest_due_ns is not None else 0.0
    return Reading(age, max(waiting, 1), f"{waiting:,} {what}")


class Said(msgspec.Struct):
    """What one process says of its own stages: finished traces that wait and since when, records dropped and received in
    the last 15 minutes, bytes free and in all on its disk, and what stands set aside as damaged."""

    process: str
    at_ns: int
    waiting: int
    since_ns: int | None
    dropped: float
    received: float
    free: int
    size: int
    damaged: list[str]


def tell(c: Connection, own: Said) -> None:
    """Write what this process says of itself for whoever leads; processes unheard of for a day are forgotten."""
    known = states.get_all(c, PROJECT, "process")
    gone = [name for name, said in known.items() if own.at_ns - int(said["at_ns"]) > DAY]
    if gone:
        states.delete(c, PROJECT, "process", gone)
    states.put(c, PROJECT, "process", own.process, msgspec.to_builtins(own), own.at_ns)


def heard(c: Connection, own: Said) -> list[Said]:
    """This process and every other one heard of lately, as they last spoke."""
    known = states.get_all(c, PROJECT, "process")
    others = [msgspec.convert(v, Said) for name, v in known.items() if name != own.process]
    return [own, *(o for o in others if abs(own.at_ns - o.at_ns) <= HEARD)]


def _at(said: Sequence[Said], one: Said) -> str:
    """Which of several processes is meant."""
    return "" if len(said) == 1 else f" at {one.process}"


def ingest_lag(said: Sequence[Said], now: int) -> Reading:
    """How long the oldest finished trace of any process waits to be put together."""
    since = min((s.since_ns for s in said if s.since_ns is not None), default=None)
    return queue_age(since, now, sum(s.waiting for s in said), "traces wait to be assembled")


def drops(said: Sequence[Said], _now: int) -> Reading:
    """What share of the received records all processes dropped."""
    dropped, received = sum(s.dropped for s in said), sum(s.received for s in said)
    where = _at(said, max(said, key=lambda s: s.dropped)) if dropped else ""
    return share(dropped, received, f"{dropped:,.0f} of {received:,.0f} records were dropped{where}")


def disk(said: Sequence[Said], _now: int) -> Reading:
    """The free part of the fullest disk."""
    least = min(said, key=lambda s: s.free / s.size)
    return Reading(least.free / least.size, 1, f"{least.free / 1e9:,.1f} GB are free{_at(said, least)}")


def damage(said: Sequence[Said], _now: int) -> Reading:
    """How many files stand set aside as damaged."""
    found = [f"{one}{_at(said, s)}" for s in said for one in s.damaged]
    latest = f"the latest: {'; '.join(found[-3:])}" if found else "nothing was found damaged"
    return Reading(float(len(found)), 1, latest)


async def coverage(columns: Columns, projects: Sequence[str], now: int) -> Reading:
    """The scorer that failed on the largest part of what was selected for it in the last day, the latest hour left out:
    judges need time."""
    return await _largest_part(
        columns, projects, (now - DAY, now - HOUR), 50, lambda n: n["failed"], "failed on",
        "no scorer failed on a trace that was selected for it",
    )  # fmt: skip


async def coverage_gap(columns: Columns, projects: Sequence[str], now: int) -> Reading:
    """The scorer that neither scored nor failed on the largest part of what was selected for it in the last day, the latest
    two hours left out: nobody waits longer for a judge that works."""
    return await _largest_part(
        columns, projects, (now - DAY, now - 2 * HOUR), 20, missing, "never scored",
        "every scorer answered for the traces that were selected for it",
    )  # fmt: skip


async def _largest_part(
    columns: Columns,
    projects: Sequence[str],
    span: tuple[int, int],
    least: int,
    of: Callable[[Mapping[str, int]], int],
    did: str,
    nothing: str,
) -> Reading:
    """The scorer with the largest part `of` what was selected for it, of those with `least` selected traces; `nothing` is said
    where no part is."""
    worst = Reading(None, 0, "nothing was selected in the last day")
    for project in projects:
        for scorer, n in (await totals(columns, project, *span)).items():
            selected, part = n["selected"], of(n)
            if selected >= least and part / selected >= (worst.value or 0.0):
                says = f"{scorer} {did} {part:,} of {selected:,} selected traces of project {project}"
                worst = Reading(part / selected, selected, says if part else nothing)
    return worst


async def judge_drift(records: Records, projects: Sequence[str]) -> Reading:
    """How many judges have drifted since their calibration, of those with a canary."""
    found: dict[str, Drift] = {}
    for project in projects:
        canaries = await records.read(lambda c, p=project: calibration.canaries(c, p))
        found |= {f"{name} of project {project}": d for name, d in canaries.items()}
    drifted = sorted(name for name, d in found.items() if d.drifted)
    says = f"{', '.join(drifted)} drifted" if drifted else f"{len(found)} judges with canaries, none drifted"
    return Reading(len(drifted) / len(found) if found else None, len(found), says)


@dataclass
class Readings:
    """What is read of one process's stages: ingest's `ledger`, the traces that are `waiting` (how many are finished, and the
    oldest's end in ns), the judges' counts. `clock` gives ns."""

    records: Records
    columns: Columns
    clock: Clock
    data_dir: Path
    ledger: Ledger
    waiting: Callable[[], tuple[int, int | None]]
    judges: Counts
    projects: Callable[[], Sequence[str]]
    dropped: Window = field(default_factory=lambda: Window(15 * MINUTE))
    judged: Window = field(default_factory=lambda: Window(HOUR))

    def of_one_look(self) -> Mapping[str, Read]:
        """By the name of the rule that reads it. Four rules read what every process says: it is asked for once."""
        said: list[Said] = []

        async def of_all(read: Callable[[Sequence[Said], int], Reading]) -> Reading:
            if not said:
                said.extend(await self.everybody())
            return read(said, self.clock())

        return {
            "ingest-lag": partial(of_all, ingest_lag),
            "drops": partial(of_all, drops),
            "disk": partial(of_all, disk),
            "damage": partial(of_all, damage),
            "scoring-lag": self.scoring_lag,
            "judge-errors": self.judge_errors,
            "coverage": lambda: coverage(self.columns, self.projects(), self.clock()),
            "coverage-gap": lambda: coverage_gap(self.columns, self.projects(), self.clock()),
            "judge-drift": lambda: judge_drift(self.records, self.projects()),
        }

    async def own(self) -> Said:
        """What this process says of itself."""
        now = self.clock()
        waiting, since = self.waiting()
        counted = float(self.ledger.total("dropped")), float(self.ledger.total("received"))
        dropped, received = self.dropped.grew(now, counted)
        usage = await asyncio.to_thread(shutil.disk_usage, self.data_dir)
        found = [f"{d.what} in {d.kept}" for d in await asyncio.to_thread(damaged.found, self.data_dir)]
        # Where it runs and what it holds: two processes never have both in common.
        process = f"{socket.gethostname()}:{self.data_dir.absolute()}"[-500:]
        return Said(process, now, waiting, since, dropped, received, usage.free, usage.total, found)

    async def tell(self) -> None:
        """Write what this process says of itself, for the one that leads."""
        own = await self.own()
        await self.records.write(lambda c: tell(c, own))

    async def everybody(self) -> list[Said]:
        """What every process says of itself, this one first."""
        own = await self.own()
        if self.records.is_sqlite:
            return [own]
        return await self.records.read(lambda c: heard(c, own))

    async def scoring_lag(self) -> Reading:
        """How long the oldest due judge job has waited."""
        now = self.clock()
        depth = await self.records.read(lambda c: jobs.depth(c, now))
        return queue_age(depth.oldest_due_ns, now, depth.due, "judge jobs are due")

    async def judge_errors(self) -> Reading:
        """What share of the judge calls of the last hour failed."""
        failed = float(self.judges.retried + self.judges.dead)
        good = float(self.judges.scored + sum(self.judges.not_scored.values()))
        wrong, right = self.judged.grew(self.clock(), (failed, good))
        return share(wrong, wrong + right, f"{wrong:,.0f} of {wrong + right:,.0f} judge calls failed")
