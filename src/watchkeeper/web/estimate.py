"""A number as pages show it: value, interval, n, and the reason when it is not known."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from watchkeeper.model.series import BINARY, Insufficient, Point, SeriesKey, axis_of
from watchkeeper.stats.estimates import point_mean, point_rate
from watchkeeper.stats.intervals import wilson
from watchkeeper.web import humane

Z95: Final = 1.959963984540054
# What sums of one and the same value leave over is no width: a variance taken from them is wrong by about 1e-15 of the square, its
# root by the root of that.
ROUNDING: Final = 1e-6
_KEY: Final = SeriesKey("", "")
_SUMS: Final = ("sw", "sw2", "swx", "swx2", "sw2x", "sw2x2")


@dataclass(frozen=True, slots=True)
class Estimate:
    """`value` with its 95 % interval `low`..`high` and the `n` it rests on.

    `unit` chooses how it is written: "" plain, "share" (0..1 shown as %), "ms", "money" or "count". `why` says why
    the value or its interval is unknown. `provisional` marks a scorer that has not been calibrated against people, `counts` says
    in a word what a share is the share of.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: str = ""
    why: str = ""
    provisional: bool = False
    counts: str = ""

    @property
    def spread(self) -> float | None:
        """What decides the digits: half the interval's width, or its shorter arm where it is lopsided; None without."""
        if self.low is None or self.high is None:
            return None
        half = (self.high - self.low) / 2
        if self.value is None:
            return half
        if half < ROUNDING * abs(self.value):
            return 0.0
        short = min(self.high - self.value, self.value - self.low)
        return short if 0 < short < 0.75 * half else half

    @property
    def _bottom(self) -> float | None:
        """The lower end; nothing costs, takes or counts less than nothing, so that of an amount is zero at the least."""
        if self.low is None or self.unit == "" or (self.value or 0.0) < 0:
            return self.low
        return max(self.low, 0.0)

    @property
    def text(self) -> str:
        """The value alone, with the digits its interval justifies."""
        return _write(self.value, self.unit, self.spread)

    @property
    def low_text(self) -> str:
        """The interval's lower end, written like the value."""
        return _write(self._bottom, self.unit, self.spread)

    @property
    def high_text(self) -> str:
        """The interval's upper end, written like the value."""
        return _write(self.high, self.unit, self.spread)

    @property
    def interval(self) -> str:
        """`± 0.2` where the interval is symmetric, `64–71` or `278–306 ms` where it is not, empty without one."""
        if self.value is None or self.low is None or self.high is None:
            return ""
        bottom = self._bottom or 0.0
        up, down = self.high - self.value, self.value - bottom
        wide = max(up, down)
        if not self.spread:
            return "± 0"
        if abs(up - down) <= 0.25 * wide:
            return f"± {_write(wide, self.unit, wide, bare=True)}"
        low = _write(bottom, self.unit, self.spread, bare=True)
        high = _write(self.high, self.unit, self.spread, bare=True)
        first, last = low.split(" "), high.split(" ")
        once = len(first) == len(last) == 2 and first[1] == last[1]
        return f"{first[0] if once else low}–{high}"

    def apart_from(self, other: "Estimate") -> bool:
        """Whether the two intervals do not overlap: a difference one can see, not a test."""
        if None in (self.low, self.high, other.low, other.high):
            return False
        return bool(self.low > other.high or self.high < other.low)  # type: ignore[operator]


def _write(value: float | None, unit: str, spread: float | None, bare: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return humane.UNKNOWN
    if unit == "share":
        places = humane.digits_for(None if spread is None else spread * 100, value * 100)
        # None and all are exact: "100 %", with how far that can be from the truth in the interval.
        text = f"{value * 100:.{0 if value in (0, 1) else min(places, 2)}f}"
        text = ">99.99" if text == "100.00" else "<0.01" if text == "0.00" and value and not bare else text
        return text if bare else f"{text} %"
    if unit == "ms":
        return humane.duration(value)
    if unit == "money":
        return humane.money(value, spread=spread)
    if unit == "count":
        fine = abs(value) < 10_000 and spread is not None
        return humane.number(value, humane.digits_for(spread, value)) if fine else humane.compact(value)
    return humane.number(value, humane.digits_for(spread, value))


def change(now: Estimate, before: Estimate) -> str:
    """The difference in the unit's own words, with the digits that the wider interval justifies: +2.1 pt, -12 %, +0.3, 0."""
    if now.value is None or before.value is None:
        return ""
    difference = now.value - before.value
    wider = max(now.spread or 0.0, before.spread or 0.0)
    if now.unit in ("ms", "money", "count"):
        text = f"{difference / before.value * 100:+.0f} %" if before.value else ""
    elif now.unit == "share":
        places = min(2, humane.digits_for(wider * 100, difference * 100)) if wider else 1
        text = f"{difference * 100:+.{places}f} pt"
    else:
        text = f"{difference:+.{humane.digits_for(wider, difference)}f}"
    return text if not text or any(c in "123456789" for c in text) else "0"


def unknown(why: str, unit: str = "") -> Estimate:
    """A number that is not known, and why."""
    return Estimate(None, unit=unit, why=why)


def from_sums(sums: Mapping[str, Any], unit: str = "") -> Estimate:
    """The estimate of mergeable sums (`n, sw, sw2, swx, swx2, sw2x, sw2x2`): a rate for "share", else a mean, whose interval keeps
    to the scale of `axis` where that is known."""
    n = int(sums["n"] or 0)
    if n == 0 or not sums["sw"]:
        return unknown("no scores in this range", unit)
    sw, sw2, swx, swx2, sw2x, sw2x2 = (float(sums[name] or 0) for name in _SUMS)
    axis = str(sums.get("axis") or "")
    point = Point(_KEY, 0, 1, axis_of(axis) if axis else BINARY, n, sw, sw2, swx, swx2, sw2x, sw2x2)
    found = point_rate(point) if unit == "share" else point_mean(point, scaled=axis != "")
    if isinstance(found, Insufficient):
        return Estimate(point.swx / point.sw, n=n, unit=unit, why="one score has no interval")
    return Estimate(found.value, found.low, found.high, found.n, unit)


def proportion(hits: int, n: int) -> Estimate:
    """`hits` of `n` as a share with Wilson's interval."""
    if n == 0:
        return unknown("nothing to count in this range", "share")
    low, high = wilson(hits, n)
    return Estimate(hits / n, low, high, n, "share")


def share(hits: float, hits_w2: float, total: float, total_w2: float, n: int) -> Estimate:
    """A share of `n` traces that were kept with unequal chances: the weights `hits` of `total`, with the squares of both."""
    return from_sums(
        {"n": n, "sw": total, "sw2": total_w2, "swx": hits, "swx2": hits, "sw2x": hits_w2, "sw2x2": hits_w2},
        "share",
    )


def total(value: float | None, variance: float | None, n: int, unit: str = "count") -> Estimate:
    """A total over `n` traces; with an interval where only a share of them was kept, which gives it this `variance`."""
    if value is None or n == 0:
        return unknown("nothing in this range reports it", unit)
    half = Z95 * math.sqrt(max(variance or 0.0, 0.0))
    # What rounding leaves of a variance of zero is no interval.
    if half < ROUNDING * abs(value):
        return Estimate(value, n=n, unit=unit)
    return Estimate(value, value - half, value + half, n, unit)


def mean_of(value: float | None, sd: float | None, n: int, unit: str = "") -> Estimate:
    """A plain mean with standard deviation `sd` over `n` values."""
    if value is None or n == 0:
        return unknown("no values in this range", unit)
    if sd is None or n < 2:
        return Estimate(value, n=n, unit=unit, why="one value has no interval")
    half = Z95 * sd / math.sqrt(n)
    return Estimate(value, value - half, value + half, n, unit)


def quantile(
    value: float | None, low: float | None, high: float | None, n: int, unit: str = "ms"
) -> Estimate:
    """A quantile with the order statistics that bound it (Woodruff)."""
    if value is None or n == 0:
        return unknown("no values in this range", unit)
    return Estimate(value, low, high, n, unit)
