"""What every scorer must hold to: generated from the tables, so a new one is tested before its author writes a test."""

import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.scoring.build import failing, subject
from watchkeeper.model.errors import PRECEDENCE
from watchkeeper.model.score import LEVELS, SOURCES, Failed, NotScored, Subject, Verdict
from watchkeeper.model.span import Context, Tool, ToolCall, Totals, Trace
from watchkeeper.redaction.find import find
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.checks.table import CHECKS, default_checks
from watchkeeper.scoring.classifiers.table import CLASSIFIERS
from watchkeeper.scoring.drive import run_checks, run_scorer
from watchkeeper.scoring.protocol import BatchScorer, Finders
from watchkeeper.scoring.registry import build

ALL = [*CHECKS, *CLASSIFIERS]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "checks.md"


def make(cls: type[Check], **more: Any) -> Any:
    return build({"name": "x", "type": cls.type, **cls.example, **more}, Finders(find))


def odd_subjects() -> list[Subject]:
    empty = Trace("b" * 32, [], Context(), Totals(), 0, 0, False)
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    return [
        Subject(empty),
        subject(None, None),
        subject("", ""),
        subject("\ud800 lone \x00 \u202e", "\ud800 reply \x00 “„ [999999] 【5†x】"),
        subject("x " * 30_000, "word. " * 30_000, documents=["y " * 30_000]),
        subject(
            "q", "{" * 2000, documents=[""], tools=[Tool(None, None, None, None), Tool("t", "c", deep, deep)]
        ),
        subject(
            "q",
            '{"a": 1e400}',
            tools=[Tool("t", "c", "not json", {"error": {"a": 1}})],
            spans=[failing("timeout")],
        ),
        subject(
            "q",
            "1 234,5 and 1,2,3.4.5 % and ٣",
            documents=["٣ 12"],
            llm={
                "tool_calls": [
                    ToolCall(None, None, None),
                    ToolCall("1", "t", '{"a":'),
                    ToolCall("2", "t", deep),
                ],
                "tool_definitions": [
                    {},
                    {"name": "t", "parameters": "{"},
                    {"function": {"name": "t", "parameters": {"type": 5}}},
                ],
                "finish_reason": "length",
            },
        ),
    ]


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.type)
def test_it_describes_itself(cls: type[Check]) -> None:
    scorer = make(cls)
    assert isinstance(scorer, BatchScorer)
    assert scorer.level in LEVELS and scorer.kind in SOURCES and scorer.trusted
    assert cls.error_class is None or cls.error_class in PRECEDENCE
    assert cls.summary.endswith(".") and len(cls.summary) < 140 and cls.row[0] in "CJ"
    assert cls.__doc__ and (
        not cls.example or all(k in (cls.__doc__ + str(Check.__doc__)) for k in cls.example)
    )


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.type)
def test_its_version_is_stable_and_follows_its_parameters(cls: type[Check]) -> None:
    assert make(cls).version == make(cls).version
    assert make(cls).version == make(cls, name="renamed").version
    assert make(cls).version != make(cls, level="span").version


def test_no_two_scorers_share_a_version() -> None:
    versions = [make(cls).version for cls in ALL]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.type)
@pytest.mark.parametrize("level", ["trace", "span"])
def test_it_survives_odd_subjects_and_leaves_them_unchanged(cls: type[Check], level: str) -> None:
    scorer = make(cls, level=level)
    subjects = odd_subjects()
    if level == "span":
        subjects = [Subject(s.trace, span) for s in subjects for span in s.trace.spans]
    before = pickle.dumps([(s.trace, s.span) for s in subjects])
    outcomes = run_scorer(scorer, subjects)
    assert len(outcomes) == len(subjects)
    broken = [o for o in outcomes if isinstance(o, Failed)]
    assert not broken, broken
    for outcome in outcomes:
        if isinstance(outcome, Verdict):
            assert outcome.passed is None or cls.unit or outcome.value == float(outcome.passed)
            assert outcome.passed is not False or outcome.reason
            assert len(outcome.reason or "") <= 500
    assert pickle.dumps([(s.trace, s.span) for s in subjects]) == before


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.type)
def test_a_batch_says_what_one_at_a_time_says(cls: type[Check]) -> None:
    together = run_scorer(make(cls), odd_subjects())
    alone = [run_scorer(make(cls), [s])[0] for s in odd_subjects()]
    assert [msgspec.to_builtins(o) for o in together] == [msgspec.to_builtins(o) for o in alone]


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.type)
def test_nothing_to_judge_is_not_a_low_score(cls: type[Check]) -> None:
    outcome = make(cls).score([Subject(Trace("b" * 32, [], Context(), Totals(), 0, 0, False))])[0]
    assert isinstance(outcome, NotScored)


def test_at_least_twelve_checks_run_without_configuration_over_all_kinds() -> None:
    checks = default_checks()
    assert len(checks) >= 12
    assert {"C1", "C2", "C3", "C4", "C5", "C6"} <= {type(c).row for c in checks}


def test_every_scorer_has_one_line_in_the_documentation() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    for cls in ALL:
        default = "yes" if cls.default else "no"
        row = f"| `{cls.type}` | {cls.row} | {cls.summary} | {cls.error_class or '–'} | {default} |"
        assert lines.count(row) == 1, row


def test_the_defaults_find_nothing_wrong_with_a_plain_good_trace() -> None:
    good = subject(
        "When does my order leave?",
        "Your order leaves our warehouse in Hamburg tomorrow before noon [1].",
        documents=["Orders leave the warehouse in Hamburg the next day before noon."],
        llm={"finish_reason": "stop"},
    )
    for scorer, _, outcome in run_checks(default_checks(Finders(find)), [good]):
        assert not isinstance(outcome, Failed), scorer.name
        assert not isinstance(outcome, Verdict) or outcome.passed is not False, (scorer.name, outcome)
