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


# What the server that takes the trace says of it by itself.
_MADE_ANEW = ("check", "signal", "classifier")
# What may have come with the telemetry.
_TOLD = ("external", "user")


def read(record: dict[str, Any], index: Index) -> Taken:
    """The raw spans and logs as they were, and as evaluations what people, judges and other systems said of them.

    Checks, signals and classifiers are made anew where the trace arrives, and scores that came with the telemetry come with it again.
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
    came = {_said(e) for span in _tables(record.get("spans")) for e in _tables(span.get("evaluations"))}
    for said in _tables(record.get("scores")):
        if said.get("source") in _MADE_ANEW or not said.get("scorer"):
            continue
        if said.get("author") == "telemetry" or (said.get("source") in _TOLD and _said(said) in came):
            continue
        if said.get("value") is None and said.get("label") is None:
            continue
        out.logs.append(_evaluation(str(record["trace_id"]), said))
    return out


def _tables(value: Any) -> list[dict[str, Any]]:
    return [cast(dict[str, Any], v) for v in cast(list[Any], value or []) if isinstance(v, dict)]


def _said(item: dict[str, Any]) -> tuple[str, str, str, str]:
    """What an evaluation and the score made of it have in common, as text: a file may hold anything."""
    name = item.get("name", item.get("scorer"))
    return str(name), str(item.get("value")), str(item.get("label")), str(item.get("author"))


def _evaluation(trace_id: str, said: dict[str, Any]) -> LogRecord:
    when = common.time_ns(said.get("scored_at")) or 0
    made = common.evaluation(
        trace_id, str(said.get("span_id") or ""), when, str(said["scorer"]), said.get("value"),
        said.get("label"), said.get("reason"), SOURCE, said.get("author") or said.get("source"),
    )  # fmt: skip
    for name in ("passed", "version", "judge_model", "source"):
        common.put(made.attributes, f"watchkeeper.score.{name}", said.get(name))
    return made
