"""What several pages read: series as dots, sums as estimates, deploys as marks. All of it from named queries."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from watchkeeper.model.series import axis_of
from watchkeeper.server.reading import standings
from watchkeeper.web import estimate, humane
from watchkeeper.web.charts.spec import Dot, Mark
from watchkeeper.web.estimate import Estimate
from watchkeeper.web.metrics import Metric, describe
from watchkeeper.web.view import DIMENSIONS, TimeRange, View

SUMS: Final[tuple[str, ...]] = ("n", "sw", "sw2", "swx", "swx2", "sw2x", "sw2x2")
BASELINE_SECONDS: Final = 14 * 86_400
# Below this an interval is too unsure of itself to call anything better or worse; monitors wait for as many.
FEWEST: Final = 20
YEAR: Final = 365 * 86_400
Row = Mapping[str, Any]


def cohort_params(view: View) -> dict[str, str]:
    """The cohort as the named queries take it: one parameter a dimension, empty for any value."""
    return {name: view.cohort.get(name, "") for name in DIMENSIONS}


async def rows(view: View, name: str, **params: Any) -> list[dict[str, Any]]:
    """A named query of this project as dictionaries."""
    return (await view.call.services.columns.named(name, view.project, **params)).dicts()


def span(wanted: TimeRange) -> dict[str, int]:
    """A range as query parameters."""
    return {"since": wanted.since_ns, "until": wanted.until_ns}


def add(these: Iterable[Row]) -> dict[str, Any]:
    """Mergeable sums added up; the axis is that of the last row that has one."""
    total: dict[str, Any] = dict.fromkeys(SUMS, 0.0)
    for row in these:
        if row.get("axis"):
            total["axis"] = row["axis"]
        for name in SUMS:
            total[name] += float(row[name] or 0)
    return total


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one cohort: its buckets in the range, all of it as one number, and the baseline's."""

    metric: Metric
    dots: list[Dot]
    current: Estimate
    baseline: Estimate

    @property
    def shift(self) -> int:
        """+1 better than the baseline, -1 worse, 0 not apart: by intervals that do not overlap, not a test."""
        if self.metric.better == 0 or min(self.current.n, self.baseline.n) < FEWEST:
            return 0
        if not self.current.apart_from(self.baseline):
            return 0
        higher = (self.current.value or 0) > (self.baseline.value or 0)
        return self.metric.better if higher else -self.metric.better

    @property
    def steady(self) -> bool:
        """Whether there is nothing to look at: a share that is 0 % or 100 % now and was in the baseline."""
        values = {e.value for e in (self.current, self.baseline) if e.value is not None}
        return self.metric.unit == "share" and len(values) == 1 and values <= {0.0, 1.0}

    @property
    def change(self) -> str:
        """The difference to the baseline in the metric's own words."""
        return estimate.change(self.current, self.baseline)


@dataclass(frozen=True, slots=True)
class Spread:
    """Weighted shares of a metric's values by bin: up to the first of `edges`, between each two, above the last. `then` is the
    baseline's, empty without one."""

    edges: tuple[float, ...]
    now: list[float]
    then: list[float]


def dots(found: Sequence[Row], wanted: TimeRange, bucket: int, unit: str) -> list[Dot]:
    """One dot a bucket over the whole range; a bucket without observations is unknown, not zero."""
    by_start = {int(row["start"]): row for row in found}
    step = bucket * humane.NS
    made: list[Dot] = []
    for start in range(wanted.since_ns // step * step, wanted.until_ns, step):
        row = by_start.get(start)
        if row is None or not row["n"]:
            made.append(Dot(start, None, None, None, 0))
            continue
        one = estimate.from_sums(row, unit)
        made.append(Dot(start, one.value, one.low, one.high, int(row["n"])))
    return made


def baseline_of(wanted: TimeRange) -> TimeRange:
    """What a range is compared with: the 14 days before it, or as long before as it is itself."""
    length = max(BASELINE_SECONDS * humane.NS, wanted.until_ns - wanted.since_ns)
    return TimeRange(
        wanted.since_ns - length, wanted.since_ns, "", f"the {humane.span_of(length / humane.NS)} before"
    )


async def sums(
    view: View,
    wanted: TimeRange,
    bucket: int,
    metric: str = "",
    before_ns: int | None = None,
    scorers: bool = False,
) -> dict[str, list[Row]]:
    """Every metric's sums per bucket for the view's cohort: from rolled points, else from the traces.

    A row whose start is 0 sums [before_ns, since). With `scorers`, trace-derived metrics are left out.
    """
    before = wanted.since_ns if before_ns is None else before_ns
    params = {**span(wanted), "bucket": bucket, "metric": metric, "before": before}
    found = await rows(view, "page_points", cohort=view.cohort_text, scorers=scorers, **params)
    if not found:
        found = await rows(view, "page_scores", **cohort_params(view), **params)
    by_metric: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        by_metric[str(row["metric"])].append(row)
    return by_metric


async def sums_each(view: View, wanted: Sequence[TimeRange]) -> list[dict[str, list[Row]]]:
    """What `sums` says of each of these ranges as a whole; one query for all that are rolled."""
    starts, ends = [r.since_ns for r in wanted], [r.until_ns for r in wanted]
    params = {"starts": starts, "ends": ends, "cohort": view.cohort_text}
    found = (
        await rows(
            view, "page_points_each", since=min(starts, default=0), until=max(ends, default=0), **params
        )
        if wanted
        else []
    )
    each: list[dict[str, list[Row]]] = [defaultdict(list) for _ in wanted]
    for row in found:
        each[int(row["place"]) - 1][str(row["metric"])].append(row)
    return [one or await sums(view, r, YEAR) for one, r in zip(each, wanted, strict=True)]


def coarsest(found: Iterable[Sequence[Row]]) -> int:
    """The length of the ticks these sums were rolled in, 0 when they were not: a bucket must not be shorter."""
    return max((int(r.get("tick_seconds") or 0) for these in found for r in these), default=0)


def series_of(name: str, found: Sequence[Row], wanted: TimeRange, bucket: int) -> Series:
    """One series from its sums, whose rows with start 0 are the baseline."""
    known = describe(name, found)
    now, then = [r for r in found if r["start"]], [r for r in found if not r["start"]]
    current = (
        estimate.from_sums(add(now), known.unit)
        if now
        else estimate.unknown("no scores in this range", known.unit)
    )
    base = (
        estimate.from_sums(add(then), known.unit)
        if then
        else estimate.unknown("no scores before this range", known.unit)
    )
    current, base = replace(current, counts=known.counts), replace(base, counts=known.counts)
    return Series(known, dots(now, wanted, bucket, known.unit), current, base)


async def all_series(
    view: View, metric: str = "", bucket: int | None = None, scorers: bool = False
) -> dict[str, Series]:
    """Every series of the view's cohort with its baseline."""
    size = bucket or view.range.bucket
    found = await sums(view, view.range, size, metric, baseline_of(view.range).since_ns, scorers)
    size = max(size, coarsest(found.values()))
    made = {name: series_of(name, found[name], view.range, size) for name in sorted(found)}
    held = {name for name, s in (await standings(view.call)).items() if s.provisional}
    return {name: provisional(s) if name in held else s for name, s in made.items()}


def provisional(one: Series) -> Series:
    """The series of a scorer that has not been calibrated, marked as such."""
    current, baseline = (replace(e, provisional=True) for e in (one.current, one.baseline))
    return replace(one, current=current, baseline=baseline)


async def traffic(view: View, before_ns: int, bucket: int | None = None) -> dict[str, list[Row]]:
    """Volume, errors, latency, cost, tokens and what is wrong by `part`: the range and [before_ns, since) as a `whole`, the range by
    `bucket` (of so many seconds, the range's own when None) and by `scenario`; a part without traces is empty. Traces of which only a
    share was kept weigh 1 / that share."""
    size = bucket or view.range.bucket
    params = {**span(view.range), **cohort_params(view), "bucket": size, "before": before_ns}
    parts: dict[str, list[Row]] = {"whole": [], "bucket": [], "scenario": []}
    for row in await rows(view, "page_traffic", **params):
        parts[str(row["part"])].append(row)
    return parts


def failures(whole: Iterable[Row]) -> list[dict[str, Any]]:
    """The failed checks and error classes of `traffic`'s whole: `family`, `name`, the traces `n` of the range and `n_before` of the one
    before as they were weighed, the squares `w2` and `w2_before` of their weights, and when the first and the last of both came."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in whole:
        maps = (row["wrong_n"], row["wrong_w2"], row["wrong_first"], row["wrong_last"])
        for one, n, w2, first, last in zip(maps[0][0], *(values for _, values in maps), strict=True):
            fresh = {
                "family": one[0],
                "name": one[1],
                "n": 0,
                "n_before": 0,
                "w2": 0,
                "w2_before": 0,
                "first_seen": first,
                "last_seen": last,
            }
            known = found.setdefault(tuple(one), fresh)
            known["n" if row["current"] else "n_before"] += n
            known["w2" if row["current"] else "w2_before"] += w2
            known["first_seen"] = min(known["first_seen"], first)
            known["last_seen"] = max(known["last_seen"], last)
    return list(found.values())


async def spread(view: View, metric: str) -> Spread | None:
    """How a metric's values are spread in the view's range and before it; None where the cohort is not rolled or nothing was measured.
    Of several axes that of the latest values counts."""
    before = baseline_of(view.range).since_ns
    found = await rows(
        view, "page_spread", metric=metric, cohort=view.cohort_text, before=before, **span(view.range)
    )
    current = [r for r in found if r["current"] and sum(r["held"]) > 0]
    if not current:
        return None
    axis = current[-1]["axis"]
    then = next((r["held"] for r in found if not r["current"] and r["axis"] == axis), [])
    return Spread(axis_of(str(axis)).edges, _shares(current[-1]["held"]), _shares(then))


def _shares(held: Sequence[float]) -> list[float]:
    total = sum(held)
    return [h / total for h in held] if total > 0 else []


async def deploys(view: View) -> list[dict[str, Any]]:
    """Deploys in the view's range, newest first."""
    return await rows(view, "page_deploys", **span(view.range))


def marks(found: Iterable[Row]) -> list[Mark]:
    """Deploys as chart marks."""
    return [Mark(int(d["at"]), f"{d['name']} {d['version']}") for d in found]
