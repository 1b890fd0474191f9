"""What is read back: raw spans, logs, scores, points. Functions of a client, run in a reader's lane."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from clickhouse_connect.driver.client import Client

from watchkeeper.model.alert import Deploy
from watchkeeper.model.score import Score
from watchkeeper.model.series import Point, SeriesKey, axis_of, cohort_parse
from watchkeeper.model.span import LogRecord, RawSpan

log = logging.getLogger(__name__)
T = TypeVar("T")
Arrived = tuple[list[RawSpan], list[LogRecord]]
_span = msgspec.json.Decoder(RawSpan)
_log = msgspec.json.Decoder(LogRecord)

SPANS = """
SELECT trace_id, body FROM content WHERE project = {{project:String}} AND trace_id IN {{ids:Array(String)}} {days}
ORDER BY version DESC, received_at DESC LIMIT 1 BY trace_id, span_id"""
HELD = """
SELECT uniqExact(span_id), groupUniqArray(day) FROM spans WHERE project = {project:String} AND trace_id IN {ids:Array(String)}"""
LOGS = """
SELECT trace_id, body FROM logs WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
ORDER BY time, received_at DESC LIMIT 1 BY trace_id, span_id, log_id"""
ARRIVED = """
SELECT trace_id, min(toUnixTimestamp64Nano(received_at)) FROM
  (SELECT trace_id, received_at FROM content WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
   UNION ALL
   SELECT trace_id, received_at FROM logs WHERE project = {project:String} AND trace_id IN {ids:Array(String)})
GROUP BY trace_id"""

SCORE_FIELDS = (
    "trace_id, span_id, session_id, scorer, version, source, judge_model, author, value, label, passed, reason, cost, "
    "inclusion_probability, policy, toUnixTimestamp64Nano(time), toUnixTimestamp64Nano(scored_at)"
)
SCORES = f"""
SELECT project, {SCORE_FIELDS} FROM scores WHERE project = {{project:String}} AND trace_id IN {{ids:Array(String)}}
ORDER BY row_version DESC LIMIT 1 BY trace_id, span_id, scorer, version, judge_model, author"""
_CHECK_COLUMNS = tuple(
    f"checks.{c}" for c in ("scorer", "version", "span_id", "value", "label", "passed", "reason")
)
_CHECKS = """
SELECT trace_id, session_id, toUnixTimestamp64Nano(time), assembled_at, {columns}
FROM traces WHERE project = {{project:String}} AND trace_id IN {{ids:Array(String)}}
ORDER BY assembled_at DESC LIMIT 1 BY trace_id"""
_NAMED = "arrayFilter((_, name) -> has({{scorers:Array(String)}}, name), {0}, checks.scorer)"
CHECKS = _CHECKS.format(columns=", ".join(_CHECK_COLUMNS))
CHECKS_NAMED = _CHECKS.format(columns=", ".join(map(_NAMED.format, _CHECK_COLUMNS)))


def ns_of(moment: datetime) -> int:
    """A datetime of the store as integer nanoseconds."""
    whole = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return int(whole.timestamp()) * 10**9 + whole.microsecond * 1000


def _decoded(decoder: msgspec.json.Decoder[T], body: str, trace_id: str) -> T | None:
    """A stored record; one that does not decode must not hide the rest of its trace."""
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        log.error("a stored record of trace %s does not decode: %s", trace_id, error)
        return None


def _bodies(client: Client, bound: dict[str, Any]) -> Sequence[Sequence[Any]]:
    """(trace, document) of every span. One trace is looked for on the days its spans are of, a few files instead of some of every
    day; where that does not give all of them (the content is gone, or was dated otherwise) on all days."""
    if len(bound["ids"]) == 1:
        held, days = client.query(HELD, parameters=bound).result_rows[0]
        if held:
            near = SPANS.format(days="AND day IN {days:Array(Date)}")
            found = client.query(near, parameters={**bound, "days": days}).result_rows
            if len(found) >= held:
                return found
    return client.query(SPANS.format(days=""), parameters=bound).result_rows


def traces(client: Client, project: str, ids: Sequence[str]) -> dict[str, Arrived]:
    """Spans and logs of each trace that has any."""
    bound: dict[str, Any] = {"project": project, "ids": list(ids)}
    found: dict[str, Arrived] = {}
    for trace_id, body in _bodies(client, bound):
        if body and (span := _decoded(_span, body, trace_id)) is not None:
            found.setdefault(trace_id, ([], []))[0].append(span)
    for trace_id, body in client.query(LOGS, parameters=bound).result_rows:
        if (record := _decoded(_log, body, trace_id)) is not None:
            found.setdefault(trace_id, ([], []))[1].append(record)
    for spans, _ in found.values():
        spans.sort(key=lambda s: (s.start_ns, s.span_id))
    return found


def arrived(client: Client, project: str, ids: Sequence[str]) -> dict[str, int]:
    """When the first span or log of each trace came in, ns."""
    rows = client.query(ARRIVED, parameters={"project": project, "ids": list(ids)}).result_rows
    return {str(trace_id): int(first) for trace_id, first in rows}


def score_of(row: Sequence[Any]) -> Score:
    """A row of `SCORES` as a Score."""
    (project, trace_id, span_id, session_id, scorer, version, source, judge_model, author, value, label, passed,
     reason, cost, probability, policy, time_ns, scored_ns) = row  # fmt: skip
    return Score(
        project=project, trace_id=trace_id, span_id=span_id, scorer=scorer, version=version, source=source,
        time_ns=time_ns, scored_ns=scored_ns, session_id=session_id, judge_model=judge_model, author=author,
        value=value, label=label, passed=passed, reason=reason, cost=cost, inclusion_probability=probability,
        policy=policy,
    )  # fmt: skip


def stored_scores(client: Client, project: str, ids: Sequence[str]) -> list[Score]:
    """The scores of these traces that live in the table `scores`."""
    rows = client.query(SCORES, parameters={"project": project, "ids": list(ids)}).result_rows
    return [score_of(row) for row in rows]


def checks(
    client: Client, project: str, ids: Sequence[str], scorers: Sequence[str] | None = None
) -> dict[str, list[Score]]:
    """The deterministic scores of each of these traces that has a row, of these scorers (all when None); empty lists included."""
    found: dict[str, list[Score]] = {}
    bound = {"project": project, "ids": list(ids), "scorers": list(scorers or ())}
    query = CHECKS if scorers is None else CHECKS_NAMED
    for row in client.query(query, parameters=bound).result_rows:
        trace_id, session_id, time_ns, assembled, *columns = row
        found[trace_id] = [
            Score(
                project=project, trace_id=trace_id, span_id=span_id, scorer=scorer, version=version, source="check",
                time_ns=time_ns, scored_ns=assembled, session_id=session_id, value=value, label=label,
                passed=passed, reason=reason,
            )
            for scorer, version, span_id, value, label, passed, reason in zip(*columns, strict=True)
        ]  # fmt: skip
    return found


POINTS = """
SELECT metric, cohort, toUnixTimestamp(tick), seconds, n, sw, sw2, swx, swx2, sw2x, sw2x2, edges, hist_w, hist_w2, version
FROM points FINAL
WHERE project = {project:String} AND tick >= toDateTime({since:Int64}, 'UTC') AND tick < toDateTime({until:Int64}, 'UTC')
  AND (isNull({metric:Nullable(String)}) OR metric = {metric:Nullable(String)})
  AND (isNull({cohort:Nullable(String)}) OR cohort = {cohort:Nullable(String)})
  AND ({seconds:UInt32} = 0 OR seconds = {seconds:UInt32})
ORDER BY metric, cohort, tick"""


def points(
    client: Client,
    project: str,
    since_ns: int,
    until_ns: int,
    metric: str | None,
    cohort: str | None,
    seconds: int,
) -> list[Point]:
    """Points by metric, cohort and tick; a tick belongs to the range when it starts in it."""
    bound = {
        "project": project, "since": -(-since_ns // 10**9), "until": -(-until_ns // 10**9),
        "metric": metric, "cohort": cohort, "seconds": seconds,
    }  # fmt: skip
    found: list[Point] = []
    for name, where, tick, length, n, *sums, edges, hist_w, hist_w2, version in client.query(
        POINTS, parameters=bound
    ).result_rows:
        found.append(
            Point(
                SeriesKey(project, name, cohort_parse(where)), tick * 10**9, (tick + length) * 10**9,
                axis_of(edges), n, *sums,
                hist_w=tuple(hist_w), hist_w2=tuple(hist_w2), version=version,
            )
        )  # fmt: skip
    return found


DEPLOYS = """
SELECT name, version, toUnixTimestamp64Nano(time), note FROM deploys FINAL
WHERE project = {project:String} AND time >= fromUnixTimestamp64Nano({since:Int64})
  AND time < fromUnixTimestamp64Nano({until:Int64}) ORDER BY time, name"""


def deploys(client: Client, project: str, since_ns: int, until_ns: int) -> list[Deploy]:
    """Deploy markers in [since, until), oldest first."""
    bound = {"project": project, "since": since_ns, "until": until_ns}
    rows = client.query(DEPLOYS, parameters=bound).result_rows
    return [Deploy(project, name, version, time_ns, note) for name, version, time_ns, note in rows]


COVERAGE = """
SELECT scorer, version, toUnixTimestamp(time) * 1000000000 AS time_ns, seconds, eligible, selected, scored, failed, late
FROM coverage FINAL
WHERE project = {project:String} AND time >= toDateTime({since:Int64}, 'UTC') AND time < toDateTime({until:Int64}, 'UTC')
ORDER BY scorer, version, time"""


def coverage(client: Client, project: str, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """The coverage ledger, ticks that start in [since, until)."""
    bound = {"project": project, "since": -(-since_ns // 10**9), "until": -(-until_ns // 10**9)}
    answer = client.query(COVERAGE, parameters=bound)
    return [dict(zip(answer.column_names, row, strict=True)) for row in answer.result_rows]


# A trace row counts its spans, so a missing one shows by number where times cannot tell: two commits may overlap.
UNASSEMBLED = """
WITH since AS (SELECT fromUnixTimestamp64Nano({since:Int64}) AS at),
recent AS (
  SELECT project, trace_id FROM spans WHERE received_at >= (SELECT at FROM since) GROUP BY project, trace_id
  UNION DISTINCT
  SELECT project, trace_id FROM logs WHERE received_at >= (SELECT at FROM since) AND trace_id != ''
  GROUP BY project, trace_id),
seen AS (
  SELECT project, trace_id, uniqExact(span_id) AS n, max(toUnixTimestamp64Nano(received_at)) AS last FROM spans
  WHERE (project, trace_id) IN recent GROUP BY project, trace_id),
heard AS (
  SELECT project, trace_id, max(toUnixTimestamp64Nano(received_at)) AS last FROM logs
  WHERE (project, trace_id) IN recent GROUP BY project, trace_id),
made AS (
  SELECT project, trace_id, argMax(spans, assembled_at) AS n, max(assembled_at) AS at FROM traces
  WHERE (project, trace_id) IN recent GROUP BY project, trace_id)
SELECT recent.project, recent.trace_id FROM recent
LEFT JOIN seen USING (project, trace_id) LEFT JOIN heard USING (project, trace_id)
LEFT JOIN made USING (project, trace_id)
WHERE (made.at = 0 OR made.n < seen.n OR made.at < greatest(seen.last, heard.last))
  AND (recent.project, recent.trace_id) NOT IN (
    SELECT project, trace_id FROM keeping FINAL WHERE kept = 0 AND (project, trace_id) IN recent)
LIMIT {limit:UInt32}"""


def unassembled(client: Client, since_ns: int, limit: int) -> list[tuple[str, str]]:
    """(project, trace_id) with spans or logs, received since then, that no trace row has seen."""
    rows = client.query(UNASSEMBLED, parameters={"since": since_ns, "limit": limit}).result_rows
    return [(str(project), str(trace_id)) for project, trace_id in rows]


# Keys as one number each: a set of texts would be as large as the table.
ROWLESS = """
SELECT project, trace_id FROM content
WHERE sipHash64(project, trace_id, span_id) NOT IN (SELECT sipHash64(project, trace_id, span_id) FROM spans)
GROUP BY project, trace_id LIMIT {limit:UInt32}"""


def rowless(client: Client, limit: int) -> list[tuple[str, str]]:
    """(project, trace_id) with content of a span that has no row of its own."""
    rows = client.query(ROWLESS, parameters={"limit": limit}).result_rows
    return [(str(project), str(trace_id)) for project, trace_id in rows]


SCORERS = """
SELECT DISTINCT arrayJoin(mapKeys(scores)) AS scorer FROM traces WHERE project = {project:String} ORDER BY scorer"""


def scorers(client: Client, project: str) -> set[str]:
    """Every scorer that has a value somewhere in this project."""
    return {str(r[0]) for r in client.query(SCORERS, parameters={"project": project}).result_rows}
