"""uvicorn's HTTP protocol with what it lacks: time for the head of a request and a bound on its size, a bound on connections
that answers instead of hanging up, one on requests sent ahead, and answers that arrive although the request was refused before
it was read."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from watchkeeper.server.answers import error_json
from watchkeeper.server.routing import HttpError

HEAD_SECONDS = 10.0
LINGER_SECONDS = 2.0
# Bytes that may come before a head is whole, or after one without anything of a body: header fields, an address, trailers.
MOST_FIELDS = 256 * 1024
# Requests on one connection that wait for the answer to one before; clients that send ahead send dozens.
MOST_AHEAD = 1000


class Lingering:
    """A request's transport whose `close` first lets the client finish sending, for at most `LINGER_SECONDS`.

    Closing a socket with bytes unread resets the connection, and the client loses the answer: it would take a 413 for
    a network fault and send the same again.
    """

    def __init__(self, transport: Any, cycle: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._cycle, self._loop = transport, cycle, loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close now when everything was read, else when the rest has come or the time is over."""
        if not self._cycle.more_body:
            self._transport.close()
            return
        self._cycle.flow.resume_reading()
        self._loop.call_later(LINGER_SECONDS, self._transport.close)


def _bytes_of(response: Response, more: list[tuple[bytes, bytes]]) -> bytes:
    pairs = b"".join(b"%s: %s\r\n" % pair for pair in [*more, *response.raw_headers])
    return STATUS_LINE[response.status_code] + pairs + b"\r\n" + bytes(response.body)


_LAST = [(b"connection", b"close")]
BUSY = _bytes_of(
    error_json(HttpError(503, "too many connections", "try again in a second", {"retry-after": "1"})), _LAST
)
UNREADABLE = _bytes_of(
    error_json(
        HttpError(
            400,
            "this is not an HTTP request that can be read",
            "send HTTP/1.1 in plain text (TLS ends at a proxy), with one Content-Length or chunked, and an address below 64 KiB",
        )
    ),
    _LAST,
)
TOO_LONG = _bytes_of(
    error_json(HttpError(431, "the head of the request is too long", f"send less than {MOST_FIELDS} bytes")),
    _LAST,
)
Refuse = Callable[[bytes, list[tuple[bytes, bytes]]], Response | None]


class _Answered:
    """A request that was answered from its head: what uvicorn asks of one whose body it lets pass."""

    response_complete, keep_alive, disconnected = True, True, False

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


class _Bounded(HttpToolsProtocol):
    """A connection that keeps a bounded part of what was sent and cannot be worked on yet."""

    _fields = 0

    def data_received(self, data: bytes) -> None:
        self._fields += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._fields > MOST_FIELDS:
            if self.is_quiet():
                self.transport.write(TOO_LONG)
            self.transport.close()
        elif len(self.pipeline) > MOST_AHEAD:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whoever says that all was sent may still wait for the answer: of what was sent whole. A page that is left says no more."""
        if self.is_quiet() or self.cycle.more_body or self.scope["method"] != "POST":
            return False
        self.cycle.keep_alive = False
        return True

    def on_headers_complete(self) -> None:
        self._fields = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._fields = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._fields = 0
        super().on_message_complete()

    def is_quiet(self) -> bool:
        """Whether no answer is under way: answers keep the order of their requests."""
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]


def protocol_for(
    connections: int, head_seconds: float = HEAD_SECONDS, refuse: Refuse = lambda _url, _headers: None
) -> type[asyncio.Protocol]:
    """The protocol class with these limits, for `uvicorn.Config(http=…)`. `refuse(url, headers)` of a POST may answer it before
    a task is made for it and anything of its body is kept; the connection can be used again."""

    class LimitedProtocol(_Bounded):
        """One connection."""

        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > connections:
                transport.write(BUSY)
                transport.close()
                return
            self._await_head()

        def _await_head(self) -> None:
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(head_seconds, self._head_is_late)

        def _head_is_late(self) -> None:
            self._head_timer = None
            if not self.transport.is_closing():
                self.transport.close()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._await_head()

        def on_headers_complete(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            if self._may_be_refused() and (response := refuse(self.url, self.headers)) is not None:
                self.cycle = _Answered()  # type: ignore[assignment]
                self.transport.write(_bytes_of(response, self.server_state.default_headers))
                self.on_response_complete()
                return
            super().on_headers_complete()
            # Connections that are kept read the rest anyway; only those about to be closed need the patience.
            if not self.cycle.keep_alive:
                self.cycle.transport = Lingering(self.transport, self.cycle, self.loop)  # type: ignore[assignment]

        def send_400_response(self, msg: str) -> None:
            self.transport.write(UNREADABLE)
            self.transport.close()

        def _may_be_refused(self) -> bool:
            # Whoever waits for "100 Continue" would not send the body that the parser waits for; whoever does not read answers
            # waits for them as for any other.
            parser = self.parser
            return (
                parser is not None
                and parser.get_method() == b"POST"
                and parser.get_http_version() == "1.1"
                and parser.should_keep_alive()
                and not self.expect_100_continue
                and not self.flow.write_paused
                and self.is_quiet()
            )

        def on_message_complete(self) -> None:
            super().on_message_complete()
            if self.cycle.response_complete and not self.cycle.keep_alive:
                self.transport.close()
            elif self.cycle.response_complete and self.timeout_keep_alive_task is None:
                # What came after an early answer took the timer away that the answer had set.
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

        def connection_lost(self, exc: Exception | None) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            super().connection_lost(exc)

    return LimitedProtocol
