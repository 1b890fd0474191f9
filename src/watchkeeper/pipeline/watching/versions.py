"""Another judge, rubric or price table: a line in the list of alerts that tells nobody, and a mark in the charts."""

from watchkeeper.alerting.monitor import Monitor
from watchkeeper.alerting.routing import alert_id
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import Cohort

NAME = "version changed"


def is_version_alert(alert: Alert) -> bool:
    """Does this alert say that a series begins anew, rather than that something is wrong?"""
    return alert.evidence.get("kind") == "version"


def version_alert(
    project: str, monitor: Monitor, metric: str, cohort: Cohort, before: str, after: str, at_ns: int
) -> Alert:
    """The line that says so: of severity info, over as soon as it began, sent to nobody."""
    what = "price table" if metric == "cost" else "scorer"
    return Alert(
        id=alert_id(project, f"{NAME}: {metric}", cohort, at_ns),
        project=project,
        monitor=f"{metric}: {what} {NAME}",
        cohort=dict(cohort),
        state="resolved",
        severity="info",
        owner=monitor.owner,
        runbook=monitor.runbook,
        condition=NAME,
        since_ns=at_ns,
        onset_ns=at_ns,
        fired_ns=at_ns,
        resolved_ns=at_ns,
        updated_ns=at_ns,
        summary=f"{metric}: the {what} version changed from {before} to {after}. Its series begins anew: what was measured "
        "before is not compared with what comes now, and shifts are watched again when a baseline of 7 days is there.",
        evidence={"kind": "version", "metric": metric, "before": before, "after": after},
    )
