"""Releases: every deploy with what moved around it."""

import asyncio
from typing import Any, Final

from starlette.responses import Response

from watchkeeper.server.routing import Call, route
from watchkeeper.web import data, estimate, humane
from watchkeeper.web.metrics import describe
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import TimeRange, View, view_of

AROUND: Final = 24 * 3_600 * humane.NS
MOST: Final = 12
YEAR: Final = 365 * 86_400


@route("GET", "/releases", permission="viewer")
async def releases(call: Call) -> Response:
    """Deploys in the range, newest first, each with what differs between the day before and the day after."""
    view = view_of(call, "30d")
    found = await data.deploys(view)
    moved = await asyncio.gather(*(_moved(view, int(d["at"])) for d in found[:MOST]))
    shown = [{**d, "moved": m} for d, m in zip(found[:MOST], moved, strict=True)]
    context = {"deploys": shown, "more": found[MOST:], "origin": str(call.request.base_url).rstrip("/")}
    return await answer(view, "releases", "Releases", "releases.html", context)


async def _moved(view: View, at_ns: int) -> list[data.Series]:
    hour = 3_600 * humane.NS
    at_ns = at_ns // hour * hour
    after = TimeRange(at_ns, min(at_ns + AROUND, view.now_ns), "", "after")
    before = TimeRange(at_ns - AROUND, at_ns, "", "before")
    if after.until_ns <= after.since_ns:
        return []
    now, then = await asyncio.gather(data.sums(view, after, YEAR), data.sums(view, before, YEAR))
    made: list[data.Series] = []
    for name in sorted({*now, *then}):
        rows: list[Any] = [*now.get(name, []), *then.get(name, [])]
        known = describe(name, rows)
        one = data.Series(
            known,
            [],
            estimate.from_sums(data.add(now.get(name, [])), known.unit),
            estimate.from_sums(data.add(then.get(name, [])), known.unit),
        )
        if one.shift:
            made.append(one)
    return sorted(made, key=lambda s: (s.shift, s.metric.name))
