"""The background thread that carries spans and reports to the server, and the bounded memory before it.

Application threads only append to a queue that is limited in count and in bytes; when it is full the
newcomer is dropped and counted. Everything slow (redaction, encoding, network, disk) happens here.
"""

import json
import random
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan

from watchkeeper.sdk.encode import TRACES_PATH, Encoder, refusal, rejected_spans, split
from watchkeeper.sdk.health import log, note
from watchkeeper.sdk.leaving import Bell, attend
from watchkeeper.sdk.parcel import Parcel
from watchkeeper.sdk.settings import Settings
from watchkeeper.sdk.spool import Spool
from watchkeeper.sdk.transport import Poster, Reply

_FIRST_DELAY: Final = 0.25
_LAST_DELAY: Final = 5.0
_LONGEST_RETRY_AFTER: Final = 30.0
_IN_HAND: Final = 4
_STRIKES: Final = 3
_STUCK: Final = 0.25
_BREATH: Final = 0.0002
_HURRIED: Final = 0.05
_GRPC_PORT: Final = 4317

Item: TypeAlias = ReadableSpan | Parcel


@dataclass
class Tally:
    """What became of the spans and reports of this process. ``dropped`` by reason; ``sent`` were acknowledged,
    of those the server ``rejected`` some and says so itself."""

    accepted: int = 0
    sent: int = 0
    spooled: int = 0
    rejected: int = 0
    reports_accepted: int = 0
    reports_sent: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])
    reports_dropped: Counter[str] = field(default_factory=Counter[str])

    @property
    def dropped_spans(self) -> int:
        """Spans lost for whatever reason."""
        return sum(self.dropped.values())


class Exporter:
    """One queue, one thread. Every public method returns at once except :meth:`flush` and :meth:`close`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.headers = _headers(settings)
        self._reset()

    def _reset(self) -> None:
        # Re-entrant: a signal handler or a finaliser may make a span while this thread is appending one.
        self._lock = threading.RLock()
        self._wake = Bell()
        self._pressure = Bell()
        self._waiting_since = 0.0
        self._idle = threading.Condition(self._lock)
        self._queue: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._packing = threading.RLock()
        #: Encoded and not yet delivered, also while it travels: exit can still spool it.
        self._in_hand: list[Parcel] = []
        self._spool_strikes: dict[str, tuple[int, int]] = {}
        self._thread: threading.Thread | None = None
        self._in_encoder = 0
        self._closed = self._hurried = self._left_said = False
        self._deadline: float | None = None
        self._flushes_asked = self._flushes_done = 0
        self._not_before = 0.0
        self._delay = 0.0
        self._last_status = 200
        self._successes = 0
        self._reported = self._full_said = 0
        self.tally = Tally()
        self.encoder = Encoder(self.settings, uuid.uuid4().hex)
        self._posters: dict[str, Poster] = {}
        self._spool = self._open_spool()

    def _open_spool(self) -> Spool | None:
        if self.settings.spool_dir is None:
            return None
        try:
            return Spool(self.settings.spool_dir, self.settings.spool_max_bytes)
        except OSError as error:
            note("the spool folder cannot be used; spans wait in memory only", error)
            return None

    def after_fork(self) -> None:
        """In a child: the parent sends what it has queued; the child starts empty, with its own name."""
        self._reset()

    # --- application side ---------------------------------------------------------------------------

    def put_span(self, span: ReadableSpan, size: int) -> None:
        """Queue an ended span of about ``size`` bytes, or count it dropped."""
        with self._lock:
            self.tally.accepted += 1
            if self._closed:
                self.tally.dropped["closed"] += 1
                return
            if (
                len(self._queue) >= self.settings.max_queue_spans
                or self._bytes + size > self.settings.max_queue_bytes
            ):
                self.tally.dropped["queue_full"] += 1
                return
            self._queue.append((span, size))
            self._bytes += size
            waiting = len(self._queue)
            thread = self._thread
        if thread is None:
            self._start()
        full = waiting >= self.settings.max_batch_spans or self._bytes >= self.settings.max_batch_bytes
        if full and not self._wake.is_set():
            self._wake.set()
        if self._spool is not None and not self._pressure.is_set() and self._pressed():
            self._pressure.set()

    def put_report(self, path: str, payload: Mapping[str, object]) -> None:
        """Queue a JSON body for ``path`` (feedback, a score), or count it dropped."""
        body = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
        parcel = Parcel(path, body, "application/json", reports=1)
        with self._lock:
            self.tally.reports_accepted += 1
            full = len(self._queue) >= self.settings.max_queue_spans
            if self._closed or full or self._bytes + len(body) > self.settings.max_queue_bytes:
                self.tally.reports_dropped["closed" if self._closed else "queue_full"] += 1
                return
            self._queue.append((parcel, len(body) + 500))
            self._bytes += len(body) + 500
            thread = self._thread
        if thread is None:
            self._start()

    def flush(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for one attempt to send everything queued now; False when some is left.

        Returns as soon as the server turns out to be unreachable: waiting longer would not help.
        """
        with self._lock:
            if self._closed or (self._thread is None and not self._queue):
                return not self._queue and not self._in_hand
            self._flushes_asked += 1
            target = self._flushes_asked
        self._start()
        self._wake.set()
        with self._idle:
            return self._idle.wait_for(lambda: self._flushes_done >= target, timeout) and not self._in_hand

    def resume(self) -> None:
        """Be told of the end of the process, and start sending what an earlier one left in the spool."""
        attend(self)
        if self._spool is not None and not self._spool.empty():
            self._start()

    def ready(self) -> bool:
        """False in a signal handler that interrupted a holder of the lock: the export thread would wait for it, and it for the thread."""
        try:
            self._idle.notify(0)  # raises where the calling thread does not hold the lock
        except RuntimeError:
            return True
        return False

    def hurry(self) -> None:
        """The process is about to end: from now on spans wait for company a twentieth of a second at most."""
        self._hurried = True
        self._wake.set()

    def leave(self) -> None:
        """Close within the time allowed for leaving."""
        self.close(self.settings.exit_timeout)

    def close(self, timeout: float) -> None:
        """Send or spool what is left within about ``timeout`` seconds, then stop. Safe to call twice, also from a signal
        handler that interrupted the first call: it ends what that one began."""
        with self._lock:
            first, self._closed = not self._closed, True
            self._deadline = self._deadline or time.monotonic() + timeout
            rest = max(0.0, self._deadline - time.monotonic())
            waiting = bool(self._queue or self._in_hand)
            thread = self._thread
        if first and waiting and thread is None:
            thread = self._start()
        self._wake.set()
        self._pressure.set()
        if thread is not None and thread.is_alive():
            # Keep a share of the time to spool from here, in case the thread hangs in the network.
            thread.join(rest * (0.6 if self._spool is not None else 1.0))
        if self._spool is not None:
            self._spool_rest()
        self._say_what_is_left()

    def _say_what_is_left(self) -> None:
        with self._lock:
            if self._left_said:
                return
            self._left_said = True
            waiting = [item for item, _ in self._queue]
            parcels = [item for item in waiting if isinstance(item, Parcel)]
            spans = len(waiting) - len(parcels) + sum(parcel.spans for parcel in self._in_hand)
            spans += self._in_encoder
            reports = sum(parcel.reports for parcel in (*parcels, *self._in_hand))
            untold = max(0, self.tally.dropped_spans - self._reported)
        if not (spans or reports):
            return
        waited = [_counted(spans, "span")] if spans else []
        if reports:
            waited.append(f"{_counted(reports, 'report')} (feedback, scores)")
        log.warning(
            "%s %s not delivered before exit%s; set spool_dir to keep what waits",
            " and ".join(waited),
            "was" if spans + reports == 1 else "were",
            f", and {_counted(untold, 'span')} had been dropped before" if untold else "",
        )

    def _start(self) -> threading.Thread | None:
        with self._lock:
            if self._thread is not None:
                return self._thread
            thread = threading.Thread(target=self._run, name="watchkeeper-export", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is shutting down, or out of threads
                note("the export thread cannot start", error)
                return None
            self._thread = thread
            if self._spool is not None:
                threading.Thread(target=self._relieve, name="watchkeeper-spool", daemon=True).start()
        attend(self)
        return thread

    # --- export thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        # Instrumented HTTP libraries must not make spans of our own requests.
        otel_context.attach(otel_context.set_value("suppress_instrumentation", True))
        while True:
            self._wake.wait(self._sleep())
            self._wake.clear()
            try:
                done = self._turn()
            except Exception as error:  # noqa: BLE001  the thread must outlive any bug; counted, logged, retried after a pause
                note("the export thread stumbled", f"{type(error).__name__}: {error}")
                self._back_off(None)
                done = self._closed
            if done:
                return

    def _sleep(self) -> float:
        if self._closed:
            return 0.0
        pause = min(self.settings.flush_interval, _HURRIED) if self._hurried else self.settings.flush_interval
        if self._in_hand or (self._spool is not None and self._delay):
            pause = min(pause, max(0.01, self._not_before - time.monotonic()))
        return pause

    def _turn(self) -> bool:
        """Send everything that may be sent now. True when the exporter is closed and nothing is left to do."""
        with self._lock:
            flush, closed = self._flushes_asked, self._closed
            urgent = closed or flush > self._flushes_done
        if urgent and not (closed and self._delay and self._spool is not None):
            self._not_before = 0.0
        self._say_if_full()
        self._send_all()
        if self._closed and self._spool is not None:
            self._spool_rest()
        with self._idle:
            self._flushes_done = max(self._flushes_done, flush)
            self._idle.notify_all()
            # Not whether it is closed now: what was queued since is sent by one more turn.
            return closed

    def _say_if_full(self) -> None:
        full = self.tally.dropped["queue_full"] + self.tally.reports_dropped["queue_full"]
        if full > self._full_said:
            note("the queue is full; what is new is dropped and counted", amount=full - self._full_said)
            self._full_said = full

    def _send_all(self) -> None:
        while True:
            if time.monotonic() < self._not_before or self._out_of_time():
                self._spool_if_pressed()
                return
            parcel = self._next()
            if parcel is None:
                break
            if not self._deliver(parcel):
                self._spool_if_pressed()
                return
        self._send_spooled()
        self._report_drops()

    def _report_drops(self) -> None:
        """Say how many were lost when nothing else is left that would carry the number."""
        dropped = self.tally.dropped_spans
        if dropped <= self._reported or self._delay or not self._successes:
            return
        reply = self._attempt(self.encoder.report(dropped))
        if not reply.retryable:
            self._reported = dropped

    def _next(self) -> Parcel | None:
        """What to try: the oldest in hand, or something newer while the server answers 500 to the oldest."""
        with self._lock:
            if self._in_hand and (
                self._last_status != 500 or len(self._in_hand) >= _IN_HAND or not self._queue
            ):
                return self._in_hand[0]
        return self._pack() or (self._in_hand[0] if self._in_hand else None)

    def _pack(self) -> Parcel | None:
        """Take one report or a batch of spans from the queue, encode it and put it in hand."""
        with self._packing:
            while (taken := self._take()) is not None:
                parcel = taken if isinstance(taken, Parcel) else self._encode(taken)
                if parcel is not None:
                    with self._lock:
                        self._in_hand.append(parcel)
                    return parcel
            return None

    def _encode(self, spans: list[ReadableSpan]) -> Parcel | None:
        parcel: Parcel | None = None
        self._in_encoder = len(spans)
        try:
            parcel = self.encoder.parcel(spans, self.tally.dropped_spans, self._breathe)
        except Exception as error:  # noqa: BLE001  the batch is lost but must be counted, or the ledger lies; logged
            note("a batch cannot be encoded", f"{type(error).__name__}: {error}")
        self._in_encoder = 0
        self._count_dropped("unencodable", len(spans) - (parcel.spans if parcel else 0))
        return parcel

    def _take(self) -> Parcel | list[ReadableSpan] | None:
        spans: list[ReadableSpan] = []
        taken = 0
        settings = self.settings
        with self._lock:
            while self._queue and len(spans) < settings.max_batch_spans:
                item, size = self._queue[0]
                if spans and (isinstance(item, Parcel) or taken + size > settings.max_batch_bytes):
                    break
                self._queue.popleft()
                self._bytes -= size
                taken += size
                if isinstance(item, Parcel):
                    return item
                spans.append(item)
        return spans or None

    def _breathe(self) -> None:
        # Without this the interpreter lets the application wait up to 5 ms behind our Python code.
        if not self._closed and self._flushes_asked == self._flushes_done and not self._pressed():
            time.sleep(_BREATH)

    def _deliver(self, parcel: Parcel) -> bool:
        """Try a parcel in hand once. True when the server answered, so that the next one may be tried."""
        reply = self._attempt(parcel)
        if reply.ok:
            self._let_go(parcel)
            return True
        if reply.status == 413 and parcel.spans > 1 and self._let_go(parcel):
            with self._lock:
                self._in_hand[:0] = split(parcel)
        elif not reply.retryable:
            note(f"the server refused telemetry with {reply.status}", _explain(reply))
            if self._let_go(parcel):
                self._lose(parcel, f"refused_{reply.status}")
        elif reply.status == 500 and self._is_poison(parcel):
            if self._let_go(parcel):
                self._lose(parcel, "refused_500")
        elif self._spool is not None and self._spool.put(parcel):
            if self._let_go(parcel):
                self.tally.spooled += parcel.spans
        elif self._let_go(parcel):
            with self._lock:
                self._in_hand.append(parcel)
        return not reply.retryable

    def _let_go(self, parcel: Parcel) -> bool:
        """Take the parcel out of hand; False when exit already took it to disk."""
        with self._lock:
            for index, held in enumerate(self._in_hand):
                if held is parcel:
                    del self._in_hand[index]
                    return True
        return False

    def _is_poison(self, parcel: Parcel) -> bool:
        """A 500 while others succeed blames the parcel; a 500 for everybody blames the server."""
        if parcel.tried_at_success not in (-1, self._successes):
            parcel.strikes += 1
        parcel.tried_at_success = self._successes
        return parcel.strikes >= _STRIKES

    def _attempt(self, parcel: Parcel) -> Reply:
        timeout = None if self._deadline is None else max(0.1, self._deadline - time.monotonic())
        base, path = self._place(parcel.path)
        poster = self._posters.get(base)
        if poster is None:
            poster = Poster(base, self.headers, self.settings.timeout, self.settings.certificate)
            self._posters[base] = poster
        self._waiting_since = time.monotonic()
        reply = poster.post(path, parcel.body, parcel.headers(), timeout)
        self._waiting_since = 0.0
        self._last_status = reply.status
        if reply.retryable:
            self._back_off(reply)
            grpc = reply.status == 0 and urlsplit(base).port == _GRPC_PORT
            hint = "; this port usually speaks gRPC, and the SDK HTTP: name port 4318" if grpc else ""
            note("the server cannot be reached; telemetry waits", f"{base}: {_explain(reply)}{hint}")
            return reply
        self._delay = self._not_before = 0.0
        if reply.ok:
            self._successes += 1
            self.tally.sent += parcel.spans
            self.tally.reports_sent += parcel.reports
            self._reported = max(self._reported, parcel.dropped)
            self._count_rejected(parcel, reply)
        return reply

    def _count_rejected(self, parcel: Parcel, reply: Reply) -> None:
        rejected, why = rejected_spans(reply.body) if parcel.path == TRACES_PATH else (0, "")
        if rejected:
            self.tally.rejected += rejected
            note("the server rejected some spans", why, rejected)

    def _place(self, path: str) -> tuple[str, str]:
        if path == TRACES_PATH:
            return self.settings.traces_url, ""
        return self.settings.endpoint, path

    def _back_off(self, reply: Reply | None) -> None:
        self._delay = min(_LAST_DELAY, max(_FIRST_DELAY, self._delay * 2))
        wait = self._delay * random.uniform(0.8, 1.2)
        if reply is not None and reply.retry_after is not None:
            wait = min(reply.retry_after, _LONGEST_RETRY_AFTER)
        self._not_before = time.monotonic() + wait

    # --- spool --------------------------------------------------------------------------------------

    def _send_spooled(self) -> None:
        spool = self._spool
        while spool is not None and not self._closed and time.monotonic() >= self._not_before:
            claimed = spool.take()
            if claimed is None:
                return
            path, parcel = claimed
            if self._resend(spool, path, parcel):
                return
            if len(self._queue) >= self.settings.max_batch_spans:
                self._wake.set()
                return

    def _resend(self, spool: Spool, path: Path, parcel: Parcel) -> bool:
        """Send one spooled parcel; True when the server is down again."""
        reply = self._attempt(parcel)
        if reply.ok:
            spool.remove(path)
        elif not reply.retryable:
            spool.remove(path)
            self._lose(parcel, f"refused_{reply.status}")
        elif reply.status == 500 and self._strike_out(path):
            spool.remove(path)
            self._lose(parcel, "refused_500")
        else:
            spool.release(path)
        return reply.retryable

    def _strike_out(self, path: Path) -> bool:
        name = path.name.split(".", 1)[0]
        tried, strikes = self._spool_strikes.get(name, (self._successes, 0))
        strikes += tried != self._successes
        self._spool_strikes = {name: (self._successes, strikes)}
        return strikes >= _STRIKES

    def _spool_if_pressed(self) -> None:
        """During an outage, move what fills half the memory to disk."""
        while self._spool is not None and (self._in_hand or self._pressed()):
            with self._packing:
                parcel = self._in_hand[0] if self._in_hand else self._pack()
                if parcel is None or not self._keep(parcel):
                    return

    def _relieve(self) -> None:
        """A second thread, with a spool only: a request that hangs must not let the memory run full meanwhile."""
        while not self._closed:
            self._pressure.wait()
            since = self._waiting_since
            if not self._pressed():
                self._pressure.clear()
            elif since and time.monotonic() - since > _STUCK:
                with self._packing:
                    parcel = self._pack() if len(self._in_hand) < _IN_HAND else None
                    kept = parcel is not None and self._keep(parcel)
                if not kept:
                    time.sleep(_STUCK)
            else:
                time.sleep(0.02)

    def _keep(self, parcel: Parcel) -> bool:
        """To disk; False when the disk does not take it, and the parcel stays in hand."""
        if self._spool is None or not self._spool.put(parcel):
            return False
        if self._let_go(parcel):
            self.tally.spooled += parcel.spans
        return True

    def _spool_rest(self) -> None:
        """At exit: everything still here goes to disk, also what another thread is trying to send."""
        with self._packing:
            while (parcel := self._in_hand[0] if self._in_hand else self._pack()) is not None:
                if not self._keep(parcel) and self._let_go(parcel):
                    self._lose(parcel, "spool_full")
                    lost = parcel.spans + parcel.reports
                    note(
                        "the spool takes no more, what waited at exit is lost",
                        f"{lost} spans or reports",
                        lost,
                    )
            if self._spool is not None and self.tally.dropped_spans > self._reported:
                self._spool.put(self.encoder.report(self.tally.dropped_spans))
                self._reported = self.tally.dropped_spans

    # --- counting -----------------------------------------------------------------------------------

    def _pressed(self) -> bool:
        settings = self.settings
        return self._bytes * 2 > settings.max_queue_bytes or len(self._queue) * 2 > settings.max_queue_spans

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _count_dropped(self, reason: str, spans: int) -> None:
        if spans > 0:
            with self._lock:
                self.tally.dropped[reason] += spans

    def _lose(self, parcel: Parcel, reason: str) -> None:
        self._count_dropped(reason, parcel.spans)
        if parcel.reports:
            with self._lock:
                self.tally.reports_dropped[reason] += parcel.reports


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _headers(settings: Settings) -> dict[str, str]:
    head = {"User-Agent": "watchkeeper-sdk-python"}
    own: dict[str, str] = {}
    if settings.api_key:
        own["Authorization"] = f"Bearer {settings.api_key}"
    if settings.project:
        own["x-watchkeeper-project"] = settings.project
    # The environment may hold the key of another backend under the same name, in other letters: both would be sent.
    taken = {name.lower() for name in own}
    return head | {k: v for k, v in settings.headers.items() if k.lower() not in taken} | own


def _explain(reply: Reply) -> str:
    return reply.problem or f"HTTP {reply.status} {refusal(reply.body)}"
