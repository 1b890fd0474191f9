"""One action turns a failure signal into cases, a scorer aimed at it, an entry of the gate and a monitor."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.config.holder import ConfigHolder
from watchkeeper.gating.subject import input_text
from watchkeeper.model.managed import GateEntry, Managed, Proposal
from watchkeeper.model.prompt import Ask
from watchkeeper.model.review import Case, Label
from watchkeeper.model.score import Score
from watchkeeper.model.signal import Signal
from watchkeeper.model.times import DAY, Clock
from watchkeeper.pipeline.aim import (
    Evidence,
    JudgeSilent,
    judged,
    proposal_of,
    proposals,
    ready_checks,
    worth,
)
from watchkeeper.pipeline.curate import Moved, changed, moved
from watchkeeper.pipeline.plan import finders
from watchkeeper.pipeline.promote import case_of, must_pass_of
from watchkeeper.pipeline.reading import read_traces
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.reviewing.fingerprint import SAME
from watchkeeper.reviewing.propose import judge_of, slug
from watchkeeper.reviewing.signals import decided
from watchkeeper.reviewing.similar import nearest
from watchkeeper.scoring.protocol import Scorer
from watchkeeper.scoring.registry import SpecError
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import audit, datasets, managed, reviews, signals
from watchkeeper.store.records.engine import Records

FAILING, PASSING, CASES = 60, 200, 10
WINDOW_NS = 30 * DAY


@dataclass(frozen=True)
class Choice:
    """What a person may decide about the action. `kind` names the proposal, the best one when None; `owner` and `runbook`
    are the monitor's; `model` is what a judge asks (`provider:model`), and giving it measures the judge."""

    kind: str | None = None
    dataset: str = "regressions"
    name: str | None = None
    owner: str | None = None
    runbook: str | None = None
    model: str | None = None
    most_cases: int = CASES


@dataclass(frozen=True)
class Preview:
    """What accepting would make. `chosen` is None when no proposal is good enough to be taken without a person naming it;
    `left_out` says of each near-duplicate which case asks the same, `moved` which cases leave the split they are in."""

    signal: Signal
    chosen: Proposal | None
    proposals: list[Proposal]
    cases: list[Case]
    left_out: list[tuple[str, str, float]]
    moved: list[Moved]
    scorer: str | None
    scorecard: dict[str, Any] | None
    monitor: dict[str, Any] | None
    failing: int
    passing: int


@dataclass(frozen=True)
class Accepted:
    """What accepting made, and which cases of the dataset that took out of their split."""

    entry: Managed
    moved: list[Moved]


def _called(signal: Signal) -> str:
    """What a person would call it. A check's title is the template of its reason, patterns and all; the check's name says more."""
    known = signal.scorer if signal.source == "check" else signal.title or signal.scorer
    return signal.name or known


def _shared(found: Mapping[str, tuple[int, int]]) -> frozenset[str]:
    """Scorers most of whose failures, or a good part of them, are other signals'."""
    return frozenset(scorer for scorer, (n, ours) in found.items() if ours < 0.8 * n)


@dataclass(frozen=True)
class _Found:
    signal: Signal
    evidence: Evidence
    labels: dict[str, Label]
    scores: dict[str, list[Score]]
    held: list[Case]
    shared: frozenset[str]


class ActFlow:
    """Looks at a signal's traces, proposes, and stores what a person accepts. `scorers(project)` are those in force, `ask`
    runs a judge's prompt."""

    def __init__(
        self,
        records: Records,
        columns: Columns,
        clock: Clock,
        holder: ConfigHolder,
        scorers: Callable[[str], Sequence[Scorer]],
        ask: Ask | None = None,
    ) -> None:
        self.records, self.columns, self.clock, self.holder = records, columns, clock, holder
        self.scorers, self.ask = scorers, ask

    async def preview(self, project: str, signal_id: str, choice: Choice) -> Preview:
        """What the action would do; nothing is stored. Raises Refused."""
        found = await self._found(project, signal_id, choice)
        made = await self._proposals(project, found, choice)
        chosen = self._chosen(made, choice)
        cases, left_out = self._cases(project, found, choice)
        scorer = card = monitor = None
        if chosen is not None:
            scorer = chosen.existing or self._name(found.signal, choice)
            card = None if chosen.existing else self._card(project, found, chosen, scorer)
            monitor = self._monitor(project, found.signal, chosen, scorer, choice)
        return Preview(
            found.signal, chosen, made, cases, left_out, moved(found.held, cases), scorer, card, monitor,
            len(found.evidence.failing), len(found.evidence.passing),
        )  # fmt: skip

    async def accept(
        self, project: str, signal_id: str, choice: Choice, *, actor: str, source: str, wall_ns: int
    ) -> Accepted:
        """Do what `preview` showed: one transaction, and the scorer and the monitor run from now on. Raises Refused, and
        `ConfigError` when the scorer or monitor cannot be used."""
        seen = await self.preview(project, signal_id, choice)
        if seen.chosen is None or seen.scorer is None or seen.monitor is None:
            raise Refused(
                "no proposed scorer is good enough to be taken unseen",
                "look at the proposals and name one as kind, or give a judge's model",
            )
        if not seen.chosen.measured:
            raise Refused("the judge was not measured", "give the model it asks: model: provider:model")
        if not seen.monitor["owner"]:
            raise Refused("the monitor has no owner", "give owner: who answers when it comes back")
        now = self.clock()
        made_id = f"man_{secrets.token_hex(8)}"
        entry = Managed(
            made_id, project, signal_id, actor, now, _called(seen.signal), seen.scorer,
            [seen.scorecard] if seen.scorecard else [], [seen.monitor], None, seen.chosen,
        )  # fmt: skip
        running = [e for e in self.holder.managed if (e.project, e.signal_id) == (project, signal_id)]
        if running:
            raise Refused(
                f"the signal has its scorer and monitor already: {running[0].scorer}",
                f"retire {running[0].id} first to replace them",
            )
        self.holder.would_manage(entry)
        cases = [
            msgspec.structs.replace(c, must_pass=sorted({*c.must_pass, seen.scorer})) for c in seen.cases
        ]
        stored = await self.records.write(
            lambda conn: self._store(conn, entry, cases, choice, seen.signal, now, source, wall_ns)
        )
        self.holder.manage(await self.records.read(managed.find))
        return stored

    def _store(
        self, conn: Connection, entry: Managed, cases: list[Case], choice: Choice, seen: Signal, now: int, source: str, wall: int
    ) -> Accepted:  # fmt: skip
        note = f"signal {entry.signal_id}: {entry.title}"
        version, shifted = changed(
            conn,
            entry.project,
            choice.dataset,
            add=cases,
            remove=[],
            author=entry.author,
            note=note,
            now_ns=now,
        )
        gate = GateEntry(choice.dataset, version.version, [c.id for c in cases], [entry.scorer])
        entry = msgspec.structs.replace(entry, gate=gate)
        managed.add(conn, entry)
        signal = signals.get(conn, entry.project, entry.signal_id) or seen
        if signal.state == "new":
            signal = decided(signal, now, state="confirmed")
        owner = entry.monitors[0]["owner"]
        signals.put(conn, decided(signal, now, owner=None if signal.owner_by_person else owner))
        audit.record(
            conn, project=entry.project, now_ns=wall, actor=entry.author, source=source, action="signal.act",
            target=entry.signal_id,
            detail={"managed": entry.id, "scorer": entry.scorer, "dataset": choice.dataset, "cases": len(cases)},
        )  # fmt: skip
        return Accepted(entry, shifted)

    async def retire(self, project: str, entry_id: str, *, actor: str, source: str, wall_ns: int) -> bool:
        """Take an entry's scorer and monitor out of force; its cases stay. False when there is no such entry."""
        now = self.clock()

        def work(conn: Connection) -> bool:
            if not managed.retire(conn, project, entry_id, actor, now):
                return False
            audit.record(
                conn, project=project, now_ns=wall_ns, actor=actor, source=source, action="managed.retire",
                target=entry_id,
            )  # fmt: skip
            return True

        done = await self.records.write(work)
        if done:
            self.holder.manage(await self.records.read(managed.find))
        return done

    async def _found(self, project: str, signal_id: str, choice: Choice) -> _Found:
        now = self.clock()
        signal, members, by_scorer, labels, dataset = await self.records.read(
            lambda c: (
                signals.get(c, project, signal_id),
                signals.trace_ids(c, project, signal_id),
                signals.by_scorer(c, project, signal_id),
                reviews.labels_of(c, project),
                datasets.get(c, project, choice.dataset),
            )
        )
        if signal is None:
            raise Refused(
                f"there is no signal {signal_id[:80]!r}", "GET /api/signals lists them", missing=True
            )
        by_trace = {x.trace_id: x for x in labels}
        good = {i: None for i, x in by_trace.items() if x.verdict == "good"}
        # What a topic holds is no failure.
        ours = dict.fromkeys(i for i in members if i not in good) if signal.kind == "failure" else {}
        first = sorted(i for i in ours if i in by_trace)
        shown = [i for i in (signal.representative, *signal.examples) if i in ours]
        ids = list(dict.fromkeys([*first, *[i for i in shown if i], *ours]))[:FAILING]
        read = await read_traces(self.columns, project, ids)
        failing = [read[i] for i in ids if i in read]
        if not failing:
            raise Refused(
                "none of the signal's traces can be read any more", "their content has passed the retention"
            )
        scenarios = sorted({t.context.scenario or "" for t in failing})
        bad = frozenset(i for i, x in by_trace.items() if x.verdict == "bad")
        passed = await self._passing(project, now, scenarios if scenarios != [""] else [], ours.keys() | bad)
        chosen = list(dict.fromkeys([*list(good)[-PASSING:], *passed]))
        passing = list((await read_traces(self.columns, project, chosen)).values())
        scores: dict[str, list[Score]] = {}
        for score in await self.columns.read_scores(project, [t.trace_id for t in failing]):
            scores.setdefault(score.trace_id, []).append(score)
        share = signal.prevalence
        prevalence = None if share.value is None or share.low is None else (share.value, share.low)
        evidence = Evidence(failing, passing, bad, frozenset(good), prevalence)
        held = dataset.cases if dataset else []
        return _Found(signal, evidence, by_trace, scores, held, _shared(by_scorer))

    async def _passing(self, project: str, now: int, scenarios: Sequence[str], failed: Set[str]) -> list[str]:
        """A fixed random choice of `PASSING` traces of the window in which nothing failed, none of `failed` among them. Those are
        left out here, because a signal may hold as many traces as the answer to all other questions together."""
        limit = 4 * PASSING
        while True:
            table = await self.columns.named(
                "signals_passing",
                project,
                since=now - WINDOW_NS,
                until=now + 1,
                scenarios=scenarios,
                limit=limit,
            )
            passed = [str(row[0]) for row in table.rows if row[0] not in failed]
            if len(passed) >= PASSING or len(table.rows) < limit:
                return passed[:PASSING]
            limit *= 4

    async def _proposals(self, project: str, found: _Found, choice: Choice) -> list[Proposal]:
        given = finders()
        running = {str(getattr(s, "type", "")): s.name for s in self.scorers(project) if s.kind != "judge"}
        in_force = {kind: name for kind, name in running.items() if kind and kind == name}
        # A check that finds other kinds of failure as well would fire for them too.
        ready = [kind for kind in ready_checks() if in_force.get(kind) not in found.shared]
        made = await asyncio.to_thread(proposals, found.evidence, given, in_force, ready)
        model = choice.model or self._judge_model()
        signal = found.signal
        definitions = {f.name: f.definition for f in self.holder.current.taxonomy}
        comments = [
            x.comment for t in found.evidence.failing if (x := found.labels.get(t.trace_id)) and x.comment
        ]
        name = (signal.name or signal.title or signal.scorer).replace("_", " ")
        judge = judge_of(name, definitions.get(signal.name or "", ""), comments, model)
        if choice.model is not None and self.ask is not None:
            try:
                made.append(await judged(judge, found.evidence, given, self.ask))
            except (SpecError, JudgeSilent) as error:
                hint = "name one as provider:model that this server may reach, of another family than the model that answered"
                raise Refused(str(error), hint) from None
        else:
            made.append(
                msgspec.structs.replace(
                    proposal_of(judge, set(), Evidence((), ())),
                    measured=False,
                    precision=None,
                    precision_low=None,
                )
            )
        return made

    def _judge_model(self) -> str | None:
        metrics = (m for card in self.holder.current.scorecards for m in card.metrics)
        return next((str(m.spec()["model"]) for m in metrics if m.type == "llm_judge"), None)

    @staticmethod
    def _chosen(made: Sequence[Proposal], choice: Choice) -> Proposal | None:
        if choice.kind is not None:
            for p in made:
                if p.kind == choice.kind:
                    return p
            raise Refused(
                f"nothing of the kind {choice.kind[:60]!r} is proposed",
                f"one of {', '.join(p.kind for p in made)}",
            )
        return next((p for p in made if worth(p)), None)

    @staticmethod
    def _name(signal: Signal, choice: Choice) -> str:
        if choice.name:
            return choice.name
        return f"{slug(_called(signal))}_{signal.id[-4:]}"

    @staticmethod
    def _card(project: str, found: _Found, chosen: Proposal, scorer: str) -> dict[str, Any]:
        scenarios = {t.context.scenario for t in found.evidence.failing}
        (only,) = scenarios if len(scenarios) == 1 else (None,)
        card: dict[str, Any] = {"name": f"signal-{scorer}", "project": project}
        if only:
            quoted = only.replace("\\", "\\\\").replace("'", "''")
            card["where"] = f"scenario = '{quoted}'"
        about = f"Proposed for signal {found.signal.id}: {chosen.why}."
        card["metrics"] = [{"name": scorer, "description": about[:1000], **chosen.spec}]
        return card

    def _monitor(
        self, project: str, signal: Signal, chosen: Proposal, scorer: str, choice: Choice
    ) -> dict[str, Any]:
        floor = chosen.spec.get("floor", 1) if chosen.kind == "judge" else 1
        quoted = scorer if scorer.replace("_", "").isalnum() else f'"{scorer}"'
        condition = f"any({quoted} < {floor:g})"
        if chosen.false_alarms.k:
            # What flags passing traces now and then may not fire on one of them.
            condition = f"share({quoted} < {floor:g}) > {max(chosen.false_alarms.high, 0.01):.1%}"
        base = (self.holder.current.server.public_url or "").rstrip("/")
        return {
            "name": f"{scorer}-returns",
            "project": project,
            "condition": condition,
            "window": "1h",
            "no_data": "ok",
            "severity": "page" if signal.severity in ("high", "critical") else "warn",
            "owner": choice.owner or signal.owner or "",
            "runbook": choice.runbook or f"{base}/signals/{signal.id}",
            "description": f"The failure “{_called(signal)}” is back.",
        }

    def _cases(
        self, project: str, found: _Found, choice: Choice
    ) -> tuple[list[Case], list[tuple[str, str, float]]]:
        in_force = self.scorers(project)
        made: list[Case] = []
        left_out: list[tuple[str, str, float]] = []
        known = [(c.id, input_text(c)) for c in found.held]
        for trace in found.evidence.failing:
            if len(made) >= choice.most_cases:
                break
            label = found.labels.get(trace.trace_id)
            failed = must_pass_of(found.scores.get(trace.trace_id, []), in_force)
            case = case_of(trace, label, "regression", choice.owner or found.signal.owner, failed)
            case = msgspec.structs.replace(case, severity=case.severity or found.signal.severity)
            close = nearest(input_text(case), [k for k in known if k[0] != case.id])
            if close is not None and close[1] >= SAME:
                left_out.append((trace.trace_id, *close))
                continue
            made.append(case)
            known.append((case.id, input_text(case)))
        return made, left_out
