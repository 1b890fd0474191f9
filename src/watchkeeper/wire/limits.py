"""What is too much, and what happens to it: cut with a visible mark and counted, never refused.

Also the rules for values no store or page can hold: NUL, NaN, integers past 64 bits, times outside any sane range.
All of them are decided here, once, for both encodings.
"""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec
import orjson

from watchkeeper.model.times import DAY
from watchkeeper.wire.errors import TooLarge

MAX_TIME_NS = 2**63 - 1
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class Limits(msgspec.Struct, frozen=True):
    """Defaults of the documented limits. Sizes are characters of one value; JSON content is limited per text in it.

    A small body can hold millions of empty records or values, each of which costs more than it weighs: more than
    `records` records and groups of them in one request are refused, and of more than `values` attributes and nested
    values in one request the rest is left out with a mark. More than `parts` messages, texts or JSON lists of any kind are
    refused before anything is built of them (`prescan`).
    `content_chars` applies to declared content fields (messages, inputs, outputs, documents, tool definitions),
    `value_chars` to every other string, names and messages included; keys are cut at `SMALL`. Times further than `past_days` behind or `future_days` ahead of the
    server's clock, and spans longer than `longest_days`, are marked `time_suspect`.
    """

    content_chars: int = 1024 * 1024
    value_chars: int = 16 * 1024
    attributes: int = 10_000
    events: int = 10_000
    links: int = 1_000
    records: int = 100_000
    values: int = 500_000
    parts: int = 4_500_000
    depth: int = 32
    past_days: int = 5 * 366
    future_days: int = 1
    longest_days: int = 366


DEFAULT = Limits()
# Below this length no limit can apply, so the hot path asks one question of a string.
SMALL = 2048
_CONTENT = re.compile(
    r"message|prompt|completion|input|output|content|document|tool|request|response|text|result|argument|query"
    r"|instruction|function|events|body|\.value|payload|answer|question|context|retriev|transcript|stacktrace"
    r"|template|schema|graph|extra|metadata|chunk|llmobs",
    re.IGNORECASE,
)
_VECTOR_KEY = re.compile(r"(?:^|[._])(?:vectors?|embeddings?)$", re.IGNORECASE)
_NUMBERS = re.compile(r"\[\s*-?\d[\d.eE+\-,\s]{511,}\]")
VECTOR_LENGTH = 64


class Gauge:
    """What one batch had cut or replaced: counts by kind, and the keys cut in the span now being read; and how much
    of what one request may hold is left."""

    __slots__ = ("counts", "cut", "limits", "records_left", "values_left")

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.limits = limits
        self.counts: Counter[str] = Counter()
        self.cut: list[str] = []
        self.records_left, self.values_left = limits.records, limits.values

    def admit(self, records: int) -> None:
        """Count records, or groups of them, before they are read. Raises `TooLarge`."""
        self.records_left -= records
        if self.records_left < 0:
            raise TooLarge(
                f"the request holds more than {self.limits.records} records and groups; send smaller batches"
            )

    def attributes(self, pairs: Any, out: dict[str, Any]) -> Any:
        """Those of the pairs that are read; how many are left out is counted, and noted in `out`."""
        size = len(pairs)
        taken = self._share(size, self.limits.attributes)
        if taken == size:
            return pairs
        self.counts["dropped_attributes"] += size - taken
        out["watchkeeper.dropped_attributes"] = size - taken
        return pairs[:taken]

    def values(self, values: Any, key: str) -> Iterable[Any]:
        """Those values below `key` that are read, to be gone through once."""
        size = len(values)
        taken = self._share(size, size)
        if taken == size:
            return values
        self.counts["truncated_values"] += 1
        self.cut.append(key)
        # A slice would hold every value at once.
        return islice(values, taken)

    def too_deep(self, key: str) -> str:
        """What stands below `key` for values nested deeper than is read."""
        self.counts["truncated_values"] += 1
        self.cut.append(key)
        return f"[cut: nested deeper than {self.limits.depth} levels]"

    def _share(self, values: int, limit: int) -> int:
        """How many of these values are read: not more than `limit`, nor than the request has left."""
        taken = min(values, limit, self.values_left)
        self.values_left -= taken
        return taken

    def take_cut(self) -> list[str]:
        """The keys cut since the last call."""
        cut, self.cut = self.cut, []
        return cut


def cut_text(text: str, limit: int) -> str:
    """`text` shortened to `limit` characters with a mark that says how long it was."""
    return f"{text[:limit]}…[cut: {limit} of {len(text)} characters kept]"


def long_text(key: str, text: str, gauge: Gauge) -> str:
    """A string longer than `SMALL` under `key`: vectors dropped, over-long text cut."""
    if "[" in text and ("mbedding" in key or "mbedding" in text or _VECTOR_KEY.search(key)):
        text, dropped = _NUMBERS.subn(_vector_mark, text)
        gauge.counts["dropped_vectors"] += dropped
    limits = gauge.limits
    if len(text) <= limits.value_chars:
        return text
    if not _CONTENT.search(key):
        return _cut(key, text, limits.value_chars, gauge)
    if len(text) <= limits.content_chars:
        return text
    if text[0] in "[{":
        shorter = _cut_leaves(text, limits.content_chars)
        if shorter is not None:
            if shorter is not text:
                gauge.counts["truncated_values"] += 1
                gauge.cut.append(key)
            return shorter
    return _cut(key, text, limits.content_chars, gauge)


def _cut(key: str, text: str, limit: int, gauge: Gauge) -> str:
    gauge.counts["truncated_values"] += 1
    gauge.cut.append(key)
    return cut_text(text, limit)


def _vector_mark(match: re.Match[str]) -> str:
    return f'"[vector of {match.group().count(",") + 1} numbers dropped]"'


def _cut_leaves(text: str, limit: int) -> str | None:
    """JSON with every text in it cut to `limit`, `text` itself when nothing is too long, None when not JSON."""
    try:
        tree = orjson.loads(text)
    except ValueError:
        return None
    changed = False

    def walk(node: Any) -> Any:
        nonlocal changed
        if isinstance(node, str):
            if len(node) <= limit:
                return node
            changed = True
            return cut_text(node, limit)
        if isinstance(node, list):
            return [walk(item) for item in node]
        if isinstance(node, dict):
            return {name: walk(item) for name, item in node.items()}
        return node

    tree = walk(tree)
    return orjson.dumps(tree).decode() if changed else text


def vector(key: str, values: list[Any], gauge: Gauge) -> Any:
    """A list value: a long one of numbers under an embedding key becomes a mark, anything else stays."""
    if len(values) >= VECTOR_LENGTH and _VECTOR_KEY.search(key) and isinstance(values[0], float | int):
        gauge.counts["dropped_vectors"] += 1
        return f"[vector of {len(values)} numbers dropped]"
    return values


def no_nul(text: str) -> str:
    """NUL becomes the replacement character: C libraries and some stores end a string there."""
    return text.replace("\x00", "\ufffd")


def plain(text: str, key: str, gauge: Gauge) -> str:
    """A name, a message or another text of the record itself, limited as the value of `key` would be."""
    text = no_nul(text)
    return text if len(text) <= SMALL else long_text(key, text, gauge)


def plain_keys(values: dict[str, Any], gauge: Gauge) -> dict[str, Any]:
    """The values under keys without NUL, of which those longer than `SMALL` are cut."""
    return {
        no_nul(key) if len(key) <= SMALL else _cut(key[:SMALL], no_nul(key), SMALL, gauge): value
        for key, value in values.items()
    }


def table(key: str, values: dict[str, Any], gauge: Gauge) -> Any:
    """A nested map; the list it was where its keys count from 0, as exporters without lists write them."""
    if "0" in values and all(name == str(place) for place, name in enumerate(values)):
        return vector(key, list(values.values()), gauge)
    return plain_keys(values, gauge)


def number(value: float) -> float | str:
    """NaN and infinities become the words the protobuf JSON mapping uses for them; JSON cannot carry them."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def integer(value: int) -> int | str:
    """Integers past 64 bits are kept as text."""
    return value if INT_MIN <= value <= INT_MAX else str(value)


def binary(value: bytes) -> str:
    """Bytes are the text they hold (LangSmith before 0.5 sends its JSON so), or the JSON of the object that was packed into
    them (Datadog's tracer), so that whatever looks at texts sees what they say; any others are base64, as in OTLP/JSON."""
    return _unpacked(value) or base64.b64encode(value).decode("ascii")


def binary_text(text: str) -> str:
    """The same of bytes that travel as base64 text."""
    try:
        return _unpacked(binascii.a2b_base64(text, strict_mode=True)) or text
    except ValueError:
        return text


_PACKED = msgspec.msgpack.Decoder(dict[str, Any])
# How MessagePack begins an object. No text in UTF-8 begins so.
_MAP_HEADS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))
_MOST_PACKED = 4 * 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _unpacked(value: bytes) -> str | None:
    if len(value) < 2:
        return None
    try:
        if value[0] not in _MAP_HEADS:
            text = value.decode()
            return None if _CONTROL.search(text) else text
        return msgspec.json.encode(_PACKED.decode(value)).decode() if len(value) <= _MOST_PACKED else None
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return None


def sane_times(start_ns: int, end_ns: int, now_ns: int | None, limits: Limits) -> tuple[int, int, bool]:
    """Both times clamped to what 63 bits hold, and whether they should steer nothing (see `Limits`).

    An end of 0 is a span that still runs. Without `now_ns` only the absolute rules apply.
    """
    suspect = start_ns <= 0 or start_ns > MAX_TIME_NS or end_ns < 0 or end_ns > MAX_TIME_NS
    if end_ns and (end_ns < start_ns or end_ns - start_ns > limits.longest_days * DAY):
        suspect = True
    if now_ns is not None:
        low, high = now_ns - limits.past_days * DAY, now_ns + limits.future_days * DAY
        suspect = suspect or not low <= start_ns <= high or end_ns > high
    elif start_ns < 10**18:
        suspect = True
    return min(max(start_ns, 0), MAX_TIME_NS), min(max(end_ns, 0), MAX_TIME_NS), suspect
