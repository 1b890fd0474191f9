"""Charts in messages that cannot be drawn in time."""

import asyncio
from typing import Any

import pytest

from watchkeeper.compose import pictures


class Slow:
    """Records that do not answer."""

    async def read(self, work: Any) -> None:
        await asyncio.Event().wait()


async def test_a_chart_that_takes_too_long_is_one_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pictures, "DRAW_SECONDS", 0.01)
    nothing: Any = None
    made = pictures.Pictures(nothing, Slow(), nothing, "key", lambda: 0, lambda: 0)  # type: ignore[arg-type]
    assert await made.draw("p", "a1") is None and made.counts["failed"] == 1
    (said,) = caplog.records
    assert said.exc_info is None and "a1 took more than 0.01 s" in said.getMessage()
