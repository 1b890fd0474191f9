"""Decisions taken again: an event after its trace makes a policy match, π rises, and the work is queued then; a user's word keeps a
trace that was left to the draw.

What is due is asked of the store and not remembered, and every step may run twice, so a crash loses nothing: the probability of
a judgement only ever rises, to the largest that any policy has offered.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from watchkeeper.model.score import Score, Subject
from watchkeeper.model.times import DAY, MINUTE, Clock
from watchkeeper.pipeline.judge_jobs import (
    RISKY,
    JudgeWork,
    dimensions,
    new_job,
    queue_after,
    reweigh,
    score_key,
    subjects_of,
)
from watchkeeper.pipeline.plan import Card, Plan
from watchkeeper.pipeline.reading import Load
from watchkeeper.scoring.evidence import SignalRoute, observed
from watchkeeper.scoring.keeping import ROUTINE, Keeping, Kept, spoken
from watchkeeper.scoring.sampling import Decision, Sampled
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import coverage, jobs, states
from watchkeeper.store.records.engine import Records

MARGIN_NS = 10 * MINUTE
CHUNK, MOST = 200, 20_000
Act = Callable[[str, Sequence[SignalRoute], Mapping[str, Sequence[Score]]], Awaitable[None]]


@dataclass
class Counts:
    """looked: traces with new evidence; chosen: judgements queued because of it; raised: judgements whose probability rose;
    gone: traces whose content is no longer stored."""

    looked: int = 0
    chosen: int = 0
    raised: int = 0
    gone: int = 0


class LatePolicies:
    """Takes a project's decisions again for traces about which something was said since the last call. `act` does what the
    configuration says of signals beside judging them; it may be told of the same scores again."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        load: Load,
        plan_for: Callable[[str], Plan],
        clock: Clock,
        *,
        act: Act | None = None,
    ) -> None:
        self._columns, self._records, self._load = columns, records, load
        self._plan_for, self._clock, self._act = plan_for, clock, act
        self.counts = Counts()

    async def run_once(self, project: str) -> int:
        """How many judgements were queued. Evidence before the day this first ran is left alone. Raises StoreUnavailable."""
        now = self._clock()
        mark = await self._records.read(lambda c: states.get(c, project, "late", "mark"))
        reached = int(mark) if mark is not None else now - DAY
        after = max(reached - MARGIN_NS, 0)
        chosen = 0
        plan = self._plan_for(project)
        waiting = [c for c in plan.cards if any(p.flag for p in c.sampler.policies)]
        rows: list[list[Any]] = []
        if waiting or plan.signals:
            named = sorted({r.scorer for r in plan.signals})
            found = await self._columns.named("late_evidence", project, after=after, named=named, limit=MOST)
            rows = found.rows
        ids = [str(trace_id) for trace_id, _ in rows]
        for start in range(0, len(ids), CHUNK):
            chosen += await self._take(project, plan, waiting, ids[start : start + CHUNK], now)
        # Where more waits than one look may take, the next look goes on from there; the margin would hold it back.
        full = len(rows) >= MOST
        fresh = min(int(rows[-1][1]) + MARGIN_NS if full else now, now)
        if fresh > reached:
            await self._records.write(lambda c: states.put(c, project, "late", "mark", fresh, now))
        return chosen

    async def _take(self, project: str, plan: Plan, cards: Sequence[Card], ids: list[str], now: int) -> int:
        by_trace: dict[str, list[Score]] = {}
        for score in await self._columns.read_scores(project, ids):
            by_trace.setdefault(score.trace_id, []).append(score)
        if self._act is not None and plan.signals:
            await self._act(project, plan.signals, by_trace)
        events = {i: observed(by_trace.get(i, []), plan.signals) for i in ids}
        wanted = [i for i in ids if any(c.sampler.waits_for(frozenset(events[i])) for c in cards)]
        self.counts.looked += len(wanted)
        if not wanted:
            return 0
        table = await self._columns.named("late_rows", project, ids=wanted)
        made_at = {str(trace_id): int(at) for trace_id, at, *_ in table.rows}
        work: list[jobs.NewJob] = []
        best: dict[str, Decision] = {}
        for trace_id in wanted:
            if trace_id not in made_at:
                # Not assembled yet: the event is read when it is.
                continue
            subject = await self._load(project, trace_id, "")
            if subject is None:
                self.counts.gone += 1
                continue
            for card in cards:
                decision = self._decide(card, subject, events[trace_id])
                if decision is None or not decision.selected:
                    continue
                known = best.get(trace_id)
                best[trace_id] = (
                    decision if known is None or decision.probability > known.probability else known
                )
                work += self._jobs(project, card, subject, decision, events[trace_id], made_at[trace_id], now)
        return await self._settle(project, work, best, by_trace, now)

    @staticmethod
    def _decide(card: Card, subject: Subject, events: dict[str, float]) -> Decision | None:
        trace = subject.trace
        if not card.applies(trace):
            return None
        seen = Sampled(
            trace.trace_id, dimensions(trace), frozenset(events), trace.totals.cost, trace.duration_ms, events
        )
        return card.sampler.late(seen)

    def _jobs(
        self,
        project: str,
        card: Card,
        whole: Subject,
        decision: Decision,
        events: dict[str, float],
        made_at: int,
        now: int,
    ) -> list[jobs.NewJob]:
        window = coverage.window_of(made_at)
        risky = bool(RISKY & set(events))
        return [
            new_job(project, subject, judge, decision, window, risky, now)
            for judge in card.judges
            for subject in subjects_of(judge, whole.trace)
        ]

    async def _settle(
        self,
        project: str,
        work: list[jobs.NewJob],
        best: dict[str, Decision],
        stored: dict[str, list[Score]],
        now: int,
    ) -> int:
        if not work:
            return 0
        new, raised, totals = await self._records.write(
            lambda c: queue_after(c, work, stored, ("selected",), now)
        )
        if totals:
            await self._columns.write_coverage(totals)
        offered = {score_key(j): msgspec.convert(j.payload, JudgeWork) for j in work}
        await reweigh(self._columns, project, offered, stored, now)
        await self._columns.redecide(
            project, {i: (d.probability, f"{d.policy}@{d.version}") for i, d in best.items()}
        )
        self.counts.chosen += new
        self.counts.raised += raised
        return new


class LateKeeping:
    """Has traces put together again that were left to storage sampling's draw and that a user has spoken of since, within the rule's
    wait: the decision is taken again then (`pipeline.check`). `reopen(project, trace_ids)` does it."""

    def __init__(
        self,
        columns: Columns,
        keeping: Callable[[], Keeping | None],
        plan_for: Callable[[str], Plan],
        reopen: Callable[[str, Iterable[str]], None],
        clock: Clock,
    ) -> None:
        self._columns, self._keeping, self._plan_for = columns, keeping, plan_for
        self._reopen, self._clock = reopen, clock

    async def run_once(self, project: str) -> int:
        """How many traces are looked at again. Raises StoreUnavailable."""
        rule = self._keeping()
        if rule is None or not rule.wait_ns:
            return 0
        signals = self._plan_for(project).signals
        named = sorted({r.scorer for r in signals})
        since = self._clock() - rule.wait_ns - MARGIN_NS
        found = await self._columns.named(
            "keeping_spoken", project, since=since, named=named, wait=rule.wait_ns
        )
        drawn = {str(trace_id): Kept(False, rule.routine, ROUTINE, int(at)) for trace_id, at in found.rows}
        said: dict[str, list[Score]] = {}
        for score in await self._columns.read_scores(project, sorted(drawn)) if drawn else ():
            said.setdefault(score.trace_id, []).append(score)
        # A word that keeps nothing would have its trace put together again at every look until the wait is over.
        heard = [i for i, decided in drawn.items() if spoken(rule, decided, said.get(i, ()), signals)]
        self._reopen(project, heard)
        return len(heard)
