"""OTLP over gRPC: the same keys, limits and path as over HTTP.

Methods are registered as raw bytes and as client streams, though clients send one message: only so can a call be
refused before its message is read. On the wire there is no difference.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from watchkeeper.server.auth import PROJECT_HEADER, Authenticator, asked_project, key_in
from watchkeeper.server.otlp import admitted, expect, store, understood
from watchkeeper.server.ports import grpc_busy
from watchkeeper.server.routing import (
    ANONYMOUS,
    DEFAULT_PROJECT,
    EVERY_PROJECT,
    PERMISSIONS,
    HttpError,
    MissingPermission,
    Principal,
    allows,
)
from watchkeeper.server.services import Services
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.wire.errors import WireError
from watchkeeper.wire.otlp import export_response

log = logging.getLogger("watchkeeper.grpc")

_PREFIX = "opentelemetry.proto.collector"
# Every method there is: full name → (signal, permission). Nothing else is served.
METHODS: Mapping[str, tuple[str, str]] = {
    f"/{_PREFIX}.trace.v1.TraceService/Export": ("traces", "ingest"),
    f"/{_PREFIX}.logs.v1.LogsService/Export": ("logs", "ingest"),
    f"/{_PREFIX}.metrics.v1.MetricsService/Export": ("metrics", "ingest"),
}
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


def checked_methods(methods: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    """The methods, after refusing any without a known permission."""
    for name, (_, permission) in methods.items():
        if permission not in PERMISSIONS:
            raise MissingPermission(f"the gRPC method {name} declares the permission {permission!r}")
    return methods


def error_details(code: grpc.StatusCode, message: str, retry_seconds: int | None) -> bytes:
    """The `grpc-status-details-bin` trailer: a `Status`, with `RetryInfo` when trying again may help."""
    status = Status(code=int(code.value[0]), message=message[:1000])
    if retry_seconds is not None:
        packed = AnyMessage()
        packed.Pack(RetryInfo(retry_delay=Duration(seconds=retry_seconds)))
        status.details.append(packed)
    return status.SerializeToString()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, services: Services, auth: Authenticator) -> None:
        self.services, self.auth = services, auth
        self.methods = checked_methods(METHODS)
        self.open = 0

    def service(self, handler_call_details: Any) -> Any:
        known = self.methods.get(handler_call_details.method)
        if known is None:
            return None
        signal, permission = known

        async def export(messages: AsyncIterator[bytes], context: Any) -> bytes:
            self.open += 1
            try:
                # The library's own limit answers RESOURCE_EXHAUSTED, upon which clients drop what they wanted to send.
                if self.open > self.services.config.current.server.limits.connections:
                    self.services.counters.add("watchkeeper_refused_total", reason="overload")
                    raise HttpError(503, "too many calls at once", "try again", {"retry-after": "1"})
                return await self.export(signal, permission, messages, context)
            except HttpError as error:
                await self._abort(context, error)
            except WireError as error:
                await self._abort(context, HttpError(error.http, str(error)))
            except StoreUnavailable as error:
                await self._abort(context, HttpError(503, f"nothing was stored: {error}"))
            finally:
                self.open -= 1
            return b""

        return grpc.stream_unary_rpc_method_handler(export)

    async def _abort(self, context: Any, error: HttpError) -> None:
        code = _CODES.get(error.status, grpc.StatusCode.INTERNAL)
        retry = int(error.headers.get("retry-after", "1")) if error.status in (429, 503) else None
        message = f"{error.error}; {error.hint}" if error.hint else error.error
        details = error_details(code, message, retry)
        await context.abort(code, message[:1000], (("grpc-status-details-bin", details),))

    async def _principal(self, headers: Mapping[str, str], source: str) -> Principal:
        if self.services.no_auth:
            return Principal("local", "local", {EVERY_PROJECT: "admin"})
        key = key_in(headers, otlp=True)
        if key is None:
            return ANONYMOUS
        return await self.auth.by_key(key, source)

    async def _message(self, messages: AsyncIterator[bytes]) -> bytes:
        limits = self.services.config.current.server.limits
        try:
            async with asyncio.timeout(limits.body_seconds):
                async for message in messages:
                    if len(message) > limits.body:
                        raise HttpError(
                            413, f"the message is larger than {limits.body} bytes", "send smaller batches"
                        )
                    return message
        except TimeoutError:
            self.services.counters.add("watchkeeper_refused_total", reason="slow")
            raise HttpError(408, "the message did not arrive in time", "send it at once") from None
        # The library ends the stream of a message over its limit; the client has its answer already.
        raise HttpError(400, "there was no message", "send one export request")

    async def export(
        self, signal: str, permission: str, messages: AsyncIterator[bytes], context: Any
    ) -> bytes:
        """One export call: caller, project and load are decided before the message is read."""
        headers = {str(k): v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
        principal = await self._principal(headers, _peer(context.peer()))
        project = _project(headers.get(PROJECT_HEADER), principal)
        if principal is ANONYMOUS:
            raise HttpError(401, "this needs an API key", "send the metadata authorization: Bearer wk_…")
        if not allows(principal.role_in(project), permission):
            raise HttpError(403, f"this needs the permission {permission}")
        # Nothing is reserved for who has sent nothing: calls without a message would keep everybody else's out.
        expect(self.services, project)
        body = await self._message(messages)
        with admitted(self.services, project, len(body)):
            decoded = await understood(self.services, signal, body, "application/x-protobuf")
        del body
        rejected, said = await store(self.services, principal, project, decoded)
        return export_response(signal, "protobuf", rejected, said)[0]


def _peer(text: str) -> str:
    return text.split(":", 1)[-1].rsplit(":", 1)[0].strip("[]")[:64]


def _project(asked: str | None, principal: Principal) -> str:
    if asked is not None:
        return asked_project(asked, principal)
    if EVERY_PROJECT in principal.roles or DEFAULT_PROJECT in principal.roles:
        return DEFAULT_PROJECT
    return min(principal.roles, default=DEFAULT_PROJECT)


async def start_grpc(services: Services, auth: Authenticator, host: str, port: int) -> tuple[Any, int]:
    """A running gRPC server and its port (0 asks for any free one). Raises `PortBusy`."""
    limits = services.config.current.server.limits
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limits.body),
            ("grpc.max_send_message_length", 1 << 20),
            ("grpc.max_concurrent_streams", 128),
            ("grpc.max_metadata_size", 16 << 10),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.max_ping_strikes", 5),
        ],
    )
    server.add_generic_rpc_handlers((_Handlers(services, auth),))
    shown = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{shown}:{port}")
    except RuntimeError as error:
        raise grpc_busy(host, port) from error
    await server.start()
    return server, bound
