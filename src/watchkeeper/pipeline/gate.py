"""Scores a target's answers with the production scorers and judges them against a baseline.

The target itself runs wherever the gate's client runs (CI, a laptop); its answers come here as data, so a release
is judged by exactly the scorer objects that watch production.
"""

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from watchkeeper.gating.compare import Window, window_of
from watchkeeper.gating.judgement import Baseline, document, stored_scores, worst_of
from watchkeeper.gating.subject import Answer, subjects_of
from watchkeeper.gating.verdict import GateSettings
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.score import Outcome
from watchkeeper.scoring.drive import drive, run_checks
from watchkeeper.scoring.protocol import BatchScorer, Judge, Scorer
from watchkeeper.store.columns import Columns
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
