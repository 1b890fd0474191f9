"""The trace list looks at versions of rows; it must answer as if only the latest of each trace were there."""

import itertools
import operator
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.columns import empty_columns
from tests.contract.columns_world import DAY, NOW, new_trace_id, raw, rows, score, told, trace_row
from watchkeeper.store.clickhouse import ClickHouseColumns, listing, open_columns
from watchkeeper.store.columns import TraceFilter

_projects = (f"listed-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseColumns]:
    """A store that merges nothing, so that every version of a row stays."""
    opened = open_columns(empty_columns(tmp_path_factory.mktemp("columns") / "data"), clock=lambda: NOW)
    told(opened, "SYSTEM STOP MERGES traces")
    yield opened
    opened.close_now()


@pytest.fixture
def project() -> str:
    return next(_projects)


async def _versions(store: ClickHouseColumns, project: str, dice: random.Random) -> None:
    """Traces written up to five times, each time with another time, duration, user and score."""
    ids = {new_trace_id(): NOW - weeks * 6 * DAY for weeks in (0, 0, 0, 1, 2, 5) for _ in range(10)}
    for version in range(5):
        written = []
        for trace_id in ids if version == 0 else dice.sample(list(ids), 25):
            start = ids[trace_id] - dice.randrange(10**10)
            item = raw(
                trace_id, start=start, end=start + dice.randrange(10**9), user=dice.choice("abc"),
                output=dice.choice(("refund please", "the weather")),
            )  # fmt: skip
            checks = [score(project, trace_id, "tone", dice.random(), source="check")]
            written.append(trace_row(project, [item], checks, at=NOW + version))
        await store.write_traces(written)


WANTED = [
    TraceFilter(),
    TraceFilter(limit=3),
    TraceFilter(limit=0),
    TraceFilter(limit=40, where="tone > 0.8"),
    TraceFilter(limit=7, where="tone < 0.3", order_by="tone asc"),
    TraceFilter(order_by="tone desc"),
    TraceFilter(limit=5, order_by="duration_ms desc", where="user_id = 'a'"),
    TraceFilter(user_id="b"),
    TraceFilter(limit=11, text="refund"),
    TraceFilter(limit=9, since_ns=NOW - 7 * 10**9, until_ns=NOW - 2 * 10**9),
    TraceFilter(limit=6, before=(NOW - 4 * 10**9, "")),
    TraceFilter(limit=40, before=(NOW - 7 * DAY, "")),
    TraceFilter(limit=12, until_ns=NOW - 2 * DAY),
    TraceFilter(limit=60, since_ns=NOW - 8 * DAY),
    TraceFilter(limit=50, where="attributes['user'] = 'a'"),
    TraceFilter(limit=6, after=(NOW - 4 * 10**9, "")),
    TraceFilter(assembled_after_ns=NOW + 1),
]


@pytest.mark.parametrize("spare", [1, 50])
async def test_replaced_rows_that_are_still_stored_change_nothing_about_a_list(
    store: ClickHouseColumns, project: str, spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SPARE", spare)
    await _versions(store, project, random.Random(project))
    stored = await store.stats()
    assert stored["tables"]["traces"]["rows"] >= 120
    for wanted in WANTED:
        found = [r["trace_id"] for r in await store.list_traces(project, wanted)]
        parts, bound = store._readers.run_now(listing._conditions, project, wanted, ["tone"], "default")
        order = listing._order("time asc" if wanted.after else wanted.order_by, ["tone"])
        whole = f"SELECT trace_id FROM traces FINAL WHERE {' AND '.join(parts)} ORDER BY {order} LIMIT {wanted.limit}"
        expected = [str(row[0]) for row in told(store, whole, **bound)]
        assert found == (expected[::-1] if wanted.after else expected), wanted


async def test_a_list_of_traces_that_were_all_written_twice_is_asked_for_once_when_that_is_known(
    store: ClickHouseColumns, project: str
) -> None:
    made = [raw(new_trace_id(), start=NOW - n * 10**6) for n in range(30)]
    for version in range(2):
        await store.write_traces([trace_row(project, [one], at=NOW + version) for one in made])
    asked: list[str] = []

    class Counting:
        """A client that says what it was asked."""

        def __init__(self, client: Any) -> None:
            self.client = client

        def query(self, statement: str, **given: Any) -> Any:
            asked.append(statement)
            return self.client.query(statement, **given)

    def twice(client: Any) -> list[int]:
        counting: Any = Counting(client)
        needed: list[int] = []
        for _ in range(2):
            found = listing.list_traces(counting, project, TraceFilter(limit=10), [], "default", NOW)
            assert [row["trace_id"] for row in found] == [one.trace_id for one in made[:10]]
            needed.append(len(asked))
            asked.clear()
        return needed

    assert store._readers.run_now(twice) == [4, 2]


async def test_a_list_shows_what_the_latest_version_says(store: ClickHouseColumns, project: str) -> None:
    trace_id = new_trace_id()
    for at, said in ((NOW + 1, "first"), (NOW + 3, "third"), (NOW + 2, "second")):
        await store.write_traces([trace_row(project, [raw(trace_id, output=said)], at=at)])
    (row,) = await store.list_traces(project, TraceFilter())
    assert row["output_text"] == "third"
    assert await store.list_traces(project, TraceFilter(where="output_text = 'second'")) == []


@pytest.mark.parametrize(
    "where", ["attributes['note'] = 'kept'", "attributes['n'] >= 0", "mapContains(attributes, 'note')"]
)
async def test_an_attribute_is_found_whenever_its_trace_began_and_however_late_it_came(
    store: ClickHouseColumns, project: str, where: str
) -> None:
    starts: dict[str, int] = {}
    for age in (-0.5, 0, 1, 3, 20, 200):
        for received in (NOW - int(age * DAY), NOW + 1):
            start = NOW - int(age * DAY) - 1000 * len(starts)
            item = raw(new_trace_id(), start=start, note="kept")
            await store.write_spans(rows(project, [item], min(received, NOW + 1)), [])
            await store.write_traces([trace_row(project, [item])])
            starts[item.trace_id] = start
    expected = sorted(starts, key=lambda t: -starts[t])
    for since in (None, NOW - 2 * DAY, NOW - 30 * DAY):
        for limit in (3, 100):
            wanted = TraceFilter(where=where, since_ns=since, limit=limit)
            found = [r["trace_id"] for r in await store.list_traces(project, wanted)]
            assert found == [t for t in expected if starts[t] >= (since or 0)][:limit]
    tallied = await store.tally(project, TraceFilter(where=where, since_ns=NOW - 2 * DAY), 3600)
    assert sum(n for _, n, _ in tallied) == sum(start >= NOW - 2 * DAY for start in starts.values())


COMPARED = {
    "attributes['rows'] > 998": (operator.gt, 998),
    "attributes['rows'] <= -1.5": (operator.le, -1.5),
    "7 = attributes['rows']": (operator.eq, 7),
    "attributes['rows'] != 7": (operator.ne, 7),
    "-2 <= attributes['rows']": (operator.ge, -2),
}
TOLD: tuple[Any, ...] = (
    7,
    7.0,
    "7",
    "7.00",
    -2,
    -1.5,
    999,
    998,
    10**15,
    2.5e-300,
    "1e3",
    "",
    "many",
    True,
    "9" * 25,
    "8\n7",
    None,
)


def _number(value: Any) -> float | None:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return float(text) if len(text) <= 24 else None
    except ValueError:
        return None


@pytest.mark.parametrize("values", [1000, 2])
@pytest.mark.parametrize("key", ["rows", "rows_of_a_key_too_long_for_its_numbers_to_be_in_the_index"])
async def test_numbers_are_compared_alike_whether_they_are_looked_up_or_read(
    store: ClickHouseColumns, project: str, key: str, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "VALUES", values)
    dice = random.Random(project)
    held: dict[str, list[Any]] = {}
    for first in range(0, 60, 10):
        batch = []
        for at in range(first, first + 10):
            trace_id, start = new_trace_id(), NOW - at * 3 * DAY
            held[trace_id] = dice.choices(TOLD, k=3)
            spans = [raw(trace_id, n, start=start, **{key: value}) for n, value in enumerate(held[trace_id])]
            batch.append([*spans, raw(trace_id, 3, start=start, rowses=999)])
        await store.write_spans(rows(project, [s for spans in batch for s in spans]), [])
        await store.write_traces([trace_row(project, spans) for spans in batch])
    for where, (compare, number) in COMPARED.items():
        wanted = TraceFilter(where=where.replace("rows", key), limit=25)
        found = [r["trace_id"] for r in await store.list_traces(project, wanted)]
        numbers = {
            t: [n for v in values_of if (n := _number(v)) is not None] for t, values_of in held.items()
        }
        expected = [t for t, some in numbers.items() if any(compare(n, number) for n in some)]
        assert found == expected[:25], where
        tallied = await store.tally(project, TraceFilter(where=wanted.where), 3600)
        assert sum(n for _, n, _ in tallied) == len(expected)
        neither = TraceFilter(where=f"not ({wanted.where})", limit=100)
        assert {r["trace_id"] for r in await store.list_traces(project, neither)} == held.keys() - set(
            expected
        )


async def test_the_newest_are_read_in_the_order_of_time_and_show_beginnings_of_texts(
    store: ClickHouseColumns, project: str
) -> None:
    said = f"the {'very ' * 100}end"
    await store.write_traces([trace_row(project, [raw(new_trace_id(), output=said)])])
    days = " AND ".join(listing._within(NOW // DAY - 1, listing.LAST_DAY))
    statement = f"{listing._ROWS} FROM traces WHERE project = {{project:String}} AND {days} ORDER BY {listing._order('time desc', [])}"
    plan = [str(row[0]).strip() for row in told(store, f"EXPLAIN indexes = 1 {statement} LIMIT 50", project)]
    assert any("(listed)" in line for line in plan), plan
    # Of the other days of its week nothing is read.
    assert any("time in [" in line for line in plan), plan
    kept = "SELECT DISTINCT column FROM system.projection_parts_columns WHERE active AND name = 'listed' AND {project:String} != ''"
    held = {str(row[0]) for row in told(store, kept, project)}
    # Whole texts would be stored, and read by every list, a second time.
    assert "output_start" in held
    assert not held & {"input_text", "output_text"}
    (row,) = await store.list_traces(project, TraceFilter(where="output_text like '%end'"))
    assert row["output_text"] == said[:400]
    assert tuple(row) == listing.SHOWN
