"""Forwarding: what was stored, redacted, goes on to other OTLP backends, at least once and never from memory alone.

There is no second log. A target is a position in the order of arrival, kept in the records and moved after each
acknowledgement; what lies behind it is read from the store. Ingest pays nothing but the number of its last commit.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from watchkeeper.dialects import derive
from watchkeeper.dialects.outgoing import evaluation_of
from watchkeeper.egress.http import Answer
from watchkeeper.model.score import Score
from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.model.times import DAY, HOUR, MINUTE, SECOND, Clock, wished_s
from watchkeeper.pipeline.backoff import backoff_ns
from watchkeeper.pipeline.ingest import weight
from watchkeeper.pipeline.where import Condition, compile_condition
from watchkeeper.store.columns import Columns, Fed, Position
from watchkeeper.store.records import states
from watchkeeper.store.records.engine import Records
from watchkeeper.wire import encode
from watchkeeper.wire.otlp import MEDIA, partial_success

log = logging.getLogger(__name__)
KIND, EVERYWHERE = "forward", "*"
PAGE = 300
# Under a condition so many traces are read whole at once.
TOGETHER = 40
BATCH_BYTES = 4 << 20
POLL_SECONDS = 1.0
SCORE_POLL_SECONDS = 3.0
# Scores carry the time their write began and show when it is done: each window is looked at again for so long.
OVERLAP_NS = MINUTE
WINDOW_NS, WIDEST_NS = MINUTE, 30 * DAY
DEAD_KEPT = 50
# A target that is this far behind may have missed the retention of what it never got.
BEHIND_NS = HOUR
# After every project's name: the end of a moment.
LAST = "\U0010ffff"
SIGNALS = ("traces", "logs", "scores", "checks")
# Not a fault of the records: everything waits until somebody has put it right.
BLOCKED = frozenset((401, 403, 404, 405, 407))
LATER = frozenset((408, 425, 429, 500, 502, 503, 504))


@dataclass(frozen=True)
class Target:
    """Where to. `endpoint` is the base address, without /v1/…; `start` is `now` or `beginning`; `where` is a condition over
    traces: only what belongs to those that meet it is sent."""

    name: str
    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    signals: tuple[str, ...] = ("traces", "scores")
    projects: tuple[str, ...] = ()
    where: str | None = None
    start: str = "now"
    timeout_s: float = 30.0


class Dead(msgspec.Struct):
    """A record the target will never take."""

    trace_id: str
    span_id: str
    reason: str
    time_ns: int
    project: str = ""


class Progress(msgspec.Struct):
    """One target's way through one signal, as it is kept."""

    position: Position
    sent: int = 0
    dead: int = 0
    unreadable: int = 0
    expired: int = 0
    last_dead: list[Dead] = []


class Post(msgspec.Struct, frozen=True):
    """What a target said. `verdict`: sent, later, blocked, or bad (the request's content)."""

    verdict: str
    reason: str = ""
    after_s: float | None = None
    rejected: int = 0


def verdict_of(answer: Answer) -> Post:
    """What an answer to an export means, by the OTLP specification; a refused address or key waits for its owner.

    >>> verdict_of(Answer(503, {"Retry-After": "7"})).after_s
    7.0
    """
    status = answer.status
    if status is None:
        return Post("blocked" if answer.refused else "later", answer.reason)
    if 200 <= status < 300:
        rejected, words = partial_success(answer.body, _header(answer, "content-type"))
        return Post("sent", words, rejected=rejected)
    reason = f"it answered {status}"
    if status in BLOCKED or 300 <= status < 400:
        return Post("blocked", reason)
    if status in LATER or status >= 500:
        return Post("later", reason, wished_s(answer.headers.items()))
    return Post("bad", reason)


def _header(answer: Answer, name: str) -> str:
    return next((v for k, v in answer.headers.items() if k.lower() == name), "")


Send = Callable[[Target, str, bytes], Awaitable[Answer]]


@dataclass
class Way:
    """One target and one signal: read, send, remember, again."""

    target: Target
    signal: str
    columns: Columns
    records: Records
    clock: Clock
    settled: Callable[[], int]
    send: Send
    roll: Callable[[], float]
    erased: Callable[[str, str], bool] = lambda _project, _trace_id: False
    progress: Progress | None = None
    retried: int = 0
    failures: int = 0
    problem: str = ""
    window_ns: int = WINDOW_NS
    seen: dict[bytes, int] = field(default_factory=dict[bytes, int])
    condition: Condition | None = field(init=False)

    def __post_init__(self) -> None:
        """Read the condition. Raises ValueError."""
        self.condition = compile_condition(self.target.where) if self.target.where else None

    @property
    def key(self) -> str:
        """Under which name the position is kept."""
        return f"{self.target.name}:{self.signal}"

    @property
    def feed(self) -> str:
        """What is read: the records as they arrived; under a condition the traces as they were assembled, because a span alone
        does not say what its trace is."""
        return "assembled" if self.condition and self.signal in ("traces", "logs") else self.signal

    @property
    def exact(self) -> bool:
        """Whether arrival order is exact (spans, logs) or each window is looked at twice (scores, assembled traces)."""
        return self.feed in ("traces", "logs")

    async def load(self) -> Progress:
        """The kept progress; a target seen for the first time begins now or with everything there is."""
        if self.progress is None:
            kept = await self.records.read(lambda c: states.get(c, EVERYWHERE, KIND, self.key))
            if kept is None:
                begin = Position(0) if self.target.start == "beginning" else Position(self.settled(), LAST)
                self.progress = Progress(begin)
                await self.save()
            else:
                self.progress = msgspec.convert(kept, Progress)
        # Nobody is told of what was erased, and it is not written down again.
        found = self.progress.last_dead
        self.progress.last_dead = [d for d in found if not self.erased(d.project, d.trace_id)]
        return self.progress

    async def save(self) -> None:
        """Keep the progress; from here a restart goes on."""
        made, now = msgspec.to_builtins(self.progress), self.clock()
        await self.records.write(lambda c: states.put(c, EVERYWHERE, KIND, self.key, made, now))

    async def run(self) -> None:
        """Forward for ever; every failure waits and tries the same records again."""
        poll = POLL_SECONDS if self.exact else SCORE_POLL_SECONDS
        while True:
            try:
                moved = await self.step()
                self.failures, self.problem = 0, ""
                wait = 0.0 if moved else poll
            except _Wait as told:
                self.failures += 1
                self.retried += 1
                self.problem = told.post.reason
                wait = backoff_ns(self.failures, self.roll(), told.post.after_s) / SECOND
                if self.failures in (1, 10, 100):
                    log.warning("forwarding %s waits %.1f s: %s", self.key, wait, told.post.reason)
            except (
                Exception
            ) as error:  # the store or the records may be away for a while: nothing is lost by waiting
                self.failures += 1
                self.problem = f"a fault of ours ({type(error).__name__})"
                wait = backoff_ns(self.failures, self.roll()) / SECOND
                log.exception("forwarding %s failed; it is tried again in %.1f s", self.key, wait)
            await asyncio.sleep(wait)

    async def step(self) -> bool:
        """Send one page; whether there may be more at once. Raises `_Wait` when the target cannot take it now."""
        progress = await self.load()
        start = progress.position
        end = self.settled() if self.exact else self.clock()
        # Many records share the moment of their commit: it is over only when its end was reached.
        if start.ns > end or (start.ns == end and start.project == LAST):
            return False
        until = min(end, start.ns + self.window_ns)
        if start.ns == 0:
            # From the beginning: nothing can be known of the first time but by asking.
            _, oldest = await self.columns.backlog(self.feed, 0, self.target.projects)
            if oldest is None:
                return False
            progress.position = start = Position(oldest - 1)
            until = min(end, start.ns + self.window_ns)
        full = await (self._arrived(start, until) if self.exact else self._made(start, until, end))
        self.window_ns = max(self.window_ns // 2, SECOND) if full else min(self.window_ns * 2, WIDEST_NS)
        if not full:
            await self._passed(until, end)
        await self._missed(start.ns, (await self.load()).position.ns)
        return full or until < end

    async def _missed(self, after: int, until: int) -> None:
        """Count what had expired before this target took it."""
        if self.feed != "traces" or until >= self.clock() - BEHIND_NS:
            return
        if count := await self.columns.expired(after, until, self.target.projects):
            (await self.load()).expired += count
            await self.save()
            log.warning("forwarding %s: %d spans had expired before they could be sent", self.key, count)

    async def _arrived(self, start: Position, until: int) -> bool:
        """Send the next page of a window whose order is exact; whether it was a full one."""
        found = await self.columns.feed(self.signal, start, until, PAGE, self.target.projects)
        for batch in batches(found):
            await self._deliver(batch)
            await self._move(batch[-1].position)
        return len(found) >= PAGE

    async def _made(self, start: Position, until: int, end: int) -> bool:
        """Send what of a window was not sent yet. The position stays a little behind, for what is stored late."""
        while True:
            found = await self.columns.feed(self.feed, start, until, PAGE, self.target.projects)
            fresh = [f for f in found if identity(f) not in self.seen]
            together = PAGE if self.condition is None else TOGETHER
            for at in range(0, len(fresh), together):
                some = fresh[at : at + together]
                for batch in batches(await self._chosen(some)):
                    await self._deliver(batch)
                self.seen.update((identity(f), f.position.ns) for f in some)
            if fresh and fresh[-1].position.ns < end - OVERLAP_NS:
                await self._move(fresh[-1].position)
            if len(found) < PAGE:
                return False
            start = found[-1].position

    async def _chosen(self, found: Sequence[Fed]) -> list[Fed]:
        """Under a condition what of these belongs to traces that meet it; of assembled traces their records."""
        if self.condition is None:
            return list(found)
        wanted: dict[str, dict[str, Position]] = {}
        for fed in found:
            trace_id = fed.position.key[0] if fed.record is None else fed.record.trace_id
            wanted.setdefault(fed.position.project, {})[trace_id] = fed.position
        kept: dict[tuple[str, str], list[Fed]] = {}
        for project, ids in wanted.items():
            held = await self.columns.read_traces(project, list(ids))
            # Reading traces must not hold up whoever shares the event loop.
            meeting = await asyncio.to_thread(_meeting, held, self.condition)
            for trace_id in meeting:
                records = held[trace_id][0 if self.signal == "traces" else 1]
                kept[project, trace_id] = [Fed(ids[trace_id], r, weight(r)) for r in records]
        if self.feed == "assembled":
            return [one for records in kept.values() for one in records]
        return [f for f in found if f.record is not None and (f.position.project, f.record.trace_id) in kept]

    async def _move(self, to: Position) -> None:
        """Everything up to here is acknowledged."""
        (await self.load()).position = to
        await self.save()

    async def _passed(self, until: int, end: int) -> None:
        """A window was read to its end: the next one begins there, or for scores a little before."""
        progress = await self.load()
        to = until if self.exact else max(progress.position.ns, min(until, end - OVERLAP_NS))
        if to > progress.position.ns or (self.exact and progress.position.project != LAST):
            self.seen = {k: ns for k, ns in self.seen.items() if ns >= to}
            await self._move(Position(to, LAST))

    async def _deliver(self, batch: Sequence[Fed]) -> None:
        """Send until every record is taken or dead, then move the position past them."""
        progress = await self.load()
        readable = [f for f in batch if f.record is not None]
        progress.unreadable += len(batch) - len(readable)
        await self._split(readable, progress)

    async def _split(self, batch: Sequence[Fed], progress: Progress) -> None:
        """Send a batch; one that is refused for its content is halved until the record at fault stands alone."""
        if not batch:
            return
        path, body = encoded(self.signal, [cast(Any, f.record) for f in batch])
        post = verdict_of(await self.send(self.target, path, body))
        if post.verdict in ("later", "blocked"):
            raise _Wait(post)
        if post.verdict == "sent":
            progress.sent += len(batch) - min(post.rejected, len(batch))
            if post.rejected:
                self._bury(batch[:1], progress, post.reason or "rejected", min(post.rejected, len(batch)))
        elif len(batch) == 1:
            self._bury(batch, progress, post.reason, 1)
        else:
            middle = len(batch) // 2
            await self._split(batch[:middle], progress)
            await self._split(batch[middle:], progress)

    def _bury(self, batch: Sequence[Fed], progress: Progress, reason: str, number: int) -> None:
        progress.dead += number
        for one in batch:
            record = cast(Any, one.record)
            made = Dead(record.trace_id, record.span_id, reason[:300], self.clock(), one.position.project)
            progress.last_dead = [*progress.last_dead, made][-DEAD_KEPT:]
        log.warning("forwarding %s: %d records will never be taken: %s", self.key, number, reason[:300])

    async def waiting(self) -> tuple[int, float]:
        """How many records wait, and how long the oldest has, in seconds."""
        progress = await self.load()
        # Scores of the overlap are sent and only looked at again.
        after = progress.position.ns if self.exact else max([progress.position.ns, *self.seen.values()])
        if self.exact and progress.position.project != LAST:
            after -= 1
        count, oldest = await self.columns.backlog(self.feed, after, self.target.projects)
        return count, 0.0 if oldest is None else max(0.0, (self.clock() - oldest) / SECOND)


class _Wait(Exception):
    """The target takes nothing now."""

    def __init__(self, post: Post) -> None:
        super().__init__(post.reason)
        self.post = post


def _meeting(held: Mapping[str, tuple[list[RawSpan], list[LogRecord]]], condition: Condition) -> list[str]:
    """The ids of the traces that meet a condition."""
    return [trace_id for trace_id, (spans, logs) in held.items() if condition(derive(spans, logs))]


def identity(fed: Fed) -> bytes:
    """What makes a score the same one when its window is read again, or a trace that has not grown."""
    score = fed.record
    told: tuple[object, ...] = (fed.position.project, fed.position.key)
    if isinstance(score, Score):
        told = (*told, fed.position.ns, score.value, score.label, score.passed)
    return hashlib.blake2b(repr(told).encode(), digest_size=8).digest()


def batches(found: Sequence[Fed]) -> list[list[Fed]]:
    """The records in requests of some megabytes, in order."""
    made: list[list[Fed]] = []
    size = 0
    for one in found:
        if not made or size + one.size > BATCH_BYTES:
            made.append([])
            size = 0
        made[-1].append(one)
        size += one.size
    return made


def encoded(signal: str, records: Sequence[Any]) -> tuple[str, bytes]:
    """The path and body of the export of these records."""
    if signal == "traces":
        return "/v1/traces", encode.traces(cast("Sequence[RawSpan]", records))
    if signal == "logs":
        return "/v1/logs", encode.logs(cast("Sequence[LogRecord]", records))
    return "/v1/logs", encode.logs([evaluation_of(s) for s in cast("Sequence[Score]", records)])


@dataclass
class ForwardFlow:
    """Every target's ways, following the configuration. `request` is `egress.Egress.request`."""

    columns: Columns
    records: Records
    clock: Clock
    settled: Callable[[], int]
    request: Callable[..., Awaitable[Answer]]
    roll: Callable[[], float]
    erased: Callable[[str, str], bool] = lambda _project, _trace_id: False
    ways: list[Way] = field(default_factory=list[Way])
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, "asyncio.Task[None]"])
    _running: bool = False

    async def send(self, target: Target, path: str, body: bytes) -> Answer:
        """One export request."""
        headers = {"content-type": MEDIA["protobuf"], **target.headers}
        return await self.request(
            "POST", target.endpoint.rstrip("/") + path, headers=headers, body=body, timeout_s=target.timeout_s
        )

    def use(self, targets: Sequence[Target]) -> None:
        """Forward to these from now on. A target that stays as it is goes on undisturbed."""
        kept = {w.key: w for w in self.ways}
        made: list[Way] = []
        for target in targets:
            for signal in target.signals:
                way = kept.get(f"{target.name}:{signal}")
                made.append(
                    way
                    if way is not None and way.target == target
                    else Way(
                        target,
                        signal,
                        self.columns,
                        self.records,
                        self.clock,
                        self.settled,
                        self.send,
                        self.roll,
                        self.erased,
                    )
                )
        for old in self.ways:
            if all(old is not new for new in made) and (task := self._tasks.pop(old.key, None)):
                task.cancel()
        self.ways = made
        if self._running:
            self.start()

    def start(self) -> None:
        """Run every way that is not running; needs the event loop."""
        self._running = True
        loop = asyncio.get_running_loop()
        for way in self.ways:
            if way.key not in self._tasks:
                self._tasks[way.key] = loop.create_task(way.run(), name=f"forward-{way.key}")

    async def close(self) -> None:
        """Stop; what was not acknowledged is sent after the next start."""
        self._running = False
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def summary(self) -> list[dict[str, Any]]:
        """How every way stands, for the API."""
        told: list[dict[str, Any]] = []
        for way in self.ways:
            progress = await way.load()
            waiting, lag = await way.waiting()
            told.append(
                {
                    "target": way.target.name,
                    "signal": way.signal,
                    "state": "waiting" if way.problem else "running",
                    "problem": way.problem or None,
                    "sent": progress.sent,
                    "dead": progress.dead + progress.unreadable,
                    "expired": progress.expired,
                    "backlog": waiting,
                    "lag_seconds": lag,
                    "position_ns": progress.position.ns,
                    "last_dead": msgspec.to_builtins(progress.last_dead),
                }
            )
        return told

    async def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """How every way stands, for `/metrics`."""
        made: list[tuple[str, dict[str, str], float]] = []
        for way in self.ways:
            progress = await way.load()
            waiting, lag = await way.waiting()
            labels = {"target": way.target.name, "signal": way.signal}
            made += [
                ("watchkeeper_forward_sent_total", labels, float(progress.sent)),
                ("watchkeeper_forward_dead_total", labels, float(progress.dead + progress.unreadable)),
                ("watchkeeper_forward_expired_total", labels, float(progress.expired)),
                ("watchkeeper_forward_retried_total", labels, float(way.retried)),
                ("watchkeeper_forward_backlog", labels, float(waiting)),
                ("watchkeeper_forward_lag_seconds", labels, lag),
                ("watchkeeper_forward_waiting", labels, float(bool(way.problem))),
            ]
        return made
