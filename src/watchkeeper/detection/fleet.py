"""The false-alarm budget of the whole fleet, and evidence across cohorts (statistics.md §3, steps 9 and 10)."""

from collections.abc import Mapping, Sequence

import numpy as np

from watchkeeper.model.series import SeriesKey
from watchkeeper.stats.sequential import e_bh

WEEK_NS = 7 * 24 * 3_600_000_000_000
PAGE_FACTOR = 10.0
DEFAULT_ALPHA = 0.05 / 168


def threshold(series: int, tick_ns: int, *, false_alarms_per_week: float = 1.0, page: bool = False) -> float:
    """A = S·(ticks per week)/(false alarms allowed per week); for pages ten times rarer.

    Delay grows only with log A. Raises ValueError for a budget or a fleet that is not positive.
    """
    if series < 1 or tick_ns <= 0 or false_alarms_per_week <= 0:
        raise ValueError("a threshold needs at least one series, a positive tick and a positive budget")
    a = series * (WEEK_NS / tick_ns) / false_alarms_per_week
    return a * PAGE_FACTOR if page else a


def spent(thresholds: Sequence[float], ticks: Sequence[int]) -> float:
    """Expected false alarms so far: Σ ticks watched / A. Shown beside the budget."""
    return float(sum(t / a for t, a in zip(ticks, thresholds, strict=True)))


def across(
    log10_m: Mapping[SeriesKey, float], *, alpha: float = DEFAULT_ALPHA, total: int | None = None
) -> list[SeriesKey]:
    """The series rejected together by e-BH on M, parents before children, then by evidence.

    `total` is the number of series watched when only some are given. Controls error over patience at `alpha`.
    """
    keys = list(log10_m)
    values = np.power(10.0, np.minimum([log10_m[k] for k in keys], 300.0)) if keys else np.empty(0)
    chosen = [keys[i] for i in e_bh(values, alpha, total)]
    return sorted(chosen, key=lambda k: (len(k.cohort), -log10_m[k], k))
