"""Backtests: when monitors would have fired over the stored history."""

from typing import Any

from pydantic import Field

from watchkeeper.alerting.monitor import MonitorError
from watchkeeper.config.adapters import rule_of
from watchkeeper.config.models import Monitor
from watchkeeper.model.times import DAY
from watchkeeper.pipeline.backtest import TURN, backtest
from watchkeeper.server.answers import iso
from watchkeeper.server.api.alerts import alert_json
from watchkeeper.server.api.shapes import Body, moment_ns
from watchkeeper.server.routing import Call, HttpError, route

LONGEST_NS = 100 * DAY


class History(Body):
    """Monitors as in the configuration, and how far back to go."""

    monitors: list[Monitor] = Field(min_length=1, max_length=50)
    since: str = Field("14d", max_length=40)


@route("GET", "/api/backtest", permission="editor")
async def how_far(call: Call) -> dict[str, Any]:
    """How far the running backtest is (`share`, 0 to 1), of whichever project; null while none runs."""
    return {"share": None if TURN.what is None else TURN.share}


@route("POST", "/api/backtest", permission="editor", body=History)
async def run(call: Call) -> dict[str, Any]:
    """Run monitors over this project's history, changing nothing and telling nobody: the alerts there would have been."""
    given: History = call.body
    now = call.services.clock()
    since = moment_ns(given.since, now, "since")
    if not now - LONGEST_NS <= since < now:
        raise HttpError(400, "since: must be within the last 100 days", "since: 14d")
    try:
        rules = [rule_of(m.model_copy(update={"project": call.project})) for m in given.monitors]
    except MonitorError as error:
        raise HttpError(400, str(error), "") from None
    if not TURN.take((call.project, None)):
        raise HttpError(503, "another backtest is running", "try again", {"retry-after": "5"})
    try:
        found = await backtest(call.services.columns, rules, since, now, TURN.at)
    finally:
        TURN.free()
    shown = [alert_json(a) for a in found]
    return {"since": iso(since), "until": iso(now), "alerts": shown}
