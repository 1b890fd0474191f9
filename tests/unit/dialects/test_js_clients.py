"""Shapes that JavaScript's clients send: usage as an event, sums over steps, calls told apart from their ids."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import event, log, raw, span
from watchkeeper import dialects
from watchkeeper.dialects import spellings
from watchkeeper.model.span import LLM, ErrorInfo, Part, Span, Tool, Usage

CALL: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}  # fmt: skip
LLM_KIND = {"openinference.span.kind": "LLM", "llm.model_name": "m"}


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _tool(made: Span) -> Tool:
    assert made.tool is not None
    return made.tool


def _used(attributes: dict[str, Any], given: int, got: int) -> dict[str, Any]:
    return {**attributes, "gen_ai.usage.input_tokens": given, "gen_ai.usage.output_tokens": got}


@pytest.mark.parametrize(
    ("told", "meant"),
    [("endTurn", "stop"), ("maxTokens", "length"), ("toolUse", "tool_calls"), ("END_TURN", "stop"), ("tool-calls", "tool_calls"),
     ("FinishReason.STOP", "stop"), ("content filter", "content_filter"), ("blocked", "content_filter"), ("why", None)],
)  # fmt: skip
def test_an_end_is_the_same_however_its_words_are_joined(told: str, meant: str | None) -> None:
    assert spellings.finish_reason(told, False) == meant


def test_a_name_of_a_clients_own_says_by_its_end_what_it_is() -> None:
    told = {
        "acme.ai.finish_reason": "tool_calls",
        "acme.usage.input_tokens": 9,
        "acme.usage.output_tokens": 3,
    }
    made = _llm(span({**LLM_KIND, **told, "output.value": "Hi."}))
    assert (made.finish_reason, made.usage) == ("tool_calls", Usage(9, 3))
    known = _llm(span({**_used(CALL, 5, 1), **told, "gen_ai.response.finish_reasons": ["stop"]}))
    assert (known.finish_reason, known.usage) == ("stop", Usage(5, 1))
    tool = {"openinference.span.kind": "TOOL", "tool.name": "find", "acme.tool.call.id": "c1"}
    assert _tool(span(tool, kind="internal")).call_id == "c1"
    assert span({"acme.usage.input_tokens": 9}, name="step", kind="internal").llm is None


def test_an_answer_may_lie_in_an_object_of_messages() -> None:
    said = {"role": "assistant", "parts": [{"type": "text", "content": "Hi."}]}
    told = {"version": "0.1.0", "messages": [said]}
    assert _llm(span({**CALL, "gen_ai.output.messages": json.dumps(told)})).output_text == "Hi."
    told["messages"] = [{"role": "user", "content": "Hello?"}, said]
    assert _llm(span({**CALL, "gen_ai.output.messages": json.dumps(told)})).output_text == "Hi."


def test_states_a_stream_went_through_are_no_ends() -> None:
    assert (
        _llm(span({**CALL, "gen_ai.response.finish_reasons": ["in_progress", "completed"]})).finish_reason
        == "stop"
    )
    assert (
        _llm(span({**CALL, "gen_ai.response.finish_reasons": ["later", "never"]})).finish_reason_raw
        == "later"
    )


def test_usage_may_be_an_event_and_a_parameter_that_was_not_set_is_none() -> None:
    usage = event("gen_ai.usage", gen_ai__usage__input_tokens=9, gen_ai__usage__output_tokens=3)
    piece = event("stream.chunk", at=40)
    asked = {**CALL, "gen_ai.request.max_tokens": "Not set", "gen_ai.request.temperature": 0.2,
             "gen_ai.request.llm_is_streaming": True}  # fmt: skip
    made = _llm(span(asked, events=[piece, usage]))
    assert (made.usage, made.params, made.stream) == (Usage(9, 3), {"temperature": 0.2}, True)
    assert made.ttft_ms == 40


def test_events_without_content_are_no_empty_messages() -> None:
    spoken = [event("gen_ai.system.message"), event("gen_ai.user.message", part_count=1)]
    pieces = [event("gen_ai.choice", at=at, index=0, has_content=True) for at in (11, 12)]
    end = event("gen_ai.choice", at=13, index=0, finish_reason="stop")
    made = _llm(span(CALL, events=[*spoken, *pieces, end]))
    assert made.input_messages == [] and made.finish_reason == "stop" and len(made.output_messages) == 1


def test_pieces_of_one_choice_are_one_answer_and_two_choices_stay_two() -> None:
    pieces = [
        event("gen_ai.choice", at=at, index=0, content=text) for at, text in ((11, "The "), (12, "end."))
    ]
    end = event("gen_ai.choice", at=13, index=0, finish_reason="stop")
    assert _llm(span(CALL, events=[*pieces, end])).output_text == "The end."
    choices = [event("gen_ai.choice", index=i, content=t, finish_reason="stop") for i, t in enumerate("ab")]
    assert [
        m.text for m in _llm(span({**CALL, "gen_ai.request.choice.count": 2}, events=choices)).output_messages
    ] == ["a", "b"]


def test_a_request_to_a_provider_is_a_call_though_nothing_of_its_answer_is_told() -> None:
    asked = {"gen_ai.provider.name": "aws.bedrock", "gen_ai.request.model": "claude-3-5-sonnet"}
    assert span(asked, name="bedrock.completion").kind == "llm"
    assert span(asked, name="bedrock.completion", kind="internal").kind != "llm"
    assert (
        span({**asked, "gen_ai.request.model": "titan-embed-text-v2"}, name="InvokeModel").kind == "embedding"
    )


def test_vectors_told_as_an_answer_are_an_embedding_with_the_count_beside_them() -> None:
    made = span(
        {**LLM_KIND, "llm.model_name": "titan-embed-text-v2", "llm.output_messages.0.message.role": "assistant",
         "output.value": json.dumps({"embedding": [0.1, 0.2], "inputTextTokenCount": 9})}
    )  # fmt: skip
    assert made.kind == "embedding" and _llm(made).usage.input_tokens == 9


def _steps(ids: tuple[str | None, str | None, str | None], counts: list[tuple[int, int]]) -> list[Span]:
    outer, *inner = [
        _used({**CALL, **({"gen_ai.response.id": i} if i else {})}, *c)
        for i, c in zip(ids, counts, strict=True)
    ]
    agent = span({"gen_ai.operation.name": "invoke_agent"}, span_id="0a" * 8)
    return [
        agent,
        span(outer, span_id="0b" * 8, parent="0a" * 8),
        span(inner[0], span_id="0c" * 8, parent="0b" * 8, start=1),
        span(inner[1], span_id="0d" * 8, parent="0b" * 8, start=500),
    ]


@pytest.mark.parametrize(
    "ids", [("r-22222", "r-11111", "r-22222"), (None, "r-11111", "r-22222"), (None, None, None)]
)
def test_a_sum_over_steps_is_no_call_though_it_has_the_last_ones_id(ids: tuple[str | None, ...]) -> None:
    spans = _steps((ids[0], ids[1], ids[2]), [(200, 35), (80, 20), (120, 15)])
    for order in (spans, spans[::-1]):
        made = dialects.assemble(order, [])
        assert (made.totals.input_tokens, made.totals.output_tokens) == (200, 35)
        assert [s.span_id for s in made.llm_calls] == ["0c" * 8, "0d" * 8]


def test_equal_steps_under_their_sum_stay_two_calls() -> None:
    made = dialects.assemble(_steps((None, None, None), [(160, 40), (80, 20), (80, 20)]), [])
    assert made.totals.input_tokens == 160 and len(made.llm_calls) == 2


def test_sums_around_sums_count_nothing_either() -> None:
    spans = _steps((None, None, None), [(200, 35), (80, 20), (120, 15)])
    around = span(_used(CALL, 200, 35), span_id="0e" * 8, parent="0a" * 8)
    spans[1] = span(_used(CALL, 200, 35), span_id="0b" * 8, parent="0e" * 8)
    assert dialects.assemble([*spans, around], []).totals.input_tokens == 200


def test_results_and_tools_without_ids_get_those_of_the_calls_they_answer() -> None:
    calls = [{"type": "tool_call", "id": f"c{n}", "name": "find", "arguments": {"n": n}} for n in (1, 2)]
    said = [{"role": "assistant", "parts": calls, "finish_reason": "tool_calls"}]
    told = [{"role": "user", "parts": [{"type": "text", "content": "Hi?"}]},
            {"role": "tool", "content": '{"error": "down"}'}, {"role": "tool", "content": "two"}]  # fmt: skip
    first = span({**CALL, "gen_ai.output.messages": json.dumps(said)}, span_id="0a" * 8)
    tools = [
        span({}, name="execute_tool find", scope="gcp.vertex.agent", kind="internal", span_id=i * 8, start=s)
        for i, s in (("0b", 2), ("0c", 3))
    ]
    last = span({**CALL, "gen_ai.input.messages": json.dumps(told)}, span_id="0d" * 8, start=500)
    made = {s.span_id: s for s in dialects.assemble([last, *tools, first], []).spans}
    given = _llm(made["0d" * 8]).input_messages
    assert [m.role for m in given] == ["user", "assistant", "tool", "tool"]
    assert [m.parts[0].id for m in given[2:]] == ["c1", "c2"]
    assert _tool(made["0b" * 8]) == Tool("find", "c1", {"n": 1}, {"error": "down"}, "down")
    assert made["0b" * 8].error == ErrorInfo("tool_error", "down")
    assert _tool(made["0c" * 8]) == Tool("find", "c2", {"n": 2}, "two")


def test_a_result_answers_the_call_whose_tool_returned_it() -> None:
    asked = {**CALL, "gen_ai.response.finish_reasons": ["tool_calls"]}
    first = span(asked, span_id="0a" * 8)
    tools = [
        span({"gen_ai.tool.name": "find", "gen_ai.tool.call.id": i, "gen_ai.tool.call.result": result}, kind="internal",
             name="run", span_id=s * 8, parent="0a" * 8)
        for i, s, result in (("c2", "0b", "two"), ("c1", "0c", "one"))
    ]  # fmt: skip
    told = [
        {"role": "user", "content": "Hi?"},
        {"role": "tool", "content": "one"},
        {"role": "tool", "content": "two"},
    ]
    last = span({**CALL, "gen_ai.input.messages": json.dumps(told)}, span_id="0d" * 8, start=500)
    made = {s.span_id: s for s in dialects.assemble([first, *tools, last], []).spans}
    results = [p for m in _llm(made["0d" * 8]).input_messages for p in m.parts if p.type == "tool_result"]
    assert [(p.id, p.result) for p in results] == [("c1", "one"), ("c2", "two")]


def test_as_many_results_as_calls_or_none_gets_an_id() -> None:
    told = [{"role": "tool", "content": "one"}, {"role": "tool", "content": "two"}]
    call = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "find"}]}]
    first = span({**CALL, "gen_ai.output.messages": json.dumps(call)}, span_id="0a" * 8)
    last = span({**CALL, "gen_ai.input.messages": json.dumps(told)}, span_id="0b" * 8, start=500)
    made = dialects.assemble([first, last], []).spans[1]
    assert [p.id for m in _llm(made).input_messages for p in m.parts] == [None, None]


def test_what_went_into_a_tool_may_be_said_in_its_name() -> None:
    told = {"gen_ai.tool.name": "find", "gen_ai.tool.call.id": "c1"}
    made = span({**told, "gen_ai.input.messages": json.dumps([{"role": "tool", "content": '{"n": 1}'}]),
                 "gen_ai.output.messages": json.dumps([{"role": "tool", "content": "one"}])}, kind="internal")  # fmt: skip
    assert _tool(made) == Tool("find", "c1", {"n": 1}, "one")


def test_a_tool_is_known_by_the_id_of_its_call_or_by_its_parameters() -> None:
    made = span(
        {"tool.name": "find", "tool.mode": "native", "function.id": "c1"}, name="Tool: find", kind="internal"
    )
    assert (made.kind, _tool(made).call_id) == ("tool", "c1")
    made = span({"tool": "find", "parameters": '{"n": 1}'}, name="Toolkit.handle", kind="internal")
    assert made.kind == "tool" and _tool(made) == Tool("find", None, {"n": 1})


def test_a_failed_call_that_says_nothing_failed_as_the_request_beneath_it() -> None:
    call = span(CALL, status="error", span_id="0a" * 8)
    tries = [
        span({"http.request.method": "POST", "http.response.status_code": code}, name="POST", status="error",
             span_id=i * 8, parent="0a" * 8, start=s)
        for i, s, code in (("0b", 1, 500), ("0c", 2, 429))
    ]  # fmt: skip
    made = dialects.assemble([*tries, call], [])
    assert made.spans[0].error == ErrorInfo("rate_limit", "HTTP 429") and made.error_class == "rate_limit"
    assert call.error == ErrorInfo("other")


def test_an_unknown_type_of_error_yields_to_what_was_raised() -> None:
    raised = event("exception", exception__type="RateLimitError", exception__message="slow down")
    made = span(
        {**CALL, "error.type": "unknown", "gen_ai.capability.name": "support"},
        status="error",
        events=[raised],
    )
    assert made.error == ErrorInfo("rate_limit", "slow down", "RateLimitError")
    assert made.context.workflow == "support"


def test_ids_may_lie_under_a_clients_prefix_and_a_wrappers_prompt_be_messages() -> None:
    prefix = "ai.telemetry.metadata.raindrop."
    prompt = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi?"}]},
    ]
    made = span({"ai.operationId": "ai.generateText", f"{prefix}convoId": "s-1", f"{prefix}ai.userId": "u-7",
                 f"{prefix}request.user": "Ann", "ai.prompt": json.dumps(prompt)}, kind="internal")  # fmt: skip
    assert (made.context.session_id, made.context.user_id, made.input_text) == ("s-1", "u-7", "Hi?")


def test_what_anthropic_counts_beside_its_input_is_in_the_total() -> None:
    told = {**_used(CALL, 30, 60), "gen_ai.usage.total_tokens": 1114}
    assert _llm(span({**told, "gen_ai.provider.name": "anthropic"})).usage == Usage(
        1054, 60, input_tokens_as_sent=30
    )
    assert _llm(span(told)).usage == Usage(30, 60)


def test_a_text_among_the_calls_is_no_call() -> None:
    calls = [{"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hm."}]},
             {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "find", "arguments": "{}"}]  # fmt: skip
    made = _llm(
        span({**CALL, "gen_ai.response.text": "Hm.", "gen_ai.response.tool_calls": json.dumps(calls)})
    )
    assert [(c.id, c.name) for c in made.tool_calls] == [("c1", "find")] and made.output_text == "Hm."


def _constructed(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", kind], "kwargs": kwargs}


def test_a_conversation_flattened_in_part_is_read_from_the_whole() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    whole = [_constructed("SystemMessage", content=[{"type": "text", "text": "Be brief."}]),
             _constructed("AIMessage", content="", additional_kwargs={"tool_calls": [call]}),
             _constructed("ToolMessage", content="one", tool_call_id="c1")]  # fmt: skip
    prefix = "llm.input_messages"
    flattened = {f"{prefix}.0.message.role": "system", f"{prefix}.1.message.role": "assistant",
                 f"{prefix}.1.message.tool_calls.0.tool_call.function.name": "find",
                 f"{prefix}.2.message.role": "tool", f"{prefix}.2.message.content": "one"}  # fmt: skip
    made = _llm(span({**LLM_KIND, **flattened, "input.value": json.dumps({"messages": [whole]})}))
    assert made.system == "Be brief."
    assert [m.parts[0].id for m in made.input_messages] == ["c1", "c1"]


def test_langchains_answer_in_js_tells_its_id_its_end_and_that_it_was_streamed() -> None:
    message = _constructed(
        "AIMessageChunk", content="Hi.", id="msg_1", additional_kwargs={"stop_reason": "end_turn"}
    )
    answer = {"generations": [[{"text": "Hi.", "generationInfo": {}, "message": message}]],
              "llmOutput": {"tokenUsage": {"promptTokens": 9, "completionTokens": 3}}}  # fmt: skip
    made = _llm(span({**LLM_KIND, "output.value": json.dumps(answer)}))
    assert (made.response_id, made.finish_reason, made.stream, made.usage) == (
        "msg_1",
        "stop",
        True,
        Usage(9, 3),
    )
    message["kwargs"]["id"] = "lc_run--019"
    assert _llm(span({**LLM_KIND, "output.value": json.dumps(answer)})).response_id is None


def test_blocks_dumped_into_a_text_are_its_texts() -> None:
    dumped = json.dumps([{"type": "text", "text": "Be brief."}])
    told = [{"role": "system", "parts": [{"type": "text", "content": dumped}]}]
    assert _llm(span({**CALL, "gen_ai.input.messages": json.dumps(told)})).system == "Be brief."


def test_mastras_own_type_outranks_the_kind_its_exporter_adds() -> None:
    kind = {"openinference.span.kind": "LLM"}
    assert span({**kind, "mastra.span.type": "model_chunk"}).kind == "other"
    body = {"id": "r-1", "model": "gpt-4o-mini-2024-07-18", "usage": {"prompt_tokens": 9, "completion_tokens": 3},
            "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}]}  # fmt: skip
    made = span({**kind, "mastra.span.type": "model_step", "mastra.model_step.output": json.dumps({"text": "Hi."}),
                 "metadata": json.dumps({"body": json.dumps(body)})})  # fmt: skip
    assert (made.kind, _llm(made).usage, _llm(made).finish_reason) == ("llm", Usage(9, 3), "stop")
    assert span({**kind, "mastra.span.type": "agent_run", "mastra.tags": ["a"]}).context.tags == ["a"]
    made = span({**kind, "mastra.span.type": "model_generation", "llm.token_count.prompt": 9})
    assert made.kind == "llm"


def test_strands_cycles_are_steps_under_either_name() -> None:
    for key in ("event_loop.cycle_id", "agent_loop.cycle_id"):
        assert span({key: "1"}, name="cycle", kind="internal", scope="strands-agents").kind == "workflow"


def test_a_pending_span_is_the_one_it_announces_until_that_ends() -> None:
    pending = {
        "logfire.span_type": "pending_span",
        "logfire.pending_parent_id": "0" * 16,
        "logfire.msg": "ask",
    }
    announced = span(pending, name="ask", span_id="0b" * 8, parent="0a" * 8, kind="internal", end=0)
    assert (announced.span_id, announced.parent_id, announced.end_ns) == ("0a" * 8, None, 0)
    alone = dialects.assemble([announced], [])
    assert not alone.complete and alone.orphan_parents == []
    ended = span({"logfire.msg": "ask"}, name="ask", span_id="0a" * 8, kind="internal")
    for order in ([announced, ended], [ended, announced]):
        made = dialects.assemble(order, [])
        assert [s.end_ns for s in made.spans] == [ended.end_ns] and made.complete


def test_a_content_that_js_prints_for_none_is_none() -> None:
    told = {"llm.request.type": "chat", "gen_ai.request.model": "m", "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "null",
            "gen_ai.prompt.1.role": "assistant", "gen_ai.prompt.1.content": "null"}  # fmt: skip
    assert [m.text for m in _llm(span(told)).input_messages] == ["null", None]


def test_a_retriever_is_one_in_either_languages_spelling() -> None:
    for name in ("vector_index_retriever.retrieve", "VectorIndexRetriever.task"):
        told = {"traceloop.span.kind": "task", "traceloop.entity.input": json.dumps({"args": ["Where?"], "kwargs": {}}),
                "traceloop.entity.output": json.dumps([{"node": {"id_": "d1", "text": "Here."}, "score": 0.5}])}  # fmt: skip
        made = span(told, name=name, kind="internal")
        assert made.retrieval is not None and made.retrieval.query == "Where?"
        assert [(d.id, d.score) for d in made.retrieval.documents] == [("d1", 0.5)]


def test_genkits_answer_tells_its_end_and_the_providers_own_words() -> None:
    answer = {"finishReason": "stop", "message": {"role": "model", "content": [{"text": "Hi."}]},
              "usage": {"inputTokens": 1054, "outputTokens": 3},
              "raw": {"id": "r-1", "model": "gpt-4o-mini-2024-07-18",
                      "usage": {"prompt_tokens": 1054, "prompt_tokens_details": {"cached_tokens": 1024}}}}  # fmt: skip
    told = {"genkit:type": "action", "genkit:metadata:subtype": "model", "genkit:name": "openai/gpt-4o-mini"}
    made = _llm(span({**told, "genkit:output": json.dumps(answer)}))
    assert (made.finish_reason, made.response_id, made.usage) == ("stop", "r-1", Usage(1054, 3, 1024))


def test_a_retrievals_question_and_documents_may_be_made_of_blocks_and_its_result_a_text() -> None:
    told = {"genkit:type": "action", "genkit:metadata:subtype": "retriever", "genkit:name": "kb"}
    made = span({**told, "genkit:input": json.dumps({"query": {"content": [{"text": "Where?"}]}}),
                 "genkit:output": json.dumps({"documents": [{"content": [{"text": "Here."}], "metadata": {"id": "d1"}}]})})  # fmt: skip
    assert made.retrieval is not None and made.retrieval.query == "Where?"
    assert [(d.id, d.content) for d in made.retrieval.documents] == [("d1", "Here.")]
    made = span(
        {"span.type": "retriever", "entity.id": "a", "input": "Where?", "output": "Here."}, kind="internal"
    )
    assert made.retrieval is not None and [d.content for d in made.retrieval.documents] == ["Here."]


def test_a_part_of_a_message_is_never_changed_in_place() -> None:
    told = [{"role": "tool", "content": "one"}]
    call = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "find"}]}]
    first = span({**CALL, "gen_ai.output.messages": json.dumps(call)}, span_id="0a" * 8)
    last = dialects.normalise(
        raw({**CALL, "gen_ai.input.messages": json.dumps(told)}, span_id="0b" * 8, start=500)
    )
    dialects.assemble([first, last], [])
    assert _llm(last).input_messages[0].parts == [Part("tool_result", result="one")]


def test_why_a_responses_answer_was_cut_may_be_told_beside_that_it_was() -> None:
    told = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o-mini",
        "langfuse.observation.usage_details": '{"input": 9, "output": 0}',
        "langfuse.observation.metadata.status": "incomplete",
    }
    assert _llm(span(told)).finish_reason == "length"
    told["langfuse.observation.metadata.incomplete_details"] = '{"reason": "content_filter"}'
    assert _llm(span(told)).finish_reason == "content_filter"


def test_thoughts_that_only_the_providers_own_count_tells_are_output() -> None:
    told = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.provider": "google.generative-ai",
        "ai.model.id": "gemini-2.5-flash",
        "ai.usage.promptTokens": 1000,
        "ai.usage.completionTokens": 40,
    }
    own = {"promptTokenCount": 1000, "candidatesTokenCount": 40, "thoughtsTokenCount": 60,
           "cachedContentTokenCount": 800, "totalTokenCount": 1100}  # fmt: skip
    told["ai.response.providerMetadata"] = json.dumps(
        {"google": {"safetyRatings": None, "usageMetadata": own}}
    )
    assert _llm(span(told)).usage == Usage(1000, 100, 800, None, 60)
    # A version that counts them itself is not counted twice.
    assert _llm(span({**told, "ai.usage.completionTokens": 100})).usage.output_tokens == 100


def test_a_conversation_of_one_question_that_is_printed_into_a_message_is_the_question() -> None:
    def asked(printed: Any) -> list[str | None]:
        said = [{"role": "user", "parts": [{"type": "text", "content": json.dumps(printed)}]}]
        made = span({**CALL, "gen_ai.input.messages": json.dumps(said)})
        return [m.text for m in _llm(made).input_messages]

    assert asked([{"role": "user", "content": "How warm is it?"}]) == ["How warm is it?"]
    records = [{"role": "user", "content": "x", "id": 7}]
    assert asked(records) == [json.dumps(records)]


def test_a_refusal_that_was_flattened_as_a_text_is_a_refusal() -> None:
    answer = {"object": "response", "id": "r1", "status": "completed", "model": "m",
              "output": [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}]}  # fmt: skip
    prefix = "llm.output_messages.0.message."
    told = {f"{prefix}role": "assistant", f"{prefix}contents.0.message_content.type": "text",
            f"{prefix}contents.0.message_content.text": "No."}  # fmt: skip
    made = _llm(span({**LLM_KIND, **told, "output.value": json.dumps(answer)}))
    assert (made.refusal, made.output_text) == ("No.", None)


@pytest.mark.parametrize(
    "message", ["Resource has been exhausted (e.g. check quota).", "Resource has been exhausted"]
)
def test_an_exhausted_resource_is_a_limit_of_rate(message: str) -> None:
    assert spellings.error_class("AI_APICallError", message, None) == "rate_limit"


def test_what_was_left_out_of_the_counts_is_what_the_total_leaves() -> None:
    told = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "m"}

    def used(**counts: int | None) -> Usage:
        return _llm(span({**told, "langfuse.observation.usage_details": json.dumps(counts)})).usage

    assert used(input=23, output=None, total=23) == Usage(23, 0)
    assert used(input=23, output=None, total=60) == Usage(23, 37)
    assert used(input=23, output=None) == Usage(23)
    made = span({**CALL, "gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 7, "gen_ai.usage.total_tokens": 7})  # fmt: skip
    assert _llm(made).usage == Usage(7)


def test_a_tool_that_speaks_under_its_own_name_answers_its_call() -> None:
    call = {"id": "c1", "name": "get_weather", "args": {"city": "Oslo"}, "type": "tool_call"}
    given = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": [], "tool_calls": [call]},
             {"role": "get_weather", "content": "4", "additional_kwargs": {}}]  # fmt: skip
    told = {"langfuse.observation.type": "generation", "langfuse.observation.input": json.dumps(given)}
    made = dialects.assemble([dialects.normalise(raw(told))], [])
    asked = _llm(made.spans[0]).input_messages
    assert [m.role for m in asked] == ["user", "assistant", "tool"]
    assert [(p.id, p.name, p.result) for p in asked[2].parts] == [("c1", "get_weather", "4")]
    given[2]["role"] = "narrator"
    told["langfuse.observation.input"] = json.dumps(given)
    assert [m.role for m in _llm(span(told)).input_messages] == ["user", "assistant", "user"]


def test_pieces_of_a_stream_told_as_messages_are_one_answer() -> None:
    def answered(*ends: str) -> LLM:
        words = zip(("It ", "is ", "sunny."), ends, strict=True)
        told = [
            {"role": "assistant", "parts": [{"type": "text", "content": w}], "finish_reason": e}
            for w, e in words
        ]
        return _llm(span({**CALL, "gen_ai.output.messages": json.dumps(told)}))

    whole = answered("", "", "stop")
    assert (whole.output_text, whole.finish_reason, whole.stream) == ("It is sunny.", "stop", True)
    assert len(whole.output_messages) == 1 and answered("", "", "").output_text == "It is sunny."
    # Choices end each by itself.
    assert len(answered("stop", "stop", "stop").output_messages) == 3


def test_who_asked_may_stand_in_the_record_alone() -> None:
    record = log(
        "gen_ai.client.inference.operation.details", None, {"user.id": "u-1", "gen_ai.conversation.id": "s-1"}
    )
    made = dialects.assemble([dialects.normalise(raw(CALL))], [record])
    assert (made.context.user_id, made.context.session_id) == ("u-1", "s-1")


def test_tools_under_ids_that_the_conversation_does_not_know_ran_its_calls_in_order() -> None:
    def call(code: str) -> dict[str, Any]:
        # The ids come again with every answer.
        return {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "track_0", "name": "track", "arguments": {"code": code}}],
        }

    def result(value: Any) -> dict[str, Any]:
        return {"role": "tool", "parts": [{"type": "tool_call_response", "id": "track_0", "response": value}]}

    asked = {"role": "user", "parts": [{"type": "text", "content": "Where are they?"}]}
    first, second = call("a"), call("b")
    turns = [([asked], first), ([asked, first, result("here")], second),
             ([asked, first, result("here"), second, result({"error": "lost"})], {"role": "assistant", "parts": []})]  # fmt: skip
    told = [
        raw({**CALL, "gen_ai.input.messages": json.dumps(given), "gen_ai.output.messages": json.dumps([said])},
            span_id=f"{i}a" * 8, start=i * 10)
        for i, (given, said) in enumerate(turns)
    ]  # fmt: skip
    ran = [
        raw({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "track", "gen_ai.tool.call.id": f"own-{i}"},
            span_id=f"{i}b" * 8, start=i * 10 + 5, name="execute_tool track")
        for i in range(2)
    ]  # fmt: skip

    def tools(*spans: Any) -> list[Tool]:
        made = dialects.assemble([dialects.normalise(s) for s in spans], [])
        return [_tool(s) for s in made.tools]

    whole = tools(*told, *ran)
    assert [(t.call_id, t.arguments) for t in whole] == [("own-0", {"code": "a"}), ("own-1", {"code": "b"})]
    assert [(t.result, t.error) for t in whole] == [("here", None), ({"error": "lost"}, "lost")]
    # Of one span it is not known which of the two calls it ran.
    assert [(t.arguments, t.result) for t in tools(*told, ran[0])] == [(None, None)]
