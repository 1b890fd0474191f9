"""What the stages say of themselves: of nothing nothing, of several processes all of it, once a look."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from watchkeeper.alerting.builtin import MINUTE, Reading
from watchkeeper.pipeline.judge import Counts
from watchkeeper.pipeline.ledger import Ledger
from watchkeeper.pipeline.readings import (
    Readings,
    Window,
    coverage,
    coverage_gap,
    judge_drift,
    queue_age,
    share,
)
from watchkeeper.store.damage import set_aside
from watchkeeper.store.records import calibration as calibrations
from watchkeeper.store.records import states
from watchkeeper.store.records.coverage import COUNTS
from watchkeeper.store.records.engine import Records

NONE = dict.fromkeys(COUNTS, 0)


class Stages:
    """The stages of one of several processes, as far as its readings look at them."""

    def __init__(self, records: Records, folder: Path, waiting: int = 0, since_ns: int | None = None) -> None:
        folder.mkdir()
        self.now, self.ledger, self.looked = 1_795_000_000 * 10**9, Ledger(), 0
        self._waiting = waiting, since_ns
        # Of one process nobody else is heard; a test says that there are several.
        several = SimpleNamespace(is_sqlite=False, read=records.read, write=records.write)
        self.readings = Readings(
            cast(Any, several),
            cast(Any, None),
            lambda: self.now,
            folder,
            self.ledger,
            self.waiting,
            Counts(),
            list,
        )

    def waiting(self) -> tuple[int, int | None]:
        self.looked += 1
        return self._waiting

    async def read(self, name: str) -> Reading:
        return await self.readings.of_one_look()[name]()


async def test_what_other_processes_say_is_read_until_they_are_gone(records: Records, tmp_path: Path) -> None:
    leader = Stages(records, tmp_path / "a")
    follower = Stages(records, tmp_path / "b", 3, 1_794_999_400 * 10**9)
    assert (await leader.read("drops")).value is None
    await follower.readings.tell()
    follower.ledger.receive("p", "traces", 10)
    follower.ledger.settle("p", "traces", "dropped", 4)
    (tmp_path / "part").write_text("rotten")
    set_aside(tmp_path / "b" / "damaged", tmp_path / "part", "a part of spans", "its checksum")
    await follower.readings.tell()

    lag, drops, harm = [await leader.read(name) for name in ("ingest-lag", "drops", "damage")]
    assert (lag.value, lag.n) == (600.0, 3)
    assert (drops.value, drops.n) == (0.4, 10) and drops.says.endswith(str(tmp_path / "b"))
    assert harm.value == 1.0 and "a part of spans" in harm.says
    assert (await leader.read("disk")).value == pytest.approx((await follower.read("disk")).value, rel=0.01)

    leader.now += 2 * MINUTE
    assert (await leader.read("ingest-lag")).value == 0.0 and (await leader.read("drops")).value is None
    leader.now += 2 * 24 * 60 * MINUTE
    await leader.readings.tell()
    known = records.read_now(lambda c: states.get_all(c, "default", "process"))
    assert [name.endswith(str(tmp_path / "a")) for name in known] == [True]


async def test_one_look_asks_the_processes_once_and_the_next_one_again(
    records: Records, tmp_path: Path
) -> None:
    stages = Stages(records, tmp_path / "a")
    look = stages.readings.of_one_look()
    for name in ("ingest-lag", "drops", "disk", "damage"):
        await look[name]()
    assert stages.looked == 1
    await stages.read("disk")
    assert stages.looked == 2


def test_a_window_forgets_what_is_older() -> None:
    window = Window(10)
    assert window.grew(0, (0.0, 0.0)) == (0.0, 0.0)
    assert window.grew(5, (2.0, 10.0)) == (2.0, 10.0)
    assert window.grew(14, (2.0, 20.0)) == (2.0, 20.0)
    assert window.grew(30, (2.0, 30.0)) == (0.0, 10.0)


def test_readings_of_nothing_are_unknown() -> None:
    assert share(0, 0, "").value is None and share(1, 4, "").value == 0.25
    assert queue_age(None, 100, 0, "x").value == 0.0
    assert queue_age(10**9, 61 * 10**9, 4, "x") == Reading(60.0, 4, "4 x")


async def test_the_scorer_that_failed_most_is_named() -> None:
    class Columns:
        async def read_coverage(self, project: str, since_ns: int, until_ns: int) -> list[dict[str, object]]:
            cells = (("a", 100, 1), ("b", 100, 40), ("b", 100, 40), ("tiny", 10, 10))
            return [{**NONE, "scorer": s, "selected": n, "failed": f} for s, n, f in cells]

    found = await coverage(Columns(), ["default"], 10**18)  # type: ignore[arg-type]
    assert (
        found.value == pytest.approx(0.4)
        and found.n == 200
        and found.says.startswith("b failed on 80 of 200")
    )


async def test_where_nothing_failed_and_nothing_is_missing_no_scorer_is_named() -> None:
    class Columns:
        async def read_coverage(self, project: str, since_ns: int, until_ns: int) -> list[dict[str, object]]:
            return [{**NONE, "scorer": "tone", "selected": 100, "scored": 100}]

    for read in (coverage, coverage_gap):
        found = await read(Columns(), ["default"], 10**18)  # type: ignore[arg-type]
        assert found.value == 0 and found.n == 100 and "tone" not in found.says


async def test_what_was_selected_and_never_scored_is_a_gap_and_what_failed_is_not() -> None:
    class Columns:
        async def read_coverage(self, project: str, since_ns: int, until_ns: int) -> list[dict[str, object]]:
            assert until_ns <= 10**18 - 2 * 60 * MINUTE, "a judge may take its time"
            cells = (("a", 100, 60, 40), ("b", 100, 90, 5), ("tiny", 10, 0, 0))
            return [{**NONE, "scorer": s, "selected": n, "scored": x, "failed": f} for s, n, x, f in cells]

    found = await coverage_gap(Columns(), ["default"], 10**18)  # type: ignore[arg-type]
    assert found.value == pytest.approx(0.05)
    assert found.says == "b never scored 5 of 100 selected traces of project default"


async def test_a_drifted_judge_is_named(records: Records) -> None:
    assert (await judge_drift(records, ["p"])).value is None
    for name, turned in (("helpful", 0), ("polite", 9)):
        last = {"n": 50, "to_fail": turned, "to_pass": 0, "p": 0.004, "drifted": turned > 0, "time_ns": 1}
        records.write_now(
            lambda c, n=name, x=last: calibrations.keep_canary(c, "p", n, {"verdicts": {}, "last": x}, 1)
        )
    found = await judge_drift(records, ["p"])
    assert (found.value, found.says) == (0.5, "polite of project p drifted")
