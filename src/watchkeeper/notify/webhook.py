"""A signed JSON webhook.

Headers of every request:
    X-Watchkeeper-Timestamp   seconds since 1970, when this attempt was made
    X-Watchkeeper-Signature   v1=<hex HMAC-SHA256 of "<timestamp>.<body>" with the shared secret>
    X-Watchkeeper-Dedup-Key   the same for every message about one group of alerts
    X-Watchkeeper-Event       firing, updated, reminder, escalated, resolved, heartbeat, …
    Idempotency-Key           the same for every attempt of one message

A receiver checks the signature over the raw body and refuses a timestamp that is minutes old.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from watchkeeper.model.alert import Notification
from watchkeeper.notify.channel import JSON_HEADERS, Http, Outcome, body_of, one_line, outcome_of


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The value of X-Watchkeeper-Signature.

    >>> sign("s", 1, b"{}")[:12]
    'v1=b253639bc'
    """
    digest = hmac.new(secret.encode(), b"%d.%s" % (timestamp, body), hashlib.sha256).hexdigest()
    return f"v1={digest}"


def verify(secret: str, timestamp: int, body: bytes, signature: str, now: int, tolerance: int = 300) -> bool:
    """Is this request ours and fresh? For receivers written in Python; constant time."""
    fresh = abs(now - timestamp) <= tolerance
    return hmac.compare_digest(sign(secret, timestamp, body), signature) and fresh


@dataclass(frozen=True)
class WebhookChannel:
    """POSTs the notification as JSON to `url`; signed when there is a `secret`. `clock` gives ns since 1970."""

    http: Http
    url: str
    secret: str | None
    clock: Callable[[], int]

    def __repr__(self) -> str:
        return "WebhookChannel()"

    async def send(self, notification: Notification) -> Outcome:
        """One signed POST."""
        body = body_of(
            {
                "id": notification.id,
                "project": notification.project,
                "dedup_key": notification.dedup_key,
                "event": notification.event,
                "subject": notification.subject,
                "text": notification.text,
                **notification.payload,
            }
        )
        timestamp = self.clock() // 10**9
        headers = {
            **JSON_HEADERS,
            "X-Watchkeeper-Timestamp": str(timestamp),
            "X-Watchkeeper-Dedup-Key": notification.dedup_key,
            "X-Watchkeeper-Event": one_line(notification.event),
            "Idempotency-Key": notification.id,
        }
        if self.secret:
            headers["X-Watchkeeper-Signature"] = sign(self.secret, timestamp, body)
        return outcome_of(await self.http.request("POST", self.url, headers=headers, body=body))
