"""A promise, its budget and its burn rates: told fast when it burns, not at all when it does not."""

import numpy as np
import pytest

from tests.unit.pipeline.world import EPOCH, HOUR, Columns
from watchkeeper.alerting.monitor import MonitorError
from watchkeeper.alerting.objectives import RULES, Objective, standing
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import BINARY, Point, SeriesKey, gather
from watchkeeper.pipeline.objectives import rates, read
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.store.records import alerts
from watchkeeper.store.records.engine import Records

TICK = HOUR // 12


def promise(**change: object) -> Objective:
    facts = {"name": "grounded-answers", "good": "grounded", "target": 0.95, "owner": "ml", "runbook": "r.md"}
    return Objective(**(facts | change))  # type: ignore[arg-type]


def grounded(shares: list[tuple[float, float]], n: int = 20, seed: int = 1) -> list[Point]:
    """Five-minute points of `grounded` and of volume: (hours, share good) one after another."""
    rng, at, made = np.random.default_rng(seed), EPOCH, list[Point]()
    for hours, share in shares:
        for _ in range(round(hours * 12)):
            good = (rng.random(n) < share) * 1.0
            made.append(
                gather(
                    SeriesKey("default", "grounded"), at, at + TICK, BINARY, [(float(x), 1.0) for x in good]
                )
            )
            made.append(gather(SeriesKey("default", "traces"), at, at + TICK, BINARY, [(1.0, 1.0)] * n))
            at += TICK
    return made


async def watched(records: Records, points: list[Point]) -> list[Alert]:
    columns = Columns()
    columns.add(points)
    watcher = Watcher(columns, records, promise().monitors())  # type: ignore[arg-type]
    assert watcher.tick_ns == TICK
    end = max(p.end_ns for p in points)
    await watcher.tick(end + 600 * 10**9)
    assert watcher.counts.failed == 0
    found = records.read_now(lambda c: alerts.find(c, "default"))
    return sorted(found, key=lambda a: a.fired_ns or 0)


def test_a_promise_is_three_monitors_with_the_burn_rates_of_the_workbook():
    made = promise().monitors()
    assert [(m.condition, m.severity) for m in made] == [
        ("burn(grounded, 95%, 1h, 5m) > 14.4", "page"),
        ("burn(grounded, 95%, 6h, 30m) > 6", "page"),
        ("burn(grounded, 95%, 3d, 6h) > 1", "warn"),
    ]
    assert promise(good="relevance >= 7").metric == "share(relevance >= 7)"


@pytest.mark.parametrize(
    ("field", "change"), [("target", {"target": 1.0}), ("good", {"good": "relevance >="})]
)
def test_a_promise_that_cannot_be_kept_is_refused_where_it_is_wrong(field: str, change: dict[str, object]):
    with pytest.raises(MonitorError) as caught:
        promise(**change)
    assert caught.value.field == field


async def test_an_outage_pages_within_the_hour_and_is_over_soon_after_it_ends(records: Records) -> None:
    found = await watched(records, grounded([(30, 0.97), (1.5, 0.05), (8, 0.97)]))
    by_name = {a.monitor: a for a in found}
    fast = by_name["grounded-answers-14.4x"]
    began = EPOCH + 30 * HOUR
    assert fast.severity == "page" and began + HOUR / 2 <= (fast.fired_ns or 0) <= began + 1.2 * HOUR
    assert fast.state == "resolved" and (fast.resolved_ns or 0) <= began + 2 * HOUR
    assert "times too fast" in " ".join(fast.evidence["terms"])


async def test_a_slow_leak_warns_and_does_not_page(records: Records) -> None:
    found = await watched(records, grounded([(24, 0.97), (60, 0.91)]))
    assert [(a.monitor, a.severity) for a in found] == [("grounded-answers-1x", "warn")]


async def test_a_kept_promise_is_silent(records: Records) -> None:
    assert await watched(records, grounded([(96, 0.965)])) == []


def scored(points: list[Point]) -> list[Point]:
    return [p for p in points if p.key.metric == "grounded"]


def test_what_is_left_of_the_budget_is_exact_and_may_be_negative():
    good = standing(promise(), scored(grounded([(48, 1.0)])))
    assert good.good == 1.0 and good.left == 1.0 and [left for _, left in good.days] == [1.0, 1.0]
    bad = standing(promise(), scored(grounded([(24, 1.0), (24, 0.8)], n=50)))
    assert bad.left is not None and -1.2 < bad.left < -0.8 and bad.n == 48 * 12 * 50
    assert bad.left_low is not None and bad.left_high is not None and bad.left_low < bad.left < bad.left_high
    assert bad.days[0][1] == 1.0 and bad.days[-1][1] == pytest.approx(bad.left)
    assert standing(promise(), []).left is None


async def test_the_burn_rates_are_those_of_their_windows():
    points = grounded([(71, 1.0), (1, 0.5)], n=50)
    now = EPOCH + 72 * HOUR
    hour, six, days = rates(promise(), scored(points), now)
    assert [r.window_ns for r in (hour, six, days)] == [r.long_ns for r in RULES]
    assert (
        hour.value is not None
        and 8 < hour.value < 12
        and six.value == pytest.approx(hour.value / 6, rel=0.01)
    )
    assert hour.low is not None and hour.high is not None and hour.low < hour.value < hour.high
    columns = Columns()
    columns.add(points)
    ((_, where, again),) = await read(columns, [promise()], now, TICK)  # type: ignore[arg-type]
    assert again[0].value == hour.value and where.n == 72 * 12 * 50
    assert (await read(Columns(), [promise()], now, TICK))[0][1].n == 0  # type: ignore[arg-type]
