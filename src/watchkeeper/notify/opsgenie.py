"""Opsgenie Alert API v2: create with an alias, close by alias."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from watchkeeper.model.alert import Notification
from watchkeeper.notify.channel import Http, Outcome, clip, one_line, post_json, web_address

URL = "https://api.opsgenie.com"
_PRIORITY = {"page": "P1", "warn": "P3", "info": "P5"}


def render(notification: Notification) -> dict[str, Any]:
    """The body of a create request; an open alert with the same alias is counted, not opened twice."""
    payload = notification.payload
    return {
        "message": clip(one_line(notification.subject), 130),
        "alias": notification.dedup_key,
        "description": clip(notification.text, 14_000),
        "source": "watchkeeper",
        "priority": _PRIORITY.get(str(payload.get("severity")), "P3"),
        "tags": [one_line(str(payload.get("severity", "")))],
        "details": {
            "owner": str(payload.get("owner", "")),
            "runbook": str(payload.get("runbook", "")),
            "chart": web_address(payload.get("links", {}).get("chart")),
        },
    }


@dataclass(frozen=True)
class OpsgenieChannel:
    """Creates and closes alerts with an integration's API key; `url` for the EU instance."""

    http: Http
    api_key: str
    url: str = URL

    def __repr__(self) -> str:
        return "OpsgenieChannel()"

    async def send(self, notification: Notification) -> Outcome:
        """One create or close."""
        resolved = notification.payload.get("status") == "resolved"
        path, document = "/v2/alerts", render(notification)
        if resolved:
            path = f"/v2/alerts/{quote(notification.dedup_key, safe='')}/close?identifierType=alias"
            document = {"source": "watchkeeper", "note": clip(notification.text, 14_000)}
        return await post_json(
            self.http, self.url + path, document, {"Authorization": f"GenieKey {self.api_key}"}
        )
