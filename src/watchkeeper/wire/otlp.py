"""OTLP over any transport: a plain body in, facts out; and the answers OTLP expects, in the encoding that asked."""

from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from watchkeeper.wire import metrics, otlpjson, protobuf
from watchkeeper.wire.decoded import Decoded, Rejected
from watchkeeper.wire.errors import Malformed, UnsupportedEncoding
from watchkeeper.wire.limits import DEFAULT, Gauge, Limits
from watchkeeper.wire.prescan import LOOK_BYTES

SIGNALS = ("traces", "logs", "metrics")
MEDIA = {"protobuf": "application/x-protobuf", "json": "application/json"}
_MESSAGE_LIMIT = 2000
_PROTOBUF = {"traces": protobuf.decode_traces, "logs": protobuf.decode_logs, "metrics": metrics.decode}


def encoding_of(content_type: str | None, body: bytes = b"") -> str:
    """`protobuf` or `json` from a content-type header, parameters such as charset ignored.

    Without a header the first byte decides; any other type raises `UnsupportedEncoding`.
    """
    media = (content_type or "").split(";", 1)[0].strip().lower()
    if media in (
        "application/x-protobuf",
        "application/protobuf",
        "application/grpc",
        "application/grpc+proto",
    ):
        return "protobuf"
    if media in ("application/json", "text/json") or media.endswith("+json"):
        return "json"
    if media in ("", "application/octet-stream"):
        return "json" if body.lstrip()[:1] == b"{" else "protobuf"
    raise UnsupportedEncoding(
        f"content-type {media!r} is not read here; send application/x-protobuf or application/json"
    )


def decode(
    signal: str,
    body: bytes,
    content_type: str | None = MEDIA["protobuf"],
    *,
    now_ns: int | None = None,
    limits: Limits = DEFAULT,
) -> Decoded:
    """One export request of `signal` (traces, logs or metrics), already inflated.

    Records that cannot be used, or stand in a damaged part, are in `rejected` with the reason, all others are taken; `now_ns` is the server's
    clock for the plausibility of times. Spans of one resource share one `resource` dict: treat it as read-only.
    Raises `Malformed`, `TooLarge` or `UnsupportedEncoding`.
    """
    if signal not in SIGNALS:
        raise ValueError(f"signal must be one of {SIGNALS}, got {signal!r}")
    encoding = encoding_of(content_type, body)
    gauge = Gauge(limits)
    out = Decoded(signal=signal, encoding=encoding, counts=gauge.counts)
    large = len(body) > LOOK_BYTES
    if encoding == "json":
        if large:
            otlpjson.weigh(body, gauge)
        otlpjson.decode(body, out, gauge, now_ns)
    else:
        whole = protobuf.weigh(body, gauge) if large else True
        _PROTOBUF[signal](body, out, gauge, now_ns, whole)
    if out.damaged and out.damaged == out.received:
        raise Malformed(out.rejected[0].reason)
    return out


def rejection_message(rejected: list[Rejected]) -> str:
    """What partial success says: every reason with its place, cut to a readable length."""
    text = "; ".join(dict.fromkeys(f"{r.where}: {r.reason}" for r in rejected[:20]))
    if len(rejected) > 20:
        text += f"; and {len(rejected) - 20} more"
    return text[:_MESSAGE_LIMIT]


def partial_success(body: bytes, content_type: str) -> tuple[int, str]:
    """How many records the receiver of an export says it rejected, and its words; (0, '') when it says nothing."""
    # The three answers have the same shape under the same field numbers.
    answer = ExportTraceServiceResponse()
    try:
        if "json" in content_type:
            told = orjson.loads(body or b"{}").get("partialSuccess") or {}
            count = next((int(v) for k, v in told.items() if k.startswith("rejected")), 0)
            return count, str(told.get("errorMessage", ""))[:_MESSAGE_LIMIT]
        answer.ParseFromString(body)
    except (DecodeError, ValueError, TypeError, AttributeError):
        return 0, ""
    return answer.partial_success.rejected_spans, answer.partial_success.error_message[:_MESSAGE_LIMIT]


def export_response(signal: str, encoding: str, rejected: int = 0, message: str = "") -> tuple[bytes, str]:
    """Body and content type of a 200 answer: empty, or partial success with the number of rejected records."""
    response: Any
    if signal == "traces":
        response = ExportTraceServiceResponse()
        field = "rejected_spans"
    elif signal == "logs":
        response = ExportLogsServiceResponse()
        field = "rejected_log_records"
    else:
        response = ExportMetricsServiceResponse()
        field = "rejected_data_points"
    if rejected or message:
        setattr(response.partial_success, field, rejected)
        response.partial_success.error_message = message
    if encoding == "json":
        return json_format.MessageToJson(response, indent=None).encode(), MEDIA["json"]
    return response.SerializeToString(), MEDIA["protobuf"]


def status_response(code: int, message: str, encoding: str) -> tuple[bytes, str]:
    """Body and content type of an error answer: a google.rpc.Status with gRPC `code` and a message for people."""
    message = message[:_MESSAGE_LIMIT]
    if encoding == "json":
        return orjson.dumps({"code": code, "message": message}), MEDIA["json"]
    return Status(code=code, message=message).SerializeToString(), MEDIA["protobuf"]


def status_message(body: bytes) -> str | None:
    """The words of a `Status` in protobuf; None for anything else."""
    try:
        return Status.FromString(body).message or None
    except DecodeError:
        return None


__all__ = [
    "MEDIA", "SIGNALS", "Decoded", "Limits", "Malformed", "Rejected", "UnsupportedEncoding", "decode", "encoding_of",
    "export_response", "partial_success", "rejection_message", "status_message", "status_response",
]  # fmt: skip
