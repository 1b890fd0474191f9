"""The texts of one subject as words and as numbers of words, each worked out once and shared by all scorers."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from watchkeeper.scoring.lazy import lazy
from watchkeeper.scoring.vocabulary import MARK, Ids, Mask, Vocabulary, current, distinct

_SYMBOL = re.compile(r"[^\w\x00-\x7f]")
# ASCII letters in lower case, digits and underscore kept, every other ASCII character a blank: much faster than `re`.
_TABLE = bytes(ord(chr(b).lower()) if chr(b).isalnum() or b == 95 else 32 for b in range(128)) + bytes(
    range(128, 256)
)
_MARKED_TABLE = _TABLE[:1] + MARK.encode() + _TABLE[2:]
# Typographic marks that make most English texts non-ASCII.
_MARKS = (
    ("’", "'"),
    ("‘", "'"),
    ("“", " "),
    ("”", " "),
    ("–", " "),
    ("—", " "),
    ("…", " "),
    ("•", " "),
    ("\u00a0", " "),
)
# Chinese, Japanese and Thai part no words.
UNPARTED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
_SPACE = re.compile(r"\s+")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_GROUPED = re.compile(r"\d{1,3}(?:\.\d{3}){2,}")
# The look-behinds come after the first digit, so that `re` skips quickly to digits. Letters of scripts that part no words may touch.
_NUMBER = re.compile(
    r"\d(?<![^\W\d\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]\d)(?<![\d.,]\d)[\d.,]*+(?![_a-jln-rt-zß-öø-ÿ])"
)


def _plain(text: str, table: bytes) -> str:
    """Lower case, apostrophes dropped, everything that is no part of a word a blank."""
    if text.isascii():
        return text.encode("ascii").translate(table, b"'").decode("ascii")
    for mark, plain in _MARKS:
        text = text.replace(mark, plain)
    if text.isascii():
        return text.encode("ascii").translate(table, b"'").decode("ascii")
    # Letters outside ASCII are kept byte by byte; whatever else is outside it has to go before.
    return _SYMBOL.sub(" ", text.lower()).encode("utf-8").translate(table, b"'").decode("utf-8")


def words(text: str) -> list[str]:
    """Lower-case words of a text; apostrophes are dropped (`don't` is `dont`)."""
    return _plain(text, _TABLE).split()


def _marked_words(text: str) -> list[str]:
    """As `words`, with `MARK` as a word of its own wherever a sentence or line ends."""
    if MARK in text:
        text = text.replace(MARK, " ")
    for end in (". ", "! ", "? ", "\n"):
        if end in text:
            text = text.replace(end, f" {MARK} ")
    return _plain(text, _MARKED_TABLE).split()


def without_code(text: str) -> str:
    """The text with blanks in the place of Markdown's code."""
    return _CODE.sub(" ", text) if "`" in text else text


def squeeze(text: str) -> str:
    """Lower case, runs of white space as one blank, typographic quotes as plain ones: for verbatim comparison."""
    plain = text.replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"')
    return _SPACE.sub(" ", plain).strip().lower()


@lru_cache(maxsize=8192)
def _one_spelling(number: str) -> str:
    digits = number.rstrip(".,")
    if "." in digits and digits.rfind(",") > digits.rfind("."):
        # 1.234,56 as most of Europe writes it.
        digits = digits.replace(".", "").replace(",", ".")
    elif "," in digits:
        if "." not in digits and digits.count(",") == 1 and len(digits) - digits.index(",") != 4:
            digits = digits.replace(",", ".")
        else:
            digits = digits.replace(",", "")
    elif _GROUPED.fullmatch(digits):
        digits = digits.replace(".", "")
    if digits.count(".") == 1:
        digits = digits.rstrip("0").rstrip(".")
    return digits.lstrip("0") or "0"


def numbers(text: str) -> set[str]:
    """Numbers in one spelling: grouping removed, trailing zeros of decimals dropped. Digits that touch a letter or an
    underscore belong to an identifier and are left out; a unit's capital, k, m or s may follow, and Chinese, Japanese, Korean
    or Thai may touch."""
    return set(map(_one_spelling, _NUMBER.findall(text)))


class Texts:
    """What came in, what went out and what the answer may rest on. Numbers of words are those of `vocabulary`."""

    def __init__(self, input: str | None, output: str | None, evidence: Sequence[str] = ()) -> None:
        self.input = input
        self.output = output
        self.vocabulary: Vocabulary = current()
        self._given = list(evidence)
        self.kept: dict[str, Any] = {}  # for what scorers share that is not words

    def _evidence(self) -> list[str]:
        return self._given

    @lazy
    def evidence(self) -> list[str]:
        """Texts an answer may rest on: retrieved documents, else tool results."""
        return self._evidence()

    @lazy
    def evidence_text(self) -> str:
        """The evidence as one text."""
        return "\n".join(self.evidence)

    @lazy
    def evidence_squeezed(self) -> str:
        return squeeze(self.evidence_text)

    @lazy
    def input_squeezed(self) -> str:
        return squeeze(self.input or "")

    @lazy
    def output_words(self) -> list[str]:
        return words(self.output or "")

    @lazy
    def input_words(self) -> list[str]:
        return words(self.input or "")

    @lazy
    def input_ids(self) -> Ids:
        return self.vocabulary.ids(self.input_words)

    @lazy
    def evidence_ids(self) -> Ids:
        return self.vocabulary.ids(words(self.evidence_text))

    @lazy
    def _output(self) -> tuple[Ids, Ids]:
        ids = self.vocabulary.ids(_marked_words(self.output or ""))
        ends = (ids == self.vocabulary.mark).nonzero()[0]
        if not len(ends):
            return ids, np.zeros(1, dtype=np.int32)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), ends - np.arange(len(ends))])
        kept = np.delete(ids, ends)
        # Marks in a row, or one at the end, would make sentences without words.
        starts = starts[np.concatenate([starts[1:] > starts[:-1], [starts[-1] < len(kept)]])]
        return kept, starts.astype(np.int32) if len(starts) else np.zeros(1, dtype=np.int32)

    @property
    def output_ids(self) -> Ids:
        """The output's words."""
        return self._output[0]

    @property
    def output_starts(self) -> Ids:
        """Where in `output_ids` its sentences and lines begin; the first is 0."""
        return self._output[1]

    @lazy
    def output_mark(self) -> Mask:
        """Over the vocabulary: the words of the output."""
        return self._marked(self.output_ids)

    @lazy
    def evidence_mark(self) -> Mask:
        """Over the vocabulary: the words of the evidence."""
        return self._marked(self.evidence_ids)

    @lazy
    def input_mark(self) -> Mask:
        """Over the vocabulary: the words of the input."""
        return self._marked(self.input_ids)

    def _marked(self, ids: Ids) -> Mask:
        # The vocabulary grows with what is read: all of the subject is read first, so that each of its words has a place.
        _ = self.output_ids, self.evidence_ids, self.input_ids
        return self.vocabulary.marked(ids)

    @lazy
    def output_content(self) -> Ids:
        """The output's content words, in order."""
        ids = self.output_ids
        return ids[self.vocabulary.content[ids]]

    @lazy
    def said(self) -> Ids:
        """The output's distinct content words."""
        return distinct(self.output_content)

    @lazy
    def asked(self) -> Ids:
        """The input's distinct content words."""
        ids = self.input_ids
        return distinct(ids[self.vocabulary.content[ids]])

    @lazy
    def evidence_numbers(self) -> set[str]:
        return numbers(self.evidence_text)
