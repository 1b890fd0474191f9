"""What decoding yields: the same for protobuf and JSON."""

from collections import Counter

import msgspec

from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.model.times import MINUTE

LOST = "watchkeeper.dropped_spans"
LOST_METRIC = "watchkeeper.sdk.dropped_spans"


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
    `damaged` counts the rejected records that stood in a part of the envelope which could not be read.
    """

    signal: str
    encoding: str
    spans: list[RawSpan] = []
    logs: list[LogRecord] = []
    metrics: list[MetricPoint] = []
    rejected: list[Rejected] = []
    received: int = 0
    damaged: int = 0
    ignored: int = 0
    counts: Counter[str] = msgspec.field(default_factory=Counter)

    def refuse_part(self, reason: str, records: int) -> None:
        """Reject a part of the envelope with so many records, as one where they cannot be counted."""
        records = max(records, 1)
        self.received += records
        self.damaged += records
        self.rejected += [Rejected("the envelope", reason)] * records

    def note_lost(self, resource: dict[str, object], now_ns: int | None) -> None:
        """Keep what a client says it lost before sending (a total that only grows, per instance) as a measurement.

        Every request repeats the total; equal ones of a minute become one row.
        """
        total = resource.get(LOST)
        if isinstance(total, int) and total > 0:
            minute = (now_ns or 0) // MINUTE * MINUTE
            self.metrics.append(MetricPoint(LOST_METRIC, "{span}", minute, float(total), 1, {}, resource))
