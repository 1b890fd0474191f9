"""What the pages say of monitors and distributions, read from what the watcher left."""

import msgspec
import pytest

from tests.unit.pipeline.test_watch import at, filled, relevance_down
from tests.unit.pipeline.world import EPOCH, HOUR, Columns, Traffic, canary, steady
from watchkeeper.model.series import Insufficient
from watchkeeper.pipeline.explore import Backtest, false_alarms, shape, stands
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.pipeline.watching.normals import Normal
from watchkeeper.store.records import states
from watchkeeper.store.records.engine import Records
from watchkeeper.web.charts.inline import bins
from watchkeeper.web.pages.monitors import strips


async def test_a_monitor_stands_where_its_cohorts_do_and_costs_its_part_of_the_budget(
    records: Records,
) -> None:
    rules = [
        relevance_down(),
        relevance_down(name="errors", condition="error_rate > 5%", by=()),
        relevance_down(name="any", condition="any(error_rate > 0)", by=()),
        relevance_down(name="new", condition="shift(nothing) = 'up'", by=()),
    ]
    columns = filled(Traffic(canary(344, 372)), range(352))
    await Watcher(columns, records, rules).tick(at(350))  # type: ignore[arg-type]
    found = {s.monitor.name: s for s in records.read_now(lambda c: stands(c, "default", rules))}
    drop = found["relevance-down"]
    assert drop.state == "firing" and drop.fired == 1 and drop.last_ns is not None
    assert {s.cohort: s.state for s in drop.seen}["prompt_version=v2"] == "firing"
    assert drop.detectable is not None and 0 < drop.detectable < 1
    assert found["errors"].state == "ok" and found["errors"].fired == 0
    assert found["any"].false_alarms == 0.0
    assert found["new"].state == "no_data"
    assert 0 < sum(s.false_alarms for s in found.values()) <= 1.0
    assert next(iter(found)) == "relevance-down"


async def test_the_budget_of_a_page_is_a_tenth_and_more_series_do_not_raise_the_fleets(
    records: Records,
) -> None:
    warn, page = relevance_down(), relevance_down(severity="page")
    assert false_alarms(page, 3, 30, HOUR) == pytest.approx(false_alarms(warn, 3, 30, HOUR) / 10)
    assert false_alarms(warn, 30, 30, HOUR) == pytest.approx(1.0)


async def test_a_distribution_is_compared_with_the_frozen_baseline_where_there_is_one(
    records: Records,
) -> None:
    columns = filled(Traffic(canary(344, 372, share=0.9)), range(352))
    await Watcher(columns, records, [relevance_down()]).tick(at(350))  # type: ignore[arg-type]
    stored = records.read_now(lambda c: states.get_all(c, "default", "normal"))
    normals = {k: msgspec.convert(v, Normal) for k, v in stored.items()}
    span = (EPOCH + 345 * HOUR, EPOCH + 351 * HOUR)
    found = await shape(columns, normals, "default", "relevance", (), *span, EPOCH, 3600)  # type: ignore[arg-type]
    assert not isinstance(found, Insufficient)
    assert found.frozen and found.n_then > 10_000 and found.n_now > 400
    assert set(found.distances) == {"ks", "psi", "js", "wasserstein", "smd"}
    assert found.distances["smd"].value < -0.5 and (found.distances["psi"].p or 1) < 1e-6
    assert sum(found.now) == pytest.approx(1) and sum(found.then) == pytest.approx(1)
    drawn = bins(found.edges, found.now, found.then)
    assert max(b["now"] or 0 for b in drawn) <= 100 and drawn[0]["x"] == 0

    free = await shape(columns, normals, "default", "latency_ms", (), *span, EPOCH, 3600)  # type: ignore[arg-type]
    assert not isinstance(free, Insufficient) and not free.frozen
    empty = await shape(columns, normals, "default", "nothing", (), *span, EPOCH, 3600)  # type: ignore[arg-type]
    assert isinstance(empty, Insufficient)


def test_a_backtest_is_drawn_to_scale_and_without_episodes_it_is_a_line() -> None:
    day = 24 * HOUR
    found = Backtest(0, 10 * day, (("", day, 2 * day, 4 * day), ("model=m", 9 * day, 9 * day + HOUR, 0)))
    rows = strips(found, [{"at": 5 * day}, {"at": 20 * day}])
    assert [r["cohort"] for r in rows] == ["all traffic", "model m"]
    assert (
        rows[0]["bars"][0]["x"] == 100
        and rows[0]["bars"][0]["width"] == 300
        and rows[0]["bars"][0]["fired"] == 200
    )
    assert rows[1]["bars"][0]["x"] + rows[1]["bars"][0]["width"] == 1000 and rows[0]["deploys"] == [500]
    assert strips(Backtest(0, day, ()), []) == [{"cohort": "all traffic", "bars": [], "deploys": []}]


async def test_monitors_that_stand_alike_are_in_the_order_people_count_in(records: Records) -> None:
    names = ["errors-1", "errors-10", "errors-2"]
    found = await records.read(lambda c: stands(c, "default", [relevance_down(name=n) for n in names]))
    assert [s.monitor.name for s in found] == ["errors-1", "errors-2", "errors-10"]


async def test_a_calm_fleet_is_ok(records: Records) -> None:
    columns: Columns = filled(Traffic(steady), range(352))
    rules = [relevance_down()]
    await Watcher(columns, records, rules).tick(at(350))  # type: ignore[arg-type]
    (one,) = records.read_now(lambda c: stands(c, "default", rules))
    assert one.state == "ok" and one.reason == "" and one.backtest is None
