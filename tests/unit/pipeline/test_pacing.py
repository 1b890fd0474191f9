"""A budget that does not reach thins what chance chooses, with a recorded probability: nothing is scored whole beside what is
scored in part."""

import numpy as np

from tests.unit.pipeline.doubles import MemoryColumns
from tests.unit.scoring.build import failing, trace
from watchkeeper.model.series import Estimate
from watchkeeper.model.span import Trace
from watchkeeper.model.times import DAY, HOUR, MINUTE
from watchkeeper.pipeline.check import CheckFlow
from watchkeeper.pipeline.plan import Card, Plan
from watchkeeper.scoring.budget import Budget
from watchkeeper.scoring.judges.rubric import Dimension, Rubric, RubricJudge
from watchkeeper.scoring.sampling import Sampler, policies_of
from watchkeeper.stats.estimates import mean
from watchkeeper.store.records import jobs
from watchkeeper.store.records.engine import Records

START = 21_000 * DAY
JUDGE = RubricJudge(
    rubric=Rubric("quality", "", (Dimension("quality", "How good?"),), needs=("output",)),
    model="fake:judge-1",
    unit_cost=0.01,
)


class World:
    """A project with a judge, a budget of `usd` a day and traces that tests let arrive."""

    def __init__(self, records: Records, usd: float, rate: float = 1.0) -> None:
        self.records, self.columns, self.now = records, MemoryColumns(), START
        card = Card("card", (JUDGE,), Sampler(policies_of(rate, {}, ("error",)), "s"), budget=Budget(usd))
        self.plan = Plan((), (card,), {JUDGE.name: JUDGE})
        self.checks = self.flow()

    def flow(self) -> CheckFlow:
        return CheckFlow(self.columns, self.records, lambda: self.now, lambda _: self.plan)  # type: ignore[arg-type]

    async def arrive(self, *made: Trace) -> None:
        await self.checks.on_traces([("p", t) for t in made])

    def queued(self) -> list[jobs.Job]:
        return self.records.read_now(lambda c: jobs.listed(c, project="p", status="due", limit=100_000))


async def test_estimates_are_unbiased_where_a_budget_binds(records: Records) -> None:
    """An eighth of traffic fails and is bad; the budget pays for a third of everything."""
    world, rng = World(records, usd=8.0), np.random.default_rng(11)
    truth: dict[str, float] = {}
    for quarter in range(96):
        world.now = START + quarter * 15 * MINUTE
        failed = rng.random(20) < 0.125
        made = [
            trace("q", "a", trace_id=f"{quarter:08x}{i:024x}", spans=[failing("timeout")] if bad else [])
            for i, bad in enumerate(failed)
        ]
        truth |= {t.trace_id: 1.0 if bad else 7.0 for t, bad in zip(made, failed, strict=True)}
        await world.arrive(*made)
    chosen = {j.payload["trace_id"]: float(j.payload["probability"]) for j in world.queued()}
    assert 0.8 * 6.4 < 0.01 * len(chosen) <= 6.4 * 1.05
    assert all(chosen[t] == 1.0 for t, value in truth.items() if value == 1.0), "every error is judged"
    found = mean(np.array([truth[t] for t in chosen]), list(chosen.values()))
    assert isinstance(found, Estimate)
    real = np.mean(list(truth.values()))
    assert found.low <= real <= found.high and abs(found.value - real) < 0.2
    assert np.mean([truth[t] for t in chosen]) < real - 0.8, (
        "without their weights errors speak for everything"
    )
    world.checks.close()


async def test_a_trace_keeps_the_probability_it_was_decided_with_until_an_event_raises_it(
    records: Records,
) -> None:
    world = World(records, usd=0.5)
    plain = [trace("q", "a", trace_id=f"{i:032x}") for i in range(200)]
    await world.arrive(*plain)
    first = {j.key: j.payload["probability"] for j in world.queued()}
    (share,) = {r.inclusion_probability for r in world.columns.traces.values()}
    assert 0.001 <= share < 0.5 and set(first.values()) <= {share}
    world.checks.close()
    # Hours later and after a restart the rest of the day could pay for more: not for those that were decided.
    world.now += 23 * HOUR
    world.checks = world.flow()
    await world.arrive(*plain)
    assert {j.key: j.payload["probability"] for j in world.queued()} == first
    assert {r.inclusion_probability for r in world.columns.traces.values()} == {share}
    await world.arrive(trace("q", "a", trace_id=f"{3:032x}", spans=[failing("timeout")]))
    assert world.columns.traces["p", f"{3:032x}"].inclusion_probability == 1.0
    assert {j.payload["probability"] for j in world.queued() if j.payload["trace_id"] == f"{3:032x}"} == {1.0}
    world.checks.close()


async def test_what_is_queued_and_what_judgements_really_cost_count(records: Records) -> None:
    world = World(records, usd=1.0)
    for minute in range(60):
        world.now = START + 12 * HOUR + minute * MINUTE
        await world.arrive(*[trace("q", "a", trace_id=f"{minute:08x}{i:024x}") for i in range(10)])
    waiting = len(world.queued())
    assert 0.01 * waiting < 0.8, "an outage of the judge spends the day's money once"
    charged = 0.05
    records.write_now(
        lambda c: (
            [jobs.charge(c, "p", START // DAY, 1, charged, world.now, JUDGE.name) for _ in range(20)] and None
        )
    )
    world.now += MINUTE
    await world.arrive(*[trace("q", "a", trace_id=f"f{i:031x}") for i in range(10)])
    assert {world.columns.traces["p", f"f{i:031x}"].inclusion_probability for i in range(10)} == {0.001}
    world.checks.close()


async def test_a_budget_that_reaches_changes_nothing(records: Records) -> None:
    world = World(records, usd=1000.0, rate=0.25)
    await world.arrive(*[trace("q", "a", trace_id=f"{i:032x}") for i in range(40)])
    assert {r.inclusion_probability for r in world.columns.traces.values()} == {0.25}
    world.checks.close()
