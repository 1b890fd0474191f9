"""Shapes of clients that were run later: what they flatten in part, nest elsewhere or tell of a failure."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import START, event, span
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


def test_a_response_made_of_chunks_has_no_id_of_its_own_and_no_end() -> None:
    def told(call_id: str, origin: str) -> str:
        item = {
            "type": "function_call",
            "call_id": call_id,
            "name": "find",
            "arguments": "{}",
            "id": "__fake_id__",
        }
        text = {"type": "message", "role": "assistant", "status": "completed", "id": "__fake_id__",
                "content": [{"type": "output_text", "text": "Let me look."}]}  # fmt: skip
        items = [{**i, "provider_data": {"response_id": origin}} for i in (text, item)]
        return json.dumps([{"id": "__fake_id__", "object": "response", "model": "gpt-4o-mini", "status": None,
                            "output": items}])  # fmt: skip

    spans = [
        span(
            {**LLM_KIND, "llm.model_name": "gpt-4o-mini", "output.value": told(f"t{i}", origin)},
            span_id=f"0{i}" * 8,
        )
        for i, origin in ((1, "chatcmpl-1"), (2, "chatcmpl-2"))
    ]
    calls = dialects.assemble(spans, []).llm_calls
    assert [s.llm.response_id for s in calls if s.llm] == ["chatcmpl-1", "chatcmpl-2"]
    first = _llm(calls[0])
    assert [p.type for p in first.output_messages[0].parts] == ["text", "tool_call"]
    assert (first.finish_reason, first.request_model, first.response_model) == (None, "gpt-4o-mini", None)


def test_a_call_passed_on_under_its_items_id_is_there_already() -> None:
    call = {"type": "tool_call", "name": "find", "arguments": {"q": "x"}}
    chat = {"gen_ai.operation.name": "chat"}
    answer = [{"role": "assistant", "parts": [{**call, "id": "call_1"}]}]
    given = [
        {"role": "user", "parts": [{"type": "text", "content": "Find x"}]},
        {"role": "assistant", "parts": [{**call, "id": "fc_1"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "none"}]},
    ]
    asked = span({**chat, "gen_ai.output.messages": json.dumps(answer)}, span_id="0a" * 8)
    told = span({**chat, "gen_ai.input.messages": json.dumps(given)}, span_id="0b" * 8, start=20)
    trace = dialects.assemble([told, asked], [])
    assert [m.role for m in _llm(trace.spans[1]).input_messages] == ["user", "assistant", "tool"]


def test_arguments_and_result_beside_the_name_of_the_tool_are_taken_out() -> None:
    tool = {"traceloop.span.kind": "tool", "traceloop.entity.name": "find"}
    asked = json.dumps({"tool_name": "find", "arguments": {"q": "x"}})
    made = span(
        {**tool, "traceloop.entity.input": asked, "traceloop.entity.output": '{"result": "{\\"n\\": 1}"}'}
    ).tool
    assert made is not None and (made.arguments, made.result, made.error) == ({"q": "x"}, {"n": 1}, None)
    failed = span({**tool, "traceloop.entity.input": asked,
                   "traceloop.entity.output": '{"result": "upstream 503", "is_error": true}'}).tool  # fmt: skip
    assert failed is not None and failed.error == "upstream 503"


def test_a_result_without_an_answer_is_no_text_and_zeros_are_no_counts() -> None:
    failed = span({**LLM_KIND, "llm.model_name": "gpt-4o-mini", "input.value": "Hi?",
                   "output.value": '{"generations": [[]], "llm_output": null}'}, status="error")  # fmt: skip
    assert failed.output_text is None
    zeros = {
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.output_tokens": 0,
        "gen_ai.usage.reasoning_tokens": 0,
    }
    assert _llm(span({"gen_ai.operation.name": "chat", **zeros})).usage == Usage()


def test_a_responses_answer_through_langchain_says_how_it_ended() -> None:
    message = {
        "lc": 1,
        "id": ["AIMessage"],
        "kwargs": {"content": "Hi.", "response_metadata": {"status": "completed"}},
    }
    told = json.dumps({"generations": [[{"text": "Hi.", "message": message}]]})
    made = span({**LLM_KIND, "llm.model_name": "gpt-4o-mini", "input.value": "Hi?", "output.value": told})
    assert _llm(made).finish_reason == "stop"


def test_calls_that_only_the_flattened_answer_has_join_the_answer() -> None:
    said = [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "Let me look."}],
            "finish_reason": "tool_calls",
        }
    ]
    made = span(
        {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(said), "llm.request.type": "completion",
         "gen_ai.completion.0.function_call.name": "find", "gen_ai.completion.0.function_call.arguments": '{"q": 1}',
         "gen_ai.completion.1.function_call.name": "find", "gen_ai.completion.1.function_call.arguments": '{"q": 2}'},
        scope="litellm",
    )  # fmt: skip
    assert [c.arguments for c in _llm(made).tool_calls] == [{"q": 1}, {"q": 2}]
    assert _llm(made).output_text == "Let me look." and len(_llm(made).output_messages) == 1


def test_sdks_that_name_kind_input_and_output_under_their_own_prefix_are_read() -> None:
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital?"}]
    metrics = json.dumps({"prompt_tokens": 9, "completion_tokens": 3})
    calls = [
        {"langwatch.span.type": "llm", "langwatch.input": json.dumps({"type": "chat_messages", "value": asked}),
         "langwatch.output": '{"type": "text", "value": "Paris."}', "langwatch.metrics": metrics,
         "langwatch.params": '{"temperature": 0.2}', "gen_ai.request.model": "gpt-4o-mini"},
        {"braintrust.span_attributes": '{"type": "llm"}', "braintrust.input_json": json.dumps(asked),
         "braintrust.output_json": '[{"finish_reason": "stop", "message": {"role": "assistant", "content": "Paris."}}]',
         "braintrust.metrics": metrics,
         "braintrust.metadata": '{"model": "gpt-4o-mini", "temperature": 0.2, "provider": "openai"}'},
        {"confident.span.type": "llm", "confident.span.input": json.dumps(asked), "confident.span.output": "Paris.",
         "confident.llm.model": "gpt-4o-mini", "confident.llm.input_token_count": 9,
         "confident.llm.output_token_count": 3},
    ]  # fmt: skip
    for attributes in calls:
        made = span(attributes)
        told = _llm(made)
        assert (made.kind, made.dialect, told.request_model) == ("llm", "typed", "gpt-4o-mini")
        assert (told.system, made.input_text, made.output_text) == ("Be brief.", "Capital?", "Paris.")
        assert (told.usage.input_tokens, told.usage.output_tokens) == (9, 3)
    assert _llm(span(calls[1])).provider == "openai" and _llm(span(calls[1])).params == {"temperature": 0.2}
    tool = span(
        {"lmnr.span.type": "TOOL", "lmnr.span.input": '{"q": "x"}', "lmnr.span.output": '"none"'}, name="find"
    )
    assert tool.tool is not None and (tool.tool.arguments, tool.tool.result) == ({"q": "x"}, "none")
    search = span({"langwatch.span.type": "rag", "langwatch.input": '{"type": "json", "value": {"q": "Capital?"}}',
                   "langwatch.contexts": '[{"document_id": "d1", "content": "Paris."}]',
                   "metadata": '{"thread_id": "s-1"}'})  # fmt: skip
    assert search.retrieval is not None and search.retrieval.query == "Capital?"
    assert [(d.id, d.content) for d in search.retrieval.documents] == [("d1", "Paris.")]
    assert search.context.session_id == "s-1"


def test_tools_of_java_frameworks_name_themselves() -> None:
    tool = {"gen_ai.operation.name": "framework", "gen_ai.system": "spring_ai", "spring.ai.kind": "tool_call",
            "spring.ai.tool.definition.name": "find", "spring.ai.tool.call.arguments": '{"q": "x"}'}  # fmt: skip
    made = span(tool, name="tool_call find", kind="internal")
    assert made.tool is not None and (made.tool.name, made.tool.arguments) == ("find", {"q": "x"})
    advisor = {
        "gen_ai.operation.name": "framework",
        "gen_ai.system": "spring_ai",
        "spring.ai.kind": "advisor",
    }
    assert span(advisor, name="memory_advisor").kind == "workflow"
    quarkus = span({}, name="langchain4j.tools.find", kind="internal").tool
    assert quarkus is not None and quarkus.name == "find"


def test_content_may_lie_in_attributes_named_like_its_events() -> None:
    chat = {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.prompt_tokens": 9}
    quarkus = span(
        {**chat, "gen_ai.content.prompt": "Capital?", "gen_ai.content.completion": "Paris."}, kind="internal"
    )
    assert (quarkus.kind, quarkus.input_text, quarkus.output_text) == ("llm", "Capital?", "Paris.")
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    sentry = _llm(span({**chat, "gen_ai.response.text": '["Let me look."]', "gen_ai.response.streaming": True,
                        "gen_ai.response.tool_calls": json.dumps([call])}))  # fmt: skip
    assert (sentry.output_text, sentry.tool_calls[0].id, sentry.stream) == ("Let me look.", "t1", True)


def test_a_query_may_lie_within_a_bundle() -> None:
    given = json.dumps({"query_bundle": {"query_str": "Capital?", "embedding": None}})
    made = span({"openinference.span.kind": "RETRIEVER", "input.value": given})
    assert made.retrieval is not None and made.retrieval.query == "Capital?"


def test_a_function_response_of_gemini_is_the_result_it_holds() -> None:
    told = json.dumps({"id": "t1", "name": "find", "response": {"status": "shipped"}})
    made = span({"openinference.span.kind": "TOOL", "tool.name": "find", "output.value": told}).tool
    assert made is not None and (made.call_id, made.result) == ("t1", {"status": "shipped"})


@pytest.mark.parametrize(
    ("given", "asked"),
    [('{"args": ["Refunds?"], "kwargs": {}}', "Refunds?"), ('{"args": [], "kwargs": {}}', None),
     ('{"args": [], "kwargs": {"q": "Refunds?"}}', "Refunds?")],
    ids=["one argument", "none", "one by name"],
)  # fmt: skip
def test_a_function_was_asked_its_only_argument(given: str, asked: str | None) -> None:
    told = {"langfuse.observation.input": given}
    assert span({**told, "langfuse.observation.type": "agent"}, name="helper").input_text == asked
    found = span({**told, "langfuse.observation.type": "retriever"}).retrieval
    assert found is not None and found.query == asked


@pytest.mark.parametrize("triggered", [True, False])
def test_a_guardrail_says_itself_whether_it_was_triggered(triggered: bool) -> None:
    told = {"openinference.span.kind": "GUARDRAIL", "tool.name": "pii", "guardrail.triggered": triggered}
    made = span(told, name="pii", status="ok", kind="internal").guardrail
    assert made is not None and (made.name, made.triggered) == ("pii", triggered)


@pytest.mark.parametrize(
    ("other", "calls"), [({}, 1), ({"langfuse.observation.output": '{"role": "assistant", "content": "Rain."}'}, 2)],
    ids=["the same answer", "another answer"],
)  # fmt: skip
def test_what_a_callback_tells_of_an_awaited_call_is_the_clients_call(
    other: dict[str, str], calls: int
) -> None:
    told = {
        "langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o-mini-2024-07-18",
        "langfuse.observation.input": '[{"role": "user", "content": "Sunny?"}]',
        "langfuse.observation.output": '{"role": "assistant", "content": "Yes."}',
        "langfuse.observation.usage_details": '{"input": 9, "output": 2}',
    }  # fmt: skip
    outer = span({**told, "langfuse.observation.metadata.ls_provider": "openai"}, parent="0e" * 8)
    inner = span({**told, **other}, span_id="02" * 8, parent="0f" * 8, start=5, end=900)
    for order in ([outer, inner], [inner, outer]):
        assert len(dialects.assemble(order, []).llm_calls) == calls


@pytest.mark.parametrize(
    ("scope", "call_id", "tools"), [("autogen", "c1", 1), ("app", "c1", 2), ("autogen", "c2", 2)],
    ids=["two libraries", "one library", "another call"],
)  # fmt: skip
def test_a_tool_that_two_libraries_tell_is_one_call(scope: str, call_id: str, tools: int) -> None:
    outer = span(
        {"openinference.span.kind": "TOOL", "tool.name": "find", "input.value": '{"id": 7}', "tool_call.id": "c1"},
        scope="app", name="helper.find",
    )  # fmt: skip
    own = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "find",
        "gen_ai.tool.call.id": call_id,
    }
    inner = span(own, span_id="02" * 8, parent="01" * 8, scope=scope, start=1, end=900)
    trace = dialects.assemble([inner, outer], [])
    assert len(trace.tools) == tools and len(trace.spans) == 2


def test_reasoning_under_openllmetrys_own_name_is_counted() -> None:
    told = {"llm.request.type": "chat", "gen_ai.system": "openai", "gen_ai.usage.input_tokens": 1054,
            "gen_ai.usage.output_tokens": 240, "llm.usage.reasoning_tokens": 192}  # fmt: skip
    assert _llm(span(told)).usage.reasoning_output_tokens == 192


def test_an_answer_of_openlit_that_is_json_is_its_text() -> None:
    told = {"telemetry.sdk.name": "openlit", "gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    answer = '{"city": "Oslo", "degrees": 4}'
    made = span(told, events=[event("gen_ai.content.completion", gen_ai__completion=answer)])
    assert _llm(made).output_text == answer


@pytest.mark.parametrize(
    "told",
    [{"traceloop.span.kind": "task", "gen_ai.operation.name": "embeddings",
      "traceloop.entity.input": '{"texts": ["one", "two"], "show_progress": false}'},
     {"logfire.msg_template": "Embedding Creation with {request_data[model]!r}", "gen_ai.request.model": "m",
      "request_data": '{"input": ["one", "two"], "model": "m", "encoding_format": "base64"}'}],
    ids=["OpenLLMetry's LlamaIndex", "Logfire 3"],
)  # fmt: skip
def test_embedded_texts_are_read_where_only_the_arguments_tell_them(told: dict[str, Any]) -> None:
    made = span(told)
    assert made.kind == "embedding" and [m.text for m in _llm(made).input_messages] == ["one", "two"]


def test_the_words_of_its_calls_failure_are_no_answer_of_a_step() -> None:
    step = {
        "openinference.span.kind": "AGENT",
        "input.value": "Sunny?",
        "output.value": "Rate limit reached.",
    }
    agent = span(step, name="helper.run", kind="internal", status="error", message="run status: error")
    failed = span({**LLM_KIND, "llm.model_name": "m"}, span_id="02" * 8, parent="01" * 8, status="error",
                  message="Rate limit reached.")  # fmt: skip
    trace = dialects.assemble([agent, failed], [])
    assert (trace.input_text, trace.output_text, trace.error_class) == ("Sunny?", None, "rate_limit")
    cut = span({**step, "output.value": "It is"}, name="helper.run", kind="internal", status="error")
    assert dialects.assemble([cut, failed], []).output_text == "It is"


def test_an_embedding_told_as_a_chat_and_instructions_among_the_parameters_are_read() -> None:
    told = {"llm.model_name": "text-embedding-3-small", "llm.token_count.prompt": 14}
    texts = {f"llm.input_messages.{i}.message.content": text for i, text in enumerate(("one", "two"))}
    roles = {f"llm.input_messages.{i}.message.role": "user" for i in range(2)}
    made = span({"openinference.span.kind": "EMBEDDING", **told, **texts, **roles})
    assert made.kind == "embedding" and _llm(made).request_model == "text-embedding-3-small"
    assert [m.text for m in _llm(made).input_messages] == ["one", "two"]
    asked = span({**LLM_KIND, "llm.model_name": "m", "input.value": "Hi", "output.value": "Hello",
                  "llm.invocation_parameters": '{"instructions": "Be terse."}'})  # fmt: skip
    assert _llm(asked).system == "Be terse."


def test_langwatch_says_provider_cost_labels_and_evaluations() -> None:
    said = {"name": "faithful", "score": 0.8, "passed": True, "label": None, "details": "all in the context"}
    made = span(
        {"langwatch.span.type": "llm", "gen_ai.request.model": "openai/gpt-4o-mini", "metadata": '{"labels": ["a"]}',
         "langwatch.metrics": '{"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.01}'},
        scope="langwatch", events=[event("langwatch.evaluation.custom", json_encoded_event=json.dumps(said))],
    )  # fmt: skip
    assert (_llm(made).provider, _llm(made).cost_client) == ("openai", 0.01)
    assert made.context.tags == ["a"]
    (found,) = made.evaluations
    assert (found.name, found.value, found.passed, found.explanation) == (
        "faithful",
        0.8,
        True,
        said["details"],
    )


def test_mastra_sums_up_calls_and_results_that_the_trace_holds() -> None:
    step = {"mastra.span.type": "model_step", "mastra.metadata.modelMetadata": '{"modelId": "gpt-4o-mini"}'}
    calls = [
        {"toolCallId": i, "toolName": "find", "args": {"city": c}}
        for i, c in (("t1", "Oslo"), ("t2", "Bergen"))
    ]
    asked = span({**step, "mastra.model_step.output": json.dumps({"text": "", "toolCalls": calls})}, end=100)
    tools = [
        span({"mastra.span.type": "tool_call", "gen_ai.tool.name": "find", "gen_ai.tool.call.id": call_id,
              "mastra.tool_call.output": result}, span_id=span_id, start=200)
        for call_id, span_id, result in (("t1", "02" * 8, '{"degrees": 4}'), ("t2", "03" * 8, '{"degrees": 7}'))
    ]  # fmt: skip
    told = [{"role": "user", "content": "Both?"}, {"role": "assistant", "content": "[tool: find][tool: find]"},
            {"role": "tool", "content": "[tool-result: find][tool-result: find]"}]  # fmt: skip
    answered = span({**step, "mastra.model_step.input": json.dumps(told), "mastra.model_step.output": '{"text": "4 and 7."}'},
                    span_id="04" * 8, start=300)  # fmt: skip
    for order in ([asked, *tools, answered], [answered, *tools[::-1], asked]):
        given = _llm(dialects.assemble(order, []).spans[-1]).input_messages
        assert [m.role for m in given] == ["user", "assistant", "tool", "tool"]
        assert [p.id for p in given[1].parts] == ["t1", "t2"]
        assert [(p.id, p.result) for m in given[2:] for p in m.parts] == [
            ("t1", {"degrees": 4}),
            ("t2", {"degrees": 7}),
        ]


def test_a_silent_failed_call_was_asked_what_its_step_prints_and_failed_as_that_says() -> None:
    agent = span({"mastra.span.type": "agent_run", "mastra.agent_run.input": "Sunny?"}, name="invoke_agent helper",
                 status="error", message="The server had an error.")  # fmt: skip
    printed = json.dumps([{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Sunny?"}])
    step = span({"mastra.span.type": "model_step", "mastra.model_step.input": printed,
                 "mastra.model_step.output": '{"text": "", "toolCalls": []}'}, span_id="02" * 8, parent="01" * 8)  # fmt: skip
    call = span({"gen_ai.operation.name": "chat", "mastra.span.type": "model_inference", "gen_ai.request.model": "m",
                 "gen_ai.response.finish_reasons": '["error"]'}, span_id="03" * 8, parent="02" * 8, status="error")  # fmt: skip
    trace = dialects.assemble([agent, step, call], [])
    (failed,) = trace.llm_calls
    assert (_llm(failed).system, failed.input_text) == ("Be terse.", "Sunny?")
    assert failed.error is not None and failed.error.message == "The server had an error."
    assert (failed.error.class_, trace.error_class) == ("server_error", "server_error")


def test_an_answer_that_genkit_has_parsed_is_the_json_it_was() -> None:
    said = {
        "message": {"role": "model", "content": [{"data": {"city": "Oslo", "degrees": 4}}]},
        "finishReason": "stop",
    }
    model = {"genkit:type": "action", "genkit:metadata:subtype": "model", "genkit:name": "openai/gpt-4o-mini"}
    made = span({**model, "genkit:output": json.dumps(said)}, name="openai/gpt-4o-mini")
    assert _llm(made).output_text == '{"city":"Oslo","degrees":4}' and _llm(made).finish_reason == "stop"


def test_laminars_texts_are_a_message_each_and_its_tags_are_tags() -> None:
    told = {"lmnr.span.type": "LLM", "gen_ai.system": "openai", "gen_ai.request.model": "text-embedding-3-small",
            "gen_ai.input.messages": '[{"content": "one"}, {"content": "two"}]', "gen_ai.usage.input_tokens": 14,
            "lmnr.association.properties.tags": ["a"]}  # fmt: skip
    made = span(told, name="openai.embeddings")
    assert made.kind == "embedding" and made.context.tags == ["a"]
    assert [m.text for m in _llm(made).input_messages] == ["one", "two"]


def test_vertex_numbers_the_ends_of_its_answers_and_says_where_its_models_are() -> None:
    place = "projects/p/locations/us-central1/publishers/google/models/"
    for number, word, reason in (
        (1, "STOP", "stop"),
        (2, "MAX_TOKENS", "length"),
        (7, "PROHIBITED_CONTENT", "content_filter"),
    ):
        answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Paris."}]}, "finish_reason": number}],
                  "model_version": "gemini-2.0-flash-001"}  # fmt: skip
        made = span({**LLM_KIND, "llm.model_name": f"{place}gemini-2.0-flash", "llm.provider": "google",
                     "output.value": json.dumps(answer), "llm.finish_reason": word})  # fmt: skip
        assert (_llm(made).request_model, _llm(made).response_model) == (
            "gemini-2.0-flash",
            "gemini-2.0-flash-001",
        )
        assert (_llm(made).finish_reason, _llm(made).finish_reason_raw) == (reason, word)


def test_spans_for_cozeloop_say_their_type_what_went_in_and_out_and_when_the_answer_began() -> None:
    asked = {"messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}]}
    answer = {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}]}
    made = span({"cozeloop.span_type": "model", "cozeloop.input": json.dumps(asked), "cozeloop.output": json.dumps(answer),
                 "gen_ai.request.model": "m", "gen_ai.system": "openai", "gen_ai.usage.input_tokens": 3,
                 "cozeloop.stream": True, "cozeloop.time_to_first_token": START // 1000 + 120_000})  # fmt: skip
    llm = _llm(made)
    assert (llm.provider, llm.system, llm.output_text, llm.finish_reason) == (
        "openai",
        "Be terse.",
        "Hello",
        "stop",
    )
    assert (llm.stream, llm.ttft_ms, llm.usage.input_tokens, made.input_text) == (True, 120, 3, "Hi")
    tool = span({"cozeloop.span_type": "tool", "cozeloop.input": '{"city": "Oslo"}', "cozeloop.output": '{"d": 4}'},
                name="get_weather").tool  # fmt: skip
    assert tool is not None and (tool.name, tool.arguments, tool.result) == (
        "get_weather",
        {"city": "Oslo"},
        {"d": 4},
    )
    prompt = span(
        {"cozeloop.span_type": "prompt", "cozeloop.prompt_key": "desk", "cozeloop.prompt_version": "0.1"}
    )
    assert (prompt.kind, prompt.context.prompt_name, prompt.context.prompt_version) == (
        "workflow",
        "desk",
        "0.1",
    )


def test_a_gateways_request_and_the_call_beneath_it_are_one_call() -> None:
    asked = json.dumps(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.2}
    )
    answer = json.dumps(
        {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}]}
    )
    told = {"tfy.input": asked, "tfy.output": answer, "tfy.request.conversation_id": "s1"}
    root = span(
        {**told, "tfy.span_type": "ChatCompletion", "tfy.model.name": "openai/gpt-4o"},
        name="ChatCompletion: gpt-4o",
    )
    call = span({**told, "tfy.span_type": "Model", "tfy.model.name": "openai/gpt-4o", "tfy.model.streaming": True,
                 "tfy.model.metric.input_tokens": 10, "tfy.model.metric.output_tokens": 5, "tfy.model.metric.cost_in_usd": 0.001,
                 "tfy.model.metric.time_to_first_token_in_ms": 42}, span_id="02" * 8, parent="01" * 8)  # fmt: skip
    trace = dialects.assemble([root, call], [])
    assert [s.kind for s in trace.spans] == ["workflow", "llm"]
    assert (trace.input_text, trace.output_text, trace.context.session_id) == ("Hi", "Hello", "s1")
    llm = _llm(trace.llm_calls[0])
    assert (llm.usage.input_tokens, llm.usage.output_tokens, llm.cost_client, llm.ttft_ms) == (
        10,
        5,
        0.001,
        42,
    )
    assert (llm.stream, llm.finish_reason, llm.output_text) == (True, "stop", "Hello")


def test_trulens_says_how_a_guardrail_a_reranker_a_stream_and_a_prompt_are_called() -> None:
    o = "ai.observability"
    guard = span({f"{o}.span_type": "guardrail", f"{o}.guardrail.name": "no_pii", f"{o}.guardrail.passed": False,
                  f"{o}.call.return": "3"}, name="app.App.guard")  # fmt: skip
    assert guard.guardrail is not None
    assert (guard.guardrail.name, guard.guardrail.result, guard.guardrail.triggered) == (
        "no_pii",
        "fail",
        True,
    )
    told = {f"{o}.call.kwargs.query": "Refund?", f"{o}.call.kwargs.docs": '["a", "b"]', f"{o}.reranking.query_text": "Refund?",
            f"{o}.reranking.output_context_texts": ["b", "a"]}  # fmt: skip
    ranked = span({f"{o}.span_type": "reranking", **told}, name="app.App.rerank").retrieval
    assert ranked is not None and ranked.query == "Refund?"
    assert [d.content for d in ranked.documents] == ["b", "a"]
    name = "app.App.get_weather"
    tool = span({f"{o}.span_type": "tool", "gen_ai.tool.name": name, f"{o}.call.function": name, f"{o}.call.kwargs.city": "Oslo"},
                name=name).tool  # fmt: skip
    assert tool is not None and (tool.name, tool.arguments) == ("get_weather", {"city": "Oslo"})
    made = span({f"{o}.span_type": "generation", f"{o}.cost.model": "gpt-4o-mini", f"{o}.cost.num_prompt_tokens": 9,
                 f"{o}.cost.num_completion_tokens": 8, f"{o}.cost.num_reasoning_tokens": 5, f"{o}.conversation_id": "s1",
                 f"{o}.generation.is_streaming": True, f"{o}.generation.time_to_first_token_ms": 12.5,
                 f"{o}.prompt.slug": "support", f"{o}.prompt.version_id": "v3"})  # fmt: skip
    assert (_llm(made).stream, _llm(made).ttft_ms, _llm(made).usage.reasoning_output_tokens) == (
        True,
        12.5,
        5,
    )
    assert (made.context.session_id, made.context.prompt_name, made.context.prompt_version) == (
        "s1",
        "support",
        "v3",
    )


def test_items_that_all_tell_the_end_of_the_answer_are_one_and_arguments_may_be_packed() -> None:
    # Grafana's Agento11y: arguments it would have to write anew are the client's bytes in base64.
    def told(call: str, packed: str) -> dict[str, Any]:
        part = {"type": "tool_call", "id": call, "name": "find", "agento11y.arguments_b64": packed}
        return {"role": "assistant", "parts": [part], "finish_reason": "stop"}

    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    items = [told("c1", "eyJxIjogMX0="), told("c2", "no base64")]
    made = span({**chat, "gen_ai.output.messages": json.dumps(items)})
    assert [(c.id, c.arguments) for c in _llm(made).tool_calls] == [("c1", {"q": 1}), ("c2", None)]
    parts = [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "One"}]
    choices = [{"role": "assistant", "parts": parts, "finish_reason": "stop"}] * 2
    assert len(_llm(span({**chat, "gen_ai.output.messages": json.dumps(choices)})).output_messages) == 2


def test_texts_that_were_embedded_may_be_beside_their_number() -> None:
    made = span({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "m",
                 "gen_ai.embeddings.input_texts": ["one", "two"]})  # fmt: skip
    assert [m.text for m in _llm(made).input_messages] == ["one", "two"]
