"""The watcher: for every closed tick, every monitor and cohort: look, advance the alert's life, tell its owner.

`Watcher.tick(now_ns)` does everything that is due at `now_ns` and may be called at any rate: what it decides depends on
the data and on `now_ns` only. Alerts, outbox and states of all ticks of a call are written in one transaction, so a
crash at any point repeats the call with the same ids: nothing is lost, nothing is told under a new key.
"""

import logging
from collections.abc import Iterable, Sequence

import msgspec

from watchkeeper.alerting.monitor import Monitor
from watchkeeper.alerting.routing import Routes
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import Cohort
from watchkeeper.model.times import DAY, SECOND
from watchkeeper.pipeline.watching import telling
from watchkeeper.pipeline.watching.normals import Normal
from watchkeeper.pipeline.watching.steps import Settings, Steps
from watchkeeper.pipeline.watching.telling import ChangeHook, ReviewHook
from watchkeeper.pipeline.watching.work import load, rewind, series_key
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import alerts, states
from watchkeeper.store.records.engine import Records

# Late data is judged again from a checkpoint at most three days old.
KEPT_NS = 3 * DAY
log = logging.getLogger(__name__)


class Watcher(Steps):
    """Watches the given monitors. `on_review` is called inside the transaction that stores a firing alert, with its
    worst traces; it must be idempotent. `monitors` and `routes` may be replaced between calls."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        monitors: Sequence[Monitor],
        routes: Routes = Routes(),
        settings: Settings = Settings(),
        on_review: ReviewHook | None = None,
    ) -> None:
        super().__init__(columns, monitors, routes, settings)
        self.records = records
        self.on_review = on_review
        self.on_change: ChangeHook | None = None

    async def tick(self, now_ns: int) -> int:
        """Do everything that is due; how many ticks were watched. One project's failure does not stop the others."""
        done = 0
        for project in dict.fromkeys(m.project for m in self.monitors):
            while True:
                try:
                    ticks = await self._project(project, now_ns)
                except Exception:  # one project's data or store must not blind the others
                    self.counts.failed += 1
                    log.exception("watching project %s failed; it is tried again", project)
                    break
                done += ticks
                if ticks < self.settings.batch:
                    break
        return done

    async def _project(self, project: str, now: int) -> int:
        s, tick = self.settings, self.tick_ns
        span = (await self.columns.named("watch_span", project, seconds=tick // SECOND)).dicts()
        if not span or not int(span[0]["n"]):
            return 0
        work = await self.records.read(lambda c: load(c, project, tick, int(span[0]["first"]) * SECOND, now))
        closed = (now - s.grace_ns) // tick * tick
        begin = work.mark
        if begin > closed:
            # What was watched with data in it is not watched again, whichever way the clock went.
            begin = max([closed, *(w.last_data_ns for w in work.watched.values())])
            if begin < work.mark and work.watched:
                log.warning("project %s was watched beyond the present: the clock was ahead", project)
                rewind(work, begin)
                self.counts.rewound += 1
        begin = min(begin, work.mark)
        ends = list(range(begin // tick * tick + tick, closed + 1, tick))[: s.batch]
        judged = {t: n for t, n in work.late.items() if ends and t < ends[0] - tick}
        if ends:
            early = min(judged, default=ends[0])
            await self.read_points(work, max(min(early, ends[0]), ends[0] - KEPT_NS), ends[-1])
        if judged:
            self.judge_late(work, list(judged), ends[0] - tick)
        for end in ends:
            await self.step(work, end)
            self.counts.ticks += 1
        if len(ends) < s.batch:
            # Reminders, escalations and the ends of silences come with time, not with data.
            telling.due(work, self.mine(project), self.routes, max(now, ends[-1] if ends else 0))
        mark, monitors = (ends[-1] if ends else begin), self.mine(project)
        if await self.records.write(
            lambda c: telling.commit(c, work, monitors, mark, now, self.on_review, judged, self.on_change)
        ):
            self.counts.messages += len(work.messages)
            await self._mirror([work.alerts[i] for i in sorted(work.changed)])
        return len(ends)

    async def _mirror(self, changed: Iterable[Alert]) -> None:
        """Copy alerts to the column store for SQL. The records stay the truth: a failure is counted and the next change
        of the alert, or `mirror_all`, repairs it."""
        rows = [telling.alert_row(a) for a in changed]
        if not rows:
            return
        try:
            await self.columns.write_alerts(rows)
        except Exception:  # the mirror is for reading; it must never undo or repeat what was committed
            self.counts.failed += 1
            log.exception("%d alerts could not be mirrored to the column store", len(rows))

    async def mirror_all(self, project: str, limit: int = 1000) -> None:
        """Copy the latest alerts again, after a start."""
        await self._mirror(await self.records.read(lambda c: alerts.find(c, project, limit=limit)))

    async def accept(self, project: str, metric: str, cohort: Cohort, now_ns: int) -> None:
        """People say that the present is the new normal: a new baseline is gathered from now on."""
        fresh = Normal(reason="a new normal was accepted; gathering it", not_before_ns=now_ns)
        key = series_key((metric, cohort))
        await self.records.write(
            lambda c: states.put(c, project, "normal", key, msgspec.to_builtins(fresh), now_ns)
        )
