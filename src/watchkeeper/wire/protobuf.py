"""OTLP protobuf to facts. The loop over attributes is the hottest code of the product: it is written to be quick."""

from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as PbLog
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as PbSpan

from watchkeeper.model.span import LogRecord, RawEvent, RawLink, RawSpan
from watchkeeper.wire.decoded import Decoded, Rejected
from watchkeeper.wire.errors import Malformed
from watchkeeper.wire.limits import (
    MAX_TIME_NS,
    SMALL,
    Gauge,
    binary,
    long_text,
    no_nul,
    number,
    plain,
    plain_keys,
    sane_times,
    table,
    vector,
)
from watchkeeper.wire.names import event_name, log_id
from watchkeeper.wire.prescan import protobuf_parts, refuse_more

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
_ZERO8, _ZERO16 = bytes(8), bytes(16)


def attributes(pairs: Any, gauge: Gauge) -> dict[str, Any]:
    """The attributes as plain values; later duplicates of a key win."""
    out: dict[str, Any] = {}
    for pair in gauge.attributes(pairs, out):
        value = pair.value
        which = value.WhichOneof("value")
        key = pair.key
        if which == "string_value":
            text = value.string_value
            if "\x00" in text:
                text = no_nul(text)
            out[key] = text if len(text) <= SMALL else long_text(key, text, gauge)
        elif which == "int_value":
            out[key] = value.int_value
        elif which == "bool_value":
            out[key] = value.bool_value
        elif which == "double_value":
            out[key] = number(value.double_value)
        else:
            out[key] = any_value(value, key, gauge, 1)
    keys = "".join(out)
    if "\x00" in keys or (len(keys) > SMALL and len(max(out, key=len)) > SMALL):
        out = plain_keys(out, gauge)
    return out


def any_value(value: Any, key: str, gauge: Gauge, depth: int = 0) -> Any:
    """One AnyValue as a plain value."""
    which = value.WhichOneof("value")
    if which == "string_value":
        return plain(value.string_value, key, gauge)
    if which == "array_value":
        if depth >= gauge.limits.depth:
            return gauge.too_deep(key)
        values = gauge.values(value.array_value.values, key)
        return vector(key, [any_value(v, key, gauge, depth + 1) for v in values], gauge)
    if which == "kvlist_value":
        if depth >= gauge.limits.depth:
            return gauge.too_deep(key)
        # Message content nested in a list keeps the outer key's limits: "content" inside "gen_ai.input.messages".
        pairs = gauge.values(value.kvlist_value.values, key)
        found = {p.key: any_value(p.value, f"{key}.{p.key[:SMALL]}", gauge, depth + 1) for p in pairs}
        return table(key, found, gauge)
    if which == "double_value":
        return number(value.double_value)
    if which == "bytes_value":
        return plain(binary(value.bytes_value), key, gauge)
    return None if which is None else getattr(value, which)


def _events(found: Any, values: dict[str, Any], gauge: Gauge) -> list[RawEvent]:
    limit = gauge.limits.events
    if len(found) > limit:
        values["watchkeeper.dropped_events"] = len(found) - limit
        gauge.counts["dropped_events"] += len(found) - limit
        found = found[:limit]
    return [
        RawEvent(
            plain(e.name, "event_name", gauge),
            min(e.time_unix_nano, MAX_TIME_NS),
            attributes(e.attributes, gauge),
        )
        for e in found
    ]


def _links(found: Any, values: dict[str, Any], gauge: Gauge) -> list[RawLink]:
    limit = gauge.limits.links
    if len(found) > limit:
        values["watchkeeper.dropped_links"] = len(found) - limit
        gauge.counts["dropped_links"] += len(found) - limit
        found = found[:limit]
    return [RawLink(k.trace_id.hex(), k.span_id.hex(), attributes(k.attributes, gauge)) for k in found]


def _span(span: Any, resource: dict[str, Any], scope: Any, gauge: Gauge, now_ns: int | None) -> RawSpan | str:
    """One span, or the reason it is rejected."""
    trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
    if len(trace_id) != 16 or trace_id == _ZERO16:
        return f"trace_id must be 16 bytes and not all zero, got {len(trace_id)} bytes"
    if len(span_id) != 8 or span_id == _ZERO8:
        return f"span_id must be 8 bytes and not all zero, got {len(span_id)} bytes"
    if parent_id and len(parent_id) != 8:
        return f"parent_span_id must be 8 bytes or empty, got {len(parent_id)} bytes"
    limits = gauge.limits
    start, end, suspect = sane_times(span.start_time_unix_nano, span.end_time_unix_nano, now_ns, limits)
    values = attributes(span.attributes, gauge)
    events = _events(span.events, values, gauge) if span.events else []
    links = _links(span.links, values, gauge) if span.links else []
    if span.dropped_attributes_count:
        values["otel.dropped_attributes_count"] = span.dropped_attributes_count
    status = span.status
    name, message = plain(span.name, "name", gauge), plain(status.message, "status.message", gauge)
    scope_name, state = plain(scope.name, "scope.name", gauge), plain(span.trace_state, "trace_state", gauge)
    if gauge.cut:
        values["watchkeeper.truncated"] = gauge.take_cut()
    if suspect:
        gauge.counts["time_suspect"] += 1
    kind, code = span.kind, status.code
    return RawSpan(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=parent_id.hex() if parent_id and parent_id != _ZERO8 and parent_id != span_id else None,
        name=name,
        otel_kind=KINDS[kind] if 0 <= kind < 6 else "unspecified",
        start_ns=start,
        end_ns=end,
        status=STATUSES[code] if 0 <= code < 3 else "unset",
        status_message=message or None,
        attributes=values,
        events=events,
        links=links,
        resource=resource,
        scope_name=scope_name,
        scope_version=no_nul(scope.version)[:SMALL],
        trace_state=state,
        flags=span.flags,
        time_suspect=suspect,
    )


def _log(
    record: Any, resource: dict[str, Any], scope: Any, gauge: Gauge, now_ns: int | None
) -> LogRecord | str:
    when = record.time_unix_nano or record.observed_time_unix_nano
    time_ns, _, suspect = sane_times(when, 0, now_ns, gauge.limits)
    body = any_value(record.body, "body", gauge)
    values = attributes(record.attributes, gauge)
    name, scope_name = plain(record.event_name, "event_name", gauge), plain(scope.name, "scope.name", gauge)
    if gauge.cut:
        values["watchkeeper.truncated"] = gauge.take_cut()
    if suspect:
        gauge.counts["time_suspect"] += 1
    trace_id = record.trace_id.hex() if len(record.trace_id) == 16 and record.trace_id != _ZERO16 else ""
    span_id = record.span_id.hex() if len(record.span_id) == 8 and record.span_id != _ZERO8 else ""
    log = LogRecord(
        trace_id=trace_id,
        span_id=span_id,
        time_ns=time_ns,
        name=event_name(name, values, body),
        severity=record.severity_number,
        body=body,
        attributes=values,
        resource=resource,
        scope_name=scope_name,
        time_suspect=suspect,
    )
    log.log_id = log_id(log)
    return log


def weigh(body: bytes, gauge: Gauge) -> bool:
    """Whether a body may be read in one go: False where some of its records cannot be counted beforehand, so that it has to be
    taken apart. Raises `TooLarge` for one of more parts or records than may be built of it."""
    parts = protobuf_parts(body)
    if not parts:
        return True
    refuse_more(parts, gauge.limits.parts)
    # Records take more memory than other messages; the three signals share the numbers of their envelopes.
    records = Gauge(gauge.limits)
    try:
        for _, group in fields(memoryview(body), (1,), "the request", records):
            for _, scope in fields(group, (2,), "a resource group", records):
                fields(scope, (2,), "a scope group", records)
    except Malformed:
        return False
    return True


def parsed(pb_type: Any, body: bytes, whole: bool) -> Any:
    """The request, None for one that has to be taken `apart`: upb refuses it, or it is not to be read whole."""
    if not whole:
        return None
    try:
        return pb_type.FromString(body)
    except DecodeError:
        return None


def decode_traces(body: bytes, out: Decoded, gauge: Gauge, now_ns: int | None, whole: bool = True) -> None:
    """Fill `out` from an ExportTraceServiceRequest, taken apart unless `whole`; raises `Malformed` when the envelope cannot be read."""
    request = parsed(ExportTraceServiceRequest, body, whole)
    if request is None:
        _salvage(body, out, gauge, now_ns, PbSpan, _span, out.spans)
        return
    gauge.admit(len(request.resource_spans))
    for i, group in enumerate(request.resource_spans):
        resource = attributes(group.resource.attributes, gauge)
        out.note_lost(resource, now_ns)
        gauge.admit(len(group.scope_spans))
        for j, scoped in enumerate(group.scope_spans):
            scope = scoped.scope
            gauge.admit(len(scoped.spans))
            for k, span in enumerate(scoped.spans):
                out.received += 1
                made = _span(span, resource, scope, gauge, now_ns)
                if isinstance(made, str):
                    out.rejected.append(
                        Rejected(f"resource_spans[{i}].scope_spans[{j}].spans[{k}] {span.name!r:.80}", made)
                    )
                else:
                    out.spans.append(made)


def decode_logs(body: bytes, out: Decoded, gauge: Gauge, now_ns: int | None, whole: bool = True) -> None:
    """Fill `out` from an ExportLogsServiceRequest, taken apart unless `whole`; raises `Malformed` when the envelope cannot be read."""
    request = parsed(ExportLogsServiceRequest, body, whole)
    if request is None:
        _salvage(body, out, gauge, now_ns, PbLog, _log, out.logs)
        return
    gauge.admit(len(request.resource_logs))
    for group in request.resource_logs:
        resource = attributes(group.resource.attributes, gauge)
        gauge.admit(len(group.scope_logs))
        for scoped in group.scope_logs:
            gauge.admit(len(scoped.log_records))
            for record in scoped.log_records:
                out.received += 1
                made = _log(record, resource, scoped.scope, gauge, now_ns)
                assert not isinstance(made, str)
                out.logs.append(made)


def _salvage(
    body: bytes, out: Decoded, gauge: Gauge, now_ns: int | None, pb_type: Any, make: Any, into: list[Any]
) -> None:
    for where, record, resource, scope in apart(body, out, gauge):
        out.received += 1
        try:
            made = make(pb_type.FromString(record), resource, scope, gauge, now_ns)
        except DecodeError as error:
            made = unreadable(error)
        if isinstance(made, str):
            out.rejected.append(Rejected(where, made))
        else:
            into.append(made)


def unreadable(error: DecodeError) -> str:
    """Why a record that upb refuses is rejected."""
    return f"it does not parse as protobuf ({error}): invalid UTF-8, nesting too deep or cut bytes"


def apart(body: bytes, out: Decoded, gauge: Gauge) -> Iterator[tuple[str, bytes, dict[str, Any], Any]]:
    """A body that upb refuses, taken apart by hand, so that one bad record does not cost its neighbours: of each record where it
    is, its bytes, its resource's attributes and its scope. A damaged group is rejected in `out`. Raises `Malformed` where the groups
    cannot be told apart.

    The signals share the envelope: 1 = group, in it 1 = resource and 2 = scope group, in it 1 = scope and 2 = record.
    """
    for i, (_, group) in enumerate(fields(body, (1,), "the request", gauge)):
        where = f"resource group {i}"
        scopes: list[bytes] = []
        try:
            parts = fields(group, (1, 2), where, gauge)
            scopes = [data for number_, data in parts if number_ == 2]
            resource_pb = _parse(Resource, [data for number_, data in parts if number_ == 1], where)
        except Malformed as error:
            out.refuse_part(str(error), sum(_records(data, where, gauge) for data in scopes))
            continue
        resource = attributes(resource_pb.attributes, gauge)
        for j, data in enumerate(scopes):
            where = f"resource group {i}, scope group {j}"
            try:
                inner = fields(data, (1, 2), where, gauge)
                scope = _parse(InstrumentationScope, [d for n, d in inner if n == 1], where)
            except Malformed as error:
                out.refuse_part(str(error), _records(data, where, gauge))
                continue
            for k, record in enumerate(d for n, d in inner if n == 2):
                yield f"{where}, record {k}", record, resource, scope


def _records(scope: bytes, where: str, gauge: Gauge) -> int:
    """How many records a scope group has, 0 where it cannot be told."""
    try:
        return len(fields(scope, (2,), where, gauge))
    except Malformed:
        return 0


Bytes = TypeVar("Bytes", bytes, memoryview)


def _parse(pb_type: Any, pieces: list[bytes], where: str) -> Any:
    try:
        return pb_type.FromString(b"".join(pieces))
    except DecodeError as error:
        raise Malformed(f"{where} does not parse as protobuf: {error}") from error


def fields(data: Bytes, wanted: tuple[int, ...], where: str, gauge: Gauge) -> list[tuple[int, Bytes]]:
    """The length-delimited fields with the wanted numbers; unknown fields are skipped, and count as records do."""
    found: list[tuple[int, Bytes]] = []
    position, size = 0, len(data)
    while position < size:
        gauge.admit(1)
        tag, position = _varint(data, position, where)
        field, wire = tag >> 3, tag & 7
        if field == 0:
            raise Malformed(f"{where} is not OTLP protobuf: field number 0 at byte {position}")
        if wire == 2:
            length, position = _varint(data, position, where)
            if position + length > size:
                raise Malformed(f"{where} is cut: a field at byte {position} needs {length} bytes")
            if field in wanted:
                found.append((field, data[position : position + length]))
            position += length
        elif wire == 0:
            _, position = _varint(data, position, where)
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
            if position > size:
                raise Malformed(f"{where} is cut inside a fixed-size field")
        else:
            raise Malformed(f"{where} is not OTLP protobuf: wire type {wire} at byte {position}")
        if field in wanted and wire != 2:
            raise Malformed(f"{where} has field {field} with wire type {wire}, expected a message")
    return found


def _varint(data: bytes | memoryview, position: int, where: str) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise Malformed(f"{where} is cut or damaged at byte {position}: a number does not end")
