"""The log as a channel: for trying out, and as the place alerts go when nothing else is configured."""

import json
import logging
from dataclasses import dataclass, field

from watchkeeper.model.alert import Notification
from watchkeeper.notify.channel import Delivered, Outcome, one_line

_LEVELS = {"page": logging.ERROR, "warn": logging.WARNING}


@dataclass(frozen=True)
class LogChannel:
    """One line per notification; line breaks and control characters of traced text do not reach the log."""

    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("watchkeeper.alerts"))

    async def send(self, notification: Notification) -> Outcome:
        """Write the line."""
        facts = {
            "event": notification.event,
            "dedup_key": notification.dedup_key,
            "subject": one_line(notification.subject),
            "summary": one_line(str(notification.payload.get("summary", ""))),
        }
        level = _LEVELS.get(str(notification.payload.get("severity")), logging.INFO)
        self.logger.log(level, "alert %s", json.dumps(facts))
        return Delivered()
