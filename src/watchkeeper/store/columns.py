"""The column store port: what the rest of the product may ask of ClickHouse, embedded or clustered."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

import msgspec

from watchkeeper.model.alert import Deploy
from watchkeeper.model.score import Score
from watchkeeper.model.series import Point
from watchkeeper.model.span import LogRecord, RawSpan, Span, Trace
from watchkeeper.model.times import DAY

BEFORE_NS, AFTER_NS = 400 * DAY, DAY


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


class MetricRow(msgspec.Struct, gc=False):
    """One data point of a client's own token, duration or cost instrument."""

    project: str
    name: str
    unit: str
    time_ns: int
    value: float
    count: int
    attributes: dict[str, Any]
    received_ns: int


class TraceRow(msgspec.Struct, gc=False):
    """One assembled trace with everything known about it, replacing any earlier row of the same trace.

    `checks` are the deterministic scores made with it; `inclusion_probability` is the probability with which `policy`
    chose this trace (π); `again` says that a row of it was written before, perhaps with a later start; `assembled_ns` is when its inputs were read, so that the latest reader wins; `received_ns`
    when its first span arrived (0 = unknown, then `assembled_ns`), which stands in for a start time nobody can believe. `kept`
    is the probability with which storage sampling kept it, beside upstream's.
    """

    project: str
    trace: Trace
    checks: list[Score]
    inclusion_probability: float
    policy: str
    assembled_ns: int
    received_ns: int = 0
    kept: float = 1.0
    again: bool = False


def plausible(time_ns: int, arrived_ns: int) -> bool:
    """Whether a client's clock can be believed: between 400 days before and one day after the arrival."""
    return arrived_ns - BEFORE_NS <= time_ns <= arrived_ns + AFTER_NS


def believable(row: TraceRow) -> bool:
    """Whether a trace's start can steer anything. The decoder compared it with the arrival, which is the same at every
    rewrite of the row; the time of assembly is not."""
    start = row.trace.start_ns
    flagged = any(s.start_ns == start and s.raw is not None and s.raw.time_suspect for s in row.trace.spans)
    return not flagged and plausible(start, row.received_ns or row.assembled_ns)


class KeepingRow(msgspec.Struct, frozen=True):
    """What was decided about keeping a trace, with what probability and why, and where in which session it stands: `session_id` is
    stored as a hash, None where it has no session or its time is not believable."""

    project: str
    trace_id: str
    kept: bool
    probability: float
    reason: str
    decided_ns: int
    session_id: str | None = None
    start_ns: int = 0
    end_ns: int = 0


class TraceFilter(msgspec.Struct, kw_only=True):
    """What a trace list shows. `where` is a condition over the columns and scorers of the SQL table `traces`, as a
    user writes it (the store checks it, `QueryRefused` when it is not acceptable); `text` looks for traces with all
    these words in input or output; `before` and `after` page to older and newer by (time_ns, trace_id), with the order
    "time desc" only, the rows newest first either way; `assembled_after_ns` keeps those whose row was made since.
    `order_by` is a column or scorer and `asc` or `desc`. Times are [since, until)."""

    since_ns: int | None = None
    until_ns: int | None = None
    where: str | None = None
    text: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    order_by: str = "time desc"
    before: tuple[int, str] | None = None
    after: tuple[int, str] | None = None
    assembled_after_ns: int | None = None
    limit: int = 50


EXPORT_FORMATS = ("jsonl", "csv", "parquet", "arrow")


class Table(msgspec.Struct):
    """A query's answer."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool = False

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Repriced(msgspec.Struct):
    """What a stored trace costs by another price table; `spans` maps the ids of its calls to their cost and version."""

    trace_id: str
    cost: float | None
    pricing_version: str | None
    spans: dict[str, tuple[float | None, str | None]]


class Position(msgspec.Struct, frozen=True):
    """Where a reader of what arrived is: a time in ns, and within it a project and a key."""

    ns: int
    project: str = ""
    key: tuple[str, str, str] = ("", "", "")


class Fed(msgspec.Struct):
    """One record of a feed and its position; None where what is stored does not decode, and of the feed `assembled`, whose key
    is the trace id and its number of spans. `size` is its bytes, roughly."""

    position: Position
    record: RawSpan | LogRecord | Score | None
    size: int


class QueryRefused(Exception):
    """A statement the sandbox does not accept: `str(error)` says what, `hint` what is allowed instead."""

    def __init__(self, error: str, hint: str) -> None:
        super().__init__(error)
        self.hint = hint


class StoreUnavailable(Exception):
    """The store cannot take a write now (disk full, I/O error, shutting down); nothing of the batch is promised."""


class Retention(msgspec.Struct, frozen=True):
    """How many days each class of data is kept."""

    content_days: int = 30
    trace_days: int = 90
    aggregate_days: int = 400


class Erased(msgspec.Struct):
    """A receipt: how many rows of each table were removed."""

    rows: dict[str, int]
    trace_ids: list[str] = []


class Columns(Protocol):
    """Everything is durable when the call returns. All methods may run concurrently. Writes raise StoreUnavailable.

    `rewrite_spans` replaces the columns of spans (what logs or the rest of the trace told about them), not their content.
    `settle_scores` makes `wanted` all scores of a source that these traces have, and gives the number of traces that had others.
    `redecide` raises the inclusion probability of stored traces (id to probability and policy; one that is as large stays).
    `decide_keeping` writes down which traces are kept; `drop_unkept` removes spans, content and logs of those decided against in [since, until), rows a table.
    `reprice` changes the cost and pricing version of trace and span rows, and nothing else.
    `feed` gives what arrived after a position (signal traces, logs) or was made (scores, checks), oldest first, of
    some projects or all; `backlog` how much there is and the oldest; `expired` of how many spans of a window the content is gone.
    `read_scores` includes the checks. `list_traces` returns rows of `traces` (texts cut to 400 characters) with `time`
    as datetime UTC and `scores`, a dictionary of the latest values; `tally` counts what such a filter finds per bucket
    (start ns, traces, those with errors), whatever its limit and order. `rowless` names (project, trace_id) with content of spans that have no row, `unassembled` those whose spans
    or logs, received since then, are not all in a trace row; `arrived` gives the first arrival of each trace. `sql`, `list_traces` and `tally` raise QueryRefused. `named` raises
    KeyError for a query that does not exist. `export` streams the answer to a statement of any size in one of
    EXPORT_FORMATS; it raises QueryRefused at the first piece or, when the engine gives up, at a later one. `erase` finishes only when the rows are gone from the files.
    """

    async def write_spans(self, spans: list[SpanRow], logs: list[LogRow]) -> None: ...
    async def write_metrics(self, rows: list[MetricRow]) -> None: ...
    async def rewrite_spans(self, rows: list[SpanRow]) -> None: ...
    async def write_traces(self, rows: list[TraceRow]) -> None: ...
    async def reprice(self, project: str, traces: list[Repriced], now_ns: int) -> None: ...
    async def write_scores(self, scores: list[Score]) -> None: ...
    async def settle_scores(
        self, project: str, source: str, trace_ids: list[str], wanted: list[Score]
    ) -> int: ...
    async def redecide(self, project: str, chosen: dict[str, tuple[float, str]]) -> None: ...
    async def decide_keeping(self, rows: list[KeepingRow]) -> None: ...
    async def write_deploys(self, deploys: list[Deploy]) -> None: ...
    async def write_points(self, points: list[Point]) -> None: ...
    async def write_sketches(self, rows: list[dict[str, Any]]) -> None: ...
    async def write_alerts(self, rows: list[dict[str, Any]]) -> None: ...
    async def write_coverage(self, rows: list[dict[str, Any]]) -> None: ...
    async def read_trace(self, project: str, trace_id: str) -> tuple[list[RawSpan], list[LogRecord]]: ...
    async def read_traces(
        self, project: str, trace_ids: list[str]
    ) -> dict[str, tuple[list[RawSpan], list[LogRecord]]]: ...
    async def read_scores(self, project: str, trace_ids: list[str]) -> list[Score]: ...
    async def read_points(
        self,
        project: str,
        since_ns: int,
        until_ns: int,
        metric: str | None = None,
        cohort: str | None = None,
        seconds: int | None = None,
    ) -> list[Point]: ...
    async def read_deploys(self, project: str, since_ns: int, until_ns: int) -> list[Deploy]: ...
    async def read_coverage(self, project: str, since_ns: int, until_ns: int) -> list[dict[str, Any]]: ...
    async def list_traces(self, project: str, wanted: TraceFilter) -> list[dict[str, Any]]: ...
    async def tally(
        self, project: str, wanted: TraceFilter, bucket_seconds: int
    ) -> list[tuple[int, int, int]]: ...
    async def feed(
        self, signal: str, after: Position, until_ns: int, limit: int, projects: Sequence[str] = ()
    ) -> list[Fed]: ...
    async def backlog(
        self, signal: str, after_ns: int, projects: Sequence[str] = ()
    ) -> tuple[int, int | None]: ...
    async def expired(self, after_ns: int, until_ns: int, projects: Sequence[str] = ()) -> int: ...
    async def rowless(self, limit: int) -> list[tuple[str, str]]: ...
    async def unassembled(self, since_ns: int, limit: int) -> list[tuple[str, str]]: ...
    async def arrived(self, project: str, trace_ids: list[str]) -> dict[str, int]: ...
    async def scorers(self, project: str) -> list[str]: ...
    async def sql(self, project: str, query: str, max_rows: int = 10_000) -> Table: ...
    def export(self, project: str, query: str, form: str) -> AsyncGenerator[bytes]: ...
    async def named(self, name: str, project: str, **params: Any) -> Table: ...
    async def expire(self, now_ns: int, keep: Retention = ...) -> dict[str, int]: ...
    async def drop_unkept(self, since_ns: int, until_ns: int) -> dict[str, int]: ...
    async def erase(
        self, project: str, user_id: str | None = None, trace_ids: list[str] | None = None
    ) -> Erased: ...
    async def stats(self) -> dict[str, Any]: ...
    async def close(self) -> None: ...
