"""Sessions in the real stores get their behaviour scores when the next message comes or the silence has lasted."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.unit.pipeline.test_roll import HOUR, T0, a_trace
from watchkeeper.model.score import Score
from watchkeeper.pipeline.behaviour import BehaviourFlow
from watchkeeper.scoring.behaviour import BEHAVIOURS, default_behaviours
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import TraceRow
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records

MINUTE = 60 * 10**9
START = T0 + 30 * HOUR


class World:
    """One project, a clock only tests move."""

    def __init__(self, columns: ClickHouseColumns, records: Records) -> None:
        self.columns, self.records, self.now = columns, records, START
        self.told: list[Score] = []
        self.number = 0

    def flow(self) -> BehaviourFlow:
        async def hear(scored: Sequence[tuple[str, str, Sequence[Score]]]) -> None:
            self.told += [s for _, _, found in scored for s in found]

        return BehaviourFlow(
            self.columns, self.records, lambda: self.now, lambda _: default_behaviours(), hooks=[hear]
        )

    async def turn(
        self, session: str, asked: str, answer: str = "Here is how.", checks: Sequence[str] = ()
    ) -> str:
        self.number += 1
        row = a_trace(self.number, (self.now - T0) / HOUR, "v1", 8.0, "live")
        made = row.trace
        made.context.session_id, made.input_text, made.output_text = session, asked, answer
        made.start_ns, made.end_ns = self.now, self.now + 10**9
        failed = [
            Score("live", made.trace_id, "", name, "1", "check", self.now, self.now, value=0.0, passed=False)
            for name in checks
        ]
        await self.columns.write_traces(
            [msgspec.structs.replace(row, checks=failed, assembled_ns=self.now + 10**9)]
        )
        self.now += MINUTE
        return made.trace_id

    async def scores(self, trace_id: str) -> dict[str, float | None]:
        found = await self.columns.read_scores("live", [trace_id])
        return {s.scorer: s.value for s in found if s.source == "signal"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = open_columns(f"chdb:///{tmp_path}/c", clock=lambda: START)
    records = Records(f"sqlite:///{tmp_path}/r.db")
    migrate.upgrade(records)
    yield World(store, records)
    store.close_now()
    records.close()


async def test_an_answer_is_scored_when_the_next_message_comes(world: World) -> None:
    first = await world.turn("s1", "How do I return the blue lamp I bought?")
    flow = world.flow()
    await flow.run_once("live")
    assert await world.scores(first) == {}
    second = await world.turn("s1", "how can I return the blue lamp I bought? this is useless")
    await flow.run_once("live")
    assert await world.scores(first) == {
        "rephrased": 1.0, "frustration": 1.0, "clarification": 0.0, "escalation_request": 0.0, "abandoned": 0.0,
    }  # fmt: skip
    assert await world.scores(second) == {}
    table = await world.columns.sql("live", "select rephrased, frustration from traces where rephrased = 1")
    assert table.rows == [[1.0, 1.0]]
    stored = next(s for s in await world.columns.read_scores("live", [first]) if s.scorer == "rephrased")
    assert (stored.session_id, stored.passed, stored.inclusion_probability) == ("s1", False, 1.0)


async def test_silence_decides_at_the_timeout_and_never_twice(world: World) -> None:
    left = await world.turn("s1", "Where is order 5?", "I cannot help with that.", checks=["refusal"])
    fine = await world.turn("s2", "Where is order 6?")
    flow = world.flow()
    world.now = START + 25 * MINUTE
    await flow.run_once("live")
    assert await world.scores(left) == {} == await world.scores(fine)
    world.now = START + 40 * MINUTE
    assert await flow.run_once("live") == 4
    assert (await world.scores(left))["abandoned"] == 1.0 and (await world.scores(fine))["abandoned"] == 0.0
    told = len(world.told)
    for again in (flow, world.flow()):
        assert await again.run_once("live") == 0
    assert len(world.told) == told == 4
    covered = await world.columns.read_coverage("live", 0, world.now)
    assert {r["scorer"]: r["scored"] for r in covered} == {"abandoned": 2, "escalation_request": 2}


async def test_a_user_who_comes_back_after_the_timeout_has_not_left(world: World) -> None:
    left = await world.turn("s1", "Where is order 5?", "I cannot help with that.", checks=["refusal"])
    world.now = START + 40 * MINUTE
    flow = world.flow()
    await flow.run_once("live")
    await world.turn("s1", "And order 7?")
    await flow.run_once("live")
    assert (await world.scores(left))["abandoned"] == 0.0


async def test_a_restart_after_the_silence_still_decides(world: World) -> None:
    left = await world.turn("s1", "Where is order 5?", "", checks=["empty_output"])
    await world.flow().run_once("live")
    world.now = START + 9 * HOUR
    await world.flow().run_once("live")
    assert (await world.scores(left))["abandoned"] == 1.0


async def test_traces_without_a_session_are_left_alone(world: World) -> None:
    await world.columns.write_traces([a_trace(900, 30.0, "v1", 8.0, "live")])
    world.now += HOUR
    assert await world.flow().run_once("live") == 0
    assert len(BEHAVIOURS) == 5


async def test_a_correction_before_its_trace_is_compared_when_the_trace_comes(world: World) -> None:
    row: TraceRow = a_trace(901, 30.0, "v1", 8.0, "live")
    row.trace.output_text = "Tap Orders, then Refund."
    early = Score(
        "live", row.trace.trace_id, "", "correction", "1", "user", START, START, author="u", reason="Tap Orders, then Return."
    )  # fmt: skip
    await world.columns.write_scores([early])
    flow = world.flow()
    assert await flow.settle_corrections("live") == 0
    await world.columns.write_traces([row])
    assert await flow.settle_corrections("live") == 1 and await flow.settle_corrections("live") == 0
    (stored,) = [
        s for s in await world.columns.read_scores("live", [row.trace.trace_id]) if s.scorer == "correction"
    ]
    assert stored.value == pytest.approx(1 / 6, abs=1e-4) and stored.time_ns == row.trace.start_ns
