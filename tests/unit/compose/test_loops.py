"""Background loops go on whatever happens, and say how they fare."""

import asyncio

import pytest

from watchkeeper.compose import loops
from watchkeeper.compose.loops import Loops


async def test_a_loop_outlives_failures_rests_after_long_work_and_says_how_it_fares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, rests, took = [0.0], list[float](), [1.0, 8.0, 100.0, 2.0]

    async def sleep(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) > len(took):
            raise asyncio.CancelledError

    async def work() -> None:
        now[0] += took[len(rests) - 1]
        if len(rests) == 2:
            raise OSError("the store is away")

    monkeypatch.setattr(loops.asyncio, "sleep", sleep)
    running = Loops(lambda: now[0])
    with pytest.raises(asyncio.CancelledError):
        await running.forever("watching", 5.0, work)
    assert rests == [5.0, 5.0, 8.0, 30.0, 5.0]
    told = {s.name: s.value for s in running.samples() if s.labels == {"loop": "watching"}}
    assert told == {
        "watchkeeper_loop_runs_total": 4,
        "watchkeeper_loop_failures_total": 1,
        "watchkeeper_loop_seconds_total": 111.0,
        "watchkeeper_loop_last_seconds": 2.0,
    }
