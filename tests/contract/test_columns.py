"""What every column store must do, on the real embedded engine. Projects are distinct, the directory is shared."""

import asyncio
import gc
import itertools
import random
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.insert import InsertContext

from tests.contract.columns_world import (
    DAY,
    NOW,
    joined,
    log,
    log_rows,
    new_trace_id,
    normal,
    raw,
    rows,
    score,
    told,
    trace_row,
)
from tests.unit.store.hostile import statements
from tests.unit.store.test_sandbox_accepts import CONDITIONS, SCORERS, USEFUL
from tests.waiting import until_async
from watchkeeper.alerting.estimates import estimate
from watchkeeper.model.alert import Deploy
from watchkeeper.model.series import BINARY, TEN, UNIT, Point, SeriesKey, gather, merge
from watchkeeper.model.span import RawSpan
from watchkeeper.pipeline import reporting
from watchkeeper.pipeline.watching.normals import of_newest
from watchkeeper.store import sandbox
from watchkeeper.store.clickhouse import ClickHouseColumns, listing, migrations, open_columns
from watchkeeper.store.clickhouse.lock import DataDirBusy, DataDirLock
from watchkeeper.store.columns import (
    MetricRow,
    Position,
    QueryRefused,
    Retention,
    StoreUnavailable,
    TraceFilter,
)

_projects = (f"project-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def store(columns_url: str) -> Iterator[ClickHouseColumns]:
    opened = open_columns(columns_url, clock=lambda: NOW, known_scorers=lambda _: SCORERS)
    yield opened
    opened.close_now()


@pytest.fixture
def project() -> str:
    return next(_projects)


async def put(store: ClickHouseColumns, project: str, raws: list[RawSpan], **more: object) -> None:
    await store.write_spans(rows(project, raws), [])
    await store.write_traces([trace_row(project, raws, **more)])  # type: ignore[arg-type]


async def only(store: ClickHouseColumns, project: str, query: str) -> list[object]:
    table = await store.sql(project, query)
    assert len(table.rows) == 1
    return table.rows[0]


# -- spans, logs, content ----------------------------------------------------------------------------------------


async def test_a_span_is_read_back_whole(store: ClickHouseColumns, project: str) -> None:
    sent = raw(new_trace_id(), text="é\u0000\n\"'\\", deep={"a": [1, 2.5, None, True]}, big="x" * 100_000)
    await store.write_spans(rows(project, [sent]), [])
    spans, logs = await store.read_trace(project, sent.trace_id)
    assert spans == [sent]
    assert logs == []


async def test_text_that_is_not_unicode_does_not_sink_the_batch(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    good, bad = raw(trace_id, 0, output="fine"), raw(trace_id, 1, output="half \ud83d surrogate")
    await store.write_spans(rows(project, [good, bad]), [])
    spans, _ = await store.read_trace(project, trace_id)
    assert [s.attributes["output"] for s in spans] == ["fine", "half ? surrogate"]


async def test_what_was_stored_is_let_go_at_once(store: ClickHouseColumns, project: str) -> None:
    class Word(str):
        """A text that can be watched."""

    batch = rows(project, [raw(new_trace_id())])
    batch[0].span.name = Word("chat")
    watched = weakref.ref(batch[0].span.name)
    gc.collect()
    gc.disable()
    try:
        await store.write_spans(batch, [])
        batch.clear()
        # The thread that wrote it answers before it lets go of what it was given. What a cycle held would stay until the collector
        # comes by, which is hundreds of MB under load.
        await until_async(lambda: watched() is None)
        await until_async(lambda: not any(isinstance(o, InsertContext) for o in gc.get_objects()))
    finally:
        gc.enable()


async def test_what_has_just_come_is_compressed_cheaply_and_small_from_its_first_merge_on(
    store: ClickHouseColumns, project: str
) -> None:
    if not store.source.embedded:
        pytest.skip("a server's configuration says how it compresses")
    codecs = "SELECT DISTINCT default_compression_codec FROM system.parts WHERE active AND table = 'content' AND partition = {day:String}"
    then = NOW - 77 * DAY
    day = datetime.fromtimestamp(then / 1e9, UTC).strftime("%Y-%m-%d")
    await store.write_spans(rows(project, [raw(new_trace_id(), start=then)]), [])
    seen = lambda client: client.query(codecs, parameters={"day": day}).result_rows  # noqa: E731
    assert list(store._rows.run_now(seen)) == [("LZ4",)]
    await store.write_spans(rows(project, [raw(new_trace_id(), start=then)]), [])
    store._rows.run_now(lambda client: client.command(f"OPTIMIZE TABLE content PARTITION '{day}' FINAL"))
    assert list(store._rows.run_now(seen)) == [("ZSTD(3)",)]


async def test_duplicates_in_any_order_converge_to_the_latest_end(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    early, late = raw(trace_id, end=NOW + 5, output="early"), raw(trace_id, end=NOW + 9, output="late")
    for chosen in ([late], [early], [early, late], [late]):
        await store.write_spans(rows(project, chosen), [])
    spans, _ = await store.read_trace(project, trace_id)
    assert spans == [late]
    assert await only(store, project, "select count(), any(output_text) from spans") == [1, "late"]


async def test_logs_join_their_trace_once(store: ClickHouseColumns, project: str) -> None:
    trace_id = new_trace_id()
    first, second = log(trace_id, log_id="a"), log(trace_id, log_id="b", body={"deep": [1]})
    await store.write_spans([], log_rows(project, [first, second]))
    await store.write_spans(rows(project, [raw(trace_id)]), log_rows(project, [first]))
    spans, logs = await store.read_trace(project, trace_id)
    assert len(spans) == 1
    assert sorted(logs, key=lambda x: x.log_id) == [first, second]


async def test_a_trace_of_ten_thousand_spans_is_read_whole(store: ClickHouseColumns, project: str) -> None:
    trace_id = new_trace_id()
    await store.write_spans(
        rows(project, [raw(trace_id, n, parent=0 if n else None) for n in range(10_000)]), []
    )
    spans, _ = await store.read_trace(project, trace_id)
    assert [s.attributes["n"] for s in spans] == list(range(10_000))


async def test_two_projects_with_one_trace_id_never_meet(store: ClickHouseColumns) -> None:
    trace_id, mine, other = new_trace_id(), next(_projects), next(_projects)
    await put(store, mine, [raw(trace_id, output="mine")])
    await put(store, other, [raw(trace_id, output="other")])
    await store.write_scores([score(other, trace_id, "judge", 3.0)])
    spans, _ = await store.read_trace(mine, trace_id)
    assert [s.attributes["output"] for s in spans] == ["mine"]
    assert await store.read_scores(mine, [trace_id]) == []
    assert [r["output_text"] for r in await store.list_traces(mine, TraceFilter())] == ["mine"]
    assert await only(store, mine, "select count() from spans where output_text = 'other'") == [0]


async def test_a_clock_nobody_believes_moves_no_partition(store: ClickHouseColumns, project: str) -> None:
    for start in (1, NOW - 500 * DAY, NOW + 3 * DAY, 2**63 - 1, NOW):
        trace_id = new_trace_id()
        await put(store, project, [raw(trace_id, start=start)])
        await put(store, project, [raw(trace_id, start=start)], at=NOW + 3 * DAY)
    table = await store.sql(project, "select trace_id, time from traces")
    arrival = datetime.fromtimestamp(NOW / 1e9, UTC)
    assert len(table.rows) == 5
    assert all(abs((row[1] - arrival).total_seconds()) < 1 for row in table.rows)


async def test_attributes_are_text_and_long_ones_are_cut_visibly(
    store: ClickHouseColumns, project: str
) -> None:
    await store.write_spans(
        rows(project, [raw(new_trace_id(), flag=True, long="y" * 5000, list=[1, "a"])]), []
    )
    row = await only(
        store, project,
        "select attributes['flag'], attributes['n'], length(attributes['long']) < 300, endsWith(attributes['long'], '…'),"
        " attributes['list'], attributes['service.name'], mapContains(attributes, 'telemetry.sdk.name') from spans",
    )  # fmt: skip
    assert row == ["true", "0", 1, 1, '[1,"a"]', "bot", 0]


async def test_the_spans_of_a_trace_are_found_on_whatever_days_they_are_of(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    raws = [raw(trace_id, n, start=start) for n, start in enumerate((NOW - 3 * DAY, NOW, 0))]
    await store.write_spans(rows(project, raws, NOW), [])
    assert len((await store.read_trace(project, trace_id))[0]) == 3
    # Rewritten days later, the one whose clock cannot be believed is of another day than its content.
    await store.rewrite_spans(rows(project, raws, NOW + 4 * DAY))
    assert len((await store.read_trace(project, trace_id))[0]) == 3


MONDAY = NOW // (7 * DAY) * 7 * DAY - 3 * DAY  # Days are counted from a Thursday.


async def test_a_trace_that_moves_to_the_week_before_is_there_once(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    child = raw(trace_id, 1, parent=0, start=MONDAY + 10**9)
    root = raw(trace_id, 0, start=MONDAY - 10**9, output="whole")
    await store.write_traces([trace_row(project, [child], at=MONDAY + 2 * 10**9)])
    await store.write_traces([trace_row(project, [root, child], at=MONDAY + 3 * 10**9)])
    assert await only(store, project, "select count(), any(spans), any(output_text) from traces") == [
        1,
        2,
        "whole",
    ]
    assert len(await store.list_traces(project, TraceFilter(until_ns=MONDAY))) == 1
    assert await store.list_traces(project, TraceFilter(since_ns=MONDAY)) == []


async def test_feedback_that_came_before_its_trace_moves_to_the_traces_week(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    early = score(project, trace_id, "thumbs", 1.0, source="user", time_ns=MONDAY + 1, scored_ns=MONDAY + 1)
    again = score(project, trace_id, "thumbs", 0.0, source="user", time_ns=MONDAY - 1, scored_ns=MONDAY + 2)
    await store.write_scores([early])
    await store.write_scores([again])
    assert (await store.sql(project, "select value from scores")).rows == [[0.0]]
    assert [s.value for s in await store.read_scores(project, [trace_id])] == [0.0]


async def test_a_score_is_fed_when_it_was_stored_however_long_ago_it_was_made(
    store: ClickHouseColumns, project: str
) -> None:
    made = score(project, new_trace_id(), "slow", 1.0, scored_ns=NOW - 3600 * 10**9)
    await store.write_scores([made])
    assert await store.backlog("scores", NOW - 1, [project]) == (1, NOW)
    (fed,) = await store.feed("scores", Position(NOW - 1), NOW, 10, [project])
    assert fed.position.ns == NOW and fed.record == made
    assert await store.feed("scores", fed.position, NOW, 10, [project]) == []


@pytest.mark.parametrize(
    ("index", "where"),
    [
        ("facts", "attributes['n'] = '0'"),
        ("facts", "attributes['note'] = 'it''s'"),
        ("facts", "attributes['n'] < 3"),
        ("tokens", None),
    ],
)
async def test_attributes_and_words_are_looked_up_in_an_index(
    store: ClickHouseColumns, project: str, index: str, where: str | None
) -> None:
    trace_id = new_trace_id()
    await put(store, project, [raw(trace_id, note="it's", output="the parcel is late")])
    await put(store, project, [raw(new_trace_id(), 3, output="the parcel came")])
    wanted = TraceFilter(where=where, text=None if where else "late PARCEL")
    assert [r["trace_id"] for r in await store.list_traces(project, wanted)] == [trace_id]
    parts, bound = store._readers.run_now(listing._conditions, project, wanted, [], store.source.database)
    asked = f"SELECT trace_id FROM traces WHERE {' AND '.join(parts)}"
    if where:  # What the condition holds are the traces that were found.
        assert bound["wk_traces0"] == [trace_id]
        (asked,) = sandbox.trace_look_ups(where, store.source.database, bound).values()
    bound.pop("project")
    lines = [str(row[0]).strip() for row in told(store, f"EXPLAIN indexes = 1 {asked}", project, **bound)]
    assert f"Name: {index}" in lines, lines


async def test_a_filter_by_attribute_finds_the_same_however_many_traces_the_index_may_name(
    store: ClickHouseColumns, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [new_trace_id() for _ in range(5)]
    for n, trace_id in enumerate(ids):
        # The last is of long ago.
        at = NOW - (20 * DAY if n == 4 else n * 1000)
        made = [raw(trace_id, start=at, tone="mild" if n % 2 else "warm", size=n)]
        await store.write_spans(rows(project, made, at), [])
        await store.write_traces([trace_row(project, made, at=at + 10**9)])
    for where, expected in (
        ("attributes['tone'] = 'warm'", [0, 2, 4]),
        ("attributes['tone'] = 'warm' and attributes['size'] > 2", [4]),
        ("(attributes['size'] > 2 and (spans > 0))", [3, 4]),
        ("attributes['tone'] = 'warm' or attributes['size'] = 3", [0, 2, 3, 4]),
        ("not attributes['tone'] = 'warm'", [1, 3]),
        ("attributes['tone'] = 'hot'", []),
    ):
        for most in (1000, 2, 0):
            monkeypatch.setattr(listing, "VALUES", most)
            wanted = TraceFilter(where=where)
            found = [ids.index(row["trace_id"]) for row in await store.list_traces(project, wanted)]
            assert found == expected, (where, most)
            assert sum(n for _, n, _ in await store.tally(project, wanted, 3600)) == len(expected), (
                where,
                most,
            )
            first = await store.list_traces(project, TraceFilter(where=where, limit=1))
            assert [row["trace_id"] for row in first] == [ids[n] for n in expected[:1]], (where, most)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("attributes['tone'] = 'warm'", ["step 1"]),
        ("attributes['tone'] = 'cold'", []),
        ("attributes['tone'] = 'warm' and kind = 'tool'", []),
        ("attributes['tone'] = 'warm' or attributes['tone'] = 'mild'", ["step 1", "step 2"]),
        ("attributes['tone'] = ''", ["step 3"]),
    ],
)
async def test_sql_that_looks_an_attribute_up_sees_the_last_version_of_a_span(
    store: ClickHouseColumns, project: str, where: str, expected: list[str]
) -> None:
    trace_id, other = new_trace_id(), new_trace_id()
    await put(store, project, [raw(trace_id, 1, tone="cold"), raw(other, 2, tone="mild"), raw(other, 3)])
    await put(store, project, [raw(trace_id, 1, tone="warm", end=NOW + 2 * 10**9)])
    table = await store.sql(project, f"select s.name from spans s where {where} order by name")
    assert [row[0] for row in table.rows] == expected


async def test_a_models_answer_is_whole_in_spans_and_a_steps_output_is_cut_visibly(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id, long = new_trace_id(), "ä" * 5000
    made = [raw(trace_id, n, kind=kind, output=long) for n, kind in enumerate(("llm", "tool"))]
    await store.write_spans(rows(project, made), [])
    table = await store.sql(project, "select kind, output_text from spans order by kind")
    assert table.rows == [["llm", long], ["tool", long[:256] + "…"]]
    cut = "select left(output_text, 3), right(output_text, 1), substr(output_text, 2, 1) from spans where kind = 'llm'"
    assert (await store.sql(project, cut)).rows == [["äää", "ä", "ä"]]
    stored, _ = await store.read_trace(project, trace_id)
    assert [s.attributes["output"] for s in stored] == [long, long]


async def test_unknown_is_null_and_never_zero(store: ClickHouseColumns, project: str) -> None:
    await put(store, project, [raw(new_trace_id(), kind="llm")])
    assert (
        await only(store, project, "select input_tokens, cost, ttft_ms, session_id from spans") == [None] * 4
    )
    assert await only(store, project, "select input_tokens, cost, answer_relevance from traces") == [None] * 3


async def test_numbers_that_are_none_are_unknown(store: ClickHouseColumns, project: str) -> None:
    odd = raw(new_trace_id(), kind="llm", cost=float("nan"), **{"in": -5, "out": 10**30})
    await store.write_spans(rows(project, [odd]), [])
    assert await only(store, project, "select cost, input_tokens, output_tokens from spans") == [None] * 3


# -- traces and scores ---------------------------------------------------------------------------------------------


async def test_scores_are_columns_of_traces_when_the_call_returns(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    check = score(project, trace_id, "valid_json", source="check", passed=False, reason="no")
    await put(store, project, [raw(trace_id, scenario="support")], checks=[check])
    await store.write_scores([score(project, trace_id, "answer_relevance", 4.0)])
    row = await only(
        store, project,
        "select answer_relevance, valid_json, failed_checks from traces where scenario = 'support' "
        "and answer_relevance < 5 and time > toDateTime64('2020-01-01', 3, 'UTC') order by time desc limit 50",
    )  # fmt: skip
    assert row == [4.0, 0.0, ["valid_json"]]
    assert {s.scorer: (s.value, s.passed) for s in await store.read_scores(project, [trace_id])} == {
        "valid_json": (None, False),
        "answer_relevance": (4.0, None),
    }


async def test_a_score_before_its_trace_is_shown_when_the_trace_comes(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    await store.write_scores([score(project, trace_id, "thumbs", 1.0, source="user")])
    await put(store, project, [raw(trace_id)])
    assert await only(store, project, "select thumbs from traces") == [1.0]


async def test_a_probability_that_rose_is_kept_and_never_falls(
    store: ClickHouseColumns, project: str
) -> None:
    known, unknown = new_trace_id(), new_trace_id()
    await put(store, project, [raw(known)])
    judged = score(project, known, "quality", 4.0, inclusion_probability=0.05, policy="random@1")
    await store.write_scores([judged, score(project, known, "thumbs", 0.0, source="user", passed=False)])
    evidence = (await store.named("late_evidence", project, after=NOW, named=[], limit=10)).rows
    assert [row[0] for row in evidence] == [known]
    assert (await store.named("late_rows", project, ids=[known, unknown])).rows[0][0] == known
    query = "select inclusion_probability, policy from traces"
    rare = msgspec.structs.replace(
        trace_row(project, [raw(known)], at=NOW + 3), inclusion_probability=0.05, policy="random@1"
    )
    await store.write_traces([rare])
    for offered, kept in ((0.5, 0.5), (0.2, 0.5), (1.0, 1.0)):
        await store.redecide(project, {known: (offered, f"p{offered}"), unknown: (1.0, "x@1")})
        assert await only(store, project, query) == [kept, f"p{kept}"]
    again = msgspec.structs.replace(judged, inclusion_probability=1.0, policy="always@1", weighed_ns=NOW + 5)
    await store.write_scores([again, judged])
    kept = next(s for s in await store.read_scores(project, [known]) if s.scorer == "quality")
    assert (kept.inclusion_probability, kept.policy, kept.scored_ns) == (1.0, "always@1", NOW)


async def test_the_latest_score_wins_and_a_repeat_is_one_row(store: ClickHouseColumns, project: str) -> None:
    trace_id = new_trace_id()
    await put(store, project, [raw(trace_id)])
    for value, at in ((2.0, 10), (9.0, 30), (5.0, 20), (9.0, 30)):
        await store.write_scores([score(project, trace_id, "judge", value, scored_ns=NOW + at)])
    await store.write_scores([score(project, trace_id, "judge", 1.0, version="2", scored_ns=NOW + 5)])
    assert await only(store, project, "select judge from traces") == [9.0]
    table = await store.sql(project, "select version, value from scores order by version")
    assert table.rows == [["1", 9.0], ["2", 1.0]]


async def test_a_score_of_the_whole_trace_stands_before_those_of_spans(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    await put(store, project, [raw(trace_id)])
    await store.write_scores(
        [score(project, trace_id, "j", 1.0, span_id="a", passed=False, scored_ns=NOW + 99)]
    )
    await store.write_scores([score(project, trace_id, "j", 7.0)])
    assert await only(store, project, "select j from traces") == [7.0]


async def test_settling_scores_leaves_these_of_their_source_and_no_other(
    store: ClickHouseColumns, project: str
) -> None:
    a, b = new_trace_id(), new_trace_id()
    for trace_id in (a, b):
        await put(store, project, [raw(trace_id)])
    await store.write_scores([score(project, i, "judge", 4.0) for i in (a, b)])
    said = {"source": "human", "passed": True, "inclusion_probability": 0.0, "scored_ns": NOW + 50}
    ana = score(project, a, "human", 1.0, author="ana", reason="fine", **said)
    ben = score(project, b, "human", 1.0, author="ben", **said)
    assert await store.settle_scores(project, "human", [a, b], [ana, ben]) == 2
    assert await store.settle_scores(project, "human", [a, b], [ben, ana]) == 0
    query = "select trace_id, human, judge from traces order by trace_id"
    assert (await store.sql(project, query)).rows == [[a, 1.0, 4.0], [b, 1.0, 4.0]]
    # An earlier word counts again, and somebody took theirs back.
    earlier = msgspec.structs.replace(ana, value=0.0, passed=False, scored_ns=NOW + 10)
    assert await store.settle_scores(project, "human", [a, b], [earlier]) == 2
    assert (await store.sql(project, query)).rows == [[a, 0.0, 4.0], [b, None, 4.0]]
    found = await store.sql(
        project, "select author, value, inclusion_probability from scores where source = 'human'"
    )
    assert found.rows == [["ana", 0.0, None]], "by no chance, so that nobody knows how likely"
    assert (await store.named("human_scored", project, source="human")).rows == [[a]]
    known = (await store.named("human_traces", project, ids=[a, new_trace_id()])).rows
    assert [list(row) for row in known] == [[a, NOW, None]]


async def test_checks_and_other_scores_are_one_table(store: ClickHouseColumns, project: str) -> None:
    trace_id = new_trace_id()
    made = [
        score(project, trace_id, "length", 12.0, source="check"),
        score(project, trace_id, "ok", passed=True),
    ]
    await put(store, project, [raw(trace_id)], checks=made)
    await store.write_scores([score(project, trace_id, "judge", 3.0, session_id="s")])
    table = await store.sql(project, "select scorer, source, value, passed from scores order by scorer")
    assert table.rows == [
        ["judge", "judge", 3.0, None],
        ["length", "check", 12.0, None],
        ["ok", "check", None, True],
    ]


async def test_a_later_assembly_wins_over_an_earlier_one_and_over_refreshes(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    short, whole = [raw(trace_id)], [raw(trace_id), raw(trace_id, 1, parent=0)]
    await put(store, project, short, at=NOW + 100)
    await store.write_scores([score(project, trace_id, "judge", 3.0)])
    await put(store, project, whole, at=NOW + 10_000_000)
    await put(store, project, short, at=NOW + 50)
    assert await only(store, project, "select spans, judge from traces") == [2, 3.0]


async def test_concurrent_scores_of_one_trace_are_all_shown(store: ClickHouseColumns, project: str) -> None:
    trace_id = new_trace_id()
    await put(store, project, [raw(trace_id)])
    await asyncio.gather(
        *(store.write_scores([score(project, trace_id, f"j{n}", float(n))]) for n in range(8))
    )
    assert await only(store, project, f"select {', '.join(f'j{n}' for n in range(8))} from traces") == [
        *map(float, range(8))
    ]


async def test_scorers_are_those_with_a_value_and_those_configured(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    assert await store.scorers(project) == sorted(SCORERS)
    await store.write_scores([score(project, trace_id, "fresh", 3.0)])
    assert "fresh" in await store.scorers(project)


# -- lists -----------------------------------------------------------------------------------------------------------


async def test_the_list_is_newest_first_and_pages_without_gaps(
    store: ClickHouseColumns, project: str
) -> None:
    made = [[raw(new_trace_id(), start=NOW + (n // 3) * 1000)] for n in range(25)]
    await store.write_traces([trace_row(project, m) for m in made])
    seen: list[str] = []
    before: tuple[int, str] | None = None
    while page := await store.list_traces(project, TraceFilter(limit=7, before=before)):
        seen += [r["trace_id"] for r in page]
        last = page[-1]["time"]
        before = (int(last.timestamp()) * 10**9 + last.microsecond * 1000, page[-1]["trace_id"])
    assert seen == [
        m[0].trace_id for m in sorted(made, key=lambda m: (m[0].start_ns, m[0].trace_id), reverse=True)
    ]


async def test_the_list_turns_back_to_newer_rows_and_counts_what_it_finds(
    store: ClickHouseColumns, project: str
) -> None:
    made = [[raw(new_trace_id(), start=NOW + (n // 5) * 1000)] for n in range(20)]
    await store.write_traces([trace_row(project, m) for m in made])
    whole = [r["trace_id"] for r in await store.list_traces(project, TraceFilter())]
    seen: list[str] = []
    after: tuple[int, str] | None = (0, "")
    while page := await store.list_traces(project, TraceFilter(limit=6, after=after)):
        seen = [r["trace_id"] for r in page] + seen
        first = page[0]["time"]
        after = (int(first.timestamp()) * 10**9 + first.microsecond * 1000, page[0]["trace_id"])
    assert seen == whole
    counted = await store.tally(project, TraceFilter(where="spans > 0", limit=1), 60)
    assert [(start, n) for start, n, _ in counted] == [(NOW // (60 * 10**9) * 60 * 10**9, 20)]
    with pytest.raises(QueryRefused):
        await store.tally(project, TraceFilter(where="no_such_column > 0"), 60)


async def test_only_calls_that_failed_count_as_errors_and_not_what_a_check_finds_wrong(
    store: ClickHouseColumns, project: str
) -> None:
    rows = [trace_row(project, [raw(new_trace_id())]) for _ in range(4)]
    for row, name in zip(rows, ("rate_limit", "timeout", "invalid_output", None), strict=True):
        row.trace.error_class = name
    await store.write_traces(rows)
    counted = await store.tally(project, TraceFilter(), 60)
    assert [(n, bad) for _, n, bad in counted] == [(4, 2)]


async def test_the_list_is_filtered_by_everything_at_once(store: ClickHouseColumns, project: str) -> None:
    good, wrong = new_trace_id(), new_trace_id()
    for trace_id, topic in ((good, "Refund please"), (wrong, "Weather today")):
        await put(
            store, project,
            [raw(trace_id, user="u1", session="s1", scenario="support", input=topic, output="Ünïcode words")],
        )  # fmt: skip
        await store.write_scores([score(project, trace_id, "answer_relevance", 3.0)])
    found = await store.list_traces(
        project,
        TraceFilter(
            since_ns=NOW - 10, until_ns=NOW + 10, text="REFUND ünïcode", user_id="u1", session_id="s1",
            where="scenario = 'support' and answer_relevance < 5 and attributes['input'] like 'Refund%'",
        ),
    )  # fmt: skip
    assert [r["trace_id"] for r in found] == [good]
    assert found[0]["scores"] == {"answer_relevance": 3.0}
    assert await store.list_traces(project, TraceFilter(since_ns=NOW + 1)) == []
    assert await store.list_traces(project, TraceFilter(until_ns=NOW)) == []
    assert await store.list_traces(project, TraceFilter(text="refund weather")) == []


async def test_the_list_is_ordered_by_a_column_or_a_scorer(store: ClickHouseColumns, project: str) -> None:
    ids = [new_trace_id() for _ in range(3)]
    for trace_id, value in zip(ids, (2.0, 9.0, None), strict=True):
        await put(store, project, [raw(trace_id)])
        if value is not None:
            await store.write_scores([score(project, trace_id, "judge", value)])
    found = await store.list_traces(project, TraceFilter(order_by="judge desc"))
    assert [r["trace_id"] for r in found] == [ids[1], ids[0], ids[2]]
    with pytest.raises(QueryRefused):
        await store.list_traces(project, TraceFilter(order_by="judge desc; drop table spans"))


@pytest.mark.parametrize(("where", "_part"), CONDITIONS)
async def test_every_kind_of_condition_runs(
    store: ClickHouseColumns, project: str, where: str, _part: str
) -> None:
    assert await store.list_traces(project, TraceFilter(where=where)) == []


async def test_a_wrong_condition_is_explained(store: ClickHouseColumns, project: str) -> None:
    for where in ("scenari = 'x'", "errors + 'a' > 3", "trace_id in content"):
        with pytest.raises(QueryRefused):
            await store.list_traces(project, TraceFilter(where=where))


# -- assembly after a kill ----------------------------------------------------------------------------------------


async def test_what_was_not_assembled_is_found(store: ClickHouseColumns, project: str) -> None:
    done, fresh, grown, heard = (new_trace_id() for _ in range(4))
    for trace_id in (done, grown, heard):
        await put(store, project, [raw(trace_id)], at=NOW + 100)
    await store.write_spans(rows(project, [raw(fresh)]), [])
    # The same arrival time as what was assembled: only its number tells that it is missing.
    await store.write_spans(rows(project, [raw(grown, 1, parent=0)]), [])
    await store.write_spans([], log_rows(project, [log(heard)], received=NOW + 200))
    left = {t for p, t in await store.unassembled(0, 10_000) if p == project}
    assert left == {fresh, grown, heard}
    assert (project, fresh) not in await store.unassembled(NOW + 10_000, 10_000)


async def test_rewritten_spans_keep_their_content_and_count_once(
    store: ClickHouseColumns, project: str
) -> None:
    trace_id = new_trace_id()
    sent = raw(trace_id)
    await store.write_spans(rows(project, [sent]), [])
    trace = joined([normal(sent)], [log(trace_id, body="from a log")])
    await store.rewrite_spans([type(rows(project, [sent])[0])(project, trace.spans[0], NOW + 50)])
    assert await only(store, project, "select output_text from spans") == ["from a log"]
    spans, _ = await store.read_trace(project, trace_id)
    assert spans == [sent]


# -- the other tables ------------------------------------------------------------------------------------------------


async def test_points_come_back_as_they_were_and_a_tick_is_replaced(
    store: ClickHouseColumns, project: str
) -> None:
    key = SeriesKey(project, "ok", (("model", "a,b"), ("prompt", "x")))
    start = NOW // 10**9 // 3600 * 3600 * 10**9
    for scores in ([(1.0, 0.5)], [(1.0, 0.5), (0.0, 1.0)]):
        await store.write_points([gather(key, start, start + 60 * 10**9, BINARY, scores)])
    found = await store.read_points(
        project, start, start + 1, metric="ok", cohort="model=a,b,prompt=x", seconds=60
    )
    assert found == [gather(key, start, start + 60 * 10**9, BINARY, [(1.0, 0.5), (0.0, 1.0)])]
    assert await store.read_points(project, start + 1, start + 10**9) == []
    row = await only(store, project, "select metric, cohort, n, mean, low < mean, high > mean from series")
    assert row == ["ok", "model=a,b,prompt=x", 2, pytest.approx(2 / 3), 1, 1]
    # Of 48 scores the ends by themselves are 7e-18 and 0.9999999999999999.
    for value in (0.0, 1.0):
        same = [(value, 1.0)] * 48
        await store.write_points([gather(key, start, start + 60 * 10**9, BINARY, same)])
        low, high = await only(store, project, "select low, high from series")
        assert (low == 0, high == 1) == (value == 0, value == 1)


async def test_a_later_migration_runs_once_may_be_killed_and_is_not_undone_by_an_older_version(
    store: ClickHouseColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"CREATE TABLE IF NOT EXISTS later (n UInt8) ENGINE = MergeTree ORDER BY n SETTINGS {migrations.DURABLE};\n"
    shipped = migrations.known()
    name = "9999_later.sql"

    def ran(*texts: str) -> list[str]:
        monkeypatch.setattr(migrations, "known", lambda: [*shipped, *((9999, name, t) for t in texts)])
        return store._rows.run_now(migrations.migrate, NOW)

    def columns(client: Client) -> list[tuple[str]]:
        rows = client.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'later'"
        )
        return list(map(tuple, rows.result_rows))

    try:
        assert ran() == []
        # Killed between two statements: the first one is done and nothing says so.
        with pytest.raises(Exception, match="no_such_table"):
            ran(text + "ALTER TABLE no_such_table ADD COLUMN m UInt8;\n")
        assert ran(text + "ALTER TABLE later ADD COLUMN IF NOT EXISTS m UInt8;\n") == [name]
        assert store._rows.run_now(columns) == [("n",), ("m",)]
        assert ran(text) == []
        with pytest.raises(migrations.SchemaTooNew, match="schema 9999"):
            ran()
    finally:
        for undo in ("DROP TABLE IF EXISTS later SYNC", "DELETE FROM schema_migrations WHERE number = 9999"):
            store._rows.run_now(lambda client, s=undo: client.command(s))


async def test_the_series_of_a_report_are_the_sums_of_its_points(
    store: ClickHouseColumns, project: str
) -> None:
    hour = 3600 * 10**9
    since, until = NOW // hour * hour, NOW // hour * hour + 24 * hour
    dice = random.Random(3)
    written: list[Point] = []
    for at in range(-30, 26):
        start = since + at * hour
        version = "1" if at < -5 else "2" if at < 10 else ""
        for metric, axis in (("traces", BINARY), ("relevance", TEN), ("odd", UNIT if at < 3 else TEN)):
            scores = [(dice.random(), dice.uniform(0.1, 1)) for _ in range(dice.randrange(4))]
            made = gather(SeriesKey(project, metric), start, start + hour, axis, scores)
            written.append(msgspec.structs.replace(made, version="" if metric == "traces" else version))
        # Ticks of another length cover the same scores once more; a cohort is not all traffic.
        written.append(gather(SeriesKey(project, "traces"), start, start + 24 * hour, BINARY, [(1.0, 1.0)]))
        key = SeriesKey(project, "traces", (("model", "a"),))
        written.append(gather(key, start, start + hour, BINARY, [(1.0, 1.0)]))
    await store.write_points(written)
    sides = await reporting.series(store, project, since, until)
    points = await store.read_points(project, since - 24 * hour, until, cohort="", seconds=3600)
    for side, kept in zip(sides, (lambda p: p.start_ns < since, lambda p: p.start_ns >= since), strict=True):
        assert set(side) == {"traces", "relevance", "odd"}
        for metric, found in side.items():
            whole = [p for p in points if p.key.metric == metric and p.n > 0 and kept(p)]
            assert {(p.axis, p.version) for p in found} == {(p.axis, p.version) for p in whole}
            assert (found[-1].start_ns, found[-1].version) == (whole[-1].start_ns, whole[-1].version)
            old, new = estimate(merge(of_newest(whole)), "mean"), estimate(merge(of_newest(found)), "mean")
            assert msgspec.to_builtins(new) == pytest.approx(msgspec.to_builtins(old), rel=1e-9)


async def test_deploys_alerts_and_coverage_are_tables(store: ClickHouseColumns, project: str) -> None:
    deploy = Deploy(project, "prompt", "v2", NOW, "shorter")
    await store.write_deploys([deploy, deploy])
    assert await store.read_deploys(project, NOW, NOW + 1) == [deploy]
    assert await only(store, project, "select name, version, note from deploys") == [
        "prompt",
        "v2",
        "shorter",
    ]
    alert = {
        "project": project,
        "id": "a1",
        "monitor": "m",
        "state": "pending",
        "since_ns": NOW,
        "owner": "me",
    }
    await store.write_alerts([alert])
    await store.write_alerts([{**alert, "state": "firing", "fired_ns": NOW + 5}])
    assert await only(store, project, "select state, owner, isNotNull(fired_at) from alerts") == [
        "firing",
        "me",
        1,
    ]
    tick = {
        "project": project,
        "scorer": "j",
        "version": "1",
        "time": NOW // 10**9,
        "seconds": 60,
        "eligible": 5,
    }
    await store.write_coverage([tick])
    await store.write_coverage([{**tick, "scored": 4}])
    assert await only(store, project, "select eligible, scored from coverage") == [5, 4]
    assert [c["scored"] for c in await store.read_coverage(project, NOW, NOW + 1)] == [4]


async def test_measurements_are_kept_and_asked_in_sql(store: ClickHouseColumns, project: str) -> None:
    told = {"gen_ai.token.type": "input", "user.id": "ann"}
    point = MetricRow(project, "gen_ai.client.token.usage", "1", NOW, 5.0, 2, told, NOW)
    await store.write_metrics([point, point])
    query = "select name, unit, value, n, attributes['gen_ai.token.type'] from measurements"
    assert await only(store, project, query) == ["gen_ai.client.token.usage", "1", 5.0, 2, "input"]
    assert (await store.sql("another", "select * from measurements")).rows == []
    erased = await store.erase(project, user_id="ann")
    assert erased.rows["measurements"] == 1
    assert (await store.sql(project, "select * from measurements")).rows == []


async def test_named_queries_bind_the_project_and_say_what_is_missing(
    store: ClickHouseColumns, project: str
) -> None:
    assert (await store.named("assembly_earlier", project, ids=["a"], before=NOW)).rows == []
    assert (await store.named("assembly_before", project, before=NOW)).rows == []
    await store.write_spans(rows(project, [raw("a" * 32)], NOW), [])
    assert (await store.named("assembly_before", project, before=NOW)).rows == []
    assert len((await store.named("assembly_before", project, before=NOW + 1)).rows) == 1
    with pytest.raises(KeyError):
        await store.named("no_such_query", project)
    with pytest.raises(TypeError, match="before"):
        await store.named("assembly_earlier", project, ids=["a"])


# -- removal ------------------------------------------------------------------------------------------------------------


async def test_erasing_a_user_leaves_no_byte(tmp_path: Path) -> None:
    secret = "zebra-" + "q" * 24
    code = f"""
import asyncio, os, sys, time
from pathlib import Path
from tests.contract.columns_world import *
from watchkeeper.store.clickhouse import open_columns
folder, secret = Path(sys.argv[1]), {secret!r}
store = open_columns(f"chdb://{{folder}}", clock=lambda: NOW)
def files():
    return len(holding())
def holding():
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                if secret.encode() in Path(at, name).read_bytes():
                    found.append(name)
            except FileNotFoundError:
                continue
    return found
async def main():
    for codec in ("content MODIFY COLUMN body String CODEC(NONE)", "traces MODIFY COLUMN output_text Nullable(String) CODEC(NONE)"):
        await store._rows.run(lambda c: c.command("ALTER TABLE " + codec))
    gone, kept = new_trace_id(), new_trace_id()
    for trace_id, user in ((gone, "u-gone"), (kept, "u-kept")):
        raws = [raw(trace_id, user=user, output=secret if user == "u-gone" else "harmless")]
        await store.write_spans(rows("p", raws), log_rows("p", [log(trace_id, body=raws[0].attributes["output"])]))
        await store.write_traces([trace_row("p", raws)])
        await store.write_scores([score("p", trace_id, "j", 1.0, reason=raws[0].attributes["output"])])
    assert files() > 0, "the control: before, it is there"
    receipt = await store.erase("p", user_id="u-gone")
    assert receipt.trace_ids == [gone], receipt
    assert receipt.rows == {{"spans": 1, "content": 1, "logs": 1, "traces": 1, "scores": 1, "keeping": 0, "measurements": 0}}, receipt
    assert await store.read_trace("p", gone) == ([], [])
    assert len((await store.read_trace("p", kept))[0]) == 1
    assert (await store.sql("p", "select count() from traces")).rows == [[1]]
    deadline = time.monotonic() + 300  # a guard against a hang
    while files() and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    assert files() == 0, holding()
    await store.close()
asyncio.run(main())
print("clean")
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout.strip() == "clean", done.stderr[-2000:]


async def test_data_expires_by_class(store: ClickHouseColumns, project: str) -> None:
    old, fresh = new_trace_id(), new_trace_id()
    await put(store, project, [raw(old, start=NOW - 40 * DAY, output="long ago", input="asked")])
    await put(store, project, [raw(fresh, output="today")])
    await store.expire(NOW, Retention(content_days=30, trace_days=90))
    assert await store.read_trace(project, old) == ([], [])
    table = await store.sql(project, "select output_text, input_text from traces order by time")
    assert table.rows == [[None, None], ["today", None]]
    listed = await store.list_traces(project, TraceFilter(order_by="time asc"))
    assert [row["output_text"] for row in listed] == [None, "today"]
    table = await store.sql(project, "select output_text from spans order by time")
    assert table.rows == [[None], ["today"]]
    await store.expire(NOW + 60 * DAY, Retention(content_days=90, trace_days=90))
    assert await only(store, project, "select trace_id from traces") == [fresh]
    assert await only(store, project, "select trace_id from spans") == [fresh]
    assert len((await store.read_trace(project, fresh))[0]) == 1


SAID = {
    "gen_ai.tool.call.arguments": '{"name": "Ada"}', "input.value": "Ada lives here", "gen_ai.prompt.0.content": "Ada",
    "ai.prompt.messages": "Ada", "mlflow.spanInputs": "Ada", "user_query": "Ada", "db.query.text": "where name = 'Ada'",
    "crm.note": "Ada " * 20,
}  # fmt: skip
TOLD = {
    "gen_ai.usage.input_tokens": 12, "gen_ai.prompt.version": "v2", "promptId": "p-1", "gen_ai.output.type": "json",
    "llm.output_messages.0.message.role": "assistant", "tool.name": "lookup", "tenant": "acme", "messaging.system": "kafka",
}  # fmt: skip


async def test_what_was_said_goes_from_the_attributes_too_whatever_else_a_span_has(
    store: ClickHouseColumns, project: str
) -> None:
    keep = Retention(content_days=30, trace_days=90)

    async def left() -> list[set[str]]:
        table = await store.sql(project, "select attributes from spans order by time")
        return [set(row[0]) & {*SAID, *TOLD} for row in table.rows]

    long_ago = new_trace_id()
    await put(store, project, [raw(long_ago, start=NOW - 40 * DAY, output=None, **SAID, **TOLD)])
    await put(store, project, [raw(new_trace_id(), output=None, **SAID, **TOLD)])
    await store.expire(NOW, keep)
    assert await left() == [set(TOLD), {*SAID, *TOLD}]
    # What comes later and is older, what grows old, and what has an output of its own.
    late = raw(new_trace_id(), start=NOW - 39 * DAY, output=None, **SAID)
    await store.write_spans(rows(project, [late], received=NOW + DAY), [])
    await store.expire(NOW + DAY, keep)
    assert await left() == [set(TOLD), set(), {*SAID, *TOLD}]
    await store.expire(NOW + 31 * DAY, keep)
    assert await left() == [set(TOLD), set(), set(TOLD)]


async def test_sums_leave_with_the_retention_of_aggregates(store: ClickHouseColumns, project: str) -> None:
    def at(days: int) -> int:
        return NOW // DAY * DAY - days * DAY

    key = SeriesKey(project, "ok", ())
    for days in (500, 399, 1):
        await store.write_points([gather(key, at(days), at(days) + 60 * 10**9, BINARY, [(1.0, 1.0)])])
        await store.write_sketches(
            [
                {
                    "project": project, "field": "input", "cohort": "", "tick": at(days) // 10**9, "seconds": seconds,
                    "n": 1, "sums": [1.0], "version": "v",
                }
                for seconds in ((0, 3600) if days == 500 else (3600,))
            ]
        )  # fmt: skip
    await store.expire(NOW, Retention(30, 90, 400))
    assert len(await store.read_points(project, at(600), NOW)) == 2
    kept = await store.named("sketches", project, field="input", since=at(600), until=NOW, every=1, cohort="")
    assert [row["tick"] * 10**9 for row in kept.dicts()] == [at(399), at(1)]
    baseline = await store.named("sketch_reference", project, field="input")
    assert [row["since"] * 10**9 for row in baseline.dicts()] == [at(500)], "the map in force needs it"


# -- user SQL on the engine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", USEFUL)
async def test_what_analysts_write_runs(store: ClickHouseColumns, project: str, query: str) -> None:
    await put(store, project, [raw(new_trace_id(), kind="llm", scenario="support")])
    table = await store.sql(project, query)
    assert table.columns
    assert all(len(r) == len(table.columns) for r in table.rows)


async def test_no_hostile_statement_leaves_a_trace(
    store: ClickHouseColumns, project: str, tmp_path: Path
) -> None:
    async def held() -> dict[str, int]:
        # A part whose rows were all dropped goes when the engine comes to it.
        return {t: s["rows"] for t, s in (await store.stats())["tables"].items() if s["rows"]}

    out = tmp_path / "out.csv"
    before = await held()
    for query in statements(str(out)):
        with pytest.raises(QueryRefused):
            await store.sql(project, query)
    assert not out.exists()
    assert await held() == before
    assert (await store.sql(project, "select 1")).rows == [[1]]


async def test_the_engine_would_write_the_file_if_it_were_asked(
    store: ClickHouseColumns, tmp_path: Path
) -> None:
    """The control of the test above: the read-only connection alone does not stop it."""
    out = tmp_path / "out.csv"
    await store._sandbox.run(lambda c: c.command(f"SELECT 1 INTO OUTFILE '{out}' FORMAT CSV"))
    assert out.exists()


async def test_a_literal_means_what_the_engine_means_by_it(store: ClickHouseColumns, project: str) -> None:
    dice = random.Random(11)
    for _ in range(60):
        text = "".join(dice.choice("'\\\"`n0tx;-/*%é{}() \u2028") for _ in range(dice.randint(0, 9)))
        literal = "'" + text.replace("\\", "\\\\").replace("'", dice.choice(["\\'", "''"])) + "'"
        assert await only(store, project, f"select {literal} as x") == [text]
        assert await only(store, project, f"select count() from traces where root_name = {literal}") == [0]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select foo from traces", "no column foo"),
        ("select scenaro from traces", "no column scenaro"),
        ("select sum(name) from spans", "Illegal type"),
        ("select sum(a.n + b.n) from (select arrayJoin(range(1000000)) as n) as a "
         "cross join (select arrayJoin(range(1000000)) as n) as b", "seconds"),
        ("select groupArray(leftPad(toString(x), 5000, 'x')) from (select arrayJoin(range(900000)) as x) as a", "memory"),
        ("select arrayJoin(range(9000)) as x, leftPad(toString(x), 5000, 'x')", "too large"),
    ],
)  # fmt: skip
async def test_a_statement_that_asks_too_much_is_stopped(
    store: ClickHouseColumns, project: str, query: str, says: str
) -> None:
    with pytest.raises(QueryRefused, match=says) as refused:
        await store.sql(project, query)
    assert refused.value.hint
    assert "/" not in str(refused.value)


async def test_a_wrong_column_gets_a_suggestion(store: ClickHouseColumns, project: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        await store.sql(project, "select answer_relevence from traces")
    assert "answer_relevance" in refused.value.hint


async def test_a_long_answer_is_cut_and_says_so(store: ClickHouseColumns, project: str) -> None:
    table = await store.sql(project, "select arrayJoin(range(50)) as x", max_rows=10)
    assert (len(table.rows), table.truncated) == (10, True)
    table = await store.sql(project, "select arrayJoin(range(10)) as x", max_rows=10)
    assert (len(table.rows), table.truncated) == (10, False)


async def test_an_empty_answer_still_has_columns(store: ClickHouseColumns, project: str) -> None:
    table = await store.sql(project, "select trace_id, attributes['a'] from spans")
    assert (table.columns, table.rows) == (["trace_id", "attributes['a']"], [])


# -- the directory -----------------------------------------------------------------------------------------------------


async def test_the_directory_is_ours_alone(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path / "data", clock=lambda: NOW)
    lock.announce("http://127.0.0.1:4318")
    with pytest.raises(DataDirBusy, match=r"process \d+, started 2026-.*http://127.0.0.1:4318"):
        DataDirLock(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    lock.release()
    DataDirLock(tmp_path / "data").release()


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from tests.contract.columns_world import *
from watchkeeper.store.clickhouse import open_columns
from watchkeeper.store.columns import StoreUnavailable
async def main():
    for round in range(2):
        store = open_columns("chdb://" + sys.argv[1], clock=lambda: NOW)
        assert len((await store.read_trace("p", "a" * 32))[0]) == round
        await store.write_spans(rows("p", [raw("a" * 32)]), [])
        await store.close()
        await store.close()
        try:
            await store.write_spans(rows("p", [raw("b" * 32)]), [])
        except StoreUnavailable:
            print("refused")
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout.split() == ["refused", "refused"], done.stderr[-2000:]


async def test_a_directory_that_cannot_be_used_is_named(store: ClickHouseColumns, tmp_path: Path) -> None:
    if not store.source.embedded:
        pytest.skip("one directory a process is a rule of the embedded engine")
    with pytest.raises(StoreUnavailable, match="does not open"):
        open_columns(f"chdb://{tmp_path / 'second'}")


async def test_an_answer_of_ours_that_takes_too_long_can_come_later_and_a_statement_of_the_users_must_be_narrower(
    store: ClickHouseColumns, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = DatabaseError("Code: 159. DB::Exception: Timeout exceeded: elapsed 30 seconds", code=159)

    def slow(*_: object, **__: object) -> NoReturn:
        raise late

    await store.scorers(project)
    monkeypatch.setattr(Client, "query", slow)
    with pytest.raises(StoreUnavailable, match="longer than 30 seconds"):
        await store.named("human_scored", project, source="human")
    with pytest.raises(StoreUnavailable, match="longer than 30 seconds"):
        await store.list_traces(project, TraceFilter())
    with pytest.raises(QueryRefused, match="longer than 30 seconds"):
        await store.list_traces(project, TraceFilter(where="errors > 0"))
    with pytest.raises(QueryRefused, match="longer than 5 seconds"):
        await store.sql(project, "select 1 from traces")


async def test_a_backup_waits_for_what_is_being_removed_and_writers_do_not(store: ClickHouseColumns) -> None:
    if store.source.path is None:
        pytest.skip("files are the embedded engine's")
    removing, done, held = threading.Event(), threading.Event(), list[str]()

    def remove(_client: object) -> None:
        removing.set()
        done.wait(30)

    busy = asyncio.ensure_future(store._removal.run(remove))
    await asyncio.to_thread(removing.wait)
    backup = asyncio.ensure_future(store.held_still(lambda: held.append("still")))
    # Writers go on until the turn has come.
    await put(store, "still", [raw(new_trace_id(), output="meanwhile")])
    assert not held and not backup.done()
    done.set()
    await asyncio.gather(busy, backup)
    assert held == ["still"]
    await store.expire(NOW, Retention(30, 90, 400))
