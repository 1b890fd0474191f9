"""Whether an answer speaks to the question: triage, never a verdict (figures in docs/quality.md)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.classifiers import embed
from watchkeeper.scoring.classifiers.linear import load, raw
from watchkeeper.scoring.facts import facts, words
from watchkeeper.scoring.lexicon import STOPWORDS
from watchkeeper.scoring.patterns import PatternSet

FEATURES = ("cosine", "best_sentence", "overlap", "short", "evasive", "echo")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
EVASIVE: tuple[str, ...] = (
    r"\b(?:please |kindly |you (?:can|may|could|should) )?(?:contact|reach out to|get in touch with|speak (?:to|with)|call|ask|consult) (?:\w+ ){0,4}(?:support|team|agent|representative|customer service|professional|provider|administrator|help ?desk|expert)",
    r"\b(?:check|see|visit|refer to|consult|look at) (?:\w+ ){0,3}(?:website|documentation|docs|help cent(?:er|re)|faq|manual|internet|online resources)",
    r"\bit depends\b|\bvaries\b|\bthere are many (?:factors|ways|options|reasons)\b",
    r"\bI (?:don(?:'|’)t|do not|cannot|can(?:'|’)t|am unable|am not able|(?:'|’)m not able|am not sure|(?:'|’)m not sure)\b",
    r"\b(?:sorry|unfortunately|apologi[sz]e)\b",
    r"\b(?:let me know|feel free|happy to help|how (?:can|may) I (?:help|assist)|anything else)\b",
    r"\b(?:good|great|interesting) question\b|\bthank you for (?:reaching out|your (?:question|patience|message))\b",
    r"\b(?:more information|more details|provide more|clarify|elaborate)\b",
)
_compiled: list[PatternSet] = []


def _evasive() -> PatternSet:
    if not _compiled:
        _compiled.append(PatternSet(EVASIVE))
    return _compiled[0]


def _cosines(questions: Sequence[str], answers: Sequence[str]) -> list[tuple[float, float]]:
    """Per pair: cosine of question and whole answer, and the best over the answer's first twelve sentences. One
    embedding call for the batch."""
    texts: list[str] = []
    spans: list[tuple[int, int]] = []
    for question, answer in zip(questions, answers, strict=True):
        start = len(texts)
        parts = [s for s in _SENTENCE.split(answer[:6000]) if len(s) > 12][:12]
        texts += [question, answer, *parts]
        spans.append((start, len(texts)))
    vectors = embed.embed(texts)
    out: list[tuple[float, float]] = []
    for start, end in spans:
        cosines: Any = vectors[start + 1 : end] @ vectors[start]
        whole = float(cosines[0])
        out.append((whole, max(whole, float(np.max(cosines)))))
    return out


def features(questions: Sequence[str], answers: Sequence[str]) -> list[list[float]]:
    """One row of `FEATURES` per pair."""
    rows: list[list[float]] = []
    for question, answer, (whole, best) in zip(questions, answers, _cosines(questions, answers), strict=True):
        asked = {w for w in words(question) if w not in STOPWORDS}
        tokens = words(answer)
        said = {w for w in tokens if w not in STOPWORDS}
        n = len(tokens)
        phrases = len(_evasive().ids(answer))
        rows.append(
            [
                whole,
                best,
                len(asked & said) / len(asked) if asked else 0.5,
                max(0.0, 1.0 - n / 30.0),
                # The same phrase is courtesy in a long answer and the whole answer in a short one.
                min(2.0, phrases * 30.0 / max(n, 15)),
                len(said & asked) / len(said) if said else 0.0,
            ]
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class AnswerRelevance(Check):
    """How much the answer speaks to the question, 0–10, from static embeddings, shared words, length and evasive phrases in a small logistic model. It falls when answers become evasive, too short or off-topic; it cannot
    tell a right answer from a wrong one.

    floor: below this the verdict is failed; None measures only.
    """

    type = "answer_relevance"
    row = "J5"
    summary = (
        "How much the answer speaks to the question, 0–10: triage from embeddings, overlap and evasiveness."
    )
    kind = "classifier"
    default = True
    unit = "0–10"
    example = {"floor": 4}

    floor: float | None = None

    def prepare(self) -> None:
        if self.floor is not None and not 0 <= self.floor <= 10:
            raise ValueError(f"floor: {self.floor} must be between 0 and 10")

    def data(self) -> tuple[Any, ...]:
        return (raw("answer_relevance"), FEATURES, EVASIVE, embed.available())

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        outcomes: list[Outcome] = [NotScored("input and output are needed")] * len(subjects)
        if not embed.available():
            return [NotScored("the embedding package wordllama is not installed")] * len(subjects)
        wanted = [
            i
            for i, s in enumerate(subjects)
            if (s.input_text or "").strip() and (s.output_text or "").strip()
        ]
        rows = features(
            [_last_question(subjects[i]) for i in wanted], [subjects[i].output_text or "" for i in wanted]
        )
        model = load("answer_relevance")
        for i, x in zip(wanted, rows, strict=True):
            value = 10.0 * model.probability(x)
            passed = None if self.floor is None else value >= self.floor
            reason = f"similarity {x[1]:.2f}, shared words {x[2]:.2f}" + (
                ", evasive" if x[FEATURES.index("evasive")] > 0.6 else ""
            )
            outcomes[i] = Verdict(value=round(value, 3), passed=passed, reason=reason)
        return outcomes

    def one(self, subject: Subject) -> Outcome:
        return self.score([subject])[0]


def _last_question(subject: Subject) -> str:
    """The last paragraph of a long input: what is asked comes last, what is pasted comes first."""
    text = facts(subject).input or ""
    if len(text) <= 1500:
        return text
    return text[-1500:]
