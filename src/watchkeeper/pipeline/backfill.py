"""Any scorer over history: its cost shown before it starts, its progress while it runs, resumed after a crash.

A step reads a page of traces, adds judgements under their idempotent keys or writes deterministic scores, and moves the mark in
one transaction with the judgements. A step done twice leaves one score and one charge per key. With a limit the traces with
the smallest hashes are chosen, and π is the next hash: a sample with a known probability, nested in every other.
"""

import asyncio
import bisect
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.dialects import pricing
from watchkeeper.model.backfill import Backfill, Preview
from watchkeeper.model.score import Failed, NotScored, Score, Subject, Verdict
from watchkeeper.model.times import SECOND, Clock
from watchkeeper.pipeline.apart import Scheduled
from watchkeeper.pipeline.judge_jobs import (
    JudgeWork,
    new_job,
    queue_after,
    reweigh,
    score_key,
    subjects_of,
)
from watchkeeper.pipeline.plan import Plan
from watchkeeper.pipeline.quote import quote
from watchkeeper.pipeline.reading import read_traces
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.scoring.drive import Batch, direct, run_scorer
from watchkeeper.scoring.protocol import Judge
from watchkeeper.scoring.sampling import Decision
from watchkeeper.store.columns import Columns, TraceFilter
from watchkeeper.store.records import backfills, coverage, jobs
from watchkeeper.store.records.engine import Records

PAGE, CHOOSING_PAGE = 100, 1000
# Judgements of one run that wait at the same time: enough for every worker, few enough to stop soon.
WAITING = 600
MOST_CHOSEN = 100_000
PREVIEWED = 12
PRIORITY = -10


@dataclass
class Counts:
    """Steps taken, judgements queued and scores written by all runs of this process."""

    steps: int = 0
    queued: int = 0
    scored: int = 0


class BackfillFlow:
    """Runs scorers over stored traces. `place(trace_id)` is the installation's sampling hash in [0, 1); `plan_for` knows the
    scorers; `isolate` runs users' own ones."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        plan_for: Callable[[str], Plan],
        place: Callable[[str], float],
        clock: Clock,
        *,
        isolate: Batch = direct,
    ) -> None:
        self._columns, self._records, self._plan_for = columns, records, plan_for
        self._place, self._clock, self._isolate = place, clock, isolate
        self.counts = Counts()
        self._turn = asyncio.Lock()

    # -- asking --------------------------------------------------------------------------------------------------

    def scorer_names(self, project: str) -> list[str]:
        """Every scorer a run can have."""
        return sorted(self._versions(self._plan_for(project)))

    def card_names(self, project: str) -> list[str]:
        """Every scorecard with judges."""
        return [c.name for c in self._plan_for(project).cards]

    def chosen_scorers(self, project: str, scorer: str | None, scorecard: str | None) -> dict[str, str]:
        """Names to versions of what a run would score with. Raises `Refused`."""
        plan = self._plan_for(project)
        scheduled = {s.scorer.name: s.scorer.version for s in plan.scheduled}
        judges = {name: j.version for name, j in plan.judges.items()}
        if scorecard is not None:
            card = next((c for c in plan.cards if c.name == scorecard), None)
            if card is None:
                known = ", ".join(c.name for c in plan.cards) or "none with a judge"
                raise Refused(f"there is no scorecard {scorecard!r} with judges; the project has {known}")
            return {j.name: j.version for j in card.judges}
        every = {**scheduled, **judges}
        if scorer not in every:
            raise Refused(f"there is no scorer {scorer!r}; the project has {', '.join(sorted(every))}")
        return {scorer: every[scorer]}

    async def asked(
        self,
        project: str,
        *,
        scorer: str | None,
        scorecard: str | None,
        since_ns: int,
        until_ns: int,
        where: str | None,
        limit: int | None,
        budget: float | None,
        author: str,
    ) -> Backfill:
        """A run as asked for, with its preview; nothing is stored. Raises `Refused` and QueryRefused."""
        scorers = self.chosen_scorers(project, scorer, scorecard)
        now = self._clock()
        until = min(until_ns, now)
        if since_ns >= until:
            raise Refused("since: must be before until and before now")
        if limit is not None and not 1 <= limit <= MOST_CHOSEN:
            raise Refused(f"limit: must be between 1 and {MOST_CHOSEN}")
        made = Backfill(
            id="bf_" + secrets.token_hex(8), project=project, scorers=scorers, since_ns=since_ns, until_ns=until,
            author=author, created_ns=now, updated_ns=now, where=where, limit=limit, budget=budget,
            threshold=1.0 if limit is None else None,
        )  # fmt: skip
        made.preview = await self._preview(made)
        return made

    async def _preview(self, b: Backfill) -> Preview:
        traces = await self._count(b)
        chosen = traces if b.limit is None else min(traces, b.limit)
        wanted = TraceFilter(since_ns=b.since_ns, until_ns=b.until_ns, where=b.where, limit=PREVIEWED)
        rows = await self._columns.list_traces(b.project, wanted)
        subjects = await self._subjects(b.project, [str(r["trace_id"]) for r in rows])
        plan = self._plan_for(b.project)
        made = Preview(
            traces=traces, chosen=chosen, sampled=len(subjects), pricing_version=pricing.in_force().version,
            probability=chosen / traces if traces else 1.0, already=await self._already(b),
        )  # fmt: skip
        for name in b.scorers:
            judge = plan.judges.get(name)
            if judge is None or not subjects:
                continue
            await _estimate(made, judge, list(subjects.values()), chosen)
        return made

    async def _count(self, b: Backfill) -> int:
        part = f" and ({b.where})" if b.where else ""
        query = (
            f"select count() from traces where toUnixTimestamp64Nano(time) >= {b.since_ns} "
            f"and toUnixTimestamp64Nano(time) < {b.until_ns}{part}"
        )
        return int((await self._columns.sql(b.project, query, 1)).rows[0][0])

    async def _already(self, b: Backfill) -> int:
        """Traces of the time span with a score of every one of these versions; the condition is not looked at."""
        least: int | None = None
        for name, version in b.scorers.items():
            table = await self._columns.named(
                "backfill_already",
                b.project,
                scorer=name,
                version=version,
                since=b.since_ns,
                until=b.until_ns,
            )
            found = int(table.rows[0][0])
            least = found if least is None else min(least, found)
        return least or 0

    async def start(self, b: Backfill) -> None:
        """Store a run; it begins with the next step."""
        await self._records.write(lambda c: backfills.save(c, b))

    async def change(self, project: str, backfill_id: str, action: str) -> Backfill | None:
        """Pause, resume or cancel a run: None when there is none. Raises `Refused` when it is finished."""
        now = self._clock()
        async with self._turn:

            def work(conn: Connection) -> Backfill | None:
                found = backfills.get(conn, project, backfill_id)
                if found is None:
                    return None
                if found.state in ("done", "cancelled"):
                    raise Refused(f"the backfill is {found.state}; start another one")
                if action == "pause":
                    backfills.hold(conn, project, backfill_id)
                elif action == "resume":
                    backfills.release(conn, project, backfill_id, now)
                else:
                    backfills.drop(conn, project, backfill_id)
                state = {"pause": "paused", "resume": "running", "cancel": "cancelled"}[action]
                ended = now if state == "cancelled" else None
                made = msgspec.structs.replace(
                    found, state=state, reason=None, updated_ns=now, finished_ns=ended
                )
                backfills.save(conn, made)
                return made

            return await self._records.write(work)

    # -- running -------------------------------------------------------------------------------------------------

    async def run_once(self, steps: int = 20) -> bool:
        """Take up to so many steps of every running backfill; whether any is left to do. Raises StoreUnavailable."""
        left = False
        for b in await self._records.read(backfills.running):
            for _ in range(steps):
                async with self._turn:
                    fresh = await self._records.read(lambda c, b=b: backfills.get(c, b.project, b.id))
                    if fresh is None or fresh.state != "running":
                        break
                    moved = await self._step(fresh)
                self.counts.steps += 1
                left = left or moved
                if not moved:
                    break
        return left

    async def _step(self, b: Backfill) -> bool:
        """One step; whether the next one can follow at once."""
        plan = self._plan_for(b.project)
        found = {n: v for n, v in self._versions(plan).items() if n in b.scorers}
        if found != b.scorers:
            gone = [n for n, v in b.scorers.items() if found.get(n) != v]
            await self._put(
                b,
                state="paused",
                reason=f"the configuration has changed {', '.join(gone)}; start another run",
            )
            return False
        if b.scanned:
            return await self._finish(b)
        if b.threshold is None:
            return await self._choose(b)
        stand = await self._records.read(lambda c: backfills.spent(c, b.project, b.id))
        if stand.waiting >= WAITING:
            return False
        return await self._score_page(b, plan)

    @staticmethod
    def _versions(plan: Plan) -> dict[str, str]:
        return {s.scorer.name: s.scorer.version for s in plan.scheduled} | {
            n: j.version for n, j in plan.judges.items()
        }

    async def _page(self, b: Backfill, size: int) -> list[dict[str, Any]]:
        wanted = TraceFilter(
            since_ns=b.since_ns, until_ns=b.until_ns, where=b.where, before=b.before, limit=size
        )
        return await self._columns.list_traces(b.project, wanted)

    async def _choose(self, b: Backfill) -> bool:
        """Find the hash below which `limit` traces lie, page by page."""
        assert b.limit is not None
        rows = await self._page(b, CHOOSING_PAGE)
        smallest = list(b.smallest)
        for row in rows:
            u = self._place(str(row["trace_id"]))
            if len(smallest) <= b.limit or u < smallest[-1]:
                bisect.insort(smallest, u)
                del smallest[b.limit + 1 :]
        if len(rows) == CHOOSING_PAGE:
            await self._put(b, smallest=smallest, before=_mark(rows[-1]))
            return True
        threshold = smallest[b.limit] if len(smallest) > b.limit else 1.0
        await self._put(b, smallest=[], before=None, threshold=threshold)
        return True

    async def _score_page(self, b: Backfill, plan: Plan) -> bool:
        assert b.threshold is not None
        rows = await self._page(b, PAGE)
        ids = [i for r in rows if self._place(i := str(r["trace_id"])) < b.threshold]
        subjects = await self._subjects(b.project, ids)
        changes = Counter({"seen": len(rows), "chosen": len(ids), "gone": len(ids) - len(subjects)})
        known: dict[str, list[Score]] = {}
        for score in await self._columns.read_scores(b.project, list(subjects)) if subjects else []:
            known.setdefault(score.trace_id, []).append(score)
        for scheduled in plan.scheduled:
            if scheduled.scorer.name in b.scorers:
                changes.update(await self._checks(b, scheduled, subjects, known))
        work = self._judgements(b, plan, subjects)
        mark = {"before": _mark(rows[-1]) if rows else b.before, "scanned": len(rows) < PAGE}
        await self._commit(b, work, known, changes, mark)
        return True

    async def _subjects(self, project: str, ids: list[str]) -> dict[str, Subject]:
        found = await read_traces(self._columns, project, ids)
        return {i: Subject(t) for i, t in found.items()}

    async def _checks(
        self,
        b: Backfill,
        scheduled: Scheduled,
        subjects: Mapping[str, Subject],
        known: Mapping[str, Sequence[Score]],
    ) -> Counter[str]:
        """Deterministic scores of a page, written; those that exist already are left as they are."""
        assert b.threshold is not None
        scorer, now = scheduled.scorer, self._clock()
        mine: list[Subject] = []
        for trace_id, subject in subjects.items():
            has = any((s.scorer, s.version) == (scorer.name, scorer.version) for s in known.get(trace_id, ()))
            if has or not scheduled.applies(subject.trace):
                continue
            spans = subject.trace.spans if scorer.level == "span" else [None]
            mine += [Subject(subject.trace, span) for span in spans]
        outcomes = await asyncio.to_thread(run_scorer, scorer, mine, self._isolate)
        changes: Counter[str] = Counter()
        scores: list[Score] = []
        for subject, outcome in zip(mine, outcomes, strict=True):
            changes["not_scored"] += isinstance(outcome, NotScored)
            changes["failed"] += isinstance(outcome, Failed)
            if isinstance(outcome, Verdict):
                scores.append(_score(b, subject, scheduled, outcome, now))
        if scores:
            await self._columns.write_scores(scores)
        changes["scored"] += len(scores)
        self.counts.scored += len(scores)
        return changes

    def _judgements(self, b: Backfill, plan: Plan, subjects: Mapping[str, Subject]) -> list[jobs.NewJob]:
        assert b.threshold is not None
        now = self._clock()
        window = coverage.window_of(now)
        made: list[jobs.NewJob] = []
        for card in plan.cards:
            for judge in card.judges:
                if judge.name not in b.scorers:
                    continue
                for trace_id, whole in subjects.items():
                    if not card.applies(whole.trace):
                        continue
                    decision = Decision(
                        True,
                        b.threshold,
                        self._place(trace_id),
                        f"backfill:{b.id}",
                        (),
                        card.sampler.version,
                    )
                    made += [
                        _asked_by(b, new_job(b.project, subject, judge, decision, window, False, now))
                        for subject in subjects_of(judge, whole.trace)
                    ]
        return made

    async def _commit(
        self,
        b: Backfill,
        work: list[jobs.NewJob],
        known: Mapping[str, Sequence[Score]],
        changes: Counter[str],
        mark: dict[str, Any],
    ) -> None:
        """Add the judgements and move the mark in one transaction, then give existing scores their larger probability."""
        now = self._clock()

        def record(conn: Connection) -> tuple[int, list[dict[str, Any]]]:
            counted = ("eligible", "selected")
            new, raised, totals = queue_after(conn, work, known, counted, now)
            changes.update({"queued": new, "raised": raised})
            backfills.save(conn, _moved(b, changes, mark, now))
            return new, totals

        offered = {score_key(j): msgspec.convert(j.payload, JudgeWork) for j in work}
        # Before the mark moves: a crash in between repeats this page.
        await reweigh(self._columns, b.project, offered, known, now)
        new, totals = await self._records.write(record)
        if totals:
            await self._columns.write_coverage(totals)
        self.counts.queued += new

    async def _finish(self, b: Backfill) -> bool:
        stand = await self._records.read(lambda c: backfills.spent(c, b.project, b.id))
        if stand.waiting and stand.waiting == stand.held:
            await self._put(
                b, state="paused", reason="its budget is spent; resume it with a larger one, or cancel it"
            )
        elif not stand.waiting:
            await self._put(b, state="done", finished_ns=self._clock())
        return False

    async def _put(self, b: Backfill, **changes: Any) -> None:
        made = msgspec.structs.replace(b, updated_ns=self._clock(), **changes)
        await self._records.write(lambda c: backfills.save(c, made))


async def _estimate(made: Preview, judge: Judge, subjects: Sequence[Subject], traces: int) -> None:
    """Add what one judge would use, from the prompts of a few traces."""
    parts = [part for whole in subjects for part in subjects_of(judge, whole.trace)]
    some, share = await quote(judge, parts), traces / len(subjects)
    made.calls += round(some.calls * share)
    made.input_tokens += round(some.input_tokens * share)
    made.output_tokens += round(some.output_tokens * share)
    made.cost = None if some.cost is None or made.cost is None else made.cost + some.cost * share


def _mark(row: Mapping[str, Any]) -> tuple[int, str]:
    when = row["time"]
    return int(when.timestamp()) * SECOND + when.microsecond * 1000, str(row["trace_id"])


def _moved(b: Backfill, changes: Counter[str], mark: dict[str, Any], now: int) -> Backfill:
    counted = {name: getattr(b, name) + n for name, n in changes.items()}
    return msgspec.structs.replace(b, **counted, **mark, updated_ns=now)


def _asked_by(b: Backfill, job: jobs.NewJob) -> jobs.NewJob:
    """The judgement as this run's: behind live work, on the run's own account where it has one."""
    payload = {**job.payload, "backfill": b.id, "purse": b.budget}
    return msgspec.structs.replace(job, payload=payload, priority=PRIORITY)


def _score(b: Backfill, subject: Subject, scheduled: Scheduled, verdict: Verdict, now: int) -> Score:
    trace, scorer = subject.trace, scheduled.scorer
    return Score(
        b.project, trace.trace_id, subject.span.span_id if subject.span else "", scorer.name, scorer.version, scorer.kind,
        trace.start_ns, now, session_id=trace.context.session_id, value=verdict.value, label=verdict.label,
        passed=verdict.passed, reason=verdict.reason, cost=verdict.cost, inclusion_probability=b.threshold or 1.0,
        policy=f"backfill:{b.id}",
    )  # fmt: skip
