"""Words as small numbers: a text is split once, and every scorer then compares arrays instead of strings.

Numbers are only good within one `Vocabulary`. It is replaced as a whole when it has grown large; whoever still holds
numbers of the old one keeps the old one.
"""

import threading
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from watchkeeper.scoring.lexicon import STOPWORDS

Ids = np.ndarray[Any, np.dtype[np.int32]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
MARK = "\x01"  # stands where a sentence ends
LARGEST = 60_000
_ENDINGS = ("ing", "edly", "ed", "es", "s", "ly")
_LONGEST_WORD = 80


def stem(word: str) -> str:
    """Crude plural and verb endings off, so that `ships` and `shipping` meet."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


class Vocabulary:
    """Numbers of words, with what scorers want to know of each. Safe to use from several threads."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.stems: Ids = np.zeros(4096, dtype=np.int32)
        self.content: Mask = np.zeros(4096, dtype=np.bool_)
        self._rows: dict[str, int] = {}
        self._lock = threading.RLock()
        self._local = threading.local()
        self.mark = self._learn(MARK)

    def __len__(self) -> int:
        return len(self.words)

    def _learn(self, word: str) -> int:
        with self._lock:
            known = self._rows.get(word)
            if known is not None:
                return known
            row = len(self.words)
            if row >= len(self.stems):
                # Arrays are replaced, never resized: a reader of the old ones has no number beyond their end.
                self.stems = np.concatenate([self.stems, np.zeros_like(self.stems)])
                self.content = np.concatenate([self.content, np.zeros_like(self.content)])
            self.words.append(word)
            base = stem(word)
            self.content[row] = word not in STOPWORDS
            self.stems[row] = row
            if base != word:
                # The number is taken before its stem's, so that a stem learned on the way gets the next one.
                self._rows[word] = row
                self.stems[row] = self._learn(base)
            self._rows[word] = row
            return row

    def ids(self, tokens: Sequence[str]) -> Ids:
        """The numbers of the words, in order."""
        try:
            # It is asked for two more than are taken, because of fewer it would tell no tuple.
            return np.fromiter(itemgetter(*tokens, MARK, MARK)(self._rows), np.int32, len(tokens))
        except KeyError:
            # Long ones not under their own name: an encoded picture must not fill the memory.
            told = (word[:_LONGEST_WORD] for word in tokens)
            return np.fromiter((self._learn(word) for word in told), np.int32, len(tokens))

    def places(self, of: Ids, among: Ids) -> Ids:
        """Where each number of `of` stands in `among`, counted from 1 (one of the places where there are several); 0 where it
        does not."""
        scratch: Ids | None = getattr(self._local, "scratch", None)
        if scratch is None or len(scratch) < len(self.stems):
            # A quarter of a megabyte of zeros for every trace would cost more than the work itself.
            scratch = self._local.scratch = np.zeros(len(self.stems), dtype=np.int32)
        scratch[among] = np.arange(1, len(among) + 1, dtype=np.int32)
        found = scratch[of]
        scratch[among] = 0
        return found

    def marked(self, ids: Ids) -> Mask:
        """An array over the vocabulary that is true at the given numbers."""
        out = np.zeros(len(self.stems), dtype=np.bool_)
        out[ids] = True
        return out


def hits(mark: Mask, ids: Ids) -> int:
    """How many of the numbers `mark` has. One learned since the mark was made is not in it."""
    return int(np.count_nonzero(mark[ids[ids < len(mark)]]))


_SHIFT = np.uint64(29)
_ODD = np.uint64(0x9E3779B97F4A7C15)


def distinct(ids: Ids) -> Ids:
    """The different numbers among the given, ascending."""
    if len(ids) < 2:
        return ids
    ordered = ids.copy()
    ordered.sort()
    new = np.empty(len(ordered), dtype=np.bool_)
    new[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def runs_of(ids: Ids, size: int) -> Hashes:
    """A 64-bit hash of every run of `size` words: equal runs have equal hashes, others practically never."""
    out = ids.astype(np.uint64) + np.uint64(1)
    if len(ids) < size:
        return out[:0]
    done = 1
    while done < size:
        # Twice as long, or the rest: two runs that overlap say together what the longer one holds.
        step = min(done, size - done)
        out = out[:-step] * _ODD ^ out[step:]
        out ^= out >> _SHIFT
        done += step
    return out


_current: list[Vocabulary] = [Vocabulary()]
_replacing = threading.Lock()


def current() -> Vocabulary:
    """The vocabulary for new texts; a fresh one when the last has grown past `LARGEST` words."""
    vocabulary = _current[0]
    if len(vocabulary) <= LARGEST:
        return vocabulary
    with _replacing:
        if len(_current[0]) > LARGEST:
            _current[0] = Vocabulary()
        return _current[0]
