"""Waiting for what nothing announces: for a condition and never for a time, because a machine may be as busy as it likes."""

import asyncio
import time
from collections.abc import Callable

HANG_SECONDS = 300.0
"""How long nothing takes anywhere: it only guards against a hang."""


def until(holds: Callable[[], object]) -> None:
    """Return when `holds()` is true."""
    deadline = time.monotonic() + HANG_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


async def until_async(holds: Callable[[], object]) -> None:
    """The same, while other tasks go on."""
    async with asyncio.timeout(HANG_SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
