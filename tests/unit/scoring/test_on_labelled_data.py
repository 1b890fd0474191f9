"""The checks find what is known to be in recorded data."""

import itertools
import json

import pytest

from tests.shared import shared_path
from tests.unit.scoring.build import airline_traces, subject
from watchkeeper.model.score import Subject, Verdict
from watchkeeper.scoring.checks.table import default_checks
from watchkeeper.scoring.drive import run_checks


@pytest.fixture(scope="module")
def airline() -> dict[str, list[str]]:
    """Failed trace ids by check."""
    shared = shared_path("data/taubench_airline.jsonl").parent
    subjects = [Subject(t) for t in airline_traces(shared)]
    failed: dict[str, list[str]] = {}
    for scorer, given, outcome in run_checks(default_checks(), subjects):
        if isinstance(outcome, Verdict) and outcome.passed is False:
            failed.setdefault(scorer.name, []).append(given.trace.trace_id)
    return failed


def test_it_finds_exactly_the_runs_with_tool_errors(airline: dict[str, list[str]]) -> None:
    lines = shared_path("data/taubench_airline.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [json.loads(line) for line in lines]
    truth = [
        r["id"]
        for r in runs
        if any(m["role"] == "tool" and m["content"].startswith("Error:") for m in r["messages"])
    ]
    assert len(truth) == 19
    assert sorted(airline["tool_error"]) == sorted(truth)


def test_it_finds_exactly_the_runs_that_repeat_a_call_at_once(airline: dict[str, list[str]]) -> None:
    lines = shared_path("data/taubench_airline.jsonl").read_text(encoding="utf-8").splitlines()
    truth = []
    for run in map(json.loads, lines):
        calls = [
            (c["function"]["name"], json.dumps(json.loads(c["function"]["arguments"]), sort_keys=True))
            for m in run["messages"]
            for c in m.get("tool_calls") or []
        ]
        if any(a == b for a, b in itertools.pairwise(calls)):
            truth.append(run["id"])
    assert len(truth) == 5
    assert sorted(airline["repeated_call"]) == sorted(truth)


def test_real_runs_raise_no_safety_alarm(airline: dict[str, list[str]]) -> None:
    safety = ("profanity", "secret_in_output", "injection_pattern", "system_prompt_leak", "tool_known")
    assert {name: airline.get(name, []) for name in safety} == {key: [] for key in safety}


def test_refusals_agree_with_people_more_often_than_string_matching_and_the_recorded_judge() -> None:
    lines = shared_path("data/xstest_responses.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    names = {"compliance": "1_full_compliance", "refusal": "2_full_refusal", "partial": "3_partial_refusal"}
    check = next(c for c in default_checks() if c.name == "refusal")
    outcomes = check.score([subject(r["prompt"], r["completion"]) for r in rows])
    ours = sum(
        names[str(o.label)] == r["final_label"]
        for o, r in zip(outcomes, rows, strict=True)
        if isinstance(o, Verdict)
    )
    for rival in ("string_match_label", "gpt4_judge_label"):
        assert ours > sum(r[rival] == r["final_label"] for r in rows) + 20
