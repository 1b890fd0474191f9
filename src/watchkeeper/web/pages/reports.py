"""Reports: the weekly summary and the evidence report of any period, to read here or take along."""

import asyncio

from starlette.responses import Response

from watchkeeper.server.answers import iso
from watchkeeper.server.api.reports import KINDS, report_of
from watchkeeper.server.routing import Call, route
from watchkeeper.web import data
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import view_of


@route("GET", "/reports", permission="viewer")
async def reports(call: Call) -> Response:
    """A report over the page's time range."""
    view = view_of(call, "7d")
    kind = view.params.get("kind", "weekly")
    kind = kind if kind in KINDS else "weekly"
    since, until = iso(view.range.since_ns), iso(view.range.until_ns)
    made, first = await asyncio.gather(
        report_of(call, kind, since, until), data.rows(view, "page_last_trace")
    )
    origin = str(call.request.base_url).rstrip("/")
    ever = bool(first and first[0]["n"])
    context = {"report": made, "ever": ever, "origin": origin, "kind": kind, "since": since, "until": until}
    return await answer(view, "reports", made.title, "reports.html", context)
