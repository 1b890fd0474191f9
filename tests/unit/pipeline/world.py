"""A small world for the watcher: seeded traffic as points, a column store in memory, real records."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from watchkeeper.model.alert import Deploy
from watchkeeper.model.series import BINARY, MILLISECONDS, TEN, Axis, Cohort, Point, SeriesKey, gather
from watchkeeper.store.columns import Table

HOUR = 3600 * 10**9
EPOCH = 1_700_000_000 * 10**9 // (24 * HOUR) * 24 * HOUR
AXES: dict[str, Axis] = {
    "traces": BINARY,
    "relevance": TEN,
    "steps": BINARY,
    "error_rate": BINARY,
    "latency_ms": MILLISECONDS,
}


@dataclass
class Columns:
    """The part of the column store that the watcher uses, over lists."""

    points: dict[tuple[str, Cohort], dict[int, Point]] = field(default_factory=dict)
    deploys: list[Deploy] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)
    mirrored: dict[str, dict[str, Any]] = field(default_factory=dict)
    reads: int = 0

    def add(self, points: Iterable[Point]) -> None:
        for p in points:
            self.points.setdefault((p.key.metric, p.key.cohort), {})[p.start_ns] = p

    async def read_points(
        self,
        project: str,
        since_ns: int,
        until_ns: int,
        metric: str | None = None,
        cohort: str | None = None,
        seconds: int | None = None,
    ) -> list[Point]:
        self.reads += 1
        return [
            p
            for (name, where), ticks in sorted(self.points.items())
            for t, p in sorted(ticks.items())
            if p.key.project == project
            and since_ns <= t < until_ns
            and metric in (None, name)
            and cohort in (None, ",".join(f"{k}={v}" for k, v in where))
        ]

    async def read_deploys(self, project: str, since_ns: int, until_ns: int) -> list[Deploy]:
        return [d for d in self.deploys if d.project == project and since_ns <= d.time_ns < until_ns]

    async def named(self, name: str, project: str, **params: Any) -> Table:
        if name == "watch_span":
            ticks = [
                t for (_, _), by in self.points.items() for t, p in by.items() if p.key.project == project
            ]
            first, last = (min(ticks) // 10**9, max(ticks) // 10**9) if ticks else (0, 0)
            return Table(["n", "first", "last"], [[len(ticks), first, last]])
        assert name == "watch_worst"
        rows = self.worst[: params["limit"]]
        return Table(list(rows[0]) if rows else [], [list(r.values()) for r in rows])

    async def write_alerts(self, rows: list[dict[str, Any]]) -> None:
        self.mirrored |= {r["id"]: r for r in rows}


@dataclass(frozen=True)
class Normal:
    """How one prompt version behaves: mean relevance (sd 1.8 on 0–10), share with steps, latency, error rate, and the
    share of answers that are worth nothing (relevance 0 or 1)."""

    relevance: float = 8.2
    steps: float = 0.92
    latency: float = 1200.0
    errors: float = 0.004
    collapsed: float = 0.0


@dataclass
class Traffic:
    """Hourly points of `n` traces an hour split over prompt versions; `mix(hour)` gives version → (share, behaviour)."""

    mix: Callable[[int], dict[str, tuple[float, Normal]]]
    n: int = 100
    seed: int = 7
    project: str = "default"

    def hour(self, h: int) -> list[Point]:
        rng = np.random.default_rng([self.seed, h])
        values: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for version, (share, normal) in self.mix(h).items():
            n = int(rng.poisson(self.n * share))
            relevance = np.clip(np.round(rng.normal(normal.relevance, 1.8, n)), 0, 10)
            if normal.collapsed:
                relevance = np.where(rng.random(n) < normal.collapsed, rng.integers(0, 2, n), relevance)
            made = {
                "traces": np.ones(n),
                "relevance": relevance,
                "steps": (rng.random(n) < normal.steps) * 1.0,
                "latency_ms": rng.lognormal(np.log(normal.latency), 0.4, n),
                "error_rate": (rng.random(n) < normal.errors) * 1.0,
                "share(relevance < 7)": (relevance < 7) * 1.0,
            }
            values[version] = {k: [(float(x), 1.0) for x in v] for k, v in made.items()}
        start = EPOCH + h * HOUR
        points: list[Point] = []
        for metric in ("traces", "relevance", "steps", "latency_ms", "error_rate", "share(relevance < 7)"):
            axis = AXES.get(metric, BINARY)
            for version, by in values.items():
                cohort = (("prompt_version", version),)
                if by[metric]:
                    points.append(
                        gather(SeriesKey(self.project, metric, cohort), start, start + HOUR, axis, by[metric])
                    )
            everything = [x for by in values.values() for x in by[metric]]
            if everything:
                points.append(gather(SeriesKey(self.project, metric), start, start + HOUR, axis, everything))
        return points


def steady(_: int) -> dict[str, tuple[float, Normal]]:
    """Version v1 alone, all is well."""
    return {"v1": (1.0, Normal())}


def canary(
    start: int, stop: int, share: float = 0.4, bad: Normal | None = None
) -> Callable[[int], dict[str, Any]]:
    """v2 gets `share` of the traffic from hour `start` to hour `stop`: faster, and worse."""
    worse = bad if bad is not None else Normal(6.5, 0.64, 900.0)

    def mix(h: int) -> dict[str, tuple[float, Normal]]:
        if start <= h < stop:
            return {"v1": (1 - share, Normal()), "v2": (share, worse)}
        return steady(h)

    return mix
