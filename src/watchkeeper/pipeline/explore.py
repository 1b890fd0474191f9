"""What pages show of monitors and of drift: where each monitor stands, what it costs of the false-alarm budget, how far a
distribution is from its baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from watchkeeper.alerting.distances import compared
from watchkeeper.alerting.estimates import look_error
from watchkeeper.alerting.monitor import Monitor, tick_of
from watchkeeper.detection.cloud import CLUSTERS, FEATURES, Change, compare, fit_reference
from watchkeeper.detection.fleet import threshold
from watchkeeper.model.numerals import natural
from watchkeeper.model.series import Cohort, Insufficient, Point, cohort_text, merge, remade
from watchkeeper.model.sketch import Sketch
from watchkeeper.model.times import HOUR, SECOND, WEEK
from watchkeeper.pipeline.sketch import unpack
from watchkeeper.pipeline.watching import clouds
from watchkeeper.pipeline.watching.book import Watched
from watchkeeper.pipeline.watching.normals import Normal, of_newest
from watchkeeper.pipeline.watching.work import series_key
from watchkeeper.stats.tests2 import Comparison
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import alerts, states

_WORST = ("firing", "pending", "unstable", "no_data", "ok", "resolved")


@dataclass(frozen=True)
class Seen:
    """One cohort of a monitor: its state, the reason where it cannot be judged, the comparisons as last judged, and the
    smallest change of the metric that would be found within a day."""

    cohort: str
    state: str
    reason: str
    terms: tuple[str, ...]
    detectable: float | None
    onset_ns: int | None


@dataclass(frozen=True)
class Stand:
    """Where a monitor stands. `state` is that of all its traffic, or of the cohort that is in trouble, `relearning` when a version change took its baseline;
    `false_alarms` how many a week it may cost by its thresholds; `fired` and `last_ns` its alerts and the latest;
    `backtest` what the last backtest found (None: never run)."""

    monitor: Monitor
    state: str
    reason: str
    seen: tuple[Seen, ...]
    false_alarms: float
    fired: int
    last_ns: int | None
    detectable: float | None
    backtest: "Backtest | None"


class Backtest(msgspec.Struct, frozen=True):
    """A stored backtest: the range, and [cohort, onset, fired, resolved or 0] of each episode, times in ns."""

    since_ns: int
    until_ns: int
    episodes: tuple[tuple[str, int, int, int], ...]


def _watched(conn: Connection, project: str) -> dict[str, Watched]:
    return {k: msgspec.convert(v, Watched) for k, v in states.get_all(conn, project, "watched").items()}


def _backtests(conn: Connection, project: str) -> dict[str, Backtest]:
    return {k: msgspec.convert(v, Backtest) for k, v in states.get_all(conn, project, "backtest").items()}


def false_alarms(
    monitor: Monitor, cohorts: int, series: int, tick_ns: int, alarms_per_week: float = 1.0
) -> float:
    """How many false alarms a week a monitor may cost: the hours its detectors watch over their threshold, and the looks at its
    limits times the error of one. `series` is how many of the fleet share the budget."""
    page, cost = monitor.severity == "page", 0.0
    if monitor.moving:
        hour = max(HOUR, tick_ns)
        a = threshold(max(series, 1), hour, false_alarms_per_week=alarms_per_week, page=page)
        cost += cohorts * len(monitor.moving) * (WEEK / hour) / a
    if monitor.limits:
        ticks = WEEK / tick_ns
        cost += cohorts * ticks * look_error(max(series, 1), ticks, alarms_per_week, monitor.severity)
    return cost


def stands(conn: Connection, project: str, monitors: Sequence[Monitor]) -> list[Stand]:
    """Every monitor of the project with where it stands, the most urgent first."""
    mine = [m for m in monitors if m.project == project]
    watched, stored = _watched(conn, project), _backtests(conn, project)
    known = alerts.find(conn, project, limit=2000)
    normals = {
        k: msgspec.convert(v, Normal)
        for k, v in states.get_all(conn, project, "normal").items()
    }  # fmt: skip
    by_monitor: dict[str, dict[str, Watched]] = {}
    for key, one in watched.items():
        name, _, cohort = key.partition("|")
        by_monitor.setdefault(name, {})[cohort] = one
    series = sum(m.series(len(by_monitor.get(m.name, {}))) for m in mine)
    tick = tick_of(monitors)
    found: list[Stand] = []
    for m in mine:
        own = by_monitor.get(m.name, {})
        seen = tuple(_seen(cohort, one) for cohort, one in sorted(own.items()))
        whole = next((s for s in seen if s.cohort == cohort_text(m.where)), None)
        worst = min((s.state for s in seen), key=_WORST.index, default="no_data")
        if worst not in ("firing", "pending", "unstable") and whole is not None:
            # A cohort that was replaced has no data any more, and that is no news of the monitor.
            worst = whole.state
        learning = [
            n.reason
            for metric in m.metrics
            if (n := normals.get(series_key((metric, m.where)))) is not None and n.relearning
        ]
        fired = [a for a in known if a.monitor == m.name and a.fired_ns is not None]
        state = "relearning" if learning and worst not in ("firing", "pending") else worst
        found.append(
            Stand(
                m,
                state,
                learning[0] if learning else whole.reason if whole is not None else "not read yet",
                seen,
                false_alarms(m, len(own), series, tick),
                len(fired),
                max((a.fired_ns or 0 for a in fired), default=None),
                whole.detectable if whole is not None else None,
                stored.get(m.name),
            )
        )
    order = ("firing", "pending", "relearning", "unstable", "no_data", "ok", "resolved")
    return sorted(found, key=lambda s: (order.index(s.state), natural(s.monitor.name)))


def _seen(cohort: str, one: Watched) -> Seen:
    known = [e.detectable for e in one.evidence.values() if e.detectable is not None]
    return Seen(cohort, one.life.state, one.reason, one.terms, min(known, default=None), one.onset_ns)


@dataclass(frozen=True)
class Shape:
    """A distribution now and in the baseline over one axis: shares by bin with the bins' edges, the named distances, and what
    the baseline is."""

    edges: tuple[float, ...]
    now: tuple[float, ...]
    then: tuple[float, ...]
    distances: dict[str, Comparison]
    n_now: int
    n_then: int
    from_ns: int
    to_ns: int
    frozen: bool


async def shape(
    columns: Columns,
    normals: Mapping[str, Normal],
    project: str,
    metric: str,
    cohort: Cohort,
    since: int,
    until: int,
    baseline_since: int,
    seconds: int,
) -> Shape | Insufficient:
    """The metric's distribution in [since, until) against its frozen baseline, or against [baseline_since, since) where it has
    none (nobody watches it for changes)."""

    async def read(a: int, b: int) -> Point | None:
        found = await columns.read_points(
            project, a, b, metric=metric, cohort=cohort_text(cohort), seconds=seconds
        )
        kept = of_newest([p for p in found if p.n > 0])
        return merge(kept) if kept else None

    current = await read(since, until)
    if current is None:
        return Insufficient("nothing was measured in this range for this cohort")
    normal = normals.get(series_key((metric, cohort)))
    frozen = normal is not None and normal.point is not None
    then = (
        normal.point if normal is not None and normal.point is not None else await read(baseline_since, since)
    )
    if then is None:
        return Insufficient("there is nothing to compare with: no baseline and nothing before this range")
    if then.axis != current.axis or remade(then.version, current.version):
        return Insufficient("the scale or the version of the scorer changed since the baseline", current.n)
    found = {k: v for k, v in compared(then, current).items() if isinstance(v, Comparison)}
    a, b = np.asarray(current.hist_w), np.asarray(then.hist_w)
    return Shape(
        current.axis.edges,
        tuple((a / a.sum()).tolist()),
        tuple((b / b.sum()).tolist()),
        found,
        current.n,
        then.n,
        normal.from_ns if frozen and normal is not None else baseline_since,
        normal.to_ns if frozen and normal is not None else since,
        frozen,
    )


@dataclass(frozen=True)
class Place:
    """One topic of the map: where it is (0..1), its share of texts then and now."""

    number: int
    x: float
    y: float
    then: float
    now: float


@dataclass(frozen=True)
class TextMap:
    """The map of a field's texts: topics, the change of the range against the baseline, and how many texts there are."""

    field: str
    places: tuple[Place, ...]
    change: Change
    n_then: int
    from_ns: int
    to_ns: int


def _flat(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Topics in the plane: the two directions in which the centres differ most, scaled to 0..1."""
    x = centres - centres.mean(axis=0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    at = x @ axes[:2].T
    low, high = at.min(axis=0), at.max(axis=0)
    return (at - low) / np.where(high > low, high - low, 1.0)


async def text_map(
    columns: Columns,
    document: Mapping[str, object],
    project: str,
    field: str,
    cohort: Cohort,
    since: int,
    until: int,
) -> TextMap | Insufficient:
    """The texts of [since, until) on their map; `document` is the stored map."""
    geometry = unpack(document)
    metric = f"drift({field})"
    rows = (await columns.named("sketch_reference", project, field=field)).rows
    if not rows:
        return Insufficient("there is no map of these texts yet")
    start, length, _, version = rows[0]
    first, last = int(start) * SECOND, (int(start) + int(length)) * SECOND
    base = await clouds.sketches(columns, project, metric, first, last, cohort)
    now = await clouds.sketches(columns, project, metric, since, until, cohort)
    base, now = ([s for s in group if s.version == version] for group in (base, now))
    reference = fit_reference(base, geometry.moments)
    if isinstance(reference, Insufficient):
        return reference
    n, sums = sum(s.n for s in now), _sum(now)
    if n < 20:
        return Insufficient(f"{n} texts in this range; a comparison needs 20", n)
    change = compare(reference, n, sums)
    at, then = _flat(geometry.centres), np.asarray(reference.mean)[FEATURES : FEATURES + CLUSTERS]
    share = sums[FEATURES : FEATURES + CLUSTERS] / n
    places = tuple(
        Place(i, float(at[i, 0]), float(at[i, 1]), float(then[i]), float(share[i])) for i in range(CLUSTERS)
    )
    return TextMap(field, places, change, reference.n, first, last)


def _sum(found: Sequence[Sketch]) -> NDArray[np.float64]:
    return np.sum([s.sums for s in found], axis=0) if found else np.zeros(FEATURES + CLUSTERS + 1)
