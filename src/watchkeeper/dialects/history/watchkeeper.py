"""Our own export: a trace as JSON with the raw spans and log records it is made of."""

from typing import Any, cast

import msgspec

from watchkeeper.dialects.history import common
from watchkeeper.dialects.history.common import Index, Taken, Unreadable
from watchkeeper.model.span import LogRecord, RawSpan

SOURCE = "watchkeeper"


def recognise(record: dict[str, Any]) -> bool:
    """Whether this is a trace of ours."""
    return "trace_id" in record and isinstance(record.get("spans"), list) and "usage" in record


def note(record: dict[str, Any], index: Index) -> None:
    """A trace of ours is whole: nothing else refers to it."""


def read(record: dict[str, Any], index: Index) -> Taken:
    """The raw spans and logs as they were, and as evaluations what people, judges and other systems said of them.

    Checks are made anew where the trace arrives, and scores that came with the telemetry come with it again.
    """
    raw = record.get("raw")
    if not isinstance(raw, dict):
        raise Unreadable("it has no raw spans; export it with: watchkeeper export --traces")
    try:
        spans = msgspec.convert(cast(dict[str, Any], raw).get("spans"), list[RawSpan])
        logs = msgspec.convert(cast(dict[str, Any], raw).get("logs") or [], list[LogRecord])
    except msgspec.ValidationError as error:
        raise Unreadable(f"its raw spans are not ours: {error}") from None
    out = Taken(spans=spans, logs=logs)
    for item in cast(list[Any], record.get("scores") or []):
        said: dict[str, Any] = item if isinstance(item, dict) else {}
        if said.get("source") == "check" or said.get("author") == "telemetry" or not said.get("scorer"):
            continue
        if said.get("value") is None and said.get("label") is None:
            continue
        when = common.time_ns(said.get("scored_at")) or 0
        out.logs.append(
            common.evaluation(
                str(record["trace_id"]), str(said.get("span_id") or ""), when, str(said["scorer"]), said.get("value"),
                said.get("label"), said.get("reason"), SOURCE, said.get("author") or said.get("source"),
            )
        )  # fmt: skip
    return out
