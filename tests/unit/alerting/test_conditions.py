import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.alerting import conditions
from watchkeeper.alerting.conditions import baselines_of, metrics_of, parse, references, shares_of
from watchkeeper.alerting.syntax import (
    Arithmetic,
    Compare,
    ConditionError,
    Logic,
    Moves,
    Not,
    Period,
    Quantity,
    Ref,
    Share,
)

SAME = [
    ("answer_relevance.p50 < 7", "answer_relevance.p50 < 7"),
    (
        "answer_relevance.p50 < 7 and trend = 'decreasing'",
        "answer_relevance.p50 < 7 and trend(answer_relevance) = 'decreasing'",
    ),
    ("share(answer_relevance < 7) > 5%", "share(answer_relevance < 7) > 5%"),
    (
        "current_week.hallucination.mean > baseline.hallucination.p95",
        "current_week.hallucination > baseline.hallucination.p95",
    ),
    ("error_rate > 2%", "error_rate > 2%"),
    ("error_rate>.02", "error_rate > 0.02"),
    ("latency_ms.p99 > 5s", "latency_ms.p99 > 5000ms"),
    ("latency_ms.p99.9 > 1.5 m", "latency_ms.p99.9 > 90000ms"),
    ("cost.sum > 2 * baseline.cost.sum", "cost.sum > 2 * baseline.cost.sum"),
    ("cost > $0.05", "cost > 0.05 USD"),
    ("cost > 0.05 USD", "cost > 0.05 USD"),
    ("shift(answer_relevance) = 'down'", "shift(answer_relevance) = 'down'"),
    ("a < 1 AND b > 2 Or c > 3", "(a < 1 and b > 2) or c > 3"),
    ("a < 1 and (b > 2 or c > 3)", "a < 1 and (b > 2 or c > 3)"),
    ("((a < 1))", "a < 1"),
    ("not a < 1", "a >= 1"),
    ("not (a < 1 and b > 2)", "a >= 1 or b <= 2"),
    ("not not (a < 1)", "a < 1"),
    ("not shift(a) = 'down'", "shift(a) != 'down'"),
    ("(a + b) * 2 > 3", "(a + b) * 2 > 3"),
    ("baseline.a.p95 - 0.5 > a.p95", "baseline.a.p95 - 0.5 > a.p95"),
    ("share(last_1h.grounded < 0.8) > 72%", "share(current_hour.grounded < 0.8) > 72%"),
    ("last_15m.a < previous_15m.a", "last_15m.a < previous_15m.a"),
    ("error_class:timeout > 1%", "error_class:timeout > 1%"),
    ('"my-scorer.v2".p50 < 3', '"my-scorer.v2".p50 < 3'),
    ('"say ""hi""" < 3', '"say ""hi""" < 3'),
    ("a > -1", "a > -1"),
    ("a\n  < 1\n  and b > 1_000", "a < 1 and b > 1000"),
    ("traces.n < 10", "traces.n < 10"),
    ("any(error_class:unsafe > 0)", "any(error_class:unsafe > 0)"),
    (
        "(any(toxicity >= 0.9) or a < 1) and not any(b > 2)",
        "(any(toxicity >= 0.9) or a < 1) and not any(b > 2)",
    ),
    ("any < 3", "any < 3"),
]


@pytest.mark.parametrize(("source", "canonical"), SAME)
def test_it_reads_what_people_write(source: str, canonical: str) -> None:
    tree = parse(source)
    assert str(tree) == canonical
    assert parse(str(tree)) == tree


BAD = [
    ("", 1, 1, "empty"),
    ("answer_relevance", 1, 17, "'<'"),
    ("answer_relevance drops", 1, 18, "shift(name) = 'down'"),
    ("answer_relevance.p50 < 7 and", 1, 29, "a metric"),
    ("a < 7 b", 1, 7, "'and'"),
    ("a < 7 )", 1, 7, "the end of the condition"),
    ("(a < 7", 1, 7, "')'"),
    ("a <", 1, 4, "a number"),
    ("a\n  < 1\n  and ? 3", 3, 7, "unexpected '?'"),
    ("a ≥ 3", 1, 3, ">="),
    ("a = 3", 1, 3, "never exactly equal"),
    ("a < 'x'", 1, 5, "only shift"),
    ("a < 'x", 1, 5, "never closed"),
    ("3 < 4", 1, 1, "one must be a metric"),
    ("a.p0 < 3", 1, 3, "p50"),
    ("a.p100 < 3", 1, 3, "p50"),
    ("a.b.c < 3", 1, 3, "double quotes"),
    ("current < 3", 1, 9, "a period of time"),
    ("x > 5s", 1, 5, "not a duration"),
    ("latency_ms > 5%", 1, 1, "a duration"),
    ("error_rate > 5 USD", 1, 1, "an amount of money"),
    ("a > 5 parsecs", 1, 7, "'ms'"),
    ("trend = 'decreasing'", 1, 1, "names no metric"),
    ("a < 1 and b < 1 and trend = 'decreasing'", 1, 21, "a, b"),
    ("trend(a) = 'down'", 1, 12, "'decreasing'"),
    ("shift(a) = down", 1, 12, "'down'"),
    ("shift(a) > 'down'", 1, 10, "'='"),
    ("shift() = 'down'", 1, 7, "a metric name"),
    ("share(a) > 5%", 1, 8, "'<'"),
    ("share(a < b) > 5%", 1, 11, "a number"),
    ("a * b > 2", 1, 3, "not by another metric"),
    ("2 / a > 2", 1, 3, "not by another metric"),
    ("a / 0 > 2", 1, 3, "division by zero"),
    ("latency_ms + cost > 2", 1, 12, "cannot be compared"),
    ("a; drop table traces", 1, 2, "unexpected ';'"),
    ("shar(a < 7) > 5%", 1, 5, "did you mean share(…)"),
    ("error_rate > 5% for 10m", 1, 17, "hold: 10m"),
    ("answer_relevance.avg < 7", 1, 18, "avg is written mean"),
    ("last_week.cost.sum > 10", 1, 11, "current_week"),
    ("current_month.cost.sum > 10", 1, 15, "current_month is no period"),
    ("last_30s.cost.sum > 10", 1, 10, "last_30s is no period"),
    ("größe < 3", 1, 3, "in double quotes"),
    ("a < 7 && b < 3", 1, 7, "write and"),
    ("latency.p99 > 5s", 1, 15, "did you mean latency_ms"),
    ("error_rate > 2", 1, 14, "did you mean 2%"),
    ("error_class:unsafe > 101%", 1, 22, "between 0 % and 100 %"),
    ("share(a < 7) > 5", 1, 16, "did you mean 5%"),
    ("5 < share(a < 7)", 1, 1, "did you mean 5%"),
    ("(" * 60 + "a < 1" + ")" * 60, 1, 51, "nesting"),
    ("a < 1 or " * 600 + "a < 1", 1, 1, "longer than"),
]


@pytest.mark.parametrize(("source", "line", "column", "says"), BAD)
def test_an_error_says_where_and_what_could_stand_there(
    source: str, line: int, column: int, says: str
) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(source)
    assert (caught.value.line, caught.value.column) == (line, column), str(caught.value)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


@given(st.text(alphabet="ab<>=()'\".%+-*/ \n019pmsandorshareftlin≥", max_size=40))
def test_any_text_is_read_or_refused_with_a_position(source: str) -> None:
    try:
        tree = parse(source)
    except ConditionError as error:
        assert error.line >= 1 and error.column >= 1
    else:
        assert parse(str(tree)) == tree


METRICS = st.sampled_from(["a", "b_1", "error_class:timeout", "my-scorer", 'odd "name"', "baseline"])
PERIODS = st.sampled_from([Period(), Period("baseline"), Period("last", 900), Period("previous", 604800)])
REFS = st.builds(Ref, METRICS, st.sampled_from(["mean", "p50", "p99.9", "sum", "n", "sd"]), PERIODS)
# A single failure is 0 or 1, so no share of them lies beyond.
SCORES = METRICS.filter(lambda name: name != "error_class:timeout")
SHARES = st.builds(Share, SCORES, st.sampled_from(["<", ">="]), st.integers(-5, 99).map(float), PERIODS)
NUMBERS = st.integers(-999, 999).map(lambda v: Quantity(v / 8))
READINGS = REFS.filter(lambda r: r.metric != "error_class:timeout" and r.stat != "n")
VALUES = st.one_of(READINGS, st.builds(Arithmetic, READINGS, st.sampled_from(["+", "-"]), READINGS))
SCALED = st.builds(Arithmetic, VALUES, st.just("*"), NUMBERS)
COMPARES = st.one_of(
    st.builds(Compare, st.one_of(VALUES, SCALED), st.sampled_from(["<", "<=", ">", ">="]), NUMBERS),
    st.builds(Compare, SHARES, st.just(">"), st.integers(0, 100).map(lambda v: Quantity(v / 100, "rate"))),
)
MOVES = st.builds(Moves, st.just("shift"), METRICS, st.sampled_from(["down", "up", "any"]), st.booleans())
TREES = st.recursive(
    st.one_of(COMPARES, MOVES),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(Logic, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(TREES)
def test_what_is_printed_reads_back_the_same(tree: object) -> None:
    once = parse(str(tree))
    assert parse(str(once)) == once


def test_it_knows_which_series_a_condition_needs() -> None:
    tree = parse("share(a<7) > 5% and b.p50 < 3 and shift(c) = 'down' and d > baseline.d.p95 and a < 2")
    assert metrics_of(tree) == ("share(a < 7)", "b", "c", "d", "a")
    assert [s.indicator for s in shares_of(tree)] == ["share(a < 7)"]
    assert baselines_of(tree) == ("c", "d")


def test_the_docstring_examples_run() -> None:
    assert doctest.testmod(conditions).failed == 0


def test_texts_are_watched_by_name():
    found = parse("drift(input) or not drift(output)")
    assert str(found) == "drift(input) or not drift(output)"
    assert metrics_of(found) == ("drift(input)", "drift(output)")
    with pytest.raises(ConditionError, match=r"found 'latency_ms', expected one of input, output"):
        parse("drift(latency_ms)")


def test_distances_are_statistics_of_a_metric_and_need_its_baseline():
    found = parse("relevance.psi > 0.2 and latency_ms.ks > 0.1 and cost.wasserstein > 0.5")
    assert baselines_of(found) == ("relevance", "latency_ms", "cost")
    with pytest.raises(ConditionError, match="distance from the baseline"):
        parse("baseline.relevance.psi > 0.2")


def test_a_burn_rate_reads_both_of_its_windows():
    found = parse("burn(answer_relevance >= 7, 95%, 1h, 5m) > 14.4")
    assert str(parse(str(found))) == str(found) == "burn(answer_relevance >= 7, 95%, 1h, 5m) > 14.4"
    assert metrics_of(found) == ("share(answer_relevance >= 7)",)
    assert [s.period.seconds for s in references(found) if not isinstance(s, Moves)] == [3600, 300]
    with pytest.raises(ConditionError, match="is not a promise"):
        parse("burn(grounded, 0.95, 1h, 5m) > 14.4")
    with pytest.raises(ConditionError, match="shorter"):
        parse("burn(grounded, 95%, 5m, 1h) > 14.4")
    with pytest.raises(ConditionError, match="span of time"):
        parse("burn(grounded, 95%, 1, 5m) > 14.4")
