"""Whose change is it? A wide cohort is not alerted for what a narrower one explains."""

from collections.abc import Sequence

from watchkeeper.alerting.evaluate import Truth, judge
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.model.series import Cohort, Estimate, Point
from watchkeeper.model.times import HOUR
from watchkeeper.pipeline.watching.book import Book, Watched
from watchkeeper.pipeline.watching.look import Reader
from watchkeeper.pipeline.watching.normals import Normal
from watchkeeper.stats.estimates import point_mean

# How sure it must be that what is left has changed too, where somebody has been told of a part: it is asked at every tick for as
# long as the parent's evidence lasts, which outlives a rollback by half a day.
SURE = 0.9973


def rest(whole: Point, parts: Sequence[Point]) -> Point | None:
    """What is left of a point when the points of some of its cohorts are taken away; None when nothing is.

    Sums subtract exactly as they add; rounding below zero is cut.
    """

    def less(name: str) -> float:
        return max(float(getattr(whole, name)) - sum(float(getattr(p, name)) for p in parts), 0.0)

    n = whole.n - sum(p.n for p in parts)
    if n <= 0 or less("sw") <= 0:
        return None
    swx = whole.swx - sum(p.swx for p in parts)
    sw2x = whole.sw2x - sum(p.sw2x for p in parts)
    hist_w = tuple(
        max(w - sum(h), 0.0) for w, *h in zip(whole.hist_w, *(p.hist_w for p in parts), strict=True)
    )
    hist_w2 = tuple(
        max(w - sum(h), 0.0) for w, *h in zip(whole.hist_w2, *(p.hist_w2 for p in parts), strict=True)
    )
    return Point(
        whole.key, whole.start_ns, whole.end_ns, whole.axis, n, less("sw"), less("sw2"), swx, less("swx2"), sw2x,
        less("sw2x2"), hist_w, hist_w2, whole.version,
    )  # fmt: skip


def explained(
    monitor: Monitor,
    parent: Cohort,
    children: Sequence[Cohort],
    end: int,
    book: Book,
    normals: dict[tuple[str, Cohort], Normal],
    watched: Watched,
    alpha: float,
    told: bool = False,
) -> Cohort | None:
    """The child whose doing the parent's breach is, or None when the breach is the parent's own.

    `children` see the change too, the surest first; they are taken out of the parent one after another. For a shift: the
    rest must then stand less than half as far from the baseline as the parent does; or, where the first child has been `told`
    of, not surely apart from it: what is left of a parent that recovers is a few points of noise, as the parent itself is. For
    limits: it must not pass them.
    """
    onsets = [
        e.onset_ns for m, e in watched.evidence.items() if m in monitor.moving and e.onset_ns is not None
    ]
    since = min(onsets, default=end - max(monitor.window, HOUR))
    # As few as will do: a child that only flickers must not turn "v2 did it" into "everybody did it".
    for count in range(1, len(children) + 1):
        some = children[:count]
        if monitor.moving:
            fine = _rest_is_still(monitor, parent, some, since, end, book, normals, told)
        else:
            fine = _rest_is_fine(monitor, parent, some, end, book, normals, alpha)
        if fine:
            return max(some, key=lambda c: _size(monitor, c, since, end, book))
    return None


def _rest_is_still(
    monitor: Monitor,
    parent: Cohort,
    children: Sequence[Cohort],
    since: int,
    end: int,
    book: Book,
    normals: dict[tuple[str, Cohort], Normal],
    told: bool,
) -> bool:
    compared = False
    for metric in monitor.moving:
        whole, normal = book.window(metric, parent, since, end), normals.get((metric, parent))
        if whole is None or normal is None or normal.point is None:
            continue
        parts = [
            p
            for c in children
            if (p := book.window(metric, c, since, end)) is not None and p.axis == whole.axis
        ]
        left = rest(whole, parts)
        if left is None or not parts:
            # Nothing but the children is left: then they are the whole of it, and the parent is the shorter story.
            return False
        compared = True
        normal_mean = normal.point.swx / normal.point.sw
        near = abs(left.swx / left.sw - normal_mean) < 0.5 * abs(whole.swx / whole.sw - normal_mean)
        if not near and not (told and _unchanged(left, normal_mean)):
            return False
    # Of texts there is nothing to subtract; then the wider cohort speaks.
    return compared


def _unchanged(left: Point, normal_mean: float) -> bool:
    found = point_mean(left, level=SURE, exact=True)
    return not isinstance(found, Estimate) or found.low <= normal_mean <= found.high


def _size(monitor: Monitor, cohort: Cohort, since: int, end: int, book: Book) -> float:
    point = book.window(monitor.metrics[0], cohort, since, end)
    return point.sw if point is not None else 0.0


def _rest_is_fine(
    monitor: Monitor,
    parent: Cohort,
    children: Sequence[Cohort],
    end: int,
    book: Book,
    normals: dict[tuple[str, Cohort], Normal],
    alpha: float,
) -> bool:
    left, some = Book(book.tick_ns), False
    since = end - monitor.reach
    for metric in monitor.metrics:
        for whole in book.points(metric, parent, since, end):
            at = (whole.start_ns, whole.end_ns)
            parts = [
                p for c in children if (p := book.window(metric, c, *at)) is not None and p.axis == whole.axis
            ]
            point = rest(whole, parts)
            if point is not None:
                left.add([point])
                some = True
    if not some:
        return False
    own = {m: n for (m, c), n in normals.items() if c == parent}
    truth = judge(monitor.tree, Reader(monitor, parent, end, left, own, {}, alpha)).truth
    return truth in (Truth.FALSE, Truth.UNKNOWN)
