"""Server time of the pages, and of drawing a chart, with as many spans stored as asked for.

    python -m bench.pages [--spans 200000] [--rounds 15] [--keep DIR]

The pages are asked for through the whole application (routing, login, queries, template), in this process and without
a network. Printed are the first time it was asked for, then the median and the worst of the rounds; the processor's time of the
cheapest round, all threads together, and how much of it the event loop had, while which nobody else is answered: on a busy machine
these two say more than the clock. `--keep` leaves the data for another run.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from tests.unit.web.world import NOW, PROJECT, World, build, reopen
from watchkeeper.pipeline.calibrate import Calibrator
from watchkeeper.pipeline.from_signal import ActFlow
from watchkeeper.pipeline.reading import loading
from watchkeeper.pipeline.reporting import ReportFlow, Setting
from watchkeeper.pipeline.signals import SignalFlow
from watchkeeper.scoring.checks.table import default_checks
from watchkeeper.store.records import signals
from watchkeeper.web.charts.draw import render
from watchkeeper.web.charts.spec import Dot, SeriesChart, series

SPANS_PER_TRACE = 3.6
GOAL_MS = 150.0
CLOCKS = (time.perf_counter, time.process_time, time.thread_time)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def draw_times() -> None:
    """The first chart starts a JavaScript engine; the rest show what one costs."""
    hour = 3_600_000_000_000
    before = _peak_mb()
    times: list[float] = []
    for i in range(6):
        dots = [Dot(NOW - (120 - k) * hour, 8 + (k + i) % 7 / 5, 7.5, 9.5, 90) for k in range(120)]
        spec = series(SeriesChart(dots, NOW - 120 * hour, NOW, 3600), "light")
        started = time.perf_counter()
        render(spec)
        times.append((time.perf_counter() - started) * 1000)
    print(
        f"chart: first {times[0]:.0f} ms, then {statistics.median(times[1:]):.0f} ms, "
        f"{_peak_mb() - before} MB more memory"
    )


async def connect(world: World) -> str:
    """The flows behind some pages, which the world does without; the commonest signal, once failures are grouped."""
    services, columns, records = world.services, world.columns, world.services.records
    checks = default_checks()
    services.reports = ReportFlow(columns, records, services.clock, lambda _: Setting(), lambda: None)
    services.scorers = Calibrator(records, columns, lambda _: checks, loading(columns), services.clock)
    services.from_signal = ActFlow(records, columns, services.clock, services.config, lambda _: checks)
    known = await records.read(lambda c: signals.find(c, PROJECT))
    if not known:
        known = (await SignalFlow(columns, records, services.clock, None).run_once(PROJECT)).signals
    return max(known, key=lambda s: s.traces).id


async def pages(world: World, rounds: int) -> None:
    """Ask for every page `rounds` times."""
    columns = world.columns
    signal = await connect(world)
    found = await columns.sql(
        PROJECT, "select trace_id, count() as n from spans group by trace_id order by n desc limit 1"
    )
    longest = found.rows[0][0]
    addresses = [
        ("overview, 24 h", "/"),
        ("overview, 14 d", "/?range=14d"),
        ("overview, one cohort", "/?cohort=prompt_version%3Dv2"),
        ("overview, cohort not rolled", "/?range=14d&cohort=region%3Deu-west-1"),
        ("traces, newest 50 of 24 h", "/traces"),
        ("traces, 30 d", "/traces?range=30d"),
        ("traces, by score", "/traces?range=30d&where=answer_relevance+%3C+4"),
        ("traces, by text", "/traces?range=30d&q=refund"),
        ("trace", f"/traces/{longest}"),
        ("quality, 7 d", "/quality"),
        ("one series by cohort", "/quality/answer_relevance?range=14d"),
        ("scorers, 7 d", "/scorers"),
        ("one scorer, 14 d", "/scorers/tool_error?range=14d"),
        ("alert", f"/alerts/{world.alert_id}"),
        ("signals, 7 d", "/signals"),
        ("one signal", f"/signals/{signal}"),
        ("act on a signal", f"/signals/{signal}/act"),
        ("sessions, 14 d", "/sessions?range=14d"),
        ("users, 14 d", "/users?range=14d"),
        ("drift", "/drift"),
        ("releases, 30 d", "/releases"),
        ("weekly report", "/reports"),
        ("review", "/review"),
    ]
    print(f"{'page':<30} {'first':>9} {'median':>9} {'worst':>9} {'CPU':>9} {'loop':>9}")
    transport = httpx.ASGITransport(world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for name, address in addresses:
            taken: list[tuple[float, ...]] = []
            for _ in range(rounds + 1):
                began = [clock() for clock in CLOCKS]
                answer = await client.get(address)
                taken.append(tuple((clock() - at) * 1000 for clock, at in zip(CLOCKS, began, strict=True)))
                assert answer.status_code == 200, (address, answer.status_code, answer.text[:400])
            first, *times = (wall for wall, _, _ in taken)
            middle = statistics.median(times)
            shown = (first, middle, max(times), min(t[1] for t in taken[1:]), min(t[2] for t in taken[1:]))
            mark = "" if middle <= GOAL_MS else "  over the goal"
            print(f"{name:<30} {' '.join(f'{ms:>6.0f} ms' for ms in shown)}{mark}")


async def main() -> None:
    """Build or reopen the world, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        if (folder / "columns").exists():
            world = reopen(folder)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            started = time.perf_counter()
            world = await build(folder, round(given.spans / SPANS_PER_TRACE))
            print(f"built in {time.perf_counter() - started:.0f} s")
        stored = (await world.columns.stats())["tables"]
        print(
            f"{stored['spans']['rows']:,} spans, {stored['traces']['rows']:,} traces, {stored['points']['rows']:,} points"
        )
        await pages(world, given.rounds)
        draw_times()
        print(f"peak memory {_peak_mb()} MB")
        await world.close()


if __name__ == "__main__":
    asyncio.run(main())
