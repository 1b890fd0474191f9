"""Guard requests on threads that can be abandoned: the caller waits for its budget and no longer."""

import asyncio
import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, cast

from opentelemetry import context as otel_context

from watchkeeper.sdk.client import client
from watchkeeper.sdk.health import note
from watchkeeper.sdk.settings import Settings
from watchkeeper.sdk.transport import Poster, Reply
from watchkeeper.sdk.values import valid

GUARD_PATH: Final = "/api/guard"
_THREADS: Final = 8
_WAITING: Final = 64
_SOCKET_SECONDS: Final = 2.0
#: After this many failures in a row nobody waits for the server; one call at a time finds out whether it is back.
_FAILURES: Final = 5
_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 5.0


@dataclass(frozen=True)
class GuardAnswer:
    """What the server said, or in ``failure`` why there is no usable answer."""

    verdict: str = "pass"
    reasons: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    output: str | None = None
    failure: str = ""


class _Line:
    """The threads and the breaker of one process."""

    def __init__(self, settings: Settings, headers: Mapping[str, str]) -> None:
        self.settings = settings
        self._headers = headers
        self._jobs: queue.Queue[tuple[bytes, float, Future[GuardAnswer]]] = queue.Queue(_WAITING)
        self._lock = threading.RLock()
        self._threads = self._open = 0
        self._failures = 0
        self._closed_until = 0.0

    def submit(self, body: bytes, budget: float) -> "Future[GuardAnswer] | GuardAnswer":
        with self._lock:
            if self._failures >= _FAILURES:
                now = time.monotonic()
                if now < self._closed_until:
                    return GuardAnswer(failure="unavailable: the last checks failed")
                self._closed_until = now + _FIRST_PAUSE  # this call is the probe; the others do not wait
            if self._open >= self._threads and self._threads < _THREADS:
                try:
                    threading.Thread(target=self._serve, name="watchkeeper-guard", daemon=True).start()
                except RuntimeError:  # the interpreter is shutting down, or out of threads
                    return GuardAnswer(failure="unavailable: no thread")
                self._threads += 1
            future: Future[GuardAnswer] = Future()
            try:
                self._jobs.put_nowait((body, time.monotonic() + budget, future))
            except queue.Full:
                return GuardAnswer(failure="busy: too many checks at once")
            self._open += 1
            return future

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            pause = _FIRST_PAUSE * 2 ** min(10, max(0, self._failures - _FAILURES))
            self._closed_until = time.monotonic() + min(_LAST_PAUSE, pause)

    def _serve(self) -> None:
        otel_context.attach(otel_context.set_value("suppress_instrumentation", True))
        settings = self.settings
        poster = Poster(settings.endpoint, self._headers, _SOCKET_SECONDS, settings.certificate)
        while True:
            body, deadline, future = self._jobs.get()
            try:
                if time.monotonic() > deadline:
                    continue  # nobody waits for it any more
                reply = poster.post(GUARD_PATH, body, {"Content-Type": "application/json"})
                answer = _read(reply)
                if reply.ok:
                    self._failures = 0
            except Exception as error:  # noqa: BLE001  a guard thread must survive any answer; the check counts as skipped
                answer = GuardAnswer(failure=f"error: {type(error).__name__}")
            finally:
                with self._lock:
                    self._open -= 1
            future.set_result(answer)


_line: _Line | None = None
_lock = threading.RLock()


def ask(call: Mapping[str, object], budget: float) -> GuardAnswer:
    """The server's answer to ``call`` within ``budget`` seconds, or the reason why there is none."""
    line, future = _begin(call, budget)
    if isinstance(future, GuardAnswer):
        return _count(future)
    try:
        answer = future.result(max(0.0, budget))
    except TimeoutError:
        answer = GuardAnswer(failure=f"late: no answer within {budget * 1000:.0f} ms")
    return _settle(line, answer)


async def ask_async(call: Mapping[str, object], budget: float) -> GuardAnswer:
    """:func:`ask` for an event loop."""
    line, future = _begin(call, budget)
    if isinstance(future, GuardAnswer):
        return _count(future)
    try:
        async with asyncio.timeout(max(0.0, budget)):
            answer = await _awaitable(future)
    except TimeoutError:
        answer = GuardAnswer(failure=f"late: no answer within {budget * 1000:.0f} ms")
    return _settle(line, answer)


def _awaitable(future: "Future[GuardAnswer]") -> "asyncio.Future[GuardAnswer]":
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[GuardAnswer] = loop.create_future()

    def arrive(answer: GuardAnswer) -> None:
        if not waiter.done():
            waiter.set_result(answer)

    def done(finished: "Future[GuardAnswer]") -> None:
        # A late answer may find the loop gone, and then nobody wants it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(arrive, finished.result())

    future.add_done_callback(done)
    return waiter


def _begin(
    call: Mapping[str, object], budget: float
) -> "tuple[_Line | None, Future[GuardAnswer] | GuardAnswer]":
    global _line
    state = client()
    if state.exporter is None:
        return None, GuardAnswer(failure="unavailable: the SDK is switched off")
    if "input" not in call and "output" not in call:
        return None, GuardAnswer(failure="nothing to check: give an input, an output, or both")
    body = valid(json.dumps(call, ensure_ascii=False)).encode()
    with _lock:
        line = _line
        if line is None or line.settings is not state.settings:
            line = _line = _Line(state.settings, state.exporter.headers)
    return line, line.submit(body, budget)


def _settle(line: _Line | None, answer: GuardAnswer) -> GuardAnswer:
    if answer.failure and line is not None and not answer.failure.startswith("refused"):
        line.failed()
    return _count(answer)


def _count(answer: GuardAnswer) -> GuardAnswer:
    if answer.failure:
        note("a guard was skipped", answer.failure)
    return answer


def _read(reply: Reply) -> GuardAnswer:
    if reply.status == 0:
        return GuardAnswer(failure=f"unavailable: {reply.problem.partition(':')[0]}")
    if not reply.ok:
        if reply.retryable:
            return GuardAnswer(failure=f"unavailable: HTTP {reply.status}")
        return GuardAnswer(failure=f"refused: HTTP {reply.status}{_explained(reply.body)}")
    try:
        document: Any = json.loads(reply.body)
    except ValueError:
        return GuardAnswer(failure="unreadable: the answer is not JSON")
    if not isinstance(document, dict):
        return GuardAnswer(failure="unreadable: the answer is not an object")
    fields = cast("dict[str, Any]", document)
    if fields.get("verdict") not in ("pass", "redact", "block"):
        return GuardAnswer(failure="unreadable: the answer has no known verdict")
    output = fields.get("output")
    return GuardAnswer(
        fields["verdict"],
        _words(fields.get("reasons")),
        _words(fields.get("skipped")),
        output if isinstance(output, str) else None,
    )


def _explained(body: bytes) -> str:
    """The server's own words about a mistake in the call, such as a guard it does not have."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        return ""
    error = cast("dict[str, Any]", document).get("error") if isinstance(document, dict) else None
    return f", {error[:200]}" if isinstance(error, str) else ""


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(item if isinstance(item, str) else json.dumps(item) for item in cast("list[Any]", value))


def forget_after_fork() -> None:
    """A child has none of the parent's threads."""
    global _line, _lock
    _lock = threading.RLock()
    _line = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_after_fork)
