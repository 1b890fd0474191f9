"""Pictures of series, addressed by what they show, so that a picture's URL can be shared and cached."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from watchkeeper.model.alert import Alert
from watchkeeper.pipeline.watching.versions import is_version_alert
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import alerts
from watchkeeper.web import data, humane
from watchkeeper.web.charts.draw import Drawer, Format
from watchkeeper.web.charts.figure import Figure, figure
from watchkeeper.web.charts.spec import Mark, SeriesChart, Stretch, series
from watchkeeper.web.charts.theme import Theme
from watchkeeper.web.data import Series
from watchkeeper.web.view import View, view_of

DRAWER: Final = Drawer()
SIZES: Final = {"wide": (960, 260), "half": (560, 210), "small": (380, 150)}


def metric_of(alert: Alert) -> str | None:
    """The series an alert is about: named in its evidence, else the first that moved."""
    named = alert.evidence.get("metric")
    if isinstance(named, str) and named:
        return named
    return alert.moved[0].metric if alert.moved else None


def stretches(found: list[Alert], metric: str, cohort: Mapping[str, str], now_ns: int) -> list[Stretch]:
    """The alerts about this metric in this cohort, or one around or within it, as spans of time."""
    made: list[Stretch] = []
    for alert in found:
        fits = all(cohort.get(k, v) == v for k, v in alert.cohort.items())
        if metric_of(alert) == metric and fits and alert.fired_ns is not None and not is_version_alert(alert):
            since = alert.onset_ns or alert.since_ns
            made.append(Stretch(since, alert.resolved_ns or now_ns, alert.monitor))
    return made


def version_marks(found: list[Alert], metric: str) -> list[Mark]:
    """When what makes this metric's values changed: from there on it is another series."""
    return [
        Mark(a.since_ns, f"scorer version {a.evidence.get('after', '')}")
        for a in found
        if is_version_alert(a) and metric_of(a) == metric
    ]


def chart_of(
    view: View,
    one: Series,
    bucket: int,
    changes: list[dict[str, Any]],
    alerted: list[Alert],
    size: str = "wide",
    domain: tuple[float, float] | None = None,
    cohort: Mapping[str, str] | None = None,
) -> SeriesChart:
    """The chart of one series over the view's range."""
    width, height = SIZES[size]
    base = one.baseline
    known = base.value is not None and base.low is not None and base.high is not None
    return SeriesChart(
        dots=one.dots,
        since_ns=view.range.since_ns,
        until_ns=view.range.until_ns,
        bucket=bucket,
        unit=one.metric.unit,
        deploys=[*data.marks(changes), *version_marks(alerted, one.metric.name)],
        stretches=stretches(alerted, one.metric.name, view.cohort if cohort is None else cohort, view.now_ns),
        baseline=(base.value or 0.0, base.low or 0.0, base.high or 0.0) if known else None,
        domain=domain,
        width=width,
        height=height,
        zone=view.zone,
        title=one.metric.title,
    )


def figure_of(view: View, chart: SeriesChart, metric: str, size: str, cohort: str | None = None) -> Figure:
    """The chart with its address and links; `cohort` when it differs from the view's."""
    params = {**view.shared(), "metric": metric, "size": size, "bucket": str(chart.bucket)}
    if view.params.get("range") is None and view.range.key:
        params["range"] = view.range.key
    if cohort is not None:
        params["cohort"] = cohort
    if chart.baseline is not None:
        params["base"] = ",".join(f"{v:.6g}" for v in chart.baseline)
    if chart.domain is not None:
        params["low"], params["high"] = f"{chart.domain[0]:.6g}", f"{chart.domain[1]:.6g}"

    changes = {"cohort": cohort} if cohort is not None else {}
    every = view.url("/traces", range=None, since=None, until=None, **changes)
    every += "&" if "?" in every else "?"

    def traces(since_ns: int, until_ns: int) -> str:
        # A page has a thousand of these: what they share is written once.
        since, until = (humane.iso(ns).replace(":", "%3A") for ns in (since_ns, until_ns))
        return f"{every}since={since}&until={until}"

    note = f"alerts: {', '.join(sorted({s.label for s in chart.stretches}))}" if chart.stretches else ""
    alt = f"{chart.title} over {view.range.label.lower()}"
    return figure(chart, "/charts/series.svg", params, traces, alt, note, brief=size == "small")


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "nan")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


async def _picture(call: Call, form: Format) -> Response:
    view = view_of(call)
    given = call.request.query_params
    metric = given.get("metric", "")
    size = given.get("size", "wide")
    if not metric or size not in SIZES:
        raise HttpError(400, "a chart needs a metric and a size", f"size is one of {', '.join(SIZES)}")
    asked = given.get("bucket", "")
    bucket = (
        max(60, min(int(asked), 40 * 86_400)) if asked.isdigit() and len(asked) < 9 else view.range.bucket
    )
    known = (await data.all_series(view, metric, bucket)).get(metric)
    if known is None:
        raise HttpError(404, f"there is no series called {metric[:80]!r} in this range", "")
    low, high = _number(given.get("low")), _number(given.get("high"))
    domain = (low, high) if low is not None and high is not None and low < high else None
    alerted = await call.services.records.read(lambda c: alerts.find(c, view.project, ("firing", "resolved")))
    chart = chart_of(view, known, bucket, await data.deploys(view), alerted, size, domain)
    base = [n for n in map(_number, given.get("base", "").split(",")) if n is not None]
    if len(base) == 3:
        chart = replace(chart, baseline=(base[0], base[1], base[2]))
    theme: Theme = "dark" if given.get("theme") == "dark" else "light"
    spec = series(chart, theme)
    if form == "png":
        spec["background"] = "#15181e" if theme == "dark" else "#ffffff"
    picture, key = await DRAWER.draw(spec, form)
    if call.request.headers.get("if-none-match") == f'"{key}"':
        return Response(status_code=304, headers={"etag": f'"{key}"'})
    kind = "image/svg+xml" if form == "svg" else "image/png"
    # The picture of a range that has ended does not change; a browser asks again all the same, and gets 304.
    return Response(
        picture, media_type=kind, headers={"etag": f'"{key}"', "cache-control": "private, no-cache"}
    )


@route("GET", "/charts/series.svg", permission="viewer", kind="static")
async def series_svg(call: Call) -> Response:
    """A series as SVG."""
    return await _picture(call, "svg")


@route("GET", "/charts/series.png", permission="viewer", kind="static")
async def series_png(call: Call) -> Response:
    """A series as PNG, for messages and reports."""
    return await _picture(call, "png")
