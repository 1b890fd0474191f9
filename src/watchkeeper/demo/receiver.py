"""The demo's on-call phone: a local HTTP receiver that checks the signature of every webhook it gets."""

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Listens on a free loopback port. `messages` holds every body whose signature was right; `refused` counts others."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.messages: list[dict[str, Any]] = []
        self.refused = 0
        self._arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                ok = outer.verify(
                    self.headers.get("x-watchkeeper-timestamp", ""),
                    body,
                    self.headers.get("x-watchkeeper-signature", ""),
                )
                with outer._arrived:
                    if ok:
                        outer.messages.append(json.loads(body))
                    else:
                        outer.refused += 1
                    outer._arrived.notify_all()
                self.send_response(204 if ok else 401)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """The demo narrates; the receiver is quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="demo-receiver", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/on-call"

    def verify(self, timestamp: str, body: bytes, signature: str) -> bool:
        """Whether `signature` is the HMAC-SHA256 of `timestamp.body` under the shared secret."""
        wanted = hmac.new(self.secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(f"v1={wanted}", signature)

    def wait_for(self, count: int, seconds: float) -> bool:
        """Wait until `count` messages arrived; False when time ran out."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.messages) >= count, timeout=seconds)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
