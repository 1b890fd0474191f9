"""Scores a target's answers with the production scorers and judges them against a baseline.

The target itself runs wherever the gate's client runs (CI, a laptop); its answers come here as data, so a release
is judged by exactly the scorer objects that watch production.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from watchkeeper.config.units import duration_ns
from watchkeeper.gating.compare import Window, window_of
from watchkeeper.gating.judgement import Baseline, document, is_semantic, stored_scores
from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import GateSettings
from watchkeeper.model.calibration import Standing
from watchkeeper.model.prompt import Ask
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.times import DAY, Clock
from watchkeeper.pipeline.answers import plain_outcome, score_answers
from watchkeeper.scoring.protocol import Scorer
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import datasets, experiments
from watchkeeper.store.records.engine import Records

DEFAULT_WINDOW = "7d"
_WINDOW = re.compile(r"(production|release):([^@]+)(?:@(.+))?\Z")
LONGEST_NS = 400 * DAY


class GateError(Exception):
    """The gate cannot run as asked: unknown dataset, no answers, answers for other cases. The text says what to do."""


def window_asked(baseline: str, now_ns: int) -> tuple[int, str] | None:
    """Since when and of which release ('' for any) a baseline like `production:7d`, `release:1.4` or `release:1.4@30d`
    is; None for the name of an experiment.

    Raises:
        GateError: it begins like a window and is none.
    """
    found = _WINDOW.match(baseline)
    if not found:
        return None
    kind, what, since = found.groups()
    release, length = (what, since or DEFAULT_WINDOW) if kind == "release" else ("", what)
    try:
        ns = duration_ns(length)
    except ValueError:
        ns = 0
    if not 0 < ns <= LONGEST_NS or (kind == "production" and since):
        raise GateError(f"baseline {baseline}: write production:7d, release:1.4.2, or release:1.4.2@30d")
    return now_ns - ns, release


def _known(dataset: DatasetVersion, answers: Sequence[Answer]) -> dict[str, Case]:
    """The cases by id. Raises `GateError` for answers to any other case."""
    known = {c.id: c for c in dataset.cases}
    strangers = sorted({a.case_id for a in answers} - known.keys())
    if strangers:
        raise GateError(
            f"answers for cases that {dataset.dataset} v{dataset.version} does not have: {', '.join(strangers[:5])}"
        )
    return known


class Gate:
    """Evaluates experiments. `scorers(project)` gives the scorers in force, `ask` runs a judge's prompt (or None), and
    `columns` holds production, for baselines that are a window of it (or None). `standings` says which model-based scorers
    may decide (all of them when None)."""

    def __init__(
        self,
        records: Records,
        scorers: Callable[[str], Sequence[Scorer]],
        clock: Clock,
        ask: Ask | None = None,
        columns: Columns | None = None,
        standings: Callable[[str], Awaitable[Mapping[str, Standing]]] | None = None,
    ) -> None:
        self.records = records
        self.scorers = scorers
        self.clock = clock
        self.ask = ask
        self.columns = columns
        self.standings = standings

    async def evaluate(
        self,
        project: str,
        dataset: str,
        version: int | None,
        answers: Sequence[Answer],
        *,
        target: str,
        split: str | None = None,
        name: str | None = None,
        baseline: str | None = None,
        settings: GateSettings | None = None,
    ) -> dict[str, Any]:
        """Score `answers`, compare with the baseline (name or id of an experiment, or a window such as `production:7d`),
        store and return the experiment. `split` leaves the cases of other splits out.

        Raises:
            GateError: the dataset, version, split or baseline is unknown, or the answers do not belong to it.
        """
        settings = settings or GateSettings()
        cases = await self._dataset(project, dataset, version, split)
        known = _known(cases, answers)
        if not answers:
            raise GateError("no answers were sent; run the target over the dataset first")
        chosen = [s for s in self.scorers(project) if s.name not in settings.ignore]
        soft = [s for s in chosen if is_semantic(s.name, s.kind, settings)]
        versions = {s.name: s.version for s in chosen}
        base = await self._baseline(project, baseline, known, versions, soft)
        outcomes = await score_answers(known, answers, chosen, self.ask)
        standings = {} if self.standings is None else await self.standings(project)
        provisional = {name: s.reason for name, s in standings.items() if s.provisional}
        kinds = {s.name: s.kind for s in chosen}
        made = document(cases, answers, outcomes, kinds, base, settings, provisional)
        now = self.clock()
        made.update(
            project=project, name=name or f"{dataset}-{target}", target=target, split=split, created_ns=now,
            finished_ns=now, scorers=versions,
        )  # fmt: skip
        made["id"] = "exp_" + hashlib.sha256(msgspec.json.encode(made)).hexdigest()[:20]
        await self.records.write(lambda conn: experiments.save(conn, made))
        return made

    async def score(
        self, project: str, dataset: str, version: int | None, answers: Sequence[Answer]
    ) -> list[dict[str, Any]]:
        """Per answer, what each scorer said (`passed`, `value`, `reason`); nothing is stored. Raises `GateError`."""
        cases = await self._dataset(project, dataset, version, None)
        known = _known(cases, answers)
        scorers = self.scorers(project)
        kinds = {s.name: s.kind for s in scorers}
        found: list[dict[str, Any]] = []
        for answer in answers:
            outcomes = await score_answers(known, [answer], scorers, self.ask)
            found.append(
                {name: plain_outcome(told[0], kinds[name]) for (_, name), told in sorted(outcomes.items())}
            )
        return found

    async def _dataset(
        self, project: str, dataset: str, version: int | None, split: str | None
    ) -> DatasetVersion:
        found = await self.records.read(lambda conn: datasets.get(conn, project, dataset, version))
        if found is None:
            names = await self.records.read(lambda conn: [d["name"] for d in datasets.listing(conn, project)])
            which = f"{dataset} version {version}" if version is not None else dataset
            raise GateError(
                f"there is no dataset {which} in {project}; it has {', '.join(names) or 'none yet'}"
            )
        if split is not None:
            found.cases = [c for c in found.cases if c.split == split]
        if not found.cases:
            part = f" of split {split}" if split else ""
            raise GateError(f"dataset {dataset} v{found.version} has no cases{part}")
        return found

    async def _baseline(
        self,
        project: str,
        baseline: str | None,
        cases: Mapping[str, Case],
        versions: Mapping[str, str],
        soft: Sequence[Scorer],
    ) -> Baseline | None:
        if baseline is None:
            return None
        found = await self.records.read(lambda conn: experiments.get(conn, project, baseline))
        if found is not None:
            return Baseline(str(found["name"]), str(found["id"]), stored_scores(found, cases, versions))
        window = window_asked(baseline, self.clock())
        if window is None:
            raise GateError(
                f"there is no experiment {baseline} to compare with; run the gate with --save {baseline} first"
            )
        return await self._window(project, baseline, *window, soft)

    async def _window(
        self, project: str, name: str, since_ns: int, release: str, soft: Sequence[Scorer]
    ) -> Baseline:
        if self.columns is None:
            raise GateError(f"baseline {name}: this gate has no production traffic to compare with")
        until = self.clock()
        wanted = {(s.name, s.version) for s in soft}
        table = await self.columns.named("gate_window", project, since=since_ns, until=until, release=release)
        sums: dict[str, list[tuple[float, float, float, float, int]]] = {}
        for row in table.dicts():
            if (row["scorer"], row["version"]) in wanted:
                sums.setdefault(row["scorer"], []).append(
                    (row["w"], row["wx"], row["wxx"], row["ww"], int(row["n"]))
                )
        windows: dict[str, Window] = {}
        for scorer, rows in sums.items():
            window = window_of(rows)
            if window is not None:
                windows[scorer] = window
        about = {
            "since_ns": since_ns,
            "until_ns": until,
            "release": release or None,
            "seen": bool(table.rows),
            "scorers": {n: msgspec.to_builtins(w) for n, w in sorted(windows.items())},
        }
        return Baseline(name, None, windows=windows, about=about)
