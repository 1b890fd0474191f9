"""OTLP over HTTP: refuse before reading, inflate as it arrives, decode, store durably, answer in the same encoding."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from functools import partial

from starlette.requests import ClientDisconnect

from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.server.auth import Authenticator, named_project, project_of
from watchkeeper.server.otlp_answers import otlp_error, retry_after
from watchkeeper.server.routing import (
    EVERY_PROJECT,
    Call,
    HttpError,
    Principal,
    Request,
    Response,
    allows,
    route,
)
from watchkeeper.server.security import HEADERS
from watchkeeper.server.services import Busy, Services
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records.access import AccessRefused
from watchkeeper.wire.decoded import Decoded, MetricPoint, Rejected
from watchkeeper.wire.errors import TooLarge, WireError
from watchkeeper.wire.inflate import Inflater
from watchkeeper.wire.otlp import decode, encoding_of, export_response, rejection_message

IDLE_SECONDS = 10.0
# Above this size decoding would hold up everybody else on the loop, so it happens in a thread.
INLINE_BYTES = 64 * 1024
# The interpreter runs one thread at a time: more of them at once would only make the loop wait longer for its turn, and each
# holds a whole request in two forms. Two, so that one large body does not hold up all others.
_DECODERS = ThreadPoolExecutor(2, "decode")
# What is reserved for a body that does not say its length, and how much larger a compressed one becomes.
UNKNOWN_BYTES = 512 * 1024
INFLATION = 6
# After so long a body that is not here yet holds what has come of it, and this at least.
PATIENCE_SECONDS = 2.0
LEAST_BYTES = 4 * 1024
_EXPORTS = (b"/v1/traces", b"/v1/logs", b"/v1/metrics")
PROJECT_ATTRIBUTE = "watchkeeper.project"
Batch = tuple[list[RawSpan], list[LogRecord], list[MetricPoint]]


def _draining(services: Services) -> None:
    if services.draining:
        services.counters.add("watchkeeper_refused_total", reason="draining")
        raise HttpError(503, "the server is stopping", "try again", {"retry-after": "2"})


def expect(services: Services, project: str) -> None:
    """Raises the `HttpError` with which a request of unknown size would be refused now. Nothing is reserved."""
    _draining(services)
    busy = services.ingest.refuses(UNKNOWN_BYTES, project)
    if busy is not None:
        raise _refused(services, busy, project)


def _expected(size: int | None, compressed: bool) -> int:
    expected = size if size is not None else UNKNOWN_BYTES
    return expected * INFLATION if compressed else expected


class Room:
    """What is reserved for one admitted request, until it is here or cannot be read. Who lets the server wait holds no more than came."""

    def __init__(self, services: Services, project: str, size: int) -> None:
        self._services, self._project, self._size, self._come = services, project, size, 0
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._late)

    def _late(self) -> None:
        least = max(self._come, LEAST_BYTES)
        if least < self._size:
            self._services.ingest.smaller(self._size, least, self._project)
            self._size = least

    def came(self, size: int) -> None:
        """So many bytes are here. Raises `HttpError` 503 where there is no room for them."""
        self._come = size
        if size <= self._size:
            return
        # In steps, so that it is not asked for every piece.
        size = max(size, min(2 * self._size, self._services.config.current.server.limits.body))
        busy = self._services.ingest.larger(self._size, size, self._project)
        if busy is not None:
            raise _refused(self._services, busy, self._project)
        self._size = size

    def leave(self) -> None:
        """Give it back."""
        self._timer.cancel()
        self._services.ingest.withdraw(self._project, self._size)


def _refused(services: Services, busy: Busy, project: str) -> HttpError:
    if busy.quota:
        services.counters.add("watchkeeper_refused_total", reason="quota", project=project)
        wait = {"retry-after": retry_after(busy.retry_after)}
        return HttpError(429, busy.reason, "send less, or have limits.per_project raised", wait)
    services.counters.add("watchkeeper_refused_total", reason="overload")
    return HttpError(503, str(busy.reason), "try again", {"retry-after": retry_after(busy.retry_after)})


def overloaded(
    services: Services, auth: Authenticator, url: bytes, headers: list[tuple[bytes, bytes]]
) -> Response | None:
    """The refusal of an export request for which there is no room, from its head alone and without a task of its own: under
    overload this is what most requests get. None for everything else, and for callers not seen lately, whose answer needs
    the database."""
    path = next((e for e in _EXPORTS if url.endswith((e, e + b"/"))), None)
    if path is None:
        return None
    request = Request({"type": "http", "path": path.decode(), "query_string": b"", "headers": headers})
    given = request.headers
    size = _declared(given.items())
    principal = auth.seen(given)
    if principal is None or (size or 0) > services.config.current.server.limits.body:
        return None
    try:
        project = project_of(request, principal)
    except HttpError:
        return None
    if not allows(principal.role_in(project), "ingest"):
        return None
    compressed = given.get("content-encoding", "identity") != "identity"
    busy = services.ingest.refuses(_expected(size, compressed), project)
    if busy is None:
        return None
    response = otlp_error(request, _refused(services, busy, project))
    response.raw_headers.extend([*HEADERS, (b"cache-control", b"no-store")])
    services.counters.add(
        "watchkeeper_http_requests_total", route=f"POST {path.decode()}", status=str(response.status_code)
    )
    return response


async def _body(call: Call, inflater: Inflater, room: Room) -> bytes:
    """The inflated body. Raises `HttpError` 408 when it drips in too slowly and 503 when it
    becomes larger than there is room for, and `WireError`."""
    deadline = time.monotonic() + call.services.config.current.server.limits.body_seconds
    try:
        async with aclosing(_pieces(call, deadline)) as pieces:
            async for piece in pieces:
                inflater.feed(piece)
                room.came(inflater.size)
    except TimeoutError:
        call.services.counters.add("watchkeeper_refused_total", reason="slow")
        raise HttpError(
            408, "the body did not arrive in time", "send it at once", {"connection": "close"}
        ) from None
    return inflater.finish()


async def _turn(services: Services) -> None:
    """Wait until no other compressed request begins in this turn of the loop. A hundred bombs that came together would hold up everybody
    for seconds; each alone is found out in some milliseconds, before the next reserves anything."""
    async with services.inflating:
        await asyncio.sleep(0)


async def _pieces(call: Call, deadline: float) -> AsyncGenerator[bytes]:
    # Not `Request.stream()`: the exception that ends it, kept by the task that waited for it, holds the request and its body in a
    # cycle until the collector comes by.
    more = True
    while more:
        async with asyncio.timeout(max(0.0, min(IDLE_SECONDS, deadline - time.monotonic()))):
            message = await call.request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _project_of(resource: dict[str, object], principal: Principal, project: str) -> str | AccessRefused:
    """The project a resource asks for where the caller may write to it, else the request's; `AccessRefused` where the caller may choose and
    there can be no such project."""
    wanted = resource.get(PROJECT_ATTRIBUTE)
    if wanted in (None, "", project):
        return project
    try:
        name = named_project(str(wanted))
    except AccessRefused as error:
        return error if EVERY_PROJECT in principal.roles else project
    return name if allows(principal.role_in(name), "ingest") else project


def by_project(
    decoded: Decoded, principal: Principal, project: str
) -> tuple[dict[str, Batch], list[Rejected]]:
    """The records of a request by project, and those of resources that ask for one that cannot be. A key of one project writes to
    that project whatever resources say."""
    batches: dict[str, Batch] = {}
    refused: list[Rejected] = []
    known: dict[int, str | AccessRefused] = {}

    def of(kind: str, record: RawSpan | LogRecord | MetricPoint) -> Batch | None:
        # Spans of one resource share the dict, so a batch asks once per resource and not once per span.
        resource = record.resource
        name = known.get(id(resource))
        if name is None:
            name = known[id(resource)] = _project_of(resource, principal, project)
        if isinstance(name, str):
            return batches.setdefault(name, ([], [], []))
        if kind == decoded.signal:
            wanted = f"{PROJECT_ATTRIBUTE} = {resource[PROJECT_ATTRIBUTE]!r:.80}"
            refused.append(Rejected(f"a resource with {wanted}", name.hint))
        return None

    for span in decoded.spans:
        if (batch := of("traces", span)) is not None:
            batch[0].append(span)
    for log in decoded.logs:
        if (batch := of("logs", log)) is not None:
            batch[1].append(log)
    for point in decoded.metrics:
        if (batch := of("metrics", point)) is not None:
            batch[2].append(point)
    return batches or {project: ([], [], [])}, refused


async def store(services: Services, principal: Principal, project: str, decoded: Decoded) -> tuple[int, str]:
    """Store what was decoded, durably; how many records were not taken and why. Raises `StoreUnavailable`."""
    batches, unplaced = by_project(decoded, principal, project)
    # Counted before storing: what the store refuses below comes again, and so do these.
    _count(services, project, decoded, len(unplaced))
    for name, (spans, logs, metrics) in batches.items():
        await services.ingest.accept(name, spans, logs, metrics)
    rejected = [*decoded.rejected, *unplaced]
    return len(rejected), rejection_message(rejected) if rejected else ""


def _count(services: Services, project: str, decoded: Decoded, unplaced: int) -> None:
    ledger, signal = services.ingest.ledger, decoded.signal
    ledger.refuse(project, signal, len(decoded.rejected), "malformed")
    ledger.refuse(project, signal, unplaced, "project")
    ledger.receive(project, signal, decoded.ignored)
    ledger.settle(project, signal, "dropped", decoded.ignored, "other_instrument")
    for what, number in decoded.counts.items():
        services.counters.add("watchkeeper_otlp_changed_total", number, what=what)


@contextmanager
def admitted(services: Services, project: str, size: int | None, compressed: bool = False) -> Generator[Room]:
    """The room of a request of this many bytes (None: not said), while it is read. Raises the `HttpError` with which it is refused
    instead, decided without reading any of it."""
    limit = services.config.current.server.limits.body
    if size is not None and size > limit:
        services.counters.add("watchkeeper_refused_total", reason="size")
        raise HttpError(413, f"the body is larger than {limit} bytes", "send smaller batches")
    _draining(services)
    expected = _expected(size, compressed)
    busy = services.ingest.admit(expected, project)
    if busy is not None:
        raise _refused(services, busy, project)
    room = Room(services, project, expected)
    try:
        yield room
    finally:
        room.leave()


async def understood(services: Services, signal: str, body: bytes, content_type: str | None) -> Decoded:
    """The decoded request; a large one is decoded in a thread. Raises `WireError`."""
    now = services.clock()
    if len(body) <= INLINE_BYTES:
        return decode(signal, body, content_type, now_ns=now)
    work = partial(decode, signal, body, content_type, now_ns=now)
    return await asyncio.get_running_loop().run_in_executor(_DECODERS, work)


def _declared(headers: Iterable[tuple[str, str]]) -> int | None:
    for name, value in headers:
        if name.lower() == "content-length" and value.isdigit() and len(value) < 20:
            return int(value)
    return None


async def export(call: Call, signal: str) -> Response:
    """Take one export request."""
    headers = call.request.headers
    limit = call.services.config.current.server.limits.body
    content_type = headers.get("content-type")
    try:
        encoding = encoding_of(content_type)
        inflater = Inflater(headers.get("content-encoding"), limit)
        size, compressed = _declared(headers.items()), inflater.encoding != "identity"
        if compressed:
            await _turn(call.services)
        with admitted(call.services, call.project, size, compressed) as room:
            decoded = await understood(call.services, signal, await _body(call, inflater, room), content_type)
    except WireError as error:
        reason = "size" if isinstance(error, TooLarge) else "malformed"
        call.services.counters.add("watchkeeper_refused_total", reason=reason)
        raise HttpError(error.http, str(error)) from None
    try:
        rejected, message = await store(call.services, call.principal, call.project, decoded)
    except StoreUnavailable as error:
        call.services.counters.add("watchkeeper_refused_total", reason="store")
        raise HttpError(503, f"nothing was stored: {error}", "send it again", {"retry-after": "5"}) from None
    body, answer_type = export_response(signal, decoded.encoding or encoding, rejected, message)
    return Response(body, headers={"content-type": answer_type})


@route("POST", "/v1/traces", permission="ingest", kind="otlp")
@route("POST", "/{prefix:path}/v1/traces", permission="ingest", kind="otlp")
async def traces(call: Call) -> Response:
    """OTLP spans."""
    return await export(call, "traces")


@route("POST", "/v1/logs", permission="ingest", kind="otlp")
@route("POST", "/{prefix:path}/v1/logs", permission="ingest", kind="otlp")
async def logs(call: Call) -> Response:
    """OTLP log records, in which some clients send prompts and answers."""
    return await export(call, "logs")


@route("POST", "/v1/metrics", permission="ingest", kind="otlp")
@route("POST", "/{prefix:path}/v1/metrics", permission="ingest", kind="otlp")
async def metrics(call: Call) -> Response:
    """OTLP metrics: token, duration and cost instruments are kept, others acknowledged and counted."""
    return await export(call, "metrics")
