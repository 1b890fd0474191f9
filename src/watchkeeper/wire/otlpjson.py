"""OTLP/JSON to facts: ids in hex of either case or base64, 64-bit numbers as text or number, enums as number or name."""

import binascii
import json
import re
from typing import Any, cast

import orjson

from watchkeeper.model.span import LogRecord, RawEvent, RawLink, RawSpan
from watchkeeper.wire.decoded import Decoded, Rejected
from watchkeeper.wire.errors import Malformed
from watchkeeper.wire.limits import (
    SMALL,
    Gauge,
    integer,
    no_nul,
    number,
    plain,
    plain_keys,
    sane_times,
    vector,
)
from watchkeeper.wire.names import event_name, log_id
from watchkeeper.wire.prescan import json_parts, refuse_more
from watchkeeper.wire.protobuf import KINDS, STATUSES

_HEX = re.compile(r"[0-9a-fA-F]*")
# An escaped backslash, a pair of surrogates, or the half of one (the only one in a group).
_ESCAPES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_INT = re.compile(r"-?\d{1,40}")


class _Bad(Exception):
    """A record, or a part of the envelope, of the wrong shape."""


def weigh(body: bytes, gauge: Gauge) -> None:
    """Raises `TooLarge` for a body of more parts than may be built of it."""
    refuse_more(json_parts(body), gauge.limits.parts)


def parse(body: bytes, gauge: Gauge) -> dict[str, Any]:
    """The body as an object. What only a lenient parser reads (NaN, lone surrogates, a byte order mark, bad
    UTF-8) is accepted with replacement characters and counted; anything else raises `Malformed`."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        tree = _lenient(body, error, gauge)
    if not isinstance(tree, dict):
        raise Malformed(f"the body is JSON {_kind(tree)}, expected an object")
    return cast(dict[str, Any], tree)


def _lenient(body: bytes, first: orjson.JSONDecodeError, gauge: Gauge) -> Any:
    text = body.decode("utf-8-sig", "replace")
    text = _ESCAPES.sub(lambda found: "\\ufffd" if found[1] else found[0], text)
    try:
        tree = json.loads(text)
    except RecursionError:
        raise Malformed("the JSON is nested too deeply") from None
    except ValueError:
        raise Malformed(f"the body is not JSON: {first}") from None
    gauge.counts["replaced_text"] += 1
    return tree


_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _get(node: dict[str, Any], camel: str, snake: str) -> Any:
    """A field by its JSON name, or by its protobuf name, which JSON parsers of protobuf accept too."""
    value = node.get(camel)
    return node.get(snake) if value is None else value


def _objects(value: Any, field: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Bad(f"{field} must be a list, got {_kind(value)}")
    return cast(list[Any], value)


def _counted(value: Any, field: str, gauge: Gauge) -> list[Any]:
    found = _objects(value, field)
    gauge.admit(len(found))
    return found


def _object(value: Any, field: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Bad(f"{field} must be an object, got {_kind(value)}")
    return cast(dict[str, Any], value)


def _text(value: Any, field: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Bad(f"{field} must be a string, got {_kind(value)}")
    return no_nul(value)


def _plain(node: dict[str, Any], name: str, gauge: Gauge, field: str = "") -> str:
    """A text of a record itself, within the limits."""
    return plain(_text(node.get(name), field or name), field or name, gauge)


def _int(value: Any, field: str) -> int:
    if value is None or value == "":
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INT.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _Bad(f"{field} must be an integer or a string of digits, got {value!r:.60}")


def _id(value: Any, digits: int, field: str, required: bool) -> str:
    given = _text(value, field)
    text = given.lower() if len(given) == digits else _from_base64(given)
    if not text.strip("0"):
        if required:
            raise _Bad(f"{field} must be {digits} hex digits and not all zero, got {given!r:.60}")
        return ""
    if len(text) != digits or not _HEX.fullmatch(text):
        raise _Bad(f"{field} must be {digits} hex digits, got {given!r:.60}")
    return text


def _from_base64(text: str) -> str:
    """An id in hex that was written as protobuf's own JSON mapping writes bytes, which exporters made of generated code send; the
    text itself where it is no such id. The two lengths of base64 are not those of hex, so that nothing can be read both ways."""
    if len(text) not in (12, 24) or not text.endswith("="):
        return text
    try:
        return binascii.a2b_base64(text, strict_mode=True).hex()
    except binascii.Error:
        return text


def _enum(value: Any, names: tuple[str, ...], prefix: str, default: str) -> str:
    """An enum by number, or by its protobuf name such as SPAN_KIND_CLIENT; unknown members are the default."""
    if isinstance(value, str):
        word = value.removeprefix(prefix).lower()
        if word in names:
            return word
        value = int(value) if value.isdecimal() and len(value) < 4 else None
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return default


def attributes(value: Any, field: str, gauge: Gauge) -> dict[str, Any]:
    """A list of key/value objects as plain values."""
    out: dict[str, Any] = {}
    for pair in gauge.attributes(_objects(value, field), out):
        if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
            raise _Bad(f"{field} must hold objects with a string key, got {pair!r:.60}")
        key = pair["key"]
        out[key] = any_value(pair.get("value"), key, gauge, 1)
    return plain_keys(out, gauge)


def any_value(value: Any, key: str, gauge: Gauge, depth: int = 0) -> Any:
    """One AnyValue object as a plain value."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _Bad(
            f"the value of {key!r:.60} must be an object such as {{'stringValue': …}}, got {value!r:.60}"
        )
    node = cast(dict[str, Any], value)
    for name, inner in node.items():
        if name in ("stringValue", "string_value", "bytesValue", "bytes_value"):
            return plain(_text(inner, f"the value of {key!r:.60}"), key, gauge)
        if name in ("intValue", "int_value"):
            return integer(_int(inner, f"the value of {key!r:.60}"))
        if name in ("boolValue", "bool_value"):
            if not isinstance(inner, bool):
                raise _Bad(f"the value of {key!r:.60} must be true or false, got {inner!r:.60}")
            return inner
        if name in ("doubleValue", "double_value"):
            return _double(inner, key)
        if name in ("arrayValue", "array_value", "kvlistValue", "kvlist_value"):
            if depth >= gauge.limits.depth:
                return gauge.too_deep(key)
            items = _objects(_object(inner, key).get("values"), f"the values of {key!r:.60}")
            items = gauge.values(items, key)
            if name in ("arrayValue", "array_value"):
                return vector(key, [any_value(item, key, gauge, depth + 1) for item in items], gauge)
            found = {
                _text(pair.get("key"), "key"): any_value(
                    pair.get("value"), f"{key}.{str(pair.get('key'))[:SMALL]}", gauge, depth + 1
                )
                for pair in (_object(item, f"the values of {key!r:.60}") for item in items)
            }
            return plain_keys(found, gauge)
    return None


def _double(value: Any, key: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Bad(f"the value of {key!r:.60} must be a number, got {value!r:.60}")
    if isinstance(value, str):
        try:
            return number(float(value))
        except ValueError:
            raise _Bad(f"the value of {key!r:.60} must be a number, got {value!r:.60}") from None
    try:
        return number(float(value))
    except OverflowError:
        return str(value)


def _span(
    node: Any, resource: dict[str, Any], scope: dict[str, Any], gauge: Gauge, now_ns: int | None
) -> RawSpan:
    span = _object(node, "the span") if node is not None else {}
    trace_id = _id(_get(span, "traceId", "trace_id"), 32, "traceId", True)
    span_id = _id(_get(span, "spanId", "span_id"), 16, "spanId", True)
    parent_id = _id(_get(span, "parentSpanId", "parent_span_id"), 16, "parentSpanId", False)
    limits = gauge.limits
    start, end, suspect = sane_times(
        _int(_get(span, "startTimeUnixNano", "start_time_unix_nano"), "startTimeUnixNano"),
        _int(_get(span, "endTimeUnixNano", "end_time_unix_nano"), "endTimeUnixNano"),
        now_ns,
        limits,
    )
    values = attributes(span.get("attributes"), "attributes", gauge)
    events = _events(span, values, gauge)
    links = _links(span, values, gauge)
    dropped = _int(_get(span, "droppedAttributesCount", "dropped_attributes_count"), "droppedAttributesCount")
    if dropped:
        values["otel.dropped_attributes_count"] = dropped
    status = _object(span.get("status"), "status")
    name, message = _plain(span, "name", gauge), _plain(status, "message", gauge, "status.message")
    scope_name = _plain(scope, "name", gauge, "scope.name")
    state = plain(_text(_get(span, "traceState", "trace_state"), "traceState"), "trace_state", gauge)
    if gauge.cut:
        values["watchkeeper.truncated"] = gauge.take_cut()
    made = RawSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id if parent_id and parent_id != span_id else None,
        name=name,
        otel_kind=_enum(span.get("kind"), KINDS, "SPAN_KIND_", "unspecified"),
        start_ns=start,
        end_ns=end,
        status=_enum(status.get("code"), STATUSES, "STATUS_CODE_", "unset"),
        status_message=message or None,
        attributes=values,
        events=events,
        links=links,
        resource=resource,
        scope_name=scope_name,
        scope_version=_text(scope.get("version"), "scope.version")[:SMALL],
        trace_state=state,
        flags=_int(span.get("flags"), "flags"),
        time_suspect=suspect,
    )
    if suspect:
        gauge.counts["time_suspect"] += 1
    return made


def _events(span: dict[str, Any], values: dict[str, Any], gauge: Gauge) -> list[RawEvent]:
    nodes = _objects(span.get("events"), "events")
    limit = gauge.limits.events
    if len(nodes) > limit:
        values["watchkeeper.dropped_events"] = len(nodes) - limit
        gauge.counts["dropped_events"] += len(nodes) - limit
    return [_event(_object(e, "events"), gauge) for e in nodes[:limit]]


def _links(span: dict[str, Any], values: dict[str, Any], gauge: Gauge) -> list[RawLink]:
    nodes = _objects(span.get("links"), "links")
    limit = gauge.limits.links
    if len(nodes) > limit:
        values["watchkeeper.dropped_links"] = len(nodes) - limit
        gauge.counts["dropped_links"] += len(nodes) - limit
    return [_link(_object(k, "links"), gauge) for k in nodes[:limit]]


def _event(node: dict[str, Any], gauge: Gauge) -> RawEvent:
    when = _int(_get(node, "timeUnixNano", "time_unix_nano"), "events.timeUnixNano")
    name = plain(_text(node.get("name"), "events.name"), "event_name", gauge)
    return RawEvent(
        name, min(max(when, 0), 2**63 - 1), attributes(node.get("attributes"), "events.attributes", gauge)
    )


def _link(node: dict[str, Any], gauge: Gauge) -> RawLink:
    trace_id = _id(_get(node, "traceId", "trace_id"), 32, "links.traceId", False)
    span_id = _id(_get(node, "spanId", "span_id"), 16, "links.spanId", False)
    return RawLink(trace_id, span_id, attributes(node.get("attributes"), "links.attributes", gauge))


def _log(
    node: Any, resource: dict[str, Any], scope: dict[str, Any], gauge: Gauge, now_ns: int | None
) -> LogRecord:
    record = _object(node, "the log record") if node is not None else {}
    when = _int(_get(record, "timeUnixNano", "time_unix_nano"), "timeUnixNano") or _int(
        _get(record, "observedTimeUnixNano", "observed_time_unix_nano"), "observedTimeUnixNano"
    )
    time_ns, _, suspect = sane_times(when, 0, now_ns, gauge.limits)
    body = any_value(record.get("body"), "body", gauge)
    values = attributes(record.get("attributes"), "attributes", gauge)
    name = plain(_text(_get(record, "eventName", "event_name"), "eventName"), "event_name", gauge)
    scope_name = _plain(scope, "name", gauge, "scope.name")
    if gauge.cut:
        values["watchkeeper.truncated"] = gauge.take_cut()
    log = LogRecord(
        trace_id=_id(_get(record, "traceId", "trace_id"), 32, "traceId", False),
        span_id=_id(_get(record, "spanId", "span_id"), 16, "spanId", False),
        time_ns=time_ns,
        name=event_name(name, values, body),
        severity=_severity(_get(record, "severityNumber", "severity_number")),
        body=body,
        attributes=values,
        resource=resource,
        scope_name=scope_name,
        time_suspect=suspect,
    )
    log.log_id = log_id(log)
    if suspect:
        gauge.counts["time_suspect"] += 1
    return log


_SEVERITIES = {f"SEVERITY_NUMBER_{w}{n or ''}": base + max(n - 1, 0)
               for base, w in ((1, "TRACE"), (5, "DEBUG"), (9, "INFO"), (13, "WARN"), (17, "ERROR"), (21, "FATAL"))
               for n in (0, 2, 3, 4)}  # fmt: skip


def _severity(value: Any) -> int:
    return (
        _SEVERITIES.get(value, 0)
        if isinstance(value, str) and not value.isdecimal()
        else _int(value, "severityNumber")
    )


def decode(body: bytes, out: Decoded, gauge: Gauge, now_ns: int | None) -> None:
    """Fill `out` from an export request of `out.signal`; raises `Malformed` naming the part of the envelope."""
    root = parse(body, gauge)
    traces = out.signal == "traces"
    outer, outer2 = ("resourceSpans", "resource_spans") if traces else ("resourceLogs", "resource_logs")
    middle, middle2 = ("scopeSpans", "scope_spans") if traces else ("scopeLogs", "scope_logs")
    inner, inner2 = ("spans", "spans") if traces else ("logRecords", "log_records")
    try:
        for i, group in enumerate(_counted(_get(root, outer, outer2), outer, gauge)):
            group_ = _object(group, f"{outer}[{i}]")
            where = f"{outer}[{i}].resource"
            resource = attributes(_object(group_.get("resource"), where).get("attributes"), where, gauge)
            out.note_lost(resource, now_ns)
            where = f"{outer}[{i}].{middle}"
            for j, scoped in enumerate(_counted(_get(group_, middle, middle2), where, gauge)):
                where = f"{outer}[{i}].{middle}[{j}]"
                scoped_ = _object(scoped, where)
                scope = _object(scoped_.get("scope"), f"{where}.scope")
                for k, node in enumerate(_counted(_get(scoped_, inner, inner2), f"{where}.{inner}", gauge)):
                    out.received += 1
                    try:
                        if traces:
                            out.spans.append(_span(node, resource, scope, gauge, now_ns))
                        else:
                            out.logs.append(_log(node, resource, scope, gauge, now_ns))
                    except _Bad as error:
                        gauge.take_cut()
                        out.rejected.append(Rejected(f"{where}.{inner}[{k}]", str(error)))
    except _Bad as error:
        raise Malformed(str(error)) from error
