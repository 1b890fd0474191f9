"""Shapes of other versions of known clients, older ones, and those in JS: each was seen on the wire."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import event, raw, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, RawSpan, Span

LLM_KIND = {"openinference.span.kind": "LLM"}
LOGFIRE = {"logfire.span_type": "span", "logfire.msg_template": "Message with {request_data[model]!r}"}
PARALLEL = [("find", {"q": "a"}), ("find", {"q": "b"})]


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _calls(llm: LLM) -> list[tuple[str | None, Any]]:
    return [(c.name, c.arguments) for c in llm.tool_calls]


def _shapes(llm: LLM) -> list[tuple[str, list[str]]]:
    return [(m.role, [p.type for p in m.parts]) for m in llm.input_messages]


def _item(call_id: str, query: str) -> dict[str, Any]:
    arguments = json.dumps({"q": query})
    return {"type": "function_call", "call_id": call_id, "name": "find", "arguments": arguments}


def _flat_call(at: str, query: str) -> dict[str, Any]:
    stem = f"{at}.tool_calls.0.tool_call.function"
    return {f"{stem}.name": "find", f"{stem}.arguments": json.dumps({"q": query}), f"{at}.role": "assistant"}


def test_items_flattened_as_messages_are_one_answer() -> None:
    said = "llm.output_messages.0.message"
    items = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        _item("c1", "a"),
        _item("c2", "b"),
    ]
    flat = {
        **LLM_KIND, f"{said}.role": "assistant", f"{said}.content": "I look.",
        **_flat_call("llm.output_messages.1.message", "a"), **_flat_call("llm.output_messages.2.message", "b"),
    }  # fmt: skip
    alone = _llm(span(flat))
    response = json.dumps({"object": "response", "status": "completed", "output": items})
    whole = _llm(span({**flat, "output.value": response}))
    for made in (alone, whole):
        assert made.output_text == "I look." and _calls(made) == PARALLEL
    assert whole.finish_reason == "tool_calls" and [c.id for c in whole.tool_calls] == ["c1", "c2"]


def test_answers_that_end_by_themselves_stay_choices() -> None:
    def choice(query: str) -> dict[str, Any]:
        part = {"type": "tool_call", "id": query, "name": "find", "arguments": {"q": query}}
        return {"role": "assistant", "parts": [part], "finish_reason": "tool_calls"}

    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    made = _llm(span({**chat, "gen_ai.output.messages": json.dumps([choice("a"), choice("b")])}))
    assert len(made.output_messages) == 2 and _calls(made) == PARALLEL[:1]
    asked = {**chat, "gen_ai.request.choice.count": 2}
    unended = [{**choice(q), "finish_reason": None} for q in "ab"]
    assert len(_llm(span({**asked, "gen_ai.output.messages": json.dumps(unended)})).output_messages) == 2
    assert _calls(_llm(span({**chat, "gen_ai.output.messages": json.dumps(unended)}))) == PARALLEL


def test_what_flattening_lost_is_read_from_the_request() -> None:
    blocks = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "t2", "content": "two"},
        {"type": "text", "text": "go on"},
    ]
    request = {
        "model": "claude-sonnet-4-20250514",
        "system": "Be kind.",
        "messages": [{"role": "user", "content": blocks}],
    }
    flat = {
        **LLM_KIND, "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.tool_call_id": "t2",
        "llm.input_messages.0.message.content": "go on",
    }  # fmt: skip
    made = _llm(span({**flat, "input.value": json.dumps(request)}))
    assert _shapes(made) == [("tool", ["tool_result"]), ("tool", ["tool_result"]), ("user", ["text"])]
    assert made.system == "Be kind."
    assert _shapes(_llm(span(flat))) == [("tool", ["tool_result"])]


def test_prompts_of_text_completions_are_what_the_user_said() -> None:
    inference = span({**LLM_KIND, "llm.prompts.0.prompt.text": "Once", "llm.model_name": "m"})
    older = span({"llm.request.type": "completion", "gen_ai.request.model": "m", "gen_ai.prompt.0.user": "Once",
                  "gen_ai.completion.0.content": "upon"}, kind="client")  # fmt: skip
    for made in (inference, older):
        assert [(m.role, m.text) for m in _llm(made).input_messages] == [("user", "Once")]


def test_logfire_before_version_5_tells_anthropics_calls_by_their_request() -> None:
    omitted = "<anthropic.Omit object at 0x7faee58c6550>"
    request = {"model": "claude-sonnet-4-20250514", "max_tokens": 200, "system": omitted, "stream": True,
               "messages": [{"role": "user", "content": "Where?"}], "stop_sequences": omitted}  # fmt: skip
    asked = span({**LOGFIRE, "request_data": json.dumps(request)}, scope="logfire.anthropic")
    assert asked.kind == "llm" and _llm(asked).stream is True and _llm(asked).system is None
    assert _llm(asked).params == {"max_tokens": 200}
    call = {"function": {"name": "find", "arguments": json.dumps({"input": {"q": "a"}})}}
    response = {"message": {"role": "assistant", "tool_calls": [call]}}
    told = {**LOGFIRE, "request_data": json.dumps(request), "response_data": json.dumps(response)}
    assert _calls(_llm(span(told, scope="logfire.anthropic"))) == PARALLEL[:1]


def test_a_stream_that_logfire_has_nothing_to_tell_of_is_still_one_call() -> None:
    request = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Where?"}]})
    call = span({**LOGFIRE, "request_data": request}, scope="logfire.anthropic", parent="aa" * 8)
    told = {"logfire.span_type": "log", "request_data": request,
            "response_data": json.dumps({"combined_chunk_content": "", "chunk_count": 0})}  # fmt: skip
    after = span(told, scope="logfire.anthropic", parent="aa" * 8, span_id="02" * 8, start=1000, end=1000)
    trace = dialects.assemble([after, call], [])
    assert [s.llm.duplicate_of for s in trace.spans if s.llm is not None] == [None, "01" * 8]


def test_logfires_events_of_a_responses_call_end_with_its_answer() -> None:
    events = [
        {"event.name": "gen_ai.system.message", "role": "system", "content": "Be kind."},
        {"event.name": "gen_ai.unknown", "role": "unknown", "data": {"type": "input_text", "text": "Where?"}},
        {"event.name": "gen_ai.unknown", "role": "assistant",
         "data": {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}},
        {"event.name": "gen_ai.assistant.message", "role": "assistant", "content": "There."},
    ]  # fmt: skip
    attributes = {"logfire.span_type": "span", "gen_ai.request.model": "gpt-4o-mini"}
    made = span({**attributes, "events": json.dumps(events)}, scope="logfire.openai")
    assert made.kind == "llm" and _shapes(_llm(made)) == [("user", ["text"])]
    assert [[p.type for p in m.parts] for m in _llm(made).output_messages] == [["reasoning", "text"]]
    waiting = span({**attributes, "events": json.dumps(events[:1])}, scope="logfire.openai")
    assert waiting.kind == "llm" and _llm(waiting).output_messages == []


def test_langfuse_in_js_tells_calls_without_a_role_and_instructions_beside_the_input() -> None:
    generation = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o-mini"}
    call = {"function": {"name": "find", "arguments": '{"q": "a"}'}}
    made = _llm(span({
        **generation, "langfuse.observation.input": "Where?", "langfuse.observation.output": json.dumps({"tool_calls": [call]}),
        "langfuse.observation.metadata.instructions": "Be kind.",
        "langfuse.observation.metadata.tools": json.dumps([{"type": "function", "name": "find"}]),
    }))  # fmt: skip
    assert _calls(made) == PARALLEL[:1] and made.system == "Be kind."
    assert [t["name"] for t in made.tool_definitions] == ["find"]


def test_an_answer_that_is_a_single_item_is_read_with_its_end() -> None:
    generation = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o-mini"}
    output = json.dumps({**_item("c1", "a"), "id": "fc_1", "status": "completed"})
    made = _llm(span({**generation, "langfuse.observation.output": output}))
    assert _calls(made) == PARALLEL[:1] and made.tool_calls[0].id == "c1"
    assert made.finish_reason == "tool_calls"


def test_a_generation_of_an_embedding_model_without_an_answer_is_an_embedding() -> None:
    made = span({"langfuse.observation.type": "generation", "langfuse.observation.output": "",
                 "langfuse.observation.model.name": "text-embedding-3-small",
                 "langfuse.observation.input": '["a", "b"]'})  # fmt: skip
    assert made.kind == "embedding" and _llm(made).request_model == "text-embedding-3-small"


def test_a_conversation_printed_into_a_users_message_is_told_apart_again() -> None:
    def asked(text: str) -> LLM:
        part = {"type": "text", "content": text}
        messages = json.dumps([{"role": "user", "parts": [part]}])
        return _llm(span({"gen_ai.operation.name": "chat", "gen_ai.input.messages": messages}))

    result = {"type": "function_call_output", "call_id": "c1", "output": "shipped"}
    printed = json.dumps([{"role": "user", "content": "Where?"}, _item("c1", "a"), result])
    assert _shapes(asked(printed)) == [
        ("user", ["text"]),
        ("assistant", ["tool_call"]),
        ("tool", ["tool_result"]),
    ]
    for written in ('[{"role": "user", "content": "x"}]', '[{"id": 1}, {"id": 2}]', '[{"broken'):
        assert _shapes(asked(written)) == [("user", ["text"])]


def test_langchains_chunk_was_streamed_whatever_the_models_parameters_say() -> None:
    message = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessageChunk"],
               "kwargs": {"content": "There."}}  # fmt: skip
    generation = {"text": "There.", "type": "ChatGenerationChunk", "message": message}
    attributes = {**LLM_KIND, "llm.invocation_parameters": '{"model": "m", "stream": false}'}
    made = span({**attributes, "output.value": json.dumps({"generations": [[generation]]})})
    assert _llm(made).stream is True
    whole = json.dumps({"generations": [[{**generation, "type": "ChatGeneration"}]]})
    assert _llm(span({**attributes, "output.value": whole})).stream is False


def test_a_stream_is_known_by_its_chunks_and_its_flag() -> None:
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    flagged = _llm(span({**chat, "gen_ai.is_streaming": True}))
    assert flagged.stream is True
    chunked = _llm(span(chat, events=[event("gen_ai.content.completion.chunk", at=40)]))
    assert chunked.stream is True and chunked.ttft_ms == 40


def _langsmith(**fields: Any) -> RawSpan:
    request = {"model": "gpt-4o-mini", "n": 2, "messages": [{"role": "system", "content": "Be kind."},
                                                            {"role": "user", "content": "Where?"}]}  # fmt: skip
    attributes = {"langsmith.span.kind": "llm", "gen_ai.prompt": json.dumps({"args": [request, None]})}
    return raw({**attributes, "gen_ai.response.finish_reasons": "length, length"}, status="ok", **fields)


def test_langsmith_in_js_gives_a_request_as_the_first_of_its_arguments() -> None:
    made = _llm(dialects.normalise(_langsmith()))
    assert made.system == "Be kind." and _shapes(made) == [("user", ["text"])]
    assert made.finish_reason == "length"


def test_a_langsmith_run_that_raised_has_failed_though_its_span_is_ok() -> None:
    raised = event("exception", exception__type="Error", exception__message="Error: 429 too many")
    made = dialects.normalise(_langsmith(events=[raised]))
    assert made.status == "error" and made.error is not None and made.error.class_ == "rate_limit"


def test_litellm_before_prefixes_were_right_is_read() -> None:
    prompts, answers = "SpanAttributes.LLM_PROMPTS", "SpanAttributes.LLM_COMPLETIONS"
    made = _llm(span({
        "llm.request.type": "completion", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.system": "openai",
        f"{prompts}.0.role": "user", f"{prompts}.0.content": "Where?", f"{answers}.0.role": "assistant",
        f"{answers}.0.content": "I look.", f"{answers}.0.finish_reason": "tool_calls",
        f"{answers}.0.function_call.name": "find", f"{answers}.0.function_call.arguments": '{"q": "a"}',
        f"{answers}.1.function_call.name": "find", f"{answers}.1.function_call.arguments": '{"q": "b"}',
    }, scope="litellm", name="litellm_request"))  # fmt: skip
    assert _shapes(made) == [("user", ["text"])] and made.output_text == "I look."
    assert _calls(made) == PARALLEL and len(made.output_messages) == 1


def test_litellms_raw_exchange_lends_the_ids_of_calls_and_carries_no_call() -> None:
    request = span({
        "llm.request.type": "completion", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Where?", "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.finish_reason": "tool_calls", "gen_ai.completion.0.function_call.name": "find",
        "gen_ai.completion.0.function_call.arguments": '{"q": "a"}',
    }, scope="litellm", name="litellm_request")  # fmt: skip
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"q": "a"}'}}
    choice = {
        "index": 0,
        "finish_reason": "tool_calls",
        "message": {"role": "assistant", "tool_calls": [call]},
    }
    exchange = span({
        "llm.openai.messages": repr([{"role": "user", "content": "Where?"}]), "llm.openai.id": "chatcmpl-1",
        "llm.openai.choices": repr([choice]),
    }, scope="litellm", name="raw_gen_ai_request", span_id="02" * 8, parent="01" * 8, start=1)  # fmt: skip
    carrier, other = dialects.assemble([exchange, request], []).spans
    assert carrier.llm is not None and carrier.llm.tool_calls[0].id == "t1"
    assert other.llm is not None and other.llm.duplicate_of == carrier.span_id


def _chunk(at: int, **choice: Any) -> Any:
    value = {"id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18", "choices": [{"index": 0, **choice}]}
    return event(f"mlflow.chunk.item.{at}", at=at + 10, mlflow__chunk__value=json.dumps(value))


def test_mlflows_chunks_tell_what_the_streams_text_does_not() -> None:
    attributes = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanOutputs": '"I look."',
                  "mlflow.spanInputs": json.dumps({"model": "gpt-4o-mini", "messages": [], "stream": True})}  # fmt: skip
    call = {"index": 0, "id": "t1", "function": {"name": "find", "arguments": '{"q": "a"}'}}
    events = [_chunk(0, delta={"content": "I look."}), _chunk(1, delta={"tool_calls": [call]}),
              _chunk(2, delta={}, finish_reason="tool_calls")]  # fmt: skip
    made = _llm(span(attributes, events=events))
    assert made.output_text == "I look." and _calls(made) == PARALLEL[:1]
    assert (made.finish_reason, made.response_id) == ("tool_calls", "chatcmpl-1")
    assert made.response_model == "gpt-4o-mini-2024-07-18"
    refused = _llm(
        span({**attributes, "mlflow.spanOutputs": '""'}, events=[_chunk(0, delta={"refusal": "No."})])
    )
    assert refused.refusal == "No."


@pytest.mark.parametrize(
    ("end", "told"), [("length", "length"), ("content_filter", "content_filter"), ("stop", "stop")]
)
def test_the_chunks_tell_how_a_stream_ended_and_what_was_thought_where_mlflows_own_response_does_not(
    end: str, told: str
) -> None:
    whole = {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
             "message": {"role": "assistant", "content": "Par is"}}]}  # fmt: skip
    attributes = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanOutputs": json.dumps(whole),
                  "mlflow.spanInputs": json.dumps({"model": "m", "messages": [], "stream": True})}  # fmt: skip
    events = [_chunk(0, delta={"role": "assistant", "content": None, "reasoning_content": "Let me "}),
              _chunk(1, delta={"reasoning_content": "think."}), _chunk(2, delta={"content": "Par is"}),
              _chunk(3, delta={}, finish_reason=end)]  # fmt: skip
    made = _llm(span(attributes, events=events))
    assert (made.finish_reason, made.output_text) == (told, "Par is")
    assert [(p.type, p.text) for p in made.output_messages[0].parts] == [
        ("reasoning", "Let me think."),
        ("text", "Par is"),
    ]


@pytest.mark.parametrize("finish", ["FinishReason.SAFETY", "content_filter"])
def test_a_printed_none_is_no_answer_where_the_answer_was_withheld(finish: str) -> None:
    answer = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "None"}]}])
    given = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": answer}
    withheld = _llm(span({**given, "gen_ai.response.finish_reasons": [finish]}))
    assert (withheld.finish_reason, withheld.output_text) == ("content_filter", None)
    assert _llm(span({**given, "gen_ai.response.finish_reasons": ["stop"]})).output_text == "None"


def test_the_response_tells_reasoning_and_what_a_providers_tool_returned_where_the_flattened_answer_does_not() -> (
    None
):
    said = {
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Paris.",
    }
    answer = {"role": "assistant", "content": "Paris.", "reasoning_content": "Let me think."}
    response = {"id": "chatcmpl-1", "choices": [{"index": 0, "finish_reason": "stop", "message": answer}]}
    thought = _llm(span({**LLM_KIND, **said, "output.value": json.dumps(response)}))
    assert [p.type for p in thought.output_messages[0].parts] == ["reasoning", "text"]
    found = [{"type": "web_search_result", "url": "https://x.test", "title": "Paris"}]
    searched = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": found}
    content = "llm.output_messages.0.message.contents."
    flat = {
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "s1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "web_search",
        f"{content}0.message_content.type": "web_search_tool_result",
        f"{content}0.message_content.text": json.dumps(searched),
        f"{content}1.message_content.type": "text",
        f"{content}1.message_content.text": "Paris.",
        "llm.finish_reason": "end_turn",
    }
    blocks = [{"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}, searched,
              {"type": "text", "text": "Paris."}]  # fmt: skip
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": blocks,
        "stop_reason": "end_turn",
    }
    asked = _llm(span({**LLM_KIND, **flat, "output.value": json.dumps(message)}))
    parts = [p for m in asked.output_messages for p in m.parts]
    assert {(p.type, p.id) for p in parts} == {("tool_call", "s1"), ("tool_result", "s1"), ("text", None)}
    assert [p.result for p in parts if p.type == "tool_result"] == [found]
    assert (asked.finish_reason, asked.output_text) == ("stop", "Paris.")


def test_an_answer_that_is_a_list_of_printed_chunks_is_put_together() -> None:
    def chunk(**choice: Any) -> str:
        return json.dumps({"id": "chatcmpl-1", "choices": [{"index": 0, **choice}], "model": "gpt-4o-mini-2024-07-18",
                           "object": "chat.completion.chunk", "usage": None})  # fmt: skip

    call = {"index": 0, "id": "t1", "function": {"name": "find", "arguments": '{"q":'}}
    rest = {"index": 0, "function": {"arguments": ' "a"}'}}
    output = [chunk(delta={"content": "I "}), chunk(delta={"content": "look."}), chunk(delta={"tool_calls": [call]}),
              chunk(delta={"tool_calls": [rest]}), chunk(delta={}, finish_reason="tool_calls")]  # fmt: skip
    made = _llm(span({**LLM_KIND, "llm.model_name": "gpt-4o-mini", "output.value": json.dumps(output)}))
    assert made.output_text == "I look." and _calls(made) == PARALLEL[:1]
    assert made.stream is True and made.finish_reason == "tool_calls"


def test_a_call_that_raised_and_answered_nothing_has_failed_though_its_span_is_ok() -> None:
    raised = event("exception", exception__type="ModelProviderError", exception__message="too many requests")
    attributes = {**LLM_KIND, "llm.model_name": "m", "input.value": "Where?"}
    failed = span(attributes, events=[raised], status="ok")
    assert failed.status == "error" and failed.error is not None and failed.error.class_ == "rate_limit"
    answered = span({**attributes, "output.value": "There."}, events=[raised], status="ok")
    assert answered.status == "ok" and answered.error is None


def test_arguments_that_only_the_response_has_are_those_of_the_flattened_call() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"q": "a"}'}}
    stem = "llm.output_messages.0.message.tool_calls.0.tool_call"
    made = _llm(span({
        **LLM_KIND, "llm.output_messages.0.message.role": "assistant", f"{stem}.id": "t1", f"{stem}.function.name": "find",
        "input.value": json.dumps({"args": [[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where?"}]]}),
        "output.value": json.dumps({"role": "assistant", "content": None, "tool_calls": [call]}),
    }))  # fmt: skip
    assert (
        _calls(made) == PARALLEL[:1] and made.system == "Be kind." and _shapes(made) == [("user", ["text"])]
    )


def test_the_ai_sdk_is_read_before_what_was_translated_of_it() -> None:
    stem = "llm.output_messages.0.message.tool_calls.0.tool_call"
    metadata = {"anthropic": {"cacheCreationInputTokens": 0, "usage": {
        "input_tokens": 2000, "output_tokens": 9, "cache_read_input_tokens": 1024, "cache_creation_input_tokens": 0}}}  # fmt: skip
    made = _llm(span({
        **LLM_KIND, "ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "anthropic.messages",
        "ai.model.id": "claude-sonnet-4-20250514", "ai.prompt.messages": '[{"role": "user", "content": "Where?"}]',
        "ai.response.text": "I look.", "ai.usage.promptTokens": 2000, "ai.usage.completionTokens": 9,
        "ai.response.toolCalls": json.dumps([{"toolCallId": "t1", "toolName": "find", "input": '{"q": "a"}'}]),
        "ai.response.providerMetadata": json.dumps(metadata), f"{stem}.id": "t1", f"{stem}.function.name": "find",
        f"{stem}.function.arguments": json.dumps('{"q": "a"}'), "llm.token_count.prompt": 2000,
    }))  # fmt: skip
    assert made.output_text == "I look." and _calls(made) == PARALLEL[:1]
    assert (made.usage.input_tokens, made.usage.cached_input_tokens) == (3024, 1024)


def test_an_answered_call_that_repeats_what_a_tool_raised_is_no_transport_error() -> None:
    raised = [event("exception", exception__type="Error", exception__message="upstream 503")]
    root = span(
        {"ai.operationId": "ai.generateText"}, status="error", message="upstream 503", span_id="0a" * 8
    )
    tool = span({"ai.operationId": "ai.toolCall", "ai.toolCall.name": "find"}, status="error", events=raised,
                span_id="0b" * 8, parent="0a" * 8)  # fmt: skip
    said = {"ai.operationId": "ai.generateText.doGenerate", "ai.response.text": "It is down."}
    call = span(said, status="error", message="upstream 503", span_id="0c" * 8, parent="0a" * 8, start=10)
    assert dialects.assemble([root, tool, call], []).error_class is None
    silent = span({"ai.operationId": "ai.generateText.doGenerate"}, status="error", message="upstream 503",
                  span_id="0c" * 8, parent="0a" * 8, start=10)  # fmt: skip
    assert dialects.assemble([root, tool, silent], []).error_class == "server_error"


def test_flattened_calls_may_be_printed_twice_or_be_empty() -> None:
    stem = "llm.input_messages.0.message"
    made = _llm(span({
        **LLM_KIND, f"{stem}.role": "user", f"{stem}.content": "Where?", f"{stem}.tool_calls.0.tool_call.id": None,
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "find",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": json.dumps('{"q": "a"}'),
    }))  # fmt: skip
    assert _shapes(made) == [("user", ["text"])] and _calls(made) == PARALLEL[:1]


def test_traceloops_thinking_belongs_to_the_answer_after_it() -> None:
    made = _llm(span({
        "llm.request.type": "completion", "gen_ai.request.model": "claude-sonnet-4-20250514", "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Where?", "gen_ai.completion.0.role": "thinking", "gen_ai.completion.0.content": "Hm.",
        "gen_ai.completion.0.finish_reason": "end_turn", "gen_ai.completion.1.role": "assistant",
        "gen_ai.completion.1.content": "There.",
    }))  # fmt: skip
    assert made.output_text == "There." and made.finish_reason == "stop"
    assert [[p.type for p in m.parts] for m in made.output_messages] == [["reasoning", "text"]]


def test_mastras_steps_are_its_calls_and_the_generation_around_them_repeats_them() -> None:
    def step(number: int, tokens: int) -> Span:
        body = {"id": f"chatcmpl-{number}", "model": "gpt-4o-mini-2024-07-18", "object": "chat.completion",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
                "usage": {"prompt_tokens": tokens, "completion_tokens": 5}}  # fmt: skip
        request = {
            "model": "gpt-4o-mini",
            "temperature": 0.2,
            "messages": [{"role": "user", "content": "Where?"}],
        }
        return span({
            "gen_ai.operation.name": "model.step", "mastra.span.type": "model_step", "body": json.dumps(body),
            "input": json.dumps({"body": request}), "output": json.dumps({"text": "x", "toolCalls": []}),
            "modelMetadata": json.dumps({"modelId": "gpt-4o-mini", "modelProvider": "openai.chat"}),
        }, span_id=f"0{number}" * 8, parent="0a" * 8, name=f"step: {number}", start=number * 10)  # fmt: skip

    outer = span({
        "gen_ai.operation.name": "chat", "mastra.span.type": "model_generation", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 10, "input": '{"messages": []}',
    }, span_id="0a" * 8, parent="0b" * 8)  # fmt: skip
    agent = span({"mastra.span.type": "agent_run", "agent.id": "support", "mastra.agent_run.input": "Where?",
                  "mastra.agent_run.output": '{"text": "There.", "files": []}',
                  "mastra.metadata.sessionId": "s-1", "mastra.metadata.userId": "u-7"}, span_id="0b" * 8)  # fmt: skip
    trace = dialects.assemble([agent, outer, step(1, 10), step(2, 20)], [])
    assert trace.totals.input_tokens == 30 and trace.totals.output_tokens == 10
    carried = [s.llm for s in trace.spans if s.llm is not None and s.llm.duplicate_of is None]
    assert [(c.response_id, c.response_model, c.provider) for c in carried] == [
        ("chatcmpl-1", "gpt-4o-mini-2024-07-18", "openai"),
        ("chatcmpl-2", "gpt-4o-mini-2024-07-18", "openai"),
    ]
    assert (trace.input_text, trace.output_text) == ("Where?", "There.")
    assert (trace.context.session_id, trace.context.user_id, trace.context.agent_name) == (
        "s-1",
        "u-7",
        "support",
    )


def test_a_mastra_call_that_ended_with_an_error_has_failed() -> None:
    step = span(
        {"mastra.span.type": "model_step", "mastra.model_step.output": '{"text": "", "toolCalls": []}'}
    )
    call = span({"mastra.span.type": "model_inference", "gen_ai.operation.name": "chat",
                 "gen_ai.response.finish_reasons": '["error"]', "gen_ai.request.model": "m"})  # fmt: skip
    assert step.kind == "workflow" and call.kind == "llm" and call.status == "error"
    tool = span({"mastra.span.type": "tool_call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find",
                 "gen_ai.tool.call.result": '{"found": 1}'}, name="execute_tool find")  # fmt: skip
    assert tool.tool is not None and (tool.tool.name, tool.tool.result) == ("find", {"found": 1})


def test_each_choice_on_an_event_that_bears_its_place_is_an_answer() -> None:
    made = _llm(
        span(
            {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": ["stop"]},
            events=[
                event("gen_ai.content.prompt", gen_ai__prompt="user: Capital?"),
                event("gen_ai.content.completion.1", gen_ai__completion="Lyon."),
                event("gen_ai.content.completion.0", gen_ai__completion="Paris."),
            ],
        )
    )
    assert [m.text for m in made.output_messages] == ["Paris.", "Lyon."] and made.output_text == "Paris."
