"""uvicorn's HTTP protocol with two limits it lacks: time for the head of a request, and a bound on connections that
answers instead of hanging up."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
_SAID = b'{"error":"too many connections","hint":"try again in a second"}'
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_SAID), _SAID)
)


def protocol_for(connections: int, head_seconds: float = HEAD_SECONDS) -> type[asyncio.Protocol]:
    """The protocol class with these limits, for `uvicorn.Config(http=…)`."""

    class LimitedProtocol(HttpToolsProtocol):
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
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            super().connection_lost(exc)

    return LimitedProtocol
