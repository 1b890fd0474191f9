"""A process that writes batches of traces as the server does and says so after each acknowledgement; it is meant to be killed.

python -m tests.flow.durable_writer FOLDER FIRST_BATCH [--check LAST_BATCH]
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence

from tests.contract.columns_world import joined, normal
from watchkeeper.model.span import LogRecord, RawSpan, Trace
from watchkeeper.pipeline.assembly import Assembly
from watchkeeper.pipeline.ingest import Ingest
from watchkeeper.store.clickhouse import open_columns
from watchkeeper.store.columns import TraceRow

PROJECT = "p"
WRITERS, TRACES, SPANS = 3, 4, 3
EPOCH = 1_790_000_000 * 10**9


def batch(number: int) -> list[RawSpan]:
    """The same spans for the same number: so an unacknowledged batch can be sent again."""
    made: list[RawSpan] = []
    for t in range(TRACES):
        trace_id = f"{number * TRACES + t + 1:032x}"
        for s in range(SPANS):
            start = EPOCH + number * 10**9 + s
            made.append(
                RawSpan(
                    trace_id, f"{(number * TRACES + t) * SPANS + s + 1:016x}", None if s == 0 else made[-s].span_id,
                    f"step {s}", "internal", start, start + 10**6, "ok", None, {"batch": number, "text": "x" * 500},
                    [], [], {"service.name": "writer"},
                )
            )  # fmt: skip
    return made


def clock() -> int:
    """The data's time runs with the world's, from a fixed start, so that restarts go forward."""
    return time.time_ns()


async def write(folder: str, first: int) -> None:
    """Write until killed; `ack N` after each batch."""
    columns = open_columns(f"chdb://{folder}", clock=clock)

    async def on_traces(items: Sequence[tuple[str, Trace]], read_ns: int) -> None:
        await columns.write_traces([TraceRow(p, t, [], 1.0, "all", read_ns) for p, t in items])

    assembly = Assembly(columns, clock, normal, joined, on_traces, quiet_s=0.2, timeout_s=2, poll_s=0.05)
    ingest = Ingest(columns, clock, normal, lambda _p, _i: None, assembly)
    ingest.start()
    assembly.start()
    numbers = iter(range(first, 10**9))
    print("ready", flush=True)

    async def writer() -> None:
        for number in numbers:
            await ingest.accept(
                PROJECT,
                batch(number),
                [LogRecord(batch(number)[0].trace_id, "", EPOCH, "n", 9, number, {}, {}, log_id="l")],
            )
            # One write call, so that a kill cannot leave half a line.
            os.write(1, f"ack {number}\n".encode())

    await asyncio.gather(*(writer() for _ in range(WRITERS)))


async def check(folder: str, acknowledged: set[int]) -> None:
    """Compare the store with what was acknowledged; prints what is wrong, or `clean`."""
    columns = open_columns(f"chdb://{folder}", clock=clock)
    store_spans = await columns.sql(PROJECT, "select count(), uniqExact(trace_id, span_id) from spans")
    [[total, distinct]] = store_spans.rows
    lost: list[str] = []
    partial: list[str] = []
    trace_ids = {n: sorted({s.trace_id for s in batch(n)}) for n in acknowledged}
    found = await columns.read_traces(PROJECT, [t for ids in trace_ids.values() for t in ids])
    for number in acknowledged:
        sent = {s.span_id: s for s in batch(number)}
        for trace_id in trace_ids[number]:
            spans, _ = found.get(trace_id, ([], []))
            if [s for s in spans if sent.get(s.span_id) == s] != spans or len(spans) != SPANS:
                lost.append(trace_id)
    rows = await columns.sql(
        PROJECT, "select trace_id, count() as n, any(spans) as s from traces group by trace_id"
    )
    made = {r[0]: (r[1], r[2]) for r in rows.rows}

    async def on_traces(items: Sequence[tuple[str, Trace]], read_ns: int) -> None:
        await columns.write_traces([TraceRow(p, t, [], 1.0, "all", read_ns) for p, t in items])

    assembly = Assembly(columns, clock, normal, joined, on_traces)
    await assembly.recover()
    rows = await columns.sql(
        PROJECT, "select trace_id, count() as n, any(spans) as s from traces group by trace_id"
    )
    made = {r[0]: (r[1], r[2]) for r in rows.rows}
    for ids in trace_ids.values():
        partial += [t for t in ids if made.get(t) != (1, SPANS)]
    await columns.close()
    await assembly.close()
    if total == distinct and not lost and not partial:
        print(f"clean {total}", flush=True)
    else:
        print(f"spans {total} distinct {distinct} lost {lost[:5]} not assembled {partial[:5]}", flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "--check":
        asyncio.run(check(sys.argv[1], {int(n) for n in sys.stdin.read().split()}))
    else:
        asyncio.run(write(sys.argv[1], int(sys.argv[2])))
