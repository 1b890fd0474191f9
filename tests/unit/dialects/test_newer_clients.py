"""Shapes of clients that were run or read later: Mirascope, Judgment, Galileo, MCP's own spans, older and newer spellings."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import log, raw, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, Span

_CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
}


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def test_a_thread_of_the_process_is_no_session() -> None:
    java = {**_CHAT, "session.id": "s-1", "thread.id": 17, "thread.name": "main"}
    assert span({k: v for k, v in java.items() if k != "session.id"}).context.session_id is None
    assert span({**_CHAT, "thread.id": 17}).context.session_id is None
    assert span({**_CHAT, "thread.id": "17", "thread.name": "main"}).context.session_id is None
    assert span(java).context.session_id == "s-1"
    root = raw({"thread.id": 17, "thread.name": "main"}, name="POST /chat", kind="server")
    inner = raw({**_CHAT, "session.id": "s-1"}, span_id="02" * 8, parent=root.span_id)
    trace = dialects.derive([root, inner], [])
    assert [s.context.session_id for s in trace.spans] == ["s-1", "s-1"]
    assert span({**_CHAT, "thread.id": "thread-9"}).context.session_id == "thread-9"


def test_parameters_are_numbers_and_lists_however_they_travel() -> None:
    told = {**_CHAT, "gen_ai.request.max_tokens": "64", "gen_ai.request.temperature": "0.2", "gen_ai.request.choice.count": 2.0,
            "gen_ai.request.stop_sequences": '["END"]', "gen_ai.request.reasoning_effort": "[]",
            "gen_ai.request.seed": "null"}  # fmt: skip
    assert _llm(span(told)).params == {
        "max_tokens": 64,
        "temperature": 0.2,
        "n": 2,
        "stop_sequences": ["END"],
    }
    assert _llm(span({**_CHAT, "gen_ai.request.max_tokens": "-1"})).params == {}
    request = json.dumps({"model": "gpt-4o-mini", "max_tokens": "64", "top_p": "1", "stop": []})
    made = span(
        {
            "openinference.span.kind": "LLM",
            "llm.invocation_parameters": request,
            "llm.model_name": "gpt-4o-mini",
            "llm.token_count.prompt": "25",
        }
    )
    assert _llm(made).params == {"max_tokens": 64, "top_p": 1.0}


def test_openlits_stream_and_its_choices_may_be_told_as_texts() -> None:
    told = {**_CHAT, "gen_ai.request.stream": "true", "gen_ai.server.time_to_first_token": 0.04,
            "gen_ai.request.choice.count": "2",
            "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "yes yes"}]}]'}  # fmt: skip
    made = _llm(span(told, scope="openlit.instrumentation.openai"))
    assert made.ttft_ms == 40 and [m.text for m in made.output_messages] == ["yes", "yes"]


def test_a_response_told_as_an_object_is_read_like_its_json() -> None:
    response = {"id": "chatcmpl-7", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18",
                "choices": [{"index": 0, "finish_reason": "stop",
                             "message": {"role": "assistant", "content": None, "refusal": "I can't."}}]}  # fmt: skip
    told: dict[str, Any] = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini", "input.value": "Hi",
                            "llm.output_messages.0.message.role": "assistant"}  # fmt: skip
    as_object = _llm(span({**told, "output.value": response}))
    as_text = _llm(span({**told, "output.value": json.dumps(response)}))
    assert as_object == as_text
    assert (as_object.response_id, as_object.refusal, as_object.finish_reason) == (
        "chatcmpl-7",
        "I can't.",
        "stop",
    )


def test_a_query_lies_in_a_bundle_whatever_the_bundle_is_called() -> None:
    given = json.dumps({"qb": {"query_str": "Refunds?", "embedding": None}})
    made = span({"openinference.span.kind": "RETRIEVER", "input.value": given})
    assert made.retrieval is not None and made.retrieval.query == "Refunds?"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("invoke_agent Desk", "agent"), ("execute_tool find", "tool"), ("chat gpt-4o-mini", "llm")],
)
def test_a_span_without_an_operation_is_what_its_name_says(name: str, kind: str) -> None:
    told = {
        "gen_ai.system": "strands-agents",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 50,
    }
    assert span(told, name=name, kind="internal").kind == kind


def test_mirascope_tells_model_cached_tokens_and_session_under_names_of_its_own() -> None:
    usage = {"input_tokens": 25, "output_tokens": 12, "cache_read_tokens": 5, "cache_write_tokens": 0,
             "reasoning_tokens": 3, "total_tokens": 37}  # fmt: skip
    model = "openai/gpt-4o-mini:completions"
    answer = [{"type": "tool_call", "id": "c1", "name": "find", "args": '{"id": 7}'}]
    asked = [{"role": "system", "content": {"type": "text", "text": "Be terse."}},
             {"role": "user", "content": [{"type": "text", "text": "Where?"}], "name": None},
             {"role": "assistant", "content": [{"type": "tool_call", "id": "c0", "name": "find", "args": "{}"}]},
             {"role": "user", "content": [{"type": "tool_output", "id": "c0", "name": "find", "result": "none"}]}]  # fmt: skip
    beside = {"mirascope.response.usage": json.dumps(usage), "mirascope.response.content": json.dumps(answer),
              "mirascope.response.messages": json.dumps(asked)}  # fmt: skip
    call = raw({**_CHAT, **beside, "gen_ai.request.model": model, "gen_ai.response.model": model,
                "gen_ai.usage.input_tokens": 25, "gen_ai.usage.output_tokens": 12,
                "gen_ai.response.finish_reasons": ["stop"]},
               span_id="02" * 8, parent="01" * 8, scope="mirascope.llm", name=f"chat {model}", start=1, end=900)  # fmt: skip
    outer = raw({**beside, "mirascope.type": "trace", "mirascope.response.model_id": model,
                 "mirascope.response.provider_id": "openai", "mirascope.ops.session.id": "s-1",
                 "mirascope.trace.arg_values": '{"q": "Where?"}'}, scope="mirascope.ops", name="ask.call", kind="internal")  # fmt: skip
    trace = dialects.derive([outer, call], [])
    told = _llm(trace.spans[1])
    assert (told.provider, told.request_model, told.response_model) == ("openai", "gpt-4o-mini", None)
    assert (told.usage.cached_input_tokens, told.usage.reasoning_output_tokens) == (5, 3)
    assert told.finish_reason == "tool_calls" and told.system == "Be terse."
    assert _llm(trace.spans[0]).duplicate_of == call.span_id
    assert (trace.totals.input_tokens, trace.totals.output_tokens) == (25, 12)
    assert trace.context.session_id == "s-1"
    # Without the instrumentation the decorated function alone tells of the call.
    alone = _llm(dialects.derive([outer], []).spans[0])
    assert (alone.request_model, alone.usage.input_tokens) == ("gpt-4o-mini", 25)
    assert [m.role for m in alone.input_messages] == ["user", "assistant", "tool"]
    assert [c.arguments for c in alone.tool_calls] == [{"id": 7}]


def test_mirascopes_functions_are_steps_and_their_versions_those_of_a_prompt() -> None:
    made = span({"mirascope.type": "trace", "mirascope.trace.arg_values": '{"q": "Where?"}',
                 "mirascope.trace.output": "There.", "mirascope.version.name": "locate",
                 "mirascope.version.version": "1.2"}, scope="mirascope.ops", name="locate", kind="internal")  # fmt: skip
    assert (made.kind, made.input_text, made.output_text) == ("workflow", "Where?", "There.")
    assert (made.context.prompt_name, made.context.prompt_version) == ("locate", "1.2")


def test_the_request_as_it_was_sent_tells_the_model_the_tools_and_the_parameters() -> None:
    request = {"model": "gpt-4o-mini", "temperature": 0.2, "stream": True,
               "messages": [{"role": "user", "content": "Where?"}],
               "tools": [{"type": "function", "function": {"name": "find"}}]}  # fmt: skip
    usage = {"prompt_tokens": 25, "completion_tokens": 12, "total_tokens": 37,
             "completion_tokens_details": {"reasoning_tokens": 3}}  # fmt: skip
    made = _llm(span({"judgment.span_kind": "llm", "judgment.llm.model": "gpt-4o-mini-2024-07-18",
                      "judgment.usage.non_cached_input_tokens": 20, "judgment.usage.cache_read_input_tokens": 5,
                      "judgment.usage.output_tokens": 12, "judgment.usage.metadata": json.dumps(usage),
                      "gen_ai.prompt": json.dumps(request), "gen_ai.completion": "There."},
                     name="OPENAI_API_CALL", kind="internal"))  # fmt: skip
    assert (made.provider, made.request_model, made.response_model) == (
        "openai",
        "gpt-4o-mini",
        "gpt-4o-mini-2024-07-18",
    )
    assert made.stream is True and made.params == {"temperature": 0.2} and len(made.tool_definitions) == 1
    assert (made.usage.input_tokens, made.usage.cached_input_tokens, made.usage.reasoning_output_tokens) == (
        25,
        5,
        3,
    )


def test_an_object_that_a_user_wrote_is_no_request() -> None:
    made = _llm(span({**_CHAT, "gen_ai.prompt": '{"model": "Roadster", "year": 2020}'}))
    assert made.request_model == "gpt-4o-mini" and made.response_model is None


def test_messages_that_went_to_no_model_are_a_steps_and_documents_alone_a_retrievals() -> None:
    def said(role: str, content: Any) -> str:
        return json.dumps([{"role": role, "content": content}])

    step = span({"gen_ai.system": "galileo-otel", "gen_ai.input.messages": said("user", "Where?"),
                 "gen_ai.output.messages": said("assistant", "There.")}, name="answer", kind="internal")  # fmt: skip
    assert (step.kind, step.input_text, step.output_text, step.llm) == ("workflow", "Where?", "There.", None)
    found = {"documents": [{"content": "Left the depot.", "metadata": {"id": "d1", "score": 0.9}}]}
    made = span({"gen_ai.system": "galileo-otel", "db.operation": "search", "galileo.session.id": "s-1",
                 "gen_ai.input.messages": said("user", "Where?"),
                 "gen_ai.output.messages": said("assistant", found)}, name="search", kind="internal")  # fmt: skip
    assert made.kind == "retrieval" and made.retrieval is not None and made.context.session_id == "s-1"
    assert made.retrieval.query == "Where?"
    assert [(d.id, d.score, d.content) for d in made.retrieval.documents] == [("d1", 0.9, "Left the depot.")]
    nothing = span({"gen_ai.system": "galileo-otel", "db.operation": "search", "gen_ai.input.messages": said("user", "Where?"),
                    "gen_ai.output.messages": said("assistant", {"documents": []})}, name="search", kind="internal")  # fmt: skip
    assert nothing.kind == "retrieval" and nothing.retrieval is not None and nothing.retrieval.documents == []


def _mcp(**fields: Any) -> Any:
    return raw({"mcp.method.name": "tools/call", "jsonrpc.request.id": "3"}, **fields)


def test_both_ends_of_a_request_over_mcp_are_one_tool() -> None:
    client = _mcp(name="MCP send tools/call find", scope="mcp-python-sdk")
    server = raw({"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find",
                  "error.type": "tool_error"}, name="tools/call find", span_id="02" * 8, parent="01" * 8, kind="server",
                 status="error", start=1, end=900)  # fmt: skip
    assert [s.tool.name for s in dialects.derive([client], []).tools if s.tool] == ["find"]
    both = dialects.derive([server, client], [])
    assert [(s.kind, s.tool.name, s.tool.error) for s in both.tools if s.tool] == [
        ("tool", "find", "tool_error")
    ]
    assert [s.kind for s in both.spans] == ["tool", "other"]
    framework = raw({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find", "gen_ai.tool.call.id": "c1",
                     "gen_ai.tool.call.arguments": '{"id": 7}'}, name="execute_tool find", span_id="03" * 8)  # fmt: skip
    client.parent_id = framework.span_id
    spans = [dialects.normalise(s) for s in (client, server, framework)]
    whole = dialects.assemble(spans, [])
    assert [(s.span_id, s.tool.call_id) for s in whole.tools if s.tool] == [(framework.span_id, "c1")]
    assert [s.kind for s in spans] == ["tool"] * 3, "what was handed in is left as it was"
    assert whole == dialects.assemble(spans[::-1] + spans, [])


def test_a_tool_over_mcp_ran_the_call_that_names_its_server_too() -> None:
    call = {"type": "tool_call", "id": "c1", "name": "shop__find", "arguments": {"id": 7}}
    result = {"type": "tool_call_response", "id": "c1", "response": '{"found": 1}'}
    said = [{"role": "assistant", "parts": [call]}, {"role": "tool", "parts": [result]}]
    asked = raw({**_CHAT, "gen_ai.input.messages": json.dumps(said)}, span_id="05" * 8)
    client = _mcp(name="MCP send tools/call find", scope="mcp-python-sdk")
    tools = [s.tool for s in dialects.derive([asked, client], []).tools if s.tool]
    assert [(t.name, t.call_id, t.arguments, t.result) for t in tools] == [
        ("find", "c1", {"id": 7}, {"found": 1})
    ]


def test_calls_of_one_tool_within_another_stay_calls() -> None:
    def tool(span_id: str, parent: str | None, arguments: str, **fields: Any) -> Any:
        return raw({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find",
                    "gen_ai.tool.call.arguments": arguments, **fields}, span_id=span_id, parent=parent)  # fmt: skip

    outer = tool("01" * 8, None, '{"id": 1}')
    assert len(dialects.derive([outer, tool("02" * 8, "01" * 8, '{"id": 1}')], []).tools) == 2, (
        "none is a request"
    )
    over = {"mcp.method.name": "tools/call"}
    assert len(dialects.derive([outer, tool("02" * 8, "01" * 8, '{"id": 2}', **over)], []).tools) == 2
    twice = [outer, *(tool(i * 8, "01" * 8, '{"id": 1}', **over) for i in ("02", "03"))]
    assert len(dialects.derive(twice, []).tools) == 3


def test_a_server_of_mcp_names_its_tool_what_it_was_given_and_how_it_ended() -> None:
    told = {"mcp.method.name": "tools/call", "mcp.tool.name": "find", "mcp.request.argument.id": "7",
            "mcp.request.argument.place": '"Oslo"', "mcp.tool.result.content": '[{"type": "text", "text": "none"}]'}  # fmt: skip
    made = span(told, name="tools/call find", kind="server")
    assert made.kind == "tool" and made.tool is not None and made.error is None
    assert (made.tool.name, made.tool.arguments) == ("find", {"id": "7", "place": "Oslo"})
    failed = span(
        {"mcp.tool.name": "find", "mcp.tool.result.is_error": True}, name="mcp.tool.find", kind="server"
    )
    assert failed.tool is not None and failed.tool.name == "find"
    assert failed.error is not None and failed.error.class_ == "tool_error"
    kinds = span({**told, "mcp.tool.result.content": '["text"]'}, name="tools/call find", kind="server")
    assert kinds.tool is not None and kinds.tool.result is None


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("401", "bad_request"),
        ("422", "bad_request"),
        ("429", "rate_limit"),
        ("504", "timeout"),
        ("529", "server_error"),
    ],
)
def test_a_status_may_stand_where_others_name_a_class(told: str, found: str) -> None:
    made = span({**_CHAT, "error.type": told}, status="error")
    assert made.error is not None and made.error.class_ == found


@pytest.mark.parametrize(
    ("told", "found"), [("model_length", "length"), ("ERROR_TOXIC", "content_filter"), ("ERROR", None)]
)
def test_ends_of_other_providers_are_read(told: str, found: str | None) -> None:
    assert _llm(span({**_CHAT, "gen_ai.response.finish_reasons": [told]})).finish_reason == found


def test_content_that_a_distribution_moved_into_a_record_is_the_spans() -> None:
    call = raw({**_CHAT, "gen_ai.usage.input_tokens": 25, "gen_ai.response.finish_reasons": ["end_turn"]})
    blocks = {"content": '[{"text": "Where?"}]'}
    body = {"input": {"messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": blocks}]},
            "output": {"messages": [{"role": "assistant", "content": {"message": '[{"text": "There."}]',
                                                                     "finish_reason": "end_turn"}}]}}  # fmt: skip
    record = log("strands.telemetry.tracer", body)
    told = _llm(dialects.derive([call], [record]).spans[0])
    assert told.system == "Be terse." and told.output_text == "There." and told.finish_reason == "stop"
    assert [(m.role, m.text) for m in told.input_messages] == [("user", "Where?")]
    # A whole request and response printed beside the messages say nothing more; alone they say it all.
    request = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Where?"}]})
    response = json.dumps(
        {"id": "chatcmpl-1", "choices": [{"message": {"role": "assistant", "content": "There."}}]}
    )
    both = {"input": {"messages": [{"role": "user", "content": request}, {"role": "user", "content": "Where?"}]},
            "output": {"messages": [{"role": "assistant", "content": response}, {"role": "assistant", "content": "There."}]}}  # fmt: skip
    alone = {"input": {"messages": [{"role": "user", "content": request}]},
             "output": {"messages": [{"role": "assistant", "content": response}]}}  # fmt: skip
    for body in (both, alone):
        made = _llm(dialects.derive([call], [log("openinference.instrumentation.openai", body)]).spans[0])
        assert [m.text for m in made.input_messages] == ["Where?"] and made.output_text == "There."
    tool = raw(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find"}, name="execute_tool find"
    )
    body = {"input": {"messages": [{"role": "tool", "content": '{"id": 7}'}]},
            "output": {"messages": [{"role": "assistant", "content": "none"}]}}  # fmt: skip
    ran = dialects.derive([tool], [log("strands.telemetry.tracer", body)]).tools[0].tool
    assert ran is not None and (ran.arguments, ran.result) == ({"id": 7}, "none")


def test_other_records_of_a_span_are_no_content() -> None:
    call = raw({**_CHAT, "gen_ai.usage.input_tokens": 25})
    for body in ({"input": "x", "output": "y"}, {"input": {"messages": "x"}}, {}, "text", None):
        assert _llm(dialects.derive([call], [log("app.note", body)]).spans[0]).input_messages == []


def test_a_picture_lies_in_a_picture_in_openinference() -> None:
    content = "llm.input_messages.0.message.contents.0.message_content"
    made = _llm(span({"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 9,
                      "llm.input_messages.0.message.role": "user", f"{content}.type": "image",
                      f"{content}.image.image.url": "https://shop/cat.png"}))  # fmt: skip
    assert [(p.type, p.uri) for p in made.input_messages[0].parts] == [("media", "https://shop/cat.png")]


def test_a_providers_own_tool_that_answered_was_not_asked_of_anybody() -> None:
    call = {
        "type": "server_tool_call",
        "id": "s1",
        "name": "web_search",
        "server_tool_call": {"query": "Oslo"},
    }
    result = {"type": "server_tool_call_response", "id": "s1", "server_tool_call_response": {"hits": 2}}
    text = {"type": "text", "content": "Rain."}

    def end(*parts: dict[str, Any]) -> str | None:
        answer = json.dumps([{"role": "assistant", "parts": parts, "finish_reason": "stop"}])
        return _llm(span({**_CHAT, "gen_ai.output.messages": answer})).finish_reason

    assert end(call, result, text) == "stop"
    assert end({"type": "tool_call", "id": "c1", "name": "find", "arguments": {}}) == "tool_calls"


def test_a_ranking_of_the_ai_sdk_is_the_documents_it_ranked() -> None:
    made = span({"ai.operationId": "ai.rerank.doRerank", "ai.model.id": "rerank-v3.5", "ai.model.provider": "cohere.reranking",
                 "ai.documents": ['"refunds"', '"delivery"'],
                 "ai.ranking": ['{"index": 1, "relevanceScore": 0.9}', '{"index": 0, "relevanceScore": 0.2}']})  # fmt: skip
    assert made.kind == "rerank" and made.retrieval is not None
    assert [(d.score, d.content) for d in made.retrieval.documents] == [(0.9, "delivery"), (0.2, "refunds")]


def test_the_paths_of_a_traceback_are_not_what_went_wrong() -> None:
    message = "ValueError('no such city')Traceback (most recent call last): File \"/lib/httpx/connection.py\""
    made = span({"langsmith.span.kind": "chain"}, status="error", message=message, name="agent")
    assert made.error is not None and (made.error.class_, made.error.message) == (
        "other",
        "ValueError('no such city')",
    )


def test_an_older_semantic_kernel_counts_tokens_of_the_response() -> None:
    made = _llm(span({**_CHAT, "gen_ai.response.prompt_tokens": 25, "gen_ai.response.completion_tokens": 12}))
    assert (made.usage.input_tokens, made.usage.output_tokens) == (25, 12)


def test_bedrock_is_asked_what_its_parameters_hold() -> None:
    def made(model: str, body: dict[str, Any], **more: Any) -> Span:
        told = {"llm.invocation_parameters": json.dumps(body), "llm.model_name": model, **more}
        return span({"openinference.span.kind": "LLM", **told}, name="bedrock.invoke_model")

    titan = made("amazon.titan-text-express-v1", {"inputText": "Capital?"}, **{"output.value": "Paris."})
    assert titan.kind == "llm" and (titan.input_text, titan.output_text) == ("Capital?", "Paris.")
    body = {"messages": [{"role": "user", "content": [{"text": "Capital?"}]}], "system": [{"text": "Be terse."}],
            "inferenceConfig": {"maxTokens": 9}, "toolConfig": {"tools": [{"toolSpec": {"name": "find"}}]}}  # fmt: skip
    nova = _llm(made("us.amazon.nova-lite-v1:0", body, **{"llm.token_count.prompt": 3}))
    assert (nova.system, nova.params["max_tokens"], len(nova.tool_definitions)) == ("Be terse.", 9, 1)
    jamba = {"messages": [{"role": "user", "content": "Capital?"}], "max_tokens": 100}
    unfound = made("ai21.jamba-1-5-large-v1:0", jamba, **{"output.value": "None"})
    assert unfound.input_text == "Capital?" and unfound.output_text is None
    vectors = made("cohere.embed-english-v3", {"texts": ["a", "b"]}, **{"output.value": "None"})
    assert vectors.kind == "embedding" and len(_llm(vectors).input_messages) == 2
    request = json.dumps({"prompt": "Capital?", "max_gen_len": 100})
    streamed = span(
        {"openinference.span.kind": "LLM", "input.value": request, "llm.invocation_parameters": request},
        name="bedrock.invoke_model_with_response_stream",
    )
    assert streamed.kind == "llm" and _llm(streamed).stream and streamed.input_text == "Capital?"


def test_a_result_within_a_users_message_and_in_a_tools_is_one() -> None:
    result = {"toolResult": {"toolUseId": "t1", "content": [{"json": {"degrees": 4}}]}}
    logs = [
        log("gen_ai.user.message", {"content": [{"text": "Weather?"}]}, at=1),
        log("gen_ai.tool.message", {"id": "t1", "content": [{"json": {"degrees": 4}}]}, at=3),
        log("gen_ai.user.message", {"content": [result, {"text": "And Bergen?"}]}, at=3),
    ]
    given = _llm(dialects.assemble([span(_CHAT)], logs).spans[0]).input_messages
    assert sorted(m.role for m in given) == ["tool", "user", "user"]


def test_the_name_of_a_parts_class_is_no_answer() -> None:
    said = [{"role": "assistant", "parts": ["ToolCall"], "finish_reason": "tool_calls"}]
    made = span({**_CHAT, "gen_ai.output.messages": json.dumps(said)})
    assert made.output_text is None and _llm(made).finish_reason == "tool_calls"


def test_a_conversation_under_any_prefix_is_the_session_and_a_transports_session_is_none() -> None:
    def session(**told: str) -> str | None:
        return span({**_CHAT, **told}).context.session_id

    spring = {"spring.ai.chat.client.conversation.id": "c-1"}
    assert session(**spring) == "c-1" and session(**{"acme.conversation_id": "c-2"}) == "c-2"
    assert session(**spring, **{"session.id": "s-1"}) == "s-1"
    assert session(**spring, **{"gen_ai.conversation.id": "g-1"}) == "g-1"
    assert session(**{"spring.ai.chat.client.conversation.id": "default"}) is None
    assert session(**{"session.id": "default"}) is None and session(**{"mcp.session.id": "m-1"}) is None


def test_the_mark_that_content_was_left_out_is_no_content() -> None:
    hidden = "__REDACTED__"
    told = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini", "llm.token_count.prompt": 3}
    said = {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": hidden}
    made = span({**told, **said, "input.value": hidden, "output.value": hidden})
    assert (made.input_text, made.output_text, _llm(made).input_messages) == (None, None, [])
    tool = span({"openinference.span.kind": "TOOL", "input.value": hidden, "output.value": hidden}).tool
    assert tool is not None and (tool.arguments, tool.result) == (None, None)
    logs = [log("gen_ai.user.message", {"content": "<elided>"}, at=1)]
    logs += [log("gen_ai.choice", {"index": n, "content": "<elided>"}, at=n + 2) for n in range(2)]
    google = dialects.assemble([span(_CHAT)], logs).spans[0]
    assert (google.input_text, google.output_text) == (None, None)
    passed = [{"role": "user", "parts": [{"type": "text", "content": "redacted-by-litellm"}]}]
    lite = span({**_CHAT, "gen_ai.input.messages": json.dumps(passed)})
    assert lite.input_text is None and _llm(lite).input_messages == []


def test_pieces_of_a_stream_told_as_choices_are_one_answer() -> None:
    texts = ("Grüezi ", "— ", "👋🏽")
    bodies: list[dict[str, Any]] = [
        {"index": n, "content": {"parts": [{"text": t}], "role": "model"}} for n, t in enumerate(texts)
    ]
    bodies[2]["finish_reason"] = "STOP"
    logs = [log("gen_ai.choice", body, at=n + 1) for n, body in enumerate(bodies)]
    llm = _llm(dialects.assemble([span(_CHAT)], logs[::-1]).spans[0])
    assert (llm.output_text, llm.finish_reason, llm.stream) == ("Grüezi — 👋🏽", "stop", True)
    both = [log("gen_ai.choice", {**body, "finish_reason": "STOP"}, at=1) for body in bodies[:2]]
    assert len(_llm(dialects.assemble([span(_CHAT)], both).spans[0]).output_messages) == 2


def test_an_agents_call_that_gave_null_gave_nothing() -> None:
    told = {"input": '[{"role":"user","content":"Hi?"}]', "output": "null", "gen_ai.request.model": "gpt-4o-mini",
            "request_data": '{"model":"gpt-4o-mini"}', "logfire.span_type": "span"}  # fmt: skip
    made = span(told, scope="logfire.openai_agents", status="error")
    assert (made.kind, made.input_text, made.output_text) == ("llm", "Hi?", None)
    assert _llm(made).output_messages == []


def test_the_tags_of_a_chains_steps_are_no_tags() -> None:
    told = {"langsmith.span.tags": "graph:step:1", "tag.tags": ["seq:step:2", "beta"]}
    assert span({**_CHAT, **told}).context.tags == ["beta"]
