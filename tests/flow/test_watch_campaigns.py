"""Campaigns against the watcher: crashes at any point of an incident, and random histories against a second reading of the rules.

`WATCHKEEPER_CHAOS=full` makes it 300 crashes and 10,000 histories.
"""

import random
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.chaos import new_seed, progress, sized
from tests.unit.pipeline.world import EPOCH, HOUR, Columns, Normal, Traffic
from watchkeeper.alerting.evaluate import Judgement, Truth
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.alerting.routing import Silence
from watchkeeper.model.alert import Alert, Notification
from watchkeeper.notify.channel import Delivered
from watchkeeper.pipeline.alert import Delivery
from watchkeeper.pipeline.backtest import History
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.pipeline.watching import steps as steps_module
from watchkeeper.pipeline.watching.book import Book, Watched
from watchkeeper.pipeline.watching.look import Looked
from watchkeeper.pipeline.watching.steps import Settings, Steps
from watchkeeper.pipeline.watching.work import Work
from watchkeeper.store.records import alerts
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

KILLS, HISTORIES = sized(20, 300), sized(300, 10_000)
SECOND = 10**9


# -- crashes -----------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone: nothing after this line of it happens."""


@dataclass
class Receiver:
    """Writes down what arrived; may kill the sender after it has taken a message and before that is recorded."""

    heard: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    now: int = 0
    kill: Any = None

    async def send(self, notification: Notification) -> Delivered:
        self.heard.append((self.now, notification.dedup_key, notification.event))
        if self.kill is not None:
            self.kill("after send, before record")
        return Delivered()


BEGIN, STOP = 340, 400
POINTS = ("while reading", "before a transaction", "after a transaction", "after send, before record")


def story(h: int) -> dict[str, tuple[float, Normal]]:
    """Two incidents of everybody, one of a canary."""
    bad = 350 <= h < 358 or 380 <= h < 386
    return {"v1": (1.0, Normal(relevance=6.0 if bad else 8.2, errors=0.15 if bad else 0.004))}


def rules() -> list[Monitor]:
    common: dict[str, Any] = {"owner": "ml", "runbook": "r.md", "routes": ("hook",), "renotify": 6 * HOUR}
    return [
        Monitor("drop", "shift(relevance) = 'down'", severity="page", **common),
        Monitor("errors", "error_rate > 5%", hold=HOUR, keep_firing=HOUR, **common),
    ]


async def play(
    folder: Path, columns: Columns, dice: random.Random | None, most: int
) -> tuple[Receiver, Counter[str]]:
    """The hours from BEGIN to STOP; with `dice`, up to `most` crashes, each followed by a start from what was stored."""
    kills: Counter[str] = Counter()
    receiver = Receiver()
    armed: dict[str, Any] = {"where": "", "after": 0}

    def kill(where: str) -> None:
        if armed["where"] == where:
            armed["after"] -= 1
            if armed["after"] <= 0:
                armed["where"] = ""
                kills[where] += 1
                raise Crash(where)

    receiver.kill = kill
    hour = BEGIN
    tries = 0
    while hour < STOP:
        records = Records(f"sqlite:///{folder}/r.db")
        real = records.write

        async def write(work: Any, real: Any = real) -> Any:
            kill("before a transaction")
            made = await real(work)
            kill("after a transaction")
            return made

        records.write = write  # type: ignore[method-assign]
        reading = columns.read_points

        async def read(*args: Any, reading: Any = reading, **more: Any) -> Any:
            kill("while reading")
            return await reading(*args, **more)

        watched = replace_read(columns, read)
        watcher = Watcher(watched, records, rules())  # type: ignore[arg-type]
        try:
            while hour < STOP:
                if (
                    dice is not None
                    and not armed["where"]
                    and sum(kills.values()) < most
                    and dice.random() < 0.5
                ):
                    armed |= {"where": dice.choice(POINTS), "after": dice.choice([1, 1, 2, 3])}
                receiver.now = EPOCH + hour * HOUR + 600 * SECOND
                # The lease of a message whose sender died ends within the hour.
                sender = Delivery(records, {"hook": receiver}, lambda: receiver.now, lambda: 0.5)
                await watcher.tick(receiver.now)
                await sender.deliver_due()
                hour += 1
        except Crash:
            tries += 1
            assert tries < 10_000
            receiver.now += 120 * SECOND
        finally:
            records.write = real  # type: ignore[method-assign]
            records.close()
    return receiver, kills


def replace_read(columns: Columns, read: Any) -> Columns:
    made = replace(columns)
    made.read_points = read  # type: ignore[method-assign]
    return made


async def test_crashes_at_any_point_of_an_incident_lose_nothing_and_repeat_only_under_the_same_key(
    tmp_path: Path,
) -> None:
    dice = random.Random(seed := new_seed())
    columns = Columns()
    traffic = Traffic(story, n=60)
    for h in range(STOP + 1):
        columns.add(traffic.hour(h))
    start = tmp_path / "start"
    start.mkdir()
    records = Records(f"sqlite:///{start}/r.db")
    metadata.create_all(records.engine)
    await Watcher(columns, records, rules()).tick(EPOCH + (BEGIN - 1) * HOUR + 600 * SECOND)  # type: ignore[arg-type]
    records.close()

    def fresh(name: str) -> Path:
        return Path(shutil.copytree(start, tmp_path / name))

    calm, none = await play(fresh("calm"), columns, None, 0)
    wanted = [(key, event) for _, key, event in calm.heard]
    assert not none and {e for _, e in wanted} >= {"firing", "resolved"} and len({k for k, _ in wanted}) >= 2
    when = {(key, event): at for at, key, event in reversed(calm.heard)}
    ends = final(fresh_records(tmp_path / "calm"))

    where: Counter[str] = Counter()
    runs = repeated = 0
    while sum(where.values()) < KILLS:
        print(f"A1 crashes: {sum(where.values())} of {KILLS}, seed {seed}")
        runs += 1
        folder = fresh(f"run{runs}")
        got, kills = await play(folder, columns, dice, min(12, KILLS - sum(where.values())))
        where += kills
        heard = [(key, event) for _, key, event in got.heard]
        # Every message at least once, in the same order, and again only with the key it had.
        assert list(dict.fromkeys(heard)) == list(dict.fromkeys(wanted)), kills
        extra = len(heard) - len(wanted)
        assert 0 <= extra <= kills["after send, before record"] + kills["before a transaction"]
        repeated += extra
        for at, key, event in got.heard:
            assert at >= when[(key, event)], "nothing is told before it is known"
        first = {}
        for at, key, event in got.heard:
            first.setdefault((key, event), at)
        assert all(at - when[k] <= 2 * HOUR for k, at in first.items() if k[1] != "reminder")
        assert final(fresh_records(folder)) == ends
        shutil.rmtree(folder)
    print(f"A1: {sum(where.values())} crashes in {runs} runs: {dict(where)}; {repeated} messages sent twice")


def fresh_records(folder: Path) -> Records:
    return Records(f"sqlite:///{folder}/r.db")


def final(records: Records) -> list[tuple[str, str, int | None, int | None]]:
    found = records.read_now(lambda c: alerts.find(c, "default"))
    records.close()
    return sorted((a.id, a.state, a.fired_ns, a.resolved_ns) for a in found)


async def under_a_clock(
    columns: Columns, traffic: Traffic, file: Path, steps: dict[int, int]
) -> list[tuple[str, str, int | None, int | None]]:
    """The alerts of the story, watched hour by hour; at the hours of `steps` by a clock that is wrong by so many hours first."""
    world = replace(columns, points={k: dict(v) for k, v in columns.points.items()})
    records = Records(f"sqlite:///{file}")
    metadata.create_all(records.engine)
    for hour in range(BEGIN - 1, STOP):
        if hour >= BEGIN:
            world.add(traffic.hour(hour - 1))
        for wrong in (steps.get(hour, 0), 0) if hour in steps else (0,):
            now = EPOCH + (hour + wrong) * HOUR + 600 * SECOND
            await Watcher(world, records, rules()).tick(now)  # type: ignore[arg-type]
    return final(records)


async def test_a_clock_that_steps_and_comes_back_fires_and_resolves_nothing_and_misses_nothing(
    tmp_path: Path,
) -> None:
    columns, traffic = Columns(), Traffic(story, n=60)
    for h in range(BEGIN):
        columns.add(traffic.hour(h))
    calm = await under_a_clock(columns, traffic, tmp_path / "calm.db", {})
    assert [state for _, state, _, _ in calm] == ["resolved"] * len(calm) and len(calm) >= 3
    for step in (1, 24, -1, -24):
        # Before the first incident, in the middle of it, in its recovery, and in the second.
        wrong = {345: step, 353: step, 360: step, 381: step, 390: step}
        assert await under_a_clock(columns, traffic, tmp_path / f"{step}.db", wrong) == calm, step


# -- a second reading of the rules --------------------------------------------------------------------------------

SEEN = ("clear", "near", "breach", "unknown", "no_data", "unstable")
WEIGHTS = (30, 8, 34, 8, 12, 4)
LENGTH = 36


@dataclass(frozen=True)
class Rule:
    """A monitor of a history: durations in ticks of an hour, None for never."""

    name: str
    severity: str
    hold: int
    keep: int
    renotify: int | None
    response: int | None

    def monitor(self) -> Monitor:
        return Monitor(
            self.name, f"{self.name}_score < 5", "o", "r.md",
            hold=self.hold * HOUR, keep_firing=self.keep * HOUR, severity=self.severity, window=HOUR, routes=("hook",),
            renotify=None if self.renotify is None else self.renotify * HOUR,
            response_time=None if self.response is None else self.response * HOUR,
        )  # fmt: skip


@dataclass(frozen=True)
class Script:
    """One random history: what each monitor sees at each tick, who takes what when, silences, restarts, reloads."""

    rules: tuple[Rule, ...]
    seen: dict[str, list[str]]
    acks: dict[int, str]
    silences: tuple[tuple[str, int, int], ...]
    restarts: frozenset[int]
    reloads: frozenset[int]


def scripted(dice: random.Random) -> Script:
    rules = tuple(
        Rule(
            name,
            dice.choice(["page", "warn", "warn"]),
            dice.choice([0, 0, 1, 2, 3]),
            dice.choice([0, 0, 1, 3]),
            dice.choice([None, 2, 5]),
            dice.choice([None, 3]),
        )
        for name in ("a", "b", "c")[: dice.choice([1, 2, 2, 3])]
    )
    seen: dict[str, list[str]] = {}
    for rule in rules:
        run: list[str] = []
        while len(run) < LENGTH:
            run += dice.choices(SEEN, WEIGHTS)[:1] * dice.choice([1, 1, 2, 3, 6])
        seen[rule.name] = run[:LENGTH]
    acks = {dice.randrange(LENGTH): dice.choice(rules).name for _ in range(dice.choice([0, 0, 1, 2]))}
    silences = tuple(
        (dice.choice(rules).name, (t := dice.randrange(LENGTH)), t + dice.choice([2, 6, 12]))
        for _ in range(dice.choice([0, 0, 0, 1]))
    )
    restarts = frozenset(dice.sample(range(LENGTH), dice.choice([0, 1, 3])))
    return Script(rules, seen, acks, silences, restarts, frozenset(dice.sample(range(LENGTH), 2)))


@dataclass
class Incident:
    """An incident of the reference: times in ticks."""

    rule: Rule
    onset: int
    group: int = 0
    open: bool = True
    taken: bool = False


def run_of(seen: list[str], t: int, wanted: tuple[str, ...], since: int) -> int | None:
    """The first tick of the unbroken run of `wanted` that ends at `t` and does not reach before `since`; None without one."""
    first = None
    for i in range(t, since - 1, -1):
        if seen[i] not in wanted:
            break
        first = i
    return first


class Reference:
    """The documented rules read once more: states from whole runs of what was seen, messages from what readers know."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.state = {r.name: "no_data" for r in script.rules}
        self.entered = {r.name: 0 for r in script.rules}
        self.pending = dict.fromkeys(self.state, 0)
        self.incidents: list[Incident] = []
        self.known: dict[int, dict[str, Any]] = {}
        self.open_to_chance = False
        self.said: list[tuple[int, str, frozenset[str]]] = []

    def tick(self, t: int) -> None:
        for rule in self.script.rules:
            self.advance(rule, t)
        self.tell(t)

    def advance(self, rule: Rule, t: int) -> None:
        name, seen = rule.name, self.script.seen[rule.name]
        what, state = seen[t], self.state[rule.name]
        if what == "unknown":
            return
        if state == "firing":
            since = run_of(seen, t, ("clear",), self.entered[name] + 1)
            if what == "clear" and since is not None and t - since >= rule.keep:
                self.enter(name, "resolved", t)
                next(i for i in self.incidents if i.rule is rule and i.open).open = False
            return
        if what == "unstable":
            self.enter(name, "unstable", t)
        elif what == "no_data":
            blind = run_of(seen, t, ("no_data", "unstable"), 0)
            if state != "no_data" and blind is not None and t - blind >= 2:
                self.enter(name, "no_data", t)
        elif what == "clear":
            if state != "ok":
                self.enter(name, "ok", t)
        else:
            if state != "pending":
                self.enter(name, "pending", t)
                self.pending[name] = t
            since = run_of(seen, t, ("breach",), self.pending[name])
            if what == "breach" and since is not None and t - since >= rule.hold:
                self.enter(name, "firing", t)
                self.fire(rule, t)

    def enter(self, name: str, state: str, t: int) -> None:
        if self.state[name] != state:
            self.state[name], self.entered[name] = state, t

    def fire(self, rule: Rule, t: int) -> None:
        made = Incident(rule, self.pending[rule.name] - 1)
        near = [
            (abs(i.onset - made.onset), n)
            for n, i in enumerate(self.incidents)
            if i.open and abs(i.onset - made.onset) <= 6
        ]
        if near:
            best = min(d for d, _ in near)
            groups = {self.incidents[n].group for d, n in near if d == best}
            # Of equally near ones the program takes the smaller id, which the rules do not know.
            self.open_to_chance |= len(groups) > 1
            made.group = min(groups)
        else:
            # A group is named by the onset of the incident it began with.
            made.group = made.onset
        self.incidents.append(made)

    def silent(self, incident: Incident, t: int) -> bool:
        return any(n == incident.rule.name and a <= t < b for n, a, b in self.script.silences)

    def tell(self, t: int) -> None:
        for group in sorted({i.group for i in self.incidents}):
            members = [i for i in self.incidents if i.group == group]
            burning = [i for i in members if i.open]
            loud = [i for i in burning if not self.silent(i, t)]
            was = self.known.setdefault(
                group, {"firing": False, "severity": "", "at": 0, "since": 0, "escalated": False}
            )
            if not loud:
                if was["firing"] and not burning:
                    self.say(t, "resolved", [])
                    was.update(firing=False)
                continue
            severity = "page" if any(i.rule.severity == "page" for i in loud) else "warn"
            if not was["firing"]:
                self.say(t, "firing", loud)
                was.update(firing=True, severity=severity, at=t, since=t, escalated=False)
                continue
            if severity == "page" and was["severity"] == "warn":
                self.say(t, "updated", loud)
                was.update(severity="page", at=t, since=t)
                continue
            if all(i.taken for i in loud):
                continue
            response = min((i.rule.response for i in burning if i.rule.response is not None), default=None)
            renotify = min((i.rule.renotify for i in burning if i.rule.renotify is not None), default=None)
            if (
                response is not None
                and t - was["since"] >= response
                and not was["escalated"]
                and severity == "page"
            ):
                self.say(t, "escalated", loud)
                was.update(at=t, escalated=True, severity=severity)
            elif renotify is not None and t - was["at"] >= renotify:
                self.say(t, "reminder", loud)
                was.update(at=t, severity=severity)

    def say(self, t: int, event: str, loud: list[Incident]) -> None:
        self.said.append((t, event, frozenset(i.rule.name for i in loud)))


async def program(
    script: Script, patch: pytest.MonkeyPatch
) -> tuple[list[tuple[int, str, frozenset[str]]], dict[str, str]]:
    """What the watcher's own steps say about the same history."""
    now = {"t": 0}

    def look(watched: Watched, monitor: Monitor, cohort: Any, *_: Any) -> Looked:
        what = script.seen[monitor.name][now["t"]]
        return Looked(what, Judgement(Truth.UNKNOWN, ()), cohort, 0)  # type: ignore[arg-type]

    patch.setattr(steps_module, "look", look)
    silences = [
        Silence(f"s{n}", (("monitor", name),), EPOCH + (a + 1) * HOUR, EPOCH + (b + 1) * HOUR, "x")
        for n, (name, a, b) in enumerate(script.silences)
    ]
    work = Work("default", Book(HOUR), {}, {}, {}, {}, silences, EPOCH, EPOCH)
    monitors = [r.monitor() for r in script.rules]
    steps = Steps(History([]), monitors, settings=Settings(tick_ns=HOUR))  # type: ignore[arg-type]
    said: list[tuple[int, str, frozenset[str]]] = []
    for t in range(LENGTH):
        now["t"] = t
        if t in script.reloads:
            steps.monitors = tuple(r.monitor() for r in script.rules)
        if t in script.restarts:
            work = restarted(work)
        if t in script.acks:
            for a in work.alerts.values():
                if a.monitor == script.acks[t] and a.state == "firing" and a.acknowledged_ns is None:
                    a.acknowledged_by, a.acknowledged_ns = "x", EPOCH + t * HOUR
        await steps.step(work, EPOCH + (t + 1) * HOUR)
        for message, _ in work.messages:
            burning = frozenset(a.monitor for a in message.alerts if a.state == "firing")
            said.append((t, message.event, burning if message.event != "resolved" else frozenset()))
        work.messages.clear()
    return said, {k.removesuffix("|"): w.life.state for k, w in work.watched.items()}


def restarted(work: Work) -> Work:
    """The working memory through what is stored."""

    def back(value: Any, kind: Any) -> Any:
        return msgspec.json.decode(msgspec.json.encode(value), type=kind)

    return replace(
        work,
        watched={k: back(w, Watched) for k, w in work.watched.items()},
        alerts={k: back(a, Alert) for k, a in work.alerts.items()},
        told={k: back(t, type(t)) for k, t in work.told.items()},
    )


async def test_random_histories_are_told_as_a_second_reading_of_the_rules_tells_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed = new_seed()
    events: Counter[str] = Counter()
    left_out = 0
    for number in range(HISTORIES):
        script = scripted(random.Random(seed * 100_000 + number))
        said, states = await program(script, monkeypatch)
        reference = Reference(script)
        for t in range(LENGTH):
            if t in script.acks:
                for i in reference.incidents:
                    i.taken |= i.open and i.rule.name == script.acks[t]
            reference.tick(t)
        if reference.open_to_chance:
            left_out += 1
            continue
        assert Counter(said) == Counter(reference.said), (seed, number, script)
        assert states == reference.state, (seed, number, script)
        events.update(e for _, e, _ in said)
        progress("A3 histories", number + 1, HISTORIES, f"seed {seed}")
    print(f"A3: {HISTORIES} histories, {left_out} left out, 0 differences; {dict(events)}")
    assert left_out <= HISTORIES // 10
    assert {"firing", "resolved", "reminder", "escalated", "updated"} <= set(events)
