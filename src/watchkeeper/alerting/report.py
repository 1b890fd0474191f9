"""The weekly summary and the evidence report from gathered facts, and their renderings. What was not measured is said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.evidence import direction, measured, share_of, side, when
from watchkeeper.alerting.postmortem import md
from watchkeeper.alerting.routing import cohort_of_alert
from watchkeeper.model.alert import Alert, Deploy, Moved
from watchkeeper.model.calibration import Calibration, Standing
from watchkeeper.model.numerals import counted
from watchkeeper.model.report import Grid, Part, Report
from watchkeeper.model.series import Estimate
from watchkeeper.model.times import HOUR
from watchkeeper.stats.intervals import wilson

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Watching:
    """One monitor of the period: what it watches, for whom, how often it fired, and its part of the false-alarm budget."""

    name: str
    condition: str
    owner: str
    severity: str
    fired: int
    false_alarms: float | None = None


@dataclass(frozen=True)
class IncidentLine:
    """One incident of the period. Times in ns."""

    title: str
    status: str
    severity: str
    opened_ns: int
    taken_ns: int | None
    closed_ns: int | None
    suspect: str


@dataclass(frozen=True)
class Facts:
    """Everything gathered for one project and period. `coverage`: scorer → eligible, selected, scored, failed, late.
    `allowed` is the fleet's budget of false alarms a week. `reviews`: status or verdict → count. `gates`: verdict → count.
    `redaction` what is removed before storing, in words. None and empty mean that nothing was recorded."""

    project: str
    since_ns: int
    until_ns: int
    made_ns: int
    traces: int
    monitors: Sequence[Watching] = ()
    allowed: float | None = None
    built_in: Sequence[str] = ()
    coverage: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    moved: Sequence[Moved] = ()
    alerts: Sequence[Alert] = ()
    incidents: Sequence[IncidentLine] = ()
    calibrations: Sequence[Calibration] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict[str, Standing])
    reviews: Mapping[str, int] = field(default_factory=dict[str, int])
    gates: Mapping[str, int] = field(default_factory=dict[str, int])
    deploys: Sequence[Deploy] = ()
    actions: Mapping[str, int] = field(default_factory=dict[str, int])
    undelivered: int = 0
    redaction: str = ""
    retention: str = ""
    guards: Sequence[str] = ()


def percent(k: int, n: int) -> str:
    """A share with its 95 % Wilson interval and n: "98.3 % (97.0–99.1) · n 600"; a dash of nothing."""
    if n <= 0:
        return "–"
    low, high = wilson(k, n)
    return measured("", k / n, low, high, n, "rate")


def _estimate(e: Estimate | None, unit: str = "") -> str:
    return "–" if e is None else measured("", e.value, e.low, e.high, e.n, unit)


def _fired(f: Facts) -> list[Alert]:
    return [a for a in f.alerts if a.fired_ns is not None and f.since_ns <= a.fired_ns < f.until_ns]


def _some(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def headline(f: Facts) -> list[str]:
    """The few sentences that matter."""
    fired = _fired(f)
    by = Counter(a.severity for a in fired)
    words = ", ".join(f"{by[s]} {s}" for s in ("page", "warn", "info") if by[s]) or "none"
    moved = [m for m in f.moved if m.significant]
    selected, scored = (sum(c[k] for c in f.coverage.values()) for k in ("selected", "scored"))
    said = [f"{counted(f.traces, 'trace')}; {_some(len(f.monitors), 'monitor')}; alerts that fired: {words}."]
    unresolved = sum(i.status != "resolved" for i in f.incidents)
    said.append(f"{_some(len(f.incidents), 'incident')}, {unresolved} of them open.")
    said.append(
        f"Scored of what was selected: {percent(scored, selected)}."
        if selected
        else "Nothing was selected to be scored."
    )
    if moved:
        names = "; ".join(f"{m.metric} {direction(m)}" for m in moved[:5])
        said.append(f"Against the period before: {names}.")
    else:
        said.append("Against the period before no score moved beyond its interval.")
    provisional = sorted(n for n, s in f.standings.items() if s.provisional)
    if provisional:
        said.append(f"Not compared with people: {', '.join(provisional[:6])}.")
    if f.undelivered:
        said.append(f"{counted(f.undelivered, 'message')} could not be delivered.")
    return said


def _monitored(f: Facts) -> Part:
    rows = [
        [m.name, m.condition, m.owner, m.severity, str(m.fired), "–" if m.false_alarms is None else f"{m.false_alarms:.2g}"]
        for m in f.monitors
    ]  # fmt: skip
    spent = sum(m.false_alarms for m in f.monitors if m.false_alarms is not None)
    says = [
        f"{counted(f.traces, 'trace')} arrived. Watchkeeper watches itself by: {', '.join(f.built_in) or 'nothing'}."
    ]
    if f.allowed is not None and f.monitors:
        says.append(
            f"False-alarm budget of the fleet: {f.allowed:g} a week; by their thresholds the monitors may spend {spent:.2g} of it."
            f" Alerts that fired: {len(_fired(f))}. Which of them were false is for people to say."
        )
    columns = ["monitor", "condition", "owner", "severity", "fired", "false alarms a week"]
    return Part("What was monitored", says, Grid(columns, rows), "No monitor is configured.")


def _side(m: Moved, now: bool) -> str:
    """One side of a comparison; of a check's share with the word for what it is the share of."""
    word = share_of(m.metric) if m.unit == "rate" else ""
    return side(m, now, "–").replace(" %", f" % {word}", 1) if word else side(m, now, "–")


def _quality(f: Facts) -> Part:
    # What moved before what held; the rest is not known.
    order = ("fell", "rose", "held", "unknown")
    shown = sorted(f.moved, key=lambda m: order.index(direction(m)))[:40]
    rows = [[m.metric, _side(m, False), _side(m, True), direction(m)] for m in shown]
    says = [
        "Weighted by inclusion probability, with 95 % intervals; “fell” and “rose” hold for all metrics together."
    ]
    return Part(
        "Scores against the period before",
        says,
        Grid(["metric", "before", "now", "verdict"], rows),
        "No scores.",
    )


def _coverage(f: Facts) -> Part:
    rows = [
        [name, f"{c['eligible']:,}", percent(c["selected"], c["eligible"]), percent(c["scored"], c["selected"]),
         f"{c['failed']:,}", f"{c['late']:,}"]
        for name, c in sorted(f.coverage.items())
        if c["eligible"]
    ]  # fmt: skip
    columns = ["scorer", "eligible", "selected of eligible", "scored of selected", "failed", "late"]
    return Part("Coverage", [], Grid(columns, rows), "No scorer saw a trace.")


def _alerts(f: Facts) -> Part:
    rows = [
        [when(a.fired_ns or a.since_ns), a.severity, a.monitor, cohort_words(cohort_of_alert(a)), a.summary,
         when(a.resolved_ns) if a.resolved_ns else a.state, a.acknowledged_by or "nobody"]
        for a in sorted(_fired(f), key=lambda a: a.fired_ns or 0)
    ]  # fmt: skip
    columns = ["fired", "severity", "monitor", "for", "what", "over", "taken by"]
    return Part("Alerts", [], Grid(columns, rows), "No alert fired.")


def _incidents(f: Facts) -> Part:
    def after(start: int, end: int | None) -> str:
        return "–" if end is None else f"{(end - start) / HOUR:.1f} h"

    rows = [
        [when(i.opened_ns), i.severity, i.title, i.status, after(i.opened_ns, i.taken_ns), after(i.opened_ns, i.closed_ns), i.suspect or "–"]
        for i in f.incidents
    ]  # fmt: skip
    columns = ["opened", "severity", "what", "status", "taken after", "over after", "first suspect"]
    return Part("Incidents", [], Grid(columns, rows), "No incident was opened or is open.")


def _calibration(f: Facts) -> Part:
    newest: dict[str, Calibration] = {}
    for c in sorted(f.calibrations, key=lambda c: c.time_ns):
        newest[c.scorer] = c
    rows: list[list[str]] = []
    for name in sorted({*newest, *f.standings}):
        c, s = newest.get(name), f.standings.get(name)
        standing = "–" if s is None else "provisional: " + s.reason if s.provisional else "may decide"
        rows.append(
            [name, standing, _estimate(c.agreement, "rate") if c else "never compared", _estimate(c.kappa) if c else "–",
             when(c.time_ns) if c else "–", str(c.annotators) if c else "–"]
        )  # fmt: skip
    labels = ", ".join(f"{n:,} {what}" for what, n in sorted(f.reviews.items())) or "none"
    columns = ["scorer", "standing", "agreement with people", "kappa", "compared", "people"]
    none = "No scorer that is a model runs; checks are rules and need no calibration."
    return Part("Calibration and review", [f"Reviews: {labels}."], Grid(columns, rows), none)


def _changes(f: Facts) -> Part:
    rows = [
        [when(d.time_ns), d.name, d.version, d.note or ""] for d in sorted(f.deploys, key=lambda d: d.time_ns)
    ]
    gates = ", ".join(f"{n} {v.replace('_', ' ')}" for v, n in sorted(f.gates.items())) or "none"
    done = ", ".join(f"{n} {what}" for what, n in sorted(f.actions.items())) or "none"
    says = [f"Gate runs: {gates}. Actions: {done}."]
    return Part(
        "Changes, gates and actions",
        says,
        Grid(["when", "what", "version", "note"], rows),
        "No change is recorded.",
    )


def weekly(f: Facts) -> Report:
    """The weekly summary."""
    parts = [
        _alerts(f),
        _incidents(f),
        _quality(f),
        _coverage(f),
        _calibration(f),
        _changes(f),
        _monitored(f),
    ]
    return Report("Weekly summary", f.project, f.since_ns, f.until_ns, f.made_ns, headline(f), parts)


def evidence(f: Facts) -> Report:
    """The evidence report: what was monitored and what came of it, against the rows of two frameworks."""
    parts = [
        _monitored(f),
        _quality(f),
        _coverage(f),
        _calibration(f),
        _alerts(f),
        _incidents(f),
        _changes(f),
        _law(f),
        _nist(f),
    ]
    said = [*headline(f), "This is a record of what was measured, not an assessment of conformity."]
    return Report("Evidence report", f.project, f.since_ns, f.until_ns, f.made_ns, said, parts)


def _row(requirement: str, found: str, there: bool) -> list[str]:
    return [requirement, "recorded" if there else "nothing recorded", found if there else "–"]


def _compared(f: Facts) -> tuple[str, bool]:
    n = len({c.scorer for c in f.calibrations})
    return f"{counted(n, 'scorer')} compared with people (Calibration and review)", n > 0


def _law(f: Facts) -> Part:
    fired, failing = len(_fired(f)), sum(c["failed"] for c in f.coverage.values())
    scores = sum(1 for m in f.moved if m.current is not None)
    safety = [
        m for m in f.moved if any(w in m.metric for w in ("injection", "leak", "secret", "pii", "jailbreak"))
    ]
    rows = [
        _row("15(1) accuracy, robustness and cybersecurity, consistently over the lifecycle",
             f"{counted(f.traces, 'trace')} scored in operation; {counted(len(f.monitors), 'monitor')}; {counted(fired, 'alert')}", f.traces > 0),
        _row("15(3) levels of accuracy and the metrics for them",
             f"{scores} metrics with intervals and n (Scores); {_compared(f)[0]}", scores > 0),
        _row("15(4) resilience to errors, faults and inconsistencies",
             f"error, timeout and tool failures as series; {failing:,} scorings failed and counted; {counted(len(f.incidents), 'incident')}",
             bool(f.coverage)),
        _row("15(4) technical redundancy, fail-safe plans", ", ".join(f"{n} {w}" for w, n in sorted(f.actions.items())),
             bool(f.actions)),
        _row("15(4) feedback loops of systems that go on learning", "not observed by this product: it sees outputs, not training", False),
        _row("15(5) attempts by third parties to alter use, outputs or performance",
             "; ".join(f"{m.metric} {side(m, True, '–')}" for m in safety[:5]),
             bool(safety)),
        _row("15(5) data and model poisoning, adversarial examples, confidentiality attacks",
             f"guards: {', '.join(f.guards) or 'none'}; redaction: {f.redaction}", bool(f.guards or f.redaction)),
    ]  # fmt: skip
    says = [
        "Regulation (EU) 2024/1689, Article 15, by paragraph, and where in this report its evidence stands. Legal judgement is not ours."
    ]
    return Part("EU AI Act, Article 15", says, Grid(["requirement", "standing", "evidence here"], rows))


def _nist(f: Facts) -> Part:
    scores = sum(1 for m in f.moved if m.current is not None)
    moved = [m for m in f.moved if m.significant]
    labels = sum(f.reviews.values())
    rows = [
        _row("MEASURE 1.1 approaches and metrics are selected; what is not measured is documented",
             f"{counted(len(f.coverage), 'scorer')}, {counted(len(f.monitors), 'monitor')}; what has no score is named in Coverage", bool(f.coverage)),
        _row("MEASURE 1.2 metrics and controls are assessed and updated regularly", _compared(f)[0], _compared(f)[1]),
        _row("MEASURE 1.3 people who did not build it are involved", f"{labels:,} reviews", labels > 0),
        _row("MEASURE 2.1 test sets, metrics and tools are documented", f"gate runs: {dict(f.gates)}", bool(f.gates)),
        _row("MEASURE 2.3 performance is measured and shown for conditions like deployment",
             f"{scores} metrics on the traffic itself", scores > 0),
        _row("MEASURE 2.4 functionality and behaviour are monitored in production",
             f"{counted(len(f.monitors), 'monitor')} over {counted(f.traces, 'trace')}; {counted(len(_fired(f)), 'alert')}", f.traces > 0 and bool(f.monitors)),
        _row("MEASURE 2.5 validity and reliability, and their limits", _compared(f)[0], _compared(f)[1]),
        _row("MEASURE 2.6 safety risks; failing safely", f"incidents: {len(f.incidents)}; actions: {sum(f.actions.values())}",
             bool(f.incidents or f.actions)),
        _row("MEASURE 2.7 security and resilience", f"guards: {', '.join(f.guards)}", bool(f.guards)),
        _row("MEASURE 2.8 transparency and accountability", "owner and runbook of every monitor; audit log of every change", bool(f.monitors)),
        _row("MEASURE 2.10 privacy risk", f"redaction: {f.redaction}; kept: {f.retention}", bool(f.redaction)),
        _row("MEASURE 2.11 fairness and bias", "series by cohort can show it; no metric of fairness is configured by default", False),
        _row("MEASURE 2.12 environmental impact", "not measured by this product", False),
        _row("MEASURE 2.13 effectiveness of the measuring itself",
             f"coverage with intervals; self-monitoring: {', '.join(f.built_in)}", bool(f.built_in)),
        _row("MEASURE 3.1 existing and emergent risks are tracked over time", f"{counted(len(f.incidents), 'incident')}, {counted(len(_fired(f)), 'alert')}", True),
        _row("MEASURE 3.3 feedback of users is gathered",
             ", ".join(m.metric for m in f.moved if "rating" in m.metric or "feedback" in m.metric or "thumb" in m.metric),
             any("rating" in m.metric or "feedback" in m.metric or "thumb" in m.metric for m in f.moved)),
        _row("MEASURE 4.2 results are validated by people of the domain", f"{labels:,} reviews; {_compared(f)[0]}", labels > 0),
        _row("MEASURE 4.3 improvements and declines are identified",
             "; ".join(f"{m.metric} {direction(m)}" for m in moved[:6]) or "compared; nothing moved beyond its interval", scores > 0),
    ]  # fmt: skip
    says = ["NIST AI RMF 1.0, the Measure function, and where in this report its evidence stands."]
    return Part("NIST AI RMF, Measure", says, Grid(["outcome", "standing", "evidence here"], rows))


def markdown(report: Report) -> str:
    """As Markdown; text from anywhere stays text."""
    out = [
        f"# {md(report.title)}: {md(report.project)}",
        "",
        f"{when(report.since_ns)} to {when(report.until_ns)}.",
        "",
    ]
    out += [f"* {md(line)}" for line in report.headline] + [""]
    for part in report.parts:
        out += [f"## {md(part.title)}", ""]
        for line in part.says:
            out += [md(line), ""]
        if part.grid is None or not part.grid.rows:
            out += [md(part.none), ""] if part.none else []
            continue
        out += ["| " + " | ".join(part.grid.columns) + " |", "|" + "---|" * len(part.grid.columns)]
        out += ["| " + " | ".join(md(cell) for cell in row) + " |" for row in part.grid.rows] + [""]
    return "\n".join(out)


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:32px auto;padding:0 16px;color:#171a21}"
    "table{border-collapse:collapse;font-size:13px;width:100%}td,th{border-bottom:1px solid #e4e6eb;padding:4px 8px;"
    "text-align:left;vertical-align:top}th{color:#5a6170;font-weight:600}h2{margin-top:32px;font-size:18px}"
)


def html(report: Report) -> str:
    """As one HTML file without scripts or remote content."""
    out = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(report.title)}: {escape(report.project)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(report.title)}: {escape(report.project)}</h1>"
        f"<p>{when(report.since_ns)} to {when(report.until_ns)}.</p><ul>",
        *(f"<li>{escape(line)}</li>" for line in report.headline),
        "</ul>",
    ]
    for part in report.parts:
        out.append(f"<h2>{escape(part.title)}</h2>" + "".join(f"<p>{escape(x)}</p>" for x in part.says))
        if part.grid is None or not part.grid.rows:
            out.append(f"<p>{escape(part.none)}</p>" if part.none else "")
            continue
        head = "".join(f"<th>{escape(c)}</th>" for c in part.grid.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in part.grid.rows
        )
        out.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    return "\n".join(out)


def last_due(now_ns: int, day: str, hour: int, zone: str) -> int:
    """The latest moment, at or before now, that is this hour of this weekday in a time zone, in ns. An hour that a clock
    change skips is the one after it.

    >>> last_due(1_795_251_600 * 10**9, "monday", 8, "UTC") // 10**9
    1794816000
    """
    there = datetime.fromtimestamp(now_ns // 10**9, UTC).astimezone(ZoneInfo(zone))
    date = there.date() - timedelta(days=(there.weekday() - DAYS.index(day)) % 7)
    for back in (0, 7):
        due = datetime(date.year, date.month, date.day, hour, tzinfo=ZoneInfo(zone)) - timedelta(days=back)
        at = int(due.astimezone(UTC).timestamp()) * 10**9
        if at <= now_ns:
            return at
    raise AssertionError("one of the last two weeks has the hour")


def payload(report: Report) -> dict[str, Any]:
    """The report as a message's payload: what every channel renders from."""
    return {
        "version": 1, "event": "weekly", "status": "ok", "severity": "info",
        "title": f"{report.title}: {report.project}", "summary": report.headline[0] if report.headline else "",
        "lines": report.headline[1:], "alerts": [], "links": {},
        "sections": [
            {
                "title": part.title, "says": list(part.says), "none": part.none,
                "columns": list(part.grid.columns) if part.grid else [],
                "rows": [list(row) for row in part.grid.rows] if part.grid else [],
            }
            for part in report.parts
        ],
    }  # fmt: skip
