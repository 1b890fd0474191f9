"""History for monitors that are not in force: their points rolled from what is stored, in memory."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from watchkeeper.alerting.monitor import Monitor
from watchkeeper.model.alert import Alert, Deploy
from watchkeeper.pipeline.rehearse import History, replay
from watchkeeper.pipeline.roll import Plan, Roller
from watchkeeper.pipeline.watching.normals import BASELINE_NS
from watchkeeper.pipeline.watching.steps import Settings
from watchkeeper.store.columns import Columns, Table
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records


class Rehearsed(History):
    """The column store with the points that other monitors than the stored ones need: rolled afresh from the stored
    traces into memory, written nowhere; everything else is read from `real`."""

    def __init__(self, real: Columns) -> None:
        super().__init__()
        self.real = real

    async def read_deploys(self, project: str, since_ns: int, until_ns: int) -> list[Deploy]:
        """The real deployments."""
        return await self.real.read_deploys(project, since_ns, until_ns)

    async def scorers(self, project: str) -> list[str]:
        """The real scorers."""
        return await self.real.scorers(project)

    async def named(self, name: str, project: str, **params: Any) -> Table:
        """The real answers, but for what depends on points."""
        if name == "roll_existing":
            return Table([], [])
        return await self.real.named(name, project, **params)


async def backtest_afresh(real: Columns, rules: Sequence[Monitor], since_ns: int, now_ns: int) -> list[Alert]:
    """The alerts these monitors would have opened over the stored history of their projects, oldest first."""
    columns = Rehearsed(real)
    plan = Plan.of(rules)
    first = (since_ns - BASELINE_NS) // plan.tick_ns * plan.tick_ns
    ticks = list(range(first, now_ns, plan.tick_ns))
    found: list[Alert] = []
    with tempfile.TemporaryDirectory(prefix="watchkeeper-rehearsal-") as folder:
        records = Records(migrate.url_of(Path(folder)))
        try:
            await asyncio.to_thread(migrate.upgrade, records)
            roller = Roller(cast(Columns, columns), records, plan)
            for project in dict.fromkeys(r.project for r in rules):
                await roller.recompute(project, ticks, now_ns)
                mine = [r for r in rules if r.project == project]
                settings = Settings(tick_ns=plan.tick_ns)
                found += await replay(cast(Columns, columns), mine, since_ns, now_ns, settings)
        finally:
            records.close()
    return sorted(found, key=lambda a: (a.fired_ns or 0, a.monitor))
