"""E-mail: text and HTML, threaded by group, the chart inside."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from html import escape
from typing import Any

from watchkeeper.model.alert import Notification
from watchkeeper.notify.channel import Delivered, Mail, Outcome, Permanent, Retry, clip, one_line

Picture = Callable[[Notification], Awaitable[bytes | None]]
_CHART = "chart@watchkeeper"
# An incident, its end, and a report, which is neither.
_COLOURS = {"resolved": "#067647", "ok": "#175cd3"}
_CELL = "text-align:left;vertical-align:top;border-bottom:1px solid #e4e6eb;padding:4px 8px"


def _section(section: dict[str, Any]) -> str:
    """A part of a report: its sentences, then its table."""
    said = "".join(f"<p style='margin:8px 0'>{escape(str(x))}</p>" for x in section.get("says", []))
    rows = section.get("rows", [])
    if rows:
        head = "".join(f"<th style='{_CELL}'>{escape(str(c))}</th>" for c in section.get("columns", []))
        body = "".join(
            "<tr>" + "".join(f"<td style='{_CELL}'>{escape(str(c))}</td>" for c in row) + "</tr>"
            for row in rows
        )
        said += f"<table style='border-collapse:collapse;font-size:13px'><tr>{head}</tr>{body}</table>"
    elif section.get("none"):
        said += f"<p style='margin:8px 0'>{escape(str(section['none']))}</p>"
    return f"<h3 style='font-size:15px;margin:24px 0 4px'>{escape(str(section.get('title', '')))}</h3>{said}"


def _html(notification: Notification, chart: bool) -> str:
    """A page without scripts or remote content, whose only image travels with it; everything from a trace is escaped."""
    payload: dict[str, Any] = notification.payload
    colour = _COLOURS.get(str(payload.get("status")), "#b42318")
    owned = f"Owner {payload['owner']} · Runbook {payload.get('runbook', '')}" if payload.get("owner") else ""

    def paragraph(text: Any) -> str:
        return f"<p style='margin:8px 0'>{escape(str(text))}</p>" if text else ""

    lines = "".join(
        f"<li style='font-family:monospace'>{escape(str(x))}</li>" for x in payload.get("lines", [])
    )
    deploys = "".join(f"<li>{escape(str(d))}</li>" for d in payload.get("changes", []))
    worst = [row for alert in payload.get("alerts", []) for row in alert.get("worst", [])][:3]
    traces = "".join(
        f"<li><code>{escape(str(r.get('trace_id', '')))}</code> {escape(clip(str(r.get('output_text') or ''), 300))}</li>"
        for r in worst
    )
    link = str(payload.get("links", {}).get("alert") or "")
    opened = (
        f"<p><a href='{escape(link)}'>Open the alert</a></p>"
        if link.startswith(("https://", "http://"))
        else ""
    )
    return (
        "<div style='font-family:system-ui,sans-serif;max-width:640px'>"
        f"<h2 style='font-size:18px;border-left:4px solid {colour};padding-left:8px'>"
        f"{escape(one_line(notification.subject))}</h2>"
        + paragraph(payload.get("summary") or notification.text)
        + (f"<p><img src='cid:{_CHART}' alt='chart' style='max-width:100%'></p>" if chart else "")
        + paragraph(payload.get("suspicion"))
        + paragraph(payload.get("holds"))
        + (f"<ul>{lines}</ul>" if lines else "")
        + (f"<p>Recent changes</p><ul>{deploys}</ul>" if deploys else "")
        + (f"<p>Worst traces</p><ul>{traces}</ul>" if traces else "")
        + "".join(_section(s) for s in payload.get("sections", []))
        + paragraph(owned)
        + opened
        + "</div>"
    )


def render(
    notification: Notification, sender: str, recipients: tuple[str, ...], chart: bytes | None = None
) -> EmailMessage:
    """The message, with its `chart` (PNG) inside when there is one. Its id is the notification's, so a mail sent twice after a crash is one mail to most clients;
    all mails of a group refer to one id, so they are one thread. Raises ValueError or IndexError for what is no address."""
    domain = one_line(sender.rpartition("@")[2].strip("<> ")) or "watchkeeper.invalid"
    thread = hashlib.sha256(notification.dedup_key.encode()).hexdigest()[:32]
    message = EmailMessage()
    message["From"] = one_line(sender)
    message["To"] = ", ".join(one_line(r) for r in recipients)
    for header in (message["From"], message["To"]):
        # Some versions of the email package raise at what is no address, others write it as it is. A mailbox of this host has no domain.
        if not header.addresses or not all(
            a.domain or len(a.username.split()) == 1 for a in header.addresses
        ):
            raise ValueError(f"{header} is not an address")
    message["Subject"] = clip(one_line(notification.subject), 200)
    message["Message-ID"] = f"<{notification.id}@{domain}>"
    message["In-Reply-To"] = message["References"] = f"<{thread}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Watchkeeper-Dedup-Key"] = one_line(notification.dedup_key)
    # Lone surrogates can come out of broken telemetry and cannot be encoded.
    message.set_content(notification.text.encode("utf-8", "replace").decode())
    page = _html(notification, chart is not None).encode("utf-8", "replace").decode()
    message.add_alternative(page, subtype="html")
    if chart is not None:
        body = message.get_body(("html",))
        if isinstance(body, EmailMessage):
            body.add_related(chart, "image", "png", cid=f"<{_CHART}>", filename="chart.png")
    return message


@dataclass(frozen=True)
class EmailChannel:
    """Mails `recipients` from `sender`; `picture` gives a message's chart, or None, and does not raise."""

    mail: Mail
    sender: str
    recipients: tuple[str, ...]
    picture: Picture | None = None

    async def send(self, notification: Notification) -> Outcome:
        """One mail to all recipients."""
        chart = None if self.picture is None else await self.picture(notification)
        try:
            message = render(notification, self.sender, self.recipients, chart)
        except (ValueError, IndexError) as error:
            return Permanent(
                f"the mail cannot be written: {type(error).__name__}; check sender and recipients"
            )
        answer = await self.mail.send(message)
        if answer.sent:
            return Delivered()
        return Retry(answer.reason) if answer.retry else Permanent(answer.reason)
