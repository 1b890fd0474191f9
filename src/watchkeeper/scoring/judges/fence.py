"""Untrusted text inside a fence that it cannot close (requirement J6, goal J1).

Every piece stands between two marker lines that carry a nonce. The nonce never occurs in any of the fenced texts: it is
drawn again until that is so. A text can therefore neither end its fence nor open another one.
"""

import hashlib
from collections.abc import Sequence

_LENGTH = 20


def nonce_for(texts: Sequence[str], seed: str) -> str:
    """A nonce that occurs in none of the texts. `seed` is a fresh random string per call where the caller has one; the
    texts are mixed in, so that even without it nobody can write a text that knows its own nonce."""
    joined = "\x00".join(texts)
    for round_ in range(1_000):
        digest = hashlib.blake2b(
            f"{seed}\x00{round_}\x00{joined}".encode("utf-8", "surrogatepass"), digest_size=16
        ).hexdigest()
        nonce = digest[:_LENGTH]
        if nonce not in joined.lower():
            return nonce
    raise ValueError("no nonce is free of the texts; they are made to prevent it")


def fence(label: str, text: str, nonce: str) -> str:
    """The text between its markers."""
    return f"<<<{nonce} {label}>>>\n{text}\n<<<end {nonce} {label}>>>"


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the middle left out and said so."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n[… {len(text) - head - tail} characters left out …]\n{text[-tail:]}"
