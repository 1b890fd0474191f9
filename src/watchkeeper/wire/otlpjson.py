"""OTLP/JSON to facts: ids in hex of either case or base64, 64-bit numbers as text or number, enums as number or name."""

import binascii
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import orjson

from watchkeeper.model.span import LogRecord, RawEvent, RawLink, RawSpan
from watchkeeper.wire.decoded import Decoded, MetricPoint, Rejected
from watchkeeper.wire.errors import Malformed
from watchkeeper.wire.limits import (
    INT_MAX,
    SMALL,
    Gauge,
    binary,
    binary_text,
    integer,
    no_nul,
    number,
    plain,
    plain_keys,
    sane_times,
    table,
    vector,
)
from watchkeeper.wire.metrics import NO_VALUE, NOT_FINITE, WANTED
from watchkeeper.wire.names import event_name, log_id
from watchkeeper.wire.prescan import json_parts, refuse_more
from watchkeeper.wire.protobuf import KINDS, STATUSES

T = TypeVar("T")

_HEX = re.compile(r"[0-9a-fA-F]*")
# An escaped backslash, a pair of surrogates, or the half of one (the only one in a group).
_ESCAPES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_INT = re.compile(r"-?\d{1,40}")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
# Of brackets: a level of a value has up to five of them. More of them in all would take too long to look at one by one.
_DEEPEST, _MOST_NESTED = 300, 500_000


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
        raise Malformed(f"the body must be a JSON object, got {_kind(tree)}")
    return cast(dict[str, Any], tree)


def _lenient(body: bytes, first: orjson.JSONDecodeError, gauge: Gauge) -> Any:
    text = body.decode("utf-8-sig", "replace")
    text = _ESCAPES.sub(lambda found: "\\ufffd" if found[1] else found[0], text)
    try:
        try:
            tree = json.loads(text, parse_int=_integer)
        except RecursionError:
            tree = json.loads(_shallow(text), parse_int=_integer)
    except RecursionError:
        raise Malformed("the JSON is nested too deeply") from None
    except ValueError:
        raise Malformed(f"the body is not JSON: {first}") from None
    gauge.counts["replaced_text"] += 1
    return tree


def _integer(digits: str) -> int | str:
    # One that no field holds is the fault of the record it stands in, not of the body.
    return int(digits) if len(digits) <= 40 else digits


def _shallow(text: str) -> str:
    """JSON with null for whatever is nested deeper than is ever read, so that one such value does not cost its neighbours."""
    if text.count("[") + text.count("{") > _MOST_NESTED:
        return text
    parts: list[str] = []
    depth = at = 0
    for found in _BRACKETS.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth == _DEEPEST:
                parts.append(text[at : found.start()])
        elif found[0] in "]}":
            if depth == _DEEPEST:
                parts.append("null")
                at = found.end()
            depth -= 1
    return "".join(parts) + text[at:]


_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def get(node: dict[str, Any], camel: str, snake: str) -> Any:
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
        if name in ("stringValue", "string_value"):
            return plain(_text(inner, f"the value of {key!r:.60}"), key, gauge)
        if name in ("bytesValue", "bytes_value"):
            return plain(_binary(inner, key), key, gauge)
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
            return table(key, found, gauge)
    return None


def _binary(value: Any, key: str) -> str:
    """Bytes as base64 text, or one by one as an array of JavaScript's is printed."""
    if isinstance(value, dict | list):
        listed = (
            list(cast(dict[str, Any], value).values()) if isinstance(value, dict) else cast(list[Any], value)
        )
        if all(type(item) is int and 0 <= item < 256 for item in listed):
            return binary(bytes(cast(list[int], listed)))
    return binary_text(_text(value, f"the value of {key!r:.60}"))


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
    trace_id = _id(get(span, "traceId", "trace_id"), 32, "traceId", True)
    span_id = _id(get(span, "spanId", "span_id"), 16, "spanId", True)
    parent_id = _id(get(span, "parentSpanId", "parent_span_id"), 16, "parentSpanId", False)
    limits = gauge.limits
    start, end, suspect = sane_times(
        _int(get(span, "startTimeUnixNano", "start_time_unix_nano"), "startTimeUnixNano"),
        _int(get(span, "endTimeUnixNano", "end_time_unix_nano"), "endTimeUnixNano"),
        now_ns,
        limits,
    )
    values = attributes(span.get("attributes"), "attributes", gauge)
    events = _events(span, values, gauge)
    links = _links(span, values, gauge)
    dropped = _int(get(span, "droppedAttributesCount", "dropped_attributes_count"), "droppedAttributesCount")
    if dropped:
        values["otel.dropped_attributes_count"] = dropped
    status = _object(span.get("status"), "status")
    name, message = _plain(span, "name", gauge), _plain(status, "message", gauge, "status.message")
    scope_name = _plain(scope, "name", gauge, "scope.name")
    state = plain(_text(get(span, "traceState", "trace_state"), "traceState"), "trace_state", gauge)
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
    when = _int(get(node, "timeUnixNano", "time_unix_nano"), "events.timeUnixNano")
    name = plain(_text(node.get("name"), "events.name"), "event_name", gauge)
    return RawEvent(
        name, min(max(when, 0), 2**63 - 1), attributes(node.get("attributes"), "events.attributes", gauge)
    )


def _link(node: dict[str, Any], gauge: Gauge) -> RawLink:
    trace_id = _id(get(node, "traceId", "trace_id"), 32, "links.traceId", False)
    span_id = _id(get(node, "spanId", "span_id"), 16, "links.spanId", False)
    return RawLink(trace_id, span_id, attributes(node.get("attributes"), "links.attributes", gauge))


def _log(
    node: Any, resource: dict[str, Any], scope: dict[str, Any], gauge: Gauge, now_ns: int | None
) -> LogRecord:
    record = _object(node, "the log record") if node is not None else {}
    when = _int(get(record, "timeUnixNano", "time_unix_nano"), "timeUnixNano") or _int(
        get(record, "observedTimeUnixNano", "observed_time_unix_nano"), "observedTimeUnixNano"
    )
    time_ns, _, suspect = sane_times(when, 0, now_ns, gauge.limits)
    body = any_value(record.get("body"), "body", gauge)
    values = attributes(record.get("attributes"), "attributes", gauge)
    name = plain(_text(get(record, "eventName", "event_name"), "eventName"), "event_name", gauge)
    scope_name = _plain(scope, "name", gauge, "scope.name")
    if gauge.cut:
        values["watchkeeper.truncated"] = gauge.take_cut()
    log = LogRecord(
        trace_id=_id(get(record, "traceId", "trace_id"), 32, "traceId", False),
        span_id=_id(get(record, "spanId", "span_id"), 16, "spanId", False),
        time_ns=time_ns,
        name=event_name(name, values, body),
        severity=_severity(get(record, "severityNumber", "severity_number")),
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


# What each signal calls its groups, its scopes and its records, as JSON and as protobuf names.
NAMES = {
    "traces": (("resourceSpans", "resource_spans"), ("scopeSpans", "scope_spans"), ("spans", "spans")),
    "logs": (("resourceLogs", "resource_logs"), ("scopeLogs", "scope_logs"), ("logRecords", "log_records")),
    "metrics": (("resourceMetrics", "resource_metrics"), ("scopeMetrics", "scope_metrics"), ("metrics", "metrics")),
}  # fmt: skip
# How a metric names its data, and whether its points have a sum and a count instead of a value.
_DATA = (
    ("gauge", "gauge", False), ("sum", "sum", False), ("histogram", "histogram", True),
    ("exponentialHistogram", "exponential_histogram", True), ("summary", "summary", True),
)  # fmt: skip


def decode(body: bytes, out: Decoded, gauge: Gauge, now_ns: int | None) -> None:
    """Fill `out` from an export request of `out.signal`; raises `Malformed` where there are no groups to look into."""
    root = parse(body, gauge)
    outer, middle, inner = NAMES[out.signal]
    take: Callable[..., None] = {
        "traces": partial(_take_record, _span, out.spans),
        "logs": partial(_take_record, _log, out.logs),
        "metrics": _take_metric,
    }[out.signal]
    try:
        groups = _counted(get(root, *outer), outer[0], gauge)
    except _Bad as error:
        raise Malformed(str(error)) from error
    for i, group in enumerate(groups):
        where = f"{outer[0]}[{i}]"
        try:
            held, scopes = _opened(group, where, "resource", middle, gauge)
            resource = attributes(held.get("attributes"), f"{where}.resource", gauge)
        except _Bad as error:
            gauge.take_cut()
            out.refuse_part(str(error), _records(group, middle, inner))
            continue
        if out.signal != "metrics":
            out.note_lost(resource, now_ns)
        for j, scoped in enumerate(scopes):
            where = f"{outer[0]}[{i}].{middle[0]}[{j}]"
            try:
                scope, nodes = _opened(scoped, where, "scope", inner, gauge)
            except _Bad as error:
                out.refuse_part(str(error), _records(scoped, inner))
                continue
            for k, node in enumerate(nodes):
                take(node, f"{where}.{inner[0]}[{k}]", resource, scope, out, gauge, now_ns)


def _opened(
    node: Any, where: str, about: str, names: tuple[str, str], gauge: Gauge
) -> tuple[dict[str, Any], list[Any]]:
    """What a group says about its members, and they."""
    group = _object(node, where)
    return _object(group.get(about), f"{where}.{about}"), _counted(
        get(group, *names), f"{where}.{names[0]}", gauge
    )


def _records(node: Any, *names: tuple[str, str]) -> int:
    """How many records there are in a part of the envelope that cannot be read, as far as they can be told."""
    if not names:
        return 1
    found = get(cast(dict[str, Any], node), *names[0]) if isinstance(node, dict) else None
    return sum(_records(n, *names[1:]) for n in cast(list[Any], found)) if isinstance(found, list) else 0


def _take_record(
    read: Callable[..., T],
    kept: list[T],
    node: Any,
    where: str,
    resource: dict[str, Any],
    scope: dict[str, Any],
    out: Decoded,
    gauge: Gauge,
    now_ns: int | None,
) -> None:
    """A span or a log record, by its reader and to its place in `out`."""
    out.received += 1
    try:
        kept.append(read(node, resource, scope, gauge, now_ns))
    except _Bad as error:
        gauge.take_cut()
        out.rejected.append(Rejected(where, str(error)))


def _take_metric(
    node: Any,
    where: str,
    resource: dict[str, Any],
    _scope: dict[str, Any],
    out: Decoded,
    gauge: Gauge,
    now_ns: int | None,
) -> None:
    """The points of one metric. One that is wrong itself counts as its points, as one where it has none that can be counted."""
    points: list[Any] = [None]
    try:
        metric = _object(node, "the metric")
        data, summed = next(
            ((d, s) for n, n2, s in _DATA if (d := get(metric, n, n2)) is not None), ({}, False)
        )
        points = _counted(get(_object(data, "the data"), "dataPoints", "data_points"), "dataPoints", gauge)
        name = _text(metric.get("name"), "name")[:SMALL]
        unit = _text(metric.get("unit"), "unit")[:SMALL]
    except _Bad as error:
        out.received += len(points)
        out.rejected += [Rejected(where, str(error))] * len(points)
        return
    out.received += len(points)
    if not WANTED.search(name):
        out.ignored += len(points)
        return
    for n, point in enumerate(points):
        try:
            made = _point(_object(point, "the point"), summed, gauge, now_ns)
        except _Bad as error:
            gauge.take_cut()
            out.rejected.append(Rejected(f"{where} point {n}", str(error)))
            continue
        if made is None:
            out.ignored += 1
        else:
            out.metrics.append(MetricPoint(name, unit, *made, resource))


def _point(
    point: dict[str, Any], summed: bool, gauge: Gauge, now_ns: int | None
) -> tuple[int, float, int, dict[str, Any]] | None:
    """Time, value, count and attributes of a point; None for one that says that it has no value."""
    if _int(point.get("flags"), "flags") & NO_VALUE:
        return None
    whole = None if summed else get(point, "asInt", "as_int")
    value = point.get("sum") if summed else get(point, "asDouble", "as_double")
    if whole is not None:
        value = _int(whole, "asInt")
    value = _double(value if value is not None else 0, "sum" if summed else "asDouble")
    if isinstance(value, str):
        raise _Bad(NOT_FINITE)
    count = _int(point.get("count"), "count") if summed else 1
    if not 0 <= count <= INT_MAX:
        raise _Bad(f"count must be a number that 64 bits hold, got {count!r:.60}")
    time_ns, _, _ = sane_times(
        _int(get(point, "timeUnixNano", "time_unix_nano"), "timeUnixNano"), 0, now_ns, gauge.limits
    )
    return time_ns, value, count, attributes(point.get("attributes"), "attributes", gauge)
