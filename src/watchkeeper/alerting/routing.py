"""Who is told, when, and in how many messages: routes, groups, inhibition, silences, reminders, escalation."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from watchkeeper.alerting.cohorts import is_child
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import Cohort, cohort_of, cohort_text
from watchkeeper.model.times import HOUR

_RANK = {"page": 0, "warn": 1, "info": 2}
# Messages that ask for an answer anew.
NEWS = ("firing", "updated")


@dataclass(frozen=True)
class Routes:
    """Where messages go when a monitor names no route of its own: channel names by severity, and for pages nobody
    acknowledged in time. Info alerts go to the weekly summary only unless routes are named."""

    page: tuple[str, ...] = ()
    warn: tuple[str, ...] = ()
    info: tuple[str, ...] = ()
    escalation: tuple[str, ...] = ()

    def of(self, severity: str, named: Sequence[str]) -> tuple[str, ...]:
        """The channels for an alert: the monitor's own, else the severity's."""
        return tuple(dict.fromkeys(named)) if named else getattr(self, severity)


def cohort_of_alert(alert: Alert) -> Cohort:
    """The alert's cohort in canonical order."""
    return cohort_of(alert.cohort)


def alert_id(project: str, monitor: str, cohort: Cohort, onset: int) -> str:
    """The key of one incident: the same monitor, cohort and onset are the same alert however often it is replayed."""
    text = "\x1f".join((project, monitor, cohort_text(cohort), str(onset)))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def group_key(project: str, cohort: Cohort, onset: int) -> str:
    """The key of a message group: what happened to this cohort at this time, whichever monitors saw it."""
    text = "\x1f".join((project, cohort_text(cohort), str(onset)))
    return "wk-" + hashlib.sha256(text.encode()).hexdigest()[:24]


def onset_of(alert: Alert) -> int:
    """When the change began as far as we know."""
    return alert.onset_ns if alert.onset_ns is not None else alert.since_ns


def group_for(alert: Alert, open_alerts: Iterable[Alert], within: int = 6 * HOUR) -> str:
    """The group `alert` belongs to: that of an open alert of the same cohort whose onset is at most `within` away
    (the onset is an estimate, and monitors differ in delay), else a new one. An alert keeps its group for life."""
    own = alert.evidence.get("group")
    if isinstance(own, str):
        return own
    mine = cohort_of_alert(alert)
    near = [
        (abs(onset_of(other) - onset_of(alert)), other.id, str(other.evidence["group"]))
        for other in open_alerts
        if other.id != alert.id
        and other.project == alert.project
        and other.state == "firing"
        and cohort_of_alert(other) == mine
        and abs(onset_of(other) - onset_of(alert)) <= within
        and "group" in other.evidence
    ]
    return min(near)[2] if near else group_key(alert.project, mine, onset_of(alert))


@dataclass(frozen=True)
class Silence:
    """Alerts that are not to be told about between two times. `matchers`: field → exact value, or "~" and a pattern
    in which only `*` is special; fields are monitor, severity, owner and any cohort dimension."""

    id: str
    matchers: tuple[tuple[str, str], ...]
    starts_ns: int
    ends_ns: int
    author: str
    comment: str = ""

    def covers(self, alert: Alert, now: int) -> bool:
        """Is it active and does it match? A silence without matchers covers nothing: it would hide everything."""
        if not self.matchers or not self.starts_ns <= now < self.ends_ns:
            return False
        facts = {**alert.cohort, "monitor": alert.monitor, "severity": alert.severity, "owner": alert.owner}
        return all(_matches(wanted, facts.get(key, "")) for key, wanted in self.matchers)


def _matches(wanted: str, value: str) -> bool:
    if not wanted.startswith("~"):
        return wanted == value
    first, *rest = wanted[1:].split("*")
    if not rest:
        return value == first
    # Piece by piece: a pattern with many stars would take `re` for ever on a long value.
    *middle, last = rest
    at = len(first) if value.startswith(first) else -1
    for piece in middle:
        at = -1 if at < 0 or (found := value.find(piece, at)) < 0 else found + len(piece)
    return at >= 0 and value.endswith(last) and len(value) - len(last) >= at


def silenced(alert: Alert, silences: Iterable[Silence], now: int) -> Silence | None:
    """The silence that covers the alert now, if any."""
    return next((s for s in silences if s.covers(alert, now)), None)


def inhibitor(alert: Alert, firing: Iterable[Alert], within: int = 6 * HOUR) -> Alert | None:
    """The firing alert that already tells this story: same monitor, a wider cohort, at least as severe, about the
    same onset. Which of parent and child is the story is decided before (see `pipeline.watching.attribution`); here an alert
    that was told first is not told again in smaller pieces."""
    mine = cohort_of_alert(alert)
    for other in firing:
        if (
            other.id != alert.id
            and other.project == alert.project
            and other.monitor == alert.monitor
            and other.state == "firing"
            and "group" in other.evidence
            and is_child(mine, cohort_of_alert(other))
            and _RANK[other.severity] <= _RANK[alert.severity]
            and abs(onset_of(other) - onset_of(alert)) <= within
        ):
            return other
    return None


@dataclass(frozen=True)
class Told:
    """What a group's readers know. `status` is firing or resolved; `alerts` the ids in the last message; `at` when it
    was made; `escalated` whether the response time has passed unanswered; `since` when they first heard of it as severe as it is,
    from which on the response time counts (0: not known)."""

    status: str = ""
    alerts: tuple[str, ...] = ()
    at: int = 0
    severity: str = ""
    escalated: bool = False
    since: int = 0


@dataclass(frozen=True)
class Message:
    """One message to be sent: about which group, why, and with which alerts in it, worst first."""

    group: str
    event: str
    status: str
    alerts: tuple[Alert, ...]
    routes: tuple[str, ...]
    told: Told = field(default_factory=Told)


def worst_first(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Firing before resolved, pages before warnings, then by name, so that a message reads the same every time."""
    return tuple(
        sorted(
            alerts,
            key=lambda a: (a.state != "firing", _RANK[a.severity], a.monitor, sorted(a.cohort.items())),
        )
    )


def due_message(
    group: str,
    alerts: Sequence[Alert],
    told: Told,
    now: int,
    routes: Routes,
    renotify: int | None = None,
    response_time: int | None = None,
    silences: Iterable[Silence] = (),
) -> Message | None:
    """The message that this group's readers need now, or None.

    New: they were told nothing and something fires. Updated: the severity rose. An alert of the same severity that
    joins is the same story and waits for the next message. Resolved: they were told and nothing fires any more; who heard of it by
    escalation hears that too. Reminder: still firing and not acknowledged after `renotify`.
    Escalation: a page nobody acknowledged within `response_time` of being told. A silenced alert counts as not there, except that
    a resolution of what was told is always told.
    """
    silences = tuple(silences)
    firing = [a for a in alerts if a.state == "firing" and silenced(a, silences, now) is None]
    if not firing:
        anything = any(a.state == "firing" for a in alerts)
        if told.status != "firing" or anything:
            return None
        gone = worst_first(a for a in alerts if a.state == "resolved" or a.id in told.alerts)
        if not gone:
            return None
        channels = _channels(gone, routes)
        if told.escalated:
            channels = _wider(channels, routes)
        return _message(group, "resolved", "resolved", gone, channels, now, told)
    shown = worst_first([*firing, *(a for a in alerts if a.id in told.alerts and a.state == "resolved")])
    worst = min((a.severity for a in firing), key=_RANK.__getitem__)
    channels = _channels(firing, routes)
    if told.status != "firing":
        return _message(group, "firing", "firing", shown, channels, now, Told())
    if told.severity and _RANK[worst] < _RANK[told.severity]:
        return _message(group, "updated", "firing", shown, channels, now, told)
    if all(a.acknowledged_ns is not None for a in firing):
        return None
    begun = told.since or min(a.fired_ns or a.since_ns for a in firing)
    late = response_time is not None and now - begun >= response_time
    if late and not told.escalated and worst == "page":
        return _message(
            group, "escalated", "firing", shown, _wider(channels, routes), now, told, escalated=True
        )
    if renotify is not None and now - told.at >= renotify:
        return _message(group, "reminder", "firing", shown, channels, now, told)
    return None


def _channels(alerts: Iterable[Alert], routes: Routes) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r for a in worst_first(alerts) for r in routes.of(a.severity, a.routes)))


def _wider(channels: tuple[str, ...], routes: Routes) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*channels, *routes.escalation)))


def _message(
    group: str,
    event: str,
    status: str,
    alerts: Sequence[Alert],
    routes: tuple[str, ...],
    now: int,
    told: Told,
    escalated: bool = False,
) -> Message:
    # A page that is over is in the message but does not hide that the next page is a rise.
    lasting = [a for a in alerts if status != "firing" or a.state == "firing"]
    worst = min((a.severity for a in lasting), key=_RANK.__getitem__, default="")
    ids = tuple(dict.fromkeys((*told.alerts, *(a.id for a in alerts)))) if status == "firing" else ()
    since = now if event in NEWS else told.since
    after = Told(status, ids, now, worst, told.escalated or escalated, since)
    return Message(group, event, status, tuple(alerts), routes, after)


def acknowledge(alert: Alert, author: str, now: int) -> Alert:
    """The alert with the first acknowledgement it got; a later one changes nothing."""
    if alert.acknowledged_ns is None:
        alert.acknowledged_by, alert.acknowledged_ns = author, now
    return alert
