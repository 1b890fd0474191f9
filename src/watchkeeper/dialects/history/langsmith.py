"""LangSmith exports: runs (API or bulk export, objects or JSON text), and feedback records."""

import re
from typing import Any, cast

from watchkeeper.dialects.history import common
from watchkeeper.dialects.history.common import Index, Taken, Unreadable, empty, optional, put
from watchkeeper.dialects.values import as_dict, as_float, as_list, as_text
from watchkeeper.model.span import LogRecord, RawEvent

SOURCE = "langsmith"
_ERROR = re.compile(r"^\s*([A-Za-z_][\w.]*(?:Error|Exception|Timeout|Interrupt|Exit))\b")
# What is mapped below; everything else is kept under `langsmith.export.`.
_KNOWN = frozenset(
    (
        "id", "run_id", "trace_id", "dotted_order", "run_type", "name", "inputs", "outputs", "extra", "error", "tags",
        "start_time", "end_time", "parent_run_id", "prompt_tokens", "completion_tokens", "prompt_token_details",
        "completion_token_details", "total_cost", "first_token_time", "session_name", "child_runs",
    )
)  # fmt: skip
_OF_FEEDBACK = frozenset(
    ("key", "run_id", "trace_id", "score", "value", "comment", "created_at", "modified_at")
)


def _is_feedback(record: dict[str, Any]) -> bool:
    return "run_id" in record and "key" in record and "run_type" not in record


def recognise(record: dict[str, Any]) -> bool:
    """Whether this is a run or a feedback of LangSmith."""
    return ("run_type" in record and ("id" in record or "run_id" in record)) or _is_feedback(record)


def _trace(record: dict[str, Any]) -> str:
    """The trace: its own field, else the first run in the dotted order, else the run itself."""
    found = optional(record, "trace_id")
    if found is None:
        order = optional(record, "dotted_order")
        found = order.split(".")[0].partition("Z")[2] if order else None
    return found or common.required(record, "id", "run_id")


def _parent(record: dict[str, Any]) -> str | None:
    found = optional(record, "parent_run_id")
    if found is None:
        above = as_list(record.get("parent_run_ids"))
        found = str(above[-1]) if above else None
    if found is None:
        order = (optional(record, "dotted_order") or "").split(".")
        found = order[-2].partition("Z")[2] if len(order) > 1 else None
    return found


def note(record: dict[str, Any], index: Index) -> None:
    """Remember which trace a run is of: feedback may name the run only."""
    if not _is_feedback(record):
        ident = optional(record, "id", "run_id")
        if ident is not None:
            index.span_traces[ident] = _trace(record)
            for child in _children(record, ident):
                note(child, index)


def read(record: dict[str, Any], index: Index) -> Taken:
    """A run with its feedback counts, or one feedback."""
    if _is_feedback(record):
        return _feedback(record, index)
    ident = common.required(record, "id", "run_id")
    trace, kind = _trace(record), common.required(record, "run_type").lower()
    start = common.start_of(record, "start_time")
    attributes: dict[str, Any] = {"langsmith.span.kind": kind}
    inputs, outputs = record.get("inputs"), record.get("outputs")
    put(attributes, "gen_ai.prompt", None if empty(inputs) else as_text(inputs))
    put(attributes, "gen_ai.completion", None if empty(outputs) else as_text(outputs))
    _extra(attributes, record)
    _usage(attributes, record)
    put(attributes, "langsmith.span.tags", as_list(record.get("tags")))
    put(attributes, "langsmith.trace.session_name", optional(record, "session_name"))
    common.keep_rest(attributes, "langsmith.export.", record, _KNOWN)
    error = as_text(record.get("error"))
    failed = error is not None or str(record.get("status") or "").lower() == "error"
    made = common.span(
        source=SOURCE, trace=trace, ident=ident, parent=_parent(record),
        name=optional(record, "name") or kind, start_ns=start, end_ns=common.time_ns(record.get("end_time")) or 0,
        attributes=attributes, failed=failed, message=error, events=_events(record, start, error),
        service=optional(record, "session_name"),
    )  # fmt: skip
    taken = Taken(spans=[made], logs=_stats(record, made.trace_id, made.span_id, start))
    for child in _children(record, ident):
        inner = read(child, index)
        taken.spans += inner.spans
        taken.logs += inner.logs
    return taken


def _children(record: dict[str, Any], ident: str) -> list[dict[str, Any]]:
    """The runs inside a run, as a client that loaded them writes them."""
    above = {"trace_id": _trace(record), "parent_run_id": ident}
    return [
        {**above, **cast(dict[str, Any], c)}
        for c in as_list(record.get("child_runs")) or []
        if isinstance(c, dict)
    ]


def _extra(attributes: dict[str, Any], record: dict[str, Any]) -> None:
    extra = as_dict(record.get("extra")) or {}
    for key, value in (as_dict(extra.get("metadata")) or {}).items():
        put(attributes, f"langsmith.metadata.{key}", value)
    params = as_dict(extra.get("invocation_params")) or {}
    if params:
        put(attributes, "langsmith.metadata.ls_invocation_params", as_text(params))
        model = params.get("model") or params.get("model_name")
        put(attributes, "gen_ai.request.model", model if isinstance(model, str) else None)
    for key, value in extra.items():
        if key not in ("metadata", "invocation_params"):
            put(attributes, f"langsmith.extra.{key}", value)


def _usage(attributes: dict[str, Any], record: dict[str, Any]) -> None:
    """Tokens of model runs only: LangSmith writes the sum of its children on every run above."""
    if record.get("run_type") not in ("llm", "embedding"):
        return
    for field, key in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
        count = as_float(record.get(field))
        if count:
            attributes[f"gen_ai.usage.{key}"] = int(count)
    for field, key in (
        ("prompt_token_details", "input_token_details"),
        ("completion_token_details", "output_token_details"),
    ):
        details = as_dict(record.get(field))
        if details:
            put(attributes, f"gen_ai.usage.{key}", as_text(details))
    cost = as_float(record.get("total_cost"))
    if cost:
        attributes["gen_ai.usage.cost"] = cost


def _events(record: dict[str, Any], start: int, error: str | None) -> list[RawEvent]:
    found: list[RawEvent] = []
    first = common.time_ns(record.get("first_token_time"))
    for item in as_list(record.get("events")) or []:
        event = as_dict(item) or {}
        if event.get("name") == "new_token" and first is None:
            first = common.time_ns(event.get("time"))
    if first is not None and first > start:
        found.append(RawEvent("gen_ai.content.first_token", first, {}))
    if error is not None:
        named = _ERROR.match(error)
        values: dict[str, Any] = {"exception.message": error}
        if named:
            values["exception.type"] = named.group(1)
        found.append(RawEvent("exception", common.time_ns(record.get("end_time")) or start, values))
    return found


def _stats(record: dict[str, Any], trace: str, span: str, start: int) -> list[LogRecord]:
    """`feedback_stats`: per key the number of feedbacks and their mean, or how often each value was given."""
    made: list[LogRecord] = []
    for key, entry in (as_dict(record.get("feedback_stats")) or {}).items():
        told = as_dict(entry)
        if told is None:
            continue
        count = as_float(told.get("n")) or 0
        counts = as_dict(told.get("values")) or {}
        label = next(iter(counts)) if len(counts) == 1 else None
        mean = as_float(told.get("avg"))
        if not count or (mean is None and label is None):
            continue
        reason = f"mean of {int(count)} feedbacks" if count > 1 else None
        made.append(common.evaluation(trace, span, start, key, mean, label, reason, SOURCE, "feedback"))
    return made


def _feedback(record: dict[str, Any], index: Index) -> Taken:
    key, run = common.required(record, "key"), optional(record, "run_id")
    trace = optional(record, "trace_id") or (index.span_traces.get(run) if run else None)
    if trace is None:
        if run is None:
            return Taken(skipped="feedback on whole projects is not imported")
        raise Unreadable(f"no run {run} is in these files; import the feedback together with its runs")
    score, value = record.get("score"), record.get("value")
    label: Any = None
    if isinstance(value, dict):
        label = as_text(cast(dict[str, Any], value).get("label") or value)
    elif not empty(value):
        label = as_text(value)
    elif empty(score) and not empty(record.get("correction")):
        label = "corrected"
    when = common.time_ns(record.get("modified_at")) or common.time_ns(record.get("created_at")) or 0
    source = as_dict(record.get("feedback_source")) or {}
    made = common.evaluation(
        common.trace_id(trace), common.span_id(run) if run else "", when, key, None if empty(score) else score, label,
        as_text(record.get("comment")), SOURCE, optional(source, "type"),
    )  # fmt: skip
    common.keep_rest(made.attributes, "langsmith.export.", record, _OF_FEEDBACK)
    return Taken(logs=[made])
