"""What a body would become in memory, told from its bytes before anything is built of it.

Two bytes can stand for a record that takes two hundred in memory, so that a body of 20 MB would take 2 GB. Looking
costs a few per cent of reading, and only bodies of some size are looked at.
"""

import numpy as np
from numpy.typing import NDArray

from watchkeeper.wire.errors import TooLarge

# What is smaller than this takes little whatever it holds.
LOOK_BYTES = 256 * 1024
# So few parts take little too: bodies of text do not come here, and a closer look is spared.
FEW = 1_000_000
# In numbers of this size each step stays within the processor's cache.
_BLOCK = 64 * 1024
_LINK_TAG = 0x6A
_BRACE, _BRACKET, _QUOTE = ord("{"), ord("["), ord('"')
_OBJECT_WEIGHT = 4


def protobuf_parts(body: bytes) -> int:
    """How many messages and texts the body can hold at most, roughly: 0 when they are few. A link counts twice, being twice as
    large in memory as other small messages.

    A message begins with its tag and its length. Of a message that weighs more than its bytes the length is below 32, or it is one
    of a chain of which every other has a field number below 4: a tag below 32. A number in more bytes than it needs ends with a zero.
    """
    data = np.frombuffer(body, np.uint8)
    if _count(data, below=32) <= FEW:
        return 0
    found = 0
    for start in range(0, len(data), _BLOCK):
        after = data[start + 1 : start + 1 + _BLOCK]
        here = data[start : start + len(after)]
        small = ((here & 7) == 2) & ((after < 32) | ((here < 32) & (after < 128)))
        found += _true(small) + _true(small & (here == _LINK_TAG)) + _true((here > 127) & (after == 0))
    return found


def json_parts(body: bytes) -> int:
    """How many lists the JSON holds, an object counting as four of them, as it takes so much more memory: 0 when they are few."""
    data = np.frombuffer(body, np.uint8)
    if _OBJECT_WEIGHT * _count(data, equal=_BRACE) + _count(data, equal=_BRACKET) <= FEW:
        return 0
    # Without escapes each quote begins or ends a text, and what looks like JSON within one is no part.
    data = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    found = inside = 0
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        quotes = np.cumsum(block == _QUOTE, dtype=np.uint8) + np.uint8(inside)
        outside = (quotes & 1) == 0
        found += _OBJECT_WEIGHT * _true(outside & (block == _BRACE)) + _true(outside & (block == _BRACKET))
        inside = int(quotes[-1] & 1)
    return found


def _count(data: NDArray[np.uint8], *, below: int = 0, equal: int = -1) -> int:
    blocks = (data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK))
    return sum(_true(b < below if below else b == equal) for b in blocks)


def _true(flags: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(flags))


def refuse_more(parts: int, limit: int) -> None:
    """Raises `TooLarge` for more parts than the limit."""
    if parts > limit:
        raise TooLarge("the request holds more parts than fit into memory; send smaller batches")
