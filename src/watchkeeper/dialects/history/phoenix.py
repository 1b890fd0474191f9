"""Phoenix exports: the spans dataframe (flattened `attributes.*` columns), the API's nested JSON, its OTLP spans one by one, and
annotations."""

from typing import Any, cast

from watchkeeper.dialects.history import common
from watchkeeper.dialects.history.common import Index, Taken, Unreadable, empty, optional, put
from watchkeeper.dialects.values import as_dict, as_list, as_text, decode
from watchkeeper.model.span import RawEvent

SOURCE = "phoenix"
_CODES = {"1": "OK", "2": "ERROR"}
# OpenInference writes these as JSON text; the export has parsed them.
_WHOLE = (
    "metadata",
    "variables",
    "invocation_parameters",
    "json_schema",
    "parameters",
    "prompt_template.variables",
)
# Lists of objects, which OpenInference flattens and the export has put together.
_LISTS = ("messages", "tools", "documents", "embeddings", "prompts", "choices", "tool_calls", "contents")
_KNOWN = frozenset(
    ("name", "span_kind", "parent_id", "start_time", "end_time", "status_code", "status_message", "events", "context",
     "attributes", "context.trace_id", "context.span_id", "trace_id", "span_id")
)  # fmt: skip
_OF_ANNOTATION = frozenset(
    ("annotation_name", "name", "span_id", "trace_id", "context.span_id", "context.trace_id", "result", "result.score",
     "result.label", "result.explanation", "score", "label", "explanation", "created_at", "updated_at",
     "annotator_kind")
)  # fmt: skip


def recognise(record: dict[str, Any]) -> bool:
    """Whether this is a span or an annotation of Phoenix."""
    if "annotator_kind" in record or "annotation_name" in record:
        return True
    if "context.trace_id" in record or "context.span_id" in record or _is_otlp(record):
        return True
    context = as_dict(record.get("context"))
    return (context is not None and "trace_id" in context) or (
        "span_kind" in record and any(key.startswith("attributes.") for key in record)
    )


def _is_annotation(record: dict[str, Any]) -> bool:
    return "annotator_kind" in record or "annotation_name" in record


def _is_otlp(record: dict[str, Any]) -> bool:
    """A span of `/spans/otlpv1`: OTLP's fields in snake_case, and no resource around it."""
    return "start_time_unix_nano" in record and isinstance(record.get("attributes"), list)


def _of_otlp(record: dict[str, Any]) -> dict[str, Any]:
    """Such a span as the API's other form has it."""
    status = as_dict(record.get("status")) or {}
    return {
        **{key: record.get(key) for key in ("trace_id", "span_id", "name")},
        "parent_id": record.get("parent_span_id"),
        "start_time": _whole_number(record.get("start_time_unix_nano")),
        "end_time": _whole_number(record.get("end_time_unix_nano")),
        "status_code": _CODES.get(str(status.get("code")), "UNSET"),
        "status_message": status.get("message"),
        "attributes": _pairs(record.get("attributes")),
        "events": [
            {
                **e,
                "attributes": _pairs(e.get("attributes")),
                "timestamp": _whole_number(e.get("time_unix_nano")),
            }
            for item in as_list(record.get("events")) or []
            if (e := as_dict(item))
        ],
    }


def _whole_number(value: Any) -> Any:
    # Through a float, nanoseconds would lose their last digits.
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _pairs(value: Any) -> dict[str, Any]:
    pairs = (as_dict(item) or {} for item in as_list(value) or [])
    return {str(pair["key"]): _any_value(as_dict(pair.get("value")) or {}) for pair in pairs if "key" in pair}


def _any_value(value: dict[str, Any]) -> Any:
    """What an OTLP value holds: its one field that is set."""
    for key, held in value.items():
        if held is None:
            continue
        if key == "array_value":
            items = as_list((as_dict(held) or {}).get("values")) or []
            return [_any_value(as_dict(item) or {}) for item in items]
        return int(held) if key == "int_value" else held
    return None


def _ids(record: dict[str, Any]) -> tuple[str, str]:
    context = as_dict(record.get("context")) or {}
    trace = optional(record, "context.trace_id", "trace_id") or optional(context, "trace_id")
    span = optional(record, "context.span_id", "span_id") or optional(context, "span_id")
    if trace is None or span is None:
        raise Unreadable(
            "it has no context.trace_id and context.span_id; write the dataframe with its index (reset_index())"
        )
    return trace, span


def note(record: dict[str, Any], index: Index) -> None:
    """Remember which trace a span is of: annotations name the span only."""
    if not _is_annotation(record):
        try:
            trace, span = _ids(record)
        except Unreadable:
            return
        index.span_traces[span] = trace


def read(record: dict[str, Any], index: Index) -> Taken:
    """A span, or an annotation of one."""
    if _is_annotation(record):
        return _annotation(record, index)
    if _is_otlp(record):
        record = _of_otlp(record)
    trace, ident = _ids(record)
    attributes: dict[str, Any] = {}
    for key, value in record.items():
        if key.startswith("attributes."):
            name = key[len("attributes.") :]
            _flatten(attributes, name, _cell(name, value))
        elif key not in _KNOWN:
            put(attributes, f"phoenix.{key}", value)
    for key, value in (as_dict(record.get("attributes")) or {}).items():
        _flatten(attributes, key, value)
    put(attributes, "openinference.span.kind", optional(record, "span_kind") or "UNKNOWN")
    start = common.start_of(record, "start_time")
    status = (optional(record, "status_code") or "UNSET").upper().removeprefix("STATUS_CODE_")
    made = common.span(
        source=SOURCE, trace=trace, ident=ident, parent=optional(record, "parent_id"),
        name=optional(record, "name") or "span", start_ns=start,
        end_ns=common.time_ns(record.get("end_time")) or 0, attributes=attributes, failed=status == "ERROR",
        message=as_text(record.get("status_message")), events=_events(record.get("events"), start),
    )  # fmt: skip
    if status == "UNSET":
        made.status = "unset"
    return Taken(spans=[made])


def _cell(key: str, value: Any) -> Any:
    """A cell of the dataframe: what a CSV file prints of lists and objects as what it stands for. Other texts, such as the JSON of
    an input or an output, are what the client sent."""
    if not isinstance(value, str) or key.endswith(".value"):
        return value
    return decode(value) if key.endswith(_LISTS) or value.startswith(("{'", "[{'")) else value


def _flatten(out: dict[str, Any], key: str, value: Any) -> None:
    """Objects and lists of objects as dotted keys with indexes, as OpenInference sends them."""
    if empty(value):
        return
    if key.endswith(_WHOLE):
        out[key] = as_text(value)
    elif isinstance(value, dict):
        for name, inner in cast(dict[str, Any], value).items():
            _flatten(out, f"{key}.{name}", inner)
    elif isinstance(value, list) and any(isinstance(v, dict) for v in cast(list[Any], value)):
        for position, inner in enumerate(cast(list[Any], value)):
            _flatten(out, f"{key}.{position}", inner)
    else:
        put(out, key, value)


def _events(value: Any, start: int) -> list[RawEvent]:
    found: list[RawEvent] = []
    for item in as_list(value) or []:
        event = as_dict(item)
        if event is None:
            continue
        attributes: dict[str, Any] = {}
        for key, inner in (as_dict(event.get("attributes")) or {}).items():
            _flatten(attributes, key, inner)
        when = common.time_ns(event.get("timestamp")) or common.time_ns(event.get("time")) or start
        found.append(RawEvent(optional(event, "name") or "event", when, attributes))
    return found


def _annotation(record: dict[str, Any], index: Index) -> Taken:
    name = common.required(record, "annotation_name", "name")
    span = optional(record, "span_id", "context.span_id")
    trace = optional(record, "trace_id", "context.trace_id")
    if trace is None and span is not None:
        trace = index.span_traces.get(span)
    if trace is None:
        raise Unreadable(
            f"no span {span} is in these files; import the annotations together with their spans"
            if span
            else "it has neither a span_id nor a trace_id"
        )
    result = as_dict(record.get("result")) or {}
    value = record.get("result.score", record.get("score", result.get("score")))
    label = record.get("result.label", record.get("label", result.get("label")))
    reason = record.get("result.explanation", record.get("explanation", result.get("explanation")))
    when = common.time_ns(record.get("updated_at")) or common.time_ns(record.get("created_at")) or 0
    author = (optional(record, "annotator_kind") or "").lower() or None
    made = common.evaluation(
        common.trace_id(trace), common.span_id(span) if span else "", when, name,
        None if empty(value) else value, label, reason, SOURCE, author,
    )  # fmt: skip
    common.keep_rest(made.attributes, "phoenix.", record, _OF_ANNOTATION)
    return Taken(logs=[made])
