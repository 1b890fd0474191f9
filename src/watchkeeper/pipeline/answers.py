"""Answers of a target scored by the very scorer objects that watch production: in the gate, and offline in tests."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from watchkeeper.gating.judgement import worst_of
from watchkeeper.gating.subject import Answer, subjects_of
from watchkeeper.llm.port import ProviderError
from watchkeeper.model.prompt import Ask
from watchkeeper.model.review import Case
from watchkeeper.model.score import Failed, Outcome, Subject, Verdict
from watchkeeper.scoring.drive import drive, run_checks
from watchkeeper.scoring.protocol import BatchScorer, Judge, Scorer

Outcomes = dict[tuple[str, str], list[Outcome]]
CASES_AT_ONCE = 256
JUDGED_AT_ONCE = 8
# Somebody waits for a gate: what a short hiccup needs, and no more.
WAITS_S = (1.0, 4.0)
LONGEST_WAIT_S = 30.0


async def score_answers(
    cases: Mapping[str, Case], answers: Sequence[Answer], scorers: Sequence[Scorer], ask: Ask | None
) -> Outcomes:
    """Every scorer's outcome for every answer, repeats in order; the worst where a scorer looks at several spans.

    Answers with an error are not scored. Judges are left out without `ask`. A provider that is down is asked again after `WAITS_S`; a
    judge whose provider stays down fails on what is left without being asked, and costs nobody else's scores.
    """
    batch = [s for s in scorers if isinstance(s, BatchScorer)]
    judges = [s for s in scorers if isinstance(s, Judge)] if ask is not None else []
    given = [a for a in answers if a.error is None]
    limit = asyncio.Semaphore(JUDGED_AT_ONCE)
    down: dict[str, Failed] = {}

    async def judged(judge: Judge, answer: Answer) -> tuple[str, str, Outcome]:
        assert ask is not None
        subject = subjects_of(cases[answer.case_id], answer)[0]
        async with limit:
            outcome = down.get(judge.name) or await _patiently(judge, subject, ask, down)
        return answer.case_id, judge.name, outcome

    outcomes: Outcomes = defaultdict(list)
    for start in range(0, len(given), CASES_AT_ONCE):
        part = given[start : start + CASES_AT_ONCE]
        for key, told in (await asyncio.to_thread(score_checks, cases, part, batch)).items():
            outcomes[key] += told
    for case_id, name, outcome in await asyncio.gather(*(judged(j, a) for a in given for j in judges)):
        outcomes[case_id, name].append(outcome)
    return outcomes


async def _patiently(judge: Judge, subject: Subject, ask: Ask, down: dict[str, Failed]) -> Outcome:
    """The judge's outcome, whatever its provider does; `down` learns of a provider that stays down."""
    for wait in (*WAITS_S, None):
        try:
            return await drive(judge.steps(subject), ask)
        except ProviderError as error:
            if wait is None or not error.retry:
                failed = Failed(str(error))
                if error.outage:
                    down[judge.name] = failed
                return failed
            await asyncio.sleep(min(max(wait, error.retry_after_s or 0.0), LONGEST_WAIT_S))
    raise AssertionError("the last attempt returns")


def score_checks(
    cases: Mapping[str, Case], answers: Sequence[Answer], scorers: Sequence[BatchScorer]
) -> Outcomes:
    """What deterministic scorers say of answers without an error. They see all at once: a classifier embeds them in one
    go."""
    subjects = [subjects_of(cases[a.case_id], a) for a in answers]
    owner = {id(s): i for i, group in enumerate(subjects) for s in group}
    worst: dict[tuple[int, str], Outcome] = {}
    for scorer, subject, outcome in run_checks(scorers, [s for group in subjects for s in group]):
        key = (owner[id(subject)], scorer.name)
        worst[key] = worst_of(worst.get(key), outcome)
    found: Outcomes = defaultdict(list)
    for (i, name), outcome in worst.items():
        found[answers[i].case_id, name].append(outcome)
    return found


def plain_outcome(outcome: Outcome, kind: str) -> dict[str, Any]:
    """An outcome as plain data: the scorer's `kind`, `passed`, `value`, `reason`; both None where it gave no verdict."""
    if isinstance(outcome, Verdict):
        return {"kind": kind, "passed": outcome.passed, "value": outcome.value, "reason": outcome.reason}
    return {"kind": kind, "passed": None, "value": None, "reason": outcome.reason}
