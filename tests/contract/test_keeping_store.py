"""What storage sampling decided against is removed, is not looked for again, and stays decided."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.columns import empty_columns
from tests.contract.columns_world import DAY, NOW, log, log_rows, new_trace_id, raw, rows, score, trace_row
from watchkeeper.model.series import BINARY
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.server.reading import no_trace
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import KeepingRow, Retention, TraceRow
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseColumns]:
    made = open_columns(empty_columns(tmp_path / "c"), clock=lambda: NOW)
    yield made
    made.close_now()


async def test_what_was_decided_against_goes_and_is_not_assembled_again(store: ClickHouseColumns) -> None:
    gone, kept, new = new_trace_id(), new_trace_id(), new_trace_id()
    for trace_id in (gone, kept, new):
        await store.write_spans(rows("p", [raw(trace_id)]), log_rows("p", [log(trace_id)]))
    decided = [
        KeepingRow("p", gone, False, 0.1, "routine", NOW),
        KeepingRow("p", kept, True, 0.1, "routine", NOW),
    ]
    await store.decide_keeping(decided)
    row = trace_row("p", [raw(kept)])
    row.kept = 0.1
    await store.write_traces([row])
    assert await store.unassembled(NOW - DAY, 10) == [("p", new)]
    assert await store.drop_unkept(NOW + 1, NOW + DAY) == {"spans": 0, "content": 0, "logs": 0}
    assert await store.drop_unkept(NOW - DAY, NOW) == {"spans": 0, "content": 0, "logs": 0}
    assert await store.drop_unkept(NOW - DAY, NOW + 1) == {"spans": 1, "content": 1, "logs": 1}
    assert await store.read_trace("p", gone) == ([], [])
    assert len((await store.read_trace("p", kept))[0]) == len((await store.read_trace("p", new))[0]) == 1
    assert (await store.sql("p", "select keep_probability from traces")).rows == [[0.1]]
    services: Any = SimpleNamespace(columns=store)
    refused = [await no_trace(services, "p", i) for i in (gone, new_trace_id())]
    assert [r.status for r in refused] == [404, 404]
    assert "was not kept" in refused[0].error and "there is no trace" in refused[1].error
    assert await store.read_trace("p", kept) != ([], [])
    await store.expire(NOW + 3 * DAY, Retention(1, 90, 400))
    assert await store.read_trace("p", kept) == ([], [])
    left = await no_trace(services, "p", kept)
    assert (
        left.status == 404
        and "passed its retention" in left.error
        and "steps without texts stay" in (left.hint or "")
    )
    known = await store.named("keeping_decided", "p", ids=[gone, kept, new])
    assert {str(r[0]): bool(r[1]) for r in known.rows} == {gone: False, kept: True}
    assert (await store.named("keeping_any", "q")).rows == []


async def test_series_weigh_what_was_kept_by_what_it_stands_for(
    store: ClickHouseColumns, tmp_path: Path
) -> None:
    records = Records(f"sqlite:///{tmp_path}/r.db")
    metadata.create_all(records.engine)
    made: list[TraceRow] = []
    for n in range(5):
        trace_id = new_trace_id()
        check = score("p", trace_id, "polite", float(n > 0), source="check")
        made.append(trace_row("p", [raw(trace_id)], [check]))
        made[-1].kept = 1.0 if n == 0 else 0.1
    await store.write_traces(made)
    await Roller(store, records, RollPlan(axes={"polite": BINARY})).roll("p", NOW + 10**9)
    points = [p for p in await store.read_points("p", NOW - DAY, NOW + DAY, "polite") if p.key.cohort == ()]
    assert [(p.n, p.sw) for p in points] == [(5, 41.0)]
    assert points[0].swx / points[0].sw == pytest.approx(40 / 41), (
        "one bad answer kept whole, four good ones for ten each"
    )
    records.close()


async def test_what_a_user_says_within_the_wait_is_heard_and_the_last_decision_counts(
    store: ClickHouseColumns,
) -> None:
    ids = {name: new_trace_id() for name in ("gone", "drawn", "praised", "too_late", "failed", "other")}
    for trace_id in ids.values():
        await store.write_spans(rows("p", [raw(trace_id)]), [])
    await store.decide_keeping(
        [
            KeepingRow("p", ids["gone"], False, 0.1, "routine", NOW),
            KeepingRow("p", ids["drawn"], True, 0.1, "routine", NOW),
            KeepingRow("p", ids["praised"], False, 0.1, "routine", NOW),
            KeepingRow("p", ids["too_late"], False, 0.1, "routine", NOW),
            KeepingRow("p", ids["failed"], True, 1.0, "low_score", NOW),
            KeepingRow("p", ids["other"], False, 0.1, "routine", NOW),
        ]
    )
    said = [
        msgspec.structs.replace(
            score(
                "p", ids[name], "thumbs", float(name == "praised"), source=source, passed=name == "praised"
            ),
            scored_ns=NOW + (101 if name == "too_late" else 100) * 1000,
        )
        for name, source in dict.fromkeys(ids, "user").items() | {("other", "external")}
        if (name, source) != ("other", "user")
    ]
    await store.write_scores(said)

    async def heard(since: int = NOW - 1, *named: str) -> set[str]:
        bound = {"since": since, "wait": 100_000, "named": list(named)}
        return {str(r[0]) for r in (await store.named("keeping_spoken", "p", **bound)).rows}

    assert await heard() == {ids["gone"], ids["drawn"]}
    assert await heard(NOW - 1, "thumbs") == {ids["gone"], ids["drawn"], ids["praised"]}
    assert await heard(NOW + 1) == set()
    await store.decide_keeping([KeepingRow("p", ids["gone"], True, 1.0, "flagged", NOW + 1)])
    assert await heard() == {ids["drawn"]}
    assert set(await store.unassembled(NOW - DAY, 10)) == {("p", ids[n]) for n in ("gone", "drawn", "failed")}
    assert (await store.drop_unkept(NOW - DAY, NOW + DAY))["spans"] == 3
    assert len((await store.read_trace("p", ids["gone"]))[0]) == 1
