"""A server that answers as told, and a place where no other is named."""

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.server.security import MARK


class Fake:
    """A server that answers as told and remembers what it was asked. With `ours` it says that it is Watchkeeper."""

    def __init__(self) -> None:
        self.ours = True
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                fake.asked.append(
                    (self.command, self.path, body, {k.lower(): v for k, v in self.headers.items()})
                )
                status, headers, content = fake.answers.pop(0) if fake.answers else (200, {}, b"{}")
                self.send_response(status)
                said = {"content-length": str(len(content)), **({MARK: "1"} if fake.ours else {}), **headers}
                for name, value in said.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def json(self, status: int, body: Any) -> None:
        self.answers.append((status, {"content-type": "application/json"}, json.dumps(body).encode()))


@pytest.fixture
def fake() -> Generator[Fake]:
    made = Fake()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "WATCHKEEPER_ENDPOINT",
        "WATCHKEEPER_API_KEY",
        "WATCHKEEPER_PROJECT",
        "WATCHKEEPER_DATA_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
