"""What every channel is: one method, three answers. And what a channel needs of the outside: a way to send."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from types import MappingProxyType
from typing import Any, Protocol

from watchkeeper.model.alert import Notification
from watchkeeper.model.times import wished_s


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took it."""

    receipt: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """It did not arrive and may later; `after_s` is how long the receiver asked us to wait, if it did."""

    reason: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Permanent:
    """It will never arrive as it is: a wrong address, a revoked key, a message the receiver refuses."""

    reason: str


Outcome = Delivered | Retry | Permanent


class Channel(Protocol):
    """Sends one notification. It must not raise for anything the network or the receiver does, may be called
    again with the same notification after a crash, and must carry `dedup_key` so the receiver can tell."""

    async def send(self, notification: Notification) -> Outcome: ...


class Reply(Protocol):
    """What came of a request; see `egress.http.Answer`."""

    @property
    def status(self) -> int | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def reason(self) -> str: ...
    @property
    def refused(self) -> bool: ...


class Http(Protocol):
    """The egress module, as channels see it."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply: ...


class MailReply(Protocol):
    """What came of a mail; see `egress.smtp.MailAnswer`."""

    @property
    def sent(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def retry(self) -> bool: ...


class Mail(Protocol):
    """A mail server, as channels see it."""

    async def send(self, message: EmailMessage) -> MailReply: ...


# 4xx answers that speak of now rather than of the request. 409 is a conflict with a concurrent send of ours.
_LATER = frozenset({408, 409, 421, 423, 425, 429})


def outcome_of(reply: Reply) -> Outcome:
    """2xx: delivered. Refused by policy, 3xx and other 4xx: permanent. No answer, 5xx and "later" codes: retry.

    The receiver's body is never quoted: it may hold anything.
    """
    status = reply.status
    if status is None:
        return Permanent(reply.reason) if reply.refused else Retry(reply.reason)
    if 200 <= status < 300:
        return Delivered(reply.headers.get("X-Request-Id", "")[:100])
    if status >= 500 or status in _LATER:
        return Retry(f"the receiver answered {status}", wished_s(reply.headers.items()))
    moved = " (redirects are not followed; use the final address)" if 300 <= status < 400 else ""
    return Permanent(f"the receiver answered {status}{moved}")


def body_of(document: Any) -> bytes:
    """Compact JSON that is safe in any text context: non-ASCII escaped, no NaN."""
    return json.dumps(
        document, ensure_ascii=True, separators=(",", ":"), allow_nan=False, default=str
    ).encode()


JSON_HEADERS = {"Content-Type": "application/json", "User-Agent": "watchkeeper"}


async def post_json(
    http: Http, url: str, document: Any, headers: Mapping[str, str] = MappingProxyType({})
) -> Outcome:
    """One POST of a JSON document, and what came of it."""
    reply = await http.request("POST", url, headers={**JSON_HEADERS, **headers}, body=body_of(document))
    return outcome_of(reply)


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, the cut marked."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def is_web(link: Any) -> bool:
    """Whether a button may lead there: an http(s) address."""
    return isinstance(link, str) and link.startswith(("https://", "http://"))


def web_address(given: Any) -> str:
    """A link of ours that can be put into another's markup: http(s) and nothing that ends the markup; "" otherwise."""
    text = given if isinstance(given, str) else ""
    good = text.startswith(("https://", "http://")) and not any(c in text for c in "<>|\"'() \r\n")
    return text if good else ""


def worst_lines(payload: Mapping[str, Any], most: int = 3) -> list[str]:
    """The worst traces of a message, a line each: id, value, the beginning of the output."""
    rows = [row for alert in payload.get("alerts", []) for row in alert.get("worst", [])][:most]
    return [
        clip(
            one_line(
                f"{r.get('trace_id', '')}  {r.get('shown', r.get('value', ''))}  {r.get('output_text') or ''}"
            ),
            200,
        )
        for r in rows
    ]


def one_line(text: str) -> str:
    """Text without line breaks or control characters, for subjects, headers and log lines."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
