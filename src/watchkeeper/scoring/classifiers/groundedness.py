"""How well an answer is covered by the evidence: triage, never a verdict (AUROC and intervals in docs/quality.md)."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.checks.numbers_in_context import numbers
from watchkeeper.scoring.classifiers.linear import load, raw
from watchkeeper.scoring.facts import facts, words
from watchkeeper.scoring.lexicon import STOPWORDS

FEATURES = ("overlap", "pairs", "worst_sentence", "longest_run", "numbers", "names")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][a-z]{2,}\b")
_LONGEST = 60_000


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    """Crude plural and verb endings off, so that `ships` and `shipping` meet."""
    for ending in ("ing", "edly", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _content(tokens: Iterable[str]) -> set[str]:
    return set(map(_stem, set(tokens) - STOPWORDS))


def _share(part: set[Any], whole: set[Any]) -> float:
    return len(part & whole) / len(part) if part else 1.0


def _longest_run(tokens: list[str], pairs: set[tuple[str, str]]) -> float:
    """The longest stretch of the answer whose word pairs all occur in the evidence, as a share of its length."""
    best = run = 0
    for pair in itertools.pairwise(tokens):
        run = run + 1 if pair in pairs else 0
        best = max(best, run)
    return best / max(1, len(tokens) - 1)


def features(answer: str, evidence: str, known_tokens: list[str] | None = None) -> list[float]:
    """The numbers the model looks at, in the order of `FEATURES`; shares of the answer found in the evidence."""
    evidence = evidence[:_LONGEST]
    known_tokens = (words(evidence) if known_tokens is None else known_tokens)[: _LONGEST // 4]
    parts = [words(p) for p in _SENTENCE.split(answer)]
    tokens = [t for part in parts for t in part]
    own = set(tokens)
    known = _content(known_tokens)
    pairs = {pair for pair in itertools.pairwise(known_tokens) if pair[0] in own}
    content = _content(tokens)
    sentences = [s for s in map(_content, parts[:40]) if len(s) >= 2]
    said = numbers(answer)
    names = {n.lower() for n in _NAME.findall(answer)}
    return [
        _share(content, known),
        _share(set(itertools.pairwise(tokens)), pairs),
        min((_share(s, known) for s in sentences), default=_share(content, known)),
        _longest_run(tokens, pairs),
        _share(said, numbers(evidence)) if said else 1.0,
        _share(names, set(known_tokens)) if names else 1.0,
    ]


@dataclass(frozen=True, kw_only=True)
class Groundedness(Check):
    """A probability-like measure (0–1) that the answer is supported by the retrieved documents or tool results, from word,
    word-pair, number and name overlap in a small logistic model. It ranks traces for a judge or a person; on real modern
    answers it is weak (AUROC about 0.6), so it never fails a trace by default.

    floor: below this the verdict is failed; None measures only.
    """

    type = "groundedness"
    row = "J5"
    summary = "How well the evidence covers the answer, 0–1: triage from overlap, number and name checks."
    error_class = "ungrounded"
    kind = "classifier"
    default = True
    unit = "0–1"
    example = {"floor": 0.3}

    floor: float | None = None

    def data(self) -> tuple[Any, ...]:
        return (raw("groundedness"), FEATURES)

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        if not seen.output or len(seen.output_words) < 3:
            return NotScored("no output of three words or more")
        if not seen.evidence:
            return NotScored("no retrieved text or tool result is known")
        x = features(seen.output, "\n".join(seen.evidence), seen.evidence_tokens)
        value = load("groundedness").probability(x)
        reason = f"word overlap {x[0]:.2f}, weakest sentence {x[2]:.2f}, numbers {x[4]:.2f}, names {x[5]:.2f}"
        if self.floor is None:
            return Verdict(value=value, reason=reason)
        passed = value >= self.floor
        return Verdict(
            value=value, passed=passed, reason=reason, error_class=None if passed else self.error_class
        )
