"""Quality objectives: what was promised, what is left of the error budget, how fast it is being spent."""

from dataclasses import asdict
from typing import Any

from watchkeeper.alerting.monitor import tick_of
from watchkeeper.config.adapters import objective_of, rules_of
from watchkeeper.pipeline.objectives import read
from watchkeeper.server.answers import iso
from watchkeeper.server.routing import Call, route


@route("GET", "/api/objectives", permission="viewer")
async def listing(call: Call) -> list[dict[str, Any]]:
    """Every objective of the project: the share of good ones with interval and n, the share of the error budget that is left
    (negative: overspent), and the burn rate over each rule's long window."""
    config = call.services.config.current
    mine = [objective_of(o) for o in config.objectives if o.project == call.project]
    found = await read(call.services.columns, mine, call.services.clock(), tick_of(rules_of(config)))
    return [
        {
            "name": o.name,
            "good": o.good,
            "target": o.target,
            "period_s": o.period // 10**9,
            "owner": o.owner,
            "runbook": o.runbook,
            "metric": o.metric,
            "value": s.good,
            "low": s.low,
            "high": s.high,
            "n": s.n,
            "budget_left": s.left,
            "budget_left_low": s.left_low,
            "budget_left_high": s.left_high,
            "days": [{"day": iso(day), "budget_left": left} for day, left in s.days],
            "burn": [{**asdict(r), "window_s": r.window_ns // 10**9} for r in rates],
        }
        for o, s, rates in found
    ]
