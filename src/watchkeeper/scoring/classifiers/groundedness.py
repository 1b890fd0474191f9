"""How well an answer is covered by the evidence: triage, never a verdict (AUROC and intervals in docs/quality.md)."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.amounts import amounts, unsupported
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.classifiers import embed
from watchkeeper.scoring.classifiers.linear import load, raw
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.texts import Texts
from watchkeeper.scoring.vocabulary import Ids, Mask, distinct, hits

FEATURES = (
    "overlap", "pairs", "passage", "worst_sentence", "numbers", "names", "topic", "answers_question",
    "repeats_question", "capitals", "links", "overlap_high", "pairs_high", "passage_high",
)  # fmt: skip
_NAME = re.compile(r"[A-Z][a-z]{2,}")
_LONGEST = 15_000
_TOO_SHORT = NotScored("no output of three words or more")
_NO_EVIDENCE = NotScored("no retrieved text or tool result is known")
_SENTENCES = 40
_BLOCK = 25
_TOPIC_WORDS = 256
_CAPITALS = bytes(b for b in range(256) if not 65 <= b <= 90)
_LINK = 70.0


def _pairs_found(said: Ids, known: Ids, mark: Mask) -> Mask:
    """For each neighbouring pair of words of the answer, whether it occurs in the evidence. `mark`: the answer's words."""
    own = said[:-1].astype(np.int64) << 32 | said[1:]
    may = mark[known[:-1]]
    there = known[:-1][may].astype(np.int64) << 32 | known[1:][may]
    if not len(there):
        return np.zeros(len(own), dtype=np.bool_)
    there.sort()
    return there[np.minimum(np.searchsorted(there, own), len(there) - 1)] == own


def _names(text: str) -> set[str]:
    """Capitalised words inside a sentence, in lower case."""
    found: set[str] = set()
    for match in _NAME.finditer(text):
        at, end = match.start(), match.end()
        inside = at > 1 and text[at - 2] not in ".!?" and not (text[at - 1].isalnum() or text[at - 1] == "_")
        if inside and not (end < len(text) and (text[end].isalnum() or text[end] == "_")):
            found.add(match.group(0).lower())
    return found


def _coverage(seen: Texts, known: Ids, said: Ids) -> tuple[float, float, float]:
    """How the evidence covers the answer's content words, all as stems: share of all of them (`said`, distinct), share of
    the worst sentence's, and mean over sentences of the share that the best passage of `2 * _BLOCK` words covers."""
    if not len(said):
        return 1.0, 1.0, 1.0
    place = seen.vocabulary.places(known, said)
    at = place.nonzero()[0]
    place = place[at] - 1
    passages = np.zeros((len(known) // _BLOCK + 2, len(said)), dtype=np.float32)
    block = at // _BLOCK
    passages[block, place] = 1.0
    # Each block with the one before it, so that no passage is cut in two.
    passages[block + 1, place] = 1.0
    found = passages.any(axis=0)
    whole = float(np.count_nonzero(found)) / len(said)
    starts = seen.output_starts
    if len(starts) == 1:
        best = float(np.count_nonzero(passages, axis=1).max()) / len(said)
        return (whole, whole, best) if len(said) >= 2 else (whole, whole, whole)
    content = seen.vocabulary.content[seen.output_ids].nonzero()[0]
    stems = seen.vocabulary.places(seen.vocabulary.stems[seen.output_content], said) - 1
    sentence = np.minimum(starts.searchsorted(content, side="right") - 1, _SENTENCES - 1)
    told = np.zeros((int(sentence[-1]) + 1, len(said)), dtype=np.float32)
    told[sentence, stems] = 1.0
    sizes = told.sum(axis=1)
    told, sizes = told[sizes >= 2], sizes[sizes >= 2]
    if not len(sizes):
        return whole, whole, whole
    worst = float(((told @ found) / sizes).min())
    return whole, worst, float(((told @ passages.T).max(axis=1) / sizes).mean())


def _topic(seen: Texts, known: Ids) -> float:
    """Cosine of the answer with the beginning of the evidence, by their content words."""
    if not embed.available():
        return 0.5
    known = known[: 2 * _TOPIC_WORDS]
    told = known[seen.vocabulary.content[known]][:_TOPIC_WORDS]
    return embed.cosine(embed.of_output(seen), embed.vectors(seen.vocabulary).sums(told))


def features(seen: Texts) -> list[float]:
    """The numbers the model looks at, in the order of `FEATURES`, from output, evidence and input."""
    vocabulary, text = seen.vocabulary, seen.evidence_text
    answer, known, question = seen.output_ids, seen.evidence_ids[:_LONGEST], seen.asked
    # Taken when everything is read: reading makes the vocabulary grow, and this is its present size.
    stems = vocabulary.stems
    known_stems, told = stems[known], distinct(stems[seen.output_content])
    whole, worst, passage = _coverage(seen, known_stems, told)
    hit = _pairs_found(answer, known, seen.output_mark)
    # An answer of one word has no pairs: the word itself decides.
    pairs = float(np.count_nonzero(hit)) / len(hit) if len(hit) else whole
    said, names = amounts(seen.output or ""), _names(seen.output or "")
    covered, repeated = 0.5, 0.15  # what they are on average, for traces without a question
    asked = stems[question]
    if len(asked):
        covered = np.count_nonzero(vocabulary.places(asked, known_stems)) / len(asked)
        repeated = np.count_nonzero(vocabulary.places(told, asked)) / len(told) if len(told) else repeated
    raw_text = text.encode("utf-8", "replace")
    return [
        whole,
        pairs,
        passage,
        worst,
        1.0 - len(unsupported(said, seen)) / len(said) if said else 1.0,
        hits(seen.evidence_mark, vocabulary.ids(list(names))) / len(names) if names else 1.0,
        _topic(seen, known),
        covered,
        repeated,
        # Headings, menus and tables of scraped pages hold words without saying anything.
        min(1.0, 10.0 * len(raw_text.translate(None, _CAPITALS)) / max(1, len(raw_text))),
        # Where a link is all that is known of the evidence, finding nothing in it means little.
        min(1.0, _LINK * text.count("://") / max(1, len(text))),
        max(0.0, whole - 0.5),
        max(0.0, pairs - 0.5),
        max(0.0, passage - 0.5),
    ]


@dataclass(frozen=True, kw_only=True)
class Groundedness(Check):
    """A probability-like measure (0–1) that the answer is supported by the retrieved documents or tool results: word,
    word-pair and passage overlap, numbers, names, topic and what the evidence is, in a small logistic model. It ranks
    traces for a judge or a person; on real modern answers it is weak (AUROC about 0.63), so it never fails a trace by
    default.

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
        if not seen.output or len(seen.output_ids) < 3:
            return _TOO_SHORT
        if not seen.evidence:
            return _NO_EVIDENCE
        x = features(seen)
        value = load("groundedness").probability(x)
        reason = f"word overlap {x[0]:.2f}, weakest sentence {x[3]:.2f}, numbers {x[4]:.2f}, names {x[5]:.2f}"
        if self.floor is None:
            return Verdict(value=value, reason=reason)
        passed = value >= self.floor
        return Verdict(
            value=value, passed=passed, reason=reason, error_class=None if passed else self.error_class
        )
