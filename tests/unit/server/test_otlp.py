"""OTLP over HTTP: refusals before reading, encodings, partial success, projects."""

import asyncio
import gc
import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.requests import Request

from tests.unit.server.doubles import NOW, Rig, rig
from watchkeeper.config.models import Config
from watchkeeper.server import otlp
from watchkeeper.store.columns import StoreUnavailable

JSON, PROTOBUF = {"content-type": "application/json"}, {"content-type": "application/x-protobuf"}


def span(number: int, **more: Any) -> dict[str, Any]:
    return {
        "traceId": "ab" * 16,
        "spanId": f"{number:016x}",
        "name": "chat",
        "startTimeUnixNano": str(NOW),
        "endTimeUnixNano": str(NOW + 10**9),
        **more,
    }


def request(*spans: dict[str, Any], project: str | None = None) -> dict[str, Any]:
    attributes = [{"key": "watchkeeper.project", "value": {"stringValue": project}}] if project else []
    return {
        "resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}]
    }


@pytest.fixture
def served(tmp_path: Path) -> Rig:
    return rig(tmp_path, no_auth=True)


async def test_it_answers_in_the_encoding_it_was_asked_in(served: Rig) -> None:
    async with served.client() as client:
        as_json = await client.post("/v1/traces", json=request(span(1)))
        assert as_json.status_code == 200 and as_json.json() == {}
        body = ExportTraceServiceRequest().SerializeToString()
        as_protobuf = await client.post("/v1/traces", content=body, headers=PROTOBUF)
        assert as_protobuf.headers["content-type"] == "application/x-protobuf"
        assert not ExportTraceServiceResponse.FromString(as_protobuf.content).partial_success.rejected_spans
    assert [len(spans) for _, spans, _ in served.ingest.taken] == [1, 0]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/traces",
        "/otel/v1/traces",
        "/api/public/otel/v1/traces",
        "/a/b/c/v1/traces",
        "/api/1/otlp/v1/traces/",
    ],
)
async def test_it_takes_the_paths_of_vendors(served: Rig, path: str) -> None:
    async with served.client() as client:
        assert (await client.post(path, json=request(span(1)))).status_code == 200
        assert (
            await client.post(path.replace("traces", "logs"), json={"resourceLogs": []})
        ).status_code == 200
        assert (
            await client.post(path.replace("traces", "metrics"), json={"resourceMetrics": []})
        ).status_code == 200


async def test_it_keeps_the_good_spans_and_counts_the_bad(served: Rig) -> None:
    async with served.client() as client:
        answer = await client.post("/v1/traces", json=request(span(1), {**span(2), "spanId": "zz"}, span(3)))
    partial = answer.json()["partialSuccess"]
    assert (
        answer.status_code == 200
        and int(partial["rejectedSpans"]) == 1
        and "spanId" in partial["errorMessage"]
    )
    assert [s.span_id for s in served.ingest.taken[0][1]] == [f"{1:016x}", f"{3:016x}"]
    assert served.ingest.ledger.total("refused", "default", "traces") == 1


async def test_it_says_in_a_status_what_is_wrong(served: Rig) -> None:
    async with served.client() as client:
        broken = await client.post("/v1/traces", content=b"{", headers=JSON)
        assert broken.status_code == 400 and broken.json()["code"] == 3 and "JSON" in broken.json()["message"]
        garbage = await client.post("/v1/traces", content=b"\xff\xff\xff", headers=PROTOBUF)
        assert garbage.status_code == 400 and Status.FromString(garbage.content).message
        kind = await client.post("/v1/traces", content=b"x", headers={"content-type": "text/plain"})
        assert kind.status_code == 415
        coding = await client.post("/v1/traces", content=b"x", headers={**JSON, "content-encoding": "br"})
        assert coding.status_code == 415 and "gzip" in coding.json()["message"]
    assert served.ingest.taken == []


async def test_it_reads_compressed_bodies_and_stops_at_bombs(served: Rig) -> None:
    packed = {**JSON, "content-encoding": "gzip"}
    async with served.client() as client:
        good = gzip.compress(json.dumps(request(span(1))).encode())
        assert (await client.post("/v1/traces", content=good, headers=packed)).status_code == 200
        bomb = gzip.compress(b" " * (30 << 20))
        answer = await client.post("/v1/traces", content=bomb, headers=packed)
        assert answer.status_code == 413 and answer.json()["code"] == 8


async def test_it_refuses_what_is_too_large_before_reading_it(served: Rig) -> None:
    read: list[int] = []

    async def body() -> Any:
        read.append(1)
        yield b"x"

    async with served.client() as client:
        headers = {**JSON, "content-length": str(21 << 20)}
        answer = await client.post("/v1/traces", content=body(), headers=headers)
    assert answer.status_code == 413 and served.ingest.taken == []


async def test_it_refuses_when_busy_without_reading_and_says_when_to_come_back(served: Rig) -> None:
    served.ingest.busy = SimpleNamespace(reason="the queue is full", retry_after=60.0, quota=False)
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b"{}", "more_body": False}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/traces", "query_string": b"", "http_version": "1.1",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 4318), "scheme": "http", "root_path": "",
    }  # fmt: skip
    await served.app(scope, receive, send)
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 503 and headers[b"retry-after"] == b"5" and received == 0


async def test_it_refuses_a_body_that_becomes_larger_than_there_is_room_for(served: Rig) -> None:
    served.ingest.too_large = SimpleNamespace(reason="more is arriving", retry_after=1, quota=False)
    packed = {**JSON, "content-encoding": "gzip"}
    text = span(1, attributes=[{"key": "k", "value": {"stringValue": "x" * 100_000}}])
    async with served.client() as client:
        body = gzip.compress(json.dumps(request(text)).encode())
        answer = await client.post("/v1/traces", content=body, headers=packed)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert served.ingest.taken == [] and served.ingest.admitted == 0
        # What stays within what it said of itself is not asked again.
        assert (await client.post("/v1/traces", json=request(text))).status_code == 200
        assert served.ingest.admitted == 0


async def test_it_promises_nothing_when_the_store_cannot_write(served: Rig) -> None:
    served.ingest.error = StoreUnavailable("the disk is full")
    async with served.client() as client:
        answer = await client.post("/v1/traces", json=request(span(1)))
    assert (
        answer.status_code == 503 and answer.headers["retry-after"] == "5" and "disk is full" in answer.text
    )


async def test_it_refuses_new_work_while_it_stops(served: Rig) -> None:
    served.services.draining = True
    async with served.client() as client:
        assert (await client.post("/v1/traces", json=request(span(1)))).status_code == 503
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_a_request_is_let_go_with_its_answer(served: Rig, status: int) -> None:
    async def pieces() -> Any:
        for piece in (b'{"resource', b'Spans": []}' if status == 200 else b"broken"):
            yield piece

    if status == 503:
        served.ingest.busy = SimpleNamespace(reason="the queue is full", retry_after=1.0, quota=False)

    def alive() -> int:
        return sum(isinstance(o, Request) for o in gc.get_objects())

    async with served.client() as client:
        assert (await client.post("/v1/traces", content=pieces(), headers=JSON)).status_code == status
        gc.collect()
        before = alive()
        gc.disable()
        try:
            for _ in range(10):
                assert (await client.post("/v1/traces", content=pieces(), headers=JSON)).status_code == status
            assert alive() <= before + 1, "what a cycle holds stays until the collector comes by"
        finally:
            gc.enable()


async def test_it_gives_up_on_a_body_that_drips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "PATIENCE_SECONDS", 0.1)
    config = Config.model_validate_json('{"server": {"limits": {"body_seconds": 1}}}')
    served = rig(tmp_path, config, no_auth=True)

    async def drip() -> Any:
        while True:
            yield b" "
            await asyncio.sleep(0.2)

    async with served.client() as client:
        answer = await client.post("/v1/traces", content=drip(), headers=JSON)
    assert answer.status_code == 408 and answer.headers["connection"] == "close"
    assert served.ingest.shrunk == [(otlp.UNKNOWN_BYTES, otlp.LEAST_BYTES)], (
        "many of them would keep all others out"
    )
    assert served.ingest.admitted == 0


async def test_it_stores_a_resource_under_its_own_project_where_the_key_may(tmp_path: Path) -> None:
    served = rig(tmp_path)
    both = request(span(1), project="mine")
    both["resourceSpans"] += (
        request(span(2))["resourceSpans"] + request(span(3), project="../x")["resourceSpans"]
    )
    async with served.client(served.key("ingest", "*")) as client:
        answer = await client.post("/v1/traces", json=both)
    assert answer.status_code == 200
    refused = answer.json()["partialSuccess"]
    assert int(refused["rejectedSpans"]) == 1 and "../x" in refused["errorMessage"]
    stored = {project: [s.span_id[-1] for s in spans] for project, spans, _ in served.ingest.taken}
    assert stored == {"mine": ["1"], "default": ["2"]}
    served.ingest.taken.clear()
    async with served.client(served.key("ingest", "own")) as client:
        assert (await client.post("/v1/traces", json=both)).status_code == 200
    assert [(project, len(spans)) for project, spans, _ in served.ingest.taken] == [("own", 3)]


@pytest.mark.parametrize(("owed", "said"), [(0.2, "1"), (3, "3"), (60.0, "5")])
async def test_a_project_beyond_its_quota_gets_429_and_a_whole_number_of_seconds(
    served: Rig, owed: float, said: str
) -> None:
    served.ingest.busy = SimpleNamespace(reason="too much", retry_after=owed, quota=True)
    async with served.client() as client:
        answer = await client.post("/v1/traces", json=request(span(1)))
    assert answer.status_code == 429 and answer.headers["retry-after"] == said
    assert "limits.per_project" in answer.text and served.ingest.taken == []


async def test_compressed_requests_that_come_together_leave_the_loop_to_others_between_them(
    served: Rig,
) -> None:
    """A hundred bombs would hold up everybody for as long as all of them take."""
    turns, begun = 0, list[int]()
    admit = served.ingest.admit

    def admitted(size: int, project: str = "") -> Any:
        begun.append(turns)
        return admit(size, project)

    served.ingest.admit = admitted  # type: ignore[method-assign]

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(others())
    body = gzip.compress(json.dumps(request(span(1))).encode())
    async with served.client() as client:
        sent = [
            client.post("/v1/traces", content=body, headers={**JSON, "content-encoding": "gzip"})
            for _ in range(9)
        ]
        answers = await asyncio.gather(*sent)
    other.cancel()
    assert {a.status_code for a in answers} == {200}
    assert len(set(begun)) == 9, begun
