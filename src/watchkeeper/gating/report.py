"""The gate's verdict as Markdown (ready for a pull request), JUnit XML and terminal lines."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from watchkeeper.gating.contrast import percent

WORDS = {
    "pass": "PASS",
    "fail": "FAIL",
    "not_enough_evidence": "NOT ENOUGH EVIDENCE",
    "not_calibrated": "NOT CALIBRATED",
}
SHOWN = ("reviewed_failures", "every_case")
MARKS = {"pass": "✓", "fail": "✗", "not_enough_evidence": "?", "not_calibrated": "◇"}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _plain(text: str, limit: int = 160) -> str:
    """Untrusted text on one line of a Markdown table: no markup, no cell breaks, no mentions."""
    flat = " ".join(text.split())
    for character in "\\`*_[]<>|#@!":
        flat = flat.replace(character, f"\\{character}")
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def change(metric: Mapping[str, Any]) -> str:
    """A metric's change against the baseline with its interval, or its own value where there is no baseline."""
    if metric.get("difference") is None:
        return _number(metric.get("mean"))
    return (
        f"{_number(metric.get('baseline_mean'))} → {_number(metric.get('mean'))} "
        f"({metric['difference']:+.3g}, one-sided 95 % bounds {_number(metric.get('low'))} to {_number(metric.get('high'))})"
    )


def _behind(row: Mapping[str, Any]) -> str:
    """Who owns a regression, how bad it was and which trace it came from, as far as that is known."""
    known = [
        f"{k} {row[name]}"
        for k, name in (("owner", "owner"), ("severity", "severity"), ("trace", "trace_id"))
        if row.get(name)
    ]
    return f"  [{', '.join(known)}]" if known else ""


def lines(experiment: Mapping[str, Any]) -> list[str]:
    """The verdict for a terminal: one line a metric, then the worst regressions."""
    verdict = str(experiment.get("verdict"))
    out = [
        f"{WORDS.get(verdict, verdict)}  {experiment['name']}: {experiment['target']} on "
        f"{experiment['dataset']} v{experiment['dataset_version']} ({experiment['n_cases']} cases)"
    ]
    metrics: Sequence[Mapping[str, Any]] = experiment["metrics"]
    quiet = [
        m
        for m in metrics
        if m["kind"] == "deterministic" and m["outcome"] == "pass" and m["scorer"] not in SHOWN
    ]
    for metric in metrics:
        if metric not in quiet:
            out.append(f"  {MARKS[metric['outcome']]} {metric['scorer']:<20} {metric['explanation']}")
            if metric.get("difference") is not None:
                out.append(f"{'':25}{change(metric)}")
    if quiet:
        out.append(
            f"  {MARKS['pass']} {len(quiet)} checks pass on every case: {', '.join(m['scorer'] for m in quiet)}"
        )
    for row in experiment["regressions"][:5]:
        out.append(
            f"    {row['case_id']} {row['scorer']}: {row['was']} → {row['now']}  {str(row['input'] or '')[:70]}"
            f"{_behind(row)}"
        )
    if experiment.get("needed"):
        out.append(f"  about {experiment['needed']} more cases would settle it")
    return out


def markdown(experiment: Mapping[str, Any], url: str | None = None) -> str:
    """A summary for a pull request comment."""
    verdict = str(experiment.get("verdict"))
    title = f"## {MARKS.get(verdict, '')} Watchkeeper gate: {WORDS.get(verdict, verdict)}"
    out = [
        title,
        "",
        f"`{_plain(str(experiment['target']))}` on `{_plain(str(experiment['dataset']))}` "
        f"v{experiment['dataset_version']}, {experiment['n_cases']} cases"
        + (
            f", compared with `{_plain(str(experiment['baseline_name']))}`"
            if experiment.get("baseline_name")
            else ""
        ),
        "",
        "| | metric | change | n | |",
        "|---|---|---|---|---|",
    ]
    out += [
        f"| {MARKS[m['outcome']]} | {_plain(m['scorer'])} | {change(m)} | {m['n']} | {_plain(m['explanation'])} |"
        for m in experiment["metrics"]
    ]
    regressions: Sequence[Mapping[str, Any]] = experiment["regressions"]
    if regressions:
        out += [
            "",
            f"### Regressions ({len(regressions)})",
            "",
            "| case | scorer | was → now | input | owner | severity |",
        ]
        out.append("|---|---|---|---|---|---|")
        out += [
            f"| {_case_link(r, url)} | {_plain(r['scorer'])} | {r['was']} → {r['now']} | {_plain(str(r['input'] or ''))} "
            f"| {_plain(r.get('owner') or '–')} | {_plain(r.get('severity') or '–')} |"
            for r in regressions[:20]
        ]
    if experiment.get("needed"):
        out += ["", f"About {experiment['needed']} more cases would settle it."]
    if url:
        out += ["", f"[Details]({url})"]
    return "\n".join(out) + "\n"


def _case_link(row: Mapping[str, Any], url: str | None) -> str:
    if url and row.get("trace_id"):
        base = url.split("/experiments/")[0]
        return f"[{row['case_id']}]({base}/traces/{row['trace_id']})"
    return f"{row['case_id']}"


SIGNS = {"worse": "▼", "better": "▲", "unclear": "·", "equal": "="}


def _changed(change: Mapping[str, Any]) -> str:
    share = ""
    if change["relative"] is not None:
        share = f"{percent(change['relative'])} ({percent(change['relative_low'])} to {percent(change['relative_high'])})"
    elif change["low"] is not None:
        share = f"{change['difference']:+.3g} ({change['low']:+.3g} to {change['high']:+.3g})"
    return share or "no interval"


def compared_lines(found: Mapping[str, Any]) -> list[str]:
    """A comparison for a terminal: the sentence, a line a figure, then the cases that got worse."""
    out = [
        f"{found['after']['name']} against {found['before']['name']}: {found['n']} cases, {found['sessions']} sessions",
        f"  {found['headline']}",
    ]
    equal = [c for c in found["changes"] if c["direction"] == "equal"]
    for c in found["changes"]:
        if c not in equal:
            values = f"{_number(c['before'])} → {_number(c['after'])}"
            out.append(
                f"  {SIGNS[c['direction']]} {c['metric']:<22} {values:<18} {_changed(c)}  n = {c['n']}"
            )
    if equal:
        out.append(
            f"  = {len(equal)} figures are the same on every case: {', '.join(c['metric'] for c in equal)}"
        )
    out += [f"  not compared, scored by another version: {name}" for name in found["other_version"]]
    left = found["left_out"]
    if any(left.values()):
        out.append(
            f"  left out: {left['changed_cases']} cases that ask something else by now, {left['only_before']} only in "
            f"the first run, {left['only_after']} only in the second"
        )
    worse = [c for c in found["cases"] if c["worse"]]
    for case in worse[:8]:
        what = ", ".join(
            f"{n} {v['before']:.3g} → {v['after']:.3g}" for n, v in case["changes"].items() if v["worse"]
        )
        out.append(f"    {case['case_id']}  {what or case['error']}  {str(case['input'] or '')[:70]}")
    if len(worse) > 8:
        out.append(f"    and {len(worse) - 8} more cases got worse")
    return out


def compared_markdown(found: Mapping[str, Any]) -> str:
    """A comparison for a pull request comment."""
    out = [
        f"## {_plain(str(found['after']['name']))} against {_plain(str(found['before']['name']))}",
        "",
        f"{_plain(str(found['headline']), 600)}",
        "",
        "| | figure | before → after | change (95 % CI) | n |",
        "|---|---|---|---|---|",
    ]
    out += [
        f"| {SIGNS[c['direction']]} | {_plain(c['metric'])} | {_number(c['before'])} → {_number(c['after'])} | {_changed(c)} | {c['n']} |"
        for c in found["changes"]
        if c["direction"] != "equal"
    ]
    worse = [c for c in found["cases"] if c["worse"]]
    if worse:
        out += ["", f"### Worse ({len(worse)})", "", "| case | what | input | owner |", "|---|---|---|---|"]
        for case in worse[:20]:
            what = ", ".join(
                f"{n} {v['before']:.3g} → {v['after']:.3g}" for n, v in case["changes"].items() if v["worse"]
            )
            out.append(
                f"| {case['case_id']} | {_plain(what or str(case['error']))} | {_plain(str(case['input'] or ''))} "
                f"| {_plain(case.get('owner') or '–')} |"
            )
    return "\n".join(out) + "\n"


def junit(experiment: Mapping[str, Any]) -> str:
    """JUnit XML: one test a metric and one a regression, so that CI shows them by name."""
    cases: list[str] = []
    failures = skipped = 0
    for metric in experiment["metrics"]:
        name = quoteattr(str(metric["scorer"]))
        body = ""
        if metric["outcome"] == "fail":
            failures += 1
            body = (
                f"<failure message={quoteattr(str(metric['explanation']))}>{escape(change(metric))}</failure>"
            )
        elif metric["outcome"] == "not_enough_evidence":
            skipped += 1
            body = f"<skipped message={quoteattr('not enough evidence: ' + str(metric['explanation']))}/>"
        cases.append(f'<testcase classname="watchkeeper.gate" name={name}>{body}</testcase>')
    for row in experiment["regressions"]:
        failures += 1
        message = quoteattr(f"{row['scorer']}: {row['was']} → {row['now']}")
        cases.append(
            f'<testcase classname="watchkeeper.regressions" name={quoteattr(str(row["case_id"]) + " " + str(row["scorer"]))}>'
            f"<failure message={message}>{escape(str(row['input'] or ''))}{escape(_behind(row))}</failure></testcase>"
        )
    head = f'tests="{len(cases)}" failures="{failures}" skipped="{skipped}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites {head}><testsuite name={quoteattr(str(experiment['name']))} {head}>"
        + "".join(cases)
        + "</testsuite></testsuites>\n"
    )
