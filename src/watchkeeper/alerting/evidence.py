"""What an alert says: what changed, what else moved and what did not, which traces, which change came first."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote as url_quote

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.units import unit_of_metric
from watchkeeper.model.alert import Alert, Deploy, Moved
from watchkeeper.model.numerals import figure
from watchkeeper.model.score import THUMBS, TROUBLE
from watchkeeper.model.series import Cohort, Estimate, Insufficient, cohort_of, cohort_text
from watchkeeper.model.times import DAY, HOUR

# What sums of one and the same value leave over is no width.
ROUNDING = 1e-6
UPTIME = ("traces", "error_rate", "latency_ms", "ttft_ms", "tool_error_rate")
# A share within each answer, of its words or numbers: no answer passes or fails it.
_WITHIN = frozenset(("numbers_in_context", "token_overlap"))
_LESS_IS_BETTER = ("_ms", "_rate", "cost", "_tokens", "_cost", "_usd")


def when(ns: int) -> str:
    """A time for people, UTC: "Tue 3 Nov 14:00 UTC"."""
    moment = datetime.fromtimestamp(ns / 1e9, UTC)
    return f"{moment:%a} {moment.day} {moment:%b %H:%M} UTC"


def iso(ns: int | None) -> str | None:
    """A time for machines, UTC."""
    return None if ns is None else datetime.fromtimestamp(ns / 1e9, UTC).isoformat().replace("+00:00", "Z")


def less_is_better(metric: str) -> bool | None:
    """Does a rise of this metric mean worse? True for durations, rates of trouble, money; None where only its
    scorer knows (most scores: more is better)."""
    if metric == "traces":
        return None
    return (
        metric in TROUBLE or metric.startswith(("error_class:", "cost")) or metric.endswith(_LESS_IS_BETTER)
    )


def show(metric: str, value: float, unit: str = "") -> str:
    """A value with its unit, that of the metric's name where none is given: 92 %, 1.2 s, $0.004, 8.2."""
    unit = unit or unit_of_metric(metric) or ""
    if unit == "rate":
        return f"{value * 100:.3g} %"
    if unit == "ms":
        return f"{value / 1000:.3g} s" if abs(value) >= 1000 else f"{value:.3g} ms"
    return f"${figure(value)}" if unit == "USD" else figure(value)


def ends(metric: str, low: float, high: float, unit: str = "") -> str:
    """The ends of an interval in a sentence: "6.3 to 6.7"."""
    return f"{show(metric, _possible(metric, low, unit), unit)} to {show(metric, high, unit)}"


def _possible(metric: str, low: float, unit: str) -> float:
    """The lower end of an interval, which for money, durations, rates and counts is zero at the least."""
    return max(low, 0.0) if unit or unit_of_metric(metric) else low


def span(metric: str, found: Estimate, unit: str = "") -> str:
    """An estimate with interval and n in a sentence: "6.5 (6.3 to 6.7, n 412)"."""
    return f"{show(metric, found.value, unit)} ({ends(metric, found.low, found.high, unit)}, n {found.n:,})"


def measured(metric: str, value: float, low: float | None, high: float | None, n: int, unit: str = "") -> str:
    """A value with interval and n in a table, with the digits that the interval justifies: "6.5 ± 0.2 · n 412", or where the
    interval is lopsided "0.44 % (0.22–0.91) · n 1,579"."""
    if low is None or high is None:
        return f"{show(metric, value, unit)} · n {n:,}"
    low, unit = _possible(metric, low, unit), unit or unit_of_metric(metric) or ""
    scale, after = _scale(value, unit)
    if max(high - value, value - low) < ROUNDING * abs(value):
        return f"{show(metric, value, unit)} ± 0 · n {n:,}"
    wide, short = (f(high - value, value - low) * scale for f in (max, min))
    places = _places(value, low, high, unit)

    def write(x: float) -> str:
        return _write(x, unit, scale, places)

    even = wide - short <= 0.25 * wide and (wide == 0 or round(wide, places) > 0)
    around = f"± {write(wide / scale)}" if even else f"({write(low)}–{write(high)})"
    return f"{write(value)}{after} {around} · n {n:,}"


def _scale(value: float, unit: str) -> tuple[float, str]:
    """By what a value of this unit is multiplied to be written, and what follows it."""
    if unit == "rate":
        return 100, " %"
    if unit == "ms":
        return (0.001, " s") if abs(value) >= 1000 else (1, " ms")
    return 1, ""


def _places(value: float, low: float, high: float, unit: str) -> int:
    """The decimal places that an interval justifies: its first digit, two where that is a 1."""
    scale, _ = _scale(value, unit)
    up, down = (high - value) * scale, (value - low) * scale
    wide, short = max(up, down), min(up, down)
    spread = short if 0 < short < 0.75 * (up + down) / 2 else wide
    most = 2 if unit == "rate" else 10
    return min(most, max(0, -math.floor(math.log10(spread / 2) + 1e-9))) if spread > 0 else 2


def _write(value: float, unit: str, scale: float, places: int) -> str:
    exact = value == 0 or (value == 1 and unit == "rate")
    text = f"{'$' if unit == 'USD' else ''}{value * scale:,.{0 if exact else places}f}"
    return ">99.99" if unit == "rate" and text == "100.00" else text


def share_of(scorer: str) -> str:
    """What a share of this scorer's is the share of, in a word: `tool_error 98 %` alone would read as its opposite. Empty where the
    name says it."""
    if scorer in TROUBLE or scorer in _WITHIN or unit_of_metric(scorer) is not None:
        return ""
    return "up" if scorer in THUMBS else "pass"


def side(line: Moved, now: bool, unknown: str) -> str:
    """One side of a comparison with interval and n; `unknown` where there is no value."""
    value, low, high, n = (
        (line.current, line.current_low, line.current_high, line.current_n)
        if now
        else (line.baseline, line.baseline_low, line.baseline_high, line.baseline_n)
    )
    return unknown if value is None else measured(line.metric, value, low, high, n, line.unit)


def moved(
    metric: str,
    baseline: Estimate | Insufficient,
    current: Estimate | Insufficient,
    compared: int = 1,
    unit: str = "",
) -> Moved:
    """One line of the comparison, in `unit` or the one the metric's name promises. Both estimates at 95 %; significant when the
    MOVER interval of the difference, widened for the number of metrics `compared`, leaves out zero."""
    unit = unit or unit_of_metric(metric) or ""
    b = baseline if isinstance(baseline, Estimate) else None
    c = current if isinstance(current, Estimate) else None
    significant = False
    if b is not None and c is not None:
        # 1.96 → the two-sided normal quantile at 0.05 / compared, by a bound that is close for 1 to 100 metrics.
        widen = math.sqrt(1 + 0.52 * math.log(max(compared, 1)))
        d = c.value - b.value
        down = math.hypot(c.value - c.low, b.high - b.value) * widen
        up = math.hypot(c.high - c.value, b.value - b.low) * widen
        significant = d - down > 0 or d + up < 0
    return Moved(
        metric,
        b.value if b else None,
        b.low if b else None,
        b.high if b else None,
        baseline.n,
        c.value if c else None,
        c.low if c else None,
        c.high if c else None,
        current.n,
        unit,
        significant,
    )


def direction(line: Moved) -> str:
    """ "fell", "rose", "held" or "unknown"."""
    if line.baseline is None or line.current is None:
        return "unknown"
    if not line.significant:
        return "held"
    return "fell" if line.current < line.baseline else "rose"


def worse(line: Moved) -> bool:
    """Did it move the wrong way? Where only the scorer knows which way is wrong, any fall counts."""
    went = direction(line)
    return went == ("rose" if less_is_better(line.metric) else "fell")


def what_changed(
    monitor: str,
    cohort: Cohort,
    metric: str,
    baseline: Estimate | Insufficient,
    current: Estimate | Insufficient,
    onset: int | None,
    unit: str = "",
    broke: Sequence[str] = (),
) -> str:
    """The one sentence of the alert: what, for whom, from what to what, since when. What `broke` and is not the metric's own level (a
    percentile, a share, an event) comes first: the level may be far from the limit that was passed."""
    if broke:
        whose = f" for {cohort_words(cohort)}" if cohort else ""
        at = f" since {when(onset)}" if onset is not None else ""
        level = f" The mean of {what_changed(monitor, (), metric, baseline, current, None, unit)}"
        return f"{'; '.join(broke)}{whose}{at}." + ("" if isinstance(current, Insufficient) else level)
    subject = f"{metric} for {cohort_words(cohort)}" if cohort else metric
    since = f" since {when(onset)}" if onset is not None else ""
    if isinstance(current, Insufficient):
        return f"{subject}: {monitor}{since}; no current value ({current.reason})."
    if isinstance(baseline, Insufficient):
        return f"{subject} is {span(metric, current, unit)}{since}."
    verb = "fell" if current.value < baseline.value else "rose"
    was, now = span(metric, baseline, unit), span(metric, current, unit)
    return f"{subject} {verb} from {was} to {now}{since}."


def headline(
    cohort: Cohort,
    metric: str,
    baseline: Estimate | Insufficient,
    current: Estimate | Insufficient,
    unit: str = "",
    broke: Sequence[str] = (),
) -> str:
    """The alert in one line without its intervals, for a title; "" when there are no two values to compare."""
    if broke:
        return "; ".join(broke) + (f" for {cohort_words(cohort)}" if cohort else "")
    if isinstance(current, Insufficient) or isinstance(baseline, Insufficient):
        return ""
    verb = "fell" if current.value < baseline.value else "rose"
    subject = f" for {cohort_words(cohort)}" if cohort else ""
    unit = unit or unit_of_metric(metric) or ""
    sides = (baseline, current)
    scales = [_scale(e.value, unit) for e in sides]
    # Both with the digits of the one that is known less well: "from 8.3 to 5.5", not "from 8.31 to 5.53" where that is ± 1.5.
    places = min(_places(e.value, e.low, e.high, unit) for e in sides) if scales[0] == scales[1] else None
    was, now = (
        show(metric, e.value, unit) if places is None else f"{_write(e.value, unit, scale, places)}{after}"
        for e, (scale, after) in zip(sides, scales, strict=True)
    )
    if was == now:
        was, now = (show(metric, e.value, unit) for e in sides)
    return f"{metric} {verb} from {was} to {now}{subject}"


def what_holds(lines: Sequence[Moved], alerting: Iterable[str] = ()) -> str:
    """A sentence about everything else, so that the reader need not look: what moved with it, what holds, and
    whether uptime alone would have shown anything."""
    others = [line for line in lines if line.metric not in set(alerting)]
    also = [f"{line.metric} {direction(line)}" for line in others if direction(line) in ("fell", "rose")]
    holds = [line.metric for line in others if direction(line) == "held"]
    uptime = [line for line in lines if line.metric in UPTIME and direction(line) != "unknown"]
    parts: list[str] = []
    if also:
        parts.append(f"Also moved: {', '.join(also)}.")
    if holds:
        parts.append(f"Held: {', '.join(holds)}.")
    if uptime and not any(worse(line) for line in uptime):
        parts.append(f"Uptime metrics are all green ({', '.join(line.metric for line in uptime)}).")
    return " ".join(parts)


@dataclass(frozen=True)
class Suspect:
    """A change near the onset, why it is suspected, and how long before the onset it was made (ns)."""

    deploy: Deploy
    reason: str
    before: int


def suspects(
    deploys: Iterable[Deploy], cohort: Cohort, onset: int, now: int, tick: int = HOUR, back: int = DAY
) -> tuple[Suspect, ...]:
    """Changes from `back` before the onset until now, first suspect first.

    A change whose version is the cohort's own value leads; then the last one before the onset. The onset is known to
    a tick, so a change made within a tick after it can still be its cause; later ones come last.
    """
    values = {value for _, value in cohort}
    found: list[tuple[tuple[int, int], Suspect]] = []
    for deploy in deploys:
        before = onset - deploy.time_ns
        named = deploy.version in values
        if not (onset - back <= deploy.time_ns <= now or (named and deploy.time_ns <= now)):
            continue
        causal = before >= -tick
        if named and causal:
            rank, reason = 0, f"it introduced {deploy.version}, the cohort that changed"
        elif causal:
            rank, reason = 1, "the last change before it began"
        else:
            rank, reason = 2, "made after it began"
        found.append(((rank, abs(before)), Suspect(deploy, reason, before)))
    return tuple(s for _, s in sorted(found, key=lambda item: item[0]))


def suspicion(found: Sequence[Suspect]) -> str:
    """A sentence naming the first suspect, or saying that there is none."""
    if not found:
        return "No deployment or configuration change is recorded near the onset."
    first = found[0]
    note = f" ({first.deploy.note})" if first.deploy.note else ""
    made = when(first.deploy.time_ns)
    return f"First suspect: {first.deploy.name} {first.deploy.version}{note}, {made}: {first.reason}."


def links(base: str, alert: Alert, metric: str, since: int | None, down: bool) -> dict[str, str]:
    """Addresses of the pages that show this alert, its series, and its traces with the worst first. `base` is the server's public
    URL; `down` says that low values of the metric are the bad ones."""
    base = base.rstrip("/")
    where = f"project={url_quote(alert.project)}"
    since_then = f"{where}&cohort={url_quote(cohort_text(cohort_of(alert.cohort)))}&since={url_quote(iso(since) or '')}"
    return {
        "alert": f"{base}/alerts/{alert.id}?{where}",
        "series": f"{base}/quality/{url_quote(metric, safe='')}?{since_then}",
        "traces": f"{base}/traces?{since_then}&sort={'' if down else '-'}{url_quote(metric)}",
    }


def worst_rows(
    rows: Iterable[dict[str, Any]], limit: int = 5, text: int = 400, metric: str = "", unit: str = ""
) -> list[dict[str, Any]]:
    """The worst traces as they travel in an alert: ids, value, how it is shown in the metric's unit, and the beginning of input and
    output. Of a rate one trace is a part: its 0 or 1 is no share."""
    unit = unit or unit_of_metric(metric) or ""
    kept: list[dict[str, Any]] = []
    for row in rows:
        if len(kept) == limit:
            break
        out = dict(row)
        value = out.get("value")
        if isinstance(value, int | float):
            out["shown"] = figure(value) if unit == "rate" else show(metric, value, unit)
        for key in ("input_text", "output_text"):
            value = out.get(key)
            if isinstance(value, str) and len(value) > text:
                out[key] = value[:text] + "…"
        kept.append(out)
    return kept
