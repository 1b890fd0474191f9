"""What was acknowledged survives `kill -9`, is there once, and is assembled, on the real store in a process of its own."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.chaos import new_seed, progress, sized
from watchkeeper.store.clickhouse.lock import DataDirBusy, DataDirLock

KILLS = sized(10, 200)
ROOT = Path(__file__).resolve().parents[2]


class Writer:
    """The writing process; `acknowledged` grows as it says so."""

    def __init__(self, folder: Path, first: int, env: dict[str, str] | None = None) -> None:
        self.acknowledged: set[int] = set()
        self.ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.flow.durable_writer", str(folder), str(first)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **(env or {})},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, number = line.strip().partition(" ")
            if word == "ready":
                self.ready.set()
            elif word == "ack":
                self.acknowledged.add(int(number))

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join()

    def errors(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read()[-3000:]


def check(folder: Path, acknowledged: set[int]) -> str:
    """What an independent reader of the stopped store says."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.flow.durable_writer", str(folder), "--check"],
        input=" ".join(map(str, sorted(acknowledged))), capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    return done.stdout.strip().split("\n")[-1] or done.stderr[-3000:]


def test_nothing_acknowledged_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    seed = new_seed()
    dice, folder = random.Random(seed), tmp_path / "columns"
    acknowledged: set[int] = set()
    for number in range(KILLS):
        # From the first batch not acknowledged: some were stored all the same, and are sent again.
        first = next(n for n in range(10**9) if n not in acknowledged)
        writer = Writer(folder, first)
        assert writer.ready.wait(300), writer.errors()
        # On a busy machine some time passes before the first answer.
        wanted, deadline = dice.randrange(6), time.monotonic() + 300
        while len(writer.acknowledged) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.3))
        writer.kill()
        acknowledged |= writer.acknowledged
        progress("D1 kills of the store", number + 1, KILLS, f"{len(acknowledged)} batches, seed {seed}")
    assert len(acknowledged) > KILLS, "too little was written to mean anything"
    print(f"D1 store seed {seed}: {KILLS} kills, {len(acknowledged)} batches acknowledged")
    assert check(folder, acknowledged).startswith("clean"), seed


def test_the_check_sees_what_is_missing(tmp_path: Path) -> None:
    """The control: a batch that was never written is reported as lost."""
    writer = Writer(tmp_path / "columns", 0)
    assert writer.ready.wait(300), writer.errors()
    while not writer.acknowledged:
        time.sleep(0.02)
    writer.kill()
    assert "lost" in check(tmp_path / "columns", {*writer.acknowledged, 10**6})


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from watchkeeper.store.clickhouse.lock import DataDirLock; "
        "lock = DataDirLock(Path(sys.argv[1])); lock.announce('http://here'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(DataDirBusy) as busy:
            DataDirLock(tmp_path)
        assert busy.value.holder is not None
        assert (busy.value.holder.pid, busy.value.holder.url) == (holder.pid, "http://here")
        holder.kill()
    DataDirLock(tmp_path).release()
