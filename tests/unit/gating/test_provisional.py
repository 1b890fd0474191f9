"""A scorer that nobody has calibrated decides nothing in the gate, and pages nobody."""

from typing import Any

from watchkeeper.alerting.monitor import Monitor, capped
from watchkeeper.gating import report
from watchkeeper.gating.judgement import Baseline, case_scores, document
from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import GateSettings
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.score import Outcome, Verdict

CASES = [Case(f"c{i}", {"text": f"q{i}"}, must_pass=["relevance"] if i == 0 else []) for i in range(70)]
DATASET = DatasetVersion("p", "golden", 1, 0, "a", "", "h", CASES)
KINDS = {"json_valid": "check", "relevance": "classifier"}


def outcomes(relevance: float, fine: bool = True) -> dict[tuple[str, str], list[Outcome]]:
    found: dict[tuple[str, str], list[Outcome]] = {}
    for i, case in enumerate(CASES):
        found[case.id, "json_valid"] = [Verdict(value=1.0, passed=fine)]
        found[case.id, "relevance"] = [Verdict(value=relevance + i % 3, passed=relevance > 5)]
    return found


def gated(provisional: dict[str, str], now: dict[tuple[str, str], list[Outcome]]) -> dict[str, Any]:
    before = Baseline("v1", "exp_1", case_scores({c.id: c for c in CASES}, outcomes(8.0)))
    answers = [Answer(c.id, "a") for c in CASES]
    return document(DATASET, answers, now, KINDS, before, GateSettings(), provisional)


def test_a_worse_provisional_score_is_shown_and_stops_nobody() -> None:
    worse = outcomes(2.0)
    assert gated({}, worse)["verdict"] == "fail"
    found = gated({"relevance": "never compared with people"}, worse)
    assert found["verdict"] == "pass"
    (shown,) = [m for m in found["metrics"] if m["scorer"] == "relevance"]
    assert shown["outcome"] == "not_calibrated" and shown["difference"] < -5 and shown["n"] == 70
    assert "never compared with people" in shown["explanation"]
    text = "\n".join(report.lines({**found, "name": "n", "target": "t"}))
    assert "◇ relevance" in text and "run watchkeeper calibrate relevance" in text


def test_a_check_still_fails_the_gate_beside_a_provisional_score() -> None:
    assert gated({"relevance": "expired"}, outcomes(8.0, fine=False))["verdict"] == "fail"


def test_provisional_scores_alone_are_not_enough_evidence() -> None:
    alone = {k: v for k, v in outcomes(9.0).items() if k[1] == "relevance"}
    assert gated({"relevance": "expired"}, alone)["verdict"] == "not_enough_evidence"


def test_a_page_on_a_provisional_scorer_warns_and_says_why() -> None:
    def monitor(condition: str, severity: str = "page") -> Monitor:
        return Monitor("m", condition, "team", "runbook.md", severity=severity)

    held = {"relevance": "its calibration has expired"}
    for condition in ("shift(relevance) = 'down'", "relevance < 7", "share(relevance < 7) > 30%"):
        found = capped(monitor(condition), held)
        assert (
            found.severity == "warn"
            and "relevance is provisional (its calibration has expired)" in found.capped
        )
    assert capped(monitor("error_rate > 5%"), held).severity == "page"
    assert capped(monitor("relevance < 7", "info"), held).capped == ""
    assert capped(monitor("relevance < 7"), {}).severity == "page"
