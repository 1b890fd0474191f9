"""Which language a few words are in, from runs of letters: one softmax over hashed pieces of words, shipped as numbers."""

import base64
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec
import numpy as np

BUCKETS = 8192
# More words tell no more, and cost more.
_WORDS, _LETTERS = 40, 24
Numbers = np.ndarray[Any, np.dtype[Any]]


class Letters(msgspec.Struct, frozen=True):
    """P(language) = softmax(Σ scale · weight / √n) over the n pieces of a text. `weights` holds one signed byte for each bucket
    and language, in base 85; `fitted_on` says where they are from."""

    languages: tuple[str, ...]
    scales: tuple[float, ...]
    weights: str
    fitted_on: str


@lru_cache(maxsize=20_000)
def _of_word(word: str) -> tuple[int, ...]:
    """The buckets of a word and of its runs of two, three and four letters, its ends marked."""
    marked = f"_{word[:_LETTERS]}_"
    pieces = [marked, *(marked[i : i + n] for n in (2, 3, 4) for i in range(len(marked) - n + 1))]
    return tuple(zlib.crc32(p.encode("utf-8", "replace")) % BUCKETS for p in pieces)


def grams(tokens: Sequence[str]) -> Numbers:
    """The distinct buckets of a text's words."""
    return np.array(sorted({b for t in tokens[:_WORDS] for b in _of_word(t)}), dtype=np.int32)


@lru_cache(maxsize=1)
def _model() -> tuple[tuple[str, ...], Numbers, Numbers]:
    raw = resources.files("watchkeeper.scoring.data").joinpath("language.json").read_bytes()
    told = msgspec.json.decode(raw, type=Letters)
    whole = np.frombuffer(base64.b85decode(told.weights), dtype=np.int8).reshape(BUCKETS, -1)
    return told.languages, np.array(told.scales, dtype=np.float32), whole


def probabilities(tokens: Sequence[str], among: Iterable[str] = ()) -> dict[str, float]:
    """Of each language, or of those in `among`: numbers that say how they compare, not how sure one can be of any. Empty for
    words without letters."""
    told = [t for t in tokens if any(map(str.isalpha, t))]
    if not told:
        return {}
    languages, scales, weights = _model()
    own = grams(told)
    z = weights[own].sum(0, dtype=np.int32) * scales * len(own) ** -0.5
    wanted = [i for i, name in enumerate(languages) if not among or name in among]
    powers = np.exp(z[wanted] - z[wanted].max())
    return dict(zip((languages[i] for i in wanted), (powers / powers.sum()).tolist(), strict=True))
