"""A real Watchkeeper server in its own process, for tests that drive it from outside."""

import atexit
import contextlib
import fcntl
import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tests import forking
from tests.columns import empty_columns
from tests.waiting import HANG_SECONDS

# Below those that the system gives to connections: one of them would be taken between here and the start of a server, and while
# one that was killed is away. For the same reason each process of tests has a block of its own for as long as it lives.
_FIRST, _BLOCKS, _BLOCK = 10_000, 40, 500


@functools.cache
def _ports() -> tuple[Iterator[int], IO[str] | None]:
    """The ports of this process, again and again, and the locked file that says so; none where more processes run than blocks are."""
    own = os.getpid() % _BLOCKS
    for block in [(own + n) % _BLOCKS for n in range(_BLOCKS)]:
        start, held = _FIRST + block * _BLOCK, None
        try:
            held = (Path(tempfile.gettempdir()) / f"watchkeeper-tests-ports-{block}").open("a")
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return itertools.cycle(range(start, start + _BLOCK)), held
        except OSError:
            if held is not None:
                held.close()
    start = _FIRST + own * _BLOCK
    return itertools.cycle(range(start, start + _BLOCK)), None


def free_port() -> int:
    """A TCP port nobody listens on, and that nobody is given who does not ask for it."""
    for port in _ports()[0]:
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


class Server:
    """`watchkeeper serve` on a free port. `start` returns when it printed `ready`; `stop` asks it to drain.

    `headers` go with every call (`x-watchkeeper-project`, `authorization`). In a new directory it finds tables without rows, unless
    it is to make its `own_tables`. It is forked from a process that has done the imports, unless it is to start `afresh`.
    """

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        no_auth: bool = True,
        env: dict[str, str] | None = None,
        own_tables: bool = False,
        afresh: bool = False,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self._arguments = ["serve", "--data-dir", str(data_dir), "--port", str(self.port), *arguments]
        if "--grpc-port" not in arguments:
            self._arguments += ["--grpc-port", "0"]
        if no_auth:
            self._arguments.append("--no-auth")
        self._afresh = afresh or not forking.POSSIBLE or any(name.startswith("PYTHON") for name in env or {})
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._data_dir = data_dir
        self._own_tables = own_tables or "WATCHKEEPER_COLUMNS_URL" in self._env
        self.headers: dict[str, str] = {}
        self.process: subprocess.Popen[str] | forking.Forked | None = None
        self._drain: threading.Thread | None = None

    def start(self) -> "Server":
        if self.process is None:
            # A test that fails before it stops its server must not leave it behind.
            atexit.register(self._sweep)
            if not self._own_tables and not self._data_dir.exists():
                self._data_dir.mkdir(parents=True, mode=0o700)
                empty_columns(self._data_dir / "columns")
        if self._afresh:
            command = [sys.executable, "-m", "watchkeeper", *self._arguments]
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self._env
            )
        else:
            self.process = forking.Forked(self._arguments, self._env)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("ready "):
                break
        else:
            raise AssertionError("the server did not start:\n" + "\n".join(self.lines))
        # A pipe nobody reads would stop a server that has much to say.
        self._drain = threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True)
        self._drain.start()
        return self

    def _sweep(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    def _listen(self, output: IO[str]) -> None:
        self.lines.extend(line.rstrip() for line in output)

    def _ended(self, process: subprocess.Popen[str] | forking.Forked, seconds: float) -> int:
        status = process.wait(seconds)
        if self._drain is not None:
            self._drain.join(seconds)
        if process.stdout is not None:
            process.stdout.close()
        return status

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self._ended(self.process, 120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self._ended(self.process, 120)

    def kill(self) -> None:
        """SIGKILL: what a crash looks like from outside."""
        assert self.process is not None
        self.process.kill()
        self._ended(self.process, 120)

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, and body; HTTP errors are answers too."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **self.headers, **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a success."""
        status, _, answer = self.call(method, path, body)
        assert 200 <= status < 300, f"{method} {path}: {status} {answer[:500]!r}"
        return json.loads(answer) if answer else None

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query, as dictionaries."""
        answer = self.json("POST", "/api/sql", {"query": query})
        return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]

    def eventually(self, query: str, wanted: Any, seconds: float = HANG_SECONDS) -> list[dict[str, Any]]:
        """Ask until `wanted(rows)` holds and return the rows; the deadline only guards against a hang."""
        deadline = time.monotonic() + seconds
        while True:
            rows = self.sql(query)
            if wanted(rows):
                return rows
            assert time.monotonic() < deadline, f"still {rows[:5]} after {seconds:g} s: {query}"
            time.sleep(0.1)
