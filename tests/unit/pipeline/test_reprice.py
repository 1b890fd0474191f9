"""A recompute that is interrupted goes on; one page may be done twice."""

from typing import Any

import pytest

from tests.unit.dialects.make import raw
from watchkeeper import dialects
from watchkeeper.dialects import pricing
from watchkeeper.pipeline import reprice
from watchkeeper.pipeline.reprice import Recompute, Run
from watchkeeper.store.columns import Repriced, Table
from watchkeeper.store.records.engine import Records

CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 0}  # fmt: skip
OLD = "0000"


class Store:
    """Traces with a version; one of them has no content any more."""

    def __init__(self, count: int) -> None:
        self.versions = {f"{n:032x}": OLD for n in range(count)}
        self.costs: dict[str, float | None] = {}
        self.fail_after: int | None = None

    async def named(self, name: str, project: str, **bound: Any) -> Table:
        left = [t for t, v in sorted(self.versions.items()) if v != bound["version"]]
        if name == "reprice_count":
            return Table(["n"], [[len(left)]])
        after = (bound["after"], bound["after_id"])
        return Table(["trace_id", "time_ns"], [[t, 5] for t in left if (5, t) > after][: bound["limit"]])

    async def read_traces(self, project: str, ids: list[str]) -> dict[str, Any]:
        made = {i: ([raw(CALL)], []) for i in ids if i != f"{3:032x}"}
        for i, (spans, _) in made.items():
            spans[0].trace_id = i
        return made

    async def reprice(self, project: str, traces: list[Repriced], now_ns: int) -> None:
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                raise KeyboardInterrupt
        for t in traces:
            self.versions[t.trace_id] = str(t.pricing_version)
            self.costs[t.trace_id] = t.cost


def test_it_reads_costs_and_versions_off_the_trace() -> None:
    trace = dialects.assemble([dialects.normalise(raw(CALL))], [])
    made = reprice.repriced(trace)
    assert made.cost == pytest.approx(0.00015) and made.pricing_version == pricing.in_force().version
    assert made.spans == {"01" * 8: (made.cost, made.pricing_version)}


async def test_it_counts_everything_it_looked_at_and_ends(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprice, "PAGE", 4)
    store = Store(10)
    flow = Recompute(store, records, lambda: 7)  # type: ignore[arg-type]
    run = await flow.start("default")
    assert run.total == 10
    await flow._tasks["default"]
    done = await flow.current("default")
    assert done is not None and done.status == "done"
    assert (done.looked, done.changed, done.same, done.without_content) == (10, 9, 0, 1)
    assert store.versions[f"{3:032x}"] == OLD and len(store.costs) == 9


async def test_an_interrupted_one_goes_on_where_it_was(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprice, "PAGE", 4)
    store = Store(10)
    first = Recompute(store, records, lambda: 7)  # type: ignore[arg-type]
    run = Run("default", pricing.in_force().version, 0, reprice.SHOWN_NS, 1, total=10)
    assert await first.page(run)
    again = Recompute(store, records, lambda: 8)  # type: ignore[arg-type]
    await again.resume()
    await again._tasks["default"]
    done = await again.current("default")
    assert done is not None and (done.status, done.looked, done.changed) == ("done", 10, 9)


async def test_other_prices_since_begin_it_anew(records: Records) -> None:
    store = Store(5)
    flow = Recompute(store, records, lambda: 7)  # type: ignore[arg-type]
    await flow._save(Run("default", "1999", 0, reprice.SHOWN_NS, 1, total=5, after_ns=5, after_id="f" * 32))
    await flow.resume()
    await flow._tasks["default"]
    done = await flow.current("default")
    assert done is not None and done.changed == 4 and done.version == pricing.in_force().version
