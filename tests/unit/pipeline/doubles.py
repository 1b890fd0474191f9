"""A column store in memory that keeps what the real one promises: rows replaced by key. And a judge that stops when it is idle."""

import asyncio
from typing import Any

from tests.waiting import HANG_SECONDS
from watchkeeper.model.score import Score
from watchkeeper.pipeline.judge import JudgeFlow
from watchkeeper.pipeline.judge_jobs import JUDGE
from watchkeeper.store.columns import StoreUnavailable, Table, TraceRow
from watchkeeper.store.records import jobs


async def until_idle(flow: JudgeFlow) -> None:
    """Have it judge until nothing is due or its provider is out."""
    stop = asyncio.Event()
    running = asyncio.create_task(flow.run(stop))
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while not running.done():
                await asyncio.sleep(0.01)
                if flow._flying or flow._results.qsize():
                    continue
                found = await flow._records.read(lambda c: jobs.depth(c, flow._clock(), kind=JUDGE))
                if found.running == 0 and (found.due == 0 or flow._clock() < flow._outage_until):
                    break
    finally:
        stop.set()
        await running


class MemoryColumns:
    """Only what the scoring flows write. `fail` makes the next writes of a method raise StoreUnavailable."""

    def __init__(self) -> None:
        self.traces: dict[tuple[str, str], TraceRow] = {}
        self.scores: dict[tuple[str, ...], Score] = {}
        self.score_writes = 0
        self.coverage: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.fail: dict[str, int] = {}

    def _maybe_fail(self, method: str) -> None:
        if self.fail.get(method, 0) > 0:
            self.fail[method] -= 1
            raise StoreUnavailable(f"{method}: disk full")

    async def write_traces(self, rows: list[TraceRow]) -> None:
        self._maybe_fail("write_traces")
        for row in rows:
            self.traces[(row.project, row.trace.trace_id)] = row

    async def write_scores(self, scores: list[Score]) -> None:
        self._maybe_fail("write_scores")
        for s in scores:
            self.score_writes += 1
            self.scores[(s.project, s.trace_id, s.span_id, s.scorer, s.version, s.judge_model, s.author)] = s

    async def read_scores(self, project: str, trace_ids: list[str]) -> list[Score]:
        return [s for s in self.scores.values() if s.project == project and s.trace_id in trace_ids]

    async def settle_scores(
        self, project: str, source: str, trace_ids: list[str], wanted: list[Score]
    ) -> int:
        self._maybe_fail("settle_scores")

        def of(trace_id: str) -> dict[tuple[str, ...], Score]:
            held = self.scores.items()
            return {k: s for k, s in held if (s.project, s.source, s.trace_id) == (project, source, trace_id)}

        before = {i: of(i) for i in trace_ids}
        for key in [k for held in before.values() for k in held]:
            del self.scores[key]
        await self.write_scores(wanted)
        return sum(held != of(i) for i, held in before.items())

    async def redecide(self, project: str, chosen: dict[str, tuple[float, str]]) -> None:
        for trace_id, (probability, policy) in chosen.items():
            row = self.traces.get((project, trace_id))
            if row is not None and row.inclusion_probability < probability:
                row.inclusion_probability, row.policy = probability, policy

    async def named(self, name: str, project: str, **params: Any) -> Table:
        """The queries of the late decisions and of reviewers' labels."""
        if name == "human_scored":
            found = {
                s.trace_id
                for s in self.scores.values()
                if (s.project, s.source) == (project, params["source"])
            }
            return Table(["trace_id"], [[i] for i in sorted(found)])
        if name == "human_traces":
            traces = [self.traces[(project, i)].trace for i in params["ids"] if (project, i) in self.traces]
            return Table(
                ["trace_id", "time", "session_id"],
                [[t.trace_id, t.start_ns, t.context.session_id] for t in traces],
            )
        if name == "late_rows":
            found = [self.traces[(project, i)] for i in params["ids"] if (project, i) in self.traces]
            rows = [[r.trace.trace_id, r.assembled_ns, r.inclusion_probability, r.policy] for r in found]
            return Table(["trace_id", "assembled_at", "inclusion_probability", "policy"], rows)
        assert name == "late_evidence"
        seen: dict[str, int] = {}
        for s in self.scores.values():
            version = max(s.scored_ns, s.weighed_ns)
            if s.project == project and version >= params["after"]:
                seen[s.trace_id] = max(seen.get(s.trace_id, 0), version)
        rows = sorted(([i, at] for i, at in seen.items()), key=lambda r: (r[1], r[0]))
        return Table(["trace_id", "seen"], rows[: params["limit"]])

    async def write_coverage(self, rows: list[dict[str, Any]]) -> None:
        for r in rows:
            self.coverage[(r["project"], r["scorer"], r["version"], r["time"])] = r

    def covered(self, scorer: str) -> dict[str, int]:
        """The scorer's totals over all windows."""
        names = ("eligible", "selected", "scored", "failed", "late")
        rows = [r for r in self.coverage.values() if r["scorer"] == scorer]
        return {n: sum(r[n] for r in rows) for n in names}
