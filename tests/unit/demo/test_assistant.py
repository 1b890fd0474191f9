"""The demo's application: deterministic, and worse under v2 in the ways the story tells."""

import random
import statistics

from watchkeeper.demo.assistant import BEHAVIOUR, answer_v1, question_for, respond
from watchkeeper.demo.knowledge import EVASIONS


def turns(version: str, n: int = 3000) -> list:
    rng = random.Random(3)
    return [respond(q, version, i, t) for i in range(n) for t, q in [question_for(rng)]]


def test_the_same_question_version_and_seed_give_the_same_turn() -> None:
    assert respond("How do I reset my password?", "v1", 1) == respond("How do I reset my password?", "v1", 1)
    assert answer_v1("How do I get a refund?")["output"] == answer_v1("How do I get a refund?")["output"]


def test_v2_is_faster_and_cheaper_and_leaves_people_without_steps() -> None:
    v1, v2 = turns("v1"), turns("v2")
    share = {v: statistics.fmean("\n1. " in t.answer for t in ts) for v, ts in (("v1", v1), ("v2", v2))}
    assert abs(share["v1"] - 0.92) < 0.02 and abs(share["v2"] - 0.64) < 0.03
    evasive = statistics.fmean(t.answer in EVASIONS for t in v2)
    assert abs(evasive - BEHAVIOUR["v2"].evasive) < 0.03
    assert statistics.median(t.model_seconds for t in v2) < 0.7 * statistics.median(
        t.model_seconds for t in v1
    )
    assert statistics.fmean(t.output_tokens for t in v2) < statistics.fmean(t.output_tokens for t in v1)


def test_people_rate_v2_lower() -> None:
    mean = {v: statistics.fmean(t.rating for t in turns(v) if t.rating is not None) for v in ("v1", "v2")}
    assert abs(mean["v1"] - 4.1) < 0.12 and abs(mean["v2"] - 3.2) < 0.15


def test_every_question_finds_its_own_article() -> None:
    rng = random.Random(5)
    right = 0
    for _ in range(300):
        topic, question = question_for(rng)
        right += respond(question, "v1", 0).topic.key == topic.key
    assert right / 300 > 0.97
