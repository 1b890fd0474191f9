"""kill -9 under concurrent writers, a disk that fills up, restarts: what was acknowledged is there, once.

`WATCHKEEPER_CHAOS=full` makes it 200 kills and 200,000 acknowledged spans, and 20 fillings of a disk.
"""

import errno
import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos import FULL, new_seed, progress, sized
from tests.flow.crashing import (
    EagerProxy,
    Writers,
    as_protobuf,
    batch,
    compare,
    ids_of,
    in_sql,
    ledger_of,
    missing_words,
    offline,
    unbalanced,
)
from tests.flow.sending import Connection, hex_id, request
from tests.serving import Server, free_port

KILLS = sized(8, 200)
# Traces of a batch, and how many spans are to be acknowledged before the count.
TRACES, SPANS = (60, 1_000 * KILLS) if FULL else (4, 20 * KILLS)
READY_SECONDS = 300.0  # A guard against a hang; what a restart takes is printed.
# How often the disk fills up.
FILLS = sized(2, 20)
MB = 1024 * 1024


def chaos(folder: Path, kills: int) -> tuple[Server, Writers, list[float]]:
    """Writers against a server that is killed at random moments; it runs again when this returns."""
    seed = new_seed()
    chance, grpc_port = random.Random(seed), free_port()
    server = Server(folder / "data", "--grpc-port", str(grpc_port)).start()
    writers = Writers(server.port, grpc_port, folder, seed, traces=TRACES).start()
    restarts: list[float] = []
    for number in range(kills):
        time.sleep(chance.uniform(0.05, 1.2))
        server.kill()
        began = time.monotonic()
        server.start()
        restarts.append(time.monotonic() - began)
        progress("D1 kills", number + 1, kills, f"{len(writers.spans.items)} spans acknowledged, seed {seed}")
    many, since = -1, time.monotonic()
    # On a busy machine it takes long; that nothing comes any more would be a fault.
    while len(writers.spans.items) < SPANS and time.monotonic() < since + 120:
        if len(writers.spans.items) > many:
            many, since = len(writers.spans.items), time.monotonic()
        time.sleep(1)
    writers.finish()
    print(
        f"\nD1 seed {seed}: {kills} kills, {len(writers.spans.items)} spans and {len(writers.people.items)} labels"
        f" acknowledged, {writers.unanswered} requests unanswered, refused {dict(writers.refused)},"
        f" restart {sum(restarts) / len(restarts):.1f} s on average, {max(restarts):.1f} s at most"
    )
    return server, writers, restarts


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_doubled_by_kills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        server, writers, restarts = chaos(tmp_path, KILLS)
    try:
        assert max(restarts) < READY_SECONDS
        assert not [s for s in writers.refused if s < 500 and s != 429], writers.refused
        assert len(writers.spans.items) >= SPANS
        acknowledged = [(t, s) for t, s in writers.spans.items]
        stored = in_sql(server)
        lost, doubled = compare(acknowledged, stored)
        assert not lost and not doubled, (len(lost), len(doubled))
        assert set(stored) <= writers.sent, "a span that nobody sent"
        _every_trace_is_assembled(server, acknowledged)
        _the_api_agrees(server, acknowledged)
        assert writers.people.items and not missing_words(server, writers.people.items)
        assert not unbalanced(ledger_of(server))
    finally:
        assert server.stop() == 0
    for view in offline(tmp_path / "data"):
        lost, doubled = compare(acknowledged, view)
        assert not lost and not doubled, (len(lost), len(doubled))
    # The control: a view that lacks one span, and one that shows a span twice, are found out.
    assert compare(acknowledged, stored[1:]) == ({stored[0]} & set(acknowledged), [])
    assert compare(acknowledged, [*stored, stored[0]])[1] == [stored[0]]


def _every_trace_is_assembled(server: Server, acknowledged: list[tuple[str, str]]) -> None:
    traces = {t for t, _ in acknowledged}
    server.eventually(
        "select count() as n, sum(spans) as spans, countIf(input_length is null) as unscored from traces",
        lambda r: r[0]["n"] >= len(traces) and r[0]["spans"] >= len(acknowledged) and r[0]["unscored"] == 0,
        900,
    )
    (row,) = server.sql("select count() as n, uniqExact(trace_id) as ids, max(spans) as most from traces")
    assert row["n"] == row["ids"] and row["most"] == 3


def _the_api_agrees(server: Server, acknowledged: list[tuple[str, str]]) -> None:
    by_trace: dict[str, set[str]] = {}
    for trace_id, span_id in acknowledged:
        by_trace.setdefault(trace_id, set()).add(span_id)
    for trace_id in random.Random(0).sample(sorted(by_trace), min(60, len(by_trace))):
        shown = [s["span_id"] for s in server.json("GET", f"/api/traces/{trace_id}")["spans"]]
        assert sorted(shown) == sorted(by_trace[trace_id])


APPLICATION = """
import json, sys, time
from watchkeeper import current_trace_id, feedback, flush, init, span, trace
from watchkeeper.sdk import stats

# Room for all of it: on a busy machine the server is away for most of the time.
init(endpoint=sys.argv[1], flush_interval=0.1, max_queue_spans=20_000, max_queue_bytes=64_000_000)

@trace(scenario="sdk")
def answer(question):
    with span("search", kind="tool") as step:
        step.tool(arguments={"q": question}, result="found")
    return current_trace_id()

made = []
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    made.append(answer(f"question {len(made)}"))
    if len(made) % 10 == 0:
        feedback(made[-1], rating="up")
    time.sleep(0.02)
# `flush` is one attempt and comes back when the server is away. The time for it begins after the last kill: on a busy machine
# the kills alone take longer.
sys.stdin.readline()
until = time.monotonic() + 900
while not flush(5):
    assert time.monotonic() < until, stats()
    time.sleep(0.2)
print(json.dumps({"traces": made, "stats": stats()}))
"""


@pytest.mark.slow
def test_an_application_with_our_sdk_loses_nothing_while_the_server_is_killed(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    command = [sys.executable, "-c", APPLICATION, server.url, str(sized(8, 60))]
    pipe = subprocess.PIPE
    application = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    kills = sized(3, 20)
    for number in range(kills):
        time.sleep(1.0)
        server.kill()
        server.start()
        progress("K2 kills", number + 1, kills)
    output, said = application.communicate("the last kill is over\n", timeout=1800)
    assert application.returncode == 0, said
    told = json.loads(output)
    traces, stats = told["traces"], told["stats"]
    assert not stats["dropped_spans"] and stats["sent_spans"] == 2 * len(traces), stats
    try:
        rows = server.sql(
            "select trace_id, count() as n, uniqExact(span_id) as ids from spans group by trace_id"
        )
        assert {r["trace_id"]: (r["n"], r["ids"]) for r in rows} == dict.fromkeys(traces, (2, 2))
        (row,) = server.sql(
            "select count() as n, uniqExact(trace_id) as ids from scores where scorer = 'thumbs'"
        )
        assert row == {"n": len(traces) // 10, "ids": len(traces) // 10}
    finally:
        assert server.stop() == 0


def test_the_kill_test_goes_red_when_answers_come_before_the_disk(tmp_path: Path) -> None:
    """Without this, "0 lost" could mean that nothing was looked at."""
    server = Server(tmp_path / "data").start()
    proxy = EagerProxy(server.port)
    connection = Connection(proxy.port)
    acknowledged = []
    for number in range(10):
        made = batch("eager", number)
        assert connection.post("/v1/traces", request(made))[0] == 200
        acknowledged += ids_of(made)
    server.kill()
    connection.close()
    time.sleep(1.0)
    proxy.close()
    with server:
        lost, _ = compare(acknowledged, in_sql(server))
    assert lost


def test_the_same_batch_again_in_any_way_stays_one_copy_across_a_restart(tmp_path: Path) -> None:
    made = batch("again", 0, traces=20)
    data = tmp_path / "data"

    def everything(server: Server) -> None:
        def send(part: list[dict[str, object]], media: str = "application/json", **headers: str) -> None:
            body = request(part) if media == "application/json" else as_protobuf(part)
            packed = gzip.compress(body) if headers else body
            connection = Connection(server.port)
            assert connection.post("/v1/traces", packed, media, **headers)[0] == 200
            connection.close()

        with ThreadPoolExecutor(8) as senders:
            sent = [
                senders.submit(send, made),
                senders.submit(send, made[::-1], content_encoding="gzip"),
                *(senders.submit(send, made[at : at + 7]) for at in range(0, len(made), 7)),
                senders.submit(send, [*made, *made]),
                senders.submit(send, made, "application/x-protobuf"),
            ]
        for one in sent:
            one.result()

    for _ in range(2):
        with Server(data) as server:
            everything(server)
            lost, doubled = compare(ids_of(made), in_sql(server))
            assert not lost and not doubled
            rows = server.eventually(
                "select count() as n, sum(spans) as spans, sum(output_tokens) as tokens from traces",
                lambda r: r[0]["n"] == 20 and r[0]["spans"] == 60,
            )
            assert rows == [{"n": 20, "spans": 60, "tokens": 20 * 12}]
            assert not unbalanced(ledger_of(server))
        # The second start is after a clean stop; a kill is the other tests' matter.


def test_traces_that_a_kill_left_unassembled_get_their_rows(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    connection = Connection(server.port)
    made = batch("open", 0, traces=25)
    assert connection.post("/v1/traces", request(made))[0] == 200
    server.kill()
    connection.close()
    with server:
        rows = server.eventually(
            "select count() as n, sum(spans) as spans, countIf(input_length is null) as unscored from traces",
            lambda r: r[0]["n"] == 25,
        )
        assert rows == [{"n": 25, "spans": 75, "unscored": 0}]


def test_a_killed_server_leaves_no_lock_and_says_who_holds_one(tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    server.kill()
    with server:
        assert server.call("GET", "/healthz")[0] == 200
        other = Server(tmp_path / "data")
        with pytest.raises(AssertionError, match=rf"in use by process {server.process.pid}"):  # type: ignore[union-attr]
            other.start()
    assert server.process is not None and server.process.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 340 MB, of which the server keeps a quarter free."""
    where = tmp_path / "disk"
    where.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=340M", "tmpfs", str(where)], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {made.stderr.strip()}")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def fill(where: Path, leave: int) -> Path:
    """A file that leaves about `leave` bytes free."""
    filler = where / "filler"
    disk = os.statvfs(where)
    size = disk.f_bavail * disk.f_frsize - leave
    try:
        with filler.open("wb") as file:
            for _ in range(size // MB):
                file.write(b"\0" * MB)
    except OSError as error:
        # The server wrote meanwhile: the disk was full a little earlier, which is what was asked for.
        if error.errno != errno.ENOSPC or leave:
            raise
    return filler


def test_a_full_disk_refuses_writes_politely_and_recovers_by_itself(small_disk: Path) -> None:
    data = small_disk / "data"
    server = Server(data).start()
    connection = Connection(server.port)
    acknowledged = []

    def send(number: int) -> tuple[int, dict[str, str]]:
        made = batch("disk", number)
        status, headers, _ = connection.post("/v1/traces", request(made))
        if status == 200:
            acknowledged.extend(ids_of(made))
        return status, headers

    def reads_work() -> None:
        lost, doubled = compare(acknowledged, in_sql(server))
        assert not lost and not doubled
        assert server.call("GET", f"/api/traces/{hex_id('disk', 0, 0)}")[0] == 200
        for page in ("/", "/traces", "/healthz", "/metrics"):
            assert server.call("GET", page)[0] == 200, page

    def until(wanted: int, number: int) -> dict[str, str]:
        deadline = time.monotonic() + 120  # a guard against a hang
        while True:
            status, headers = send(number)
            if status == wanted:
                return headers
            assert status in (200, 503) and time.monotonic() < deadline, status
            time.sleep(0.2)

    try:
        for number in range(5):
            assert send(number)[0] == 200
        reads_work()
        for number in range(FILLS):
            # Below the reserve: refused before anything is read, with room left for deleting. And not a byte left, as another
            # program may leave it.
            filler = fill(small_disk, 50 * MB if number % 2 == 0 else 0)
            assert 1 <= int(until(503, 10 + number)["retry-after"]) <= 5
            reads_work()
            if number == 0:
                erased = [hex_id("disk", 4, i) for i in range(4)]
                body = {"trace_ids": erased, "confirm": True}
                assert server.json("POST", "/api/erasures", body)["traces"] == 4
                acknowledged = [(t, s) for t, s in acknowledged if t not in erased]
                reads_work()
            filler.unlink()
            until(200, 100 + number)
            progress("D5 fillings", number + 1, FILLS, f"{len(acknowledged)} spans acknowledged")
        # A killed server starts on the full disk, reads, refuses, and takes up again.
        filler = fill(small_disk, 0)
        server.kill()
        connection.close()
        server.start()
        reads_work()
        assert until(503, 8)
        filler.unlink()
        until(200, 9)
        reads_work()
        assert not unbalanced(ledger_of(server))
        traces = {t for t, _ in acknowledged}
        server.eventually("select count() as n from traces", lambda r: r[0]["n"] == len(traces))
    finally:
        connection.close()
        if server.process is not None and server.process.poll() is None:
            assert server.stop() == 0
    assert json.dumps(server.lines).count("Traceback") == 0, "\n".join(server.lines[-80:])
