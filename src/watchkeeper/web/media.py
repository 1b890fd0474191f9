"""Pictures that came embedded in a message. What they are is read from their first bytes, never from what a trace says."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from watchkeeper.model.span import Part, Span

# Raster kinds alone: a picture that can hold a script (SVG) or a page is not one of them.
KINDS: Final = (
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF8"),
    ("image/webp", b"RIFF"),
)
_KEYS: Final = (
    "content",
    "data",
    "base64",
    "source",
    "inlineData",
    "inline_data",
    "image",
    "image_url",
    "url",
)


def parts(span: Span) -> list[Part]:
    """The media parts of a model call's messages, in order."""
    if span.llm is None:
        return []
    messages = [*span.llm.input_messages, *span.llm.output_messages]
    return [p for message in messages for p in message.parts if p.type == "media"]


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping) and depth < 3:
        table = cast("Mapping[str, Any]", value)
        for key in _KEYS:
            yield from _texts(table.get(key), depth + 1)


def embedded(part: Part) -> str:
    """The base64 text a media part holds, "" when it is an address or nothing."""
    for text in (part.uri or "", *_texts(part.raw)):
        if text.startswith("data:"):
            head, _, body = text.partition(",")
            if head.endswith(";base64"):
                return body
        elif len(text) >= 16 and _kind(_decoded(text[:32])):
            return text
    return ""


def size(part: Part) -> int:
    """How many bytes are embedded, about."""
    return len(embedded(part)) * 3 // 4


def kind(part: Part) -> str:
    """The media type of an embedded picture; "" for what is none, or of no kind that is shown."""
    return _kind(_decoded(embedded(part)[:32]))


def picture(part: Part) -> tuple[str, bytes] | None:
    """The embedded picture with its media type; None for what is not one."""
    data = _decoded(embedded(part))
    found = _kind(data)
    return (found, data) if found else None


def _kind(data: bytes) -> str:
    for name, start in KINDS:
        if data.startswith(start) and (name != "image/webp" or data[8:12] == b"WEBP"):
            return name
    return ""


def _decoded(text: str) -> bytes:
    # One that was cut when it was stored ends in the middle of a group; what is there is shown.
    try:
        return base64.b64decode(
            text[: len(text) // 4 * 4], altchars=b"-_" if "-" in text or "_" in text else None
        )
    except (binascii.Error, ValueError):
        return b""
