"""Judgements as jobs: what a sampling decision leads to, under idempotent keys, and weights that follow when π rises."""

import hashlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.model.score import Score, Subject
from watchkeeper.model.span import Trace
from watchkeeper.pipeline.where import COLUMNS
from watchkeeper.scoring.protocol import Judge
from watchkeeper.scoring.sampling import Decision
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import coverage, jobs

JUDGE = "judge"
RISKY = frozenset(("error", "timeout", "guard", "policy_deny", "thumbs_down", "escalation", "step_cap"))


def job_key(project: str, trace_id: str, span_id: str, scorer: str, version: str, model: str) -> str:
    """The idempotent id of one judgement: one score and one charge per key."""
    parts = "\x00".join((project, trace_id, span_id, scorer, version, model))
    return "judge:" + hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:48]


class JudgeWork(msgspec.Struct, frozen=True):
    """A queued judgement's payload. `window_s` is the start of the coverage window of its selection; `backfill` the run that asked for it,
    `purse` what that run may spend (USD) where it has an account of its own."""

    trace_id: str
    span_id: str
    scorer: str
    version: str
    probability: float
    policy: str
    time_ns: int
    window_s: int
    session_id: str | None = None
    high_risk: bool = False
    backfill: str = ""
    purse: float | None = None


def again(
    connection: Connection, project: str, now_ns: int, key: str | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """Give judgements that were given up another life, all of a project's or one; how many, and the coverage ledger's new totals: what is
    tried again has not failed."""
    dead = jobs.listed(connection, project=project, status="dead", limit=sys.maxsize)
    number = jobs.requeue(connection, now_ns, project=project, key=key)
    cells: Counter[coverage.Cell] = Counter()
    for job in dead:
        if job.kind == JUDGE and key in (None, job.key):
            work = msgspec.convert(job.payload, JudgeWork)
            cells[coverage.Cell(project, work.scorer, work.version, work.window_s)] -= 1
    return number, coverage.add(connection, [(cell, {"failed": n}) for cell, n in cells.items()], now_ns)


def dimensions(trace: Trace) -> dict[str, str]:
    """The strata a trace can belong to: context columns, model, provider and string metadata (user segment)."""
    found = {name: read(trace) for name, read in COLUMNS.items() if not name.endswith("_text")}
    dims = {name: value for name, value in found.items() if isinstance(value, str)}
    for key, value in trace.context.metadata.items():
        if isinstance(value, str):
            dims.setdefault(key, value)
    return dims


def subjects_of(judge: Judge, trace: Trace) -> list[Subject]:
    """What of a trace a judge grades: the whole, or each provider call."""
    return [Subject(trace)] if judge.level != "span" else [Subject(trace, s) for s in trace.llm_calls]


def new_job(
    project: str, subject: Subject, judge: Judge, decision: Decision, window_s: int, risky: bool, now_ns: int
) -> jobs.NewJob:
    """The judgement of one subject as a job."""
    trace = subject.trace
    span_id = subject.span.span_id if subject.span is not None else ""
    payload = JudgeWork(
        trace.trace_id, span_id, judge.name, judge.version, decision.probability,
        f"{decision.policy}@{decision.version}", trace.start_ns, window_s, trace.context.session_id, risky,
    )  # fmt: skip
    key = job_key(project, trace.trace_id, span_id, judge.name, judge.version, judge.model)
    return jobs.NewJob(key, project, JUDGE, msgspec.to_builtins(payload), now_ns, 10 if risky else 0)


def raise_jobs(
    connection: Connection,
    wanted: Sequence[jobs.NewJob],
    now_ns: int,
    *,
    late: bool = False,
    add: bool = True,
) -> tuple[list[jobs.NewJob], list[JudgeWork]]:
    """Queue what is new, and give existing jobs the larger probability; returns the new jobs and the raised ones' work.

    A job chosen under another policy version keeps its probability unless an event chose it (`late`): a changed rate says
    nothing of the traces that were decided before it."""
    known = jobs.payloads(connection, [j.key for j in wanted])
    new = [j for j in {j.key: j for j in wanted}.values() if j.key not in known]
    raised: list[JudgeWork] = []
    for job in wanted:
        if job.key not in known:
            continue
        had, has = msgspec.convert(known[job.key], JudgeWork), msgspec.convert(job.payload, JudgeWork)
        same = had.policy.rpartition("@")[2] == has.policy.rpartition("@")[2]
        if has.probability <= had.probability or not (late or same):
            continue
        risen = msgspec.structs.replace(
            had, probability=has.probability, policy=has.policy, high_risk=had.high_risk or has.high_risk
        )
        jobs.replace_payload(connection, job.key, msgspec.to_builtins(risen), job.priority)
        raised.append(risen)
    if add:
        jobs.add(connection, new, now_ns)
    return (new if add else []), raised


ScoreKey = tuple[str, str, str, str]


def score_key(job: jobs.NewJob) -> ScoreKey:
    """Trace, span, scorer and version of the score that a job would make."""
    p = job.payload
    return (p["trace_id"], p["span_id"], p["scorer"], p["version"])


def queue_after(
    connection: Connection,
    work: Sequence[jobs.NewJob],
    stored: Mapping[str, Sequence[Score]],
    counted: Sequence[str],
    now_ns: int,
) -> tuple[int, int, list[dict[str, Any]]]:
    """Queue judgements of traces that were decided before, whose scores are `stored` by trace: how many are new, how many
    rose, and the rows of the coverage ledger, in which the new ones count as each of `counted`.

    A score without its job is a judgement whose finished job was forgotten: it is weighed, not asked again."""
    scored = {(s.trace_id, s.span_id, s.scorer, s.version) for found in stored.values() for s in found}
    asked = [j for j in work if score_key(j) not in scored]
    forgotten = [j for j in work if score_key(j) in scored]
    new, raised = raise_jobs(connection, asked, now_ns, late=True)
    _, again = raise_jobs(connection, forgotten, now_ns, late=True, add=False)
    ledger: dict[coverage.Cell, Counter[str]] = {}
    for job in new:
        p = msgspec.convert(job.payload, JudgeWork)
        cell = coverage.Cell(job.project, p.scorer, p.version, p.window_s)
        ledger.setdefault(cell, Counter()).update(counted)
    totals = coverage.add(connection, [(cell, dict(n)) for cell, n in ledger.items()], now_ns)
    return len(new), len(raised) + len(again), totals


async def reweigh(
    columns: Columns,
    project: str,
    offered: Mapping[ScoreKey, JudgeWork],
    stored: Mapping[str, Sequence[Score]] | None,
    now_ns: int,
) -> int:
    """Give stored scores (trace, span, scorer, version) their larger probability; how many. `stored` are the scores of each
    trace where they have just been read."""
    if not offered:
        return 0
    if stored is None:
        read = await columns.read_scores(project, sorted({key[0] for key in offered}))
    else:
        read = [s for found in stored.values() for s in found]
    changed: list[Score] = []
    for score in read:
        work = offered.get((score.trace_id, score.span_id, score.scorer, score.version))
        if work is None or score.source != "judge" or score.inclusion_probability >= work.probability:
            continue
        changed.append(
            msgspec.structs.replace(
                score,
                inclusion_probability=work.probability,
                policy=work.policy,
                weighed_ns=max(now_ns, score.scored_ns + 1),
            )
        )
    if changed:
        await columns.write_scores(changed)
    return len(changed)
