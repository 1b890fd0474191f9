"""Traces in the real column store to an alert with its worst traces, mirrored back for SQL."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.columns import empty_columns
from tests.unit.pipeline.test_roll import HOUR, T0, a_trace
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.model.alert import Deploy
from watchkeeper.model.series import BINARY, TEN
from watchkeeper.pipeline.backtest import backtest, over_history
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.records import alerts
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

NOW = T0 + 32 * HOUR


@pytest.fixture
def columns(tmp_path: Path) -> Iterator[ClickHouseColumns]:
    store = open_columns(empty_columns(tmp_path / "c"), clock=lambda: NOW)
    yield store
    store.close_now()


async def test_a_worse_version_is_told_with_its_worst_traces(
    columns: ClickHouseColumns, tmp_path: Path
) -> None:
    records = Records(f"sqlite:///{tmp_path}/r.db")
    metadata.create_all(records.engine)
    dice = random.Random(5)
    rows = []
    for i in range(30 * 60):
        hour = i / 60
        version = "v2" if hour >= 24 and i % 5 < 2 else "v1"
        mean = 5.0 if version == "v2" else 8.2
        rows.append(a_trace(i, hour, version, float(min(max(round(dice.gauss(mean, 1.2)), 0), 10)), "live"))
    await columns.write_traces(rows)
    await columns.write_deploys([Deploy("live", "support-prompt", "v2", T0 + 24 * HOUR, "more concise")])
    monitor = Monitor(
        "relevance-low", "share(relevance < 7) > 30%", "support-ml", "runbooks/r.md", "live",
        by=("prompt_version",), routes=("slack",),
    )  # fmt: skip
    plan = RollPlan.of([monitor], {"relevance": TEN, "has_steps": BINARY})
    rolled = await Roller(columns, records, plan).roll("live", NOW)
    assert rolled.ticks == 30
    watcher = Watcher(columns, records, [monitor])
    assert await watcher.tick(NOW) == 31
    (alert,) = records.read_now(lambda c: alerts.find(c, "live"))
    assert alert.cohort == {"prompt_version": "v2"} and watcher.counts.failed == 0
    assert [w["value"] for w in alert.worst] == sorted(w["value"] for w in alert.worst) and len(
        alert.worst
    ) == 5
    assert all(w["prompt_version"] == "v2" and w["trace_id"].startswith("live") for w in alert.worst)
    assert (
        alert.deploys[0].version == "v2" and "First suspect: support-prompt v2" in alert.evidence["suspicion"]
    )
    assert alert.moved[0].metric == "relevance" and "error_rate" in alert.evidence["holds"]

    mirrored = await columns.sql("live", "select monitor, state, cohort from alerts")
    assert mirrored.rows == [["relevance-low", alert.state, "prompt_version=v2"]]

    (past,) = await over_history(columns, [monitor], T0, T0 + 30 * HOUR)
    assert (past.monitor, past.cohort, past.fired_ns) == (
        "relevance-low",
        {"prompt_version": "v2"},
        alert.fired_ns,
    )
    records.close()


async def test_a_short_window_is_rolled_and_watched_at_the_same_tick(
    columns: ClickHouseColumns, tmp_path: Path
) -> None:
    records = Records(f"sqlite:///{tmp_path}/r.db")
    metadata.create_all(records.engine)
    rows = [
        a_trace(i, i / 100, "v1", 8.0, "short", error="timeout" if i >= 250 else None) for i in range(300)
    ]
    await columns.write_traces(rows)
    monitor = Monitor("errors", "error_rate > 5%", "ops", "r.md", "short", window=15 * 60 * 10**9)
    watcher = Watcher(columns, records, [monitor])
    plan = RollPlan.of([monitor], {"relevance": TEN, "has_steps": BINARY})
    assert plan.tick_ns == watcher.tick_ns == HOUR // 12
    await Roller(columns, records, plan).roll("short", NOW)
    await watcher.tick(T0 + 3 * HOUR + HOUR // 6)
    (alert,) = records.read_now(lambda c: alerts.find(c, "short"))
    assert T0 + 2.5 * HOUR <= (alert.fired_ns or 0) <= T0 + 2.75 * HOUR
    (past,) = await backtest(columns, [monitor], T0, T0 + 3 * HOUR + HOUR // 6)
    assert (past.monitor, past.fired_ns) == ("errors", alert.fired_ns)
    records.close()
