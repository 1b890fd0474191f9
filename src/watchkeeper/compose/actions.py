"""Actions connected: the levers, what they move, and the way their messages leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchkeeper.control import WebhookLever
from watchkeeper.model.action import Order
from watchkeeper.model.alert import Notification
from watchkeeper.model.times import Clock
from watchkeeper.notify import Channel, Delivered, Retry, WebhookChannel
from watchkeeper.pipeline.act import Actor
from watchkeeper.pipeline.levers import PauseLever, Pauses, ReleaseLever, ReviewLever
from watchkeeper.store.columns import Columns
from watchkeeper.store.records.engine import Records


@dataclass(frozen=True)
class Answer:
    """What a route's receiver said."""

    ok: bool
    later: bool = False
    reason: str = ""
    after_s: float | None = None


@dataclass(frozen=True)
class Through:
    """Sends an order's messages through the webhook route it names: signed, checked and pinned as every other message."""

    channels: Mapping[str, Channel]

    async def __call__(self, route: str, event: str, key: str, order: Order, body: dict[str, Any]) -> Answer:
        channel = self.channels.get(route)
        if not isinstance(channel, WebhookChannel):
            return Answer(False, reason="there is no such webhook route")
        message = Notification(
            id=key, project=order.project, alert_id=order.alert_id or "", dedup_key=order.id, route=route,
            event=event, subject=f"{event}: {order.name}", text=f"{event} {order.name}, asked by {order.actor}",
            payload=body, created_ns=order.created_ns,
        )  # fmt: skip
        outcome = await channel.send(message)
        if isinstance(outcome, Delivered):
            return Answer(True)
        if isinstance(outcome, Retry):
            return Answer(False, True, outcome.reason, outcome.after_s)
        return Answer(False, reason=outcome.reason)


def actor_of(
    columns: Columns,
    records: Records,
    channels: Mapping[str, Channel],
    pauses: Pauses,
    clock: Clock,
    wall: Clock,
) -> Actor:
    """What carries out actions, with the levers of this version by type."""
    levers = {
        "webhook": WebhookLever(Through(channels)),
        "open_reviews": ReviewLever(columns, records, clock),
        "pause": PauseLever(records, pauses, clock),
        "mark_release": ReleaseLever(columns, records, clock),
    }
    return Actor(records, levers, clock, wall)
