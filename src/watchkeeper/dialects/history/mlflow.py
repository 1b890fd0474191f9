"""MLflow exports: traces as JSON (`mlflow traces get`, `Trace.to_json()`), of version 3 and before, and the rows of `search_traces`."""

import base64
import binascii
from typing import Any

from watchkeeper.dialects.history import common
from watchkeeper.dialects.history.common import Index, Taken, Unreadable, optional, put, put_all
from watchkeeper.dialects.values import as_dict, as_list, as_text
from watchkeeper.model.span import LogRecord, RawEvent, RawSpan

SOURCE = "mlflow"
_OF_ASSESSMENT = frozenset(
    ("assessment_name", "name", "trace_id", "span_id", "source", "create_time", "last_update_time", "feedback", "rationale")
)  # fmt: skip
_OF_INFO = frozenset(("trace_id", "request_id", "trace_metadata", "request_metadata", "tags", "assessments"))


def _whole(record: dict[str, Any]) -> dict[str, Any]:
    """The trace of a row of a table, which holds it as JSON text; any other record as it is."""
    return as_dict(record.get("trace")) or record


def recognise(record: dict[str, Any]) -> bool:
    """Whether this is a trace of MLflow."""
    trace = _whole(record)
    info, data = as_dict(trace.get("info")), as_dict(trace.get("data"))
    return (
        bool(info and data)
        and "spans" in (data or {})
        and bool({"trace_id", "request_id"} & (info or {}).keys())
    )


def note(record: dict[str, Any], index: Index) -> None:
    """A trace of MLflow is whole: nothing else refers to it."""


def read(record: dict[str, Any], index: Index) -> Taken:
    """The spans of a trace as MLflow's own OTLP export sends them, and its feedback."""
    trace = _whole(record)
    info, data = as_dict(trace.get("info")) or {}, as_dict(trace.get("data")) or {}
    ident = common.required(info, "trace_id", "request_id").removeprefix("tr-")
    spans = [_span(s, ident) for item in as_list(data.get("spans")) or [] if (s := as_dict(item))]
    if not spans:
        raise Unreadable("it has no spans")
    root = next((s for s in spans if s.parent_id is None), spans[0])
    _context(root.attributes, info)
    taken = Taken(spans=spans)
    for item in as_list(info.get("assessments")) or []:
        said = as_dict(item)
        if said is not None:
            try:
                _assessment(said, root, taken.logs)
            except Unreadable as error:
                taken.faults.append(str(error))
    return taken


def _id(value: Any) -> str | None:
    """A span's id as hex digits: version 3 writes its bytes in base64, those before write 0x…."""
    text = optional({"id": value}, "id")
    if text is None or text.startswith("0x"):
        return text and text[2:]
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text
    return raw.hex() if len(raw) == 8 and text.endswith("=") else text


def _span(item: dict[str, Any], trace: str) -> RawSpan:
    status = as_dict(item.get("status")) or {
        "code": item.get("status_code"),
        "message": item.get("status_message"),
    }
    context = as_dict(item.get("context")) or {}
    ident = _id(item.get("span_id")) or _id(context.get("span_id"))
    if ident is None:
        raise Unreadable("one of its spans has no span_id")
    code = str(status.get("code") or "UNSET").upper().removeprefix("STATUS_CODE_")
    start = common.start_of(item, "start_time_unix_nano", "start_time")
    attributes: dict[str, Any] = {}
    put_all(attributes, "", item.get("attributes"))
    made = common.span(
        source=SOURCE, trace=trace, ident=ident, parent=_id(item.get("parent_span_id") or item.get("parent_id")),
        name=optional(item, "name") or "span", start_ns=start,
        end_ns=common.time_ns(item.get("end_time_unix_nano", item.get("end_time"))) or 0, attributes=attributes,
        failed=code == "ERROR", message=as_text(status.get("message")), events=_events(item, start),
    )  # fmt: skip
    if code == "UNSET":
        made.status = "unset"
    return made


def _events(item: dict[str, Any], start: int) -> list[RawEvent]:
    found: list[RawEvent] = []
    for entry in as_list(item.get("events")) or []:
        event = as_dict(entry) or {}
        # Version 2 counts an event's time in microseconds, as `time_ns` sees by its size.
        when = common.time_ns(event.get("time_unix_nano", event.get("timestamp"))) or start
        attributes: dict[str, Any] = {}
        put_all(attributes, "", event.get("attributes"))
        found.append(RawEvent(optional(event, "name") or "event", when, attributes))
    return found


def _context(attributes: dict[str, Any], info: dict[str, Any]) -> None:
    """What the trace says of itself goes to its root."""
    metadata = as_dict(info.get("trace_metadata")) or as_dict(info.get("request_metadata")) or {}
    put(attributes, "user.id", metadata.get("mlflow.trace.user"))
    put(attributes, "session.id", metadata.get("mlflow.trace.session"))
    put_all(attributes, "mlflow.export.metadata.", metadata)
    put_all(attributes, "mlflow.export.tag.", info.get("tags"))
    common.keep_rest(attributes, "mlflow.export.", info, _OF_INFO)


def _assessment(said: dict[str, Any], root: RawSpan, logs: list[LogRecord]) -> None:
    name = common.required(said, "assessment_name", "name")
    feedback = as_dict(said.get("feedback"))
    if feedback is None:
        # An expectation is what the answer should have been, and no judgement of what it was.
        put(root.attributes, f"mlflow.export.expectation.{name}", said.get("expectation"))
        return
    value = feedback.get("value")
    if value is None:
        # Whoever was asked could not tell.
        put(root.attributes, f"mlflow.export.no_value.{name}", feedback.get("error") or said.get("rationale"))
        return
    number = value if isinstance(value, (bool, int, float)) else None
    source = as_dict(said.get("source")) or {}
    span = _id(said.get("span_id"))
    when = (
        common.time_ns(said.get("last_update_time"))
        or common.time_ns(said.get("create_time"))
        or root.start_ns
    )
    made = common.evaluation(
        root.trace_id, common.span_id(span) if span else "", when, name, number, None if number is not None else value,
        as_text(said.get("rationale")), SOURCE, optional(source, "source_id", "source_type"),
    )  # fmt: skip
    common.keep_rest(made.attributes, "mlflow.export.", said, _OF_ASSESSMENT)
    logs.append(made)
