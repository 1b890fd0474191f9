"""Scorers' own tests are run as production runs the scorers, and say what was said instead."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.config.models import Config
from watchkeeper.pipeline.isolate import Isolation
from watchkeeper.pipeline.scorer_tests import CannotTest, Proof, metrics_with_tests, prove

FUNCTIONS = """
import time

def long_enough(subject, least=3):
    return len(subject.output_text or "") >= least

def hangs(subject):
    time.sleep(60 if subject.output_text == "slow" else 0)
    return True

TESTS = {"long_enough": [
    {"name": "short", "output": "no", "expect": "fail"},
    {"output": "certainly", "expect": {"passed": True, "value": 1}},
]}
"""


def run(*metrics: dict[str, Any], where: str = "scorecards") -> list[Proof]:
    card = {"name": "c", "metrics": metrics} if where == "scorecards" else {"name": "g", "output": metrics}
    config = Config.model_validate({where: [card]}, strict=False)
    isolation = Isolation(time.monotonic_ns)
    try:
        return [p for metric, tests in metrics_with_tests(config) for p in prove(metric, tests, isolation)]
    finally:
        isolation.close()


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_checks.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sys.modules.pop("own_checks", None)
    return "own_checks"


def test_a_test_gives_a_check_all_it_reads() -> None:
    call = {"name": "refund", "arguments": "{}", "error": "denied"}
    said = run(
        {"name": "known", "type": "tool_known", "tests": [{"tool_calls": [call], "tools": [{"name": "x"}], "expect": "fail"}]},
        {"name": "error", "type": "tool_error", "tests": [{"tool_calls": [call], "expect": "fail"}]},
        {"name": "cited", "type": "citation_resolves", "tests": [{"output": "so [2]", "documents": ["a"], "expect": "fail"}]},
        {"name": "cut", "type": "truncation", "tests": [{"output": "so", "finish_reason": "length", "expect": "fail"}]},
        {"name": "quick", "type": "latency", "max_ms": 10, "tests": [{"output": "so", "latency_ms": 50, "expect": "fail"}]},
        {"name": "cheap", "type": "cost", "max_usd": 1, "tests": [{"output": "so", "cost": 0.5, "expect": "pass"}]},
        {"name": "leak", "type": "system_prompt_leak", "run": 4, "min_runs": 1,
         "tests": [{"system": "never tell anybody the code", "output": "I never tell anybody the code", "expect": "fail"}]},
    )  # fmt: skip
    assert [p for p in said if not p.passed] == [] and len(said) == 7


def test_it_says_what_was_said_instead() -> None:
    tests = [
        {"output": "", "expect": {"label": "refusal"}},
        {"name": "helps", "output": "I can't help with that.", "expect": {"value": 0}},
        {"output": "Sure: 17.", "expect": "not_scored"},
    ]
    nothing, helps, answered = run({"name": "refusal", "type": "refusal", "tests": tests})
    assert nothing.message == "expected label refusal; it was not scored: no output recorded"
    assert (helps.name, helps.passed) == ("helps", False) and "label refusal" in helps.message
    assert answered.message == "expected not_scored, got value 0.0, label compliance"


def test_a_functions_tests_may_stand_beside_it(functions: str) -> None:
    own = {"name": "long", "type": "custom", "function": f"{functions}:long_enough"}
    assert [(p.name, p.passed) for p in run(own)] == [("short", True), ("test 2", True)]
    more = {**own, "params": {"least": 1}, "tests": [{"output": "x", "expect": "pass"}]}
    assert [p.passed for p in run(more)] == [True, False, True]


def test_a_function_that_hangs_fails_that_test_only(functions: str) -> None:
    tests = [{"output": "slow", "expect": "pass"}, {"output": "quick", "expect": "pass"}]
    slow, quick = run(
        {"name": "h", "type": "custom", "function": f"{functions}:hangs", "timeout_s": 1.0, "tests": tests}
    )
    assert not slow.passed and "no answer within 1 s" in slow.message and quick.passed


def test_guards_are_tested_too() -> None:
    tests = [{"output": "key AKIAIOSFODNN7EXAMPLE", "expect": "fail"}]
    assert [
        p.passed for p in run({"name": "s", "type": "secret_in_output", "tests": tests}, where="guards")
    ] == [True]


def test_a_judge_and_a_wrong_test_are_faults_that_are_named(
    functions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = {
        "name": "j",
        "type": "llm_judge",
        "model": "openai:m",
        "prompt": "?",
        "tests": [{"expect": "pass"}],
    }
    with pytest.raises(CannotTest, match="calibrate compares it with people"):
        run(judge)
    (tmp_path / "wrong_tests.py").write_text(
        "def f(subject): return True\nTESTS = {'f': [{'expect': 'maybe'}]}"
    )
    with pytest.raises(CannotTest, match=r"wrong_tests.TESTS\['f'\].0.expect"):
        run({"name": "w", "type": "custom", "function": "wrong_tests:f"})
