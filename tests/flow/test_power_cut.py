"""A power cut (D2): what was acknowledged is there when the server starts on what had reached the disk. Needs root and loop devices.

The data directory is in a file system whose journal commits by itself only every five minutes, so that a copy of its image
holds what was synced and no more. `WATCHKEEPER_CHAOS=full` makes it 50 images.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos import progress, sized
from tests.flow.crashing import Ids, Writers, compare, in_sql, missing_words, offline
from tests.serving import Server, free_port

IMAGES = sized(2, 50)
SPANS = 60
# Of the disk 256 MB are kept free; the file is as large as what is in it.
SIZE = "1G"
# Before anything else is imported by the server's own process.
UNSYNCED = {
    "columns": """
import watchkeeper.store.clickhouse.migrations as m
m.DURABLE = (
    m.DURABLE.replace("fsync_after_insert = 1", "fsync_after_insert = 0")
    .replace("fsync_part_directory = 1", "fsync_part_directory = 0")
    .replace("min_rows_to_fsync_after_merge = 1", "min_rows_to_fsync_after_merge = 0")
)
""",
    "records": """
import watchkeeper.store.records.engine as e
pragmas = e._sqlite_pragmas
def hasty(connection, record):
    pragmas(connection, record)
    connection.execute("PRAGMA synchronous=OFF")
e._sqlite_pragmas = hasty
""",
}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mkfs.ext4") is None, reason="needs root and loop devices"
)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def mounted(image: Path, folder: Path, options: str = "loop") -> Generator[Path]:
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-o", options, str(image), str(folder)], check=False).returncode:
        pytest.skip("loop devices cannot be mounted here")
    try:
        yield folder
    finally:
        run("umount", str(folder))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The file system in which the server writes; its image is `image` beside it."""
    image = tmp_path / "image"
    run("truncate", "-s", SIZE, str(image))
    run("mkfs.ext4", "-q", "-F", str(image))
    with mounted(image, tmp_path / "live", "loop,commit=300") as live:
        yield live


class Cut:
    """What is in a copy of the disk, made while the server stood still: how much of what was acknowledged is not."""

    def __init__(self, server: Server, writers: Writers, folder: Path) -> None:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        try:
            # What it answered may be on its way to the ledger.
            time.sleep(0.3)
            self.spans: list[Ids] = [(t, s) for t, s in list(writers.spans.items)]
            people = list(writers.people.items)
            run("cp", "--sparse=always", str(folder / "image"), str(folder / "crash"))
        finally:
            server.process.send_signal(signal.SIGCONT)
        # Who looks at the copy shares the machine with the server.
        with writers.resting(), mounted(folder / "crash", folder / "after") as after:
            with Server(after / "data") as again:
                self.lost, self.doubled = compare(self.spans, in_sql(again))
                self.words = missing_words(again, people)
            for view in offline(after / "data"):
                lost, doubled = compare(self.spans, view)
                self.lost |= lost
                self.doubled += doubled

    @property
    def whole(self) -> bool:
        return not self.lost and not self.doubled and not self.words


def cuts(disk: Path, images: int, env: dict[str, str] | None = None) -> list[Cut]:
    """Power cuts of a server under load, one after the other."""
    folder, grpc_port = disk.parent, free_port()
    server = Server(disk / "data", "--grpc-port", str(grpc_port), env=env, own_tables=True).start()
    writers = Writers(server.port, grpc_port, folder, time.time_ns() % 10**6, traces=1).start()
    made: list[Cut] = []
    try:
        for number in range(images):
            deadline = time.monotonic() + 300
            while len(writers.spans.items) < SPANS * (number + 1) or not writers.people.items:
                assert time.monotonic() < deadline, "too little was acknowledged to mean anything"
                time.sleep(0.05)
            made.append(Cut(server, writers, folder))
            broken = sum(not c.whole for c in made)
            progress("D2 images", number + 1, images, f"{len(made[-1].spans)} spans, {broken} not whole")
        writers.finish()
    finally:
        server.kill()
    return made


def test_a_power_cut_takes_nothing_that_was_acknowledged(disk: Path) -> None:
    made = cuts(disk, IMAGES)
    broken = [(len(c.lost), len(c.doubled), c.words) for c in made if not c.whole]
    print(f"D2: {len(made)} images, {len(made[-1].spans)} spans acknowledged, {len(broken)} not whole")
    assert not broken


@pytest.mark.parametrize("store", UNSYNCED)
def test_the_control_without_syncing_a_power_cut_takes_something(
    disk: Path, tmp_path: Path, store: str
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(UNSYNCED[store])
    path = os.pathsep.join(p for p in (str(site), os.environ.get("PYTHONPATH", "")) if p)
    (cut,) = cuts(disk, 1, {"PYTHONPATH": path})
    print(
        f"D2 control without syncs of the {store}: {len(cut.lost)} of {len(cut.spans)} acknowledged spans lost,"
        f" {len(cut.words)} of feedback and labels"
    )
    assert cut.lost if store == "columns" else cut.words
