"""The embedded engine's allocator is told to give back what was freed, in words it understands."""

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
    assert "dirty_decay_ms:0" in ran.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the engine uses this allocator on Linux")
def test_the_control_a_setting_it_does_not_know_ends_the_process(tmp_path: Path) -> None:
    ran = opened(tmp_path / "columns", JE_MALLOC_CONF="no_such_setting:1")
    assert ran.returncode != 0
    # What an operator says is left as it is.
    assert ran.stdout.split() == ["no_such_setting:1"]
