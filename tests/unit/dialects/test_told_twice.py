"""One call or tool that two callbacks tell at the same time, each in a tree of its own."""

import json
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


def _logfire(question: str, answer: str = "", **fields: Any) -> Span:
    marks: dict[str, Any] = {
        "logfire.msg": "m",
        "logfire.span_type": fields.pop("type", "span"),
        "request_data": '{"model":"gpt-4o-mini"}',
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.input.messages": json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": question}]}]
        ),
        **fields.pop("more", {}),
    }
    if answer:
        told = [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]
        marks |= {"gen_ai.output.messages": json.dumps(told), "gen_ai.usage.input_tokens": 31}
    return span(marks, parent="aa" * 8, scope="logfire.openai", **fields)


def test_what_a_stream_answered_is_of_its_own_question_where_the_request_is_left_out() -> None:
    # Logfire 5 writes the model alone into `request_data`, which all calls of one parent then share.
    answered = _logfire("One?", "Paris.", span_id="01" * 8, more={"gen_ai.response.id": "chatcmpl-1"})
    failed = _logfire("Two?", span_id="02" * 8, status="error", start=1000, end=1010)
    first = _logfire("Two?", span_id="03" * 8, start=1100, end=1101)
    second = _logfire("Three?", span_id="04" * 8, start=1102, end=1103)
    of_second = _logfire("Three?", "Lyon.", span_id="05" * 8, type="log", start=1500, end=1500)
    of_first = _logfire("Two?", "Paris.", span_id="06" * 8, type="log", start=1600, end=1600)
    spans = [answered, failed, first, second, of_second, of_first]
    for order in (spans, spans[::-1]):
        told = {s.span_id: s.llm for s in dialects.assemble(order, []).spans if s.llm is not None}
        assert [told[s.span_id].duplicate_of for s in spans] == [None] * 4 + [second.span_id, first.span_id]
        assert [told[s.span_id].output_text for s in spans[:4]] == ["Paris.", None, "Paris.", "Lyon."]
        assert told[answered.span_id].stream is None


def test_of_streams_with_one_question_each_answer_is_of_the_one_that_began_when_it_did() -> None:
    first = _logfire("Two?", span_id="03" * 8, start=0, end=1)
    second = _logfire("Two?", span_id="04" * 8, start=300, end=301)
    of_second = _logfire(
        "Two?", "Lyon.", span_id="05" * 8, type="log", start=500, end=500, more={"duration": 0.2}
    )
    of_first = _logfire(
        "Two?", "Paris.", span_id="06" * 8, type="log", start=600, end=600, more={"duration": 0.6}
    )
    spans = [first, second, of_second, of_first]
    for order in (spans, spans[::-1]):
        told = {s.span_id: s.llm for s in dialects.assemble(order, []).spans if s.llm is not None}
        assert [told[s.span_id].output_text for s in (first, second)] == ["Paris.", "Lyon."]
