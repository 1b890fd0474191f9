"""Monitors over history: the watcher's own steps, nothing stored, nobody told."""

import asyncio
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from watchkeeper.alerting.monitor import Monitor
from watchkeeper.model.alert import Alert, Deploy
from watchkeeper.model.series import Cohort, Point, cohort_text
from watchkeeper.model.times import DAY, HOUR, SECOND
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.pipeline.watching.book import Book
from watchkeeper.pipeline.watching.normals import BASELINE_NS
from watchkeeper.pipeline.watching.steps import Settings, Steps
from watchkeeper.pipeline.watching.versions import is_version_alert
from watchkeeper.pipeline.watching.work import Work
from watchkeeper.store.columns import Columns, Table
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records


class History:
    """Points in memory where the watcher expects the column store: a later point of a series and a tick replaces the
    earlier one, as in the store. There are no traces and no deploys."""

    def __init__(self, points: Sequence[Point] = ()) -> None:
        self._points: dict[tuple[str, str, Cohort], dict[int, Point]] = {}
        # The ticks of a metric in any series: one sorted list for many series.
        self._ticks: dict[str, list[int]] = {}
        self._keep(points)

    def _keep(self, points: Sequence[Point]) -> None:
        self._ticks.clear()
        for p in points:
            self._points.setdefault((p.key.project, p.key.metric, p.key.cohort), {})[p.start_ns] = p

    def _ticks_of(self, metric: str) -> list[int]:
        if metric not in self._ticks:
            series = (ticks for (_, name, _), ticks in self._points.items() if name == metric)
            self._ticks[metric] = sorted({tick for ticks in series for tick in ticks})
        return self._ticks[metric]

    async def write_points(self, points: Sequence[Point]) -> None:
        """Keep points in memory."""
        self._keep(points)

    async def read_points(
        self,
        project: str,
        since_ns: int,
        until_ns: int,
        metric: str | None = None,
        cohort: str | None = None,
        seconds: int | None = None,
    ) -> list[Point]:
        """The kept points, as the port's method of this name; series after series, each by time."""
        del seconds
        found: list[Point] = []
        for (owner, name, where), ticks in self._points.items():
            if owner == project and metric in (None, name) and cohort in (None, cohort_text(where)):
                starts = self._ticks_of(name)
                inside = starts[bisect_left(starts, since_ns) : bisect_left(starts, until_ns)]
                found.extend(ticks[start] for start in inside if start in ticks)
        return found

    async def read_deploys(self, project: str, since_ns: int, until_ns: int) -> list[Deploy]:
        """None."""
        return []

    async def named(self, name: str, project: str, **params: Any) -> Table:
        """An empty table."""
        return Table([], [])


async def over_history(
    columns: Columns,
    monitors: Sequence[Monitor],
    since_ns: int,
    until_ns: int,
    settings: Settings = Settings(),
    told: Callable[[float], object] | None = None,
) -> list[Alert]:
    """The alerts these monitors (of one project) would have opened between two times, by the points that are stored.

    Baselines are gathered from up to 14 days before `since_ns`, exactly as the live watcher would have. Monitors share
    the false-alarm budget with each other, as they would live. `told` hears how far it is, from 0 to 1.
    """
    if not monitors:
        return []
    steps = Steps(columns, monitors, settings=settings)
    project, step = monitors[0].project, steps.tick_ns
    first = (since_ns - BASELINE_NS - 2 * HOUR) // step * step
    work = Work(project, Book(step), {}, {}, {}, {}, [], first, first)
    ends = range(since_ns // step * step + step, until_ns + 1, step)
    for chunk in range(0, len(ends), 96):
        some = ends[chunk : chunk + 96]
        await steps.read_points(work, some[0], some[-1])
        for end in some:
            await steps.step(work, end)
            if told is not None:
                told((end - since_ns) / (until_ns - since_ns))
                # A step that finds everything in memory lets nobody else have the loop, nor see how far it is.
                await asyncio.sleep(0)
        work.messages.clear()
        work.book.forget(some[-1] - max(m.reach for m in monitors) - 3 * DAY)
    return [a for a in work.alerts.values() if a.fired_ns is not None and not is_version_alert(a)]


class Afresh(History):
    """The column store with the points that other monitors than the stored ones need: rolled afresh from the stored
    traces into memory, written nowhere; everything else is read from `real`."""

    def __init__(self, real: Columns) -> None:
        super().__init__()
        self.real = real

    async def read_deploys(self, project: str, since_ns: int, until_ns: int) -> list[Deploy]:
        """The real deployments."""
        return await self.real.read_deploys(project, since_ns, until_ns)

    async def scorers(self, project: str) -> list[str]:
        """The real scorers."""
        return await self.real.scorers(project)

    async def named(self, name: str, project: str, **params: Any) -> Table:
        """The real answers, but for what depends on points."""
        if name == "roll_existing":
            return Table([], [])
        return await self.real.named(name, project, **params)


class Turn:
    """Backtests take turns, because each reads all of history. `what` is whose turn it is (None: nobody's), `share` how far that one
    is, from 0 to 1."""

    def __init__(self) -> None:
        self.what: object | None = None
        self.share = 0.0

    def take(self, what: object) -> bool:
        """Begin; False while another runs. Who took the turn gives it back with `free`."""
        if self.what is not None:
            return False
        self.what, self.share = what, 0.0
        return True

    def free(self) -> None:
        """Give the turn back."""
        self.what = None

    def at(self, share: float) -> None:
        """Note how far it is."""
        self.share = min(1.0, max(self.share, share))


TURN = Turn()


async def backtest(
    real: Columns,
    rules: Sequence[Monitor],
    since_ns: int,
    now_ns: int,
    told: Callable[[float], object] = lambda _: None,
) -> list[Alert]:
    """The alerts these monitors would have opened over the stored history of their projects, oldest first. `told` hears how far it
    is, from 0 to 1."""
    columns = Afresh(real)
    plan = RollPlan.of(rules)
    first = (since_ns - BASELINE_NS) // plan.tick_ns * plan.tick_ns
    found: list[Alert] = []
    with tempfile.TemporaryDirectory(prefix="watchkeeper-rehearsal-") as folder:
        records = Records(migrate.url_of(Path(folder)))
        try:
            await asyncio.to_thread(migrate.upgrade, records)
            roller = Roller(cast(Columns, columns), records, plan)
            projects = list(dict.fromkeys(r.project for r in rules))
            for number, project in enumerate(projects):

                def at(half: float, number: int = number) -> None:
                    told((number + half / 2) / len(projects))

                held = await real.named(
                    "roll_held", project, seconds=plan.tick_ns // SECOND, since=first, until=now_ns
                )
                await roller.recompute(project, [int(t) * SECOND for (t,) in held.rows], now_ns, at)
                mine = [r for r in rules if r.project == project]
                settings = Settings(tick_ns=plan.tick_ns)
                found += await over_history(
                    cast(Columns, columns),
                    mine,
                    since_ns,
                    now_ns,
                    settings,
                    lambda share, at=at: at(1 + share),
                )
        finally:
            records.close()
    return sorted(found, key=lambda a: (a.fired_ns or 0, a.monitor))
