"""Lengths of time in nanoseconds, the unit of every time kept or compared here, and how long another asks us to wait."""

from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime

# Gives the time now, in ns.
Clock = Callable[[], int]

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY


def wished_s(headers: Iterable[tuple[str, str]]) -> float | None:
    """Seconds a receiver asks us to wait: Retry-After as a number, or as a date against its own Date (clocks differ). At most a
    day; None where it asks for nothing that can be understood. Names of headers in any case.

    >>> wished_s([("retry-after", "1.5")]), wished_s([("Retry-After", "1e400")]), wished_s([])
    (1.5, None, None)
    """
    told = {k.lower(): v.strip() for k, v in headers if k.lower() in ("retry-after", "date")}
    asked = told.get("retry-after", "")
    if asked.isascii() and asked.replace(".", "", 1).isdigit() and len(asked) < 20:
        return min(float(asked), DAY / SECOND)
    try:
        left = parsedate_to_datetime(asked) - parsedate_to_datetime(told.get("date", ""))
    # One with a time zone beside one without cannot be compared, and what is no date is no wish.
    except (TypeError, ValueError):
        return None
    return min(max(left.total_seconds(), 0.0), DAY / SECOND)
