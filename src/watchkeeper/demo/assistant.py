"""The demo's application: a small support assistant with seeded text and two versions of its prompt.

It is the thing being monitored and, in the gate, the thing being tested. Prompt v2 ("more concise") is faster and
cheaper and leaves people without an answer; nothing in an uptime dashboard shows it.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.demo.knowledge import ENDINGS, EVASIONS, TOPICS, Topic

MODEL = "gpt-4o-mini"
SERVED_MODEL = "gpt-4o-mini-2024-07-18"
PROMPTS = {
    "v1": "You are a support assistant. Answer from the article, then list the steps that solve the problem.",
    "v2": "You are a support assistant. Answer from the article. Be more concise.",
}


@dataclass(frozen=True)
class Behaviour:
    """How a prompt version behaves: shares of answers with steps and of evasive ones, seconds, and how people react."""

    steps: float
    evasive: float
    seconds: float
    rating: tuple[float, float, float, float, float]
    escalation: float


BEHAVIOUR = {
    "v1": Behaviour(0.92, 0.07, 2.1, (0.03, 0.06, 0.14, 0.32, 0.45), 0.110),
    "v2": Behaviour(0.64, 0.25, 1.3, (0.14, 0.17, 0.25, 0.23, 0.21), 0.130),
}


@dataclass(frozen=True)
class Turn:
    """One answered question, with everything the spans need. Seconds are durations, `rating` 1–5 or None."""

    question: str
    answer: str
    topic: Topic
    version: str
    documents: list[dict[str, Any]]
    tool: dict[str, Any] | None
    retrieval_seconds: float
    tool_seconds: float
    model_seconds: float
    first_token_seconds: float
    input_tokens: int
    output_tokens: int
    rating: int | None
    escalated: bool
    failed: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def _rng(*key: object) -> random.Random:
    return random.Random(hashlib.sha256("\0".join(map(str, key)).encode()).digest())


def topic_of(question: str) -> Topic:
    """The topic whose article and questions share most words with the question."""
    words = {w.strip("?.,!").lower() for w in question.split()}

    def overlap(topic: Topic) -> int:
        known = {w.strip("?.,!").lower() for q in topic.questions for w in q.split()}
        return len(words & known) + 5 * any(q.lower() in question.lower() for q in topic.questions)

    return max(TOPICS, key=overlap)


def documents_for(topic: Topic, rng: random.Random) -> list[dict[str, Any]]:
    """The retriever's answer: the topic's article first, then two neighbours."""
    others = rng.sample([t for t in TOPICS if t.key != topic.key], 2)
    scores = sorted((rng.uniform(0.35, 0.6) for _ in others), reverse=True)
    found = [(topic, rng.uniform(0.78, 0.95)), *zip(others, scores, strict=True)]
    return [{"id": f"kb-{t.key}", "score": round(s, 3), "content": t.article} for t, s in found]


def _numbered(steps: Sequence[str]) -> str:
    return "\n".join(f"{i}. {step}" for i, step in enumerate(steps, start=1))


def write(topic: Topic, question: str, version: str, rng: random.Random) -> str:
    """The answer's text under a prompt version."""
    how = BEHAVIOUR[version]
    # One draw decides both, so that an answer without steps is evasive before it is merely short.
    draw = rng.random()
    if draw < how.evasive:
        return rng.choice(EVASIONS)
    if draw >= 1 - how.steps:
        asked, _, rest = question.partition("? ")
        for greeting in ("Hi, ", "Hello! ", "Hi there. "):
            asked = asked.removeprefix(greeting)
        opening = f"You asked: {asked.rstrip('?')}? {rest}".strip()
        return f"{opening}\n\n{topic.lead}\n\n{_numbered(topic.steps)}"
    return topic.lead


def respond(question: str, version: str, seed: object, topic: Topic | None = None) -> Turn:
    """Answer a question: the same question, version and seed always give the same turn."""
    rng = _rng(seed, question, version)
    how = BEHAVIOUR[version]
    topic = topic or topic_of(question)
    answer = write(topic, question, version, _rng("text", seed, question, version))
    documents = documents_for(topic, rng)
    tool: dict[str, Any] | None = None
    if topic.tool is not None:
        number = str(rng.randint(10000, 99999))
        tool = {"name": topic.tool, "arguments": {"id": number}, "result": {"id": number, "status": "active"}}
    rated = rng.random() < 0.3
    seconds = how.seconds * rng.lognormvariate(0.0, 0.28)
    return Turn(
        question=question,
        answer=answer,
        topic=topic,
        version=version,
        documents=documents,
        tool=tool,
        retrieval_seconds=rng.uniform(0.04, 0.12),
        tool_seconds=rng.uniform(0.08, 0.2) if tool else 0.0,
        model_seconds=seconds,
        first_token_seconds=min(seconds * 0.8, rng.lognormvariate(-1.2, 0.25)),
        input_tokens=sum(len(d["content"]) for d in documents) // 4 + len(question) // 4 + 40,
        output_tokens=max(1, len(answer) // 4),
        rating=rng.choices((1, 2, 3, 4, 5), weights=how.rating)[0] if rated else None,
        escalated=rng.random() < how.escalation,
        failed=rng.random() < 0.004,
    )


def question_for(rng: random.Random) -> tuple[Topic, str]:
    """A question as people ask it: a topic, one of its wordings, perhaps a greeting and some more about themselves."""
    topic = rng.choice(TOPICS)
    text = rng.choice(topic.questions)
    opening = rng.choice(("", "", "", "Hi, ", "Hello! ", "Hi there. "))
    asked = opening + (text if not opening.endswith(", ") else text[0].lower() + text[1:])
    return topic, f"{asked} {rng.choice(ENDINGS)}".strip()


def answer(text: str, version: str) -> dict[str, Any]:
    """One answer of the application itself, as the gate's target sees it."""
    turn = respond(text, version, "gate")
    return {
        "output": turn.answer,
        "documents": turn.documents,
        "model": SERVED_MODEL,
        "latency_ms": turn.model_seconds * 1000,
        "usage": {"input_tokens": turn.input_tokens, "output_tokens": turn.output_tokens},
    }


def answer_v1(text: str) -> dict[str, Any]:
    """The gate's target with the thorough prompt."""
    return answer(text, "v1")


def answer_v2(text: str) -> dict[str, Any]:
    """The gate's target with the concise prompt."""
    return answer(text, "v2")
