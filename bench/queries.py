"""Server time of the queries behind the pages, at 200,000 spans (or --spans 2000000), median and worst of `--repeat` runs.

    python -m bench.queries [--spans 200000] [--repeat 15] [--dir D]

The rows are made by the engine itself (five spans a trace, made-up words, five scorers over 30 days), so filling takes
seconds; the queries are those of the trace list, the trace view and the SQL page.
"""

import argparse
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.ingest import in_folder, rss_mb, vocabulary
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.clickhouse.engine import Source
from watchkeeper.store.columns import TraceFilter

DAY_NS = 86_400 * 10**9
PER_TRACE = 5
CHUNK = 40_000

WORDS = (
    "arrayStringConcat(arrayMap(i -> {words}[1 + cityHash64(number, i, {salt}) % {n}], range({count})), ' ')"
)
COMMON = """'default' AS project, leftPad(lower(hex(cityHash64(t))), 32, '0') AS trace_id,
 fromUnixTimestamp64Nano(toInt64({start} + t * {step} + s * 1000000), 'UTC') AS time"""
CONTEXT = """concat('session-', toString(t % 20000)) AS session_id, concat('user-', toString(t % 5000)) AS user_id,
 ['support', 'sales', 'search'][1 + t % 3] AS scenario, 'bot' AS service, 'production' AS environment,
 concat('v', toString(t % 3)) AS prompt_version"""

BODY = (
    '{"trace_id":"', '","span_id":"',
    '","parent_id":null,"name":"chat","otel_kind":"client","start_ns":1,"end_ns":2,"status":"ok","status_message":null,'
    '"attributes":{"gen_ai.input.messages":"',
    '"},"events":[],"links":[],"resource":{"service.name":"bot"}}',
)  # fmt: skip
SPANS = """
INSERT INTO spans (project, trace_id, time, session_id, user_id, scenario, service, environment, prompt_version,
  span_id, parent_id, name, kind, duration_ms, status, dialect, provider, request_model, response_model, input_tokens,
  output_tokens, cost, output_text, attributes, day, received_at, version)
SELECT {common}, {context}, lower(hex(cityHash64(t, s))) AS span_id, if(s = 0, NULL, lower(hex(cityHash64(t, 0)))),
  ['agent', 'retrieve', 'chat', 'tool', 'chat'][s + 1], ['agent', 'retrieval', 'llm', 'tool', 'llm'][s + 1],
  toFloat64(50 + cityHash64(number) % 3000), if(cityHash64(number, 1) % 50 = 0, 'error', 'ok'), 'gen_ai',
  if(s IN (2, 4), 'openai', NULL), if(s IN (2, 4), ['gpt-4o', 'gpt-4o-mini', 'claude-4'][1 + t % 3], NULL),
  if(s IN (2, 4), ['gpt-4o', 'gpt-4o-mini', 'claude-4'][1 + t % 3], NULL), if(s IN (2, 4), 500, NULL),
  if(s IN (2, 4), 150, NULL), if(s IN (2, 4), 0.01, NULL), {text},
  map('http.route', concat('/chat/', toString(t % 40)), 'gen_ai.operation.name', 'chat', 'n', toString(s),
      'server.address', 'api.example.com', 'service.name', 'bot'),
  toDate(time), time, toUInt64(s)
FROM (SELECT number, intDiv(number, 5) AS t, number % 5 AS s FROM numbers({first}, {count}))"""
TRACES = """
INSERT INTO traces (project, trace_id, time, session_id, user_id, scenario, service, environment, prompt_version,
  duration_ms, root_name, complete, spans, llm_calls, tool_calls, errors, input_text, output_text, models, provider,
  input_tokens, output_tokens, cost, scores, inclusion_probability, policy, keep_probability, day, received_at, assembled_at)
SELECT {common}, {context}, toFloat64(200 + cityHash64(number) % 5000), 'agent', true, 5, 2, 1, cityHash64(number, 1) % 50 = 0,
  {asked}, {text}, [['gpt-4o', 'gpt-4o-mini', 'claude-4'][1 + t % 3]], 'openai', 1000, 300, 0.02,
  CAST(map('answer_relevance', toFloat64(cityHash64(t, 7) % 1000) / 100, 'valid_json', 1.0, 'refusal', 0.0, 'length',
      toFloat64(t % 900), 'grounded', toFloat64(t % 100) / 100), 'Map(LowCardinality(String), Float64)'),
  1.0, 'all', 1.0, toDate(time), time, 1
FROM (SELECT number, number AS t, 0 AS s FROM numbers({first}, {count}))"""


def fill(source: Source, spans: int) -> int:
    """Make the rows; returns when the newest trace began, ns."""
    words = "[" + ", ".join(f"'{w}'" for w in vocabulary(3000, 5)) + "]"
    now = time.time_ns()
    traces = spans // PER_TRACE
    step = 30 * DAY_NS // traces
    start = now - traces * step
    client = source.client({"max_threads": 2, "max_memory_usage": 0})

    def text(salt: int, count: int) -> str:
        return WORDS.format(words=words, salt=salt, n=3000, count=count)

    given = {"start": start, "step": step}
    for first in range(0, spans, CHUNK):
        count = min(CHUNK, spans - first)
        client.command(
            SPANS.format(
                common=COMMON.format(**given), context=CONTEXT, text=text(1, 25), first=first, count=count
            )
        )
        client.command(
            "INSERT INTO content SELECT project, trace_id, span_id, body, day, received_at, version FROM ("
            f"SELECT {COMMON.format(**given)}, lower(hex(cityHash64(t, s))) AS span_id, "
            f"concat('{BODY[0]}', trace_id, '{BODY[1]}', span_id, '{BODY[2]}', {text(2, 400)}, '{BODY[3]}') AS body, "
            "toDate(time) AS day, time AS received_at, toUInt64(s) AS version "
            f"FROM (SELECT number, intDiv(number, 5) AS t, number % 5 AS s FROM numbers({first}, {count})))"
        )
    for first in range(0, traces, CHUNK):
        count = min(CHUNK, traces - first)
        client.command(
            TRACES.format(
                common=COMMON.format(**given),
                context=CONTEXT,
                asked=text(3, 30),
                text=text(4, 60),
                first=first,
                count=count,
            )
        )
    client.close()
    return start + (traces - 1) * step


async def measure(store: ClickHouseColumns, newest: int, repeat: int) -> None:
    """Run every query and print its times."""
    word = vocabulary(3000, 5)[17]
    other = vocabulary(3000, 5)[99]
    ids = [r["trace_id"] for r in await store.list_traces("default", TraceFilter(limit=500))]
    turn = iter(range(10**9))

    def sql(query: str) -> Callable[[], Awaitable[object]]:
        return lambda: store.sql("default", query)

    def listed(wanted: TraceFilter) -> Callable[[], Awaitable[object]]:
        return lambda: store.list_traces("default", wanted)

    day = newest - DAY_NS
    cases: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("newest 50 traces", listed(TraceFilter())),
        ("newest 50 of the last day", listed(TraceFilter(since_ns=day))),
        ("one trace by id", lambda: store.read_trace("default", ids[next(turn) % 500])),
        ("scores of one trace", lambda: store.read_scores("default", [ids[next(turn) % 500]])),
        ("filter by column", listed(TraceFilter(where="scenario = 'support' and errors > 0"))),
        ("filter by score", listed(TraceFilter(where="answer_relevance < 0.5"))),
        ("filter by attribute", listed(TraceFilter(where="attributes['http.route'] = '/chat/7'"))),
        ("one user", listed(TraceFilter(user_id="user-77"))),
        ("text, two words", listed(TraceFilter(text=f"{word} {other}"))),
        ("SQL: worst by score, last day", sql(
            "select * from traces where scenario = 'support' and answer_relevance < 5 and "
            f"time > fromUnixTimestamp64Nano({day}) order by time desc limit 50")),
        ("SQL: p95 by model and hour, all", sql(
            "select request_model, toStartOfHour(time) h, quantile(0.95)(duration_ms) from spans where kind = 'llm' group by all")),
        ("SQL: mean of a score by day", sql("select toDate(time) d, avg(answer_relevance), count() from traces group by d")),
    ]  # fmt: skip
    for name, ask in cases:
        await ask()
        times: list[float] = []
        for _ in range(repeat):
            started = time.perf_counter()
            await ask()
            times.append((time.perf_counter() - started) * 1000)
        print(f"{name:34s} p50 {statistics.median(times):8.1f} ms   worst {max(times):8.1f} ms")


async def run(args: argparse.Namespace, folder: Path) -> None:
    """Fill, measure, print."""
    dsn = f"chdb://{folder / 'columns'}"
    started = time.perf_counter()
    store = open_columns(dsn)
    print(f"open {time.perf_counter() - started:.2f} s")
    started = time.perf_counter()
    newest = fill(store.source, args.spans)
    print(
        f"{args.spans:,} spans made in {time.perf_counter() - started:.0f} s, {rss_mb(False):.0f} MB resident"
    )
    await measure(store, newest, args.repeat)
    stats = await store.stats()
    for table, t in stats["tables"].items():
        if t["rows"] > 100:
            print(f"  {table:10} {t['rows']:10,} rows {t['parts']:3} parts {t['bytes'] / 2**20:8.1f} MB")
    await store.close()
    started = time.perf_counter()
    store = open_columns(dsn)
    print(
        f"open again {time.perf_counter() - started:.2f} s, {rss_mb(False):.0f} MB resident, {rss_mb():.0f} MB peak"
    )
    await store.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=15)
    in_folder(parser, run)


if __name__ == "__main__":
    main()
