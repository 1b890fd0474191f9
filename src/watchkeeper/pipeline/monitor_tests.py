"""Monitors' own tests: invented series through the watcher's steps, and what must come of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, cast

from watchkeeper.alerting.conditions import baselines_of
from watchkeeper.alerting.monitor import Monitor, MonitorError, Test
from watchkeeper.alerting.units import unit_of_metric
from watchkeeper.model.series import (
    BINARY,
    DOLLARS,
    MILLISECONDS,
    Axis,
    Point,
    SeriesKey,
    gather,
)
from watchkeeper.model.sketch import field_of_metric
from watchkeeper.pipeline.backtest import History
from watchkeeper.pipeline.roll import guess_axis
from watchkeeper.pipeline.watching.book import Book
from watchkeeper.pipeline.watching.normals import BASELINE_NS
from watchkeeper.pipeline.watching.steps import Settings, Steps
from watchkeeper.pipeline.watching.work import Work
from watchkeeper.store.columns import Columns

EPOCH = 1_700_006_400 * 10**9
EXPECTS = ("firing_at", "firing_by", "resolved_at", "resolved_by", "never")
_RUN = re.compile(r"(?P<value>-?\d+(?:\.\d+)?%?|_|none|missing)(?:\s*x\s*(?P<times>\d+))?\Z")


@dataclass(frozen=True)
class TestResult:
    """What came of one of a monitor's own tests. `fired` and `resolved` are 1-based positions in the series."""

    name: str
    passed: bool
    message: str
    fired: tuple[int, ...] = ()
    resolved: tuple[int, ...] = ()

    __test__ = False


def read_series(text: str) -> list[float | None]:
    """`8.2 x20, 6.5 x10, missing x2, 5%` as one value a tick, None for a tick without data.

    Raises ValueError that names the part it cannot read.

    >>> read_series("8.2 x2, missing, 5%")
    [8.2, 8.2, None, 0.05]
    """
    values: list[float | None] = []
    for number, part in enumerate(text.split(","), start=1):
        found = _RUN.match(part.strip())
        if found is None:
            raise ValueError(
                f"part {number} of the series, '{part.strip()}', is not 'value' or 'value x times'"
            )
        times = int(found["times"] or 1)
        if not 1 <= times <= 10_000 or len(values) + times > 20_000:
            raise ValueError(f"part {number} of the series repeats {times} times; 1 to 10000 are allowed")
        word = found["value"]
        value = (
            None
            if word in ("_", "none", "missing")
            else float(word.rstrip("%")) / (100 if word.endswith("%") else 1)
        )
        values.extend([value] * times)
    return values


def _series_of(monitor: Monitor, test: Test) -> dict[str, list[float | None]]:
    """The test's series by base metric: one for the only metric, or `metric: series; metric: series`."""
    indicators = {s.indicator: s.metric for s in monitor.shares}
    bases = tuple(dict.fromkeys(indicators.get(m, m) for m in monitor.metrics))
    if ":" not in test.series:
        if len(bases) != 1:
            raise ValueError(
                f"the condition reads {', '.join(bases)}; write a series for each: {bases[0]}: 8 x20; …"
            )
        return {bases[0]: read_series(test.series)}
    found: dict[str, list[float | None]] = {}
    for piece in test.series.split(";"):
        name, _, values = piece.rpartition(":")
        if name.strip().strip('"') not in bases:
            raise ValueError(f"'{name.strip()}' is not read by the condition; it reads {', '.join(bases)}")
        found[name.strip().strip('"')] = read_series(values)
    return found


def _axis(metric: str, values: Sequence[float]) -> Axis:
    unit = unit_of_metric(metric)
    fixed = {"ms": MILLISECONDS, "USD": DOLLARS, "rate": BINARY}
    return fixed[unit] if unit in fixed else guess_axis(min(values, default=0), max(values, default=1), False)


def _scores(value: float, n: int, axis: Axis, spread: bool) -> list[float]:
    """`n` scores with this mean. Of a rate, so many ones; otherwise all equal, or, where a detector needs something to
    stand out from, spread evenly over a normal curve (15 % of the scale; 40 % of the value on a log scale)."""
    if axis == BINARY:
        ones = round(min(max(value, 0.0), 1.0) * n)
        return [1.0] * ones + [0.0] * (n - ones)
    if not spread or (value <= 0 and axis.log):
        return [value] * n
    curve = [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    if axis.log:
        return [value * 2.718281828 ** (0.4 * z) for z in curve]
    sd = 0.15 * (axis.high - axis.low)
    return [min(max(value + sd * z, axis.low), axis.high) for z in curve]


def _points(monitor: Monitor, test: Test, step: int, series: Mapping[str, list[float | None]]) -> list[Point]:
    """The invented history: two weeks of each series' first value where a baseline is read, then the series."""
    needed = {
        s.metric if (s := next((x for x in monitor.shares if x.indicator == m), None)) else m
        for m in baselines_of(monitor.tree)
    }
    points: list[Point] = []
    for metric, values in series.items():
        known = [v for v in values if v is not None]
        axis = _axis(metric, known)
        spread = metric in monitor.moving
        before = BASELINE_NS // step + 3 if needed and known else 0
        whole: list[float | None] = [*([known[0] if known else None] * before), *values]
        for i, value in enumerate(whole):
            start = EPOCH + (i - before) * step
            if value is None:
                continue
            scores = [(x, 1.0) for x in _scores(value, test.n, axis, spread)]

            def made(name: str, on: Axis, of: list[tuple[float, float]], start: int = start) -> Point:
                return gather(SeriesKey(monitor.project, name, monitor.where), start, start + step, on, of)

            points.append(made(metric, axis, scores))
            for share in monitor.shares:
                if share.metric == metric:
                    holds = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}[
                        share.op
                    ]
                    points.append(
                        made(share.indicator, BINARY, [(float(holds(x, share.limit)), w) for x, w in scores])
                    )
    return points


def fault_of(test: Test) -> str | None:
    """Why a test cannot be run whatever its monitor is: its series or its `expect` are not understood. None when it can."""
    unknown = sorted(set(test.expect) - set(EXPECTS))
    if unknown or not test.expect:
        return f"expect knows {', '.join(EXPECTS)}, not {', '.join(unknown) or 'nothing'}"
    try:
        for part in test.series.split(";"):
            read_series(part.rpartition(":")[2])
    except ValueError as error:
        return str(error)
    return None


async def run_test(monitor: Monitor, test: Test, number: int = 1) -> TestResult:
    """Run one test of a monitor: each value of the series is one tick (an hour for conditions that watch for a shift
    or for windows of an hour and more) of `n` scores."""
    name = test.name or f"test {number}"
    fault = fault_of(test)
    if fault is not None:
        return TestResult(name, False, fault)
    texts = [m for m in monitor.metrics if field_of_metric(m) is not None]
    if texts:
        why = f"{texts[0]} watches texts, which a series of numbers cannot stand for; use `watchkeeper backtest`"
        return TestResult(name, False, why)
    plain = replace(monitor, by=(), tests=())
    step = plain.tick()
    try:
        series = _series_of(plain, test)
    except ValueError as error:
        return TestResult(name, False, str(error))
    length = max(len(v) for v in series.values())
    points = _points(plain, test, step, series)
    steps = Steps(cast(Columns, History(points)), [plain], settings=Settings(tick_ns=step))
    first = min((p.start_ns for p in points), default=EPOCH)
    work = Work(plain.project, Book(step), {}, {}, {}, {}, [], EPOCH, first)
    work.book.add(points)
    for i in range(length):
        await steps.step(work, EPOCH + (i + 1) * step)
    alerts = sorted(
        ((a.fired_ns or a.since_ns, a.resolved_ns) for a in work.alerts.values()), key=lambda a: a[0]
    )
    fired = tuple((at - EPOCH) // step for at, _ in alerts)
    resolved = tuple((over - EPOCH) // step for _, over in alerts if over is not None)
    wrong = _wrong(test.expect, fired, resolved)
    return TestResult(name, not wrong, "; ".join(wrong) or "as expected", fired, resolved)


def _wrong(expect: Mapping[str, Any], fired: tuple[int, ...], resolved: tuple[int, ...]) -> list[str]:
    wrong: list[str] = []
    for key, wanted in expect.items():
        kind, _, how = key.partition("_")
        seen = fired if kind == "firing" else resolved
        words = f"{'fired' if kind == 'firing' else 'resolved'} at {', '.join(map(str, seen)) or 'no tick'}"
        if key == "never":
            if wanted in ("firing", True) and fired:
                wrong.append(f"expected never firing, but it fired at {', '.join(map(str, fired))}")
        elif not isinstance(wanted, int):
            wrong.append(f"{key} must be a position in the series, not {wanted!r}")
        elif (how == "at" and wanted not in seen) or (how == "by" and not any(s <= wanted for s in seen)):
            wrong.append(f"expected {kind} {how} {wanted}, but it {words}")
    return wrong


async def run_tests(monitor: Monitor) -> list[TestResult]:
    """All tests of a monitor; a monitor that cannot be tested gives one failed result that says why."""
    try:
        return [await run_test(monitor, test, i) for i, test in enumerate(monitor.tests, start=1)]
    except MonitorError as error:
        return [TestResult(monitor.name, False, str(error))]
