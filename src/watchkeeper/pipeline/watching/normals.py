"""The frozen normal of a series: what the watcher compares with, how it is gathered, and when it is gathered anew."""

from collections.abc import Sequence

import msgspec

from watchkeeper.detection.baseline import Baseline, Config, fit, inherit
from watchkeeper.detection.cloud import Reference
from watchkeeper.detection.rates import RateBaseline, fit_rate
from watchkeeper.model.series import BINARY, Insufficient, Point, SeriesKey, merge, remade
from watchkeeper.model.times import DAY, HOUR

BASELINE_NS, LEAST_NS = 14 * DAY, 7 * DAY


class Normal(msgspec.Struct):
    """The frozen normal of a series: the detector's baseline, and the sums for conditions that read `baseline.`.

    `rate` is the baseline of a 0/1 series, `cloud` of texts, `fit` of any other. `reason` says why there is none yet; `tried_ns` when that
    was last tested; `not_before_ns` is set when people accepted a new normal, or what makes the values changed, and
    nothing before it counts. `version` is what made the values; `changed_ns` when it last changed, `was` from what.
    """

    fit: Baseline | None = None
    point: Point | None = None
    from_ns: int = 0
    to_ns: int = 0
    inherited: bool = False
    reason: str = "no baseline yet"
    tried_ns: int = 0
    not_before_ns: int = 0
    rate: RateBaseline | None = None
    version: str = ""
    changed_ns: int = 0
    was: str = ""
    cloud: Reference | None = None

    @property
    def watchable(self) -> bool:
        """Is there something a detector can compare with?"""
        return self.fit is not None or self.rate is not None or self.cloud is not None

    @property
    def relearning(self) -> bool:
        """Was there a normal, until what makes the values changed?"""
        return self.point is None and self.cloud is None and self.changed_ns > 0


def relearn(old: Normal, version: str, at_ns: int, first_seen_ns: int) -> Normal:
    """The normal of a series whose values are made by another version since `at_ns`: it is gathered again, from values of
    the new version only (`first_seen_ns` on)."""
    return Normal(
        reason=f"relearning: the version changed from {old.version} to {version}, and a baseline needs 7 days of it",
        not_before_ns=max(first_seen_ns, old.not_before_ns if old.changed_ns == 0 else 0),
        version=version,
        changed_ns=at_ns,
        was=old.version,
    )


def hours(points: Sequence[Point], since: int, until: int) -> list[Point]:
    """Points of one series merged into whole hours; of an hour with two versions the later."""
    by_hour: dict[int, list[Point]] = {}
    for p in points:
        if since <= p.start_ns < until and p.n > 0:
            by_hour.setdefault(p.start_ns // HOUR * HOUR, []).append(p)
    return [
        msgspec.structs.replace(merge(of_newest(group)), start_ns=hour, end_ns=hour + HOUR)
        for hour, group in sorted(by_hour.items())
    ]


def of_newest(points: Sequence[Point]) -> list[Point]:
    """The points that have the scale and the version of the newest of them."""
    if not points:
        return []
    newest = max(points, key=lambda p: p.start_ns)
    return [p for p in points if p.axis == newest.axis and not remade(p.version, newest.version)]


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

    A cohort that has too little of its own inherits its parent's. A series that never varies has sums but no detector;
    a rate of zero has one, because any event is news.
    """
    kept = of_newest(
        [
            p
            for p in hours(points, since, until)
            if not any(a < p.end_ns and p.start_ns < b for a, b in left_out)
        ]
    )
    # A scorer that is younger than the period has a baseline of its own age, not a long one that is mostly empty.
    since = max(since, kept[0].start_ns) if kept else since
    ticks = [t for t in range(since, until, HOUR) if not any(a < t + HOUR and t < b for a, b in left_out)]
    long_enough = (
        bool(kept) and kept[-1].end_ns - kept[0].start_ns >= LEAST_NS / 2 and until - since >= LEAST_NS
    )
    binary = bool(kept) and kept[0].axis == BINARY
    fitted: Baseline | RateBaseline | Insufficient = (
        Insufficient("no scores in the baseline period")
        if not kept
        else fit_rate(kept, ticks, config)
        if binary
        else fit(kept, ticks, config)
    )
    version = kept[-1].version if kept else ""
    if isinstance(fitted, Baseline):
        return Normal(fitted, merge(kept), since, until, False, "", until, version=version)
    if isinstance(fitted, RateBaseline):
        return Normal(None, merge(kept), since, until, False, "", until, rate=fitted, version=version)
    usable = parent is not None and parent.point is not None and not remade(parent.version, version)
    if usable and parent is not None and not long_enough:
        return _inherited(parent, key, until)
    point = merge(kept) if long_enough else None
    return Normal(None, point, since, until, False, fitted.reason, until, version=version)


def _inherited(parent: Normal, key: SeriesKey, until: int) -> Normal:
    rate = parent.rate
    return Normal(
        inherit(parent.fit, key) if parent.fit is not None else None,
        parent.point,
        parent.from_ns,
        parent.to_ns,
        True,
        "inherited from all traffic",
        until,
        rate=msgspec.structs.replace(rate, key=key, inherited_from=rate.key) if rate is not None else None,
        version=parent.version,
    )
