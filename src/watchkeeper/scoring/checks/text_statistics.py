import re
from dataclasses import dataclass

import numpy as np

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.texts import UNPARTED
from watchkeeper.scoring.vocabulary import Ids, runs_of

_SENTENCE = re.compile(r"[.!?…]+(?=\s|$)|\n+")
_VOWELS = re.compile(r"[aeiouy]+")
_INFORMAL = frozenset(
    [
        "hey",
        "hi",
        "yeah",
        "yep",
        "nope",
        "gonna",
        "wanna",
        "gotta",
        "kinda",
        "sorta",
        "lol",
        "omg",
        "btw",
        "ok",
        "okay",
        "cool",
        "awesome",
        "stuff",
        "thing",
        "guys",
        "dude",
        "im",
        "youre",
        "dont",
        "cant",
        "wont",
        "isnt",
        "didnt",
        "thats",
        "its",
        "lets",
        "ill",
        "ive",
    ]
)
_LONGEST_MEAN, _CHARACTERS = 25, 8000
STATISTICS = ("characters", "words", "sentences", "readability", "formality", "repetition")


def sentences(text: str) -> int:
    """Number of sentences or lines that hold something; at least 1 for a text that is not blank."""
    return max(1, sum(1 for part in _SENTENCE.split(text) if part.strip())) if text.strip() else 0


def readability(tokens: list[str], sentence_count: int) -> float | None:
    """Flesch reading ease (Flesch 1948), clipped to 0–100: higher is easier. English; None below ten words."""
    if len(tokens) < 10 or not sentence_count:
        return None
    syllables = sum(max(1, len(_VOWELS.findall(t)) - (t.endswith("e") and len(t) > 3)) for t in tokens)
    score = 206.835 - 1.015 * len(tokens) / sentence_count - 84.6 * syllables / len(tokens)
    return min(100.0, max(0.0, score))


def repetition(tokens: Ids, size: int = 4) -> float | None:
    """The share of runs of `size` words that occurred before; 0 in normal prose, near 1 in a stuck model. Words, or
    characters, are given as numbers."""
    if len(tokens) - size + 1 < 10:
        return None
    seen = np.sort(runs_of(tokens, size))
    return float(np.count_nonzero(seen[1:] == seen[:-1]) / len(seen))


@dataclass(frozen=True, kw_only=True)
class TextStatistics(Check):
    """One statistic of the output.

    statistic: characters, words, sentences, readability (Flesch, English), formality (1 − share of informal words),
    repetition (share of repeated four-word runs).
    """

    type = "text_statistics"
    row = "C7"
    summary = (
        "One statistic of the output: characters, words, sentences, readability, formality or repetition."
    )
    unit = "see statistic"
    example = {"statistic": "words"}

    statistic: str = "words"

    def prepare(self) -> None:
        if self.statistic not in STATISTICS:
            raise ValueError(f"statistic: {self.statistic!r} is not allowed; one of {', '.join(STATISTICS)}")
        if self.name == self.type:
            object.__setattr__(self, "name", f"output_{self.statistic}")

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if text is None:
            return NotScored("no output recorded")
        value = self._value(text, subject)
        return NotScored("too short") if value is None else Verdict(value=value)

    def _value(self, text: str, subject: Subject) -> float | None:
        if self.statistic == "characters":
            return float(len(text))
        seen = facts(subject)
        if self.statistic == "words":
            return float(len(seen.output_ids))
        if self.statistic == "repetition":
            # Some languages part no words, nor does a model stuck at one character.
            head = text[:400]
            unparted = not text.isascii() and len(UNPARTED.findall(head)) > 0.2 * len(head)
            if unparted or len(text) > _LONGEST_MEAN * (len(seen.output_ids) + 1):
                return repetition(
                    np.frombuffer(text[:_CHARACTERS].encode("utf-32-le", "replace"), np.int32), 8
                )
            return repetition(seen.output_ids)
        tokens = seen.output_words
        match self.statistic:
            case "sentences":
                return float(sentences(text))
            case "readability":
                return readability(tokens, sentences(text))
            case _:
                return 1.0 - sum(t in _INFORMAL for t in tokens) / len(tokens) if len(tokens) >= 10 else None


@dataclass(frozen=True, kw_only=True)
class OutputWords(TextStatistics):
    """The number of words of the output."""

    type = "output_words"
    summary = "The number of words of the output."
    default = True
    unit = "words"
    example = {}


@dataclass(frozen=True, kw_only=True)
class OutputRepetition(TextStatistics):
    """The share of four-word runs of the output that occurred before; a stuck model is near 1."""

    type = "output_repetition"
    summary = "Share of four-word runs of the output that occurred before (a stuck model is near 1)."
    default = True
    unit = "share"
    example = {}
    statistic: str = "repetition"
