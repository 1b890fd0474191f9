"""Scores and alerts become review items; a label closes them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from watchkeeper.model.alert import Alert
from watchkeeper.model.review import ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.reviewing.queue import DEFAULT_POLICIES, ReviewPolicy, candidates, item
from watchkeeper.store.records import reviews
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)

ALERT_WORST = 10


class ReviewRouting:
    """Feeds the review queue. `routed(project)` names the signals the configuration routes itself. Counts what it added and what a full queue displaced."""

    def __init__(
        self,
        records: Records,
        clock: Callable[[], int],
        policies: Sequence[ReviewPolicy] = DEFAULT_POLICIES,
        routed: Callable[[str], frozenset[str]] = lambda _project: frozenset(),
    ) -> None:
        self.records = records
        self.clock = clock
        self.policies = policies
        self.routed = routed
        self.counts: dict[str, int] = {"in": 0, "added": 0, "not_added_full": 0}

    async def on_scored(self, scored: Sequence[tuple[str, str, Sequence[Score]]]) -> None:
        """Take (project, trace id, scores) of freshly scored traces; one transaction for all of them."""
        now = self.clock()
        wanted: list[tuple[ReviewItem, int | None]] = []
        for project, trace_id, found in scored:
            # Where the configuration says what becomes of a signal, no default does.
            routed = self.routed(project)
            scores = [
                s for s in found if s.source not in ("user", "signal", "external") or s.scorer not in routed
            ]
            wanted.extend(candidates(self.policies, project, trace_id, scores, now))
        await self._add(wanted)

    @staticmethod
    def open_for_alert(
        conn: Connection, alert: Alert, worst: Sequence[Mapping[str, Any]], now_ns: int
    ) -> None:
        """Open reviews for the worst traces behind a firing alert, in the transaction that stores it; each row has
        `trace_id` and maybe `why`. Doing it twice opens them once."""
        for rank, row in enumerate(worst[:ALERT_WORST]):
            reason = f"Among the worst behind “{alert.monitor}”: {row.get('why') or alert.summary}"
            wanted = item(
                alert.project,
                str(row["trace_id"]),
                f"alert:{alert.id}",
                reason,
                8.0 - rank * 0.1,
                now_ns,
                alert_id=alert.id,
            )
            reviews.add(conn, wanted)

    async def add(self, project: str, trace_id: str, reason: str, author: str, priority: float = 6.0) -> str:
        """Put a trace in the queue by hand and return the item's id."""
        wanted = item(project, trace_id, f"manual:{author}", reason, priority, self.clock())
        await self._add([(wanted, None)])
        return wanted.id

    async def _add(self, wanted: list[tuple[ReviewItem, int | None]]) -> None:
        if not wanted:
            return
        added = await self.records.write(lambda conn: [reviews.add(conn, i, cap) for i, cap in wanted])
        self.counts["in"] += len(wanted)
        self.counts["added"] += sum(added)
        self.counts["not_added_full"] += len(wanted) - sum(added)
