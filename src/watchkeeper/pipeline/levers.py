"""The levers that move Watchkeeper's own records: reviews for the worst traces, a paused judge, a release marked bad."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.control.port import Did
from watchkeeper.model.action import Order
from watchkeeper.model.alert import Alert, Deploy
from watchkeeper.model.times import Clock
from watchkeeper.pipeline.plan import Plan
from watchkeeper.pipeline.watching.evidence import worst_traces
from watchkeeper.reviewing.queue import item
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import reviews, states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import review_items
from watchkeeper.store.records.tables import states as table

PAUSED, MARKED = "paused", "release_mark"
MOST_REVIEWS = 200
NO_METRIC = "the alert names no metric, so there are no worst traces"


@dataclass(frozen=True)
class ReviewLever:
    """Opens reviews for the worst `count` traces of an alert since its onset; taking it back closes those nobody read."""

    columns: Columns
    records: Records
    clock: Clock

    def would(self, order: Order) -> str:
        """In a sentence."""
        if not isinstance((order.alert.get("evidence") or {}).get("metric"), str):
            return f"open no reviews: {NO_METRIC}"
        return f"open reviews for the {self._count(order)} worst traces of the alert"

    @staticmethod
    def _count(order: Order) -> int:
        return min(max(int(order.params.get("count") or 20), 1), MOST_REVIEWS)

    async def pull(self, order: Order) -> Did:
        """Open them; those that are open stay."""
        alert = msgspec.convert(order.alert, Alert)
        metric = alert.evidence.get("metric")
        if not isinstance(metric, str):
            return Did(False, NO_METRIC)
        until = alert.resolved_ns or self.clock()
        down = alert.evidence.get("direction", "down") == "down"
        since = alert.onset_ns if alert.onset_ns is not None else alert.since_ns
        rows = await worst_traces(self.columns, alert, metric, since, until, down, self._count(order))
        now = self.clock()

        def work(c: Connection) -> int:
            for rank, row in enumerate(rows):
                reason = f"Among the worst behind “{alert.monitor}”: {metric} {row.get('value')}"
                wanted = item(
                    order.project, str(row["trace_id"]), f"action:{order.id[:12]}", reason, 7.5 - rank * 0.01, now,
                    alert_id=alert.id,
                )  # fmt: skip
                reviews.add(c, wanted)
            return len(rows)

        opened = await self.records.write(work)
        return Did(True, f"opened {opened} reviews", memory={"source": f"action:{order.id[:12]}"})

    async def undo(self, order: Order, memory: Mapping[str, Any]) -> Did:
        """Take away those that are still open; what a person has labelled stays."""
        i = review_items
        gone = sa.delete(i).where(
            i.c.project == order.project, i.c.source == f"action:{order.id[:12]}", i.c.status == "open"
        )
        n = await self.records.write(lambda c: c.execute(gone).rowcount)
        return Did(True, f"took {n} unread reviews away")


@dataclass
class Pauses:
    """Which judges and scorecards are paused, by project: read from the records at the start and after every change."""

    records: Records
    known: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    plan_for: Callable[[str], Plan] | None = None

    def unknown(self, project: str, name: str) -> str | None:
        """Why there is nothing of this name to pause; None where there is, or where no plan is known."""
        if self.plan_for is None:
            return None
        cards = self.plan_for(project).cards
        there = sorted({c.name for c in cards} | {j.name for c in cards for j in c.judges})
        if name in there:
            return None
        return f"there is no judge or scorecard {name} to pause; known are {', '.join(there) or 'none'}"

    async def refresh(self, project: str) -> None:
        """Read one project's again."""
        found = await self.records.read(lambda c: states.get_all(c, project, PAUSED))
        self.known[project] = frozenset(found)

    async def refresh_all(self) -> None:
        """Read every project's."""
        query = sa.select(table.c.project, table.c.key).where(table.c.kind == PAUSED)
        found: dict[str, set[str]] = {}
        for project, name in await self.records.read(lambda c: c.execute(query).all()):
            found.setdefault(str(project), set()).add(str(name))
        self.known = {project: frozenset(names) for project, names in found.items()}

    def apply(self, project: str, plan: Plan) -> Plan:
        """The plan for traces that come in: no paused judge gets new work. What is queued is finished."""
        paused = self.known.get(project)
        if not paused:
            return plan
        cards = (
            replace(c, judges=tuple(j for j in c.judges if j.name not in paused))
            for c in plan.cards
            if c.name not in paused
        )
        return replace(plan, cards=tuple(c for c in cards if c.judges))

    def wrap(self, plan_for: Callable[[str], Plan]) -> Callable[[str], Plan]:
        """`plan_for` without what is paused; it says from now on what there is to pause."""
        self.plan_for = plan_for
        return lambda project: self.apply(project, plan_for(project))


@dataclass(frozen=True)
class PauseLever:
    """Pauses a judge or a whole scorecard: no new trace is given to it until it is taken back."""

    records: Records
    pauses: Pauses
    clock: Clock

    def would(self, order: Order) -> str:
        """In a sentence."""
        name = self._name(order)
        missing = self.pauses.unknown(order.project, name)
        return (
            f"pause nothing: {missing}"
            if missing
            else f"pause {name}: it gets no new traces until this is undone"
        )

    @staticmethod
    def _name(order: Order) -> str:
        return str(order.params.get("scorer") or order.params.get("scorecard") or "")

    async def pull(self, order: Order) -> Did:
        """Pause it; who paused it first stays."""
        name, now = self._name(order), self.clock()
        if not name:
            return Did(False, "no scorer or scorecard is named")
        if missing := self.pauses.unknown(order.project, name):
            return Did(False, missing)

        def work(c: Connection) -> None:
            if states.get(c, order.project, PAUSED, name) is None:
                states.put(c, order.project, PAUSED, name, {"order": order.id, "by": order.actor}, now)

        await self.records.write(work)
        await self.pauses.refresh(order.project)
        return Did(True, f"{name} is paused")

    async def undo(self, order: Order, memory: Mapping[str, Any]) -> Did:
        """Let it go on, unless somebody else has paused it since."""
        name = self._name(order)

        def work(c: Connection) -> str:
            found = states.get(c, order.project, PAUSED, name)
            if found is not None and found.get("order") != order.id:
                return f"{name} stays paused: {found.get('by')} paused it as well"
            states.delete(c, order.project, PAUSED, [name])
            return f"{name} goes on"

        said = await self.records.write(work)
        await self.pauses.refresh(order.project)
        return Did(True, said)


def version_of(order: Order) -> str:
    """The version an order is about: its own, else the alert's release, prompt version or first suspect."""
    if order.params.get("version"):
        return str(order.params["version"])
    cohort = order.alert.get("cohort") or {}
    for dimension in ("release", "prompt_version", "variant", "model"):
        if cohort.get(dimension):
            return str(cohort[dimension])
    deploys = order.alert.get("deploys") or []
    return str(deploys[0]["version"]) if deploys else ""


@dataclass(frozen=True)
class ReleaseLever:
    """Writes down that a version is bad, for whoever releases and rolls back, and marks it on every chart."""

    columns: Columns
    records: Records
    clock: Clock

    def would(self, order: Order) -> str:
        """In a sentence."""
        return (
            f"mark {version_of(order) or 'the version (none is known)'} as bad, with a marker on every chart"
        )

    async def pull(self, order: Order) -> Did:
        """Mark it. The marker's time is the order's, so that a second try is the same marker."""
        version = version_of(order)
        if not version:
            return Did(False, "no version is named, and the alert knows none")
        note = f"marked bad by {order.actor}"
        await self.columns.write_deploys(
            [Deploy(order.project, "marked bad:", version, order.created_ns, note)]
        )
        now, mark = self.clock(), {"order": order.id, "by": order.actor, "alert_id": order.alert_id}
        await self.records.write(lambda c: states.put(c, order.project, MARKED, version[:500], mark, now))
        return Did(True, f"{version} is marked bad", memory={"version": version})

    async def undo(self, order: Order, memory: Mapping[str, Any]) -> Did:
        """Take the mark away; the charts keep both markers, because both happened."""
        version = str(memory.get("version") or version_of(order))
        note = "no longer marked bad"
        await self.columns.write_deploys(
            [Deploy(order.project, "mark removed:", version, self.clock(), note)]
        )
        await self.records.write(lambda c: states.delete(c, order.project, MARKED, [version[:500]]))
        return Did(True, f"{version} is no longer marked bad")


def marked(c: Connection, project: str, versions: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """The versions marked bad, with who did it."""
    found = states.get_all(c, project, MARKED)
    return found if versions is None else {v: found[v] for v in versions if v in found}
