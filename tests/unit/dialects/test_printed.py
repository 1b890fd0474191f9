"""Objects of Python that a client turned into text."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import span
from watchkeeper.dialects import printed
from watchkeeper.model.span import LLM, Span


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


@pytest.mark.parametrize(
    ("text", "read"),
    [("Call(x=1, _y=['a'], z=None)", {"x": 1, "y": ["a"], "z": None, "type": "call"}),
     ("Usage(role=<Role.AI: 'ai'>, at=datetime.datetime(2026, 1, 2), p=-0.5)", {"role": "ai", "at": None, "p": -0.5}),
     ("[TextContent(text='<Role.AI: 1>')]", [{"text": "<Role.AI: 1>", "type": "text"}]),
     ("Odd(told=<x.Y object at 0x7f>, key=SecretStr('***'), cls=Role.AI)", {"told": None, "key": "***", "cls": None}),
     ("Is Point(x=1) near?", None), ("Point(x=1", None), ("Point(x=1+2)", None), ("Point(x=" + "(" * 9000 + ")", None), ("", None),
     ("M(a={[1]: b'x'}, n=123456789012345678901)", {"a": {"[1]": "b'x'"}, "n": "123456789012345678901"}),
     ("M(a=-'x')", None)],
    ids=["fields", "enums and dates", "a list", "nameless", "prose", "cut", "sum", "deep", "empty", "no JSON", "no number"],
)  # fmt: skip
def test_it_reads_constructor_calls_and_leaves_other_texts(text: str, read: Any) -> None:
    assert printed.objects(text) == read


def test_a_quote_that_is_never_closed_costs_no_time() -> None:
    assert printed.objects("Point(x='" + "\\'" * 100_000 + ")") is None


def test_the_words_of_a_printed_answer_are_the_answer() -> None:
    told = ("ModelResponse(id='c1', choices=[Choices(finish_reason='stop', index=0, message=Message(content='Hi \\'Ada\\'',"
            " role='assistant', tool_calls=None))], usage=Usage(total_tokens=9))")  # fmt: skip
    made = span({"gen_ai.operation.name": "chat", "gen_ai.completion": told})
    assert (_llm(made).output_text, _llm(made).usage.input_tokens) == ("Hi 'Ada'", None)
    asked = "[SystemMessage(content='Be terse.', additional_kwargs={}), HumanMessage(content='Hi?', id=None)]"
    made = span({"gen_ai.operation.name": "chat", "gen_ai.prompt": asked})
    assert (_llm(made).system, made.input_text) == ("Be terse.", "Hi?")
    assert span({"gen_ai.operation.name": "chat", "gen_ai.prompt": "Point(x=1)"}).input_text == "Point(x=1)"


def test_tools_that_only_the_printed_messages_tell_are_read() -> None:
    call = "ToolCall(tool_name='find', arguments={'q': 'x'}, id='c1', extra=None)"
    said = [f"ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[{call}], _name=None, _meta={{}})",
            "ChatMessage(_role=<ChatRole.TOOL: 'tool'>, _content=[ToolCallResult(result='none', "
            f"origin={call}, error=False)], _name=None, _meta={{}})"]  # fmt: skip
    made = span({"openinference.span.kind": "LLM", "input.value": json.dumps({"messages": said, "tools": None}),
                 "llm.input_messages.0.message.role": "assistant", "llm.input_messages.1.message.role": "tool"})  # fmt: skip
    asked, answered = (m.parts[0] for m in _llm(made).input_messages)
    assert (asked.type, asked.id, asked.arguments) == ("tool_call", "c1", {"q": "x"})
    assert (answered.id, answered.name, answered.result) == ("c1", "find", "none")
