"""What requests look like: shared field types and their limits."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from watchkeeper.alerting.monitor import DIMENSIONS
from watchkeeper.config.base import Name, formed
from watchkeeper.config.units import duration_ns
from watchkeeper.model.series import Cohort, cohort_parse
from watchkeeper.server.routing import HttpError
from watchkeeper.store.columns import TraceFilter


def _not_zero(text: str) -> str:
    if not text.strip("0"):
        raise ValueError("an id of zeros stands for none; nothing can have it")
    return text


TraceId = Annotated[
    str, formed(r"^[0-9a-fA-F]{32}$", "32 hexadecimal digits", to_lower=True), AfterValidator(_not_zero)
]
SpanId = Annotated[
    str, formed(r"^[0-9a-fA-F]{16}$", "16 hexadecimal digits", to_lower=True), AfterValidator(_not_zero)
]
ScorerName = Name
DatasetName = Annotated[
    str,
    formed(
        r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$",
        "up to 100 letters a to z, digits, _ . and -, first a letter or digit",
    ),
]
Short = Annotated[
    str, formed(r"^[^\x00-\x1f\x7f]+$", "one line without control characters", min_length=1, max_length=255)
]
Long = Annotated[str, StringConstraints(max_length=20_000)]
# What a model answered, or should have.
Answer = Annotated[str, StringConstraints(max_length=200_000)]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
# A version, or the number of a line, counted from 1; not more than JSON and the databases hold.
Ordinal = Annotated[int, Field(ge=1, le=2**53 - 1)]
MAX_NS = 2**63 - 1
_NS = re.compile(r"[0-9]{16,19}\Z")
# A zone whose + was not escaped in an address, where it stands for a space.
_LOST_PLUS = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)\Z")


class Body(BaseModel):
    """A JSON body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Query(BaseModel):
    """Query parameters: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Page(Query):
    """How much of a list."""

    limit: int = Field(100, ge=1, le=1000)


def moment_ns(text: str, now_ns: int, field: str = "time") -> int:
    """A time as people write it: ISO 8601 (UTC unless it says otherwise), nanoseconds, or `24h` for 24 hours ago.

    Raises `HttpError` 400 naming the field.
    """
    if _NS.match(text) and int(text) <= MAX_NS:
        return int(text)
    try:
        # Longer ago than there are times is since ever.
        return max(0, now_ns - duration_ns(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        ns = int(moment.timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError):
        ns = -1
    if not 0 <= ns <= MAX_NS:
        hint = "write 2026-11-21T10:00:00Z (from 1970 to 2262), nanoseconds since 1970, or how long ago: 15m, 24h, 7d"
        raise HttpError(400, f"{field}: {text[:60]!r} is not a time that can be kept", hint)
    return ns


def period(since: str | None, until: str | None, now_ns: int) -> tuple[int | None, int | None]:
    """`since` and `until` in ns, None where not given. Raises `HttpError` 400 naming the field, and where `until` is no later
    than `since`: no answer could tell that from a period in which nothing happened."""
    start = moment_ns(since, now_ns, "since") if since else None
    end = moment_ns(until, now_ns, "until") if until else None
    if start is not None and end is not None and end <= start:
        hint = "24h is 24 hours ago, so a period of the past is since 48h, until 24h"
        raise HttpError(400, f"until: {until!r} is not later than since, {since!r}", hint)
    return start, end


def ns_of(time: Any) -> int:
    """Nanoseconds since 1970 of a row's `time`, whether the store gave a number or a UTC `datetime`."""
    return time if isinstance(time, int) else int(time.timestamp() * 1_000_000) * 1000


class Range(Query):
    """A time range and a condition. Times are ISO 8601, nanoseconds, or how long ago (`24h`)."""

    since: str | None = Field(
        None, max_length=40, description="ISO 8601, nanoseconds, or how long ago (`24h`)."
    )
    until: str | None = Field(None, max_length=40)
    where: str | None = Field(
        None, max_length=4000, description="Condition over the table's columns and scorers."
    )

    def bounds(self, now_ns: int) -> tuple[int | None, int | None]:
        """`since` and `until` in ns, None where not given. Raises `HttpError` 400 naming the field."""
        return period(self.since, self.until, now_ns)


class WhichTraces(Range):
    """Which traces."""

    text: str | None = Field(None, max_length=500, description="Words in the input or output.")
    session_id: str | None = Field(None, max_length=500)
    user_id: str | None = Field(None, max_length=500)

    def chosen(self, now_ns: int, limit: int, before: tuple[int, str] | None = None) -> TraceFilter:
        """The filter these parameters stand for. Raises `HttpError` 400 naming the field."""
        since_ns, until_ns = self.bounds(now_ns)
        return TraceFilter(
            since_ns=since_ns,
            until_ns=until_ns,
            where=self.where,
            text=self.text,
            session_id=self.session_id,
            user_id=self.user_id,
            before=before,
            limit=limit,
        )


def cohort_from(text: str) -> Cohort:
    """A cohort as people write it, `k=v,k2=v2` in any order, "" for all traffic. Raises `HttpError` for what is no dimension, which
    would otherwise be a cohort without data."""
    found = cohort_parse(text)
    if {name for name, _ in found} - set(DIMENSIONS) or (text and not found):
        hint = f"any of {', '.join(DIMENSIONS)}, such as model=gpt-5"
        raise HttpError(400, f"cohort: {text[:80]!r} is not a cohort", hint)
    return found


def literal(text: str) -> str:
    """A string as an SQL literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def sql_time(ns: int) -> str:
    """A time as an SQL literal the store compares with `DateTime64` columns."""
    moment = datetime.fromtimestamp(min(ns, 10_000_000_000 * 10**9) // 10**9, UTC)
    return f"'{moment:%Y-%m-%d %H:%M:%S}.{ns % 10**9 // 1000:06d}'"
