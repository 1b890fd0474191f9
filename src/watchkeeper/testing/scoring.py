"""The production scorers in this process, for a dataset file. Needs the packages of the server, never a server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from watchkeeper.config.load import load
from watchkeeper.config.problems import ConfigError
from watchkeeper.gating import report
from watchkeeper.gating.judgement import Baseline, document, stored_scores
from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import GateSettings
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.pipeline.answers import plain_outcome, score_checks
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.scoring.protocol import BatchScorer
from watchkeeper.testing.server import JudgeError

# Offline nothing is sampled, so the salt decides nothing.
_SALT = "offline"


def scorers_of(config: Path | None) -> list[BatchScorer]:
    """The deterministic scorers of a configuration's scorecards, or the default ones. Raises `JudgeError`."""
    cards: list[Any] = []
    if config is not None:
        try:
            cards = [
                c for c in load(config, allow_missing_env=True).config.scorecards if c.project == "default"
            ]
        except ConfigError as error:
            raise JudgeError(str(error)) from None
    return [s.scorer for s in make_plan(cards, salt=_SALT).scheduled]


class Offline:
    """A dataset file with the scorers that judge its answers and the experiment to compare with."""

    def __init__(
        self,
        name: str,
        cases: Sequence[dict[str, Any]],
        config: Path | None,
        settings: dict[str, Any],
        baseline: Path | None,
    ) -> None:
        try:
            self.cases = {c["id"]: msgspec.convert(c, Case) for c in cases}
            self.settings = msgspec.convert(settings, GateSettings)
        except msgspec.ValidationError as error:
            raise JudgeError(f"{name}: {error}") from None
        self.name = name
        self.scorers = [s for s in scorers_of(config) if s.name not in self.settings.ignore]
        self.base = None if baseline is None else self._baseline(baseline)

    def _baseline(self, path: Path) -> Baseline:
        try:
            found = json.loads(path.read_text("utf-8"))
            versions = {s.name: s.version for s in self.scorers}
            return Baseline(str(found["name"]), str(path), stored_scores(found, self.cases, versions))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JudgeError(
                f"cannot read the baseline {path}: {error}; write one with --watchkeeper-save {path}"
            ) from None

    def score(self, answers: Sequence[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
        """Per answer, what each scorer said."""
        kinds = {s.name: s.kind for s in self.scorers}
        found: list[dict[str, dict[str, Any]]] = []
        for given in answers:
            answer = msgspec.convert(given, Answer, strict=False)
            outcomes = {} if answer.error else score_checks(self.cases, [answer], self.scorers)
            found.append(
                {name: plain_outcome(told[0], kinds[name]) for (_, name), told in sorted(outcomes.items())}
            )
        return found

    def verdict(self, answers: Sequence[dict[str, Any]], target: str, wanted: set[str]) -> dict[str, Any]:
        """The experiment over the wanted cases, with its verdict and report."""
        given = [msgspec.convert(a, Answer, strict=False) for a in answers]
        chosen = [c for c in self.cases.values() if c.id in wanted]
        outcomes = score_checks(self.cases, [a for a in given if a.error is None], self.scorers)
        dataset = DatasetVersion("default", self.name, 0, 0, "", "", "", chosen)
        kinds = {s.name: s.kind for s in self.scorers}
        made = document(dataset, given, outcomes, kinds, self.base, self.settings)
        made.update(name=self.name, target=target, scorers={s.name: s.version for s in self.scorers})
        text = "\n".join(report.lines(made)).replace(f"{self.name} v0", self.name)
        return {"verdict": made["verdict"], "text": text, "url": None, "experiment": made}
