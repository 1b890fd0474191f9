"""Shapes of clients beside the recorded ones, written from the table of what each sends."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import event, log, raw, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, RawEvent, Span


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _answer(made: Span) -> tuple[int, str | None, str | None, str | None]:
    llm = _llm(made)
    return len(llm.input_messages), made.input_text, llm.output_text, llm.finish_reason


def test_it_reads_google_genai_events_with_gemini_contents() -> None:
    made = span(
        {"gen_ai.operation.name": "generate_content", "gen_ai.system": "gemini", "gen_ai.request.model": "gemini-2.5-flash",
         "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 3},
        name="generate_content gemini-2.5-flash",
    )  # fmt: skip
    logs = [
        log("gen_ai.system.message", {"content": "Be brief."}, at=1),
        log("gen_ai.user.message", {"content": {"parts": [{"text": "Hi?"}], "role": "user"}}, at=2),
        log(
            "gen_ai.choice",
            {
                "index": 0,
                "finish_reason": "STOP",
                "content": {"parts": [{"text": "Hello."}], "role": "model"},
            },
            at=3,
        ),
    ]
    for order in (logs, logs[::-1]):
        trace = dialects.assemble([made], order)
        assert _answer(trace.spans[0]) == (1, "Hi?", "Hello.", "stop")
        assert _llm(trace.spans[0]).system == "Be brief." and _llm(trace.spans[0]).provider == "google"


def test_it_reads_google_genai_function_calls_as_tool_spans() -> None:
    made = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather", "code.function.name": "weather",
         "code.function.parameters.city.type": "str", "code.function.parameters.city.value": "Oslo",
         "code.function.return.value": "rain"},
        name="execute_tool weather",
    )  # fmt: skip
    assert made.tool is not None and made.tool.arguments == {"city": "Oslo"} and made.tool.result == "rain"


def test_it_reads_bedrock_blocks_in_log_bodies() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": {"q": "x"}}}
    blocks = [{"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": "x"}}}]
    logs = [
        log("gen_ai.user.message", {"content": [{"text": "Find x"}]}, at=1),
        log("gen_ai.assistant.message", {"content": blocks, "tool_calls": [call]}, at=2),
        log("gen_ai.tool.message", {"id": "t1", "content": [{"json": {"hits": 3}}]}, at=3),
        log(
            "gen_ai.choice",
            {
                "index": 0,
                "finish_reason": "end_turn",
                "message": {"role": "assistant", "content": [{"text": "3 hits"}]},
            },
            at=4,
        ),
    ]
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.system": "aws.bedrock", "gen_ai.request.model": "amazon.nova-micro-v1:0",
                  "gen_ai.response.finish_reasons": ["end_turn"]}  # fmt: skip
    made = dialects.assemble([span(attributes)], logs).spans[0]
    assert _answer(made) == (3, "Find x", "3 hits", "stop")
    given = _llm(made).input_messages
    assert [m.role for m in given] == ["user", "assistant", "tool"]
    assert len([p for p in given[1].parts if p.type == "tool_call"]) == 1
    assert given[2].parts[0].result == {"hits": 3} and given[2].parts[0].id == "t1"


def test_it_counts_a_call_once_that_anthropics_own_span_reports_too() -> None:
    shared = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.response.id": "msg_0123",
              "gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 5}  # fmt: skip
    content = {
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "Yo"}]}]
        ),
    }
    outer = span({**shared, **content, "gen_ai.provider.name": "anthropic"}, span_id="01" * 8)
    own = span(
        {**shared, "gen_ai.system": "anthropic", "gen_ai.response.model": "claude-sonnet-4-5-20250929"},
        span_id="02" * 8, parent="01" * 8, scope="com.anthropic.sdk.python", start=1,
    )  # fmt: skip
    for order in ([outer, own], [own, outer]):
        trace = dialects.assemble(order, [])
        assert [s.span_id for s in trace.llm_calls] == ["01" * 8]
        assert _llm(trace.spans[1]).duplicate_of == "01" * 8
        assert trace.totals.input_tokens == 40
        assert _llm(trace.spans[0]).response_model == "claude-sonnet-4-5-20250929"


def test_it_adds_cached_tokens_that_an_anthropic_count_leaves_out() -> None:
    made = span(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic", "gen_ai.usage.input_tokens": 30,
         "gen_ai.usage.output_tokens": 9, "gen_ai.usage.cache_read.input_tokens": 1024}
    )  # fmt: skip
    usage = _llm(made).usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.input_tokens_as_sent) == (1054, 1024, 30)


def test_it_reads_anthropic_content_blocks_as_messages() -> None:
    given = [
        {"role": "user", "content": "Find x"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "x"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "nothing"},
                {"type": "text", "text": "and y?"},
            ],
        },
    ]
    made = span({"openinference.span.kind": "LLM", "input.value": json.dumps({"model": "claude-3", "system": "Be kind.", "messages": given}),
                 "output.value": json.dumps({"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "No."}],
                                             "stop_reason": "refusal", "usage": {"input_tokens": 10, "output_tokens": 2,
                                             "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0}})})  # fmt: skip
    llm = _llm(made)
    assert [m.role for m in llm.input_messages] == ["user", "assistant", "tool", "user"]
    assert (llm.system, llm.finish_reason, llm.output_text, llm.request_model) == (
        "Be kind.",
        "refusal",
        "No.",
        "claude-3",
    )
    assert (llm.usage.input_tokens, llm.usage.input_tokens_as_sent) == (110, 10)


def test_it_reads_adk_spans() -> None:
    request = {"model": "gemini-2.5-flash", "config": {"system_instruction": "Be brief."},
               "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}  # fmt: skip
    response = {"content": {"role": "model", "parts": [{"function_call": {"name": "find", "args": {"q": 1}, "id": "f1"}}]},
                "finish_reason": "STOP", "usage_metadata": {"prompt_token_count": 8, "candidates_token_count": 4, "thoughts_token_count": 2}}  # fmt: skip
    made = span(
        {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash", "gcp.vertex.agent.session_id": "s-1",
         "gcp.vertex.agent.llm_request": json.dumps(request), "gcp.vertex.agent.llm_response": json.dumps(response)},
        name="call_llm", scope="gcp.vertex.agent", kind="internal",
    )  # fmt: skip
    llm = _llm(made)
    assert (made.dialect, made.context.session_id, llm.system, llm.provider) == (
        "adk",
        "s-1",
        "Be brief.",
        None,
    )
    assert llm.tool_calls[0].arguments == {"q": 1} and llm.finish_reason == "tool_calls"
    assert (llm.usage.input_tokens, llm.usage.output_tokens, llm.usage.reasoning_output_tokens) == (8, 6, 2)
    tool = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find", "error.type": "TOOL_ERROR",
         "gcp.vertex.agent.tool_call_args": '{"q": 1}', "gcp.vertex.agent.tool_response": '{"error": "503 from upstream"}'},
        name="execute_tool find", scope="gcp.vertex.agent", status="ok",
    )  # fmt: skip
    assert (
        tool.tool is not None and tool.tool.error == "503 from upstream" and tool.tool.arguments == {"q": 1}
    )
    assert tool.error is not None and tool.error.class_ == "tool_error"


def test_it_counts_adk_calls_once_when_call_llm_wraps_generate_content() -> None:
    usage = {
        "gen_ai.usage.input_tokens": 8,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.request.model": "gemini-2.5-flash",
    }
    outer = span({"gen_ai.system": "gcp.vertex.agent", **usage}, name="call_llm", scope="gcp.vertex.agent")
    inner = span(
        {"gen_ai.operation.name": "generate_content", "gen_ai.system": "gemini", **usage},
        span_id="02" * 8,
        parent="01" * 8,
        start=1,
    )
    trace = dialects.assemble([inner, outer], [])
    assert len(trace.llm_calls) == 1 and trace.totals.input_tokens == 8


def test_it_reads_agent_framework_spans() -> None:
    made = span(
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.response.finish_reasons": '["tool_calls"]',
         "gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
         "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": '{"a": 1}'}]}])}
    )  # fmt: skip
    agent = span({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "desk", "gen_ai.usage.input_tokens": 500,
                  "gen_ai.provider.name": "microsoft.agent_framework"}, span_id="02" * 8)  # fmt: skip
    assert _llm(made).finish_reason == "tool_calls" and _llm(made).tool_calls[0].arguments == {"a": 1}
    assert agent.kind == "agent" and agent.llm is None and agent.context.agent_name == "desk"


def test_it_reads_smolagents_spans() -> None:
    made = span(
        {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini", "llm.token_count.prompt": 9, "llm.token_count.completion": 2,
         "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.contents.0.message_content.type": "text",
         "llm.input_messages.0.message.contents.0.message_content.text": "Hi",
         "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "Yo"},
        scope="openinference.instrumentation.smolagents",
    )  # fmt: skip
    tool = span(
        {"openinference.span.kind": "TOOL", "tool.name": "find", "tool.parameters": '{"q": {"type": "string"}}',
         "input.value": '{"args": [], "sanitize_inputs_outputs": false, "kwargs": {"q": "x"}}', "output.value": "3"},
        scope="openinference.instrumentation.smolagents",
    )  # fmt: skip
    assert (_llm(made).request_model, _llm(made).response_model) == ("gpt-4o-mini", None)
    assert _answer(made)[:3] == (1, "Hi", "Yo")
    assert tool.tool is not None and tool.tool.arguments == {"q": "x"} and tool.tool.error is None


def test_it_reads_langchain_through_openinference() -> None:
    made = span(
        {"openinference.span.kind": "TOOL", "tool.name": "find", "input.value": "{'q': 'x'}",
         "output.value": json.dumps({"content": "carrier down", "status": "error", "type": "tool", "tool_call_id": "t1"}),
         "metadata": json.dumps({"thread_id": "th-1", "user_id": "u-1", "langgraph_step": 2})},
    )  # fmt: skip
    assert made.tool is not None and (made.tool.arguments, made.tool.error) == ({"q": "x"}, "carrier down")
    assert (made.context.session_id, made.context.user_id) == ("th-1", "u-1")


def test_it_reads_old_openlit_lines_and_its_bare_failures() -> None:
    made = span(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "telemetry.sdk.name": "openlit"},
        events=[event("gen_ai.content.prompt", 1, gen_ai__prompt="system: Be brief.\nuser: Hi\nthere"),
                event("gen_ai.content.completion", 2, gen_ai__completion="Yo")],
    )  # fmt: skip
    assert _llm(made).system == "Be brief." and _answer(made)[:3] == (1, "Hi\nthere", "Yo")
    failed = span(
        {}, scope="openlit.instrumentation.openai", status="error",
        events=[event("exception", 5, exception__type="openai.RateLimitError", exception__message="Error code: 429")],
    )  # fmt: skip
    assert failed.kind == "llm" and failed.error is not None and failed.error.class_ == "rate_limit"


def test_it_reads_old_pydantic_ai_events_in_an_attribute() -> None:
    told = [
        {"event.name": "gen_ai.system.message", "content": "Be brief.", "role": "system"},
        {"event.name": "gen_ai.user.message", "content": "Hi", "role": "user"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Yo"}},
    ]
    made = span(
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "events": json.dumps(told)},
        scope="pydantic-ai",
    )
    tool = span(
        {"gen_ai.tool.name": "find", "tool_arguments": '{"q": 1}', "tool_response": "ok"},
        name="running tool",
        scope="pydantic-ai",
    )
    agent = span(
        {"agent_name": "desk", "all_messages_events": json.dumps(told), "final_result": "Yo"},
        name="agent run",
        scope="pydantic-ai",
    )
    assert _answer(made)[:3] == (1, "Hi", "Yo") and _llm(made).system == "Be brief."
    assert tool.tool is not None and (tool.tool.name, tool.tool.arguments, tool.tool.result) == (
        "find",
        {"q": 1},
        "ok",
    )
    assert (agent.kind, agent.context.agent_name, agent.input_text, agent.output_text) == (
        "agent",
        "desk",
        "Hi",
        "Yo",
    )


def test_it_joins_the_second_span_of_logfires_streaming() -> None:
    request = json.dumps(
        {"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o-mini", "stream": True}
    )
    shared: dict[str, Any] = {"request_data": request, "gen_ai.request.model": "gpt-4o-mini"}
    call = span({**shared, "logfire.span_type": "span"}, scope="logfire.openai", kind="internal")
    told = span(
        {**shared, "logfire.span_type": "log", "response_data": json.dumps({"combined_chunk_content": "Yo", "chunk_count": 2})},
        span_id="02" * 8, scope="logfire.openai", start=900, end=900, kind="internal",
    )  # fmt: skip
    for order in ([call, told], [told, call]):
        trace = dialects.assemble(order, [])
        assert [s.span_id for s in trace.llm_calls] == ["01" * 8]
        assert trace.output_text == "Yo" and _llm(trace.spans[0]).output_text == "Yo"
        assert dialects.assemble(trace.spans, []) == trace


def test_it_reads_inference_events_of_newer_strands_on_the_span() -> None:
    made = span(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "strands-agents", "gen_ai.server.time_to_first_token": 250},
        scope="strands.telemetry.tracer",
        events=[event("gen_ai.client.inference.operation.details",
                      gen_ai__input__messages=json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]),
                      gen_ai__output__messages=json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Yo"}], "finish_reason": "end_turn"}]))],
    )  # fmt: skip
    assert (
        _answer(made) == (1, "Hi", "Yo", "stop") and _llm(made).ttft_ms == 250 and _llm(made).provider is None
    )


def test_it_reads_traceloop_legacy_anthropic() -> None:
    made = span(
        {"llm.request.type": "completion", "gen_ai.system": "Anthropic", "gen_ai.request.model": "claude-3-5-sonnet-20241022",
         "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hi", "gen_ai.completion.0.role": "assistant",
         "gen_ai.completion.0.content": "Yo", "gen_ai.completion.0.finish_reason": "max_tokens",
         "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 2, "traceloop.association.properties.chat_id": "c-1"},
        name="anthropic.chat",
    )  # fmt: skip
    assert (made.dialect, made.kind, _llm(made).provider) == ("gen_ai", "llm", "anthropic")
    assert _answer(made) == (1, "Hi", "Yo", "length") and made.context.session_id == "c-1"


def test_it_reads_our_own_sdk() -> None:
    root = span(
        {"watchkeeper.span.kind": "workflow", "watchkeeper.scenario": "support", "watchkeeper.variant": "b", "session.id": "s-1",
         "watchkeeper.prompt.version": "7", "gen_ai.prompt.name": "desk", "watchkeeper.input": "Hi?", "watchkeeper.output": "Hello.",
         "user.id": "u-1", "feature_flag.key": "dark"},
        name="answer", kind="internal", resource={"service.name": "shop", "service.version": "2.1", "cloud.region": "eu-west-1"},
    )  # fmt: skip
    child = span({"gen_ai.operation.name": "chat"}, span_id="02" * 8, parent="01" * 8)
    trace = dialects.assemble([child, root], [])
    context = trace.context
    assert (context.scenario, context.variant, context.prompt_name, context.prompt_version) == (
        "support",
        "b",
        "desk",
        "7",
    )
    assert (context.service, context.release, context.region) == ("shop", "2.1", "eu-west-1")
    assert (trace.input_text, trace.output_text) == ("Hi?", "Hello.")
    assert trace.spans[1].context.session_id == "s-1" and trace.spans[1].context.scenario == "support"
    assert context.metadata["feature_flag.key"] == "dark"


def test_it_reads_what_our_sdk_measured_and_what_a_guard_decided() -> None:
    call = span(
        {"watchkeeper.span.kind": "llm", "gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 11,
         "gen_ai.response.time_to_first_chunk": 0.2, "watchkeeper.time_per_output_token": 0.015, "watchkeeper.queue_ms": 40.0,
         "watchkeeper.flag.rerank": "true"},
    )  # fmt: skip
    assert (call.queue_ms, _llm(call).ttft_ms, _llm(call).tpot_ms) == (40.0, 200.0, 15.0)
    assert call.context.metadata["feature_flag.rerank"] == "true"
    asked = {
        "watchkeeper.span.kind": "guardrail",
        "watchkeeper.guard.name": "default",
        "watchkeeper.input": "Hello",
    }
    said = {"watchkeeper.guard.verdict": "block", "watchkeeper.guard.reasons": ["injection"]}
    blocked = span({**asked, **said}).guardrail
    assert blocked is not None and (blocked.name, blocked.result, blocked.triggered) == (
        "default",
        "block",
        True,
    )
    assert blocked.reasons == ["injection"]
    # The text that was checked is not the guard's verdict about it.
    passed = span({**asked, "watchkeeper.output": "blocked", "watchkeeper.guard.verdict": "pass",
                   "watchkeeper.guard.skipped": ["no answer in time"]}).guardrail  # fmt: skip
    assert passed is not None and (passed.result, passed.triggered) == ("pass", False)
    assert passed.skipped == ["no answer in time"]


def test_it_reads_times_of_a_serving_engine() -> None:
    made = span({"gen_ai.operation.name": "chat", "gen_ai.latency.time_in_queue": 0.25,
                 "gen_ai.latency.time_to_first_token": 0.5})  # fmt: skip
    assert (made.queue_ms, _llm(made).ttft_ms) == (250.0, 500.0)


@pytest.mark.parametrize(
    "spelling", ["feature_flag.result.variant", "feature_flag.variant", "feature_flag.result.value"]
)
def test_it_reads_the_evaluation_of_a_feature_flag(spelling: str) -> None:
    said = {"feature_flag.key": "rerank", spelling: "on"}
    on_span = span({"gen_ai.operation.name": "chat", **said})
    in_event = span({"gen_ai.operation.name": "chat"}, events=[RawEvent("feature_flag.evaluation", 5, said)])
    for made in (on_span, in_event):
        assert made.context.metadata["feature_flag.rerank"] == "on"


def test_it_keeps_a_span_of_an_unknown_client_whole() -> None:
    made = span({"acme.llm.thing": "x", "acme.n": 5}, name="mystery", kind="internal")
    assert (made.dialect, made.kind, made.llm) == ("plain", "other", None)
    assert made.raw == raw({"acme.llm.thing": "x", "acme.n": 5}, name="mystery", kind="internal")


def test_it_unwraps_what_langchain_wraps_around_tools() -> None:
    message = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "ToolMessage"],
               "kwargs": {"content": '{"status": "shipped"}', "tool_call_id": "t1", "status": "success", "type": "tool"}}  # fmt: skip
    made = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find",
         "gen_ai.tool.call.arguments": json.dumps({"input_str": "{'q': 'x'}", "tags": [], "metadata": {}}),
         "gen_ai.tool.call.result": json.dumps({"output": message, "kwargs": {}})}
    )  # fmt: skip
    assert made.tool is not None
    assert (made.tool.arguments, made.tool.result, made.tool.call_id, made.tool.error) == (
        {"q": "x"},
        {"status": "shipped"},
        "t1",
        None,
    )


def test_a_dump_of_an_object_is_no_question() -> None:
    root = span({"input.value": '{"state": {"a": 1}}', "output.value": "StopEvent(result=AgentOutput())", "openinference.span.kind": "CHAIN"},
                span_id="09" * 8, name="run")  # fmt: skip
    call = span(
        {"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]),
         "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Yo"}]}])},
        parent="09" * 8, start=1,
    )  # fmt: skip
    trace = dialects.assemble([root, call], [])
    assert (trace.input_text, trace.output_text) == ("Hi", "Yo")
    assert dialects.assemble([root], []).input_text == '{"state": {"a": 1}}'
