"""Malformed and hostile input (O4): named, refused alone, never a fault, at nobody else's expense.

`WATCHKEEPER_CHAOS=full` makes it 100,000 damaged bodies in the decoder, 2,000 files and 5,000 damaged ones over a server, and
bounds the answers' times.
"""

import gzip
import json
import math
import os
import random
import socket
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.chaos import FULL, new_seed, progress, sized
from tests.flow import malformed
from tests.flow.crashing import GRPC_METHOD, in_sql, ledger_of, unbalanced
from tests.flow.malformed import JSON, PROTOBUF, Case
from tests.flow.sending import Connection, hex_id
from tests.serving import Server, free_port
from watchkeeper import wire
from watchkeeper.wire import protobuf

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODIES, FILES, SENT = sized(2_000, 100_000), sized(180, 2_000), sized(100, 5_000)
SECONDS = 2.0
GOOD = malformed.traces_json(malformed.span_json(hex_id("wire"), hex_id("wire", digits=16)))
SERVICES = {"traces": "trace.v1.Trace", "logs": "logs.v1.Logs", "metrics": "metrics.v1.Metrics"}
# What a gRPC code is called in HTTP.
CODES: dict[Any, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 413,
    grpc.StatusCode.UNAVAILABLE: 503,
}
MB = 1 << 20
Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def seed() -> int:
    return new_seed()


def decoded(case: Case) -> wire.Decoded | wire.WireError:
    """What the decoder makes of a body; anything but a typed error is a fault, and so is a record it loses."""
    try:
        read = wire.decode(case.signal, case.body, case.media, now_ns=malformed.START)
    except wire.WireError as error:
        assert str(error)
        return error
    assert (
        read.received
        == len(read.spans) + len(read.logs) + len(read.rejected) + len(read.metrics) + read.ignored
    )
    assert all(r.where and r.reason for r in read.rejected)
    return read


def test_it_survives_damaged_bodies_of_every_class(seed: int) -> None:
    chance, seen = random.Random(seed), Counter[str]()
    for number in range(BODIES):
        made = malformed.case(number, seed)
        # Every other one is a file of another seed as it is: damage mostly ends what it is done to early.
        body = malformed.damaged(made.body, chance) if number % 2 and len(made.body) < 20_000 else made.body
        read = decoded(Case(made.kind, made.signal, made.media, body, -1))
        progress("O4 bodies in the decoder", number + 1, BODIES, f"seed {seed}")
        seen["refused" if isinstance(read, wire.WireError) else "rejected" if read.rejected else "taken"] += 1
    print(f"\nO4 decoder: {BODIES} damaged bodies, {dict(seen)}, no fault; seed {seed}")
    assert len(seen) == 3


def test_the_control_a_decoder_that_lets_an_error_through_is_found_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Never(Exception):
        """Not what the parser raises."""

    monkeypatch.setattr(protobuf, "DecodeError", Never)
    with pytest.raises(Exception, match="parsing"):
        for number in range(len(malformed.PB_SPANS) + len(malformed.JSON_SPANS)):
            decoded(malformed.case(number, seed))


class Client:
    """Sends a body in one of the ways clients do; what came back, in one shape."""

    def __init__(self, server: Server, grpc_port: int) -> None:
        self._http = Connection(server.port)
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        self.ways: Counter[str] = Counter()
        self.ordinary = 0.0

    def in_time(self, seconds: float) -> bool:
        """Whether an answer came within the mark, or, on a machine that is busy, within twice the slowest ordinary one."""
        return not FULL or seconds <= max(SECONDS, 2 * self.ordinary)

    def timed(self, ask: Callable[[], Answer]) -> tuple[Answer, float]:
        """The answer, and the seconds it took: where that is too long, the least of some more. A body that takes long takes as
        long again, and a machine that was busy with something else does not."""
        answers, took = list[Answer](), math.inf
        while True:
            began = time.monotonic()
            answers.append(ask())
            took = min(took, time.monotonic() - began)
            if self.in_time(took) or len(answers) == 9:
                return answers[0], took

    def pace(self) -> None:
        """Send what nobody could object to, and see how long that takes now."""
        began = time.monotonic()
        assert self._http.post("/v1/traces", GOOD, JSON)[0] == 200
        self.ordinary = max(self.ordinary, time.monotonic() - began)

    def close(self) -> None:
        self._http.close()
        self._channel.close()

    @staticmethod
    def way(case: Case, chance: random.Random) -> str:
        """One of the ways in which the body can be sent."""
        return chance.choice(
            ["identity", "gzip", "deflate", "zstd", *(["grpc"] * 2 if case.media == PROTOBUF else [])]
        )

    def send(self, case: Case, way: str) -> tuple[int, int, str]:
        """HTTP status (or what it would be), number of rejected records, message."""
        self.ways[f"{way} {case.media}"] += 1
        return self._over_grpc(case) if way == "grpc" else self._over_http(case, way)

    def _over_http(self, case: Case, encoding: str) -> tuple[int, int, str]:
        packed = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}.get(
            encoding, bytes
        )(case.body)
        about = {} if encoding == "identity" else {"content_encoding": encoding}
        status, headers, answer = self._http.post(f"/v1/{case.signal}", packed, case.media, **about)
        assert headers["content-type"] == case.media, (case.kind, headers)
        if status != 200:
            if case.media == JSON:
                return status, 0, json.loads(answer)["message"]
            return status, 0, Status.FromString(answer).message
        if case.media == PROTOBUF:
            partial = ExportTraceServiceResponse.FromString(answer).partial_success
            return status, partial.rejected_spans, partial.error_message
        told = json.loads(answer).get("partialSuccess", {})
        return status, int(told.get("rejectedSpans", 0)), told.get("errorMessage", "")

    def _over_grpc(self, case: Case) -> tuple[int, int, str]:
        method = GRPC_METHOD.replace("trace.v1.Trace", SERVICES[case.signal])
        try:
            answer = self._channel.unary_unary(method)(case.body, timeout=60)
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")  # type: ignore[attr-defined]
            return CODES.get(error.code(), 500), 0, Status.FromString(details).message  # type: ignore[attr-defined]
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
        return 200, partial.rejected_spans, partial.error_message


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    port = free_port()
    with Server(tmp_path_factory.mktemp("malformed") / "data", "--grpc-port", str(port)) as server:
        yield server, port
        assert not unbalanced(ledger_of(server))
    assert json.dumps(server.lines).count("Traceback") == 0, "\n".join(server.lines[-80:])


@pytest.fixture
def served(serving: tuple[Server, int]) -> Iterator[tuple[Server, Client]]:
    """A client of each test's own: a server closes connections that nobody uses for long."""
    server, port = serving
    client = Client(server, port)
    yield server, client
    client.close()


def resident(server: Server) -> int:
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("VmRSS"))


def worked(server: Server) -> float:
    """Processor seconds of the server until now."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrong(case: Case, status: int, rejected: int, message: str) -> str:
    """What is not as it must be about an answer; nothing when all is."""
    if case.rejected is None and status != 400:
        return f"{status}, not 400"
    if case.rejected is not None and case.rejected >= 0 and (status, rejected) != (200, case.rejected):
        return f"{status} with {rejected} rejected, not {case.rejected}"
    if status not in (200, 400, 413):
        return f"{status}"
    if (status != 200 or rejected) and (len(message) < 10 or "Traceback" in message):
        return f"{status} says only {message!r}"
    return ""


def test_of_every_file_the_good_spans_are_stored_and_the_bad_ones_are_named(
    served: tuple[Server, Client], seed: int
) -> None:
    server, client = served
    chance, slowest, faults, expected = random.Random(seed), (0.0, ""), [], set[tuple[str, str]]()
    begun = 0
    for number in range(FILES):
        case = malformed.case(number, seed)
        if number % 10 == 0:
            client.pace()
        (status, rejected, message), took = client.timed(partial(client.send, case, client.way(case, chance)))
        slowest = max(slowest, (took, case.kind))
        said = wrong(case, status, rejected, message)
        if said:
            faults.append(f"{number} {case.kind} ({case.signal} {case.media}): {said}: {message[:200]}")
        if case.rejected is not None and case.rejected >= 0:
            expected |= {(hex_id("malformed", number), span) for span in case.stored}
        progress("O4 files", number + 1, FILES, f"{len(faults)} faults, seed {seed}")
        if number == FILES // 5:
            begun = resident(server)
    grown = resident(server) - begun
    print(
        f"\nO4 files: {FILES} over {dict(client.ways)}, slowest {slowest[0]:.2f} s ({slowest[1]}; ordinary {client.ordinary:.2f} s), {grown / MB:.0f} MB more; seed {seed}"
    )
    assert not faults, "\n".join(faults[:30])
    stored = Counter(in_sql(server))
    assert not expected - stored.keys()
    assert not [key for key in expected if stored[key] > 1]
    # The control: a span that is not there is found out.
    assert expected - (stored.keys() - {next(iter(expected))})
    assert client.in_time(slowest[0]), (slowest, client.ordinary)
    assert grown <= 256 * MB


def test_damaged_bodies_are_no_fault_of_the_server_and_cost_nobody_else(
    served: tuple[Server, Client], seed: int
) -> None:
    _, client = served
    chance, seen, slowest = random.Random(seed + 1), Counter[int](), 0.0
    for number in range(SENT):
        made = malformed.case(number + FILES, seed)
        case = Case(made.kind, made.signal, made.media, malformed.damaged(made.body[:20_000], chance), -1)
        if number % 10 == 0:
            client.pace()
        (status, rejected, message), took = client.timed(partial(client.send, case, client.way(case, chance)))
        slowest = max(slowest, took)
        seen[status] += 1
        assert not wrong(case, status, rejected, message), (case, status, message)
        progress("O4 damaged bodies", number + 1, SENT, f"seed {seed + 1}")
    print(
        f"\nO4 server: {SENT} damaged bodies, answers {dict(seen)}, slowest {slowest:.2f} s (ordinary {client.ordinary:.2f} s); seed {seed + 1}"
    )
    assert set(seen) == {200, 400}
    assert client.in_time(slowest), (slowest, client.ordinary)


LARGE = malformed.large() if FULL else malformed.large()[:2]


@pytest.mark.parametrize("case", LARGE, ids=[f"{c.kind} {c.media}" for c in LARGE])
def test_very_many_parts_and_very_large_ones_are_cut_and_the_span_is_stored(
    served: tuple[Server, Client], case: Case
) -> None:
    server, _ = served
    connection, before, began = Connection(server.port), worked(server), time.monotonic()
    status, _, answer = connection.post("/v1/traces", case.body, case.media)
    took, work = time.monotonic() - began, worked(server) - before
    connection.close()
    print(
        f"\nO4 large: {case.kind} ({len(case.body) / MB:.0f} MB), {status} in {took:.2f} s, {work:.2f} s of work,"
        f" {resident(server) / MB:.0f} MB resident"
    )
    assert status == 200, answer
    (span,) = case.stored
    assert server.sql(f"select count() as n from spans where span_id = '{span}'") == [{"n": 1}]
    # So large a body is work, for which a busy machine takes longer.
    assert not FULL or work <= SECONDS


def head(length: int, *lines: str) -> bytes:
    """The head of an export request."""
    sent = [
        "POST /v1/traces HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {JSON}",
        f"Content-Length: {length}",
        *lines,
    ]
    return "\r\n".join([*sent, "", ""]).encode()


def test_pipelined_requests_are_each_answered_in_order(served: tuple[Server, Client]) -> None:
    server, _ = served
    with socket.create_connection(("127.0.0.1", server.port), 30) as wire_:
        wire_.sendall((head(len(GOOD)) + GOOD) * 20 + head(1) + b"{" + head(2, "Connection: close") + b"{}")
        answers = b"".join(iter(lambda: wire_.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200") == 21 and answers.count(b"HTTP/1.1 400") == 1, answers[-500:]
    assert answers.rindex(b"HTTP/1.1 400") < answers.rindex(b"HTTP/1.1 200")


def test_a_client_that_asks_first_is_told_to_go_on(served: tuple[Server, Client]) -> None:
    server, _ = served
    with socket.create_connection(("127.0.0.1", server.port), 30) as wire_:
        wire_.sendall(head(len(GOOD), "Expect: 100-continue", "Connection: close"))
        assert wire_.recv(1024).startswith(b"HTTP/1.1 100")
        wire_.sendall(GOOD)
        assert b"".join(iter(lambda: wire_.recv(65536), b"")).startswith(b"HTTP/1.1 200")


def test_clients_that_send_byte_by_byte_hold_nobody_up(served: tuple[Server, Client]) -> None:
    server, client = served
    slow = [socket.create_connection(("127.0.0.1", server.port), 30) for _ in range(40)]
    try:
        for number in range(30):
            for one in slow:
                one.sendall((head(1000) + GOOD)[number : number + 1])
            if number % 10 == 0:
                (status, _, _), took = client.timed(
                    partial(client.send, Case("between", "traces", JSON, GOOD, 0), "identity")
                )
                assert status == 200 and client.in_time(took)
    finally:
        for one in slow:
            one.close()


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-protobuf2",
        "\xff",
        "/;;",
    ],
)
def test_a_content_type_that_is_not_read_is_answered_415(served: tuple[Server, Client], media: str) -> None:
    server, _ = served
    status, _, answer = Connection(server.port).post("/v1/traces", GOOD, media)
    assert status == 415 and b"application/x-protobuf" in answer


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """A header field as it is, without the table of HPACK."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def test_streams_opened_and_reset_at_once_hold_nobody_up(served: tuple[Server, Client]) -> None:
    """HTTP/2 rapid reset against the gRPC port: whatever becomes of that connection, others are answered."""
    server, client = served
    asked = b"".join(
        literal(n, v)
        for n, v in ((":method", "POST"), (":scheme", "http"), (":path", GRPC_METHOD), (":authority", "localhost"), ("te", "trailers"),
                     ("content-type", "application/grpc"))
    )  # fmt: skip
    port = grpc_port(server)
    with socket.create_connection(("127.0.0.1", port), 30) as wire_:
        wire_.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        try:
            for first in range(1, 40_001, 400):
                wire_.sendall(
                    b"".join(
                        frame(1, 4, s, asked) + frame(3, 0, s, bytes([0, 0, 0, 8]))
                        for s in range(first, first + 400, 2)
                    )
                )
        except OSError:
            pass
        # What the streams had reserved is given back after a moment; a client does what it is told, and tries again.
        made = malformed.traces_pb(malformed.span_pb(hex_id("reset"), hex_id("reset", digits=16)))
        asked_again = time.monotonic() + 30
        while (status := client.send(Case("between", "traces", PROTOBUF, made, 0), "grpc")[0]) != 200:
            assert status == 503 and time.monotonic() < asked_again, status
            time.sleep(1)
    assert server.call("GET", "/healthz")[0] == 200


def grpc_port(server: Server) -> int:
    arguments = server.process.args if server.process is not None else []
    return int(arguments[list(arguments).index("--grpc-port") + 1])  # type: ignore[arg-type, index, call-overload]


def test_connections_cut_inside_a_body_leave_nothing_behind(served: tuple[Server, Client]) -> None:
    server, _ = served
    for length in (0, 1, len(GOOD) // 2):
        with socket.create_connection(("127.0.0.1", server.port), 30) as wire_:
            wire_.sendall(head(len(GOOD)) + GOOD[:length])
    assert server.call("GET", "/healthz")[0] == 200
