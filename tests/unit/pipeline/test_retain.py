"""Retention and a clock that leaps: nothing is dropped by a clock nobody has confirmed."""

from pathlib import Path
from typing import Any

import pytest

from watchkeeper.pipeline.retain import DAY_NS, Retain
from watchkeeper.store.columns import Retention
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

HOUR = DAY_NS // 24


class World:
    """Retention over a store that only remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.records = Records(f"sqlite:///{folder}/records.db")
        metadata.create_all(self.records.engine)
        self.now, self.ran = 20_000 * DAY_NS, 0
        self.expired: list[int] = []
        self.retain = self.process()

    def process(self) -> Retain:
        """What a start makes anew."""
        store: Any = self
        return Retain(
            store, self.records, lambda: self.now, lambda: self.ran, lambda: Retention(30, 90, 400), bool
        )

    async def expire(self, now_ns: int, _keep: Retention) -> dict[str, int]:
        self.expired.append(now_ns)
        return {}

    async def dropped(self) -> bool:
        before = len(self.expired)
        await self.retain.run_once()
        return len(self.expired) > before


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_it_runs_as_time_goes_by_and_after_a_short_stop(world: World) -> None:
    for step in (0, HOUR, 23 * HOUR, 24 * HOUR):
        world.now += step
        assert await world.dropped()
    world.retain = world.process()
    world.now += 20 * HOUR
    assert await world.dropped() and not world.retain.held


@pytest.mark.parametrize("leap", [25 * HOUR, 40 * DAY_NS, 4000 * DAY_NS])
async def test_a_leap_forward_drops_nothing_and_is_over_when_the_clock_is_back(
    world: World, leap: int
) -> None:
    assert await world.dropped()
    world.now += leap
    assert not await world.dropped() and world.retain.held
    world.retain = world.process()
    assert not await world.dropped(), "a restart is no confirmation"
    world.now -= leap
    assert await world.dropped() and not world.retain.held
    assert max(world.expired) == world.now


async def test_a_step_back_drops_nothing_more_and_needs_nobody(world: World) -> None:
    assert await world.dropped()
    for step in (-HOUR, HOUR, -DAY_NS, DAY_NS, -40 * DAY_NS, 40 * DAY_NS):
        world.now += step
        assert await world.dropped()
    assert max(world.expired) == world.now


async def test_confirming_or_a_day_of_running_ends_the_doubt(world: World) -> None:
    assert await world.dropped()
    world.now += 3 * DAY_NS
    assert not await world.dropped()
    await world.retain.confirm()
    assert await world.dropped()
    world.now += 3 * DAY_NS
    assert not await world.dropped()
    world.ran += DAY_NS - 1
    assert not await world.dropped()
    world.ran += 1
    assert await world.dropped() and not world.retain.held
