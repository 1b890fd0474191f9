"""What arrived since a position, in the order it arrived: what forwarding reads instead of keeping a second log."""

from collections.abc import Sequence
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client

from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.store.clickhouse.reading import SCORE_FIELDS, score_of
from watchkeeper.store.columns import Fed, Position

_span = msgspec.json.Decoder(RawSpan)
_log = msgspec.json.Decoder(LogRecord)
_BOUND = (
    "({wide:Bool} OR project IN {projects:Array(String)}) "
    "AND {time} >= fromUnixTimestamp64Nano({after:Int64}) AND {time} <= fromUnixTimestamp64Nano({until:Int64}) "
    "AND (toUnixTimestamp64Nano({time}), project, {keys}) > ({after:Int64}, {p:String}, {k1:String}, {k2:String}, {k3:String})"
)
_ORDER = "ORDER BY {time}, project, {keys} LIMIT {{limit:UInt32}}"


def _statement(select: str, table: str, time: str, keys: str) -> str:
    bound = _BOUND.replace("{time}", time).replace("{keys}", keys)
    order = _ORDER.format(time=time, keys=keys)
    return f"SELECT {select} FROM {table} WHERE {bound} {order}"


_SPAN_KEYS = "trace_id, span_id, ''"
_LOG_KEYS = "trace_id, span_id, log_id"
_SCORE_KEYS = "concat(trace_id, span_id), concat(scorer, ' ', version), concat(judge_model, ' ', author)"
_CHECKED = """(SELECT project, trace_id, check_span AS span_id, session_id, check_scorer AS scorer, check_version AS version,
    'check' AS source, '' AS judge_model, '' AS author, check_value AS value, check_label AS label, check_passed AS passed,
    check_reason AS reason, CAST(NULL AS Nullable(Float64)) AS cost, 1.0 AS inclusion_probability, '' AS policy, time,
    made AS scored_at
  FROM (SELECT project, trace_id, session_id, time, fromUnixTimestamp64Nano(toInt64(assembled_at)) AS made,
      checks.scorer AS check_scorer, checks.version AS check_version, checks.span_id AS check_span,
      checks.value AS check_value, checks.label AS check_label, checks.passed AS check_passed,
      checks.reason AS check_reason
    FROM traces WHERE assembled_at >= {after:Int64} AND assembled_at <= {until:Int64})
  ARRAY JOIN check_scorer, check_version, check_span, check_value, check_label, check_passed, check_reason)"""
_ASSEMBLED = """(SELECT project, trace_id, toString(spans) AS held, fromUnixTimestamp64Nano(toInt64(assembled_at)) AS made
  FROM traces WHERE assembled_at >= {after:Int64} AND assembled_at <= {until:Int64})"""
_ASSEMBLED_KEYS = "trace_id, held, ''"
_STATEMENTS = {
    "traces": _statement(
        f"toUnixTimestamp64Nano(received_at), project, {_SPAN_KEYS}, body", "content", "received_at", _SPAN_KEYS
    ),
    "logs": _statement(
        f"toUnixTimestamp64Nano(received_at), project, {_LOG_KEYS}, body", "logs", "received_at", _LOG_KEYS
    ),
    "scores": _statement(
        f"toUnixTimestamp64Nano(stored_at), project, {_SCORE_KEYS}, project, {SCORE_FIELDS}",
        "scores", "stored_at", _SCORE_KEYS,
    ),
    "checks": _statement(
        f"toUnixTimestamp64Nano(scored_at), project, {_SCORE_KEYS}, project, {SCORE_FIELDS}",
        _CHECKED, "scored_at", _SCORE_KEYS,
    ),
    "assembled": _statement(
        f"toUnixTimestamp64Nano(made), project, {_ASSEMBLED_KEYS}", _ASSEMBLED, "made", _ASSEMBLED_KEYS
    ),
}  # fmt: skip
_BACKLOG = {
    "traces": ("content", "received_at", "toUnixTimestamp64Nano(received_at)"),
    "logs": ("logs", "received_at", "toUnixTimestamp64Nano(received_at)"),
    "scores": ("scores", "stored_at", "toUnixTimestamp64Nano(stored_at)"),
    "checks": ("traces", "fromUnixTimestamp64Nano(toInt64(assembled_at))", "toInt64(assembled_at)"),
    "assembled": ("traces", "fromUnixTimestamp64Nano(toInt64(assembled_at))", "toInt64(assembled_at)"),
}


def read(
    client: Client, signal: str, after: Position, until_ns: int, limit: int, projects: Sequence[str]
) -> list[Fed]:
    """At most `limit` records after a position and not later than `until_ns`, oldest first."""
    rows = client.query(
        _STATEMENTS[signal],
        parameters={
            "wide": not projects, "projects": list(projects), "after": after.ns, "until": until_ns,
            "p": after.project, "k1": after.key[0], "k2": after.key[1], "k3": after.key[2], "limit": limit,
        },
    ).result_rows  # fmt: skip
    return [_fed(signal, row) for row in rows]


def _fed(signal: str, row: Sequence[Any]) -> Fed:
    ns, project, k1, k2, k3, *rest = row
    where = Position(int(ns), str(project), (str(k1), str(k2), str(k3)))
    if signal == "assembled":
        return Fed(where, None, 0)
    if signal in ("scores", "checks"):
        return Fed(where, score_of(rest), 400)
    body = str(rest[0])
    try:
        found: Any = (_span if signal == "traces" else _log).decode(body)
    except msgspec.MsgspecError:
        # It cannot be sent to anybody; the reader passes over it, and counts it.
        found = None
    return Fed(where, found, len(body))


_WINDOW = (
    "received_at > fromUnixTimestamp64Nano({after:Int64}) AND received_at <= fromUnixTimestamp64Nano({until:Int64}) "
    "AND ({wide:Bool} OR project IN {projects:Array(String)})"
)
# What was sent again meanwhile arrived later than its span's first row says, so its content is looked for by trace.
_EXPIRED = f"""SELECT uniqExact(project, trace_id, span_id) FROM spans WHERE {_WINDOW} AND (project, trace_id, span_id) NOT IN (
  SELECT project, trace_id, span_id FROM content WHERE (project, trace_id) IN (SELECT project, trace_id FROM spans WHERE {_WINDOW}))"""


def expired(client: Client, after_ns: int, until_ns: int, projects: Sequence[str]) -> int:
    """How many spans arrived within a window whose content is gone: nobody can forward them any more."""
    bound = {"after": after_ns, "until": until_ns, "wide": not projects, "projects": list(projects)}
    return int(client.query(_EXPIRED, parameters=bound).result_rows[0][0])


def backlog(client: Client, signal: str, after_ns: int, projects: Sequence[str]) -> tuple[int, int | None]:
    """How many records (of checks: traces) came after a time, and when the oldest of them did."""
    table, time, ns = _BACKLOG[signal]
    count, oldest = client.query(
        f"SELECT count(), min({ns}) FROM {table} WHERE {time} > fromUnixTimestamp64Nano({{after:Int64}}) "
        "AND ({wide:Bool} OR project IN {projects:Array(String)})",
        parameters={"after": after_ns, "wide": not projects, "projects": list(projects)},
    ).result_rows[0]
    return int(count), int(oldest) if count else None
