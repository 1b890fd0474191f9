"""One tick of every monitor and cohort: baselines, looks, whose change it is, alerts. Reads, and writes nothing.

The watcher runs these steps over the live store and commits what they changed; `backtest` runs the same steps over
history and throws the changes away. That is why a backtest says what would have happened.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.estimates import look_error
from watchkeeper.alerting.lifecycle import Event, Life, advance
from watchkeeper.alerting.monitor import Monitor, tick_of
from watchkeeper.alerting.routing import Routes, alert_id, cohort_of_alert, group_for, inhibitor
from watchkeeper.detection.baseline import Config
from watchkeeper.detection.fleet import threshold
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import Cohort, Point, SeriesKey, cohort_text, remade
from watchkeeper.model.sketch import field_of_metric
from watchkeeper.model.times import DAY, HOUR, MINUTE, SECOND, WEEK
from watchkeeper.pipeline.watching import clouds, evidence, telling
from watchkeeper.pipeline.watching.attribution import explained
from watchkeeper.pipeline.watching.book import Watched
from watchkeeper.pipeline.watching.clouds import Examples
from watchkeeper.pipeline.watching.detectors import checkpoint, judge_again
from watchkeeper.pipeline.watching.look import Looked, look
from watchkeeper.pipeline.watching.normals import BASELINE_NS, LEAST_NS, Normal, make_normal, relearn
from watchkeeper.pipeline.watching.versions import is_version_alert, version_alert
from watchkeeper.pipeline.watching.work import Work, watch_key
from watchkeeper.store.columns import Columns

log = logging.getLogger(__name__)
# Onsets closer than this are one incident. Ticks for which an alert is left to a wider or narrower one not yet told.
SAME_NS, PATIENCE = 6 * HOUR, 6


@dataclass(frozen=True)
class Settings:
    """`tick_ns` is that of the points; None: what `RollPlan.of` the same monitors rolls. A tick is closed `grace_ns` after
    its end. `alarms_per_week` is the false-alarm budget of the whole fleet. At most `batch` ticks are done in one
    transaction. `review_worst` traces of an alert are handed to the review hook."""

    tick_ns: int | None = None
    grace_ns: int = 5 * MINUTE
    alarms_per_week: float = 1.0
    batch: int = 72
    base_url: str = ""
    review_worst: int = 5
    refresh_ns: int = 6 * HOUR


@dataclass
class Counts:
    """What the watcher has done since it started; exported as metrics.

    `versions`: series begun anew because what makes their values changed. Of the series with data in an hour that had been
    judged: `late` were judged again, `late_firing` left alone because their incident is open or has just ended,
    `late_too_old` because it came more than two days late.
    """

    ticks: int = 0
    looks: int = 0
    fired: int = 0
    resolved: int = 0
    messages: int = 0
    failed: int = 0
    rewound: int = 0
    versions: int = 0
    late: int = 0
    late_firing: int = 0
    late_too_old: int = 0


@dataclass(frozen=True)
class _At:
    """One monitor's look at one cohort at the end of a tick."""

    work: Work
    monitor: Monitor
    cohort: Cohort
    watched: Watched
    looked: Looked
    end: int


class Steps:
    """What happens at the end of each tick. `monitors` and `routes` may be replaced between ticks."""

    def __init__(
        self,
        columns: Columns,
        monitors: Sequence[Monitor],
        routes: Routes = Routes(),
        settings: Settings = Settings(),
    ) -> None:
        self.columns = columns
        self.monitors = tuple(monitors)
        self.routes = routes
        self.settings = settings
        self.counts = Counts()
        self.examples: Examples | None = None

    @property
    def tick_ns(self) -> int:
        """The length of a tick now."""
        return self.settings.tick_ns if self.settings.tick_ns is not None else tick_of(self.monitors)

    def mine(self, project: str) -> list[Monitor]:
        """The monitors of one project."""
        return [m for m in self.monitors if m.project == project]

    async def read_points(self, work: Work, first_end: int, last_end: int) -> None:
        """Read what the monitors need to judge the ticks that end in this range."""
        monitors = self.mine(work.project)
        reach = max([m.reach for m in monitors] + [2 * DAY]) + HOUR
        for metric in sorted({x for m in monitors for x in m.moving if field_of_metric(x) is not None}):
            await clouds.read(self.columns, work, metric, first_end - 2 * DAY, last_end)
        for metric in sorted({"traces", *(x for m in monitors for x in m.metrics)}):
            if field_of_metric(metric) is not None:
                continue
            work.book.add(
                await self.columns.read_points(
                    work.project,
                    first_end - reach,
                    last_end,
                    metric=metric,
                    seconds=self.tick_ns // SECOND,
                )
            )

    async def step(self, work: Work, end: int) -> None:
        """Do the tick that ends at `end`; what changed is in `work`."""
        monitors = self.mine(work.project)
        looks = self._series(work)
        for monitor in monitors:
            config = self._config(work, monitor)
            alpha = look_error(looks, WEEK / self.tick_ns, self.settings.alarms_per_week, monitor.severity)
            await self._monitor(work, monitor, end, config, alpha)
        telling.due(work, self.mine(work.project), self.routes, end)

    async def _monitor(self, work: Work, monitor: Monitor, end: int, config: Config, alpha: float) -> None:
        parent: Cohort = monitor.where
        cohorts = self._cohorts(work, monitor, end)
        seen: dict[Cohort, Looked] = {}
        for cohort in cohorts:
            await self._normals(work, monitor, cohort, parent, end, config)
            watched = work.watched.setdefault(watch_key(monitor.name, cohort), Watched(Life("no_data")))
            seen[cohort] = look(watched, monitor, cohort, parent, end, work.book, work.normals, config, alpha)
            checkpoint(watched, end)
            self.counts.looks += 1
        blocked = self._left_to_children(work, monitor, parent, seen, end, alpha)
        for cohort, looked in seen.items():
            watched = work.watched[watch_key(monitor.name, cohort)]
            what, other = looked.seen, blocked.get(cohort)
            if cohort != parent and other is None:
                other = self._left_to_parent(work, monitor, cohort, parent, seen, parent in blocked, end)
            if what == "breach" and watched.life.state != "firing" and other is not None:
                what, watched.reason = "near", f"explained by {cohort_words(other)}"
                watched.blocked += 1
            elif what != "breach":
                watched.blocked = 0
            watched.life, events = advance(watched.life, what, end, monitor.timing)
            at = _At(work, monitor, cohort, watched, looked, end)
            for event in events:
                await self._event(at, event)
            await self._refresh(at)

    def _left_to_parent(
        self,
        work: Work,
        monitor: Monitor,
        cohort: Cohort,
        parent: Cohort,
        seen: Mapping[Cohort, Looked],
        parent_blocked: bool,
        end: int,
    ) -> Cohort | None:
        """The parent, if its alert about the same time tells this story already or is about to."""
        watched, above = (work.watched[watch_key(monitor.name, c)] for c in (cohort, parent))
        if above.life.state == "firing" and above.onset_ns is not None:
            return parent if abs(self._onset(monitor, watched, end) - above.onset_ns) <= SAME_NS else None
        about_to = seen[parent].seen == "breach" and not parent_blocked and watched.blocked < PATIENCE
        return parent if about_to else None

    def _cohorts(self, work: Work, monitor: Monitor, end: int) -> list[Cohort]:
        """All traffic first, then every cohort with recent data or an open alert."""
        parent: Cohort = monitor.where
        dims = tuple(sorted((*(k for k, _ in parent), *monitor.by)))
        if not monitor.by:
            return [parent]
        since = end - max(monitor.reach, 2 * DAY)
        found = set(work.book.cohorts((*monitor.metrics, "traces"), dims, parent, since, end))
        found |= {
            cohort_of_alert(a)
            for a in work.alerts.values()
            if a.monitor == monitor.name and a.state == "firing" and cohort_of_alert(a) != parent
        }
        return [parent, *sorted(found)]

    def _left_to_children(
        self,
        work: Work,
        monitor: Monitor,
        parent: Cohort,
        seen: Mapping[Cohort, Looked],
        end: int,
        alpha: float,
    ) -> dict[Cohort, Cohort]:
        """The parent, if what it sees is the doing of cohorts that see it too; see `attribution.explained`."""
        watched = work.watched[watch_key(monitor.name, parent)]
        mine = seen[parent]
        if mine.seen != "breach" or watched.life.state == "firing":
            return {}
        told = [
            c for c in seen if c != parent and work.watched[watch_key(monitor.name, c)].life.state == "firing"
        ]
        if not told and watched.blocked >= PATIENCE:
            return {}  # children that never fire themselves must not keep the parent silent for ever
        order = {"breach": 0, "near": 1}
        also = [c for c, looked in seen.items() if c != parent and c not in told and looked.seen in order]
        children = [*told, *sorted(also, key=lambda c: (order[seen[c].seen], -seen[c].strength))]
        first = explained(
            monitor, parent, children, end, work.book, work.normals, watched, alpha, told=bool(told)
        )
        return {parent: first} if first is not None else {}

    # -- baselines -----------------------------------------------------------------------------------------------

    async def _normals(
        self, work: Work, monitor: Monitor, cohort: Cohort, parent: Cohort, end: int, config: Config
    ) -> None:
        for metric in monitor.metrics:
            key = (metric, cohort)
            if field_of_metric(metric) is not None:
                await clouds.freeze(self.columns, work, monitor, metric, cohort, end, self.mine(work.project))
                continue
            normal = work.normals.setdefault(key, Normal())
            normal = self._versioned(work, monitor, metric, cohort, normal, end)
            start = max(work.first, normal.not_before_ns)
            # An hour is the lag, another what aligning to whole hours may take.
            age = end - start - 2 * HOUR
            above = work.normals.get((metric, parent)) if cohort != parent else None
            young = normal.point is None or normal.to_ns - normal.from_ns < 13.9 * DAY
            may_inherit = above is not None and above.point is not None and normal.point is None
            if not young or normal.inherited or (age < LEAST_NS and not may_inherit):
                continue
            grown = normal.point is not None and end - normal.from_ns - 2 * HOUR < BASELINE_NS
            waiting = normal.tried_ns and end - normal.tried_ns < DAY
            troubled = not normal.relearning and self._troubled(work, metric, cohort, parent)
            if grown or waiting or troubled:
                continue
            await self._freeze(work, monitor, metric, cohort, above, start, end, config)

    def _versioned(
        self, work: Work, monitor: Monitor, metric: str, cohort: Cohort, normal: Normal, end: int
    ) -> Normal:
        """The normal, or a fresh one to be gathered when the series' values are made by another version now: another
        judge's scale is no change of quality. Or when all its points, those of the past too, were rolled again on another axis."""
        newest = work.book.newest(metric, cohort, end)
        now = newest.version if newest is not None else ""
        if newest is not None and normal.point is not None and newest.axis != normal.point.axis:
            normal = Normal(
                reason="rolled again on a wider scale; gathering the baseline again",
                not_before_ns=normal.not_before_ns,
                version=normal.version,
            )
            self._begin_again(work, metric, cohort, normal)
        if not remade(normal.version, now):
            if now and not normal.version:
                normal.version = now
                work.frozen.add((metric, cohort))
            return normal
        tick = end - self.tick_ns
        first = min(work.versions.get(metric, {}).get(now, tick), tick)
        fresh = relearn(normal, now, tick, first)
        self._begin_again(work, metric, cohort, fresh)
        if cohort == monitor.where:
            alert = version_alert(work.project, monitor, metric, cohort, normal.version, now, tick)
            work.alerts[alert.id] = alert
            work.changed.add(alert.id)
            self.counts.versions += 1
        return fresh

    def _begin_again(self, work: Work, metric: str, cohort: Cohort, normal: Normal) -> None:
        """Put another normal in the place of the one there is, and forget the evidence against that."""
        work.normals[(metric, cohort)] = normal
        work.frozen.add((metric, cohort))
        for m in self.mine(work.project):
            watched = work.watched.get(watch_key(m.name, cohort))
            if watched is not None and metric in m.metrics:
                watched.begin_again(metric)

    def judge_late(self, work: Work, ticks: Sequence[int], end: int) -> None:
        """Judge again what had data after the fact in `ticks` (their starts). An open incident, or one that ended since,
        is left alone: its alert has been sent, and there must not be a second about the same hours."""
        first = min(ticks)
        for monitor in self.mine(work.project):
            for cohort in self._cohorts(work, monitor, end):
                watched = work.watched.get(watch_key(monitor.name, cohort))
                if watched is None or not (watched.detectors or watched.rates):
                    continue
                mine = [
                    a
                    for a in work.alerts.values()
                    if a.monitor == monitor.name and cohort_of_alert(a) == cohort and a.fired_ns is not None
                ]
                told = any(a.state == "firing" or (a.resolved_ns or 0) > first - 2 * DAY for a in mine)
                if told or watched.life.state == "firing":
                    self.counts.late_firing += 1
                    continue
                normals = {m: n for m in monitor.moving if (n := work.normals.get((m, cohort))) is not None}
                config = self._config(work, monitor)
                done = judge_again(watched, monitor, cohort, first, end, work.book, normals, config)
                self.counts.late += done
                self.counts.late_too_old += not done

    def _config(self, work: Work, monitor: Monitor) -> Config:
        """The detector's settings: its threshold is the fleet's budget over everything that is watched."""
        return Config(
            threshold=threshold(
                self._series(work),
                max(HOUR, self.tick_ns),
                false_alarms_per_week=self.settings.alarms_per_week,
                page=monitor.severity == "page",
            )
        )

    def _series(self, work: Work) -> int:
        """How many series share the budget: what moves and what is held against a limit, in every cohort."""
        cohorts: dict[str, int] = {}
        for key in work.watched:
            name = key.partition("|")[0]
            cohorts[name] = cohorts.get(name, 0) + 1
        return sum(m.series(cohorts.get(m.name, 0)) for m in self.mine(work.project)) or len(
            self.mine(work.project)
        )

    def _troubled(self, work: Work, metric: str, cohort: Cohort, parent: Cohort) -> bool:
        """Is anything about this series pending or firing now? Then it is not normal and not frozen as such."""
        names = {m.name for m in self.mine(work.project) if metric in m.metrics}
        keys = {watch_key(n, c) for n in names for c in (cohort, parent)}
        return any(work.watched[k].life.state in ("pending", "firing") for k in keys if k in work.watched)

    async def _freeze(
        self,
        work: Work,
        monitor: Monitor,
        metric: str,
        cohort: Cohort,
        above: Normal | None,
        start: int,
        end: int,
        config: Config,
    ) -> None:
        # Lagged one tick, so that what is being judged is never part of its own normal.
        until = (end - HOUR) // HOUR * HOUR
        since = max(start, until - BASELINE_NS)
        points: list[Point] = await self.columns.read_points(
            work.project,
            since,
            until,
            metric=metric,
            cohort=cohort_text(cohort),
            seconds=self.tick_ns // SECOND,
        )
        old = work.normals[(metric, cohort)]
        # An incident that was open when the version changed cannot be followed in the new values; it ends there.
        cut = old.changed_ns or end
        left_out = [
            (a.onset_ns or a.since_ns, a.resolved_ns or (cut if (a.fired_ns or 0) < cut else end))
            for a in work.alerts.values()
            if a.fired_ns is not None
            and not is_version_alert(a)
            and cohort_of_alert(a) in (cohort, monitor.where)
        ]
        made = make_normal(
            points, SeriesKey(work.project, metric, cohort), since, until, config, above, left_out
        )
        made.tried_ns, made.not_before_ns = end, old.not_before_ns
        made.changed_ns, made.was = old.changed_ns, old.was
        made.version = made.version or old.version
        if old.relearning and made.point is None:
            made.reason = old.reason
        if made.point is None and old.point is not None:
            old.tried_ns = end
            made = old
        work.normals[(metric, cohort)] = made
        work.frozen.add((metric, cohort))
        if made.point is not None and made is not old:
            # Evidence gathered against another baseline means nothing against this one.
            for m in self.mine(work.project):
                watched = work.watched.get(watch_key(m.name, cohort))
                if watched is not None:
                    watched.begin_again(metric)

    # -- alerts --------------------------------------------------------------------------------------------------

    async def _event(self, at: _At, event: Event) -> None:
        work, monitor, watched, end = at.work, at.monitor, at.watched, at.end
        if event == "firing":
            await self._fire(at)
        elif event == "resolved" and watched.alert_id in work.alerts:
            alert = work.alerts[watched.alert_id]
            alert.state, alert.resolved_ns, alert.updated_ns = "resolved", end, end
            alert.evidence["resolution"] = list(watched.terms)
            work.changed.add(alert.id)
            watched.alert_id, watched.onset_ns = None, None
            self.counts.resolved += 1
            above = work.watched.get(watch_key(monitor.name, monitor.where))
            if above is not None and above is not watched and above.life.state != "firing":
                # What the parent saw was this cohort's doing and is over; a shift of its own shows itself again.
                for metric in monitor.moving:
                    above.begin_again(metric)
        elif event == "no_data" and monitor.no_data == "alert" and at.cohort == monitor.where:
            self._silence_alert(at)
        elif event == "recovered" and watched.alert_id in work.alerts:
            alert = work.alerts[watched.alert_id]
            alert.state, alert.resolved_ns, alert.updated_ns = "resolved", end, end
            work.changed.add(alert.id)
            watched.alert_id = None

    def _onset(self, monitor: Monitor, watched: Watched, end: int) -> int:
        """The earliest onset the evidence names; for limits the beginning of the window that first passed them."""
        named = [
            e.onset_ns
            for m, e in watched.evidence.items()
            if m in monitor.moving and e.onset_ns is not None and e.verdict in ("pending", "firing")
        ]
        since = watched.life.incident_since or end
        return min(named) if named else since - min(monitor.window, 6 * HOUR)

    async def _fire(self, at: _At) -> None:
        work, watched = at.work, at.watched
        onset = self._onset(at.monitor, watched, at.end)
        since = watched.life.incident_since or at.end
        alert = _alert(at, at.monitor.name, at.monitor.condition, since, onset)
        await self._fill(at, alert)
        wider = inhibitor(alert, work.alerts.values())
        if wider is not None:
            alert.evidence["inhibited_by"] = wider.id
        else:
            _group(work, alert)
        work.alerts[alert.id] = alert
        work.changed.add(alert.id)
        work.fresh.add(alert.id)
        work.reviews.append(alert)
        watched.alert_id, watched.onset_ns = alert.id, onset
        self.counts.fired += 1

    async def _fill(self, at: _At, alert: Alert) -> None:
        monitor, cohort, watched, parent = at.monitor, at.cohort, at.watched, at.monitor.where
        metric = evidence.alerting_metrics(monitor, at.looked)[0]
        normals = at.work.normals
        normal = normals.get((metric, cohort)) or normals.get((metric, parent)) or Normal()
        s = self.settings
        try:
            await evidence.fill(
                self.columns,
                alert,
                monitor,
                watched,
                at.looked,
                normal,
                parent,
                at.end,
                s.base_url,
                s.review_worst,
            )
            field = field_of_metric(metric)
            if field is not None:
                await clouds.tell(alert, field, cohort, watched.clouds.get(metric), at.end, self.examples)
        except Exception:  # an alert without its evidence is still an alert; it says what is missing
            self.counts.failed += 1
            log.exception("the evidence of alert %s could not be read", alert.id)
            alert.summary = f"{monitor.name} for {cohort_words(cohort)}: {'; '.join(watched.terms)}"
            alert.evidence |= {"metric": metric, "terms": list(watched.terms), "incomplete": True}

    async def _refresh(self, at: _At) -> None:
        """Bring the figures of an open alert up to date now and then, so that its page and its reminders are true."""
        alert = at.work.alerts.get(at.watched.alert_id or "")
        stale = (
            alert is not None
            and alert.state == "firing"
            and at.end - alert.updated_ns >= self.settings.refresh_ns
        )
        if alert is None or not stale or at.watched.replaced or at.looked.seen != "breach":
            return
        await self._fill(at, alert)
        alert.updated_ns = at.end
        at.work.changed.add(alert.id)

    def _silence_alert(self, at: _At) -> None:
        work, watched, name = at.work, at.watched, at.monitor.name
        since = watched.last_data_ns or at.end
        alert = _alert(at, f"{name}/no_data", "no data", since, since)
        alert.summary = (
            f"No data for {name} ({cohort_words(at.cohort)}): {watched.reason or 'nothing arrived'}."
        )
        _group(work, alert)
        work.alerts[alert.id] = alert
        work.changed.add(alert.id)
        watched.alert_id = alert.id


def _alert(at: _At, story: str, condition: str, since: int, onset: int) -> Alert:
    """The alert of a look; its id follows from what it is about (`story`) and when that began."""
    m = at.monitor
    return Alert(
        id=alert_id(at.work.project, story, at.cohort, onset),
        project=at.work.project,
        monitor=m.name,
        cohort=dict(at.cohort),
        state="firing",
        severity=m.severity,
        owner=m.owner,
        runbook=m.runbook,
        condition=condition,
        since_ns=since,
        onset_ns=onset,
        fired_ns=at.end,
        updated_ns=at.end,
        routes=list(m.routes),
    )


def _group(work: Work, alert: Alert) -> None:
    alert.evidence["group"] = group_for(alert, work.alerts.values())
    work.groups.add(str(alert.evidence["group"]))
