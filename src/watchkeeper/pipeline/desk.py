"""People's side of the review queue, the same for the API and the pages: take, label, undo, hand over, decide, triage."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from watchkeeper.config.models import Review
from watchkeeper.model.review import DatasetVersion, Label, ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.model.signal import SEVERITIES
from watchkeeper.model.span import Trace
from watchkeeper.model.times import WEEK, Clock
from watchkeeper.pipeline.curate import Moved
from watchkeeper.pipeline.promote import NearDuplicate, case_of, must_pass_of, promote
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.pipeline.signals import lows_of
from watchkeeper.reviewing.agreement import Agreement, agreement
from watchkeeper.reviewing.queue import DEFAULT_POLICIES, item
from watchkeeper.reviewing.triage import Bad, is_due, pick, week_of
from watchkeeper.scoring.protocol import Scorer
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import audit, reviews
from watchkeeper.store.records.engine import Records

TRIAGE = "triage"


@dataclass(frozen=True)
class Who:
    """Who acts and from where; an `editor` may decide between votes of which one is theirs."""

    actor: str
    source: str
    editor: bool = False


@dataclass(frozen=True)
class Given:
    """What a reviewer says about a trace."""

    verdict: str
    taxonomy: str | None = None
    severity: str | None = None
    expected_output: str | None = None
    comment: str | None = None


class Desk:
    """Every action is one transaction with its line in the audit log. `clock` is data time, `wall` the world's, by which seats
    run out."""

    def __init__(self, records: Records, settings: Review, clock: Clock, wall: Clock) -> None:
        self.records, self.settings, self.clock, self.wall = records, settings, clock, wall

    async def take_next(self, project: str, who: Who, source: str | None = None) -> ReviewItem | None:
        """A seat at the most urgent item with room for this reviewer; None when there is none."""
        now = self.wall()

        def work(conn: Connection) -> ReviewItem | None:
            reviews.want(conn, project, self.settings.reviewers_per_item, self.settings.sources)
            return reviews.reserve_next(
                conn, project, who.actor, now, reservation_ns=self.settings.reservation, source=source
            )

        return await self.records.write(work)

    async def label(self, project: str, item_id: str, given: Given, who: Who) -> tuple[Label, str]:
        """Store what somebody said, and the item's status after it. On a disputed item it is the decision. Raises Refused."""
        if given.verdict not in ("good", "bad"):
            raise Refused("a label is good or bad")
        if given.severity is not None and given.severity not in SEVERITIES:
            raise Refused("that is not a severity", f"one of {', '.join(SEVERITIES)}")
        now, wall = self.clock(), self.wall()

        def work(conn: Connection) -> tuple[Label, str]:
            found = reviews.get(conn, project, item_id, wall)
            if found is None:
                raise Refused(
                    f"there is no review item {item_id[:80]!r}", "GET /api/reviews lists them", missing=True
                )
            if found.status == "gone":
                raise Refused(
                    f"nobody can judge {found.id}: its content has passed its retention",
                    "server.retention.content says how long texts stay",
                )
            role = self._role(conn, found, who)
            made = Label(
                f"lab_{secrets.token_hex(12)}", project, found.id, found.trace_id, who.actor, now, given.verdict,
                given.taxonomy or None, given.severity, given.expected_output, given.comment or None, role,
            )  # fmt: skip
            status = reviews.label(conn, made)
            detail = {"verdict": made.verdict, "item": found.id, "role": role, "status": status}
            audit.record(
                conn, project=project, now_ns=wall, actor=who.actor, source=who.source, action="review.label",
                target=found.trace_id, detail=detail,
            )  # fmt: skip
            return made, status

        return await self.records.write(work)

    @staticmethod
    def _role(conn: Connection, found: ReviewItem, who: Who) -> str:
        if found.status != "disputed":
            return "vote"
        voted = {
            v.author
            for v in reviews.votes_of(conn, found.project, [found.trace_id])
            if v.item_id == found.id and v.role == "vote"
        }
        if who.actor in voted and not who.editor:
            raise Refused(
                "you have labelled this one: somebody else decides", "ask another reviewer or an editor"
            )
        return "final"

    async def votes(self, found: ReviewItem, who: Who) -> tuple[list[Label], bool]:
        """The labels of an item's trace that this person may see, and whether others are kept from them: several reviewers are
        blind until they have said what they think themselves."""
        said = await self.records.read(lambda c: reviews.votes_of(c, found.project, [found.trace_id]))
        here = [v for v in said if v.item_id == found.id]
        if found.reviewers > 1 and found.status == "open" and not any(v.author == who.actor for v in here):
            return [], bool(said)
        return said, False

    async def undo(self, project: str, who: Who) -> ReviewItem | None:
        """Take back the newest label of this person; None when there is none."""
        now, wall = self.clock(), self.wall()

        def work(conn: Connection) -> ReviewItem | None:
            found = reviews.undo(conn, project, who.actor, now, 0)
            if found is None:
                return None
            if found.status == "open":
                reviews.hold(conn, project, found.id, who.actor, wall + self.settings.reservation)
            audit.record(
                conn, project=project, now_ns=wall, actor=who.actor, source=who.source, action="review.undo",
                target=found.trace_id, detail={"item": found.id},
            )  # fmt: skip
            return reviews.get(conn, project, found.id, wall)

        return await self.records.write(work)

    async def assign(self, project: str, item_id: str, to: str | None, who: Who) -> None:
        """Say who should read an item, None for anybody. Raises Refused."""
        wall = self.wall()

        def work(conn: Connection) -> bool:
            if not reviews.assign(conn, project, item_id, to):
                return False
            audit.record(
                conn, project=project, now_ns=wall, actor=who.actor, source=who.source, action="review.assign",
                target=item_id, detail={"to": to},
            )  # fmt: skip
            return True

        if not await self.records.write(work):
            raise _not_open(item_id)

    async def skip(self, project: str, item_id: str, who: Who) -> None:
        """Leave an open item to others. Raises Refused."""
        wall = self.wall()

        def work(conn: Connection) -> bool:
            found = reviews.skip(conn, project, item_id, who.actor, wall)
            if found is None:
                return False
            audit.record(
                conn, project=project, now_ns=wall, actor=who.actor, source=who.source, action="review.skip",
                target=found.trace_id, detail={"item": item_id},
            )  # fmt: skip
            return True

        if not await self.records.write(work):
            raise _not_open(item_id)

    async def agreement(self, project: str) -> Agreement:
        """How far reviewers of the same items agree."""
        votes = await self.records.read(lambda c: reviews.votes_of(c, project))
        return await asyncio.to_thread(agreement, votes)

    async def promote(
        self,
        project: str,
        dataset: str,
        trace: Trace,
        scores: Sequence[Score],
        scorers: Sequence[Scorer],
        label: Label | None,
        who: Who,
    ) -> tuple[DatasetVersion, list[Moved]] | None:
        """Make a reviewed trace a case of the dataset's next version, and which split that takes it out of; None when it asks what
        another case asks."""
        case = case_of(trace, label, failed=must_pass_of(scores, scorers))
        note = (
            label.comment if label else None
        ) or f"reviewed: {label.taxonomy or label.verdict if label else ''}"
        try:
            return await promote(
                self.records, project, dataset, [case], author=who.actor, note=note, now_ns=self.clock()
            )
        except NearDuplicate:
            return None

    async def triage(self, project: str, columns: Columns, who: Who | None = None) -> tuple[str, int]:
        """Put the week's worst traces together as one source of the queue, and say which and how many are new in it. Doing it
        again in the same week fills it up with what is new."""
        now = self.clock()
        source = f"{TRIAGE}:{week_of(now)}"
        low = lows_of(DEFAULT_POLICIES)
        found = await columns.named(
            "triage_bad", project, since=now - WEEK, until=now + 1,
            low_names=list(low), low_values=list(low.values()),
        )  # fmt: skip
        bad = [
            Bad(
                str(r["trace_id"]), str(r["scorer"]), str(r["cohort"]), float(r["badness"]), int(r["at"]),
                str(r["input"]), str(r["reason"]),
            )
            for r in found.dicts()
        ]  # fmt: skip
        picked = await asyncio.to_thread(pick, bad, self.settings.triage_size)
        wall = self.wall()

        def work(conn: Connection) -> int:
            before = sum(reviews.counts(conn, project, source).values())
            for p in picked[: max(0, self.settings.triage_size - before)] if before else picked:
                where = f" in {p.bad.cohort}" if p.bad.cohort else ""
                why = f": {p.bad.reason}" if p.bad.reason else ""
                reason = f"No. {p.nth} of {p.of} by {p.bad.scorer}{where}, week {week_of(now)}{why}"
                made = item(project, p.bad.trace_id, source, reason, 6.0 - p.rank / 100, now, p.bad.scorer)
                reviews.add(conn, made)
            new = sum(reviews.counts(conn, project, source).values()) - before
            if who is not None:
                audit.record(
                    conn, project=project, now_ns=wall, actor=who.actor, source=who.source,
                    action="review.triage", target=source, detail={"added": new},
                )  # fmt: skip
            return new

        return source, await self.records.write(work)

    async def triage_due(self, project: str, columns: Columns) -> bool:
        """Make this week's list when its day has come and nobody has; True when it was made now."""
        now = self.clock()
        if not is_due(now, self.settings.triage):
            return False
        source = f"{TRIAGE}:{week_of(now)}"
        if await self.records.read(lambda c: reviews.counts(c, project, source)):
            return False
        return (await self.triage(project, columns))[1] > 0


def _not_open(item_id: str) -> Refused:
    return Refused(
        f"there is no open review item {item_id[:80]!r}", "GET /api/reviews lists them", missing=True
    )
