"""An incident as the draft of a post-mortem, in Markdown: what is known is written, what people must say is left open."""

from collections.abc import Sequence
from typing import Protocol

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.evidence import direction, side, when
from watchkeeper.alerting.routing import cohort_of_alert
from watchkeeper.alerting.triage import TITLES, share_text
from watchkeeper.model.alert import Alert, Moved
from watchkeeper.model.incident import Triage, Verdict

VERDICTS: dict[Verdict, str] = {
    "explains": "explains it", "contributes": "contributes", "holds": "holds", "not_enough": "not enough data"
}  # fmt: skip


class Line(Protocol):
    """One line of a timeline."""

    @property
    def time_ns(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def text(self) -> str: ...


def md(text: str) -> str:
    """Text from anywhere as one line of Markdown text: nothing in it is a mark, a link, a table cell or HTML.

    >>> md("a|b <img> [x](y)")
    'a\\\\|b &lt;img&gt; \\\\[x\\\\](y)'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + c if c in "\\`*_[]|#~!" else c for c in line)


def quoted(text: str, limit: int = 600) -> str:
    """Text from a trace as an indented block: nothing in it can end the block."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "\n".join(
        "    " + "".join(c if c.isprintable() else " " for c in line) for line in cut.splitlines()
    )


def _moved_row(m: Moved) -> str:
    before = side(m, False, "no baseline")
    now = side(m, True, "no value")
    return f"| {md(m.metric)} | {before} | {now} | {direction(m)} |"


def _alert_part(alert: Alert, content: bool) -> list[str]:
    lines = [
        f"### {md(alert.monitor)} · {md(cohort_words(cohort_of_alert(alert)))}",
        "",
        md(alert.summary),
        "",
    ]
    lines += [md(str(alert.evidence[k])) + "\n" for k in ("holds", "suspicion") if alert.evidence.get(k)]
    lines += [f"Condition: `{alert.condition.replace('`', ' ')}`. Runbook: {md(alert.runbook)}.", ""]
    if alert.moved:
        lines += ["| metric | baseline | during the incident | |", "|---|---|---|---|"]
        lines += [_moved_row(m) for m in alert.moved[:12]] + [""]
    if alert.worst:
        lines.append("Worst traces:\n")
        for w in alert.worst[:3]:
            lines.append(
                f"* `{md(str(w.get('trace_id', '')))}`, {md(str(w.get('shown', w.get('value', ''))))}"
            )
            for key in ("input_text", "output_text") if content else ():
                if w.get(key):
                    lines += ["", quoted(str(w[key])), ""]
        lines.append("")
    return lines


def _triage_part(found: Triage) -> list[str]:
    lines = [md(found.says), ""]
    lines.append(
        f"Compared: {found.n[0]:,} scored traces from {when(found.before[0])} to {when(found.before[1])} with {found.n[1]:,}"
        f" from {when(found.after[0])} to {when(found.after[1])}.\n"
    )
    for step in found.steps:
        lines += [f"* **{TITLES[step.name]}: {VERDICTS[step.verdict]}.** {md(step.says)}"]
    if found.ranked:
        lines += ["", "| factor | before | since | accounts for | |", "|---|---|---|---|---|"]
        for f in found.ranked[:10]:
            m = f.line
            before = side(m, False, "none")
            now = side(m, True, "none")
            lines.append(f"| {md(f.name)} | {before} | {now} | {share_text(f)} | {md(f.note)} |")
    return [*lines, ""]


def render(
    title: str,
    status: str,
    severity: str,
    owner: str,
    opened_ns: int,
    closed_ns: int | None,
    timeline: Sequence[Line],
    alerts: Sequence[Alert],
    triage: Triage | None,
    url: str = "",
    content: bool = True,
    awaited: bool = False,
) -> str:
    """The draft. `content`: whether prompts and outputs may be quoted; `awaited`: whether a triage that is not there will come."""
    onset = min((a.onset_ns for a in alerts if a.onset_ns is not None), default=None)
    began = onset if onset is not None else opened_ns
    length = f", {(closed_ns - began) / 3.6e12:.1f} h after it began" if closed_ns is not None else ""
    ended = f"{when(closed_ns)}{length}" if closed_ns is not None else "not over"
    out = [
        f"# Post-mortem: {md(title)}", "",
        "Draft, written from what was recorded. Lines with *to write* are for people.", "",
        "| | |", "|---|---|",
        f"| Status | {status} |", f"| Severity | {severity} |", f"| Owner | {md(owner)} |",
        f"| Began | {when(began)}{' (estimated)' if onset is not None else ''} |",
        f"| Opened | {when(opened_ns)} |", f"| Resolved | {ended} |",
        *([f"| Incident | {md(url)} |"] if url else []),
        "", "## Summary", "", md(alerts[0].summary) if alerts else "*to write: what happened*", "",
        "## Impact", "", "*to write: who was affected and how; the figures are below*", "",
    ]  # fmt: skip
    for alert in alerts:
        out += _alert_part(alert, content)
    out += ["## Triage", ""]
    missing = "Not computed yet." if awaited else "Not computed: the incident names no metric."
    out += _triage_part(triage) if triage is not None else [missing, ""]
    out += ["## Timeline (UTC)", "", "| when | what | who |", "|---|---|---|"]
    out += [f"| {when(t.time_ns)} | {md(t.kind)}: {md(t.text)} | {md(t.actor)} |" for t in timeline]
    out += [
        "", "## Root cause", "", "*to write; the first suspect is above, and a suspect is not yet a cause*", "",
        "## What went well, what did not", "", "*to write*", "",
        "## Follow-up", "", "- [ ] the worst traces are cases of a dataset that gates the next release",
        "- [ ] the monitor and its runbook said what was needed", "- [ ] *to write*", "",
    ]  # fmt: skip
    return "\n".join(out)
