"""The one decompressor: every encoding, every bomb."""

import ast
import gzip
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest

from watchkeeper.wire import MAX_BYTES, Inflater, Malformed, TooLarge, UnsupportedEncoding, inflate
from watchkeeper.wire.inflate import zstd

PLAIN = b"".join(random.Random(7).randbytes(50) + b"abc" * 30 for _ in range(2000))
RAW = zlib.compressobj(wbits=-15)
BODIES = {
    "identity": PLAIN,
    "gzip": gzip.compress(PLAIN),
    "deflate": zlib.compress(PLAIN),
    "zstd": zstd.compress(PLAIN),
}


@pytest.mark.parametrize("encoding", BODIES)
def test_it_inflates_every_encoding_whole_and_in_pieces(encoding: str) -> None:
    body = BODIES[encoding]
    assert inflate(body, encoding) == PLAIN
    inflater = Inflater(encoding)
    for start in range(0, len(body), 97):
        inflater.feed(body[start : start + 97])
    assert inflater.finish() == PLAIN


def test_it_reads_raw_deflate_x_gzip_several_members_and_padding() -> None:
    raw = RAW.compress(PLAIN) + RAW.flush()
    assert inflate(raw, "deflate") == PLAIN
    assert inflate(gzip.compress(b"a") + gzip.compress(b"b") + bytes(9), "X-GZIP") == b"ab"
    assert inflate(zstd.compress(b"a") + zstd.compress(b"b"), "zstd") == b"ab"
    assert inflate(b"x", None) == inflate(b"x", "") == inflate(b"x", "Identity") == b"x"


@pytest.mark.parametrize("header", ["br", "gzip, gzip", "gzip,zstd", "compress", "aws-chunked"])
def test_it_refuses_other_and_several_encodings(header: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        inflate(b"", header)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_it_says_when_a_body_is_cut_or_damaged(encoding: str) -> None:
    body = BODIES[encoding]
    with pytest.raises(Malformed):
        inflate(body[:-5], encoding)
    with pytest.raises(Malformed):
        inflate(body[:40] + b"\xff" * 40 + body[80:], encoding)
    with pytest.raises(Malformed):
        inflate(b"", encoding)


def _bombs() -> dict[str, tuple[str, bytes]]:
    zeros = bytes(1 << 20)
    deflate = zlib.compressobj(9)
    squeezed = b"".join([deflate.compress(zeros) for _ in range(200)]) + deflate.flush()
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join([packer.compress(zeros) for _ in range(200)]) + packer.flush()
    frame = zstd.ZstdCompressor()
    lying = b"".join([frame.compress(zeros) for _ in range(200)]) + frame.flush()
    return {
        "gzip": ("gzip", packed),
        "deflate": ("deflate", squeezed),
        "zstd without size": ("zstd", lying),
        "zstd with size": ("zstd", zstd.compress(bytes(64 << 20))),
        "many members": ("gzip", gzip.compress(zeros) * 64),
    }


BOMBS = _bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_it_stops_a_bomb_early_and_in_little_memory(name: str) -> None:
    encoding, body = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(body, encoding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 48 << 20


@pytest.mark.parametrize(
    ("encoding", "part"),
    [("gzip", gzip.compress(b"", mtime=0)), ("zstd", zstd.compress(b""))],
    ids=["gzip", "zstd"],
)
def test_it_stops_a_body_of_very_many_parts(encoding: str, part: bytes) -> None:
    assert inflate(part * 1000, encoding) == b""
    with pytest.raises(TooLarge, match="more than 1000 compressed parts"):
        inflate(part * 1001, encoding)


def test_it_stops_a_zstd_frame_whose_content_size_lies() -> None:
    honest = bytearray(zstd.compress(b"a" * 300))
    honest[5] ^= 0x01
    with pytest.raises((Malformed, TooLarge)):
        inflate(bytes(honest), "zstd")


def test_it_refuses_a_zstd_window_larger_than_any_body() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.compression_level: 1}
    packer = zstd.ZstdCompressor(options=options)
    body = packer.compress(b"abc") + packer.flush()
    with pytest.raises(Malformed):
        inflate(body, "zstd")


def test_it_limits_plain_and_inflated_size() -> None:
    noise = random.Random(1).randbytes(MAX_BYTES)
    assert len(inflate(noise, None)) == MAX_BYTES
    with pytest.raises(TooLarge):
        inflate(noise + b"x", None)
    with pytest.raises(TooLarge):
        inflate(zstd.compress(noise + b"x" * 100), "zstd", limit=MAX_BYTES)
    with pytest.raises(TooLarge):
        inflate(zlib.compress(bytes(5 << 20), 9), "deflate")


def test_no_other_module_decompresses() -> None:
    source = Path(__file__).parents[3] / "src/watchkeeper"
    forbidden = {"gzip", "zlib", "zstd", "bz2", "lzma", "zstandard", "brotli"}
    # The SDK is another program: it shares no code with the server and compresses what it sends.
    # `import` streams its user's own files in its user's own process, never whole: no server is there to protect.
    allowed = {source / "wire/inflate.py", source / "cli/tables.py"}
    found: list[str] = []
    for path in source.rglob("*.py"):
        if path in allowed or path.is_relative_to(source / "sdk"):
            continue
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            hits = forbidden & {part for name in [*names, module] for part in name.split(".")}
            # A checksum is no decompression.
            checksum = hits == {"zlib"} and "zlib.crc32" in text and "compress" not in text
            found += [] if checksum or not hits else [f"{path}: {sorted(hits)}"]
    assert not found
