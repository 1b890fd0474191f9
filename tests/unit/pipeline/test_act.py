"""Actions: ordered once for an alert, carried out at least once under one id, undone, rehearsed, on record."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.sinks import HttpSink
from watchkeeper.compose.actions import Answer, Through
from watchkeeper.config.models import Monitor
from watchkeeper.control import Did, WebhookLever
from watchkeeper.egress import Egress, Policy
from watchkeeper.model.action import ActionSpec, Order
from watchkeeper.model.alert import Alert
from watchkeeper.notify import WebhookChannel
from watchkeeper.pipeline.act import LEASE_NS, Actor
from watchkeeper.pipeline.levers import PauseLever, Pauses, ReleaseLever, ReviewLever, version_of
from watchkeeper.pipeline.plan import Card, Plan
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.store.columns import Table
from watchkeeper.store.records import actions, alerts, audit, incidents, reviews, states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

NOW = 1_795_000_000 * 10**9


class Crash(BaseException):
    """The process ends here."""


@dataclass
class FakeLever:
    """Does what the script says, and remembers which ids it was pulled for."""

    script: list[Did | Crash] = field(default_factory=list[Did | Crash])
    pulled: list[str] = field(default_factory=list[str])
    undone: list[str] = field(default_factory=list[str])
    takes_back: list[Did] = field(default_factory=list[Did])

    def would(self, order: Order) -> str:
        return "do it"

    async def pull(self, order: Order) -> Did:
        self.pulled.append(order.id)
        did = self.script.pop(0) if self.script else Did(True, "did it", memory={"a": 1})
        if isinstance(did, Crash):
            raise did
        return did

    async def undo(self, order: Order, memory: Mapping[str, Any]) -> Did:
        assert memory == ({} if self.takes_back else {"a": 1})
        self.undone.append(order.id)
        return self.takes_back.pop(0) if self.takes_back else Did(True, "took it back")


class Columns:
    """The worst traces of any alert, and the markers written."""

    def __init__(self) -> None:
        self.deploys: list[Any] = []

    async def named(self, name: str, project: str, **params: Any) -> Table:
        assert (name, params["metric"], params["sign"]) == ("watch_worst", "relevance", 1)
        return Table(["trace_id", "value"], [[f"{n:032x}", n / 10] for n in range(params["limit"])])

    async def write_deploys(self, deploys: list[Any]) -> None:
        self.deploys += [d for d in deploys if d not in self.deploys]


class Bench:
    """An actor over real records."""

    def __init__(self, folder: Path, lever: FakeLever | None = None, spec: ActionSpec | None = None) -> None:
        self.records = Records(f"sqlite:///{folder}/records.db")
        metadata.create_all(self.records.engine)
        self.now = NOW
        self.columns = Columns()
        self.pauses = Pauses(self.records)
        self.lever = lever or FakeLever()
        clock = lambda: self.now  # noqa: E731
        self.actor = Actor(
            self.records,
            {
                "webhook": self.lever,
                "open_reviews": ReviewLever(self.columns, self.records, clock),  # type: ignore[arg-type]
                "pause": PauseLever(self.records, self.pauses, clock),
                "mark_release": ReleaseLever(self.columns, self.records, clock),  # type: ignore[arg-type]
            },
            clock,
            clock,
            {("default", "m"): (spec or ActionSpec("fallback", "webhook"),)},
        )

    def store(self, state: str = "firing", **more: Any) -> Alert:
        alert = Alert(
            "al1", "default", "m", {"prompt_version": "v2"}, state, "page", "ml", "r", "c", NOW, NOW, NOW,
            evidence={"metric": "relevance", "direction": "down", "group": "g", **more},
        )  # fmt: skip

        def work(c: Any) -> None:
            alerts.save(c, alert)
            incidents.open_for(c, "default", "g", "t", "page", "ml", NOW, "watch", ("al1",))
            self.actor.on_change(c, alert)

        self.records.write_now(work)
        return alert

    def rows(self) -> list[actions.ActionRow]:
        return self.records.read_now(lambda c: actions.find(c, "default"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_firing_alert_asks_once_however_often_it_changes(bench: Bench) -> None:
    for _ in range(3):
        bench.store()
    assert [(r.state, r.order.name) for r in bench.rows()] == [("due", "fallback")]
    assert [await bench.actor.run_due(), await bench.actor.run_due()] == [1, 0]
    bench.store()
    assert await bench.actor.run_due() == 0
    (row,) = bench.rows()
    assert (row.state, row.says, len(bench.lever.pulled)) == ("done", "did it", 1)
    told = bench.records.read_now(lambda c: incidents.get(c, "default", row.order.incident_id or ""))
    assert told is not None
    assert [e.text for e in told[1] if e.kind == "action"] == ["fallback: asked", "fallback: done, did it"]
    lines = bench.records.read_now(lambda c: audit.latest(c, "default"))
    assert [x["action"] for x in lines] == ["action.done", "action.asked"]


async def test_a_crash_between_doing_and_recording_does_the_same_order_again(
    bench: Bench, tmp_path: Path
) -> None:
    bench.lever.script = [Crash()]
    bench.store()
    with pytest.raises(Crash):
        await bench.actor.run_due()
    after = Bench(tmp_path)
    after.store()
    assert await after.actor.run_due() == 0, "the lease holds"
    after.now += LEASE_NS + 1
    assert await after.actor.run_due() == 1
    assert bench.lever.pulled == after.lever.pulled and len(after.rows()) == 1
    assert after.rows()[0].state == "done" and await after.actor.run_due() == 0


async def test_what_may_work_later_is_tried_later_and_given_up_in_the_end(bench: Bench) -> None:
    bench.lever.script = [Did(False, "busy", later=True)] * 30
    bench.store()
    for _ in range(40):
        bench.now += 400 * 10**9
        await bench.actor.run_due()
    (row,) = bench.rows()
    assert (row.state, len(bench.lever.pulled)) == ("failed", 20)
    bench.lever.script = []
    await bench.actor.by_hand("default", "al1", "fallback", "ann")
    await bench.actor.run_due()
    assert bench.rows()[0].state == "done"


async def test_who_asks_for_time_is_given_it(bench: Bench) -> None:
    async def send(route: str, event: str, key: str, order: Order, body: dict[str, Any]) -> Answer:
        asked.append(bench.now)
        return Answer(False, True, "the receiver answered 503", 120.0)

    asked: list[int] = []
    bench.actor.levers = {"webhook": WebhookLever(send)}
    bench.store()
    for _ in range(30):
        await bench.actor.run_due()
        bench.now += 5 * 10**9
    assert [at - asked[0] for at in asked] == [0, 120 * 10**9]


async def test_undo_takes_it_back_and_doing_it_again_is_possible(bench: Bench) -> None:
    bench.store()
    await bench.actor.run_due()
    (row,) = bench.rows()
    await bench.actor.undo("default", row.id, "ann")
    await bench.actor.run_due()
    assert bench.rows()[0].state == "undone" and bench.lever.undone == [row.id]
    assert (await bench.actor.undo("default", row.id, "ann")).state == "undone"
    await bench.actor.by_hand("default", "al1", "fallback", "ann")
    await bench.actor.run_due()
    assert bench.rows()[0].state == "done" and len(bench.lever.pulled) == 2
    with pytest.raises(Refused):
        await bench.actor.undo("default", "nope", "ann")


async def test_a_resolved_alert_takes_back_what_was_to_last_as_long(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spec=ActionSpec("fallback", "webhook", revert=True))
    bench.store()
    await bench.actor.run_due()
    bench.store("resolved")
    await bench.actor.run_due()
    assert bench.rows()[0].state == "undone" and len(bench.lever.undone) == 1


async def test_what_still_waits_when_the_alert_resolves_is_not_done_afterwards(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spec=ActionSpec("fallback", "webhook", revert=True))
    bench.store()
    bench.store("resolved")
    (row,) = bench.rows()
    assert (row.state, row.says) == ("undone", "withdrawn before it was tried")
    assert await bench.actor.run_due() == 0 and bench.lever.pulled == bench.lever.undone == []
    lines = bench.records.read_now(lambda c: audit.latest(c, "default"))
    assert [(x["action"], x["actor"]) for x in lines] == [
        ("action.undone", "watchkeeper"), ("action.undo_asked", "watch"), ("action.asked", "watch"),
    ]  # fmt: skip


async def test_what_may_have_arrived_when_the_alert_resolves_is_taken_back_and_not_before_its_next_try(
    tmp_path: Path,
) -> None:
    lever = FakeLever([Did(False, "no answer in time", later=True)], takes_back=[Did(False, "gone")])
    bench = Bench(tmp_path, lever, ActionSpec("fallback", "webhook", revert=True))
    bench.store()
    await bench.actor.run_due()
    bench.store("resolved")
    assert bench.rows()[0].state == "undoing" and await bench.actor.run_due() == 0, "it may be on its way"
    bench.now += LEASE_NS
    await bench.actor.run_due()
    assert (bench.rows()[0].state, len(lever.pulled), len(lever.undone)) == ("failed", 1, 1), "never done"
    await bench.actor.by_hand("default", "al1", "fallback", "ann")
    await bench.actor.run_due()
    assert bench.rows()[0].state == "done"


async def test_an_action_that_asks_on_resolved_is_not_taken_back_by_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spec=ActionSpec("back", "webhook", when="resolved", revert=True))
    bench.store("resolved")
    await bench.actor.run_due()
    assert bench.rows()[0].state == "done"


async def test_what_waits_can_be_withdrawn_by_hand(bench: Bench) -> None:
    bench.store()
    assert (await bench.actor.undo("default", bench.rows()[0].id, "ann")).state == "undone"
    assert await bench.actor.run_due() == 0 and bench.lever.pulled == []


async def test_a_receiver_that_hangs_holds_up_no_other_order(tmp_path: Path) -> None:
    both = asyncio.Barrier(2)

    class Hangs(FakeLever):
        async def pull(self, order: Order) -> Did:
            await asyncio.wait_for(both.wait(), 5)
            return Did(True, "did it")

    bench = Bench(tmp_path, Hangs())
    bench.actor.specs = {("default", "m"): (ActionSpec("a", "webhook"), ActionSpec("b", "webhook"))}
    bench.store()
    await bench.actor.run_due()
    assert [r.state for r in bench.rows()] == ["done", "done"]


async def test_what_is_asked_for_anew_after_an_undo_is_no_repetition_to_the_receiver(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []

    async def send(route: str, event: str, key: str, order: Order, body: dict[str, Any]) -> Answer:
        said.append((key, body["order"]))
        return Answer(True)

    bench = Bench(tmp_path)
    bench.actor.levers = {"webhook": WebhookLever(send)}
    bench.store()
    await bench.actor.run_due()
    (row,) = bench.rows()
    for _ in range(2):
        await bench.actor.undo("default", row.id, "ann")
        await bench.actor.run_due()
        await bench.actor.by_hand("default", "al1", "fallback", "ann")
        await bench.actor.run_due()
    orders = [row.id, row.id, f"{row.id}-2", f"{row.id}-2", f"{row.id}-3"]
    assert said == [(o + ("-undo" if n % 2 else ""), o) for n, o in enumerate(orders)]


async def test_a_dry_run_only_says_it_and_leaves_the_real_thing_to_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spec=ActionSpec("fallback", "webhook", dry_run=True))
    bench.store()
    bench.store()
    assert await bench.actor.run_due() == 0 and bench.lever.pulled == []
    assert [(r.state, r.says) for r in bench.rows()] == [("dry", "would do it")]
    await bench.actor.by_hand("default", "al1", "fallback", "ann")
    await bench.actor.run_due()
    assert sorted(r.state for r in bench.rows()) == ["done", "dry"]


async def test_an_alert_that_is_part_of_a_wider_one_and_a_manual_action_ask_for_nothing(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    bench.store(inhibited_by="other")
    assert bench.rows() == []
    other = Bench(tmp_path, spec=ActionSpec("fallback", "webhook", automatic=False))
    other.store()
    assert other.rows() == []
    with pytest.raises(Refused, match="no action"):
        await other.actor.by_hand("default", "al1", "else", "ann")
    with pytest.raises(Refused, match="no alert"):
        await other.actor.by_hand("default", "al9", "fallback", "ann")


async def test_reviews_are_opened_for_the_worst_once_and_taken_away_unread(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spec=ActionSpec("worst", "open_reviews", params={"count": 7}))
    bench.store()
    await bench.actor.run_due()
    (row,) = bench.rows()
    lever = bench.actor.levers["open_reviews"]
    await lever.pull(row.order)
    count = lambda: bench.records.read_now(lambda c: reviews.counts(c, "default"))  # noqa: E731
    assert count() == {"open": 7} and row.says == "opened 7 reviews"
    await bench.actor.undo("default", row.id, "ann")
    await bench.actor.run_due()
    assert count() == {}


async def test_a_paused_judge_gets_nothing_new_until_it_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spec=ActionSpec("quiet", "pause", params={"scorer": "helpful"}))
    judge = SimpleNamespace(name="helpful")
    other = SimpleNamespace(name="polite")
    plan = Plan((), (Card("qa", (judge, other), None), Card("one", (judge,), None)))  # type: ignore[arg-type]
    plan_for = bench.pauses.wrap(lambda _project: plan)
    assert plan_for("default") is plan
    bench.store()
    await bench.actor.run_due()
    assert [[j.name for j in c.judges] for c in plan_for("default").cards] == [["polite"]]
    assert plan_for("elsewhere") is plan
    fresh = Pauses(bench.records)
    await fresh.refresh_all()
    assert fresh.known == {"default": frozenset({"helpful"})}, "a restart forgets nothing"
    await bench.actor.undo("default", bench.rows()[0].id, "ann")
    await bench.actor.run_due()
    assert plan_for("default") == plan


async def test_what_is_not_there_is_not_said_to_be_paused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spec=ActionSpec("quiet", "pause", params={"scorer": "helpfull"}))
    plan = Plan((), (Card("qa", (SimpleNamespace(name="helpful"),), None),))  # type: ignore[arg-type]
    bench.pauses.wrap(lambda _project: plan)
    bench.store()
    await bench.actor.run_due()
    (row,) = bench.rows()
    why = "there is no judge or scorecard helpfull to pause; known are helpful, qa"
    assert (row.state, row.says) == ("failed", why)
    tried = await bench.actor.by_hand("default", "al1", "quiet", "ann", dry_run=True)
    assert tried.says == f"would pause nothing: {why}"
    of = ActionSpec("worst", "open_reviews")
    bench.store(metric=None)
    told = await bench.actor.by_hand("default", "al1", "worst", "ann", dry_run=True, spec=of)
    assert told.says == "would open no reviews: the alert names no metric, so there are no worst traces"


async def test_a_bad_release_is_on_record_with_one_marker(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spec=ActionSpec("bad", "mark_release"))
    bench.store()
    await bench.actor.run_due()
    (row,) = bench.rows()
    await bench.actor.levers["mark_release"].pull(row.order)
    assert [(d.name, d.version) for d in bench.columns.deploys] == [("marked bad:", "v2")]
    marks = lambda: bench.records.read_now(lambda c: states.get_all(c, "default", "release_mark"))  # noqa: E731
    assert marks()["v2"]["by"] == "watch"
    await bench.actor.undo("default", row.id, "ann")
    await bench.actor.run_due()
    assert marks() == {} and bench.columns.deploys[-1].name == "mark removed:"
    assert version_of(replace_params(row.order, {"version": "r9"})) == "r9"


def replace_params(order: Order, params: dict[str, Any]) -> Order:
    import msgspec

    return msgspec.structs.replace(order, params=params)


async def test_the_webhook_says_action_and_undo_signed_under_the_order_s_id(tmp_path: Path) -> None:
    sink = HttpSink()
    await sink.start()
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}"), timeout_s=2)
    try:
        channels = {"ops": WebhookChannel(egress, sink.url, "s3cret", lambda: NOW)}
        lever = WebhookLever(Through(channels))
        order = Order("o1", "default", "fallback", "webhook", "watch", NOW, {"route": "ops"}, "al1")
        assert (await lever.pull(order)).ok and (await lever.undo(order, {})).ok
        lost = await lever.pull(replace_params(order, {"route": "gone"}))
        assert not lost.ok and not lost.later
    finally:
        await egress.close()
        await sink.stop()
    keys = [{k.lower(): v for k, v in headers.items()} for _, headers, _ in sink.seen]
    assert [k["idempotency-key"] for k in keys] == ["o1", "o1-undo"]
    assert all(k["x-watchkeeper-signature"].startswith("v1=") for k in keys)
    assert [
        b'"event":"%s"' % e in body for e, (_, _, body) in zip((b"action", b"undo"), sink.seen, strict=True)
    ] == [True] * 2


@pytest.mark.parametrize(
    "action",
    [{"type": "webhook"}, {"type": "pause"}, {"type": "pause", "scorer": "a", "scorecard": "b"},
     {"type": "open_reviews", "version": "x"}, {"type": "burn"}, {"type": "open_reviews", "count": 0}],
)  # fmt: skip
def test_an_action_that_makes_no_sense_is_refused(action: dict[str, Any]) -> None:
    given = {"name": "m", "condition": "x > 1", "owner": "o", "runbook": "r", "actions": (action,)}
    with pytest.raises(ValueError):
        Monitor.model_validate(given)
