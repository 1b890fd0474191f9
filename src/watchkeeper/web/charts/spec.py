"""Chart definitions as Vega-Lite: a series with its interval, and two distributions side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from watchkeeper.web.charts.theme import TOKENS, Theme, config
from watchkeeper.web.humane import NS

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
# Fixed, so that a page can lay links over the picture: plot area = picture minus these.
PAD: Final = {"left": 56, "right": 12, "top": 20, "bottom": 24}


# Midnight says the day, any other tick the time of day.
_MOMENT: Final = (
    "utchours(datum.value) == 0 && utcminutes(datum.value) == 0 "
    "? utcFormat(datum.value, '%a %-d %b') : utcFormat(datum.value, '%H:%M')"
)


@dataclass(frozen=True, slots=True)
class Dot:
    """One bucket: the estimate and its 95 % interval over `n`; None where nothing is known."""

    at_ns: int
    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment: a deploy."""

    at_ns: int
    label: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that lasted: an alert."""

    since_ns: int
    until_ns: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class SeriesChart:
    """A metric over time. `width` and `height` are the whole picture in px; `bucket` is seconds; `domain` fixes y."""

    dots: Sequence[Dot]
    since_ns: int
    until_ns: int
    bucket: int
    unit: str = ""
    deploys: Sequence[Mark] = ()
    stretches: Sequence[Stretch] = ()
    baseline: tuple[float, float, float] | None = None
    domain: tuple[float, float] | None = None
    width: int = 720
    height: int = 220
    zone: tzinfo = UTC
    title: str = ""

    @property
    def n(self) -> int:
        """How many observations the picture rests on."""
        return sum(d.n for d in self.dots)


def y_domain(charts: Sequence[SeriesChart]) -> tuple[float, float] | None:
    """One vertical scale for several charts: everything they show, with a little air."""
    values: list[float] = []
    for chart in charts:
        # A bucket of three scores has an interval that would flatten everything else: it is drawn, but cut off.
        widths = sorted(d.high - d.low for d in chart.dots if d.low is not None and d.high is not None)
        usual = 2.5 * widths[len(widths) // 2] if widths else 0.0
        for dot in chart.dots:
            # One value without an interval says where it lies, not how the metric moves: it is cut off as well.
            if dot.value is not None and (dot.low is not None or not widths):
                values.append(dot.value)
            if dot.low is not None and dot.high is not None and dot.high - dot.low <= usual:
                values.extend((dot.low, dot.high))
        if chart.baseline:
            values.extend(chart.baseline)
    if not values:
        return None
    low, high = min(values), max(values)
    unit = charts[0].unit
    if unit in ("money", "count", "ms"):
        low = min(low, 0.0)
    air = (high - low) * 0.08 or max(abs(high) * 0.1, 0.05)
    low, high = (low if low == 0 and unit != "" else low - air), high + air
    if unit == "share":
        return max(0.0, low), min(1.0, high)
    return low, high


def axis_format(unit: str = "", top: float = 1.0) -> dict[str, Any]:
    """How an axis writes its values in `unit` up to `top`: short, without exponents."""
    if unit == "share":
        return {"labelExpr": "format(datum.value * 100, '.3~r') + ' %'"}
    if unit == "ms":
        expr = "datum.value >= 1000 ? format(datum.value / 1000, '~g') + ' s' : format(datum.value, '~g') + ' ms'"
        return {"labelExpr": expr}
    if unit == "money":
        return {"format": "$~s"} if top >= 1 else {"labelExpr": "format(datum.value, '$.3~r')"}
    if unit == "count":
        return {"format": "~s"}
    # As `format` the axis would take its precision from the step between ticks, and write 10 as 1e+1.
    return {"labelExpr": "format(datum.value, ',.6~r')"}


def series(chart: SeriesChart, theme: Theme) -> dict[str, Any]:
    """The Vega-Lite specification of a series: alerts as spans, baseline and interval as bands, deploys as rules."""
    c = TOKENS[theme]
    middle = (chart.since_ns + chart.until_ns) // 2 / NS
    offset = datetime.fromtimestamp(middle, UTC).astimezone(chart.zone).utcoffset()
    shift_ms = int(offset.total_seconds() * 1000) if offset else 0

    def ms(ns: int) -> int:
        return ns // 1_000_000 + shift_ms

    width = chart.width - PAD["left"] - PAD["right"]
    rows = [
        {"t": ms(_middle(d, chart)), "v": d.value, "lo": d.low, "hi": d.high, "alone": _alone(chart.dots, i)}
        for i, d in enumerate(chart.dots)
    ]
    domain = chart.domain or y_domain([chart])
    x: dict[str, Any] = {
        "field": "t",
        "type": "temporal",
        "scale": {"type": "utc", "domain": [ms(chart.since_ns), ms(chart.until_ns)]},
        # No more ticks than labels find room: of too many, every other label is left out, be it the one that says the day.
        "axis": {"title": None, "labelExpr": _MOMENT, "tickCount": max(2, min(7, width // 75))},
    }
    y_scale: dict[str, Any] = {"zero": False, "nice": False}
    if domain:
        y_scale["domain"] = list(domain)
    axis = {"title": None, **axis_format(chart.unit, domain[1] if domain else 1)}
    y: dict[str, Any] = {"field": "v", "type": "quantitative", "scale": y_scale, "axis": axis}
    height = chart.height - PAD["top"] - PAD["bottom"]
    layers: list[dict[str, Any]] = []
    layers += _stretch_layers(chart, x, c, ms)
    layers += _baseline_layers(chart, y, c)
    band = {"type": "area", "color": c["accent"], "opacity": 0.2, "interpolate": "monotone", "clip": True}
    line = {
        "type": "line",
        "color": c["accent"],
        "strokeWidth": 1.75,
        "interpolate": "monotone",
        "clip": True,
    }
    # Not cut at the frame: what lies beyond the scale is left out below, and half a point at the edge says little.
    dot = {"type": "point", "color": c["accent"], "filled": True, "opacity": 1}
    layers.append(
        {
            "data": {"values": rows},
            "mark": band,
            "encoding": {"x": x, "y": {**y, "field": "lo"}, "y2": {"field": "hi"}},
        }
    )
    layers.append({"data": {"values": rows}, "mark": line, "encoding": {"x": x, "y": y}})
    known = [r for r in rows if r["v"] is not None and (domain is None or domain[0] <= r["v"] <= domain[1])]
    for alone, size in ((False, 16), (True, 36)):
        some = [r for r in known if r["alone"] is alone] if alone or len(known) <= 48 else []
        layers.append({"data": {"values": some}, "mark": {**dot, "size": size}, "encoding": {"x": x, "y": y}})
    layers += _deploy_layers(chart, x, c, ms)
    return {
        "$schema": SCHEMA,
        "width": width,
        "height": height,
        "autosize": {"type": "none"},
        "padding": PAD,
        "config": config(theme),
        "layer": layers,
    }


def _middle(dot: Dot, chart: SeriesChart) -> int:
    """The middle of that part of a bucket which the picture shows, in ns: of the newest one only the beginning has passed."""
    return (max(dot.at_ns, chart.since_ns) + min(dot.at_ns + chart.bucket * NS, chart.until_ns)) // 2


def _alone(dots: Sequence[Dot], i: int) -> bool:
    """A point whose neighbours are unknown would vanish from a line."""
    if dots[i].value is None:
        return False
    left = dots[i - 1].value if i > 0 else None
    right = dots[i + 1].value if i + 1 < len(dots) else None
    return left is None and right is None


def _stretch_layers(
    chart: SeriesChart, x: dict[str, Any], c: dict[str, str], ms: Any
) -> list[dict[str, Any]]:
    rows = [
        {"t": ms(max(s.since_ns, chart.since_ns)), "u": ms(min(s.until_ns, chart.until_ns)), "label": s.label}
        for s in chart.stretches
        if s.until_ns > chart.since_ns and s.since_ns < chart.until_ns
    ]
    if not rows:
        return []
    at = {"x": x, "x2": {"field": "u"}}
    return [
        {
            "data": {"values": rows},
            "mark": {"type": "rect", "color": c["bad"], "opacity": 0.1, "clip": True},
            "encoding": at,
        },
        {
            "data": {"values": rows},
            "mark": {"type": "rect", "color": c["bad"], "height": 3, "yOffset": 0, "y": 0, "y2": 3},
            "encoding": at,
        },
    ]


def _baseline_layers(chart: SeriesChart, y: dict[str, Any], c: dict[str, str]) -> list[dict[str, Any]]:
    if chart.baseline is None:
        return []
    value, low, high = chart.baseline
    rows = [{"v": value, "lo": low, "hi": high}]
    band = {"type": "rect", "color": c["muted"], "opacity": 0.14, "clip": True}
    rule = {"type": "rule", "color": c["muted"], "strokeDash": [2, 3], "clip": True}
    return [
        {
            "data": {"values": rows},
            "mark": band,
            "encoding": {"y": {**y, "field": "lo"}, "y2": {"field": "hi"}},
        },
        {"data": {"values": rows}, "mark": rule, "encoding": {"y": y}},
    ]


def _label_of(
    name: str, at: float, plot: float, taken: list[tuple[float, float]], small: bool
) -> tuple[str, bool]:
    """What stands at a rule `at` pixels into the plot, and whether to its left: the whole name or its version alone, where neither the
    edge nor a label in `taken` is in the way, else nothing. A small picture names the version only: the larger one has the room."""
    version = name.rsplit(" ", 1)[-1][:28]
    for label in (version,) if small else (name[:28], version):
        reach = 7.0 * len(label) + 8
        for left in (False, True):
            first, last = (at - reach, at) if left else (at, at + reach)
            if first >= 0 and last <= plot and all(last <= a or first >= b for a, b in taken):
                taken.append((first, last))
                return label, left
    return "", False


def _deploy_layers(chart: SeriesChart, x: dict[str, Any], c: dict[str, str], ms: Any) -> list[dict[str, Any]]:
    inside = [d for d in chart.deploys if chart.since_ns <= d.at_ns < chart.until_ns]
    if not inside:
        return []
    plot = chart.width - PAD["left"] - PAD["right"]
    rows: list[dict[str, Any]] = []
    taken: list[tuple[float, float]] = []
    # The latest first: where there is no room for all names, what changed last is what is looked for.
    for deploy in sorted(inside, key=lambda d: -d.at_ns):
        at = (deploy.at_ns - chart.since_ns) / (chart.until_ns - chart.since_ns) * plot
        label, left = _label_of(deploy.label, at, plot, taken, chart.width < 500)
        rows.append({"t": ms(deploy.at_ns), "label": label, "left": left})
    rule = {"type": "rule", "color": c["text"], "strokeDash": [4, 3], "opacity": 0.75}
    text = {
        "type": "text",
        "color": c["text"],
        "baseline": "bottom",
        "y": -4,
        "fontSize": 11,
        "fontWeight": 500,
    }
    layers: list[dict[str, Any]] = [{"data": {"values": rows}, "mark": rule, "encoding": {"x": x}}]
    for left, align, dx in ((False, "left", -2), (True, "right", 2)):
        some = [r for r in rows if r["left"] is left]
        if some:
            words = {"text": {"field": "label", "type": "nominal"}, "x": x}
            layers.append(
                {"data": {"values": some}, "mark": {**text, "align": align, "dx": dx}, "encoding": words}
            )
    return layers


def distribution(
    current: Sequence[tuple[str, float]],
    baseline: Sequence[tuple[str, float]],
    theme: Theme,
    width: int = 360,
    height: int = 200,
) -> dict[str, Any]:
    """Shares per bin, now as bars and the baseline as ticks over them, so that the shape's change is what one sees."""
    c = TOKENS[theme]
    order = [name for name, _ in (current or baseline)]
    x = {
        "field": "bin",
        "type": "ordinal",
        "sort": order,
        "axis": {"title": None, "labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 8},
    }
    y = {"field": "share", "type": "quantitative", "axis": {"title": None, **axis_format("share")}}

    def rows(pairs: Sequence[tuple[str, float]]) -> dict[str, Any]:
        return {"values": [{"bin": name, "share": share} for name, share in pairs]}

    bar = {"type": "bar", "color": c["accent"], "opacity": 0.75, "cornerRadiusEnd": 2}
    tick = {"type": "tick", "color": c["text"], "thickness": 2, "bandSize": 14}
    return {
        "$schema": SCHEMA,
        "width": width - PAD["left"] - PAD["right"],
        "height": height - PAD["top"] - PAD["bottom"],
        "autosize": {"type": "none"},
        "padding": PAD,
        "config": config(theme),
        "layer": [
            {"data": rows(current), "mark": bar, "encoding": {"x": x, "y": y}},
            {"data": rows(baseline), "mark": tick, "encoding": {"x": x, "y": y}},
        ],
    }
