"""A provider that is down in every way while judgements are due, and kills meanwhile (S1, S2): users notice nothing, and afterwards
every judgement is there exactly once.

`WATCHKEEPER_CHAOS=full` makes it 5,000 judgements and 50 kills.
"""

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import FULL, new_seed, progress, sized
from tests.flow.sending import Connection, call, hex_id, request
from tests.serving import Server

DUE, KILLS = sized(60, 5000), sized(1, 50)
OUTAGES, USELESS = ("refuse", "500", "429", "429 wait", "hang", "drip", "cut"), ("broken", "no form")
CONCURRENCY = 64
CONFIG = """
egress: {{allow: ["127.0.0.1:{port}"]}}
providers:
  - {{name: local, protocol: openai, base_url: "http://127.0.0.1:{port}/v1", timeout: 1s}}
scorecards:
  - name: judged
    sample: {{rate: 100%}}
    metrics:
      - {{name: helpful, type: llm_judge, model: "local:llama-3-8b", prompt: "Does the answer help?", floor: 5}}
"""


class Provider:
    """An OpenAI-compatible provider with a mode; `answered` counts the whole good answers for each question."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.answered: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                mode = outer.mode
                outer.asked[mode] += 1
                said = json.dumps(body["messages"])
                name = said.split("question ")[1].split("?")[0]
                grade = {"reasoning": "Read and graded.", "scores": {"helpful": 9}}
                text = json.dumps(grade) if mode != "no form" else "ten out of ten, trust me"
                good = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                        "model": "llama-3-8b", "usage": {"prompt_tokens": 9, "completion_tokens": 9}}  # fmt: skip
                if mode == "refuse":
                    self.end()
                    return
                if mode == "hang":
                    time.sleep(1.3)
                    self.end()
                    return
                status = int(mode[:3]) if mode[:3] in ("500", "429") else 200
                wait = {"retry-after": "1"} if mode == "429 wait" else {}
                self.answer(
                    status, json.dumps(good).encode() if mode != "broken" else b'{"choices": [', wait, mode
                )
                if mode == "ok":
                    outer.answered[name] += 1

            def answer(self, status: int, data: bytes, headers: dict[str, str], mode: str) -> None:
                self.send_response(status)
                for name, value in {**headers, "content-type": "application/json"}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                if mode == "drip":
                    for byte in data[:6]:
                        self.wfile.write(bytes([byte]))
                        time.sleep(0.25)
                self.wfile.write(data[: len(data) // 2] if mode in ("cut", "drip") else data)
                if mode in ("cut", "drip"):
                    self.end()

            def end(self) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True  # the server was killed while it listened

            def log_message(self, format: str, *args: Any) -> None:
                """Tests read the counts."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


def queued(server: Server) -> dict[str, float]:
    """How many jobs are in each state, and how old the oldest is, all of one moment."""
    lines = server.call("GET", "/metrics")[2].decode().splitlines()
    found = {x.split('"')[1]: float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith("watchkeeper_jobs{")}
    age = next(x for x in lines if x.startswith("watchkeeper_jobs_oldest_due_seconds"))
    return {**found, "age": float(age.rsplit(" ", 1)[1])}


def test_a_provider_that_is_down_and_kills_leave_every_judgement_once(
    provider: Provider, tmp_path: Path
) -> None:
    seed = new_seed()
    print(f"S1 seed {seed}")
    dice = random.Random(seed)
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(CONFIG.format(port=provider.port))
    server = Server(tmp_path / "data", "--config", str(config)).start()
    modes = [*OUTAGES, *USELESS] if FULL else [*dice.sample(OUTAGES, 2), dice.choice(USELESS)]
    provider.mode = modes[0]
    names = [f"d{i}" for i in range(DUE)]
    connection = Connection(server.port)
    for at in range(0, DUE, 40):
        made = [
            call(hex_id(n), hex_id(n, digits=16), f"question {n}?", f"answer {n}")
            for n in names[at : at + 40]
        ]
        # Whoever sends notices nothing of the provider.
        assert connection.post("/v1/traces", request(made))[0] == 200
    server.eventually("select count() as n from traces", lambda r: r[0]["n"] == DUE, 900)
    judged = "select count() as n, uniqExact(trace_id) as t from scores where source = 'judge'"
    for mode in modes:
        provider.mode = mode
        # It is asked seldom while it is down.
        deadline = time.monotonic() + 600  # a guard against a hang
        while not provider.asked[mode]:
            assert time.monotonic() < deadline, (mode, provider.asked)
            time.sleep(0.05)
        assert connection.post("/v1/traces", request(made))[0] == 200
    connection.close()
    seen = queued(server)
    assert seen["waiting"] + seen["running"] == DUE and seen["dead"] == 0 and seen["age"] >= 0, seen
    assert server.sql(judged) == [{"n": 0, "t": 0}]
    provider.mode = "ok"
    for number in range(KILLS):
        time.sleep(dice.uniform(0.1, 1.5))
        server.kill()
        server.start()
        progress("S2 kills", number + 1, KILLS)
    # What got a reply of no use waits longest, and asks for a person's patience or a command; the test has neither.
    rows = server.eventually(judged, lambda r: r[0]["t"] >= DUE, 3600)
    assert rows == [{"n": DUE, "t": DUE}]
    assert queued(server)["dead"] == 0
    paid = sum(provider.answered.values())
    assert set(provider.answered) == set(names) and paid <= DUE + KILLS * CONCURRENCY
    assert server.stop() == 0
    print(f"S1, S2: {DUE} judgements, {KILLS} kills, {paid} paid calls; asked while {dict(provider.asked)}")
