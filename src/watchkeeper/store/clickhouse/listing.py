"""The trace list: newest first, filtered, paged."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from clickhouse_connect.driver.client import Client

from watchkeeper.model.errors import TRANSPORT
from watchkeeper.model.times import DAY, SECOND
from watchkeeper.store import sandbox, sandbox_tables
from watchkeeper.store.columns import QueryRefused, TraceFilter

DAYS_BACK = (1, 14)
"""Where a list of the newest stops looking first, and next: mostly that suffices."""
LAST_DAY = 2**16 - 1
SEEN_BEFORE_NS = 2 * DAY
"""A span is received after its trace began; clients' clocks are believed up to a day ahead."""
SPARE = 8
"""One row in so many is looked at beyond those asked for: versions that were replaced since."""
VALUES = 1000
"""So many different numbers of an attribute, and so many traces, are looked up; of an attribute that has more numbers the values are
read, and where more traces have it the newest are looked at first."""
# The first 400 characters.
_SHORT = {"input_text": "input_start", "output_text": "output_start"}
# A call that did not come back is an error, as in `page_traffic`; an answer that a check finds wrong is no error of the call.
_TRANSPORT = ", ".join(f"'{name}'" for name in sorted(TRANSPORT))
SHOWN = (*sandbox_tables.COLUMNS["traces"], "scores")
# No columns beside those of the projection `listed` (store/sql/columns), which answers in the order of time; and no aliases, because
# a condition on a text means the whole of it.
_ROWS = "SELECT assembled_at, toMonday(day), " + ", ".join(_SHORT.get(c, c) for c in SHOWN)
# What was written before all of these rows cannot replace any, and is left out by its parts' index of `assembled_at`: while the query
# is planned, because what is left out while reading is read in part.
_LATEST = """
SELECT trace_id, assembled_at FROM traces
WHERE project = {project:String} AND trace_id IN {ids:Array(String)} AND _partition_id IN {weeks:Array(String)}
  AND assembled_at >= {least:UInt64} SETTINGS use_skip_indexes_on_data_read = 0"""
_ORDER = re.compile(r"^\s*([\w .:/@+\-]+?)(?:\s+(asc|desc))?\s*$", re.IGNORECASE)
_MAKING_FACTS = """
SELECT count() FROM system.mutations
WHERE database = currentDatabase() AND table = 'spans' AND NOT is_done AND command LIKE '%facts%'"""
_with_index: WeakSet[Client] = WeakSet()
# Rows the last list looked at for each trace it found: where traces are scored after they were stored, two and more versions of one lie
# side by side until they are merged, and a list that takes too few has to ask again.
_crowding: WeakKeyDictionary[Client, float] = WeakKeyDictionary()
WORDS = "lowerUTF8(concat(ifNull(input_text, ''), ' ', ifNull(output_text, '')))"


def _order(order_by: str, scorers: Sequence[str]) -> str:
    found = _ORDER.match(order_by)
    name, way = (found.group(1), (found.group(2) or "asc").upper()) if found else (order_by, "")
    by_column = {sandbox_tables.scorer_column(s): s for s in scorers}
    if found and name == "time":
        return f"toUnixTimestamp64Micro(time) {way}, trace_id {way}"
    if found and name in sandbox_tables.COLUMNS["traces"]:
        return f"{name} {way} NULLS LAST, time DESC, trace_id"
    if found and name in by_column:
        return f"{sandbox_tables.scorer_value(by_column[name])} {way} NULLS LAST, time DESC, trace_id"
    raise QueryRefused(
        f"cannot order by {order_by[:80]!r}", "give a column or scorer of traces, and asc or desc"
    )


def _words(text: str) -> list[str]:
    return [w for w in re.split(r"[^\w]|_", text.lower()) if w][:20]


def _seen_from(since_ns: int) -> int:
    """From when on the spans were received of traces that began since then."""
    return max(since_ns - SEEN_BEFORE_NS, 0)


def _conditions(
    client: Client, project: str, wanted: TraceFilter, scorers: Sequence[str], database: str
) -> tuple[list[str], dict[str, Any]]:
    parts, bound = ["project = {project:String}"], dict[str, Any](project=project)
    for name, value, compare in (("since", wanted.since_ns, ">="), ("until", wanted.until_ns, "<")):
        if value is not None:
            # `day` is the key of partitions; a trace's time and day agree by construction.
            parts.append(f"time {compare} fromUnixTimestamp64Nano({{{name}:Int64}})")
            parts.append(f"day {compare}{'' if compare == '>=' else '='} toDate({{{name}_day:UInt32}})")
            bound |= {name: value, f"{name}_day": max(value // DAY, 0)}
    for name in ("session_id", "user_id"):
        if (given := getattr(wanted, name)) is not None:
            parts.append(f"{name} = {{{name}:String}}")
            bound[name] = given
    if wanted.text:
        words = _words(wanted.text)
        if not words:
            raise QueryRefused("the search holds no word", "search for words in the input or output")
        parts.append(f"hasAllTokens({WORDS}, {{words:Array(String)}})")
        bound["words"] = words
    if wanted.where:
        bound |= {sandbox_tables.PROJECT: project, sandbox_tables.RECEIVED: _seen_from(wanted.since_ns or 0)}
        held = _held(client, wanted.where, database, bound)
        parts.append(sandbox.compile_condition(wanted.where, scorers, database, held))
        bound |= held
    for name, cursor, compare in (("before", wanted.before, "<"), ("after", wanted.after, ">")):
        if cursor is not None:
            if wanted.order_by.split() != ["time", "desc"]:
                raise QueryRefused("paging needs the order time desc", "leave order_by out, or page by limit")
            here = f"({{{name}:Int64}}, {{{name}_id:String}})"
            parts.append(f"(toUnixTimestamp64Micro(time), trace_id) {compare} {here}")
            bound |= {name: cursor[0] // 1000, f"{name}_id": cursor[1]}
    if wanted.assembled_after_ns is not None:
        parts.append("assembled_at > {assembled:UInt64}")
        bound["assembled"] = max(wanted.assembled_after_ns, 0)
    return parts, bound


def _held(client: Client, where: str, database: str, bound: dict[str, Any]) -> dict[str, list[str]]:
    """What the index of attributes says of a condition, by the parameter that binds it: the facts, of those stored, for which a
    comparison with a number holds, and the traces of which a comparison holds; nothing of one that too many would meet.
    Raises QueryRefused."""
    held = _answered(client, sandbox.number_look_ups(where, database), None)
    return held | _answered(client, sandbox.trace_look_ups(where, database, held), {**bound, **held})


def _answered(client: Client, look_ups: dict[str, str], bound: dict[str, Any] | None) -> dict[str, list[str]]:
    answers: dict[str, list[str]] = {}
    for name, statement in look_ups.items():
        if not _indexed(client):
            break
        found = client.query(f"{statement} LIMIT {VALUES + 1}", parameters=bound).result_rows
        if len(found) <= VALUES:
            answers[name] = [one for (one,) in found]
    return answers


def _indexed(client: Client) -> bool:
    """Whether every part of `spans` has the index of attributes. One written by a version that had none has it once that is
    made, which is asked until it is so."""
    if client not in _with_index:
        if client.query(_MAKING_FACTS).result_rows[0][0]:
            return False
        _with_index.add(client)
    return True


def list_traces(
    client: Client, project: str, wanted: TraceFilter, scorers: Sequence[str], database: str, now_ns: int
) -> list[dict[str, Any]]:
    """Rows of `traces` as dictionaries, in the order asked for. Raises QueryRefused."""
    parts, bound = _conditions(client, project, wanted, scorers, database)
    most = min(max(wanted.limit, 0), 1000)
    # The page next to a cursor on its newer side holds the oldest of what is newer.
    order = _order("time asc" if wanted.after is not None else wanted.order_by, scorers)
    found: list[dict[str, Any]] = []
    # Traces that are known are found by their keys, wherever they are.
    known = any(name.startswith(sandbox_tables.TRACES) for name in bound)
    stretches = [(0, LAST_DAY)] if known else _stretches(wanted, now_ns)
    while stretches and len(found) < most:
        first, end = stretches.pop(0)
        conditions = " AND ".join([*parts, *_within(first, end)])
        bound[sandbox_tables.RECEIVED] = _seen_from(max(first * DAY, wanted.since_ns or 0))
        statement = f"{_ROWS} FROM traces WHERE {conditions} ORDER BY {order}"
        found += _first(client, statement, bound, most - len(found), known)
        if len(stretches) == 2 and len(found) * DAYS_BACK[1] < 2 * most:
            # So few in the last days promise too few in two weeks, and every stretch costs as much as it reads.
            stretches = [(0, first)]
    if wanted.after is not None:
        found.reverse()
    return found


def _stretches(wanted: TraceFilter, now_ns: int) -> list[tuple[int, int]]:
    """The days, [first, end), one after another, in which a list of the newest looks for its rows."""
    if wanted.after is not None or wanted.order_by.split() != ["time", "desc"]:
        return [(0, LAST_DAY)]
    ends = [now_ns, wanted.until_ns, wanted.before and wanted.before[0]]
    latest = min(t for t in ends if t is not None) // DAY
    firsts = [latest - back for back in DAYS_BACK if latest - back > (wanted.since_ns or 0) // DAY]
    return list(zip([*firsts, 0], [LAST_DAY, *firsts], strict=True))


def _within(first: int, end: int) -> list[str]:
    """The days [first, end) as conditions: on the key of partitions, and on that of the projection."""
    said = [f"day >= toDate({first})", f"day < toDate({end})"]
    if first:
        said.append(f"time >= fromUnixTimestamp64Second({first * DAY // SECOND})")
    if end < LAST_DAY:
        said.append(f"time < fromUnixTimestamp64Second({end * DAY // SECOND})")
    return said


def _first(
    client: Client, statement: str, bound: dict[str, Any], most: int, scattered: bool
) -> list[dict[str, Any]]:
    """The first `most` rows that a statement for (version, week, columns shown) finds.

    A row that was replaced may still be stored beside its successor. Instead of merging the whole table (FINAL) to list a
    few rows, the first that match are taken whatever their version, and those that are not the latest of their trace
    passed over: the latest of a trace is a row like any other, so it stands in its own place of the order or does not match.
    """
    # Of rows that lie scattered each costs as much as the first, and most are merged.
    crowding = 1.0 if scattered else _crowding.get(client, 1.0)
    taken, again = int(most * crowding) + 1 + most // SPARE, True
    while True:
        answer = client.query(f"{statement} LIMIT {{limit:UInt32}}", parameters={**bound, "limit": taken})
        seen = [
            (version, week, dict(zip(SHOWN, row, strict=True))) for version, week, *row in answer.result_rows
        ]
        latest = _latest(
            client, bound["project"], [(row["trace_id"], week, version) for version, week, row in seen]
        )
        found: dict[str, dict[str, Any]] = {}
        for version, _, row in seen:
            if latest.get(row["trace_id"]) == version:
                found.setdefault(row["trace_id"], row)
        missed = latest.items() - {(row["trace_id"], version) for version, _, row in seen}
        if len(seen) == taken:
            # The last row's other versions may stand right behind it.
            last = seen[-1][2]["trace_id"]
            missed = {(trace_id, version) for trace_id, version in missed if trace_id != last}
        if len(found) < most and len(seen) == taken:
            taken *= 4
        elif again and missed:
            # A successor that no condition saw: it does not match, or it was written since. Asking again tells.
            again = False
        else:
            if found and not scattered and len(seen) >= most:
                _crowding[client] = len(seen) / len(found)
            return list(found.values())[:most]


def _latest(client: Client, project: str, seen: Sequence[tuple[str, dt.date, int]]) -> dict[str, int]:
    """The latest version stored of each trace of these (trace, week, version); all versions of one lie in the same week."""
    bound = {
        "project": project,
        "ids": list({trace_id for trace_id, _, _ in seen}),
        "weeks": list({f"{week:%Y%m%d}" for _, week, _ in seen}),
        "least": min((version for _, _, version in seen), default=0),
    }
    latest: dict[str, int] = {}
    for trace_id, version in client.query(_LATEST, parameters=bound).result_rows if seen else ():
        latest[trace_id] = max(latest.get(trace_id, 0), version)
    return latest


def tally(
    client: Client,
    project: str,
    wanted: TraceFilter,
    bucket_seconds: int,
    scorers: Sequence[str],
    database: str,
) -> list[tuple[int, int, int]]:
    """(start ns, traces, those with errors) of every bucket in which the filter finds some. Raises QueryRefused."""
    parts, bound = _conditions(client, project, wanted, scorers, database)
    bound["bucket"] = bucket_seconds
    answer = client.query(
        "SELECT intDiv(toUnixTimestamp(time), {bucket:UInt32}) AS slot, count() AS n, "
        f"countIf(errors > 0 OR ifNull(error_class, '') IN ({_TRANSPORT})) AS bad "
        f"FROM traces FINAL WHERE {' AND '.join(parts)} GROUP BY slot ORDER BY slot",
        parameters=bound,
    )
    return [(int(slot) * bucket_seconds * 10**9, int(n), int(bad)) for slot, n, bad in answer.result_rows]
