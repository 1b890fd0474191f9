"""Two runs side by side, a production window as baseline, flakiness measured: on numbers whose answer is known."""

import random
from typing import Any

import numpy as np
import pytest

from watchkeeper.gating.compare import Window, against_window, window_of
from watchkeeper.gating.contrast import contrast, percent
from watchkeeper.gating.judgement import Baseline, asked_hash, document, stored_scores
from watchkeeper.gating.report import compared_lines, compared_markdown, junit, lines, markdown
from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import CaseScore, GateSettings, flakiness
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.score import Verdict
from watchkeeper.model.series import Estimate
from watchkeeper.stats.estimates import mean

SETTINGS = GateSettings()


def run(name: str, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    metrics = [{"scorer": "relevance", "kind": "semantic"}, {"scorer": "json_valid", "kind": "deterministic"}]
    return {"id": name, "name": name, "results": rows, "metrics": metrics, **more}


def row(case: str, relevance: float, passed: bool = True, **more: Any) -> dict[str, Any]:
    scores = {
        "relevance": {"values": [relevance], "passed": [None], "reason": None},
        "json_valid": {
            "values": [float(passed)],
            "passed": [passed],
            "reason": None if passed else "no object",
        },
    }
    return {
        "case_id": case,
        "input": f"q {case}",
        "output": str(relevance),
        "session": case,
        "scores": scores,
        **more,
    }


def two(n: int, lift: float, seed: int = 3) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = random.Random(seed)
    old = [row(f"c{i}", 4 + rng.gauss(0, 0.5), cost=0.01, latency_ms=100.0) for i in range(n)]
    new = [
        row(
            f"c{i}",
            r["scores"]["relevance"]["values"][0] * (1 + lift) + rng.gauss(0, 0.2),
            cost=0.0108,
            latency_ms=100.0,
        )
        for i, r in enumerate(old)
    ]
    return run("a", old), run("b", new)


def test_less_trouble_is_no_loss_and_the_length_of_an_answer_is_neither() -> None:
    """What pages and alerts say of a score holds of an experiment too."""
    rng = random.Random(5)

    def scored(i: int, repeats: float, words: float) -> dict[str, Any]:
        values = {"output_repetition": repeats + rng.gauss(0, 0.01), "output_words": words + rng.gauss(0, 1)}
        return row(f"c{i}", 5.0) | {
            "scores": {n: {"values": [v], "passed": [None], "reason": None} for n, v in values.items()}
        }

    old, new = [scored(i, 0.4, 80) for i in range(50)], [scored(i, 0.1, 20) for i in range(50)]
    for before, after, said in ((old, new, "better"), (new, old, "worse")):
        found = contrast(run("a", before), run("b", after))
        told = {c["metric"]: c["direction"] for c in found["changes"]}
        assert told == {"output_repetition": said, "output_words": "moved"}
        assert "↔ output_words" in "\n".join(compared_lines(found))
        assert "| ↔ | output\\_words" in compared_markdown(found)
        for case in found["cases"]:
            cells = {n: x["worse"] for n, x in case["changes"].items()}
            assert cells == {"output_repetition": said == "worse", "output_words": False}
            assert case["worse"] == (said == "worse")


def test_a_length_that_did_not_clearly_change_has_not_moved() -> None:
    rng = random.Random(7)
    old, new = (
        [
            row(f"c{i}", 5.0)
            | {"scores": {"output_words": {"values": [rng.gauss(80, 9)], "passed": [None], "reason": None}}}
            for i in range(50)
        ]
        for _ in range(2)
    )
    assert [c["direction"] for c in contrast(run("a", old), run("b", new))["changes"]] == ["unclear"]


def test_the_sentence_says_what_changed_by_how_much_and_how_surely() -> None:
    found = contrast(*two(200, 0.12))
    assert found["headline"].startswith(
        "relevance +12 % (95 % CI +11 % to +13 %), cost +8.0 % (95 % CI +8.0 % to +8.0 %)"
    )
    assert found["headline"].endswith("no new violations in 200 cases (true rate below 1.5 %, 95 %)")
    assert [c["direction"] for c in found["changes"]] == ["worse", "better", "equal", "equal"]
    assert found["changes"][1]["n"] == 200 and found["changes"][1]["n_eff"] == pytest.approx(200, rel=0.01)
    assert "▲ relevance" in "\n".join(compared_lines(found))


def test_no_difference_is_not_called_one() -> None:
    directions = [contrast(*two(40, 0.0, seed))["changes"] for seed in range(200)]
    called = sum(
        c["direction"] in ("better", "worse") for d in directions for c in d if c["metric"] == "relevance"
    )
    assert called <= 20, "5 % of 200, and Holm makes it fewer"


def test_new_and_fixed_violations_are_counted_by_case_and_flaky_ones_not_at_all() -> None:
    before = run("a", [row("x", 4), row("y", 4, False), row("z", 4), row("w", 4, False)])
    after = run("b", [row("x", 4, False), row("y", 4), row("z", 4), row("w", 4, False)])
    after["results"][2]["scores"]["json_valid"] = {"values": [1.0, 0.0], "passed": [True, False]}
    found = contrast(before, after)
    assert found["violations"] == {
        "n": 3,
        "new": (("x", "json_valid"),),
        "fixed": (("y", "json_valid"),),
        "still": 1,
    }
    assert "1 new violation, 1 fixed" in found["headline"]
    assert found["cases"][0]["case_id"] == "x" and found["cases"][0]["worse"]
    assert "| x | json" in compared_markdown(found)


def test_a_check_that_had_nothing_to_look_at_before_and_fails_now_is_a_new_violation() -> None:
    asked = {"scorers": {"json_valid": "1", "relevance": "1"}}
    bare = row("x", 4)
    del bare["scores"]["json_valid"]
    for before, new, listed in ((asked, (("x", "json_valid"),), True), ({"scorers": {}}, (), False)):
        found = contrast(
            run("a", [bare, row("y", 4)], **before), run("b", [row("x", 4, False), row("y", 4)], **asked)
        )
        assert found["violations"]["new"] == new and found["cases"][0]["worse"] is listed
        assert ("json_valid – → 0" in "\n".join(compared_lines(found))) is listed
    turned = contrast(run("a", [row("x", 4, False)], **asked), run("b", [bare], **asked))
    assert turned["violations"]["fixed"] == (("x", "json_valid"),)


def test_answers_that_failed_are_told_beside_figures_that_say_nothing_of_them() -> None:
    gone = {"scores": {}, "output": None, "error": "RuntimeError: x"}
    before = run("a", [row("x", 4), row("y", 4), row("z", 4)], scorers={"json_valid": "1"})
    after = run(
        "b",
        [row("x", 4), row("y", 4) | gone, row("z", 4) | gone | {"excused": True}],
        scorers={"json_valid": "1"},
    )
    found = contrast(before, after)
    assert found["headline"].endswith("no new violations in 1 case, 1 answer failed (0 before)")
    assert found["failed_answers"] == {"before": 0, "after": 1}
    assert "failed" not in contrast(before, before)["headline"]


def test_what_cannot_be_compared_is_left_out_and_said() -> None:
    before = run(
        "a", [row("x", 4, asked="1"), row("y", 4, asked="1"), row("gone", 4)], scorers={"relevance": "v1"}
    )
    after = run(
        "b", [row("x", 9, asked="1"), row("y", 9, asked="2"), row("new", 4)], scorers={"relevance": "v2"}
    )
    found = contrast(before, after)
    assert found["n"] == 1 and found["left_out"] == {"changed_cases": 1, "only_before": 1, "only_after": 1}
    assert found["other_version"] == ["relevance"] and "relevance" not in [
        c["metric"] for c in found["changes"]
    ]
    assert contrast(run("a", []), run("b", []))["headline"] == "the two runs have no case in common"


def test_one_session_gives_no_interval() -> None:
    rows = [row(f"c{i}", 4.0 + i, cost=1.0) for i in range(5)]
    for r in rows:
        r["session"] = "the only one"
    (change,) = [c for c in contrast(run("a", rows), run("b", rows))["changes"] if c["metric"] == "cost"]
    assert change["low"] is None and change["sessions"] == 1


@pytest.mark.parametrize(("share", "text"), [(0.12, "+12 %"), (-0.034, "-3.4 %"), (0.0996, "+10 %")])
def test_shares_are_written_for_people(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_window_is_weighted_by_the_inclusion_probability() -> None:
    rng = np.random.default_rng(5)
    x, pi = rng.normal(4, 1, 500), rng.choice([0.1, 1.0], 500)
    sums = [(1 / p, v / p, v * v / p, 1 / p**2, 1) for v, p in zip(x, pi, strict=True)]
    found = window_of([(float(a), float(b), float(c), float(d), e) for a, b, c, d, e in sums])
    expected = mean(x, pi)
    assert found is not None and isinstance(expected, Estimate)
    assert found.mean == pytest.approx(expected.value) and found.n_eff == pytest.approx(expected.n_eff)
    assert 1.96 * found.error == pytest.approx((expected.high - expected.low) / 2, rel=0.02)
    assert window_of([(1.0, 4.0, 16.0, 1.0, 3)]) is None, "one session has no variance"


def test_against_production_a_harmless_run_never_fails_and_a_harmful_one_does() -> None:
    window = {"rel": Window(4.0, 0.02, 1.0, 3000, 2500.0, 2000)}

    def outcome(shift: float, n: int, seed: int) -> str:
        rng = random.Random(seed)
        scores = [CaseScore(str(i), "rel", (rng.gauss(4 + shift, 1),), (None,)) for i in range(n)]
        return against_window({"rel": scores}, window, SETTINGS)[0].outcome

    harmless = [outcome(0.0, 30, seed) for seed in range(200)]
    assert harmless.count("fail") <= 16, "5 % of 200 with its own chance"
    assert outcome(-1.0, 60, 1) == "fail" and outcome(0.0, 2000, 1) == "pass"
    missing = against_window({"other": [CaseScore("a", "other", (1.0,), (None,))]}, window, SETTINGS)[0]
    assert missing.outcome == "not_enough_evidence" and "in that window" in missing.explanation


def flaky_scores(n: int, flaky: int) -> list[CaseScore]:
    steady = [CaseScore(str(i), "check", (1.0, 1.0), (True, True)) for i in range(flaky, n)]
    return [CaseScore(str(i), "check", (1.0, 0.0), (True, False)) for i in range(flaky)] + steady


@pytest.mark.parametrize(
    ("now", "before", "outcome"),
    [
        (0, 0, "pass"), (4, 4, "pass"), (9, 1, "fail"), (4, 2, "pass"), (30, 28, "not_enough_evidence"),
        (4, None, "pass"), (30, None, "not_enough_evidence"),
    ],
)  # fmt: skip
def test_a_release_cannot_hide_failures_by_failing_only_sometimes(
    now: int, before: int | None, outcome: str
) -> None:
    was = [] if before is None else flaky_scores(100, before)
    (found,) = flakiness(flaky_scores(100, now), was, SETTINGS)
    assert found.outcome == outcome and len(found.flaky_cases) == now
    assert flakiness([CaseScore("a", "check", (1.0,), (True,))], [], SETTINGS) == []


def cases(*ids: str) -> DatasetVersion:
    return DatasetVersion("p", "d", 1, 0, "me", "", "h", [Case(id=i, input=f"ask {i}") for i in ids])


def test_what_could_not_be_asked_is_not_the_targets_failure() -> None:
    answers = [
        Answer("a", "x"),
        Answer("b", error="not asked: the cost cap", excused=True),
        Answer("c", error="boom"),
    ]
    outcomes = {("a", "check"): [Verdict(passed=True)]}
    made = document(cases("a", "b", "c"), answers, outcomes, {"check": "check"}, None, SETTINGS)
    by_name = {m["scorer"]: m for m in made["metrics"]}
    assert (
        by_name["cases_unsettled"]["outcome"] == "not_enough_evidence"
        and by_name["cases_unsettled"]["needed"] == 1
    )
    assert by_name["target_answers"]["failed_cases"] == ("c",) and made["verdict"] == "fail"
    made.update(name="n", target="t")
    assert any("not asked: the cost cap" in line for line in lines(made))


def test_a_baseline_of_another_question_or_another_scorer_is_no_baseline() -> None:
    old = {
        "case_id": "a",
        "asked": asked_hash(Case(id="a", input="ask a")),
        "scores": {"s": {"values": [1.0], "passed": [None]}},
    }
    experiment = {"results": [old], "scorers": {"s": "v1"}}
    now = {"a": Case(id="a", input="ask a")}
    assert list(stored_scores(experiment, now, {"s": "v1"})) == [("a", "s")]
    assert stored_scores(experiment, now, {"s": "v2"}) == {}
    assert stored_scores(experiment, {"a": Case(id="a", input="ask b")}, {"s": "v1"}) == {}
    assert asked_hash(Case(id="a", input="x", owner="me")) == asked_hash(Case(id="a", input="x", owner="you"))
    scored = {("a", "s"): [Verdict(value=0.4)]}
    base = Baseline("old", "exp_1", {})
    made = document(cases("a"), [Answer("a", "x")], scored, {"s": "judge"}, base, SETTINGS)
    assert made["verdict"] == "not_enough_evidence"


@pytest.mark.parametrize(("seen", "verdict"), [(False, "not_enough_evidence"), (True, "pass")])
def test_a_release_of_which_nothing_was_seen_is_no_baseline_whoever_decides(seen: bool, verdict: str) -> None:
    base = Baseline("release:nope", about={"release": "nope", "seen": seen})
    ids = [f"c{n}" for n in range(80)]
    passed = {(case, "check"): [Verdict(passed=True)] for case in ids}
    made = document(cases(*ids), [Answer(i, "x") for i in ids], passed, {"check": "check"}, base, SETTINGS)
    told = [m["explanation"] for m in made["metrics"] if m["scorer"] == "baseline_there"]
    assert made["verdict"] == verdict and bool(told) == (not seen) == ("release:nope" in str(told))


def test_every_regression_names_its_owner_severity_and_trace() -> None:
    failing = Case(
        id="a", input="ask a", owner="payments", severity="high", trace_id="ab" * 16, must_pass=["check"]
    )
    dataset = DatasetVersion("p", "d", 1, 0, "me", "", "h", [failing])
    outcomes = {("a", "check"): [Verdict(passed=False, reason="no form attached")]}
    made = document(dataset, [Answer("a", "x")], outcomes, {"check": "check"}, None, SETTINGS)
    made.update(name="n", target="t")
    behind = f"[owner payments, severity high, trace {'ab' * 16}]"
    assert any(behind in line for line in lines(made)) and behind in junit(made)
    table = markdown(made, "http://h/experiments/1")
    assert f"(http://h/traces/{'ab' * 16})" in table and "payments" in table and "high" in table
