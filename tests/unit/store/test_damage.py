"""Which parts are due to be checked for damage, and when the store is asked for them."""

from typing import Any

import pytest

from watchkeeper.store.clickhouse import damage
from watchkeeper.store.clickhouse.damage import Part, Rounds

DAY = 86_400.0


class Listing:
    """Parts by name with the time they were written; counts how often they are listed."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.listed = 0

    def __call__(self, _client: Any) -> list[tuple[Part, float]]:
        self.listed += 1
        return [(Part("spans", name, 10, 10), at) for name, at in sorted(self.parts.items())]


async def test_parts_are_listed_only_when_one_may_be_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now, listing, client = [1_000_000.0], Listing(), object()
    monkeypatch.setattr(damage, "parts", listing)
    monkeypatch.setattr(damage.time, "time", lambda: now[0])
    rounds: Any = Rounds()

    def due() -> list[str]:
        return [p.name for p in rounds.due(client)]

    listing.parts = {"old": now[0] - 10.0, "older": now[0] - 5 * DAY}
    assert due() == ["old", "older"]
    rounds.done(Part("spans", "old", 10, 10))
    # One is left: whatever kept it from being looked at, it is due still.
    assert due() == ["older"]
    rounds.done(Part("spans", "older", 10, 10))
    now[0] += 2.0
    listing.parts["fresh"] = now[0]
    before = listing.listed
    for _ in range(100):
        assert due() == []
        now[0] += 60.0
    assert listing.listed == before
    rounds.suspect()
    assert due() == ["fresh", "old", "older"]
    for name in listing.parts:
        rounds.done(Part("spans", name, 10, 10))
    listing.parts["later"] = now[0]
    now[0] += DAY
    assert due() == ["fresh", "later", "old", "older"]
