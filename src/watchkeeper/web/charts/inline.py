"""Tiny pictures written by hand as SVG geometry: sparklines, histograms and the links laid over a chart.

They are part of the page, take no request and no time, and get their colours from the style sheet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.web.charts.spec import PAD, Dot, SeriesChart


@dataclass(frozen=True, slots=True)
class Spark:
    """A sparkline's paths in a `width` × `height` box; empty paths when there is nothing to draw."""

    width: int
    height: int
    line: str
    band: str
    dots: list[tuple[float, float]]
    last: tuple[float, float] | None
    rules: list[float]


def _runs(dots: Sequence[Dot]) -> list[list[int]]:
    """Stretches of neighbouring known values; a line must not bridge what is unknown."""
    runs: list[list[int]] = []
    for i, dot in enumerate(dots):
        if dot.value is None:
            continue
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def spark(
    dots: Sequence[Dot],
    width: int = 120,
    height: int = 28,
    rules: Sequence[float] = (),
    zero: bool = False,
) -> Spark:
    """The geometry of a sparkline with its interval band; `rules` are x positions 0..1 (deploys)."""
    known = [v for d in dots for v in (d.value, d.low, d.high) if v is not None]
    if not known:
        return Spark(width, height, "", "", [], None, [])
    low, high = (min(0.0, min(known)) if zero else min(known)), max(known)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    step = (width - 4) / max(1, len(dots) - 1)

    def x(i: int) -> float:
        return round(2 + i * step, 1)

    def y(value: float) -> float:
        return round(2 + (height - 4) * (1 - (value - low) / (high - low)), 1)

    lines: list[str] = []
    bands: list[str] = []
    alone: list[tuple[float, float]] = []
    for run in _runs(dots):
        points = [(x(i), y(v)) for i in run if (v := dots[i].value) is not None]
        if len(points) == 1:
            alone.append(points[0])
            continue
        lines.append("M" + "L".join(f"{a} {b}" for a, b in points))
        upper = [(x(i), y(h)) for i in run if (h := dots[i].high) is not None]
        lower = [(x(i), y(v)) for i in reversed(run) if (v := dots[i].low) is not None]
        if upper and lower:
            bands.append("M" + "L".join(f"{a} {b}" for a, b in upper + lower) + "Z")
    last = next(((x(i), y(v)) for i in reversed(range(len(dots))) if (v := dots[i].value) is not None), None)
    return Spark(
        width,
        height,
        "".join(lines),
        "".join(bands),
        alone,
        last,
        [round(2 + r * (width - 4), 1) for r in rules],
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: x and width in px, the height of all and of the marked part, and what it stands for."""

    x: float
    width: float
    tall: float
    marked: float
    count: int
    bad: int
    since_ns: int
    until_ns: int


def bars(
    counts: Sequence[tuple[int, int, int]], bucket: int, width: int = 1200, height: int = 56
) -> tuple[list[Bar], int]:
    """Bars of (start ns, count, bad) rows that cover the range without gaps; returns them and the tallest count."""
    top = max((n for _, n, _ in counts), default=0)
    if not counts:
        return [], 0
    step = width / len(counts)
    found: list[Bar] = []
    for i, (start, n, bad) in enumerate(counts):
        tall = 0.0 if top == 0 or n == 0 else max(2.0, height * n / top)
        marked = 0.0 if n == 0 or bad == 0 else max(2.0, tall * bad / n)
        gap = 1 if step > 4 else 0
        until = start + bucket * 1_000_000_000
        found.append(
            Bar(
                round(i * step, 2),
                round(step - gap, 2),
                round(tall, 1),
                round(marked, 1),
                n,
                bad,
                start,
                until,
            )
        )
    return found, top


@dataclass(frozen=True, slots=True)
class Strip:
    """One column laid over a chart: where it is, and the bucket it answers for."""

    x: float
    width: float
    dot: Dot
    until_ns: int


def strips(chart: SeriesChart) -> list[Strip]:
    """The columns of a series chart that carry hover text and the link to the traces behind each point."""
    plot = chart.width - PAD["left"] - PAD["right"]
    total = chart.until_ns - chart.since_ns
    found: list[Strip] = []
    for dot in chart.dots:
        start = max(dot.at_ns, chart.since_ns)
        end = min(dot.at_ns + chart.bucket * 1_000_000_000, chart.until_ns)
        if dot.n == 0 or end <= start:
            continue
        left = PAD["left"] + plot * (start - chart.since_ns) / total
        found.append(Strip(round(left, 2), round(plot * (end - start) / total, 2), dot, end))
    return found


def bins(
    edges: Sequence[float], now: Sequence[float], then: Sequence[float], width: int = 960, height: int = 100
) -> list[dict[str, float | None]]:
    """The bins between the first and the last that hold anything, as bars: shares now, and a line for those before. `now` and `then`
    have a bin up to the first edge, one between each two and one above the last; `then` may be empty."""
    before = then or [0.0] * len(now)
    held = [i for i, (a, b) in enumerate(zip(now, before, strict=True)) if a > 0 or b > 0]
    if not held:
        return []
    inside = range(held[0], held[-1] + 1)
    top = max(max(now[i], before[i]) for i in inside)
    step = width / len(inside)
    return [
        {
            "x": round(k * step, 2),
            "width": round(step, 2),
            "now": round(height * now[i] / top, 1),
            "then": round(height * before[i] / top, 1) if then else None,
            "low": edges[i - 1] if i > 0 else None,
            "high": edges[i] if i < len(edges) else None,
            "share": now[i],
            "share_before": before[i] if then else None,
        }
        for k, i in enumerate(inside)
    ]
