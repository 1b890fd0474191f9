"""The surface on real sockets: HTTP and gRPC, limits of the protocol, busy ports, draining."""

import asyncio
import contextlib
import gzip
import json
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.unit.server.doubles import NOW, Rig, rig
from watchkeeper.config.models import Config
from watchkeeper.server import local
from watchkeeper.server.listen import BindRefused
from watchkeeper.server.ports import PortBusy, bound
from watchkeeper.server.running import Running, running
from watchkeeper.store.columns import StoreUnavailable

SERVICE = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPAN = {
    "traceId": "ab" * 16, "spanId": "cd" * 8, "name": "chat", "startTimeUnixNano": NOW, "endTimeUnixNano": NOW + 1,
}  # fmt: skip
BODY = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}).encode()
JSON = {"content-type": "application/json"}


def exported(bad: int = 0) -> bytes:
    made = ExportTraceServiceRequest()
    spans = made.resource_spans.add().scope_spans.add().spans
    spans.add(
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        name="chat",
        start_time_unix_nano=NOW,
        end_time_unix_nano=NOW + 1,
    )
    for _ in range(bad):
        spans.add(trace_id=b"", span_id=b"\x02" * 8, name="bad")
    return made.SerializeToString()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncGenerator[tuple[Rig, Running], None]:
    config = Config.model_validate_json('{"server": {"limits": {"connections": 20}}}')
    made = rig(tmp_path, config)
    async with running(made.services, "127.0.0.1", 0, 0) as server:
        yield made, server


def channel(server: Running) -> Any:
    return grpc.aio.insecure_channel(f"127.0.0.1:{server.where.grpc_port}")


async def test_it_takes_telemetry_over_http_and_answers_on_one_connection(
    served: tuple[Rig, Running],
) -> None:
    made, server = served
    key = {"authorization": f"Bearer {made.key('ingest')}"}
    async with httpx.AsyncClient(base_url=server.where.url, headers={**JSON, **key}) as client:
        for _ in range(3):
            assert (await client.post("/v1/traces", content=BODY)).status_code == 200
        packed = await client.post(
            "/v1/traces", content=gzip.compress(BODY), headers={"content-encoding": "gzip"}
        )
        assert packed.status_code == 200

        async def chunks() -> AsyncGenerator[bytes, None]:
            for at in range(0, len(BODY), 50):
                yield BODY[at : at + 50]

        assert (await client.post("/v1/traces", content=chunks())).status_code == 200
        assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert len(made.ingest.taken) == 5


async def test_it_refuses_from_the_head_alone_and_the_connection_is_used_again(
    served: tuple[Rig, Running],
) -> None:
    made, server = served
    key = made.key("ingest")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.where.port)

    def head(size: int, more: str = "") -> bytes:
        lines = (
            "POST /v1/traces HTTP/1.1",
            "host: 127.0.0.1",
            f"x-api-key: {key}",
            f"content-length: {size}",
            "content-type: application/json",
        )
        return ("\r\n".join(lines) + f"\r\n{more}\r\n").encode()

    async def answer() -> tuple[int, dict[str, str], bytes]:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))

    writer.write(head(len(BODY)) + BODY)
    assert (await answer())[0] == 200, "the caller is known now"
    made.ingest.busy = SimpleNamespace(reason="the queue is full", retry_after=3, quota=False)
    for size in (300_000, 10):
        writer.write(head(size))
        status, headers, body = await answer()
        assert (status, headers["retry-after"]) == (503, "3")
        assert json.loads(body)["code"] == 14 and "queue is full" in json.loads(body)["message"]
        assert headers["x-content-type-options"] == "nosniff"
        writer.write(b"x" * size)
    made.ingest.busy = SimpleNamespace(reason="it sends too much", retry_after=2, quota=True)
    writer.write(head(5) + b"x" * 5)
    assert (await answer())[0] == 429
    made.ingest.busy = None
    writer.write(head(len(BODY)) + BODY)
    assert (await answer())[0] == 200
    assert len(made.ingest.taken) == 2
    # One that waits for permission to send is refused too, and cannot go on.
    made.ingest.busy = SimpleNamespace(reason="the queue is full", retry_after=3, quota=False)
    writer.write(head(300_000, "expect: 100-continue\r\n"))
    assert (await answer())[0] == 503
    writer.close()


async def test_what_was_reserved_for_a_request_that_cannot_be_read_is_given_back(
    served: tuple[Rig, Running],
) -> None:
    made, server = served
    key = {"authorization": f"Bearer {made.key('ingest')}"}
    async with httpx.AsyncClient(base_url=server.where.url, headers={**JSON, **key}) as client:
        assert (await client.post("/v1/traces", content=BODY)).status_code == 200
        assert (await client.post("/v1/traces", content=b"{")).status_code == 400
        damaged = {"content-encoding": "gzip"}
        assert (await client.post("/v1/traces", content=b"no gzip", headers=damaged)).status_code == 400
    async with channel(server) as client:
        with pytest.raises(grpc.aio.AioRpcError):
            await client.unary_unary(SERVICE)(b"\xff\xff\xff", metadata=(("x-api-key", made.key("ingest")),))
    assert made.ingest.admitted == 0


async def test_it_takes_all_three_signals_over_grpc(served: tuple[Rig, Running]) -> None:
    made, server = served
    metadata = (("authorization", f"Bearer {made.key('ingest')}"),)
    async with channel(server) as client:
        answer = await client.unary_unary(SERVICE)(exported(bad=2), metadata=metadata)
        assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 2
        packed = client.unary_unary(SERVICE)(exported(), metadata=metadata, compression=grpc.Compression.Gzip)
        assert ExportTraceServiceResponse.FromString(await packed).partial_success.rejected_spans == 0
        logs, metrics = (
            SERVICE.replace("trace.v1.Trace", "logs.v1.Logs"),
            SERVICE.replace("trace.v1.Trace", "metrics.v1.Metrics"),
        )
        await client.unary_unary(logs)(ExportLogsServiceRequest().SerializeToString(), metadata=metadata)
        await client.unary_unary(metrics)(
            ExportMetricsServiceRequest().SerializeToString(), metadata=metadata
        )
    assert [len(spans) for _, spans, _ in made.ingest.taken] == [1, 1, 0, 0]
    assert made.ingest.ledger.total("refused", "default", "traces") == 2


async def test_it_refuses_grpc_calls_with_the_right_codes(served: tuple[Rig, Running]) -> None:
    made, server = served
    ingest, viewer = made.key("ingest"), made.key("viewer")

    async def code(body: bytes, *metadata: tuple[str, str], method: str = SERVICE) -> Any:
        async with channel(server) as client:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.unary_unary(method)(body, metadata=metadata)
            return caught.value

    assert (await code(exported())).code() is grpc.StatusCode.UNAUTHENTICATED
    assert (
        await code(exported(), ("authorization", "Bearer wk_x"))
    ).code() is grpc.StatusCode.UNAUTHENTICATED
    assert (await code(exported(), ("x-api-key", viewer))).code() is grpc.StatusCode.PERMISSION_DENIED
    other = ("x-watchkeeper-project", "theirs")
    assert (await code(exported(), ("x-api-key", ingest), other)).code() is grpc.StatusCode.PERMISSION_DENIED
    bad = await code(b"\xff\xff\xff", ("x-api-key", ingest))
    assert bad.code() is grpc.StatusCode.INVALID_ARGUMENT and bad.details()
    unknown = SERVICE.replace("Export", "Import")
    assert (await code(b"", ("x-api-key", ingest), method=unknown)).code() is grpc.StatusCode.UNIMPLEMENTED
    large = await code(b"\x00" * (21 << 20), ("x-api-key", ingest))
    assert large.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    made.ingest.busy = SimpleNamespace(reason="the queue is full", retry_after=3, quota=False)
    busy = await code(exported(), ("x-api-key", ingest))
    assert busy.code() is grpc.StatusCode.UNAVAILABLE
    details = dict(busy.trailing_metadata())["grpc-status-details-bin"]
    retry = RetryInfo()
    assert Status.FromString(details).details[0].Unpack(retry) and retry.retry_delay.seconds == 3
    made.ingest.busy, made.ingest.error = None, StoreUnavailable("the disk is full")
    assert (await code(exported(), ("x-api-key", ingest))).code() is grpc.StatusCode.UNAVAILABLE
    assert made.ingest.taken == []


async def test_more_grpc_calls_than_are_taken_at_once_are_told_to_come_again(
    served: tuple[Rig, Running],
) -> None:
    made, server = served
    key = (("x-api-key", made.key("ingest")),)

    async def nothing() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(60)
        yield b""

    async with channel(server) as client:
        calls = [client.stream_unary(SERVICE)(nothing(), metadata=key) for _ in range(21)]
        refused, _ = await asyncio.wait(
            [asyncio.create_task(c.code()) for c in calls], timeout=60, return_when="FIRST_COMPLETED"
        )
        assert {task.result() for task in refused} == {grpc.StatusCode.UNAVAILABLE}
        (ended,) = [c for c in calls if c.done()]
        details = dict(await ended.trailing_metadata())["grpc-status-details-bin"]
        retry = RetryInfo()
        assert Status.FromString(details).details[0].Unpack(retry) and retry.retry_delay.seconds == 1
        for call in calls:
            call.cancel()


async def test_calls_that_send_nothing_reserve_nothing_and_end_in_time(tmp_path: Path) -> None:
    config = Config.model_validate_json('{"server": {"limits": {"body_seconds": 1}}}')
    made = rig(tmp_path, config)
    admitted, admit = list[int](), made.ingest.admit

    def counted(size: int, project: str = "") -> Any:
        admitted.append(size)
        return admit(size, project)

    made.ingest.admit = counted  # type: ignore[method-assign]
    key = (("x-api-key", made.key("ingest")),)

    async def nothing() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(60)
        yield b""

    async with running(made.services, "127.0.0.1", 0, 0) as server, channel(server) as client:
        silent = client.stream_unary(SERVICE)(nothing(), metadata=key)
        await client.unary_unary(SERVICE)(exported(), metadata=key)
        assert admitted == [len(exported())]
        assert await silent.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "in time" in await silent.details()


async def test_it_closes_connections_whose_request_head_does_not_come(
    served: tuple[Rig, Running], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = rig(tmp_path / "slow")
    monkeypatch.setattr("watchkeeper.server.listen.HEAD_SECONDS", 0.2)
    async with running(made.services, "127.0.0.1", 0, None) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.where.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127")
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        silent, closing = await asyncio.open_connection("127.0.0.1", server.where.port)
        assert await asyncio.wait_for(silent.read(), 60) == b""
        closing.close()


async def test_who_has_sent_all_and_closes_that_side_is_answered(served: tuple[Rig, Running]) -> None:
    made, server = served
    head = (
        f"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {made.key('ingest')}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    ).encode()
    # Requests sent ahead are answered too; one that is cut is not.
    for sent, answers in ((head + BODY, 1), (3 * (head + BODY), 3), (head + BODY[:-1], 0)):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.where.port)
        writer.write(sent)
        writer.write_eof()
        assert (await reader.read()).count(b"HTTP/1.1 200 OK") == answers
        writer.close()
    assert len(made.ingest.taken) == 4


async def test_it_answers_503_beyond_its_connections_and_recovers(served: tuple[Rig, Running]) -> None:
    _, server = served
    held = [await asyncio.open_connection("127.0.0.1", server.where.port) for _ in range(20)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.where.port)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    assert head.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in head
    writer.close()
    for _, one in held:
        one.close()
        await one.wait_closed()
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=server.where.url) as client:
        # It has yet to see that they are closed.
        while (await client.get("/healthz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ],
)
async def test_it_answers_broken_requests_with_4xx_or_closes(served: tuple[Rig, Running], raw: bytes) -> None:
    _, server = served
    reader, writer = await asyncio.open_connection("127.0.0.1", server.where.port)
    writer.write(raw)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100]
    assert answer == b"" or set(json.loads(answer.partition(b"\r\n\r\n")[2])) in (
        {"error", "hint"},
        {"code", "message"},
    )
    async with httpx.AsyncClient(base_url=server.where.url) as client:
        assert (await client.get("/healthz")).status_code == 200


_HOST = "Host: localhost\r\n"
_FIELDS = f"X: {'a' * 1000}\r\n"


@pytest.mark.parametrize(
    ("begin", "more", "end", "said"),
    [
        ("GET /", "a" * 1000, f" HTTP/1.1\r\n{_HOST}\r\n", b"HTTP/1.1 431"),
        (f"GET /healthz HTTP/1.1\r\n{_HOST}", _FIELDS, "\r\n", b"HTTP/1.1 431"),
        # Answered from the head, and what follows never ends; so do many requests, all answered without a bound.
        (f"POST /v1/traces HTTP/1.1\r\n{_HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n", _FIELDS, "", b"HTTP/1.1 401"),
        ("", f"GET /healthz HTTP/1.1\r\n{_HOST}\r\n" * 20, "", b"HTTP/1.1 200"),
    ],
    ids=["address", "head", "trailers", "requests sent ahead"],
)  # fmt: skip
async def test_what_a_connection_may_leave_with_the_server_is_bounded(
    served: tuple[Rig, Running], begin: str, more: str, end: str, said: bytes
) -> None:
    _, server = served
    reader, writer = await asyncio.open_connection("127.0.0.1", server.where.port)
    answer = b""
    with contextlib.suppress(ConnectionError):
        writer.write((begin + more * 1000 + end).encode())
        while piece := await asyncio.wait_for(reader.read(1 << 20), 60):
            answer += piece
    writer.close()
    # Whoever is still sending may find the connection reset before it reads why.
    assert not answer or answer.startswith(said), answer[:100]
    assert answer.count(b"HTTP/1.1 200") < 20_000


async def test_it_finishes_what_was_begun_and_then_stops(tmp_path: Path) -> None:
    made = rig(tmp_path, no_auth=True)
    begun, release = asyncio.Event(), asyncio.Event()
    stored: list[int] = []

    async def slow(project: str, spans: list[Any], logs: list[Any], metrics: list[Any]) -> None:
        begun.set()
        await release.wait()
        stored.append(len(spans))

    made.ingest.accept = slow  # type: ignore[method-assign]
    leave = asyncio.Event()
    up: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with running(made.services, "127.0.0.1", 0, None) as server:
            up.set_result(server)
            await leave.wait()

    task = asyncio.create_task(serve())
    url = (await up).where.url
    async with httpx.AsyncClient(base_url=url, headers=JSON) as client:
        sent = asyncio.create_task(client.post("/v1/traces", content=BODY))
        await asyncio.wait_for(begun.wait(), 60)
        leave.set()
        await asyncio.sleep(0.1)
        release.set()
        assert (await sent).status_code == 200
    await asyncio.wait_for(task, 60)
    assert stored == [1]
    with pytest.raises(httpx.ConnectError):
        await httpx.AsyncClient().get(url)


async def test_it_says_which_port_is_busy(served: tuple[Rig, Running], tmp_path: Path) -> None:
    _, server = served
    with pytest.raises(PortBusy, match="choose another with --port"):
        bound("127.0.0.1", server.where.port)
    other = rig(tmp_path / "other")
    with pytest.raises(PortBusy, match="--grpc-port"):
        async with running(other.services, "127.0.0.1", 0, server.where.grpc_port):
            pass


async def test_it_does_not_listen_beyond_loopback_without_tls(tmp_path: Path) -> None:
    with pytest.raises(BindRefused, match="behind_tls_proxy"):
        async with running(rig(tmp_path).services, "0.0.0.0", 0, None):
            pass


async def test_it_lets_the_command_line_of_its_owner_in(served: tuple[Rig, Running], tmp_path: Path) -> None:
    made, server = served
    file = tmp_path / local.NAME
    assert file.stat().st_mode & 0o777 == 0o600
    known = json.loads(file.read_text())
    async with httpx.AsyncClient(
        base_url=server.where.url, headers={"authorization": f"Bearer {known['key']}"}
    ) as client:
        assert (await client.get("/api/keys")).status_code == 200
    assert known["key"] not in repr(local.Local(**known))
    assert server.login is not None and server.login.startswith(f"{server.where.url}/login?token=")
    assert made.services.no_auth is False


def test_it_gives_back_the_port_it_took() -> None:
    made = bound("127.0.0.1", 0)
    port = made.getsockname()[1]
    made.close()
    again = bound("127.0.0.1", port)
    again.close()
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.1", port)) != 0


def test_the_base_install_runs_the_light_commands() -> None:
    """Without any server package the command line starts, and says what to install for the rest."""
    blocked = "pydantic starlette uvicorn grpc sqlalchemy chdb clickhouse_connect numpy scipy orjson msgspec yaml google"
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked.split()!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
from watchkeeper.cli.main import main
codes = [main(['serve']), main(['check', 'x.yaml']), main(['import', 'x.pb'])]
try:
    main(['gate', '--help'])
except SystemExit as done:
    codes.append(done.code)
sys.exit(0 if codes == [2, 2, 2, 0] else str(codes))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pip install 'watchkeeper[server]'") == 3 and "Traceback" not in done.stderr
