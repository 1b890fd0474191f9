"""Retention and a clock that leaps: nothing is dropped by a clock nobody has confirmed."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.engine import Connection

from watchkeeper.config.models import Review
from watchkeeper.model.action import Order
from watchkeeper.model.alert import Alert, Notification
from watchkeeper.model.review import Label
from watchkeeper.model.times import DAY, HOUR
from watchkeeper.pipeline.desk import Desk, Given, Who
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.pipeline.retain import Retain
from watchkeeper.reviewing.queue import item
from watchkeeper.store.columns import Retention, Table
from watchkeeper.store.records import actions, alerts, coverage, jobs, outbox, reviews, states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata


class World:
    """Retention over a store that only remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.records = Records(f"sqlite:///{folder}/records.db")
        metadata.create_all(self.records.engine)
        self.now, self.ran = 20_000 * DAY, 0
        self.expired: list[int] = []
        self.traces: dict[str, int] = {}
        self.retain = self.process()

    def process(self) -> Retain:
        """What a start makes anew."""
        store: Any = self
        return Retain(
            store,
            self.records,
            lambda: self.now,
            lambda: self.ran,
            lambda: Retention(30, 90, 400),
            lambda: None,
        )

    async def expire(self, now_ns: int, _keep: Retention) -> dict[str, int]:
        self.expired.append(now_ns)
        return {}

    async def named(self, _name: str, _project: str, ids: list[str], since: int) -> Table:
        return Table(["trace_id", "new"], [[t, self.traces[t] >= since] for t in ids if t in self.traces])

    async def dropped(self) -> bool:
        before = len(self.expired)
        await self.retain.run_once()
        return len(self.expired) > before


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_it_runs_as_time_goes_by_and_after_a_short_stop(world: World) -> None:
    for step in (0, HOUR, 23 * HOUR, 24 * HOUR):
        world.now += step
        assert await world.dropped()
    world.retain = world.process()
    world.now += 20 * HOUR
    assert await world.dropped() and not world.retain.held


@pytest.mark.parametrize("leap", [25 * HOUR, 40 * DAY, 4000 * DAY])
async def test_a_leap_forward_drops_nothing_and_is_over_when_the_clock_is_back(
    world: World, leap: int
) -> None:
    assert await world.dropped()
    world.now += leap
    assert not await world.dropped() and world.retain.held
    world.retain = world.process()
    assert not await world.dropped(), "a restart is no confirmation"
    world.now -= leap
    assert await world.dropped() and not world.retain.held
    assert max(world.expired) == world.now


async def test_a_step_back_drops_nothing_more_and_needs_nobody(world: World) -> None:
    assert await world.dropped()
    for step in (-HOUR, HOUR, -DAY, DAY, -40 * DAY, 40 * DAY):
        world.now += step
        assert await world.dropped()
    assert max(world.expired) == world.now


async def test_confirming_or_a_day_of_running_ends_the_doubt(world: World) -> None:
    assert await world.dropped()
    world.now += 3 * DAY
    assert not await world.dropped()
    await world.retain.confirm()
    assert await world.dropped()
    world.now += 3 * DAY
    assert not await world.dropped()
    world.ran += DAY - 1
    assert not await world.dropped()
    world.ran += 1
    assert await world.dropped() and not world.retain.held


async def test_judgements_and_counters_of_traces_that_are_gone_are_forgotten(world: World) -> None:
    cell = coverage.Cell("p", "helpful", "1", 0, 3600)

    def judged(c: Connection) -> None:
        jobs.add(c, [jobs.NewJob(key, "p", "judge", {}, world.now) for key in ("done", "due")], world.now)
        jobs.claim(c, "judge", "w", world.now, 1, HOUR)
        for key in ("done", "due"):
            jobs.finish(c, key, "w", world.now)
        jobs.cache(c, "p", "asked", {"replies": []}, world.now)
        coverage.add(c, [(cell, {"selected": 1})], world.now)

    def left(c: Connection) -> tuple[int, bool, int]:
        there = jobs.depth(c, world.now)
        return (
            there.waiting + there.done,
            jobs.cached(c, "p", "asked") is not None,
            len(states.get_all(c, "p", "coverage")),
        )

    await world.dropped()
    world.records.write_now(judged)
    for _ in range(90):
        world.now += DAY
        assert await world.dropped()
    assert world.records.read_now(left) == (2, True, 1)
    world.now += DAY
    assert await world.dropped()
    assert world.records.read_now(left) == (1, False, 0), "what was never judged is still due"


async def test_what_alerts_messages_and_actions_quote_goes_with_the_content(world: World) -> None:
    quoted = {"trace_id": "t1", "value": 0.2, "output_text": "Ada said so", "input_text": "who is it?"}

    def fire(c: Connection) -> None:
        alert = Alert(
            "a1", "p", "m", {}, "firing", "warn", "o", "r", "c", world.now, updated_ns=world.now, summary="m fell", worst=[quoted],
        )  # fmt: skip
        alerts.save(c, alert)
        told = {"alerts": [{"summary": "m fell", "worst": [quoted]}]}
        outbox.enqueue(
            c, Notification("n1", "p", "a1", "a1", "ops", "firing", "m fell", "m fell", told, world.now)
        )
        order = Order(
            "o1", "p", "back", "webhook", "watch", world.now, {}, "a1", None, msgspec.to_builtins(alert)
        )
        actions.ask(c, order, world.now, False, "")

    def held(c: Connection) -> str:
        found = alerts.get(c, "p", "a1"), outbox.find(c, "p"), actions.find(c, "p")
        return repr(found)

    await world.dropped()
    world.records.write_now(fire)
    for _ in range(30):
        world.now += DAY
        assert await world.dropped()
    assert world.records.read_now(held).count("Ada said so") == 3, "the control: no older than content may be"
    for _ in range(2):
        world.now += DAY
        assert await world.dropped()
    left = world.records.read_now(held)
    assert "Ada" not in left and "who is it" not in left
    assert left.count("m fell") >= 3 and "'t1'" in left and "0.2" in left


async def test_what_nobody_has_read_leaves_the_queue_with_its_content_and_cannot_be_labelled(
    world: World,
) -> None:
    items = {
        t: item("p", t, "low_score", "low: Ada said no", 1.0, world.now)
        for t in ("old", "split", "read", "new", "erased")
    }
    items["split"].reviewers = 2

    def said(c: Connection, trace_id: str, author: str, verdict: str) -> str:
        ident = f"{trace_id} {author}"
        return reviews.label(c, Label(ident, "p", items[trace_id].id, trace_id, author, world.now, verdict))

    def fill(c: Connection) -> None:
        for one in items.values():
            assert reviews.add(c, one)
        assert said(c, "read", "ann", "good") == "done"
        assert [said(c, "split", who, what) for who, what in (("ann", "good"), ("bea", "bad"))] == [
            "open",
            "disputed",
        ]

    def reasons(c: Connection) -> set[str]:
        return {i.reason for i in reviews.queue(c, "p", None)}

    def status(c: Connection) -> dict[str, str]:
        return {i.trace_id: i.status for i in reviews.queue(c, "p", None)}

    await world.dropped()
    world.records.write_now(fill)
    world.traces = dict.fromkeys(("old", "split", "read"), world.now) | {"new": world.now + DAY}
    before = {"old": "open", "split": "disputed", "read": "done", "new": "open", "erased": "open"}
    await world.dropped()
    assert world.records.read_now(status) == before, "a trace that has just come may have no row yet"
    world.now += 2 * HOUR
    await world.dropped()
    assert world.records.read_now(status) == {**before, "erased": "gone"}
    for _ in range(31):
        world.now += DAY
        assert await world.dropped()
    after = {"old": "gone", "split": "gone", "read": "done", "new": "open", "erased": "gone"}
    assert world.records.read_now(status) == after
    assert world.records.read_now(lambda c: reviews.counts(c, "p")) == {"gone": 3, "done": 1, "open": 1}
    desk = Desk(world.records, Review(), lambda: world.now, lambda: world.now)
    with pytest.raises(Refused, match="nobody can judge"):
        await desk.label("p", items["old"].id, Given("good"), Who("ann", "test"))
    assert await desk.take_next("p", Who("ann", "test")) is not None
    for _ in range(58):
        world.now += DAY
        assert await world.dropped()
    assert world.records.read_now(reasons) == {"low: Ada said no"}, (
        "a score's reason stays as long as the score"
    )
    world.now += DAY
    assert await world.dropped()
    assert world.records.read_now(reasons) == {"low"}
    left = {"split": "gone", "read": "done"}
    assert world.records.read_now(status) == left, "what was labelled stays, the rest goes with its trace"
