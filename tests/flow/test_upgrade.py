"""A schema change that is killed (D9): the next start finds the old schema or the new one, and finishes.

`WATCHKEEPER_CHAOS=full` makes it 30 kills.
"""

import asyncio
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from tests.chaos import new_seed, progress, sized
from watchkeeper.store.clickhouse import open_columns
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records

KILLS = sized(2, 30)
UPGRADE = """
import sys
from pathlib import Path
from watchkeeper.store.clickhouse import open_columns
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records
folder = Path(sys.argv[1])
print("begin", flush=True)
migrate.upgrade(Records(migrate.url_of(folder)))
print("records", flush=True)
open_columns(f"chdb://{folder}/columns").close_now()
print("done", flush=True)
"""


def shape(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Tables and columns of both stores, after a start on the folder."""
    records = Records(migrate.url_of(folder))
    migrate.upgrade(records)
    inspector = sa.inspect(records.engine)
    tables = {t: sorted(c["name"] for c in inspector.get_columns(t)) for t in inspector.get_table_names()}
    records.close()
    store = open_columns(f"chdb://{folder}/columns")

    def columns(client: object) -> list[str]:
        rows = client.query(  # type: ignore[attr-defined]
            "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY table, position"
        ).result_rows
        return [" ".join(map(str, r)) for r in rows]

    found = store._rows.run_now(columns)
    asyncio.run(store.close())
    return tables, found


def begun(folder: Path) -> subprocess.Popen[str]:
    made = subprocess.Popen(
        [sys.executable, "-c", UPGRADE, str(folder)], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )  # fmt: skip
    assert made.stdout is not None and made.stdout.readline() == "begin\n"
    return made


def test_an_upgrade_that_is_killed_is_whole_after_the_next_start(tmp_path: Path) -> None:
    seed = new_seed()
    dice = random.Random(seed)
    began = time.monotonic()
    process = begun(tmp_path / "calm")
    assert process.wait(600) == 0
    took = time.monotonic() - began
    wanted = shape(tmp_path / "calm")
    assert len(wanted[0]) > 20 and len(wanted[1]) > 100
    stopped = 0
    for number in range(KILLS):
        folder = tmp_path / f"killed{number}"
        process = begun(folder)
        time.sleep(dice.uniform(0, took))
        stopped += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (folder / "records.db").exists():
            with sqlite3.connect(folder / "records.db") as between:
                names = {r[0] for r in between.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            between.close()
            # All of a schema or nothing of it.
            assert not names - {"alembic_version"} or names >= set(wanted[0]), (seed, number, sorted(names))
        assert shape(folder) == wanted, (seed, number)
        progress("D9 kills", number + 1, KILLS, f"{stopped} before the end, seed {seed}")
        shutil.rmtree(folder)
    print(f"D9: {KILLS} kills, {stopped} before the end")
