"""Which scores send a trace to the review queue."""

import random

from watchkeeper.model.score import Score
from watchkeeper.reviewing.queue import DEFAULT_POLICIES, ReviewPolicy, candidates, sieve

NAMES = ("answer_relevance", "groundedness", "pii_in_output", "thumbs", "json_valid")
OTHERS = (
    ReviewPolicy("any_low", "{scorer} is {value}", below=0.2),
    ReviewPolicy("negative", "{scorer} is {value}", ("groundedness",), below=0.0),
    ReviewPolicy("strict", "{scorer} is {value}", ("groundedness", "thumbs"), below=0.9),
    ReviewPolicy("judged", "{scorer} failed", score_source="judge"),
)


def any_score(dice: random.Random) -> Score:
    return Score(
        "p", "t", "", dice.choice(NAMES), "1", dice.choice(("check", "classifier", "judge", "user")), 0, 0,
        value=dice.choice((None, -1.0, 0.0, 0.1, 0.25, 0.5, 1.0, 3.0, 8.0)), passed=dice.choice((None, True, False)),
    )  # fmt: skip


def test_what_the_sieve_holds_back_would_have_sent_no_trace_to_review() -> None:
    dice, held = random.Random(1), 0
    for policies in (DEFAULT_POLICIES, OTHERS, (*DEFAULT_POLICIES, *OTHERS), OTHERS[1:], ()):
        passes = sieve(policies)
        for _ in range(300):
            scores = [any_score(dice) for _ in range(dice.randrange(6))]
            kept = [s for s in scores if passes(s)]
            held += len(scores) - len(kept)
            assert candidates(policies, "p", "t", kept, 7) == candidates(policies, "p", "t", scores, 7)
    assert held > 1000
