"""Where the labelled data and recorded requests live; tests that need them skip when they are absent."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("WATCHKEEPER_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared_path(relative: str) -> Path:
    """The path of a shared file, or skip the calling test with the reason."""
    path = ROOT / relative
    if not path.exists():
        pytest.skip(f"{relative} is not here; set WATCHKEEPER_SHARED to the folder that holds it")
    return path
