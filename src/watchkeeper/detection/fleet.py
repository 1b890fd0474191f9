"""The false-alarm budget of the whole fleet: one threshold for everything that is watched."""

from watchkeeper.model.times import WEEK

PAGE_FACTOR = 10.0


def threshold(series: int, tick_ns: int, *, false_alarms_per_week: float = 1.0, page: bool = False) -> float:
    """A = S·(ticks per week)/(false alarms allowed per week); for pages ten times rarer.

    Delay grows only with log A. Raises ValueError for a budget or a fleet that is not positive.
    """
    if series < 1 or tick_ns <= 0 or false_alarms_per_week <= 0:
        raise ValueError("a threshold needs at least one series, a positive tick and a positive budget")
    a = series * (WEEK / tick_ns) / false_alarms_per_week
    return a * PAGE_FACTOR if page else a
