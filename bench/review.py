"""What an action on the review queue costs: take the next item, label it, take the label back, with many items and labels.

python -m bench.review [items]
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from watchkeeper.config.models import Config
from watchkeeper.model.review import ReviewItem
from watchkeeper.pipeline.desk import Desk, Given, Who
from watchkeeper.store.records import migrate, reviews
from watchkeeper.store.records.engine import Records

ROUNDS = 200


async def measure(items: int, folder: Path) -> None:
    """Print median and 99th percentile of each action in ms."""
    records = Records(f"sqlite:///{folder}/records.db")
    migrate.upgrade(records)
    now = 1_763_712_000 * 10**9
    made = [
        ReviewItem(f"rev_{i:06d}", "p", f"{i:032x}", "low", f"source{i % 7}", float(i % 97) / 10, now + i)
        for i in range(items)
    ]
    records.write_now(lambda c: [reviews.add(c, i) for i in made])
    settings = Config.model_validate({"review": {"reviewers_per_item": 2}}).review
    desk = Desk(records, settings, time.time_ns, time.time_ns)
    took: dict[str, list[float]] = {"take": [], "label": [], "undo": []}
    used = time.process_time()
    reviewers = [Who(name, "bench") for name in ("ana", "ben", "eve")]
    for turn in range(ROUNDS):
        who = reviewers[turn % 3]
        start = time.perf_counter()
        item = await desk.take_next("p", who)
        took["take"].append(time.perf_counter() - start)
        assert item is not None
        start = time.perf_counter()
        await desk.label("p", item.id, Given("bad", "invented", "high", comment="made up"), who)
        took["label"].append(time.perf_counter() - start)
        if turn % 5 == 0:
            start = time.perf_counter()
            await desk.undo("p", who)
            took["undo"].append(time.perf_counter() - start)
    for name, seconds in took.items():
        tail = statistics.quantiles(seconds, n=100)[98]
        print(f"{name:6} {statistics.median(seconds) * 1000:6.1f} ms, 99 % {tail * 1000:6.1f} ms")
    actions = sum(map(len, took.values()))
    print(f"{(time.process_time() - used) / actions * 1000:.1f} ms of processor an action")
    records.close()


def main() -> None:
    """Measure with as many open items as asked for."""
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    print(f"{items:,} open items, two reviewers each, SQLite with synchronous=FULL")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(items, Path(folder)))


if __name__ == "__main__":
    main()
