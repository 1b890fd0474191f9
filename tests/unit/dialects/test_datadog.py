"""Datadog's tracer over OTLP: one packed object per span, in either encoding, beside names of its own."""

import base64
import json
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.unit.dialects.make import START, raw, span
from watchkeeper import dialects, wire
from watchkeeper.model.span import LLM, Span

_TAGS = {"integration": "openai", "user_id": "u-1"}
_CALL = {"name": "get_weather", "arguments": {"city": "Oslo"}, "tool_id": "call_1", "type": "function"}
_RESULT = {"name": "", "result": '{"degrees":4}', "tool_id": "call_1", "type": "tool_result"}


def _told(kind: str, given: Any, result: Any, **meta: Any) -> dict[str, Any]:
    described = {"span": {"kind": kind}, "input": given, "output": result, "metadata": {}, **meta}
    return {"meta": described, "tags": _TAGS, "name": "step", "session_id": "s-1", "metrics": {}}


def _made(told: dict[str, Any], **tags: Any) -> Span:
    return span({"_llmobs": json.dumps(told), **tags}, name="createChatCompletion")


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _body(packed: bytes, kind: str) -> bytes:
    if kind == "traces":
        request = ExportTraceServiceRequest()
        one = request.resource_spans.add().scope_spans.add().spans.add()
        one.trace_id, one.span_id, one.name = bytes(range(16)), bytes(range(1, 9)), "createChatCompletion"
        one.start_time_unix_nano, one.end_time_unix_nano = START, START + 10**6
        one.attributes.add(key="_llmobs").value.bytes_value = packed
        return request.SerializeToString()
    one = {
        "traceId": "0a" * 16, "spanId": "0b" * 8, "name": "x", "startTimeUnixNano": str(START),
        "attributes": [{"key": "_llmobs", "value": {"bytesValue": base64.b64encode(packed).decode()}}],
    }  # fmt: skip
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}).encode()


@pytest.mark.parametrize(
    ("encoding", "content_type"), [("traces", "application/x-protobuf"), ("json", "application/json")]
)
def test_what_was_packed_is_the_text_it_stands_for_and_other_bytes_stay(
    encoding: str, content_type: str
) -> None:
    told = _told("llm", {"messages": [{"role": "user", "content": "Hi " * 20_000}]}, {})
    found = wire.decode("traces", _body(msgspec.msgpack.encode(told), encoding), content_type).spans[0]
    assert json.loads(found.attributes["_llmobs"]) == told
    assert _llm(dialects.normalise(found)).input_messages[0].text == "Hi " * 20_000
    for other in (
        b"\x81",
        b"\x82\x01\x02",
        b"\x81\xa1a\xc4\x01",
        b"\xff\x00",
        b"\x81\xa1a" + b"\x91" * 99_999,
    ):
        kept = wire.decode("traces", _body(other, encoding), content_type).spans[0].attributes["_llmobs"]
        assert kept[:20] == base64.b64encode(other).decode()[:20]


def test_a_call_says_what_was_asked_and_served_and_all_that_was_said() -> None:
    given = [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [_CALL]},
        {"role": "assistant", "content": "", "tool_calls": [{**_CALL, "tool_id": "call_2"}]},
        {"role": "user", "content": "", "tool_results": [_RESULT]},
        {"role": "tool", "content": "", "tool_results": [{**_RESULT, "tool_id": "call_2"}]},
    ]
    thought = {"role": "reasoning", "content": json.dumps({"id": "rs", "summary": [{"text": "Think."}]})}
    told = _told(
        "llm",
        {"messages": given},
        {"messages": [thought, {"role": "assistant", "content": "4 degrees."}]},
        model_name="gpt-4o-mini-2024-07-18",
        model_provider="unknown",
        metadata={"temperature": 0.2, "stream": True, "finish_reason": "stop,stop"},
        tool_definitions=[{"name": "get_weather", "schema": {"type": "object"}}],
    )
    told["metrics"] = {"input_tokens": 41, "output_tokens": 17, "cache_read_input_tokens": 9,
                       "reasoning_output_tokens": 5, "time_to_first_token": 0.25}  # fmt: skip
    made = _made(told, **{"openai.request.model": "gpt-4o-mini", "gen_ai.provider.name": "unknown"})
    llm = _llm(made)
    assert (made.kind, made.dialect, llm.provider) == ("llm", "datadog", "openai")
    assert (llm.request_model, llm.response_model) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert [m.role for m in llm.input_messages] == ["user", "assistant", "tool", "tool"]
    assert [p.id for p in llm.input_messages[1].parts] == ["call_1", "call_2"]
    assert llm.input_messages[2].parts[0].result == {"degrees": 4} and llm.system == "Be terse."
    assert (llm.output_text, llm.finish_reason, llm.stream, llm.ttft_ms) == ("4 degrees.", "stop", True, 250)
    assert (llm.usage.input_tokens, llm.usage.cached_input_tokens, llm.usage.reasoning_output_tokens) == (
        41,
        9,
        5,
    )
    assert len(llm.tool_definitions) == 1 and llm.params["temperature"] == 0.2
    assert (made.context.session_id, made.context.user_id) == ("s-1", "u-1")


def test_steps_vectors_and_spans_without_observability_are_read() -> None:
    asked = {"args": {"city": "Oslo"}, "id": "call_1", "name": "get_weather", "type": "tool_call"}
    tool = _made(_told("tool", {"value": json.dumps(asked)}, {"value": '{"degrees": 4}'})).tool
    assert tool is not None and (tool.call_id, tool.arguments, tool.result) == (
        "call_1",
        {"city": "Oslo"},
        {"degrees": 4},
    )
    found = _made(_told("retrieval", {"value": "q"}, {"documents": [{"text": "t", "id": "d", "score": 0.5}]}))
    assert found.retrieval is not None and found.retrieval.query == "q"
    assert [(d.id, d.score, d.content) for d in found.retrieval.documents] == [("d", 0.5, "t")]
    vectors = _made(
        _told("embedding", {"documents": [{"text": "a"}, {"text": "b"}]}, {"value": "[2 vectors]"})
    )
    assert [m.text for m in _llm(vectors).input_messages] == ["a", "b"] and vectors.output_text is None
    agent = _made(_told("agent", {"value": "What?"}, {"value": "That."}))
    assert (agent.kind, agent.input_text, agent.output_text) == ("agent", "What?", "That.")
    assert agent.context.agent_name == "step"
    plain = {"_sampling_priority_v1": 1, "gen_ai.operation.name": "llm", "component": "openai"}
    plain |= {"openai.request.model": "gpt-4o-mini", "openai.response.model": "gpt-4o-mini-2024-07-18"}
    llm = _llm(span({**plain, "gen_ai.request.model": "gpt-4o-mini-2024-07-18"}))
    assert (llm.request_model, llm.response_model) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    for junk in ("", "[]", '{"meta": 3}', '{"meta": {"span": 1, "input": 2, "output": [], "metadata": "x"}}'):
        assert dialects.normalise(raw({"_llmobs": junk})).raw is not None
