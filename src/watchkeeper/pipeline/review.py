"""Scores and alerts become review items; a label closes them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from watchkeeper.config.models import Config, Review
from watchkeeper.model.alert import Alert
from watchkeeper.model.review import ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.model.times import Clock
from watchkeeper.reviewing.queue import (
    DEFAULT_POLICIES,
    OPINIONS,
    ReviewPolicy,
    candidates,
    disagreement,
    item,
    sampled,
    sieve,
)
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import reviews
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)

ALERT_WORST = 10
DEFAULTS = Config().review
DISAGREEING, DISAGREEMENT_CAP = 5.5, 100
SAMPLE_PRIORITY = 3.0
# What the configuration can route: a signal comes from a user, from what users do, or from another system.
ROUTED = ("user", "signal", "external")


class ReviewRouting:
    """Feeds the review queue. `routed(project)` names the signals the configuration routes itself, `erased(project, trace_id)`
    traces nothing may be said of any more. Counts what it added and what a full queue displaced."""

    def __init__(
        self,
        records: Records,
        clock: Clock,
        policies: Sequence[ReviewPolicy] = DEFAULT_POLICIES,
        routed: Callable[[str], frozenset[str]] = lambda _project: frozenset(),
        *,
        columns: Columns | None = None,
        settings: Callable[[], Review] = lambda: DEFAULTS,
        erased: Callable[[str, str], bool] = lambda _project, _trace_id: False,
    ) -> None:
        self.records = records
        self.erased = erased
        self.clock = clock
        self.policies = policies
        self.routed = routed
        self.columns = columns
        self.settings = settings
        self.counts: dict[str, int] = {"in": 0, "added": 0, "not_added_full": 0}
        self._telling = sieve(policies)

    async def on_scored(self, scored: Sequence[tuple[str, str, Sequence[Score]]]) -> None:
        """Take (project, trace id, scores) of freshly scored traces; one transaction for all of them."""
        now, telling = self.clock(), self._telling
        share = self.settings().sample
        # Where the configuration says what becomes of a signal, no default does.
        routed = {project: self.routed(project) for project in {p for p, _, _ in scored}}
        wanted: list[tuple[ReviewItem, int | None]] = []
        for project, trace_id, found in scored:
            # Of most traces no score tells anything.
            scores = [
                s for s in found if telling(s) and (s.source not in ROUTED or s.scorer not in routed[project])
            ]
            if scores:
                wanted.extend(candidates(self.policies, project, trace_id, scores, now))
            # A trace is checked whatever else happens to it, so that the sample is one of all traffic.
            if share > 0 and sampled(trace_id, share) and any(s.source == "check" for s in found):
                reason = "Random sample: is this answer good?"
                drawn = item(project, trace_id, "sample", reason, SAMPLE_PRIORITY, now, probability=share)
                wanted.append((drawn, None))
        wanted.extend(await self._disagreements(scored, now))
        await self._add(wanted)

    async def _disagreements(
        self, scored: Sequence[tuple[str, str, Sequence[Score]]], now: int
    ) -> list[tuple[ReviewItem, int | None]]:
        """Traces on which a fresh opinion contradicts an earlier one."""
        if self.columns is None:
            return []
        judged = {
            (project, trace_id)
            for project, trace_id, given in scored
            if any(s.passed is not None and s.source in OPINIONS for s in given)
        }
        by_project: dict[str, dict[str, list[Score]]] = {}
        for project, trace_id, given in scored if judged else ():
            if (project, trace_id) in judged:
                by_project.setdefault(project, {}).setdefault(trace_id, []).extend(given)
        made: list[tuple[ReviewItem, int | None]] = []
        for project, fresh in by_project.items():
            known: dict[str, list[Score]] = {}
            for score in await self.columns.read_scores(project, list(fresh)):
                known.setdefault(score.trace_id, []).append(score)
            for trace_id, given in fresh.items():
                pair = disagreement([*known.get(trace_id, ()), *given])
                if pair is not None:
                    reason = f"{pair[0].scorer} passes it and {pair[1].scorer} does not: {pair[1].reason or 'no reason'}"
                    one = item(project, trace_id, "disagreement", reason, DISAGREEING, now, pair[1].scorer)
                    made.append((one, DISAGREEMENT_CAP))
        return made

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
        wanted = [w for w in wanted if not self.erased(w[0].project, w[0].trace_id)]
        if not wanted:
            return
        added = await self.records.write(lambda conn: reviews.add_all(conn, wanted))
        self.counts["in"] += len(wanted)
        self.counts["added"] += sum(added)
        self.counts["not_added_full"] += len(wanted) - sum(added)
