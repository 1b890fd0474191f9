"""Background loops go on whatever happens, and say how they fare."""

import asyncio

import pytest

from watchkeeper.compose import loops
from watchkeeper.compose.loops import HEAVY, LONGEST_REST_S, Loops


async def rests_of(
    monkeypatch: pytest.MonkeyPatch,
    took: list[float],
    seconds: float,
    rests: float = 1.0,
    fails: int = 0,
    busy: float = 0.0,
    first: float | None = None,
) -> tuple[list[float], dict[str, float]]:
    """How long a loop rested before each piece of work, which took so long, and what it says then; the `fails`th piece fails. While it
    rests the process uses `busy` processors."""
    now, spent, slept = [0.0], [0.0], list[float]()

    async def sleep(given: float) -> None:
        slept.append(given)
        now[0] += given
        spent[0] += busy * given
        if len(slept) > len(took):
            raise asyncio.CancelledError

    async def work() -> None:
        now[0] += took[len(slept) - 1]
        if len(slept) == fails:
            raise OSError("the store is away")

    monkeypatch.setattr(loops.asyncio, "sleep", sleep)
    running = Loops(lambda: now[0], lambda: spent[0])
    with pytest.raises(asyncio.CancelledError):
        await running.forever("watching", seconds, work, rests, first)
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


async def test_what_is_seldom_done_may_be_done_soon_after_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    slept, _ = await rests_of(monkeypatch, [1.0, 8.0], 600.0, first=30.0)
    assert slept == [30.0, 600.0, 600.0]


async def test_heavy_work_takes_a_small_share_of_a_busy_process_and_is_prompt_in_an_idle_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    took = [0.1, 0.5, 2.0, 3.0, 90.0, 0.1]
    slept, _ = await rests_of(monkeypatch, took, 5.0, HEAVY, busy=1.6)
    assert slept == pytest.approx([5.0, 5.0, 5.0, 20.0, 30.0, LONGEST_REST_S, 5.0])
    slept, _ = await rests_of(monkeypatch, took, 5.0, HEAVY, busy=0.5)
    assert slept == pytest.approx([5.0, 5.0, 5.0, 11.0, 16.5, LONGEST_REST_S, 5.0])
    slept, _ = await rests_of(monkeypatch, [3.0, 6.0, 7.0, 0.1], 5.0, HEAVY)
    assert slept == pytest.approx([5.0, 5.0, 6.0, 7.0, 5.0])


async def test_work_that_somebody_else_just_did_is_left_until_its_time_has_passed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, done = [0.0], list[float]()
    running = Loops(lambda: now[0], lambda: 0.0)

    async def sleep(given: float) -> None:
        now[0] += given
        if now[0] == 8.0:
            running.done("watching")
        if now[0] > 30.0:
            raise asyncio.CancelledError

    async def work() -> None:
        done.append(now[0])

    monkeypatch.setattr(loops.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await running.forever("watching", 4.0, work)
    assert done == [4.0, 12.0, 16.0, 20.0, 24.0, 28.0]
