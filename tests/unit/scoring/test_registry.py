"""Configuration errors say which key is wrong and what is allowed."""

from typing import Any

import pytest

from watchkeeper.scoring.checks.limits import Cost, Latency
from watchkeeper.scoring.checks.regex import Regex
from watchkeeper.scoring.checks.terms import Terms
from watchkeeper.scoring.judges.rubric import RubricJudge
from watchkeeper.scoring.protocol import BatchScorer, Judge
from watchkeeper.scoring.registry import SpecError, build

GOOD: list[tuple[dict[str, Any], type[Any]]] = [
    ({"name": "a", "type": "policy", "deny": ["diagnose"]}, Terms),
    ({"name": "a", "type": "policy", "pattern": "(?i)guarantee"}, Regex),
    ({"name": "a", "type": "performance", "p95": "3000ms"}, Latency),
    ({"name": "a", "type": "performance", "max": "2s", "of": "first_token"}, Latency),
    ({"name": "a", "type": "budget", "threshold": "0.05 USD"}, Cost),
    (
        {
            "name": "a",
            "type": "llm_judge",
            "model": "openai:gpt-4o-mini",
            "scale": "0-10",
            "prompt": "How well?",
        },
        RubricJudge,
    ),
    (
        {
            "name": "a",
            "type": "llm_judge",
            "model": "anthropic:claude-x",
            "rubric": "faithfulness",
            "floor": 0.8,
        },
        RubricJudge,
    ),
]


@pytest.mark.parametrize(("spec", "cls"), GOOD)
def test_it_builds(spec: dict[str, Any], cls: type[Any]) -> None:
    scorer = build(spec)
    assert isinstance(scorer, cls) and scorer.name == "a"
    assert isinstance(scorer, Judge if cls is RubricJudge else BatchScorer)
    assert not (isinstance(scorer, Judge) and isinstance(scorer, BatchScorer))


def test_values_are_read_with_their_units() -> None:
    assert build(GOOD[2][0]).max_ms == 3000  # type: ignore[attr-defined]
    assert build(GOOD[3][0]).max_ms == 2000  # type: ignore[attr-defined]
    assert build(GOOD[4][0]).max_usd == 0.05  # type: ignore[attr-defined]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "llm_juge"}, "type", "did you mean llm_judge"),
    ({"type": "check", "check": "tool_eror"}, "check", "did you mean tool_error"),
    ({"type": "check", "check": "length", "maximum": 3}, "maximum", "did you mean max"),
    ({"type": "length", "max": "3"}, "max", "int is expected"),
    ({"type": "length", "max": True}, "max", "not allowed"),
    ({"type": "length"}, "min", "give min, max or both"),
    ({"type": "regex", "pattern": "(?=a)"}, "pattern", "not valid RE2"),
    ({"type": "regex", "pattern": r"(a)\1"}, "pattern", "not valid RE2"),
    ({"type": "json_schema", "schema": {"type": "objekt"}}, "schema", "objekt"),
    ({"type": "performance", "p95": "fast"}, "p95", "not a duration"),
    ({"type": "performance", "p95": "1s", "p50": "1s"}, "p50", "one limit"),
    ({"type": "budget", "threshold": "five"}, "threshold", "not an amount"),
    ({"type": "policy"}, "deny", "give deny, require or both"),
    ({"type": "custom"}, "function", "module:function"),
    (
        {"type": "custom", "function": "no_such_module_x:f"},
        "function",
        "No module named 'no_such_module_x'; put its folder into PYTHONPATH",
    ),
    ({"type": "custom", "function": "json:dumpz"}, "function", "no function 'dumpz'"),
    ({"type": "llm_judge", "prompt": "?"}, "model", "provider:model"),
    ({"type": "llm_judge", "model": "gpt-4o", "prompt": "?"}, "model", "pinned as provider:model"),
    ({"type": "llm_judge", "model": "a:b"}, "prompt", "rubric"),
    ({"type": "llm_judge", "model": "a:b", "rubric": "faithfullness"}, "rubric", "did you mean faithfulness"),
    ({"type": "llm_judge", "model": "a:b", "prompt": "?", "scale": "10-0"}, "scale", "0-10"),
    ({"type": "llm_judge", "model": "a:b", "prompt": "?", "reads": ["inputs"]}, "reads", "any of input"),
    (
        {"type": "llm_judge", "model": "a:b", "prompt": "?", "self_judging": "maybe"},
        "self_judging",
        "refuse, allow",
    ),
    (
        {
            "type": "llm_judge",
            "model": "a:b",
            "rubric": "faithfulness",
            "examples": [{"input": "?", "output": "!", "score": 10.0, "reasoning": "good"}],
        },
        "examples",
        "outside the scale of 0 to 1",
    ),
    ({"type": "llm_judge", "model": "a:b", "rubric": "tone", "floor": 60}, "floor", "scale of 0 to 10"),
    ({"type": "latency", "level": "session"}, "level", "span, trace"),
]


@pytest.mark.parametrize(("spec", "key", "said"), BAD)
def test_it_says_which_key_is_wrong(spec: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        build({"name": "a", **spec})
    assert caught.value.key == key
