"""More than the server can take (O1, O2, O3): refused politely and cheaply, in bounded memory, at the expense of whoever sends too
much; nothing that was acknowledged is lost.

`WATCHKEEPER_CHAOS=full` makes it 60 seconds on 64 connections and 100 bombs at once.
"""

import gzip
import http.client
import json
import statistics
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import FULL, SHARE, sized
from tests.flow import malformed
from tests.flow.crashing import compare, in_sql, ledger_of, unbalanced
from tests.flow.sending import Connection, call, hex_id, request
from tests.serving import Server

SECONDS, CONNECTIONS, SPANS, BOMBS = (
    (max(2.0, 60.0 * SHARE), 64, 40, sized(12, 100)) if FULL else (2.0, 24, 40, 12)
)
MB = 1 << 20
# What came of it while the machine was busy with twenty other things, and traces therefore waited longest, and a third more.
# A minute of it leaves texts of 100 kB for the engine to merge, which takes as much again for some seconds.
MOST = 1400 if FULL else 800
# Bodies of 4 MB: what two dozen connections send at once is more than is taken in at once.
TEXT = "answer " * 14_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running


def memory(server: Server) -> dict[str, int]:
    """Resident bytes of the server, now and at most."""
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return {x.split(":")[0]: int(x.split()[1]) * 1024 for x in lines if x.startswith(("VmRSS", "VmHWM"))}


class Load:
    """Connections that send without a pause; what was answered, and what was acknowledged."""

    def __init__(self, server: Server, together: threading.Barrier) -> None:
        self.server, self.together = server, together
        self.statuses: Counter[int] = Counter()
        self.waits: list[str] = []
        self.refused_s: list[float] = []
        self.acknowledged: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    def run(self, name: str, project: str, spans: int, pause_s: float = 0.0) -> None:
        connection = Connection(self.server.port)
        text = TEXT if spans > 1 else "answer"
        made = [call(hex_id(name, i), hex_id(name, i, digits=16), "question?", text) for i in range(spans)]
        body = request(made)
        # The client shares the machine with the server: it sends the same again, so that sending costs it little.
        self.together.wait()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                status, headers, _ = connection.post("/v1/traces", body, x_watchkeeper_project=project)
            except (OSError, http.client.HTTPException):
                # Refused before the body was read: the answer may be gone with the connection.
                status, headers = -1, {}
            took = time.monotonic() - began
            with self.lock:
                self.statuses[status] += 1
                if status == 200 and project == "default":
                    self.acknowledged += [(s["traceId"], s["spanId"]) for s in made]
                elif status in (429, 503):
                    self.waits.append(headers.get("retry-after", ""))
                    self.refused_s.append(took)
            time.sleep(pause_s)
        connection.close()


def test_many_times_too_much_is_refused_politely_in_bounded_memory_and_nothing_is_lost(
    server: Server,
) -> None:
    together = threading.Barrier(CONNECTIONS + 1)
    load, quiet = Load(server, together), Load(server, together)
    threads = [
        threading.Thread(target=load.run, args=(f"loud{n}", "default", SPANS)) for n in range(CONNECTIONS)
    ]
    threads.append(threading.Thread(target=quiet.run, args=("quiet", "quiet", 1, 0.05)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(load.statuses) <= {200, 429, 503, -1}, load.statuses
    assert all(w.isdigit() and 1 <= int(w) <= 5 for w in load.waits), Counter(load.waits)
    assert load.waits, "nothing was refused: the test would mean nothing"
    # Who sends little is not refused for those who send much.
    assert set(quiet.statuses) == {200}, quiet.statuses
    lost, doubled = compare(load.acknowledged, in_sql(server))
    assert not lost and not doubled
    traces = len({t for t, _ in load.acknowledged})
    server.eventually("select count() as n from traces", lambda r: r[0]["n"] == traces, 300)
    assert not unbalanced(ledger_of(server))
    most = memory(server)["VmHWM"]
    p99 = statistics.quantiles(load.refused_s, n=100)[98] if len(load.refused_s) > 1 else 0.0
    print(
        f"O1: {dict(load.statuses)}, quiet {dict(quiet.statuses)}; refusals p99 {p99 * 1e3:.0f} ms; at most {most / MB:.0f} MB"
    )
    assert most <= MOST * MB
    assert (
        server.call("POST", "/v1/traces", raw=request([call(hex_id("a"), hex_id("a", digits=16), "q", "a")]))[
            0
        ]
        == 200
    )


# Bodies at the limit of size that are nothing but small parts: what is refused before it is built, and what is built because it is not much.
SWELLING = malformed.swelling()
SENT = list(SWELLING) if FULL else ["empty spans", "values", "empty objects in JSON", "texts in JSON"]
SWELLS_BY = 500


def test_a_body_of_nothing_but_small_parts_takes_bounded_memory(server: Server) -> None:
    assert server.process is not None
    connection, good = Connection(server.port), request([call(hex_id("s"), hex_id("s", digits=16), "q", "a")])
    assert connection.post("/v1/traces", good)[0] == 200
    answers, most = Counter[int](), (0, "")
    for kind in SENT:
        media, body = SWELLING[kind]()
        # The system then notes the most from here on.
        Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
        before = memory(server)["VmRSS"]
        answers[connection.post("/v1/traces", body, media)[0]] += 1
        most = max(most, (memory(server)["VmHWM"] - before, kind))
        assert connection.post("/v1/traces", good)[0] in (200, 503)
    print(
        f"O3: {len(SENT)} bodies of small parts: {dict(answers)}, at most {most[0] / MB:.0f} MB more ({most[1]})"
    )
    assert set(answers) == {200, 413}
    assert most[0] <= SWELLS_BY * MB
    connection.close()


def bombs() -> list[tuple[str, bytes]]:
    """A megabyte and less that would be a hundred."""
    plain = b'{"resourceSpans": [' + b" " * (96 * MB)
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    found = [
        ("gzip", gzip.compress(plain)),
        ("deflate", zlib.compress(plain, 9)),
        ("deflate", raw.compress(plain) + raw.flush()),
    ]
    try:
        import zstandard
    except ImportError:
        return found
    return [*found, ("zstd", zstandard.compress(plain))]


def test_bombs_at_once_cost_little_and_nobody_else_waits(server: Server) -> None:
    assert (
        server.call("POST", "/v1/traces", raw=request([call(hex_id("b"), hex_id("b", digits=16), "q", "a")]))[
            0
        ]
        == 200
    )
    before = memory(server)["VmHWM"]
    kinds = bombs()
    statuses: Counter[int] = Counter()

    def throw(number: int) -> None:
        encoding, body = kinds[number % len(kinds)]
        # Every other one does not say how long it is.
        sent = body if number % 2 else (body[i : i + 10_000] for i in range(0, len(body), 10_000))
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        headers = {"content-type": "application/json", "content-encoding": encoding}
        connection.request("POST", "/v1/traces", sent, headers, encode_chunked=True)
        statuses[connection.getresponse().status] += 1
        connection.close()

    threads = [threading.Thread(target=throw, args=(n,)) for n in range(BOMBS)]
    for thread in threads:
        thread.start()
    assert json.loads(server.call("GET", "/healthz")[2]) == {"status": "ok"}
    for thread in threads:
        thread.join()
    grown = memory(server)["VmHWM"] - before
    print(f"O3: {BOMBS} bombs: {dict(statuses)}, {grown / MB:.0f} MB more")
    # A body in flight may be refused for the room it would take, before it is looked at.
    assert set(statuses) <= {413, 503} and statuses[413] and statuses.total() == BOMBS, statuses
    assert grown <= 64 * MB * min(BOMBS, 4)
    assert (
        server.call("POST", "/v1/traces", raw=request([call(hex_id("c"), hex_id("c", digits=16), "q", "a")]))[
            0
        ]
        == 200
    )
