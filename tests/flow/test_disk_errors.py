"""A disk that fails (D4): a request of which any sync ended with EIO or ENOSPC is refused, and nothing that was acknowledged is lost.
Needs strace and the right to attach it.

`WATCHKEEPER_CHAOS=full` makes it 80 failures: from the n-th sync of every thread on, n from 1 to 40, each failing in two ways.
"""

import contextlib
import itertools
import re
import shutil
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.chaos import progress, sized
from tests.flow.crashing import EagerProxy, batch, compare, ids_of, in_sql, ledger_of, offline, unbalanced
from tests.flow.sending import Connection, request
from tests.serving import Server

FAILURES = sized(4, 80)
ERRORS = ("EIO", "ENOSPC")
# A request syncs some fifty files on a dozen threads: so many requests bring every n about.
MOST = 100
# What an acknowledgement promises is in these tables; others are made from them.
TABLES = ("spans", "content")

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


class Failing:
    """Which syncs have failed, from the tracer's own log."""

    def __init__(self, data: Path, log: Path) -> None:
        self._log, self._seen = log, 0
        definitions = {p.stem: p.read_text() for p in (data / "columns" / "store").glob("*/*/*.sql")}
        ids = [re.search(r"UUID '([-0-9a-f]+)'", definitions[table]) for table in TABLES]
        self._folders = [i[1] for i in ids if i]
        assert len(self._folders) == len(TABLES)

    def taken(self) -> list[str]:
        """Files of a part being written of spans or content whose sync has failed since this was last asked."""
        lines = self._log.read_text().splitlines()
        new, self._seen = lines[self._seen :], len(lines)
        failed = [x for x in new if "(INJECTED)" in x and "/tmp_insert_" in x]
        return [x for x in failed if any(folder in x for folder in self._folders)]


@contextlib.contextmanager
def failing(server: Server, data: Path, error: str, nth: int) -> Generator[Failing]:
    """From its `nth` sync on, each thread's syncs fail."""
    assert server.process is not None
    process, log = server.process.pid, data.parent / "syncs"
    calls = "fdatasync,fsync"
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-y", "-p", str(process), "-e", f"trace={calls}",
         "-e", f"inject={calls}:error={error}:when={nth}+", "-o", str(log)], stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while "TracerPid:\t0" in Path(f"/proc/{process}/status").read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            tracer.kill()
            pytest.skip("strace cannot attach here")
        time.sleep(0.05)
    try:
        yield Failing(data, log)
    finally:
        tracer.terminate()
        tracer.wait(60)
        assert tracer.stderr is not None
        tracer.stderr.close()


def test_a_request_whose_sync_failed_is_never_acknowledged_and_nothing_else_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server(data).start()
    connection, numbers = Connection(server.port), itertools.count()
    acknowledged: list[tuple[str, str]] = []
    refused = syncs = 0

    def send(number: int) -> int:
        made = batch("disk", number)
        status, headers, body = connection.post("/v1/traces", request(made))
        if status == 200:
            acknowledged.extend(ids_of(made))
        else:
            assert status == 503 and 1 <= int(headers["retry-after"]) <= 5, (status, body)
        return status

    assert send(next(numbers)) == 200
    for failure in range(FAILURES):
        error, nth = ERRORS[failure % 2], failure // 2 + 1
        with failing(server, data, error, nth) as broken:
            for number in itertools.islice(numbers, MOST):
                status, files = send(number), broken.taken()
                assert not (status == 200 and files), (error, nth, files)
                if status == 503:
                    refused, syncs = refused + 1, syncs + len(files)
                    break
            else:
                pytest.fail(f"no failure reached a commit: {error} from sync {nth} on means nothing")
        deadline = time.monotonic() + 120  # a guard against a hang
        while send(number) != 200:
            assert time.monotonic() < deadline, "it takes writes again when the disk does"
            time.sleep(0.2)
        assert send(next(numbers)) == 200
        progress("D4 failures", failure + 1, FAILURES, f"{refused} refused requests")
    assert not unbalanced(ledger_of(server))
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
        f"D4: {FAILURES} failures, {syncs} syncs of {refused} refused requests, {len(acknowledged)} spans acknowledged"
    )
    assert syncs >= FAILURES, "what was refused was refused for its sync"


def test_the_control_an_answer_before_the_sync_is_found_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Server(data) as server:
        proxy = EagerProxy(server.port)
        connection = Connection(proxy.port)
        with failing(server, data, "EIO", 1) as broken:
            assert connection.post("/v1/traces", request(batch("eager", 0)))[0] == 200
            deadline = time.monotonic() + 60
            while not (files := broken.taken()):
                assert time.monotonic() < deadline, "the failure was not seen"
                time.sleep(0.1)
        connection.close()
        proxy.close()
        print(f"D4 control: {len(files)} syncs failed of a request that was acknowledged")
