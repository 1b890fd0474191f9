"""Clock steps (O7): the server's wall clock leaps an hour and a day forth and back while it runs. Nothing acknowledged is lost,
no alert changes by the step alone, no budget is granted twice."""

import time
from pathlib import Path

import pytest

from tests.chaos import FULL
from tests.flow.crashing import batch, compare, ids_of, in_sql
from tests.flow.sending import call, hex_id, request
from tests.serving import Server
from tests.unit.pipeline.doubles import until_idle
from tests.unit.pipeline.test_judge import World
from watchkeeper.compose.leader import WATCH_SECONDS
from watchkeeper.model.times import DAY
from watchkeeper.scoring.budget import Budget
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

HOUR_S = 3600
STEPS = (HOUR_S, -HOUR_S, 24 * HOUR_S, -24 * HOUR_S, 0) if FULL else (24 * HOUR_S, -HOUR_S, 0)
# Put before everything else of the server's process: its wall clock follows a file, its monotonic clock does not.
SITE = """
import time
path, real, real_ns = {path!r}, time.time, time.time_ns
def offset():
    try:
        return int(open(path).read() or 0)
    except (OSError, ValueError):
        return 0
time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + offset() * 10**9
"""
MONITORS = """
monitors:
  - {name: failures, condition: "error_rate > 5%", window: 6h, owner: o, runbook: r.md}
  - {name: slow, condition: "latency_ms.p99 > 10s", window: 6h, owner: o, runbook: r.md}
"""


def test_a_server_whose_clock_steps_loses_nothing_and_changes_no_alert(tmp_path: Path) -> None:
    site, offset, config = tmp_path / "site", tmp_path / "offset", tmp_path / "watchkeeper.yaml"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(path=str(offset)))
    config.write_text(MONITORS)
    server = Server(
        tmp_path / "data", "--config", str(config), env={"PYTHONPATH": f"{site}:{Path.cwd() / 'src'}"}
    )
    now = time.time_ns()
    failing = [
        call(hex_id("f", i), hex_id("f", i, digits=16), "q?", "a", start_ns=now - (60 + i) * 60 * 10**9,
             error="RateLimitError" if i % 3 == 0 else None)
        for i in range(150)
    ]  # fmt: skip
    with server:
        assert server.call("POST", "/v1/traces", raw=request(failing))[0] == 200
        acknowledged = ids_of(failing)
        states = "select monitor, state, since, fired_at, resolved_at from alerts order by 1"
        before = server.eventually(states, bool)
        assert [(a["monitor"], a["state"]) for a in before] == [("failures", "firing")]
        for number, step in enumerate(STEPS):
            offset.write_text(str(step))
            shown = server.json("POST", "/api/feedback", {"trace_id": hex_id("f", 1), "rating": "up"})
            assert shown
            server.json("POST", "/api/datasets", {"name": f"step{number}"})
            # What an application sends whose clock is a week off, and what comes at the right time.
            week = 7 * 86_400 * 10**9
            for ahead in (-week, 0, week):
                made = [
                    {**s, "startTimeUnixNano": str(int(s["startTimeUnixNano"]) + ahead),
                     "endTimeUnixNano": str(int(s["endTimeUnixNano"]) + ahead)}
                    for s in batch(f"clock{number}{ahead}", number, traces=1)
                ]  # fmt: skip
                assert server.call("POST", "/v1/traces", raw=request(made))[0] == 200
                acknowledged += ids_of(made)
            # Two turns of the watcher's loop, which counts nothing that a clock going back lets grow.
            time.sleep(2 * WATCH_SECONDS if FULL else WATCH_SECONDS + 1)
            assert server.sql(states) == before, step
        lost, doubled = compare(acknowledged, in_sql(server))
        assert not lost and not doubled
        traces = {t for t, _ in acknowledged}
        server.eventually("select count() as n from traces", lambda r: r[0]["n"] == len(traces))
        metrics = server.call("GET", "/metrics")[2].decode()
        assert "\nwatchkeeper_retention_held 0\n" in metrics
        # The control: the server's clock did step.
        at = {x["target"]: x["time_ns"] // 10**9 for x in server.json("GET", "/api/audit")["lines"]}
        here = at["step0"] - STEPS[0]
        for number, step in enumerate(STEPS):
            assert 0 <= at[f"step{number}"] - here - step < HOUR_S // 2, at
    assert not any("Traceback" in line for line in server.lines), "\n".join(server.lines[-40:])


@pytest.mark.parametrize("step", [HOUR_S, 24 * HOUR_S])
async def test_no_days_budget_is_granted_twice_by_a_clock_that_goes_and_comes_back(
    step: int, tmp_path: Path
) -> None:
    records = Records(f"sqlite:///{tmp_path}/records.db")
    metadata.create_all(records.engine)
    world = World(records, budget=Budget(0.01, kept_for_risk=0.0))
    start = world.now
    await world.queue(60)
    days: set[int] = set()
    flow = world.flow()
    for ahead in (0, step, 0, step, -step, 0, step):
        world.now = start + ahead * 10**9
        days.add(world.now // DAY)
        await until_idle(flow)
        # 0.01 USD buys ten judgements of a day; what a step back asks for was spent before.
        assert world.provider.replies <= 10 * len(days)
    assert world.provider.replies >= 10
    records.close()
