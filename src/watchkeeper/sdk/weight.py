"""How heavy an ended span is, and a lighter copy when it is too heavy."""

import sys
from collections.abc import Mapping
from typing import Any, Final, cast

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

from watchkeeper.sdk.direct import attributes_of
from watchkeeper.sdk.values import clip

#: Measured: an ended span with its containers, before the text of its attributes.
_SPAN_BYTES: Final = 4_000
_ATTRIBUTE_BYTES: Final = 120


def weigh(span: ReadableSpan) -> tuple[int, int]:
    """About how many bytes the span holds in memory, and the length of its longest text."""
    total, longest = _weigh(attributes_of(span))
    if len(getattr(span, "_events", ())):
        for event in span.events:
            size, long = _weigh(event.attributes or {})
            total += size + 500 + len(event.name)
            longest = max(longest, long, len(event.name))
    if len(getattr(span, "_links", ())):
        for link in span.links:
            size, long = _weigh(link.attributes or {})
            total += size + 300
            longest = max(longest, long)
    # Some instrumentations name a span by a whole statement, and a status says what an exception said.
    said = span.status.description
    for text in (span.name, said) if said else (span.name,):
        if len(text) > 100:
            total += sys.getsizeof(text)
            longest = max(longest, len(text))
    return total + _SPAN_BYTES, longest


def _weigh(attributes: Mapping[str, object]) -> tuple[int, int]:
    total, longest = _ATTRIBUTE_BYTES * len(attributes), 0
    for value in attributes.values():
        if isinstance(value, (str, bytes)):
            length = len(value)
            if length > 100:
                total += sys.getsizeof(value)
            if length > longest:
                longest = length
        elif isinstance(value, (int, float)):
            continue
        elif isinstance(value, (tuple, list)):
            # Most have one short item: written out, because a generator costs more than all the rest of this.
            for item in cast("tuple[object, ...]", value):
                total += sys.getsizeof(item)
                if isinstance(item, str) and len(item) > longest:
                    longest = len(item)
        elif isinstance(value, Mapping):
            size, long = _weigh(cast("Mapping[str, object]", value))
            total, longest = total + size, max(longest, long)
    return total, longest


def shrink(span: ReadableSpan, max_text: int, max_bytes: int) -> ReadableSpan:
    """A copy whose texts are cut, with a mark, so that the whole is at most about ``max_bytes``."""
    texts = len(span.attributes or {}) + sum(len(event.attributes or {}) for event in span.events)
    # Four bytes a character is the worst Python stores.
    limit = min(max_text, max(256, max_bytes // 4))
    if weigh(_cut(span, limit))[0] > max_bytes:
        limit = min(limit, max(256, max_bytes // 4 // max(1, texts)))
    return _cut(span, limit)


def _cut(span: ReadableSpan, limit: int) -> ReadableSpan:
    def attributes(given: Mapping[str, Any] | None) -> dict[str, Any]:
        return {key: _cut_value(value, limit) for key, value in (given or {}).items()}

    said = span.status.description
    return ReadableSpan(
        name=clip(span.name, limit),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes(span.attributes),
        events=[Event(clip(e.name, limit), attributes(e.attributes), e.timestamp) for e in span.events[:128]],
        links=[Link(k.context, attributes(k.attributes)) for k in span.links[:128]],
        kind=span.kind,
        status=Status(span.status.status_code, said and clip(said, limit)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _cut_value(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return clip(value, limit)
    if isinstance(value, bytes):
        return value[:limit]
    if isinstance(value, (list, tuple)):
        return [_cut_value(item, limit) for item in cast("list[Any]", value)[:1000]]
    if isinstance(value, Mapping):
        return {key: _cut_value(item, limit) for key, item in cast("Mapping[str, Any]", value).items()}
    return value
