"""Widgets of a dashboard: what each shows, with its n and interval. What goes wrong in one stays in it."""

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from watchkeeper.config.dashboards import Dashboard, Widget, filled
from watchkeeper.model.series import Estimate as Stat
from watchkeeper.model.series import cohort_text
from watchkeeper.server.api.shapes import sql_time
from watchkeeper.stats.correlation import spearman
from watchkeeper.store.columns import QueryRefused, Table
from watchkeeper.web import data, estimate
from watchkeeper.web.charts.inline import bins
from watchkeeper.web.charts.spec import Dot
from watchkeeper.web.estimate import Estimate
from watchkeeper.web.view import View, at

log = logging.getLogger(__name__)
# Trace-derived metrics under the names the table `traces` has for them.
COLUMNS: Final = {"latency_ms": "duration_ms"}
POINTS, DRAWN, BINS, AT_ONCE, KEEP_SECONDS = 2000, 800, 20, 2, 30.0
Bins = list[tuple[str, float]]


class Wrong(Exception):
    """A statement whose answer cannot be shown as asked; `hint` says what would do."""

    def __init__(self, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.hint = hint


@dataclass
class Shown:
    """What a widget shows. Of a chart one of `series`, `bins` or `points` is there; `error` stands instead of everything."""

    widget: Widget
    place: str
    estimate: Estimate | None = None
    change: str = ""
    note: str = ""
    series: data.Series | None = None
    dots: Sequence[Dot] = ()
    bins: tuple[Bins, Bins] | None = None
    points: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    table: Table | None = None
    error: str = ""
    hint: str = ""


def within(view: View, widget: Widget) -> View:
    """The view narrowed to the widget's cohort."""
    if not widget.cohort:
        return view
    cohort = {**view.cohort, **widget.cohort}
    return replace(view, cohort=cohort, params={**view.params, "cohort": cohort_text(tuple(cohort.items()))})


_kept: dict[tuple[Any, ...], tuple[float, Shown]] = {}
_turns: dict[int, asyncio.Semaphore] = {}


def _turn() -> asyncio.Semaphore:
    """Two statements of one event loop at a time: the sandbox has no more lanes, and refuses what waits too long."""
    return _turns.setdefault(id(asyncio.get_running_loop()), asyncio.Semaphore(AT_ONCE))


async def show(view: View, dashboard: Dashboard, place: str) -> Shown:
    """What the widget at `place` shows now; kept for half a minute, so that a page and its pictures ask once."""
    widget = dashboard.at(place)
    if widget is None:
        raise KeyError(place)
    key = (
        view.call.services.data_dir,
        view.project,
        widget.model_dump_json(),
        view.range.since_ns,
        view.range.until_ns,
        view.cohort_text,
    )
    known = _kept.get(key)
    now = time.monotonic()
    if known is not None and now - known[0] < KEEP_SECONDS:
        return replace(known[1], place=place)
    try:
        found = await _compute(within(view, widget), widget, place)
    except (QueryRefused, Wrong) as error:
        found = Shown(widget, place, error=str(error), hint=error.hint)
    except Exception as error:  # a widget that breaks must leave the rest of the page standing
        view.call.services.counters.add("watchkeeper_errors_total", route="dashboard")
        log.exception("widget %s of dashboard %s could not be shown", place, dashboard.name)
        found = Shown(widget, place, error=f"could not be shown ({type(error).__name__})")
    for old in [k for k, (then, _) in _kept.items() if now - then >= KEEP_SECONDS]:
        del _kept[old]
    _kept[key] = (now, found)
    return found


async def _compute(view: View, widget: Widget, place: str) -> Shown:
    if widget.type == "scatter":
        return await _scatter(view, widget, place)
    if widget.metric is not None:
        return await _metric(view, widget, place)
    table = await _ask(view, str(widget.sql))
    made = Shown(widget, place, note="the first rows only" if table.truncated else "")
    match widget.type:
        case "table":
            made.table = replace_rows(table)
        case "number":
            made.estimate = number_of(table, widget.unit or "")
        case "distribution":
            values = column(table, "value")
            made.bins, made.estimate = (histogram(values), []), summary(values, widget.unit or "")
        case _:
            made.dots = dots_of(table, view, widget.unit or "")
            raw = "n" not in table.columns
            made.estimate = summary(column(table, "value"), widget.unit or "") if raw else None
    return made


def replace_rows(table: Table, most: int = 100) -> Table:
    """The beginning of a table, so that a page stays a page."""
    return Table(table.columns, table.rows[:most], table.truncated or len(table.rows) > most)


async def _ask(view: View, sql: str) -> Table:
    since, until = sql_time(view.range.since_ns), sql_time(view.range.until_ns)
    async with _turn():
        return await view.call.services.columns.sql(view.project, filled(sql, since, until))


def _against(change: str) -> str:
    """A change beside the value before; one too small for its digits in words, which "0" beside it is not."""
    return "no change" if change == "0" else change


async def _metric(view: View, widget: Widget, place: str) -> Shown:
    metric = str(widget.metric)
    one = (await data.all_series(view, metric)).get(metric)
    if one is None:
        hint = "GET /api/series lists what there is; a scorer shows once it has scored something"
        raise Wrong(f"nothing called {metric} in this range and cohort", hint)
    made = Shown(widget, place, one.current, _against(one.change), f"before: {one.baseline.text}", one)
    if widget.type == "distribution":
        spread = await data.spread(view, metric)
        if spread is None:
            made.note = "traces of this range, unweighted"
            values = column(await _ask(view, _values(view, metric)), "value")
            made.bins = (histogram(values), [])
        else:
            made.bins = _sides(spread)
            made.note = "bars: this range; marks: before"
    return made


def _quoted(metric: str) -> str:
    """A metric as a column of `traces`. Names come from the configuration, where none holds a backtick."""
    return f"`{COLUMNS.get(metric, metric)}`"


def _where(view: View) -> str:
    cohort = " and ".join(f"`{k}` = {_literal(v)}" for k, v in sorted(view.cohort.items()))
    return f"time >= {{since}} and time < {{until}}{' and ' + cohort if cohort else ''}"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _values(view: View, metric: str) -> str:
    name = _quoted(metric)
    return f"select {name} as value from traces where {_where(view)} and {name} is not null limit 10000"


async def _scatter(view: View, widget: Widget, place: str) -> Shown:
    if widget.sql is not None:
        table = await _ask(view, widget.sql)
    else:
        x, y = _quoted(str(widget.x)), _quoted(str(widget.y))
        sql = f"select {x} as x, {y} as y from traces where {_where(view)} and {x} is not null and {y} is not null"
        table = await _ask(view, f"{sql} order by trace_id limit {POINTS}")
    pairs = [(a, b) for a, b in zip(column(table, "x"), column(table, "y"), strict=True)]
    found = spearman([a for a, _ in pairs], [b for _, b in pairs])
    note = "Spearman’s rank correlation; unweighted"
    if len(pairs) > DRAWN:
        note += f"; {DRAWN} points are drawn"
    made = Shown(widget, place, points=pairs[:DRAWN], note=note)
    if isinstance(found, Stat):
        made.estimate = Estimate(found.value, found.low, found.high, found.n)
    else:
        made.estimate = Estimate(None, n=found.n, why=found.reason)
    return made


def column(table: Table, name: str) -> list[float]:
    """One column as numbers, unknown ones left out only where it stands alone. Raises `Wrong`."""
    if name not in table.columns:
        raise Wrong(f"the statement has no column {name}", f"write: select … as {name} from …")
    place = table.columns.index(name)
    values = [row[place] for row in table.rows]
    if len(table.columns) == 1 or name == "value":
        values = [v for v in values if v is not None]
    try:
        found = [float(v) for v in values]
    except (TypeError, ValueError):
        raise Wrong(f"the column {name} is not of numbers", "leave out what is null, or cast it") from None
    if not all(math.isfinite(v) for v in found):
        raise Wrong(f"the column {name} has a value that is not finite", "add: where isFinite(…)")
    return found


def summary(values: Sequence[float], unit: str) -> Estimate:
    """Observations as one number: a share with Wilson's interval where they are all 0 or 1, else a mean."""
    n = len(values)
    if n and set(values) <= {0.0, 1.0}:
        return estimate.proportion(round(sum(values)), n)
    sd = float(np.std(values, ddof=1)) if n > 1 else None
    return estimate.mean_of(float(np.mean(values)) if n else None, sd, n, unit)


def number_of(table: Table, unit: str) -> Estimate:
    """A statement's answer as one number: one row with `value` and `n` (and perhaps `low`, `high`), or one row an observation.
    Raises `Wrong`."""
    if "n" not in table.columns:
        return summary(column(table, "value"), unit)
    if len(table.rows) != 1:
        raise Wrong(
            f"{len(table.rows)} rows where one with value and n was expected", "aggregate, or leave n out"
        )
    row: Mapping[str, Any] = table.dicts()[0]
    if "value" not in row:
        raise Wrong("the statement has no column value", "write: select avg(…) as value, count() as n from …")
    if row["value"] is None:
        return estimate.unknown("the statement found nothing", unit)
    low, high = (None if row.get(k) is None else float(row[k]) for k in ("low", "high"))
    why = "" if low is not None and high is not None else "the statement gives no interval: add low and high"
    return Estimate(float(row["value"]), low, high, int(row["n"]), unit, why)


def histogram(values: Sequence[float]) -> Bins:
    """Shares in equal bins between the ends."""
    if not values:
        return []
    low, high = min(values), max(values)
    if low == high:
        return [(f"{low:.3g}", 1.0)]
    counts, edges = np.histogram(values, bins=BINS)
    return [(f"{edges[i]:.3g}", float(c) / len(values)) for i, c in enumerate(counts)]


def _sides(found: data.Spread) -> tuple[Bins, Bins]:
    """The shares now and before, each bin called by its lower end; the ends that hold nothing are left out."""
    drawn = bins(found.edges, found.now, found.then)
    names = [f"≤ {b['high']:.3g}" if b["low"] is None else f"{b['low']:.3g}" for b in drawn]
    now = [(name, b["share"] or 0.0) for name, b in zip(names, drawn, strict=True)]
    return now, [(name, b["share_before"] or 0.0) for name, b in zip(names, drawn, strict=True) if found.then]


def dots_of(table: Table, view: View, unit: str) -> list[Dot]:
    """A statement's answer over time: a row a bucket with `time`, `value`, `n` (and `low`, `high`), or one an observation,
    gathered into the page's buckets. Raises `Wrong`."""
    if "time" not in table.columns or "value" not in table.columns:
        raise Wrong("the statement needs the columns time and value", "write: select time, … as value from …")
    step = view.range.bucket * 10**9
    by_start: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in table.dicts():
        moment = row["time"]
        if not isinstance(moment, datetime):
            raise Wrong("the column time is not a time", "select time, or toStartOfHour(time) as time")
        since_start = moment.replace(tzinfo=at(0).tzinfo) if moment.tzinfo is None else moment
        ns = round((since_start - at(0)).total_seconds()) * 10**9
        by_start[ns // step * step].append(row)
    made: list[Dot] = []
    for start in range(view.range.since_ns // step * step, view.range.until_ns, step):
        rows = by_start.get(start, [])
        if "n" in table.columns:
            one = number_of(Table(list(rows[0]), [list(rows[0].values())]), unit) if rows else None
        else:
            values = [float(r["value"]) for r in rows if r["value"] is not None]
            one = summary(values, unit) if values else None
        known = one is not None and one.value is not None
        made.append(
            Dot(start, one.value, one.low, one.high, one.n)
            if one is not None and known
            else Dot(start, None, None, None, 0)
        )
    return made
