"""What the watcher does about texts: reads their sums, freezes what is normal, and says what changed with examples."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.evidence import when
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.detection.cloud import Change, CloudState, describe, fit_reference
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import Cohort, Insufficient, SeriesKey, cohort_parse, cohort_text, remade
from watchkeeper.model.sketch import Sketch, field_of_metric
from watchkeeper.model.times import DAY, SECOND
from watchkeeper.pipeline.watching.normals import Normal, relearn
from watchkeeper.pipeline.watching.versions import version_alert
from watchkeeper.pipeline.watching.work import Map, Work, watch_key
from watchkeeper.store.columns import Columns

# Gives traces that show a change of texts: project, field, cohort, since, until, the change.
Examples = Callable[[str, str, Cohort, int, int, Change], Awaitable[list[dict[str, Any]]]]


async def sketches(
    columns: Columns, project: str, metric: str, since: int, until: int, cohort: Cohort | None = None
) -> list[Sketch]:
    """The stored sums of a field's texts, of one cohort or of all."""
    table = await columns.named(
        "sketches",
        project,
        field=field_of_metric(metric) or "",
        since=since,
        until=until,
        every=int(cohort is None),
        cohort="" if cohort is None else cohort_text(cohort),
    )
    return [
        Sketch(
            SeriesKey(project, metric, cohort_parse(str(where))),
            int(tick) * SECOND,
            (int(tick) + int(seconds)) * SECOND,
            int(n),
            tuple(float(x) for x in sums),
            str(version),
        )
        for where, tick, seconds, n, sums, version in table.rows
    ]


async def read(columns: Columns, work: Work, metric: str, since: int, until: int) -> None:
    """Bring the sums of these hours and the newest map into the working memory."""
    work.book.add_sketches(await sketches(columns, work.project, metric, since, until))
    field = field_of_metric(metric) or ""
    for row in (await columns.named("sketch_reference", work.project, field=field)).rows:
        begin, length, moments, version = row
        a, b, c, d = (float(x) for x in moments)
        start = int(begin) * SECOND
        work.maps[metric] = Map(str(version), start, start + int(length) * SECOND, (a, b, c, d))


async def freeze(
    columns: Columns,
    work: Work,
    monitor: Monitor,
    metric: str,
    cohort: Cohort,
    end: int,
    rules: Sequence[Monitor],
) -> None:
    """Freeze what is normal for a cohort's texts, once a map is there, and again when the map is another."""
    key = (metric, cohort)
    normal = work.normals.setdefault(key, Normal())
    found = work.maps.get(metric)
    if found is None or end <= found.to_ns:
        normal.reason = "there is no map of the texts yet; it needs 7 days of them and at least 400"
        return
    waiting = normal.tried_ns and end - normal.tried_ns < DAY
    if normal.version == found.version and (normal.cloud is not None or waiting):
        return
    fresh = (
        relearn(normal, found.version, end, found.from_ns)
        if remade(normal.version, found.version)
        else Normal(version=found.version, changed_ns=normal.changed_ns, was=normal.was)
    )
    if remade(normal.version, found.version) and cohort == monitor.where:
        alert = version_alert(work.project, monitor, metric, cohort, normal.version, found.version, end)
        work.alerts[alert.id] = alert
        work.changed.add(alert.id)
    stored = await sketches(columns, work.project, metric, found.from_ns, found.to_ns, cohort)
    made = fit_reference([s for s in stored if s.version == found.version], found.moments)
    above = work.normals.get((metric, monitor.where))
    fresh.tried_ns, fresh.from_ns, fresh.to_ns = end, found.from_ns, found.to_ns
    if not isinstance(made, Insufficient):
        fresh.cloud, fresh.reason = made, ""
    elif made.n == 0 and cohort != monitor.where and above is not None and above.cloud is not None:
        fresh.cloud, fresh.inherited, fresh.reason = above.cloud, True, "inherited from all traffic"
    else:
        fresh.reason = made.reason
    work.normals[key] = fresh
    work.frozen.add(key)
    for m in rules:
        watched = work.watched.get(watch_key(m.name, cohort))
        if watched is not None and metric in m.metrics:
            watched.begin_again(metric)


async def tell(
    alert: Alert, field: str, cohort: Cohort, state: CloudState | None, now: int, examples: Examples | None
) -> None:
    """Write what changed about the texts into the alert, with traces that show it."""
    if state is None or state.change is None:
        return
    change, since = state.change, alert.onset_ns or alert.since_ns
    words = cohort_words(cohort) if cohort else "all traffic"
    alert.summary = (
        f"The {field} texts of {words} changed since {when(since)}: {describe(change)} (n {change.n:,})."
    )
    alert.evidence |= {
        "headline": f"{field} texts changed for {words}",
        "tests": dict(zip(("features", "clusters", "novelty"), change.p, strict=True)),
        "distance": change.mmd,
    }
    alert.worst = []
    if examples is not None:
        alert.worst = await examples(alert.project, field, cohort, since, now, change)
