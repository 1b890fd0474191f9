"""A request in parts says what the whole said, in both encodings."""

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper.wire.otlp import MEDIA, decode
from watchkeeper.wire.parts import parts

JSON, PROTOBUF = MEDIA["json"], MEDIA["protobuf"]


def _span(n: int, size: int = 1000) -> dict[str, Any]:
    return {
        "traceId": "ab" * 16, "spanId": f"{n + 1:016x}", "name": f"s{n}", "startTimeUnixNano": "1795238000000000000",
        "attributes": [{"key": "input.value", "value": {"stringValue": "x" * size}}],
    }  # fmt: skip


def _request(sizes: list[int]) -> dict[str, Any]:
    """Two resources of two scopes each, the spans dealt out among them in order."""
    spans = [_span(n, size) for n, size in enumerate(sizes)]
    quarter = -(-len(spans) // 4)
    scopes = [
        {"scope": {"name": f"scope {i}"}, "schemaUrl": "u", "spans": spans[i * quarter : (i + 1) * quarter]}
        for i in range(4)
    ]
    return {
        "resourceSpans": [
            {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]}, "scopeSpans": two}
            for name, two in (("a", scopes[:2]), ("b", scopes[2:]))
        ]
    }  # fmt: skip


def _as_protobuf(body: bytes) -> bytes:
    request = ExportTraceServiceRequest()
    for group in json.loads(body)["resourceSpans"]:
        outer = request.resource_spans.add()
        outer.resource.attributes.add(key="service.name").value.string_value = group["resource"][
            "attributes"
        ][0]["value"]["stringValue"]
        for scope in group["scopeSpans"]:
            middle = outer.scope_spans.add()
            middle.scope.name = scope["scope"]["name"]
            for span in scope["spans"]:
                made = middle.spans.add(
                    trace_id=bytes.fromhex(span["traceId"]), span_id=bytes.fromhex(span["spanId"]),
                    name=span["name"], start_time_unix_nano=int(span["startTimeUnixNano"]),
                )  # fmt: skip
                value = span["attributes"][0]
                made.attributes.add(key=value["key"]).value.string_value = value["value"]["stringValue"]
    return request.SerializeToString()


def _told(bodies: list[bytes], kind: str) -> list[tuple[str, str, Any, int]]:
    return [
        (s.name, s.scope_name, s.resource["service.name"], len(s.attributes["input.value"]))
        for body in bodies
        for s in decode("traces", body, kind).spans
    ]


@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
def test_parts_of_a_request_are_small_and_say_the_same(kind: str) -> None:
    body = json.dumps(_request([1000] * 40)).encode()
    body = body if kind == JSON else _as_protobuf(body)
    found = list(parts("traces", body, kind, 10_000))
    assert len(found) > 4 and max(map(len, found)) <= 10_000
    assert _told(found, kind) == _told([body], kind) and len(_told(found, kind)) == 40
    assert list(parts("traces", body, kind, len(body))) == [body]


@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
def test_a_record_larger_than_a_part_goes_alone(kind: str) -> None:
    body = json.dumps(_request([10, 20_000, 10, 10])).encode()
    body = body if kind == JSON else _as_protobuf(body)
    found = list(parts("traces", body, kind, 10_000))
    assert [len(b) > 10_000 for b in found].count(True) == 1
    assert _told(found, kind) == _told([body], kind)


def test_of_a_field_under_both_names_parts_take_the_one_that_decoding_takes() -> None:
    twice = _request([1000] * 8)
    twice["resourceSpans"][0] |= {"scope_spans": twice["resourceSpans"][0]["scopeSpans"], "scopeSpans": []}
    twice["resource_spans"] = _request([10])["resourceSpans"]
    body = json.dumps(twice).encode()
    found = list(parts("traces", body, JSON, 3000))
    assert len(found) > 1 and _told(found, JSON) == _told([body], JSON)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b'{"resourceSpans": [' + b" " * 99, JSON), (b'{"resourceSpans": [7, {"scopeSpans": 3}]}' + b" " * 99, JSON),
     (b"\x0a\xff" + b"x" * 99, PROTOBUF)],
)  # fmt: skip
def test_what_cannot_be_read_stays_whole(body: bytes, kind: str) -> None:
    assert list(parts("traces", body, kind, 50)) == [body]
