"""Whether an answer speaks to the question: triage, never a verdict (figures in docs/quality.md)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring import phrases
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.classifiers import embed
from watchkeeper.scoring.classifiers.linear import load, raw
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.texts import Texts
from watchkeeper.scoring.vocabulary import distinct

FEATURES = ("cosine", "best_sentence", "overlap", "short", "evasive", "echo")
_NEEDED = NotScored("input and output are needed")
_QUESTION = 250
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
_GROUP = phrases.register(EVASIVE)


def features(seen: Texts) -> list[float]:
    """The numbers the model looks at, in the order of `FEATURES`, from input and output."""
    vocabulary = seen.vocabulary
    # What is asked comes last, what is pasted comes first.
    question, answer = seen.input_ids[-_QUESTION:], seen.output_ids
    # The words that carry the topic; all of them where only function words were said.
    topical = question[vocabulary.content[question]]
    of = embed.vectors(vocabulary).sums(topical if len(topical) else question)
    whole, best = embed.cosines(of, embed.of_output(seen))
    said, asked = seen.said, distinct(topical)
    shared = int(np.count_nonzero(vocabulary.marked(asked)[said]))
    n = len(answer)
    evasions = len(phrases.hits(seen, _GROUP))
    return [
        whole,
        best,
        shared / len(asked) if len(asked) else 0.5,
        max(0.0, 1.0 - n / 30.0),
        # The same phrase is courtesy in a long answer and the whole answer in a short one.
        min(2.0, evasions * 30.0 / max(n, 15)),
        shared / len(said) if len(said) else 0.0,
    ]


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

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        if not embed.available():
            return NotScored("the embedding package wordllama is not installed")
        if not seen.output or seen.output.isspace() or not len(seen.input_ids):
            return _NEEDED
        x = features(seen)
        value = 10.0 * load("answer_relevance").probability(x)
        reason = f"similarity {x[1]:.2f}, shared words {x[2]:.2f}" + (", evasive" if x[4] > 0.6 else "")
        passed = None if self.floor is None else value >= self.floor
        return Verdict(value=round(value, 3), passed=passed, reason=reason)
