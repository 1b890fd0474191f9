"""Charts in messages: drawn for mails, linked for everything else. A picture that fails is left out, never waited for."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from watchkeeper.alerting import picture_link
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.model.alert import Notification
from watchkeeper.model.times import Clock
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import alerts
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
DRAW_SECONDS = 10.0


@dataclass
class Pictures:
    """`key` signs addresses; `clock` is data time, `wall` the world's, both in ns."""

    columns: Columns
    records: Records
    holder: ConfigHolder
    key: str
    clock: Clock
    wall: Clock
    counts: Counter[str] = field(default_factory=Counter[str])

    async def draw(self, project: str, alert_id: str) -> bytes | None:
        """The chart of an alert as PNG; None when there is no such alert, nothing to draw, or the drawing failed."""
        # Drawing starts a JavaScript engine of 70 MB: a server that sends no picture does not load it.
        from watchkeeper.web.pictures import alert_picture

        try:
            async with asyncio.timeout(DRAW_SECONDS):
                alert = await self.records.read(lambda c: alerts.get(c, project, alert_id))
                found = None if alert is None else await alert_picture(self.columns, alert, self.clock())
        except TimeoutError:
            self.counts["failed"] += 1
            log.warning(
                "the chart of alert %s took more than %g s to draw: its message goes without",
                alert_id,
                DRAW_SECONDS,
            )
            return None
        except Exception:  # a message without its picture is worth more than a picture
            self.counts["failed"] += 1
            log.exception("the chart of alert %s could not be drawn", alert_id)
            return None
        self.counts["drawn"] += found is not None
        return found

    async def of(self, notification: Notification) -> bytes | None:
        """The chart a message is about."""
        if notification.event == "heartbeat" or not notification.payload.get("alerts"):
            return None
        return await self.draw(notification.project, notification.alert_id)

    def link(self, notification: Notification) -> Notification:
        """The message with the address of its chart, good for a day from now; unchanged where the server has no public
        address or the message is about no series."""
        base = self.holder.current.server.public_url
        about = notification.payload.get("alerts")
        if not base or not about or not about[0].get("evidence", {}).get("metric"):
            return notification
        expires = self.wall() // 10**9 + picture_link.DAY_S
        token = picture_link.token(self.key, notification.project, notification.alert_id, expires)
        links = {**notification.payload.get("links", {}), "chart": f"{base.rstrip('/')}/pictures/{token}"}
        return msgspec.structs.replace(notification, payload={**notification.payload, "links": links})
