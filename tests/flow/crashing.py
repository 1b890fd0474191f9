"""Writers that keep a ledger of what was acknowledged, and views of what is stored: the parts of the kill tests.

Rule of the ledger: an item is acknowledged only after the whole 2xx answer, and then written down with fsync.
"""

import gzip
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.flow.sending import Connection, call, hex_id, request, span
from tests.serving import Server

Ids = tuple[str, str]
GRPC_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Ledger:
    """Acknowledged items, one a line, each on the disk before it counts."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._lock = threading.Lock()
        self.items: list[Any] = []

    def add(self, items: Iterable[Any]) -> None:
        with self._lock:
            for item in items:
                self.items.append(item)
                self._file.write(json.dumps(item) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def batch(writer: str, number: int, traces: int = 4) -> list[dict[str, Any]]:
    """A writer's batch: traces of a model call with two children, ids made of its name and number."""
    made: list[dict[str, Any]] = []
    for i in range(traces):
        trace_id, root = hex_id(writer, number, i), hex_id(writer, number, i, digits=16)
        name = f"{writer}/{number}/{i}"
        made.append(
            call(trace_id, root, f"question {name}?", f"answer to {name}", watchkeeper__scenario=writer)
        )
        for step in ("search", "fetch"):
            child = hex_id(writer, number, i, step, digits=16)
            made.append(span(trace_id, child, step, parent=root, gen_ai__operation__name="execute_tool",
                             gen_ai__tool__name=step, gen_ai__tool__call__result="found"))  # fmt: skip
    return made


def ids_of(spans: list[dict[str, Any]]) -> list[Ids]:
    return [(s["traceId"], s["spanId"]) for s in spans]


def as_protobuf(spans: list[dict[str, Any]]) -> bytes:
    """The spans as a protobuf request; only what this module makes."""
    made = ExportTraceServiceRequest()
    into = made.resource_spans.add().scope_spans.add().spans
    for s in spans:
        one = into.add(
            trace_id=bytes.fromhex(s["traceId"]),
            span_id=bytes.fromhex(s["spanId"]),
            parent_span_id=bytes.fromhex(s.get("parentSpanId", "")),
            name=s["name"],
            kind=1,
            start_time_unix_nano=int(s["startTimeUnixNano"]),
            end_time_unix_nano=int(s["endTimeUnixNano"]),
        )
        for a in s["attributes"]:
            value = a["value"]
            item = one.attributes.add(key=a["key"])
            if "intValue" in value:
                item.value.int_value = int(value["intValue"])
            else:
                item.value.string_value = value["stringValue"]
    return made.SerializeToString()


class Writers:
    """Threads that send batch after batch, each until it is acknowledged, through kills and restarts."""

    def __init__(
        self, port: int, grpc_port: int, folder: Path, seed: int, pause_s: float = 0.02, traces: int = 4
    ) -> None:
        self.port, self.grpc_port, self.seed, self._pause = port, grpc_port, seed, pause_s
        self._traces = traces
        self.spans = Ledger(folder / "spans.ledger")
        self.people = Ledger(folder / "people.ledger")
        self.sent: set[Ids] = set()
        self.refused: Counter[int] = Counter()
        self.unanswered = 0
        self._stop, self._going = threading.Event(), threading.Event()
        self._going.set()
        self._broken: list[BaseException] = []
        works = (
            (self._write, f"json{seed}", self._json),
            (self._write, f"proto{seed}", self._protobuf),
            (self._write, f"grpc{seed}", self._grpc),
            (self._people,),
        )
        self._threads = [threading.Thread(target=self._run, args=work, daemon=True) for work in works]
        self._local = threading.local()

    def start(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    @contextmanager
    def resting(self) -> Generator[None]:
        """No writer begins anything new meanwhile."""
        self._going.clear()
        try:
            yield
        finally:
            self._going.set()

    def finish(self) -> None:
        """Let every writer get its last batch acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join(300)
            assert not thread.is_alive(), "a writer could not get its last batch acknowledged"
        self.spans.close()
        self.people.close()
        assert not self._broken, self._broken

    def _connection(self) -> Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = Connection(self.port)
        return self._local.connection

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            # A writer that ended would leave its way of sending untried.
            self._broken.append(error)
            raise

    def _write(self, name: str, send: Callable[[list[dict[str, Any]]], bool]) -> None:
        number = 0
        while not self._stop.is_set():
            self._going.wait()
            made = batch(name, number, self._traces)
            self.sent.update(ids_of(made))
            while not send(made):
                time.sleep(0.05)
            self.spans.add(ids_of(made))
            number += 1
            time.sleep(self._pause)

    def _posted(self, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> Any:
        try:
            status, _, answer = self._connection().post(path, body, content_type, **headers)
        except (OSError, http.client.HTTPException):
            self.unanswered += 1
            return None
        if 200 <= status < 300:
            return json.loads(answer) if content_type == "application/json" else True
        self.refused[status] += 1
        return None

    def _json(self, spans: list[dict[str, Any]]) -> bool:
        return self._posted("/v1/traces", request(spans)) is not None

    def _protobuf(self, spans: list[dict[str, Any]]) -> bool:
        body = gzip.compress(as_protobuf(spans), 1)
        return bool(self._posted("/v1/traces", body, "application/x-protobuf", content_encoding="gzip"))

    def _grpc(self, spans: list[dict[str, Any]]) -> bool:
        if not hasattr(self._local, "channel"):
            options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)]
            self._local.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options=options)
        try:
            self._local.channel.unary_unary(GRPC_METHOD)(as_protobuf(spans), timeout=10)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                self.unanswered += 1
            else:
                self.refused[-1] += 1
            return False
        return True

    def _people(self) -> None:
        """Users and reviewers: feedback and a label on traces that were acknowledged."""
        number = 0
        while not self._stop.is_set():
            self._going.wait()
            if number >= len(self.spans.items):
                time.sleep(0.05)
                continue
            trace_id, _ = self.spans.items[number]
            said = {"trace_id": trace_id, "rating": "down", "comment": f"number {number}"}
            item = self._until("/api/feedback", said) and self._until(
                "/api/reviews", {"trace_id": trace_id, "reason": f"number {number}"}
            )
            if item:
                label = self._until(
                    f"/api/reviews/{item['id']}/label", {"verdict": "bad", "comment": trace_id}
                )
                if label:
                    self.people.add([(trace_id, item["id"], label["id"])])
            number += 12
            time.sleep(0.05)

    def _until(self, path: str, body: dict[str, Any]) -> Any:
        while not self._stop.is_set():
            answer = self._posted(path, json.dumps(body).encode())
            if answer is not None:
                return answer
            time.sleep(0.05)
        return None


class EagerProxy:
    """The control of tests that look for what was acknowledged: answers 200 at once and forwards half a second later."""

    def __init__(self, target: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                threading.Timer(0.5, self._forward, (self.path, body)).start()
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def _forward(self, path: str, body: bytes) -> None:
                connection = Connection(target)
                try:
                    connection.post(path, body)
                except OSError:
                    pass
                finally:
                    connection.close()

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def compare(acknowledged: Iterable[Ids], stored: Iterable[Ids]) -> tuple[set[Ids], list[Ids]]:
    """What was acknowledged and is not stored, and what is stored more than once."""
    counted = Counter(stored)
    return set(acknowledged) - counted.keys(), [key for key, n in counted.items() if n > 1]


def in_sql(server: Server) -> list[Ids]:
    """Every span SQL shows, page by page of trace ids, because answers are limited."""
    found: list[Ids] = []
    count = server.sql("select count() as n from spans")[0]["n"]
    digits = 0 if count < 5_000 else 1 if count < 100_000 else 2
    for page in range(16**digits):
        prefix = f"{page:0{digits}x}" if digits else ""
        query = f"select trace_id, span_id from spans where startsWith(trace_id, '{prefix}')"
        rows = server.json("POST", "/api/sql", {"query": query})
        assert not rows["truncated"], "too many spans for this reader"
        found += [(row[0], row[1]) for row in rows["rows"]]
    return found


def missing_words(server: Server, people: Iterable[tuple[str, str, str]]) -> list[str]:
    """Of feedback and labels (trace, review, label) that were acknowledged, those that are not there, or not once."""
    rows = server.sql("select trace_id, count() as n from scores where scorer = 'thumbs' group by trace_id")
    given = {r["trace_id"]: r["n"] for r in rows}
    missing: list[str] = []
    for trace_id, item_id, label_id in people:
        if given.get(trace_id) != 1:
            missing.append(f"feedback on {trace_id}: {given.get(trace_id, 0)} times")
        status, _, body = server.call("GET", f"/api/reviews/{item_id}")
        assert status in (200, 404), (status, body)
        item = json.loads(body) if status == 200 else {"trace_id": "", "status": "", "labels": []}
        known = [found["id"] for found in item["labels"]]
        if (item["trace_id"], item["status"]) != (trace_id, "done") or label_id not in known:
            missing.append(f"label {label_id} of {item_id}")
    return missing


OFFLINE = """
import json, sys, clickhouse_connect
client = clickhouse_connect.get_client(dsn=sys.argv[1])
for table in ("spans", "content"):
    rows = client.query(f"select trace_id, span_id from {table} final").result_rows
    print(json.dumps([[str(v) for v in row] for row in rows]))
"""


def offline(data_dir: Path) -> tuple[list[Ids], list[Ids]]:
    """What the files of a stopped server hold, read without any code of ours: columns and content."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, f"chdb://{data_dir}/columns"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    columns, content = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    return [(a, b) for a, b in columns], [(a, b) for a, b in content]


def ledger_of(server: Server) -> dict[tuple[str, str], dict[str, float]]:
    """What the server counted, by project and signal: received, and what became of it."""
    _, _, body = server.call("GET", "/metrics")
    count: dict[tuple[str, str], dict[str, float]] = {}
    for line in body.decode().splitlines():
        if line.startswith("watchkeeper_ingest_") and "_total{" in line:
            name, _, rest = line.partition("{")
            labels, _, value = rest.rpartition("} ")
            known = dict(pair.split("=", 1) for pair in labels.replace('"', "").split(","))
            what = known.get("outcome", name.removeprefix("watchkeeper_ingest_").removesuffix("_total"))
            cell = count.setdefault((known["project"], known["signal"]), {})
            cell[what] = cell.get(what, 0) + float(value)
    return count


def unbalanced(count: dict[tuple[str, str], dict[str, float]]) -> dict[tuple[str, str], dict[str, float]]:
    """Where received is not stored + deduplicated + refused + dropped: a server at rest has no such place."""
    outcomes = ("stored", "deduplicated", "refused", "dropped")
    return {k: c for k, c in count.items() if c.get("received", 0) != sum(c.get(o, 0) for o in outcomes)}
