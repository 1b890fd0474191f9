"""Doubles for tests of channels and of whatever uses them; shipped, so users can test their routes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage

from watchkeeper.model.alert import Notification
from watchkeeper.notify.channel import Delivered, Outcome


@dataclass
class FakeReply:
    """An answer as a script gives it."""

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    reason: str = ""
    refused: bool = False


@dataclass
class FakeHttp:
    """Answers from `script`, the last one for ever, and keeps every request as (method, url, headers, body)."""

    script: list[FakeReply] = field(default_factory=lambda: [FakeReply()])
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(
        default_factory=list[tuple[str, str, dict[str, str], bytes]]
    )

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> FakeReply:
        """The next scripted answer."""
        self.requests.append((method, url, dict(headers or {}), body or b""))
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@dataclass
class FakeMailReply:
    """What a fake mail server says."""

    sent: bool = True
    reason: str = ""
    retry: bool = False


@dataclass
class FakeMail:
    """Keeps what is mailed and answers `reply`."""

    reply: FakeMailReply = field(default_factory=FakeMailReply)
    messages: list[EmailMessage] = field(default_factory=list[EmailMessage])

    async def send(self, message: EmailMessage) -> FakeMailReply:
        """Keep the message."""
        self.messages.append(message)
        return self.reply


@dataclass
class RecordingChannel:
    """A channel that keeps what it is given; `script` holds the outcomes to give first, then Delivered."""

    script: list[Outcome] = field(default_factory=list[Outcome])
    sent: list[Notification] = field(default_factory=list[Notification])
    attempts: list[Notification] = field(default_factory=list[Notification])

    async def send(self, notification: Notification) -> Outcome:
        """Keep the notification; it counts as sent when the scripted outcome is Delivered."""
        self.attempts.append(notification)
        outcome = self.script.pop(0) if self.script else Delivered()
        if isinstance(outcome, Delivered):
            self.sent.append(notification)
        return outcome
