"""Every series as small multiples, and one of them in full: cohorts side by side, its spread, its worst traces."""

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from watchkeeper.alerting.cohorts import OTHER
from watchkeeper.model.series import cohort_parse, cohort_text
from watchkeeper.pipeline.roll import scorer_of
from watchkeeper.server.routing import Call, route
from watchkeeper.store.records import alerts
from watchkeeper.web import data
from watchkeeper.web.charts.figure import Figure
from watchkeeper.web.charts.inline import bins
from watchkeeper.web.charts.spec import y_domain
from watchkeeper.web.data import Series
from watchkeeper.web.metrics import Metric
from watchkeeper.web.pages.charts import chart_of, figure_of
from watchkeeper.web.pages.common import answer
from watchkeeper.web.twin import corrected, twin
from watchkeeper.web.view import DIMENSIONS, View, view_of

# How many cohorts are drawn at once, and on request: beyond that a chart each says nothing.
MOST_COHORTS, ALL_COHORTS = 12, 60
MOST_CHARTS: Final = 24
MOST_WORST: Final = 6
# The order of the trace list, and its words, in which the worst of a number of every trace stand first.
MOST_OF: Final = {
    "latency_ms": ("duration", "Slowest"),
    "ttft_ms": ("-ttft_ms", "Slowest to begin"),
    "cost": ("cost", "Costliest"),
    "output_tokens": ("tokens", "Longest"),
    "input_tokens": ("-input_tokens", "Largest"),
}


def _bucket(known: dict[str, Series], fallback: int) -> int:
    for one in known.values():
        if len(one.dots) > 1:
            return (one.dots[1].at_ns - one.dots[0].at_ns) // 10**9
    return fallback


@route("GET", "/quality", permission="viewer")
async def quality(call: Call) -> Response:
    """Every series of the cohort."""
    view = view_of(call, "7d")
    if view.params.get("metric"):
        return RedirectResponse(view.url(f"/quality/{view.params['metric']}"), 303)
    known, changes, alerted = await asyncio.gather(
        data.all_series(view),
        data.deploys(view),
        call.services.records.read(lambda c: alerts.find(c, view.project, ("firing", "resolved"))),
    )
    first = [{"n": 1}] if known else await data.rows(view, "page_last_trace")
    bucket = _bucket(known, view.range.bucket)
    order = sorted(known.values(), key=lambda s: (s.metric.derived, s.shift >= 0, s.metric.name))
    shown = [s for s in order if s.metric.name != "traces" and not s.metric.name.startswith("error_class:")]
    moving = [s for s in shown if not s.steady]

    def drawn() -> list[tuple[Series, Figure]]:
        charts = ((s, chart_of(view, s, bucket, changes, alerted, "small")) for s in moving[:MOST_CHARTS])
        return [(s, figure_of(view, chart, s.metric.name, "small")) for s, chart in charts]

    cards = await asyncio.to_thread(drawn)
    context = {
        "scores": [c for c in cards if not c[0].metric.derived],
        "derived": [c for c in cards if c[0].metric.derived],
        "rest": moving[MOST_CHARTS:],
        "steady": [s for s in shown if s.steady],
        "ever": bool(first and first[0]["n"]),
        "baseline_label": data.baseline_of(view.range).label,
    }
    return await answer(view, "quality", "Quality", "quality.html", context)


async def _cohorts(view: View, metric: str, dimension: str, bucket: int) -> list[tuple[str, str, Series]]:
    """(canonical cohort, value, series) of one dimension, most observations first."""
    before = data.baseline_of(view.range).since_ns
    found = await data.rows(
        view,
        "page_cohort_points",
        metric=metric,
        dimension=dimension,
        bucket=bucket,
        before=before,
        **data.span(view.range),
    )
    by_cohort: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        by_cohort[str(row["cohort"])].append(row)
    made: list[tuple[str, str, Series]] = []
    for cohort, rows in by_cohort.items():
        one = data.series_of(metric, rows, view.range, bucket)
        if one.baseline.value is None:
            one = replace(one, baseline=replace(one.baseline, why="this cohort did not exist before"))
        made.append((cohort, cohort_parse(cohort)[0][1], one))
    # What the roller gathers as `other` is no cohort of its own: it stands last.
    return sorted(made, key=lambda m: (m[1] == OTHER, -m[2].current.n, m[1]))


@route("GET", "/quality/{metric:path}", permission="viewer")
async def one_metric(call: Call) -> Response:
    """One series in full. `?by=` names the dimension its cohorts are cut by."""
    view = view_of(call, "7d")
    metric = str(call.request.path_params["metric"])[:200]
    by = view.params.get("by", "prompt_version")
    by = by if by in DIMENSIONS else "prompt_version"
    known = await data.all_series(view, metric)
    one = known.get(metric)
    label = data.baseline_of(view.range).label
    if one is None:
        context = {"one": None, "metric": metric, "baseline_label": label}
        return await answer(view, "quality", metric, "metric.html", context, 404)
    bucket = _bucket(known, view.range.bucket)
    cohorts, changes, alerted, worst, spread, people = await asyncio.gather(
        _cohorts(view, metric, by, bucket),
        data.deploys(view),
        call.services.records.read(lambda c: alerts.find(c, view.project, ("firing", "resolved"))),
        worst_of(view, scorer_of(metric), one.metric, one.current.value, MOST_WORST),
        data.spread(view, metric),
        corrected(view, scorer_of(metric)),
    )
    most = ALL_COHORTS if view.params.get("cohorts") == "all" else MOST_COHORTS
    charts = [
        chart_of(view, s, bucket, changes, alerted, "small", None, dict(cohort_parse(c)))
        for c, _, s in cohorts[:most]
    ]
    domain = y_domain(charts)
    multiples = [
        (
            value,
            s,
            figure_of(view, replace(chart, domain=domain), metric, "small", _within(view, cohort)),
            _within(view, cohort),
        )
        for (cohort, value, s), chart in zip(cohorts[:most], charts, strict=False)
    ]
    context = {
        "one": one,
        "metric": metric,
        "figure": figure_of(view, chart_of(view, one, bucket, changes, alerted), metric, "wide"),
        "by": by,
        "multiples": multiples,
        "more_cohorts": max(0, len(cohorts) - most),
        "worst": worst,
        "scorer": scorer_of(metric),
        "slowest": MOST_OF.get(metric),
        "spread": bins(spread.edges, spread.now, spread.then)
        if spread and one.metric.unit != "share"
        else [],
        "changes": changes,
        "twin": twin(people),
        "baseline_label": label,
    }
    return await answer(view, "quality", one.metric.title, "metric.html", context)


def _within(view: View, cohort: str) -> str:
    """A cohort of one dimension inside the view's own."""
    return cohort_text(tuple({**view.cohort, **dict(cohort_parse(cohort))}.items()))


async def worst_of(
    view: View, scorer: str, metric: Metric, mean: float | None, most: int
) -> list[dict[str, Any]]:
    """The traces with a scorer's worst values: the highest where less of it is better, the lowest else. None of what is as good
    as it can be: of a check whose `mean` says that it passes everywhere nothing is read."""
    down = metric.better < 0
    best = 0.0 if down else 1.0 if metric.unit == "share" else None
    if not scorer or not view.call.sees_content or (best is not None and mean == best):
        return []
    found = await data.rows(
        view, "page_worst", metric=scorer, sign=-1 if down else 1, most=most,
        **data.span(view.range), **data.cohort_params(view),
    )  # fmt: skip
    return [row for row in found if best is None or row["value"] != best]
