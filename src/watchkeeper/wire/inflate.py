"""The only decompressor: bytes of a request in, plain bytes out, never more than the limit in memory.

Every other module is forbidden to touch a compression library (a test enforces it), so the guards against
bombs live in one place.
"""

import sys
import zlib
from typing import Any, Protocol

from watchkeeper.wire.errors import Malformed, TooLarge, UnsupportedEncoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BYTES = 20 * 1024 * 1024
MAX_RATIO = 100
RATIO_FREE_BYTES = 4 * 1024 * 1024
CHUNK = 256 * 1024
# Members and frames of one body. Writers in blocks make a few hundred of 20 MiB; each costs a decompressor, also an empty one.
MOST_PARTS = 1000
# The largest body is 20 MiB, so a window beyond 32 MiB only serves a bomb.
ZSTD_WINDOW_LOG = 25
ENCODINGS = ("identity", "gzip", "deflate", "zstd")


class _Stage(Protocol):
    """One decompressor: `pull` returns at most CHUNK bytes; False as the second value means more input is needed."""

    def pull(self, data: bytes) -> tuple[bytes, bool]: ...

    @property
    def complete(self) -> bool: ...


def _one_more(parts: int) -> int:
    if parts >= MOST_PARTS:
        raise TooLarge(f"the body is made of more than {MOST_PARTS} compressed parts; compress it as one")
    return parts + 1


class _Zlib:
    """gzip (several members in a row allowed), zlib-wrapped deflate and raw deflate."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._wbits = 31 if encoding == "gzip" else None
        self._engine: Any = None
        self._tail = b""
        self._parts = 0

    def pull(self, data: bytes) -> tuple[bytes, bool]:
        data = self._tail + data
        self._tail = b""
        if self._engine is None or self._engine.eof:
            if not data:
                return b"", False
            if self._parts:
                # Padding after the last member is common; anything else has to be another member.
                data = data.lstrip(b"\x00")
                if not data:
                    return b"", False
                if self._encoding != "gzip":
                    raise Malformed("the deflate body goes on after its end")
            if self._wbits is None:
                self._wbits = 15 if data[0] & 0x0F == 8 and (len(data) < 2 or _is_zlib(data)) else -15
            self._parts = _one_more(self._parts)
            self._engine = zlib.decompressobj(self._wbits)
        try:
            out = self._engine.decompress(data, CHUNK)
        except zlib.error as error:
            raise Malformed(f"the {self._encoding} body is damaged: {error}") from error
        self._tail = self._engine.unused_data if self._engine.eof else self._engine.unconsumed_tail
        return out, bool(self._tail) or len(out) == CHUNK

    @property
    def complete(self) -> bool:
        return self._parts > 0 and self._engine.eof and not self._tail.strip(b"\x00")


def _is_zlib(data: bytes) -> bool:
    return (data[0] << 8 | data[1]) % 31 == 0


class _Zstd:
    """Zstandard frames; the frame's own content size is never believed."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._tail = b""
        self._parts = 0

    def pull(self, data: bytes) -> tuple[bytes, bool]:
        data = self._tail + data
        self._tail = b""
        if self._engine is None or self._engine.eof:
            if not data:
                return b"", False
            self._parts = _one_more(self._parts)
            options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
            self._engine = zstd.ZstdDecompressor(options=options)
        try:
            out = self._engine.decompress(data, CHUNK)
        except zstd.ZstdError as error:
            raise Malformed(f"the zstd body is damaged: {error}") from error
        if self._engine.eof:
            self._tail = self._engine.unused_data
            return out, bool(self._tail)
        return out, not self._engine.needs_input

    @property
    def complete(self) -> bool:
        return self._parts > 0 and self._engine.eof and not self._tail


def encoding_of(header: str | None) -> str:
    """The one encoding a `content-encoding` header names; raises `UnsupportedEncoding` for others and for several."""
    named = [part.strip().lower() for part in (header or "").split(",")]
    named = [name for name in named if name not in ("", "identity")]
    if not named:
        return "identity"
    if len(named) > 1:
        raise UnsupportedEncoding(
            f"content-encoding {header!r} applies several encodings; send one of {', '.join(ENCODINGS)}"
        )
    name = "gzip" if named[0] == "x-gzip" else named[0]
    if name not in ENCODINGS:
        raise UnsupportedEncoding(
            f"content-encoding {named[0]!r} is not read here; send one of {', '.join(ENCODINGS)}"
        )
    return name


class Inflater:
    """Feed it a body as it arrives; memory grows with what honestly came out, never past `limit`.

    `feed` and `finish` raise `TooLarge` (limit, more than 100:1 once 4 MiB are out, or too many parts), `Malformed` (damaged or cut)
    and the constructor raises `UnsupportedEncoding`.
    """

    def __init__(self, content_encoding: str | None, limit: int = MAX_BYTES) -> None:
        encoding = encoding_of(content_encoding)
        self.encoding = encoding
        self._limit = limit
        self._out = bytearray()
        self._in = 0
        self._stage: _Stage | None
        if encoding == "identity":
            self._stage = None
        elif encoding == "zstd":
            self._stage = _Zstd()
        else:
            self._stage = _Zlib(encoding)

    @property
    def size(self) -> int:
        """Bytes that came out so far."""
        return len(self._out)

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body as sent."""
        self._in += len(data)
        if self._in > self._limit:
            raise TooLarge(f"the body is larger than {self._limit} bytes; send smaller batches")
        if self._stage is None:
            self._out += data
            return
        more = True
        while more:
            piece, more = self._stage.pull(data)
            data = b""
            self._out += piece
            self._guard()

    def _guard(self) -> None:
        size = len(self._out)
        if size > self._limit:
            raise TooLarge(
                f"the body is larger than {self._limit} bytes after inflation; send smaller batches"
            )
        if size > RATIO_FREE_BYTES and size > MAX_RATIO * self._in:
            raise TooLarge(
                f"the body inflates more than {MAX_RATIO}:1; send it uncompressed or in smaller batches"
            )

    def finish(self) -> bytes:
        """The whole plain body, of which nothing is kept; raises `Malformed` when the compressed stream stopped early."""
        if self._stage is not None and not self._stage.complete:
            raise Malformed(f"the {self.encoding} body ends before its end mark; it was cut in transit")
        out, self._out = self._out, bytearray()
        return bytes(out)


def inflate(body: bytes, content_encoding: str | None, limit: int = MAX_BYTES) -> bytes:
    """A whole body at once; see `Inflater` for the limits and errors. Identity returns `body` itself."""
    inflater = Inflater(content_encoding, limit)
    if inflater.encoding == "identity":
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes; send smaller batches")
        return body
    view = memoryview(body)
    for start in range(0, len(body), CHUNK):
        inflater.feed(bytes(view[start : start + CHUNK]))
    return inflater.finish()
