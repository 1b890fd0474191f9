"""What the watcher knows while it looks: points by series and tick, and what it remembers of each monitor and cohort."""

from collections.abc import Iterable, Sequence

import msgspec

from watchkeeper.alerting.lifecycle import Life
from watchkeeper.detection.cloud import CloudState
from watchkeeper.detection.panel import State
from watchkeeper.detection.protocol import Evidence
from watchkeeper.detection.rates import RateState
from watchkeeper.model.series import Cohort, Point, merge, remade
from watchkeeper.model.sketch import Sketch
from watchkeeper.model.times import DAY

# A cohort is replaced when this much traffic of its parent should have held some of it and did not.
REPLACED_AFTER, REPLACED_EXPECTED = 2, 10.0


class Book:
    """Points in memory by series and tick."""

    def __init__(self, tick_ns: int) -> None:
        self.tick_ns = tick_ns
        self._series: dict[tuple[str, Cohort], dict[int, Point]] = {}
        self._merged: dict[tuple[str, Cohort, int, int], Point | None] = {}
        self.sketches: dict[tuple[str, Cohort], dict[int, Sketch]] = {}

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
        for sums in self.sketches.values():
            for tick in [t for t in sums if t < before]:
                del sums[tick]

    def add_sketches(self, sketches: Iterable[Sketch]) -> None:
        """Take sketches of texts; a tick that is already there is replaced."""
        for s in sketches:
            self.sketches.setdefault((s.key.metric, s.key.cohort), {})[s.start_ns] = s

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
            # A scorer whose scale or version changed is two series; the later one counts.
            if len({(p.axis, p.version) for p in found}) > 1:
                newest = max(found, key=lambda p: p.start_ns)
                found = [p for p in found if p.axis == newest.axis and not remade(p.version, newest.version)]
            self._merged[key] = merge(found) if found else None
        return self._merged[key]

    def newest(self, metric: str, cohort: Cohort, end: int) -> Point | None:
        """The series' newest point before `end`; None where the last day has none."""
        ticks = self._series.get((metric, cohort), {})
        for tick in range(end - self.tick_ns, end - DAY, -self.tick_ns):
            if tick in ticks:
                return ticks[tick]
        return None

    def version(self, metric: str, cohort: Cohort, end: int) -> str:
        """What made the series' newest values before `end`; "" where that is not known of the last day."""
        found = self.newest(metric, cohort, end)
        return found.version if found is not None else ""

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


class Checkpoint(msgspec.Struct, frozen=True):
    """The detectors as they were when everything before `end_ns` had been fed to them: late data is judged from here."""

    end_ns: int
    detectors: dict[str, State]
    rates: dict[str, RateState]


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
    rates: dict[str, RateState] = {}
    clouds: dict[str, CloudState] = {}
    checkpoints: tuple[Checkpoint, ...] = ()

    def begin_again(self, metric: str) -> None:
        """Forget the evidence of one metric: it was gathered against a baseline that no longer counts."""
        self.detectors.pop(metric, None)
        self.rates.pop(metric, None)
        self.clouds.pop(metric, None)
        self.evidence.pop(metric, None)
        self.checkpoints = ()

    @property
    def replaced(self) -> bool:
        """Its traffic went to something else: what is left to judge is the parent."""
        return self.dry >= REPLACED_AFTER and self.expected >= REPLACED_EXPECTED
