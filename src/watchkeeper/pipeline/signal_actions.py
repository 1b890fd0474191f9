"""What the configuration says becomes of a signal, beside being judged: the review queue, a golden case, or nothing."""

import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence

import msgspec

from watchkeeper.model.review import ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.model.times import Clock
from watchkeeper.pipeline.promote import HeldByOther, NearDuplicate, case_of, promote
from watchkeeper.pipeline.reading import Load
from watchkeeper.reviewing.queue import item
from watchkeeper.scoring.evidence import SignalRoute
from watchkeeper.store.records import reviews
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
AUTHOR = "signals"
NOW, LATER, LATER_CAP = 9.5, 5.0, 200
_REMEMBERED = 50_000


class SignalActions:
    """Acts on signals. Doing it again changes nothing: review items and cases have ids of their own, and what is done is
    remembered while the process lives."""

    def __init__(self, records: Records, load: Load, clock: Clock) -> None:
        self._records, self._load, self._clock = records, load, clock
        self._done: OrderedDict[tuple[str, str, str, str], None] = OrderedDict()
        self.counts: Counter[str] = Counter()

    async def __call__(
        self, project: str, routes: Sequence[SignalRoute], scores: Mapping[str, Sequence[Score]]
    ) -> None:
        now = self._clock()
        wanted: list[tuple[ReviewItem, int | None]] = []
        golden: list[tuple[SignalRoute, Score]] = []
        for trace_id, found in scores.items():
            for route in routes:
                score = next((s for s in found if route.matches(s)), None)
                if score is None or self._known(project, trace_id, route, score):
                    continue
                wanted += _items(project, route, score, now)
                if "golden" in route.actions:
                    golden.append((route, score))
        if wanted:
            added = await self._records.write(lambda c: reviews.add_all(c, wanted))
            self.counts["reviews"] += sum(added)
        for route, score in golden:
            await self._golden(project, route, score, now)

    def _known(self, project: str, trace_id: str, route: SignalRoute, score: Score) -> bool:
        key = (project, trace_id, route.name, f"{score.value}:{score.reason}")
        if key in self._done:
            return True
        self._done[key] = None
        if len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)
        return False

    async def _golden(self, project: str, route: SignalRoute, score: Score, now: int) -> None:
        """A case that says what should have come out: the user's correction, else the answer itself where the user was content."""
        subject = await self._load(project, score.trace_id, "")
        if subject is None or not subject.trace.input_text:
            self.counts["golden_without_content"] += 1
            return
        content = score.passed is True or score.scorer in ("copy", "copied")
        expected = (
            score.reason if score.scorer == "correction" else subject.trace.output_text if content else None
        )
        made = msgspec.structs.replace(
            case_of(subject.trace, None, split="golden", owner=AUTHOR), expected=expected
        )
        try:
            await promote(
                self._records,
                project,
                route.dataset,
                [made],
                author=AUTHOR,
                note=f"signal {route.name}",
                now_ns=now,
                # Nobody is there to be told that a person's case changed.
                keep=True,
            )
        except (HeldByOther, NearDuplicate) as error:
            self.counts["golden_known"] += 1
            log.info("no golden case from trace %s: %s", score.trace_id, error)
            return
        self.counts["golden"] += 1


def _items(project: str, route: SignalRoute, score: Score, now: int) -> list[tuple[ReviewItem, int | None]]:
    urgent = "review_now" in route.actions
    if not urgent and "review" not in route.actions:
        return []
    said = score.reason or score.label or ("" if score.value is None else f"{score.value:g}")
    reason = f"Signal {route.name}: {said}" if said else f"Signal {route.name}"
    made = item(
        project,
        score.trace_id,
        f"signal:{route.name}"[:64],
        reason,
        NOW if urgent else LATER,
        now,
        score.scorer,
    )
    return [(made, None if urgent else LATER_CAP)]
