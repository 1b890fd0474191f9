"""How heavy an ended span is, and a lighter copy when it is too heavy."""

import sys
from collections.abc import Mapping
from typing import Any, Final, cast

from opentelemetry.sdk.trace import Event, ReadableSpan

from watchkeeper.sdk.values import clip

#: Measured: an ended span with its containers, before the text of its attributes.
_SPAN_BYTES: Final = 4_000
_ATTRIBUTE_BYTES: Final = 120


def weigh(span: ReadableSpan) -> tuple[int, int]:
    """About how many bytes the span holds in memory, and the length of its longest text."""
    # The public view locks and looks up once per attribute; this runs inside the application's span.end().
    total, longest = _weigh(getattr(getattr(span, "_attributes", None), "_dict", None) or span.attributes)
    for event in span.events or ():
        size, long = _weigh(event.attributes)
        total += size + 500
        longest = max(longest, long)
    return total + _SPAN_BYTES + 300 * len(span.links), longest


def _weigh(attributes: Mapping[str, object] | None) -> tuple[int, int]:
    total = longest = 0
    for value in (attributes or {}).values():
        total += _ATTRIBUTE_BYTES
        if type(value) is str or isinstance(value, (str, bytes)):
            length = len(value)
            if length > 100:
                total += sys.getsizeof(value)
            if length > longest:
                longest = length
        elif isinstance(value, (tuple, list)):
            items = cast("tuple[object, ...]", value)
            total += sum(sys.getsizeof(item) for item in items)
            longest = max([longest, *(len(item) for item in items if isinstance(item, str))])
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

    return ReadableSpan(
        name=clip(span.name, limit),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes(span.attributes),
        events=[Event(clip(e.name, limit), attributes(e.attributes), e.timestamp) for e in span.events[:128]],
        links=span.links[:128],
        kind=span.kind,
        status=span.status,
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
