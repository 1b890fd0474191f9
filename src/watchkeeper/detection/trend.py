"""Which way is it going? A label for a series that a calibrated detector has already called changed.

Theil–Sen's slope is the median of all pairwise slopes (Sen 1968): a label beside the alarm, not an alarm of its own.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from watchkeeper.model.series import Insufficient, Point

DAY_NS = 24 * 3_600_000_000_000


class Trend(msgspec.Struct, frozen=True):
    """Slope per day with its 95 % interval; `label` is flat unless the interval excludes zero."""

    per_day: float
    low: float
    high: float
    label: Literal["increasing", "decreasing", "flat"]
    ticks: int


def trend(points: Sequence[Point], *, correlation: float = 1.0) -> Trend | Insufficient:
    """The trend of the means of points that hold data. `correlation` is D of the baseline: dependent ticks are worth

    less, so the interval is widened by √D. At least 6 ticks are needed.
    """
    mine = [p for p in points if p.n > 0]
    if len(mine) < 6:
        return Insufficient("a trend needs at least 6 ticks", sum(p.n for p in mine))
    t = np.array([p.start_ns for p in mine], dtype=np.float64) / DAY_NS
    y = np.array([p.swx / p.sw for p in mine])
    # Needed where a monitor asks for a trend; importing it costs every other process 60 MB.
    from scipy import stats as st

    found = np.asarray(st.theilslopes(y, t - t[0], alpha=0.95), dtype=np.float64)
    slope, below, above = float(found[0]), float(found[2]), float(found[3])
    wide = max(correlation, 1.0) ** 0.5
    low = slope - (slope - below) * wide
    high = slope + (above - slope) * wide
    label = "increasing" if low > 0 else "decreasing" if high < 0 else "flat"
    return Trend(slope, low, high, label, len(mine))
