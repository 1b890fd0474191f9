"""What every foreign export needs: ids of the right length, times in any writing, values as attributes."""

import hashlib
import re
from datetime import UTC, date, datetime
from typing import Any, cast

import msgspec

from watchkeeper.dialects.values import as_float, as_text, decode, word
from watchkeeper.model.span import LogRecord, RawEvent, RawLink, RawSpan

_HEX = re.compile(r"[0-9a-f]+")
_FRACTION = re.compile(r"\.(\d+)")
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?.*")
_EMPTY = ("", "nan", "NaN", "NaT", "None", "null", "<NA>")


class Unreadable(ValueError):
    """Why a record cannot be imported, in words for its owner."""


class Taken(msgspec.Struct):
    """What one record stands for. `skipped` says why a record that is understood gives nothing, `faults` what in it could not
    be read, which costs the rest of it nothing."""

    spans: list[RawSpan] = []
    logs: list[LogRecord] = []
    skipped: str | None = None
    faults: list[str] = []


class Index(msgspec.Struct):
    """What records say of each other: the traces with a record of their own, and the trace of each span.

    Keys are ids as the export writes them; a trace's value is when it began.
    """

    traces: dict[str, int] = {}
    span_traces: dict[str, str] = {}


def trace_id(text: str) -> str:
    """32 hex digits, the same for the same text: a UUID's own digits, else a hash."""
    plain = text.lower().replace("-", "")
    if len(plain) == 32 and _HEX.fullmatch(plain) and plain.strip("0"):
        return plain
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def span_id(text: str) -> str:
    """16 hex digits, the same for the same text. UUIDs are hashed: half of one may be nothing but the time."""
    plain = text.lower()
    if len(plain) == 16 and _HEX.fullmatch(plain) and plain.strip("0"):
        return plain
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def empty(value: Any) -> bool:
    """Whether a cell says nothing: None, NaN, and what tables write for them."""
    if value is None or (isinstance(value, float) and value != value):
        return True
    if isinstance(value, str):
        return value in _EMPTY
    return isinstance(value, list | dict) and not value


def time_ns(value: Any) -> int | None:
    """Nanoseconds since 1970 UTC of a time as exports write it; None when it is absent or no time.

    Understood: ISO 8601 with T or a space, with or without a zone (then UTC), up to nanoseconds, also in quotes (a JSON text
    as a table's cell); datetimes; and numbers of seconds, milliseconds, microseconds or nanoseconds, told apart by their size.
    """
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000
    if isinstance(value, date | bool) or empty(value):
        return None
    if isinstance(value, str) and _WRITTEN.fullmatch(text := value.strip(' "')):
        return _iso(text)
    number = as_float(value)
    if number is None or number <= 0:
        return None
    scale = 10**9 if number < 1e11 else 10**6 if number < 1e14 else 1000 if number < 1e17 else 1
    if isinstance(value, int):
        return value * scale
    # A float of seconds is exact to less than a microsecond, and its product to less than that.
    return round(number * (scale // 1000)) * 1000 if scale > 1 else int(number)


def _iso(text: str) -> int | None:
    found = _FRACTION.search(text)
    fraction = found.group(1) if found else ""
    plain = text if found is None else text[: found.start()] + text[found.end() :]
    try:
        moment = datetime.fromisoformat(plain.replace("Z", "+00:00").replace(" UTC", "+00:00"))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9 + int(fraction[:9].ljust(9, "0") or "0")


def start_of(record: dict[str, Any], *keys: str) -> int:
    """The time under the first of these keys that has one. Raises `Unreadable` when there is none."""
    given = [key for key in keys if record.get(key) not in (None, "")]
    for key in given:
        found = time_ns(record[key])
        if found is not None:
            return found
    if given:
        raise Unreadable(f"its {given[0]} is not a time: {str(record[given[0]])[:80]!r}")
    raise Unreadable(f"it has no time it began ({' or '.join(keys)})")


def required(record: dict[str, Any], *keys: str) -> str:
    """The text under the first of these keys. Raises `Unreadable` when there is none."""
    for key in keys:
        found = word(record.get(key))
        if found is not None and found not in _EMPTY:
            return found
    raise Unreadable(f"it has no {' or '.join(keys)}")


def optional(record: dict[str, Any], *keys: str) -> str | None:
    """The text under the first of these keys that has any."""
    return next((f for k in keys if (f := word(record.get(k))) is not None and f not in _EMPTY), None)


def attribute(value: Any) -> Any:
    """A value as one attribute: scalars and lists of scalars as they are, the rest as JSON text."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list) and all(
        isinstance(v, str | bool | int | float) for v in cast(list[Any], value)
    ):
        return cast(list[Any], value)
    return as_text(value)


def put(attributes: dict[str, Any], key: str, value: Any) -> None:
    """Set an attribute unless the value says nothing or the key is there already."""
    if not empty(value) and key not in attributes:
        attributes[key] = attribute(value)


def put_all(attributes: dict[str, Any], prefix: str, value: Any) -> None:
    """The members of an object, each under `prefix`; anything else whole under the prefix without its dot."""
    table = decode(value)
    if isinstance(table, dict):
        for key, entry in cast(dict[str, Any], table).items():
            put(attributes, f"{prefix}{key}", entry)
    else:
        put(attributes, prefix.rstrip("."), value)


def keep_rest(attributes: dict[str, Any], prefix: str, record: dict[str, Any], known: frozenset[str]) -> None:
    """Every field of a record that means nothing to us, each under `prefix`."""
    for key, value in record.items():
        if key not in known:
            put(attributes, f"{prefix}{key}", value)


def evaluation(
    trace: str,
    span: str,
    time: int,
    name: str,
    value: Any,
    label: Any,
    comment: Any,
    source: str,
    author: Any,
) -> LogRecord:
    """A score of another product as the evaluation event of the conventions. `trace` and `span` are our ids. Where somebody only
    wrote something, that they did is the score. Raises `Unreadable` when it says nothing at all."""
    attributes: dict[str, Any] = {"gen_ai.evaluation.name": name}
    number = as_float(value) if not isinstance(value, bool) else float(value)
    put(attributes, "gen_ai.evaluation.score.value", number)
    if number is None and empty(label) and not empty(comment):
        label = "commented"
    put(attributes, "gen_ai.evaluation.score.label", as_text(label) if not empty(label) else None)
    put(attributes, "gen_ai.evaluation.explanation", comment)
    put(attributes, "gen_ai.evaluation.author", author)
    if len(attributes) < 2 or ("gen_ai.evaluation.score.value" not in attributes and
                               "gen_ai.evaluation.score.label" not in attributes):  # fmt: skip
        raise Unreadable(f"the score {name!r} has neither a number nor a label")
    return LogRecord(
        trace, span, time, "gen_ai.evaluation.result", 9, None, attributes, resource_of(source),
        scope_name=f"watchkeeper.import.{source}",
    )  # fmt: skip


def resource_of(source: str, service: str | None = None) -> dict[str, Any]:
    """The resource of imported spans: where they are from, and the service when the export says it."""
    made: dict[str, Any] = {"watchkeeper.imported_from": source}
    if service:
        made["service.name"] = service
    return made


def span(
    *,
    source: str,
    trace: str,
    ident: str,
    parent: str | None,
    name: str,
    start_ns: int,
    end_ns: int,
    attributes: dict[str, Any],
    failed: bool = False,
    message: str | None = None,
    events: list[RawEvent] | None = None,
    links: list[RawLink] | None = None,
    service: str | None = None,
    client: bool = False,
) -> RawSpan:
    """One raw span. `trace`, `ident` and `parent` are ids as the export writes them."""
    return RawSpan(
        trace_id=trace_id(trace),
        span_id=span_id(ident),
        parent_id=None if parent is None else span_id(parent),
        name=name,
        otel_kind="client" if client else "internal",
        start_ns=start_ns,
        end_ns=end_ns,
        status="error" if failed else "ok",
        status_message=message if failed else None,
        attributes=attributes,
        events=events or [],
        links=links or [],
        resource=resource_of(source, service),
        scope_name=f"{source}.import",
    )
