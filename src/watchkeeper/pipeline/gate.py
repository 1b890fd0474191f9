"""Scores a target's answers with the production scorers and judges them against a baseline.

The target itself runs wherever the gate's client runs (CI, a laptop); its answers come here as data, so a release
is judged by exactly the scorer objects that watch production.
"""

import asyncio
import hashlib
import logging
import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from watchkeeper.gating.compare import semantic
from watchkeeper.gating.subject import Answer, subjects_of
from watchkeeper.gating.verdict import (
    CaseScore,
    GateSettings,
    MetricVerdict,
    deterministic,
    every_case,
    overall,
)
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.score import Failed, NotScored, Outcome, Verdict
from watchkeeper.pipeline.promote import input_text
from watchkeeper.scoring.drive import drive, run_checks
from watchkeeper.scoring.protocol import BatchScorer, Judge, Scorer
from watchkeeper.store.records import datasets, experiments
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
Ask = Callable[[Judge, Prompt], Awaitable[Reply]]


class GateError(Exception):
    """The gate cannot run as asked: unknown dataset, no answers, answers for other cases. The text says what to do."""


Outcomes = dict[tuple[str, str], list[Outcome]]


class Gate:
    """Evaluates experiments. `scorers(project)` gives the scorers in force, `ask` runs a judge's prompt (or None)."""

    def __init__(
        self,
        records: Records,
        scorers: Callable[[str], Sequence[Scorer]],
        clock: Callable[[], int],
        ask: Ask | None = None,
    ) -> None:
        self.records = records
        self.scorers = scorers
        self.clock = clock
        self.ask = ask

    async def evaluate(
        self,
        project: str,
        dataset: str,
        version: int | None,
        answers: Sequence[Answer],
        *,
        target: str,
        name: str | None = None,
        baseline: str | None = None,
        settings: GateSettings | None = None,
    ) -> dict[str, Any]:
        """Score `answers`, compare with the experiment called `baseline` (name or id), store and return the experiment.

        Raises:
            GateError: the dataset, version or baseline is unknown, or the answers do not belong to it.
        """
        settings = settings or GateSettings()
        cases = await self._dataset(project, dataset, version)
        known = {c.id: c for c in cases.cases}
        strangers = sorted({a.case_id for a in answers} - known.keys())
        if strangers:
            raise GateError(
                f"answers for cases that {dataset} v{cases.version} does not have: {', '.join(strangers[:5])}"
            )
        if not answers:
            raise GateError("no answers were sent; run the target over the dataset first")
        base = await self._baseline(project, baseline)
        chosen = [s for s in self.scorers(project) if s.name not in settings.ignore]
        outcomes = await self._score(known, answers, chosen)
        document = self._document(project, cases, answers, outcomes, chosen, base, settings)
        document.update(name=name or f"{dataset}-{target}", target=target)
        document["id"] = "exp_" + hashlib.sha256(msgspec.json.encode(document)).hexdigest()[:20]
        await self.records.write(lambda conn: experiments.save(conn, document))
        return document

    async def _dataset(self, project: str, dataset: str, version: int | None) -> DatasetVersion:
        found = await self.records.read(lambda conn: datasets.get(conn, project, dataset, version))
        if found is None:
            names = await self.records.read(lambda conn: [d["name"] for d in datasets.listing(conn, project)])
            which = f"{dataset} version {version}" if version is not None else dataset
            raise GateError(
                f"there is no dataset {which} in {project}; it has {', '.join(names) or 'none yet'}"
            )
        if not found.cases:
            raise GateError(f"dataset {dataset} v{found.version} has no cases")
        return found

    async def _baseline(self, project: str, baseline: str | None) -> dict[str, Any] | None:
        if baseline is None:
            return None
        found = await self.records.read(lambda conn: experiments.get(conn, project, baseline))
        if found is None:
            raise GateError(
                f"there is no experiment {baseline} to compare with; run the gate with --save {baseline} first"
            )
        return found

    async def _score(
        self, known: dict[str, Case], answers: Sequence[Answer], scorers: Sequence[Scorer]
    ) -> Outcomes:
        batch = [s for s in scorers if isinstance(s, BatchScorer)]
        judges = [s for s in scorers if isinstance(s, Judge)]
        outcomes: Outcomes = defaultdict(list)
        for answer in answers:
            if answer.error is not None:
                continue
            subjects = subjects_of(known[answer.case_id], answer)
            found = await asyncio.to_thread(run_checks, batch, subjects)
            worst: dict[str, Outcome] = {}
            for scorer, _subject, outcome in found:
                worst[scorer.name] = _worse(worst.get(scorer.name), outcome)
            for judge in judges:
                if self.ask is not None:
                    ask = self.ask
                    worst[judge.name] = await drive(
                        judge.steps(subjects[0]), lambda p, j=judge, a=ask: a(j, p)
                    )
            for name, outcome in worst.items():
                outcomes[answer.case_id, name].append(outcome)
        return outcomes

    def _document(
        self,
        project: str,
        dataset: DatasetVersion,
        answers: Sequence[Answer],
        outcomes: Outcomes,
        scorers: Sequence[Scorer],
        base: dict[str, Any] | None,
        settings: GateSettings,
    ) -> dict[str, Any]:
        cases = {c.id: c for c in dataset.cases}
        scores = _case_scores(cases, outcomes)
        before = _stored_scores(base) if base else {}
        metrics = _metrics(scores, before, cases, scorers, settings)
        failed_targets = [a for a in answers if a.error is not None]
        if failed_targets:
            ids = tuple(dict.fromkeys(a.case_id for a in failed_targets))
            words = f"the target failed on {len(ids)} cases; first: {failed_targets[0].error}"
            metrics.insert(
                0,
                MetricVerdict(
                    "target_answers", "deterministic", "fail", len(answers), words, failed_cases=ids
                ),
            )
        missing = sorted(cases.keys() - {a.case_id for a in answers})
        if missing:
            words = f"{len(missing)} cases have no answer, first {missing[0]}"
            metrics.insert(
                0, MetricVerdict("every_case_answered", "deterministic", "fail", len(cases), words)
            )
        verdict = overall(metrics)
        now = self.clock()
        return {
            "project": project,
            "dataset": dataset.dataset,
            "dataset_version": dataset.version,
            "verdict": verdict.outcome,
            "needed": verdict.needed,
            "created_ns": now,
            "finished_ns": now,
            "n_cases": len(cases),
            "n_answers": len(answers),
            "baseline": base["id"] if base else None,
            "baseline_name": base["name"] if base else None,
            "settings": msgspec.to_builtins(asdict(settings)),
            "metrics": [asdict(m) for m in metrics],
            "regressions": _regressions(cases, scores, before),
            "results": _results(cases, answers, scores),
            "broken": _broken(outcomes),
        }


def _worse(known: Outcome | None, new: Outcome) -> Outcome:
    """The worst of a scorer's outcomes over the spans of one answer; a failure to score hides no verdict."""
    if known is None or isinstance(known, NotScored):
        return new
    if isinstance(new, Verdict) and isinstance(known, Verdict):
        if known.passed is not None and new.passed is not None and known.passed != new.passed:
            return new if new.passed is False else known
        pair = (known.value, new.value)
        return new if pair[0] is not None and pair[1] is not None and pair[1] < pair[0] else known
    return new if isinstance(known, Failed) and isinstance(new, Verdict) else known


def _case_scores(cases: dict[str, Case], outcomes: Outcomes) -> dict[tuple[str, str], CaseScore]:
    found: dict[tuple[str, str], CaseScore] = {}
    for (case_id, scorer), given in outcomes.items():
        verdicts = [o for o in given if isinstance(o, Verdict)]
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


def _stored_scores(base: dict[str, Any]) -> dict[tuple[str, str], CaseScore]:
    found: dict[tuple[str, str], CaseScore] = {}
    for result in base.get("results", []):
        for scorer, score in result["scores"].items():
            found[result["case_id"], scorer] = CaseScore(
                result["case_id"], scorer, tuple(score["values"]), tuple(score["passed"]), score.get("reason")
            )
    return found


def _is_semantic(name: str, scorer: Scorer | None, settings: GateSettings) -> bool:
    return name in settings.semantic or (scorer is not None and scorer.kind in ("judge", "classifier"))


def _metrics(
    scores: dict[tuple[str, str], CaseScore],
    before: dict[tuple[str, str], CaseScore],
    cases: dict[str, Case],
    scorers: Sequence[Scorer],
    settings: GateSettings,
) -> list[MetricVerdict]:
    by_scorer: dict[str, list[CaseScore]] = defaultdict(list)
    for (_, name), score in scores.items():
        by_scorer[name].append(score)
    kinds = {s.name: s for s in scorers}
    hard: list[MetricVerdict] = []
    pairs: dict[str, list[tuple[CaseScore, CaseScore]]] = {}
    alone: dict[str, list[CaseScore]] = {}
    for name, found in sorted(by_scorer.items()):
        if _is_semantic(name, kinds.get(name), settings):
            paired = [(s, before[s.case_id, name]) for s in found if (s.case_id, name) in before]
            if before:
                pairs[name] = paired
            else:
                alone[name] = found
        elif any(p is not None for s in found for p in s.passed):
            hard.append(deterministic(name, found))
    if hard:
        answered = {case_id for case_id, name in scores if name in {m.scorer for m in hard}}
        hard.insert(0, every_case(hard, len(answered), settings))
    must = [
        scores[case.id, name]
        for case in cases.values()
        for name in case.must_pass
        if (case.id, name) in scores
    ]
    if must:
        # Each of these failed once in production; one case that fails again is enough, and passing needs no quorum.
        again = tuple(s.case_id for s in must if any(p is False for p in s.passed))
        words = (
            f"{len(again)} of {len(must)} reviewed failures failed again"
            if again
            else f"none of {len(must)} came back"
        )
        outcome = "fail" if again else "pass"
        hard.insert(
            0,
            MetricVerdict(
                "reviewed_failures", "deterministic", outcome, len(must), words, failed_cases=again
            ),
        )
    described = [
        MetricVerdict(
            name,
            "semantic",
            "pass",
            len(found),
            "measured; no baseline to compare with",
            mean=statistics.fmean(s.mean for s in found),
        )
        for name, found in alone.items()
    ]
    return [*hard, *semantic(pairs, settings), *described]


def _shown(score: CaseScore) -> str:
    if any(p is not None for p in score.passed):
        return "fails" if any(p is False for p in score.passed) else "passes"
    return f"{score.mean:.3g}"


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


def _results(
    cases: dict[str, Case], answers: Sequence[Answer], scores: dict[tuple[str, str], CaseScore]
) -> list[dict[str, Any]]:
    by_case: dict[str, dict[str, Any]] = defaultdict(dict)
    for (case_id, scorer), score in scores.items():
        by_case[case_id][scorer] = {
            "values": list(score.values),
            "passed": list(score.passed),
            "reason": score.reason,
            "flaky": score.flaky,
        }
    first: dict[str, Answer] = {}
    for answer in answers:
        first.setdefault(answer.case_id, answer)
    return [
        {
            "case_id": case_id,
            "input": input_text(cases[case_id]),
            "expected": cases[case_id].expected,
            "output": answer.output,
            "error": answer.error,
            "cost": answer.cost,
            "latency_ms": answer.latency_ms,
            "trace_id": cases[case_id].trace_id,
            "scores": by_case.get(case_id, {}),
        }
        for case_id, answer in first.items()
    ]


def _broken(outcomes: Outcomes) -> dict[str, int]:
    """How often each scorer failed to answer: never counted as a low score, never hidden."""
    counts: dict[str, int] = defaultdict(int)
    for (_, scorer), given in outcomes.items():
        counts[scorer] += sum(isinstance(o, Failed) for o in given)
    return {name: n for name, n in sorted(counts.items()) if n}
