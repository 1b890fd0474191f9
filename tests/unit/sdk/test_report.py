"""Feedback and scores go out in the background and never disturb."""

from fractions import Fraction
from typing import Any

import pytest

from tests.serving import free_port
from tests.unit.sdk.receiver import Receiver
from watchkeeper.sdk import stats

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("rating", "sent"),
    [(True, True), (False, False), ("up", "up"), ("Down", "down"), ("👍", "up"), (4, 4), (2.5, 2.5)],
)
def test_feedback_is_sent_with_its_rating(sdk: Any, receiver: Receiver, rating: Any, sent: Any) -> None:
    assert sdk.feedback(TRACE, rating=rating, comment="ok")
    assert sdk.flush()
    assert receiver.posts == [
        ("/api/feedback", {"trace_id": TRACE, "rating": sent, "source": "user", "comment": "ok"})
    ]


def test_feedback_and_scores_default_to_the_current_trace(sdk: Any, receiver: Receiver) -> None:
    with sdk.span("turn") as turn:
        assert sdk.feedback(rating="up")
        assert sdk.score("has_steps", True, reason="3 steps", span_id=turn.span_id)
        assert sdk.score("tone", "friendly")
        assert sdk.score("both", 0.5, label="fair")
    assert sdk.flush()
    bodies = [body for _, body in receiver.posts]
    assert {body["trace_id"] for body in bodies} == {turn.trace_id}
    assert [path for path, _ in receiver.posts] == ["/api/feedback", *["/api/scores"] * 3]
    assert (bodies[1]["scorer"], bodies[1]["value"], bodies[1]["reason"]) == ("has_steps", 1.0, "3 steps")
    assert bodies[1]["span_id"] == turn.span_id
    assert bodies[1]["passed"] is True
    assert (bodies[2]["label"], "value" in bodies[2]) == ("friendly", False)
    assert (bodies[3]["value"], bodies[3]["label"]) == (0.5, "fair")


def test_what_is_no_span_id_costs_only_itself(sdk: Any, receiver: Receiver) -> None:
    for given in (object(), 7, "not-hex", float("nan"), ["a"]):
        assert sdk.feedback(TRACE, rating=Fraction(1, 2), span_id=given)
        assert sdk.score("tone", 0.5, trace_id=TRACE, span_id=given)
    assert sdk.flush()
    assert [path for path, _ in receiver.posts] == ["/api/feedback", "/api/scores"] * 5
    assert not any("span_id" in body for _, body in receiver.posts)
    assert receiver.posts[0][1]["rating"] == 0.5


def test_a_correction_and_a_business_outcome_are_feedback_too(sdk: Any, receiver: Receiver) -> None:
    assert sdk.feedback(TRACE, correction="better text")
    assert sdk.feedback(TRACE, name="minutes_to_resolution", rating=12.5, source="crm")
    assert sdk.feedback(TRACE, name="copied")
    assert sdk.flush()
    assert receiver.posts[0][1]["correction"] == "better text" and "comment" not in receiver.posts[0][1]
    assert receiver.posts[1][1]["source"] == "crm"


def test_a_trace_id_with_dashes_or_capitals_is_understood(sdk: Any, receiver: Receiver) -> None:
    assert sdk.score("s", 1, trace_id="0AF76519-16CD-43DD-8448-EB211C80319C")
    assert sdk.flush()
    assert receiver.posts[0][1]["trace_id"] == TRACE


def test_names_and_texts_become_what_the_server_accepts(sdk: Any, receiver: Receiver) -> None:
    assert sdk.score("has steps?", 1, trace_id=TRACE, reason="x" * 50_000)
    assert sdk.score('die "2." Größe\n', "line\none", trace_id=TRACE)
    assert sdk.score("4111111111111111", 1, trace_id=TRACE)
    assert sdk.feedback(TRACE, name="sk-proj-abcdEFGH1234567890abcdEFGH1234567890abcd")
    assert sdk.flush()
    first, second, card, secret = (body for _, body in receiver.posts)
    assert (card["scorer"], secret["name"]) == ("[CARD]", "[SECRET]")
    assert first["scorer"] == "has steps?"
    assert len(first["reason"]) < 20_000
    assert (second["scorer"], second["label"]) == ("die 2. Größe", "line one")


def test_what_cannot_be_sent_is_refused_and_noted_without_raising(sdk: Any, receiver: Receiver) -> None:
    assert not sdk.feedback(rating="up")
    assert not sdk.feedback(TRACE)
    assert not sdk.feedback("not a trace", rating=1)
    assert not sdk.feedback(TRACE, rating=float("nan"))
    assert not sdk.feedback(TRACE, rating="meh")
    assert not sdk.score("s", float("inf"), trace_id=TRACE)
    assert not sdk.score("s", trace_id=TRACE)
    assert not sdk.score("s", object(), trace_id=TRACE)
    assert sdk.flush()
    assert receiver.posts == []
    assert sum(stats()["problems"].values()) == 8  # type: ignore[attr-defined]


def test_a_report_is_tried_again_until_it_arrives(sdk: Any, receiver: Receiver) -> None:
    receiver.script.statuses = [503]
    sdk.feedback(TRACE, rating=1)
    assert receiver.wait(lambda: len(receiver.posts) == 1)
    assert receiver.wait(lambda: stats()["sent_reports"] == 1)


def test_reports_wait_while_the_server_is_away_and_are_bounded(start: Any) -> None:
    import watchkeeper

    start(f"http://127.0.0.1:{free_port()}", max_queue_spans=10)
    results = [watchkeeper.feedback(TRACE, rating=n) for n in range(50)]
    assert all(results)
    assert stats()["dropped_reports"]["queue_full"] >= 30  # type: ignore[index]
