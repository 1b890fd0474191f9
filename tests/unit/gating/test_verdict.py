"""The gate's three outcomes, on numbers whose answer is known."""

import random
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from watchkeeper.gating.compare import paired, semantic
from watchkeeper.gating.report import junit, lines, markdown
from watchkeeper.gating.subject import Answer, subjects_of
from watchkeeper.gating.verdict import CaseScore, GateSettings, deterministic, every_case, overall
from watchkeeper.model.review import Case
from watchkeeper.stats.experiments import non_inferiority

SETTINGS = GateSettings()


def checks(passed: int, failed: int = 0, flaky: int = 0) -> list[CaseScore]:
    rows = [CaseScore(f"p{i}", "json_valid", (1.0,), (True,)) for i in range(passed)]
    rows += [CaseScore(f"f{i}", "json_valid", (0.0,), (False,)) for i in range(failed)]
    return rows + [CaseScore(f"x{i}", "json_valid", (0.0, 1.0), (False, True)) for i in range(flaky)]


def pairs(n: int, shift: float, sd: float, seed: int = 1) -> list[tuple[CaseScore, CaseScore]]:
    rng = random.Random(seed)
    made = []
    for i in range(n):
        old = rng.gauss(8, 1.5)
        new = old + shift + rng.gauss(0, sd)
        made.append((CaseScore(str(i), "rel", (new,), (None,)), CaseScore(str(i), "rel", (old,), (None,))))
    return made


@pytest.mark.parametrize(
    ("passed", "failed", "outcome"),
    [
        (60, 0, "pass"),
        (59, 0, "not_enough_evidence"),
        (500, 1, "fail"),
        (0, 1, "fail"),
        (0, 0, "not_enough_evidence"),
    ],
)
def test_deterministic_checks_need_every_case_and_enough_of_them(
    passed: int, failed: int, outcome: str
) -> None:
    check = deterministic("json_valid", checks(passed, failed))
    assert every_case([check], passed + failed, SETTINGS).outcome == outcome
    assert check.outcome == ("fail" if failed else "pass")


def test_it_says_how_many_more_cases_would_settle_it() -> None:
    assert every_case([deterministic("json_valid", checks(20))], 20, SETTINGS).needed == 40


def test_flaky_cases_are_set_aside_by_name_and_count_for_nothing() -> None:
    verdict = deterministic("json_valid", checks(58, flaky=2))
    assert (verdict.outcome, verdict.n, verdict.flaky_cases) == ("pass", 58, ("x0", "x1"))
    assert every_case([verdict], 60, SETTINGS).outcome == "not_enough_evidence"


def test_a_check_that_applies_to_few_cases_does_not_hold_up_the_run() -> None:
    few = deterministic("system_prompt_leak", checks(1))
    many = deterministic("json_valid", checks(60))
    assert overall([every_case([few, many], 60, SETTINGS), few, many]).outcome == "pass"


def test_a_clear_drop_fails_and_an_identical_run_passes() -> None:
    (fallen,) = semantic({"rel": pairs(80, -1.5, 1.0)}, SETTINGS)
    (same,) = semantic({"rel": pairs(80, 0.0, 0.0)}, SETTINGS)
    assert (fallen.outcome, same.outcome) == ("fail", "pass")
    assert fallen.low is not None and fallen.high is not None and fallen.low < -1.5 < fallen.high + 0.5


def test_too_little_data_is_neither_pass_nor_fail() -> None:
    (verdict,) = semantic({"rel": pairs(6, 0.0, 2.0)}, SETTINGS)
    assert verdict.outcome == "not_enough_evidence" and verdict.needed is not None and verdict.needed > 50


def test_a_harmless_change_is_hardly_ever_called_a_failure() -> None:
    failures = sum(
        semantic({"rel": pairs(40, 0.0, 1.0, seed)}, SETTINGS)[0].outcome == "fail" for seed in range(400)
    )
    assert failures / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_cases_of_one_session_do_not_count_as_independent() -> None:
    alike = [
        (
            CaseScore(f"{g}-{i}", "rel", (g % 2 * 1.0,), (None,), cluster=str(g)),
            CaseScore(f"{g}-{i}", "rel", (0.5,), (None,)),
        )
        for g in range(6)
        for i in range(20)
    ]
    clustered = paired(alike)
    spread = paired([(CaseScore(n.case_id, "rel", n.values, (None,)), o) for n, o in alike])
    assert clustered.clusters == 6 and clustered.error > 4 * spread.error


def test_nothing_measured_is_never_a_pass() -> None:
    assert overall([]).outcome == "not_enough_evidence"


def test_the_worst_metric_decides() -> None:
    good, bad = deterministic("a", checks(60)), deterministic("b", checks(60, 1))
    assert overall([good, bad]).outcome == "fail"


def experiment() -> dict[str, Any]:
    (metric,) = semantic({"rel": pairs(80, -1.5, 1.0)}, SETTINGS)
    return {
        "name": "nightly",
        "target": "app:answer",
        "dataset": "golden",
        "dataset_version": 3,
        "n_cases": 80,
        "verdict": "fail",
        "needed": None,
        "baseline_name": "v1",
        "metrics": [{f: getattr(metric, f) for f in metric.__dataclass_fields__}],
        "regressions": [
            {
                "case_id": "case_1",
                "scorer": "rel",
                "was": "8.1",
                "now": "2.0",
                "input": "How do I | <script>alert(1)</script> @everyone",
                "owner": None,
                "severity": "high",
                "trace_id": "ab",
            }
        ],
    }


def test_the_reports_name_the_metric_and_neutralise_what_users_wrote() -> None:
    text = markdown(experiment(), "http://127.0.0.1:4318/experiments/exp_1")
    assert "FAIL" in text and "<script>" not in text and " @everyone" not in text
    assert "[case_1](http://127.0.0.1:4318/traces/ab)" in text
    root = ET.fromstring(junit(experiment()))
    assert root.attrib["failures"] == "2" and root[0][1].attrib["name"] == "case_1 rel"
    assert any("rel" in line for line in lines(experiment()))


def test_an_answer_becomes_the_trace_production_would_have_recorded() -> None:
    case = Case(
        "c1",
        {"text": "Where is it?"},
        context={"documents": [{"id": "kb", "score": 0.9, "content": "It is here."}]},
        expected="Here.",
    )
    answer = Answer(
        "c1", "It is here.", tool_calls=[{"name": "find", "arguments": {"q": 1}, "error": "boom"}]
    )
    subjects = subjects_of(case, answer)
    trace = subjects[0].trace
    assert subjects[0].expected == "Here." and trace.input_text == "Where is it?"
    assert [d.id for d in trace.documents] == ["kb"]
    assert [(t.tool.name, t.status) for t in trace.tools if t.tool] == [("find", "error")]
    assert len({s.span_id for s in trace.spans}) == len(trace.spans) == len(subjects) - 1


def test_the_reports_name_the_cases_that_fail_the_run_also_without_a_baseline() -> None:
    made = {**experiment(), "regressions": [], "baseline_name": None}
    made["metrics"] = [
        {
            **made["metrics"][0],
            "scorer": name,
            "kind": "deterministic",
            "outcome": "fail",
            "failed_cases": ("c|7",),
        }
        for name in ("every_case", "json_valid", "target_answers")
    ]
    hostile = "boom <b>&]]>\x00 \x1b[31m\nfake: PASS"
    scores = {"json_valid": {"reason": "it is no JSON"}}
    made["results"] = [{"case_id": "c|7", "input": hostile, "owner": "ann", "severity": None, "trace_id": None,
                        "error": hostile, "scores": scores}]  # fmt: skip
    told = [line for line in lines(made) if "c|7" in line]
    assert len(told) == 2 and "json_valid: it is no JSON" in told[0] and "[owner ann]" in told[0]
    assert not any("\x1b" in line or "\n" in line for line in lines(made))
    text = markdown(made)
    assert (
        "### Failing cases (2)" in text
        and r"| c\|7 | json\_valid | it is no JSON |" in text
        and "\x1b" not in text
    )
    root = ET.fromstring(junit(made))
    failed = [
        case.get("name") for case in root.iter("testcase") if case.get("classname") == "watchkeeper.failures"
    ]
    assert failed == ["c|7 json_valid", "c|7 target_answers"]
    assert root.get("failures") == str(len(list(root.iter("failure")))) == "5"


def test_a_case_that_got_worse_is_no_failure_of_a_run_that_passed() -> None:
    made = experiment()
    for metric in made["metrics"]:
        metric["outcome"] = "pass"
    root = ET.fromstring(junit(made))
    assert not list(root.iter("failure")) and root.get("failures") == "0"
    assert [case.get("classname") for case in root.iter("testcase")].count("watchkeeper.regressions") == len(
        made["regressions"]
    )


def test_one_score_is_decided_as_the_gate_decides_it() -> None:
    for shift in (-0.5, -0.2, -0.05, 0.1):
        given = pairs(60, shift, 0.4)
        (said,) = semantic({"m": given}, GateSettings(margin={"m": 0.2}))
        read = non_inferiority([o.mean for _, o in given], [n.mean for n, _ in given], margin=0.2)
        assert read.difference is not None
        assert (read.verdict, read.needed) == (said.outcome, said.needed)
        assert [read.difference.low, read.difference.high] == pytest.approx([said.low, said.high])
