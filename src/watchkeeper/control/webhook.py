"""A signed message to a system of your own: switch to the fallback, roll back, trip a breaker. It answers 2xx when done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from watchkeeper.control.port import Did
from watchkeeper.model.action import Order


class Sent(Protocol):
    """What came of sending: taken, or why not, whether to try again, and how many seconds to wait if the receiver said so."""

    @property
    def ok(self) -> bool: ...
    @property
    def later(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def after_s(self) -> float | None: ...


class Send(Protocol):
    """Sends a body to a named route, signed, under an idempotency key; see `compose.actions`."""

    async def __call__(
        self, route: str, event: str, key: str, order: Order, body: dict[str, Any]
    ) -> Sent: ...


@dataclass(frozen=True)
class WebhookLever:
    """Sends `action` to the order's route, and `undo` to take it back. Both carry the order's id, so that a receiver that
    hears one twice does it once; what is asked for anew after an undo has another, or it would pass for a repetition."""

    send: Send

    def would(self, order: Order) -> str:
        """In a sentence."""
        return f"send the signed message “action” to route {order.params.get('route', '')}"

    async def pull(self, order: Order) -> Did:
        """Ask for it."""
        return await self._say(order, "action")

    async def undo(self, order: Order, memory: Mapping[str, Any]) -> Did:
        """Ask for it to be taken back."""
        return await self._say(order, "undo", "-undo")

    async def _say(self, order: Order, event: str, ending: str = "") -> Did:
        route = str(order.params.get("route", ""))
        known_as = f"{order.id}-{order.round + 1}" if order.round else order.id
        body = {
            "version": 1, "event": event, "order": known_as, "action": order.name, "actor": order.actor,
            "params": {k: v for k, v in order.params.items() if k != "route"}, "alert": order.alert,
        }  # fmt: skip
        sent = await self.send(route, event, known_as + ending, order, body)
        said = f"route {route} took “{event}”" if sent.ok else f"route {route}: {sent.reason}"
        return Did(sent.ok, said, sent.later, after_s=sent.after_s)
