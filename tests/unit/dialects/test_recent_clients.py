"""Shapes of clients that were run most recently: xAI's own SDK."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.dialects.make import START, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, Span


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _call(more: dict[str, Any], **fields: Any) -> Span:
    told = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "xai", "gen_ai.request.model": "grok-4"}
    return span({**told, **more}, **fields)


def test_the_pieces_of_an_answer_are_read_where_the_whole_has_names_beside_them() -> None:
    began = datetime.fromtimestamp(START / 1e9 + 0.25, UTC).isoformat()
    made = _call(
        {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "Oslo.", "gen_ai.completion.start_time": began}
    )  # fmt: skip
    assert made.output_text == "Oslo."
    assert _llm(made).ttft_ms == pytest.approx(250)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("REASON_STOP", "stop"), ("REASON_MAX_LEN", "length"), ("REASON_MAX_CONTEXT", "length"),
     ("REASON_TOOL_CALLS", "tool_calls"), ("FINISH_REASON_SAFETY", "content_filter"), ("FinishReason.STOP", "stop"),
     ("finished", "stop"), ("REASON_INVALID", None)],
)  # fmt: skip
def test_a_finish_reason_is_read_from_the_name_it_has_in_an_enumeration(
    raw: str, expected: str | None
) -> None:
    assert _llm(_call({"gen_ai.response.finish_reasons": [raw]})).finish_reason == expected


def test_cached_text_and_a_cost_in_ticks_are_read() -> None:
    llm = _llm(_call({"gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.total_tokens": 48,
                      "gen_ai.usage.reasoning_tokens": 3, "gen_ai.usage.cached_prompt_text_tokens": 16,
                      "gen_ai.usage.cost_in_usd_ticks": 25_000_000}))  # fmt: skip
    usage = llm.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (40, 8, 16)
    assert (usage.reasoning_output_tokens, llm.cost_client) == (3, 0.0025)


def test_a_step_of_openais_agents_is_what_its_bare_type_says() -> None:
    def step(**told: Any) -> Span:
        return span(told, name="step", kind="internal")

    agent = step(type="agent", agent_name="Tour guide", handoffs=[], tools=["weather"])
    assert (agent.kind, agent.context.agent_name) == ("agent", "Tour guide")
    tool = step(type="function", name="weather", input='{"city": "Oslo"}', output="rain")
    assert tool.kind == "tool" and tool.tool is not None
    assert (tool.tool.name, tool.tool.arguments, tool.tool.result) == ("weather", {"city": "Oslo"}, "rain")
    guard = step(type="guardrail", name="polite", triggered=True)
    assert guard.kind == "guardrail" and guard.guardrail is not None
    assert (guard.guardrail.name, guard.guardrail.triggered) == ("polite", True)
    assert step(type="handoff", from_agent="Tour guide", to_agent="Cook").kind == "workflow"
    call = step(type="generation", model="gpt-4o-mini", input='[{"role": "user", "content": "Oslo?"}]',
                usage='{"input_tokens": 5, "output_tokens": 2}', output='[{"role": "assistant", "content": "Rain."}]')  # fmt: skip
    assert (call.kind, _llm(call).usage.input_tokens, call.output_text) == ("llm", 5, "Rain.")


@pytest.mark.parametrize("told", [{"type": "agent", "name": "n1"}, {"type": "function", "name": "f"},
                                  {"type": "guardrail"}, {"type": ["agent"], "agent_name": "x"}])  # fmt: skip
def test_a_bare_type_alone_says_nothing(told: dict[str, Any]) -> None:
    assert span(told, name="step", kind="internal").kind == "other"


def test_a_kind_under_a_prefix_is_read_with_the_values_that_stand_under_common_names() -> None:
    found = span({"acme.span.type": "retrieval", "input.value": '{"q": "Oslo?"}',
                  "output.value": '[{"id": "d1", "content": "Oslo", "score": 0.5}]'}, name="find", kind="internal")  # fmt: skip
    assert found.retrieval is not None and found.retrieval.query == "Oslo?"
    assert [(d.id, d.score) for d in found.retrieval.documents or []] == [("d1", 0.5)]


def test_whether_an_answer_was_streamed_is_read_under_a_prefix() -> None:
    assert _llm(_call({"acme.streaming": True})).stream is True


def test_a_conversation_under_the_names_of_a_request_and_a_response_is_read() -> None:
    made = _call({"gen_ai.prompt.messages": '[{"role": "system", "content": "Brief."}, {"role": "user", "content": "Oslo?"}]',
                  "gen_ai.completion.choices": '[{"message": {"role": "assistant", "content": "Rain."}}]'})  # fmt: skip
    assert (_llm(made).system, made.input_text, made.output_text) == ("Brief.", "Oslo?", "Rain.")


def test_what_an_unknown_client_says_under_its_prefix_is_read_in_the_words_of_others() -> None:
    call = span(
        {"acme.span.kind": "llm", "acme.llm.model_name": "gpt-4o-mini-2024-07-18", "acme.llm.provider": "openai",
         "acme.llm.temperature": 0.3, "acme.llm.is_streaming": True, "acme.llm.metrics.ttft_ms": 40.0,
         "acme.llm.input_messages.0.role": "user", "acme.llm.input_messages.0.content": "Oslo?",
         "acme.llm.output_messages.0.role": "assistant", "acme.llm.finish_reason": "tool_calls",
         "acme.llm.tool_calls.0.id": "c1", "acme.llm.tool_calls.0.name": "weather",
         "acme.llm.tool_calls.0.arguments": '{"city": "Oslo"}', "acme.llm.tools.0.name": "weather",
         "acme.llm.token_count.prompt": 30, "acme.llm.token_count.completion": 9, "acme.llm.token_count.total": 39,
         "acme.llm.token_count.cache_read": 8, "acme.llm.token_count.reasoning": 2},
        name="openai.chat", kind="internal",
    )  # fmt: skip
    llm = _llm(call)
    assert (call.kind, llm.response_model, llm.params.get("temperature")) == (
        "llm",
        "gpt-4o-mini-2024-07-18",
        0.3,
    )
    assert (llm.stream, llm.ttft_ms, llm.finish_reason, call.input_text) == (
        True,
        40.0,
        "tool_calls",
        "Oslo?",
    )
    assert [(c.id, c.name, c.arguments) for c in llm.tool_calls] == [("c1", "weather", {"city": "Oslo"})]
    assert [t["name"] for t in llm.tool_definitions] == ["weather"]
    usage = llm.usage
    assert (usage.input_tokens, usage.output_tokens) == (30, 9)
    assert (usage.cached_input_tokens, usage.reasoning_output_tokens) == (8, 2)
    tool = span({"acme.span.kind": "tool", "acme.tool.name": "weather", "acme.tool.input": '{"city": "Oslo"}',
                 "acme.tool.output": "rain"}, name="run", kind="internal").tool  # fmt: skip
    assert tool is not None and (tool.name, tool.arguments, tool.result) == (
        "weather",
        {"city": "Oslo"},
        "rain",
    )


def test_the_parts_of_counts_are_known_by_their_words() -> None:
    usage = _llm(_call({"gen_ai.usage.prompt_tokens": 30, "gen_ai.usage.completion_tokens": 9,
                        "gen_ai.usage.prompt_token_details.cached_read_tokens": 8,
                        "gen_ai.usage.prompt_token_details.cached_write_tokens": 4,
                        "gen_ai.usage.prompt_token_details.uncached_tokens": 18, "gen_ai.usage.cache_miss_tokens": 18,
                        "gen_ai.usage.completion_token_details.reasoning_tokens": 2})).usage  # fmt: skip
    assert (usage.input_tokens, usage.output_tokens) == (30, 9)
    assert (usage.cached_input_tokens, usage.cache_write_tokens, usage.reasoning_output_tokens) == (8, 4, 2)


def test_a_gateway_tells_its_failure_under_names_of_its_own() -> None:
    made = _call({"gen_ai.error": "slow down", "gen_ai.error.type": "rate_limit_error", "gen_ai.error.code": "429"},
                 status="error")  # fmt: skip
    assert made.error is not None
    assert (made.error.class_, made.error.message, made.error.raw_type) == (
        "rate_limit",
        "slow down",
        "rate_limit_error",
    )
    assert _call({"gen_ai.error": "slow down", "error": "x"}).error is None


@pytest.mark.parametrize(
    "operation", ["chat_streaming", "generate_content_stream", "interactions", "interactions_streaming"]
)
def test_a_stream_is_the_operation_that_it_streams(operation: str) -> None:
    assert (
        span({"gen_ai.operation.name": operation, "gen_ai.provider.name": "google"}, kind="internal").kind
        == "llm"
    )


def test_an_agent_told_with_plain_words_was_asked_and_answered_them() -> None:
    made = span({"gen_ai.operation.name": "invoke_agent", "gen_ai.prompt": "Oslo?", "gen_ai.completion": "Rain."},
                kind="internal")  # fmt: skip
    assert (made.kind, made.input_text, made.output_text) == ("agent", "Oslo?", "Rain.")


@pytest.mark.parametrize(
    "told",
    [{"gen_ai.system": "openai", "gen_ai.model": "gpt-4o", "gen_ai.prompt_tokens": 30, "gen_ai.completion_tokens": 9,
      "gen_ai.prompt": "Oslo?", "gen_ai.completion": "Rain."},
     {"gen_ai.model_name": "gpt-4o", "gen_ai.input_tokens": 30, "gen_ai.output_tokens": 9, "gen_ai.input.text": "Oslo?",
      "gen_ai.output.text": "Rain."},
     {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 9, "llm.prompt": "Oslo?",
      "llm.response": "Rain."}],
)  # fmt: skip
def test_a_call_under_names_near_those_of_the_conventions_is_a_call(told: dict[str, Any]) -> None:
    made = span(told, name="llm_call", kind="internal")
    assert (made.kind, made.input_text, made.output_text) == ("llm", "Oslo?", "Rain.")
    llm = _llm(made)
    assert (llm.request_model, llm.usage.input_tokens, llm.usage.output_tokens) == ("gpt-4o", 30, 9)


def test_values_under_the_kinds_own_word_are_what_went_in_and_came_out() -> None:
    made = span({"acme.span.kind": "agent", "acme.agent.name": "Guide", "acme.agent.input": '{"input": "Oslo?"}',
                 "acme.agent.output": '{"output": "Rain."}'}, name="run", kind="internal")  # fmt: skip
    assert (made.kind, made.context.agent_name, made.input_text, made.output_text) == (
        "agent",
        "Guide",
        "Oslo?",
        "Rain.",
    )


def test_a_finish_reason_told_beside_what_matched_is_read() -> None:
    assert (
        _llm(_call({"gen_ai.response.finish_reasons": '{"type": "length", "length": 16}'})).finish_reason
        == "length"
    )


def test_a_traced_function_is_no_tool() -> None:
    plain = {"gen_ai.operation.name": "function", "input": '{"x": 1}'}
    assert span(plain, name="prepare", kind="internal").kind == "workflow"
    assert span(plain | {"gen_ai.tool.name": "weather"}, name="run", kind="internal").kind == "tool"


@pytest.mark.parametrize(
    ("told", "kind"), [("response", "llm"), ("turn", "workflow"), ("handoff", "workflow")]
)
def test_the_steps_of_openais_agents_are_known_without_anything_else(told: str, kind: str) -> None:
    assert span({"agent.span.type": told, "agent.span_id": "s1"}, name=told, kind="internal").kind == kind
    assert span({"acme.span.type": told}, name=told, kind="internal").kind == "other"


@pytest.mark.parametrize(("status", "error"), [("success", None), ("error", "rain")])
def test_a_result_in_bedrocks_wrapping_is_what_it_wraps(status: str, error: str | None) -> None:
    told = {"toolUseId": "c1", "status": status, "content": [{"text": "rain"}]}
    tool = span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather", "gen_ai.tool.call.result": json.dumps(told)},
                kind="internal").tool  # fmt: skip
    assert tool is not None and (tool.call_id, tool.result, tool.error) == ("c1", "rain", error)


def test_a_node_of_a_graph_is_a_step() -> None:
    node = {"langgraph.node": "model", "langgraph.step": 1}
    assert span(node, name="chain model", kind="internal").kind == "workflow"
    assert _call({**node, "gen_ai.usage.input_tokens": 3}).kind == "llm"


def test_a_function_told_by_its_signature_is_read_from_its_scattered_values() -> None:
    call = span(
        {"signature": "OpenAI.chat.completions.create", "type": "LLM", "inputs.model": "gpt-4o-mini", "inputs.temperature": "0.3",
         "inputs.messages[0].role": "system", "inputs.messages[0].content": "Brief.", "inputs.messages[1].role": "user",
         "inputs.messages[1].content": "Oslo?", "result.id": "c-1", "result.model": "gpt-4o-mini-2024-07-18",
         "result.choices[0].finish_reason": "stop",
         "result.choices[0].message": '{"role": "assistant", "content": "Rain."}',
         "result.usage.prompt_tokens": "30", "result.usage.completion_tokens": "9",
         "result.usage.prompt_tokens_details.cached_tokens": "8"},
        name="chat.completions.create", kind="internal",
    )  # fmt: skip
    llm = _llm(call)
    assert (llm.provider, llm.request_model, llm.response_model) == (
        "openai",
        "gpt-4o-mini",
        "gpt-4o-mini-2024-07-18",
    )
    assert (llm.system, call.input_text, call.output_text) == ("Brief.", "Oslo?", "Rain.")
    assert (llm.finish_reason, llm.response_id, llm.params["temperature"]) == ("stop", "c-1", 0.3)
    usage = llm.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (30, 9, 8)
    step = span(
        {"signature": "app.answer", "inputs.question": "Oslo?", "result": "Rain."},
        name="answer",
        kind="internal",
    )
    assert (step.kind, step.input_text, step.output_text) == ("workflow", "Oslo?", "Rain.")
    helper = span({"signature": "app.process", "inputs.response.model": "m", "inputs.response.usage.prompt_tokens": "3",
                   "result": "Rain."}, name="process", kind="internal")  # fmt: skip
    assert helper.kind == "workflow"


def test_what_a_step_gave_on_the_way_to_a_failure_is_no_answer() -> None:
    def made(status: str) -> str | None:
        root = span(
            {"signature": "app.answer", "inputs.question": "Oslo?"},
            name="answer",
            kind="internal",
            status=status,
        )
        step = span({"signature": "app.render", "inputs.question": "Oslo?", "result": "Tell of Oslo."}, name="render",
                    kind="internal", span_id="02" * 8, parent="01" * 8)  # fmt: skip
        return dialects.assemble([root, step], []).output_text

    assert (made("error"), made("ok")) == (None, "Tell of Oslo.")


def test_a_tools_values_are_put_together_where_each_field_has_a_name() -> None:
    told = {"tool.name": "Bash", "tool.input.command": "ls", "tool.status": "success"}
    tool = span(
        {**told, "tool.response.stdout": "a.txt", "tool.response.code": 0}, name="Bash", kind="internal"
    ).tool
    assert tool is not None
    assert (tool.arguments, tool.result, tool.error) == (
        {"command": "ls"},
        {"stdout": "a.txt", "code": 0},
        None,
    )
    failed = span(
        {**told, "tool.error": "no such file", "tool.status": "error"}, name="Bash", kind="internal"
    )
    assert failed.tool is not None and failed.tool.error == "no such file"
    measured = {"gen_ai.operation.name": "execute_tool", "tool.name": "Bash", "tool.input.length": 2}
    bare = span(measured, name="Bash", kind="internal").tool
    assert bare is not None and bare.arguments is None


_FOUND = json.dumps(
    [{"id": "d1", "content": "Oslo", "score": 0.9}, {"id": "d2", "content": "Bergen", "score": 0.5}]
)


@pytest.mark.parametrize(
    "told",
    [{"retrieval.query": "Rain?", "retrieval.top_k": 2, "retrieval.documents": _FOUND},
     {"rag.query": "Rain?", "rag.k": 2, "rag.chunks": _FOUND}, {"query": "Rain?", "top_k": 2, "documents": _FOUND},
     {"retriever.query": "Rain?", "retriever.limit": 2, "retriever.results.0.id": "d1", "retriever.results.0.content": "Oslo",
      "retriever.results.0.score": 0.9, "retriever.results.1.id": "d2", "retriever.results.1.content": "Bergen",
      "retriever.results.1.score": 0.5},
     {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query": "Rain?", "gen_ai.request.top_k": 2,
      "gen_ai.retrieval.documents.0.id": "d1", "gen_ai.retrieval.documents.0.content": "Oslo",
      "gen_ai.retrieval.documents.0.score": 0.9, "gen_ai.retrieval.documents.1.id": "d2",
      "gen_ai.retrieval.documents.1.content": "Bergen", "gen_ai.retrieval.documents.1.score": 0.5}],
)  # fmt: skip
def test_a_search_told_in_an_applications_own_names_is_a_retrieval(told: dict[str, Any]) -> None:
    made = span(told, name="find", kind="internal")
    assert made.kind == "retrieval" and made.retrieval is not None
    assert (made.retrieval.query, made.retrieval.top_k) == ("Rain?", 2)
    documents = [(d.id, d.content, d.score) for d in made.retrieval.documents or []]
    assert documents == [("d1", "Oslo", 0.9), ("d2", "Bergen", 0.5)]


@pytest.mark.parametrize("told", [{"search.query": "q", "search.results": 12}, {"query": "SELECT 1"},
                                  {"query": "q", "documents": 3}, {"rag.query": "q"}])  # fmt: skip
def test_a_question_without_documents_is_no_retrieval(told: dict[str, Any]) -> None:
    assert span(told, name="find", kind="internal").kind == "other"


@pytest.mark.parametrize("told", [{"tool_name": "w", "tool_input": '{"a": 1}', "tool_output": "x"},
                                  {"function.name": "w", "function.arguments": '{"a": 1}', "function.result": "x"}])  # fmt: skip
def test_a_tool_told_in_an_applications_own_names_is_a_tool(told: dict[str, Any]) -> None:
    tool = span(told, name="step", kind="internal").tool
    assert tool is not None and (tool.name, tool.arguments, tool.result) == ("w", {"a": 1}, "x")


def test_a_call_an_agent_and_a_guardrail_told_in_an_applications_own_names() -> None:
    call = _llm(span({"openai.request.model": "gpt-4o", "openai.response.model": "gpt-4o-2024-08-06",
                      "openai.usage.prompt_tokens": 3, "openai.usage.completion_tokens": 2}, name="openai.chat", kind="internal"))  # fmt: skip
    assert (call.provider, call.request_model, call.response_model) == (
        "openai",
        "gpt-4o",
        "gpt-4o-2024-08-06",
    )
    assert (call.usage.input_tokens, call.usage.output_tokens) == (3, 2)
    agent = span(
        {"agent.name": "Guide", "agent.input": "Rain?", "agent.output": "Yes."}, name="run", kind="internal"
    )
    assert (agent.kind, agent.context.agent_name, agent.input_text, agent.output_text) == (
        "agent",
        "Guide",
        "Rain?",
        "Yes.",
    )
    guard = span({"guardrail.name": "polite", "guardrail.blocked": True}, name="check", kind="internal")
    assert guard.kind == "guardrail" and guard.guardrail is not None and guard.guardrail.triggered is True


def test_the_first_names_of_openllmetry_are_read() -> None:
    made = span({"llm.request.type": "chat", "llm.vendor": "OpenAI", "llm.request.model": "gpt-4o", "llm.usage.prompt_tokens": 3,
                 "llm.usage.completion_tokens": 2, "llm.prompts.0.role": "user", "llm.prompts.0.content": "Rain?",
                 "llm.completions.0.role": "assistant", "llm.completions.0.content": "Yes.",
                 "llm.completions.0.finish_reason": "stop"}, name="openai.chat")  # fmt: skip
    llm = _llm(made)
    assert (llm.provider, llm.request_model, llm.finish_reason) == ("openai", "gpt-4o", "stop")
    assert (llm.usage.input_tokens, llm.usage.output_tokens, made.input_text, made.output_text) == (
        3,
        2,
        "Rain?",
        "Yes.",
    )


@pytest.mark.parametrize("name", ["gen_ai.session_id", "gen_ai.conversation_id", "llm.session.id", "ai.conversation.id",
                                  "agent.session_id", "app.session.id", "chat.id", "conversationId", "langgraph.thread_id"])  # fmt: skip
def test_a_session_is_known_by_the_names_that_applications_give_it(name: str) -> None:
    assert _call({name: "s-1"}).context.session_id == "s-1"


@pytest.mark.parametrize("name", ["http.session.id", "db.session_id", "browser.session.id", "mcp.session.id"])
def test_the_session_of_a_transport_is_none(name: str) -> None:
    assert _call({name: "s-1"}).context.session_id is None


@pytest.mark.parametrize("name", ["llm.user_id", "ai.user.id", "gen_ai.user_id"])
def test_a_user_is_known_by_the_names_that_applications_give_them(name: str) -> None:
    assert _call({name: "u-1"}).context.user_id == "u-1"


def test_a_call_of_the_conventions_is_filled_from_the_older_names_beside_them() -> None:
    made = _call({"llm.prompt": "Oslo?", "llm.response": "Rain.", "llm.finish_reason": "length", "llm.cost_usd": 0.5,
                  "llm.ttft_ms": 200, "prompt": "another", "response": "another"})  # fmt: skip
    llm = _llm(made)
    assert (made.input_text, made.output_text, llm.finish_reason) == ("Oslo?", "Rain.", "length")
    assert (llm.cost_client, llm.ttft_ms, llm.provider) == (0.5, 200, "xai")


@pytest.mark.parametrize(
    ("told", "field", "expected"),
    [({"gen_ai.ttft_ms": 200}, "ttft_ms", 200), ({"gen_ai.response.ttft": 0.2}, "ttft_ms", 200),
     ({"gen_ai.stop_reason": "max_tokens"}, "finish_reason", "length"), ({"gen_ai.cost.usd": 0.5}, "cost_client", 0.5),
     ({"gen_ai.system_prompt": "Brief."}, "system", "Brief.")],
)  # fmt: skip
def test_names_near_those_of_the_conventions_are_read(
    told: dict[str, Any], field: str, expected: Any
) -> None:
    assert getattr(_llm(_call(told)), field) == pytest.approx(expected)


def test_the_words_of_a_turn_are_read_under_names_near_those_of_the_conventions() -> None:
    calls = json.dumps([{"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}}])
    made = _call({"gen_ai.user_message": "Oslo?", "gen_ai.response.message": "Wait.", "gen_ai.tool_calls": calls,
                  "gen_ai.tools": json.dumps([{"name": "w"}])})  # fmt: skip
    llm = _llm(made)
    assert (made.input_text, made.output_text, [c.name for c in llm.tool_calls]) == ("Oslo?", "Wait.", ["w"])
    assert [t["name"] for t in llm.tool_definitions] == ["w"]
