"""Small traces for tests of the column store and of the stages around it."""

import itertools
from collections.abc import Sequence
from typing import Any

from watchkeeper.model.score import Score
from watchkeeper.model.span import (
    LLM,
    Context,
    ErrorInfo,
    LogRecord,
    RawSpan,
    Span,
    Tool,
    Totals,
    Trace,
    Usage,
)
from watchkeeper.store.clickhouse import ClickHouseColumns
from watchkeeper.store.columns import LogRow, SpanRow, TraceRow

NOW = 1_780_000_000 * 10**9
DAY = 86_400 * 10**9
_numbers = itertools.count(1)


def new_trace_id() -> str:
    """An id no other test uses."""
    return f"{next(_numbers):032x}"


def raw(trace_id: str, n: int = 0, *, parent: int | None = None, start: int = NOW, end: int | None = None,
        **attributes: Any) -> RawSpan:  # fmt: skip
    """The n-th span of a trace, as sent."""
    suspect = not NOW - 400 * DAY <= start <= NOW + DAY
    return RawSpan(
        trace_id, f"{n + 1:016x}", None if parent is None else f"{parent + 1:016x}", f"step {n}", "internal",
        start + n * 1000, start + 10**9 if end is None else end, "ok", None,
        {"n": n, **attributes}, [], [], {"service.name": "bot", "telemetry.sdk.name": "x"},
        time_suspect=suspect,
    )  # fmt: skip


def normal(item: RawSpan) -> Span:
    """A dialect small enough to see through: attributes named like our fields."""
    a = item.attributes
    kind = str(a.get("kind", "other"))
    return Span(
        item.trace_id, item.span_id, item.parent_id, item.name, kind, item.start_ns, item.end_ns, item.status,
        "test", Context(session_id=a.get("session"), user_id=a.get("user"), scenario=a.get("scenario")),
        error=ErrorInfo(a["error"]) if "error" in a else None,
        llm=LLM(provider="openai", request_model="m", response_model=a.get("model", "m-1"),
                usage=Usage(a.get("in"), a.get("out")), cost=a.get("cost"), finish_reason="stop",
                params={"temperature": 0.5}) if kind == "llm" else None,
        tool=Tool(name="t") if kind == "tool" else None,
        input_text=a.get("input"), output_text=a.get("output"), raw=item,
    )  # fmt: skip


def joined(spans: list[Span], logs: list[LogRecord]) -> Trace:
    """An assembly small enough to see through: latest end wins, a log named `output` sets its span's output."""
    latest: dict[str, Span] = {}
    for s in spans:
        if s.span_id not in latest or latest[s.span_id].end_ns <= s.end_ns:
            latest[s.span_id] = s
    for item in logs:
        if item.name == "output" and item.span_id in latest:
            old = latest[item.span_id]
            latest[item.span_id] = Span(
                **{f: getattr(old, f) for f in Span.__struct_fields__} | {"output_text": item.body}
            )
    ordered = sorted(latest.values(), key=lambda s: (s.start_ns, s.span_id))
    roots = [s for s in ordered if s.parent_id is None]
    root = roots[0] if roots else (ordered[0] if ordered else None)
    used = [s.llm.usage.input_tokens for s in ordered if s.llm and s.llm.usage.input_tokens is not None]
    return Trace(
        ordered[0].trace_id if ordered else "", ordered, root.context if root else Context(),
        Totals(input_tokens=sum(used) if used else None, cost=0.5 if used else None),
        ordered[0].start_ns if ordered else 0, max((s.end_ns for s in ordered), default=0),
        bool(roots) and roots[0].end_ns > 0, input_text=root.input_text if root else None,
        output_text=root.output_text if root else None,
        log_events={item.name: 1 for item in logs},
    )  # fmt: skip


def rows(project: str, raws: list[RawSpan], received: int = NOW + 1) -> list[SpanRow]:
    """Spans ready to write."""
    return [SpanRow(project, normal(r), received) for r in raws]


def log(trace_id: str, n: int = 0, name: str = "output", body: Any = "said", log_id: str = "a") -> LogRecord:
    """A log record of the n-th span."""
    return LogRecord(trace_id, f"{n + 1:016x}", NOW + 5, name, 9, body, {}, {}, log_id=log_id)


def log_rows(project: str, logs: list[LogRecord], received: int = NOW + 1) -> list[LogRow]:
    """Logs ready to write."""
    return [LogRow(project, item, received) for item in logs]


def score(project: str, trace_id: str, scorer: str, value: float | None = None, **more: Any) -> Score:
    """A judge's score."""
    fields: dict[str, Any] = {
        "span_id": "",
        "version": "1",
        "source": "judge",
        "time_ns": NOW,
        "scored_ns": NOW,
        **more,
    }
    return Score(project=project, trace_id=trace_id, scorer=scorer, value=value, **fields)


def trace_row(
    project: str, raws: list[RawSpan], checks: list[Score] | None = None, at: int = NOW + 2
) -> TraceRow:
    """A trace row made of these spans."""
    return TraceRow(project, joined([normal(r) for r in raws], []), checks or [], 1.0, "all", at)


def told(
    store: ClickHouseColumns, statement: str, project: str = "", **bound: Any
) -> Sequence[Sequence[Any]]:
    """What the engine itself says to a statement or a command, past the store's own questions."""
    client = store.source.client({})
    try:
        given = {"project": project, "wk_project": project, **bound}
        return client.query(statement, parameters=given).result_rows
    finally:
        client.close()
