"""One POST over one kept-alive connection, with nothing but the standard library."""

import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAX_ANSWER: Final = 64 * 1024
_MOST_PRELIMINARY: Final = 20
#: Worth another try. 500 is not in the OTLP list, but a server that is restarting answers it.
_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Reply:
    """What came of one POST. ``status`` 0: no answer, and ``problem`` says why, or where the server has moved."""

    status: int
    body: bytes = b""
    retry_after: float | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        """The server has it."""
        return 200 <= self.status < 300

    @property
    def retryable(self) -> bool:
        """The same request may succeed later."""
        return self.status == 0 or self.status in _RETRYABLE


class Poster:
    """Posts to one URL's host. Used by one thread; never raises, every failure is a :class:`Reply`."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], timeout: float, certificate: str | None
    ) -> None:
        self._url: SplitResult = urlsplit(base_url)
        self._headers = dict(headers)
        self._timeout = timeout
        self._certificate = certificate
        self._connection: http.client.HTTPConnection | None = None
        self._pid = os.getpid()
        self._until = 0.0

    def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout: float | None = None) -> Reply:
        """POST ``body`` to ``path`` below the base URL; ``timeout`` seconds bounds connecting, sending and the whole answer, each."""
        limit = self._timeout if timeout is None else min(timeout, self._timeout)
        for fresh in (False, True):
            reused = self._connection is not None and not fresh
            try:
                return self._post(path, body, headers, limit)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                # A kept-alive connection the server closed meanwhile says nothing about the server.
                stale = isinstance(error, (ConnectionError, http.client.RemoteDisconnected))
                if not (reused and stale):
                    return Reply(0, problem=_one_line(f"{type(error).__name__}: {error}"))
        return Reply(0, problem="connection closed")

    def _post(self, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        if self._pid != os.getpid():
            self.close()
            self._pid = os.getpid()
        connection = self._connection or self._connect(timeout)
        connection.timeout = timeout
        self._until = time.monotonic() + 2 * timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        target, extra = self._target(path)
        connection.request("POST", target, body, {**self._headers, **extra, **headers})
        self._connection = connection
        self._until = time.monotonic() + timeout
        answer = connection.getresponse()
        content = b""
        while len(content) < _MAX_ANSWER and (chunk := answer.read1(_MAX_ANSWER)):
            content += chunk
        answer.close()
        if answer.will_close or len(content) >= _MAX_ANSWER:
            self.close()
        kind = (answer.getheader("Content-Type") or "").lower()
        if answer.status < 300 and kind.startswith("text/html") and content.lstrip().startswith(b"<"):
            # Whoever answers a POST of telemetry with a page has not taken it: a login in front of the server, another service.
            return Reply(
                0, problem=f"a web page answers there with {answer.status}, no receiver of telemetry"
            )
        moved = answer.getheader("Location") if 300 <= answer.status < 400 else None
        problem = f"the server is at {moved[:200]!r}; name that address" if moved else ""
        return Reply(answer.status, content, _retry_after(answer.getheader("Retry-After")), problem)

    def _answer(self, sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        # Also the answer of a proxy to CONNECT, which comes while connecting.
        return _Answer(cast("socket.socket", _Until(sock, lambda: self._until)), *args, **kwargs)

    def _target(self, path: str) -> tuple[str, dict[str, str]]:
        target = self._url.path.rstrip("/") + path
        if self._url.scheme == "http" and self._proxy() is not None:
            return f"http://{self._url.netloc}{target}", {}
        return target, {}

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        host, secure = self._url.hostname or "", self._url.scheme == "https"
        port = self._url.port or (443 if secure else 80)
        proxy = self._proxy()
        first, first_port = (proxy.hostname or "", proxy.port or 80) if proxy else (host, port)
        if not secure:
            connection = _Connection(first, first_port, timeout=timeout)
            connection.response_class = cast("type[http.client.HTTPResponse]", self._answer)
            return connection
        context = ssl.create_default_context(cafile=self._certificate)
        connection = http.client.HTTPSConnection(first, first_port, timeout=timeout, context=context)
        connection.response_class = cast("type[http.client.HTTPResponse]", self._answer)
        if proxy is not None:
            connection.set_tunnel(host, port)
        return connection

    def _proxy(self) -> SplitResult | None:
        host = self._url.hostname or ""
        found = getproxies().get(self._url.scheme)
        return urlsplit(found) if found and not proxy_bypass(host) else None

    def close(self) -> None:
        """Forget the connection; the next post opens one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Connection(http.client.HTTPConnection):
    """Sends head and body without waiting for each other's acknowledgement (Nagle costs 40 ms on small posts)."""

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Until:
    """A socket as an answer is read from it: all of it must have come by ``until()``, on the monotonic clock. The socket's own
    timeout bounds each wait alone, and an answer that comes byte by byte would be waited for without end."""

    def __init__(self, sock: socket.socket, until: Callable[[], float]) -> None:
        self._sock, self._until = sock, until

    def makefile(self, mode: str) -> io.BufferedReader:
        """What `HTTPResponse` reads from."""
        return io.BufferedReader(_Bytes(self._sock, self._until))


class _Bytes(io.RawIOBase):
    def __init__(self, sock: socket.socket, until: Callable[[], float]) -> None:
        super().__init__()
        self._sock, self._until = sock, until
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        rest = self._until() - time.monotonic()
        if rest <= 0:
            raise TimeoutError("the answer came too slowly")
        self._sock.settimeout(rest)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer behind any preliminary ones (103 Early Hints of a proxy): the standard library passes over 100 alone."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MOST_PRELIMINARY):
            version, status, reason = super()._read_status()  # type: ignore[misc]  # pyright: ignore
            if not 100 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("nothing but preliminary answers")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:300]


def _retry_after(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
