"""A Slack-compatible incoming webhook (Slack, Mattermost, Rocket.Chat)."""

from dataclasses import dataclass
from typing import Any

from watchkeeper.model.alert import Notification
from watchkeeper.notify.channel import Http, Outcome, clip, one_line, post_json, web_address

_COLOUR = {"page": "#b42318", "warn": "#b54708", "info": "#475467"}
_GOOD = "#067647"


def escape(text: str) -> str:
    """Slack's three control characters as entities, so that `<!channel>`, `<@U1>` and links in traces stay text.

    >>> escape("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    # 3000 is Slack's limit; clipped before escaping so that no entity is cut in half.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _plain(text: str, limit: int = 2000) -> str:
    """Text for a mrkdwn block. Backticks and emphasis marks of untrusted text are left: they cannot leave the block."""
    return escape(clip(text, limit))[:2990]


def render(notification: Notification) -> dict[str, Any]:
    """The message: a plain-text fallback and blocks. `verbatim` stops Slack from turning names into mentions."""
    payload = notification.payload
    title = one_line(notification.subject)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": escape(clip(title, 140)), "emoji": False}},
        _section(_plain(str(payload.get("summary") or notification.text))),
    ]
    blocks += [_section(_plain(str(payload[key]))) for key in ("holds", "suspicion") if payload.get(key)]
    if payload.get("lines"):
        blocks.append(
            _section("```" + _plain("\n".join(payload["lines"]), 1500).replace("```", "'''") + "```")
        )
    if payload.get("changes"):
        blocks.append(_section("Recent changes\n" + _plain("\n".join(payload["changes"]), 800)))
    worst = [row for alert in payload.get("alerts", []) for row in alert.get("worst", [])][:3]
    if worst:
        rows = "\n".join(
            f"{row.get('trace_id', '')}  {one_line(str(row.get('output_text') or ''))[:160]}" for row in worst
        )
        blocks.append(_section("Worst traces\n```" + _plain(rows, 1500).replace("```", "'''") + "```"))
    facts = [f"Owner {payload.get('owner', '')}", f"Runbook {payload.get('runbook', '')}"]
    facts += [str(payload.get("links", {}).get("alert") or "")]
    text = _plain(" · ".join(f for f in facts if f))
    # A link and not an image block: Slack refuses a whole message whose image it cannot fetch.
    chart = web_address(payload.get("links", {}).get("chart"))
    if chart:
        text = f"{text} · <{chart}|Chart>"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]})
    colour = (
        _GOOD
        if payload.get("status") == "resolved"
        else _COLOUR.get(str(payload.get("severity")), _COLOUR["info"])
    )
    return {"text": escape(clip(title, 300)), "attachments": [{"color": colour, "blocks": blocks}]}


@dataclass(frozen=True)
class SlackChannel:
    """POSTs blocks to an incoming-webhook URL."""

    http: Http
    url: str

    def __repr__(self) -> str:
        return "SlackChannel()"

    async def send(self, notification: Notification) -> Outcome:
        """One POST."""
        return await post_json(self.http, self.url, render(notification))
