"""Scores and traces to points: every metric × cohort, one tick at a time, many ticks a query.

A tick is recomputed whole from what is stored, so rolling is idempotent and late data only makes its tick dirty
again. Which ticks are dirty is asked of the store, not remembered: nothing is lost in a restart.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.alerting.cohorts import OTHER
from watchkeeper.alerting.monitor import DIMENSIONS, Monitor, tick_of
from watchkeeper.alerting.syntax import Share
from watchkeeper.model.errors import TAXONOMY, TRANSPORT
from watchkeeper.model.series import (
    BINARY,
    COUNT,
    DOLLARS,
    FIVE,
    MILLISECONDS,
    TEN,
    UNIT,
    Axis,
    Cohort,
    Point,
    SeriesKey,
    axis_of,
    cohort_parse,
    empty,
)
from watchkeeper.model.times import DAY, HOUR, MINUTE, SECOND
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.sandbox_tables import beside

DERIVED: dict[str, Axis] = {
    "traces": BINARY,
    "latency_ms": MILLISECONDS,
    "ttft_ms": MILLISECONDS,
    "cost": DOLLARS,
    "input_tokens": COUNT,
    "output_tokens": COUNT,
    "error_rate": BINARY,
    "tool_error_rate": BINARY,
}
log = logging.getLogger(__name__)
# As many versions of one scorer are remembered; more would be a scorer whose version changes with every trace.
VERSIONS = 50
GAP = 12
# For how long it is known what a tick held when it was judged.
KEPT_NS = 3 * DAY
ERROR_CLASSES = tuple(f"error_class:{c.name}" for c in TAXONOMY)


def metric_of(scorer: str) -> str:
    """What the series of a scorer is called: as itself, unless a number of every trace is, or another such series. A score that
    another system sends under the name `error_rate` must not take the place of what was measured."""
    return beside(scorer, DERIVED)


def scorer_of(metric: str) -> str:
    """Whose values the series called `metric` is made of: the inverse of `metric_of`, "" for what is known of every trace.

    >>> [scorer_of(metric_of(name)) for name in ("grounded", "cost", "score_cost")], scorer_of("cost")
    (['grounded', 'cost', 'score_cost'], '')
    """
    if metric in DERIVED:
        return ""
    own = metric.removeprefix("score_")
    return own if own != metric and metric_of(own) == metric else metric


def guess_axis(low: float, high: float, whole: bool) -> Axis:
    """An axis for a scorer nobody described, from the range of its values.

    >>> guess_axis(0, 1, True) == BINARY, guess_axis(0.2, 9.5, False).high
    (True, 10.0)
    """
    if low >= 0 and high <= 1:
        return BINARY if whole else UNIT
    if low >= 0 and high <= 5 and whole:
        return FIVE
    if low >= 0 and high <= 10:
        return TEN if whole else Axis(0.0, 10.0, 50)
    if low >= 0:
        return COUNT
    # Roomy, so that each new extreme does not need another one.
    reach, size = max(abs(low), abs(high)), 10.0 ** math.floor(math.log10(max(abs(low), abs(high))))
    reach = next(size * step for step in (1, 2, 5, 10) if size * step >= reach)
    return Axis(-reach, reach, 60)


def holds(axis: Axis, low: float, high: float, whole: bool) -> bool:
    """Are values from `low` to `high` of the axis' scale?"""
    bottom, top = axis.scale
    return bottom <= low and high <= top and (whole or not axis.whole)


@dataclass(frozen=True)
class RollPlan:
    """What is rolled. `sets`: the dimension sets that get series of their own beside all traffic. `axes`: the scale of
    each scorer, by name; others are guessed from their values, and again when later ones lie outside. `shares`: the 0/1 series that
    conditions need. `keep`: how many values of a dimension keep their own series; the rest together are `other`."""

    tick_ns: int = HOUR
    sets: tuple[tuple[str, ...], ...] = (("prompt_version",), ("model",), ("scenario",), ("variant",))
    axes: Mapping[str, Axis] = field(default_factory=dict[str, Axis])
    shares: tuple[Share, ...] = ()
    keep: int = 20

    @classmethod
    def of(
        cls,
        monitors: Iterable[Monitor],
        axes: Mapping[str, Axis] | None = None,
        tick_ns: int | None = None,
        sets: Sequence[tuple[str, ...]] = (("prompt_version",), ("model",), ("scenario",), ("variant",)),
    ) -> "RollPlan":
        """The plan that serves these monitors: their sets, their shares, and a tick fine enough for all of them."""
        wanted, shares = {tuple(sorted(s)) for s in sets}, dict[str, Share]()
        monitors = tuple(monitors)
        tick = tick_ns if tick_ns is not None else tick_of(monitors)
        for m in monitors:
            fixed = tuple(sorted(k for k, _ in m.where))
            wanted |= {fixed, tuple(sorted((*fixed, *m.by)))}
            shares |= {s.indicator: replace(s, period=type(s.period)()) for s in m.shares}
        return cls(tick, tuple(sorted(wanted - {()})), dict(axes or {}), tuple(shares.values()))


@dataclass
class Rolled:
    """What one call did: ticks recomputed, points written, points overwritten because their series is gone; how many
    values of all traffic are in each tick."""

    ticks: int = 0
    points: int = 0
    gone: int = 0
    sizes: dict[int, int] = field(default_factory=dict[int, int])


class Roller:
    """Rolls one project after another. `margin_ns` is how far before the last look it looks again: at least as long as
    a write may take from reading its clock to being visible. `kept_ns` is for how long traces are kept, whole days: a tick whose
    traces have been dropped stays as it was rolled from all of them, whatever comes for it later."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        plan: RollPlan,
        margin_ns: int = 10 * MINUTE,
        chunk: int = 48,
        kept_ns: int = 90 * DAY,
    ) -> None:
        self.columns = columns
        self.records = records
        self.plan = plan
        self.margin_ns = margin_ns
        self.chunk = chunk
        self.kept_ns = kept_ns
        # By project the plan, and of each tick within the margin what was in it, when it was last recomputed. Without it, after
        # a restart, they are recomputed once more.
        self._held: dict[str, tuple[RollPlan, dict[int, int]]] = {}
        # Projects of which a scorer has outgrown its axis: all its ticks are to be recomputed.
        self._outgrown: set[str] = set()
        # By project the end of the two weeks whose values were last counted, and how often each was there, by dimension.
        self._counted: dict[str, tuple[int, dict[int, dict[str, int]]]] = {}

    async def roll(self, project: str, now_ns: int) -> Rolled:
        """Recompute every tick in which something was written since it was last recomputed. Ticks that start after `now_ns` are
        left for later: a client's clock cannot make a tick of the future. What is older than traces are kept stays as it is."""
        mark = await self.records.read(lambda c: states.get(c, project, "roll", "mark")) or {}
        after = max(int(mark.get("seen", 0)) - self.margin_ns, 0)
        seconds = self.plan.tick_ns // SECOND
        if mark.get("seconds", seconds) != seconds:
            after = 0
        dirty = (await self.columns.named("roll_dirty", project, seconds=seconds, after=after)).rows
        plan = self.plan
        oldest = now_ns // DAY * DAY - self.kept_ns
        held = {int(tick) * SECOND: int(h) for tick, _, h in dirty if oldest <= int(tick) * SECOND <= now_ns}
        before, known = self._held.get(project, (plan, dict[int, int]()))
        ticks = sorted(t for t, h in held.items() if before is not plan or known.get(t) != h)
        seen = max([int(s) for _, s, _ in dirty], default=int(mark.get("seen", 0)))
        # A row written under a clock that ran ahead must not hide what is written after it.
        seen = min(seen, now_ns)
        done = await self.recompute(project, ticks, now_ns)
        if project in self._outgrown:
            self._outgrown.discard(project)
            self._held.pop(project, None)
            return await self.roll(project, now_ns)
        self._held[project] = plan, held
        fresh = {"seen": seen, "seconds": seconds}
        if fresh != mark or done.sizes:

            def store(conn: Connection) -> None:
                states.put(conn, project, "roll", "mark", fresh, now_ns)
                self._tell_late(conn, project, done.sizes, now_ns)

            await self.records.write(store)
        return done

    async def recompute(
        self, project: str, ticks: Sequence[int], now_ns: int, told: Callable[[float], object] | None = None
    ) -> Rolled:
        """Recompute these ticks (start times, ns) whatever is known of them. `told` hears how far it is, from 0 to 1."""
        done = Rolled(ticks=len(ticks))
        if not ticks:
            return done
        axes = await self._axes(project, ticks[0], now_ns)
        known = await self._known(project, ticks[0], ticks[-1] + self.plan.tick_ns, now_ns)
        for first, last in self._ranges(ticks):
            points, beyond = await self._points(project, first, last, axes, known, now_ns)
            if beyond and await self._widen(project, beyond, now_ns):
                return await self.recompute(project, ticks, now_ns, told)
            gone = await self._gone(project, first, last, points)
            if points or gone:
                await self.columns.write_points([*points, *gone])
            done.points += len(points)
            done.gone += len(gone)
            for p in points:
                if not p.key.cohort:
                    done.sizes[p.start_ns] = done.sizes.get(p.start_ns, 0) + p.n
            if told is not None:
                told((last - ticks[0]) / (ticks[-1] + self.plan.tick_ns - ticks[0]))
        return done

    def _tell_late(self, conn: Connection, project: str, sizes: Mapping[int, int], now_ns: int) -> None:
        """Note the ticks that hold something else than when the watcher judged them, for it to judge again."""
        mark = int(states.get(conn, project, "watch", "mark") or 0)
        known = {int(k): int(n) for k, n in (states.get(conn, project, "roll", "sizes") or {}).items()}
        late = {
            t: n for t, n in sizes.items() if t + self.plan.tick_ns <= mark and t in known and known[t] != n
        }
        if late:
            stored = states.get(conn, project, "roll", "late") or {}
            fresh = {**stored, **{str(t): n for t, n in late.items()}}
            states.put(conn, project, "roll", "late", fresh, now_ns)
        kept = {str(t): n for t, n in {**known, **sizes}.items() if t > now_ns - KEPT_NS}
        if kept != {str(t): n for t, n in known.items()}:
            states.put(conn, project, "roll", "sizes", kept, now_ns)

    def _ranges(self, ticks: Sequence[int]) -> list[tuple[int, int]]:
        """[start, end) of runs of ticks with small gaps, none longer than a chunk: to recompute a few ticks more costs less than
        to ask once more."""
        runs: list[tuple[int, int]] = []
        step = self.plan.tick_ns
        for tick in ticks:
            near = bool(runs) and tick - runs[-1][1] <= GAP * step
            if near and tick - runs[-1][0] < self.chunk * step:
                runs[-1] = (runs[-1][0], tick + step)
            else:
                runs.append((tick, tick + step))
        return runs

    async def _axes(self, project: str, since: int, now_ns: int) -> dict[str, Axis]:
        """The axis of every metric. One that had to be guessed is stored, because series with different axes cannot
        be added."""
        axes = {**DERIVED, **self.plan.axes, **{s.indicator: BINARY for s in self.plan.shares}}
        stored = await self.records.read(lambda c: states.get_all(c, project, "axis"))
        axes |= {k: msgspec.convert(v, Axis) for k, v in stored.items() if k not in axes}
        metrics = {metric_of(s) for s in await self.columns.scorers(project)}
        if not metrics <= set(axes):
            rows = (
                await self.columns.named("roll_ranges", project, since=since, derived=list(DERIVED))
            ).dicts()
            guessed = {
                str(r["metric"]): guess_axis(float(r["low"]), float(r["high"]), bool(r["whole"]))
                for r in rows
                if r["metric"] not in axes
            }
            values = {k: msgspec.to_builtins(v) for k, v in guessed.items()}
            await self.records.write(lambda c: states.put_all(c, project, "axis", values, now_ns))
            axes |= guessed
        return axes

    async def _widen(
        self, project: str, beyond: Mapping[str, tuple[float, float, bool]], now_ns: int
    ) -> bool:
        """Guess the axes of these scorers again, from all their values and those found (least, most, all whole); whether any is
        another now. A scorer whose first scores were all 1 is not for that one of zeros and ones. Everything is then to be
        recomputed, which is stored with the axes: after a crash it is still due."""
        stored = await self.records.read(lambda c: states.get_all(c, project, "axis"))
        table = await self.columns.named("roll_ranges", project, since=0, derived=list(DERIVED))
        fresh: dict[str, Any] = {}
        for row in table.dicts():
            name = str(row["metric"])
            if name in beyond and name in stored:
                low, high, whole = beyond[name]
                low, high = min(low, float(row["low"])), max(high, float(row["high"]))
                axis = msgspec.to_builtins(guess_axis(low, high, whole and bool(row["whole"])))
                if axis != stored[name]:
                    fresh[name] = axis
        if not fresh:
            return False

        def store(conn: Connection) -> None:
            states.put_all(conn, project, "axis", fresh, now_ns)
            mark = states.get(conn, project, "roll", "mark") or {}
            states.put(conn, project, "roll", "mark", {**mark, "seen": 0}, now_ns)

        await self.records.write(store)
        self._outgrown.add(project)
        log.info(
            "%s: %s outgrew the scale guessed for it; its series are rolled again", project, ", ".join(fresh)
        )
        return True

    async def _present(self, project: str, since: int, until: int) -> dict[int, list[str]]:
        """The values of each dimension in the two weeks before `until`, the most frequent first. They are counted once an hour;
        between, only what is new in [since, until) is added."""
        at, counts = self._counted.get(project, (until + 1, dict[int, dict[str, int]]()))
        if not at <= until < at + HOUR:
            at, counts, since = until, {}, until - 14 * DAY
        for dimension, value, n in (
            await self.columns.named("roll_values", project, since=since, until=until)
        ).rows:
            seen = counts.setdefault(int(dimension), {})
            seen[str(value)] = max(seen.get(str(value), 0), int(n))
        self._counted[project] = at, counts
        return {d: sorted(seen, key=lambda v: (-seen[v], v)) for d, seen in counts.items()}

    async def _known(self, project: str, since: int, until: int, now_ns: int) -> list[list[str]]:
        """The values of each dimension that keep their own series, an empty list where all do.

        The list is stored and only grows until it is full; a value not seen for two weeks makes room. A value that
        was `other` yesterday and not today would be a change that nobody made.
        """
        present = await self._present(project, since, until)
        stored = await self.records.read(lambda c: states.get(c, project, "cohorts", "known")) or {}
        known: list[list[str]] = []
        for position, name in enumerate(DIMENSIONS, start=1):
            values = present.get(position, [])
            kept = [v for v in stored.get(name, []) if v in values]
            if not kept and len(values) <= self.plan.keep:
                known.append([])
                continue
            kept += [v for v in values if v not in kept and v != OTHER][: max(self.plan.keep - len(kept), 0)]
            known.append(kept)
        fresh = {name: k for name, k in zip(DIMENSIONS, known, strict=True) if k}
        if fresh != stored:
            await self.records.write(lambda c: states.put(c, project, "cohorts", "known", fresh, now_ns))
        return known

    async def _points(
        self,
        project: str,
        first: int,
        last: int,
        axes: Mapping[str, Axis],
        known: list[list[str]],
        now_ns: int,
    ) -> tuple[list[Point], dict[str, tuple[float, float, bool]]]:
        """The points of [first, last), and the ranges of the values that are not of their metric's axis."""
        names, shares = list(axes), self.plan.shares
        positions = [[DIMENSIONS.index(d) + 1 for d in s] for s in self.plan.sets]
        table = await self.columns.named(
            "roll_points",
            project,
            seconds=self.plan.tick_ns // SECOND,
            since=first,
            until=last,
            known=known,
            derived=list(DERIVED),
            transport=sorted(TRANSPORT),
            names=[*names, *ERROR_CLASSES],
            low=[axes[n].low for n in names] + [BINARY.low] * len(ERROR_CLASSES),
            high=[axes[n].high for n in names] + [BINARY.high] * len(ERROR_CLASSES),
            bins=[axes[n].bins for n in names] + [BINARY.bins] * len(ERROR_CLASSES),
            logs=[int(axes[n].log) for n in names] + [0] * len(ERROR_CLASSES),
            ind_name=[s.indicator for s in shares],
            ind_metric=[s.metric for s in shares],
            ind_op=[s.op for s in shares],
            ind_limit=[s.limit for s in shares],
            sets=[[], *positions],
        )
        sets = ((), *self.plan.sets)
        # Thousands of rows would hold up whoever waits for an acknowledgement.
        found = await asyncio.to_thread(lambda: [self._point(project, row, sets, axes) for row in table.rows])
        beyond: dict[str, tuple[float, float, bool]] = {}
        for _, metric, which, *_, low, high, whole in table.rows:
            axis = axes.get(metric) if int(which) == 1 and metric not in DERIVED else None
            if axis is not None and not holds(axis, low, high, bool(whole)):
                before = beyond.get(metric, (low, high, True))
                beyond[metric] = min(low, before[0]), max(high, before[1]), bool(whole) and before[2]
        chosen = await self._of_one_version(project, found, now_ns)
        return await asyncio.to_thread(_with_absent_classes, chosen), beyond

    async def _of_one_version(self, project: str, points: list[Point], now_ns: int) -> list[Point]:
        """The points of one version for each metric and tick; see `choose_versions`. When a version was first seen is
        stored, because that decides which of two is the newer."""
        stored = await self.records.read(lambda c: states.get_all(c, project, "versions"))
        known = {metric: {str(v): int(t) for v, t in seen.items()} for metric, seen in stored.items()}
        fresh: dict[str, dict[str, int]] = {}
        for p in points:
            seen = known.setdefault(p.key.metric, {})
            if p.version and p.start_ns < seen.get(p.version, now_ns + 1):
                seen[p.version] = p.start_ns
                fresh[p.key.metric] = seen
        if fresh:
            kept = {m: dict(sorted(v.items(), key=lambda i: i[1])[-VERSIONS:]) for m, v in fresh.items()}
            await self.records.write(lambda c: states.put_all(c, project, "versions", kept, now_ns))
        return choose_versions(points, known)

    def _point(
        self, project: str, row: Sequence[Any], sets: Sequence[tuple[str, ...]], axes: Mapping[str, Axis]
    ) -> Point:
        tick, metric, which, values, n, *sums, hist, made, _, _, _ = row
        axis = axes.get(metric, BINARY)
        cohort: Cohort = tuple(sorted(zip(sets[int(which) - 1], (str(v) for v in values), strict=True)))
        hist_w, hist_w2 = [0.0] * axis.size, [0.0] * axis.size
        for at, w, w2 in zip(*hist, strict=True):
            hist_w[int(at)], hist_w2[int(at)] = float(w), float(w2)
        start = int(tick) * SECOND
        key = SeriesKey(project, str(metric), cohort)
        return Point(
            key, start, start + self.plan.tick_ns, axis, int(n), *(float(s) for s in sums),
            hist_w=tuple(hist_w), hist_w2=tuple(hist_w2), version=str(made),
        )  # fmt: skip

    async def _gone(self, project: str, first: int, last: int, points: Iterable[Point]) -> list[Point]:
        """Empty points for series that had something in these ticks and have nothing now, and for those of another length: who reads
        points adds them up, and whoever takes the shortest would see nothing new once ticks are longer."""
        now = {(p.start_ns, p.end_ns, p.key.metric, p.key.cohort) for p in points}
        rows = (await self.columns.named("roll_existing", project, since=first, until=last)).rows
        found: list[Point] = []
        for tick, metric, cohort_text, axis, seconds in rows:
            start, cohort = int(tick) * SECOND, cohort_parse(str(cohort_text))
            end = start + int(seconds) * SECOND
            if (start, end, metric, cohort) not in now:
                found.append(empty(SeriesKey(project, str(metric), cohort), start, end, axis_of(str(axis))))
        return found


def choose_versions(points: Sequence[Point], first_seen: Mapping[str, Mapping[str, int]]) -> list[Point]:
    """The points of one version for each metric and tick: values of two judges are not one series.

    It is the version with the most scores of all traffic; among those with at least half as many, the newest. So an hour
    in which a judge was replaced belongs to whoever did most of it, and of two that run side by side the newer counts.
    """
    sizes: dict[tuple[str, int], dict[str, int]] = {}
    for p in points:
        if not p.key.cohort:
            sizes.setdefault((p.key.metric, p.start_ns), {})[p.version] = p.n
    chosen: dict[tuple[str, int], str] = {}
    for (metric, tick), by_version in sizes.items():
        most, seen = max(by_version.values()), first_seen.get(metric, {})
        enough = [v for v, n in by_version.items() if 2 * n >= most]
        chosen[(metric, tick)] = max(enough, key=lambda v: (seen.get(v, 0), v))
    return [p for p in points if chosen.get((p.key.metric, p.start_ns), p.version) == p.version]


def _with_absent_classes(points: list[Point]) -> list[Point]:
    """The share of each error class among all traces: the query gives only the traces that have the class; those
    that do not are the rest of the `traces` point of the same cohort and tick."""
    totals = {(p.start_ns, p.key.cohort): p for p in points if p.key.metric == "traces"}
    classes = {
        (p.start_ns, p.key.cohort, p.key.metric): p for p in points if p.key.metric.startswith("error_class:")
    }
    found = [p for p in points if not p.key.metric.startswith("error_class:")]
    for (start, cohort), total in totals.items():
        for metric in ERROR_CLASSES:
            own = classes.get((start, cohort, metric))
            x, x2 = (own.sw, own.sw2) if own is not None else (0.0, 0.0)
            key = SeriesKey(total.key.project, metric, cohort)
            hist_w = (max(total.sw - x, 0.0), x, 0.0)
            hist_w2 = (max(total.sw2 - x2, 0.0), x2, 0.0)
            found.append(
                Point(
                    key, start, total.end_ns, BINARY, total.n, total.sw, total.sw2, x, x, x2, x2,
                    hist_w=hist_w, hist_w2=hist_w2,
                )
            )  # fmt: skip
    return found
