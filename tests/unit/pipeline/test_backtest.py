"""Monitors over points that are stored: what the watcher would have said, and nothing written."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from tests.unit.pipeline.world import EPOCH, HOUR, Traffic, canary, steady
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.alerting.packs import PACKS
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import Point, cohort_text
from watchkeeper.pipeline.backtest import History, over_history
from watchkeeper.pipeline.watching.steps import Settings


async def over(
    points: Sequence[Point], rules: Sequence[Monitor], since: int, until: int, *more: Settings
) -> list[Alert]:
    return await over_history(cast(Any, History(points)), rules, since, until, *more)


async def test_a_backtest_finds_what_the_watcher_would_have() -> None:
    points = [p for h in range(400) for p in Traffic(canary(344, 372)).hour(h)]
    rules = [
        Monitor("relevance-down", "shift(relevance) = 'down'", "ml", "r.md", by=("prompt_version",)),
        Monitor("errors", "error_rate > 2%", "ml", "r.md"),
    ]
    (only,) = await over(points, rules, EPOCH + 336 * HOUR, EPOCH + 400 * HOUR)
    assert (only.monitor, only.cohort) == ("relevance-down", {"prompt_version": "v2"})
    assert only.fired_ns is not None and 344 <= (only.fired_ns - EPOCH) / HOUR <= 347
    assert only.resolved_ns is not None


async def test_a_backtest_says_how_far_it_is_and_lets_others_work_meanwhile() -> None:
    points = [p for h in range(60) for p in Traffic(steady).hour(h)]
    shares, between = list[float](), list[int]()

    async def others() -> None:
        while not shares or shares[-1] < 1:
            between.append(len(shares))
            await asyncio.sleep(0)

    columns, rules = cast(Any, History(points)), [Monitor("errors", "error_rate > 2%", "ml", "r.md")]
    working = asyncio.create_task(others())
    await over_history(columns, rules, EPOCH + 40 * HOUR, EPOCH + 60 * HOUR, Settings(HOUR), shares.append)
    await working
    assert shares == [n / 20 for n in range(1, 21)]
    assert set(between) >= set(range(1, 20)), "nobody else had the loop between two steps"


async def test_the_packs_are_quiet_on_quiet_traffic() -> None:
    points = [p for h in range(250) for p in Traffic(steady).hour(h)]
    rules = [m for name in ("errors", "watchkeeper") for m in PACKS[name].monitors("ml", "r.md")]
    assert await over(points, rules, EPOCH + 200 * HOUR, EPOCH + 250 * HOUR, Settings(HOUR)) == []


async def test_history_keeps_the_latest_point_of_a_tick_and_gives_the_window_that_was_asked_for() -> None:
    points = [p for h in range(4) for p in Traffic(steady).hour(h)]
    history, first = History(points), points[0]
    again = msgspec.structs.replace(first, n=first.n + 1)
    await history.write_points([again])
    key = first.key
    found = await history.read_points(
        key.project, EPOCH, EPOCH + 2 * HOUR, key.metric, cohort_text(key.cohort)
    )
    assert [p.start_ns for p in found] == [EPOCH, EPOCH + HOUR] and found[0] == again
    assert len(await history.read_points(key.project, EPOCH, EPOCH + 4 * HOUR)) == len(points)
    assert await history.read_points("another", EPOCH, EPOCH + 4 * HOUR) == []
