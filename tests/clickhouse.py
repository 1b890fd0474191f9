"""A ClickHouse server for tests: the one that WATCHKEEPER_TEST_CLICKHOUSE names (an empty database), or the double on a free port."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.clickhouse_double import DATABASE, PASSWORD, USER
from tests.serving import free_port

VARIABLE = "WATCHKEEPER_TEST_CLICKHOUSE"


class Double:
    """The double in a process of its own, because the engine is one a process; `start` and `kill` may alternate."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.tls = bool(arguments)
        self.folder = folder
        self.log = folder.parent / f"{folder.name}.log"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, *, user: str = USER, password: str = PASSWORD, database: str = DATABASE) -> str:
        """Its address, as a user writes it."""
        scheme = "clickhouses" if self.tls else "clickhouse"
        return f"{scheme}://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> "Double":
        """Start it; returns when it answers."""
        command = [sys.executable, "-m", "tests.clickhouse_double", str(self.folder), str(self.port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([*command, *self._arguments], stdout=log, stderr=log)
        while b"ready" not in self.log.read_bytes():
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def serving(folder: Path) -> Generator[str]:
    """The address of a server with an empty database."""
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    made = Double(folder).start()
    try:
        yield made.url()
    finally:
        made.kill()


@pytest.fixture(scope="module", params=["embedded", "server"])
def columns_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Where the columns of a module's tests are: in the process, and behind a server's interface."""
    folder = tmp_path_factory.mktemp("columns")
    if request.param == "embedded":
        yield f"chdb://{folder / 'data'}"
    else:
        with serving(folder / "server") as url:
            yield url
