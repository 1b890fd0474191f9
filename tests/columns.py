"""Column stores for tests that have their tables and nothing else: copied, because making the tables takes sixty times as long."""

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# In a process of its own, because the engine is one a process and may be in use here.
MAKE = "import sys; from watchkeeper.store.clickhouse import open_columns; open_columns(sys.argv[1], lambda: 0).close_now()"


@functools.cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-columns-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([sys.executable, "-c", MAKE, f"chdb://{folder}/columns"], check=True)
    return folder / "columns"


def empty_columns(folder: Path) -> str:
    """An empty column store at `folder`, unless one is there already; its address."""
    if not folder.exists():
        shutil.copytree(_made(), folder, symlinks=True)
    return f"chdb://{folder}"
