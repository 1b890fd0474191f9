"""Erasure on request: everything known of some traces goes, does not come back, and a receipt says what went and what remains."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from sqlalchemy.engine import Connection

from watchkeeper.model.erasure import Erasure, Remaining
from watchkeeper.model.times import DAY, MINUTE, Clock
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import erasure
from watchkeeper.store.records.engine import Records

log = logging.getLogger(__name__)
# What was under way when an erasure began (a judge's call, a review being opened) has ended by then.
SWEEP_NS = 5 * MINUTE
MOST = 10_000

REMAINS = (
    Remaining("backups", "copies made before hold what they held; delete them, or erase again after a restore"),
    Remaining("files set aside as damaged", "what the folder damaged holds; it ends with the retention of content"),
    Remaining(
        "aggregates",
        "points, coverage and the maps of texts are sums over many traces and name nobody; they end with their own retention",
    ),
    Remaining(
        "audit log",
        "that the erasure was asked for, by whom and when, without the user id; statements of earlier exports stand as asked",
    ),
    Remaining(
        "keyed hashes of the trace ids",
        "so that a late re-send does not bring the traces back; kept as long as traces are",
    ),
    Remaining(
        "verdicts of reviewers", "good or bad with author and time, without their texts: agreement is counted from them"
    ),
    Remaining(
        "what people wrote elsewhere",
        "names and definitions of failures, notes in incidents, rules they accepted, filters of saved views: read them",
    ),
    Remaining("exports, and messages that were delivered", "they left the server; ask whoever took them"),
)  # fmt: skip
FORWARDED = Remaining(
    "forwarded copies", "spans that were sent on to another backend are there: erase them there too"
)
ELSEWHERE = Remaining(
    "dead rows of PostgreSQL",
    "removed rows stay in its files until VACUUM, and in its archived write-ahead log",
)


class Tombstones:
    """Which traces were erased, as keyed hashes: nobody without the key can test whether a trace was. Answers from memory."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()[:64]
        self._hashes: set[str] = set()

    def digest(self, project: str, trace_id: str) -> str:
        """The hash kept of an erased trace."""
        text = f"{project}\x00{trace_id}".encode("utf-8", "replace")
        return hashlib.blake2b(text, key=self._key, digest_size=16).hexdigest()

    def add(self, hashes: Iterable[str]) -> None:
        """Take hashes into account from now on."""
        self._hashes.update(hashes)

    def replace(self, hashes: Iterable[str]) -> None:
        """Take exactly these into account."""
        self._hashes = set(hashes)

    def holds(self, project: str, trace_id: str) -> bool:
        """Whether this trace was erased. Costs nothing where nothing ever was."""
        return bool(self._hashes) and self.digest(project, trace_id) in self._hashes


class Sought(NamedTuple):
    """What is stored of what was asked for: `traces` are the ids that would go, `unknown` the given ones that are not there;
    `unknown_user`: no trace is the given user's."""

    traces: list[str]
    unknown: list[str]
    unknown_user: bool


class Gathering(Protocol):
    """Who holds open traces in memory."""

    async def forget(self, project: str, trace_ids: Iterable[str]) -> None: ...


class EraseFlow:
    """Erases by user or by trace. `known_as(user)` gives the values under which a user may be stored (as sent, hashed);
    `keep_ns()` how long traces are kept, after which a re-send has nothing to come back to; `forwards()` whether copies of
    spans leave for other backends. Call `start()` before anything is taken in."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        clock: Clock,
        tombstones: Tombstones,
        open_traces: Gathering,
        known_as: Callable[[str], list[str]],
        keep_ns: Callable[[], int],
        forwards: Callable[[], bool],
        new_id: Callable[[], str],
    ) -> None:
        self._columns, self._records, self._clock = columns, records, clock
        self.tombstones = tombstones
        self._open, self._known_as, self._keep = open_traces, known_as, keep_ns
        self._forwards, self._new_id = forwards, new_id
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Know what must not come back."""
        self.tombstones.replace(await self._records.read(erasure.buried))

    async def find(self, project: str, user_id: str | None, trace_ids: Sequence[str]) -> Sought:
        """The user's traces, and which of the given ones there are."""
        theirs: set[str] = set()
        known: set[str] = set()
        if user_id is not None:
            users = self._known_as(user_id)
            table = await self._columns.named("erasure_user", project, users=users)
            theirs = {str(row[0]) for row in table.rows}
        if trace_ids:
            table = await self._columns.named("erasure_known", project, ids=list(trace_ids))
            known = {str(row[0]) for row in table.rows}
        unknown = sorted(set(trace_ids) - theirs - known)
        return Sought(sorted(theirs | known), unknown, user_id is not None and not theirs)

    async def erase(
        self,
        project: str,
        actor: str,
        *,
        user_id: str | None = None,
        trace_ids: Sequence[str] = (),
        note: Callable[[Erasure], Awaitable[None]] | None = None,
    ) -> Erasure:
        """Erase a user's traces, or these. The request is written down before anything goes, so that a kill does not end it
        half way; the receipt is complete when this returns. `note` hears of the request before (for the audit log)."""
        async with self._turn:
            there = await self.find(project, user_id, trace_ids)
            # Given ids that are not there (yet) are buried as well: whoever asks for them to go means for good.
            ids = sorted({*there.traces, *trace_ids})
            users = [] if user_id is None else self._known_as(user_id)
            made = Erasure(
                id=self._new_id(), project=project, actor=actor, created_ns=self._clock(),
                subject="" if user_id is None else self.tombstones.digest(project, user_id),
                user_ids=users, trace_ids=ids, traces=len(there.traces), unknown=len(there.unknown),
                unknown_user=there.unknown_user,
            )  # fmt: skip
            hashes = [self.tombstones.digest(project, i) for i in ids]

            def begin(conn: Connection) -> None:
                erasure.bury(conn, hashes, made.created_ns)
                erasure.put(conn, made)

            await self._records.write(begin)
            self.tombstones.add(hashes)
            if note is not None:
                await note(made)
            return await self._work(made)

    async def _work(self, made: Erasure) -> Erasure:
        project, ids = made.project, made.trace_ids
        await self._open.forget(project, ids)
        removed = dict(made.columns)
        for user in made.user_ids or [None]:
            went = await self._columns.erase(project, user, ids)
            for table, n in went.rows.items():
                removed[table] = removed.get(table, 0) + n
            # A trace of the user that began in the moment between looking and removing.
            ids = sorted({*ids, *went.trace_ids})
        hashes = [self.tombstones.digest(project, i) for i in ids]
        self.tombstones.add(hashes)
        now = self._clock()

        def settle(conn: Connection) -> Erasure:
            went = erasure.forget(conn, project, ids)
            erasure.bury(conn, hashes, now)
            made.columns = removed
            made.records = {k: made.records.get(k, 0) + went.get(k, 0) for k in {*made.records, *went}}
            made.trace_ids = ids
            made.state = "sweeping"
            made.finished_ns = made.finished_ns or now
            made.remains = list(REMAINS)
            if self._forwards():
                made.remains.append(FORWARDED)
            if not self._records.is_sqlite:
                made.remains.append(ELSEWHERE)
            erasure.put(conn, made)
            return made

        done = await self._records.write(settle)
        await self._records.clear_log()
        return done

    async def sweep(self) -> int:
        """Finish what a kill interrupted, pass once more over what was erased while something was under way, and forget
        hashes that no re-send can need; how many erasures were worked on."""
        now = self._clock()
        worked = 0
        for made in await self._records.read(erasure.unfinished):
            if made.state == "sweeping" and 0 <= now - (made.finished_ns or 0) < SWEEP_NS:
                continue
            async with self._turn:
                first = made.state == "running"
                made = await self._work(made)
                if not first:
                    made.state, made.swept_ns, made.trace_ids, made.user_ids = "done", now, [], []
                    await self._records.write(lambda c, m=made: erasure.put(c, m))
                    await self._records.clear_log()
            worked += 1
        before = now - max(self._keep(), DAY)
        if await self._records.write(lambda c: erasure.unbury(c, before)):
            self.tombstones.replace(await self._records.read(erasure.buried))
        return worked
