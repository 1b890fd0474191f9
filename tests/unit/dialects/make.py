"""Short ways to write spans and logs in tests."""

from typing import Any

from watchkeeper import dialects
from watchkeeper.model.span import LogRecord, RawEvent, RawSpan, Span

START = 1_795_000_000 * 10**9
TRACE = "ab" * 16


def raw(
    attributes: dict[str, Any] | None = None,
    *,
    span_id: str = "01" * 8,
    parent: str | None = None,
    name: str = "chat gpt-4o-mini",
    events: list[RawEvent] | None = None,
    status: str = "unset",
    scope: str = "",
    kind: str = "client",
    start: int = 0,
    end: int = 1000,
    **fields: Any,
) -> RawSpan:
    """A raw span; `start` and `end` are milliseconds after START, `end=-1` a span that still runs."""
    return RawSpan(
        trace_id=TRACE, span_id=span_id, parent_id=parent, name=name, otel_kind=kind,
        start_ns=START + start * 10**6, end_ns=0 if end == -1 else START + end * 10**6, status=status,
        status_message=fields.pop("message", None), attributes=attributes or {}, events=events or [], links=[],
        resource=fields.pop("resource", {}), scope_name=scope, **fields,
    )  # fmt: skip


def span(attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    """A normalised span of `raw`'s arguments."""
    return dialects.normalise(raw(attributes, **fields))


def event(name: str, at: int = 10, **attributes: Any) -> RawEvent:
    """A span event; keyword underscores become dots where doubled: `a__b` is `a.b`."""
    return RawEvent(name, START + at * 10**6, {k.replace("__", "."): v for k, v in attributes.items()})


def log(
    name: str, body: Any = None, attributes: dict[str, Any] | None = None, at: int = 10, **fields: Any
) -> LogRecord:
    """A log record of the trace and the default span."""
    made = LogRecord(
        trace_id=fields.pop("trace_id", TRACE), span_id=fields.pop("span_id", "01" * 8), time_ns=START + at * 10**6,
        name=name, severity=9, body=body, attributes=attributes or {}, resource={},
    )  # fmt: skip
    made.log_id = f"{name}{at}{body}{attributes}{made.span_id}"
    return made
