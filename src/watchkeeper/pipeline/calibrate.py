"""Scorers against people: draw what people label, compare, keep watch over the judges, and say who may decide."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.alerting.monitor import DIMENSIONS
from watchkeeper.gating.judgement import worst_of
from watchkeeper.gating.subject import Answer, input_text, subjects_of
from watchkeeper.model.calibration import (
    MODEL_BASED,
    Calibration,
    Candidate,
    Corrected,
    Drift,
    Pair,
    Standing,
)
from watchkeeper.model.prompt import Ask
from watchkeeper.model.review import Case, Label
from watchkeeper.model.score import Outcome, Subject, Verdict
from watchkeeper.model.series import BINARY, Estimate, Point, SeriesKey
from watchkeeper.model.times import DAY, Clock
from watchkeeper.pipeline.reading import Load
from watchkeeper.reviewing.queue import item
from watchkeeper.scoring import calibration as rules
from watchkeeper.scoring.correction import Window, correct
from watchkeeper.scoring.drive import drive, run_scorer
from watchkeeper.scoring.judges.family import answering_models, family
from watchkeeper.scoring.protocol import BatchScorer, Judge, Scorer
from watchkeeper.stats.estimates import point_rate
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import calibration as store
from watchkeeper.store.records import datasets, jobs, reviews, states
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
SPLIT = "calibration"
# A new sample is asked for this long before a calibration ends.
RENEW_NS = 14 * DAY
PRIORITY = 3.0
# What a drawn trace remembers of its cohort, beside the model.
REMEMBERED = tuple(d for d in DIMENSIONS if d != "model")


class CalibrationError(Exception):
    """This cannot be calibrated as asked: which scorer, what is missing, what to do."""


def decides(scorer: Scorer) -> bool:
    """Whether its verdicts pass or fail by themselves; one whose `floor` is None only measures."""
    return getattr(scorer, "floor", 0.0) is not None


def model_of(scorer: Scorer) -> str:
    """The pinned model behind a judge, empty for a local classifier."""
    return scorer.model if isinstance(scorer, Judge) else ""


class Calibrator:
    """Everything about the trust in a project's model-based scorers. `scorers(project)` gives the scorers in force, `load` a
    subject from the store, `ask` a judge's reply (None: judges cannot be asked), `salt` makes draws unpredictable.

    Labels come from the review queue (drawn here, blind, with their probability) or from the split `calibration` of a
    dataset. They are held out: nothing here hands them to a prompt, and a case that is also a judge's example is left out.
    """

    def __init__(
        self,
        records: Records,
        columns: Columns,
        scorers: Callable[[str], Sequence[Scorer]],
        load: Load,
        clock: Clock,
        *,
        ask: Ask | None = None,
        salt: str = "",
        valid_ns: int = rules.VALID_NS,
    ) -> None:
        self._records, self._columns, self._scorers = records, columns, scorers
        self._load, self._clock, self._ask = load, clock, ask
        self._salt, self._valid_ns = salt, valid_ns
        self.counts = {"drawn": 0, "calibrated": 0, "canaries": 0, "failed": 0}

    def scorers_of(self, project: str) -> Sequence[Scorer]:
        """Every scorer in force."""
        return self._scorers(project)

    def models(self, project: str) -> dict[str, Scorer]:
        """The model-based scorers in force, by name."""
        return {s.name: s for s in self._scorers(project) if s.kind in MODEL_BASED}

    def scorer(self, project: str, name: str) -> Scorer:
        """A model-based scorer in force. Raises CalibrationError for any other name."""
        known = {s.name: s for s in self._scorers(project)}
        found = known.get(name)
        if found is None:
            model_based = ", ".join(sorted(self.models(project))) or "none"
            raise CalibrationError(f"there is no scorer {name} in {project}; model-based ones: {model_based}")
        if found.kind not in MODEL_BASED:
            raise CalibrationError(f"{name} is a {found.kind}: it decides by a rule and needs no calibration")
        return found

    # -- who may decide ------------------------------------------------------------------------------------------------

    async def standings(self, project: str) -> dict[str, Standing]:
        """Whether each model-based scorer may gate and page now."""
        models = self.models(project)
        if not models:
            return {}
        now = self._clock()

        def read(c: Connection) -> tuple[list[Calibration], dict[str, Drift]]:
            return store.history(c, project), store.canaries(c, project)

        history, canaries = await self._records.read(read)
        return {
            name: rules.standing(
                name, s.kind, s.version, model_of(s), [h for h in history if h.scorer == name], now,
                canaries.get(name),
            )
            for name, s in models.items()
        }  # fmt: skip

    # -- what people are asked -----------------------------------------------------------------------------------------

    async def draw(
        self, project: str, name: str, *, wanted: int = rules.WANTED, days: int = 7, cut: float | None = None
    ) -> dict[str, Any]:
        """Put a random sample of recent traces into the review queue: half the scorer's fails, half its passes, blind, each
        with its probability. How many were drawn, of how many. Raises CalibrationError."""
        scorer = self.scorer(project, name)
        chosen_cut = await self._cut(project, scorer, cut)
        now = self._clock()
        since = max(now - days * DAY, await self._drifted_ns(project, name))
        salt = hashlib.sha256(f"{self._salt}\x1f{name}\x1f{scorer.version}\x1f{now}".encode()).hexdigest()
        table = await self._columns.named(
            "calibration_candidates", project, since=since, until=now + 1, salt=salt,
            most=wanted, **self._said(scorer, chosen_cut),
        )  # fmt: skip
        rows = table.dicts()
        sizes = {bool(r["passed"]): int(r["size"]) for r in rows}
        drawn = rules.draw([_candidate(r, scorer) for r in rows], sizes, wanted)
        if not drawn:
            raise CalibrationError(
                f"{name} {scorer.version} has passed or failed no trace in the last {days} days; nothing to draw"
            )
        source, reason = store.source_of(name), f"Calibration sample for {name}: is this answer good?"

        def write(c: Connection) -> int:
            store.add_samples(c, project, name, scorer.version, model_of(scorer), drawn, now)
            states.put(c, project, "calibration_cut", name[:512], chosen_cut, now)
            for one, _ in drawn:
                reviews.add(c, item(project, one.trace_id, source, reason, PRIORITY, now))
            return len(drawn)

        self.counts["drawn"] += await self._records.write(write)
        by_verdict = {"fail": sum(not c.passed for c, _ in drawn), "pass": sum(c.passed for c, _ in drawn)}
        return {"drawn": len(drawn), **by_verdict, "of": sum(sizes.values()), "cut": chosen_cut}

    async def _drifted_ns(self, project: str, name: str) -> int:
        """When the judge was found to have drifted; what it said before is not what it would say now. 0 when it has not."""
        found = (await self._records.read(lambda c: store.canaries(c, project))).get(name)
        return found.time_ns if found is not None and found.drifted else 0

    def _said(self, scorer: Scorer, cut: float | None) -> dict[str, Any]:
        return {
            "scorer": scorer.name, "version": scorer.version, "judge_model": model_of(scorer),
            "has_cut": cut is not None, "cut": cut if cut is not None else 0.0,
        }  # fmt: skip

    async def _cut(self, project: str, scorer: Scorer, given: float | None) -> float | None:
        """The value from which on a verdict is a pass: None where the scorer has a floor of its own, the one given, or the
        one used last."""
        if decides(scorer):
            if given is not None:
                raise CalibrationError(f"{scorer.name} says itself what passes; leave the cut out")
            return None
        if given is not None:
            return given
        key = scorer.name[:512]
        last = await self._records.read(lambda c: states.get(c, project, "calibration_cut", key))
        if last is None:
            raise CalibrationError(
                f"{scorer.name} measures and passes nothing: give it a floor in its scorecard, or say from which value "
                "on an answer passes (--cut 5)"
            )
        return float(last)

    # -- comparing -----------------------------------------------------------------------------------------------------

    async def calibrate(
        self,
        project: str,
        name: str,
        *,
        dataset: str | None = None,
        version: int | None = None,
        cut: float | None = None,
        author: str = "",
    ) -> Calibration:
        """Compare a scorer with people and store how it came out: on the labels of its drawn sample, or on the split
        `calibration` of a dataset. Raises CalibrationError."""
        scorer = self.scorer(project, name)
        chosen_cut = await self._cut(project, scorer, cut)
        if dataset is None:
            pairs, labels, disputed = await self._labelled(project, scorer, chosen_cut)
            source, left_out = "review", 0
        else:
            pairs, source, left_out = await self._cases(project, scorer, dataset, version, chosen_cut)
            labels, disputed = [], 0
        now = self._clock()
        made = await asyncio.to_thread(
            rules.calibrate, pairs,
            id=_id(project, name, scorer.version, source, str(now)), project=project, scorer=name,
            version=scorer.version, judge_model=model_of(scorer), now_ns=now, source=source, cut=chosen_cut,
            valid_ns=self._valid_ns, labels=labels, disputed=disputed, left_out=left_out, author=author,
        )  # fmt: skip

        def write(c: Connection) -> None:
            store.save(c, made)
            states.put(c, project, "calibration_cut", name[:512], chosen_cut, now)
            if isinstance(scorer, Judge) and made.status == "calibrated":
                store.keep_canary(c, project, name, _fresh_canary(made, pairs), now)

        await self._records.write(write)
        self.counts["calibrated"] += 1
        return made

    async def _labelled(
        self, project: str, scorer: Scorer, cut: float | None
    ) -> tuple[list[Pair], list[tuple[str, str, str]], int]:
        """The drawn sample with what people said of it, every vote, and on how many traces they do not agree. The votes on a disputed
        item decide nothing, and without them people would seem to agree on everything."""
        since = max(self._clock() - self._valid_ns, await self._drifted_ns(project, scorer.name))
        model = model_of(scorer)

        def read(
            c: Connection,
        ) -> tuple[list[tuple[Candidate, float, int]], list[Label], list[Label], set[str]]:
            drawn = store.samples(c, project, scorer.name, scorer.version, model, since)
            asked = [d.trace_id for d, _, _ in drawn]
            return (
                drawn, reviews.labels_of(c, project, asked), reviews.votes_of(c, project, asked),
                reviews.disputed_traces(c, project),
            )  # fmt: skip

        drawn, said, given, disputed = await self._records.read(read)
        settled, ties = rules.majority([(x.trace_id, x.author, x.verdict) for x in said])
        open_ = {d.trace_id for d, _, _ in drawn if d.trace_id not in settled} & disputed
        pairs = [
            _pair(d, probability, settled[d.trace_id], cut)
            for d, probability, _ in drawn
            if d.trace_id in settled
        ]
        votes = [(x.trace_id, x.author, x.verdict) for x in given if x.role == "vote"]
        return pairs, votes, len(open_ | set(ties))

    async def _cases(
        self, project: str, scorer: Scorer, dataset: str, version: int | None, cut: float | None
    ) -> tuple[list[Pair], str, int]:
        """The dataset's calibration cases, scored now by the scorer in force."""
        found = await self._records.read(lambda c: datasets.get(c, project, dataset, version))
        if found is None:
            raise CalibrationError(f"there is no dataset {dataset} in {project}")
        shown = {(e.input, e.output) for e in getattr(scorer, "examples", ())}
        usable = [c for c in found.cases if c.split == SPLIT and c.actual and verdict_of(c) is not None]
        held_out = [c for c in usable if (input_text(c), c.actual) not in shown]
        if not held_out:
            raise CalibrationError(
                f"{dataset} v{found.version} has no calibration cases: they have the split {SPLIT}, an actual output, and "
                "good or bad among their labels"
            )
        pairs: list[Pair] = []
        for case in held_out:
            subject = subjects_of(case, Answer(case.id, case.actual, model=case.context.get("model")))[0]
            passed, value = _passed(await self._score(scorer, subject), cut)
            if passed is None:
                continue
            pairs.append(
                Pair(
                    case.id, passed, bool(verdict_of(case)), value, time_ns=0, length=len(case.actual or ""),
                    kin=_kin(scorer, answering_models(subject)), cluster=case.context.get("session_id"),
                )
            )  # fmt: skip
        return pairs, f"{dataset}@{found.version}", len(usable) - len(held_out)

    async def _score(self, scorer: Scorer, subject: Subject) -> Outcome | None:
        """What a scorer says of a trace; one that looks at spans counts with its worst span, as in the gate."""
        parts = [subject]
        if scorer.level == "span":
            trace = subject.trace
            parts = [Subject(trace, s, expected=subject.expected, extra=subject.extra) for s in trace.spans]
        if isinstance(scorer, BatchScorer):
            outcomes = await asyncio.to_thread(run_scorer, scorer, parts)
        elif isinstance(scorer, Judge) and self._ask is not None:
            outcomes = [await drive(scorer.steps(p), self._ask) for p in parts]
        else:
            return None
        worst = reduce(worst_of, outcomes, None)
        paid = [o.cost for o in outcomes if isinstance(o, Verdict) and o.cost is not None]
        return (
            msgspec.structs.replace(worst, cost=sum(paid)) if isinstance(worst, Verdict) and paid else worst
        )

    # -- every day -----------------------------------------------------------------------------------------------------

    async def nightly(self, projects: Sequence[str]) -> None:
        """Once a day of data time and project: new labels into a new comparison, a new sample where one is due, and every
        judge's canary. One scorer's failure stops no other's."""
        now = self._clock()
        for project in projects:
            day = await self._records.read(lambda c, p=project: states.get(c, p, "calibration", "day"))
            if day == now // DAY:
                continue
            for name in self.models(project):
                try:
                    await self._refresh(project, name)
                except CalibrationError as error:
                    log.info("%s is not calibrated tonight: %s", name, error)
                # A provider that is down or a store that is busy must not cost the other scorers their night.
                except Exception:
                    self.counts["failed"] += 1
                    log.exception("refreshing the calibration of %s failed", name)
            await self._records.write(
                lambda c, p=project: states.put(c, p, "calibration", "day", now // DAY, now)
            )

    async def _refresh(self, project: str, name: str) -> None:
        scorer = self.scorer(project, name)
        now, model = self._clock(), model_of(scorer)
        history = await self._records.read(lambda c: store.history(c, project, name))
        known = await self._records.read(lambda c: states.get(c, project, "calibration_cut", name[:512]))
        if not history and known is None and not decides(scorer):
            return
        own = [h for h in history if h.version == scorer.version and h.judge_model == model]
        pairs, _, _ = await self._labelled(project, scorer, await self._cut(project, scorer, None))
        last = rules.in_force(own) if own else None
        if pairs and (last is None or (last.source == "review" and len(pairs) != last.n)):
            last = await self.calibrate(project, name, author="nightly")
        drawn = await self._records.read(
            lambda c: store.samples(c, project, name, scorer.version, model, now - self._valid_ns)
        )
        ending = last is not None and last.source == "review" and last.expires_ns - now < RENEW_NS
        fresh = [at for _, _, at in drawn if at > now - 2 * RENEW_NS]
        # Only where people have begun to calibrate: nobody's queue fills by itself.
        if (history and not drawn) or (ending and not fresh):
            await self.draw(project, name)
        if isinstance(scorer, Judge):
            await self.canary(project, name)

    async def canary(self, project: str, name: str) -> Drift | None:
        """Ask a judge about its fixed examples again and compare with its first verdicts; None when it has none for the
        version in force."""
        scorer = self.scorer(project, name)
        document = await self._records.read(lambda c: store.canary(c, project, name))
        if document is None or document["version"] != scorer.version or self._ask is None:
            return None
        now = self._clock()
        before: dict[str, bool] = document["verdicts"]
        cases = await self._canary_cases(project, document)
        after: dict[str, bool] = {}
        spent, calls = 0.0, 0
        for key in before:
            subject = cases.get(key) or await self._load(project, key, "")
            outcome = None if subject is None else await self._score(scorer, subject)
            passed, _ = _passed(outcome, document["cut"])
            if passed is not None:
                after[key] = passed
            calls += outcome is not None
            spent += outcome.cost or 0.0 if isinstance(outcome, Verdict) else 0.0
        found = rules.drift(before, after, now)
        document["last"] = msgspec.to_builtins(found)

        def write(c: Connection) -> None:
            store.keep_canary(c, project, name, document, now)
            jobs.charge(c, project, now // DAY, calls, spent, now)

        await self._records.write(write)
        self.counts["canaries"] += 1
        return found

    async def _canary_cases(self, project: str, document: Mapping[str, Any]) -> dict[str, Subject]:
        dataset, _, version = str(document["source"]).rpartition("@")
        if not dataset or not version.isdigit():
            return {}
        found = await self._records.read(lambda c: datasets.get(c, project, dataset, int(version)))
        return {
            c.id: subjects_of(c, Answer(c.id, c.actual, model=c.context.get("model")))[0]
            for c in (found.cases if found else [])
        }

    # -- the corrected twin --------------------------------------------------------------------------------------------

    async def corrected(
        self, project: str, name: str, since_ns: int, until_ns: int, cohort: Mapping[str, str] | None = None
    ) -> Corrected | None:
        """What people would say of a window and cohort, beside the scorer's own pass rate; None for a scorer that is not
        model-based or measures without a cut."""
        made = await self.corrected_by(project, name, since_ns, until_ns, until_ns - since_ns, cohort)
        return made[0] if made else None

    async def corrected_by(
        self,
        project: str,
        name: str,
        since_ns: int,
        until_ns: int,
        step_ns: int,
        cohort: Mapping[str, str] | None = None,
        *,
        labelled: bool = False,
    ) -> tuple[Corrected, list[tuple[int, Corrected]]] | None:
        """`corrected`, and the same for every stretch of `step_ns`, by its beginning. Each stands alone: labels of a stretch correct
        it where they are enough, else Rogan and Gladen with all labels. With `labelled`, None also while nobody has labelled what the
        scorer said: its verdicts are not read then."""
        scorer = self.models(project).get(name)
        if scorer is None or until_ns <= since_ns:
            return None
        try:
            cut = await self._cut(project, scorer, None)
        except CalibrationError:
            return None
        pairs, _, _ = await self._labelled(project, scorer, cut)
        if labelled and not pairs:
            return None
        own = dict(cohort or {})
        params = {d: own.get(d, "") for d in DIMENSIONS}
        table = await self._columns.named(
            "calibration_window",
            project,
            since=since_ns,
            until=until_ns,
            step=step_ns,
            **self._said(scorer, cut),
            **params,
        )
        found = {int(r["stretch"]): r for r in table.dicts()}
        mine = [p for p in pairs if all(p.cohort.get(k) == v for k, v in own.items())]

        def said(start: int, end: int, sums: Sequence[Mapping[str, Any]]) -> Corrected:
            window = _window(start, end, sums)
            return correct(window, mine, _raw(SeriesKey(project, name), window))

        made: list[tuple[int, Corrected]] = []
        for i in range(-(-(until_ns - since_ns) // step_ns)):
            start = since_ns + i * step_ns
            made.append((start, said(start, min(start + step_ns, until_ns), [found.get(i, {})])))
        return said(since_ns, until_ns, list(found.values())), made


def _window(since_ns: int, until_ns: int, rows: Sequence[Mapping[str, Any]]) -> Window:
    names = ("sw", "sw2", "swx", "sw2x", "swv", "swv2", "sw2v", "sw2v2")
    numbers = {k: sum(float(row.get(k) or 0.0) for row in rows) for k in names}
    n, measured = (sum(int(row.get(k, 0)) for row in rows) for k in ("n", "measured"))
    return Window(since_ns, until_ns, n=n, measured=measured, **numbers)


def _raw(key: SeriesKey, window: Window) -> Estimate | None:
    """The scorer's own pass rate."""
    w = window
    point = Point(key, w.since_ns, w.until_ns, BINARY, w.n, w.sw, w.sw2, w.swx, w.swx, w.sw2x, w.sw2x)
    found = point_rate(point) if w.n else None
    return found if isinstance(found, Estimate) else None


def verdict_of(case: Case) -> bool | None:
    """What people said of a case's recorded answer, None when nobody did or they said both."""
    said = {"good", "bad"} & set(case.labels)
    return None if len(said) != 1 else "good" in said


def _passed(outcome: Outcome | None, cut: float | None) -> tuple[bool | None, float | None]:
    if not isinstance(outcome, Verdict):
        return None, None
    if cut is None:
        return outcome.passed, outcome.value
    return (None if outcome.value is None else outcome.value >= cut), outcome.value


def _pair(drawn: Candidate, probability: float, good: bool, cut: float | None) -> Pair:
    passed = drawn.passed if cut is None or drawn.value is None else drawn.value >= cut
    return Pair(
        drawn.trace_id, passed, good, drawn.value, probability, drawn.time_ns, drawn.length, drawn.kin, drawn.cluster,
        drawn.cohort,
    )  # fmt: skip


def _kin(scorer: Scorer, models: Sequence[str]) -> bool | None:
    if not isinstance(scorer, Judge) or not models:
        return None
    return any(family(m) == family(scorer.model) for m in models)


def _candidate(row: Mapping[str, Any], scorer: Scorer) -> Candidate:
    models = [str(m) for m in row["models"]]
    cohort = {d: str(row[d]) for d in REMEMBERED if row[d] is not None}
    if models:
        cohort["model"] = models[0]
    return Candidate(
        str(row["trace_id"]), bool(row["passed"]), row["value"], float(row["chance"]), int(row["at"]),
        int(row["letters"]), _kin(scorer, models), row["session_id"], cohort,
    )  # fmt: skip


def _fresh_canary(made: Calibration, pairs: Sequence[Pair]) -> dict[str, Any]:
    """The judge's fixed examples: the same ones for as long as this calibration is the last."""
    chosen = sorted(pairs, key=lambda p: hashlib.sha256(p.key.encode()).digest())[: rules.CANARY]
    return {
        "version": made.version, "judge_model": made.judge_model, "source": made.source, "cut": made.cut,
        "verdicts": {p.key: p.passed for p in chosen}, "last": None,
    }  # fmt: skip


def _id(*parts: str) -> str:
    return "cal_" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:20]
