"""Server time of the queries behind the pages, at 200,000 spans (or --spans 2000000), as the store's own functions ask them.

    python -m bench.queries [--spans 200000] [--repeat 15] [--dir D] [--text made-up|prose|conversations|varied]

The first 20,000 spans take the whole way (`bench.ingest`: decode, redact, assemble, check); the engine then copies them under
new ids, spread over 30 days, which takes seconds for what would take minutes. `--dir` keeps the data for another run.

Beside the median and the 95th percentile of `--repeat` runs stand the processor's time of the cheapest run and the rows read a run: on
a busy machine these say more than the clock. A median over the goal of its query is marked.
"""

import argparse
import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from clickhouse_connect.driver.client import Client

from bench.ingest import Rig, add_text_options, in_folder, rss_mb, traffic_of
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns, queries
from watchkeeper.store.clickhouse.engine import spare_memory
from watchkeeper.store.columns import TraceFilter

DAY_NS = 86_400 * 10**9
DAYS = 30
BASE = 20_000
BATCH = 500
TABLES = ("content", "spans", "traces")
# Milliseconds at 2,000,000 spans, by how the name of a query begins.
GOALS = {
    "newest 50": 20, "one trace by id": 20, "filter by score": 100, "filter by attribute": 150, "text,": 200,
    "SQL: p95 by model and hour": 150,
}  # fmt: skip
# Where a trace of a copy lies in the copy's stretch of time follows from its id, the same in every table.
COPY = """
INSERT INTO {table} SELECT * REPLACE (
  lower(hex(MD5(concat(trace_id, '{copy}')))) AS trace_id, {ids}
  toDate(fromUnixTimestamp64Nano({place})) AS day, fromUnixTimestamp64Nano({place} + 1000000000, 'UTC') AS received_at)
FROM base_{table}"""
PLACE = "toInt64({start} + cityHash64(trace_id) % {length})"
SPAN_ID = "substring(lower(hex(MD5(concat(span_id, '{copy}')))), 1, 16) AS span_id,"
MOMENT = "fromUnixTimestamp64Nano({place} + toUnixTimestamp64Nano(time) % 100000000, 'UTC') AS time,"
SESSION = "concat(session_id, '-{copy}') AS session_id,"
IDS = {
    "content": SPAN_ID,
    "spans": f"{SPAN_ID} {SESSION} {MOMENT}"
    " substring(lower(hex(MD5(concat(parent_id, '{copy}')))), 1, 16) AS parent_id,",
    "traces": f"{SESSION} {MOMENT} toUInt64({{place}} + 2000000000) AS assembled_at,",
}


async def base(folder: Path, args: argparse.Namespace) -> float:
    """Some spans the whole way; returns the bytes of one on the wire."""
    rig = Rig(folder, True)
    rig.ingest.start()
    rig.assembly.start()
    traffic = traffic_of(args.text, args.shared)
    bodies = [traffic.body(BATCH) for _ in range(BASE // BATCH)]
    await rig.send(bodies, 4)
    await asyncio.sleep(1.6)
    await rig.assembly.flush(everything=True)
    await rig.close()
    return sum(map(len, bodies)) / BASE


def fill(client: Client, spans: int) -> None:
    """Copy what is stored until there are so many spans, oldest first; the last copy ends now."""
    for table in TABLES:
        client.command(f"CREATE TABLE base_{table} AS {table}")
        client.command(f"INSERT INTO base_{table} SELECT * FROM {table}")
        client.command(f"TRUNCATE TABLE {table}")
    copies = -(-spans // BASE)
    length = DAYS * DAY_NS // copies
    now = time.time_ns()
    for copy in range(copies):
        place = PLACE.format(start=now - (copies - copy) * length, length=length)
        for table in TABLES:
            ids = IDS[table].format(copy=copy, place=place)
            client.command(COPY.format(table=table, copy=copy, ids=ids, place=place))
    for table in TABLES:
        client.command(f"DROP TABLE base_{table} SYNC")


def settle(client: Client) -> None:
    """What the engine does with days and weeks that have rested for some hours: each but the newest becomes one part."""
    for table in TABLES:
        resting = client.query(
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND table = {table:String} ORDER BY partition_id",
            parameters={"table": table},
        ).result_rows[:-1]
        for (partition,) in resting:
            client.command(f"OPTIMIZE TABLE {table} PARTITION ID '{partition}' FINAL")
    while client.query("SELECT count() FROM system.merges").result_rows[0][0]:
        time.sleep(1)


def rows_read(client: Client) -> int:
    """Rows that queries have read since the engine started."""
    found = client.query("SELECT value FROM system.events WHERE event = 'SelectedRows'").result_rows
    return int(found[0][0]) if found else 0


async def measure(store: ClickHouseColumns, client: Client, repeat: int) -> None:
    """Run every query and print what it takes."""
    newest = await store.list_traces("default", TraceFilter(limit=500))
    ids = [str(row["trace_id"]) for row in newest]
    said = Counter(
        word for row in newest for word in str(row["input_text"]).lower().split() if word.isalpha()
    )
    ranked = [word for word, _ in said.most_common()]
    word, other = ranked[len(ranked) // 10], ranked[len(ranked) // 5]
    day = int(newest[0]["time"].timestamp()) * 10**9 - DAY_NS
    turn = iter(range(10**9))
    groups: dict[str, object] = {
        name: "" for name in queries.load()["page_groups"].parameters if name != "project"
    }
    groups |= {
        "by": "session",
        "most": 50,
        "since": day - 29 * DAY_NS,
        "until": day + 2 * DAY_NS,
        "before_ns": 0,
        "sign": 1,
    }

    def sql(query: str) -> Callable[[], Awaitable[object]]:
        return lambda: store.sql("default", query)

    def listed(wanted: TraceFilter) -> Callable[[], Awaitable[object]]:
        return lambda: store.list_traces("default", wanted)

    cases: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("newest 50 traces", listed(TraceFilter())),
        ("newest 50 of the last day", listed(TraceFilter(since_ns=day))),
        ("one trace by id", lambda: store.read_trace("default", ids[next(turn) % 500])),
        ("scores of one trace", lambda: store.read_scores("default", [ids[next(turn) % 500]])),
        ("filter by column", listed(TraceFilter(where="scenario = 'support' and duration_ms > 899"))),
        ("filter by score", listed(TraceFilter(where="answer_relevance < 0.05"))),
        ("filter by attribute", listed(TraceFilter(where="attributes['user.id'] = 'user-77'"))),
        ("filter by attribute, common", listed(TraceFilter(where="attributes['gen_ai.request.model'] = 'gpt-4o'"))),
        ("filter by attribute, number", listed(TraceFilter(where="attributes['gen_ai.usage.input_tokens'] > 1990"))),
        ("filter by attribute, no such", listed(TraceFilter(where="mapContains(attributes, 'no.such')"))),
        ("one user", listed(TraceFilter(user_id="user-77"))),
        ("text, two words", listed(TraceFilter(text=f"{word} {other}"))),
        ("text, a rare word", listed(TraceFilter(text=ranked[-1]))),
        ("traces a bucket, 30 days", lambda: store.tally("default", TraceFilter(since_ns=day - 29 * DAY_NS), 3600)),
        ("SQL: worst by score, last day", sql(
            "select * from traces where scenario = 'support' and answer_relevance < 5 and "
            f"time > fromUnixTimestamp64Nano({day}) order by time desc limit 50")),
        ("SQL: one trace by id", lambda: store.sql("default", f"select * from traces where trace_id = '{ids[next(turn) % 500]}'")),
        ("SQL: spans by attribute", sql("select count() from spans where attributes['user.id'] = 'user-77'")),
        ("SQL: p95 by model and hour, all", sql(
            "select request_model, toStartOfHour(time) h, quantile(0.95)(duration_ms) from spans where kind = 'llm' group by all")),
        ("SQL: mean of a score by day", sql("select toDate(time) d, avg(answer_relevance), count() from traces group by d")),
        ("page of sessions, 30 days", lambda: store.named("page_groups", "default", **groups)),
    ]  # fmt: skip
    print(f"{'':34s} {'p50 ms':>9s} {'p95 ms':>9s} {'CPU ms':>9s} {'rows read':>11s}")
    for name, ask in cases:
        await ask()
        times: list[float] = []
        costs: list[float] = []
        rows = rows_read(client)
        for _ in range(repeat):
            started, cpu = time.perf_counter(), time.process_time()
            await ask()
            times.append((time.perf_counter() - started) * 1000)
            costs.append((time.process_time() - cpu) * 1000)
        rows = rows_read(client) - rows
        middle, p95 = statistics.median(times), sorted(times)[int(0.95 * (repeat - 1))]
        goal = next((ms for words, ms in GOALS.items() if name.startswith(words)), None)
        mark = f"  over {goal} ms" if goal is not None and middle > goal else ""
        print(
            f"{name:34s} {middle:9.1f} {p95:9.1f} {min(costs):9.1f} {rows / repeat:11,.0f}{mark}", flush=True
        )


async def run(args: argparse.Namespace, folder: Path) -> None:
    """Fill, measure, print."""
    spare_memory()  # as the server does at its start
    dsn = f"chdb://{folder / 'columns'}"
    started = time.perf_counter()
    made = not (folder / "columns").exists()
    wire = await base(folder, args) if made else 0.0
    store = open_columns(dsn)
    client = store.source.client({"max_threads": 2, "max_memory_usage": 0})
    if made:
        fill(client, args.spans)
        settle(client)
        print(f"made in {time.perf_counter() - started:.0f} s, {rss_mb(False):.0f} MB resident")
    stats = await store.stats()
    for table, t in stats["tables"].items():
        if t["rows"] > 100:
            print(f"  {table:10} {t['rows']:10,} rows {t['parts']:3} parts {t['bytes'] / 2**20:8.1f} MB")
    if made:
        disk = sum(t["bytes"] for t in stats["tables"].values()) / stats["tables"]["spans"]["rows"]
        print(f"disk {disk:,.0f} B a span, {disk / wire:.3f} of the {wire:,.0f} B on the wire")
    client.close()
    await store.close()
    started = time.perf_counter()
    store = open_columns(dsn)
    client = store.source.client({})
    print(f"opened in {time.perf_counter() - started:.2f} s, {rss_mb(False):.0f} MB resident")
    await measure(store, client, args.repeat)
    await store.give_back()
    print(f"{rss_mb(False):.0f} MB resident after it, {rss_mb():.0f} MB at most")
    client.close()
    await store.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=15)
    add_text_options(parser)
    in_folder(parser, run)


if __name__ == "__main__":
    main()
