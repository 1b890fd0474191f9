"""Data that has to go: by age (partitions dropped, texts cleared) and by person (finished mutations)."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from watchkeeper.model.times import DAY
from watchkeeper.store.clickhouse.engine import FINISHED, change
from watchkeeper.store.columns import Erased, Retention

# Ids of traces in one statement: a server takes parameters of 128 KiB each.
AT_ONCE = 3000
BY_TRACE = ("spans", "content", "logs", "traces", "scores", "keeping")
# How attributes are called that hold what somebody said, by one of the words in their name, unless they end as what counts or names it.
_SAID = (
    "inputs? outputs? prompts? completions? contents? messages? texts? query queries questions? answers? arguments? args results? "
    "body instructions? transcript payload documents? comments?"
)
_ABOUT = (
    "names? versions? ids? roles? types? kind models? tokens counts? language format hash label status reasons? class scores? index cost "
    "ms seconds length size chars"
)


def _named(words: str, end: str) -> str:
    """A pattern for one of the words as a part of a name: between dots, dashes or underscores, or in capitals inside."""
    either = "|".join(words.split())
    inside = "|".join(w[0].upper() + w[1:] for w in words.split())
    return f"(^|[._-])(?i:{either}){end}|[a-z0-9]({inside}){end}"


# Longer values are texts, however they are called.
_KEPT = f"lengthUTF8(v) <= 64 AND (NOT match(k, '{_named(_SAID, '([._-]|[A-Z0-9]|$)')}') OR match(k, '{_named(_ABOUT, '$')}'))"

# Of a plain NULL the engine stores the mark alone, and beneath it what was there before.
_NOTHING = "nullIf(materialize(''), '')"


@dataclass(slots=True)
class Cleared:
    """Up to which day attributes have been cleared, of all that had arrived by then: they are not read again to find none."""

    day: dt.date | None = None
    at_ns: int = 0

    def beyond(self, now_ns: int) -> str:
        """A condition on the rows that have not been looked at: all, where the clock was set back."""
        if self.day is None or now_ns < self.at_ns:
            return "1"
        return f"(day >= toDate('{self.day}') OR received_at >= fromUnixTimestamp64Nano({self.at_ns}))"


def _partitions(client: Client, table: str) -> list[str]:
    rows = client.query(
        "SELECT DISTINCT partition_id FROM system.parts WHERE database = currentDatabase() AND table = {table:String} "
        "AND active ORDER BY partition_id",
        parameters={"table": table},
    ).result_rows
    return [str(r[0]) for r in rows]


def _day(text: str) -> dt.date:
    return dt.datetime.strptime(text, "%Y%m%d").replace(tzinfo=dt.UTC).date()


def _drop(client: Client, table: str, before: dt.date, days: int) -> int:
    """Drop partitions whose last day is before `before`; `days` is how many days a partition spans."""
    dropped = 0
    for partition in _partitions(client, table):
        if _day(partition) + dt.timedelta(days=days) <= before:
            client.command(f"ALTER TABLE {table} DROP PARTITION ID '{partition}'")
            dropped += 1
    return dropped


def expire(client: Client, now_ns: int, keep: Retention, cleared: Cleared) -> dict[str, int]:
    """Remove what is older than its class allows; returns what was removed, partitions a table. `cleared` is kept from one time
    to the next.

    Weekly tables lose whole weeks as partitions, and the days of a week that is half over as a finished mutation.
    """
    today = dt.date(1970, 1, 1) + dt.timedelta(days=now_ns // DAY)
    content = today - dt.timedelta(days=keep.content_days)
    traces = today - dt.timedelta(days=keep.trace_days)
    removed = {table: _drop(client, table, content, 1) for table in ("content", "logs")}
    for table in ("spans", "traces", "scores", "measurements"):
        removed[table] = _drop(client, table, traces, 7)
        _mutate(client, table, f"DELETE WHERE day < toDate('{traces}')", f"day < toDate('{traces}')")
    # What a person wrote or read, outside the class of content.
    old = f"day < toDate('{content}')"
    texts = f"{old} AND (isNotNull(input_text) OR isNotNull(output_text))"
    _mutate(
        client, "traces", f"UPDATE input_text = {_NOTHING}, output_text = {_NOTHING} WHERE {texts}", texts
    )
    left = f"arrayExists((k, v) -> NOT ({_KEPT}), mapKeys(attributes), mapValues(attributes))"
    texts = f"{old} AND (isNotNull(output_text) OR ({cleared.beyond(now_ns)} AND {left}))"
    cut = f"output_text = {_NOTHING}, attributes = mapFilter((k, v) -> {_KEPT}, attributes)"
    _mutate(client, "spans", f"UPDATE {cut} WHERE {texts}", texts)
    # What arrived while this ran may have been missed: a day is more than that takes.
    cleared.day, cleared.at_ns = content, now_ns - DAY
    aggregates = today - dt.timedelta(days=keep.aggregate_days)
    removed["points"] = 0
    for partition in _partitions(client, "points"):
        if partition < f"{aggregates:%Y%m}":
            client.command(f"ALTER TABLE points DROP PARTITION ID '{partition}'")
            removed["points"] += 1
    old = f"decided_at < toDate('{traces}')"
    _mutate(client, "keeping", f"DELETE WHERE {old}", old)
    _mutate(
        client, "coverage", f"DELETE WHERE time < toDate('{aggregates}')", f"time < toDate('{aggregates}')"
    )
    # The baseline of a map is in force until there is another map, whatever its age.
    old = f"tick < toDate('{aggregates}') AND seconds > 0"
    _mutate(client, "sketches", f"DELETE WHERE {old}", old)
    return removed


def _mutate(client: Client, table: str, change: str, where: str) -> None:
    """A finished mutation, only when there is anything to change: it rewrites whole parts."""
    if client.query(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1").result_rows:
        client.command(f"ALTER TABLE {table} {change}", settings=FINISHED)


def drop_unkept(client: Client, since_ns: int, until_ns: int) -> dict[str, int]:
    """Remove what is stored of traces that storage sampling decided against in [since, until); rows removed a table.

    Their spans were stored to be promised; this is a mutation of the parts that hold any, so it is asked for seldom.
    """
    bound = {"since": since_ns, "until": until_ns}
    where = (
        "(project, trace_id) IN (SELECT project, trace_id FROM keeping FINAL WHERE kept = 0 "
        "AND decided_at >= fromUnixTimestamp64Nano({since:Int64}) AND decided_at < fromUnixTimestamp64Nano({until:Int64}))"
    )
    removed: dict[str, int] = {}
    for table in ("spans", "content", "logs"):
        answer = client.query(f"SELECT count() FROM {table} WHERE {where}", parameters=bound).result_rows
        removed[table] = int(answer[0][0])
        if removed[table]:
            change(client, f"ALTER TABLE {table} DELETE WHERE {where}", bound, FINISHED)
    return removed


def erase(client: Client, project: str, user_id: str | None, trace_ids: Sequence[str]) -> Erased:
    """Remove every row of these traces, or of all traces of a user, in every table that has a trace.

    The mutations are finished when this returns. Replaced parts leave the disk within half a minute (the
    cleanup settings of the tables). A user's traces are those with a span or trace row that names them.
    """
    ids = set(trace_ids)
    if user_id is not None:
        for table in ("spans", "traces"):
            found = client.query(
                f"SELECT DISTINCT trace_id FROM {table} WHERE project = {{project:String}} AND user_id = {{user:String}}",
                parameters={"project": project, "user": user_id},
            ).result_rows
            ids |= {str(r[0]) for r in found}
    removed: dict[str, int] = dict.fromkeys(BY_TRACE, 0)
    if user_id is not None:
        removed["measurements"] = _erase_measured(client, project, user_id)
    if not ids:
        return Erased(removed)
    where = "project = {project:String} AND trace_id IN {ids:Array(String)}"
    wanted = sorted(ids)
    for start in range(0, len(wanted), AT_ONCE):
        bound = {"project": project, "ids": wanted[start : start + AT_ONCE]}
        for table in BY_TRACE:
            # A row that was written again is one to whoever reads the receipt.
            answer = client.query(
                f"SELECT count() FROM {table} FINAL WHERE {where}", parameters=bound
            ).result_rows
            number = int(answer[0][0])
            removed[table] += number
            if number:
                change(client, f"ALTER TABLE {table} DELETE WHERE {where}", bound, FINISHED)
    return Erased(removed, wanted)


def _erase_measured(client: Client, project: str, user_id: str) -> int:
    """A client's own data points name a user in an attribute, under any key that speaks of users."""
    where = (
        "project = {project:String} AND has(mapValues(attributes), {user:String}) AND arrayExists("
        "(k, v) -> v = {user:String} AND positionCaseInsensitive(k, 'user') > 0, mapKeys(attributes), mapValues(attributes))"
    )
    bound = {"project": project, "user": user_id}
    found = int(
        client.query(f"SELECT count() FROM measurements WHERE {where}", parameters=bound).result_rows[0][0]
    )
    if found:
        change(client, f"ALTER TABLE measurements DELETE WHERE {where}", bound, FINISHED)
    return found
