"""Watchkeeper's own monitors: each fires from what its stage says, and has the life of any alert."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from watchkeeper.alerting.builtin import NAMES, RULES, Reading, rules
from watchkeeper.alerting.routing import Routes
from watchkeeper.compose.upkeep import Upkeep
from watchkeeper.config import adapters
from watchkeeper.config.models import Config, SelfMonitoring
from watchkeeper.model.alert import Alert
from watchkeeper.pipeline.alert import Delivery
from watchkeeper.pipeline.selfwatch import (
    SelfWatch,
)
from watchkeeper.store.records import alerts, incidents, outbox
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

MINUTE = 60 * 10**9
WELL = {
    "ingest-lag": Reading(1.0, 3, "fine"), "scoring-lag": Reading(0.0, 1, "fine"), "drops": Reading(0.0, 500, "fine"),
    "judge-errors": Reading(0.01, 500, "fine"), "disk": Reading(0.6, 1, "fine"), "coverage": Reading(0.0, 500, "fine"),
    "coverage-gap": Reading(0.0, 500, "fine"), "judge-drift": Reading(0.0, 2, "fine"),
    "damage": Reading(0.0, 1, "fine"),
}  # fmt: skip
ILL = {
    "ingest-lag": 600.0, "scoring-lag": 7200.0, "drops": 0.02, "judge-errors": 0.5, "disk": 0.04, "coverage": 0.9,
    "coverage-gap": 0.1, "judge-drift": 0.5, "damage": 2.0,
}  # fmt: skip


class Bench:
    """A self-watch over readings a test sets."""

    def __init__(self, folder: Path) -> None:
        self.records = Records(f"sqlite:///{folder}/records.db")
        metadata.create_all(self.records.engine)
        self.now = 1_795_000_000 * 10**9
        self.read = dict(WELL)
        self.watch = SelfWatch(
            self.records,
            lambda: self.now,
            lambda: {n: self.reader(n) for n in NAMES},
            routes=Routes(page=("p",), warn=("w",)),
        )

    def reader(self, name: str) -> Callable[[], Awaitable[Reading]]:
        async def read() -> Reading:
            return self.read[name]

        return read

    async def after(self, minutes: float) -> list[Alert]:
        self.now += int(minutes * MINUTE)
        await self.watch.look()
        return self.records.read_now(lambda c: alerts.find(c, "default"))

    def told(self) -> list[tuple[str, str]]:
        return sorted(
            (n.route, n.event) for _, n in self.records.read_now(lambda c: outbox.find(c, "default"))
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_all_is_well_and_nothing_fires(bench: Bench) -> None:
    assert [await bench.after(1) for _ in range(10)] == [[]] * 10
    standing = await bench.watch.standing()
    assert {s.state for s in standing} == {"ok"} and len(standing) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_it_fires_once_tells_its_route_and_resolves(bench: Bench, name: str) -> None:
    rule = next(r for r in RULES if r.name == name)
    await bench.after(1)
    bench.read[name] = replace(WELL[name], value=ILL[name], n=500, says="it is bad")
    for _ in range(6):
        found = await bench.after(1)
    (alert,) = found
    assert (alert.monitor, alert.state, alert.owner) == (f"watchkeeper.{name}", "firing", "operator")
    assert alert.severity == rule.severity and "it is bad" in alert.summary and alert.condition
    route = "p" if rule.severity == "page" else "w"
    opened = bench.records.read_now(lambda c: incidents.find(c, "default"))
    assert [i.document["alerts"] for i in opened] == ([[alert.id]] if rule.severity == "page" else [])
    assert bench.told() == [(route, "firing")]
    bench.read[name] = WELL[name]
    for _ in range(8):
        found = await bench.after(1)
    assert [a.state for a in found] == ["resolved"]
    assert bench.told() == [(route, "firing"), (route, "resolved")]
    bench.read[name] = replace(WELL[name], value=ILL[name], n=500)
    for _ in range(6):
        found = await bench.after(1)
    assert sorted(a.state for a in found) == ["firing", "resolved"]


async def test_nothing_read_is_neither_well_nor_over(bench: Bench) -> None:
    bench.read["drops"] = Reading(None, 0, "nothing came")
    await bench.after(1)
    assert {s.rule.name: s.state for s in await bench.watch.standing()}["drops"] == "no_data"
    bench.read["drops"] = Reading(0.5, 10, "")
    await bench.after(1)
    bench.read["drops"] = Reading(None, 0, "nothing came")
    assert [(await bench.after(5))[0].state for _ in range(4)] == ["firing"] * 4


async def test_a_short_stall_does_not_fire(bench: Bench) -> None:
    bench.read["ingest-lag"] = Reading(600.0, 1, "")
    assert await bench.after(1) == []
    bench.read["ingest-lag"] = WELL["ingest-lag"]
    assert [await bench.after(1) for _ in range(5)] == [[]] * 5


async def test_a_stage_that_cannot_be_read_is_unknown_and_stops_nobody(bench: Bench) -> None:
    async def broken() -> Reading:
        raise OSError("gone")

    usual = bench.watch.readings
    bench.watch.readings = lambda: {**usual(), "disk": broken}
    bench.read["drops"] = Reading(0.5, 100, "")
    found = await bench.after(1)
    assert [a.monitor for a in found] == ["watchkeeper.drops"] and bench.watch.counts.unreadable == 1
    standing = await bench.watch.standing()
    assert next(s for s in standing if s.rule.name == "disk").reading.value is None


async def test_it_goes_on_after_a_restart(bench: Bench, tmp_path: Path) -> None:
    bench.read["disk"] = Reading(0.01, 1, "")
    await bench.after(1)
    other = Bench(tmp_path)
    other.now, other.read = bench.now, dict(WELL)
    for _ in range(8):
        found = await other.after(1)
    assert [a.state for a in found] == ["resolved"]


async def test_every_process_shows_what_the_one_that_leads_read(bench: Bench, tmp_path: Path) -> None:
    follower = Bench(tmp_path)
    assert await follower.watch.standing() == []
    bench.read["drops"] = Reading(0.5, 10, "5 of 10 records were dropped")
    await bench.after(1)
    assert await follower.watch.standing() == await bench.watch.standing()
    assert {s.rule.name: s.state for s in await follower.watch.standing()}["drops"] == "firing"


async def test_what_is_switched_off_leaves_no_alert_behind(bench: Bench) -> None:
    bench.read["disk"] = Reading(0.01, 1, "")
    await bench.after(1)
    bench.watch.rules = rules(off=("disk",))
    assert [a.state for a in await bench.after(1)] == ["resolved"]


async def test_too_few_judge_calls_say_nothing(bench: Bench) -> None:
    bench.read["judge-errors"] = Reading(1.0, 5, "")
    assert [await bench.after(5) for _ in range(5)] == [[]] * 5


def test_the_configuration_switches_and_limits_them() -> None:
    own = SelfMonitoring.model_validate({"off": ("disk",), "ingest_lag": "10s", "drops": "50%"})
    found = {r.name: r for r in adapters.built_in_of(Config(self_monitoring=own))}
    assert "disk" not in found and found["ingest-lag"].limit == 10.0 and found["drops"].limit == 0.5
    assert adapters.built_in_of(Config(self_monitoring=SelfMonitoring(enabled=False))) == ()
    with pytest.raises(KeyError):
        rules(off=("nonsense",))


class Fake:
    """Just enough of the flows for the heartbeat."""

    def __init__(self, records: Records, config: Config) -> None:
        self.records, self.now = records, 10**18
        self.holder = SimpleNamespace(current=config)
        self.watcher = SimpleNamespace(counts=SimpleNamespace(failed=0))
        self.watched_at: float | None = 0.0
        self.delivery = Delivery(records, {}, lambda: self.now, lambda: 0.5)


async def test_the_heart_beats_once_an_interval_and_stops_when_watching_does(bench: Bench) -> None:
    config = Config.model_validate({"heartbeat": {"route": "dead-man", "every": "1m"}})
    flows, seconds = Fake(bench.records, config), [0.0]
    beside = Upkeep(flows, bench.watch, None, lambda: seconds[0])  # type: ignore[arg-type]

    async def beats() -> int:
        await beside.beat()
        return sum(event == "heartbeat" for _, event in bench.told())

    assert [await beats(), await beats()] == [1, 1]
    flows.now += MINUTE
    seconds[0] = flows.watched_at = 60.0
    assert await beats() == 2
    # Watching hangs: what still runs must not say that all is well.
    flows.now, seconds[0] = flows.now + 10 * MINUTE, 660.0
    assert await beats() == 2
    seconds[0] = flows.watched_at = 700.0
    assert await beats() == 3
    # Watching comes back at once, each time having failed.
    for step in range(1, 60):
        flows.now, seconds[0] = flows.now + MINUTE, 700.0 + 60 * step
        flows.watched_at, flows.watcher.counts.failed = seconds[0], step
        last = await beats()
    assert last <= 3 + 6


async def test_without_a_heartbeat_nothing_is_sent(bench: Bench) -> None:
    beside = Upkeep(Fake(bench.records, Config()), bench.watch, None)  # type: ignore[arg-type]
    await beside.beat()
    assert bench.told() == []
