"""Background loops go on whatever happens, and say how they fare."""

import asyncio

import pytest

from watchkeeper.compose import loops
from watchkeeper.compose.loops import HEAVY, LONGEST_REST_S, Loops


async def rests_of(
    monkeypatch: pytest.MonkeyPatch, took: list[float], seconds: float, rests: float = 1.0, fails: int = 0
) -> tuple[list[float], dict[str, float]]:
    """How long a loop rested before each piece of work, which took so long, and what it says then; the `fails`th piece fails."""
    now, slept = [0.0], list[float]()

    async def sleep(given: float) -> None:
        slept.append(given)
        if len(slept) > len(took):
            raise asyncio.CancelledError

    async def work() -> None:
        now[0] += took[len(slept) - 1]
        if len(slept) == fails:
            raise OSError("the store is away")

    monkeypatch.setattr(loops.asyncio, "sleep", sleep)
    running = Loops(lambda: now[0])
    with pytest.raises(asyncio.CancelledError):
        await running.forever("watching", seconds, work, rests)
    return slept, {s.name: s.value for s in running.samples() if s.labels == {"loop": "watching"}}


async def test_a_loop_outlives_failures_rests_after_long_work_and_says_how_it_fares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept, told = await rests_of(monkeypatch, [1.0, 8.0, 400.0, 2.0], 5.0, fails=2)
    assert slept == [5.0, 5.0, 8.0, LONGEST_REST_S, 5.0]
    assert told == {
        "watchkeeper_loop_runs_total": 4,
        "watchkeeper_loop_failures_total": 1,
        "watchkeeper_loop_seconds_total": 411.0,
        "watchkeeper_loop_last_seconds": 2.0,
    }


async def test_heavy_work_takes_a_small_share_of_the_time_and_is_prompt_while_it_takes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept, _ = await rests_of(monkeypatch, [0.1, 0.5, 2.0, 3.0, 90.0, 0.1], 5.0, HEAVY)
    assert slept == pytest.approx([5.0, 5.0, 5.0, 20.0, 30.0, LONGEST_REST_S, 5.0])
