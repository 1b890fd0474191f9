"""Sessions to behaviour scores: what the user did after each answer, decided when the next message comes or the session ends.

What is due is asked of the store, and only the answers it can change are looked at: the one before a new turn, the last of a session
that has ended. A score that would say the same is not written again, so that it may run any number of times.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from watchkeeper.model.score import Score, Subject, Verdict
from watchkeeper.model.span import Context, Totals, Trace
from watchkeeper.model.times import DAY, HOUR, MINUTE, Clock
from watchkeeper.pipeline.check import Hook
from watchkeeper.scoring.behaviour import Behaviour
from watchkeeper.scoring.drive import run_scorer
from watchkeeper.scoring.edits import edit_distance
from watchkeeper.scoring.protocol import BatchScorer
from watchkeeper.store.columns import Columns, Table
from watchkeeper.store.records import coverage, states
from watchkeeper.store.records.engine import Records

Row = Mapping[str, Any]
MARGIN_NS = 2 * MINUTE
TIMEOUT_NS = 30 * MINUTE
# A session is looked at this far back; what a user does after an answer comes within hours.
LOOKBACK_NS = 2 * DAY
# The end of a silence is looked for among traces that began so long before it.
LONGEST_TRACE_NS = 6 * HOUR
# Pages as large as memory allows: each reads the whole of the days it looks at, because sessions are anywhere in them.
MOST_DUE, MOST_SESSIONS, MOST_ANSWERS, MOST_TURNS = 50_000, 5000, 1000, 400
# These failures mean that the user got no help; others (a slow answer, a failed style rule) do not.
UNHELPFUL = frozenset(
    ("refusal", "empty_output", "answer_relevance", "truncation", "json_valid", "tool_error")
)


@dataclass
class Counts:
    """sessions and answers looked at; scores written; same: scores that were as they are."""

    sessions: int = 0
    answers: int = 0
    written: int = 0
    same: int = 0


class Due(NamedTuple):
    """Something that can change a session's scores, and when it came about (ns). `beside`: its neighbours' scores too. `key` tells
    it from all others."""

    at: int
    key: int
    session: str
    trace_id: str
    beside: bool


class Turn(NamedTuple):
    """One answer of a session: its trace, that trace's time (ns) and the probability with which storage sampling kept it, 0 where it
    did not: then it has a place among the others, and no words."""

    session: str
    trace_id: str
    start: int
    end: int
    odds: float = 1.0


# One answer to look at: all of its session, oldest first, and its place there.
Place = tuple[Sequence[Turn], int]


def against(told: Row, scores: Sequence[Row]) -> str | None:
    """What is known against an answer that a user may have left for, None without anything. Of what others said counts what every answer
    like it would have been told: users, and a judge that sees all such traces. With the fails that a judge happens to see, or what people
    read because it was bad, the rate would follow how much is looked at."""
    if told["error_class"]:
        return f"ended in {told['error_class']}"
    failed = [str(name) for name in told["failed_checks"] if name in UNHELPFUL]
    if failed:
        return f"failed {failed[0]}"
    if not str(told["output"]).strip():
        return "was empty"
    said = next((s for s in scores if s["passed"] is False and _of_all_alike(s)), None)
    return f"{said['scorer']} failed it" if said is not None else None


def _of_all_alike(said: Row) -> bool:
    return said["source"] == "user" or (said["source"] == "judge" and said["inclusion_probability"] == 1)


def to_look_at(page: Sequence[Due], seen: Set[int]) -> dict[str, list[Due]]:
    """What was not seen before, by session. A trace put together again may have left a session: that one is looked at too."""
    moved = {d.trace_id for d in page if d.beside and d.key not in seen}
    found: dict[str, list[Due]] = {}
    for due in page:
        if due.key not in seen or due.trace_id in moved:
            found.setdefault(due.session, []).append(due)
    return found


def answers_due(turns: Sequence[Turn], due: Sequence[Due], ended_before: int) -> list[int]:
    """The places in a session (oldest first) of answers whose scores can change. The last one says nothing before its session has
    ended; it has when it is over since `ended_before` (ns)."""
    place = {turn.trace_id: i for i, turn in enumerate(turns)}
    last = len(turns) - 1
    found: set[int] = set()
    for one in due:
        i = place.get(one.trace_id)
        if i is None:
            found.update(range(len(turns)))
        else:
            found.update((i - 1, i, i + 1) if one.beside else (last,))
    known = [i for i in found if 0 <= i < last or (i == last and turns[i].end <= ended_before)]
    return sorted(i for i in known if turns[i].odds > 0)


def places_due(
    rows: Sequence[Sequence[Any]], looks: Mapping[str, Sequence[Due]], ended_before: int
) -> list[Place]:
    """The answers to look at; `rows` are the turns of their sessions, the latest first."""
    by_session: dict[str, list[Turn]] = {}
    for row in reversed(rows):
        turn = Turn(*row)
        by_session.setdefault(turn.session, []).append(turn)
    return [(turns, i) for s, turns in by_session.items() for i in answers_due(turns, looks[s], ended_before)]


def around(places: Sequence[Place]) -> dict[str, Turn]:
    """The turns that must be read to look at these answers, by trace: they and their neighbours."""
    return {t.trace_id: t for turns, i in places for t in turns[max(i - 1, 0) : i + 2] if t.odds > 0}


def chance_of(scorer: BatchScorer, place: Place) -> float:
    """The probability that this scorer could read what it reads beside an answer that was kept: the product of its neighbours' own,
    which storage sampling draws independently (Horvitz–Thompson, as in `scoring.keeping`). 0 where it cannot: a turn it needs was
    not kept, and whatever it said would be wrong."""
    turns, i = place
    needed = scorer.beside(i + 1 == len(turns)) if isinstance(scorer, Behaviour) else (-1, 1)
    return math.prod(turns[i + by].odds for by in needed if 0 <= i + by < len(turns))


def subjects(
    places: Sequence[Place], told: Mapping[str, Row], scores: Mapping[str, Sequence[Row]]
) -> Iterator[tuple[Place, Subject]]:
    """One subject for every answer that is still there, and its place."""
    for turns, i in places:
        row = told.get(turns[i].trace_id)
        if row is None:
            continue
        last = i + 1 == len(turns)
        after = None if last else told.get(turns[i + 1].trace_id, {}).get("input")
        known: dict[str, Any] = {
            "next": None if last else after or "(no text)",
            "ended": last,
            "bad": against(row, scores.get(turns[i].trace_id, ())),
        }
        earlier = [_trace(turns[i - 1], told.get(turns[i - 1].trace_id, {}))] if i else []
        yield (turns, i), Subject(_trace(turns[i], row), earlier=earlier, extra=known)


def _trace(turn: Turn, row: Row) -> Trace:
    return Trace(
        turn.trace_id, [], Context(session_id=turn.session), Totals(), turn.start, turn.end, True,
        error_class=row.get("error_class"), input_text=row.get("input") or None, output_text=row.get("output") or None,
    )  # fmt: skip


class BehaviourFlow:
    """Scores a project's sessions. `scorers()` are those that run; `hooks` hear of new scores; `timeout_ns()` is the silence
    after which a session has ended."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        clock: Clock,
        scorers: Callable[[str], Sequence[BatchScorer]],
        *,
        timeout_ns: Callable[[str], int] = lambda _project: TIMEOUT_NS,
        hooks: Sequence[Hook] = (),
    ) -> None:
        self._columns, self._records, self._clock = columns, records, clock
        self._scorers, self._timeout = scorers, timeout_ns
        self.hooks = list(hooks)
        self.counts = Counts()
        self._turn = asyncio.Lock()
        # Of each project the keys of what came about in the last MARGIN_NS; without them, after a restart, it is looked at again.
        self._seen: dict[str, Set[int]] = {}

    async def run_once(self, project: str) -> int:
        """How many scores were written. Raises StoreUnavailable."""
        async with self._turn:
            await self.settle_corrections(project)
            return await self._run(project)

    async def _run(self, project: str) -> int:
        now, timeout = self._clock(), self._timeout(project)
        mark = await self._records.read(lambda c: states.get(c, project, "behaviour", "mark"))
        reached = min(int(mark), now) if mark is not None else now - LOOKBACK_NS
        silent_after = max(reached - timeout, 0)
        bounds = {
            "timeout": timeout, "silent_after": silent_after, "silent_until": max(now - timeout, 0),
            "began": max(silent_after - LONGEST_TRACE_NS, 0), "since": max(now - LOOKBACK_NS - timeout, 0),
        }  # fmt: skip
        # A row is written some time after the moment it is dated by.
        at, key, written = max(reached - MARGIN_NS, 0), 0, 0
        seen, met = self._seen.get(project, frozenset()), set[int]()
        while True:
            found = await self._columns.named(
                "behaviour_due", project, at=at, key=key, limit=MOST_DUE, **bounds
            )
            # Thousands of rows: in a thread, as whoever waits for an acknowledgement waits for this loop.
            page = await asyncio.to_thread(lambda rows: [Due(*row) for row in rows], found.rows)
            met.update(d.key for d in page if d.at > now - MARGIN_NS)
            looks = list((await asyncio.to_thread(to_look_at, page, seen)).items())
            for start in range(0, len(looks), MOST_SESSIONS):
                written += await self._take(project, dict(looks[start : start + MOST_SESSIONS]), now, timeout)
            if len(page) < MOST_DUE:
                break
            at, key = page[-1].at, page[-1].key
            await self._keep_mark(project, at, now)
        self._seen[project] = met
        await self._keep_mark(project, now, now)
        return written

    async def _keep_mark(self, project: str, reached: int, now: int) -> None:
        await self._records.write(lambda c: states.put(c, project, "behaviour", "mark", reached, now))

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

    async def _take(self, project: str, looks: Mapping[str, Sequence[Due]], now: int, timeout: int) -> int:
        """Look at what is due in these sessions; how many scores were written."""
        since = max(now - LOOKBACK_NS - timeout, 0)
        table = await self._columns.named(
            "behaviour_order", project, sessions=list(looks), since=since, most=MOST_TURNS
        )
        places = await asyncio.to_thread(places_due, table.rows, looks, now - timeout)
        written = 0
        for start in range(0, len(places), MOST_ANSWERS):
            written += await self._score(project, places[start : start + MOST_ANSWERS], now, since)
        self.counts.sessions += len(looks)
        self.counts.answers += len(places)
        return written

    async def _score(self, project: str, places: Sequence[Place], now: int, since: int) -> int:
        read = around(places)
        table = await self._columns.named(
            "behaviour_turns", project, ids=list(read), since=since,
            first=min(t.start for t in read.values()), last=max(t.start for t in read.values()),
        )  # fmt: skip
        mine = [turns[i].trace_id for turns, i in places]
        stored = await self._columns.named("behaviour_scores", project, ids=mine)
        scorers = self._scorers(project)
        fresh, same = await asyncio.to_thread(verdicts, project, places, table, stored, scorers, now)
        self.counts.same += same
        ledger: dict[coverage.Cell, Counter[str]] = {}
        window = coverage.window_of(now)
        for score, first in fresh:
            if first:
                cell = coverage.Cell(project, score.scorer, score.version, window)
                ledger.setdefault(cell, Counter()).update(("eligible", "selected", "scored"))
        await self._write([score for score, _ in fresh], ledger, now)
        return len(fresh)

    async def _write(
        self, fresh: list[Score], ledger: Mapping[coverage.Cell, Counter[str]], now: int
    ) -> None:
        if not fresh:
            return
        await self._columns.write_scores(fresh)
        if ledger:
            totals = await self._records.write(
                lambda c: coverage.add(c, [(cell, dict(n)) for cell, n in ledger.items()], now)
            )
            await self._columns.write_coverage(totals)
        for hook in self.hooks:
            await hook([(s.project, s.trace_id, [s]) for s in fresh])
        self.counts.written += len(fresh)


def verdicts(
    project: str,
    places: Sequence[Place],
    turns: Table,
    scores: Table,
    scorers: Sequence[BatchScorer],
    now: int,
) -> tuple[list[tuple[Score, bool]], int]:
    """What the scorers say anew of these answers, each with whether it is their first word on it; and how often they said what
    is stored. `turns` are the rows of the answers and their neighbours, `scores` what the answers have."""
    told = {str(row["trace_id"]): row for row in turns.dicts()}
    known: dict[str, list[Row]] = {}
    for row in scores.dicts():
        known.setdefault(str(row["trace_id"]), []).append(row)
    wanted = list(subjects(places, told, known))
    fresh: list[tuple[Score, bool]] = []
    same = 0
    for scorer in scorers:
        seen = [(subject, odds) for place, subject in wanted if (odds := chance_of(scorer, place)) > 0]
        for (subject, odds), outcome in zip(seen, run_scorer(scorer, [s for s, _ in seen]), strict=True):
            # Anything but a verdict says nothing of this answer.
            if not isinstance(outcome, Verdict):
                continue
            earlier = _earlier(scorer, known.get(subject.trace.trace_id, ()))
            said = (outcome.value, outcome.reason, odds)
            if any((s["value"], s["reason"], s["inclusion_probability"]) == said for s in earlier):
                same += 1
            else:
                fresh.append((_made(project, subject.trace, scorer, outcome, odds, now), not earlier))
    return fresh, same


def _made(project: str, trace: Trace, scorer: BatchScorer, said: Verdict, odds: float, now: int) -> Score:
    return Score(
        project, trace.trace_id, "", scorer.name, scorer.version, scorer.kind, trace.start_ns, now,
        session_id=trace.context.session_id, value=said.value, passed=said.passed, reason=said.reason,
        inclusion_probability=odds,
    )  # fmt: skip


def _earlier(scorer: BatchScorer, known: Sequence[Row]) -> list[Row]:
    key = (scorer.name, scorer.version, scorer.kind)
    return [s for s in known if (s["scorer"], s["version"], s["source"]) == key]
