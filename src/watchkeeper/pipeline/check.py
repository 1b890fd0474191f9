"""Complete traces to scores: every deterministic scorer, the sampling decision, one row a trace, judge work queued."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.model.errors import root_cause
from watchkeeper.model.score import Score
from watchkeeper.model.span import Trace
from watchkeeper.pipeline.apart import Answers, Run, run
from watchkeeper.pipeline.judge_jobs import (
    RISKY,
    JudgeWork,
    dimensions,
    new_job,
    raise_jobs,
    reweigh,
    subjects_of,
)
from watchkeeper.pipeline.ledger import Recent
from watchkeeper.pipeline.pacing import CardKey, Pacing, Wish
from watchkeeper.pipeline.plan import Card, Plan
from watchkeeper.scoring import evidence
from watchkeeper.scoring import keeping as keep
from watchkeeper.scoring.protocol import BatchScorer
from watchkeeper.scoring.sampling import Decision, Sampled
from watchkeeper.store.columns import Columns, KeepingRow, TraceRow, believable
from watchkeeper.store.records import coverage, jobs
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
_REMEMBERED = 200_000
UNGROUNDED = 0.2
_LEFT = re.compile(r"cancel|abort|interrupt|generatorexit|disconnect", re.IGNORECASE)
Scored = Sequence[tuple[str, str, Sequence[Score]]]
Hook = Callable[[Scored], Awaitable[None]]


def flags(trace: Trace, failed: Set[str], unsure: bool) -> frozenset[str]:
    """The always-on conditions (`sampling.ALWAYS`) that a trace meets: `failed` are the names and types of the checks it
    did not pass, `unsure` whether its answer looks ungrounded."""
    raised = {
        "error": any(s.status == "error" or s.error is not None for s in trace.spans),
        "timeout": "timeout" in failed,
        "tool_failure": "tool_error" in failed,
        "guard": any(s.guardrail is not None and s.guardrail.triggered for s in trace.spans),
        "policy_deny": "terms" in failed,
        "step_cap": "too_many_steps" in failed,
        "low_confidence": unsure,
    }
    names = {(e.name, e.value) for s in trace.spans for e in s.evaluations}
    raised["thumbs_down"] = any(n in ("thumbs", "thumbs_up", "user_feedback") and v == 0 for n, v in names)
    raised["escalation"] = any(n == "escalation" and v for n, v in names)
    return frozenset(name for name, on in raised.items() if on)


def broke(trace: Trace) -> bool:
    """Whether the request itself ended in an error: not in a guardrail's verdict, nor because its caller went away."""
    root = trace.root
    if root is None or root.status != "error":
        return False
    left = root.error is not None and _LEFT.search(root.error.raw_type or "") is not None
    return not left and not any(s.guardrail is not None and s.guardrail.triggered for s in trace.spans)


def facts_of(trace: Trace, raised: frozenset[str], observed: Mapping[str, float]) -> Sampled:
    """What sampling looks at. `observed`: the events the trace's stored scores stand for, by `scoring.evidence`."""
    events = {flag: p for flag, p in observed.items() if flag not in raised}
    every = raised | frozenset(events)
    return Sampled(trace.trace_id, dimensions(trace), every, trace.totals.cost, trace.duration_ms, events)


@dataclass
class Counts:
    """What the stage did since it started: traces_in = rows_out + not_kept; `failed` scorer runs by name."""

    traces_in: int = 0
    rows_out: int = 0
    scores: int = 0
    not_scored: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    jobs: int = 0
    hook_errors: int = 0
    not_kept: int = 0


@dataclass
class _Done:
    """One trace with what was said about it: its scores, the names and types of the checks it failed, their classes."""

    project: str
    trace: Trace
    plan: Plan
    late: bool
    scores: list[Score] = field(default_factory=list[Score])
    failed: set[str] = field(default_factory=set[str])
    classes: list[str | None] = field(default_factory=list[str | None])
    unsure: bool = False
    observed: Mapping[str, float] = field(default_factory=dict[str, float])
    raised: frozenset[str] = frozenset()
    kept: keep.Kept | None = None
    brought: float = 1.0
    said: Sequence[Score] = ()
    spoken: bool = False
    brings_back: bool = False
    cards: list[Card] = field(default_factory=list[Card])


class CheckFlow:
    """Takes assembled traces. `plan_for(project)` says what runs; `run` runs the scorers; `hooks` hear of the
    scores afterwards (review routing, dirty ticks). `keeping()` is the rule of storage sampling, None where everything is kept; a
    trace that is not kept was checked and counted, and has no row. Safe to call again with the same trace: rows are replaced, jobs keep
    their keys, and the coverage ledger counts it as late instead of again."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        clock: Callable[[], int],
        plan_for: Callable[[str], Plan],
        *,
        run: Run = run,
        hooks: Sequence[Hook] = (),
        keeping: Callable[[], keep.Keeping | None] = lambda: None,
        salt: str = "",
    ) -> None:
        self._columns, self._records, self._clock = columns, records, clock
        self._plan_for, self._run = plan_for, run
        self.hooks = list(hooks)
        self._keeping, self._salt = keeping, salt
        self._sampled: dict[str, bool] = {}
        self._pacing = Pacing(records, clock)
        self.counts = Counts()
        self._seen = Recent(_REMEMBERED)
        self._turned_ns = clock()
        # A trace that began before this may have been counted by another process, or be forgotten here: the store knows.
        self._doubtful_ns = clock()
        self._begun: set[tuple[str, str]] = set()
        # One thread: the interpreter runs one at a time anyway, and the event loop keeps answering.
        self._pool = ThreadPoolExecutor(1, "checks")

    async def on_traces(
        self, items: Sequence[tuple[str, Trace]], read_ns: int | None = None
    ) -> list[TraceRow]:
        """Score traces, store their rows, queue judge work. `read_ns` is when the traces were read (now when None).
        Raises StoreUnavailable, and then all of it is to be done again."""
        if not items:
            return []
        now = self._clock()
        read = now if read_ns is None else read_ns
        loop = asyncio.get_running_loop()
        late = await self._counted(items)
        decided = await self._decided(items)
        late |= set(decided)
        ledger: dict[coverage.Cell, Counter[str]] = {}
        done = await loop.run_in_executor(self._pool, self._score, items, late, now, ledger)
        for d in done:
            d.kept = decided.get((d.project, d.trace.trace_id))
        await self._events(done)
        rows: list[TraceRow] = []
        work: list[jobs.NewJob] = []
        fresh: list[KeepingRow] = []
        for d in done:
            self._settle(d, now)
        choices, wishes = await self._choose(done)
        for d in done:
            row, new = self._finish(d, choices, now, read, ledger)
            if d.kept is not None and (d.spoken or (d.project, d.trace.trace_id) not in decided):
                fresh.append(_kept_row(row, d.kept, now))
            if d.kept is None or d.kept.kept:
                rows.append(row)
                work += new
        # Before anything else of the traces: decided once, whatever a crash interrupts.
        if fresh:
            await self._columns.decide_keeping(fresh)
        done = [d for d in done if d.kept is None or d.kept.kept]
        self.counts.not_kept += len(items) - len(done)
        said = [score for d in done for score in _from_telemetry(d.project, d.trace, now)]
        if said:
            # Before the trace rows, which pick up what is stored for them: one write of each row, not two.
            await self._columns.write_scores(said)
        await self._columns.write_traces(rows)
        again = {(d.project, d.trace.trace_id) for d in done if d.late and not d.brings_back}
        totals, raised = await self._records.write(
            lambda c: self._record(c, work, ledger, again, wishes, now)
        )
        await self._columns.write_coverage(totals)
        await self._reweigh(raised, now)
        self._remember([(project, trace.trace_id) for project, trace in items], now)
        self.counts.traces_in += len(items)
        self.counts.rows_out += len(rows)
        await self._tell([(r.project, r.trace.trace_id, r.checks) for r in rows])
        return rows

    async def _counted(self, items: Sequence[tuple[str, Trace]]) -> set[tuple[str, str]]:
        """The traces that the ledger has counted already: those remembered, and of the doubtful ones those with a row. One
        that was begun here and not finished has not been, whatever is stored."""
        keys = [(p, t.trace_id) for p, t in items]
        late = {key for key, known in zip(keys, self._seen.has(keys), strict=True) if known}
        doubtful: dict[str, list[str]] = {}
        for project, trace in items:
            key = (project, trace.trace_id)
            if trace.start_ns < self._doubtful_ns and key not in late and key not in self._begun:
                doubtful.setdefault(project, []).append(trace.trace_id)
        for project, ids in doubtful.items():
            table = await self._columns.named("late_rows", project, ids=ids)
            late |= {(project, str(row[0])) for row in table.rows}
        self._begun |= set(keys) - late
        return late

    async def _decided(self, items: Sequence[tuple[str, Trace]]) -> dict[tuple[str, str], keep.Kept]:
        """What was decided earlier about keeping these traces; nothing is asked where all of them are kept."""
        found: dict[tuple[str, str], keep.Kept] = {}
        if not self._salt:
            return found
        for project in {p for p, _ in items}:
            if self._keeping() is not None:
                self._sampled[project] = True
            elif project not in self._sampled:
                # Switched off since: what was decided under the rule before stays decided.
                table = await self._columns.named("keeping_any", project)
                self._sampled[project] = bool(table.rows)
            if not self._sampled[project]:
                continue
            ids = [t.trace_id for p, t in items if p == project]
            table = await self._columns.named("keeping_decided", project, ids=ids)
            for trace_id, kept, probability, reason, at in table.rows:
                known = keep.Kept(bool(kept), float(probability), str(reason), int(at))
                found[(project, str(trace_id))] = known
        return found

    async def _events(self, done: list[_Done]) -> None:
        """What was said about these traces before they were complete, or since they were first."""
        wanted: dict[str, list[_Done]] = {}
        keeping = self._keeping() is not None
        for d in done:
            if d.plan.cards or (keeping and (d.kept is None or d.kept.reason == keep.ROUTINE)):
                wanted.setdefault(d.project, []).append(d)
        for project, group in wanted.items():
            said: dict[str, list[Score]] = {}
            for score in await self._columns.read_scores(project, [d.trace.trace_id for d in group]):
                said.setdefault(score.trace_id, []).append(score)
            for d in group:
                d.said = said.get(d.trace.trace_id, ())
                d.observed = evidence.observed(d.said, d.plan.signals)

    def _record(
        self,
        connection: Connection,
        work: list[jobs.NewJob],
        ledger: dict[coverage.Cell, Counter[str]],
        again: Set[tuple[str, str]],
        wishes: Mapping[CardKey, Wish],
        now: int,
    ) -> tuple[list[dict[str, Any]], list[tuple[str, JudgeWork]]]:
        self._pacing.note(connection, wishes)
        by_project: dict[str, list[jobs.NewJob]] = {}
        for job in work:
            by_project.setdefault(job.project, []).append(job)
        raised: list[tuple[str, JudgeWork]] = []
        for project, wanted in by_project.items():
            new, risen = raise_jobs(connection, wanted, now)
            self.counts.jobs += len(new)
            for job in new:
                p = msgspec.convert(job.payload, JudgeWork)
                if (project, p.trace_id) in again:
                    # Late data made a policy match: it was eligible then and is selected only now.
                    cell = coverage.Cell(project, p.scorer, p.version, p.window_s)
                    ledger.setdefault(cell, Counter()).update(("selected",))
            raised += [(project, w) for w in risen]
        return coverage.add(connection, [(cell, dict(n)) for cell, n in ledger.items() if n], now), raised

    async def _reweigh(self, raised: list[tuple[str, JudgeWork]], now: int) -> None:
        """Late spans can make a policy match as well: what has been judged gets its weight."""
        for project in {p for p, _ in raised}:
            offered = {(w.trace_id, w.span_id, w.scorer, w.version): w for p, w in raised if p == project}
            await reweigh(self._columns, project, offered, None, now)

    def _score(
        self,
        items: Sequence[tuple[str, Trace]],
        late: Set[tuple[str, str]],
        now: int,
        ledger: dict[coverage.Cell, Counter[str]],
    ) -> list[_Done]:
        """CPU work: every scorer over all traces of a project it applies to, batch-wise."""
        by_project: dict[str, list[_Done]] = {}
        for project, trace in items:
            done = _Done(project, trace, self._plan_for(project), (project, trace.trace_id) in late)
            by_project.setdefault(project, []).append(done)
        for group in by_project.values():
            self._score_group(group, now, ledger)
        return [d for group in by_project.values() for d in group]

    def _score_group(self, group: list[_Done], now: int, ledger: dict[coverage.Cell, Counter[str]]) -> None:
        scheduled = group[0].plan.scheduled
        whole: list[tuple[_Done, str]] = [(d, "") for d in group]
        parts = [(d, s.span_id) for d in group for s in d.trace.spans]
        window = coverage.window_of(now)
        said = self._run(scheduled, [d.trace for d in group])
        for one, answers in zip(scheduled, said, strict=True):
            self.counts.not_scored += answers.not_scored
            # A cell without a count says nothing: a scorer that applied to nothing has no line with zeros.
            if answers.verdicts or answers.failed:
                cell = coverage.Cell(group[0].project, one.scorer.name, one.scorer.version, window)
                count = ledger.setdefault(cell, Counter())
                self._take(one.scorer, parts if one.scorer.level == "span" else whole, answers, count, now)

    def _take(
        self,
        scorer: BatchScorer,
        subjects: Sequence[tuple[_Done, str]],
        said: Answers,
        count: Counter[str],
        now: int,
    ) -> None:
        """What one scorer said: scores, the conditions they raise, and the ledger's counts."""
        name, version, source = scorer.name, scorer.version, scorer.kind
        names = {name, str(getattr(scorer, "type", ""))}
        for what, given in (("scored", said.verdicts), ("failed", said.failed)):
            late = sum(subjects[i][0].late for i, _ in given)
            on_time = len(given) - late
            # Without those that count nothing: the ledger has no zeros.
            count.update(+Counter({"late": late, "eligible": on_time, "selected": on_time, what: on_time}))
        if said.failed:
            self.counts.failed[name] += len(said.failed)
        self.counts.scores += len(said.verdicts)
        for place, verdict in said.verdicts:
            d, span_id = subjects[place]
            if verdict.passed is False:
                d.failed |= names
                d.classes.append(verdict.error_class)
            if name == "groundedness" and verdict.value is not None and verdict.value < UNGROUNDED:
                d.unsure = True
            d.scores.append(
                Score(
                    d.project, d.trace.trace_id, span_id, name, version, source,
                    d.trace.start_ns, now, d.trace.context.session_id, "", "",
                    verdict.value, verdict.label, verdict.passed, verdict.reason, verdict.cost,
                )
            )  # fmt: skip

    def _settle(self, d: _Done, now: int) -> None:
        """What the checks and events come to: its error class, the conditions it meets, whether it is kept, the scorecards it is for."""
        found = root_cause([d.trace.error_class, *d.classes])
        # What nothing else explains last: an answer that was cut off and could not be read then is a truncation.
        d.trace.error_class = found or ("server_error" if broke(d.trace) else None)
        d.raised = flags(d.trace, d.failed, d.unsure)
        rule = self._keeping()
        # A trace that was exported from a store that kept a share stands for as many here; one that is imported where it came from
        # has been decided there.
        before = keep.brought([s.raw for s in d.trace.spans]) if d.kept is None else 1.0
        if d.kept is not None and rule is not None:
            # What comes inside spans counts from when it is here: later, the other spans may be gone.
            told = _from_telemetry(d.project, d.trace, now) if now <= d.kept.decided_ns + rule.wait_ns else []
            why = keep.spoken(rule, d.kept, [*d.said, *told], d.plan.signals)
            if why:
                d.spoken, d.brings_back = True, not d.kept.kept
                d.kept = keep.Kept(True, keep.brought([s.raw for s in d.trace.spans]), why[0], now)
        elif d.kept is None and rule is not None:
            every = d.raised | frozenset(f for f, p in d.observed.items() if p >= 1)
            why = keep.reasons(rule, every, bool(d.failed), d.trace.error_class, d.trace.duration_ms)
            d.kept = keep.decide(rule, self._salt, d.trace.trace_id, why)
            d.kept = msgspec.structs.replace(d.kept, probability=d.kept.probability * before)
        elif before < 1:
            d.brought = before
        if d.kept is None or d.kept.kept:
            d.cards = [c for c in d.plan.cards if c.applies(d.trace)]

    async def _choose(
        self, done: Sequence[_Done]
    ) -> tuple[dict[tuple[str, str, str], Decision], dict[CardKey, Wish]]:
        """Every card's decision by project, trace and card, and what the traces of cards with a budget ask for. How far a budget
        reaches changes from hour to hour: a trace that was decided before keeps its probability, unless an event raises it."""
        seen = {
            (d.project, d.trace.trace_id): facts_of(d.trace, d.raised, d.observed) for d in done if d.cards
        }
        paced = [(d, card) for d in done for card in d.cards if card.budget is not None]
        earlier = await self._earlier([d for d, _ in paced if d.late])
        wishes: dict[CardKey, Wish] = {}
        for d, card in paced:
            key = (d.project, d.trace.trace_id)
            if key in earlier:
                continue
            wish = wishes.setdefault((d.project, card.name), Wish(card))
            chance, event = card.sampler.offers(seen[key])
            for judge in card.judges:
                n = len(subjects_of(judge, d.trace))
                wish.routine[judge.name] += n * max(0.0, chance - event)
                wish.always[judge.name] += n * event
        factors = await self._pacing.factors(wishes)
        made: dict[tuple[str, str, str], Decision] = {}
        for d in done:
            key = (d.project, d.trace.trace_id)
            for card in d.cards:
                if card.budget is not None and key in earlier:
                    decision = card.sampler.again(seen[key], *earlier[key])
                else:
                    pace = factors.get((d.project, card.name), 1.0)
                    decision = card.sampler.decide(seen[key], pace)
                made[*key, card.name] = decision
        return made, wishes

    async def _earlier(self, late: Sequence[_Done]) -> dict[tuple[str, str], tuple[float, str]]:
        """Probability and policy that these traces were stored with."""
        found: dict[tuple[str, str], tuple[float, str]] = {}
        for project in {d.project for d in late}:
            ids = sorted({d.trace.trace_id for d in late if d.project == project})
            table = await self._columns.named("late_rows", project, ids=ids)
            # One that no scorecard was for then is chosen now or not at all.
            found |= {
                (project, str(i)): (float(p), str(policy)) for i, _, p, policy in table.rows if "@" in policy
            }
        return found

    def _finish(
        self,
        d: _Done,
        choices: Mapping[tuple[str, str, str], Decision],
        now: int,
        read: int,
        ledger: dict[coverage.Cell, Counter[str]],
    ) -> tuple[TraceRow, list[jobs.NewJob]]:
        best: Decision | None = None
        work: list[jobs.NewJob] = []
        every = d.raised | frozenset(d.observed)
        for card in d.cards:
            decision = choices[d.project, d.trace.trace_id, card.name]
            best = decision if best is None or decision.probability > best.probability else best
            work += self._queue(d, card, decision, every, coverage.window_of(now), ledger, now)
        policy = "all" if best is None else f"{best.policy}@{best.version}"
        probability = 1.0 if best is None else best.probability
        kept = d.brought if d.kept is None else d.kept.probability
        return TraceRow(
            d.project, d.trace, d.scores, probability, policy, read, kept=kept, again=d.late
        ), work

    def _queue(
        self,
        d: _Done,
        card: Card,
        decision: Decision,
        raised: frozenset[str],
        window: int,
        ledger: dict[coverage.Cell, Counter[str]],
        now: int,
    ) -> list[jobs.NewJob]:
        risky = bool(raised & RISKY)
        new: list[jobs.NewJob] = []
        for judge in card.judges:
            cell = coverage.Cell(d.project, judge.name, judge.version, window)
            count = ledger.setdefault(cell, Counter())
            for subject in subjects_of(judge, d.trace):
                # One that was not kept had no judge.
                if not d.late or d.brings_back:
                    count["eligible"] += 1
                    count["selected"] += decision.selected
                if decision.selected:
                    new.append(new_job(d.project, subject, judge, decision, window, risky, now))
        return new

    def _remember(self, keys: list[tuple[str, str]], now: int) -> None:
        turns = self._seen.turns
        self._seen.add(keys)
        self._begun.difference_update(keys)
        if self._seen.turns != turns:
            # What was known at the turn before this one has just been forgotten.
            self._doubtful_ns, self._turned_ns = self._turned_ns, now

    async def _tell(self, scored: Scored) -> None:
        for hook in self.hooks:
            try:
                await hook(scored)
            # The traces are stored and scored; a broken listener must not make ingest do it all again.
            except Exception:
                self.counts.hook_errors += 1
                log.exception("a listener to scores failed")

    def close(self) -> None:
        """Stop the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _kept_row(row: TraceRow, kept: keep.Kept, now: int) -> KeepingRow:
    """The decision, with the trace's place in its session where its time says one."""
    trace = row.trace
    decided = KeepingRow(row.project, trace.trace_id, kept.kept, kept.probability, kept.reason, now)
    if not believable(row):
        return decided
    return msgspec.structs.replace(
        decided, session_id=trace.context.session_id, start_ns=trace.start_ns, end_ns=trace.end_ns
    )


def _from_telemetry(project: str, trace: Trace, now: int) -> list[Score]:
    """Scores that came inside the spans: evaluation events and annotations of other systems, by name and span, made when they say
    unless that was before the trace or is still to come."""
    return [
        Score(
            project=project,
            trace_id=trace.trace_id,
            span_id="" if span.parent_id is None else span.span_id,
            scorer=found.name,
            version=found.version or "1",
            source="user" if found.source == "user" else "external",
            time_ns=trace.start_ns,
            scored_ns=made if trace.start_ns <= (made := found.scored_ns or now) <= now else now,
            session_id=trace.context.session_id,
            author=found.author or "telemetry",
            value=found.value,
            label=found.label,
            passed=found.passed,
            reason=found.explanation,
        )
        for span in trace.spans
        for found in span.evaluations
        if found.value is not None or found.label is not None
    ]
