"""Reviewers' labels become scores: rows of the source `human` that say what the records say, whatever happened in between."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.model.score import Score
from watchkeeper.reviewing.labels import HUMAN, Settled, scores_of
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import reviews
from watchkeeper.store.records.engine import Records

AT_ONCE = 500


class LabelScores:
    """Brings a project's human scores to what its labels are. Every change of a label marks its trace in the same transaction, and
    the mark goes when the rows are written: a kill in between repeats it. The first look of a process compares everything,
    for labels older than these scores and for a backup in which the two were not of one moment.

    Only labels that count have a score: while several reviewers are awaited or disagree there is none. `redact` takes personal
    data out of names and comments.
    """

    def __init__(self, columns: Columns, records: Records, redact: Callable[[str], str]) -> None:
        self._columns, self._records, self._redact = columns, records, redact
        self._compared: set[str] = set()
        self._turn = asyncio.Lock()
        self.counts: Counter[str] = Counter()

    async def run_once(self, projects: Sequence[str]) -> int:
        """How many traces were looked at. Raises StoreUnavailable; what was not done then is done at the next call."""
        async with self._turn:
            looked = 0
            noted = await self._records.read(lambda c: {p: reviews.relabelled(c, p) for p in projects})
            for project, changes in noted.items():
                ids = list(changes)
                if project not in self._compared:
                    ids = await self._everything(project, ids)
                for start in range(0, len(ids), AT_ONCE):
                    part = ids[start : start + AT_ONCE]
                    await self._settle(project, part)
                    known = {t: changes[t] for t in part if t in changes}
                    if known:
                        await self._records.write(
                            lambda c, p=project, k=known: reviews.settle_relabelled(c, p, k)
                        )
                self._compared.add(project)
                looked += len(ids)
            return looked

    async def _everything(self, project: str, noted: Sequence[str]) -> list[str]:
        scored = await self._columns.named("human_scored", project, source=HUMAN)
        labelled = await self._records.read(lambda c: {x.trace_id for x in reviews.votes_of(c, project)})
        return sorted({*labelled, *noted, *(str(row[0]) for row in scored.rows)})

    async def _settle(self, project: str, ids: list[str]) -> None:
        # Before the labels: what is said from here on marks its trace again.
        rows = await self._columns.named("human_traces", project, ids=ids)
        settled = await self._records.read(lambda c: self._settled(c, project, ids))
        wanted = [s for row in rows.rows for s in self._scores(settled, row)]
        self.counts["changed"] += await self._columns.settle_scores(project, HUMAN, ids, wanted)
        self.counts["looked"] += len(ids)

    @staticmethod
    def _settled(conn: Connection, project: str, ids: list[str]) -> dict[str, list[Settled]]:
        said = reviews.labels_of(conn, project, ids)
        drawn = reviews.drawn(conn, [x.item_id for x in said])
        found: dict[str, list[Settled]] = {}
        for label in said:
            source, probability = drawn.get(label.item_id, ("", None))
            found.setdefault(label.trace_id, []).append(Settled(label, source, probability or 0.0))
        return found

    def _scores(self, settled: dict[str, list[Settled]], row: Sequence[Any]) -> list[Score]:
        trace_id, time_ns, session_id = str(row[0]), int(row[1]), row[2]
        return [
            msgspec.structs.replace(
                s, label=self._redact(s.label or ""), reason=s.reason and self._redact(s.reason)
            )
            for s in scores_of(settled.get(trace_id, ()), time_ns, session_id)
        ]
