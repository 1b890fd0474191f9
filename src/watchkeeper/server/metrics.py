"""Our own numbers in the Prometheus text format."""

import math
import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Sample(NamedTuple):
    """One number: metric name, labels, value; `help` and `kind` (`counter` or `gauge`) describe the metric."""

    name: str
    labels: Mapping[str, str]
    value: float
    help: str = ""
    kind: str = "gauge"


HELP = {
    "watchkeeper_ingest_received_total": "Records received, by project and signal.",
    "watchkeeper_ingest_settled_total": "What became of received records; with in_flight it adds up to received.",
    "watchkeeper_ingest_in_flight": "Records received and not settled yet.",
    "watchkeeper_http_requests_total": "HTTP requests answered, by route and status.",
    "watchkeeper_http_seconds_total": "Time spent answering, by route.",
    "watchkeeper_refused_total": "Requests refused before their body was read, by reason.",
    "watchkeeper_errors_total": "Faults of our own that a caller saw as 500, by route.",
    "watchkeeper_jobs": "Queued work (judgements), by status.",
    "watchkeeper_jobs_oldest_due_seconds": "Age of the oldest work that is due.",
    "watchkeeper_loop_runs_total": "Runs of each background loop that ended.",
    "watchkeeper_loop_failures_total": "Runs of a background loop that failed; it goes on.",
    "watchkeeper_loop_seconds_total": "Time each background loop has run.",
    "watchkeeper_loop_last_seconds": "How long the last run of each background loop took.",
    "watchkeeper_notifications": "Messages to people, by status.",
    "watchkeeper_notifications_oldest_due_seconds": "Age of the oldest message not delivered yet.",
    "watchkeeper_store_rows": "Rows stored, by table.",
    "watchkeeper_store_bytes": "Bytes on disk, by table.",
    "watchkeeper_store_free_bytes": "Bytes that may still be written on the store's disk.",
    "watchkeeper_sdk_dropped_spans": "Spans that applications lost before they could send them, as they tell it, by project.",
    "watchkeeper_forward_sent_total": "Records another backend has taken, by target and signal.",
    "watchkeeper_forward_dead_total": "Records another backend will never take, by target and signal.",
    "watchkeeper_forward_expired_total": "Spans whose content had expired before another backend took them, by target.",
    "watchkeeper_forward_retried_total": "Attempts to forward that have to be made again.",
    "watchkeeper_forward_backlog": "Records not forwarded yet, by target and signal.",
    "watchkeeper_forward_lag_seconds": "Age of the oldest record not forwarded yet.",
    "watchkeeper_forward_waiting": "1 while a target takes nothing.",
    "watchkeeper_coverage": "Traces of the last day by scorer and what became of them: eligible, selected, scored, failed, late, missing.",
    "watchkeeper_scorer_provisional": "1 for a model-based scorer that has not been calibrated in this version, 0 for one that has.",
    "watchkeeper_scorer_suspended": "1 while a user's scorer rests because it was waited for in vain, else 0.",
    "watchkeeper_auth_failures_total": "Requests with missing or invalid credentials, by reason.",
}


class Counters:
    """Counters that only grow, safe to add to from any thread."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter. Labels must come from a closed set: never ids, names or text from a request."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + amount

    def get(self, name: str, **labels: str) -> float:
        """A counter's value, 0 when it was never added to."""
        with self._lock:
            return self._values.get((name, tuple(sorted(labels.items()))), 0.0)

    def samples(self) -> list[Sample]:
        """All counters now."""
        with self._lock:
            items = list(self._values.items())
        return [
            Sample(name, dict(labels), value, HELP.get(name, ""), "counter")
            for (name, labels), value in items
        ]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def render(samples: Iterable[Sample]) -> str:
    """The Prometheus text exposition of these samples, grouped by metric."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.name, []).append(sample)
    lines: list[str] = []
    for name in sorted(groups):
        rows = groups[name]
        about = rows[0].help or HELP.get(name)
        if about:
            lines.append(f"# HELP {name} {about}")
        lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else rows[0].kind}")
        for row in rows:
            labels = ",".join(f'{k}="{_escaped(str(v))}"' for k, v in sorted(row.labels.items()))
            lines.append(
                f"{name}{{{labels}}} {_number(row.value)}" if labels else f"{name} {_number(row.value)}"
            )
    return "\n".join(lines) + "\n"
