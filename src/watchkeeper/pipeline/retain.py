"""Dropping what is older than the configuration keeps, by a clock that is not believed when it leaps."""

import logging
from collections.abc import Callable

from sqlalchemy.engine import Connection

from watchkeeper.model.times import DAY, HOUR, MINUTE, Clock
from watchkeeper.store.columns import Columns, Retention
from watchkeeper.store.records import coverage, erasure, jobs, reviews, states
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
PROJECT, KIND, KEY, QUOTES = "default", "retention", "clock", "quotes"
MARGIN_NS = 5 * MINUTE
AT_ONCE = 3000


class Retain:
    """Drops by age from both stores. `clock` gives ns, `running` the ns this process has run by a clock nobody sets; `keep` what is
    kept now, `unkept` for how long (ns) a trace that storage sampling decided against may still be wanted, None where none is.

    The latest time seen is stored. A clock more than a day past it may be wrong, and what it drops does not come back: nothing
    is dropped until `confirm`, or until the clock has stood there for a day of running, as after a long stop.
    """

    def __init__(
        self,
        columns: Columns,
        records: Records,
        clock: Clock,
        running: Clock,
        keep: Callable[[], Retention],
        unkept: Callable[[], int | None],
    ) -> None:
        self._columns, self._records, self._clock, self._running = columns, records, clock, running
        self._keep, self._unkept = keep, unkept
        self._since: int | None = None

    @property
    def held(self) -> bool:
        """Whether nothing is dropped now, because the clock has leapt."""
        return self._since is not None

    async def run_once(self) -> None:
        """Drop what has grown too old, or nothing while the clock is doubted."""
        now = self._clock()
        stored = await self._records.read(lambda c: states.get(c, PROJECT, KIND, KEY))
        mark = now if stored is None else int(stored["latest_ns"])
        if now > mark + DAY and not self._stood():
            log.error(
                "nothing is dropped by age: the clock is %.1f days past the latest time seen; if it is right, confirm it with "
                "POST /api/retention, or wait until it has stood there for a day",
                (now - mark) / DAY,
            )
            return
        await self.confirm(max(mark, now))
        keep = self._keep()
        await self._columns.expire(now, keep)
        # What belongs to traces goes with them: nothing can come for one that is gone.
        gone = now - keep.trace_days * DAY
        await self._records.write(
            lambda c: (jobs.prune(c, gone), coverage.prune(c, gone), reviews.prune(c, gone))
        )
        await self._records.write(lambda c: self._unquote(c, now - keep.content_days * DAY, now))
        await self._close_unread((now // DAY - keep.content_days) * DAY, now)
        wait = self._unkept()
        if wait is not None:
            # A margin for what is being looked at again. Two days back: spans that came late for a trace that is not kept go as well.
            until = now - wait - (MARGIN_NS if wait else 0)
            await self._columns.drop_unkept(until - 2 * DAY, until)

    def _unquote(self, c: Connection, until: int, now: int) -> None:
        """Copies of content in the records go with it. What was passed over is not looked at again, unless more is to be kept."""
        stored = states.get(c, PROJECT, KIND, QUOTES)
        since = min(int(stored["until_ns"]), until) if stored is not None else 0
        erasure.unquote(c, since, until)
        states.put(c, PROJECT, KIND, QUOTES, {"until_ns": until}, now)

    async def _close_unread(self, since: int, now: int) -> None:
        """Nobody can judge what is not there. A trace without a row may have one soon, where it has only just been queued."""
        for project, made in (await self._records.read(reviews.waiting)).items():
            ids = list(made)
            for start in range(0, len(ids), AT_ONCE):
                part = ids[start : start + AT_ONCE]
                there = await self._columns.named("page_readable", project, ids=part, since=since)
                readable = {str(trace_id): bool(new) for trace_id, new in there.rows}
                lost = [t for t in part if not readable.get(t, made[t] > now - HOUR)]
                if lost and (
                    n := await self._records.write(lambda c, p=project, of=lost: reviews.lose(c, p, of))
                ):
                    log.info(
                        "%d review items of %s were closed unread: their content has passed its retention",
                        n,
                        project,
                    )

    def _stood(self) -> bool:
        if self._since is None:
            self._since = self._running()
        return self._running() - self._since >= DAY

    async def confirm(self, now_ns: int | None = None) -> None:
        """Take the clock (or this time) for right."""
        now = self._clock() if now_ns is None else now_ns
        await self._records.write(lambda c: states.put(c, PROJECT, KIND, KEY, {"latest_ns": now}, now))
        self._since = None
