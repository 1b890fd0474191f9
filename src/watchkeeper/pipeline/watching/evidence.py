"""Reads what an alert must carry: the metric against its baseline, everything else of the cohort, the worst traces,
the changes near the onset. One firing costs a handful of queries; nothing is read while all is quiet."""

from collections.abc import Sequence
from typing import Any

import msgspec

from watchkeeper.alerting import evidence as say
from watchkeeper.alerting.estimates import estimate
from watchkeeper.alerting.evaluate import Truth
from watchkeeper.alerting.monitor import DIMENSIONS, Monitor
from watchkeeper.alerting.routing import cohort_of_alert, onset_of
from watchkeeper.detection.protocol import Evidence
from watchkeeper.model.alert import Alert, Moved
from watchkeeper.model.errors import TRANSPORT
from watchkeeper.model.series import BINARY, Cohort, Estimate, Insufficient, Point, cohort_text, merge, remade
from watchkeeper.model.times import DAY, HOUR
from watchkeeper.pipeline.roll import scorer_of
from watchkeeper.pipeline.watching.book import Watched
from watchkeeper.pipeline.watching.look import Looked, evidence_direction
from watchkeeper.pipeline.watching.normals import BASELINE_NS, Normal, hours, of_newest
from watchkeeper.store.columns import Columns

CHART_NS = 7 * DAY
_FIRST = ("answer_relevance", "error_rate", "latency_ms", "ttft_ms", "cost", "tool_error_rate")


def _by_metric(points: Sequence[Point], since: int, until: int) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for p in points:
        if since <= p.start_ns < until and p.n > 0:
            found.setdefault(p.key.metric, []).append(p)
    return found


def _one(points: Sequence[Point] | None) -> Estimate | Insufficient:
    if not points:
        return Insufficient("no data")
    return estimate(merge(of_newest(points)), "mean")


def _unit(points: Sequence[Point] | None) -> str:
    """Values that are all 0 or 1 have a rate for their mean; everything else says its unit by its name."""
    return "rate" if points and all(p.axis == BINARY for p in points) else ""


def _versions_differ(before: Sequence[Point] | None, after: Sequence[Point] | None) -> bool:
    return bool(before) and bool(after) and remade(before[-1].version, after[-1].version)


def compare(
    before: dict[str, list[Point]], after: dict[str, list[Point]], alerting: Sequence[str]
) -> list[Moved]:
    """Every metric against its baseline: those of the alert first, then what moved, then what held. Shares that
    conditions need and error classes that did not move are left out, and so is volume, which is not a mean."""
    names = [
        m for m in {**before, **after} if m != "traces" and (not m.startswith("share(") or m in alerting)
    ]
    lines: list[Moved] = []
    for m in names:
        old = before.get(m)
        if _versions_differ(old, after.get(m)):
            then: Estimate | Insufficient = Insufficient("made by another version")
        else:
            then = _one(old)
        lines.append(say.moved(m, then, _one(after.get(m)), len(names), _unit(after.get(m) or old)))
    kept = [
        line
        for line in lines
        if not line.metric.startswith("error_class:") or line.significant or line.metric in alerting
    ]
    order = {m: i for i, m in enumerate(_FIRST)}
    return sorted(
        kept, key=lambda x: (x.metric not in alerting, not x.significant, order.get(x.metric, 99), x.metric)
    )


def chart(points: Sequence[Point], metric: str, since: int, until: int) -> list[dict[str, Any]]:
    """The series of the alert's metric by hour, with intervals and n."""
    found: list[dict[str, Any]] = []
    for p in hours([q for q in points if q.key.metric == metric], since, until):
        e = estimate(p, "mean")
        if isinstance(e, Estimate):
            found.append({"t": p.start_ns, "value": e.value, "low": e.low, "high": e.high, "n": e.n})
    return found


def alerting_metrics(monitor: Monitor, looked: Looked) -> tuple[str, ...]:
    """The metrics that made the condition true, the one to speak of first; shares speak of their metric."""
    made = [t.metric for t in looked.judgement.terms if t.truth == Truth.TRUE and t.metric]
    indicators = {s.indicator for s in monitor.shares}
    named = [s.metric for s in monitor.shares] + [m for m in monitor.metrics if m not in indicators]
    return tuple(dict.fromkeys([*made, *named]))


async def worst_traces(
    columns: Columns, alert: Alert, metric: str, since: int, until: int, down: bool, limit: int
) -> list[dict[str, Any]]:
    """The traces of the alert's cohort with the worst value of `metric` since the onset."""
    cohort = cohort_of_alert(alert)
    table = await columns.named(
        "watch_worst",
        alert.project,
        metric=metric,
        scorer=scorer_of(metric),
        sign=1 if down else -1,
        since=since,
        until=until,
        positions=[DIMENSIONS.index(k) + 1 for k, _ in cohort],
        values=[v for _, v in cohort],
        transport=sorted(TRANSPORT),
        limit=limit,
    )
    return table.dicts()


def went_down(monitor: Monitor, watched: Watched, lines: Sequence[Moved], metric: str) -> bool:
    """Is a low value of `metric` the bad one here? What the detector saw decides, then the figures, then the name."""
    seen = watched.evidence.get(metric)
    way = evidence_direction(seen) if seen is not None else "none"
    if way != "none":
        return way == "down"
    for share in monitor.shares:
        if share.metric == metric:
            return share.op in ("<", "<=")
    line = next((x for x in lines if x.metric == metric), None)
    if line is not None and line.significant:
        return say.direction(line) == "fell"
    return not say.less_is_better(metric)


async def fill(
    columns: Columns,
    alert: Alert,
    monitor: Monitor,
    watched: Watched,
    looked: Looked,
    normal: Normal,
    parent: Cohort,
    now: int,
    base_url: str = "",
    worst: int = 5,
) -> Alert:
    """Write into `alert` everything its reader needs. Also called when an alert's figures are brought up to date."""
    cohort, onset = cohort_of_alert(alert), onset_of(alert)
    metrics = alerting_metrics(monitor, looked)
    metric = metrics[0]
    since = normal.from_ns if normal.point is not None else onset - BASELINE_NS
    own = await columns.read_points(
        alert.project, min(since, now - CHART_NS), now, cohort=cohort_text(cohort)
    )
    above = own
    if cohort != parent:
        above = await columns.read_points(
            alert.project, min(since, now - CHART_NS), now, cohort=cohort_text(parent)
        )
    until = normal.to_ns if normal.point is not None else onset
    inherited = normal.inherited or (normal.point is None and not _by_metric(own, since, until))
    before = _by_metric(above if inherited else own, since, min(until, onset))
    lines = compare(before, _by_metric(own, onset, now), metrics)
    down = went_down(monitor, watched, lines, metric)
    deploys = await columns.read_deploys(alert.project, onset - 14 * DAY, now + 1)
    found = say.suspects(deploys, cohort, onset, now, tick=HOUR)
    rows = await worst_traces(columns, alert, metric, onset, now, down, worst)
    after = _by_metric(own, onset, now).get(metric)
    first, then, unit = _one(before.get(metric)), _one(after), _unit(after)
    passed = [t for t in looked.judgement.terms if t.truth == Truth.TRUE and t.short]
    # What an alert fired on stays what it is about when its figures are brought up to date and nothing is past its limit any more.
    broke = [t.text for t in passed] or alert.evidence.get("broke", [])
    short = [t.short for t in passed] or alert.evidence.get("broke_short", [])
    alert.summary = say.what_changed(monitor.name, cohort, metric, first, then, onset, unit, broke)
    alert.moved = lines[:20]
    alert.worst = say.worst_rows(rows, worst, metric=metric, unit=unit)
    alert.deploys = [s.deploy for s in found]
    alert.evidence |= {
        "metric": metric,
        "headline": say.headline(cohort, metric, first, then, unit, short),
        "broke": broke,
        "broke_short": short,
        "direction": "down" if down else "up",
        "terms": list(watched.terms),
        "holds": say.what_holds(lines, metrics),
        "suspicion": say.suspicion(found),
        "suspects": [{"name": s.deploy.name, "version": s.deploy.version, "reason": s.reason} for s in found],
        "links": say.links(base_url, alert, metric, onset, down),
        "inherited_baseline": inherited,
        "capped": monitor.capped,
        "baseline": {"from_ns": since, "to_ns": until, **_plain(first)},
        "current": {"from_ns": onset, "to_ns": now, **_plain(then)},
        "chart": chart(own, metric, now - CHART_NS, now),
        "chart_parent": chart(above, metric, now - CHART_NS, now) if cohort != parent else [],
        **_strength(watched.evidence.get(metric)),
    }
    return alert


def _strength(seen: Evidence | None) -> dict[str, Any]:
    """How sure the detector is, when a detector it was."""
    if seen is None:
        return {}
    return {
        "component": seen.component,
        "log10_m": seen.log10_m,
        "log10_a": seen.log10_a,
        "detectable": seen.detectable,
    }


def _plain(found: Estimate | Insufficient) -> dict[str, Any]:
    return dict(msgspec.to_builtins(found))
