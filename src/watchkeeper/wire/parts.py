"""An export request too large for one body, as several: the same records under the same resources and scopes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper.wire import otlpjson
from watchkeeper.wire.errors import WireError
from watchkeeper.wire.limits import DEFAULT, Gauge
from watchkeeper.wire.otlp import encoding_of

_REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest, "metrics": ExportMetricsServiceRequest,
}  # fmt: skip
# A record with the group and the scope it stands in.
_Placed = tuple[Any, Any, Any]
_Made = Callable[[Sequence[_Placed]], bytes]


def parts(signal: str, body: bytes, content_type: str, most: int) -> Iterator[bytes]:
    """Requests of at most `most` bytes that together say what `body` says, in its encoding; one with a record that is
    larger by itself is larger. A body that cannot be read stays whole: its receiver says what is wrong."""
    if len(body) <= most:
        yield body
        return
    try:
        placed, made = (_of_json if encoding_of(content_type, body) == "json" else _of_protobuf)(signal, body)
        whole = made(placed)
    except (WireError, DecodeError, AttributeError, TypeError):
        yield body
        return
    yield from _halved(placed, made, most, whole)


def _halved(placed: Sequence[_Placed], made: _Made, most: int, body: bytes) -> Iterator[bytes]:
    if len(body) <= most or len(placed) < 2:
        yield body
        return
    middle = len(placed) // 2
    for half in (placed[:middle], placed[middle:]):
        yield from _halved(half, made, most, made(half))


def _of_json(signal: str, body: bytes) -> tuple[list[_Placed], _Made]:
    root = otlpjson.parse(body, Gauge(DEFAULT))
    outer, middle, inner = otlpjson.NAMES[signal]

    def inside(holder: dict[str, Any], names: tuple[str, str]) -> list[Any]:
        return cast(list[Any], otlpjson.get(holder, *names) or [])

    def shell(holder: dict[str, Any], names: tuple[str, str]) -> dict[str, Any]:
        return {k: v for k, v in holder.items() if k not in names}

    def made(placed: Sequence[_Placed]) -> bytes:
        groups: list[dict[str, Any]] = []
        last: tuple[Any, Any] = (None, None)
        for group, scope, record in placed:
            if group is not last[0]:
                groups.append({**shell(group, middle), middle[0]: []})
            if scope is not last[1]:
                groups[-1][middle[0]].append({**shell(scope, inner), inner[0]: []})
            groups[-1][middle[0]][-1][inner[0]].append(record)
            last = group, scope
        return orjson.dumps({outer[0]: groups})

    placed = [(g, s, r) for g in inside(root, outer) for s in inside(g, middle) for r in inside(s, inner)]
    return placed, made


def _of_protobuf(signal: str, body: bytes) -> tuple[list[_Placed], _Made]:
    root = _REQUESTS[signal].FromString(body)
    outer, middle, inner = (names[1] for names in otlpjson.NAMES[signal])

    def made(placed: Sequence[_Placed]) -> bytes:
        request = _REQUESTS[signal]()
        groups = getattr(request, outer)
        last: tuple[Any, Any] = (None, None)
        for group, scope, record in placed:
            if group is not last[0]:
                groups.add(schema_url=group.schema_url).resource.CopyFrom(group.resource)
            if scope is not last[1]:
                getattr(groups[-1], middle).add(schema_url=scope.schema_url).scope.CopyFrom(scope.scope)
            getattr(getattr(groups[-1], middle)[-1], inner).append(record)
            last = group, scope
        return request.SerializeToString()

    placed = [(g, s, r) for g in getattr(root, outer) for s in getattr(g, middle) for r in getattr(s, inner)]
    return placed, made
