"""The only caller of scorers: live, in the gate, in tests and in backfills."""

import logging
import math
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from itertools import repeat
from typing import TypeVar

from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.score import Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.protocol import BatchScorer

log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_PROMPTS = 64
Batch = Callable[[BatchScorer, Sequence[Subject]], Sequence[Outcome]]


class TooManyPrompts(Exception):
    """A judge asked more than `MAX_PROMPTS` questions about one subject."""


def checked(outcome: object) -> Outcome:
    """The outcome if it is one, else `Failed`. NaN and infinity are failures: they would poison every mean."""
    if type(outcome) is NotScored:
        return outcome
    if type(outcome) is Verdict:
        # The common case first: this runs for every scorer on every trace. x - x is 0 for finite numbers only.
        value = outcome.value
        if type(value) is float and value - value == 0.0 and outcome.cost is None:
            return outcome
    if isinstance(outcome, Verdict):
        for field in ("value", "cost"):
            number = getattr(outcome, field)
            if number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int | float):
                return Failed(f"{field} is {type(number).__name__}, not a number")
            if not math.isfinite(number):
                return Failed(f"{field} is {number}, not a finite number")
        if outcome.value is None and outcome.label is None and outcome.passed is None:
            return Failed("the verdict is empty: no value, label or pass")
        return outcome
    if isinstance(outcome, NotScored | Failed):
        return outcome
    return Failed(f"returned {type(outcome).__name__}, not Verdict, NotScored or Failed")


def direct(scorer: BatchScorer, subjects: Sequence[Subject]) -> Sequence[Outcome]:
    """Call the scorer in this thread."""
    return scorer.score(subjects)


def _one_by_one(scorer: BatchScorer, subjects: Sequence[Subject], call: Batch) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for subject in subjects:
        try:
            answer = list(call(scorer, [subject]))
        # Whatever a scorer raises must stop neither its neighbours nor ingest; it becomes a counted Failed.
        except Exception as error:  # noqa: BLE001
            log.warning("scorer %s failed on trace %s: %r", scorer.name, subject.trace.trace_id, error)
            outcomes.append(Failed(f"{type(error).__name__}: {error}"[:500]))
            continue
        outcomes.append(checked(answer[0]) if len(answer) == 1 else _wrong_length(scorer, 1, len(answer)))
    return outcomes


def _wrong_length(scorer: BatchScorer, asked: int, got: int) -> Failed:
    return Failed(f"{scorer.name} returned {got} outcomes for {asked} subjects")


def run_scorer(scorer: BatchScorer, subjects: Sequence[Subject], isolate: Batch = direct) -> list[Outcome]:
    """One outcome per subject. A scorer that raises on a batch is asked again subject by subject, so one bad trace
    fails alone. `isolate` runs scorers that are not trusted (own process, deadline, memory limit)."""
    if not subjects:
        return []
    call = direct if scorer.trusted else isolate
    try:
        answers = list(call(scorer, subjects))
    # Same reason as above: isolation; the retry below counts and logs what remains.
    except Exception as error:  # noqa: BLE001
        if len(subjects) == 1:
            log.warning("scorer %s failed on trace %s: %r", scorer.name, subjects[0].trace.trace_id, error)
            return [Failed(f"{type(error).__name__}: {error}"[:500])]
        return _one_by_one(scorer, subjects, call)
    if len(answers) != len(subjects):
        return [_wrong_length(scorer, len(subjects), len(answers))] * len(subjects)
    return [checked(a) for a in answers]


def run_checks(
    scorers: Iterable[BatchScorer], subjects: Sequence[Subject], isolate: Batch = direct
) -> list[tuple[BatchScorer, Subject, Outcome]]:
    """Every scorer on every subject of its level: span scorers see subjects with a span, others those without."""
    spans = [s for s in subjects if s.span is not None]
    traces = [s for s in subjects if s.span is None]
    out: list[tuple[BatchScorer, Subject, Outcome]] = []
    for scorer in scorers:
        mine = spans if scorer.level == "span" else traces
        outcomes = run_scorer(scorer, mine, isolate)
        out.extend(zip(repeat(scorer, len(mine)), mine, outcomes, strict=True))
    return out


async def drive(
    steps: Generator[Prompt, Reply, Outcome], ask: Callable[[Prompt], Awaitable[Reply]]
) -> Outcome:
    """Run a judge: send it the reply to each prompt it yields, return its outcome. Errors of `ask` pass through (the
    caller knows whether to try again later); an error inside the judge becomes `Failed`."""
    try:
        prompt = next(steps)
    except StopIteration as done:
        return checked(done.value)
    # A judge's own bug must not look like a provider outage and be retried for ever.
    except Exception as error:  # noqa: BLE001
        return _broken(error)
    for _ in range(MAX_PROMPTS):
        reply = await ask(prompt)
        try:
            prompt = steps.send(reply)
        except StopIteration as done:
            return checked(done.value)
        # Same reason: the judge broke on this reply, and the failure is stored with its reason.
        except Exception as error:  # noqa: BLE001
            return _broken(error)
    steps.close()
    return _broken(TooManyPrompts(f"more than {MAX_PROMPTS} prompts for one subject"))


def _broken(error: Exception) -> Failed:
    log.warning("judge broke: %r", error)
    return Failed(f"{type(error).__name__}: {error}"[:500])
