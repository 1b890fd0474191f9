"""Queued judgements to scores: claim, ask, append. A crash at any point leaves one score row per key.

Order of writes: the judge's replies into the cache with their cost, then the score (replaced by key), then the job done. Dead
in between, the next worker finds the replies and pays nothing again.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.llm.port import ProviderError
from watchkeeper.model.prompt import Ask, Prompt, Reply
from watchkeeper.model.score import Failed, NotScored, Outcome, Score, Subject, Verdict
from watchkeeper.model.span import Trace
from watchkeeper.model.times import DAY, SECOND, Clock
from watchkeeper.pipeline.backoff import backoff_ns
from watchkeeper.pipeline.check import Hook
from watchkeeper.pipeline.judge_jobs import JUDGE, JudgeWork
from watchkeeper.pipeline.plan import Plan
from watchkeeper.pipeline.quote import charge_of, expected_usd, first_prompt, paid_for
from watchkeeper.pipeline.reading import Load
from watchkeeper.scoring.budget import Budget, Spending
from watchkeeper.scoring.drive import drive
from watchkeeper.scoring.protocol import Judge
from watchkeeper.store.columns import Columns, StoreUnavailable
from watchkeeper.store.records import backfills, coverage, jobs
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
WISH_CAP_S = 3600.0  # A provider may ask for a pause until its quota is renewed.
Before = Callable[[str, Trace], Awaitable[list[Trace]]]


@dataclass
class Counts:
    """claimed = scored (of these `abstained`) + not_scored + retried + dead + lost + in flight; `calls` were paid for, `cached` were
    not; `untold`: listeners that failed on scores that are stored."""

    claimed: int = 0
    scored: int = 0
    abstained: int = 0
    not_scored: Counter[str] = field(default_factory=Counter[str])
    retried: int = 0
    dead: int = 0
    lost: int = 0
    calls: int = 0
    cached: int = 0
    outages: int = 0
    store_errors: int = 0
    over_budget: int = 0
    untold: int = 0


@dataclass
class _Result:
    """What came of one job, on its way to the committer."""

    job: jobs.Job
    work: JudgeWork
    judge: Judge | None
    outcome: Outcome | ProviderError
    replies: list[Reply]
    hash: str = ""
    from_cache: bool = False
    later_ns: int = 0


class JudgeFlow:
    """Works off the queue. `plan_for(project)` knows the judges and budgets; `load(project, trace_id, span_id)` reads a
    subject from the store and `before` the turns before it, for session judges; `ask` is the provider port; `roll` gives numbers in [0, 1) and `nonce` fresh random strings.

    `concurrency` judgements are in flight at once; their results are committed in groups. A provider outage gives jobs back
    without using up attempts and pauses claiming; other failures use up `max_attempts` and then become dead letters.
    """

    def __init__(
        self,
        records: Records,
        columns: Columns,
        ask: Ask,
        load: Load,
        plan_for: Callable[[str], Plan],
        clock: Clock,
        *,
        worker: str,
        roll: Callable[[], float],
        nonce: Callable[[], str],
        concurrency: int = 64,
        lease_ns: int = 300 * SECOND,
        max_attempts: int = 5,
        poll_s: float = 0.25,
        hooks: list[Hook] | None = None,
        before: Before | None = None,
    ) -> None:
        self._records, self._columns = records, columns
        self._ask, self._load, self._plan_for, self._clock = ask, load, plan_for, clock
        self._worker, self._roll, self._nonce = worker, roll, nonce
        self._concurrency, self._lease_ns, self._max_attempts = concurrency, lease_ns, max_attempts
        self._poll_s = poll_s
        self.hooks: list[Hook] = hooks or []
        self._before = before
        self.counts = Counts()
        self._accounts: dict[tuple[str, str], Spending] = {}
        self._purses: dict[tuple[str, str], Spending] = {}
        self._outage_until = 0
        self._outages_in_row = 0
        self._open = 0
        self._results: asyncio.Queue[_Result] = asyncio.Queue()
        self._flying: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then commit what is in flight and return."""
        committer = asyncio.create_task(self._commit_loop(), name="judge commits")
        try:
            while not stop.is_set():
                if not await self._claim_or_wait(stop):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), self._poll_s)
            if self._flying:
                await asyncio.wait(self._flying)
            await self._results.join()
        finally:
            for task in self._flying:
                task.cancel()
            committer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await committer

    async def _claim_or_wait(self, stop: asyncio.Event) -> bool:
        """Claim, or pause while the database takes no writes: this is the only worker, and its jobs stay due."""
        try:
            return await self._claim_some()
        except StoreUnavailable as error:
            log.warning("no work can be claimed: %s", error)
        # A locked or broken database must not end scoring until the next restart either.
        except Exception:
            log.exception("no work can be claimed")
        self.counts.store_errors += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 8 * self._poll_s)
        return False

    async def _claim_some(self) -> bool:
        free = self._concurrency - len(self._flying)
        now = self._clock()
        if free <= 0 or now < self._outage_until:
            if free <= 0:
                await asyncio.wait(self._flying, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
                return True
            return False
        if self._outages_in_row and self._open:
            return False
        # After an outage one probe, not a herd.
        wanted = 1 if self._outages_in_row else free
        taken = await self._records.write(
            lambda c: jobs.claim(c, JUDGE, self._worker, now, wanted, self._lease_ns)
        )
        self.counts.claimed += len(taken)
        self._open += len(taken)
        for job in taken:
            task = asyncio.create_task(self._one(job))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)
        return bool(taken)

    async def _one(self, job: jobs.Job) -> None:
        work = msgspec.convert(job.payload, JudgeWork)
        try:
            result = await self._judge(job, work)
        except ProviderError as error:
            result = _Result(job, work, None, error, [])
        # A bug here or in a judge must not stop the worker; the job is retried and at last set aside with this reason.
        except Exception as error:
            log.exception("judging %s of trace %s broke", work.scorer, work.trace_id)
            result = _Result(job, work, None, Failed(f"{type(error).__name__}: {error}"), [])
        await self._results.put(result)

    async def _judge(self, job: jobs.Job, work: JudgeWork) -> _Result:
        plan = self._plan_for(job.project)
        judge = plan.judges.get(work.scorer)
        if judge is None:
            return _Result(job, work, None, NotScored(f"scorer {work.scorer} is no longer configured"), [])
        subject = await self._load(job.project, work.trace_id, work.span_id)
        if subject is None:
            return _Result(job, work, judge, NotScored("the trace is no longer stored"), [])
        if judge.level == "session" and self._before is not None:
            subject.earlier = await self._before(job.project, subject.trace)
        # Without a random nonce equal material gives equal prompts: that is the cache's question.
        first = await first_prompt(judge, subject)
        if not isinstance(first, Prompt):
            return _Result(job, work, judge, first, [])
        key = _question(judge, first)
        subject.extra = {**subject.extra, "nonce": self._nonce()}
        stored = await self._records.read(lambda c: jobs.cached(c, job.project, key))
        if stored is not None:
            outcome = await _replayed(judge, subject, stored, job.key)
            return _Result(job, work, judge, outcome, [], key, from_cache=True)
        if work.purse is not None:
            await self._open_purse(job.project, work.backfill)
        account, expected = self._reserve(job.project, plan, judge, work)
        if account is None:
            self.counts.over_budget += 1
            own = work.purse is not None
            later = backfills.NEVER_NS if own else _next_day(self._clock())
            said = "the backfill's budget is spent" if own else "the day's budget is spent"
            return _Result(job, work, judge, Failed(said, retry=True), [], later_ns=later)

        replies: list[Reply] = []

        async def ask(prompt: Prompt) -> Reply:
            reply = await self._ask(prompt)
            replies.append(reply)
            return reply

        failed: ProviderError | None = None
        try:
            outcome = await drive(judge.steps(subject), ask)
        except ProviderError as error:
            outcome, failed = Failed(str(error)), error
        finally:
            Budget.settle(account, expected, charge_of(judge, replies))
        said = failed if failed is not None else _costed(judge, outcome, replies)
        return _Result(job, work, judge, said, replies, key)

    def _reserve(
        self, project: str, plan: Plan, judge: Judge, work: JudgeWork
    ) -> tuple[Spending | None, float]:
        """Set money aside before the call: never more than the day's budget, routine work first to wait."""
        if work.purse is not None:
            account = self._purses[(project, work.backfill)]
            expected = expected_usd(judge)
            if account.spent + account.reserved + expected > work.purse + 1e-10:
                return None, expected
            account.reserved += expected
            return account, expected
        card = plan.card_of(judge.name)
        if card is None or card.budget is None:
            return Spending(), 0.0
        account = self._accounts.setdefault((project, card.name), Spending())
        expected = expected_usd(judge)
        granted = card.budget.reserve(account, self._clock(), expected, work.high_risk)
        return (account if granted else None), expected

    async def _open_purse(self, project: str, backfill: str) -> None:
        """A run's own account, with what earlier processes spent of it."""
        if (project, backfill) in self._purses:
            return
        _, usd = await self._records.read(lambda c: backfills.charged(c, project, backfill))
        self._purses.setdefault((project, backfill), Spending(spent=usd))

    async def restore_spending(self, projects: list[tuple[str, str]]) -> None:
        """After a start: what was spent today counts against today's budgets of (project, scorecard)."""
        day = self._clock() // DAY
        for project, card in projects:
            judges = [j.name for c in self._plan_for(project).cards if c.name == card for j in c.judges]
            usd = await self._records.read(lambda c, p=project, j=judges: jobs.spent_by(c, p, day, j))
            self._accounts[(project, card)] = Spending(day=day, spent=usd)

    async def _commit_loop(self) -> None:
        while True:
            group = [await self._results.get()]
            while len(group) < 256 and not self._results.empty():
                group.append(self._results.get_nowait())
            try:
                await self._commit(group)
            except StoreUnavailable as error:
                # Nothing is lost: the leases end and the cached replies are used again.
                self.counts.store_errors += len(group)
                log.warning("scores could not be stored, their jobs will be taken up again: %s", error)
            # The committer is the only one: if it dies, scoring stops silently.
            except Exception:
                self.counts.store_errors += len(group)
                log.exception("committing %d judgements failed", len(group))
            finally:
                self._open -= len(group)
                for _ in group:
                    self._results.task_done()

    async def _commit(self, group: list[_Result]) -> None:
        now = self._clock()
        self._note_outages(group, now)
        weighed = await self._records.write(lambda c: self._keep_replies(c, group, now))
        told: list[Score] = []
        open_ = group
        while open_:
            for r in open_:
                r.work = weighed.get(r.job.key, r.work)
            scores = [s for r in open_ if (s := self._score(r, now)) is not None]
            if scores:
                await self._columns.write_scores(scores)
            told += [s for s in scores if open_ is group]
            totals, weighed = await self._records.write(lambda c, g=open_, n=now: self._close(c, g, n))
            if totals:
                await self._columns.write_coverage(totals)
            # An event between the two writes has raised the probability: these are written once more.
            open_ = [r for r in open_ if r.job.key in weighed]
            now += 1
        if told and self.hooks:
            await self._tell([(s.project, s.trace_id, [s]) for s in told])

    def _note_outages(self, group: list[_Result], now: int) -> None:
        errors = [r.outcome for r in group if isinstance(r.outcome, ProviderError) and r.outcome.outage]
        if any(r.replies for r in group):
            self._outages_in_row = 0
            self._outage_until = 0
        if errors:
            self.counts.outages += len(errors)
            self._outages_in_row += 1
            wish = max((e.retry_after_s or 0.0 for e in errors), default=0.0)
            self._outage_until = now + backoff_ns(
                self._outages_in_row, self._roll(), wish, cap_s=30.0, wish_cap_s=WISH_CAP_S
            )

    def _keep_replies(self, connection: Connection, group: list[_Result], now: int) -> dict[str, JudgeWork]:
        """Every reply that came is charged; the replies of a usable judgement are kept. Returns each job's work as it is
        weighed now: an event since the claim may have raised its probability."""
        for r in group:
            if not r.replies or r.judge is None:
                self.counts.cached += r.from_cache
                continue
            self.counts.calls += len(r.replies)
            cost = charge_of(r.judge, r.replies)
            day = now // DAY
            if r.work.backfill:
                backfills.charge(connection, r.job.project, r.work.backfill, len(r.replies), cost, now)
            if r.work.purse is None:
                # A run with an account of its own leaves the day's to live traffic.
                jobs.charge(connection, r.job.project, day, len(r.replies), cost, now, r.work.scorer)
            if isinstance(r.outcome, Verdict | NotScored):
                stored = {"replies": msgspec.to_builtins(r.replies), "key": r.job.key}
                jobs.cache(connection, r.job.project, r.hash, stored, now)
        return self._weighed(connection, group)

    @staticmethod
    def _weighed(connection: Connection, group: list[_Result]) -> dict[str, JudgeWork]:
        found = jobs.payloads(connection, [r.job.key for r in group])
        return {key: msgspec.convert(payload, JudgeWork) for key, payload in found.items()}

    def _score(self, r: _Result, now: int) -> Score | None:
        if not isinstance(r.outcome, Verdict) or r.judge is None:
            return None
        return Score(
            project=r.job.project,
            trace_id=r.work.trace_id,
            span_id=r.work.span_id,
            scorer=r.judge.name,
            version=r.judge.version,
            source=r.judge.kind,
            time_ns=r.work.time_ns,
            scored_ns=now,
            session_id=r.work.session_id,
            judge_model=r.judge.model,
            value=r.outcome.value,
            label=r.outcome.label,
            passed=r.outcome.passed,
            reason=r.outcome.reason,
            cost=r.outcome.cost,
            inclusion_probability=r.work.probability,
            policy=r.work.policy,
        )

    def _close(
        self, connection: Connection, group: list[_Result], now: int
    ) -> tuple[list[dict[str, Any]], dict[str, JudgeWork]]:
        """Close the group's jobs but those whose probability rose since their scores were written: these are returned."""
        weighed = self._weighed(connection, group)
        risen = {
            r.job.key: work
            for r in group
            if (work := weighed.get(r.job.key, r.work)) != r.work and isinstance(r.outcome, Verdict)
        }
        ledger: dict[coverage.Cell, Counter[str]] = {}
        for r in group:
            if r.job.key in risen:
                continue
            ended = self._close_one(connection, r, now)
            if ended is None:
                continue
            # The cell it was selected in, whatever has become of its judge since.
            cell = coverage.Cell(r.job.project, r.work.scorer, r.work.version, r.work.window_s)
            if ended == "withdrawn":
                ledger.setdefault(cell, Counter()).update({"eligible": -1, "selected": -1})
            else:
                ledger.setdefault(cell, Counter())[ended] += 1
        return coverage.add(connection, [(cell, dict(n)) for cell, n in ledger.items() if n], now), risen

    def _close_one(self, connection: Connection, r: _Result, now: int) -> str | None:
        """Give the job back, finish it or set it aside; what the coverage ledger counts. A judge that does not apply, or a trace
        that is gone, was never eligible: it is withdrawn, so that it is no gap."""
        key, worker, outcome = r.job.key, self._worker, r.outcome
        if isinstance(outcome, Verdict | NotScored):
            if not jobs.finish(connection, key, worker, now):
                self.counts.lost += 1
                return None
            if isinstance(outcome, Verdict):
                self.counts.scored += 1
                self.counts.abstained += outcome.abstained
                return "scored"
            self.counts.not_scored[outcome.reason[:80]] += 1
            return "withdrawn"
        blameless = (isinstance(outcome, ProviderError) and outcome.outage) or bool(r.later_ns)
        wish = outcome.retry_after_s if isinstance(outcome, ProviderError) else None
        # A reply of no use may be the provider's fault: five attempts outlast an outage of ten minutes.
        slow = r.job.attempts if blameless else 3 * r.job.attempts
        due = r.later_ns or now + backoff_ns(slow, self._roll(), wish, cap_s=1800.0, wish_cap_s=WISH_CAP_S)
        reason = str(outcome) if isinstance(outcome, ProviderError) else outcome.reason
        if isinstance(outcome, ProviderError) and not outcome.retry:
            status = "dead" if jobs.dead(connection, key, worker, now, reason) else None
        else:
            status = jobs.retry(
                connection, key, worker, due, reason, max_attempts=self._max_attempts, blameless=blameless
            )
        self.counts.lost += status is None
        self.counts.dead += status == "dead"
        self.counts.retried += status == "due"
        return "failed" if status == "dead" else None

    async def _tell(self, scored: list[tuple[str, str, list[Score]]]) -> None:
        for hook in self.hooks:
            try:
                await hook(scored)
            # The scores are stored; a broken listener is logged and must not undo the commit.
            except Exception:
                self.counts.untold += 1
                log.exception("a listener to judge scores failed")


async def _replayed(judge: Judge, subject: Subject, stored: Mapping[str, Any], job_key: str) -> Outcome:
    """The judge's outcome from kept replies; it costs something only for the job that paid for them."""
    kept = msgspec.convert(stored["replies"], list[Reply])
    replies = iter(kept)

    async def replay(_prompt: Prompt) -> Reply:
        return next(replies)

    outcome = await drive(judge.steps(subject), replay)
    if isinstance(outcome, Verdict) and stored.get("key") != job_key:
        return msgspec.structs.replace(outcome, cost=0.0)
    return _costed(judge, outcome, kept)


def _costed(judge: Judge, outcome: Outcome, replies: Sequence[Reply]) -> Outcome:
    """The outcome with what its budget is charged for it, where that is known."""
    if not isinstance(outcome, Verdict):
        return outcome
    return msgspec.structs.replace(outcome, cost=paid_for(judge, replies, outcome.cost))


def _question(judge: Judge, prompt: Prompt) -> str:
    return hashlib.sha256(
        "\x00".join((judge.version, judge.model, msgspec.json.encode(prompt).decode())).encode()
    ).hexdigest()


def _next_day(now_ns: int) -> int:
    return (now_ns // DAY + 1) * DAY
