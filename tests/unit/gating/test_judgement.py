"""What the gate takes from outcomes."""

from typing import Any

import pytest

from watchkeeper.gating.judgement import Outcomes, case_scores, document, worst_of
from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import GateSettings
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.score import ABSTAINED, Failed, NotScored, Outcome, Verdict

UNSURE = Verdict(label=ABSTAINED, reason="no order is shown")


def test_a_judge_that_cannot_tell_is_no_zero() -> None:
    cases = {"1": Case(id="1", input="q")}
    assert case_scores(cases, {("1", "judge"): [UNSURE]}) == {}
    told = case_scores(cases, {("1", "judge"): [UNSURE, Verdict(value=8.0)]})
    assert told["1", "judge"].values == (8.0,)


def test_a_verdict_on_one_span_stands_where_another_could_not_be_told() -> None:
    low = Verdict(value=2.0, passed=False)
    assert worst_of(UNSURE, low) == worst_of(low, UNSURE) == low


def judged(
    outcomes: Outcomes,
    provisional: dict[str, str] | None = None,
    must_pass: list[str] | None = None,
    settings: GateSettings | None = None,
) -> dict[str, Any]:
    cases = [Case(id=str(i), input=f"q{i}", must_pass=must_pass or []) for i in range(60)]
    dataset = DatasetVersion("p", "d", 1, 0, "ann", "", "", cases)
    fine: Outcomes = {(c.id, "json_valid"): [Verdict(value=1.0, passed=True)] for c in cases}
    kinds = {"json_valid": "check", "mine": "check", "helpful": "judge"}
    answers = [Answer(case_id=c.id, output="a") for c in cases]
    return document(
        dataset, answers, {**fine, **outcomes}, kinds, None, settings or GateSettings(), provisional
    )


def on(n: int, scorer: str, outcome: Outcome) -> Outcomes:
    return {(str(i), scorer): [outcome] for i in range(n)}


DOWN = Failed("HTTP 503")


@pytest.mark.parametrize(
    ("outcomes", "verdict", "words"),
    [
        (on(0, "mine", DOWN), "pass", None),
        (on(1, "mine", DOWN), "not_enough_evidence", "mine gave no answer on 1 of 60 cases: HTTP 503"),
        (on(6, "helpful", DOWN), "pass", "helpful gave no answer on 6 of 60 cases: HTTP 503"),
        (on(7, "helpful", DOWN), "not_enough_evidence", "helpful gave no answer on 7 of 60 cases: HTTP 503"),
        (
            on(60, "helpful", NotScored("its own", refused=True)),
            "not_enough_evidence",
            "60 of 60 cases: its own",
        ),
        (on(60, "mine", NotScored("no number in it")), "pass", None),
        (on(60, "helpful", UNSURE), "pass", None),
    ],
)
def test_what_no_scorer_looked_at_has_not_passed(outcomes: Outcomes, verdict: str, words: str | None) -> None:
    made = judged(outcomes)
    said = [m["explanation"] for m in made["metrics"] if m["scorer"] == "scorers_answered"]
    assert made["verdict"] == verdict
    assert (words is None and not said) or (words is not None and words in said[0])


def test_a_silent_scorer_that_decides_nothing_is_named_and_one_that_a_case_must_pass_is_needed() -> None:
    (shown,) = [
        m
        for m in judged(on(60, "helpful", DOWN), {"helpful": "new"})["metrics"]
        if m["scorer"] == "scorers_answered"
    ]
    assert shown["outcome"] == "not_calibrated"
    assert judged(on(60, "helpful", DOWN), {"helpful": "new"})["verdict"] == "pass"
    assert judged(on(1, "helpful", DOWN), must_pass=["helpful"])["verdict"] == "not_enough_evidence"


def test_a_reviewed_failure_whose_scorer_is_not_in_force_has_not_passed() -> None:
    made = judged({}, must_pass=["mine", "has_steps"])
    (said,) = [m["explanation"] for m in made["metrics"] if m["scorer"] == "scorers_answered"]
    assert made["verdict"] == "not_enough_evidence"
    assert (
        said
        == "has_steps gave no answer on 60 of 60 cases: no scorer of that name is in force; ignore it, or take it off the case"
    )
    assert (
        judged({}, must_pass=["has_steps"], settings=GateSettings(ignore=("has_steps",)))["verdict"] == "pass"
    )
