"""What is written: functions of a client, run one at a time in a writer's lane."""

import logging
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DataError, Error

from watchkeeper.model.alert import Deploy
from watchkeeper.model.score import Score
from watchkeeper.model.series import Point
from watchkeeper.store.clickhouse import reading, rows
from watchkeeper.store.clickhouse.engine import FINISHED, change, insert
from watchkeeper.store.columns import (
    KeepingRow,
    LogRow,
    MetricRow,
    Repriced,
    SpanRow,
    StoreUnavailable,
    TraceRow,
    believable,
)

log = logging.getLogger(__name__)
# So many traces and so many of their values in one statement.
CHUNK, VALUES = 500, 5000

# A trace row written again with other scores: one version later than the row it is made from, so that an assembly
# that read its spans since then still wins.
REFRESH = """
INSERT INTO traces SELECT * REPLACE (
  mapUpdate(mapFilter((name, _) -> NOT has({names:Array(String)}, name), scores),
    mapFilter((_, value) -> NOT isNaN(value), mapFromArrays({names:Array(String)}, {shown:Array(Array(Float64))}[
      transform(trace_id, {ids:Array(String)}, range(1, length({ids:Array(String)}) + 1), 0)]))) AS scores,
  assembled_at + 1 AS assembled_at)
FROM traces FINAL WHERE project = {project:String} AND trace_id IN {ids:Array(String)}"""

REDECIDE = """
INSERT INTO traces SELECT * REPLACE (
  {probabilities:Array(Float64)}[indexOf({ids:Array(String)}, trace_id)] AS inclusion_probability,
  {policies:Array(String)}[indexOf({ids:Array(String)}, trace_id)] AS policy,
  assembled_at + 1 AS assembled_at)
FROM (SELECT * FROM traces FINAL WHERE project = {project:String} AND trace_id IN {ids:Array(String)}
  AND inclusion_probability < {probabilities:Array(Float64)}[indexOf({ids:Array(String)}, trace_id)])"""

# Weeks are partitions, and readers look for replaced rows within one. What moved to another week (a trace when a span of the week
# before arrives after the others, feedback when its trace does) leaves its former one.
KEYS = {
    "traces": ("trace_id", "assembled_at"),
    "scores": ("trace_id, span_id, scorer, version, judge_model, author", "row_version"),
}
MOVED = """
SELECT DISTINCT trace_id FROM (
  SELECT {key} FROM {table} WHERE project = {{project:String}} AND trace_id IN {{ids:Array(String)}}
  GROUP BY {key} HAVING uniqExact(toMonday(day)) > 1)"""
LEAVE = """
ALTER TABLE {table} DELETE WHERE project = {{project:String}} AND trace_id IN {{ids:Array(String)}}
  AND ({key}, {version}) NOT IN (SELECT {key}, max({version}) FROM {table}
    WHERE project = {{project:String}} AND trace_id IN {{ids:Array(String)}} GROUP BY {key})"""

DROP_SCORES = """
ALTER TABLE scores DELETE WHERE project = {project:String} AND source = {source:String} AND trace_id IN {ids:Array(String)}"""

_AT = "indexOf({ids:Array(String)}, trace_id)"
REPRICE_TRACES = f"""
INSERT INTO traces SELECT * REPLACE (
  {{costs:Array(Nullable(Float64))}}[{_AT}] AS cost,
  {{versions:Array(Nullable(String))}}[{_AT}] AS pricing_version,
  greatest(assembled_at + 1, {{now:UInt64}}) AS assembled_at)
FROM traces FINAL WHERE project = {{project:String}} AND trace_id IN {{ids:Array(String)}}"""

_AT_SPAN = "indexOf({keys:Array(String)}, concat(trace_id, span_id))"
REPRICE_SPANS = f"""
INSERT INTO spans SELECT * REPLACE (
  {{costs:Array(Nullable(Float64))}}[{_AT_SPAN}] AS cost,
  {{versions:Array(Nullable(String))}}[{_AT_SPAN}] AS pricing_version,
  version + 1 AS version)
FROM spans FINAL WHERE project = {{project:String}} AND trace_id IN {{ids:Array(String)}}
  AND concat(trace_id, span_id) IN {{keys:Array(String)}}"""


def guarded(work: Callable[[], None]) -> None:
    """Run a write; whatever the engine or the disk says becomes StoreUnavailable, because nothing is promised then.
    A record that cannot be encoded is the record's fault: DataError passes."""
    try:
        work()
    except DataError:
        raise
    except (Error, OSError) as error:
        line = str(error).split("\n")[0]
        log.error("write failed: %s", line[:500])
        # The message reaches clients: the kind of failure, without paths.
        kinds = re.findall(r"\(([A-Z_]{4,})\)", line)
        kind = kinds[-1] if kinds else type(error).__name__
        raise StoreUnavailable(
            f"the store could not take the write ({kind}); nothing of it is promised"
        ) from error


def spans(client: Client, batch: Sequence[SpanRow]) -> None:
    """The columns of spans."""
    guarded(lambda: insert(client, "spans", rows.SPAN_COLUMNS, [rows.span_row(r) for r in batch]))


def content(client: Client, batch: Sequence[SpanRow], logs: Sequence[LogRow]) -> None:
    """The whole of spans and logs."""
    guarded(lambda: insert(client, "content", rows.CONTENT_COLUMNS, [rows.content_row(r) for r in batch]))
    guarded(lambda: insert(client, "logs", rows.LOG_COLUMNS, [rows.log_row(r) for r in logs]))


def metrics(client: Client, batch: Sequence[MetricRow]) -> None:
    """The clients' own measurements."""
    guarded(lambda: insert(client, "measurements", rows.METRIC_COLUMNS, [rows.metric_row(r) for r in batch]))


def _by_project(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for project, trace_id in pairs:
        found.setdefault(project, {})[trace_id] = None
    return {project: list(ids) for project, ids in found.items()}


def traces(client: Client, batch: Sequence[TraceRow]) -> None:
    """Trace rows, each with the scores that are already stored for it."""

    def work() -> None:
        others: dict[tuple[str, str], list[Score]] = {}
        for project, ids in _by_project([(r.project, r.trace.trace_id) for r in batch]).items():
            for score in reading.stored_scores(client, project, ids):
                others.setdefault((project, score.trace_id), []).append(score)
        _arrivals(client, batch)
        made = [rows.trace_row(r, others.get((r.project, r.trace.trace_id), [])) for r in batch]
        insert(client, "traces", rows.TRACE_COLUMNS, made)
        _keep_in_one_week(
            client, "traces", [(r.project, r.trace.trace_id) for r in batch if rows.over_weeks(r)]
        )

    guarded(work)


def _keep_in_one_week(client: Client, table: str, wide: Sequence[tuple[str, str]]) -> None:
    """Remove what these (project, trace), known to concern more than one week, left in any but the last written."""
    key, version = KEYS[table]
    for project, ids in _by_project(wide).items():
        bound = {"project": project, "ids": ids}
        moved = client.query(MOVED.format(table=table, key=key), parameters=bound).result_rows
        if moved:
            bound["ids"] = [row[0] for row in moved]
            leave = LEAVE.format(table=table, key=key, version=version)
            change(client, leave, bound, FINISHED)


def keeping(client: Client, batch: Sequence[KeepingRow]) -> None:
    """What was decided about keeping traces."""
    guarded(lambda: insert(client, "keeping", rows.KEEPING_COLUMNS, [rows.keeping_row(r) for r in batch]))


def _arrivals(client: Client, batch: Sequence[TraceRow]) -> None:
    """A trace whose clock cannot be believed is placed by its first arrival, the same at every rewrite."""
    odd = [r for r in batch if not r.received_ns and not believable(r)]
    for project, ids in _by_project([(r.project, r.trace.trace_id) for r in odd]).items():
        first = reading.arrived(client, project, ids)
        for row in odd:
            if row.project == project:
                row.received_ns = first.get(row.trace.trace_id, row.assembled_ns)


def scores(client: Client, batch: Sequence[Score], clock: Callable[[], int]) -> None:
    """Scores, and the trace rows that show them. The clock is asked here, where writes take turns: what is written later is
    never dated before what was there already."""

    def work() -> None:
        now = clock()
        insert(client, "scores", rows.SCORE_COLUMNS, [rows.score_row(s, now) for s in batch])
        late = [
            (s.project, s.trace_id) for s in batch if rows.week_of(s.time_ns) != rows.week_of(s.scored_ns)
        ]
        _keep_in_one_week(client, "scores", late)
        for project, ids in _by_project([(s.project, s.trace_id) for s in batch]).items():
            for start in range(0, len(ids), CHUNK):
                refresh(client, project, ids[start : start + CHUNK])

    guarded(work)


def settle_scores(
    client: Client,
    project: str,
    source: str,
    ids: Sequence[str],
    wanted: Sequence[Score],
    clock: Callable[[], int],
) -> int:
    """Make `wanted` the scores of a source on these traces, and leave no other; how many traces had others."""
    others: list[str] = []

    def work() -> None:
        held: dict[str, list[Score]] = {}
        due: dict[str, list[Score]] = {}
        for score in reading.stored_scores(client, project, ids):
            if score.source == source:
                held.setdefault(score.trace_id, []).append(score)
        for score in wanted:
            due.setdefault(score.trace_id, []).append(score)
        others.extend(i for i in ids if any(s not in held.get(i, ()) for s in due.get(i, ())))
        stale = [i for i in ids if any(s not in due.get(i, ()) for s in held.get(i, ()))]
        others.extend(i for i in stale if i not in others)
        if not others:
            return
        if stale:
            # Of two rows of one key the one scored last would stand, and what is right now may have been said first.
            change(client, DROP_SCORES, {"project": project, "source": source, "ids": stale}, FINISHED)
        now = clock()
        made = [rows.score_row(s, now) for i in others for s in due.get(i, ())]
        if made:
            insert(client, "scores", rows.SCORE_COLUMNS, made)
        refresh(client, project, others, {s.scorer for i in stale for s in held[i]})

    guarded(work)
    return len(others)


def refresh(client: Client, project: str, ids: Sequence[str], gone: Collection[str] = ()) -> None:
    """Bring the scores of these trace rows up to date. What the checks said is in the row already; `gone` are scorers of which
    a score was removed."""
    stored = reading.stored_scores(client, project, ids)
    # Of what the checks said, only what shares its name with a stored score can be shown in its place.
    names = sorted({s.scorer for s in stored}.union(gone))
    found = reading.checks(client, project, ids, names)
    for score in stored:
        if score.trace_id in found:
            found[score.trace_id].append(score)
    step = max(1, VALUES // max(1, len(names)))
    for start in range(0, len(found), step):
        part = list(found)[start : start + step]
        shown = [rows.values_of(found[i]) for i in part]
        values = [[one.get(name, math.nan) for name in names] for one in shown]
        change(client, REFRESH, {"project": project, "ids": part, "names": names, "shown": values})


def redecide(client: Client, project: str, chosen: Mapping[str, tuple[float, str]]) -> None:
    """Raise the inclusion probability of trace rows that exist; one that is as large already stays."""

    def work() -> None:
        ids = list(chosen)
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            change(
                client,
                REDECIDE,
                {
                    "project": project,
                    "ids": part,
                    "probabilities": [chosen[i][0] for i in part],
                    "policies": [chosen[i][1] for i in part],
                },
            )

    guarded(work)


def reprice_traces(client: Client, project: str, batch: Sequence[Repriced], now_ns: int) -> None:
    """The cost of trace rows, and that they changed now, so that their series are made again."""

    def work() -> None:
        for start in range(0, len(batch), CHUNK):
            part = batch[start : start + CHUNK]
            change(
                client,
                REPRICE_TRACES,
                {
                    "project": project,
                    "ids": [t.trace_id for t in part],
                    "costs": [t.cost for t in part],
                    "versions": [t.pricing_version for t in part],
                    "now": now_ns,
                },
            )

    guarded(work)


def reprice_spans(client: Client, project: str, batch: Sequence[Repriced]) -> None:
    """The cost of the calls of these traces."""

    def work() -> None:
        calls = [(t.trace_id, span, *made) for t in batch for span, made in t.spans.items()]
        for start in range(0, len(calls), CHUNK):
            part = calls[start : start + CHUNK]
            change(
                client,
                REPRICE_SPANS,
                {
                    "project": project,
                    "ids": list({c[0] for c in part}),
                    "keys": [c[0] + c[1] for c in part],
                    "costs": [c[2] for c in part],
                    "versions": [c[3] for c in part],
                },
            )

    guarded(work)


def deploys(client: Client, batch: Sequence[Deploy]) -> None:
    """Deploy markers."""
    guarded(lambda: insert(client, "deploys", rows.DEPLOY_COLUMNS, [rows.deploy_row(d) for d in batch]))


def points(client: Client, batch: Sequence[Point], version: int) -> None:
    """Points; a later write of the same tick replaces it."""
    guarded(lambda: insert(client, "points", rows.POINT_COLUMNS, [rows.point_row(p, version) for p in batch]))


ALERT_COLUMNS = (
    "project", "id", "monitor", "cohort", "state", "severity", "owner", "runbook", "summary", "since", "fired_at",
    "resolved_at", "updated_at", "row_version",
)  # fmt: skip
COVERAGE_COLUMNS = (
    "project", "scorer", "version", "time", "seconds", "eligible", "selected", "scored", "failed", "late", "row_version",
)  # fmt: skip


def alert_row(row: dict[str, Any], version: int) -> tuple[Any, ...]:
    """An alert as a row of `alerts`; times are `*_ns` or absent."""
    updated = row.get("updated_ns") or version
    return (
        row["project"], row["id"], row["monitor"], row.get("cohort", ""), row["state"], row.get("severity", ""),
        row.get("owner", ""), row.get("runbook", ""), row.get("summary", ""), row["since_ns"], row.get("fired_ns"),
        row.get("resolved_ns"), updated, version,
    )  # fmt: skip


def coverage_row(row: dict[str, Any], version: int) -> tuple[Any, ...]:
    """A tick of the coverage ledger; `time` is its start in seconds."""
    return (
        row["project"], row["scorer"], row.get("version", ""), row["time"], row["seconds"],
        row.get("eligible", 0), row.get("selected", 0), row.get("scored", 0), row.get("failed", 0),
        row.get("late", 0), row.get("row_version", version),
    )  # fmt: skip


SKETCH_COLUMNS = ("project", "field", "cohort", "tick", "seconds", "n", "sums", "version", "row_version")


def sketches(client: Client, batch: Sequence[Mapping[str, Any]], version: int) -> None:
    """Sums of texts by field, cohort and tick (in seconds)."""
    made = [(*(row[name] for name in SKETCH_COLUMNS[:-1]), version) for row in batch]
    guarded(lambda: insert(client, "sketches", SKETCH_COLUMNS, made))


def dict_rows(client: Client, table: str, batch: Sequence[dict[str, Any]], version: int) -> None:
    """Rows of `alerts` or `coverage` given as dictionaries."""
    names, make = (ALERT_COLUMNS, alert_row) if table == "alerts" else (COVERAGE_COLUMNS, coverage_row)
    guarded(lambda: insert(client, table, names, [make(r, version) for r in batch]))
