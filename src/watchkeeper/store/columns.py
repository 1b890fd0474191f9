"""The column store port: what the rest of the product may ask of ClickHouse, embedded or clustered."""

from typing import Any, Protocol

import msgspec

from watchkeeper.model.alert import Deploy
from watchkeeper.model.score import Score
from watchkeeper.model.span import LogRecord, RawSpan, Span, Trace


class SpanRow(msgspec.Struct, gc=False):
    """One span to store: the normalised one for columns, whose `raw` is stored whole."""

    project: str
    span: Span
    received_ns: int


class LogRow(msgspec.Struct, gc=False):
    """One log record to store."""

    project: str
    log: LogRecord
    received_ns: int


class TraceRow(msgspec.Struct, gc=False):
    """One assembled trace with everything known about it, replacing any earlier row of the same trace.

    `checks` are the deterministic scores made with it; `sampling` maps a policy to the probability with which
    it chose this trace (π); `assembled_ns` is when its inputs were read, so that the latest reader wins.
    """

    project: str
    trace: Trace
    checks: list[Score]
    inclusion_probability: float
    policy: str
    assembled_ns: int


class TraceFilter(msgspec.Struct, kw_only=True):
    """What a trace list shows. `where` is a condition over the columns and scorers of the SQL table `traces`, already
    checked by the sandbox; `text` searches input and output; `before` pages by (time_ns, trace_id)."""

    since_ns: int | None = None
    until_ns: int | None = None
    where: str | None = None
    text: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    order_by: str = "time desc"
    before: tuple[int, str] | None = None
    limit: int = 50


class Table(msgspec.Struct):
    """A query's answer."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool = False

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class QueryRefused(Exception):
    """A statement the sandbox does not accept: `str(error)` says what, `hint` what is allowed instead."""

    def __init__(self, error: str, hint: str) -> None:
        super().__init__(error)
        self.hint = hint


class StoreUnavailable(Exception):
    """The store cannot take a write now (disk full, I/O error, shutting down); nothing of the batch is promised."""


class Columns(Protocol):
    """Everything is durable when the call returns. All methods may run concurrently."""

    async def write_spans(self, spans: list[SpanRow], logs: list[LogRow]) -> None: ...
    async def write_traces(self, rows: list[TraceRow]) -> None: ...
    async def write_scores(self, scores: list[Score]) -> None: ...
    async def write_deploys(self, deploys: list[Deploy]) -> None: ...
    async def write_alerts(self, rows: list[dict[str, Any]]) -> None: ...
    async def write_coverage(self, rows: list[dict[str, Any]]) -> None: ...
    async def read_trace(self, project: str, trace_id: str) -> tuple[list[RawSpan], list[LogRecord]]: ...
    async def read_traces(
        self, project: str, trace_ids: list[str]
    ) -> dict[str, tuple[list[RawSpan], list[LogRecord]]]: ...
    async def read_scores(self, project: str, trace_ids: list[str]) -> list[Score]: ...
    async def list_traces(self, project: str, wanted: TraceFilter) -> list[dict[str, Any]]: ...
    async def unassembled(self, since_ns: int, limit: int) -> list[tuple[str, str]]: ...
    async def scorers(self, project: str) -> list[str]: ...
    async def sql(self, project: str, query: str, max_rows: int = 10_000) -> Table: ...
    async def named(self, name: str, project: str, **params: Any) -> Table: ...
    async def stats(self) -> dict[str, Any]: ...
    async def close(self) -> None: ...
