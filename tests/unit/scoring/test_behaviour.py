"""What users do after an answer, read from their next message or from their silence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scoring.build import trace
from watchkeeper.model.score import NotScored, Subject, Verdict
from watchkeeper.scoring.behaviour import (
    BEHAVIOURS,
    Abandoned,
    Clarification,
    EscalationRequest,
    Frustration,
    Rephrased,
    default_behaviours,
)
from watchkeeper.scoring.edits import edit_distance

ASKED = "How do I return the blue lamp I bought last week?"


def value(
    scorer: Any, asked: str, said: str | None, *, earlier: str | None = None, **extra: Any
) -> float | str | None:
    before = [trace(earlier, "an answer")] if earlier else []
    subject = Subject(trace(asked, "an answer"), earlier=before, extra={"next": said, **extra})
    (outcome,) = scorer.score([subject])
    if isinstance(outcome, Verdict):
        assert outcome.passed is (outcome.value == 0.0)
        return outcome.value
    assert isinstance(outcome, NotScored)
    return outcome.reason


@pytest.mark.parametrize(
    ("said", "again"),
    [
        (ASKED, 1.0),
        ("how can I return the blue lamp that I bought?", 1.0),
        ("I asked how to return a blue lamp bought last week", 1.0),
        ("Great, and when will the money be on my card?", 0.0),
        ("Yes, please return the blue lamp I bought last week", 0.0),
        ("ok", 0.0),
        ("Do you also sell curtains?", 0.0),
    ],
)
def test_a_question_asked_again_is_told_from_the_next_question(said: str, again: float) -> None:
    assert value(Rephrased(), ASKED, said) == again


@pytest.mark.parametrize(
    ("scorer", "said", "expected"),
    [
        (Clarification(), "What do you mean by processing?", 1.0),
        (Clarification(), "I don't understand", 1.0),
        (Clarification(), "huh??", 1.0),
        (Clarification(), "What does it cost?", 0.0),
        (Frustration(), "That's not what I asked!", 1.0),
        (Frustration(), "this is useless", 1.0),
        (Frustration(), "for the third time: order 17", 1.0),
        (Frustration(), "WHERE IS MY ORDER NOW PLEASE", 1.0),
        (Frustration(), "How many times can I enter a wrong PIN?", 0.0),
        (Frustration(), "The lamp I got is blue, the page said green.", 0.0),
        (EscalationRequest(), "can I talk to a human please", 1.0),
        (EscalationRequest(), "get me a manager", 1.0),
        (EscalationRequest(), "agent", 1.0),
        (EscalationRequest(), "Which agent delivers the parcel?", 0.0),
        (Clarification(), "I don't understand recursion, teach me", 0.0),
        (Clarification(), "No entiendo", 1.0),
        (Clarification(), "Das verstehe ich nicht.", 1.0),
        (Clarification(), "どういう意味ですか", 1.0),
        (Frustration(), "You're going in circles.", 1.0),
        (Frustration(), "Das funktioniert immer noch nicht", 1.0),
        (Frustration(), "还是不对", 1.0),
        (Frustration(), "Let the hero shout “this is ridiculous, you keep lying” and leave", 0.0),
        (EscalationRequest(), "let me talk to someone who can help", 1.0),
        (EscalationRequest(), "Quiero hablar con una persona", 1.0),
        (EscalationRequest(), "转人工", 1.0),
        (EscalationRequest(), "Je cherche un conseiller financier à Lyon", 0.0),
    ],
)
def test_words_are_read(scorer: Any, said: str, expected: float) -> None:
    assert value(scorer, ASKED, said, earlier="Hello") == expected


def test_the_same_about_another_number_is_another_question() -> None:
    assert value(Rephrased(), "convert 5 km to miles", "convert 8 km to miles") == 0.0
    assert value(Rephrased(), "convert 5 km to miles", "please convert 5 km to miles") == 1.0


def test_nothing_is_said_before_it_is_known() -> None:
    for scorer in default_behaviours():
        assert "not known yet" in str(value(scorer, ASKED, None))
    for scorer in (Rephrased(), Clarification(), Frustration()):
        assert value(scorer, ASKED, None, ended=True) == "no message followed"


def test_a_first_message_that_asks_for_a_person_counts_for_its_own_answer() -> None:
    assert value(EscalationRequest(), "I want to speak to a real person", None, ended=True) == 1.0
    assert value(EscalationRequest(), "I want to speak to a real person", "Order 5", earlier="Hello") == 0.0


@pytest.mark.parametrize(
    ("asked", "earlier", "bad", "left"),
    [
        (ASKED, None, "failed refusal", 1.0),
        ("Thanks, bye!", None, "failed refusal", 0.0),
        (ASKED, None, None, 0.0),
        (ASKED, "How do I return a blue lamp bought last week?", None, 1.0),
        ("That's not what I asked", "How do I return it?", None, 1.0),
        ("And in Spain?", "How do I return it?", None, 0.0),
    ],
)
def test_a_session_is_abandoned_when_it_ends_after_a_bad_answer(
    asked: str, earlier: str | None, bad: str | None, left: float
) -> None:
    assert value(Abandoned(), asked, None, earlier=earlier, ended=True, bad=bad) == left
    assert value(Abandoned(), asked, "go on", earlier=earlier, bad=bad) == 0.0


def test_every_behaviour_is_a_signal_of_a_session_with_a_stable_version() -> None:
    for made in BEHAVIOURS:
        assert (made.kind, made().level) == ("signal", "session") and made.summary.endswith(".")
        assert made().version == made().version and len(made().version) == 12


@pytest.mark.parametrize(
    ("before", "after", "distance"),
    [("a b c", "a b c", 0.0), ("a b c d", "a b x d", 0.25), ("", "", 0.0), ("", "x", 1.0), ("a b", "c d e f", 1.0),
     ("one two three", "zero one two three", 0.25)],
)  # fmt: skip
def test_the_edit_distance_is_the_share_of_words_changed(before: str, after: str, distance: float) -> None:
    assert edit_distance(before, after) == pytest.approx(distance)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_edit_distance_is_levenshteins(a: list[str], b: list[str]) -> None:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        fresh = [i]
        for j, y in enumerate(b, 1):
            fresh.append(min(row[j] + 1, fresh[j - 1] + 1, row[j - 1] + (x != y)))
        row = fresh
    expected = row[-1] / max(len(a), len(b)) if a and b else float(bool(a or b))
    assert edit_distance(" ".join(a), " ".join(b)) == pytest.approx(expected)
