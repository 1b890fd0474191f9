"""Sessions in the real stores get their behaviour scores when the next message comes or the silence has lasted."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.columns import empty_columns
from tests.unit.pipeline.test_roll import HOUR, T0, a_trace
from watchkeeper.model.score import Score
from watchkeeper.pipeline import behaviour
from watchkeeper.pipeline.behaviour import BehaviourFlow, against
from watchkeeper.scoring.behaviour import BEHAVIOURS, default_behaviours
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import KeepingRow, StoreUnavailable, Table, TraceRow
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records
from watchkeeper.web.view import DIMENSIONS

MINUTE = 60 * 10**9
START = T0 + 30 * HOUR
SESSIONS = 300
WORDS = ("red chair", "green carpet", "old kettle", "new mirror")


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
        self,
        session: str,
        asked: str,
        answer: str = "Here is how.",
        checks: Sequence[str] = (),
        *,
        project: str = "live",
        ago: int = 0,
        seconds: int = 1,
        number: int | None = None,
    ) -> str:
        """One answer, put together now, that began `ago` before; a `number` again is the same trace again."""
        self.number += 1
        start = self.now - ago
        row = a_trace(number or self.number, (start - T0) / HOUR, "v1", 8.0, project)
        made = row.trace
        made.context.session_id, made.input_text, made.output_text = session, asked, answer
        made.start_ns, made.end_ns = start, start + seconds * 10**9
        failed = [
            Score(project, made.trace_id, "", name, "1", "check", start, start, value=0.0, passed=False)
            for name in checks
        ]
        await self.columns.write_traces(
            [msgspec.structs.replace(row, checks=failed, assembled_ns=self.now + 10**9, received_ns=self.now)]
        )
        self.now += MINUTE
        return made.trace_id

    async def opinion(self, trace_id: str, start: int, passed: bool) -> None:
        said = Score("live", trace_id, "", "thumbs", "1", "user", start, self.now, author="u", passed=passed)
        await self.columns.write_scores([said])

    async def scores(self, trace_id: str, project: str = "live") -> dict[str, float | None]:
        found = await self.columns.read_scores(project, [trace_id])
        return {s.scorer: s.value for s in found if s.source == "signal"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made: list[World] = []
    store = open_columns(empty_columns(tmp_path / "c"), clock=lambda: made[0].now if made else START)
    records = Records(f"sqlite:///{tmp_path}/r.db")
    migrate.upgrade(records)
    made.append(World(store, records))
    yield made[0]
    store.close_now()
    records.close()


@pytest.mark.parametrize(
    ("source", "probability", "known"),
    [("user", None, True), ("judge", 1.0, True), ("judge", 0.05, False), ("human", None, False)],
)
def test_how_much_is_judged_and_read_does_not_move_the_rate(
    source: str, probability: float | None, known: bool
) -> None:
    """The fails of a judge that sees 5 % would be twenty times as many with 100 %, and reviewers read what is bad."""
    said = {"scorer": "x", "passed": False, "source": source, "inclusion_probability": probability}
    told = {"error_class": None, "failed_checks": [], "output": "It is blue."}
    assert against(told, [said]) == ("x failed it" if known else None)


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
    # The row still shows what the checks said.
    shown = await world.columns.sql("live", "select refusal, abandoned from traces where abandoned = 1")
    assert shown.rows == [[0.0, 1.0]]
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


async def test_an_answer_of_an_unbelievable_time_is_no_turn_of_its_session(world: World) -> None:
    left = await world.turn("s1", "Where is order 5?", "I cannot help with that.", checks=["refusal"])
    poison = await world.turn("s1", "Where is order 5 now?", ago=10 * 365 * 24 * HOUR)
    flow = world.flow()
    await flow.run_once("live")
    assert await world.scores(left) == {}
    world.now = START + 40 * MINUTE
    await flow.run_once("live")
    assert (await world.scores(left))["abandoned"] == 1.0
    assert await world.scores(poison) == {}


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


async def test_nothing_is_looked_at_again_while_nothing_arrives(world: World) -> None:
    flow = world.flow()
    for asked in ("Where is order 5?", "And order 6?", "Thanks"):
        await world.turn("s1", asked)
        await world.turn("s2", asked)
    await flow.run_once("live")
    assert (flow.counts.sessions, flow.counts.answers) == (2, 4)
    for _ in range(3):
        world.now += 10 * 10**9
        assert await flow.run_once("live") == 0
    assert (flow.counts.sessions, flow.counts.answers, flow.counts.same) == (2, 4, 0)
    world.now += 40 * MINUTE
    await flow.run_once("live")
    assert (flow.counts.sessions, flow.counts.answers) == (4, 6)
    world.now += 40 * MINUTE
    assert await flow.run_once("live") == 0 and flow.counts.sessions == 4


async def test_a_new_message_costs_one_answer_however_long_the_session_is(world: World) -> None:
    flow = world.flow()
    for i in range(6):
        await world.turn("s1", f"Where is order {i}?")
        before = flow.counts.answers
        await flow.run_once("live")
        assert flow.counts.answers - before == min(i, 1)
    assert flow.counts.written == 5 * 5


async def test_an_answer_that_arrives_late_stands_in_its_place(world: World) -> None:
    first = await world.turn("s1", "How do I return the blue lamp I bought?")
    third = await world.turn("s1", "And what does the green chair cost?")
    await world.turn("s1", "Thanks")
    flow = world.flow()
    await flow.run_once("live")
    assert (await world.scores(first))["rephrased"] == 0.0
    asked = "how can I return the blue lamp I bought? this is useless"
    second = await world.turn("s1", asked, ago=2 * MINUTE + MINUTE // 2)
    await flow.run_once("live")
    assert (await world.scores(first))["rephrased"] == 1.0 == (await world.scores(first))["frustration"]
    assert (await world.scores(second))["rephrased"] == 0.0 == (await world.scores(third))["rephrased"]


async def test_feedback_after_the_silence_changes_what_it_meant(world: World) -> None:
    start = world.now
    left = await world.turn("s1", "Where is order 5?")
    went_on = await world.turn("s2", "Where is order 6?")
    await world.turn("s2", "And order 7?")
    flow = world.flow()
    world.now = START + 5 * HOUR
    await flow.run_once("live")
    assert (await world.scores(left))["abandoned"] == 0.0
    looked = flow.counts.answers
    for passed in (False, True):
        world.now += HOUR
        await world.opinion(left, start, passed)
        await world.opinion(went_on, start + MINUTE, passed)
        world.now += MINUTE // 2
        await flow.run_once("live")
        assert (await world.scores(left))["abandoned"] == float(not passed)
        world.now += MINUTE // 2
        assert await flow.run_once("live") == 0
    assert (await world.scores(went_on))["abandoned"] == 0.0
    # Each opinion has the last answer of its session looked at, once.
    assert flow.counts.answers == looked + 4


@pytest.mark.parametrize(("limits", "sessions"), [((3, 2, 1), 5), ((1, 1, 1), 3)])
async def test_more_sessions_than_are_read_at_once_are_all_scored(
    world: World, monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int, int], sessions: int
) -> None:
    for name, limit in zip(("MOST_DUE", "MOST_SESSIONS", "MOST_ANSWERS"), limits, strict=True):
        monkeypatch.setattr(behaviour, name, limit)
    flow = world.flow()
    firsts: list[str] = []
    for i in range(sessions):
        firsts.append(await world.turn(f"s{i}", "Where is order 5?"))
        world.now -= MINUTE
    for i in range(sessions):
        await world.turn(f"s{i}", "And order 6?")
        world.now -= MINUTE
    world.now += MINUTE
    assert await flow.run_once("live") == sessions * 5
    assert all([await world.scores(f) for f in firsts])
    world.now += MINUTE
    assert await flow.run_once("live") == 0
    world.now += 40 * MINUTE
    assert await flow.run_once("live") == sessions


async def test_a_page_that_fails_loses_no_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behaviour, "MOST_DUE", 2)
    flow = world.flow()
    firsts: list[str] = []
    for i in range(4):
        firsts.append(await world.turn(f"s{i}", "Where is order 5?"))
        await world.turn(f"s{i}", "And order 6?")
    named, calls = world.columns.named, 0

    async def failing(name: str, project: str, **params: object) -> Table:
        nonlocal calls
        if name == "behaviour_due":
            calls += 1
            if calls == 3:
                raise StoreUnavailable("for a moment")
        return await named(name, project, **params)

    monkeypatch.setattr(world.columns, "named", failing)
    with pytest.raises(StoreUnavailable):
        await flow.run_once("live")
    await flow.run_once("live")
    assert all([await world.scores(f) for f in firsts])


async def test_a_trace_put_together_again_is_looked_at_again_with_the_session_it_left(world: World) -> None:
    first = await world.turn("s1", "How do I return the blue lamp I bought?")
    second = await world.turn("s1", "how can I return the blue lamp I bought? this is useless")
    number = world.number
    flow = world.flow()
    await flow.run_once("live")
    assert (await world.scores(first))["frustration"] == 1.0
    await world.turn("s1", "And what does the chair cost?", ago=MINUTE, number=number)
    await flow.run_once("live")
    assert (await world.scores(first))["frustration"] == 0.0
    other = await world.turn("s2", "Where is order 5?", ago=3 * MINUTE)
    await flow.run_once("live")
    await world.turn("s2", "You are not listening", ago=MINUTE, number=number)
    await flow.run_once("live")
    assert (await world.scores(other))["frustration"] == 1.0
    world.now += 40 * MINUTE
    await flow.run_once("live")
    assert (await world.scores(first))["abandoned"] == 0.0 and "abandoned" in await world.scores(second)


async def test_projects_with_one_session_id_are_kept_apart(world: World) -> None:
    flow = world.flow()
    mine = await world.turn("s1", "Where is order 5?")
    theirs = await world.turn("s1", "Where is order 5?", project="other")
    await world.turn("s1", "This is useless")
    await flow.run_once("live")
    await flow.run_once("other")
    assert (await world.scores(mine))["frustration"] == 1.0
    assert await world.scores(theirs, "other") == {}
    await world.turn("s1", "Thanks", project="other")
    await flow.run_once("live")
    await flow.run_once("other")
    assert (await world.scores(theirs, "other"))["frustration"] == 0.0


async def test_the_silence_after_an_answer_that_took_hours_is_seen(world: World) -> None:
    long = await world.turn("s1", "Rewrite the archive", "", seconds=3 * 3600)
    flow = world.flow()
    for hours in (1, 2, 3):
        world.now = START + hours * HOUR
        await flow.run_once("live")
    assert await world.scores(long) == {}
    world.now = START + 4 * HOUR
    await flow.run_once("live")
    assert (await world.scores(long))["abandoned"] == 1.0


async def test_a_clock_that_was_set_back_hides_nothing(world: World) -> None:
    flow = world.flow()
    world.now += 10 * HOUR
    await flow.run_once("live")
    world.now -= 10 * HOUR
    first = await world.turn("s1", "Where is order 5?")
    await world.turn("s1", "And order 6?")
    await flow.run_once("live")
    assert (await world.scores(first))["rephrased"] == 0.0


async def test_where_a_share_is_kept_what_users_did_is_estimated_without_a_bias(world: World) -> None:
    """Sessions of four turns, half of them asked again and half of those left in anger; a turn is kept with 0.6, or for a reason."""
    dice, share = random.Random(3), 0.6
    truth: Counter[str] = Counter()
    kept: dict[str, float] = {}
    unkept: list[KeepingRow] = []
    rows: list[TraceRow] = []
    for s in range(SESSIONS):
        again, left = s % 2 == 0, s % 4 == 0
        for n in range(4):
            number = s * 4 + n
            row = a_trace(number, (START - T0) / HOUR, "v1", 8.0, "live")
            made = row.trace
            made.start_ns = START + n * MINUTE
            made.end_ns = made.start_ns + MINUTE // 60
            made.context.session_id = f"s{s}"
            made.input_text = f"How do I return the {'blue lamp' if again else WORDS[n]} I bought?"
            bad = left and n == 3
            failed = [
                Score(
                    "live", made.trace_id, "", "refusal", "1", "check", START, START, value=0.0, passed=False
                )
            ]
            truth["rephrased"] += again and n < 3
            truth["abandoned"] += again and n == 3
            odds = 1.0 if bad else share
            if dice.random() < odds:
                kept[made.trace_id] = odds
                rows.append(
                    msgspec.structs.replace(
                        row, checks=failed if bad else [], assembled_ns=START, received_ns=START, kept=odds
                    )
                )
            else:
                unkept.append(
                    KeepingRow(
                        "live", made.trace_id, False, odds, "routine", START, f"s{s}", made.start_ns, made.end_ns
                    )
                )  # fmt: skip
    await world.columns.decide_keeping(unkept)
    await world.columns.write_traces(rows)
    world.now = START + 60 * MINUTE
    flow = world.flow()
    await flow.run_once("live")
    assert await flow.run_once("live") == 0
    scores = [s for s in await world.columns.read_scores("live", list(kept)) if s.source == "signal"]
    for name, of in (("rephrased", 3 * SESSIONS), ("abandoned", 4 * SESSIONS)):
        mine = [
            (1 / (kept[s.trace_id] * s.inclusion_probability), s.value or 0.0)
            for s in scores
            if s.scorer == name
        ]
        total = sum(w * x for w, x in mine)
        # Horvitz–Thompson: the variance of Σ wᵢxᵢ is Σ (wᵢ² − wᵢ) xᵢ² where draws are independent; turns share neighbours here.
        error = 2 * sum((w * w - w) * x for w, x in mine) ** 0.5
        assert abs(total - truth[name]) < 4 * error, (name, total, truth[name], error)
        assert abs(sum(w for w, _ in mine) - of) < 0.2 * of, name
        # A cohort that is not rolled and an incident's triage weigh them alike.
        whole = {"since": START - HOUR, "until": START + HOUR}
        page = await world.columns.named(
            "page_scores", "live", **whole, before=START - HOUR, bucket=86_400, metric=name,
            **dict.fromkeys(DIMENSIONS, ""),
        )  # fmt: skip
        assert sum(row["swx"] for row in page.dicts()) == pytest.approx(total)
        triage = await world.columns.named(
            "triage_rows", "live", metric=name, since=START - HOUR, base_until=START, onset=START, until=START + HOUR,
            positions=[], values=[], transport=[], names=[], limit=10_000,
        )  # fmt: skip
        assert sum(row["weight"] * row["value"] for row in triage.dicts()) == pytest.approx(total)


async def test_who_comes_back_with_a_turn_that_was_not_kept_has_not_left(world: World) -> None:
    first = await world.turn("s1", "How do I return the blue lamp I bought?", "")
    world.now += HOUR
    flow = world.flow()
    await flow.run_once("live")
    assert (await world.scores(first))["abandoned"] == 1.0
    back = KeepingRow(
        "live", "f" * 32, False, 0.5, "routine", world.now, "s1", world.now, world.now + MINUTE // 60
    )
    await world.columns.decide_keeping([back])
    world.now += MINUTE
    await flow.run_once("live")
    assert (await world.scores(first))["abandoned"] == 0.0
