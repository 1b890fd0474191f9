"""OTLP metrics, of which only token, duration and cost instruments are kept."""

import math
import re
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from watchkeeper.wire.decoded import Decoded, MetricPoint, Rejected
from watchkeeper.wire.limits import SMALL, Gauge, no_nul, sane_times
from watchkeeper.wire.protobuf import apart, attributes, fields, parsed, unreadable

WANTED = re.compile(r"token|cost|duration|time_to_first|time_per_output|latency", re.IGNORECASE)
NOT_FINITE = "its value is not a finite number"
NO_VALUE = 1
"""The flag of a point that only says that there is no value."""
# The data of a metric by field number; the data points are field 1 of each.
_POINTS: dict[int, Any] = {
    5: NumberDataPoint, 7: NumberDataPoint, 9: HistogramDataPoint, 10: ExponentialHistogramDataPoint, 11: SummaryDataPoint,
}  # fmt: skip


def decode(body: bytes, out: Decoded, gauge: Gauge, now_ns: int | None, whole: bool = True) -> None:
    """Fill `out.metrics` from protobuf, taken apart unless `whole`; raises `Malformed`. Histograms of both kinds and summaries give
    their sum and count."""
    request = parsed(ExportMetricsServiceRequest, body, whole)
    if request is None:
        for where, record, resource, _ in apart(body, out, gauge):
            try:
                _metric(Metric.FromString(record), where, resource, out, gauge, now_ns)
            except DecodeError:
                _point_by_point(record, where, resource, out, gauge, now_ns)
        return
    gauge.admit(len(request.resource_metrics))
    for i, group in enumerate(request.resource_metrics):
        resource = attributes(group.resource.attributes, gauge)
        gauge.admit(len(group.scope_metrics))
        for j, scoped in enumerate(group.scope_metrics):
            gauge.admit(len(scoped.metrics))
            for k, metric in enumerate(scoped.metrics):
                where = f"resource_metrics[{i}].scope_metrics[{j}].metrics[{k}]"
                _metric(metric, where, resource, out, gauge, now_ns)


def _metric(
    metric: Any, where: str, resource: dict[str, Any], out: Decoded, gauge: Gauge, now_ns: int | None
) -> None:
    which = metric.WhichOneof("data")
    points: Any = getattr(metric, which).data_points if which else ()
    out.received += len(points)
    if not WANTED.search(metric.name):
        out.ignored += len(points)
        return
    gauge.admit(len(points))
    for n, point in enumerate(points):
        _keep(metric, point, f"{where} point {n}", resource, out, gauge, now_ns)


def _keep(
    metric: Any,
    point: Any,
    where: str,
    resource: dict[str, Any],
    out: Decoded,
    gauge: Gauge,
    now_ns: int | None,
) -> None:
    """One point of a wanted instrument that was received."""
    if point.flags & NO_VALUE:
        out.ignored += 1
        return
    if isinstance(point, NumberDataPoint):
        value, count = float(getattr(point, point.WhichOneof("value") or "as_int")), 1
    else:
        value, count = float(point.sum), int(point.count)
    if not math.isfinite(value):
        out.rejected.append(Rejected(f"{where} {metric.name!r:.80}", NOT_FINITE))
        return
    time_ns, _, _ = sane_times(point.time_unix_nano, 0, now_ns, gauge.limits)
    told = attributes(point.attributes, gauge)
    name, unit = no_nul(metric.name)[:SMALL], no_nul(metric.unit)[:SMALL]
    out.metrics.append(MetricPoint(name, unit, time_ns, value, count, told, resource))


def _point_by_point(
    record: bytes, where: str, resource: dict[str, Any], out: Decoded, gauge: Gauge, now_ns: int | None
) -> None:
    """A metric that upb refuses: what is wrong may be in one of its points only."""
    parts = fields(record, (1, 3, *_POINTS), where, gauge)
    about, why = Metric(), ""
    try:
        name, unit = (b"".join(d for n, d in parts if n == field).decode() for field in (1, 3))
        about = Metric(name=name, unit=unit)
    except UnicodeDecodeError as error:
        why = f"its name or unit is not UTF-8: {error}"
    points = [
        (number, p)
        for number, data in parts
        if number in _POINTS
        for _, p in fields(data, (1,), where, gauge)
    ]
    out.received += len(points)
    for n, (number, point) in enumerate(points):
        place = f"{where}, point {n}"
        try:
            made = None if why else _POINTS[number].FromString(point)
        except DecodeError as error:
            out.rejected.append(Rejected(place, unreadable(error)))
            continue
        if made is None:
            out.rejected.append(Rejected(place, why))
        elif WANTED.search(about.name):
            _keep(about, made, place, resource, out, gauge, now_ns)
        else:
            out.ignored += 1
