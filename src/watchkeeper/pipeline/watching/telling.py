"""From alerts to messages, and everything into the records in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.message import notifications
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.alerting.routing import NEWS, Message, Routes, Told, cohort_of_alert, due_message
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import cohort_text
from watchkeeper.model.times import WEEK
from watchkeeper.pipeline.watching.work import Work, series_key
from watchkeeper.store.records import alerts, incidents, outbox, states

FORGET_NS = WEEK
ChangeHook = Callable[[Connection, Alert], None]
ReviewHook = Callable[[Connection, Alert, Sequence[Mapping[str, Any]]], None]


def due(work: Work, monitors: Sequence[Monitor], routes: Routes, at: int) -> None:
    """Add the messages that are due at `at`."""
    by_group: dict[str, list[Alert]] = {}
    for alert in work.alerts.values():
        group = alert.evidence.get("group")
        # Those about ourselves are told by `selfwatch`, which also works where no monitor is configured.
        if isinstance(group, str) and not alert.evidence.get("built_in"):
            by_group.setdefault(group, []).append(alert)
    rules = {m.name: m for m in monitors}
    unheard = _news(work)
    for group, members in by_group.items():
        told = work.told.get(group, Told())
        firing = [rules[a.monitor] for a in members if a.state == "firing" and a.monitor in rules]
        renotify = min((m.renotify for m in firing if m.renotify is not None), default=None)
        response = min((m.response_time for m in firing if m.response_time is not None), default=None)
        if group in unheard:
            # Several ticks are caught up with in one call: nobody can have answered what has not left yet.
            renotify = response = None
        message = due_message(group, members, told, at, routes, renotify, response, work.silences)
        if message is not None:
            work.told[group] = message.told
            work.groups.add(group)
            work.messages.append((message, at))


def _news(work: Work) -> set[str]:
    """The groups of this call's messages that ask for an answer and have not left yet."""
    return {message.group for message, _ in work.messages if message.event in NEWS}


def commit(
    c: Connection,
    work: Work,
    monitors: Sequence[Monitor],
    mark: int,
    now: int,
    on_review: ReviewHook | None = None,
    judged: Mapping[int, int] | None = None,
    on_change: ChangeHook | None = None,
) -> bool:
    """Write everything a call changed; `judged` are the late ticks that are settled with it. False, with nothing written, when another watcher has been here meanwhile: what
    it wrote is the same, because it read the same."""
    stored = states.get(c, work.project, "watch", "mark")
    if stored is not None and int(stored) != work.mark:
        return False
    if mark != work.mark or stored is None:
        states.put(c, work.project, "watch", "mark", mark, now)
        _forget(work, monitors, mark)
        gone = set(states.get_all(c, work.project, "watched")) - set(work.watched)
        states.delete(c, work.project, "watched", gone)
        states.put_all(
            c, work.project, "watched", {k: msgspec.to_builtins(w) for k, w in work.watched.items()}, now
        )
    if judged:
        left = states.get(c, work.project, "roll", "late") or {}
        left = {k: n for k, n in left.items() if judged.get(int(k)) != n}
        states.put(c, work.project, "roll", "late", left, now)
    frozen = {series_key(k): msgspec.to_builtins(work.normals[k]) for k in work.frozen}
    states.put_all(c, work.project, "normal", frozen, now)
    # What is told late is heard late: the time to answer counts from now.
    for group in _news(work):
        work.told[group] = replace(work.told[group], since=max(work.told[group].since, now))
    told = {g: asdict(work.told[g]) for g in work.groups if g in work.told}
    states.put_all(c, work.project, "told", told, now)
    for alert in (work.alerts[i] for i in sorted(work.changed)):
        alerts.save(c, alert)
    # What was written to page and is held back to a warning opens an incident all the same: that wakes nobody.
    urgent = {m.name for m in monitors if m.severity == "page" or m.capped}
    for message, at in work.messages:
        _send(c, work, message, at, now, urgent)
    if on_review is not None:
        for alert in work.reviews:
            on_review(c, alert, alert.worst)
    if on_change is not None:
        for alert in (work.alerts[i] for i in sorted(work.changed)):
            on_change(c, alert)
    return True


def _send(c: Connection, work: Work, message: Message, at: int, now: int, urgent: set[str]) -> None:
    lead = message.alerts[0]
    for notification in notifications(message, work.project, at):
        notification.next_attempt_ns = min(at, now)
        outbox.enqueue(c, notification)
    if (lead.severity == "page" or lead.monitor in urgent) and message.status == "firing":
        title = f"{lead.monitor}: {cohort_words(cohort_of_alert(lead))}"
        opened = incidents.open_for(
            c, work.project, message.group, title, lead.severity, lead.owner, at, "watch",
            tuple(a.id for a in message.alerts),
        )  # fmt: skip
        incidents.note(c, work.project, opened, at, "alert", "watch", f"{message.event}: {lead.summary}")
        for deploy in lead.deploys[:3]:
            text = f"{deploy.name} {deploy.version}"
            incidents.note(c, work.project, opened, deploy.time_ns, "deploy", "watch", text)
    elif message.status == "resolved":
        known = incidents.get(c, work.project, incidents.id_of_group(work.project, message.group))
        if known is not None:
            incidents.note(c, work.project, known[0].id, at, "alert", "watch", "all alerts resolved")


def _forget(work: Work, monitors: Sequence[Monitor], mark: int) -> None:
    """Drop what is remembered of series that are over: no data for a week, or of no monitor any more."""
    names = {m.name for m in monitors}
    for key, watched in list(work.watched.items()):
        over = watched.life.state != "firing" and 0 < watched.last_data_ns < mark - FORGET_NS
        if over or key.partition("|")[0] not in names:
            del work.watched[key]


def alert_row(alert: Alert) -> dict[str, Any]:
    """The alert as a row of the column store's `alerts`; times in ns."""
    return {
        "project": alert.project,
        "id": alert.id,
        "monitor": alert.monitor,
        "cohort": cohort_text(cohort_of_alert(alert)),
        "state": alert.state,
        "severity": alert.severity,
        "owner": alert.owner,
        "runbook": alert.runbook,
        "summary": alert.summary,
        "since_ns": alert.since_ns,
        "fired_ns": alert.fired_ns,
        "resolved_ns": alert.resolved_ns,
        "updated_ns": alert.updated_ns,
    }
