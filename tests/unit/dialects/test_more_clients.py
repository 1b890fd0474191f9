"""Shapes seen when further clients were run: what they leave out, wrap, repeat or put elsewhere."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import event, log, raw, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, Span, Usage

CHAT: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
LLM_KIND = {"openinference.span.kind": "LLM"}
ASKED = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Where is A-1?"}]}])


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _answered(call_id: str | None, arguments: dict[str, Any], name: str = "find") -> dict[str, Any]:
    part = {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
    return {**CHAT, "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [part]}])}


def test_a_block_that_announces_a_call_is_no_second_call() -> None:
    prefix = "llm.output_messages.0.message."
    made = span(
        {**LLM_KIND, f"{prefix}role": "assistant", f"{prefix}contents.0.message_content.type": "tool_use",
         f"{prefix}tool_calls.0.tool_call.id": "t1", f"{prefix}tool_calls.0.tool_call.function.name": "find",
         f"{prefix}tool_calls.0.tool_call.function.arguments": '{"q": "x"}'}
    )  # fmt: skip
    assert [(c.id, c.name, c.arguments) for c in _llm(made).tool_calls] == [("t1", "find", {"q": "x"})]


def test_calls_get_the_ids_and_tools_that_only_the_response_and_the_request_have() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    prefix = "llm.output_messages.0.message."
    made = span(
        {**LLM_KIND, f"{prefix}role": "assistant",
         f"{prefix}tool_calls.0.tool_call.function.name": "find",
         f"{prefix}tool_calls.0.tool_call.function.arguments": '{"q": "x"}',
         "input.value": json.dumps({"model": "m", "messages": [{"role": "user", "content": "?"}], "tools": [tool]}),
         "output.value": json.dumps({"choices": [{"message": {"role": "assistant", "tool_calls": [call]}}]})}
    )  # fmt: skip
    assert _llm(made).tool_calls[0].id == "t1" and _llm(made).tool_definitions == [tool]


@pytest.mark.parametrize("output", ["<groq.Stream object at 0x7f7b1c6325d0>", "<generator object f at 0x7f>"])
def test_a_printed_object_is_no_answer(output: str) -> None:
    made = span({**LLM_KIND, "llm.model_name": "m", "input.value": "Hi?", "output.value": output})
    assert _llm(made).output_text is None and made.output_text is None
    told = span({**LLM_KIND, "llm.model_name": "m", "input.value": "Hi?", "output.value": "<b>an object</b>"})
    assert told.output_text == "<b>an object</b>"


@pytest.mark.parametrize(
    ("attributes", "usage"),
    [
        # Langfuse's LangChain callback takes both parts out.
        ({"langfuse.observation.type": "generation", "langfuse.observation.usage_details": json.dumps(
            {"input": 30, "output": 20, "total": 1114, "input_cache_read": 1024, "output_reasoning": 40})},
         Usage(1054, 60, 1024, None, 40, 30)),
        # Gemini's candidates without thoughts, which only the total tells of.
        ({**CHAT, "gen_ai.provider.name": "gcp.gemini", "gen_ai.usage.input_tokens": 1054,
          "gen_ai.usage.output_tokens": 20, "gen_ai.usage.total_tokens": 1114,
          "gen_ai.usage.cache_read.input_tokens": 1024}, Usage(1054, 60, 1024)),
        # A total that is the plain sum changes nothing, whatever the parts.
        ({**CHAT, "gen_ai.usage.input_tokens": 1054, "gen_ai.usage.output_tokens": 60,
          "gen_ai.usage.total_tokens": 1114, "gen_ai.usage.reasoning_tokens": 40}, Usage(1054, 60, None, None, 40)),
        # Nor does one that nothing explains.
        ({**CHAT, "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
          "gen_ai.usage.total_tokens": 99}, Usage(10, 5)),
        # A client that was told no numbers and sends zeros.
        ({**CHAT, "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}, Usage()),
        # AI SDK 4: what it has no name for is the provider's.
        ({"ai.operationId": "ai.generateText.doGenerate", "ai.usage.promptTokens": 1054,
          "ai.usage.completionTokens": 60, "ai.response.providerMetadata": json.dumps(
              {"openai": {"cachedPromptTokens": 1024, "reasoningTokens": 40}})}, Usage(1054, 60, 1024, None, 40)),
        ({"ai.operationId": "ai.generateText.doGenerate", "ai.usage.promptTokens": 30,
          "ai.usage.completionTokens": 60, "ai.response.providerMetadata": json.dumps(
              {"anthropic": {"cacheReadInputTokens": 1024, "cacheCreationInputTokens": 0}})},
         Usage(1054, 60, 1024, 0, None, 30)),
    ],
)  # fmt: skip
def test_tokens_count_the_cached_and_the_reasoning_part(attributes: dict[str, Any], usage: Usage) -> None:
    assert _llm(span(attributes)).usage == usage


def test_a_model_that_makes_vectors_is_an_embedding_whatever_the_client_calls_it() -> None:
    titan = {**CHAT, "gen_ai.operation.name": "text_completion",
             "gen_ai.request.model": "amazon.titan-embed-text-v2:0"}  # fmt: skip
    assert span(titan).kind == "embedding"
    invoked = {
        **LLM_KIND,
        "llm.model_name": "amazon.titan-embed-text-v2:0",
        "llm.invocation_parameters": '{"a": 1}',
    }
    assert span(invoked).kind == "embedding"


@pytest.mark.parametrize(
    ("name", "kind", "provider"),
    [
        ("openai.chat.completions", "llm", "openai"),
        ("anthropic.messages", "llm", "anthropic"),
        ("openai.embeddings", "embedding", "openai"),
    ],
)
def test_a_failed_call_may_have_nothing_but_its_name(name: str, kind: str, provider: str) -> None:
    failure = event("exception", exception__type="openai.RateLimitError", exception__message="429")
    made = span({}, name=name, scope="openlit.otel.tracing", status="error", events=[failure])
    assert (made.kind, _llm(made).provider) == (kind, provider)
    assert made.error is not None and made.error.class_ == "rate_limit"
    assert span({}, name="shop.messages.send").kind == "other"
    assert span({}, name="openai.chat.completions", kind="internal").kind == "other"


def test_a_word_for_calls_is_not_what_the_model_said() -> None:
    said = event("gen_ai.content.completion", gen_ai__completion="Function called with tools")
    made = span({**CHAT, "telemetry.sdk.name": "openlit", "gen_ai.request.max_tokens": -1}, events=[said])
    assert _llm(made).output_text is None and made.output_text is None and _llm(made).params == {}


def test_an_event_may_carry_its_message_as_json_text() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
    logs = [
        log("gen_ai.user.message", json.dumps({"role": "user", "content": "Find x"}), at=1),
        log("gen_ai.assistant.message", json.dumps({"role": "assistant", "tool_calls": [call]}), at=2),
        log(
            "gen_ai.tool.message", json.dumps({"role": "tool", "content": "none", "tool_call_id": "t1"}), at=3
        ),
        log("gen_ai.user.message", '{"order": 7}', at=4),
    ]
    given = _llm(dialects.assemble([span(CHAT)], logs[::-1]).spans[0]).input_messages
    assert [m.role for m in given] == ["user", "assistant", "tool", "user"]
    assert given[1].parts[0].arguments == {"q": "x"} and given[2].parts[0].id == "t1"
    assert given[3].text == '{"order": 7}'


def test_definitions_among_the_messages_are_tools() -> None:
    body = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    given = [{"role": "user", "content": "Find x"}, {"role": "tool", "content": body}]
    made = span({"langfuse.observation.type": "generation", "langfuse.observation.input": json.dumps(given)})
    assert [m.role for m in _llm(made).input_messages] == ["user"] and _llm(made).tool_definitions == [body]


def test_a_dumped_thought_is_reasoning_and_json_that_a_model_writes_is_text() -> None:
    thought = json.dumps({"signature": "s", "thinking": "Hm.", "type": "thinking"})
    parts = [{"type": "text", "content": thought}, {"type": "text", "content": '{"thinking": 1}'}]
    made = span({**CHAT, "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts}])})
    said = _llm(made).output_messages[0].parts
    assert [(p.type, p.text) for p in said] == [("reasoning", "Hm."), ("text", '{"thinking": 1}')]


def test_a_tool_was_called_with_what_the_model_gave() -> None:
    calls = [
        span(_answered("t1", {"q": "x"}), span_id="02" * 8, start=0, end=10),
        span(_answered(None, {"q": "y"}), span_id="03" * 8, start=20, end=30),
        span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "t1"},
             name="execute_tool find", span_id="04" * 8, start=11, end=12),
        span({"openinference.span.kind": "TOOL", "tool.name": "find", "input.value": "y",
              "output.value": json.dumps({"type": "tool", "data": {"content": "none", "tool_call_id": "t2"}})},
             span_id="05" * 8, start=31, end=32),
        span({"openinference.span.kind": "TOOL", "tool.name": "find", "input.value": "z"},
             span_id="06" * 8, start=33, end=34),
    ]  # fmt: skip
    tools = {s.span_id[:2]: s.tool for s in dialects.assemble(calls[::-1], []).spans if s.tool is not None}
    assert tools["04"].name == "find" and tools["04"].arguments == {"q": "x"}
    assert (tools["05"].arguments, tools["05"].result, tools["05"].call_id) == ({"q": "y"}, "none", "t2")
    assert tools["06"].arguments == "z"


def test_a_tool_that_says_it_failed_has_failed() -> None:
    made = span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find", "tool.status": "error"})
    assert made.error is not None and made.error.class_ == "tool_error"


def test_what_a_tool_raised_is_no_transport_error_of_the_trace() -> None:
    raised = event("exception", exception__type="ValueError", exception__message="upstream 503")
    root = span({"gen_ai.operation.name": "invoke_agent"}, span_id="0a" * 8, status="error", events=[raised])
    tool = span({"gen_ai.operation.name": "execute_tool"}, span_id="0b" * 8, parent="0a" * 8, status="error",
                events=[raised])  # fmt: skip
    assert dialects.assemble([root, tool], []).error_class is None
    call = span(CHAT, span_id="0c" * 8, parent="0a" * 8, status="error", events=[raised])
    assert dialects.assemble([root, tool, call], []).error_class == "server_error"


def test_a_failed_call_told_twice_is_one_call() -> None:
    failure = {"status": "error", "message": "Error code: 429"}
    told = {**CHAT, "gen_ai.input.messages": ASKED}
    outer = span(told, span_id="0a" * 8, parent="ff" * 8, scope="instrumentation", end=100, **failure)
    beside = span(CHAT, span_id="0b" * 8, parent="ff" * 8, scope="sdk", start=1, end=99, **failure)
    within = span(CHAT, span_id="0c" * 8, parent="0a" * 8, scope="sdk", start=1, end=99, **failure)
    again = span(CHAT, span_id="0d" * 8, parent="ff" * 8, scope="sdk", start=200, end=300, **failure)
    for twin in (beside, within):
        for order in ([outer, twin], [twin, outer]):
            calls = dialects.assemble(order, []).llm_calls
            assert [s.span_id for s in calls] == ["0a" * 8] and calls[0].input_text == "Where is A-1?"
    assert len(dialects.assemble([outer, again], []).llm_calls) == 2


def test_the_status_of_a_failure_may_lie_in_what_came_back() -> None:
    kwargs = {"content": "", "type": "ai", "response_metadata": {
        "status_code": 429, "body": {"error": {"message": "scripted"}}}}  # fmt: skip
    blob = {"generations": [[{"text": "", "message": {"lc": 1, "id": ["AIMessage"], "kwargs": kwargs}}]]}
    made = span({"langsmith.span.kind": "llm", "gen_ai.prompt": '{"messages": [[{"type": "human", "content": "?"}]]}',
                 "gen_ai.completion": json.dumps(blob)}, status="error")  # fmt: skip
    assert made.error is not None and (made.error.class_, made.error.message) == ("rate_limit", "scripted")
    assert made.output_text is None


def test_logfire_tools_of_the_second_version_have_arguments_and_a_result() -> None:
    made = span({"logfire.span_type": "span", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find",
                 "tool_arguments": '{"q": "x"}', "tool_response": "none"}, name="running tool")  # fmt: skip
    assert made.tool is not None and (made.tool.arguments, made.tool.result) == ({"q": "x"}, "none")


def test_mlflow_says_one_name_for_what_was_asked_and_served() -> None:
    native = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.llm.model": '"gpt-4o-mini"',
              "mlflow.spanInputs": json.dumps({"model": "gpt-4o-mini", "messages": []})}  # fmt: skip
    made = _llm(dialects.normalise(raw(native, scope="mlflow.langchain")))
    assert (made.request_model, made.response_model) == ("gpt-4o-mini", None)
    pinned = {**CHAT, "gen_ai.request.model": "gpt-4o-mini-2024-07-18",
              "gen_ai.response.model": "gpt-4o-mini-2024-07-18"}  # fmt: skip
    made = _llm(dialects.normalise(raw(pinned, scope="mlflow.openai")))
    assert (made.request_model, made.response_model) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")


def test_an_agents_task_is_what_was_asked() -> None:
    made = span(
        {"openinference.span.kind": "AGENT", "input.value": json.dumps({"task": "Where?", "steps": 3})}
    )
    assert made.input_text == "Where?"


def test_a_system_prompt_may_lie_in_the_request_only() -> None:
    request = {
        "model": "claude-sonnet-4",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi?"}],
    }
    made = span({**LLM_KIND, "llm.input_messages.0.message.role": "user", "input.value": json.dumps(request),
                 "llm.input_messages.0.message.content": "Hi?"})  # fmt: skip
    assert _llm(made).system == "Be brief." and len(_llm(made).input_messages) == 1


def test_a_search_of_a_vector_store_is_a_retrieval_and_a_write_is_not() -> None:
    found = {"db.query.result.id": "d1", "db.query.result.distance": 0.2, "db.query.result.document": "Paris.",
             "db.query.result.metadata": '{"source": "a"}'}  # fmt: skip
    hit = event("db.query.result")
    hit.attributes.update(found)
    scope = "opentelemetry.instrumentation.chromadb"
    made = span({"db.system": "chroma", "db.operation": "query", "db.chroma.query.n_results": 2},
                name="chroma.query", scope=scope, events=[hit])  # fmt: skip
    assert made.kind == "retrieval" and made.dialect == "vectordb" and made.retrieval is not None
    document = made.retrieval.documents[0]
    assert (document.id, document.score, document.content, made.retrieval.top_k) == ("d1", None, "Paris.", 2)
    assert document.metadata == {"source": "a", "distance": 0.2}
    added = span({"db.system": "chroma", "db.operation": "add"}, name="chroma.add", scope=scope)
    assert added.kind == "other" and added.retrieval is None
    lit = {"gen_ai.operation.name": "vectordb", "db.system.name": "qdrant", "db.operation.name": "QUERY",
           "db.query.text": "[0.1, 0.1]", "db.vector.query.top_k": 3, "telemetry.sdk.name": "openlit"}  # fmt: skip
    read = span(lit, name="QUERY docs")
    assert read.kind == "retrieval" and read.retrieval is not None
    assert (read.retrieval.query, read.retrieval.top_k) == (None, 3)
    assert span({"db.system": "postgresql", "db.operation.name": "SELECT"}, name="query shop").kind == "other"


def test_traceloops_tasks_of_llama_index_are_what_their_classes_do() -> None:
    node = json.dumps({"node": {"id_": "n1", "text": "Paris.", "metadata": {}}, "score": 0.9})
    task = {"traceloop.span.kind": "task", "traceloop.entity.name": "VectorIndexRetriever.task"}
    found = span({**task, "traceloop.entity.input": json.dumps({"query_bundle": {"query_str": "Capital?"}}),
                  "traceloop.entity.output": json.dumps([node])}, name="VectorIndexRetriever.task")  # fmt: skip
    assert found.kind == "retrieval" and found.retrieval is not None and found.retrieval.query == "Capital?"
    assert [(d.id, d.score, d.content) for d in found.retrieval.documents] == [("n1", 0.9, "Paris.")]
    output = {"tool_name": "find", "raw_input": {"args": [], "kwargs": {"q": "x"}}, "raw_output": "boom",
              "is_error": True}  # fmt: skip
    ran = span({"traceloop.span.kind": "task", "traceloop.entity.name": "FunctionTool.task",
                "traceloop.entity.output": json.dumps(output)}, name="FunctionTool.task").tool  # fmt: skip
    assert ran is not None and (ran.name, ran.arguments, ran.error) == ("find", {"q": "x"}, "boom")


def test_genkits_models_are_calls_and_what_wraps_them_is_not() -> None:
    asked = [
        {"role": "system", "content": [{"text": "Be brief."}]},
        {"role": "user", "content": [{"text": "Find x"}]},
    ]
    request = {"toolRequest": {"name": "find", "input": {"q": "x"}, "ref": "t1"}}
    answer = {"role": "model", "content": [request]}
    usage = {
        "inputTokens": 1054,
        "outputTokens": 20,
        "thoughtsTokens": 40,
        "totalTokens": 1114,
        "cachedContentTokens": 1024,
    }
    model = span(
        {"genkit:type": "action", "genkit:metadata:subtype": "model", "genkit:name": "googleai/gemini-2.5-flash",
         "genkit:input": json.dumps({"messages": asked, "tools": [{"name": "find"}]}),
         "genkit:output": json.dumps({"candidates": [{"message": answer, "finishReason": "stop"}], "usage": usage,
                                      "custom": {"modelVersion": "gemini-2.5-flash-001", "responseId": "r-123"}})},
        span_id="0b" * 8, parent="0a" * 8, name="googleai/gemini-2.5-flash", kind="internal",
    )  # fmt: skip
    llm = _llm(model)
    assert (llm.provider, llm.request_model, llm.response_model) == (
        "google",
        "gemini-2.5-flash",
        "gemini-2.5-flash-001",
    )
    assert (llm.system, model.input_text, llm.finish_reason) == ("Be brief.", "Find x", "tool_calls")
    assert [(c.id, c.name, c.arguments) for c in llm.tool_calls] == [("t1", "find", {"q": "x"})]
    assert (llm.usage.output_tokens, llm.usage.cached_input_tokens, llm.response_id) == (60, 1024, "r-123")
    wrapper = span({"genkit:type": "util", "genkit:name": "generate", "genkit:input": json.dumps({"messages": asked}),
                    "genkit:output": json.dumps({"message": {"role": "model", "content": [{"text": "No x."}]}})},
                   span_id="0a" * 8, name="generate", kind="internal")  # fmt: skip
    tool = span({"genkit:type": "action", "genkit:metadata:subtype": "tool", "genkit:name": "find",
                 "genkit:input": '{"q": "x"}', "genkit:output": '"none"'}, span_id="0c" * 8, name="find")  # fmt: skip
    trace = dialects.assemble([wrapper, model, tool], [])
    assert [s.span_id for s in trace.llm_calls] == ["0b" * 8] and wrapper.kind == "workflow"
    assert (trace.input_text, trace.output_text) == ("Find x", "No x.")
    assert tool.tool is not None and (tool.tool.arguments, tool.tool.result) == ({"q": "x"}, "none")


def test_haystacks_components_are_what_their_classes_do() -> None:
    meta = {
        "model": "gpt-4o-mini-2024-07-18",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 32, "completion_tokens": 7},
    }
    asked = [{"role": "user", "meta": {}, "name": None, "content": [{"text": "Capital?"}]}]
    said = [{"role": "assistant", "meta": meta, "name": None, "content": [{"text": "Paris."}]}]
    component = {"haystack.component.type": "OpenAIChatGenerator", "haystack.component.name": "llm",
                 "haystack.component.input": json.dumps({"messages": asked})}  # fmt: skip
    replied = {**component, "haystack.component.output": json.dumps({"replies": said})}
    older = {**component, "haystack.component.output": json.dumps({"replies": ["Paris."], "meta": [meta]})}
    for attributes in (replied, older):
        made = span(attributes, name="haystack.component.run", kind="internal")
        llm = _llm(made)
        assert (made.input_text, llm.output_text, llm.finish_reason, llm.provider) == (
            "Capital?",
            "Paris.",
            "stop",
            "openai",
        )
        assert (llm.request_model, llm.usage.input_tokens, llm.usage.output_tokens) == ("gpt-4o-mini", 32, 7)
    document = {"id": "d1", "content": "Paris.", "score": 0.9}
    found = span({"haystack.component.type": "InMemoryBM25Retriever",
                  "haystack.component.input": '{"query": "Capital?", "top_k": 2}',
                  "haystack.component.output": json.dumps({"documents": [document]})}).retrieval  # fmt: skip
    assert found is not None and (found.query, found.top_k, found.documents[0].score) == ("Capital?", 2, 0.9)
    built = span({"haystack.component.type": "ChatPromptBuilder"}, name="haystack.component.run")
    assert built.kind == "workflow"


def test_azures_events_carry_their_message_in_an_attribute() -> None:
    told = [
        ("gen_ai.system.message", {"role": "system", "content": "Be brief."}),
        ("gen_ai.user.message", {"role": "user", "content": "Hi?"}),
        ("gen_ai.choice", {"message": {"content": "Hello."}, "finish_reason": "length", "index": 0}),
    ]
    events = [
        event(name, at=i, gen_ai__event__content=json.dumps(body)) for i, (name, body) in enumerate(told)
    ]
    made = span({**CHAT, "gen_ai.system": "az.ai.inference"}, events=events)
    llm = _llm(made)
    assert (llm.system, made.input_text, llm.output_text, llm.finish_reason) == (
        "Be brief.",
        "Hi?",
        "Hello.",
        "length",
    )


def test_what_went_in_and_came_out_may_be_one_value_each() -> None:
    made = span({**CHAT, "gen_ai.system": "openai", "gen_ai.usage.input_tokens": "32", "gen_ai.usage.output_tokens": "7",
                 "gen_ai.response.finish_reasons": '["STOP"]', "gen_ai.prompt": '["Capital?"]',
                 "gen_ai.completion": '["Paris."]'})  # fmt: skip
    llm = _llm(made)
    assert (made.input_text, llm.output_text, llm.finish_reason) == ("Capital?", "Paris.", "stop")
    assert (llm.usage.input_tokens, llm.usage.output_tokens) == (32, 7)
    gateway = span({"gen_ai.request.model": "gpt-4o-mini", "gen_ai.prompt_json": '[{"role": "user", "content": "Hi?"}]',
                    "gen_ai.completion_json": '{"choices": [{"message": {"role": "assistant", "content": "Hello."}}]}'},
                   kind="internal")  # fmt: skip
    assert gateway.kind == "llm" and (gateway.input_text, _llm(gateway).output_text) == ("Hi?", "Hello.")


def test_an_inference_servers_span_tells_the_clients_call_again() -> None:
    client = span({**CHAT, "gen_ai.usage.input_tokens": 32, "gen_ai.usage.output_tokens": 7,
                   "gen_ai.input.messages": ASKED}, span_id="0a" * 8, end=100)  # fmt: skip
    server = span({"gen_ai.request.id": "r", "gen_ai.response.model": "gpt-4o-mini", "gen_ai.usage.prompt_tokens": 32,
                   "gen_ai.usage.completion_tokens": 7, "gen_ai.latency.time_to_first_token": 0.02},
                  span_id="0b" * 8, parent="0a" * 8, name="llm_request", kind="server", start=1, end=99)  # fmt: skip
    assert server.kind == "llm"
    trace = dialects.assemble([server, client], [])
    assert [s.span_id for s in trace.llm_calls] == ["0a" * 8] and trace.totals.input_tokens == 32
    call = trace.llm_calls[0].llm
    assert call is not None and call.ttft_ms == 20


def test_springs_searches_and_tools_are_read() -> None:
    found = span({"db.operation.name": "query", "db.system": "simple", "db.vector.query.content": "Capital?",
                  "db.vector.query.top_k": 4, "db.vector.query.response.documents": '["Paris is the capital."]'},
                 name="simple query").retrieval  # fmt: skip
    assert found is not None and (found.query, found.top_k) == ("Capital?", 4)
    assert found.documents[0].content == "Paris is the capital."
    ran = span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find",
                "spring.ai.tool.call.arguments": '{"q": "x"}', "spring.ai.tool.call.result": '"none"'}).tool  # fmt: skip
    assert ran is not None and (ran.arguments, ran.result) == ({"q": "x"}, "none")


def test_a_request_of_a_tool_over_mcp_is_a_tool() -> None:
    made = span({"rpc.system": "mcp", "rpc.method": "tools/call"}, name="tools/call find")
    assert made.kind == "tool" and made.tool is not None and made.tool.name == "find"


def test_a_tool_returned_what_the_next_call_was_told() -> None:
    answer = {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "t1", "response": {"status": "shipped"}}],
    }
    asked = span(_answered("t1", {"q": "x"}), span_id="02" * 8, start=0, end=10)
    told = span({**CHAT, "gen_ai.input.messages": json.dumps([answer])}, span_id="03" * 8, start=20, end=30)
    ran = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find"}
    tool = span({**ran, "gen_ai.tool.call.id": "t1"}, span_id="04" * 8, start=11, end=12)
    other = span({**ran, "gen_ai.tool.call.id": "<not specified>"}, span_id="05" * 8, start=13, end=14)
    own = span(
        {**ran, "gen_ai.tool.call.id": "t1", "gen_ai.tool.call.result": "mine"},
        span_id="06" * 8,
        start=15,
        end=16,
    )
    spans = [asked, told, tool, other, own]
    trace = dialects.assemble(spans, [])
    assert trace == dialects.assemble(spans[::-1], [])
    tools = {s.span_id[:2]: s for s in trace.tools}
    assert tools["04"].tool is not None and tools["04"].tool.result == {"status": "shipped"}
    assert tools["04"].output_text == '{"status":"shipped"}' and tool.output_text is None
    assert tools["05"].tool is not None and (tools["05"].tool.call_id, tools["05"].tool.result) == (
        None,
        None,
    )
    assert tools["06"].tool is not None and tools["06"].tool.result == "mine"


@pytest.mark.parametrize("kind", [{}, {"http.request.method": "POST"}])
def test_an_applications_request_was_asked_what_its_workflow_was(kind: dict[str, Any]) -> None:
    request = span(kind, span_id="0a" * 8, name="POST /ask", kind="server")
    step = {"traceloop.span.kind": "workflow", "traceloop.entity.name": "qa"}
    asked = span({**step, "traceloop.entity.input": '{"inputs": "Capital?"}', "traceloop.entity.output": '{"outputs": "Paris."}'},
                 span_id="0b" * 8, parent="0a" * 8, start=1)  # fmt: skip
    prompt = json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Context: [...] Question: Capital?"}]}]
    )
    call = span({**CHAT, "gen_ai.input.messages": prompt}, span_id="0c" * 8, parent="0b" * 8, start=2)
    trace = dialects.assemble([call, asked, request], [])
    assert (trace.input_text, trace.output_text) == ("Capital?", "Paris.")
    alone = dialects.assemble([request, span({**CHAT, "gen_ai.input.messages": ASKED}, parent="0a" * 8)], [])
    assert alone.input_text == "Where is A-1?"


@pytest.mark.parametrize(
    "attributes",
    [
        {"langfuse.observation.type": "generation", "langfuse.observation.metadata.ls_provider": '"openai"'},
        {**LLM_KIND, "metadata": '{"ls_provider": "openai"}', "input.value": "Hi?"},
    ],
)
def test_langchain_names_the_provider_through_any_callback(attributes: dict[str, Any]) -> None:
    assert _llm(span(attributes)).provider == "openai"
    assert _llm(span({**attributes, "gen_ai.provider.name": "azure.ai.openai"})).provider == "azure"


def test_pydantic_ai_offers_its_tools_in_the_parameters_of_the_request() -> None:
    tools = [{"name": "find", "parameters_json_schema": {"type": "object"}}]
    made = span(
        {
            **CHAT,
            "logfire.span_type": "span",
            "model_request_parameters": json.dumps({"function_tools": tools}),
        }
    )
    assert _llm(made).tool_definitions == tools


def test_parameters_may_lie_within_the_request() -> None:
    gemini = {
        "model": "gemini-2.5-flash",
        "contents": "Hi?",
        "config": {"temperature": 0.2, "max_output_tokens": 9},
    }
    native = {"mlflow.spanType": '"LLM"', "mlflow.spanInputs": json.dumps(gemini)}
    assert _llm(span(native)).params == {"temperature": 0.2, "max_tokens": 9}
    chain = {
        "mlflow.spanType": '"CHAT_MODEL"',
        "invocation_params": '{"model": "gpt-4o-mini", "temperature": 0.2}',
    }
    assert (
        _llm(span(chain)).params == {"temperature": 0.2} and _llm(span(chain)).request_model == "gpt-4o-mini"
    )
    ollama = {**LLM_KIND, "llm.model_name": "llama3", "llm.invocation_parameters": '{"options": {"temperature": 0.2}}',
              "input.value": "Hi?"}  # fmt: skip
    assert _llm(span(ollama)).params == {"temperature": 0.2}


def test_geminis_declarations_are_definitions_one_by_one() -> None:
    request = {"model": "gemini-2.5-flash", "config": {"tools": [{"function_declarations": [{"name": "a"}, {"name": "b"}]}]},
               "contents": [{"role": "user", "parts": [{"text": "Hi?"}]}]}  # fmt: skip
    made = span(
        {"gcp.vertex.agent.llm_request": json.dumps(request)}, name="call_llm", scope="gcp.vertex.agent"
    )
    assert [t["name"] for t in _llm(made).tool_definitions] == ["a", "b"] and made.input_text == "Hi?"


def test_the_word_of_anthropics_own_span_for_its_end_is_read() -> None:
    made = span({"gen_ai.provider.name": "anthropic", "gen_ai.operation.name": "chat",
                 "anthropic.message.stop_reason": "max_tokens"})  # fmt: skip
    assert (_llm(made).finish_reason, _llm(made).finish_reason_raw) == ("length", "max_tokens")
