"""A due message as notifications: one per channel, the same words and data in each."""

import hashlib
from typing import Any

import msgspec

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.evidence import direction, ends, iso, show, when
from watchkeeper.alerting.routing import Message, cohort_of_alert
from watchkeeper.model.alert import Alert, Deploy, Moved, Notification

_MARK = {"page": "PAGE", "warn": "WARN", "info": "INFO"}


def moved_line(line: Moved) -> str:
    """One metric against its baseline, for people: "answer_relevance 8.2 (n 4,012) → 6.5 (6.3 to 6.7, n 412) fell"."""
    if line.current is None:
        return f"{line.metric}: unknown (n {line.current_n:,})"
    now = show(line.metric, line.current, line.unit)
    if line.current_low is not None and line.current_high is not None:
        now += f" ({ends(line.metric, line.current_low, line.current_high, line.unit)}, n {line.current_n:,})"
    if line.baseline is None:
        return f"{line.metric}: {now}"
    was = f"{show(line.metric, line.baseline, line.unit)} (n {line.baseline_n:,})"
    return f"{line.metric}: {was} → {now} {direction(line)}"


def change_line(deploy: Deploy) -> str:
    """One change near the onset, for people: "support-answer v2 (more concise), Tue 17 Nov 07:00 UTC"."""
    note = f" ({deploy.note})" if deploy.note else ""
    return f"{deploy.name} {deploy.version}{note}, {when(deploy.time_ns)}"


def alert_data(alert: Alert) -> dict[str, Any]:
    """The alert as plain data for machines, times in ISO 8601."""
    return {
        "id": alert.id,
        "monitor": alert.monitor,
        "condition": alert.condition,
        "cohort": alert.cohort,
        "state": alert.state,
        "severity": alert.severity,
        "owner": alert.owner,
        "runbook": alert.runbook,
        "summary": alert.summary,
        "onset": iso(alert.onset_ns),
        "fired": iso(alert.fired_ns),
        "resolved": iso(alert.resolved_ns),
        "acknowledged_by": alert.acknowledged_by,
        "moved": [msgspec.to_builtins(m) for m in alert.moved],
        "worst": alert.worst,
        "deploys": [{**msgspec.to_builtins(d), "time": iso(d.time_ns)} for d in alert.deploys],
        "evidence": {k: v for k, v in alert.evidence.items() if k not in ("chart", "group")},
    }


def subject_of(message: Message) -> str:
    """One line: severity, what, for whom."""
    lead = message.alerts[0]
    more = f" and {len(message.alerts) - 1} more" if len(message.alerts) > 1 else ""
    words = cohort_words(cohort_of_alert(lead))
    if message.status == "resolved":
        return f"[RESOLVED] {lead.monitor} · {words}{more}"
    prefix = {"reminder": "STILL ", "escalated": "UNANSWERED "}.get(message.event, "")
    return f"[{prefix}{_MARK.get(lead.severity, lead.severity)}] {lead.monitor} · {words}{more}"


def text_of(message: Message) -> str:
    """The whole message as plain text, most important first."""
    lines: list[str] = []
    for alert in message.alerts:
        state = f"resolved {when(alert.resolved_ns)}" if alert.resolved_ns is not None else alert.state
        lines += [alert.summary, f"Monitor {alert.monitor} ({alert.condition}): {state}."]
        lines += [alert.evidence[k] for k in ("holds", "suspicion", "capped") if alert.evidence.get(k)]
        lines += [f"  {moved_line(m)}" for m in alert.moved]
        lines += [f"  changed: {change_line(d)}" for d in alert.deploys[:3]]
        lines += [
            f"  worst: {w.get('trace_id')} {alert.evidence.get('metric', '')} {w.get('shown', w.get('value'))}"
            for w in alert.worst[:3]
        ]
        lines += [
            f"Owner {alert.owner}. Runbook {alert.runbook}",
            alert.evidence.get("links", {}).get("alert", ""),
            "",
        ]
    return "\n".join(lines).strip()


def payload_of(message: Message) -> dict[str, Any]:
    """The message as data: what every channel renders from."""
    lead = message.alerts[0]
    return {
        "version": 1,
        "group": message.group,
        "event": message.event,
        "status": message.status,
        "severity": lead.severity,
        "title": subject_of(message),
        "summary": lead.summary,
        "holds": lead.evidence.get("holds", ""),
        "suspicion": lead.evidence.get("suspicion", ""),
        "lines": [moved_line(m) for m in lead.moved],
        "changes": [change_line(d) for d in lead.deploys[:5]],
        "owner": lead.owner,
        "runbook": lead.runbook,
        "links": lead.evidence.get("links", {}),
        "alerts": [alert_data(a) for a in message.alerts],
    }


def notifications(message: Message, project: str, now: int) -> list[Notification]:
    """One notification per channel. The id is a function of group, channel, event and time, so that replaying the
    same tick after a crash finds them already there."""
    payload, subject, text = payload_of(message), subject_of(message), text_of(message)
    found: list[Notification] = []
    for route in message.routes:
        key = "\x1f".join((project, message.group, route, message.event, str(now)))
        found.append(
            Notification(
                id=hashlib.sha256(key.encode()).hexdigest()[:32],
                project=project,
                alert_id=message.alerts[0].id,
                dedup_key=message.group,
                route=route,
                event=message.event,
                subject=subject,
                text=text,
                payload=payload,
                created_ns=now,
                next_attempt_ns=now,
            )
        )
    return found
