"""A series chart as a page shows it: the picture's address, its caption, and the links laid over its points."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from watchkeeper.web import humane
from watchkeeper.web.charts.inline import strips
from watchkeeper.web.charts.spec import Dot, SeriesChart
from watchkeeper.web.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Link:
    """One column over the picture."""

    x: float
    width: float
    href: str
    tip: str


@dataclass(frozen=True, slots=True)
class Figure:
    """What the `chart` macro draws. `address` is the picture's path, `params` its query without the theme."""

    address: str
    params: dict[str, str]
    width: int
    height: int
    alt: str
    caption: str
    strips: list[Link]

    def src(self, theme: str, size: str | None = None) -> str:
        """The picture's URL in one theme; `size` another than its own, for a narrow screen."""
        params = {**self.params, "theme": theme}
        if size is not None:
            params["size"] = size
        return f"{self.address}?{urlencode(params)}"


def tip(dot: Dot, chart: SeriesChart, until_ns: int) -> str:
    """What hovering a point says: when, the value with interval and n, and what a click does."""
    estimate = Estimate(dot.value, dot.low, dot.high, dot.n, chart.unit)
    said = " ".join(
        part for part in (estimate.text, estimate.interval, f"· n {humane.compact(dot.n)}") if part
    )
    start = humane.short_moment(dot.at_ns, chart.zone)
    end = humane.short_moment(until_ns, chart.zone).split(" ")[-1]
    return f"{start}–{end}\n{said}\nShow these traces"


def figure(
    chart: SeriesChart,
    address: str,
    params: dict[str, str],
    traces: Callable[[int, int], str],
    alt: str,
    note: str = "",
    brief: bool = False,
) -> Figure:
    """A chart for a page. `traces(since_ns, until_ns)` is the link to what lies behind a point.

    `brief` leaves the explanation of the marks to the larger chart behind a small one.
    """
    links = [
        Link(s.x, s.width, traces(s.dot.at_ns, s.until_ns), tip(s.dot, chart, s.until_ns))
        for s in strips(chart)
    ]
    every = humane.span_of(chart.bucket)
    parts = [f"n = {chart.n:,} · per {every}"]
    if brief:
        return Figure(address, params, chart.width, chart.height, alt, parts[0], links)
    parts.append("band: 95 % interval")
    if chart.baseline is not None:
        parts.append("grey: baseline")
    if chart.deploys:
        parts.append("dashed: deploy")
    if chart.stretches:
        parts.append("red: alert")
    caption = "; ".join([*parts, note] if note else parts)
    return Figure(address, params, chart.width, chart.height, alt, caption, links)
