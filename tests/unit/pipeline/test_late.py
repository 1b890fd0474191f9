"""An event an hour after its trace is honoured: judged then, weighed right, whatever crashes in between."""

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.unit.pipeline.doubles import MemoryColumns, until_idle
from tests.unit.scoring.build import failing, trace
from watchkeeper.llm.fake import FakeProvider
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.score import Score, Subject
from watchkeeper.model.series import Estimate
from watchkeeper.model.span import Trace
from watchkeeper.pipeline.check import CheckFlow
from watchkeeper.pipeline.judge import JudgeFlow
from watchkeeper.pipeline.late import LateKeeping, LatePolicies
from watchkeeper.pipeline.plan import Card, Plan
from watchkeeper.scoring.judges.rubric import Dimension, Rubric, RubricJudge
from watchkeeper.scoring.keeping import Keeping
from watchkeeper.scoring.sampling import Sampler, policies_of
from watchkeeper.stats.estimates import mean
from watchkeeper.store.columns import StoreUnavailable, Table
from watchkeeper.store.records import jobs
from watchkeeper.store.records.engine import Records

HOUR = 3600 * 10**9
RUBRIC = Rubric("quality", "", (Dimension("quality", "How good?"),), needs=("output",))
JUDGE = RubricJudge(rubric=RUBRIC, model="fake:judge-1")
ALWAYS = ("error", "thumbs_down", "escalation", "guard", "low_score")


class World:
    """One project with one judge at a rate; users who come back an hour later."""

    def __init__(self, records: Records, rate: float = 0.02, strata: dict[str, Any] | None = None) -> None:
        self.records, self.columns, self.now = records, MemoryColumns(), 500_000 * HOUR
        self.provider = FakeProvider()
        self.set_rate(rate, strata)
        self.traces: dict[str, Trace] = {}
        self.nonces = itertools.count()

    def set_rate(self, rate: float, strata: dict[str, Any] | None = None, judge: RubricJudge = JUDGE) -> None:
        card = Card("card", (judge,), Sampler(policies_of(rate, strata or {}, ALWAYS), "s"))
        self.plan = Plan((), (card,), {judge.name: judge})

    async def load(self, _project: str, trace_id: str, _span_id: str) -> Subject | None:
        found = self.traces.get(trace_id)
        return Subject(found) if found is not None else None

    async def arrive(self, made: list[Trace]) -> None:
        self.traces |= {t.trace_id: t for t in made}
        flow = CheckFlow(self.columns, self.records, lambda: self.now, lambda _: self.plan)  # type: ignore[arg-type]
        await flow.on_traces([("p", t) for t in made])
        flow.close()

    def judging(self, ask: Any = None) -> JudgeFlow:
        return JudgeFlow(
            self.records, self.columns, ask or self.provider.ask, self.load, lambda _: self.plan,
            lambda: self.now, worker="w", roll=lambda: 0.5, nonce=lambda: f"n{next(self.nonces)}", poll_s=0.005,
        )  # type: ignore[arg-type] # fmt: skip

    def late(self) -> LatePolicies:
        return LatePolicies(self.columns, self.records, self.load, lambda _: self.plan, lambda: self.now)  # type: ignore[arg-type]

    async def said(self, trace_id: str, scorer: str = "thumbs", source: str = "user", **more: Any) -> None:
        given: dict[str, Any] = {"value": 0.0, "passed": False, **more}
        score = Score("p", trace_id, "", scorer, "1", source, self.now, self.now, author="u", **given)
        await self.columns.write_scores([score])

    def judged(self) -> dict[str, Score]:
        return {s.trace_id: s for s in self.columns.scores.values() if s.scorer == "quality"}


def ids(n: int) -> list[str]:
    return [f"{i:032x}" for i in range(n)]


async def test_a_thumbs_down_an_hour_later_is_judged_then_with_probability_one(records: Records) -> None:
    world = World(records)
    await world.arrive([trace("q", f"answer {i}", trace_id=t) for i, t in enumerate(ids(100))])
    chosen = {
        j.payload["trace_id"] for j in await records.read(lambda c: jobs.listed(c, project="p", status="due"))
    }
    left = next(t for t in ids(100) if t not in chosen)
    world.now += HOUR
    await world.said(left)
    assert await world.late().run_once("p") == 1
    await until_idle(world.judging())
    score = world.judged()[left]
    assert score.inclusion_probability == 1.0 and score.policy.startswith("always:thumbs_down@")
    row = world.columns.traces[("p", left)]
    assert (row.inclusion_probability, row.policy) == (1.0, score.policy)
    covered = world.columns.covered("quality")
    assert covered["eligible"] == 100 and covered["selected"] == covered["scored"] == len(chosen) + 1


@pytest.mark.parametrize(
    ("scorer", "source", "more"),
    [
        ("escalated", "user", {"value": 1.0, "passed": None}),
        ("guard:input", "external", {}),
        ("tone", "judge", {"value": 2.0}),
        ("user_rating", "user", {"value": 1.0}),
    ],
)
async def test_every_event_a_policy_waits_for_counts(
    records: Records, scorer: str, source: str, more: dict[str, Any]
) -> None:
    world = World(records, rate=1e-9)
    await world.arrive([trace("q", "a", trace_id=ids(1)[0])])
    await world.said(ids(1)[0], scorer, source, **more)
    assert await world.late().run_once("p") == 1


@pytest.mark.parametrize(
    ("scorer", "source", "more"),
    [
        ("thumbs", "user", {"value": 1.0, "passed": True}),
        ("copy", "user", {"value": 1.0, "passed": None}),
        ("human", "human", {}),
    ],
)
async def test_praise_and_labels_are_no_event(
    records: Records, scorer: str, source: str, more: dict[str, Any]
) -> None:
    world = World(records, rate=1e-9)
    await world.arrive([trace("q", "a", trace_id=ids(1)[0])])
    await world.said(ids(1)[0], scorer, source, **more)
    assert await world.late().run_once("p") == 0


async def test_a_new_version_that_judges_what_came_before_it_has_not_selected_more_than_was_eligible(
    records: Records,
) -> None:
    world = World(records, rate=1e-9)
    await world.arrive([trace("q", f"a {i}", trace_id=t) for i, t in enumerate(ids(6))])
    other = RubricJudge(rubric=msgspec.structs.replace(RUBRIC, high=5.0), model=JUDGE.model)
    assert other.version != JUDGE.version
    world.set_rate(1e-9, judge=other)
    world.now += HOUR
    for t in ids(2):
        await world.said(t)
    assert await world.late().run_once("p") == 2
    (row,) = [r for r in world.columns.coverage.values() if r["version"] == other.version]
    assert row["eligible"] == row["selected"] == 2


async def test_feedback_before_its_trace_counts_when_the_trace_comes(records: Records) -> None:
    world = World(records, rate=1e-9)
    await world.said(ids(1)[0])
    assert await world.late().run_once("p") == 0
    await world.arrive([trace("q", "a", trace_id=ids(1)[0])])
    (job,) = await records.read(lambda c: jobs.listed(c, project="p", status="due"))
    assert job.payload["probability"] == 1.0 and job.payload["policy"].startswith("always:thumbs_down@")


async def test_what_was_judged_by_chance_gets_the_weight_of_the_event(records: Records) -> None:
    world = World(records, rate=0.3)
    await world.arrive([trace("q", f"a {i}", trace_id=t) for i, t in enumerate(ids(40))])
    await until_idle(world.judging())
    before = world.judged()
    assert {s.inclusion_probability for s in before.values()} == {0.3}
    world.now += HOUR
    for t in ids(40):
        await world.said(t)
    await world.late().run_once("p")
    await until_idle(world.judging())
    after = world.judged()
    assert len(after) == 40 and {s.inclusion_probability for s in after.values()} == {1.0}
    assert all(after[t].scored_ns == s.scored_ns and after[t].value == s.value for t, s in before.items())
    assert world.provider.replies == 40


async def test_running_it_again_and_again_after_a_restart_changes_nothing(records: Records) -> None:
    world = World(records)
    await world.arrive([trace("q", f"a {i}", trace_id=t) for i, t in enumerate(ids(30))])
    for t in ids(10):
        await world.said(t)
    first = await world.late().run_once("p")
    writes = world.columns.score_writes
    assert first >= 9
    for _ in range(3):
        assert await world.late().run_once("p") == 0
    assert world.columns.score_writes == writes
    assert (
        world.columns.covered("quality")["selected"]
        == records.read_now(lambda c: jobs.depth(c, world.now)).waiting
    )


async def test_a_store_that_fails_half_way_is_made_up_for(records: Records) -> None:
    world = World(records, rate=0.5)
    await world.arrive([trace("q", f"a {i}", trace_id=t) for i, t in enumerate(ids(20))])
    await until_idle(world.judging())
    for t in ids(20):
        await world.said(t)
    world.columns.fail["write_scores"] = 1
    with pytest.raises(StoreUnavailable):
        await world.late().run_once("p")
    await world.late().run_once("p")
    await until_idle(world.judging())
    assert {s.inclusion_probability for s in world.judged().values()} == {1.0} and len(world.judged()) == 20


async def test_an_event_while_the_judge_thinks_is_not_lost(records: Records) -> None:
    world = World(records, rate=0.999999)
    await world.arrive([trace("q", "a", trace_id=ids(1)[0])])

    async def ask(prompt: Prompt) -> Reply:
        await world.said(ids(1)[0])
        await world.late().run_once("p")
        return await world.provider.ask(prompt)

    await until_idle(world.judging(ask))
    assert world.judged()[ids(1)[0]].inclusion_probability == 1.0


async def test_a_late_error_span_raises_the_weight_too(records: Records) -> None:
    world = World(records, rate=0.999999)
    await world.arrive([trace("q", "a", trace_id=ids(1)[0])])
    await until_idle(world.judging())
    await world.arrive([trace("q", "a", trace_id=ids(1)[0], spans=[failing("timeout")])])
    assert world.judged()[ids(1)[0]].inclusion_probability == 1.0


async def test_a_changed_rate_chooses_no_single_trace_of_the_past(records: Records) -> None:
    world = World(records, rate=1e-9)
    await world.arrive([trace("q", "a", trace_id=t) for t in ids(5)])
    world.set_rate(0.5)
    await world.said(ids(1)[0], "thumbs", value=1.0, passed=True)
    assert await world.late().run_once("p") == 0


async def test_a_sampled_judges_low_score_offers_no_more_than_its_own_chance(records: Records) -> None:
    """The other judge saw 10 % of traffic; with its low scores as policy the hash decides as if it had been 10 %."""
    world = World(records, rate=0.02)
    seen = [t for t in ids(3000) if world.plan.cards[0].sampler.u(t) < 0.1]
    await world.arrive([trace("q", f"a {i}", trace_id=t) for i, t in enumerate(seen)])
    for t in seen:
        await world.said(t, "tone", "judge", value=1.0, inclusion_probability=0.1)
    await world.late().run_once("p")
    due = await records.read(lambda c: jobs.listed(c, project="p", status="due", limit=1000))
    assert {j.payload["probability"] for j in due} == {0.1} and len(due) == len(seen)


async def test_the_29_point_bias_is_gone_when_the_events_come_late(records: Records) -> None:
    """2 % random, 10 % of a segment, 100 % of the 3 % whose users complain an hour later: `statistics.md` §1."""
    world = World(records, rate=0.02, strata={"segment": {"vip": 0.1}})
    rng = np.random.default_rng(29)
    n = 30_000
    complains, vip = rng.random(n) < 0.03, rng.random(n) < 0.1
    good = np.where(complains, rng.random(n) < 0.3, rng.random(n) < 0.92)
    made: list[Trace] = []
    names = ids(n)
    for i, t in enumerate(names):
        one = trace("q", "a good answer" if good[i] else "a bad one", trace_id=t)
        one.context.metadata = {"segment": "vip"} if vip[i] else {}
        made.append(one)
    await world.arrive(made)
    world.now += HOUR
    for i in np.flatnonzero(complains):
        await world.said(names[int(i)])
    await world.late().run_once("p")
    due = await records.read(lambda c: jobs.listed(c, project="p", status="due", limit=n))
    picked = [(int(j.payload["trace_id"], 16), float(j.payload["probability"])) for j in due]
    values = np.array([float(good[i]) for i, _ in picked])
    weighted = mean(values, [p for _, p in picked])
    assert {i for i, p in picked if p == 1.0} == {int(i) for i in np.flatnonzero(complains)}
    assert isinstance(weighted, Estimate)
    assert good.mean() - values.mean() > 0.2, "without weights the worst of traffic speaks for all of it"
    assert weighted.low <= good.mean() <= weighted.high and abs(weighted.value - good.mean()) < 0.02


async def test_only_a_word_that_keeps_its_trace_has_it_put_together_again() -> None:
    now = 500_000 * HOUR
    columns = MemoryColumns()
    said = {"kept": "thumbs", "other_name": "politeness"}
    await columns.write_scores(
        [Score("p", i, "", name, "1", "user", now, now, value=0.0, passed=False) for i, name in said.items()]
    )

    async def named(name: str, project: str, **_: Any) -> Table:
        return Table([], [[i, now] for i in said])

    columns.named = named  # type: ignore[method-assign]
    reopened: list[str] = []
    plan = Plan((), (), {})

    async def looked(rule: Keeping) -> int:
        flow = LateKeeping(
            columns, lambda: rule, lambda _: plan, lambda _, ids: reopened.extend(ids), lambda: now
        )  # type: ignore[arg-type]
        return await flow.run_once("p")

    assert await looked(Keeping(0.1)) == 1 and reopened == ["kept"]
    assert await looked(Keeping(0.1, frozenset({"error"}))) == 0 and reopened == ["kept"]
