"""Whatever bytes arrive: good records are taken, bad ones named, and nothing but a typed error comes out."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from watchkeeper import wire

T, S = "ab" * 16, "cd" * 8
JSON, PROTO = "application/json", "application/x-protobuf"


def _body(*spans: Any, **resource: Any) -> bytes:
    return json.dumps(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}
    ).encode()


def _span(**fields: Any) -> dict[str, Any]:
    return {"traceId": T, "spanId": S, "name": "ok", "startTimeUnixNano": "1795000000000000000", **fields}


def _proto(*names: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    for i, name in enumerate(names):
        scoped.spans.add(trace_id=b"\x01" * 16, span_id=(i + 1).to_bytes(8, "big"), name=name,
                         start_time_unix_nano=1795 * 10**15)  # fmt: skip
    return request


BAD_SPANS = {
    "zero trace id": _span(traceId="0" * 32),
    "short trace id": _span(traceId="ab"),
    "not hex": _span(traceId="zz" * 16),
    "no trace id": {"spanId": S},
    "zero span id": _span(spanId="0" * 16),
    "long span id": _span(spanId="cd" * 9),
    "bad parent": _span(parentSpanId="12"),
    "id is a number": _span(traceId=12),
    "name is a list": _span(name=["x"]),
    "time is text": _span(startTimeUnixNano="soon"),
    "time is a fraction": _span(startTimeUnixNano=1.5),
    "attributes is an object": _span(attributes={"a": 1}),
    "attribute without key": _span(attributes=[{"value": {}}]),
    "attribute value is bare": _span(attributes=[{"key": "a", "value": "b"}]),
    "int is a word": _span(attributes=[{"key": "a", "value": {"intValue": "many"}}]),
    "bool is a word": _span(attributes=[{"key": "a", "value": {"boolValue": "yes"}}]),
    "double is a word": _span(attributes=[{"key": "a", "value": {"doubleValue": "x"}}]),
    "events is text": _span(events="x"),
    "event is text": _span(events=["x"]),
    "status is a number": _span(status=2),
    "span is text": "span",
    "span is null": None,
}


@pytest.mark.parametrize("name", BAD_SPANS)
def test_it_rejects_one_bad_span_and_keeps_its_neighbours(name: str) -> None:
    decoded = wire.decode("traces", _body(_span(), BAD_SPANS[name], _span(spanId="ee" * 8)), JSON)
    assert [s.span_id for s in decoded.spans] == [S, "ee" * 8]
    assert len(decoded.rejected) == 1 and decoded.received == 3
    assert "spans[1]" in decoded.rejected[0].where and decoded.rejected[0].reason


MALFORMED = [
    b"", b"{", b"[]", b'"x"', b"nul", b"{]", b"{\"resourceSpans\": 5}", b"{\"resourceSpans\": [5]}",
    b'{"resourceSpans":[{"scopeSpans":{}}]}', b'{"resourceSpans":[{"resource":{"attributes":[{"key":5}]}}]}',
    b"[" * 60_000, b'{"a":' * 600_000 + b"1" + b"}" * 600_000, b"{" + b"9" * 5_000 + b"}", b"\xff\xfe{\x00}\x00",
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_it_names_what_is_wrong_with_a_body_that_is_not_otlp_json(body: bytes) -> None:
    with pytest.raises(wire.Malformed) as caught:
        wire.decode("traces", body, JSON)
    assert len(str(caught.value)) > 10


def test_it_reads_the_quirks_of_json_exporters() -> None:
    values = [
        ("a", {"intValue": "5"}), ("b", {"intValue": 6}), ("c", {"doubleValue": "NaN"}), ("d", {"doubleValue": 1}),
        ("e", {"bytesValue": "AAE="}), ("f", {"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": 7.0}]}}),
        ("g", {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}), ("h", {}),
        ("i", {"unknownValue": 1}), ("j", {"stringValue": "a\x00b"}), ("k", {"intValue": 2**70}),
    ]  # fmt: skip
    span = _span(
        traceId=T.upper(), kind="SPAN_KIND_CLIENT", status={"code": "STATUS_CODE_ERROR"}, newField=1,
        attributes=[{"key": k, "value": v, "extra": 0} for k, v in values], parentSpanId="0" * 16,
    )  # fmt: skip
    decoded = wire.decode("traces", b"\xef\xbb\xbf" + _body(span), "application/json; charset=utf-8")
    made = decoded.spans[0]
    assert made.trace_id == T and made.parent_id is None
    assert (made.otel_kind, made.status, made.end_ns) == ("client", "error", 0)
    assert made.attributes == {"a": 5, "b": 6, "c": "NaN", "d": 1.0, "e": "AAE=", "f": ["x", 7], "g": {"k": True},
                               "h": None, "i": None, "j": "a\ufffdb", "k": str(2**70)}  # fmt: skip


def test_it_reads_ids_as_the_json_mapping_of_protobuf_writes_them() -> None:
    request = _proto("one", "two")
    request.resource_spans[0].scope_spans[0].spans[1].parent_span_id = (1).to_bytes(8, "big")
    request.resource_spans[0].scope_spans[0].spans[1].links.add(
        trace_id=b"\xfb\xff" * 8, span_id=b"\xfb\xff" * 4
    )
    in_json = wire.decode("traces", json_format.MessageToJson(request).encode(), JSON)
    in_protobuf = wire.decode("traces", request.SerializeToString(), PROTO)
    assert in_json.spans == in_protobuf.spans and not in_json.rejected


@pytest.mark.parametrize(
    "bad", ["A" * 22 + "==", "//" * 11 + "/=", "AQIDBAUGBwg=", "AQ IDBAUGBwgJCgsMDQ4PE=="]
)
def test_it_rejects_what_is_neither_hex_nor_base64_of_an_id_with_the_id_as_it_was_sent(bad: str) -> None:
    decoded = wire.decode("traces", _body(_span(traceId=bad)), JSON)
    assert not decoded.spans and repr(bad) in decoded.rejected[0].reason


def test_it_replaces_lone_surrogates_and_bad_utf8_instead_of_losing_the_batch() -> None:
    body = _body(_span(attributes=[{"key": "emoji", "value": {"stringValue": "\ud83d cut"}}]))
    decoded = wire.decode("traces", body.replace(b'"ok"', b'"caf\xe9"'), JSON)
    assert decoded.spans[0].attributes["emoji"].encode() and decoded.spans[0].name == "caf\ufffd"
    assert decoded.counts["replaced_text"] == 1


@pytest.mark.parametrize("depth", [31, 49, 60, 200])
def test_it_cuts_deep_nesting_in_json(depth: int) -> None:
    value: dict[str, Any] = {"stringValue": "core"}
    for _ in range(depth):
        value = {"arrayValue": {"values": [value]}}
    decoded = wire.decode("traces", _body(_span(attributes=[{"key": "deep", "value": value}])), JSON)
    assert len(decoded.spans) == 1
    assert decoded.counts["truncated_values"] == (depth > 31)


@pytest.mark.parametrize("depth", [31, 45, 60, 10_000])
def test_it_loses_at_most_the_span_that_nests_too_deeply_in_protobuf(depth: int) -> None:
    request = _proto("good", "also good")
    value = b"\x0a\x04core"
    for _ in range(depth):
        value = b"\x0a" + _size(value) + value
        value = b"\x2a" + _size(value) + value
    pair = b"\x0a\x01k\x12" + _size(value) + value
    span = _proto("deep").resource_spans[0].scope_spans[0].spans[0]
    span.span_id = b"\x09" * 8
    raw = span.SerializeToString() + b"\x4a" + _size(pair) + pair
    scope = request.resource_spans[0].scope_spans[0].SerializeToString() + b"\x12" + _size(raw) + raw
    group = b"\x12" + _size(scope) + scope
    decoded = wire.decode("traces", b"\x0a" + _size(group) + group, PROTO)
    assert [s.name for s in decoded.spans][:2] == ["good", "also good"]
    assert decoded.received == 3 == len(decoded.spans) + len(decoded.rejected)


def _size(data: bytes) -> bytes:
    n, out = len(data), bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


@pytest.mark.parametrize("kind", ["arrayValue", "kvlistValue"])
def test_a_value_nested_ten_thousand_deep_in_json_costs_its_neighbours_nothing(kind: str) -> None:
    named = kind == "kvlistValue"
    inner = '{"' + kind + '":{"values":[' + '{"key":"a]{","value":' * named
    closing = "}" * named + "]}}"
    value = inner * 10_000 + '{"stringValue":"x"}' + closing * 10_000
    deep = json.dumps(_span(attributes=[{"key": "deep", "value": "HERE"}])).replace('"HERE"', value)
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[%s,%s]}]}]}'
    decoded = wire.decode("traces", body % (deep.encode(), json.dumps(_span(spanId="ef" * 8)).encode()), JSON)
    assert len(decoded.spans) == 2 and not decoded.rejected
    assert "nested deeper" in json.dumps(decoded.spans[0].attributes["deep"])


def test_an_integer_of_thousands_of_digits_costs_only_its_span() -> None:
    body = _body(_span(), _span(startTimeUnixNano="MANY", spanId="ef" * 8)).replace(b'"MANY"', b"9" * 5_000)
    decoded = wire.decode("traces", body, JSON)
    assert len(decoded.spans) == 1 and "startTimeUnixNano must be an integer" in decoded.rejected[0].reason
    body = _body(_span(attributes=[{"key": "a", "value": {"doubleValue": "MANY"}}])).replace(
        b'"MANY"', b"9" * 5_000
    )
    assert wire.decode("traces", body, JSON).spans[0].attributes["a"] == "Infinity"


def test_it_salvages_good_spans_beside_one_with_invalid_utf8() -> None:
    body = _proto("good", "b@d", "fine").SerializeToString().replace(b"b@d", b"b\xffd")
    decoded = wire.decode("traces", body, PROTO)
    assert [s.name for s in decoded.spans] == ["good", "fine"]
    assert "UTF-8" in decoded.rejected[0].reason and decoded.received == 3


def test_a_damaged_part_of_the_envelope_costs_what_stands_in_it_and_nothing_else() -> None:
    def scope(n: int, **more: Any) -> dict[str, Any]:
        return {"spans": [_span(spanId=f"{i + 1:016x}") for i in range(n)], **more}

    for damaged, lost in (
        ("text", 1),
        ({"scopeSpans": "text"}, 1),
        ({"resource": "text", "scopeSpans": [scope(2), scope(1)]}, 3),
        ({"resource": {"attributes": [5]}, "scopeSpans": [scope(2)]}, 2),
        ({"scopeSpans": [scope(2, scope="text")]}, 2),
        ({"scopeSpans": [5]}, 1),
        ({"scopeSpans": [{"spans": "text"}]}, 1),
    ):
        groups = [damaged, {"scopeSpans": [scope(3)]}]
        decoded = wire.decode("traces", json.dumps({"resourceSpans": groups}).encode(), JSON)
        assert (len(decoded.spans), len(decoded.rejected), decoded.received) == (3, lost, 3 + lost)
        assert "resourceSpans[0]" in wire.rejection_message(decoded.rejected)
        with pytest.raises(wire.Malformed, match="resourceSpans"):
            wire.decode("traces", json.dumps({"resourceSpans": [damaged]}).encode(), JSON)


def test_a_damaged_part_of_a_protobuf_envelope_costs_what_stands_in_it_and_nothing_else() -> None:
    def held(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    group = _proto("a", "b").SerializeToString()
    scope = _proto("c", "d").resource_spans[0].scope_spans[0].SerializeToString()
    for damaged, lost in (
        (held(1, b"\xff\xff") + held(2, scope), 2),
        (held(2, held(1, b"\xff\xff") + scope), 2),
        (b"\x12\x05a", 1),
    ):
        decoded = wire.decode("traces", held(1, damaged) + group, PROTO)
        assert [s.name for s in decoded.spans] == ["a", "b"]
        assert (len(decoded.rejected), decoded.received) == (lost, 2 + lost)
        with pytest.raises(wire.Malformed):
            wire.decode("traces", held(1, damaged), PROTO)


def test_it_rejects_bad_ids_in_protobuf_one_by_one() -> None:
    request = _proto("a", "b", "c", "d")
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id = bytes(16)
    spans[1].span_id = b"\x01"
    spans[2].parent_span_id = b"123"
    decoded = wire.decode("traces", request.SerializeToString(), PROTO)
    assert [s.name for s in decoded.spans] == ["d"] and len(decoded.rejected) == 3
    assert "trace_id" in wire.rejection_message(decoded.rejected)


@pytest.mark.parametrize(
    "body", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"\x00\x00", b"\x0b\x0a", b"{}"]
)
def test_it_names_what_is_wrong_with_a_body_that_is_not_protobuf(body: bytes) -> None:
    for signal in ("traces", "logs", "metrics"):
        with pytest.raises(wire.Malformed):
            wire.decode(signal, body, PROTO)


def test_it_takes_empty_requests_and_unknown_fields() -> None:
    for signal in ("traces", "logs", "metrics"):
        assert wire.decode(signal, b"", PROTO).received == 0
        assert wire.decode(signal, b"{}", JSON).received == 0
    assert wire.decode("traces", b"\xa2\x06\x03abc" + _proto("x").SerializeToString(), PROTO).received == 1


def test_it_refuses_content_types_it_does_not_read_and_guesses_a_missing_one() -> None:
    with pytest.raises(wire.UnsupportedEncoding):
        wire.decode("traces", b"", "text/plain")
    assert wire.decode("traces", _body(_span()), None).encoding == "json"
    assert wire.decode("traces", _proto("x").SerializeToString(), "").encoding == "protobuf"


def test_it_gives_a_log_the_same_id_in_both_encodings() -> None:
    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add()
        .scope_logs.add()
        .log_records.add(time_unix_nano=1795 * 10**15, event_name="e.x")
    )
    record.body.string_value = "hello"
    record.attributes.add(key="n").value.int_value = 5
    plain = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{
        "timeUnixNano": str(1795 * 10**15), "eventName": "e.x", "body": {"stringValue": "hello"},
        "attributes": [{"key": "n", "value": {"intValue": "5"}}]}]}]}]}  # fmt: skip
    first = wire.decode("logs", request.SerializeToString(), PROTO).logs[0]
    second = wire.decode("logs", json.dumps(plain).encode(), JSON).logs[0]
    assert first == second and len(first.log_id) == 32


@pytest.mark.parametrize(
    ("field", "attributes", "body", "name"),
    [("gen_ai.choice", {}, None, "gen_ai.choice"), ("", {"event.name": "gen_ai.choice"}, "text", "gen_ai.choice"),
     ("", {"event.name": "user_prompt"}, "claude_code.user_prompt", "claude_code.user_prompt"),
     ("", {}, "an ordinary line of log.", ""), ("", {}, "codex.sse_event", "codex.sse_event")],
)  # fmt: skip
def test_it_finds_the_event_name_wherever_the_client_put_it(
    field: str, attributes: dict[str, str], body: Any, name: str
) -> None:
    record: dict[str, Any] = {
        "eventName": field,
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
    }
    if body is not None:
        record["body"] = {"stringValue": body}
    sent = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    assert wire.decode("logs", sent, JSON).logs[0].name == name


def test_it_keeps_token_duration_and_cost_instruments_only() -> None:
    request = ExportMetricsServiceRequest()
    scoped = request.resource_metrics.add().scope_metrics.add()
    histogram = scoped.metrics.add(name="gen_ai.client.token.usage", unit="{token}")
    histogram.histogram.data_points.add(sum=30, count=2, time_unix_nano=1795 * 10**15)
    counter = scoped.metrics.add(name="claude_code.cost.usage", unit="USD")
    counter.sum.data_points.add(as_double=0.5, time_unix_nano=1795 * 10**15)
    scoped.metrics.add(name="http.server.active").gauge.data_points.add(as_int=3)
    decoded = wire.decode("metrics", request.SerializeToString(), PROTO)
    assert [(m.name, m.value, m.count) for m in decoded.metrics] == [
        ("gen_ai.client.token.usage", 30.0, 2), ("claude_code.cost.usage", 0.5, 1),
    ]  # fmt: skip
    assert (decoded.received, decoded.ignored) == (3, 1)


POINT = {
    "timeUnixNano": str(1795 * 10**15),
    "asInt": "5",
    "attributes": [{"key": "k", "value": {"stringValue": "v"}}],
}


def _metrics_json(*metrics: Any) -> bytes:
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode()


@pytest.mark.parametrize(
    ("bad", "lost", "why"),
    [
        ({"sum": {"dataPoints": [POINT, {**POINT, "asInt": "many"}]}}, 1, "point 1: asInt must be an integer"),
        ({"gauge": {"dataPoints": [{**POINT, "attributes": "x"}]}}, 1, "attributes must be a list"),
        ({"gauge": {"dataPoints": [{"asDouble": "NaN"}]}}, 1, "not a finite number"),
        ({"histogram": {"dataPoints": [{"sum": 1, "count": -1}]}}, 1, "count must be"),
        ({"summary": {"dataPoints": [{"sum": "1e400", "count": "1"}, 7]}}, 2, "the point must be an object"),
        ({"sum": {"dataPoints": {"a": 1}}}, 1, "dataPoints must be a list"),
        ({"sum": {"dataPoints": [POINT, POINT]}, "name": 5}, 2, "name must be a string"),
        ("no metric", 1, "the metric must be an object"),
    ],
)  # fmt: skip
def test_a_bad_metric_in_json_costs_only_its_points(bad: Any, lost: int, why: str) -> None:
    good = {"name": "gen_ai.client.token.usage", "sum": {"dataPoints": [POINT]}}
    bad = {"name": "llm.cost", **bad} if isinstance(bad, dict) else bad
    decoded = wire.decode("metrics", _metrics_json(good, bad, good), JSON)
    assert [m.value for m in decoded.metrics if m.name == good["name"]] == [5.0, 5.0]
    assert len(decoded.rejected) == lost and why in wire.rejection_message(decoded.rejected)
    assert decoded.received == len(decoded.metrics) + len(decoded.rejected) + decoded.ignored


def test_metrics_say_the_same_in_both_encodings() -> None:
    request = ExportMetricsServiceRequest()
    scoped = request.resource_metrics.add().scope_metrics.add()
    at = 1795 * 10**15
    scoped.metrics.add(name="llm.cost", unit="USD").gauge.data_points.add(as_double=0.5, time_unix_nano=at)
    for kind in ("histogram", "exponential_histogram", "summary"):
        getattr(scoped.metrics.add(name=f"{kind}.duration"), kind).data_points.add(
            sum=3, count=2, time_unix_nano=at
        )
    # A point that says that it has no value is none.
    scoped.metrics.add(name="token.gap").gauge.data_points.add(flags=1, time_unix_nano=at)
    scoped.metrics.add(name="token.bad").gauge.data_points.add(as_double=float("inf"), time_unix_nano=at)
    scoped.metrics.add(name="nothing.token")
    first = wire.decode("metrics", request.SerializeToString(), PROTO)
    second = wire.decode("metrics", json_format.MessageToJson(request).encode(), JSON)
    assert first.metrics == second.metrics and len(first.metrics) == 4
    for decoded in (first, second):
        assert (decoded.received, decoded.ignored, len(decoded.rejected)) == (6, 1, 1)


@pytest.mark.parametrize("old", [b"b@d", b"llm.cost", b"UNIT"])
def test_a_bad_metric_in_protobuf_costs_only_its_points(old: bytes) -> None:
    request = ExportMetricsServiceRequest()
    scoped = request.resource_metrics.add().scope_metrics.add()
    for name in ("gen_ai.client.token.usage", "llm.cost", "http.duration"):
        points = scoped.metrics.add(name=name, unit="UNIT" if name == "llm.cost" else "").sum.data_points
        points.add(as_int=1, time_unix_nano=1795 * 10**15)
        if name == "llm.cost":
            points.add(as_int=2).attributes.add(key="k").value.string_value = "b@d"
    body = request.SerializeToString().replace(old, old[:1] + b"\xff" + old[2:])
    decoded = wire.decode("metrics", body, PROTO)
    assert {"gen_ai.client.token.usage", "http.duration"} <= {m.name for m in decoded.metrics}
    assert len(decoded.rejected) == (1 if old == b"b@d" else 2)
    assert "UTF-8" in decoded.rejected[0].reason and "record 1, point" in decoded.rejected[0].where
    assert decoded.received == 4 == len(decoded.metrics) + len(decoded.rejected)


def test_it_answers_in_the_encoding_of_the_question() -> None:
    assert wire.export_response("traces", "protobuf") == (b"", PROTO)
    assert wire.export_response("logs", "json") == (b"{}", JSON)
    body, _ = wire.export_response("traces", "protobuf", 3, "why")
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    assert (partial.rejected_spans, partial.error_message) == (3, "why")
    body, media = wire.export_response("logs", "json", 2, "why")
    assert (
        json.loads(body)["partialSuccess"] == {"rejectedLogRecords": "2", "errorMessage": "why"}
        and media == JSON
    )
    body, _ = wire.status_response(3, "bad field", "json")
    assert json.loads(body) == {"code": 3, "message": "bad field"}
    assert wire.status_response(3, "bad field", "protobuf")[0].startswith(b"\x08\x03")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "value", "stringValue", "intValue", "arrayValue", "values", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"traceId": st.just(T) | _json, "spanId": st.just(S) | _json},
        optional={
            "attributes": _json | st.lists(_json),
            "events": _json,
            "links": _json,
            "status": _json,
            "kind": _json,
            "startTimeUnixNano": _json,
            "name": _json,
        },
    )
)
def test_it_takes_or_rejects_any_json_span(span: dict[str, Any]) -> None:
    decoded = wire.decode("traces", _body(_span(), span), JSON, now_ns=1795 * 10**15)
    assert decoded.received == 2 and len(decoded.spans) + len(decoded.rejected) == 2
    assert decoded.spans[0].name == "ok"


def test_lists_that_an_exporter_wrote_as_maps_are_lists_in_both_encodings() -> None:
    def kvlist(*values: dict[str, Any]) -> dict[str, Any]:
        return {"kvlistValue": {"values": [{"key": str(i), "value": v} for i, v in enumerate(values)]}}

    other = {"kvlistValue": {"values": [{"key": "1", "value": {"intValue": "3"}}]}}
    told = {"key": "m", "value": kvlist({"stringValue": "a"}, kvlist({"boolValue": True}), other)}
    body = _body(_span(attributes=[told]))
    sent = json_format.Parse(
        body.replace(T.encode(), b"q6urq6urq6urq6urq6urqw==").replace(S.encode(), b"zc3Nzc3Nzc0="),
        ExportTraceServiceRequest(),
    )
    for media, data in ((JSON, body), (PROTO, sent.SerializeToString())):
        (made,) = wire.decode("traces", data, media).spans
        assert made.attributes["m"] == ["a", [True], {"1": 3}], media
