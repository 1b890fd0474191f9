"""Numbers, times, money and sizes as people read them. Pure functions; unknown is always an en dash, never zero."""

import math
import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final

from watchkeeper.model.numerals import dollars

UNKNOWN: Final = "–"
NS: Final = 1_000_000_000

_DAY: Final = re.compile(r"-20\d\d-?\d\d-?\d\d$")
_AGO = ((86_400 * 365, "y"), (86_400 * 30, "mo"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def number(value: float | None, digits: int | None = None) -> str:
    """A number with the digits that matter: three significant ones below 1000, thousands separated above."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if digits is not None:
        return f"{value:z,.{digits}f}"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    places = max(0, 2 - math.floor(math.log10(size)))
    return _trim(f"{value:.{min(places, 6)}f}")


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def digits_for(spread: float | None, value: float | None) -> int:
    """Decimal places worth showing when a value is known to ± `spread`: its first digit, two where that is a 1."""
    if spread is None or spread <= 0 or not math.isfinite(spread):
        size = abs(value or 0.0)
        if not 0 < size < 0.01 or not math.isfinite(size):
            return 0 if size >= 100 else 1 if size >= 10 else 2
        return min(12, 1 - math.floor(math.log10(size)))
    return max(0, min(4, -math.floor(math.log10(spread / 2) + 1e-9)))


def compact(value: float | None) -> str:
    """A count in at most four characters of digits: 950, 12.4k, 3.1M."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    for limit, suffix in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            unit = 1e3 if suffix == "k" else limit
            return f"{_trim(f'{value / unit:.1f}')}{suffix}"
    return number(value, 0) if value == int(value) else number(value)


def percent(share: float | None, digits: int | None = None) -> str:
    """A share 0..1 as a percentage; small ones keep a digit that is not zero."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    value = share * 100
    if digits is None:
        digits = 0 if value == 0 or abs(value) >= 99.95 else 1 if abs(value) >= 1 else 2
    text = f"{value:z.{digits}f}"
    return "<0.01 %" if text == "0.00" and value > 0 else f"{text} %"


def duration(ms: float | None) -> str:
    """Milliseconds as 0.4 ms, 320 ms, 1.8 s, 4 min 05 s, 3 h 20 min, 2 d 4 h."""
    if ms is None or not math.isfinite(ms):
        return UNKNOWN
    sign, ms = ("-", -ms) if ms < 0 else ("", ms)
    if ms < 1:
        return f"{sign}{_trim(f'{ms:.2f}')} ms"
    if ms < 1000:
        return f"{sign}{ms:.0f} ms" if ms >= 10 else f"{sign}{_trim(f'{ms:.1f}')} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{sign}{seconds:.2f} s" if seconds < 10 else f"{sign}{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if hours < 1:
        return f"{sign}{minutes} min {whole % 60:02d} s"
    if days < 1:
        return f"{sign}{hours} h {minutes % 60:02d} min" if minutes % 60 else f"{sign}{hours} h"
    return f"{sign}{days} d {hours % 24} h" if hours % 24 else f"{sign}{days} d"


def money(amount: float | None, spread: float | None = None) -> str:
    """Money with enough places to be non-zero: $1,204, $3.40, $0.012, $0.00041; below a dime known to ± `spread`, with the
    digits that justifies: $0.0000957."""
    return UNKNOWN if amount is None or not math.isfinite(amount) else dollars(amount, spread)


def length(characters: int) -> str:
    """How long a text is, in words for a fold's label: 812 characters, 14.2k characters."""
    return f"{compact(characters)} characters"


def sentence(text: str) -> str:
    """The API's words, which follow a name there, as a sentence of their own; a name they begin with stays as it is."""
    first = text.partition(" ")[0]
    return (
        (text[:1].upper() if first.isalpha() else text[:1])
        + text[1:]
        + ("" if not text or text.endswith((".", "?", "!")) else ".")
    )


def undated(model: str) -> str:
    """A model's name without the day it was released on, where there is little room: gpt-4o-mini for gpt-4o-mini-2024-07-18."""
    return _DAY.sub("", model)


def ago(ns: int | None, now_ns: int) -> str:
    """How long before (or until) now: just now, 4 min ago, 3 h ago, in 2 d."""
    if ns is None or ns <= 0:
        return UNKNOWN
    seconds = (now_ns - ns) / NS
    past = seconds >= 0
    seconds = abs(seconds)
    if seconds < 5:
        return "just now"
    for unit, name in _AGO:
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name} ago" if past else f"in {count} {name}"
    return "just now"


def span_of(seconds: float) -> str:
    """A span of time in one unit: 15 min, 24 h, 7 d."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0 and not (name == "d" and seconds < 2 * 86_400):
            return f"{int(seconds // unit)} {name}"
    return duration(seconds * 1000)


def moment(ns: int | None, zone: tzinfo = UTC, seconds: bool = True) -> str:
    """An absolute time with its zone: Tue 3 Mar 2026 14:00:05 UTC."""
    if ns is None or ns <= 0:
        return UNKNOWN
    at = datetime.fromtimestamp(ns / NS, UTC).astimezone(zone)
    clock = "%H:%M:%S" if seconds else "%H:%M"
    return f"{at:%a} {at.day} {at:%b %Y} {at.strftime(clock)} {at.tzname() or ''}".rstrip()


# The charts of a page have the same buckets: each moment of them is written once.
@lru_cache(maxsize=8192)
def short_moment(ns: int | None, zone: tzinfo = UTC) -> str:
    """Day and minute, as a sentence uses it: Tue 14:00, or 3 Mar 14:00 in a table."""
    if ns is None or ns <= 0:
        return UNKNOWN
    at = datetime.fromtimestamp(ns / NS, UTC).astimezone(zone)
    return f"{at:%a} {at.day} {at:%b %H:%M}"


@lru_cache(maxsize=8192)
def iso(ns: int) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_ns(value: object) -> int | None:
    """A stored time (datetime, ISO text or integer ns) as integer nanoseconds; None stays None."""
    if value is None:
        return None
    if isinstance(value, datetime):
        at = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return round(at.timestamp() * 1_000_000) * 1000
    if isinstance(value, int | float):
        return int(value)
    try:
        return to_ns(datetime.fromisoformat(str(value).replace("Z", "+00:00")))
    except ValueError:
        return None
