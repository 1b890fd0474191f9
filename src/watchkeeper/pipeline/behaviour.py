"""Sessions to behaviour scores: what the user did after each answer, decided when the next message comes or the session ends.

What is due is asked of the store, and a score that would say the same is not written again: it may run any number of times.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from watchkeeper.model.score import Outcome, Score, Subject, Verdict
from watchkeeper.model.span import Context, Totals, Trace
from watchkeeper.pipeline.check import Hook
from watchkeeper.pipeline.deciding import HOUR_S
from watchkeeper.scoring.drive import run_scorer
from watchkeeper.scoring.edits import edit_distance
from watchkeeper.scoring.protocol import BatchScorer
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import coverage, states
from watchkeeper.store.records.engine import Records

SECOND = 10**9
DAY_NS = 86_400 * SECOND
MARGIN_NS = 120 * SECOND
TIMEOUT_NS = 30 * 60 * SECOND
# A session is looked at this far back; what a user does after an answer comes within hours.
LOOKBACK_NS = 2 * DAY_NS
CHUNK, MOST_SESSIONS, MOST_TURNS = 200, 50_000, 400
# These failures mean that the user got no help; others (a slow answer, a failed style rule) do not.
UNHELPFUL = frozenset(
    ("refusal", "empty_output", "answer_relevance", "truncation", "json_valid", "tool_error")
)


@dataclass
class Counts:
    """sessions looked at; scores written; same: scores that were as they are."""

    sessions: int = 0
    written: int = 0
    same: int = 0


def against(turn: Mapping[str, Any], scores: Sequence[Score]) -> str | None:
    """What is known against an answer that a user may have left for, None without anything."""
    if turn["error_class"]:
        return f"ended in {turn['error_class']}"
    failed = [str(name) for name in turn["failed_checks"] if name in UNHELPFUL]
    if failed:
        return f"failed {failed[0]}"
    if not str(turn["output"]).strip():
        return "was empty"
    said = next((s for s in scores if s.passed is False and s.source in ("user", "judge", "human")), None)
    return f"{said.scorer} failed it" if said is not None else None


def subjects(
    turns: Sequence[Mapping[str, Any]], scores: Mapping[str, Sequence[Score]], now_ns: int, timeout_ns: int
) -> Iterator[Subject]:
    """One subject for every answer of a session, oldest first. It has ended when its last answer is older than `timeout_ns`."""
    earlier: list[Trace] = []
    for i, turn in enumerate(turns):
        end = int(turn["start"]) + int(float(turn["duration"]) * 1e6)
        made = Trace(
            str(turn["trace_id"]), [], Context(session_id=str(turn["session_id"])), Totals(), int(turn["start"]), end, True,
            error_class=turn["error_class"], input_text=turn["input"] or None, output_text=turn["output"] or None,
        )  # fmt: skip
        last = i + 1 == len(turns)
        known: dict[str, Any] = {
            "next": None if last else turns[i + 1]["input"] or "(no text)",
            "ended": last and end + timeout_ns <= now_ns,
            "bad": against(turn, scores.get(made.trace_id, ())),
        }
        yield Subject(made, earlier=list(earlier[-1:]), extra=known)
        earlier.append(made)


class BehaviourFlow:
    """Scores a project's sessions. `scorers()` are those that run; `hooks` hear of new scores; `timeout_ns()` is the silence
    after which a session has ended."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        clock: Callable[[], int],
        scorers: Callable[[str], Sequence[BatchScorer]],
        *,
        timeout_ns: Callable[[str], int] = lambda _project: TIMEOUT_NS,
        hooks: Sequence[Hook] = (),
        window_s: int = HOUR_S,
    ) -> None:
        self._columns, self._records, self._clock = columns, records, clock
        self._scorers, self._timeout, self._window_s = scorers, timeout_ns, window_s
        self.hooks = list(hooks)
        self.counts = Counts()
        self._turn = asyncio.Lock()

    async def run_once(self, project: str) -> int:
        """How many scores were written. Raises StoreUnavailable."""
        async with self._turn:
            await self.settle_corrections(project)
            return await self._run(project)

    async def _run(self, project: str) -> int:
        now, timeout = self._clock(), self._timeout(project)
        mark = await self._records.read(lambda c: states.get(c, project, "behaviour", "mark"))
        reached = int(mark) if mark is not None else now - LOOKBACK_NS
        after = max(reached - MARGIN_NS, 0)
        # A trace may take a while itself: the silence is looked for from its start, and decided from its end.
        found = await self._columns.named(
            "behaviour_sessions", project, after=after, limit=MOST_SESSIONS,
            silent_after=max(after - timeout - HOUR_S * SECOND, 0), silent_until=max(now - timeout, 0),
        )  # fmt: skip
        sessions = [str(s) for s, _ in found.rows]
        written = 0
        for start in range(0, len(sessions), CHUNK):
            written += await self._take(project, sessions[start : start + CHUNK], now, timeout)
            await asyncio.sleep(0)
        self.counts.sessions += len(sessions)
        if now > reached:
            await self._records.write(lambda c: states.put(c, project, "behaviour", "mark", now, now))
        return written

    async def settle_corrections(self, project: str) -> int:
        """Compare corrections that came before their trace with its answer; how many."""
        now = self._clock()
        table = await self._columns.named("behaviour_corrections", project, since=max(now - LOOKBACK_NS, 0))
        rows = {str(r["trace_id"]): r for r in table.dicts()}
        changed: list[Score] = []
        for score in await self._columns.read_scores(project, list(rows)) if rows else []:
            if score.scorer != "correction" or score.value is not None or score.span_id:
                continue
            row = rows[score.trace_id]
            distance = round(edit_distance(str(row["output"]), score.reason or ""), 4)
            changed.append(
                msgspec.structs.replace(
                    score, value=distance, time_ns=int(row["start"]), session_id=row["session_id"],
                    scored_ns=max(now, score.scored_ns + 1),
                )
            )  # fmt: skip
        if changed:
            await self._columns.write_scores(changed)
        return len(changed)

    async def _take(self, project: str, sessions: list[str], now: int, timeout: int) -> int:
        table = await self._columns.named(
            "behaviour_turns", project, sessions=sessions, since=max(now - LOOKBACK_NS - timeout, 0), most=MOST_TURNS
        )  # fmt: skip
        turns = table.dicts()
        known: dict[str, list[Score]] = {}
        for score in await self._columns.read_scores(project, [str(t["trace_id"]) for t in turns]):
            known.setdefault(score.trace_id, []).append(score)
        by_session: dict[str, list[dict[str, Any]]] = {}
        for turn in turns:
            by_session.setdefault(str(turn["session_id"]), []).append(turn)
        wanted = [s for g in by_session.values() for s in subjects(g, known, now, timeout)]
        scorers = self._scorers(project)
        said = await asyncio.to_thread(lambda: [(s, run_scorer(s, wanted)) for s in scorers])
        fresh: list[Score] = []
        ledger: dict[coverage.Cell, Counter[str]] = {}
        window = now // SECOND // self._window_s * self._window_s
        for scorer, outcomes in said:
            for subject, outcome in zip(wanted, outcomes, strict=True):
                score = self._score(project, subject, scorer, outcome, known, now)
                if score is None:
                    continue
                fresh.append(score)
                if not _earlier(score, known):
                    cell = coverage.Cell(project, scorer.name, scorer.version, window, self._window_s)
                    ledger.setdefault(cell, Counter()).update(("eligible", "selected", "scored"))
        if fresh:
            await self._columns.write_scores(fresh)
            totals = await self._records.write(
                lambda c: coverage.add(c, [(cell, dict(n)) for cell, n in ledger.items()], now)
            )
            await self._columns.write_coverage(totals)
            for hook in self.hooks:
                await hook([(project, s.trace_id, [s]) for s in fresh])
        self.counts.written += len(fresh)
        return len(fresh)

    def _score(
        self,
        project: str,
        subject: Subject,
        scorer: BatchScorer,
        outcome: Outcome,
        known: Mapping[str, Sequence[Score]],
        now: int,
    ) -> Score | None:
        """The score to write, None where there is nothing to say or nothing new."""
        if not isinstance(outcome, Verdict):
            return None
        trace = subject.trace
        made = Score(
            project, trace.trace_id, "", scorer.name, scorer.version, scorer.kind, trace.start_ns, now,
            session_id=trace.context.session_id, value=outcome.value, passed=outcome.passed, reason=outcome.reason,
        )  # fmt: skip
        if any((s.value, s.reason) == (made.value, made.reason) for s in _earlier(made, known)):
            self.counts.same += 1
            return None
        return made


def _earlier(score: Score, known: Mapping[str, Sequence[Score]]) -> list[Score]:
    key = (score.scorer, score.version, score.source)
    return [s for s in known.get(score.trace_id, ()) if (s.scorer, s.version, s.source) == key]
