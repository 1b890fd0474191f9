"""A scorer over history: its cost first, exactly one score a key, resumable after anything, and a sample when it is limited."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.columns import empty_columns
from tests.contract.columns_world import raw
from tests.unit.pipeline.doubles import until_idle
from watchkeeper.config.models import Metric, Sample, Scorecard
from watchkeeper.dialects import assemble, normalise
from watchkeeper.llm.fake import FakeProvider
from watchkeeper.model.backfill import Backfill
from watchkeeper.model.score import Score, Subject
from watchkeeper.pipeline.backfill import BackfillFlow
from watchkeeper.pipeline.judge import JudgeFlow
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.pipeline.reading import turns_before
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.scoring.sampling import Sampler
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import QueryRefused, SpanRow, TraceRow
from watchkeeper.store.records import backfills, jobs, migrate
from watchkeeper.store.records.engine import Records

HOUR = 3600 * 10**9
NOW = 1_780_000_000 * 10**9
JUDGE = {
    "name": "quality",
    "type": "llm_judge",
    "model": "fake:j",
    "prompt": "How good?",
    "unit_cost": "0.001 USD",
}
WORDS = {"name": "words", "type": "length", "max": 5}


class World:
    """Sixty stored traces of the last ten hours, one judge, one check that did not exist then."""

    def __init__(self, columns: ClickHouseColumns, records: Records) -> None:
        self.columns, self.records, self.now = columns, records, NOW
        self.provider = FakeProvider()
        self.use(JUDGE, WORDS)
        self.nonces = itertools.count()

    def use(self, *metrics: dict[str, Any]) -> None:
        card = Scorecard(name="c", sample=Sample(rate=0.0001), metrics=tuple(Metric(**m) for m in metrics))
        self.plan = make_plan([card], salt="s")

    async def fill(self, n: int = 60) -> list[str]:
        ids = [f"{i + 1:032x}" for i in range(n)]
        spans = []
        rows = []
        for i, trace_id in enumerate(ids):
            start = NOW - 10 * HOUR + i * HOUR // 60
            attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "watchkeeper.input": f"question {i}",
                          "watchkeeper.output": f"answer {i}", "watchkeeper.scenario": "even" if i % 2 == 0 else "odd"}  # fmt: skip
            record = raw(trace_id, start=start, **attributes)
            span = normalise(record)
            spans.append(SpanRow("p", span, NOW))
            rows.append(TraceRow("p", assemble([span], []), [], 1.0, "all", NOW))
        await self.columns.write_spans(spans, [])
        await self.columns.write_traces(rows)
        return ids

    def flow(self) -> BackfillFlow:
        return BackfillFlow(
            self.columns, self.records, lambda _: self.plan, Sampler([], "s").u, lambda: self.now
        )

    def judging(self, ask: Any = None) -> JudgeFlow:
        async def load(project: str, trace_id: str, _span: str) -> Subject | None:
            raws, logs = await self.columns.read_trace(project, trace_id)
            return Subject(assemble([normalise(r) for r in raws], logs)) if raws else None

        return JudgeFlow(
            self.records, self.columns, ask or self.provider.ask, load, lambda _: self.plan, lambda: self.now,
            worker="w", roll=lambda: 0.5, nonce=lambda: f"n{next(self.nonces)}", poll_s=0.005,
        )  # fmt: skip

    async def asked(self, scorer: str | None = "quality", **more: Any) -> Backfill:
        given: dict[str, Any] = {
            "scorecard": None, "since_ns": NOW - 24 * HOUR, "until_ns": NOW, "where": None, "limit": None,
            "budget": None, "author": "ann", **more,
        }  # fmt: skip
        return await self.flow().asked("p", scorer=scorer, **given)

    async def begin(self, scorer: str = "quality", **more: Any) -> str:
        made = await self.asked(scorer, **more)
        await self.flow().start(made)
        return made.id

    async def get(self, backfill_id: str) -> Backfill:
        found = await self.records.read(lambda c: backfills.get(c, "p", backfill_id))
        assert found is not None
        return found

    async def finish(self, backfill_id: str) -> Backfill:
        for _ in range(20):
            await self.flow().run_once()
            await until_idle(self.judging())
            if (await self.get(backfill_id)).state != "running":
                break
        return await self.get(backfill_id)

    async def scores(self, scorer: str, ids: list[str]) -> dict[str, Score]:
        found = await self.columns.read_scores("p", ids)
        mine = [s for s in found if s.scorer == scorer]
        assert len({s.trace_id for s in mine}) == len(mine), "one score a key"
        return {s.trace_id: s for s in mine}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = open_columns(empty_columns(tmp_path / "c"), clock=lambda: NOW)
    records = Records(f"sqlite:///{tmp_path}/r.db")
    migrate.upgrade(records)
    yield World(store, records)
    store.close_now()
    records.close()


async def test_the_cost_is_shown_before_anything_happens(world: World) -> None:
    await world.fill()
    preview = (await world.asked()).preview
    assert preview is not None
    assert (preview.traces, preview.chosen, preview.calls, preview.probability) == (60, 60, 60, 1.0)
    assert preview.cost == pytest.approx(0.06) and preview.pricing_version and preview.input_tokens > 60 * 100
    half = (await world.asked(where="scenario = 'even'", limit=10)).preview
    assert half is not None and (half.traces, half.chosen, half.calls) == (30, 10, 10)
    free = (await world.asked("words")).preview
    assert free is not None and (free.calls, free.cost, free.traces) == (0, 0.0, 60)
    assert world.provider.replies == 0 and await world.records.read(lambda c: backfills.listing(c, "p")) == []


async def test_a_judge_scores_all_of_history_once(world: World) -> None:
    ids = await world.fill()
    done = await world.finish(await world.begin())
    assert (done.state, done.seen, done.chosen, done.queued, done.gone) == ("done", 60, 60, 60, 0)
    scores = await world.scores("quality", ids)
    assert len(scores) == 60 and {s.inclusion_probability for s in scores.values()} == {1.0}
    assert scores[ids[0]].policy.startswith(f"backfill:{done.id}@")
    spent = await world.records.read(lambda c: backfills.spent(c, "p", done.id))
    assert (spent.done, spent.waiting, spent.calls) == (60, 0, 60) and spent.cost == pytest.approx(0.06)
    again = await world.finish(await world.begin())
    assert (again.queued, again.state) == (0, "done") and world.provider.replies == 60


async def test_a_new_check_scores_history_for_nothing_and_its_ticks_are_rolled(world: World) -> None:
    ids = await world.fill()
    roller = Roller(world.columns, world.records, RollPlan())
    await roller.roll("p", NOW)
    done = await world.finish(await world.begin("words", where="scenario = 'odd'"))
    assert (done.state, done.scored, done.queued) == ("done", 30, 0)
    scores = await world.scores("words", ids)
    assert len(scores) == 30 and {s.source for s in scores.values()} == {"check"}
    world.now += HOUR
    await roller.roll("p", world.now)
    points = await world.columns.read_points("p", 0, NOW, metric="words", cohort="")
    assert sum(p.n for p in points) == 30
    covered = (await world.columns.sql("p", "select count() from traces where words is not null")).rows
    assert covered == [[30]]


async def test_a_limit_is_exact_and_makes_a_sample_with_its_probability(world: World) -> None:
    ids = await world.fill()
    done = await world.finish(await world.begin(limit=12))
    scores = await world.scores("quality", ids)
    place = Sampler([], "s").u
    smallest = sorted(place(i) for i in ids)
    assert len(scores) == 12 and {place(i) for i in scores} == set(smallest[:12])
    assert done.threshold == smallest[12] and {s.inclusion_probability for s in scores.values()} == {
        smallest[12]
    }
    more = await world.finish(await world.begin())
    assert (more.queued, more.raised) == (48, 12) and world.provider.replies == 60
    assert {s.inclusion_probability for s in (await world.scores("quality", ids)).values()} == {1.0}


async def test_a_crash_anywhere_is_taken_up_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = await world.fill(250)
    started = await world.begin()
    real = world.columns.write_coverage
    calls = 0

    async def dying(rows: list[dict[str, Any]]) -> None:
        nonlocal calls
        calls += 1
        if calls in (1, 2):
            raise asyncio.CancelledError
        await real(rows)

    monkeypatch.setattr(world.columns, "write_coverage", dying)
    for _ in range(2):
        with pytest.raises(asyncio.CancelledError):
            await world.flow().run_once()
    done = await world.finish(started)
    assert (done.state, done.seen, done.queued) == ("done", 250, 250)
    assert len(await world.scores("quality", ids)) == 250 and world.provider.replies == 250


async def test_a_run_pauses_resumes_and_is_cancelled(world: World) -> None:
    ids = await world.fill()
    started = await world.begin()
    await world.flow().run_once(steps=1)
    await world.flow().change("p", started, "pause")
    await until_idle(world.judging())
    assert world.provider.replies == 0 and await world.flow().run_once() is False
    assert (await world.get(started)).state == "paused"
    await world.flow().change("p", started, "resume")
    done = await world.finish(started)
    assert done.state == "done" and len(await world.scores("quality", ids)) == 60
    with pytest.raises(Refused, match="is done"):
        await world.flow().change("p", started, "pause")
    assert await world.flow().change("p", "bf_none", "pause") is None
    world.use({**JUDGE, "prompt": "Another question?"})
    other = await world.begin()
    await world.flow().run_once(steps=1)
    await world.flow().change("p", other, "cancel")
    await until_idle(world.judging())
    assert (await world.get(other)).state == "cancelled" and world.provider.replies == 60


async def test_its_own_budget_is_never_passed_and_the_run_pauses(world: World) -> None:
    await world.fill()
    started = await world.begin(budget=0.0205)
    paused = await world.finish(started)
    assert paused.state == "paused" and "budget is spent" in str(paused.reason)
    spent = await world.records.read(lambda c: backfills.spent(c, "p", started))
    assert spent.calls == 20 and spent.cost <= 0.0205 and spent.held == spent.waiting == 40


async def test_a_scorer_that_changed_meanwhile_pauses_the_run(world: World) -> None:
    await world.fill()
    started = await world.begin()
    world.use({**JUDGE, "prompt": "Another question?"})
    await world.flow().run_once()
    found = await world.get(started)
    assert found.state == "paused" and "quality" in str(found.reason)


async def test_what_cannot_be_run_is_said_with_what_can(world: World) -> None:
    with pytest.raises(Refused, match=r"no scorer 'qualty'; the project has .*quality"):
        await world.asked("qualty")
    with pytest.raises(Refused, match="no scorecard 'x' with judges; the project has c"):
        await world.asked(None, scorecard="x")
    with pytest.raises(Refused, match="since"):
        await world.asked(since_ns=NOW + 1)
    with pytest.raises(Refused, match="limit"):
        await world.asked(limit=0)
    with pytest.raises(QueryRefused):
        await world.asked(where="drop table x")
    assert (await world.asked(None, scorecard="c")).scorers == {
        "quality": world.plan.judges["quality"].version
    }


async def test_an_outage_of_the_provider_only_delays(world: World) -> None:
    ids = await world.fill(5)
    started = await world.begin()
    await world.flow().run_once()
    world.provider.switch("500", "ok")
    await until_idle(world.judging())
    world.now += HOUR
    done = await world.finish(started)
    assert done.state == "done" and len(await world.scores("quality", ids)) == 5


async def test_live_judgements_go_before_those_of_a_run(world: World) -> None:
    await world.fill(3)
    await world.begin()
    await world.flow().run_once()
    live = jobs.NewJob("judge:live", "p", "judge", {}, world.now)
    await world.records.write(lambda c: jobs.add(c, [live], world.now))
    first = await world.records.write(lambda c: jobs.claim(c, "judge", "w", world.now, 1, 10))
    assert [j.key for j in first] == ["judge:live"]


async def test_a_session_judge_is_shown_the_earlier_turns(world: World) -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.conversation.id": "s1"}
    made = []
    for i in range(4):
        record = raw(
            f"{i + 500:032x}",
            start=NOW - HOUR + i * HOUR // 10,
            **attributes,
            **{"watchkeeper.input": f"turn {i}"},
        )
        trace = assemble([normalise(record)], [])
        await world.columns.write_spans([SpanRow("p", normalise(record), NOW)], [])
        await world.columns.write_traces([TraceRow("p", trace, [], 1.0, "all", NOW)])
        made.append(trace)
    earlier = await turns_before(world.columns, "p", made[3])
    assert [t.input_text for t in earlier] == ["turn 0", "turn 1", "turn 2"]
    assert [t.input_text for t in await turns_before(world.columns, "p", made[3], most=2)] == [
        "turn 1",
        "turn 2",
    ]
    assert await turns_before(world.columns, "p", made[0]) == []
