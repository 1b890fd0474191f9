"""Lengths of time in nanoseconds, the unit of every time kept or compared here."""

from collections.abc import Callable

# Gives the time now, in ns.
Clock = Callable[[], int]

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
