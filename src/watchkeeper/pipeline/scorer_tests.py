"""Scorers' own tests: made-up answers, and what must be said of them."""

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError

from watchkeeper.config.expected import Expected, MetricTest
from watchkeeper.config.models import Config, Metric
from watchkeeper.gating.subject import Answer, subjects_of
from watchkeeper.model.review import Case
from watchkeeper.model.score import Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.pipeline.plan import finders
from watchkeeper.scoring.drive import Batch, direct, run_scorer
from watchkeeper.scoring.protocol import BatchScorer
from watchkeeper.scoring.registry import build

_TESTS = TypeAdapter(tuple[MetricTest, ...])


class CannotTest(ValueError):
    """A test that cannot be run: whose, and what is wrong with it."""


@dataclass(frozen=True)
class Proof:
    """What came of one test; `message` says what was said instead where it did not pass."""

    scorer: str
    name: str
    passed: bool
    message: str = ""


def metrics_with_tests(config: Config) -> list[tuple[Metric, tuple[MetricTest, ...]]]:
    """The scorers of scorecards and guards that have tests, in YAML or, for a Python function, as `TESTS` of its module.
    Raises CannotTest."""
    own = [m for card in config.scorecards for m in card.metrics]
    own += [m for guard in config.guards for m in (*guard.input, *guard.output)]
    found = [(m, (*m.tests, *_in_python(m))) for m in own]
    return [(m, tests) for m, tests in found if tests]


def _in_python(metric: Metric) -> tuple[MetricTest, ...]:
    module, _, function = str(metric.spec().get("function", "")).partition(":")
    if metric.type != "custom" or not module:
        return ()
    given = getattr(importlib.import_module(module), "TESTS", {}).get(function, ())
    try:
        # As JSON, so that a list is as good as a tuple, as in YAML.
        return _TESTS.validate_json(msgspec.json.encode(given))
    except TypeError as error:
        raise CannotTest(f"{module}.TESTS[{function!r}]: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CannotTest(f"{module}.TESTS[{function!r}].{where}: {first['msg']}") from None


def prove(metric: Metric, tests: Sequence[MetricTest], isolate: Batch = direct) -> list[Proof]:
    """Run a scorer's tests as production would run the scorer. Raises CannotTest for a judge: it is compared with people."""
    scorer = build(metric.spec(), finders())
    if not isinstance(scorer, BatchScorer):
        raise CannotTest(
            f"{metric.name}: a judge has no tests of its own; watchkeeper calibrate compares it with people"
        )
    subjects = [subject_of(test, scorer.level, i) for i, test in enumerate(tests)]
    # One at a time: an answer that makes a function hang fails its own test only.
    outcomes = [run_scorer(scorer, [s], isolate)[0] for s in subjects]
    return [
        _proof(metric, test, outcome, i)
        for i, (test, outcome) in enumerate(zip(tests, outcomes, strict=True), 1)
    ]


def subject_of(test: MetricTest, level: str = "trace", number: int = 0) -> Subject:
    """A test's answer as production would have recorded it. A scorer of spans sees the model call."""
    documents = [{"content": d} if isinstance(d, str) else d for d in test.documents]
    case = Case(f"test-{number}", test.input, {"documents": documents, "system": test.system}, test.expected)
    answer = Answer(
        case.id, test.output, tool_calls=list(test.tool_calls) or None, finish_reason=test.finish_reason,
        latency_ms=test.latency_ms, cost=test.cost,
    )  # fmt: skip
    whole, *spans = subjects_of(case, answer)
    call = next(s for s in spans if s.span is not None and s.span.llm is not None)
    if call.span is not None and call.span.llm is not None and test.tools:
        call.span.llm.tool_definitions = [dict(t) for t in test.tools]
    return call if level == "span" else whole


def _proof(metric: Metric, test: MetricTest, outcome: Outcome, number: int) -> Proof:
    wrong = _wrong(test.expect, outcome)
    return Proof(metric.name, test.name or f"test {number}", wrong is None, wrong or "")


def _wrong(expect: str | Expected, outcome: Outcome) -> str | None:
    """What does not fit, None when all does."""
    if isinstance(outcome, Failed):
        return f"it failed: {outcome.reason}"
    if isinstance(outcome, NotScored):
        return (
            None
            if expect == "not_scored"
            else f"expected {_told(expect)}; it was not scored: {outcome.reason}"
        )
    if expect == "not_scored":
        return f"expected not_scored, got {_told(outcome)}"
    wanted = Expected(passed=expect == "pass") if isinstance(expect, str) else expect  # pyright: ignore[reportCallIssue]
    return None if _fits(wanted, outcome) else f"expected {_told(expect)}, got {_told(outcome)}"


def _fits(wanted: Expected, said: Verdict) -> bool:
    value = said.value
    numbers = (
        wanted.value is None
        or (value is not None and math.isclose(value, wanted.value, rel_tol=1e-9, abs_tol=1e-9)),
        wanted.at_least is None or (value is not None and value >= wanted.at_least),
        wanted.at_most is None or (value is not None and value <= wanted.at_most),
    )
    return (
        all(numbers)
        and (wanted.passed is None or said.passed is wanted.passed)
        and (wanted.label is None or said.label == wanted.label)
        and (wanted.reason is None or wanted.reason in (said.reason or ""))
    )


def _told(what: str | Expected | Verdict) -> str:
    """As people read it: `passed false, value 0, reason …`."""
    if isinstance(what, str):
        return what
    plain: dict[str, Any] = (
        msgspec.to_builtins(what) if isinstance(what, Verdict) else what.model_dump(exclude_none=True)
    )
    return ", ".join(f"{k} {v}" for k, v in plain.items() if v is not None) or "nothing"
