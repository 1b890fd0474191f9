"""Microsoft Teams through a Workflows webhook, as an Adaptive Card."""

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

_COLOUR = {"page": "Attention", "warn": "Warning", "info": "Default"}


def escape(text: str) -> str:
    """Cards read a subset of Markdown; a backslash before its marks keeps links and emphasis of untrusted text text."""
    return "".join("\\" + c if c in "\\[]()*_`~#<>!|" else c for c in text)


def _block(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "TextBlock", "text": escape(clip(text, 3000)), "wrap": True, **style}


def render(notification: Notification) -> dict[str, Any]:
    """The card: title, what changed, what holds, the metrics, owner and runbook, and a button."""
    payload = notification.payload
    resolved = payload.get("status") == "resolved"
    colour = "Good" if resolved else _COLOUR.get(str(payload.get("severity")), "Default")
    body = [
        _block(one_line(notification.subject), weight="Bolder", size="Medium", color=colour),
        _block(str(payload.get("summary") or notification.text)),
    ]
    body += [_block(str(payload[key])) for key in ("suspicion", "holds") if payload.get(key)]
    body += [_block(line, spacing="None", fontType="Monospace") for line in payload.get("lines", [])[:12]]
    body += [_block(f"Changed: {line}") for line in payload.get("changes", [])[:3]]
    body += [_block(f"Worst: {line}", spacing="None") for line in worst_lines(payload)]
    chart = web_address(payload.get("links", {}).get("chart"))
    if chart:
        body.append({"type": "Image", "url": chart, "altText": "chart"})
    body.append(
        _block(f"Owner {payload.get('owner', '')} · Runbook {payload.get('runbook', '')}", isSubtle=True)
    )
    card: dict[str, Any] = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "body": body,
    }
    link = payload.get("links", {}).get("alert")
    if is_web(link):
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the alert", "url": link}]
    if chart:
        card["actions"] = [
            *card.get("actions", []),
            {"type": "Action.OpenUrl", "title": "Chart", "url": chart},
        ]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


@dataclass(frozen=True)
class TeamsChannel:
    """POSTs the card to a Workflows URL."""

    http: Http
    url: str

    def __repr__(self) -> str:
        return "TeamsChannel()"

    async def send(self, notification: Notification) -> Outcome:
        """One POST."""
        return await post_json(self.http, self.url, render(notification))
