"""The weekly summary leaves once a week, whatever happens in between; reports read what is recorded."""

from pathlib import Path
from typing import Any

import pytest

from watchkeeper.model.alert import Alert
from watchkeeper.pipeline.reporting import ReportFlow, Setting, Weekly
from watchkeeper.store.columns import Table
from watchkeeper.store.records import access, alerts, incidents, outbox
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

HOUR, DAY = 3600 * 10**9, 86_400 * 10**9
MONDAY_8 = 1_794_816_000 * 10**9  # Mon 16 Nov 2026 08:00 UTC


class Columns:
    """A store with coverage and nothing else."""

    async def named(self, *args: Any, **kwargs: Any) -> Table:
        return Table([], [])

    async def read_deploys(self, *args: Any) -> list[Any]:
        return []

    async def read_coverage(self, project: str, since: int, until: int) -> list[dict[str, Any]]:
        row = {"scorer": "s", "eligible": 10, "selected": 8, "scored": 7, "failed": 1, "late": 0}
        return [row, row]


class Bench:
    def __init__(self, folder: Path, weekly: Weekly | None = Weekly(("mail",))) -> None:
        self.records = Records(f"sqlite:///{folder}/records.db")
        metadata.create_all(self.records.engine)
        self.now = MONDAY_8 - 3 * DAY
        self.wanted = weekly
        self.flow = ReportFlow(
            Columns(),
            self.records,
            lambda: self.now,
            lambda _p: Setting(allowed=1.0),
            lambda: self.wanted,  # type: ignore[arg-type]
        )

    def sent(self) -> list[tuple[str, str]]:
        found = self.records.read_now(lambda c: outbox.find(c, "default"))
        return [(n.route, n.subject) for _, n in found if n.event == "weekly"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_it_leaves_once_a_week(bench: Bench) -> None:
    for hours in range(0, 24 * 18, 3):
        bench.now = MONDAY_8 - 3 * DAY + hours * HOUR
        await bench.flow.run_due()
        await bench.flow.run_due()
    assert len(bench.sent()) == 3 and all(r == "mail" for r, _ in bench.sent())
    assert bench.sent()[0][1].startswith("[WEEKLY] default: 0 traces")


async def test_a_restart_sends_nothing_twice_and_a_downtime_sends_the_last_week_only(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.flow.run_due()
    bench.now = MONDAY_8 + HOUR
    assert await bench.flow.run_due()
    other = Bench(tmp_path)
    other.now = bench.now + HOUR
    assert not await other.flow.run_due() and len(other.sent()) == 1
    other.now = bench.now + 30 * DAY
    await other.flow.run_due()
    assert len(other.sent()) == 2


async def test_nobody_is_told_where_nobody_asked(tmp_path: Path) -> None:
    for wanted in (None, Weekly(())):
        bench = Bench(tmp_path, wanted)
        await bench.flow.run_due()
        bench.now += 30 * DAY
        assert not await bench.flow.run_due() and bench.sent() == []


async def test_every_project_has_its_own(bench: Bench) -> None:
    bench.records.write_now(lambda c: access.ensure_project(c, "other", 1))
    await bench.flow.run_due()
    bench.now = MONDAY_8 + HOUR
    await bench.flow.run_due()
    theirs = bench.records.read_now(lambda c: outbox.find(c, "other"))
    assert [n.subject.split(":")[0] for _, n in theirs] == ["[WEEKLY] other"]


async def test_it_gathers_what_is_recorded_of_the_period(bench: Bench) -> None:
    at = bench.now - DAY
    alert = Alert(
        "a", "default", "m", {}, "resolved", "page", "o", "r", "c", at, at, at, at + HOUR, summary="fell"
    )

    def work(c: Any) -> None:
        alerts.save(c, alert)
        made = incidents.open_for(c, "default", "g", "t", "page", "o", at, "watch", ("a",))
        incidents.change(c, "default", made, "acknowledged", at + HOUR, "ann")

    bench.records.write_now(work)
    facts = await bench.flow.gather("default", bench.now - 7 * DAY, bench.now)
    assert facts.coverage["s"] == {"eligible": 20, "selected": 16, "scored": 14, "failed": 2, "late": 0}
    assert [i.taken_ns for i in facts.incidents] == [at + HOUR] and [a.id for a in facts.alerts] == ["a"]
    with pytest.raises(KeyError):
        await bench.flow.make("daily", "default", 0, 1)
