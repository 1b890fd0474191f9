"""Braintrust exports: rows of a project's logs or of an experiment, as its API and its pages (JSON, CSV) write them."""

from typing import Any

from watchkeeper.dialects.history import common
from watchkeeper.dialects.history.common import Index, Taken, empty, optional, put
from watchkeeper.dialects.values import as_dict, as_float, as_list, as_text, word
from watchkeeper.model.span import RawEvent

SOURCE = "braintrust"
# What is mapped below; everything else is kept under `braintrust.export.`.
_KNOWN = frozenset(
    ("span_id", "root_span_id", "span_parents", "span_attributes", "created", "input", "output", "metadata", "metrics",
     "scores", "tags", "error", "is_root")
)  # fmt: skip


def recognise(record: dict[str, Any]) -> bool:
    """Whether this is a row of Braintrust."""
    return (
        "root_span_id" in record
        and "span_id" in record
        and bool({"span_attributes", "metrics", "_xact_id"} & record.keys())
    )


def note(record: dict[str, Any], index: Index) -> None:
    """A row names its trace and its parent itself."""


def read(record: dict[str, Any], index: Index) -> Taken:
    """A row as the span that Braintrust's own OTLP export sends, and its scores."""
    ident, trace = common.required(record, "span_id"), common.required(record, "root_span_id")
    metrics = as_dict(record.get("metrics")) or {}
    start = common.time_ns(metrics.get("start")) or common.start_of(record, "created")
    kept = as_dict(record.get("span_attributes")) or {}
    attributes: dict[str, Any] = {"braintrust.span_attributes": as_text(kept) or "{}"}
    for key, name in (
        ("input", "input_json"),
        ("output", "output_json"),
        ("metadata", "metadata"),
        ("metrics", "metrics"),
    ):
        if not empty(record.get(key)):
            attributes[f"braintrust.{name}"] = as_text(record.get(key))
    put(attributes, "braintrust.tags", as_list(record.get("tags")))
    common.keep_rest(attributes, "braintrust.export.", record, _KNOWN)
    above = as_list(record.get("span_parents")) or []
    error = as_text(record.get("error"))
    made = common.span(
        source=SOURCE, trace=trace, ident=ident, parent=word(above[0]) if above else None,
        name=optional(kept, "name") or "span", start_ns=start, end_ns=common.time_ns(metrics.get("end")) or start,
        attributes=attributes, failed=error is not None, message=error,
    )  # fmt: skip
    wait = as_float(metrics.get("time_to_first_token"))
    if wait:
        made.events.append(RawEvent("gen_ai.content.first_token", start + int(wait * 1e9), {}))
    taken = Taken(spans=[made])
    for name, value in (as_dict(record.get("scores")) or {}).items():
        if not empty(value):
            if as_float(value) is None:
                taken.faults.append(f"its score {name!r} is no number")
                continue
            taken.logs.append(
                common.evaluation(made.trace_id, made.span_id, start, name, value, None, None, SOURCE, None)
            )
    return taken
