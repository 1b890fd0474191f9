"""The port: anything that can be done about an alert, and undone."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from watchkeeper.model.action import Order


class Did(msgspec.Struct, frozen=True):
    """What came of it. `later`: it did not work now and may later, `after_s` seconds from now if whoever does it asked for that.
    `memory` is what taking it back will need."""

    ok: bool
    says: str
    later: bool = False
    memory: dict[str, Any] = {}
    after_s: float | None = None


class Lever(Protocol):
    """One kind of action. `pull` and `undo` do not raise for anything the outside does, and may be called again for the
    same order after a crash: the second time changes nothing."""

    def would(self, order: Order) -> str:
        """What pulling it would do, in a sentence, for dry runs and for whoever is about to press the button."""
        ...

    async def pull(self, order: Order) -> Did: ...
    async def undo(self, order: Order, memory: Mapping[str, Any]) -> Did: ...
