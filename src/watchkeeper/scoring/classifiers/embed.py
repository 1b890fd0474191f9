"""Static word embeddings from the `wordllama` wheel: no network, no key, about 20,000 short texts a second."""

import importlib.util
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

_lock = threading.Lock()


def available() -> bool:
    """Whether the embedding package is installed."""
    return importlib.util.find_spec("wordllama") is not None


@lru_cache(maxsize=1)
def _model() -> Any:
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("wordllama is not installed; `pip install watchkeeper[server]` brings it")
    from wordllama import WordLlama

    # Without these two arguments it looks for its tokenizer elsewhere and then asks the network.
    return WordLlama.load(cache_dir=Path(spec.origin).parent, disable_download=True)


def embed(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Unit vectors, one row a text; a text without known tokens is a row of zeros."""
    if not texts:
        return np.zeros((0, 256), dtype=np.float32)
    # The tokenizer's padding state is shared, so calls take turns. Texts are cut where meaning no longer changes.
    with _lock:
        raw: Any = _model().embed(
            [t[:8000].encode("utf-8", "replace").decode() or " " for t in texts], norm=True
        )
    return np.nan_to_num(np.asarray(raw, dtype=np.float32))
