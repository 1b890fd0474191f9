"""What the gate takes from outcomes."""

from watchkeeper.gating.judgement import case_scores, worst_of
from watchkeeper.model.review import Case
from watchkeeper.model.score import ABSTAINED, Verdict

UNSURE = Verdict(label=ABSTAINED, reason="no order is shown")


def test_a_judge_that_cannot_tell_is_no_zero() -> None:
    cases = {"1": Case(id="1", input="q")}
    assert case_scores(cases, {("1", "judge"): [UNSURE]}) == {}
    told = case_scores(cases, {("1", "judge"): [UNSURE, Verdict(value=8.0)]})
    assert told["1", "judge"].values == (8.0,)


def test_a_verdict_on_one_span_stands_where_another_could_not_be_told() -> None:
    low = Verdict(value=2.0, passed=False)
    assert worst_of(UNSURE, low) == worst_of(low, UNSURE) == low
