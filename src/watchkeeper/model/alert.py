"""Monitors, alerts, deploys and notifications as data."""

from typing import Any, Literal

import msgspec

Severity = Literal["page", "warn", "info"]
AlertState = Literal["ok", "pending", "firing", "resolved", "no_data", "unstable"]


class Deploy(msgspec.Struct, frozen=True):
    """A change that may explain others: a release, a prompt version, a configuration edit, a rollback."""

    project: str
    name: str
    version: str
    time_ns: int
    note: str | None = None


class Moved(msgspec.Struct, frozen=True):
    """How one metric of the alert's cohort stands against its baseline. Rates are 0..1; intervals are 95 %."""

    metric: str
    baseline: float | None
    baseline_low: float | None
    baseline_high: float | None
    baseline_n: int
    current: float | None
    current_low: float | None
    current_high: float | None
    current_n: int
    unit: str = ""
    significant: bool = False


class Alert(msgspec.Struct):
    """One alert: its key is monitor + cohort + onset, so one incident is one alert. Times in ns, None = not yet."""

    id: str
    project: str
    monitor: str
    cohort: dict[str, str]
    state: AlertState
    severity: Severity
    owner: str
    runbook: str
    condition: str
    since_ns: int
    onset_ns: int | None = None
    fired_ns: int | None = None
    resolved_ns: int | None = None
    updated_ns: int = 0
    acknowledged_by: str | None = None
    acknowledged_ns: int | None = None
    summary: str = ""
    evidence: dict[str, Any] = {}
    moved: list[Moved] = []
    worst: list[dict[str, Any]] = []
    deploys: list[Deploy] = []
    routes: list[str] = []


class Notification(msgspec.Struct):
    """One message to one channel. `dedup_key` is the same for every message about one alert."""

    id: str
    project: str
    alert_id: str
    dedup_key: str
    route: str
    event: str
    subject: str
    text: str
    payload: dict[str, Any]
    created_ns: int
    attempts: int = 0
    next_attempt_ns: int = 0
    delivered_ns: int | None = None
    failed_reason: str | None = None
