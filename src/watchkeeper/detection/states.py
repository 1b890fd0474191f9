"""The phases of one series (statistics.md §3, state machine), as a function of evidence and time.

OK → PENDING (M ≥ √A: shown, not sent) → FIRING (M ≥ A) → RESOLVED when another test says that it is over. A tick
without data moves nothing to OK.
"""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from watchkeeper.detection.protocol import Evidence

Phase = Literal["ok", "pending", "firing", "resolved", "no_data", "unstable"]


class Status(msgspec.Struct, frozen=True):
    """`phase` since `since`; `open` while an incident is firing, also through ticks without data.

    `pending_since` is when the current evidence became pending, `clear_since` when the resolution test first passed.
    """

    phase: Phase
    since: datetime
    open: bool = False
    pending_since: datetime | None = None
    clear_since: datetime | None = None


def advance(
    status: Status,
    now: datetime,
    *,
    has_data: bool,
    m_at_least_root: bool,
    m_at_least_a: bool,
    over: bool,
    unstable: bool = False,
    hold: timedelta = timedelta(0),
    keep_firing: timedelta = timedelta(0),
) -> Status:
    """The status after a tick.

    `over`: the resolution test has rejected "still shifted by half". `hold` and `keep_firing` are Prometheus's `for`
    and `keep_firing_for`: evidence must last that long before firing, and be gone that long before resolving.
    """
    if not has_data:
        return _to(status, "no_data", now)
    if status.open:
        if not over:
            return msgspec.structs.replace(_to(status, "firing", now), clear_since=None)
        since = status.clear_since or now
        if now - since >= keep_firing:
            return Status("resolved", now)
        return msgspec.structs.replace(_to(status, "firing", now), clear_since=since)
    if unstable and (m_at_least_root or m_at_least_a):
        return _to(status, "unstable", now)
    if not m_at_least_root:
        return msgspec.structs.replace(_to(status, "ok", now), pending_since=None)
    pending = status.pending_since or now
    if m_at_least_a and now - pending >= hold:
        return Status("firing", now, open=True, pending_since=pending)
    return msgspec.structs.replace(_to(status, "pending", now), pending_since=pending)


def follow(
    status: Status,
    evidence: Evidence,
    now: datetime,
    *,
    hold: timedelta = timedelta(0),
    keep_firing: timedelta = timedelta(0),
) -> Status:
    """The status of a series after a detector's evidence: what a monitor calls once per tick.

    The detector has already applied its threshold and its resolution test; this adds `hold` and `keep_firing`. A tick
    that was too small to judge leaves everything as it was.
    """
    if evidence.verdict == "insufficient":
        return status
    return advance(
        status,
        now,
        has_data=evidence.verdict != "no_data",
        m_at_least_root=evidence.verdict in ("pending", "firing", "unstable"),
        m_at_least_a=evidence.firing,
        over=not evidence.firing,
        unstable=evidence.verdict == "unstable",
        hold=hold,
        keep_firing=keep_firing,
    )


def _to(status: Status, phase: Phase, now: datetime) -> Status:
    if status.phase == phase:
        return status
    return msgspec.structs.replace(status, phase=phase, since=now)
