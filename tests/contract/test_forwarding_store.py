"""What forwarding asks of the store: in the order of arrival, and honest about what is gone."""

from pathlib import Path

from tests.columns import empty_columns
from tests.contract.columns_world import DAY, NOW, new_trace_id, raw, rows
from watchkeeper.egress.http import Answer
from watchkeeper.pipeline.forward import Target, Way
from watchkeeper.store.clickhouse import open_columns
from watchkeeper.store.columns import Position, Retention
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata


async def test_a_target_that_was_away_too_long_is_told_how_much_expired(tmp_path: Path) -> None:
    store = open_columns(empty_columns(tmp_path / "columns"), clock=lambda: NOW)
    records = Records(f"sqlite:///{tmp_path / 'records.db'}")
    metadata.create_all(records.engine)
    sent: list[bytes] = []

    async def send(_target: Target, _path: str, body: bytes) -> Answer:
        sent.append(body)
        return Answer(200)

    try:
        old, new = new_trace_id(), new_trace_id()
        for age, spans in (
            (40, [raw(old, n, start=NOW - 40 * DAY) for n in range(3)]),
            (1, [raw(new, start=NOW - DAY)]),
        ):
            made = rows("p", spans)
            for row in made:
                row.received_ns = NOW - age * DAY
            await store.write_spans(made, [])
        await store.expire(NOW, Retention(30, 90, 365))
        target = Target("other", "https://other.example", start="beginning")
        way = Way(target, "traces", store, records, lambda: NOW, lambda: NOW, send, lambda: 0.5)
        (await way.load()).position = Position(NOW - 41 * DAY)
        while await way.step():
            pass
        progress = await way.load()
        assert (progress.sent, progress.expired, len(sent)) == (1, 3, 1)
    finally:
        await store.close()
