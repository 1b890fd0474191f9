"""Shapes of clients that were run most recently: xAI's own SDK."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.dialects.make import START, span
from watchkeeper.model.span import LLM, Span


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _call(more: dict[str, Any], **fields: Any) -> Span:
    told = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "xai", "gen_ai.request.model": "grok-4"}
    return span({**told, **more}, **fields)


def test_the_pieces_of_an_answer_are_read_where_the_whole_has_names_beside_them() -> None:
    began = datetime.fromtimestamp(START / 1e9 + 0.25, UTC).isoformat()
    made = _call(
        {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "Oslo.", "gen_ai.completion.start_time": began}
    )  # fmt: skip
    assert made.output_text == "Oslo."
    assert _llm(made).ttft_ms == pytest.approx(250)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("REASON_STOP", "stop"), ("REASON_MAX_LEN", "length"), ("REASON_MAX_CONTEXT", "length"),
     ("REASON_TOOL_CALLS", "tool_calls"), ("FINISH_REASON_SAFETY", "content_filter"), ("FinishReason.STOP", "stop"),
     ("finished", "stop"), ("REASON_INVALID", None)],
)  # fmt: skip
def test_a_finish_reason_is_read_from_the_name_it_has_in_an_enumeration(
    raw: str, expected: str | None
) -> None:
    assert _llm(_call({"gen_ai.response.finish_reasons": [raw]})).finish_reason == expected


def test_cached_text_and_a_cost_in_ticks_are_read() -> None:
    llm = _llm(_call({"gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.total_tokens": 48,
                      "gen_ai.usage.reasoning_tokens": 3, "gen_ai.usage.cached_prompt_text_tokens": 16,
                      "gen_ai.usage.cost_in_usd_ticks": 25_000_000}))  # fmt: skip
    usage = llm.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (40, 8, 16)
    assert (usage.reasoning_output_tokens, llm.cost_client) == (3, 0.0025)


def test_a_step_of_openais_agents_is_what_its_bare_type_says() -> None:
    def step(**told: Any) -> Span:
        return span(told, name="step", kind="internal")

    agent = step(type="agent", agent_name="Tour guide", handoffs=[], tools=["weather"])
    assert (agent.kind, agent.context.agent_name) == ("agent", "Tour guide")
    tool = step(type="function", name="weather", input='{"city": "Oslo"}', output="rain")
    assert tool.kind == "tool" and tool.tool is not None
    assert (tool.tool.name, tool.tool.arguments, tool.tool.result) == ("weather", {"city": "Oslo"}, "rain")
    guard = step(type="guardrail", name="polite", triggered=True)
    assert guard.kind == "guardrail" and guard.guardrail is not None
    assert (guard.guardrail.name, guard.guardrail.triggered) == ("polite", True)
    assert step(type="handoff", from_agent="Tour guide", to_agent="Cook").kind == "workflow"
    call = step(type="generation", model="gpt-4o-mini", input='[{"role": "user", "content": "Oslo?"}]',
                usage='{"input_tokens": 5, "output_tokens": 2}', output='[{"role": "assistant", "content": "Rain."}]')  # fmt: skip
    assert (call.kind, _llm(call).usage.input_tokens, call.output_text) == ("llm", 5, "Rain.")


@pytest.mark.parametrize("told", [{"type": "agent", "name": "n1"}, {"type": "function", "name": "f"},
                                  {"type": "guardrail"}, {"type": ["agent"], "agent_name": "x"}])  # fmt: skip
def test_a_bare_type_alone_says_nothing(told: dict[str, Any]) -> None:
    assert span(told, name="step", kind="internal").kind == "other"
