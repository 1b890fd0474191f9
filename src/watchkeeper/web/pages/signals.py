"""Failures grouped: by the checks and error classes that found them, and by the names people gave them."""

import asyncio
from typing import Any

from starlette.responses import Response

from watchkeeper.model.errors import TRANSPORT
from watchkeeper.server.api.signals import listed
from watchkeeper.server.routing import Call, route
from watchkeeper.web import data, estimate
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import view_of


@route("GET", "/signals", permission="viewer")
async def signals(call: Call) -> Response:
    """What goes wrong, how often, and since when."""
    view = view_of(call, "7d")
    before = view.range.before()
    params = {**data.span(view.range), **data.cohort_params(view), "before": before.since_ns}
    failures, health, grouped = await asyncio.gather(
        data.rows(view, "page_failures", **params),
        data.rows(view, "page_health", **params),
        listed(call),
    )
    now = sum(int(r["n"]) for r in health if r["current"])
    then = sum(int(r["n"]) for r in health if not r["current"])
    context = {
        "failures": [_line(f, now, then) for f in failures],
        "grouped": grouped,
        "content": call.sees_content,
        "before_label": before.label,
        "total": now,
    }
    return await answer(view, "signals", "Signals", "signals.html", context)


def _line(found: dict[str, Any], now: int, then: int) -> dict[str, Any]:
    share, share_before = (
        estimate.proportion(int(found["n"]), now),
        estimate.proportion(int(found["n_before"]), then),
    )
    apart = share.apart_from(share_before)
    grew = (share.value or 0) > (share_before.value or 0)
    return {
        **found,
        "share": share,
        "share_before": share_before,
        "tone": "" if not apart else "bad" if grew else "good",
        "kind": "check"
        if found["family"] == "check"
        else "transport"
        if found["name"] in TRANSPORT
        else "content",
    }
