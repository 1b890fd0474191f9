"""What was acknowledged survives `kill -9`, is there once, and is assembled, on the real store in a process of its own."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from watchkeeper.store.clickhouse.lock import DataDirBusy, DataDirLock

FULL = os.environ.get("WATCHKEEPER_CHAOS") == "full"
KILLS = 200 if FULL else 10
IMAGES = 50 if FULL else 2
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

    def stop(self) -> None:
        """Freeze it, and let what it said so far arrive."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

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
    seed = random.randrange(10**6)
    print("seed", seed)
    dice, folder = random.Random(seed), tmp_path / "columns"
    acknowledged: set[int] = set()
    for _ in range(KILLS):
        # From the first batch not acknowledged: some were stored all the same, and are sent again.
        first = next(n for n in range(10**9) if n not in acknowledged)
        writer = Writer(folder, first)
        assert writer.ready.wait(60), writer.errors()
        time.sleep(dice.uniform(0.05, 0.9))
        writer.kill()
        acknowledged |= writer.acknowledged
    assert len(acknowledged) > KILLS, "too little was written to mean anything"
    print(f"D1 store seed {seed}: {KILLS} kills, {len(acknowledged)} batches acknowledged")
    assert check(folder, acknowledged).startswith("clean"), seed


def test_the_check_sees_what_is_missing(tmp_path: Path) -> None:
    """The control: a batch that was never written is reported as lost."""
    writer = Writer(tmp_path / "columns", 0)
    assert writer.ready.wait(60), writer.errors()
    while not writer.acknowledged:
        time.sleep(0.02)
    writer.kill()
    assert "lost" in check(tmp_path / "columns", {*writer.acknowledged, 10**6})


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mkfs.ext4") is None, reason="needs root and loop devices"
)
@pytest.mark.parametrize("synced", [True, False], ids=["synced", "control-without-fsync"])
def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path, synced: bool) -> None:
    """A copy of a file system whose journal commits by itself only every five minutes holds what was fsynced, no more.
    The control runs without fsync and must lose data, or the test would mean nothing."""
    image, crash, live, after = (tmp_path / n for n in ("image", "crash", "live", "after"))
    site = tmp_path / "site"
    for folder in (live, after, site):
        folder.mkdir()
    (site / "sitecustomize.py").write_text(
        "import watchkeeper.store.clickhouse.migrations as m\n"
        "m.DURABLE = m.DURABLE.replace('fsync_after_insert = 1', 'fsync_after_insert = 0')"
        ".replace('fsync_part_directory = 1', 'fsync_part_directory = 0')"
        ".replace('min_rows_to_fsync_after_merge = 1', 'min_rows_to_fsync_after_merge = 0')\n"
    )
    _run("truncate", "-s", "512M", str(image))
    _run("mkfs.ext4", "-q", "-F", str(image))
    if subprocess.run(["mount", "-o", "loop,commit=300", str(image), str(live)], check=False).returncode:
        pytest.skip("loop devices cannot be mounted here")
    said: list[str] = []
    try:
        writer = Writer(live / "columns", 0, {} if synced else {"PYTHONPATH": str(site)})
        assert writer.ready.wait(60), writer.errors()
        for number in range(IMAGES if synced else 1):
            wanted, deadline = 60 + 5 * number, time.monotonic() + 60
            while len(writer.acknowledged) < wanted and time.monotonic() < deadline:
                time.sleep(0.05)
            writer.stop()
            acknowledged = set(writer.acknowledged)
            assert len(acknowledged) >= wanted, writer.errors()
            _run("cp", "--sparse=always", str(image), str(crash))
            writer.go_on()
            said.append(_after_the_cut(crash, after, acknowledged))
        writer.kill()
    finally:
        _run("umount", str(live))
    lost = [s for s in said if not s.startswith("clean")]
    print(
        f"D2 {'synced' if synced else 'control without fsync'}: {len(said)} images, {len(acknowledged)} batches, {len(lost)} not whole"
    )
    assert not lost if synced else lost, lost or said


def _after_the_cut(crash: Path, after: Path, acknowledged: set[int]) -> str:
    _run("mount", "-o", "loop", str(crash), str(after))
    try:
        return check(after / "columns", acknowledged)
    finally:
        _run("umount", str(after))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


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
