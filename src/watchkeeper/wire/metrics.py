"""OTLP metrics: accepted whole, of which only token, duration and cost instruments are kept."""

import re
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from watchkeeper.wire.decoded import Decoded, MetricPoint
from watchkeeper.wire.errors import Malformed, TooLarge
from watchkeeper.wire.limits import Gauge, sane_times
from watchkeeper.wire.protobuf import attributes

_WANTED = re.compile(r"token|cost|duration|time_to_first|time_per_output|latency", re.IGNORECASE)


def decode(body: bytes, out: Decoded, gauge: Gauge, now_ns: int | None) -> None:
    """Fill `out.metrics`; raises `Malformed`. Exponential histograms and summaries give their sum and count too."""
    request = ExportMetricsServiceRequest()
    try:
        if out.encoding == "json":
            if body.count(b"{") > gauge.limits.records:
                # This parser takes ten microseconds for each object, whatever is in it.
                raise TooLarge("the metrics hold too many parts; send smaller batches")
            json_format.Parse(body, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not an OTLP metrics request: {error!s:.300}") from error
    gauge.admit(len(request.resource_metrics))
    for group in request.resource_metrics:
        resource = attributes(group.resource.attributes, gauge)
        gauge.admit(len(group.scope_metrics))
        for scoped in group.scope_metrics:
            gauge.admit(len(scoped.metrics))
            for metric in scoped.metrics:
                _points(metric, resource, out, gauge, now_ns)


def _points(metric: Any, resource: dict[str, Any], out: Decoded, gauge: Gauge, now_ns: int | None) -> None:
    which = metric.WhichOneof("data")
    points: Any = getattr(metric, which).data_points if which else ()
    out.received += len(points)
    if not _WANTED.search(metric.name):
        out.ignored += len(points)
        return
    gauge.admit(len(points))
    for point in points:
        if which in ("sum", "gauge"):
            value, count = float(getattr(point, point.WhichOneof("value") or "as_int")), 1
        else:
            value, count = float(point.sum), int(point.count)
        time_ns, _, _ = sane_times(point.time_unix_nano, 0, now_ns, gauge.limits)
        out.metrics.append(
            MetricPoint(
                metric.name, metric.unit, time_ns, value, count, attributes(point.attributes, gauge), resource
            )
        )
