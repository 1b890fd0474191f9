"""What the embedded engine makes of a process's memory and processors: its allocator is told to give back what was freed, in words it
understands, and a query gets the threads it may have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPENED = """
import os, sys
from watchkeeper.store.clickhouse import open_columns
from watchkeeper.store.clickhouse.engine import spare_memory
assert "chdb" not in sys.modules, "the engine reads its settings when it is loaded"
spare_memory()
print(os.environ["JE_MALLOC_CONF"], flush=True)
os.environ["JE_MALLOC_CONF"] = "abort_conf:true," + os.environ["JE_MALLOC_CONF"]
open_columns("chdb://" + sys.argv[1]).close_now()
print("opened")
"""

ANSWERED = """
import sys, time
from watchkeeper.store.clickhouse import open_columns
from watchkeeper.store.clickhouse.engine import READER, spare_memory

def resident():
    return next(int(x.split()[1]) // 1024 for x in open("/proc/self/status") if x.startswith("VmRSS"))

spare_memory()
store = open_columns("chdb://" + sys.argv[1])
client = store.source.client({})
client.query("SELECT length(groupArray(number)) FROM numbers(1000)")
before = resident()
client.query("SELECT length(groupArray(number)) FROM numbers(30000000)")
for _ in range(50):
    if (more := resident() - before) < 100:
        break
    time.sleep(0.1)
print(more)
plan = store.source.client({**READER, **eval(sys.argv[2])}).query("EXPLAIN PIPELINE SELECT sum(number) FROM numbers_mt(1000000000)")
print("\\n".join(row[0] for row in plan.result_rows))
"""

REMOVED = """
import glob, sys, time
from watchkeeper.store.clickhouse import open_columns
store = open_columns("chdb://" + sys.argv[1])
client = store.source.client({})
client.command(f"CREATE TABLE many (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS old_parts_lifetime = 1, cleanup_delay_period = 1, cleanup_delay_period_random_add = 0, max_cleanup_delay_period = 2 {sys.argv[2]}")
client.command("SYSTEM STOP MERGES many")
for n in range(150):
    client.command(f"INSERT INTO many VALUES ({n})")
client.command("SYSTEM START MERGES many")
before = len(glob.glob("/proc/self/task/*"))
client.command("OPTIMIZE TABLE many FINAL")
for _ in range(600):
    left = client.command("SELECT count() FROM system.parts WHERE table = 'many'")
    if left == 1:
        break
    time.sleep(0.1)
print(left, len(glob.glob("/proc/self/task/*")) - before)
store.close_now()
"""


def removed(folder: Path, settings: str = "") -> tuple[int, int]:
    """How many parts of a table are left some time after 150 were merged to one, and how many threads the process has more."""
    ran = subprocess.run(
        [sys.executable, "-c", REMOVED, str(folder), settings], capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    left, more = ran.stdout.split()
    return int(left), int(more)


def answered(folder: Path, settings: str = "{}", **said: str) -> tuple[int, str]:
    """How many megabytes more a process holds five seconds after a query that took hundreds, and the plan of a reader's query."""
    bare = {k: v for k, v in os.environ.items() if k != "JE_MALLOC_CONF"}
    ran = subprocess.run(
        [sys.executable, "-c", ANSWERED, str(folder), settings],
        capture_output=True, text=True, check=True, env={**bare, **said}, timeout=120,
    )  # fmt: skip
    more, _, plan = ran.stdout.partition("\n")
    return int(more), plan


def opened(folder: Path, **said: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that opens the store and ends at a setting that the allocator does not know; `said` is in its environment."""
    bare = {k: v for k, v in os.environ.items() if k != "JE_MALLOC_CONF"}
    return subprocess.run(
        [sys.executable, "-c", OPENED, str(folder)],
        capture_output=True, text=True, check=False, env={**bare, **said}, timeout=120,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="the engine uses this allocator on Linux")
def test_the_engine_understands_what_its_allocator_is_told(tmp_path: Path) -> None:
    ran = opened(tmp_path / "columns")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[-1] == "opened"
    assert "dirty_decay_ms:" in ran.stdout and "background_thread:true" in ran.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the engine uses this allocator on Linux")
def test_the_control_a_setting_it_does_not_know_ends_the_process(tmp_path: Path) -> None:
    ran = opened(tmp_path / "columns", JE_MALLOC_CONF="no_such_setting:1")
    assert ran.returncode != 0
    # What an operator says is left as it is.
    assert ran.stdout.split() == ["no_such_setting:1"]


@pytest.mark.skipif(sys.platform != "linux", reason="the engine uses this allocator on Linux")
def test_what_a_query_took_is_given_back_while_nothing_else_runs_and_it_had_two_threads(
    tmp_path: Path,
) -> None:
    more, plan = answered(tmp_path / "columns")
    assert more < 100
    assert "× 2" in plan


@pytest.mark.skipif(sys.platform != "linux", reason="the engine uses this allocator on Linux")
def test_the_control_an_allocator_that_keeps_everything_and_an_engine_that_spares_threads(
    tmp_path: Path,
) -> None:
    spared = "{'max_threads_min_free_memory_per_thread': 2**30}"
    more, plan = answered(tmp_path / "columns", spared, JE_MALLOC_CONF="dirty_decay_ms:-1")
    assert more >= 100
    assert "× 2" not in plan


@pytest.mark.skipif(sys.platform != "linux", reason="it counts the threads where Linux lists them")
def test_removing_many_parts_takes_no_thread_for_each(tmp_path: Path) -> None:
    assert removed(tmp_path / "columns") == (1, pytest.approx(0, abs=20))
    left, more = removed(tmp_path / "control", ", concurrent_part_removal_threshold = 100")
    assert left == 1 and more >= 50, "what the engine does by itself is no longer what this is about"
