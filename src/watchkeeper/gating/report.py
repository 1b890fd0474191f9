"""The gate's verdict as Markdown (ready for a pull request), JUnit XML and terminal lines."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from watchkeeper.gating.contrast import percent
from watchkeeper.model.numerals import counted, figure

WORDS = {
    "pass": "PASS",
    "fail": "FAIL",
    "not_enough_evidence": "NOT ENOUGH EVIDENCE",
    "not_calibrated": "NOT CALIBRATED",
}
SHOWN = ("reviewed_failures", "every_case")
MARKS = {"pass": "✓", "fail": "✗", "not_enough_evidence": "?", "not_calibrated": "◇"}


def _number(value: float | None) -> str:
    return "–" if value is None else figure(value)


# What a terminal acts on and XML cannot hold.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def _flat(text: object) -> str:
    """Untrusted text on one line, without control characters."""
    return " ".join(_CONTROL.sub("\ufffd", str(text)).split())


def _plain(text: str, limit: int = 160) -> str:
    """Untrusted text on one line of a Markdown table: no markup, no cell breaks, no mentions."""
    flat = _flat(text)
    for character in "\\`*_[]<>|#@!":
        flat = flat.replace(character, f"\\{character}")
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _bounds(metric: Mapping[str, Any]) -> str:
    if metric.get("low") is None or metric.get("high") is None:
        return "too few sessions for an interval"
    return f"one-sided 95 % bounds {_number(metric['low'])} to {_number(metric['high'])}"


def change(metric: Mapping[str, Any]) -> str:
    """A metric's change against the baseline with its interval, or its own value where there is no baseline."""
    if metric.get("difference") is None:
        return _number(metric.get("mean"))
    return (
        f"{_number(metric.get('baseline_mean'))} → {_number(metric.get('mean'))} "
        f"({figure(metric['difference'], sign=True)}, {_bounds(metric)})"
    )


def failing(experiment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The cases behind every check that fails the run, with the reason, but for those told as regressions already."""
    told = {(row["case_id"], row["scorer"]) for row in experiment["regressions"]}
    results = {result["case_id"]: result for result in experiment.get("results", ())}
    rows: list[dict[str, Any]] = []
    for metric in experiment["metrics"]:
        name = metric["scorer"]
        if metric["kind"] != "deterministic" or metric["outcome"] != "fail" or name in SHOWN:
            continue
        for case_id in metric.get("failed_cases", ()):
            if (case_id, name) not in told:
                result = results.get(case_id, {})
                reason = result.get("scores", {}).get(name, {}).get("reason") or result.get("error")
                rows.append({"case_id": case_id, "scorer": name, "reason": reason, **_about(result)})
    return rows


def _about(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result.get(name) for name in ("input", "owner", "severity", "trace_id")}


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
        f"{experiment['dataset']} v{experiment['dataset_version']} ({counted(experiment['n_cases'])})"
    ]
    metrics: Sequence[Mapping[str, Any]] = experiment["metrics"]
    quiet = [
        m
        for m in metrics
        if m["kind"] == "deterministic" and m["outcome"] == "pass" and m["scorer"] not in SHOWN
    ]
    for metric in metrics:
        if metric not in quiet:
            out.append(f"  {MARKS[metric['outcome']]} {metric['scorer']:<20} {_flat(metric['explanation'])}")
            if metric.get("difference") is not None:
                out.append(f"{'':25}{change(metric)}")
    if quiet:
        out.append(
            f"  {MARKS['pass']} {len(quiet)} checks pass on every case: {', '.join(m['scorer'] for m in quiet)}"
        )
    for row in experiment["regressions"][:5]:
        out.append(
            f"    {row['case_id']} {row['scorer']}: {row['was']} → {row['now']}  {_flat(row['input'] or '')[:70]}"
            f"{_behind(row)}"
        )
    for row in failing(experiment)[:5]:
        out.append(
            f"    {row['case_id']} {row['scorer']}: {_why(row)}  {_flat(row['input'] or '')[:70]}{_behind(row)}"
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
        f"v{experiment['dataset_version']}, {counted(experiment['n_cases'])}"
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
    rows = failing(experiment)
    if rows:
        out += [
            "",
            f"### Failing cases ({len(rows)})",
            "",
            "| case | scorer | why | input | owner | severity |",
        ]
        out.append("|---|---|---|---|---|---|")
        out += [
            f"| {_case_link(r, url)} | {_plain(r['scorer'])} | {_plain(_why(r))} | {_plain(str(r['input'] or ''))} "
            f"| {_plain(r['owner'] or '–')} | {_plain(r['severity'] or '–')} |"
            for r in rows[:20]
        ]
    if experiment.get("needed"):
        out += ["", f"About {experiment['needed']} more cases would settle it."]
    if url:
        out += ["", f"[Details]({url})"]
    return "\n".join(out) + "\n"


def _why(row: Mapping[str, Any]) -> str:
    return _flat(row["reason"] or "fails")[:160]


def _case_link(row: Mapping[str, Any], url: str | None) -> str:
    name = _plain(str(row["case_id"])).replace("\\_", "_")
    if url and row.get("trace_id"):
        base = url.split("/experiments/")[0]
        return f"[{name}]({base}/traces/{row['trace_id']})"
    return name


SIGNS = {"worse": "▼", "better": "▲", "moved": "↔", "unclear": "·", "equal": "="}


def _changed(change: Mapping[str, Any]) -> str:
    share = ""
    if change["relative"] is not None:
        share = f"{percent(change['relative'])} ({percent(change['relative_low'])} to {percent(change['relative_high'])})"
    elif change["low"] is not None:
        share = " to ".join(figure(change[k], sign=True) for k in ("low", "high"))
        share = f"{figure(change['difference'], sign=True)} ({share})"
    return share or "no interval"


def compared_lines(found: Mapping[str, Any]) -> list[str]:
    """A comparison for a terminal: the sentence, a line a figure, then the cases that got worse."""
    out = [
        f"{found['after']['name']} against {found['before']['name']}: {counted(found['n'])}, {counted(found['sessions'], 'session')}",
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
            f"  left out: {counted(left['changed_cases'])} that ask something else by now, {left['only_before']} only in "
            f"the first run, {left['only_after']} only in the second"
        )
    worse = [c for c in found["cases"] if c["worse"]]
    for case in worse[:8]:
        what = ", ".join(
            f"{n} {_number(v['before'])} → {_number(v['after'])}"
            for n, v in case["changes"].items()
            if v["worse"]
        )
        out.append(
            f"    {case['case_id']}  {what or _flat(case['error'])}  {_flat(case['input'] or '')[:70]}"
        )
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
                f"{n} {_number(v['before'])} → {_number(v['after'])}"
                for n, v in case["changes"].items()
                if v["worse"]
            )
            out.append(
                f"| {_case_link(case, None)} | {_plain(what or str(case['error']))} | {_plain(str(case['input'] or ''))} "
                f"| {_plain(case.get('owner') or '–')} |"
            )
    return "\n".join(out) + "\n"


def junit(experiment: Mapping[str, Any]) -> str:
    """JUnit XML: one test a metric, one a case that fails the run and one a regression, so that CI shows them by name. A
    regression is a failure where its metric is one: a case that got worse does not fail a run that passed."""
    cases: list[str] = []
    failures = skipped = 0
    decided: set[str] = set()
    for metric in experiment["metrics"]:
        body = ""
        if metric["outcome"] == "fail":
            failures += 1
            decided.add(metric["scorer"])
            body = f"<failure message={_attribute(metric['explanation'])}>{escape(change(metric))}</failure>"
        elif metric["outcome"] == "not_enough_evidence":
            skipped += 1
            body = f"<skipped message={_attribute('not enough evidence: ' + str(metric['explanation']))}/>"
        cases.append(_test("gate", metric["scorer"], body))
    for row in experiment["regressions"]:
        message, about = f"{row['scorer']}: {row['was']} → {row['now']}", _input(row)
        returned = row["was"] == "failed live" and "reviewed_failures" in decided
        if row["scorer"] in decided or returned:
            failures += 1
            body = f"<failure message={_attribute(message)}>{about}</failure>"
        else:
            body = f"<system-out>{escape(_flat(message))} {about}</system-out>"
        cases.append(_test("regressions", f"{row['case_id']} {row['scorer']}", body))
    for row in failing(experiment):
        failures += 1
        body = f"<failure message={_attribute(_why(row))}>{_input(row)}</failure>"
        cases.append(_test("failures", f"{row['case_id']} {row['scorer']}", body))
    head = f'tests="{len(cases)}" failures="{failures}" skipped="{skipped}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites {head}><testsuite name={_attribute(experiment['name'])} {head}>"
        + "".join(cases)
        + "</testsuite></testsuites>\n"
    )


def _attribute(text: object) -> str:
    return quoteattr(_flat(text))


def _input(row: Mapping[str, Any]) -> str:
    return escape(_flat(row["input"] or "") + _behind(row))


def _test(group: str, name: object, body: str) -> str:
    return f'<testcase classname="watchkeeper.{group}" name={_attribute(name)}>{body}</testcase>'
