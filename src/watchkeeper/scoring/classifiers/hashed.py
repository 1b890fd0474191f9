"""Words and neighbouring pairs of words as hashed buckets: linear models over them ship as numbers, without any text."""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec
import numpy as np

Buckets = np.ndarray[Any, np.dtype[np.int64]]
Weights = np.ndarray[Any, np.dtype[np.float64]]


@lru_cache(maxsize=50_000)
def _code(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "replace"))


def buckets(tokens: Sequence[str], count: int) -> Buckets:
    """The distinct buckets, of `count`, of a text's words and neighbouring pairs of words."""
    codes = np.fromiter((_code(t[:64]) for t in tokens), np.uint64, len(tokens))
    pairs = (codes[:-1] * np.uint64(2654435761) + codes[1:]) >> np.uint64(7)
    return np.unique(np.concatenate([codes, pairs]) % np.uint64(count)).astype(np.int64)


class Hashed(msgspec.Struct, frozen=True):
    """P(yes) = σ(intercept + Σ dense + Σ buckets/√n). `features` names the dense inputs in order; `at_one_percent` is the
    probability that one in a hundred of the negative texts reaches; `fitted_on` says where the weights are from."""

    features: tuple[str, ...]
    weights: tuple[float, ...]
    buckets: tuple[float, ...]
    intercept: float
    at_one_percent: float
    fitted_on: str


class HashedModel:
    """A shipped model with its weights as arrays."""

    def __init__(self, shipped: Hashed) -> None:
        self.shipped = shipped
        self._weights: Weights = np.array(shipped.weights)
        self._buckets: Weights = np.array(shipped.buckets)

    def probability(self, dense: Sequence[float], tokens: Sequence[str]) -> float:
        """Between 0 and 1."""
        own = buckets(tokens, len(self._buckets))
        z = self.shipped.intercept + float(self._weights @ np.array(dense))
        z += float(self._buckets[own].sum()) / max(1, len(own)) ** 0.5
        return float(1.0 / (1.0 + np.exp(-max(-30.0, min(30.0, z)))))


@lru_cache(maxsize=8)
def load(name: str) -> HashedModel:
    """The shipped model `name`."""
    raw = resources.files("watchkeeper.scoring.data").joinpath(f"{name}.json").read_bytes()
    return HashedModel(msgspec.json.decode(raw, type=Hashed))
