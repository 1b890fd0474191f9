"""A backtest of 20 monitors over 30 days of a million scores, through the real store: rolled afresh, watched hour by hour."""

import asyncio
import tempfile
import time
from pathlib import Path

from watchkeeper.alerting.monitor import Monitor
from watchkeeper.pipeline.backtest import backtest
from watchkeeper.store.clickhouse import open_columns

HOUR, DAY = 3600 * 10**9, 86_400 * 10**9
NOW = 1_750_000_000 * 10**9 // HOUR * HOUR
SCORERS = ("relevance", "grounded", "tone", "steps")
# Relevance of prompt v2 falls by a point for the last three days; everything else is calm.
_FILL = """
INSERT INTO traces (project, trace_id, time, duration_ms, root_name, complete, spans, llm_calls, models, cost,
  prompt_version, scenario, scores, `checks.scorer`, `checks.version`, `checks.span_id`, `checks.value`, `checks.label`,
  `checks.passed`, `checks.reason`, inclusion_probability, policy, keep_probability, day, received_at, assembled_at)
SELECT 'bench', lower(hex(number + 1)), t, exp(7 + 0.5 * randNormal(0, 1, number)), 'chat', 1, 3, 1, ['model-a'], 0.001 + rand(number) / 1e12,
  v, ['support', 'sales', 'returns'][number % 3 + 1],
  map('relevance', rel, 'grounded', toFloat64(rand(number + 1) % 100 < 93), 'tone', ton, 'steps', toFloat64(rand(number + 2) % 100 < 85)),
  ['relevance', 'grounded', 'tone', 'steps'], ['1', '1', '1', '1'], ['', '', '', ''], [rel, NULL, ton, NULL],
  [NULL, NULL, NULL, NULL], [NULL, 1, NULL, 1], [NULL, NULL, NULL, NULL], 1, 'all', 1, toDate(t), t, toUnixTimestamp64Nano(t)
FROM (SELECT number, fromUnixTimestamp64Nano(toInt64({since} + number * {step})) AS t, if(number % 5 < 2, 'v2', 'v1') AS v,
    greatest(0., least(10., round(randNormal(8.2, 1.6, number) - if(number % 5 < 2 AND number > {drop}, 1, 0)))) AS rel,
    greatest(0., least(10., round(randNormal(7.5, 1.2, number + 9)))) AS ton
  FROM numbers({traces}))
"""


def monitors() -> list[Monitor]:
    conditions = [
        "shift(relevance) = 'down'",
        "shift(grounded) = 'down'",
        "shift(tone) = 'down'",
        "shift(steps) = 'down'",
        "shift(latency_ms) = 'up'",
        "shift(cost) = 'up'",
        "share(relevance < 5) > 20%",
        "grounded < 80%",
        "relevance.p50 < 6",
        "latency_ms.p99 > 20s",
    ]
    return [
        Monitor(
            f"m{i}",
            conditions[i % 10],
            "bench",
            "r.md",
            "bench",
            by=("prompt_version", "scenario") if i >= 10 else (),
        )
        for i in range(20)
    ]


async def _run(traces: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="watchkeeper-bench-") as folder:
        columns = open_columns(f"chdb:///{Path(folder)}/c", clock=lambda: NOW)
        since = NOW - 30 * DAY
        text = _FILL.format(since=since, step=30 * DAY // traces, drop=traces * 27 // 30, traces=traces)
        await columns._rows.run(lambda client: client.command(text))
        begun, worked = time.perf_counter(), time.process_time()
        found = await backtest(columns, monitors(), since, NOW)
        took, cpu = time.perf_counter() - begun, time.process_time() - worked
        await columns.close()
    late = [a for a in found if (a.onset_ns or 0) >= since + 26.9 * DAY]
    return {
        "seconds": took,
        "of processor": cpu,
        "scores": traces * len(SCORERS),
        "alerts": len(found),
        "of the drop": len(late),
    }


def run(traces: int = 250_000) -> dict[str, float]:
    """Seconds for the backtest of 20 monitors; how many scores there were and what it found."""
    return asyncio.run(_run(traces))
