"""Is it still working? One sentence a scenario, then health, quality, cost and failures."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.responses import Response

from watchkeeper.model.alert import Alert
from watchkeeper.server.routing import Call, route
from watchkeeper.store.records import alerts as alert_records
from watchkeeper.web import data, estimate, humane
from watchkeeper.web.charts.inline import Spark, spark
from watchkeeper.web.charts.spec import Dot
from watchkeeper.web.data import Series
from watchkeeper.web.estimate import Estimate
from watchkeeper.web.metrics import ERRED
from watchkeeper.web.pages.common import answer, monitors_of, reading_of
from watchkeeper.web.pages.signals import distinct
from watchkeeper.web.view import BUCKETS, View, view_of

# How many series the page draws; worse ones come first.
MOST_SERIES: Final = 24


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is known of one scenario, for someone who has five seconds; `quiet` where no alert says anything."""

    tone: str
    scenario: str
    words: str
    detail: str
    href: str
    brief: str = ""
    named: bool = True

    @property
    def quiet(self) -> bool:
        return bool(self.brief)


@dataclass(frozen=True, slots=True)
class Stat:
    """One figure with its course over the range and what it was before."""

    title: str
    value: Estimate
    before: str
    spark: Spark
    href: str
    tone: str = ""


def _health(found: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    now: dict[str, Any] = {}
    then: dict[str, Any] = {}
    for row in found:
        (now if row["current"] else then).update(row)
    return now, then


def _quantile(row: Mapping[str, Any], name: str, n: str) -> Estimate:
    if not row or not row.get(n):
        return estimate.unknown(
            "no call in this range says how long it took"
            if n == "timed"
            else "no call in this range reports it",
            "ms",
        )
    return estimate.quantile(row[name], row[f"{name}_low"], row[f"{name}_high"], int(row[n]))


def _share(row: Mapping[str, Any]) -> Estimate:
    if not row.get("n"):
        return estimate.proportion(0, 0)
    return estimate.share(row["bad"], row["bad_w2"], row["n_w"], row["n_w2"], int(row["n"]))


def _mean_cost(row: Mapping[str, Any]) -> Estimate:
    if not row or not row.get("cost_n"):
        return estimate.unknown("no call in this range has a known price", "money")
    each = {"n": row["cost_n"], "sw": row["cost_w"], "sw2": row["cost_w2"]}
    sums = {
        "swx": row["cost_sum"],
        "swx2": row["cost_x2"],
        "sw2x": row["cost_w2x"],
        "sw2x2": row["cost_w2x2"],
    }
    thousand = {name: value * 1000 ** (2 if name.endswith("x2") else 1) for name, value in sums.items()}
    return estimate.from_sums({**each, **thousand}, "money")


def _before(text: str) -> str:
    return f"before: {text}"


def _worse(now: Estimate, then: Estimate) -> str:
    higher = (now.value or 0) > (then.value or 0)
    return ("bad" if higher else "good") if now.apart_from(then) else ""


def _course(view: View, traffic: Sequence[Mapping[str, Any]], value: str, n: str = "n") -> Spark:
    by_start = {int(r["start"]): r for r in traffic}
    step = _coarse(view) * humane.NS
    made: list[Dot] = []
    for start in range(view.range.since_ns // step * step, view.range.until_ns, step):
        row = by_start.get(start)
        if row is None:
            made.append(Dot(start, 0.0 if value == "n_w" else None, None, None, 0))
            continue
        if value == "share":
            raw = row["bad"] / row["n_w"]
        else:
            raw = row[value]
        made.append(Dot(start, None if raw is None or not row[n] else float(raw), None, None, int(row[n])))
    return spark(made, 232, 36, zero=value in ("n_w", "share", "cost_sum", "tokens_in", "tokens_out"))


def health_stats(
    view: View, found: Sequence[Mapping[str, Any]], traffic: Sequence[Mapping[str, Any]]
) -> list[Stat]:
    """Volume, errors, p95 latency and time to first token, against the range before."""
    now, then = _health(found)
    seen = estimate.total(now.get("n_w", 0), now.get("n_noise"), int(now.get("n") or 0))
    link = view.url("/traces")
    errors, errors_before = _share(now), _share(then)
    p95, p95_before = _quantile(now, "p95", "timed"), _quantile(then, "p95", "timed")
    ttft, ttft_before = _quantile(now, "ttft", "ttft_n"), _quantile(then, "ttft", "ttft_n")
    failed = view.url("/traces", where=ERRED)
    return [
        Stat(
            "Traces",
            seen if now else Estimate(0.0, unit="count"),
            _before(humane.compact(round(then.get("n_w", 0)))),
            _course(view, traffic, "n_w"),
            link,
        ),
        Stat(
            "Errors",
            errors,
            _before(errors_before.text),
            _course(view, traffic, "share"),
            failed,
            _worse(errors, errors_before),
        ),
        Stat(
            "p95 latency",
            p95,
            _before(p95_before.text),
            _course(view, traffic, "p95", "timed"),
            view.url("/traces", sort="duration"),
            _worse(p95, p95_before),
        ),
        Stat(
            "First token, median",
            ttft,
            _before(ttft_before.text),
            _course(view, traffic, "ttft", "ttft_n"),
            link,
            _worse(ttft, ttft_before),
        ),
    ]


def cost_stats(
    view: View, found: Sequence[Mapping[str, Any]], traffic: Sequence[Mapping[str, Any]]
) -> list[Stat]:
    """Money and tokens, against the range before."""
    now, then = _health(found)
    each, each_before = _mean_cost(now), _mean_cost(then)

    def total(row: Mapping[str, Any], name: str, kind: str, unit: str) -> Estimate:
        return estimate.total(row.get(name), row.get(f"{kind}_noise"), int(row.get(f"{kind}_n") or 0), unit)

    spent, tokens_in = total(now, "cost_sum", "cost", "money"), total(now, "tokens_in", "in", "count")
    tokens_out = total(now, "tokens_out", "out", "count")
    link = view.url("/traces", sort="cost")
    return [
        Stat(
            "Cost",
            spent,
            _before(total(then, "cost_sum", "cost", "money").text),
            _course(view, traffic, "cost_sum", "cost_n"),
            link,
        ),
        Stat(
            "Cost per 1,000 traces",
            each,
            _before(each_before.text),
            _course(view, traffic, "cost_mean", "cost_n"),
            link,
            _worse(each, each_before),
        ),
        Stat(
            "Input tokens",
            tokens_in,
            _before(total(then, "tokens_in", "in", "count").text),
            _course(view, traffic, "tokens_in", "in_n"),
            link,
        ),
        Stat(
            "Output tokens",
            tokens_out,
            _before(total(then, "tokens_out", "out", "count").text),
            _course(view, traffic, "tokens_out", "out_n"),
            link,
        ),
    ]


def scenarios(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each scenario's traces `n` and its `errors` over the range, busiest first."""
    made = [{"scenario": r["name"], "n": round(r["n_w"]), "errors": _share(r)} for r in found]
    return sorted(made, key=lambda r: (-r["n"], r["scenario"]))


def sentences(
    view: View,
    found: Sequence[Mapping[str, Any]],
    alerts: Sequence[Alert],
    quality: Sequence[Series],
    monitors: int,
    reading: int | None = None,
) -> list[Sentence]:
    """One sentence a scenario, what is loud first; what an alert says of none of several scenarios stands once, before them. Its verdict
    is the alerts' of these `monitors`, of which `reading` (all when None) have data to judge by: they hold the false-alarm budget, a
    glance does not."""
    by_name = {str(row["scenario"]): row for row in found}
    about: dict[str | None, list[Alert]] = defaultdict(list)
    for alert in alerts:
        only = next(iter(by_name)) if len(by_name) == 1 else None
        name = alert.cohort.get("scenario", only)
        if name is None or view.cohort.get("scenario", name) == name:
            about[name].append(alert)
    total = sum(int(row["n"]) for row in found)
    made: list[Sentence] = []
    calm = _calm(view, quality, monitors, monitors if reading is None else reading)
    if shared := about.pop(None, []):
        made += _told(view, "Across scenarios", "", shared)
    # An alert about a scenario that sends nothing now is no quieter for it.
    for name in [*by_name, *(n for n in about if n is not None and n not in by_name)]:
        row = by_name.get(name, {"n": 0, "errors": estimate.proportion(0, 0)})
        n, errors = int(row["n"]), row["errors"]
        title, part = name or "Unnamed scenario", n / (total or 1)
        share = humane.percent(part, 0 if part >= 0.01 else None)
        detail = f"{humane.compact(n)} {'trace' if n == 1 else 'traces'}, {share} of traffic, errors {errors.text} ({errors.interval})"
        told = _told(view, title, detail if n else "no traces in this range", about.get(name, []))
        brief = f"{share} · errors {errors.text}"
        made += told or [replace(calm, scenario=title, detail=detail, brief=brief, named=bool(name))]
    return sorted(made, key=lambda s: ("bad", "warn").index(s.tone) if s.tone in ("bad", "warn") else 2)


def without_scenario(summary: str, name: str) -> str:
    """An alert's sentence below the name of its scenario, which it need not say again."""
    named = rf"scenario {re.escape(name)}(?=[ ,])"
    return re.sub(rf", {named}| for {named}(?!,)|{named}, ", "", summary, count=1)


def _told(view: View, title: str, detail: str, alerts: Sequence[Alert]) -> list[Sentence]:
    """What the open alerts say, the firing ones before those that are watched; nothing where none is open."""
    loud = [a for a in alerts if a.state == "firing"]
    watched = [a for a in alerts if a.state in ("pending", "unstable", "no_data")]
    if loud:
        first = loud[0]
        more = f" and {len(loud) - 1} more" if len(loud) > 1 else ""
        since = humane.short_moment(first.onset_ns or first.since_ns, view.zone)
        said = without_scenario(first.summary, title) or first.condition
        words = f"{said}{'' if 'since' in first.summary.lower() else f', since {since}'}{more}."
        return [Sentence("bad", title, words.replace("..", "."), detail, view.url(f"/alerts/{first.id}"))]
    if watched:
        first = watched[0]
        state = {"no_data": "has no data to judge by", "unstable": "is changing too fast to judge"}.get(
            first.state, "is being watched, not yet certain"
        )
        return [Sentence("warn", title, f"{first.monitor} {state}.", detail, view.url(f"/alerts/{first.id}"))]
    return []


def _calm(view: View, quality: Sequence[Series], monitors: int, reading: int) -> Sentence:
    """What is said of any scenario without an alert. Where nothing watches, or what watches has seen nothing, that there is none is
    no good news."""
    judged = sum(1 for s in quality if s.current.n)
    scores = f"{judged} scores" if judged != 1 else "one score"
    if not monitors:
        measured = f"Errors, latency and {scores}" if judged else "Errors and latency"
        words = f"Measured, but not watched. {measured} have no monitor that would tell you of a change."
        return Sentence("unknown", "", words, "", view.url("/monitors"))
    if not reading:
        whose = "its monitor has" if monitors == 1 else f"none of the {monitors} monitors has"
        words = f"No alert, but {whose} had data to judge by yet. Errors, latency and {scores} are measured."
        return Sentence("unknown", "", words, "", view.url("/monitors"))
    if not judged:
        words = "No alert, but nothing scores this traffic: errors and latency are all that is known."
        return Sentence("unknown", "", words, "", view.url("/quality"))
    watching = f"{reading} monitors watch" if reading != 1 else "One monitor watches"
    idle = f", {monitors - reading} more {'have' if monitors - reading != 1 else 'has'} no data yet"
    words = f"No alert. {watching}{idle if reading < monitors else ''}; errors, latency and {scores} are measured."
    return Sentence("good", "", words, "", view.url("/quality"))


def gaps(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scorers that did not see what they should have: selected traces not scored, or none scored at all."""
    made: list[dict[str, Any]] = []
    for row in found:
        selected, scored, failed = int(row["selected"]), int(row["scored"]), int(row["failed"])
        missing = max(0, selected - scored - failed)
        if missing or failed:
            made.append({**row, "missing": missing, "share": estimate.proportion(scored, selected)})
    return made


def _coarse(view: View) -> int:
    """A bucket for sparklines: at most 60 of them."""
    return next((b for b in BUCKETS if view.range.seconds / b <= 60), view.range.bucket)


def share_of(failure: Mapping[str, Any], whole: Mapping[str, Any] | None) -> Estimate:
    """The share of the range's traces that failed so; `whole` is the range's row of `traffic`, None without traces."""
    if whole is None:
        return estimate.unknown("no traces in this range", "share")
    return estimate.share(failure["n"], failure["w2"], whole["n_w"], whole["n_w2"], int(whole["n"]))


@route("GET", "/", permission="viewer")
async def overview(call: Call) -> Response:
    """The first page: is it still working?"""
    view = view_of(call)
    size = _coarse(view)
    traffic, covered, series, changes = await asyncio.gather(
        data.traffic(view, view.range.before().since_ns, size),
        data.rows(view, "page_coverage", **data.span(view.range)),
        data.all_series(view, bucket=size, scorers=True),
        data.deploys(view),
    )
    health, buckets = traffic["whole"], traffic["bucket"]
    seen, whole = distinct(data.failures(health)), next((r for r in health if r["current"]), None)
    # Only an empty range needs to ask whether there was ever anything.
    ever = (
        [{"n": 1, "last_seen": buckets[-1]["latest"]}]
        if buckets
        else await data.rows(view, "page_last_trace")
    )
    alerts = await call.services.records.read(
        lambda c: alert_records.find(c, view.project, alert_records.OPEN)
    )
    monitors, reading = monitors_of(call), await reading_of(call)
    quality = [s for s in series.values() if not s.metric.derived]
    quality.sort(key=lambda s: (s.shift >= 0, s.shift == 0, s.metric.name))
    moving = [s for s in quality if not s.steady]
    length = view.range.until_ns - view.range.since_ns
    rules = [(int(d["at"]) - view.range.since_ns) / length for d in changes]
    return await answer(
        view,
        "overview",
        "Overview",
        "overview.html",
        {
            "origin": str(call.request.base_url).rstrip("/"),
            "ever": bool(ever and ever[0]["n"]),
            "last_seen": ever[0]["last_seen"] if ever and ever[0]["n"] else None,
            "sentences": sentences(
                view,
                scenarios(traffic["scenario"]),
                alerts,
                quality,
                len(monitors),
                sum(m.name in reading for m in monitors),
            ),
            "alerts": alerts,
            "health": health_stats(view, health, buckets),
            "cost": cost_stats(view, health, buckets),
            "quality": [(s, spark(s.dots, 240, 32, rules)) for s in moving[:MOST_SERIES]],
            "quality_more": max(0, len(moving) - MOST_SERIES),
            "steady": [s for s in quality if s.steady and s.current.n],
            "failures": [{**f, "share": share_of(f, whole)} for f in seen[:8]],
            "failures_more": max(0, len(seen) - 8),
            "gaps": gaps(covered),
            "covered": covered,
            "deploys": changes,
            "baseline": data.baseline_of(view.range).label,
        },
    )
