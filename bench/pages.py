"""Server time of the pages, and of drawing a chart, with as many spans stored as asked for.

    python -m bench.pages [--spans 200000] [--rounds 15] [--keep DIR]

The pages are asked for through the whole application (routing, login, queries, template), in this process and without
a network; printed is the median and the worst of the rounds after one warm-up. `--keep` leaves the data for another run.
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
from watchkeeper.web.charts.draw import render
from watchkeeper.web.charts.spec import Dot, SeriesChart, series

SPANS_PER_TRACE = 3.6
GOAL_MS = 150.0


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


async def pages(world: World, rounds: int) -> None:
    """Ask for every page `rounds` times."""
    columns = world.columns
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
        ("alert", f"/alerts/{world.alert_id}"),
        ("signals, 7 d", "/signals"),
        ("review", "/review"),
    ]
    print(f"{'page':<30} {'median':>9} {'worst':>9}")
    transport = httpx.ASGITransport(world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for name, address in addresses:
            times: list[float] = []
            for turn in range(rounds + 1):
                started = time.perf_counter()
                answer = await client.get(address)
                taken = (time.perf_counter() - started) * 1000
                assert answer.status_code == 200, (address, answer.status_code, answer.text[:400])
                if turn:
                    times.append(taken)
            middle = statistics.median(times)
            mark = "" if middle <= GOAL_MS else "  over the goal"
            print(f"{name:<30} {middle:>6.0f} ms {max(times):>6.0f} ms{mark}")


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
