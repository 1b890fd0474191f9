"""Sketches: what is known of the texts of one cohort in one tick, as sums that can be added up."""

import msgspec

from watchkeeper.model.series import SeriesKey

FIELDS = ("input", "output")


class Sketch(msgspec.Struct, frozen=True, gc=False):
    """`n` texts of one field in [start_ns, end_ns) and the sum of their rows (see `detection.cloud.project`).

    `key.metric` is `drift(input)` or `drift(output)`. `version` names the embedding and the map they were placed on;
    sketches of different versions cannot be added. n = 0 says that there were no texts, not that nothing changed.
    """

    key: SeriesKey
    start_ns: int
    end_ns: int
    n: int = 0
    sums: tuple[float, ...] = ()
    version: str = ""


def metric_of_field(field: str) -> str:
    """The name of the series of a field's texts."""
    return f"drift({field})"


def field_of_metric(metric: str) -> str | None:
    """The field whose texts this series is about, None for any other metric.

    >>> field_of_metric("drift(input)"), field_of_metric("latency_ms")
    ('input', None)
    """
    return next((f for f in FIELDS if metric == metric_of_field(f)), None)
