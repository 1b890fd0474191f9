"""Queries written so that they read little answer what their plain forms do."""

import operator
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from starlette.requests import Request

from tests.unit.web.world import DEPLOY, HOUR, MS, NOW, PROJECT, World, build
from tests.unit.web.world import _span as span
from watchkeeper.dialects import assemble, normalise
from watchkeeper.model.errors import TRANSPORT
from watchkeeper.model.score import Score
from watchkeeper.model.series import BINARY, Estimate, Point, SeriesKey, empty
from watchkeeper.stats import estimates
from watchkeeper.store.clickhouse import queries
from watchkeeper.store.columns import TraceFilter, TraceRow
from watchkeeper.web import data
from watchkeeper.web.metrics import ERRED, Metric
from watchkeeper.web.pages.overview import health_stats, share_of
from watchkeeper.web.pages.quality import worst_of
from watchkeeper.web.pages.signals import _line as failure_line
from watchkeeper.web.view import TimeRange, View, view_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
DAY = 24 * HOUR
COHORT = dict.fromkeys(
    ("scenario", "prompt_name", "prompt_version", "model", "provider", "variant", "release", "service", "environment",
     "region", "agent_name"), "",
)  # fmt: skip
RANGE = "time >= fromUnixTimestamp64Nano({since:Int64}) AND time < fromUnixTimestamp64Nano({until:Int64})"
TRAFFIC = f"""
SELECT count(), countIf(errors > 0), quantileExactHigh(0.95)(duration_ms), count(ttft_ms), sum(cost), avg(cost), sum(input_tokens),
  toUnixTimestamp64Nano(max(time))
FROM traces FINAL WHERE project = {{project:String}} AND {RANGE} AND ({{scenario:String}} = '' OR scenario = {{scenario:String}})"""
COHORTS = f"""
SELECT pair.1 AS dimension, pair.2 AS value, count() AS n, countIf(has({{ids:Array(String)}}, trace_id)) AS k
FROM (
  SELECT trace_id, arrayJoin([('', ''), ('scenario', toString(scenario)), ('prompt_version', toString(prompt_version)),
    ('release', toString(release)), ('model', if(empty(models), NULL, toString(models[1]))), ('service', toString(service)),
    ('environment', toString(environment)), ('region', toString(region)), ('variant', toString(variant)),
    ('agent_name', toString(agent_name))]) AS pair
  FROM traces FINAL WHERE project = {{project:String}} AND {RANGE})
WHERE isNotNull(pair.2) GROUP BY dimension, value HAVING k > 0"""
VERDICTS = f"""
SELECT intDiv(toUnixTimestamp64Nano(time) - {{since:Int64}}, {{step:Int64}}) AS stretch, count() AS n,
  sum(if({{has_cut:Bool}}, c.3 >= {{cut:Float64}}, c.4)) AS good, sum(c.3) AS total, count(c.3) AS measured
FROM traces FINAL ARRAY JOIN arrayZip(checks.scorer, checks.version, checks.value, checks.passed) AS c
WHERE project = {{project:String}} AND c.1 = {{scorer:String}} AND c.2 = {{version:String}} AND {RANGE}
  AND isNotNull(if({{has_cut:Bool}}, toFloat64(c.3 >= {{cut:Float64}}), toFloat64(c.4)))
GROUP BY stretch ORDER BY stretch"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await build(tmp_path_factory.mktemp("world"), 500, seed=5)
    # A judge's opinion stores a trace's row once more: some rows are replaced ones.
    judged = random.Random(1).sample(made.trace_ids, 60)
    await made.columns.write_scores(
        [
            Score(PROJECT, i, "", "opinion", "1", "judge", NOW - DAY, NOW, value=n / 60)
            for n, i in enumerate(judged)
        ]
    )
    # What people label is in no sum.
    said = [Score(PROJECT, i, "", "human", "1", "human", NOW - DAY, NOW, value=0.0) for i in judged]
    await made.columns.settle_scores(PROJECT, "human", judged, said)
    # An answer that a check found wrong, in a session of its own, before everything that is rolled.
    call = span(
        "a" * 32,
        1,
        None,
        "answer",
        (NOW - 19 * DAY, NOW - 19 * DAY + MS),
        {"gen_ai.conversation.id": "conv-wrong"},
    )
    wrong = msgspec.structs.replace(assemble([normalise(call)], []), error_class="invalid_output")
    await made.columns.write_traces([TraceRow(PROJECT, wrong, [], 1.0, "all", NOW - 19 * DAY)])
    yield made
    await made.close()


async def plain(world: World, statement: str, **bound: Any) -> list[list[Any]]:
    """The answer to a statement that is no named query."""
    bound["project"] = PROJECT
    return await world.columns._readers.run(
        lambda client: [list(r) for r in client.query(statement, parameters=bound).result_rows]
    )


async def named(world: World, name: str, **params: Any) -> list[list[Any]]:
    wanted = queries.load()[name].parameters
    return (
        await world.columns.named(
            name, PROJECT, **{k: v for k, v in {**COHORT, **params}.items() if k in wanted and k != "project"}
        )
    ).rows


def view(world: World, cohort: str = "", length: str = "") -> View:
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/", "query_string": f"cohort={cohort}{length and f'&range={length}'}".encode(), "headers": [],
        "server": ("127.0.0.1", 80), "scheme": "http",
    }  # fmt: skip
    call: Any = SimpleNamespace(
        request=Request(scope), services=world.services, project=PROJECT, sees_content=True
    )
    return view_of(call)


@pytest.mark.parametrize("cohort", ["", "prompt_version%3Dv2", "region%3Deu-west-1", "scenario%3Dnone"])
async def test_several_ranges_at_once_have_the_sums_each_has_alone(world: World, cohort: str) -> None:
    shown = view(world, cohort)
    at = DEPLOY // HOUR * HOUR
    ranges = [
        TimeRange(at - DAY, at, "", ""), TimeRange(at, at + DAY, "", ""), TimeRange(at - 3 * HOUR, at + 5 * HOUR, "", ""),
        TimeRange(NOW - 90 * DAY, NOW - 80 * DAY, "", ""), TimeRange(at - 9 * DAY, NOW, "", ""),
    ]  # fmt: skip
    each = await data.sums_each(shown, ranges)
    for wanted, found in zip(ranges, each, strict=True):
        alone = await data.sums(shown, wanted, data.YEAR)
        assert found.keys() == alone.keys()
        for metric, rows in alone.items():
            one, other = data.add(found[metric]), data.add(rows)
            assert one.pop("axis", None) == other.pop("axis", None)
            assert one == pytest.approx(other, rel=1e-9)
    assert bool(each[4]) == (cohort != "scenario%3Dnone") and not each[3]
    assert await data.sums_each(shown, []) == []


@pytest.mark.parametrize("cohort", ["", "prompt_version%3Dv2"])
@pytest.mark.parametrize("metric", ["answer_relevance", "has_steps", "latency_ms", "no_such"])
async def test_a_spread_is_that_of_the_traces(world: World, metric: str, cohort: str) -> None:
    shown = view(world, f"{cohort}&range=3d")
    found = await data.spread(shown, metric)
    column = {"latency_ms": "duration_ms"}.get(
        metric, f"if(mapContains(scores, '{metric}'), scores['{metric}'], NULL)"
    )
    conditions = f"{RANGE} AND ({{version:String}} = '' OR prompt_version = {{version:String}}) AND isNotNull({column})"
    statement = f"SELECT {column} FROM traces FINAL WHERE project = {{project:String}} AND {conditions}"
    values = [row[0] for row in await plain(world, statement, version=cohort[-2:], **data.span(shown.range))]
    assert bool(values) == (found is not None) == (metric != "no_such")
    if found is not None:
        held = Counter(bisect_left(found.edges, v) for v in values)
        assert found.now == pytest.approx([held[i] / len(values) for i in range(len(found.edges) + 1)])
        assert bool(found.then) == (not cohort), "the version was not there before"


async def test_traffic_is_read_once_for_its_whole_its_buckets_and_its_scenarios(world: World) -> None:
    shown = view(world, "&range=3d")
    parts = await data.traffic(shown, NOW - 6 * DAY)
    names = ("n", "bad", "p95", "ttft_n", "cost_sum", "cost_mean", "tokens_in", "latest")

    async def same(row: Any, since: int, until: int, scenario: str = "") -> None:
        (wanted,) = await plain(world, TRAFFIC, since=since, until=until, scenario=scenario)
        assert [row[name] for name in names] == pytest.approx(wanted)

    now, step = shown.range, shown.range.bucket * 10**9
    assert [(r["current"], r["start"], r["name"]) for r in parts["whole"]] == [(0, 0, ""), (1, 0, "")]
    await same(parts["whole"][0], NOW - 6 * DAY, now.since_ns)
    await same(parts["whole"][1], now.since_ns, now.until_ns)
    assert (
        sum(r["n"] for r in parts["bucket"])
        == sum(r["n"] for r in parts["scenario"])
        == parts["whole"][1]["n"]
    )
    middle = parts["bucket"][len(parts["bucket"]) // 2]
    await same(middle, middle["start"], middle["start"] + step)
    assert {r["name"] for r in parts["scenario"]} == {"customer-support", "order-status"}
    for row in parts["scenario"]:
        await same(row, now.since_ns, now.until_ns, row["name"])
    listed = (
        await world.columns.named("page_failures", PROJECT, before=NOW - 6 * DAY, **COHORT, **data.span(now))
    ).dicts()
    told = [
        {k: v for k, v in row.items() if k not in ("example", "stored", "stored_before")} for row in listed
    ]
    every = {"family": "", "name": "", "n": parts["whole"][1]["n"], "n_before": parts["whole"][0]["n"]}
    assert every.items() <= told[0].items()
    by_name = operator.itemgetter("family", "name")
    assert sorted(data.failures(parts["whole"]), key=by_name) == sorted(told[1:], key=by_name)
    assert {row["family"] for row in told[1:]} == {"check", "class"} and any(
        row["n_before"] for row in told[1:]
    )
    assert not any((await data.traffic(view(world, "scenario%3Dnone"), NOW - 6 * DAY)).values())


async def test_traces_of_which_a_share_was_kept_stand_for_the_others(world: World) -> None:
    """Of 400 traces every 20th failed and all of those are there, of the others every 5th: pages tell of the 400."""
    when, rows = NOW - 25 * DAY, list[TraceRow]()
    for i in range(400):
        failed = i % 20 == 0
        if not failed and i % 5 != 1:
            continue
        call = span(f"{i:032x}", 1, None, "answer", (when + i * MS, when + (2 * i + 1) * MS), {})
        trace = assemble([normalise(call)], [])
        trace = msgspec.structs.replace(
            trace,
            error_class="timeout" if failed else None,
            context=msgspec.structs.replace(trace.context, scenario="thinned"),
        )
        rows.append(TraceRow(PROJECT, trace, [], 1.0, "all", when, kept=1.0 if failed else 0.2))
    kept = len(rows)
    await world.columns.write_traces(rows)
    shown = replace(view(world, "scenario%3Dthinned"), range=TimeRange(when - HOUR, when + HOUR, "", ""))
    whole = (await data.traffic(shown, when - 2 * HOUR))["whole"]
    (row,) = whole
    weight = 20 + 5 * (kept - 20)
    assert (row["n"], row["n_w"], row["bad"]) == (kept, pytest.approx(weight), 20)
    volume, errors, p95, _ = health_stats(shown, whole, [])
    assert volume.value.value == pytest.approx(weight) and volume.value.spread == pytest.approx(
        1.96 * (20 * (kept - 20)) ** 0.5, rel=1e-3
    )
    wanted = estimates.rate([i < 20 for i in range(kept)], [1.0] * 20 + [0.2] * (kept - 20))
    assert isinstance(wanted, Estimate)
    assert (errors.value.value, errors.value.low, errors.value.high) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )
    # The share of a failure is told as the errors are.
    (timeouts,) = data.failures(whole)
    share = share_of(timeouts, row)
    assert (share.value, share.low, share.high) == pytest.approx((wanted.value, wanted.low, wanted.high))
    durations = [one.trace.duration_ms or 0.0 for one in rows]
    exact = estimates.quantile(durations, 0.95, [one.kept for one in rows])
    assert isinstance(exact, Estimate) and p95.value.value == exact.value
    assert p95.value.low is not None and p95.value.low < exact.value < (p95.value.high or 0)
    bound = {"before": when - 2 * HOUR, **data.span(shown.range), **COHORT, "scenario": "thinned"}
    every, *lines = (await world.columns.named("page_failures", PROJECT, **bound)).dicts()
    (line,) = (one for one in lines if one["family"] == "class")
    assert (every["n"], every["stored"], line["n"]) == (pytest.approx(weight), kept, 20)
    share = failure_line(line, every)["share"]
    assert (share.value, share.low, share.high) == (errors.value.value, errors.value.low, errors.value.high)


async def test_an_error_is_the_same_on_every_page(world: World) -> None:
    """A session's errors and the list of traces that the number of errors leads to: an answer that a check finds wrong is none."""
    for name in ("page_traffic", "page_groups"):
        classes = ", ".join(f"'{c}'" for c in sorted(TRANSPORT))
        assert f"ifNull(error_class, '') IN ({classes})" in queries.load()[name].sql
    bound = {"since": NOW - 20 * DAY, "until": NOW + HOUR}
    said = await plain(
        world,
        f"SELECT session_id, countIf({ERRED}), countIf(isNotNull(error_class)) FROM traces FINAL "
        f"WHERE project = {{project:String}} AND {RANGE} GROUP BY session_id",
        **bound,
    )
    more = {
        "scorer": "",
        "sign": 1,
        "user": "",
        "by": "session",
        "before_ns": 0,
        "before_key": "",
        "most": 500,
    }
    found = await named(world, "page_groups", **bound, **more)
    assert {row[0]: row[8] for row in found} == {row[0]: row[1] for row in said}
    assert any(row[1] for row in said) and any(row[2] > row[1] for row in said)
    wanted = TraceFilter(since_ns=bound["since"], until_ns=bound["until"], where=ERRED)
    bars = await world.columns.tally(PROJECT, wanted, 86_400)
    assert sum(n for _, n, _ in bars) == sum(bad for _, _, bad in bars) == sum(row[1] for row in said)


async def test_a_project_has_a_last_trace_or_none(world: World) -> None:
    (latest,) = await plain(
        world, "SELECT toUnixTimestamp64Nano(max(time)) FROM traces WHERE project = {project:String}"
    )
    assert await named(world, "page_last_trace") == [[1, *latest]]
    assert (await world.columns.named("page_last_trace", "nobody")).rows == []


async def test_the_cohorts_of_a_signal_are_counted_trace_by_trace(world: World) -> None:
    bound = {"ids": [*world.trace_ids[::7], *world.worst[:40]], "since": NOW - 12 * DAY, "until": NOW}
    found, wanted = await named(world, "signals_cohorts", **bound), await plain(world, COHORTS, **bound)
    assert sorted(found) == sorted(wanted) and len(found) > 4
    assert [(row[0], -row[3]) for row in found] == sorted((row[0], -row[3]) for row in found)


@pytest.mark.parametrize(
    ("scorer", "cut"), [("answer_relevance", 8.0), ("has_steps", None), ("no_such", None)]
)
async def test_the_verdicts_of_a_window_are_those_of_each_check(
    world: World, scorer: str, cut: float | None
) -> None:
    bound = {
        "scorer": scorer, "version": "9f31c2ab77", "judge_model": "", "since": NOW - 12 * DAY, "until": NOW,
        "step": 3 * DAY, "has_cut": cut is not None, "cut": cut or 0.0,
    }  # fmt: skip
    found = await named(world, "calibration_window", **bound)
    short = [[row[0], row[1], row[4], row[6], row[10]] for row in found]
    wanted = await plain(world, VERDICTS, **bound)
    assert [row[:2] for row in short] == [row[:2] for row in wanted]
    for one, other in zip(short, wanted, strict=True):
        assert one == pytest.approx(other)
    assert bool(found) == (scorer != "no_such")


async def test_of_several_tick_lengths_the_finest_of_the_range_counts(world: World) -> None:
    at = NOW // DAY * DAY

    def tick(start: int, length: int, n: int) -> Point:
        key = SeriesKey(PROJECT, "passed", (("prompt_name", "many"),))
        return Point(key, start, start + length, BINARY, n, n, n, n, n, n, n, (0.0, n), (0.0, n))

    shown, now = view(world, "prompt_name%3Dmany"), TimeRange(at, at + DAY, "", "")

    async def counted() -> list[tuple[bool, int]]:
        each = [await data.sums(shown, now, data.YEAR, metric, at - DAY) for metric in ("", "passed")]
        found = [[(bool(r["start"]), int(r["n"])) for r in one["passed"]] for one in each]
        assert found[0] == found[1]
        return found[0]

    await world.columns.write_points([tick(at - 2 * HOUR, HOUR, 5), tick(at - 2 * HOUR, HOUR // 2, 3)])
    assert await counted() == [(False, 3)], "both lengths cover it: added they would count twice"
    await world.columns.write_points([tick(at + HOUR, HOUR, 7), tick(at + HOUR, HOUR // 2, 4)])
    assert await counted() == [(False, 3), (True, 4)]
    within = {"before": at - DAY, **data.span(now)}
    found = await data.rows(
        shown, "page_cohort_points", metric="passed", dimension="prompt_name", bucket=data.YEAR, **within
    )
    assert [(bool(r["start"]), r["n"]) for r in found] == [(False, 3), (True, 4)]
    held = await data.rows(shown, "page_spread", metric="passed", cohort=shown.cohort_text, **within)
    assert [(r["current"], sum(r["held"])) for r in held] == [(0, 3), (1, 4)]
    emptied = [
        empty(one.key, one.start_ns, one.end_ns, BINARY)
        for one in (tick(at - 2 * HOUR, HOUR // 2, 0), tick(at + HOUR, HOUR // 2, 0))
    ]
    await world.columns.write_points([*emptied, tick(at + 5 * HOUR, HOUR, 2)])
    assert await counted() == [(False, 5), (True, 9)], "what is emptied is no length to read"


async def test_what_people_label_is_in_no_sum_of_a_cohort_that_is_not_rolled(world: World) -> None:
    whole = {"since": NOW - 30 * DAY, "until": NOW, "before": NOW - 60 * DAY, "bucket": 86_400, "metric": ""}
    found = {str(row[0]) for row in await named(world, "page_scores", **whole)}
    assert "opinion" in found and "human" not in found


async def test_the_turns_of_a_session_are_those_whose_latest_version_is_in_it(world: World) -> None:
    ((session, _),) = await plain(
        world,
        "SELECT session_id, count() AS n FROM traces FINAL WHERE project = {project:String} GROUP BY session_id"
        " HAVING n > 1 ORDER BY n LIMIT 1",
    )
    turns = [row[0] for row in await named(world, "page_session", session=session)]
    await world.columns._rows.run(
        lambda client: client.command(
            "INSERT INTO traces SELECT * REPLACE ('elsewhere' AS session_id, assembled_at + 1 AS assembled_at)"
            " FROM traces FINAL WHERE trace_id = {id:String}",
            parameters={"id": turns[0]},
        )
    )
    for name in ("page_session", "page_turns"):
        assert [row[0] for row in await named(world, name, session=session, most=9)] == turns[1:]
        assert [row[0] for row in await named(world, name, session="elsewhere", most=9)] == turns[:1]


@pytest.mark.parametrize(("better", "wanted"), [(1, [0, 1, 2]), (-1, [59, 58, 57])])
async def test_the_worst_of_a_scorer_are_its_lowest_or_where_less_is_better_its_highest(
    world: World, better: int, wanted: list[int]
) -> None:
    metric = Metric("opinion", "opinion", "", better, False)
    found = await worst_of(view(world, length="30d"), "opinion", metric, 0.5, 3)
    assert [round(row["value"] * 60) for row in found] == wanted


async def test_of_what_is_as_good_as_can_be_no_worst_is_read(world: World) -> None:
    share = Metric("opinion", "opinion", "share", 1, False)
    assert await worst_of(view(world, length="30d"), "opinion", share, 1.0, 3) == []
    assert await worst_of(view(world, length="30d"), "", share, None, 3) == []
    trouble = await worst_of(view(world, length="30d"), "opinion", replace(share, better=-1), 0.5, 60)
    assert len(trouble) == 59 and all(row["value"] > 0 for row in trouble)


async def test_the_worst_turn_of_a_session_is_its_lowest_or_with_a_sign_its_highest(world: World) -> None:
    bound = {
        "since": NOW - 20 * DAY,
        "until": NOW + HOUR,
        "scorer": "opinion",
        "user": "",
        "by": "session",
        "before_ns": 0,
        "before_key": "",
    }
    said = await plain(
        world,
        "SELECT session_id, min(scores['opinion']), max(scores['opinion']) FROM traces FINAL WHERE project = {project:String} "
        f"AND mapContains(scores, 'opinion') AND {RANGE} GROUP BY session_id",
        **bound,
    )
    assert any(low < high for _, low, high in said)
    for place, sign in ((1, 1), (2, -1)):
        found = await named(world, "page_groups", sign=sign, most=500, **bound)
        assert {row[0]: row[11] for row in found if row[11] is not None} == pytest.approx(
            {row[0]: row[place] for row in said}
        )
