"""What decoding yields: the same for protobuf and JSON."""

from collections import Counter

import msgspec

from watchkeeper.model.span import LogRecord, RawSpan


class Rejected(msgspec.Struct, frozen=True):
    """One record that could not be taken: where it was in the body, why, and what to do about it."""

    where: str
    reason: str


class MetricPoint(msgspec.Struct, gc=False):
    """One data point of a token, duration or cost instrument. A histogram gives `value` = sum and `count`."""

    name: str
    unit: str
    time_ns: int
    value: float
    count: int
    attributes: dict[str, object]
    resource: dict[str, object]


class Decoded(msgspec.Struct):
    """One export request. `received` counts records in the body: `received == len(spans or logs) + len(rejected)`.

    `counts` says what was cut or replaced: truncated_values, dropped_attributes, dropped_events, dropped_links,
    dropped_vectors, replaced_text, time_suspect. For metrics `received` counts points and `ignored` those of other instruments.
    """

    signal: str
    encoding: str
    spans: list[RawSpan] = []
    logs: list[LogRecord] = []
    metrics: list[MetricPoint] = []
    rejected: list[Rejected] = []
    received: int = 0
    ignored: int = 0
    counts: Counter[str] = msgspec.field(default_factory=Counter)
