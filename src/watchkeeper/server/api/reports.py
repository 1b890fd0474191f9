"""Reports over a period: the weekly summary and the evidence report, as data, Markdown or one HTML file."""

from typing import Any, Literal

import msgspec
from pydantic import Field
from starlette.responses import Response

from watchkeeper.alerting import report as rules
from watchkeeper.model.report import Report
from watchkeeper.model.times import DAY
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Query, period
from watchkeeper.server.routing import Call, HttpError, needed, route

LONGEST_NS = 400 * DAY
KINDS = {"weekly": 7, "evidence": 30}


class Period(Query):
    """What period, and in which form."""

    since: str | None = Field(None, max_length=40)
    until: str | None = Field(None, max_length=40)
    format: Literal["json", "md", "html"] = "json"


async def report_of(call: Call, kind: str, since: str | None, until: str | None) -> Report:
    """The report. Raises `HttpError` 400, 404 and 503."""
    reports = needed(call.services.reports, "reports")
    if kind not in KINDS:
        raise HttpError(404, f"there is no report {kind[:40]!r}", f"one of {', '.join(KINDS)}")
    now = call.services.clock()
    began, ended = period(since, until, now)
    end = now if ended is None else ended
    start = end - KINDS[kind] * DAY if began is None else began
    if not 0 < end - start <= LONGEST_NS:
        raise HttpError(400, "since must be before until, and by at most 400 days", "since=30d")
    return await reports.make(kind, call.project, start, end)


@route("GET", "/api/reports/{kind}", permission="viewer", query=Period)
async def report(call: Call) -> Any:
    """The `weekly` summary (7 days by default) or the `evidence` report (30 days): what was monitored, coverage, calibration,
    alerts and incidents, each figure with its interval and n; `format` json, md or html."""
    wanted: Period = call.query
    kind = str(call.request.path_params["kind"])
    made = await report_of(call, kind, wanted.since, wanted.until)
    if wanted.format == "json":
        return {**msgspec.to_builtins(made), "since": iso(made.since_ns), "until": iso(made.until_ns)}
    text = rules.markdown(made) if wanted.format == "md" else rules.html(made)
    media = "text/markdown" if wanted.format == "md" else "text/html"
    headers = {
        "content-disposition": f'attachment; filename="{kind}-{(iso(made.until_ns) or "")[:10]}.{wanted.format}"',
        "cache-control": "no-store",
    }
    return Response(text.encode("utf-8", "replace"), media_type=f"{media}; charset=utf-8", headers=headers)
