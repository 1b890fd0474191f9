"""Proposed scorers, measured on traces they were not learned from, before anybody accepts one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from watchkeeper.llm.port import ProviderError
from watchkeeper.model.managed import Measured, Proposal
from watchkeeper.model.prompt import Ask
from watchkeeper.model.score import Subject, Verdict
from watchkeeper.model.span import Trace
from watchkeeper.reviewing.propose import KINDS, Candidate, Sample, candidates
from watchkeeper.scoring.checks.table import BY_TYPE
from watchkeeper.scoring.drive import drive, run_checks
from watchkeeper.scoring.protocol import BatchScorer, Finders, Judge
from watchkeeper.scoring.registry import SpecError, build
from watchkeeper.stats.intervals import wilson

FOLDS = 5
GOOD_RECALL = 0.6
MOST_FALSE = 0.03
JUDGED = 20
FLAGGED = 5
# A single false alarm among few passing traces weighs more than a missed failure.
_COST = 5.0


@dataclass(frozen=True)
class Evidence:
    """Traces of one kind of failure and passing ones, with what people said of them: the ids labelled bad or good."""

    failing: Sequence[Trace]
    passing: Sequence[Trace]
    bad: frozenset[str] = frozenset()
    good: frozenset[str] = frozenset()
    prevalence: tuple[float, float] | None = None


def sample_of(trace: Trace) -> Sample:
    """What a rule may be learned from."""
    called = [c.name for s in trace.llm_calls if s.llm is not None for c in s.llm.tool_calls]
    run = [s.tool.name for s in trace.tools if s.tool is not None]
    tools = tuple(dict.fromkeys(str(name) for name in [*called, *run] if name))
    return Sample(trace.output_text or "", trace.input_text or "", tools)


def ready_checks() -> list[str]:
    """The built-in checks of what came out that need no parameters."""
    found: list[str] = []
    for kind, check in BY_TYPE.items():
        if check.of_input:
            continue
        try:
            check()
        except (ValueError, TypeError):
            continue
        found.append(kind)
    return found


def measured(k: int, n: int) -> Measured:
    """k of n with Wilson's 95 % interval."""
    low, high = wilson(k, n)
    return Measured(k, n, k / n if n else None, low, high)


def _flags(spec: Mapping[str, Any], subjects: Sequence[Subject], given: Finders) -> set[str]:
    """The ids of the traces that a rule fails."""
    try:
        scorer = build({"name": "proposed", **spec}, given)
    except SpecError:
        return set()
    if not isinstance(scorer, BatchScorer):
        return set()
    found = run_checks([scorer], subjects)
    return {s.trace.trace_id for _, s, o in found if isinstance(o, Verdict) and o.passed is False}


def _key(candidate: Candidate) -> str:
    return f"check:{candidate.spec['type']}" if candidate.kind == "check" else candidate.kind


def proposals(
    evidence: Evidence, given: Finders, in_force: Mapping[str, str], checks: Sequence[str] | None = None
) -> list[Proposal]:
    """Every rule that finds any of the failures, best first. `in_force` names the scorer that runs a check's type already.

    Recall and false alarms are counted out of fold: each fifth of the traces is judged by the rule learned from the others.
    """
    ready = ready_checks() if checks is None else checks
    # Made once: what is read out of their texts serves every rule and fold.
    failing, passing = ([sample_of(t) for t in part] for part in (evidence.failing, evidence.passing))
    subjects = [[Subject(t) for t in part] for part in (evidence.failing, evidence.passing)]
    whole = [s for part in subjects for s in part]
    made = candidates(failing, passing, ready)
    held: dict[str, set[str]] = {}
    for fold in range(FOLDS):
        train = candidates(
            [s for i, s in enumerate(failing) if i % FOLDS != fold],
            [s for i, s in enumerate(passing) if i % FOLDS != fold],
        )
        out = [s for part in subjects for i, s in enumerate(part) if i % FOLDS == fold]
        for c in train:
            held.setdefault(c.kind, set()).update(_flags(c.spec, out, given))
    found: list[Proposal] = []
    for c in made:
        fixed = c.kind == "check"
        flagged = _flags(c.spec, whole, given) if fixed else held.get(c.kind, set())
        proposal = proposal_of(c, flagged, evidence, folds=1 if fixed else FOLDS)
        existing = in_force.get(str(c.spec["type"])) if fixed else None
        if proposal.recall.k:
            found.append(msgspec.structs.replace(proposal, existing=existing))
    return sorted(found, key=rank)


def proposal_of(
    candidate: Candidate, flagged: set[str], evidence: Evidence, folds: int = 1, measured_now: bool = True
) -> Proposal:
    """A candidate with how it did, given the ids of the traces it flags."""
    failing = [t.trace_id for t in evidence.failing]
    passing = [t.trace_id for t in evidence.passing]
    bad = [i for i in failing if i in evidence.bad]
    good = [i for i in [*passing, *failing] if i in evidence.good]
    recall = measured(sum(i in flagged for i in failing), len(failing))
    wrong = measured(sum(i in flagged for i in passing), len(passing))
    value, low = _precision(recall, wrong, evidence.prevalence)
    return Proposal(
        _key(candidate), dict(candidate.spec), candidate.why, recall, wrong,
        measured(sum(i in flagged for i in bad), len(bad)), measured(sum(i in flagged for i in good), len(good)),
        value, low, folds, None, measured_now, [i for i in passing if i in flagged and i not in evidence.bad][:FLAGGED],
    )  # fmt: skip


def _precision(
    recall: Measured, wrong: Measured, prevalence: tuple[float, float] | None
) -> tuple[float | None, float | None]:
    """What share of flags in live traffic is right: p·r/(p·r + (1 − p)·f), and the same at the worst ends of the intervals."""
    if prevalence is None or recall.value is None or wrong.value is None:
        return None, None

    def at(p: float, r: float, f: float) -> float | None:
        all_flags = p * r + (1 - p) * f
        return p * r / all_flags if all_flags > 0 else None

    p, low = prevalence
    return at(p, recall.value, wrong.value), at(low, recall.low, wrong.high)


def worth(proposal: Proposal) -> bool:
    """Whether a proposal may be chosen without a person saying so: it finds most of the failures and flags next to nothing
    that passes."""
    r, f = proposal.recall.value, proposal.false_alarms.value
    return proposal.measured and r is not None and r >= GOOD_RECALL and (f is None or f <= MOST_FALSE)


def rank(proposal: Proposal) -> tuple[float, int, str]:
    """Best first: what finds much and flags little, in steps of 5 %; of equals the rule that says most about the failure."""
    r, f = proposal.recall.value or 0.0, proposal.false_alarms.value or 0.0
    kind = proposal.kind.split(":")[0]
    order = KINDS.index(kind) if kind in KINDS else len(KINDS)
    return -round((r - _COST * f) / 0.05), order, proposal.kind


class JudgeSilent(Exception):
    """The judge could answer for no trace; the text says why."""


async def judged(candidate: Candidate, evidence: Evidence, given: Finders, ask: Ask) -> Proposal:
    """A judge's proposal, measured on up to `JUDGED` failing and as many passing traces: those it answered for. Raises
    SpecError when it cannot be built, JudgeSilent when it never answers."""
    scorer = build({"name": "proposed", **candidate.spec}, given)
    flagged: set[str] = set()
    answered: set[str] = set()
    why = "it judges nothing"
    if isinstance(scorer, Judge):
        for trace in [*evidence.failing[:JUDGED], *evidence.passing[:JUDGED]]:
            try:
                outcome = await drive(scorer.steps(Subject(trace)), ask)
            except ProviderError as error:
                why = str(error)
                continue
            if isinstance(outcome, Verdict):
                answered.add(trace.trace_id)
                flagged |= {trace.trace_id} if outcome.passed is False else set()
            else:
                why = outcome.reason
    if not answered:
        raise JudgeSilent(f"the judge answered for no trace: {why}")
    some = replace(
        evidence,
        failing=[t for t in evidence.failing if t.trace_id in answered],
        passing=[t for t in evidence.passing if t.trace_id in answered],
    )
    return proposal_of(candidate, flagged, some)
