"""Dashboards as code: the pages the configuration describes, and the pictures of their widgets."""

import asyncio
from typing import Any

from starlette.responses import Response

from watchkeeper.config.dashboards import Dashboard
from watchkeeper.model.series import cohort_text
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import alerts
from watchkeeper.web import data
from watchkeeper.web.charts.figure import Figure
from watchkeeper.web.charts.scatter import scatter
from watchkeeper.web.charts.spec import SeriesChart, distribution, series
from watchkeeper.web.charts.theme import Theme
from watchkeeper.web.pages.charts import DRAWER, SIZES, chart_of, figure_of
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import View, view_of
from watchkeeper.web.widgets import Shown, show, within


def _mine(call: Call) -> list[Dashboard]:
    return [d for d in call.services.config.current.dashboards if d.project == call.project]


def _one(call: Call) -> Dashboard:
    name = str(call.request.path_params["name"])
    found = next((d for d in _mine(call) if d.name == name), None)
    if found is None:
        raise HttpError(
            404, f"there is no dashboard {name[:80]!r} in this project", "the list has all of them"
        )
    return found


@route("GET", "/dashboards", permission="viewer")
async def listing(call: Call) -> Response:
    """Every dashboard of the project."""
    view = view_of(call, "7d")
    return await answer(view, "dashboards", "Dashboards", "dashboards.html", {"dashboards": _mine(call)})


def _picture(view: View, dashboard: Dashboard, one: Shown, size: str = "half") -> Figure:
    """A widget's own picture, drawn by `picture` below."""
    width, height = SIZES[size]
    params = {**view.shared(), "size": size}
    if view.params.get("range") is None and view.range.key:
        params["range"] = view.range.key
    n = one.estimate.n if one.estimate is not None else sum(d.n for d in one.dots)
    caption = "; ".join(x for x in (f"n = {n:,}", one.note) if x)
    title = one.widget.heading()
    return Figure(
        f"/dashboards/{dashboard.name}/pictures/{one.place}", params, width, height, title, caption, []
    )


async def _figure(view: View, dashboard: Dashboard, one: Shown) -> Figure | None:
    """The picture of a chart widget; None of the others."""
    if one.error or one.widget.type in ("number", "table"):
        return None
    if one.series is not None and one.widget.type == "timeseries":
        metric, own = str(one.widget.metric), within(view, one.widget)
        told = await view.call.services.records.read(
            lambda c: alerts.find(c, view.project, ("firing", "resolved"))
        )
        dots = one.series.dots
        bucket = (dots[1].at_ns - dots[0].at_ns) // 10**9 if len(dots) > 1 else view.range.bucket
        chart = chart_of(own, one.series, bucket, await data.deploys(view), told, "half")
        cohort = cohort_text(tuple(own.cohort.items())) if one.widget.cohort else None
        return figure_of(own, chart, metric, "half", cohort)
    return _picture(view, dashboard, one)


@route("GET", "/dashboards/{name}", permission="viewer")
async def page(call: Call) -> Response:
    """One dashboard. A widget that cannot be shown says why in its place."""
    dashboard = _one(call)
    view = view_of(call, dashboard.range)
    places = [(i, j) for i, s in enumerate(dashboard.sections) for j in range(len(s.widgets))]
    found = await asyncio.gather(*(show(view, dashboard, f"{i}.{j}") for i, j in places))
    figures = await asyncio.gather(*(_figure(view, dashboard, one) for one in found))
    by_section: list[list[dict[str, Any]]] = [[] for _ in dashboard.sections]
    for (i, _), one, figure in zip(places, found, figures, strict=True):
        by_section[i].append({"shown": one, "figure": figure})
    context = {
        "dashboard": dashboard,
        "sections": [(s.title, by_section[i]) for i, s in enumerate(dashboard.sections)],
        "sees_content": call.sees_content,
    }
    return await answer(view, "dashboards", dashboard.title or dashboard.name, "dashboard.html", context)


def _spec(view: View, one: Shown, theme: Theme, size: str) -> dict[str, Any]:
    width, height = SIZES[size]
    if one.widget.type == "scatter":
        return scatter(one.points, one.widget.x or "x", one.widget.y or "y", theme, width, height)
    if one.bins is not None:
        return distribution(one.bins[0], one.bins[1], theme, width, height)
    chart = SeriesChart(
        one.dots, view.range.since_ns, view.range.until_ns, view.range.bucket, one.widget.unit or "",
        width=width, height=height, zone=view.zone, title=one.widget.heading(),
    )  # fmt: skip
    return series(chart, theme)


@route("GET", "/dashboards/{name}/pictures/{place}", permission="viewer", kind="static")
async def picture(call: Call) -> Response:
    """The picture of one widget as SVG."""
    dashboard = _one(call)
    view = view_of(call, dashboard.range)
    size = call.request.query_params.get("size", "half")
    try:
        one = await show(view, dashboard, str(call.request.path_params["place"]))
    except KeyError:
        raise HttpError(404, "there is no such widget", "") from None
    if one.error or size not in SIZES:
        raise HttpError(404, one.error or "there is no such size", one.hint)
    theme: Theme = "dark" if call.request.query_params.get("theme") == "dark" else "light"
    drawn, key = await DRAWER.draw(_spec(view, one, theme, size), "svg")
    headers = {"etag": f'"{key}"', "cache-control": "private, no-cache"}
    return Response(drawn, media_type="image/svg+xml", headers=headers)
