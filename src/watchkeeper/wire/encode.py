"""Facts to OTLP protobuf: what `decode` reads, written again, for imports and for forwarding to another backend."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as PbLog
from opentelemetry.proto.trace.v1.trace_pb2 import Span as PbSpan

from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.wire.limits import INT_MAX, INT_MIN
from watchkeeper.wire.protobuf import KINDS, STATUSES

_KIND = {name: number for number, name in enumerate(KINDS)}
_STATUS = {name: number for number, name in enumerate(STATUSES)}
Group = tuple[int, str, str]


def traces(spans: Iterable[RawSpan]) -> bytes:
    """An export request of these spans. Those that share a resource object and a scope share a group."""
    request = ExportTraceServiceRequest()
    groups: dict[Group, Any] = {}
    for raw in spans:
        key = (id(raw.resource), raw.scope_name, raw.scope_version)
        scope = groups.get(key)
        if scope is None:
            outer = request.resource_spans.add()
            outer.resource.attributes.extend(pairs(raw.resource))
            scope = groups[key] = outer.scope_spans.add()
            scope.scope.name, scope.scope.version = text(raw.scope_name), text(raw.scope_version)
        scope.spans.append(_span(raw))
    return request.SerializeToString()


def traces_json(spans: Iterable[RawSpan]) -> str:
    """The same request as one line of OTLP/JSON: ids in hex, enumerations as numbers."""
    return _as_json(ExportTraceServiceRequest.FromString(traces(spans)))


def logs_json(records: Iterable[LogRecord]) -> str:
    """The request of `logs` as one line of OTLP/JSON."""
    return _as_json(ExportLogsServiceRequest.FromString(logs(records)))


def _as_json(request: ExportTraceServiceRequest | ExportLogsServiceRequest) -> str:
    made: dict[str, Any] = MessageToDict(request, use_integers_for_enums=True)
    for outer in (*made.get("resourceSpans", []), *made.get("resourceLogs", [])):
        for scope in (*outer.get("scopeSpans", []), *outer.get("scopeLogs", [])):
            for record in (*scope.get("spans", []), *scope.get("logRecords", [])):
                for holder in (record, *record.get("links", [])):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = base64.b64decode(holder[name]).hex()
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))


def logs(records: Iterable[LogRecord]) -> bytes:
    """An export request of these log records."""
    request = ExportLogsServiceRequest()
    groups: dict[Group, Any] = {}
    for record in records:
        key = (id(record.resource), record.scope_name, "")
        scope = groups.get(key)
        if scope is None:
            outer = request.resource_logs.add()
            outer.resource.attributes.extend(pairs(record.resource))
            scope = groups[key] = outer.scope_logs.add()
            scope.scope.name = text(record.scope_name)
        scope.log_records.append(_log(record))
    return request.SerializeToString()


def _span(raw: RawSpan) -> PbSpan:
    made = PbSpan(
        trace_id=bytes.fromhex(raw.trace_id),
        span_id=bytes.fromhex(raw.span_id),
        parent_span_id=bytes.fromhex(raw.parent_id) if raw.parent_id else b"",
        trace_state=text(raw.trace_state),
        flags=raw.flags & 0xFFFFFFFF,
        name=text(raw.name),
        kind=cast(Any, _KIND.get(raw.otel_kind, 0)),
        start_time_unix_nano=max(raw.start_ns, 0),
        end_time_unix_nano=max(raw.end_ns, 0),
        attributes=pairs(raw.attributes),
    )
    made.status.code = cast(Any, _STATUS.get(raw.status, 0))
    made.status.message = text(raw.status_message or "")
    for event in raw.events:
        made.events.add(
            time_unix_nano=max(event.time_ns, 0), name=text(event.name), attributes=pairs(event.attributes)
        )
    for link in raw.links:
        made.links.add(
            trace_id=bytes.fromhex(link.trace_id),
            span_id=bytes.fromhex(link.span_id),
            attributes=pairs(link.attributes),
        )
    return made


def _log(record: LogRecord) -> PbLog:
    made = PbLog(
        trace_id=bytes.fromhex(record.trace_id),
        span_id=bytes.fromhex(record.span_id),
        time_unix_nano=max(record.time_ns, 0),
        severity_number=cast(Any, record.severity if 0 <= record.severity <= 24 else 0),
        event_name=text(record.name),
        attributes=pairs(record.attributes),
    )
    if record.body is not None:
        made.body.CopyFrom(any_value(record.body))
    return made


def pairs(values: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes; one whose value is null is told so, as it came."""
    return [KeyValue(key=text(k), value=any_value(v)) for k, v in values.items()]


def any_value(value: Any) -> AnyValue:
    """A plain value. Integers past 64 bits become text, as `decode` gives them."""
    if isinstance(value, str):
        return AnyValue(string_value=text(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value) if INT_MIN <= value <= INT_MAX else AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    made = AnyValue()
    if isinstance(value, list | tuple):
        made.array_value.values.extend(any_value(v) for v in cast("list[Any]", value))
    elif isinstance(value, dict):
        table = cast("dict[Any, Any]", value)
        made.kvlist_value.values.extend(
            KeyValue(key=text(str(k)), value=any_value(v)) for k, v in table.items()
        )
    elif value is not None:
        made.string_value = text(str(value))
    return made


def text(value: str) -> str:
    """Text that protobuf can carry: lone surrogates become the replacement character."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
