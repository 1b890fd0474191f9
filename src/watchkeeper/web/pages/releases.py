"""Releases: every deploy with what moved around it."""

from typing import Any, Final

from starlette.responses import Response

from watchkeeper.model.times import DAY, HOUR
from watchkeeper.server.routing import Call, route
from watchkeeper.web import data, estimate
from watchkeeper.web.metrics import describe
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import TimeRange, View, view_of

MOST: Final = 12


@route("GET", "/releases", permission="viewer")
async def releases(call: Call) -> Response:
    """Deploys in the range, newest first, each with what differs between the day before and the day after."""
    view = view_of(call, "30d")
    found = await data.deploys(view)
    shown = [{**d, "moved": m} for d, m in zip(found, await _moved(view, found[:MOST]), strict=False)]
    context = {"deploys": shown, "more": found[MOST:], "origin": str(call.request.base_url).rstrip("/")}
    return await answer(view, "releases", "Releases", "releases.html", context)


def _around(at_ns: int, now_ns: int) -> tuple[TimeRange, TimeRange]:
    """The day before a deploy and the one after it, as far as there is one."""
    at_ns = at_ns // HOUR * HOUR
    before = TimeRange(at_ns - DAY, at_ns, "", "before")
    return before, TimeRange(at_ns, min(at_ns + DAY, now_ns), "", "after")


async def _moved(view: View, deploys: list[dict[str, Any]]) -> list[list[data.Series]]:
    """Of each deploy the series that differ after it."""
    around = [_around(int(d["at"]), view.now_ns) for d in deploys]
    known = [after.until_ns > after.since_ns for _, after in around]
    asked = [r for pair, begun in zip(around, known, strict=True) if begun for r in pair]
    sums = iter(await data.sums_each(view, asked))
    return [_differing(next(sums), next(sums)) if begun else [] for begun in known]


def _differing(then: dict[str, list[data.Row]], now: dict[str, list[data.Row]]) -> list[data.Series]:
    made: list[data.Series] = []
    for name in sorted({*now, *then}):
        rows = [*now.get(name, []), *then.get(name, [])]
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
