"""A loopback server that decodes what the SDK sends and can be told to misbehave."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


def plain(value: Any) -> Any:
    """An OTLP AnyValue as a Python value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: plain(pair.value) for pair in pairs}


@dataclass
class GotSpan:
    """One span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    status: int
    message: str
    duration_ns: int
    scope: str
    kind: int


@dataclass
class Script:
    """How the next requests are answered. ``statuses`` are used up first, then ``status``."""

    status: int = 200
    statuses: list[int] = field(default_factory=list)
    delay: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    hang: threading.Event | None = None
    guard: Any = None
    rejected: int = 0
    limit: int = 1 << 30
    poison: str = ""


class Receiver:
    """``url`` to send to; ``spans``, ``posts`` and ``resources`` hold what was accepted."""

    def __init__(self, port: int = 0) -> None:
        self.script = Script()
        self.spans: list[GotSpan] = []
        self.resources: list[dict[str, Any]] = []
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.requests = 0
        self.lock = threading.RLock()
        self.arrived = threading.Condition(self.lock)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.handle(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that went away is part of the tests

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        if self.script.hang is not None:
            self.script.hang.set()
        self.server.shutdown()
        self.server.server_close()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        script = self.script
        with self.lock:
            self.requests += 1
            status = script.statuses.pop(0) if script.statuses else script.status
        if script.hang is not None:
            script.hang.wait(30)
        time.sleep(script.delay)
        encoding = request.headers.get("Content-Encoding")
        data = gzip.decompress(body) if encoding == "gzip" else body
        if status == 200 and len(data) > script.limit:
            status = 413
        if status == 200 and script.poison and script.poison.encode() in data:
            status = 500
        answer = b""
        if status == 200:
            answer = self.accept(request, data)
        request.send_response(status)
        for key, value in script.headers.items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def accept(self, request: BaseHTTPRequestHandler, data: bytes) -> bytes:
        answer = b""
        with self.arrived:
            self.headers.append({k.lower(): v for k, v in request.headers.items()})
            self.raw.append(data)
            if request.path == "/api/guard":
                answer = json.dumps(
                    self.script.guard or {"verdict": "pass", "reasons": [], "skipped": []}
                ).encode()
                self.posts.append((request.path, json.loads(data)))
            elif request.path.startswith("/api/"):
                self.posts.append((request.path, json.loads(data)))
            else:
                self._traces(data)
                if self.script.rejected:
                    partial = ExportTraceServiceResponse()
                    partial.partial_success.rejected_spans = self.script.rejected
                    partial.partial_success.error_message = "too old"
                    answer = partial.SerializeToString()
            self.arrived.notify_all()
        return answer

    def _traces(self, data: bytes) -> None:
        for group in ExportTraceServiceRequest.FromString(data).resource_spans:
            self.resources.append(attributes(group.resource.attributes))
            for scoped in group.scope_spans:
                for span in scoped.spans:
                    self.spans.append(
                        GotSpan(
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            attributes(span.attributes),
                            [(e.name, attributes(e.attributes)) for e in span.events],
                            span.status.code,
                            span.status.message,
                            span.end_time_unix_nano - span.start_time_unix_nano,
                            scoped.scope.name,
                            span.kind,
                        )
                    )

    def wait(self, condition: Any, timeout: float = 120.0) -> bool:
        """Until ``condition()`` holds; False when it does not within ``timeout`` seconds."""
        until = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > until:
                return False
            with self.arrived:
                self.arrived.wait(0.02)
        return True

    def span(self, name: str) -> GotSpan:
        """The one span of this name."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{len(found)} spans named {name!r} among {[s.name for s in self.spans]}"
        return found[0]

    @property
    def dropped(self) -> int:
        """The largest drop count any request told."""
        return max((r.get("watchkeeper.dropped_spans", 0) for r in self.resources), default=0)


def black_hole() -> Iterator[int]:
    """A port that accepts connections (in its backlog) and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield int(listener.getsockname()[1])
