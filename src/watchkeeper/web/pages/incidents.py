"""Incidents: what people work on now, and one of them with its triage, timeline and what was done."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.triage import TITLES, share_text
from watchkeeper.model.alert import Alert, Moved
from watchkeeper.model.incident import Factor, Triage
from watchkeeper.model.series import cohort_of, cohort_text
from watchkeeper.pipeline.incidents import triage_of
from watchkeeper.server.api import incidents as api
from watchkeeper.server.login import safe_next
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import alerts, incidents
from watchkeeper.web import data
from watchkeeper.web.estimate import Estimate
from watchkeeper.web.metrics import counted
from watchkeeper.web.pages.actions import actions_of
from watchkeeper.web.pages.alerts import UNITS, figure_around
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.view import View, view_of

TABS: Final = {"unresolved": incidents.UNRESOLVED, "resolved": ("resolved",), "all": None}
LOOKS: Final = {
    "explains": ("bad", "bad", "Explains it"),
    "contributes": ("warn", "warn", "Contributes"),
    "holds": ("good", "good", "Holds"),
    "not_enough": ("", "unknown", "Not enough data"),
}
ICONS: Final = {
    "opened": "flag", "alert": "alerts", "deploy": "releases", "action": "tool", "comment": "review",
    "acknowledged": "check", "resolved": "good", "reopened": "undo",
}  # fmt: skip
# Of a step that holds its verdict is enough; of another, as many factors as fit a screen. The rest is behind a fold.
SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One factor as the page shows it. `bar` is its share as 0..100 for the picture beside the words."""

    name: str
    verdict: str
    before: Estimate
    now: Estimate
    share: str
    bar: int
    moved: bool
    note: str
    href: str | None


def _estimates(moved: Moved, metric: str) -> tuple[Estimate, Estimate]:
    unit = UNITS.get(moved.unit, "")
    if not unit and metric.endswith("_ms"):
        unit = "ms"
    word = counted(metric, unit)
    return (
        Estimate(moved.baseline, moved.baseline_low, moved.baseline_high, moved.baseline_n, unit, "not there before", counts=word),
        Estimate(moved.current, moved.current_low, moved.current_high, moved.current_n, unit, "not there since", counts=word),
    )  # fmt: skip


def _line(view: View, found: Triage, factor: Factor) -> Line:
    before, now = _estimates(factor.line, found.metric if factor.kind == "cohort" else factor.value)
    cohort = {**found.cohort}
    if factor.kind == "cohort":
        cohort[factor.name.split(" ")[0]] = factor.value
    ours = factor.kind == "cohort" and factor.value not in ("unknown", "other")
    return Line(
        factor.name,
        factor.verdict,
        before,
        now,
        share_text(factor) if factor.share is not None else "",
        round(min(max(factor.share or 0.0, 0.0), 1.0) * 100),
        factor.moved,
        factor.note,
        view.between("/traces", *found.after, cohort=cohort_text(tuple(cohort.items()))) if ours else None,
    )


def triage_context(view: View, found: Triage | None) -> dict[str, Any] | None:
    """A triage as the template reads it: the change, the ranked factors, the four steps."""
    if found is None:
        return None
    steps = [
        {
            "title": TITLES[step.name],
            "look": LOOKS[step.verdict],
            "says": step.says,
            "lines": [_line(view, found, f) for f in step.factors[:shown]],
            "more": [_line(view, found, f) for f in step.factors[shown:]],
        }
        for step in found.steps
        for shown in (0 if step.verdict == "holds" else SHOWN,)
    ]
    return {
        "says": found.says,
        "made": found.made_ns,
        "n": found.n,
        "before": found.before,
        "after": found.after,
        "metric": found.metric,
        "whom": cohort_words(tuple(found.cohort.items())),
        "change": _estimates(found.line, found.metric),
        "ranked": [_line(view, found, f) for f in found.ranked[:6]],
        "steps": steps,
        # Where no step can say anything, all of them say the same: once is enough.
        "undecided": all(step.verdict == "not_enough" and not step.factors for step in found.steps),
    }


@route("GET", "/incidents", permission="viewer")
async def listing(call: Call) -> Response:
    """Incidents, latest first."""
    view = view_of(call, "7d")
    tab = view.params.get("status", "unresolved")
    tab = tab if tab in TABS else "unresolved"

    def read(c: Connection) -> tuple[list[incidents.Incident], dict[str, int]]:
        return incidents.find(c, view.project, TABS[tab]), incidents.counts(c, view.project)

    found, counts = await call.services.records.read(read)
    context = {
        "incidents": [(i, triage_of(i)) for i in found],
        "tab": tab,
        "tab_counts": {
            "unresolved": sum(counts.get(s, 0) for s in incidents.UNRESOLVED),
            "resolved": counts.get("resolved", 0),
            "all": sum(counts.values()),
        },
        "metrics": sorted(await data.all_series(view, scorers=True)),
    }
    return await answer(view, "incidents", "Incidents", "incidents.html", context)


@route("GET", "/incidents/{incident_id}", permission="viewer")
async def detail(call: Call) -> Response:
    """One incident: the change, what explains it in the order one looks, what was done, by whom and when."""
    view = view_of(call, "7d")
    incident, lines = await api.the_incident(call)
    ids = [str(i) for i in incident.document.get("alerts", [])]

    def read(c: Connection) -> list[Alert]:
        return [a for i in ids if (a := alerts.get(c, view.project, i)) is not None]

    about = await call.services.records.read(read)
    found = triage_of(incident)
    context = {
        "incident": incident,
        "lines": [(ICONS.get(line.kind, "other"), line) for line in lines],
        "alerts": about,
        "words": lambda a: cohort_words(cohort_of(a.cohort)),
        "triage": triage_context(view, found),
        "askable": found is not None or bool(about) or bool(incident.document.get("metric")),
        "looks": LOOKS,
        "figure": await figure_around(view, about[0]) if about else None,
        "runbook": about[0].runbook if about else None,
        "actions": await actions_of(call, about),
    }
    return await answer(view, "incidents", incident.title, "incident.html", context)


@route("POST", "/incidents", permission="reviewer", kind="page")
async def opening(call: Call) -> Response:
    """Open an incident, by hand or for an alert."""
    form = await form_of(call)
    wanted = {k: form[k] for k in ("title", "severity", "owner", "alert_id", "metric", "since") if k in form}
    try:
        given = api.NewIncident.model_validate(wanted)
    except ValueError:
        raise HttpError(400, "an incident needs a title and an owner of at most 255 characters") from None
    made = await api.open_incident(call, given)
    return RedirectResponse(view_of(call).url(f"/incidents/{made}"), 303)


CHANGES: Final[dict[str, incidents.Status]] = {
    "take": "acknowledged",
    "resolve": "resolved",
    "reopen": "open",
}


@route("POST", "/incidents/{incident_id}/change", permission="reviewer", kind="page")
async def changing(call: Call) -> Response:
    """Take, resolve or reopen."""
    form = await form_of(call)
    status = CHANGES.get(form.get("what", ""))
    if status is None:
        raise HttpError(400, "say what to do", f"one of {', '.join(CHANGES)}")
    await api.changed(call, status, form.get("text", "")[:2000])
    return RedirectResponse(safe_next(form.get("back")), 303)


@route("POST", "/incidents/{incident_id}/note", permission="reviewer", kind="page")
async def noting(call: Call) -> Response:
    """Add a line to the timeline."""
    form = await form_of(call)
    call.body = _comment(form.get("text", ""))
    await api.comment(call)
    return RedirectResponse(safe_next(form.get("back")), 303)


def _comment(text: str) -> api.Comment:
    try:
        return api.Comment(text=text.strip())
    except ValueError:
        raise HttpError(400, "a note needs some words, at most 20,000 characters") from None


@route("POST", "/incidents/{incident_id}/triage", permission="reviewer", kind="page")
async def computing(call: Call) -> Response:
    """Compute the triage again."""
    form = await form_of(call)
    await api.compute(call)
    return RedirectResponse(safe_next(form.get("back")), 303)


__all__ = ["changing", "computing", "detail", "listing", "noting", "opening"]
