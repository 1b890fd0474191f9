"""A run's answers and outcomes as one experiment: metrics with their verdicts, regressions, results case by case."""

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from watchkeeper.gating.compare import Window, against_window, semantic
from watchkeeper.gating.subject import Answer, input_text
from watchkeeper.gating.verdict import (
    NOT_CALIBRATED,
    CaseScore,
    GateSettings,
    MetricVerdict,
    deterministic,
    every_case,
    flakiness,
    not_calibrated,
    overall,
)
from watchkeeper.model.numerals import counted, figure
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.score import Failed, NotScored, Outcome, Verdict

Outcomes = Mapping[tuple[str, str], Sequence[Outcome]]
Scores = dict[tuple[str, str], CaseScore]


@dataclass(frozen=True)
class Baseline:
    """What a run is compared with: the scores of a stored experiment on the same cases, or a window of production.

    Attributes:
        name: how it is called in reports.
        id: the experiment's id, None for a window.
        scores: per case and scorer, for an experiment.
        windows: per scorer, weighted and clustered by session, for production.
        about: what the window covered, for the stored document.
    """

    name: str
    id: str | None = None
    scores: Scores = field(default_factory=dict[tuple[str, str], CaseScore])
    windows: Mapping[str, Window] = field(default_factory=dict[str, Window])
    about: Mapping[str, Any] | None = None


def worst_of(known: Outcome | None, new: Outcome) -> Outcome:
    """The worst of a scorer's outcomes over the spans of one answer; a failure to score hides no verdict."""
    if known is None or isinstance(known, NotScored) or (isinstance(known, Verdict) and known.abstained):
        return new
    if isinstance(new, Verdict) and isinstance(known, Verdict):
        if known.passed is not None and new.passed is not None and known.passed != new.passed:
            return new if new.passed is False else known
        pair = (known.value, new.value)
        return new if pair[0] is not None and pair[1] is not None and pair[1] < pair[0] else known
    return new if isinstance(known, Failed) and isinstance(new, Verdict) else known


def case_scores(cases: Mapping[str, Case], outcomes: Outcomes) -> Scores:
    """The verdicts of each scorer on each case, over its repeats; a scorer that did not answer has no entry."""
    found: dict[tuple[str, str], CaseScore] = {}
    for (case_id, scorer), given in outcomes.items():
        verdicts = [o for o in given if isinstance(o, Verdict) and not o.abstained]
        values = tuple(float(v.value if v.value is not None else bool(v.passed)) for v in verdicts)
        if not values:
            continue
        session = cases[case_id].context.get("session_id")
        reason = next((v.reason for v in verdicts if v.reason and v.passed is False), None) or next(
            (v.reason for v in verdicts if v.reason), None
        )
        found[case_id, scorer] = CaseScore(
            case_id, scorer, values, tuple(v.passed for v in verdicts), reason, session or case_id
        )
    return found


def asked_hash(case: Case) -> str:
    """What a case asks and expects, as a hash: answers to another question are not compared."""
    whole = [case.input, case.context, case.expected]
    return hashlib.sha256(msgspec.json.encode(whole, order="deterministic")).hexdigest()[:16]


def stored_scores(
    experiment: Mapping[str, Any], cases: Mapping[str, Case], versions: Mapping[str, str]
) -> Scores:
    """The scores of a stored experiment that compare with a run over `cases` by scorers of these `versions`: neither
    another question nor another version of a scorer gets in."""
    found: Scores = {}
    made_by = experiment.get("scorers") or {}
    for result in experiment.get("results", []):
        case = cases.get(result["case_id"])
        if case is None or result.get("asked", asked_hash(case)) != asked_hash(case):
            continue
        for scorer, score in result["scores"].items():
            if made_by.get(scorer) != versions.get(scorer) and scorer in made_by and scorer in versions:
                continue
            found[result["case_id"], scorer] = CaseScore(
                result["case_id"], scorer, tuple(score["values"]), tuple(score["passed"]), score.get("reason"),
                result.get("session"),
            )  # fmt: skip
    return found


def document(
    dataset: DatasetVersion,
    answers: Sequence[Answer],
    outcomes: Outcomes,
    kinds: Mapping[str, str],
    base: Baseline | None,
    settings: GateSettings,
    provisional: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The experiment without its id, name, project and times. `kinds` says for every scorer what kind it is, `provisional`
    which may not decide, and why."""
    cases = {c.id: c for c in dataset.cases}
    scores = case_scores(cases, outcomes)
    before = base.scores if base else {}
    metrics = [
        *_answered(cases, answers),
        *_compared_with_nothing(base),
        *_silent(outcomes, cases, kinds, settings, provisional or {}),
        *_metrics(scores, base, cases, kinds, settings, provisional or {}),
    ]
    verdict = overall(metrics)
    return {
        "dataset": dataset.dataset,
        "dataset_version": dataset.version,
        "verdict": verdict.outcome,
        "needed": verdict.needed,
        "n_cases": len(cases),
        "n_answers": len(answers),
        "repeats": 1 + max((a.repeat for a in answers), default=0),
        "cost": _sum([a.cost for a in answers]),
        "baseline": base.id if base else None,
        "baseline_name": base.name if base else None,
        "baseline_window": dict(base.about) if base and base.about else None,
        "settings": msgspec.to_builtins(asdict(settings)),
        "metrics": [asdict(m) for m in metrics],
        "regressions": _regressions(cases, scores, before),
        "results": _results(cases, answers, scores),
        "broken": _broken(outcomes),
    }


def _compared_with_nothing(base: Baseline | None) -> list[MetricVerdict]:
    """A window of production in which nothing was scored, as of a release that was never deployed or is spelled otherwise: whatever
    the scorers say of the answers, the comparison that was asked for has not been made."""
    if base is None or base.about is None or base.about.get("seen", True):
        return []
    words = f"baseline {base.name}: no scored trace is in that window; is the name right, and the window long enough?"
    return [MetricVerdict("baseline_there", "deterministic", "not_enough_evidence", 0, words)]


def _silent(
    outcomes: Outcomes,
    cases: Mapping[str, Case],
    kinds: Mapping[str, str],
    settings: GateSettings,
    provisional: Mapping[str, str],
) -> list[MetricVerdict]:
    """Scorers that gave no answer where they should have: they broke, their model was not to be had, they may not judge this
    target, or they are not in force. What nobody looked at has not passed. A few cases without a semantic score (`max_flaky`) say nothing of the others; a
    check, or a scorer that a reviewed failure must pass, is needed on every case."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for (case_id, scorer), given in outcomes.items():
        why = [o.reason for o in given if isinstance(o, Failed) or (isinstance(o, NotScored) and o.refused)]
        if why and not any(isinstance(o, Verdict) for o in given):
            found[scorer][case_id] = why[0]
    for case in cases.values():
        for scorer in {*case.must_pass} - kinds.keys() - {*settings.ignore}:
            found[scorer][case.id] = "no scorer of that name is in force; ignore it, or take it off the case"
    deciding: list[str] = []
    for scorer, silent in found.items():
        soft = is_semantic(scorer, kinds.get(scorer), settings)
        few = soft and len(silent) <= settings.max_flaky * len(cases)
        must = any(scorer in cases[c].must_pass for c in silent)
        if scorer not in provisional and (must or not few):
            deciding.append(scorer)
    named = sorted(deciding) or sorted(found)
    if not named:
        return []
    words = [
        f"{s} gave no answer on {len(found[s])} of {counted(len(cases))}: {next(iter(found[s].values()))}"
        for s in named[:3]
    ] + ([f"and {counted(len(named) - 3, 'more scorer')}"] if len(named) > 3 else [])
    outcome = "not_enough_evidence" if deciding else NOT_CALIBRATED
    return [MetricVerdict("scorers_answered", "deterministic", outcome, len(cases), "; ".join(words))]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def _answered(cases: Mapping[str, Case], answers: Sequence[Answer]) -> list[MetricVerdict]:
    """What is wrong with the answers themselves: missing, not to be had, or the target failed."""
    found: list[MetricVerdict] = []
    missing = sorted(cases.keys() - {a.case_id for a in answers})
    if missing:
        words = f"no answer to {counted(len(missing))}, first {missing[0]}"
        found.append(
            MetricVerdict(
                "every_case_answered",
                "deterministic",
                "fail",
                len(cases),
                words,
                failed_cases=tuple(missing[:100]),
            )
        )
    unknown = [a for a in answers if a.excused]
    if unknown:
        ids = tuple(dict.fromkeys(a.case_id for a in unknown))
        words = f"nothing can be said of {counted(len(ids))}; first: {unknown[0].error}"
        found.append(
            MetricVerdict(
                "cases_unsettled", "deterministic", "not_enough_evidence", len(cases), words, needed=len(ids)
            )
        )
    broken = [a for a in answers if a.error is not None and not a.excused]
    if broken:
        ids = tuple(dict.fromkeys(a.case_id for a in broken))
        words = f"the target failed on {counted(len(ids))}; first: {broken[0].error}"
        found.append(
            MetricVerdict("target_answers", "deterministic", "fail", len(answers), words, failed_cases=ids)
        )
    return found


def is_semantic(name: str, kind: str | None, settings: GateSettings) -> bool:
    """Whether a scorer is compared by margin instead of having to pass."""
    return name in settings.semantic or kind in ("judge", "classifier")


def _metrics(
    scores: Scores,
    base: Baseline | None,
    cases: Mapping[str, Case],
    kinds: Mapping[str, str],
    settings: GateSettings,
    provisional: Mapping[str, str],
) -> list[MetricVerdict]:
    by_scorer: dict[str, list[CaseScore]] = defaultdict(list)
    for (_, name), score in scores.items():
        by_scorer[name].append(score)
    soft = {n: f for n, f in sorted(by_scorer.items()) if is_semantic(n, kinds.get(n), settings)}
    hard = [
        deterministic(name, found)
        for name, found in sorted(by_scorer.items())
        if name not in soft and any(p is not None for s in found for p in s.passed)
    ]
    checks = {m.scorer for m in hard}
    checked = [s for (_, name), s in scores.items() if name in checks]
    if hard:
        hard.insert(0, every_case(hard, len({s.case_id for s in checked}), settings))
    before = base.scores if base else {}
    again = _reviewed({k: s for k, s in scores.items() if k[1] not in provisional}, cases)
    unsteady = flakiness(checked, [before[k] for k in before if k[1] in checks], settings)
    # Those that decide nothing must not cost the others anything in Holm's correction.
    deciding = {n: f for n, f in soft.items() if n not in provisional}
    held = {n: f for n, f in soft.items() if n in provisional}
    shown = [not_calibrated(m, provisional[m.scorer]) for m in _compared(held, base, settings)]
    return [*again, *hard, *unsteady, *_compared(deciding, base, settings), *shown]


def _reviewed(scores: Scores, cases: Mapping[str, Case]) -> list[MetricVerdict]:
    """Each of these failed once in production; one case that fails again is enough, and passing needs no quorum."""
    must = [
        scores[case.id, name]
        for case in cases.values()
        for name in case.must_pass
        if (case.id, name) in scores
    ]
    if not must:
        return []
    again = tuple(s.case_id for s in must if any(p is False for p in s.passed))
    words = (
        f"{len(again)} of {len(must)} reviewed failures failed again"
        if again
        else f"none of {len(must)} came back"
    )
    outcome = "fail" if again else "pass"
    return [
        MetricVerdict("reviewed_failures", "deterministic", outcome, len(must), words, failed_cases=again)
    ]


def _compared(
    soft: Mapping[str, Sequence[CaseScore]], base: Baseline | None, settings: GateSettings
) -> list[MetricVerdict]:
    if base is not None and base.about is None:
        pairs = {
            name: [(s, base.scores[s.case_id, name]) for s in found if (s.case_id, name) in base.scores]
            for name, found in soft.items()
        }
        return semantic(pairs, settings)
    if base is not None:
        return against_window(soft, base.windows, settings)
    return [
        MetricVerdict(
            name, "semantic", "pass", len(found), "measured; no baseline to compare with",
            mean=statistics.fmean(s.mean for s in found),
        )
        for name, found in soft.items()
    ]  # fmt: skip


def _shown(score: CaseScore) -> str:
    if any(p is not None for p in score.passed):
        return "fails" if any(p is False for p in score.passed) else "passes"
    return figure(score.mean)


def _regressions(
    cases: dict[str, Case],
    scores: dict[tuple[str, str], CaseScore],
    before: dict[tuple[str, str], CaseScore],
) -> list[dict[str, Any]]:
    """Cases that got worse, worst first: a pass that now fails, a reviewed failure that is back, or a fallen score."""
    rows: list[tuple[float, dict[str, Any]]] = []
    for key, now in scores.items():
        case, was = cases[key[0]], before.get(key)
        fails = any(p is False for p in now.passed)
        returned = fails and key[1] in case.must_pass
        flipped = fails and was is not None and not any(p is False for p in was.passed)
        spread = abs(was.mean) if was is not None else 0.0
        measured = was is not None and all(p is None for p in now.passed)
        fallen = (was.mean - now.mean) / spread if measured and was is not None and spread > 0 else 0.0
        if not (returned or flipped or fallen > 0.25):
            continue
        rows.append(
            (
                2.0 if returned else 1.0 if flipped else fallen,
                {
                    "case_id": key[0],
                    "scorer": key[1],
                    "was": _shown(was) if was is not None else "failed live",
                    "now": _shown(now),
                    "reason": now.reason,
                    "input": input_text(case),
                    "owner": case.owner,
                    "severity": case.severity,
                    "trace_id": case.trace_id,
                },
            )
        )
    return [row for _, row in sorted(rows, key=lambda pair: -pair[0])]


def _results(cases: Mapping[str, Case], answers: Sequence[Answer], scores: Scores) -> list[dict[str, Any]]:
    by_case: dict[str, dict[str, Any]] = defaultdict(dict)
    for (case_id, scorer), score in scores.items():
        by_case[case_id][scorer] = {
            "values": list(score.values),
            "passed": list(score.passed),
            "reason": score.reason,
            "flaky": score.flaky,
        }
    given: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        given[answer.case_id].append(answer)
    return [
        {
            "case_id": case_id,
            "input": input_text(cases[case_id]),
            "expected": cases[case_id].expected,
            "asked": asked_hash(cases[case_id]),
            "session": cases[case_id].context.get("session_id") or case_id,
            "trace_id": cases[case_id].trace_id,
            "owner": cases[case_id].owner,
            "severity": cases[case_id].severity,
            "output": found[0].output,
            "error": next((a.error for a in found if a.error), None),
            "excused": any(a.excused for a in found),
            "cost": _mean([a.cost for a in found]),
            "latency_ms": _mean([a.latency_ms for a in found]),
            "attempts": max((a.attempts for a in found), default=1),
            "scores": by_case.get(case_id, {}),
        }
        for case_id, found in given.items()
    ]


def _broken(outcomes: Outcomes) -> dict[str, int]:
    """How often each scorer failed to answer: never counted as a low score, never hidden."""
    counts: dict[str, int] = defaultdict(int)
    for (_, scorer), given in outcomes.items():
        counts[scorer] += sum(isinstance(o, Failed) for o in given)
    return {name: n for name, n in sorted(counts.items()) if n}
