"""The life of one alert, as a pure function of what was seen and when.

    ok ──near, breach──▶ pending ──breach for `hold`──▶ firing ──clear for `keep_firing`──▶ resolved
     ▲                      │                              │                                    │
     └──────── clear ───────┘            no data: stays firing, never resolves          clear ──┘ ok

Unknown (data, but too little of it, or no baseline yet) changes no state and breaks every continuity. No data and an
unstable series are states of their own for anything that is not firing: silence is not health, and
an incident does not end because we stopped looking.
"""

from dataclasses import dataclass, replace
from typing import Literal

Seen = Literal["clear", "near", "breach", "unknown", "no_data", "unstable"]
State = Literal["ok", "pending", "firing", "resolved", "no_data", "unstable"]
Event = Literal["pending", "firing", "resolved", "no_data", "unstable", "recovered"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in ns. `hold`: how long a breach must last unbroken before it fires. `keep_firing`: how long it must
    be clear before it resolves. `missing_after`: how long data may be absent before that is a state."""

    hold: int = 0
    keep_firing: int = 0
    missing_after: int = 0


@dataclass(frozen=True, slots=True)
class Life:
    """Where one monitor stands for one cohort. Times in ns; None = not the case.

    `breach_since` is when the present unbroken breach began, `clear_since` when the present unbroken recovery of a
    firing alert began, `missing_since` when data stopped. `incident_since` is when this incident was first pending.
    """

    state: State = "ok"
    since: int = 0
    updated: int = 0
    breach_since: int | None = None
    clear_since: int | None = None
    missing_since: int | None = None
    incident_since: int | None = None


def advance(life: Life, seen: Seen, now: int, timing: Timing) -> tuple[Life, tuple[Event, ...]]:
    """The next life and what happened. A `now` at or before the last update changes nothing: a clock that stepped
    back, or a tick seen twice, must neither fire nor resolve.

    >>> life, events = advance(Life(), "breach", 10, Timing(hold=5))
    >>> advance(life, "breach", 15, Timing(hold=5))[1]
    ('firing',)
    """
    if now <= life.updated:
        return life, ()
    life = replace(life, updated=now)
    if seen in ("no_data", "unstable"):
        return _blind(life, seen, now, timing)
    life = replace(life, missing_since=None)
    if seen == "unknown":
        return replace(life, breach_since=None, clear_since=None), ()
    if life.state == "firing":
        return _firing(life, seen, now, timing)
    return _quiet(life, seen, now, timing)


def _blind(life: Life, seen: Seen, now: int, timing: Timing) -> tuple[Life, tuple[Event, ...]]:
    """Nothing can be said now. Continuity of a breach or of a recovery cannot be claimed across the gap."""
    since = life.missing_since if life.missing_since is not None else now
    life = replace(life, breach_since=None, clear_since=None, missing_since=since)
    if life.state == "firing" or life.state == seen:
        return life, ()
    if seen == "unstable":
        return _enter(life, "unstable", now), ("unstable",)
    if now - since >= timing.missing_after:
        return _enter(life, "no_data", now), ("no_data",)
    return life, ()


def _enter(life: Life, state: State, now: int) -> Life:
    incident = life.incident_since if state in ("pending", "firing", "resolved") else None
    return replace(life, state=state, since=now, incident_since=incident)


def _firing(life: Life, seen: Seen, now: int, timing: Timing) -> tuple[Life, tuple[Event, ...]]:
    if seen != "clear":
        return replace(life, clear_since=None), ()
    since = life.clear_since if life.clear_since is not None else now
    life = replace(life, clear_since=since, breach_since=None)
    if now - since >= timing.keep_firing:
        return replace(_enter(life, "resolved", now), clear_since=None), ("resolved",)
    return life, ()


def _quiet(life: Life, seen: Seen, now: int, timing: Timing) -> tuple[Life, tuple[Event, ...]]:
    back: tuple[Event, ...] = ("recovered",) if life.state in ("no_data", "unstable") else ()
    if seen == "clear":
        life = replace(life, breach_since=None)
        return (life if life.state == "ok" else _enter(life, "ok", now)), back
    if life.state != "pending":
        life = replace(_enter(life, "pending", now), incident_since=now)
        back = (*back, "pending")
    if seen == "near":
        return replace(life, breach_since=None), back
    since = life.breach_since if life.breach_since is not None else now
    life = replace(life, breach_since=since)
    if now - since >= timing.hold:
        return replace(_enter(life, "firing", now), clear_since=None), (*back, "firing")
    return life, back
