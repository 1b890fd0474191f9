"""One monitor, one cohort, one tick: points and frozen baselines to what is seen. Pure; `watch` does the I/O."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from watchkeeper.alerting.conditions import DISTANCES
from watchkeeper.alerting.distances import distance
from watchkeeper.alerting.estimates import estimate, scaled
from watchkeeper.alerting.evaluate import Judgement, Movement, Truth, judge
from watchkeeper.alerting.lifecycle import Seen
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.alerting.syntax import Ref, Share
from watchkeeper.detection.baseline import Config
from watchkeeper.detection.protocol import Evidence
from watchkeeper.model.series import BINARY, Cohort, Estimate, Insufficient, Point, merge, remade
from watchkeeper.model.times import HOUR, SECOND
from watchkeeper.pipeline.watching.book import Book, Watched
from watchkeeper.pipeline.watching.detectors import run_detectors
from watchkeeper.pipeline.watching.normals import Normal


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
    if not normal.watchable:
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
    if normal.cloud is not None:
        return Movement(strength, "none", word, max(found.log10_m or 0.0, 0.0), found.reason or "")
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
        length = max(window if period.name == "window" else period.seconds * SECOND, self.book.tick_ns)
        until = self.end - length if period.name == "previous" else self.end
        point = self.book.window(metric, self.cohort, until - length, until)
        now = self.book.version(metric, self.cohort, self.end)
        if point is not None and remade(point.version, now):
            return Insufficient(f"made by version {point.version}, which is not comparable with {now}")
        if stat in DISTANCES:
            normal = self.normals.get(metric, Normal())
            if normal.point is None:
                return Insufficient(normal.reason)
            return distance(normal.point, point, stat, self.alpha, self.monitor.min_n)
        return estimate(point, stat, self.alpha, self.monitor.min_n)

    def hits(self, wanted: Share) -> Estimate | Insufficient:
        """Scores of the period that satisfied the comparison, weighted."""
        length = self.monitor.window if wanted.period.name == "window" else wanted.period.seconds * SECOND
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
