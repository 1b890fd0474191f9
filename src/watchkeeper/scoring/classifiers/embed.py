"""Static word embeddings from the `wordllama` wheel: no network, no key.

A text's vector is the mean over its tokens. Tokens never cross words, so a word's own sum is remembered and a text costs a
few look-ups instead of a tokenizer run: about twenty times faster than embedding texts one by one.
"""

import importlib.util
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

Vector = np.ndarray[Any, np.dtype[np.float32]]
DIMENSIONS = 256
_CAPACITY = 40_000
_LONGEST_WORD = 40


def available() -> bool:
    """Whether the embedding package is installed."""
    return importlib.util.find_spec("wordllama") is not None


class Words:
    """Sums of token vectors and token counts by word; forgets everything when full (40 MB)."""

    def __init__(self, table: Any, tokenizer: Any) -> None:
        self._table, self._tokenizer = table, tokenizer
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, int] = {}
        self._sums = np.zeros((_CAPACITY, DIMENSIONS), dtype=np.float32)
        self._counts = np.zeros(_CAPACITY, dtype=np.float32)

    def _learn(self, new: Sequence[str]) -> None:
        encoded = self._tokenizer.encode_batch([f" {w}" for w in new], add_special_tokens=False)
        for word, tokens in zip(new, encoded, strict=True):
            row = len(self._rows)
            # Padding of the batch is not part of the word.
            ids = [i for i, kept in zip(tokens.ids, tokens.attention_mask, strict=True) if kept]
            self._sums[row] = np.asarray(self._table[ids], dtype=np.float32).sum(axis=0)
            self._counts[row] = len(ids)
            self._rows[word] = row

    def lookup(self, words: Sequence[str]) -> tuple[Vector, Vector]:
        """Vector sums (n × 256) and token counts (n) of the words."""
        kept = [w[:_LONGEST_WORD].encode("utf-8", "replace").decode() for w in words]
        with self._lock:
            new = list(dict.fromkeys(w for w in kept if w not in self._rows))
            if new:
                if len(self._rows) + len(new) > _CAPACITY:
                    self._clear()
                    new = list(dict.fromkeys(kept))
                self._learn(new)
            rows = [self._rows[w] for w in kept]
            return self._sums[rows], self._counts[rows]


@lru_cache(maxsize=1)
def vocabulary() -> Words:
    """The shared words, loaded on first use. Raises ModuleNotFoundError saying what to install."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("wordllama is not installed; `pip install watchkeeper[server]` brings it")
    from wordllama import WordLlama

    # Without these two arguments it looks for its tokenizer elsewhere and then asks the network.
    model: Any = WordLlama.load(cache_dir=Path(spec.origin).parent, disable_download=True)
    return Words(model.embedding, model.tokenizer)


def _unit(vectors: Vector) -> Vector:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-9)


def cosines(question: Sequence[str], answer: Sequence[str], block: int = 12) -> tuple[float, float]:
    """Cosine of the two texts' vectors, and the largest over neighbouring pairs of blocks of the answer's words, so that one
    good passage in a long answer counts. Texts are lists of words; an empty one gives 0."""
    if not question or not answer:
        return 0.0, 0.0
    words = vocabulary()
    asked_sums, _ = words.lookup(question)
    asked = _unit(asked_sums.sum(axis=0))
    sums, counts = words.lookup(answer)
    if not counts.any():
        return 0.0, 0.0
    blocks = np.add.reduceat(sums, np.arange(0, len(answer), block), axis=0)
    whole = float(_unit(blocks.sum(axis=0)) @ asked)
    if len(blocks) < 3:
        return whole, whole
    return whole, max(whole, float(np.max(_unit(blocks[:-1] + blocks[1:]) @ asked)))


def embed(texts: Sequence[Sequence[str]]) -> Vector:
    """Unit vectors of texts given as words, one row each; a text without words is a row of zeros."""
    words = vocabulary()
    out = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    for i, text in enumerate(texts):
        if text:
            out[i] = _unit(words.lookup(text)[0].sum(axis=0))
    return out
