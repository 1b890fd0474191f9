"""A disk that fails (D4): when the n-th sync or write of a commit ends with EIO or ENOSPC, the request is refused and nothing that
was acknowledged is lost. Needs strace and the right to attach it.

`WATCHKEEPER_CHAOS=full` makes it 80 failures: the n-th sync from 1 to 40, of each kind.
"""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.chaos import progress, sized
from tests.flow.crashing import batch, compare, ids_of, in_sql, ledger_of, offline, unbalanced
from tests.flow.sending import Connection, request
from tests.serving import Server

FAILURES = sized(4, 80)
CASES = [("fdatasync,fsync", "EIO"), ("fdatasync,fsync", "ENOSPC")]


@contextlib.contextmanager
def failing(process: int, calls: str, error: str, nth: int) -> Generator[None]:
    """From the `nth` of these calls on, each fails, in every thread of the process."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-p", str(process), "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={nth}+",
         "-o", "/dev/null"], stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while "TracerPid:\t0" in Path(f"/proc/{process}/status").read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            tracer.kill()
            pytest.skip("strace cannot attach here")
        time.sleep(0.05)
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait(20)
        assert tracer.stderr is not None
        tracer.stderr.close()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_request_whose_sync_failed_is_never_acknowledged_and_nothing_else_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server(data).start()
    assert server.process is not None
    connection = Connection(server.port)
    acknowledged: list[tuple[str, str]] = []
    statuses: list[int] = []

    def send(number: int) -> int:
        made = batch("disk", number)
        status, headers, body = connection.post("/v1/traces", request(made))
        if status == 200:
            acknowledged.extend(ids_of(made))
        else:
            assert status == 503 and 1 <= int(headers["retry-after"]) <= 5, (status, body)
        return status

    assert send(0) == 200
    for number in range(FAILURES):
        calls, error = CASES[number % len(CASES)]
        with failing(server.process.pid, calls, error, number // len(CASES) + 1):
            statuses.append(send(2 * number + 1))
        deadline = time.monotonic() + 30
        while send(2 * number + 1) != 200:
            assert time.monotonic() < deadline, "it takes writes again when the disk does"
            time.sleep(0.2)
        assert send(2 * number + 2) == 200
        progress("D4 failures", number + 1, FAILURES, f"{statuses.count(503)} refused requests")
    assert not unbalanced(ledger_of(server))
    assert 503 in statuses, "no failure reached a commit: the test would mean nothing"
    lost, doubled = compare(acknowledged, in_sql(server))
    assert not lost and not doubled
    server.kill()
    for view in offline(data):
        assert not compare(acknowledged, view)[0]
    server.start()
    lost, doubled = compare(acknowledged, in_sql(server))
    assert not lost and not doubled
    connection.close()
    assert server.stop() == 0
    print(
        f"D4: {FAILURES} failures, {statuses.count(503)} refused requests, {len(acknowledged)} spans acknowledged"
    )
