"""The judge loop against a provider that misbehaves in every way."""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.pipeline.doubles import MemoryColumns, until_idle
from tests.unit.scoring.build import trace
from watchkeeper.llm.fake import FakeProvider
from watchkeeper.model.score import Subject
from watchkeeper.model.times import DAY
from watchkeeper.pipeline.backoff import backoff_ns
from watchkeeper.pipeline.check import CheckFlow
from watchkeeper.pipeline.judge import JudgeFlow
from watchkeeper.pipeline.judge_jobs import again
from watchkeeper.pipeline.plan import Card, Plan
from watchkeeper.scoring.budget import Budget
from watchkeeper.scoring.judges.rubric import Dimension, Rubric, RubricJudge
from watchkeeper.scoring.sampling import Policy, Sampler
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records import jobs, tables
from watchkeeper.store.records.engine import Records

SECOND = 10**9
RUBRIC = Rubric("quality", "", (Dimension("quality", "How good?"),), needs=("output",))
JUDGE = RubricJudge(rubric=RUBRIC, model="fake:judge-1", unit_cost=0.001)


class World:
    """A queue full of judgements, a clock that only tests move, one provider."""

    def __init__(self, records: Records, *, budget: Budget | None = None, judge: RubricJudge = JUDGE) -> None:
        self.records, self.columns = records, MemoryColumns()
        self.now = 20_000 * DAY
        self.provider = FakeProvider(hang_s=0.001)
        card = Card(
            "card",
            (judge,),
            Sampler([Policy("all", 0.5, has="scenario"), Policy("rest", 1.0)], "s"),
            budget=budget,
        )
        self.plan = Plan((), (card,), {judge.name: judge})
        self.traces: dict[str, Any] = {}
        self._nonces = itertools.count()
        self.workers = itertools.count()

    def clock(self) -> int:
        return self.now

    async def load(self, _project: str, trace_id: str, _span_id: str) -> Subject | None:
        found = self.traces.get(trace_id)
        return Subject(found) if found is not None else None

    async def queue(self, n: int, same: bool = False, project: str = "p") -> None:
        made = [trace("q", "a" if same else f"answer {i}", trace_id=f"{i:032x}") for i in range(n)]
        self.traces |= {t.trace_id: t for t in made}
        # All of them are chosen: a budget that is known when they come would thin them.
        cards = tuple(replace(card, budget=None) for card in self.plan.cards)
        chosen = replace(self.plan, cards=cards)
        flow = CheckFlow(self.columns, self.records, self.clock, lambda _: chosen)  # type: ignore[arg-type]
        await flow.on_traces([(project, t) for t in made])
        flow.close()

    def flow(self, **more: Any) -> JudgeFlow:
        settings: dict[str, Any] = {
            "worker": f"w{next(self.workers)}",
            "roll": lambda: 0.5,
            "nonce": lambda: f"n{next(self._nonces)}",
            "poll_s": 0.005,
            "lease_ns": 60 * SECOND,
        }
        return JudgeFlow(
            self.records,
            self.columns,
            self.provider.ask,
            self.load,
            lambda _: self.plan,
            self.clock,
            **{**settings, **more},  # type: ignore[arg-type]
        )

    async def work(self, **more: Any) -> JudgeFlow:
        flow = self.flow(**more)
        await until_idle(flow)
        return flow

    async def work_until_done(self, rounds: int = 60, **more: Any) -> None:
        """Work, and let ten minutes pass, until nothing waits."""
        for _ in range(rounds):
            await self.work(**more)
            if self.depth().waiting == 0:
                return
            self.now += 600 * SECOND
        raise AssertionError(f"still waiting: {self.depth()}")

    def depth(self) -> jobs.Depth:
        return self.records.read_now(lambda c: jobs.depth(c, self.now))


@pytest.fixture
def world(records: Records) -> World:
    return World(records)


async def test_every_queued_trace_is_scored_once_with_its_probability_and_cost(world: World) -> None:
    await world.queue(30)
    flow = await world.work()
    assert len(world.columns.scores) == world.columns.score_writes == world.provider.replies == 30
    score = next(iter(world.columns.scores.values()))
    assert (score.scorer, score.source, score.judge_model, score.value) == (
        "quality",
        "judge",
        "fake:judge-1",
        7.0,
    )
    assert score.inclusion_probability == 1.0 and score.cost == 0.001 and score.policy.startswith("rest@")
    assert flow.counts.claimed == flow.counts.scored == 30
    assert world.columns.covered("quality") == {
        "eligible": 30,
        "selected": 30,
        "scored": 30,
        "failed": 0,
        "late": 0,
    }
    assert world.records.read_now(lambda c: jobs.spent(c, "p", 20_000)) == (30, pytest.approx(0.03))


async def test_a_judge_that_cannot_tell_is_kept_paid_and_counted_but_is_no_score(world: World) -> None:
    world.provider = FakeProvider(
        answer=lambda _: '{"reasoning": "no order shown", "scores": {"quality": null}}'
    )
    await world.queue(3)
    flow = await world.work()
    said = list(world.columns.scores.values())
    assert {(s.value, s.passed, s.label, s.reason, s.cost) for s in said} == {
        (None, None, "abstained", "no order shown", 0.001)
    }
    assert (flow.counts.abstained, flow.counts.scored, world.depth().waiting) == (3, 3, 0)
    assert world.columns.covered("quality")["scored"] == 3


@pytest.mark.parametrize("unit_cost", [0.25, None])
async def test_a_score_costs_what_its_budget_was_charged(records: Records, unit_cost: float | None) -> None:
    """Of a model without a price that is the judge's own figure, which no score showed."""
    world = World(records, judge=replace(JUDGE, unit_cost=unit_cost))
    world.provider = FakeProvider(cost=None)
    await world.queue(2)
    await world.work()
    assert [s.cost for s in world.columns.scores.values()] == [unit_cost] * 2
    charged = 2 * (unit_cost or 0.0)
    assert world.records.read_now(lambda c: jobs.spent(c, "p", 20_000)) == (2, pytest.approx(charged))
    # A score that a crash lost costs as much when it is made again of the kept replies.
    world.columns.scores.clear()
    world.records.write_now(
        lambda c: c.execute(sa.update(tables.jobs).values(status="due", lease_until_ns=None))
    )
    await world.work()
    assert [s.cost for s in world.columns.scores.values()] == [unit_cost] * 2 and world.provider.replies == 2


async def test_queueing_the_same_traces_again_asks_nobody(world: World) -> None:
    await world.queue(5)
    await world.work()
    await world.queue(5)
    await world.work()
    assert world.provider.replies == 5 and len(world.columns.scores) == 5


@pytest.mark.parametrize("mode", ["refuse", "500", "429", "429_retry_after", "hang", "cut"])
async def test_an_outage_of_any_kind_delays_scores_and_loses_none(world: World, mode: str) -> None:
    await world.queue(20)
    world.provider.switch(mode)
    flow = world.flow(max_attempts=2)
    for _ in range(8):
        await until_idle(flow)
        world.now += 400 * SECOND
    depth = world.depth()
    assert (depth.waiting, depth.dead, len(world.columns.scores)) == (20, 0, 0)
    assert depth.oldest_due_ns is not None
    # While the provider is down it is probed, not hammered.
    assert len(world.provider.prompts) <= 20 + 8
    world.provider.switch("ok")
    await world.work_until_done(max_attempts=2)
    assert len(world.columns.scores) == world.columns.score_writes == 20
    assert world.depth().dead == 0


async def test_broken_replies_become_dead_letters_with_a_reason_and_block_nobody(world: World) -> None:
    await world.queue(6)
    good = world.provider._answer

    def answer(prompt: Any) -> str:
        return "10/10, trust me" if "answer 3" in prompt.turns[0].text else good(prompt)

    world.provider._answer = answer
    await world.work_until_done(max_attempts=3)
    assert len(world.columns.scores) == 5
    dead = world.records.read_now(lambda c: jobs.listed(c, project="p", status="dead"))
    assert len(dead) == 1 and "cannot be used" in str(dead[0].error) and dead[0].attempts == 3
    assert world.columns.covered("quality")["failed"] == 1
    # Three attempts of two questions each were paid for and are on the books.
    assert world.records.read_now(lambda c: jobs.spent(c, "p", 20_000))[0] == 5 + 6
    world.provider._answer = good
    number, totals = world.records.write_now(lambda c: again(c, "p", world.now))
    await world.columns.write_coverage(totals)
    assert number == 1 and world.columns.covered("quality")["failed"] == 0, (
        "what is tried again has not failed"
    )
    await world.work_until_done()
    assert len(world.columns.scores) == 6
    told = world.columns.covered("quality")
    assert (told["selected"], told["scored"], told["failed"]) == (6, 6, 0)


@pytest.mark.parametrize("mode", ["broken_json", "out_of_range", "echo", "empty"])
async def test_what_does_not_fit_is_never_a_score(world: World, mode: str) -> None:
    await world.queue(2)
    world.provider.switch(mode)
    await world.work_until_done(max_attempts=2)
    assert world.columns.scores == {} and world.depth().dead == 2


async def test_identical_material_is_asked_once_and_every_trace_gets_its_score(world: World) -> None:
    await world.queue(1, same=True)
    await world.work()
    await world.queue(10, same=True)
    await world.work(concurrency=1)
    assert world.provider.replies == 1 and len(world.columns.scores) == 10
    assert sum(s.cost or 0.0 for s in world.columns.scores.values()) == pytest.approx(0.001)


async def test_projects_do_not_share_replies(world: World) -> None:
    await world.queue(1, same=True, project="a")
    await world.work()
    await world.queue(1, same=True, project="b")
    await world.work()
    assert world.provider.replies == 2


async def test_a_crash_after_asking_pays_nothing_again_and_leaves_one_score(world: World) -> None:
    await world.queue(4)
    world.columns.fail["write_scores"] = 1
    stop = asyncio.Event()
    flow = world.flow()
    running = asyncio.create_task(flow.run(stop))
    for _ in range(2000):
        if flow.counts.store_errors:
            break
        await asyncio.sleep(0.005)
    stop.set()
    await running
    paid = world.provider.replies
    world.now += 61 * SECOND
    await world.work()
    assert world.provider.replies == paid == 4
    assert len(world.columns.scores) == world.columns.score_writes == 4
    assert all(s.cost == 0.001 for s in world.columns.scores.values())


async def test_a_worker_that_is_killed_at_any_point_leaves_one_score_per_key(world: World) -> None:
    await world.queue(12)
    world.provider = FakeProvider(latency_s=0.001)
    for kill_after in (0.0, 0.002, 0.005, 0.01, 0.02, 0.03):
        flow = world.flow(concurrency=4)
        running = asyncio.create_task(flow.run(asyncio.Event()))
        await asyncio.sleep(kill_after)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        world.now += 61 * SECOND
    await world.work_until_done()
    assert len(world.columns.scores) == 12
    assert world.provider.replies <= 12 + 6 * 4


async def test_a_judge_of_the_answers_own_family_is_never_asked(records: Records) -> None:
    world = World(records)
    await world.queue(1)
    only = next(iter(world.traces.values()))
    only.spans[0].llm.response_model = "judge-1"
    flow = await world.work()
    assert world.provider.prompts == [] and world.columns.scores == {}
    assert "self-judging refused" in next(iter(flow.counts.not_scored))
    assert world.depth().done == 1
    assert set(world.columns.covered("quality").values()) == {0}, "what it does not apply to is no gap"


async def test_a_trace_that_was_erased_meanwhile_is_not_judged(world: World) -> None:
    await world.queue(1)
    world.traces.clear()
    flow = await world.work()
    assert flow.counts.not_scored == {"the trace is no longer stored": 1} and world.provider.prompts == []


async def test_the_days_budget_is_never_passed_and_the_rest_waits_for_tomorrow(records: Records) -> None:
    world = World(records, budget=Budget(0.01, kept_for_risk=0.5))
    await world.queue(30)
    await world.work(concurrency=8)
    assert world.provider.replies == 5 and world.depth().dead == 0
    restarted = world.flow()
    await restarted.restore_spending([("p", "card")])
    await until_idle(restarted)
    assert world.provider.replies == 5
    world.now = 20_001 * DAY
    await world.work()
    assert world.provider.replies == 10 and world.depth().dead == 0


async def test_a_restart_charges_each_scorecard_with_its_own_judges_only(records: Records) -> None:
    world = World(records, budget=Budget(0.01, kept_for_risk=0.0))
    records.write_now(lambda c: jobs.charge(c, "p", 20_000, 3, 5.0, world.now, "another_judge"))
    records.write_now(lambda c: jobs.charge(c, "p", 20_000, 3, 0.006, world.now, "quality"))
    await world.queue(30)
    flow = world.flow()
    await flow.restore_spending([("p", "card")])
    await until_idle(flow)
    assert world.provider.replies == 4
    assert records.read_now(lambda c: jobs.spent(c, "p", 20_000))[1] == pytest.approx(5.01)


async def test_every_call_has_its_own_nonce(world: World) -> None:
    await world.queue(5, same=False)
    await world.work()
    marks = {p.turns[0].text.splitlines()[0].split()[0] for p in world.provider.prompts}
    assert len(marks) == 5


def test_backoff_grows_to_its_cap_and_respects_wishes() -> None:
    waits = [backoff_ns(n, 0.0) / SECOND for n in range(1, 12)]
    assert waits == sorted(waits) and waits[0] == 0.5 and waits[-1] == 150.0
    assert backoff_ns(1, 0.0, after_s=77.0) == 77 * SECOND


async def test_a_database_that_takes_no_writes_for_a_while_does_not_end_scoring(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.queue(3)
    write, failures = world.records.write, itertools.count()

    async def full(work: Any) -> Any:
        number = next(failures)
        if number < 3:
            raise StoreUnavailable("the disk is full") if number else RuntimeError("database is locked")
        return await write(work)

    monkeypatch.setattr(world.records, "write", full)
    flow = await world.work()
    assert world.depth().waiting == 0 and len(world.columns.scores) == 3
    assert flow.counts.store_errors == 3
