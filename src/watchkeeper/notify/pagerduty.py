"""PagerDuty Events API v2."""

from dataclasses import dataclass
from typing import Any

from watchkeeper.model.alert import Notification
from watchkeeper.notify.channel import (
    Http,
    Outcome,
    clip,
    is_web,
    one_line,
    post_json,
    web_address,
    worst_lines,
)

URL = "https://events.pagerduty.com/v2/enqueue"
_SEVERITY = {"page": "critical", "warn": "warning", "info": "info"}


def render(notification: Notification, routing_key: str) -> dict[str, Any]:
    """A trigger or a resolve; PagerDuty joins events with the same dedup_key into one incident."""
    payload = notification.payload
    resolved = payload.get("status") == "resolved"
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "dedup_key": notification.dedup_key,
        "event_action": "resolve" if resolved else "trigger",
    }
    if resolved:
        return event
    links = payload.get("links", {})
    chart = web_address(links.get("chart"))
    pages = [
        ("Alert", links.get("alert")),
        ("Traces", links.get("traces")),
        ("Runbook", payload.get("runbook")),
    ]
    return {
        **event,
        "client": "Watchkeeper",
        "payload": {
            "summary": clip(one_line(f"{notification.subject}: {payload.get('summary', '')}"), 1024),
            "source": f"watchkeeper/{notification.project}",
            "severity": _SEVERITY.get(str(payload.get("severity")), "warning"),
            "group": notification.dedup_key,
            "class": one_line(notification.event),
            "custom_details": {
                "owner": payload.get("owner"),
                "runbook": payload.get("runbook"),
                "metrics": payload.get("lines", []),
                "suspicion": payload.get("suspicion"),
                "holds": payload.get("holds"),
                "recent changes": payload.get("changes", []),
                "worst traces": worst_lines(payload),
            },
        },
        **({"images": [{"src": chart, "alt": "chart"}]} if chart else {}),
        "links": [{"href": h, "text": t} for t, h in pages if is_web(h)],
    }


@dataclass(frozen=True)
class PagerDutyChannel:
    """Sends events with a service's integration (routing) key."""

    http: Http
    routing_key: str
    url: str = URL

    def __repr__(self) -> str:
        return "PagerDutyChannel()"

    async def send(self, notification: Notification) -> Outcome:
        """One event."""
        return await post_json(self.http, self.url, render(notification, self.routing_key))
