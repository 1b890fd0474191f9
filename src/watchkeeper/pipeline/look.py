"""One monitor, one cohort, one tick: points and frozen baselines to what is seen. Pure; `watch` does the I/O."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from watchkeeper.alerting.estimates import estimate, scaled
from watchkeeper.alerting.evaluate import Judgement, Movement, Truth, judge
from watchkeeper.alerting.lifecycle import Life, Seen
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.alerting.syntax import Ref, Share
from watchkeeper.detection.baseline import Baseline, Config, fit, inherit
from watchkeeper.detection.panel import State, start, update
from watchkeeper.detection.protocol import Evidence
from watchkeeper.model.series import BINARY, Cohort, Estimate, Insufficient, Point, SeriesKey, empty, merge

HOUR, DAY = 3600 * 10**9, 86_400 * 10**9
BASELINE_NS, LEAST_NS = 14 * DAY, 7 * DAY
# A cohort is replaced when this much traffic of its parent should have held some of it and did not.
REPLACED_AFTER, REPLACED_EXPECTED = 2, 10.0


class Book:
    """Points in memory by series and tick."""

    def __init__(self, tick_ns: int) -> None:
        self.tick_ns = tick_ns
        self._series: dict[tuple[str, Cohort], dict[int, Point]] = {}
        self._merged: dict[tuple[str, Cohort, int, int], Point | None] = {}

    def add(self, points: Iterable[Point]) -> None:
        """Take points; a tick that is already there is replaced."""
        self._merged.clear()
        for p in points:
            if p.n > 0:
                self._series.setdefault((p.key.metric, p.key.cohort), {})[p.start_ns] = p

    def forget(self, before: int) -> None:
        """Drop points that start before a time."""
        self._merged.clear()
        for ticks in self._series.values():
            for tick in [t for t in ticks if t < before]:
                del ticks[tick]

    def window(self, metric: str, cohort: Cohort, since: int, until: int) -> Point | None:
        """Everything in [since, until) as one point, None when there is nothing."""
        key = (metric, cohort, since, until)
        if key not in self._merged:
            ticks = self._series.get((metric, cohort))
            found: list[Point] = []
            if ticks:
                first = -(-since // self.tick_ns) * self.tick_ns
                steps = range(first, until, self.tick_ns)
                # A short window in a long series, or the other way round: walk the shorter.
                if len(steps) <= len(ticks):
                    found = [ticks[t] for t in steps if t in ticks]
                else:
                    found = [p for t, p in ticks.items() if since <= t < until]
            axes = {p.axis for p in found}
            # A scorer whose scale changed is two series; the later one counts.
            if len(axes) > 1:
                newest = max(found, key=lambda p: p.start_ns).axis
                found = [p for p in found if p.axis == newest]
            self._merged[key] = merge(found) if found else None
        return self._merged[key]

    def points(self, metric: str, cohort: Cohort, since: int, until: int) -> list[Point]:
        """The points of a series in [since, until), oldest first."""
        ticks = self._series.get((metric, cohort), {})
        return [ticks[t] for t in sorted(ticks) if since <= t < until]

    def cohorts(
        self, metrics: Iterable[str], dims: Sequence[str], fixed: Cohort, since: int, until: int
    ) -> list[Cohort]:
        """The cohorts with exactly these dimensions, these fixed values, and any point in [since, until)."""
        found: set[Cohort] = set()
        names = set(metrics)
        for (metric, cohort), ticks in self._series.items():
            if metric not in names or cohort in found:
                continue
            if tuple(k for k, _ in cohort) != tuple(dims) or not set(fixed) <= set(cohort):
                continue
            if any(since <= t < until for t in ticks):
                found.add(cohort)
        return sorted(found)


class Normal(msgspec.Struct):
    """The frozen normal of a series: the detector's baseline, and the sums for conditions that read `baseline.`.

    `reason` says why there is none yet; `tried_ns` when that was last tested; `not_before_ns` is set when people
    accepted a new normal, and nothing before it counts.
    """

    fit: Baseline | None = None
    point: Point | None = None
    from_ns: int = 0
    to_ns: int = 0
    inherited: bool = False
    reason: str = "no baseline yet"
    tried_ns: int = 0
    not_before_ns: int = 0


class Watched(msgspec.Struct):
    """Everything the watcher remembers of one monitor and cohort; a JSON document.

    `share` is the cohort's part of its parent's traffic while it had some; `dry` counts ticks without any since, and
    `expected` the traces that should have been in them. `blocked` counts ticks for which firing was left to a
    narrower cohort that explains it.
    """

    life: Life
    detectors: dict[str, State] = {}
    evidence: dict[str, Evidence] = {}
    alert_id: str | None = None
    onset_ns: int | None = None
    share: float = 0.0
    dry: int = 0
    expected: float = 0.0
    last_data_ns: int = 0
    blocked: int = 0
    reason: str = ""
    terms: tuple[str, ...] = ()
    ways: dict[str, str] = {}

    @property
    def replaced(self) -> bool:
        """Its traffic went to something else: what is left to judge is the parent."""
        return self.dry >= REPLACED_AFTER and self.expected >= REPLACED_EXPECTED


@dataclass(frozen=True)
class Looked:
    """What a look found. `subject` is the cohort that was judged: the parent, where the cohort was replaced."""

    seen: Seen
    judgement: Judgement
    subject: Cohort
    n: int
    strength: float = 0.0


def evidence_direction(found: Evidence) -> str:
    """Which way the metric went: a heavier low tail is down, a heavier high tail up; a change of spread is neither."""
    if found.component is None or found.direction is None or found.component == "spread":
        return "none"
    if found.component.startswith("low"):
        return "down" if found.direction == "up" else "up"
    return found.direction


def mean_direction(recent: Sequence[Point], normal: Point | None) -> str:
    """Where the mean went, when what moved most is the spread. Of a 0/1 series the spread is a function of the mean, so
    one cannot change without the other; elsewhere the means must differ beyond doubt (99.9 %)."""
    if normal is None or not recent:
        return "none"
    now, then = estimate(merge(recent), "mean", 0.0005), estimate(normal, "mean", 0.0005)
    if isinstance(now, Insufficient) or isinstance(then, Insufficient):
        return "none"
    if normal.axis != BINARY and now.high >= then.low and then.high >= now.low:
        return "none"
    return "down" if now.value < then.value else "up"


def slope_of(points: Sequence[Point]) -> float:
    """Theil–Sen slope of the ticks' means per tick; 0 for fewer than three."""
    means = [(p.start_ns, p.swx / p.sw) for p in points if p.sw > 0][-48:]
    if len(means) < 3:
        return 0.0
    pairs = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(means) for b in means[i + 1 :]]
    return statistics.median(pairs) * HOUR


def movement_of(found: Evidence | None, normal: Normal, recent: Sequence[Point]) -> Movement:
    """The detector's evidence as a condition reads it."""
    if normal.fit is None:
        return Movement(Truth.UNKNOWN, reason=normal.reason)
    if found is None:
        return Movement(Truth.UNKNOWN, reason="no tick has been judged yet")
    strength = {"pending": Truth.NEAR, "firing": Truth.TRUE}.get(found.verdict, Truth.FALSE)
    if found.verdict in ("no_data", "insufficient", "unstable"):
        strength = Truth.TRUE if found.firing else Truth.UNKNOWN
    slope = 0.0
    if strength in (Truth.NEAR, Truth.TRUE) and recent:
        # As much before the onset as after it: a long calm before would make the median pair flat.
        onset = found.onset_ns or recent[0].start_ns
        after = max(recent[-1].end_ns - onset, 3 * HOUR)
        slope = slope_of([p for p in recent if p.start_ns >= onset - after])
    word = "decreasing" if slope < 0 else "increasing" if slope > 0 else "flat"
    reason = (found.reason or found.verdict) if strength == Truth.UNKNOWN else ""
    way = "none"
    if strength in (Truth.NEAR, Truth.TRUE):
        way = evidence_direction(found)
        if way == "none":
            way = mean_direction([p for p in recent if p.start_ns >= (found.onset_ns or 0)], normal.point)
    return Movement(strength, way, word, max(found.log10_m or 0.0, 0.0), reason)


@dataclass
class Reader:
    """Readings of one cohort at the end of one tick. `alpha` is the error of each bound."""

    monitor: Monitor
    cohort: Cohort
    end: int
    book: Book
    normals: dict[str, Normal]
    movements: dict[str, Movement] = field(default_factory=dict[str, Movement])
    alpha: float = 0.025

    def estimate(self, wanted: Ref | Share) -> Estimate | Insufficient:
        """The reading over its period. A baseline's sum is scaled to the monitor's window, so that sums compare."""
        metric = wanted.indicator if isinstance(wanted, Share) else wanted.metric
        stat = "mean" if isinstance(wanted, Share) else wanted.stat
        period, window = wanted.period, self.monitor.window
        if period.name == "baseline":
            normal = self.normals.get(metric, Normal())
            if normal.point is None:
                return Insufficient(normal.reason)
            found = estimate(normal.point, stat, self.alpha, self.monitor.min_n)
            return (
                scaled(found, window / max(normal.to_ns - normal.from_ns, 1))
                if stat in ("sum", "n")
                else found
            )
        # A window shorter than a tick is the tick: there is nothing finer to read.
        length = max(window if period.name == "window" else period.seconds * 10**9, self.book.tick_ns)
        until = self.end - length if period.name == "previous" else self.end
        return estimate(
            self.book.window(metric, self.cohort, until - length, until), stat, self.alpha, self.monitor.min_n
        )

    def hits(self, wanted: Share) -> Estimate | Insufficient:
        """Scores of the period that satisfied the comparison, weighted."""
        length = self.monitor.window if wanted.period.name == "window" else wanted.period.seconds * 10**9
        length = max(length, self.book.tick_ns)
        return estimate(
            self.book.window(wanted.indicator, self.cohort, self.end - length, self.end), "sum", 0.025, 1
        )

    def movement(self, metric: str) -> Movement:
        """What the sequential evidence says."""
        return self.movements.get(metric, Movement(Truth.UNKNOWN, reason="not watched"))


def traffic(book: Book, monitor: Monitor, cohort: Cohort, since: int, until: int) -> int:
    """How many traces the cohort had; scores of the monitor's first metric where traces are not rolled."""
    for metric in ("traces", *monitor.metrics):
        point = book.window(metric, cohort, since, until)
        if point is not None:
            return point.n
    return 0


def follow_traffic(watched: Watched, own: int, parents: int, end: int) -> None:
    """Keep track of whether the cohort still has traffic, and whether it should."""
    if own > 0:
        ratio = own / max(parents, own)
        watched.share = ratio if watched.share == 0 else 0.9 * watched.share + 0.1 * ratio
        watched.dry, watched.expected, watched.last_data_ns = 0, 0.0, end
    elif parents > 0:
        watched.dry += 1
        watched.expected += watched.share * parents


def run_detectors(
    watched: Watched,
    monitor: Monitor,
    subject: Cohort,
    end: int,
    book: Book,
    normals: dict[str, Normal],
    config: Config,
) -> None:
    """Feed each moving metric its hour, once an hour, whatever the tick: evidence is calibrated per hour."""
    length = max(HOUR, book.tick_ns)
    if end % length:
        return
    for metric in monitor.moving:
        normal = normals.get(metric)
        if normal is None or normal.fit is None:
            continue
        point = book.window(metric, subject, end - length, end)
        if point is not None and point.axis != normal.fit.axis:
            continue
        if point is None:
            point = empty(SeriesKey(monitor.project, metric, subject), end - length, end, normal.fit.axis)
        else:
            # Whole ticks, wherever in them the scores lie: the state is keyed by the tick's start.
            point = msgspec.structs.replace(point, start_ns=end - length, end_ns=end)
        state = watched.detectors.get(metric, start())
        if state.held is not None and state.held.key.cohort != subject:
            state = msgspec.structs.replace(state, held=None, held_ticks=0)
        watched.detectors[metric], watched.evidence[metric] = update(normal.fit, state, point, config)


def keep_directions(watched: Watched, moves: dict[str, Movement]) -> None:
    """While an incident is open its direction is the one it fired with. A widened spread has no direction of its own,
    and the mean's can waver, or be the parent's; the incident ends when the evidence does, not when that wavers."""
    for metric, move in moves.items():
        if watched.life.state != "firing":
            if move.direction != "none":
                watched.ways[metric] = move.direction
        elif move.strength == Truth.TRUE and metric in watched.ways:
            moves[metric] = replace(move, direction=watched.ways[metric])


def look(
    watched: Watched,
    monitor: Monitor,
    cohort: Cohort,
    parent: Cohort,
    end: int,
    book: Book,
    normals: dict[tuple[str, Cohort], Normal],
    config: Config,
    alpha: float,
) -> Looked:
    """What one monitor sees of one cohort at the end of a tick; `watched` is brought up to date."""
    own = traffic(book, monitor, cohort, end - book.tick_ns, end)
    if cohort != parent:
        follow_traffic(watched, own, traffic(book, monitor, parent, end - book.tick_ns, end), end)
    elif own > 0:
        watched.last_data_ns = end
    moved_on = watched.replaced and watched.life.state == "firing"
    subject = parent if moved_on else cohort
    mine = {m: normals[(m, subject)] for m in monitor.metrics if (m, subject) in normals}
    run_detectors(watched, monitor, subject, end, book, mine, config)
    moves = {
        m: movement_of(
            watched.evidence.get(m), mine.get(m, Normal()), book.points(m, cohort, end - 48 * HOUR, end)
        )
        for m in monitor.moving
    }
    keep_directions(watched, moves)
    judgement = judge(monitor.tree, Reader(monitor, subject, end, book, mine, moves, alpha))
    n = traffic(book, monitor, subject, end - max(monitor.window, book.tick_ns), end)
    watched.terms = tuple(t.text for t in judgement.terms)
    return Looked(
        _seen(judgement, watched, monitor, n),
        judgement,
        subject,
        n,
        max((m.log10_m for m in moves.values()), default=0.0),
    )


def _seen(judgement: Judgement, watched: Watched, monitor: Monitor, n: int) -> Seen:
    if judgement.truth == Truth.TRUE:
        return "breach"
    if judgement.truth == Truth.NEAR:
        return "near"
    if judgement.truth == Truth.FALSE and n > 0:
        watched.reason = ""
        return "clear"
    unknown = next((t.text for t in judgement.terms if t.truth == Truth.UNKNOWN), "")
    watched.reason = unknown
    if n == 0:
        # Silence counts as fine only where the owner said so, and never ends an incident.
        return "clear" if monitor.no_data == "ok" and watched.life.state != "firing" else "no_data"
    unstable = any(watched.evidence[m].verdict == "unstable" for m in monitor.moving if m in watched.evidence)
    return "unstable" if unstable else "unknown"


def hours(points: Sequence[Point], since: int, until: int) -> list[Point]:
    """Points of one series merged into whole hours."""
    by_hour: dict[int, list[Point]] = {}
    for p in points:
        if since <= p.start_ns < until and p.n > 0:
            by_hour.setdefault(p.start_ns // HOUR * HOUR, []).append(p)
    return [
        msgspec.structs.replace(merge(group), start_ns=hour, end_ns=hour + HOUR)
        for hour, group in sorted(by_hour.items())
    ]


def make_normal(
    points: Sequence[Point],
    key: SeriesKey,
    since: int,
    until: int,
    config: Config,
    parent: Normal | None = None,
    left_out: Sequence[tuple[int, int]] = (),
) -> Normal:
    """Freeze the normal of a series from [since, until), without the stretches `left_out` (incidents).

    A cohort that has too little of its own inherits its parent's. A series that never varies has sums but no detector.
    """
    kept = [
        p
        for p in hours(points, since, until)
        if not any(a < p.end_ns and p.start_ns < b for a, b in left_out)
    ]
    newest = kept[-1].axis if kept else None
    kept = [p for p in kept if p.axis == newest]
    ticks = [t for t in range(since, until, HOUR) if not any(a < t + HOUR and t < b for a, b in left_out)]
    fitted = fit(kept, ticks, config) if kept else Insufficient("no scores in the baseline period")
    long_enough = (
        bool(kept) and kept[-1].end_ns - kept[0].start_ns >= LEAST_NS / 2 and until - since >= LEAST_NS
    )
    if (
        isinstance(fitted, Insufficient)
        and parent is not None
        and parent.point is not None
        and not long_enough
    ):
        inherited = inherit(parent.fit, key) if parent.fit is not None else None
        return Normal(
            inherited, parent.point, parent.from_ns, parent.to_ns, True, "inherited from all traffic", until
        )
    if isinstance(fitted, Baseline):
        return Normal(fitted, merge(kept), since, until, False, "", until)
    point = merge(kept) if long_enough else None
    return Normal(None, point, since, until, False, fitted.reason, until)
