"""Batches as the text of files: what a columnar file would hold is all there."""

import csv
import io
import json

import pyarrow as pa
import pytest

from watchkeeper.store.clickhouse.exporting import encoded

NS = 1_795_356_393_638_750_997


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_times_keep_every_digit_and_are_written_alike(form: str) -> None:
    batch = pa.record_batch(
        {
            "time": pa.array([NS, None], pa.timestamp("ns", tz="UTC")),
            "second": pa.array([NS // 10**9, -1], pa.timestamp("s")),
            "local": pa.array([NS, None], pa.timestamp("ns", tz="Europe/Berlin")),
        }
    )
    text = b"".join(encoded(iter([batch]), form)).decode()
    rows = (
        [json.loads(line) for line in text.splitlines()]
        if form == "jsonl"
        else [{k: v or None for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]
    )
    assert rows == [
        {
            "time": "2026-11-22T14:06:33.638750997Z",
            "second": "2026-11-22T14:06:33Z",
            "local": "2026-11-22T15:06:33.638750+01:00",
        },
        {"time": None, "second": "1969-12-31T23:59:59Z", "local": None},
    ]
