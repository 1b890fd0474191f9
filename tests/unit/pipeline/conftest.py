"""What most tests of flows stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Empty records of a test's own."""
    made = Records(f"sqlite:///{tmp_path}/records.db")
    metadata.create_all(made.engine)
    yield made
    made.close()
