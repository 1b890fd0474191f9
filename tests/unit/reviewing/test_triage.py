"""The week's list is fair, has nothing twice, and is made on its day."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.model.score import Score
from watchkeeper.reviewing.queue import disagreement, sampled
from watchkeeper.reviewing.triage import Bad, is_due, pick, week_of


def bad(i: int, scorer: str, cohort: str = "", badness: float = 1.0, asked: str | None = None) -> Bad:
    return Bad(
        f"t{i:04d}",
        scorer,
        cohort,
        badness,
        i,
        asked if asked is not None else f"{i * 7919}: {chr(97 + i % 26) * 9}",
    )


def test_a_talkative_scorer_and_a_large_cohort_do_not_fill_the_list() -> None:
    found = [bad(i, "noisy", "support", i / 1000) for i in range(500)]
    found += [bad(500 + i, "noisy", "sales", 0.1) for i in range(5)]
    found += [bad(600 + i, "rare", "support", 0.5) for i in range(4)]
    picked = pick(found, 12)
    by_scorer = [p.bad.scorer for p in picked]
    assert by_scorer.count("rare") == 4 and by_scorer.count("noisy") == 8
    cohorts = [p.bad.cohort for p in picked if p.bad.scorer == "noisy"]
    assert cohorts.count("sales") == 4
    first = next(p for p in picked if (p.bad.scorer, p.bad.cohort) == ("noisy", "support"))
    assert first.bad.trace_id == "t0499" and (first.nth, first.of) == (1, 500)
    assert [p.rank for p in picked] == list(range(1, 13))


def test_a_trace_is_there_once_and_a_question_once_for_each_scorer() -> None:
    asked = "Where is my order number 4711, please?"
    found = [
        bad(1, "a", asked=asked),
        bad(1, "b", asked=asked),
        bad(2, "a", asked="Where is my order number 9, please?"),
    ]
    found += [bad(3, "a", asked="Do you ship to Peru?"), bad(4, "b", asked=asked)]
    assert sorted(p.bad.trace_id for p in pick(found, 30)) == ["t0002", "t0003", "t0004"]


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.sampled_from("xy"), st.floats(0, 1)),
        max_size=60,
    ),
    st.integers(0, 40),
)
def test_whatever_failed_the_list_is_short_and_without_repeats(
    rows: list[tuple[int, str, str, float]], size: int
) -> None:
    picked = pick([bad(*r) for r in rows], size)
    assert len(picked) <= size and len({p.bad.trace_id for p in picked}) == len(picked)
    if len({r[0] for r in rows}) and size:
        assert picked, "where something failed, something is listed"


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def test_it_is_due_from_friday_morning() -> None:
    assert week_of(ns("2026-11-20T07:00")) == "2026-W47" == week_of(ns("2026-11-22T23:00"))
    assert not is_due(ns("2026-11-20T05:59"), "friday") and is_due(ns("2026-11-20T06:00"), "friday")
    assert is_due(ns("2026-11-22T10:00"), "friday") and not is_due(ns("2026-11-23T10:00"), "friday")
    assert not is_due(ns("2026-11-20T07:00"), "never")


def score(scorer: str, source: str, passed: bool | None, at: int = 0, span: str = "") -> Score:
    return Score("p", "t", span, scorer, "1", source, 0, at, passed=passed)


def test_opinions_disagree_and_checks_do_not_take_part() -> None:
    judge, user = score("helpful", "judge", True), score("thumbs", "user", False)
    pair = disagreement([judge, user, score("json_valid", "check", False)])
    assert pair is not None and (pair[0].scorer, pair[1].scorer) == ("helpful", "thumbs")
    assert disagreement([judge, score("json_valid", "check", False)]) is None
    assert (
        disagreement([score("helpful", "judge", False), score("helpful", "judge", True, at=5), judge]) is None
    )
    assert disagreement([judge, score("tone", "judge", False, span="s1"), score("m", "judge", None)]) is None


def test_the_sample_has_the_share_that_was_asked_for() -> None:
    ids = [f"{i:032x}" for i in range(20_000)]
    assert 850 < sum(sampled(i, 0.05) for i in ids) < 1150
    assert {i for i in ids if sampled(i, 0.01)} <= {i for i in ids if sampled(i, 0.05)}
    assert not any(sampled(i, 0.0) for i in ids) and all(sampled(i, 1.0) for i in ids)
