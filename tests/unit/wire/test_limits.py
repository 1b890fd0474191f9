"""Over-long values are cut with a mark and counted; poison times are marked."""

import base64
import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper import wire
from watchkeeper.wire.limits import Limits, binary, binary_text, sane_times

NOW = 1_795_000_000 * 10**9
DAY = 86_400 * 10**9


def _decode(attributes: list[dict[str, Any]], **fields: Any) -> wire.Decoded:
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "s", "startTimeUnixNano": str(NOW),
            "endTimeUnixNano": str(NOW + 5), "attributes": attributes, **fields}  # fmt: skip
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    return wire.decode("traces", body, "application/json", now_ns=NOW)


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def test_it_cuts_ordinary_values_at_16_kib_with_a_mark_and_a_count() -> None:
    decoded = _decode([_text("color", "x" * 20_000), _text("short", "y" * 16_384)])
    value = decoded.spans[0].attributes["color"]
    assert value.startswith("x" * 16_384 + "…[cut") and "20000" in value
    assert decoded.spans[0].attributes["short"] == "y" * 16_384
    assert decoded.spans[0].attributes["watchkeeper.truncated"] == ["color"]
    assert decoded.counts["truncated_values"] == 1


def test_it_keeps_a_megabyte_of_content_and_cuts_more() -> None:
    text = "x" * 1_000_000
    messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
    decoded = _decode([_text("gen_ai.input.messages", messages), _text("input.value", "z" * (3 << 20))])
    assert decoded.spans[0].attributes["gen_ai.input.messages"] == messages
    assert len(decoded.spans[0].attributes["input.value"]) < (1 << 20) + 100


def test_it_cuts_long_texts_inside_json_so_that_it_still_parses() -> None:
    messages = [{"role": "user", "content": "x" * (2 << 20)}, {"role": "user", "content": "ok"}]
    decoded = _decode([_text("gen_ai.input.messages", json.dumps(messages))])
    kept = json.loads(decoded.spans[0].attributes["gen_ai.input.messages"])
    assert len(kept[0]["content"]) < (1 << 20) + 100 and kept[1]["content"] == "ok"
    assert decoded.counts["truncated_values"] == 1


def test_it_keeps_many_small_messages_whole() -> None:
    messages = json.dumps([{"role": "user", "content": "x" * 1000} for _ in range(3000)])
    assert (
        _decode([_text("gen_ai.input.messages", messages)]).spans[0].attributes["gen_ai.input.messages"]
        == messages
    )


def test_it_drops_embedding_vectors_in_every_shape() -> None:
    numbers = [0.125] * 400
    array = {"arrayValue": {"values": [{"doubleValue": n} for n in numbers]}}
    decoded = _decode(
        [
            {"key": "embedding.embeddings.0.embedding.vector", "value": array},
            _text("ai.embedding", json.dumps(numbers)),
            _text(
                "mlflow.spanOutputs",
                json.dumps({"data": [{"embedding": numbers}], "usage": {"total_tokens": 3}}),
            ),
        ]
    )
    attributes = decoded.spans[0].attributes
    assert attributes["embedding.embeddings.0.embedding.vector"] == "[vector of 400 numbers dropped]"
    assert "400 numbers" in attributes["ai.embedding"]
    assert json.loads(attributes["mlflow.spanOutputs"])["usage"] == {"total_tokens": 3}
    assert decoded.counts["dropped_vectors"] == 3


def test_it_limits_attributes_events_and_links_and_says_how_many_went() -> None:
    decoded = _decode(
        [_text(f"k{i}", "v") for i in range(12_000)],
        events=[{"name": "e"}] * 10_005,
        links=[{"traceId": "ab" * 16, "spanId": "cd" * 8}] * 1_010,
    )
    span = decoded.spans[0]
    assert span.attributes["watchkeeper.dropped_attributes"] == 2_000
    assert span.attributes["watchkeeper.dropped_events"] == 5 and len(span.events) == 10_000
    assert span.attributes["watchkeeper.dropped_links"] == 10 and len(span.links) == 1_000
    assert dict(decoded.counts) == {"dropped_attributes": 2_000, "dropped_events": 5, "dropped_links": 10}


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, NOW), (1, NOW), (-5, NOW), (NOW - 3653 * DAY, NOW), (NOW + 3653 * DAY, 0), (2**63 - 1, 0),
     (2**64 - 1, 2**64 - 1), (NOW, NOW - 1), (NOW, NOW + 36_500 * DAY), (NOW - 400 * DAY, NOW)],
)  # fmt: skip
def test_it_marks_poison_times_and_clamps_them(start: int, end: int) -> None:
    low, high, suspect = sane_times(start, end, NOW, Limits())
    assert suspect and 0 <= low < 2**63 and 0 <= high < 2**63


@pytest.mark.parametrize(
    ("start", "end"), [(NOW, NOW + 5), (NOW, 0), (NOW - 3 * DAY, NOW), (NOW - 700 * DAY, NOW - 699 * DAY)]
)
def test_it_leaves_ordinary_times_alone(start: int, end: int) -> None:
    assert sane_times(start, end, NOW, Limits()) == (start, end, False)


def _varint(number: int) -> bytes:
    low = [(number >> shift) & 0x7F for shift in range(0, number.bit_length() or 1, 7)]
    return bytes([*(part | 0x80 for part in low[:-1]), low[-1]])


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


SMALL = Limits(records=50, values=100)
SPAN = _field(1, b"\x01" * 16) + _field(2, b"\x02" * 8)


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (_field(1, b"") * 60, "application/x-protobuf"),
        (_field(1, _field(2, b"") * 60), "application/x-protobuf"),
        (_field(1, _field(2, _field(2, SPAN) * 60)), "application/x-protobuf"),
        (_field(1, _field(2, _field(2, _field(5, b"\xff")) * 60)), "application/x-protobuf"),
        (b'{"resourceSpans": [' + b"{}," * 60 + b"{}]}", "application/json"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [' + b"{}," * 60 + b"{}]}]}]}", "application/json"),
    ],
)  # fmt: skip
def test_it_refuses_a_request_of_very_many_records_before_it_reads_them(body: bytes, media: str) -> None:
    for signal in ("traces", "logs"):
        sent = (
            body.replace(b"Spans", b"Logs").replace(b'"spans"', b'"logRecords"') if signal == "logs" else body
        )
        with pytest.raises(wire.TooLarge, match="more than 50"):
            wire.decode(signal, sent, media, limits=SMALL)


def test_of_more_values_than_a_request_may_hold_the_rest_is_left_out_with_a_mark() -> None:
    empties = _field(9, _field(1, b"list") + _field(2, _field(5, _field(1, b"") * 400)))
    body = _field(1, _field(2, _field(2, SPAN + empties)))
    read = wire.decode("traces", body, "application/x-protobuf", limits=SMALL).spans[0]
    assert read.attributes["list"] == [None] * 99 and read.attributes["watchkeeper.truncated"] == ["list"]
    made = [{"key": "list", "value": {"arrayValue": {"values": [{}] * 400}}}, _text("last", "x")]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [
        {"traceId": "ab" * 16, "spanId": "cd" * 8, "attributes": made}] * 2}]}]}).encode()  # fmt: skip
    first, second = wire.decode("traces", body, "application/json", limits=SMALL).spans
    assert len(first.attributes["list"]) == 98 and first.attributes["last"] == "x"
    assert second.attributes == {"watchkeeper.dropped_attributes": 2}


def _wordy(text: str, key: str) -> list[tuple[bytes, str]]:
    """One span and one log record that are long wherever a record itself has a text, in both encodings."""
    attribute = {"key": key, "value": {"bytesValue": "AAAA" * 10_000}}
    event = {"name": text, "timeUnixNano": "1795000000000000000"}
    made = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": text, "traceState": text, "status": {"message": text * 40},
            "startTimeUnixNano": "1795000000000000000", "attributes": [attribute], "events": [event]}  # fmt: skip
    scoped = {"scope": {"name": text, "version": text}, "spans": [made]}
    in_json = json.dumps({"resourceSpans": [{"scopeSpans": [scoped]}]}).encode()
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add().scope_spans.add()
    holder.scope.name = holder.scope.version = text
    span = holder.spans.add(trace_id=b"\xab" * 16, span_id=b"\xcd" * 8, name=text, trace_state=text,
                            start_time_unix_nano=1795 * 10**15)  # fmt: skip
    span.status.message = text * 40
    span.attributes.add(key=key).value.bytes_value = bytes(30_000)
    span.events.add(name=text, time_unix_nano=1795 * 10**15)
    return [(in_json, "application/json"), (request.SerializeToString(), "application/x-protobuf")]


def test_the_texts_and_keys_of_a_record_itself_are_cut_with_a_mark_as_values_are() -> None:
    text, key = "n" * 30_000, "k" * 30_000
    read = [wire.decode("traces", body, media).spans[0] for body, media in _wordy(text, key)]
    assert read[0] == read[1]
    span = read[0]
    assert span.name == span.scope_name == span.trace_state == span.events[0].name
    assert span.name.startswith("n" * 16_384 + "…[cut: 16384 of 30000")
    (kept,) = (name for name in span.attributes if name.startswith("k"))
    assert kept == "k" * 2048 + "…[cut: 2048 of 30000 characters kept]"
    assert span.attributes[kept].startswith("AAAA") and len(span.attributes[kept]) < 17_000
    assert len(span.scope_version) == 2048
    assert span.status_message is not None and len(span.status_message) < 1024 * 1024 + 100
    assert {"name", "status.message", "scope.name", "trace_state", "event_name"} <= {
        *span.attributes["watchkeeper.truncated"]
    }


def test_what_is_not_too_long_has_no_mark() -> None:
    for body, media in _wordy("n" * 2000, "k" * 2000):
        span = wire.decode("traces", body.replace(b"AAAA" * 10_000, b"AAAA"), media).spans[0]
        assert span.name == span.trace_state == "n" * 2000 and "k" * 2000 in span.attributes


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b'{"messages": ["Gr\xc3\xbc\xc3\x9fe"]}', '{"messages": ["Grüße"]}'),
        (b"\x81\xa1a\x01", '{"a":1}'),
        (b"\x00\x01", "AAE="),
        (b"\xff\xfe!", "//4h"),
        (b"\x81\xa1a", "gaFh"),
    ],
)
def test_bytes_are_the_text_or_the_object_they_hold_in_either_encoding(value: bytes, kept: str) -> None:
    assert binary(value) == kept and binary_text(base64.b64encode(value).decode()) == kept
    assert binary_text("no base64!") == "no base64!"


@pytest.mark.parametrize("printed", ['{"0": 123, "1": 125}', "[123, 125]", '"e30="'])
def test_bytes_may_be_printed_one_by_one(printed: str) -> None:
    attribute = f'{{"key": "x", "value": {{"bytesValue": {printed}}}}}'
    span = f'{{"traceId": "{"0a" * 16}", "spanId": "{"0b" * 8}", "name": "n", "attributes": [{attribute}]}}'
    body = f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{span}]}}]}}]}}'.encode()
    assert wire.decode("traces", body, "application/json").spans[0].attributes["x"] == "{}"
