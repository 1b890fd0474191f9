"""Series of metrics by window and cohort, and the ledger of what every scorer saw."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from watchkeeper.config.base import MetricName
from watchkeeper.model.calibration import Standing, is_provisional
from watchkeeper.model.series import cohort_text
from watchkeeper.server.api.shapes import Query, cohort_from, literal, moment_ns, period, sql_time
from watchkeeper.server.reading import standings
from watchkeeper.server.routing import Call, route


class Wanted(Query):
    """Which points. Times are ISO 8601, nanoseconds, or how long ago (`7d`)."""

    metric: MetricName | None = None
    cohort: str | None = Field(
        None, max_length=500, description="`k=v,k2=v2`; the empty string is everything."
    )
    since: str = Field("24h", max_length=40)
    until: str | None = Field(None, max_length=40)
    limit: int = Field(2000, ge=1, le=10_000)


class Ledger(Query):
    """Which part of the ledger."""

    scorer: MetricName | None = None
    since: str = Field("24h", max_length=40)
    limit: int = Field(1000, ge=1, le=10_000)


@route("GET", "/api/series", permission="viewer", query=Wanted)
async def series(call: Call) -> list[dict[str, Any]]:
    """Points, oldest first: n, n_eff, mean and interval of a metric in a window and cohort. `provisional`: its scorer is a model
    that has not been calibrated in this version."""
    wanted: Wanted = call.query
    since, until = period(wanted.since, wanted.until, call.services.clock())
    where = [f"time >= {sql_time(since or 0)}"]
    if until is not None:
        where.append(f"time < {sql_time(until)}")
    if wanted.metric is not None:
        where.append(f"metric = {literal(wanted.metric)}")
    if wanted.cohort is not None:
        where.append(f"cohort = {literal(cohort_text(cohort_from(wanted.cohort)))}")
    query = (
        f"select * from series where {' and '.join(where)} order by time, metric, cohort limit {wanted.limit}"
    )
    rows = (await call.services.columns.sql(call.project, query, wanted.limit)).dicts()
    trust = await standings(call)
    return [{**r, "provisional": _provisional(str(r["metric"]), str(r["version"]), trust)} for r in rows]


def _provisional(metric: str, version: str, trust: Mapping[str, Standing]) -> bool:
    """By the version behind a point, which a judge's model may follow; by the one in force where none was noted."""
    known = trust.get(metric)
    if known is None:
        return False
    return is_provisional(metric, version.partition(" ")[0], "", trust) if version else known.provisional


@route("GET", "/api/coverage", permission="viewer", query=Ledger)
async def coverage(call: Call) -> list[dict[str, Any]]:
    """Per scorer and window: eligible, selected, scored, failed, late; newest first. `provisional` as in the series."""
    wanted: Ledger = call.query
    where = [f"time >= {sql_time(moment_ns(wanted.since, call.services.clock(), 'since'))}"]
    if wanted.scorer is not None:
        where.append(f"scorer = {literal(wanted.scorer)}")
    query = (
        f"select * from coverage where {' and '.join(where)} order by time desc, scorer limit {wanted.limit}"
    )
    rows = (await call.services.columns.sql(call.project, query, wanted.limit)).dicts()
    trust = await standings(call)
    return [{**r, "provisional": is_provisional(r["scorer"], r["version"], "", trust)} for r in rows]
