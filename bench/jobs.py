"""The jobs table against DBOS Transact on SQLite: `python bench/jobs.py [--jobs N]`; DBOS only where it is installed.

Prints jobs/s, the time to queue, memory with many due, and with how many connections each writes to the same SQLite file:
SQLite before 3.51.3 can lose data when several connections reset the write-ahead log, so this product writes with one.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[1])


def report(name: str, n: int, seconds: float, note: str = "") -> None:
    print(f"{name:44}{n:8} jobs {seconds:7.2f} s {n / seconds:9.0f} jobs/s  {note}")


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(n: int, folder: Path) -> None:
    """Queue, claim in groups of 64, finish in groups: what the judge loop does around the asking."""
    from watchkeeper.store.records import jobs
    from watchkeeper.store.records.engine import Records
    from watchkeeper.store.records.tables import metadata

    records = Records(f"sqlite:///{folder}/table.db")
    metadata.create_all(records.engine)
    due = [
        jobs.NewJob(f"k{i}", "p", "judge", {"trace_id": f"{i:032x}", "scorer": "quality"}, 0)
        for i in range(n)
    ]
    start = time.perf_counter()
    for first in range(0, n, 500):
        records.write_now(lambda c, f=first: jobs.add(c, due[f : f + 500], 1))
    report("table: queue, 500 a transaction", n, time.perf_counter() - start)
    cpu = time.process_time()
    first = records.write_now(lambda c: jobs.claim(c, "judge", "first", 2, 16, 10**9))
    print(f"one claim of 16 with {n} due: {1000 * (time.process_time() - cpu):.1f} ms of CPU")
    records.write_now(lambda c: [jobs.finish(c, j.key, "first", 3) for j in first])
    start, done = time.perf_counter(), 0
    while taken := records.write_now(lambda c: jobs.claim(c, "judge", "w", 2, 64, 10**9)):
        records.write_now(lambda c, t=taken: [jobs.finish(c, j.key, "w", 3) for j in t])
        done += len(taken)
    report("table: claim and finish, 64 a transaction", done, time.perf_counter() - start)
    due = [jobs.NewJob(f"s{i}", "p", "judge", {}, 0) for i in range(300)]
    records.write_now(lambda c: jobs.add(c, due, 1))
    start, done = time.perf_counter(), 0
    while taken := records.write_now(lambda c: jobs.claim(c, "judge", "w", 2, 1, 10**9)):
        records.write_now(lambda c, t=taken: jobs.finish(c, t[0].key, "w", 3))
        done += 1
    report("table: one at a time, fsync each", done, time.perf_counter() - start)
    records.close()


async def judging(n: int, folder: Path) -> None:
    """The whole judge loop against the fake provider with 64 in flight."""
    sys.path.insert(0, ROOT)
    from tests.unit.pipeline.test_judge import World
    from watchkeeper.llm.fake import FakeProvider
    from watchkeeper.store.records.engine import Records
    from watchkeeper.store.records.tables import metadata

    records = Records(f"sqlite:///{folder}/judging.db")
    metadata.create_all(records.engine)
    world = World(records)
    world.provider = FakeProvider(latency_s=0.05)
    await world.queue(n)
    start, before, cpu = time.perf_counter(), memory_mb(), time.process_time()
    await world.work(concurrency=64)
    cpu = time.process_time() - cpu
    scored = len(world.columns.scores)
    report(
        "judge loop, fake provider of 50 ms, 64 at once",
        scored,
        time.perf_counter() - start,
        f"{1000 * cpu / scored:.2f} ms of CPU each, +{memory_mb() - before:.0f} MB",
    )
    records.close()


def dbos(n: int, folder: Path) -> None:
    """The same number of empty jobs through a DBOS queue."""
    from dbos import DBOS, SetWorkflowID

    opened: list[str] = []
    connect = sqlite3.dbapi2.connect

    def counting(*arguments: Any, **more: Any) -> Any:
        opened.append(str(arguments[0]))
        return connect(*arguments, **more)

    sqlite3.connect = sqlite3.dbapi2.connect = counting  # type: ignore[assignment]
    config: Any = {
        "name": "bench",
        "system_database_url": f"sqlite:///{folder}/dbos.db",
        "run_admin_server": False,
    }
    DBOS(config=config)

    @DBOS.workflow()
    def job(trace_id: str) -> str:
        return trace_id

    DBOS.launch()
    queue = DBOS.register_queue("judge", concurrency=64, polling_interval_sec=0.05)
    start = time.perf_counter()
    handles = []
    for i in range(n):
        with SetWorkflowID(f"k{i}"):
            handles.append(queue.enqueue(job, f"{i:032x}"))
    report("DBOS: queue", n, time.perf_counter() - start)
    for handle in handles:
        handle.get_result()
    report("DBOS: queue and run", n, time.perf_counter() - start, f"{len(opened)} SQLite connections opened")
    DBOS.destroy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--only", choices=("table", "judging", "dbos"))
    arguments = parser.parse_args()
    print(f"SQLite {sqlite3.sqlite_version} (bundled with this Python)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only in (None, "table"):
            table(arguments.jobs, folder)
        if arguments.only in (None, "judging"):
            asyncio.run(judging(min(arguments.jobs, 2000), folder))
        if arguments.only in (None, "dbos"):
            if importlib.util.find_spec("dbos") is None:
                print("DBOS is not installed here: pip install dbos to compare")
            else:
                with contextlib.suppress(SystemExit):
                    dbos(min(arguments.jobs, 1000), folder)
        print(f"peak memory {memory_mb():.0f} MB")


if __name__ == "__main__":
    main()
