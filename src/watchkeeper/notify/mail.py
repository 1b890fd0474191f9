"""E-mail: text and HTML, threaded by group."""

import hashlib
from dataclasses import dataclass
from email.message import EmailMessage
from html import escape
from typing import Any

from watchkeeper.model.alert import Notification
from watchkeeper.notify.channel import Delivered, Mail, Outcome, Permanent, Retry, clip, one_line


def _html(notification: Notification) -> str:
    """A page without images, scripts or remote content; everything from a trace is escaped text."""
    payload: dict[str, Any] = notification.payload
    colour = "#067647" if payload.get("status") == "resolved" else "#b42318"

    def paragraph(text: Any) -> str:
        return f"<p style='margin:8px 0'>{escape(str(text))}</p>" if text else ""

    lines = "".join(
        f"<li style='font-family:monospace'>{escape(str(x))}</li>" for x in payload.get("lines", [])
    )
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
        + paragraph(payload.get("suspicion"))
        + paragraph(payload.get("holds"))
        + (f"<ul>{lines}</ul>" if lines else "")
        + (f"<p>Worst traces</p><ul>{traces}</ul>" if traces else "")
        + paragraph(f"Owner {payload.get('owner', '')} · Runbook {payload.get('runbook', '')}")
        + opened
        + "</div>"
    )


def render(notification: Notification, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """The message. Its id is the notification's, so a mail sent twice after a crash is one mail to most clients;
    all mails of a group refer to one id, so they are one thread."""
    domain = one_line(sender.rpartition("@")[2].strip("<> ")) or "watchkeeper.invalid"
    thread = hashlib.sha256(notification.dedup_key.encode()).hexdigest()[:32]
    message = EmailMessage()
    message["From"] = one_line(sender)
    message["To"] = ", ".join(one_line(r) for r in recipients)
    message["Subject"] = clip(one_line(notification.subject), 200)
    message["Message-ID"] = f"<{notification.id}@{domain}>"
    message["In-Reply-To"] = message["References"] = f"<{thread}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Watchkeeper-Dedup-Key"] = one_line(notification.dedup_key)
    # Lone surrogates can come out of broken telemetry and cannot be encoded.
    message.set_content(notification.text.encode("utf-8", "replace").decode())
    message.add_alternative(_html(notification).encode("utf-8", "replace").decode(), subtype="html")
    return message


@dataclass(frozen=True)
class EmailChannel:
    """Mails `recipients` from `sender`."""

    mail: Mail
    sender: str
    recipients: tuple[str, ...]

    async def send(self, notification: Notification) -> Outcome:
        """One mail to all recipients."""
        try:
            message = render(notification, self.sender, self.recipients)
        except (ValueError, IndexError) as error:
            # The email package raises these for addresses it cannot parse.
            return Permanent(
                f"the mail cannot be written: {type(error).__name__}; check sender and recipients"
            )
        answer = await self.mail.send(message)
        if answer.sent:
            return Delivered()
        return Retry(answer.reason) if answer.retry else Permanent(answer.reason)
