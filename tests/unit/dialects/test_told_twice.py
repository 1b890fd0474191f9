"""One call or tool that two callbacks tell at the same time, each in a tree of its own."""

from typing import Any

import pytest

from tests.unit.dialects.make import span
from watchkeeper import dialects
from watchkeeper.model.span import Span


@pytest.mark.parametrize(
    ("start", "failed", "question", "calls"),
    [(200, False, "Sunny?", 1), (200, True, "Sunny?", 1), (950, False, "Sunny?", 2), (200, False, "Rainy?", 2),
     (200, True, "Rainy?", 2)],
    ids=["answered", "failed", "after it", "another question", "another failed"],
)  # fmt: skip
@pytest.mark.parametrize("parents", [("0e", "0e"), ("0e", "0f")], ids=["one tree", "two trees"])
def test_a_call_that_two_callbacks_tell_at_the_same_time_is_one(
    parents: tuple[str, str], start: int, failed: bool, question: str, calls: int
) -> None:
    def told(question: str, scope: str, parent: str, **times: Any) -> Span:
        asked = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": question}
        answer = {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "Yes.",
                  "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2}  # fmt: skip
        values = {
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "llm.request.type": "chat",
            **asked,
        }
        return span({**values, **({} if failed else answer)}, scope=scope, parent=parent * 8,
                    status="error" if failed else "unset", **times)  # fmt: skip

    first = told("Sunny?", "one", parents[0], start=100, end=1000)
    second = told(question, "two", parents[1], span_id="02" * 8, start=start, end=1100)
    for order in ([first, second], [second, first]):
        assert len(dialects.assemble(order, []).llm_calls) == calls


@pytest.mark.parametrize(
    ("ids", "start", "tools"),
    [(("c1", "c1"), 950, 1), (("c1", None), 200, 1), ((None, None), 200, 1), ((None, None), 950, 2),
     (("c1", "c2"), 200, 2)],
)  # fmt: skip
def test_a_tool_that_two_callbacks_tell_in_trees_of_their_own_is_one_call(
    ids: tuple[str | None, str | None], start: int, tools: int
) -> None:
    outer = span(
        {"openinference.span.kind": "TOOL", "tool.name": "find", "input.value": '{"id": 7}',
         **({"tool_call.id": ids[0]} if ids[0] else {})},
        scope="one", parent="0e" * 8, start=100, end=900,
    )  # fmt: skip
    inner = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find", "gen_ai.tool.call.arguments": '{"id": 7}',
         "gen_ai.tool.call.result": "none", **({"gen_ai.tool.call.id": ids[1]} if ids[1] else {})},
        scope="two", span_id="02" * 8, parent="0f" * 8, start=start, end=1200,
    )  # fmt: skip
    trace = dialects.assemble([inner, outer], [])
    assert len(trace.tools) == tools and len(trace.spans) == 2
    assert tools == 2 or (told := trace.tools[0].tool) is None or told.result == "none"


def test_a_tool_within_itself_that_says_only_its_name_is_a_step_of_it() -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find"}
    outer = span(
        {**tool, "gen_ai.tool.call.id": "c1", "gen_ai.tool.call.arguments": '{"q": 1}'}, span_id="0a" * 8
    )
    between = span({}, span_id="0b" * 8, parent="0a" * 8, name="call_tool", kind="internal")
    inner = span(tool, span_id="0c" * 8, parent="0b" * 8)
    assert [s.span_id for s in dialects.assemble([outer, between, inner], []).spans if s.tool] == ["0a" * 8]
    # Through an agent of its own it is asked again.
    agent = span({"gen_ai.operation.name": "invoke_agent"}, span_id="0b" * 8, parent="0a" * 8)
    assert len([s for s in dialects.assemble([outer, agent, inner], []).spans if s.tool]) == 2
