"""Shapes of clients that were run later: what they flatten in part, nest elsewhere or tell of a failure."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import event, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, Span, Usage

LLM_KIND = {"openinference.span.kind": "LLM"}


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def test_calls_that_only_the_response_has_are_part_of_the_answer() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
    said = {"role": "assistant", "content": "Let me look.", "tool_calls": [call]}
    prefix = "llm.output_messages.0.message."
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    made = span(
        {**LLM_KIND, f"{prefix}role": "assistant", f"{prefix}content": "Let me look.",
         "llm.invocation_parameters": json.dumps({"model": "m", "kwargs": {"tools": [tool], "seed": 3}}),
         "output.value": json.dumps({"choices": [{"finish_reason": "tool_calls", "message": said}]})}
    )  # fmt: skip
    assert [p.type for p in _llm(made).output_messages[0].parts] == ["text", "tool_call"]
    assert _llm(made).tool_calls[0].id == "t1" and _llm(made).finish_reason == "tool_calls"
    assert _llm(made).tool_definitions == [tool] and _llm(made).params == {"seed": 3}


def test_calls_without_a_type_are_calls_and_the_end_beside_them_counts() -> None:
    told = {"finish_reason": "function_calls", "content": [{"id": "t1", "name": "find", "arguments": "{}"}]}
    made = span({**LLM_KIND, "llm.model_name": "m", "output.value": json.dumps(told)})
    assert (_llm(made).finish_reason, _llm(made).tool_calls[0].name) == ("tool_calls", "find")


def test_results_beside_an_empty_message_are_messages_of_tools() -> None:
    result = json.dumps({"name": "find", "content": "none", "call_id": "t1", "is_error": False})
    made = span(
        {
            **LLM_KIND,
            "llm.input_messages.0.message.role": "function",
            "llm.input_messages.0.function.0": result,
        }
    )
    (message,) = _llm(made).input_messages
    assert (message.role, message.parts[0].id, message.parts[0].result) == ("tool", "t1", "none")


def test_an_event_of_a_call_told_as_a_span_is_no_call() -> None:
    piece = {"value": {"output": [{"role": "assistant", "content": "The "}], "finish_reason": None}}
    call = span({**LLM_KIND, "llm.model_name": "gpt-4o-mini", "llm.token_count.prompt": 9}, span_id="0a" * 8)
    token = span({**LLM_KIND, "input.value": json.dumps(piece)}, span_id="0b" * 8, parent="0a" * 8)
    assert token.kind == "other"
    assert [s.span_id for s in dialects.assemble([token, call], []).llm_calls] == ["0a" * 8]
    assert span({**LLM_KIND, "input.value": "Hi?"}).kind == "llm"


def test_usage_may_lie_in_the_metadata() -> None:
    told: dict[str, Any] = {"prompt_tokens": 1054, "completion_tokens": 60, "cached_prompt_tokens": 1024}
    made = span({**LLM_KIND, "llm.model_name": "m", "output.value": "Hi.", "llm.token_count.prompt": 1054,
                 **{f"metadata.usage.{key}": value for key, value in told.items()}})  # fmt: skip
    assert _llm(made).usage == Usage(1054, 60, 1024)


@pytest.mark.parametrize("key", ["output.value", "gen_ai.completion"])
def test_what_went_wrong_is_no_answer_and_tells_the_class_of_the_failure(key: str) -> None:
    text = "ChatModelError: Chat Model error\n  RateLimitError: Error code: 429 - slow down"
    raised = event("exception", exception__type="ChatModelError", exception__message="Chat Model error")
    asked = {**LLM_KIND, "gen_ai.operation.name": "chat", "llm.model_name": "gpt-4o-mini-2024-07-18"}
    made = span({**asked, "input.value": "Hi?", key: text}, status="error", events=[raised])
    assert made.output_text is None and _llm(made).output_messages == []
    assert made.error is not None and (made.error.class_, made.error.message) == (
        "rate_limit",
        "Chat Model error",
    )
    assert (_llm(made).request_model, _llm(made).response_model) == ("gpt-4o-mini", None)
    partial = span({**asked, "input.value": "Hi?", key: "Half an ans"}, status="error", events=[raised])
    assert partial.output_text == "Half an ans"
