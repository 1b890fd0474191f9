"""Static word embeddings from the `wordllama` wheel: no network, no key.

A text's vector is the mean over its tokens. Tokens never cross words, so a word's own sum is remembered and a text costs a
few look-ups instead of a tokenizer run: about twenty times faster than embedding texts one by one.
"""

import importlib.util
import json
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from watchkeeper.scoring.texts import Texts
from watchkeeper.scoring.vocabulary import Ids, Vocabulary

Vector = np.ndarray[Any, np.dtype[np.float32]]
DIMENSIONS = 256
SHORT = 64
OUTPUT_WORDS = 400
_OUTPUT = "embed.output"
_CAPACITY = 40_000
_LONGEST_WORD = 40


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether the embedding package is installed."""
    return importlib.util.find_spec("wordllama") is not None


def _token_sums(table: Any, tokenizer: Any, words: Sequence[str]) -> tuple[Vector, Vector]:
    """Vector sums and token counts of words."""
    encoded = tokenizer.encode_batch([f" {w}" for w in words], add_special_tokens=False)
    ids = [t.ids for t in encoded]
    out = np.zeros((len(words), DIMENSIONS), dtype=np.float32)
    for row, tokens in enumerate(ids):
        out[row] = np.asarray(table[tokens], dtype=np.float32).sum(axis=0)
    return out, np.array([len(tokens) for tokens in ids], dtype=np.float32)


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
        start = len(self._rows)
        rows = slice(start, start + len(new))
        self._sums[rows], self._counts[rows] = _token_sums(self._table, self._tokenizer, new)
        self._rows.update((word, start + i) for i, word in enumerate(new))

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
def _model() -> tuple[Any, Any]:
    """Token table and tokenizer, loaded on first use. Raises ModuleNotFoundError saying what to install."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("wordllama is not installed; `pip install watchkeeper[server]` brings it")
    from tokenizers import Tokenizer

    folder = Path(spec.origin).parent
    # Read from the package's files, without its code: that brings 60 MB of what it needs to download models, and a copy of the
    # table, which as a part of the file is shared by all processes.
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))
    tokenizer.no_truncation()
    return _table(folder / "weights/l2_supercat_256.safetensors"), tokenizer


def _table(path: Path) -> Any:
    """The one tensor of a safetensors file (length of the header, header, values), in half precision as it is shipped."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))["embedding.weight"]
    if header["dtype"] != "F16":
        raise ValueError(f"{path.name} holds {header['dtype']}, not half precision")
    return np.memmap(path, np.float16, "r", 8 + size + header["data_offsets"][0], tuple(header["shape"]))


def token_sums(words: Sequence[str]) -> tuple[Vector, Vector]:
    """Vector sums (n × 256) and token counts (n) of words, not remembered."""
    kept = [w[:_LONGEST_WORD].encode("utf-8", "replace").decode() for w in words]
    return _token_sums(*_model(), kept)


@lru_cache(maxsize=1)
def vocabulary() -> Words:
    """The shared words of `embed`, by their spelling."""
    return Words(*_model())


class Vectors:
    """Vector sums of a vocabulary's words by number, in the first `SHORT` dimensions (the model is trained so that they
    stand alone; on our data they rank no worse than all 256)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._known = 0
        self._sums: Vector = np.zeros((0, SHORT), dtype=np.float32)

    def sums(self, ids: Ids) -> Vector:
        """One row per word (n × `SHORT`)."""
        if self._known < len(self._vocabulary):
            self._learn()
        return self._sums.take(ids, axis=0)

    def _learn(self) -> None:
        """Take in every word that the vocabulary has learned since."""
        with self._lock:
            end = len(self._vocabulary)
            if self._known >= end:
                return
            if end > len(self._sums):
                larger = np.zeros((2 * end, SHORT), dtype=np.float32)
                larger[: self._known] = self._sums[: self._known]
                self._sums = larger
            new = self._vocabulary.words[self._known : end]
            self._sums[self._known : end] = token_sums(new)[0][:, :SHORT]
            self._known = end


@lru_cache(maxsize=2)
def vectors(vocabulary: Vocabulary) -> Vectors:
    """The vectors that belong to a vocabulary."""
    return Vectors(vocabulary)


def unit(vectors: Vector) -> Vector:
    """Rows of length 1; a row of zeros stays one."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-9)


def of_output(seen: Texts) -> Vector:
    """The vectors of the output's first `OUTPUT_WORDS` content words (all words where it has none), shared by scorers."""
    known = seen.kept.get(_OUTPUT)
    if known is None:
        ids = seen.output_content if len(seen.output_content) else seen.output_ids
        known = seen.kept[_OUTPUT] = vectors(seen.vocabulary).sums(ids[:OUTPUT_WORDS])
    return known


_ONES = np.ones(4096, dtype=np.float32)


def total(vectors: Vector) -> Vector:
    """The sum over rows, as a product: a fifth of the time that `sum` takes for a few hundred short rows."""
    n = len(vectors)
    return _ONES[:n] @ vectors if n <= len(_ONES) else vectors.sum(axis=0)


def cosine(one: Vector, other: Vector) -> float:
    """Cosine of two texts given as the vectors of their words; 0 for an empty one."""
    a, b = total(one), total(other)
    return float(a @ b) / max(1e-9, float(np.sqrt((a @ a) * (b @ b))))


def cosines(question: Vector, answer: Vector, block: int = 12) -> tuple[float, float]:
    """Cosine of two texts' vectors, given as the vectors of their words, and the largest over neighbouring pairs of blocks
    of the answer's words, so that one good passage in a long answer counts. An empty text gives 0."""
    if not len(question) or not len(answer):
        return 0.0, 0.0
    asked = unit(total(question))
    blocks = np.add.reduceat(answer, np.arange(0, len(answer), block), axis=0)
    whole = float(unit(total(blocks)) @ asked)
    if len(blocks) < 3:
        return whole, whole
    pairs = blocks[:-1] + blocks[1:]
    norms = np.sqrt(np.einsum("ij,ij->i", pairs, pairs))
    return whole, max(whole, float(np.max(pairs @ asked / np.maximum(norms, 1e-9))))


def embed(texts: Sequence[Sequence[str]]) -> Vector:
    """Unit vectors of texts given as words, one row each; a text without words is a row of zeros."""
    words = vocabulary()
    out = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    for i, text in enumerate(texts):
        if text:
            out[i] = unit(words.lookup(text)[0].sum(axis=0))
    return out
