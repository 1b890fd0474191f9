"""Monitors without consequences: the production roller and watcher over history or a made-up series, with records that
are thrown away. What fires here is what would have fired."""

import asyncio
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, cast

from watchkeeper.alerting.monitor import Monitor, Test
from watchkeeper.alerting.routing import Routes
from watchkeeper.model.alert import Alert, Deploy
from watchkeeper.model.series import BINARY, UNIT, Axis, Cohort, Point, SeriesKey, gather
from watchkeeper.pipeline.roll import Plan, Roller
from watchkeeper.pipeline.watch import Settings, Watcher
from watchkeeper.store.columns import Columns, Table
from watchkeeper.store.records import alerts, migrate
from watchkeeper.store.records.engine import Records

SECOND, DAY = 10**9, 86_400 * 10**9
# A Monday at midnight, so that hours and days of a made-up series fall where people expect them.
EPOCH = 20_457 * DAY
MAX_VALUES = 5000
_STEP = re.compile(r"(-?\d+(?:\.\d+)?)(?:\s*~\s*(\d+(?:\.\d+)?))?(?:\s*x\s*(\d{1,5}))?\Z")
_NONE = re.compile(r"none(?:\s*x\s*(\d{1,5}))?\Z")
EXPECTATIONS = ("firing_at", "resolved_at", "firing_by", "never")


class SeriesError(ValueError):
    """A test that cannot be run; the text says what is wrong and what is allowed."""


@dataclass
class Rehearsed:
    """The column store as the roller and watcher see it here: points in memory, the rest read from `real` if any."""

    real: Columns | None = None
    points: dict[tuple[str, str, Cohort], dict[int, Point]] = field(
        default_factory=dict[tuple[str, str, Cohort], dict[int, Point]]
    )

    async def write_points(self, points: Sequence[Point]) -> None:
        """Keep points in memory."""
        for p in points:
            self.points.setdefault((p.key.project, p.key.metric, p.key.cohort), {})[p.start_ns] = p

    async def read_points(
        self,
        project: str,
        since_ns: int,
        until_ns: int,
        metric: str | None = None,
        cohort: str | None = None,
        seconds: int | None = None,
    ) -> list[Point]:
        """The kept points, as the port's method of this name."""
        del seconds
        return [
            ticks[start]
            for (owner, name, where), ticks in sorted(self.points.items())
            if owner == project
            and metric in (None, name)
            and cohort in (None, ",".join(f"{k}={v}" for k, v in where))
            for start in sorted(ticks)
            if since_ns <= start < until_ns
        ]

    async def read_deploys(self, project: str, since_ns: int, until_ns: int) -> list[Deploy]:
        """The real deployments."""
        return [] if self.real is None else await self.real.read_deploys(project, since_ns, until_ns)

    async def scorers(self, project: str) -> list[str]:
        """The real scorers."""
        return [] if self.real is None else await self.real.scorers(project)

    async def named(self, name: str, project: str, **params: Any) -> Table:
        """The real answers, but for what depends on points."""
        if name == "watch_span":
            starts = [s for (owner, _, _), ticks in self.points.items() if owner == project for s in ticks]
            first, last = (min(starts) // SECOND, max(starts) // SECOND) if starts else (0, 0)
            return Table(["n", "first", "last"], [[len(starts), first, last]])
        if self.real is None or name == "roll_existing":
            return Table([], [])
        return await self.real.named(name, project, **params)

    async def write_alerts(self, rows: list[dict[str, Any]]) -> None:
        """Nobody is told."""


async def _watched(columns: Rehearsed, rules: Sequence[Monitor], tick_ns: int, now_ns: int) -> list[Alert]:
    """Every alert these monitors would have opened, oldest first."""
    with tempfile.TemporaryDirectory(prefix="watchkeeper-rehearsal-") as folder:
        records = Records(migrate.url_of(Path(folder)))
        try:
            await asyncio.to_thread(migrate.upgrade, records)
            settings = Settings(tick_ns=tick_ns, grace_ns=0, review_worst=0)
            watcher = Watcher(cast(Columns, columns), records, rules, Routes(), settings)
            await watcher.tick(now_ns)
            if watcher.counts.failed:
                raise SeriesError("the monitors could not be run over this; the log says why")
            projects = dict.fromkeys(r.project for r in rules)
            found = [await records.read(lambda c, p=p: alerts.find(c, p, limit=5000)) for p in projects]
        finally:
            records.close()
    fired = [a for group in found for a in group if a.fired_ns is not None]
    return sorted(fired, key=lambda a: (a.fired_ns or 0, a.monitor))


async def backtest(real: Columns, rules: Sequence[Monitor], since_ns: int, now_ns: int) -> list[Alert]:
    """When these monitors would have fired over the stored history of their projects."""
    columns = Rehearsed(real)
    plan = Plan.of(rules)
    first = since_ns // plan.tick_ns * plan.tick_ns
    ticks = list(range(first, now_ns, plan.tick_ns))
    with tempfile.TemporaryDirectory(prefix="watchkeeper-rehearsal-") as folder:
        records = Records(migrate.url_of(Path(folder)))
        try:
            await asyncio.to_thread(migrate.upgrade, records)
            roller = Roller(cast(Columns, columns), records, plan)
            for project in dict.fromkeys(r.project for r in rules):
                await roller.recompute(project, ticks, now_ns)
        finally:
            records.close()
    return await _watched(columns, rules, plan.tick_ns, now_ns)


# --- a monitor's own tests


def values_of(series: str) -> list[tuple[float, float] | None]:
    """Mean and spread of every value of `8.2 x20, 6.5~1.8 x10, none x3`; None is a tick without any score.

    Raises `SeriesError`.
    """
    made: list[tuple[float, float] | None] = []
    for part in series.split(","):
        step, gap = _STEP.match(part.strip()), _NONE.match(part.strip())
        if gap:
            made.extend([None] * int(gap[1] or 1))
        elif step:
            made.extend([(float(step[1]), float(step[2] or 0.0))] * int(step[3] or 1))
        else:
            raise SeriesError(
                f"series: {part.strip()[:40]!r} is not understood; write values such as 8.2 x20, 6.5~1.8 x10 "
                "(mean~spread), none x3"
            )
        if len(made) > MAX_VALUES:
            raise SeriesError(f"series: more than {MAX_VALUES} values")
    return made


def scores_of(mean: float, spread: float, n: int) -> list[float]:
    """`n` scores with this mean and spread, the same ones every time: quantiles of a normal distribution."""
    if spread == 0:
        return [mean] * n
    normal = NormalDist(mean, spread)
    return [normal.inv_cdf((i + 0.5) / n) for i in range(n)]


def _axis(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return UNIT
    if low >= 0 and high <= 10:
        return Axis(0.0, 10.0, 50)
    reach = max(abs(low), abs(high), 1.0) * 1.01
    return Axis(-reach if low < 0 else 0.0, reach, 60)


_HOLDS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def points_of(rule: Monitor, test: Test, tick_ns: int) -> list[Point]:
    """The points the monitor reads if every score it reads had the values of the test, one tick a value."""
    values = values_of(test.series)
    ticks = [None if v is None else scores_of(*v, test.n) for v in values]
    everything = [x for scores in ticks if scores for x in scores]
    if not everything:
        raise SeriesError("series: it holds no value")
    axis = _axis(everything)
    shares = {s.indicator: s for s in rule.shares}
    made: list[Point] = []
    for number, scores in enumerate(ticks):
        if scores is None:
            continue
        start = EPOCH + number * tick_ns
        for metric in ("traces", *rule.metrics):
            key = SeriesKey(rule.project, metric, rule.where)
            if metric == "traces":
                made.append(gather(key, start, start + tick_ns, BINARY, [(1.0, 1.0)] * len(scores)))
            elif metric in shares:
                holds, limit = _HOLDS[shares[metric].op], shares[metric].limit
                given = [(float(holds(x, limit)), 1.0) for x in scores]
                made.append(gather(key, start, start + tick_ns, BINARY, given))
            else:
                made.append(gather(key, start, start + tick_ns, axis, [(x, 1.0) for x in scores]))
    return made


@dataclass(frozen=True)
class Outcome:
    """What became of a test: `wrong` says in words how it differs from what was expected, None when it does not."""

    monitor: str
    name: str
    fired_at: int | None
    resolved_at: int | None
    wrong: str | None


def _wrong(expect: dict[str, Any], fired: int | None, resolved: int | None, length: int) -> str | None:
    for key, wanted in expect.items():
        if key == "never" and wanted == "firing":
            if fired is not None:
                return f"it fired at value {fired}, and should not have"
        elif key not in EXPECTATIONS or not isinstance(wanted, int) or isinstance(wanted, bool):
            raise SeriesError(
                f"expect: {key}: {wanted!r} is not understood; write firing_at, firing_by or resolved_at with the "
                "number of a value, or never: firing"
            )
        elif key == "firing_at" and fired != wanted:
            return f"it should fire at value {wanted} and {_at('fired', fired, length)}"
        elif key == "firing_by" and (fired is None or fired > wanted):
            return f"it should fire by value {wanted} and {_at('fired', fired, length)}"
        elif key == "resolved_at" and resolved != wanted:
            return f"it should be resolved at value {wanted} and {_at('was', resolved, length)}"
    return None


def _at(verb: str, position: int | None, length: int) -> str:
    return f"did not within {length} values" if position is None else f"{verb} at value {position}"


async def run_test(rule: Monitor, test: Test) -> Outcome:
    """Run one of a monitor's own tests. Raises `SeriesError` for one that is not understood."""
    tick_ns = rule.tick()
    columns = Rehearsed()
    await columns.write_points(points_of(rule, test, tick_ns))
    length = len(values_of(test.series))
    found = await _watched(columns, [rule], tick_ns, EPOCH + length * tick_ns)
    mine = [a for a in found if tuple(sorted(a.cohort.items())) == rule.where]
    fired = (mine[0].fired_ns or 0) - EPOCH if mine else None
    resolved = mine[0].resolved_ns - EPOCH if mine and mine[0].resolved_ns is not None else None
    at = None if fired is None else fired // tick_ns
    over = None if resolved is None else resolved // tick_ns
    return Outcome(rule.name, test.name or test.series, at, over, _wrong(test.expect, at, over, length))
