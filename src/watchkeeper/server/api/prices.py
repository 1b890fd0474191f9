"""Prices: which models have none, and making stored costs again after a price was corrected or added."""

from typing import Any

import msgspec
from pydantic import Field

from watchkeeper.dialects import pricing
from watchkeeper.pipeline.reprice import SHOWN_NS, Busy, Run
from watchkeeper.server.answers import timed
from watchkeeper.server.api.shapes import Body, Query, period
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, needed, route


class When(Query):
    """Which calls. Times are ISO 8601, nanoseconds, or how long ago (`30d`)."""

    since: str | None = Field(None, max_length=40)
    until: str | None = Field(None, max_length=40)


class Again(Body):
    """Which traces; all when not said."""

    since: str | None = Field(None, max_length=40)
    until: str | None = Field(None, max_length=40)


def _range(call: Call, since: str | None, until: str | None) -> tuple[int, int]:
    start, end = period(since, until, call.services.clock())
    return start or 0, SHOWN_NS if end is None else end


def shown(run: Run | None) -> dict[str, Any] | None:
    """A recompute as the API tells it; null when there never was one."""
    if run is None:
        return None
    hidden = ("after_ns", "after_id", "project")
    return timed({k: v for k, v in msgspec.to_builtins(run).items() if k not in hidden})


async def unpriced(call: Call, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """Models whose stored calls have no cost, most calls first; `reason` is `no price` or `no token counts`."""
    table = await call.services.columns.named("unknown_prices", call.project, since=since_ns, until=until_ns)
    return [
        {
            **row,
            "provider": row["provider"] or None,
            "reason": "no price" if row["calls_with_tokens"] else "no token counts",
        }
        for row in table.dicts()
    ]


@route("GET", "/api/prices/unknown", permission="viewer", query=When)
async def unknown(call: Call) -> dict[str, Any]:
    """Models whose stored calls have no cost, most calls first; `reason` is `no price` or `no token counts`."""
    models = await unpriced(call, *_range(call, call.query.since, call.query.until))
    return {"pricing_version": pricing.in_force().version, "models": models}


@route("POST", "/api/prices/recompute", permission="editor", body=Again, status=202)
async def recompute(call: Call) -> dict[str, Any]:
    """Begin to make the costs of stored traces again with the prices in force now. It goes on in the background."""
    reprice = needed(call.services.reprice, "the recomputing of costs")
    since, until = _range(call, call.body.since, call.body.until)
    try:
        run = await reprice.start(call.project, since, until)
    except Busy:
        raise HttpError(
            409, "a recompute is running", "GET /api/prices/recompute tells how far it is"
        ) from None
    await note_change(call, "prices.recompute", f"{run.version}: {run.total} traces")
    return shown(run) or {}


@route("GET", "/api/prices/recompute", permission="viewer")
async def progress(call: Call) -> dict[str, Any]:
    """The running or latest recompute: `run` is null when there never was one."""
    if call.services.reprice is None:
        return {"run": None}
    return {"run": shown(await call.services.reprice.current(call.project))}
