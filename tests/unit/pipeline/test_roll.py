"""Rolling over the real column store: sums and histograms equal those of the scores themselves."""

import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.columns import empty_columns
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.model.alert import Alert
from watchkeeper.model.score import Score
from watchkeeper.model.series import (
    BINARY,
    COUNT,
    FIVE,
    MILLISECONDS,
    TEN,
    UNIT,
    Axis,
    Point,
    SeriesKey,
    gather,
)
from watchkeeper.model.span import LLM, Context, Span, Totals, Trace, Usage
from watchkeeper.model.times import DAY, HOUR
from watchkeeper.pipeline.roll import DERIVED, Roller, RollPlan, guess_axis, metric_of, scorer_of
from watchkeeper.pipeline.watching.evidence import worst_traces
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import Table, TraceRow
from watchkeeper.store.records import states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

T0 = 1_700_000_000 * 10**9 // HOUR * HOUR
NOW = T0 + 100 * HOUR


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseColumns]:
    store = open_columns(empty_columns(tmp_path_factory.mktemp("columns") / "c"), clock=lambda: NOW)
    yield store
    store.close_now()


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    found = Records(f"sqlite:///{tmp_path}/r.db")
    metadata.create_all(found.engine)
    yield found
    found.close()


def a_trace(
    i: int,
    hour: float,
    version: str | None,
    relevance: float | None,
    project: str = "p",
    error: str | None = None,
    ms: float = 800.0,
    keep: float | None = None,
    assembled: int | None = None,
) -> TraceRow:
    start = T0 + round(hour * HOUR)
    trace_id = f"{project}{i:030d}"
    context = Context(prompt_version=version, scenario="support")
    llm = LLM(request_model="m1", usage=Usage(10, 20), ttft_ms=100.0)
    end = start + round(ms * 1e6)
    span = Span(
        trace_id,
        "s1",
        None,
        "chat",
        "llm",
        start,
        end,
        "ok",
        "gen_ai",
        context,
        llm=llm,
        keep_probability=keep,
    )
    trace = Trace(trace_id, [span], context, Totals(10, 20, cost=0.01), start, end, True, error_class=error)
    checks = [
        Score(project, trace_id, "", "has_steps", "1", "check", start, start, passed=i % 4 != 0),
    ]
    if relevance is not None:
        checks.append(Score(project, trace_id, "", "relevance", "1", "check", start, start, value=relevance))
    return TraceRow(project, trace, checks, 1.0, "all", assembled if assembled is not None else start, start)


def plan(**axes: Axis) -> RollPlan:
    monitor = Monitor("m", "share(relevance < 7) > 5%", "o", "r", by=("prompt_version",))
    return RollPlan.of(
        [monitor], {"relevance": TEN, "has_steps": BINARY, **axes}, HOUR, sets=[("prompt_version",)]
    )


async def points(columns: ClickHouseColumns, project: str, metric: str, cohort: str = "") -> list[Point]:
    found = await columns.read_points(project, T0 - HOUR, NOW, metric=metric, cohort=cohort)
    return [p for p in found if p.n]


def near(a: Point, b: Point) -> None:
    assert (a.n, a.start_ns, a.end_ns, a.axis, a.key) == (b.n, b.start_ns, b.end_ns, b.axis, b.key)
    for name in ("sw", "sw2", "swx", "swx2", "sw2x", "sw2x2"):
        assert math.isclose(getattr(a, name), getattr(b, name), rel_tol=1e-9, abs_tol=1e-9), name
    assert a.hist_w == pytest.approx(b.hist_w) and a.hist_w2 == pytest.approx(b.hist_w2)


async def test_a_point_holds_exactly_the_sums_of_its_scores(
    columns: ClickHouseColumns, records: Records
) -> None:
    values = [float(i % 11) for i in range(40)]
    rows = [
        a_trace(i, 0.5, "v1" if i % 3 else "v2", v, "exact", ms=50.0 * (i + 1)) for i, v in enumerate(values)
    ]
    await columns.write_traces(rows)
    done = await Roller(columns, records, plan()).roll("exact", NOW)
    assert (done.ticks, done.gone) == (1, 0)
    for cohort, mine in {"": values, "prompt_version=v2": values[::3]}.items():
        key = SeriesKey("exact", "relevance", (("prompt_version", "v2"),) if cohort else ())
        (got,) = await points(columns, "exact", "relevance", cohort)
        near(got, gather(key, T0, T0 + HOUR, TEN, [(v, 1.0) for v in mine]))
    (low,) = await points(columns, "exact", "share(relevance < 7)")
    assert low.swx == sum(v < 7 for v in values) and low.axis == BINARY
    (latency,) = await points(columns, "exact", "latency_ms")
    near(
        latency,
        gather(
            SeriesKey("exact", "latency_ms"),
            T0,
            T0 + HOUR,
            MILLISECONDS,
            [(50.0 * (i + 1), 1.0) for i in range(40)],
        ),
    )
    (steps,) = await points(columns, "exact", "has_steps", "prompt_version=v1")
    assert (steps.n, steps.swx) == (26, sum(1 for i in range(40) if i % 3 and i % 4))


async def test_sampled_scores_are_weighted_by_how_they_were_chosen(
    columns: ClickHouseColumns, records: Records
) -> None:
    await columns.write_traces([a_trace(i, 0.1, "v1", None, "weighed", keep=0.5) for i in range(6)])
    judged = [
        Score("weighed", f"weighed{i:030d}", "", "judged", "1", "judge", T0 + round(0.1 * HOUR), T0 + HOUR,
              judge_model="m", value=float(i), inclusion_probability=0.1 if i < 2 else 1.0)
        for i in range(4)
    ]  # fmt: skip
    # Whoever may send scores must not put a number of theirs in the place of one that was measured.
    named = [
        msgspec.structs.replace(s, scorer=n, judge_model="")
        for s in judged
        for n in ("latency_ms", "score_latency_ms")
    ]
    # Nor does what people label, even if drawn at random, stand among what was measured.
    labelled = [msgspec.structs.replace(s, scorer=n, source="human", judge_model="", author="ana", value=0.0)
                for s in judged for n in ("human", "judged")]  # fmt: skip
    await columns.write_scores([*judged, *named, *labelled])
    await Roller(columns, records, plan(judged=TEN)).roll("weighed", NOW)
    (measured,) = await points(columns, "weighed", "latency_ms")
    assert (measured.n, measured.swx / measured.sw) == (6, 800.0)
    renamed = ("score_latency_ms", "score_score_latency_ms")
    assert [p.n for m in renamed for p in await points(columns, "weighed", m)] == [4, 4]
    (got,) = await points(columns, "weighed", "judged")
    near(
        got,
        gather(
            SeriesKey("weighed", "judged"), T0, T0 + HOUR, TEN, [(0, 0.05), (1, 0.05), (2, 0.5), (3, 0.5)]
        ),
    )
    assert await points(columns, "weighed", "human") == []
    (volume,) = await points(columns, "weighed", "traces")
    assert (volume.n, volume.sw) == (6, 12.0)


@pytest.mark.parametrize("name", ["grounded", "cost", "score_cost", "score_grounded"])
def test_a_series_tells_whose_values_it_holds(name: str) -> None:
    assert scorer_of(metric_of(name)) == name
    assert scorer_of("cost") == ""


async def test_error_rate_is_transport_and_every_class_has_its_share(
    columns: ClickHouseColumns, records: Records
) -> None:
    classes = ["timeout", "ungrounded", None, None, "rate_limit"]
    await columns.write_traces([a_trace(i, 2.2, "v1", 8, "errs", error=c) for i, c in enumerate(classes)])
    await Roller(columns, records, plan()).roll("errs", NOW)
    rate = (await points(columns, "errs", "error_rate"))[0]
    timeout = (await points(columns, "errs", "error_class:timeout"))[0]
    unsafe = (await points(columns, "errs", "error_class:unsafe"))[0]
    assert (rate.n, rate.swx) == (5, 2.0)
    assert (timeout.n, timeout.swx, timeout.hist_w) == (5, 1.0, (4.0, 1.0, 0.0))
    assert (unsafe.n, unsafe.swx, unsafe.hist_w) == (5, 0.0, (5.0, 0.0, 0.0))


async def test_rolling_again_changes_nothing_and_late_data_reopens_its_tick(
    columns: ClickHouseColumns, records: Records
) -> None:
    roller = Roller(columns, records, plan())
    await columns.write_traces([a_trace(i, h, "v1", 8, "late") for i, h in enumerate((0.2, 0.4, 30.1))])
    assert (await roller.roll("late", NOW)).ticks == 2
    before = await points(columns, "late", "relevance")
    assert (await roller.roll("late", NOW)).ticks == 0
    # After a restart what lies within the margin of the last look is recomputed once more.
    roller = Roller(columns, records, plan())
    assert [(await roller.roll("late", NOW)).ticks for _ in range(2)] == [1, 0]
    assert await points(columns, "late", "relevance") == before
    records.write_now(lambda c: states.put(c, "late", "watch", "mark", T0 + 31 * HOUR, NOW))
    await columns.write_traces([a_trace(9, 0.3, "v1", 2, "late", assembled=T0 + 60 * HOUR)])
    early = T0 + 61 * HOUR
    await roller.roll("late", early)
    # The tick was rolled longer ago than is remembered at NOW, so what it held is not known; from here on it is.
    assert records.read_now(lambda c: states.get(c, "late", "roll", "late")) is None
    await columns.write_traces([a_trace(10, 0.3, "v1", 2, "late", assembled=T0 + 60 * HOUR)])
    done = await roller.roll("late", early)
    assert records.read_now(lambda c: states.get(c, "late", "roll", "late")) == {str(T0): done.sizes[T0]}
    assert (await roller.roll("late", early)).ticks == 0
    again = await Roller(columns, records, plan()).roll("late", early)
    assert again.sizes[T0] == done.sizes[T0]
    assert [p.n for p in await points(columns, "late", "relevance")] == [4, 1]


def judged(project: str, i: int, hour: float, version: str, value: float, model: str = "gpt-5") -> Score:
    at = T0 + round(hour * HOUR)
    return Score(
        project,
        f"{project}{i:030d}",
        "",
        "helpful",
        version,
        "judge",
        at,
        at + HOUR,
        judge_model=model,
        value=value,
    )


async def test_values_of_two_judges_are_never_in_one_point(
    columns: ClickHouseColumns, records: Records
) -> None:
    await columns.write_traces([a_trace(i, i / 10, "v1", None, "judges") for i in range(40)])
    # Hour 0: the old judge. Hour 1: mostly the new one. Hour 2: mostly the old one. Hour 3: both, all of them.
    scores = [judged("judges", i, i / 10, "1", 9.0) for i in (*range(10), *range(10, 13), *range(20, 40))]
    scores += [
        judged("judges", i, i / 10, "1", 5.0, "gpt-6") for i in (*range(13, 20), 20, 21, *range(30, 40))
    ]
    await columns.write_scores(scores)
    await Roller(columns, records, plan(helpful=TEN)).roll("judges", NOW)
    found = await points(columns, "judges", "helpful")
    assert [(p.version, p.n, p.swx / p.sw) for p in found] == [
        ("1 gpt-5", 10, 9.0),
        ("1 gpt-6", 7, 5.0),
        ("1 gpt-5", 10, 9.0),
        ("1 gpt-6", 10, 5.0),
    ]
    of_v1 = await points(columns, "judges", "helpful", "prompt_version=v1")
    assert [p.version for p in of_v1] == [p.version for p in found]
    assert {p.version for p in await points(columns, "judges", "latency_ms")} == {""}


async def test_a_series_whose_traces_moved_elsewhere_is_emptied(
    columns: ClickHouseColumns, records: Records
) -> None:
    roller = Roller(columns, records, plan())
    await columns.write_traces([a_trace(1, 1.5, None, 8, "moved")])
    await roller.roll("moved", NOW)
    assert len(await points(columns, "moved", "relevance", "prompt_version=unknown")) == 1
    await columns.write_traces([a_trace(1, 1.5, "v3", 8, "moved", assembled=T0 + 3 * HOUR)])
    done = await roller.roll("moved", NOW)
    assert done.gone > 0
    assert await points(columns, "moved", "relevance", "prompt_version=unknown") == []
    assert len(await points(columns, "moved", "relevance", "prompt_version=v3")) == 1


async def test_points_of_another_length_of_tick_are_emptied(
    columns: ClickHouseColumns, records: Records
) -> None:
    by_hour = plan()
    by_minutes = replace(by_hour, tick_ns=HOUR // 12)
    seen = 0

    async def rolled(some: RollPlan, hours: list[float]) -> list[tuple[float, int]]:
        nonlocal seen
        rows = [a_trace(seen + i, hour, "v1", 8.0, "lengths") for i, hour in enumerate(hours)]
        seen += len(rows)
        await columns.write_traces(rows)
        await Roller(columns, records, some).roll("lengths", NOW)
        found = await columns.read_points("lengths", T0, T0 + 90 * DAY, metric="latency_ms", cohort="")
        return [((p.end_ns - p.start_ns) / HOUR, p.n) for p in found if p.n]

    assert await rolled(by_hour, [0.1, 0.7, 5.5]) == [(1.0, 2), (1.0, 1)]
    assert await rolled(by_minutes, [5.6]) == [(1 / 12, 1)] * 4
    assert await rolled(by_hour, [5.7, 6.1]) == [(1.0, 2), (1.0, 3), (1.0, 1)]


async def test_a_tick_is_recomputed_when_something_in_it_changes_and_only_then(
    columns: ClickHouseColumns, records: Records
) -> None:
    roller = Roller(columns, records, plan())
    at = T0 + 3 * HOUR
    await columns.write_traces([a_trace(i, 1.5, "v1", 8, "quiet", assembled=at + i) for i in range(3)])
    assert [(await roller.roll("quiet", NOW)).ticks for _ in range(3)] == [1, 0, 0]
    # Dated before what was seen last, as a row is that took long to be written.
    await columns.write_traces([a_trace(7, 1.5, "v1", 8, "quiet", assembled=at)])
    await columns.write_traces([a_trace(1, 1.5, "v1", 3, "quiet", assembled=at + 2)])
    assert [(await roller.roll("quiet", NOW)).ticks for _ in range(2)] == [1, 0]
    (point,) = await points(columns, "quiet", "relevance")
    assert (point.n, point.swx) == (4, 27.0)
    await columns.write_scores([judged("quiet", 7, 1.5, "1", 4.0)])
    assert [(await roller.roll("quiet", NOW)).ticks for _ in range(2)] == [1, 0]
    # To another tick: the one that it left has to be told.
    await columns.write_traces([a_trace(7, 2.5, "v1", 8, "quiet", assembled=at + 9)])
    assert [(await roller.roll("quiet", NOW)).ticks for _ in range(2)] == [2, 0]
    assert [p.n for p in await points(columns, "quiet", "relevance")] == [3, 1]
    roller.plan = plan(other=TEN)
    assert [(await roller.roll("quiet", NOW)).ticks for _ in range(2)] == [2, 0]


async def test_a_trace_whose_first_span_came_hours_later_leaves_its_tick(
    columns: ClickHouseColumns, records: Records
) -> None:
    roller = Roller(columns, records, plan())
    first, other = (a_trace(i, 4.5, "v1", 8, "moves", assembled=T0 + 5 * HOUR + i) for i in range(2))
    await columns.write_traces([first, other])
    await roller.roll("moves", NOW)
    assert [p.n for p in await points(columns, "moves", "relevance")] == [2]
    # Its root began two hours before; by then the row that was rolled is older than any look, and merging takes it away.
    late = a_trace(0, 2.5, "v1", 8, "moves", assembled=T0 + 9 * HOUR)
    late.trace.spans.extend(first.trace.spans)
    late.again = True
    await columns.write_traces([late])
    columns._rows.run_now(lambda client: client.command("OPTIMIZE TABLE traces FINAL"))
    assert (await roller.roll("moves", NOW)).ticks == 2
    found = {p.start_ns: p.n for p in await points(columns, "moves", "relevance")}
    assert found == {T0 + 2 * HOUR: 1, T0 + 4 * HOUR: 1}


async def test_what_comes_for_a_day_whose_traces_were_dropped_does_not_take_the_place_of_its_series(
    columns: ClickHouseColumns, records: Records
) -> None:
    roller = Roller(columns, records, plan(), kept_ns=30 * DAY)
    await columns.write_traces([a_trace(i, 1.5, "v1", 8, "dropped", assembled=T0 + i) for i in range(5)])
    await roller.roll("dropped", NOW)
    last = T0 // DAY * DAY + 30 * DAY
    # Retention takes the day when this one is over; an import or a span from a full spool brings one trace of it afterwards.
    gone = "ALTER TABLE traces DELETE WHERE project = 'dropped' SETTINGS mutations_sync = 2"
    columns._rows.run_now(lambda client: client.command(gone))
    await columns.write_traces([a_trace(9, 1.5, "v1", 2, "dropped", assembled=last + DAY + 1)])
    assert (await roller.roll("dropped", last + DAY + 2)).ticks == 0
    assert [(p.n, p.swx) for p in await points(columns, "dropped", "relevance")] == [(5, 40.0)]
    roller.kept_ns = 31 * DAY
    assert (await roller.roll("dropped", last + DAY + 3)).ticks == 1


async def test_small_cohorts_share_one_series_and_keep_their_place(
    columns: ClickHouseColumns, records: Records
) -> None:
    base = plan()
    small = RollPlan(base.tick_ns, base.sets, base.axes, base.shares, keep=2)
    roller = Roller(columns, records, small)
    rows = [a_trace(i, 0.5, f"v{min(i % 7, 3)}", 8, "many") for i in range(70)]
    await columns.write_traces(rows)
    await roller.roll("many", NOW)
    sizes = {
        v: sum(p.n for p in await points(columns, "many", "relevance", f"prompt_version={v}"))
        for v in ("v3", "v0", "v1", "other")
    }
    assert sizes == {"v3": 40, "v0": 10, "v1": 0, "other": 20}
    # v1 grows: it is still part of `other`, because a series does not change its meaning from one tick to the next.
    await columns.write_traces([a_trace(100 + i, 3.5, "v1", 8, "many") for i in range(50)])
    await roller.roll("many", NOW)
    assert await points(columns, "many", "relevance", "prompt_version=v1") == []


async def test_the_values_of_two_weeks_are_counted_once_an_hour_and_new_ones_are_known_at_once(
    columns: ClickHouseColumns, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, asked, named = plan(), list[float](), columns.named

    async def counting(name: str, project: str, **params: Any) -> Table:
        if name == "roll_values":
            asked.append((params["until"] - params["since"]) / HOUR)
        return await named(name, project, **params)

    monkeypatch.setattr(columns, "named", counting)
    roller = Roller(columns, records, RollPlan(base.tick_ns, base.sets, base.axes, base.shares, keep=2))
    for i, version in enumerate(("v1", "v1", "v2", "v3", "v4")):
        await columns.write_traces([a_trace(i, 0.5, version, 8, "counted")])
        await roller.roll("counted", NOW)
    await columns.write_traces([a_trace(9, 1.5, "v2", 8, "counted")])
    await roller.roll("counted", NOW)
    assert asked == [14 * 24, 1, 1, 1, 1, 14 * 24]
    found = {
        v: sum(p.n for p in await points(columns, "counted", "relevance", f"prompt_version={v}"))
        for v in ("v1", "v2", "v3", "v4", "other")
    }
    assert found == {"v1": 2, "v2": 2, "v3": 0, "v4": 0, "other": 2}


async def test_a_trace_of_the_future_makes_no_tick(columns: ClickHouseColumns, records: Records) -> None:
    await columns.write_traces([a_trace(1, 10.5, "v1", 8, "soon")])
    done = await Roller(columns, records, plan()).roll("soon", T0 + 2 * HOUR)
    assert (done.ticks, done.points) == (0, 0)


async def test_a_scorer_nobody_described_gets_an_axis_and_another_when_it_outgrows_that(
    columns: ClickHouseColumns, records: Records
) -> None:
    bare = RollPlan(HOUR, (), {})
    roller = Roller(columns, records, bare)

    async def rolled(first: int, hour: float, values: list[float]) -> tuple[set[Axis], float]:
        written = T0 + int(hour + 1) * HOUR
        await columns.write_traces(
            [a_trace(first + i, hour, "v1", v, "guess", assembled=written) for i, v in enumerate(values)]
        )
        await roller.roll("guess", NOW)
        found = await points(columns, "guess", "relevance")
        # Every tick has the same axis, and the histogram holds all there is.
        assert all(sum(p.hist_w) == pytest.approx(p.sw) for p in found)
        return {p.axis for p in found}, sum(p.swx for p in found)

    assert await rolled(0, 0.5, [1.0] * 9) == ({BINARY}, 9.0)
    assert await rolled(20, 20.5, [4.0, 5.0, 1.0]) == ({FIVE}, 19.0)
    assert await rolled(30, 30.5, [3.0, 2.0]) == ({FIVE}, 24.0)
    assert await rolled(40, 40.5, [80.0]) == ({COUNT}, 104.0)
    assert await rolled(50, 50.5, [-30.0]) == ({Axis(-100.0, 100.0, 60)}, 74.0)
    again = Roller(columns, records, bare)
    assert (await again.roll("guess", NOW)).ticks == 1


@pytest.mark.parametrize(
    ("low", "high", "whole", "axis"),
    [
        (0, 1, True, BINARY),
        (0.1, 0.9, False, UNIT),
        (1, 5, True, FIVE),
        (0, 10, True, TEN),
        (0.5, 9.5, False, Axis(0.0, 10.0, 50)),
        (3, 4000, True, COUNT),
        (-2, 3, False, Axis(-5.0, 5.0, 60)),
        (-1, 0.4, False, Axis(-1.0, 1.0, 60)),
    ],
)
def test_an_axis_is_guessed_from_the_range(low: float, high: float, whole: bool, axis: Axis) -> None:
    assert guess_axis(low, high, whole) == axis


def test_a_plan_serves_its_monitors() -> None:
    monitors = [
        Monitor(
            "a", "share(relevance < 7) > 5%", "o", "r", window=15 * 60 * 10**9, by=("model", "prompt_version")
        ),
        Monitor("b", "shift(cost) = 'up'", "o", "r", where=(("scenario", "support"),), by=("region",)),
    ]
    made = RollPlan.of(monitors, sets=())
    assert made.tick_ns == 5 * 60 * 10**9
    assert made.sets == (("model", "prompt_version"), ("region", "scenario"), ("scenario",))
    assert [s.indicator for s in made.shares] == ["share(relevance < 7)"]
    assert set(DERIVED) >= {"latency_ms", "cost", "error_rate", "traces"}


async def test_the_worst_traces_of_a_scorer_called_as_a_fact_are_its_own(
    columns: ClickHouseColumns, records: Records
) -> None:
    rows = [a_trace(i, 0.5, "v1", None, "called") for i in range(4)]
    for value, row in enumerate(rows):
        own = Score("called", row.trace.trace_id, "", "cost", "1", "check", T0, T0, value=float(value))
        row.checks.append(own)
    await columns.write_traces(rows)
    await Roller(columns, records, plan()).roll("called", NOW)
    alert = Alert("a", "called", "m", {}, "firing", "warn", "o", "r", "c", T0)
    found = await worst_traces(columns, alert, metric_of("cost"), T0, T0 + HOUR, True, 2)
    assert [r["value"] for r in found] == [0.0, 1.0]
    costs = await worst_traces(columns, alert, "cost", T0, T0 + HOUR, True, 2)
    assert [r["value"] for r in costs] == [0.01, 0.01]
