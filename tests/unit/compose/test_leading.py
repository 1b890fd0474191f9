"""Who leads does the duties, from the first moment it can and until it cannot any more."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from watchkeeper.compose.leader import leading
from watchkeeper.store.records.lead import Lead


class Told:
    """A lock that is given and taken away by the test."""

    def __init__(self, free: bool) -> None:
        self.free, self.given_up = free, 0

    async def take(self) -> bool:
        return self.free

    async def holds(self) -> bool:
        return self.free

    async def give_up(self) -> None:
        self.given_up += 1


class Duties:
    def __init__(self, failures: int = 0) -> None:
        self.begun, self.failures = 0, failures
        self.on, self.off = asyncio.Event(), asyncio.Event()
        self.off.set()

    @property
    def running(self) -> bool:
        return self.on.is_set()

    def _now(self, running: bool) -> None:
        for event, holds in ((self.on, running), (self.off, not running)):
            event.set() if holds else event.clear()

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncGenerator[None]:
        self.begun += 1
        if self.begun <= self.failures:
            raise RuntimeError("the duties cannot begin")
        self._now(True)
        try:
            yield
        finally:
            self._now(False)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[leading.__module__], "LEAD_SECONDS", 0.01)


async def until(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 120)


async def test_a_process_that_may_lead_does_from_the_beginning_and_gives_it_up_at_the_end() -> None:
    lock, duties = Told(free=True), Duties()
    async with leading(cast(Lead, lock), duties):
        assert duties.running
    assert not duties.running and lock.given_up == 1


async def test_duties_follow_the_lock() -> None:
    lock, duties = Told(free=False), Duties()
    async with leading(cast(Lead, lock), duties):
        assert not duties.running
        lock.free = True
        await until(duties.on)
        lock.free = False
        await until(duties.off)
        lock.free = True
        await until(duties.on)
    assert not duties.running and duties.begun == 2


async def test_what_keeps_the_first_duties_from_beginning_keeps_the_process_from_starting() -> None:
    with pytest.raises(RuntimeError, match="cannot begin"):
        async with leading(cast(Lead, Told(free=True)), Duties(failures=1)):
            raise AssertionError("it must not come here")


async def test_a_later_failure_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    lock, duties = Told(free=False), Duties(failures=1)
    async with leading(cast(Lead, lock), duties):
        lock.free = True
        await until(duties.on)
    assert duties.begun == 2 and "it is tried again" in caplog.text
