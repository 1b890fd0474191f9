"""The drift explorer: a metric's distribution now and in its baseline, distances called what they are, and the map of texts."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy.engine import Connection
from starlette.responses import Response

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.monitor import tick_of
from watchkeeper.config.adapters import rules_of
from watchkeeper.model.series import Insufficient, cohort_of
from watchkeeper.model.sketch import FIELDS
from watchkeeper.pipeline.explore import Shape, TextMap, shape, text_map
from watchkeeper.pipeline.watching.normals import BASELINE_NS, Normal
from watchkeeper.server.routing import Call, route
from watchkeeper.store.records import states
from watchkeeper.web.charts.inline import bins
from watchkeeper.web.metrics import UNITS
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import view_of

MEANS: Final = {
    "ks": "Largest gap between the two cumulative distributions, 0 to 1.",
    "psi": "Population stability index. Its size depends on n; what is beyond chance is what counts.",
    "js": "Jensen–Shannon divergence, 0 to 1.",
    "wasserstein": "How far the mass has to be moved, in the metric's unit.",
    "smd": "Difference of the means in standard deviations of the baseline.",
}


def circles(found: TextMap, width: int = 960, height: int = 420) -> list[dict[str, Any]]:
    """Topics as circles: area by share, a ring for the baseline's."""

    def radius(share: float) -> float:
        return round(4 + 90 * max(share, 0.0) ** 0.5 * 0.9, 1)

    return [
        {
            "x": round(90 + p.x * (width - 180), 1),
            "y": round(70 + p.y * (height - 140), 1),
            "now": radius(p.now),
            "then": radius(p.then),
            "place": p,
            "rose": p.now > 1.5 * p.then + 0.02,
        }
        for p in sorted(found.places, key=lambda p: -p.now)
    ]


@route("GET", "/drift", permission="viewer")
async def explorer(call: Call) -> Response:
    """One metric and cohort now against its baseline; `?metric=` chooses it."""
    view = view_of(call, "24h")
    rules = rules_of(call.services.config.current)
    scorers = await call.services.columns.scorers(view.project)
    metrics = sorted(
        {"latency_ms", "ttft_ms", "cost", "input_tokens", "output_tokens", "error_rate", *scorers}
        | {m for r in rules if r.project == view.project for m in r.metrics if not m.startswith("drift(")}
    )
    watched = [m for r in rules if r.project == view.project for m in r.metrics if m in metrics]
    metric = view.params.get("metric") or next(iter(watched), "latency_ms")
    cohort = cohort_of(view.cohort)

    def read(conn: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
        return states.get_all(conn, view.project, "normal"), states.get_all(conn, view.project, "map")

    normals, maps = await call.services.records.read(read)
    found = await shape(
        call.services.columns,
        {k: msgspec.convert(v, Normal) for k, v in normals.items()},
        view.project,
        metric,
        cohort,
        view.range.since_ns,
        view.range.until_ns,
        view.range.since_ns - BASELINE_NS,
        tick_of(rules) // 10**9,
    )
    made = await asyncio.gather(
        *(
            text_map(
                call.services.columns,
                maps[f],
                view.project,
                f,
                cohort,
                view.range.since_ns,
                view.range.until_ns,
            )
            for f in FIELDS
            if isinstance(maps.get(f), Mapping)
        )
    )
    context = {
        "metrics": metrics,
        "metric": metric,
        "unit": UNITS.get(metric, ""),
        "shape": found if isinstance(found, Shape) else None,
        "why": found.reason if isinstance(found, Insufficient) else "",
        "bars": bins(found.edges, found.now, found.then, height=160) if isinstance(found, Shape) else [],
        "means": MEANS,
        "maps": [(m, circles(m)) for m in made if isinstance(m, TextMap)],
        "map_why": next((m.reason for m in made if isinstance(m, Insufficient)), ""),
        "watches_texts": any(m.startswith("drift(") for r in rules for m in r.metrics),
        "cohort_words": cohort_words(cohort),
    }
    return await answer(view, "drift", "Drift", "drift.html", context)
