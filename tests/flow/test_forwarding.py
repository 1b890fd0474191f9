"""Forwarding to another backend that is down, overloaded, picky or slow, across kills: nothing is lost, nothing invented."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server, free_port
from tests.waiting import until
from watchkeeper.wire.otlp import decode

START = 1_795_238_000_000_000_000


class Receiver:
    """Another OTLP backend. `mode` decides how it answers; what it acknowledged is in `spans` and `events`."""

    def __init__(self, port: int) -> None:
        self.spans: Counter[str] = Counter()
        self.attributes: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.asked: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.mode = "ok"
        self.lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                receiver.keys.add(self.headers.get("x-api-key", ""))
                status, headers = receiver.take(self.path, body)
                self.send_response(status)
                for name, value in {
                    "content-type": "application/x-protobuf",
                    "content-length": "0",
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        ThreadingHTTPServer.daemon_threads = True
        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def take(self, path: str, body: bytes) -> tuple[int, dict[str, str]]:
        with self.lock:
            self.asked[self.mode] += 1
            if self.mode == "busy":
                return 503, {"retry-after": "1"}
            if self.mode == "slow":
                time.sleep(0.2)
            if path == "/v1/traces":
                made = decode("traces", body)
                if any(s.name.startswith("poison") for s in made.spans):
                    return 400, {}
                for span in made.spans:
                    self.spans[span.span_id] += 1
                    self.attributes[span.span_id] = span.attributes
            else:
                self.events += [(r.name, r.trace_id, r.attributes) for r in decode("logs", body).logs]
        return 200, {}

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def span(n: int, name: str = "step", **attributes: str) -> dict[str, Any]:
    return {
        "traceId": f"{n // 10 + 1:032x}", "spanId": f"{n + 1:016x}", "name": name,
        "startTimeUnixNano": str(START + n), "endTimeUnixNano": str(START + n + 1000),
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
    }  # fmt: skip


def send(server: Server, spans: list[dict[str, Any]]) -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    assert server.call("POST", "/v1/traces", body)[0] == 200


def way(server: Server, signal: str = "traces") -> dict[str, Any]:
    return next(w for w in server.json("GET", "/api/forwarding") if w["signal"] == signal)


def configured(folder: Path, port: int, signals: str = "[traces, scores]") -> Path:
    path = folder / "watchkeeper.yaml"
    path.write_text(
        f"egress: {{allow: ['127.0.0.1:{port}']}}\n"
        f"forward:\n  - name: other\n    endpoint: http://127.0.0.1:{port}\n    signals: {signals}\n"
        "    headers: {x-api-key: '${OTHER_KEY}'}\n"
    )
    return path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Server, int]]:
    port = free_port()
    config = configured(tmp_path, port)
    server = Server(tmp_path / "data", "--config", str(config), env={"OTHER_KEY": "secret-key"})
    yield server.start(), port
    if server.process is not None and server.process.poll() is None:
        server.stop()


def test_a_receiver_that_is_down_then_busy_then_slow_gets_everything_across_a_kill(
    world: tuple[Server, int],
) -> None:
    server, port = world
    send(server, [span(n, **{"gen_ai.prompt": "mail ann@example.com"}) for n in range(400)])
    until(lambda: way(server)["state"] == "waiting")
    assert way(server)["backlog"] == 400 and "connection refused" in way(server)["problem"]
    server.kill()
    server.start()
    send(server, [span(n) for n in range(400, 700)])
    receiver = Receiver(port)
    receiver.mode = "busy"
    until(lambda: receiver.asked["busy"] >= 2)
    assert not receiver.spans
    receiver.mode = "slow"
    until(lambda: len(receiver.spans) >= 300)
    server.kill()
    server.start()
    until(lambda: len(receiver.spans) == 700)
    # Sent again at most what one page held when the server died.
    assert sum(receiver.spans.values()) - 700 <= 300
    assert receiver.keys == {"secret-key"}
    assert "ann@example.com" not in str(receiver.attributes) and "EMAIL" in str(receiver.attributes)
    until(lambda: way(server)["backlog"] == 0)
    metrics = server.call("GET", "/metrics")[2].decode()
    assert 'watchkeeper_forward_backlog{signal="traces",target="other"} 0' in metrics
    receiver.close()


def test_a_record_that_is_refused_for_ever_is_counted_and_the_others_arrive(
    world: tuple[Server, int], tmp_path: Path
) -> None:
    server, port = world
    receiver = Receiver(port)
    send(server, [span(n, "poison" if n == 57 else "step") for n in range(100)])
    until(lambda: len(receiver.spans) == 99)
    until(lambda: way(server)["dead"] == 1)
    until(lambda: way(server)["backlog"] == 0)
    found = way(server)
    assert found["last_dead"][0]["span_id"] == f"{58:016x}" and "400" in found["last_dead"][0]["reason"]
    assert found["sent"] >= 99
    # What is erased is forgotten here too: told by nobody, in no state that is kept, and not after a restart either.
    told = found["last_dead"][0]["trace_id"]
    server.json("POST", "/api/erasures", {"trace_ids": [told], "confirm": True})
    assert way(server)["last_dead"] == [] and way(server)["dead"] == 1
    send(server, [span(n) for n in range(200, 205)])
    until(lambda: len(receiver.spans) == 104)
    server.stop()
    with sqlite3.connect(tmp_path / "data" / "records.db") as kept:
        (state,) = kept.execute(
            "select value from states where kind = 'forward' and key = 'other:traces'"
        ).fetchone()
    assert told not in state and '"dead"' in state
    server.start()
    assert way(server)["last_dead"] == []
    receiver.close()


def test_one_commit_larger_than_a_page_is_sent_to_its_end(world: tuple[Server, int]) -> None:
    server, port = world
    receiver = Receiver(port)
    send(server, [span(n) for n in range(500)])
    until(lambda: len(receiver.spans) == 500)
    until(lambda: way(server)["backlog"] == 0)
    receiver.close()


def test_scores_go_as_evaluation_events_once_each(world: tuple[Server, int]) -> None:
    server, port = world
    receiver = Receiver(port)
    send(server, [span(0)])
    for rating, comment in (("down", "wrong"), ("up", "right after all")):
        body = {"trace_id": f"{1:032x}", "rating": rating, "comment": comment}
        assert server.call("POST", "/api/feedback", body)[0] == 201
    until(lambda: any(v["gen_ai.evaluation.explanation"] == "right after all" for _, _, v in receiver.events))
    # Its window is read again, and what was sent is not sent again.
    time.sleep(4)
    name, trace_id, values = receiver.events[-1]
    assert (name, trace_id) == ("gen_ai.evaluation.result", f"{1:032x}")
    assert (values["gen_ai.evaluation.name"], values["gen_ai.evaluation.score.value"]) == ("thumbs", 1.0)
    assert values["watchkeeper.score.source"] == "user"
    assert len(receiver.events) == len({str(e) for e in receiver.events})
    receiver.close()


def test_only_what_belongs_to_traces_that_meet_the_condition_is_sent(tmp_path: Path) -> None:
    receiver = Receiver(port := free_port())
    config = configured(tmp_path, port, "[traces, scores, checks]")
    config.write_text(config.read_text() + "    where: user_id = 'vip'\n")
    with Server(tmp_path / "data", "--config", str(config), env={"OTHER_KEY": "k"}) as server:
        # Only the root says whose trace it is; the steps below belong to it all the same.
        for trace, user in ((1, "vip"), (2, "guest")):
            first, *rest = [span(trace * 10 + n) for n in range(4)]
            for step in (first, *rest):
                step["traceId"] = f"{trace:032x}"
            for step in rest:
                step["parentSpanId"] = first["spanId"]
            first["attributes"] = [{"key": "user.id", "value": {"stringValue": user}}]
            send(server, [*rest, first])
        until(lambda: len(receiver.spans) == 4)
        server.eventually("select 1 from traces", lambda rows: len(rows) == 2)
        for trace in (1, 2):
            assert (
                server.call("POST", "/api/feedback", {"trace_id": f"{trace:032x}", "rating": "up"})[0] == 201
            )
        until(lambda: any(v["gen_ai.evaluation.name"] == "thumbs" for _, _, v in receiver.events))
        late = span(15)
        late["traceId"], late["parentSpanId"] = f"{1:032x}", f"{11:016x}"
        send(server, [late])
        until(lambda: len(receiver.spans) == 5)
    assert {trace_id for _, trace_id, _ in receiver.events} == {f"{1:032x}"}
    assert set(receiver.spans) == {f"{10 + n + 1:016x}" for n in (0, 1, 2, 3, 5)}
    receiver.close()
