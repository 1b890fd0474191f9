"""Shapes of clients run after all others: GenAI instrumentations of smaller vendors, coding agents, gateways."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import event, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, Span


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def test_messages_told_as_events_that_bear_their_place_are_the_conversation() -> None:
    told: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
    made = span(
        told,
        events=[
            event("gen_ai.prompt.0", gen_ai__prompt__role="system", gen_ai__prompt__content="Be brief."),
            event("gen_ai.prompt.1", gen_ai__prompt__role="user", gen_ai__prompt__content="Capital?"),
            event("gen_ai.completion.0", gen_ai__completion__role="assistant", gen_ai__completion__content="Paris."),
        ],
    )  # fmt: skip
    llm = _llm(made)
    assert (llm.system, made.input_text, made.output_text) == ("Be brief.", "Capital?", "Paris.")
    embedded = span(
        told | {"gen_ai.operation.name": "embeddings"},
        events=[
            event(f"gen_ai.embedding.{n}", gen_ai__embedding__content=text) for n, text in enumerate("ab")
        ],
    )
    assert [m.text for m in _llm(embedded).input_messages] == ["a", "b"]


@pytest.mark.parametrize("mark", ["tool_error", "tool_use_error", "error"])
def test_a_result_that_is_an_error_by_its_mark_is_a_tools_failure(mark: str) -> None:
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "bash"}
    made = span({**told, "gen_ai.tool.call.result": f"<{mark}>bash failed:\n1</{mark}>"}, status="ok")
    assert made.tool is not None and made.tool.error == "bash failed:\n1"
    assert made.error is not None and made.error.class_ == "tool_error"
    spoken = span({**told, "gen_ai.tool.call.result": f"<{mark}>is how HTML marks it</p>"}, status="ok")
    assert spoken.tool is not None and spoken.tool.error is None


def test_an_sdk_made_from_traceloops_tells_its_steps_under_a_name_of_its_own() -> None:
    told = {"ioa_observe.span.kind": "tool", "ioa_observe.entity.name": "lookup", "ioa_observe.workflow.name": "wf",
            "ioa_observe.entity.input": json.dumps({"args": ["Paris"], "kwargs": {}}),
            "ioa_observe.entity.output": json.dumps("sunny in Paris")}  # fmt: skip
    made = span(told, name="lookup.tool", kind="internal")
    assert (made.kind, made.dialect) == ("tool", "traceloop") and made.tool is not None
    assert (made.tool.name, made.tool.result) == ("lookup", "sunny in Paris")
    agent = span(
        told | {"ioa_observe.span.kind": "agent", "ioa_observe.entity.name": "weather"}, name="weather.agent"
    )
    assert (agent.kind, agent.context.agent_name, agent.output_text) == ("agent", "weather", "sunny in Paris")


def test_session_and_user_of_a_trace_are_known_under_a_prefix_of_the_clients_own() -> None:
    told = {
        "traceroot.span.type": "agent",
        "traceroot.trace.session_id": "s-7",
        "traceroot.trace.user_id": "u-7",
    }
    made = span(told, name="weather")
    assert (made.kind, made.context.session_id, made.context.user_id) == ("agent", "s-7", "u-7")


def test_a_function_that_got_by_place_what_was_asked_by_name_ran_that_call() -> None:
    call = {"type": "tool_call", "id": "call_0", "name": "lookup", "arguments": {"city": "Paris"}}
    asked = span(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [call]}]),
        }
    )
    ran = span(
        {"traceloop.span.kind": "tool", "traceloop.entity.name": "lookup",
         "traceloop.entity.input": json.dumps({"args": ["Paris"], "kwargs": {}})},
        span_id="02" * 8, parent="01" * 8, name="lookup.tool", kind="internal",
    )  # fmt: skip
    tool = next(s.tool for s in dialects.assemble([asked, ran], []).spans if s.tool is not None)
    assert (tool.call_id, tool.arguments) == ("call_0", {"city": "Paris"})


def test_last9s_kinds_costs_and_functions_are_read() -> None:
    call = span(
        {"gen_ai.l9.span.kind": "llm", "gen_ai.usage.cost_usd": 1.2e-5}, name="ask", kind="internal",
        events=[event("gen_ai.content.prompt", gen_ai__prompt="Hi?"), event("gen_ai.content.completion", gen_ai__completion="Yo")],
    )  # fmt: skip
    assert (call.kind, call.input_text, call.output_text, _llm(call).cost_client) == (
        "llm",
        "Hi?",
        "Yo",
        1.2e-5,
    )
    told = {
        "gen_ai.tool.name": "lookup",
        "gen_ai.function.call.arguments": '{"city": "Paris"}',
        "gen_ai.function.call.result": "sunny",
    }
    tool = span({"gen_ai.l9.span.kind": "tool", **told}, name="tool_x", kind="internal").tool
    assert tool is not None and (tool.name, tool.arguments, tool.result) == (
        "lookup",
        {"city": "Paris"},
        "sunny",
    )


def test_a_model_and_its_counts_under_a_prefix_of_the_clients_own_are_a_call() -> None:
    made = span(
        {"openclaw.provider": "anthropic", "openclaw.model": "claude-sonnet-4-5", "openclaw.sessionId": "s-1",
         "openclaw.tokens.input": 23, "openclaw.tokens.output": 12, "openclaw.tokens.cache_read": 8,
         "openclaw.tokens.cache_write": 0, "openclaw.tokens.total": 43},
        name="openclaw.model.usage", kind="internal",
    )  # fmt: skip
    llm = _llm(made)
    assert (made.kind, llm.provider, llm.request_model, made.context.session_id) == (
        "llm", "anthropic", "claude-sonnet-4-5", "s-1",
    )  # fmt: skip
    assert (llm.usage.input_tokens, llm.usage.cached_input_tokens, llm.usage.output_tokens) == (31, 8, 12)
    assert (
        span({"acme.agent.model": "gpt-5", "acme.agent.input_tokens": 31}, name="run", kind="internal").llm
        is None
    )


@pytest.mark.parametrize(("used", "calls"), [(62, 2), (70, 3)])
def test_what_a_run_used_told_beside_its_calls_is_counted_once(used: int, calls: int) -> None:
    told: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5"}
    spent: dict[str, Any] = {"gen_ai.usage.input_tokens": 31, "gen_ai.usage.output_tokens": 12}
    spans = [
        span(told | spent, span_id=f"0{n}" * 8, parent="0f" * 8, name="openclaw.model.call", start=n * 100, end=n * 100 + 50)
        for n in (1, 2)
    ]  # fmt: skip
    spans.append(
        span(told | {"gen_ai.usage.input_tokens": used, "gen_ai.usage.output_tokens": 24}, span_id="03" * 8, name="openclaw.model.usage")
    )  # fmt: skip
    assert (
        len([s for s in dialects.assemble(spans, []).llm_calls if s.llm and not s.llm.duplicate_of]) == calls
    )


def test_the_query_of_a_ranking_may_lie_under_its_role() -> None:
    made = span(
        {"llm.request.type": "rerank", "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.user": "capital"}
    )
    assert made.kind == "rerank" and made.retrieval is not None and made.retrieval.query == "capital"


def test_agentas_values_are_read_beneath_their_marks() -> None:
    found = span(
        {"ag.type.node": "RETRIEVER", "ag.data.inputs.q": "capital",
         "ag.data.outputs.__default__": '@ag.type=json:[{"id": "d1", "text": "Paris is a city", "score": 0.9}]'},
        name="search", kind="internal",
    )  # fmt: skip
    assert found.retrieval is not None and found.retrieval.documents[0].content == "Paris is a city"
    tool = span(
        {"ag.type.node": "TOOL", "ag.data.inputs.city": "Paris", "ag.data.outputs.__default__": "sunny"},
        name="lookup",
    ).tool
    assert tool is not None and (tool.arguments, tool.result) == ({"city": "Paris"}, "sunny")
    call = span(
        {"ag.type.node": "CHAT", "ag.data.inputs.messages": '@ag.type=json:[{"role": "user", "content": "Capital?"}]',
         "ag.data.outputs.role": "assistant", "ag.data.outputs.content": "Paris.", "ag.metrics.tokens.prompt": 31,
         "ag.metrics.tokens.completion": 12, "ag.metrics.costs.total": 0.001},
        name="ask", kind="internal",
    )  # fmt: skip
    llm = _llm(call)
    assert (call.input_text, call.output_text, llm.usage.input_tokens, llm.cost_client) == (
        "Capital?",
        "Paris.",
        31,
        0.001,
    )


def test_prompt_flow_tells_the_whole_request_and_answer_of_a_call() -> None:
    told: dict[str, Any] = {"framework": "promptflow", "span_type": "LLM",
                            "function": "openai.resources.chat.completions.completions.Completions.create"}  # fmt: skip
    asked = event(
        "promptflow.function.inputs",
        payload=json.dumps({"model": "gpt-4o-mini", "temperature": 0.3, "stream": True, "messages": [{"role": "user", "content": "Hi?"}]}),
    )  # fmt: skip
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini-2024-07-18"}
    pieces = [
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Yes."}, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": {"prompt_tokens": 31, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 8}}},
    ]  # fmt: skip
    made = span(
        told | {"output": json.dumps(pieces), "output_type": "iterated"}, events=[asked], name="openai_chat"
    )
    llm = _llm(made)
    assert (llm.provider, llm.params, llm.stream, llm.output_text) == (
        "openai",
        {"temperature": 0.3},
        True,
        "Yes.",
    )
    assert (llm.response_id, llm.finish_reason, llm.usage.input_tokens, llm.usage.cached_input_tokens) == (
        "chatcmpl-1", "stop", 31, 8,
    )  # fmt: skip
    function = told | {"span_type": "Function", "function": "flow"}
    assert span(function, name="flow").kind == "workflow"
    assert span(function, name="lookup", parent="02" * 8).kind == "tool"


def test_openlit_counts_googles_thoughts_beside_the_answer_and_prints_a_text_there_was_not() -> None:
    said = [
        {"type": "text", "content": "None"},
        {"type": "tool_call", "id": "", "name": "lookup", "arguments": {"city": "Paris"}},
    ]
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "gemini", "gen_ai.request.model": "gemini-2.5-flash",
        "gen_ai.usage.input_tokens": 31, "gen_ai.usage.output_tokens": 12, "gen_ai.usage.reasoning_tokens": 3,
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": said}]),
    }  # fmt: skip
    made = _llm(span(told, scope="openlit.instrumentation.google_ai_studio"))
    assert (made.usage.output_tokens, made.usage.reasoning_output_tokens) == (15, 3)
    assert [p.type for p in made.output_messages[0].parts] == ["tool_call"] and made.output_text is None
    other = span(told | {"gen_ai.provider.name": "openai"}, scope="openlit.instrumentation.openai")
    assert _llm(other).usage.output_tokens == 12


def test_a_result_told_without_an_id_is_that_of_the_same_call() -> None:
    asked = {"type": "tool_call", "name": "lookup", "arguments": {"city": "Paris"}}
    said = [
        {"role": "assistant", "parts": [asked]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": "sunny"}]},
    ]
    told: dict[str, Any] = {"gen_ai.operation.name": "chat"}
    first = span(
        told
        | {"gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [asked | {"id": "adk-1"}]}])}
    )
    ran = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup", "gen_ai.tool.call.id": "adk-1"},
        span_id="02" * 8, name="execute_tool lookup", start=1000, end=1100,
    )  # fmt: skip
    again = span(told | {"gen_ai.input.messages": json.dumps(said)}, span_id="03" * 8, start=1200, end=1300)
    odd = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "turn", "gen_ai.tool.call.arguments": "{'by': 1+2j}"},
        span_id="04" * 8, name="execute_tool turn",
    )  # fmt: skip
    tools = [s.tool for s in dialects.assemble([first, odd, ran, again], []).spans if s.tool is not None]
    tool = next(t for t in tools if t.name == "lookup")
    assert (tool.arguments, tool.result) == ({"city": "Paris"}, "sunny")


def test_a_kind_of_the_clients_own_outranks_a_guess_by_its_content() -> None:
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "Paris."}]}]
    made = span(
        {"process.user.id": "0", "basalt.span.kind": "generation", "basalt.span.input": "Capital?", "basalt.user.id": "u-1",
         "gen_ai.output.messages": json.dumps(said)},
        name="ask", kind="internal",
    )  # fmt: skip
    assert (made.kind, made.input_text, made.output_text, made.context.user_id) == (
        "llm",
        "Capital?",
        "Paris.",
        "u-1",
    )
    assert span({"process.user.id": "0"}, name="ask").context.user_id is None


def test_an_sdk_made_from_langfuses_tells_its_observations_under_a_name_of_its_own() -> None:
    made = span(
        {"darkhunt.observation.type": "generation", "darkhunt.observation.model.name": "gpt-4o-mini-2024-07-18",
         "darkhunt.observation.input": '[{"role": "user", "content": "Capital?"}]', "darkhunt.observation.output": "Paris.",
         "darkhunt.observation.usage_details": '{"input": 31, "output": 12}', "darkhunt.session.id": "s-1",
         "darkhunt.user.id": "u-1"},
        name="answer", kind="internal",
    )  # fmt: skip
    llm = _llm(made)
    assert (made.kind, made.dialect, made.input_text, made.output_text) == (
        "llm",
        "langfuse",
        "Capital?",
        "Paris.",
    )
    assert (llm.usage.input_tokens, made.context.session_id, made.context.user_id) == (31, "s-1", "u-1")


def test_lilypads_functions_are_told_as_mirascopes() -> None:
    told = {"lilypad.type": "trace", "lilypad.session_id": "s-1", "lilypad.trace.arg_values": '{"q": "Weather?"}',
            "lilypad.trace.output": "Sunny."}  # fmt: skip
    made = span(told, name="weather", kind="internal")
    assert (made.kind, made.input_text, made.output_text, made.context.session_id) == (
        "workflow", "Weather?", "Sunny.", "s-1",
    )  # fmt: skip


def test_what_a_function_took_and_gave_may_lie_where_messages_belong() -> None:
    # OpenSearch's SDK: `observe` around functions.
    found = span(
        {"gen_ai.operation.name": "retrieval", "gen_ai.input.messages": '{"q": "capital"}',
         "gen_ai.output.messages": '[{"id": "d1", "text": "Paris is a city", "score": 0.9}]'},
        name="retrieval ret", kind="internal",
    )  # fmt: skip
    retrieved = found.retrieval
    assert retrieved is not None and retrieved.query == "capital"
    assert [(d.id, d.content, d.score) for d in retrieved.documents] == [("d1", "Paris is a city", 0.9)]
    planned = span(
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner",
         "gen_ai.input.messages": '{"q": "Capital?", "k": 3}', "gen_ai.output.messages": '{"answer": "Paris."}'},
        name="invoke_agent planner", kind="internal",
    )  # fmt: skip
    assert (planned.kind, planned.input_text, planned.output_text) == (
        "agent", '{"q": "Capital?", "k": 3}', "Paris.",
    )  # fmt: skip
    ran = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup",
         "gen_ai.input.messages": '{"city": "Paris"}', "gen_ai.output.messages": '"sunny"'},
        name="lookup", kind="internal",
    ).tool  # fmt: skip
    assert ran is not None and (ran.arguments, ran.result) == ({"city": "Paris"}, "sunny")
    # A tool's messages stay what they are.
    told = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup",
         "gen_ai.input.messages": json.dumps([{"role": "assistant", "parts": [
             {"type": "tool_call", "id": "c1", "name": "lookup", "arguments": {"city": "Paris"}}]}])},
        name="lookup", kind="internal",
    ).tool  # fmt: skip
    assert told is not None and (told.arguments, told.call_id) == ({"city": "Paris"}, "c1")


def test_events_called_like_the_only_thing_they_hold_are_a_functions_arguments_and_result() -> None:
    # Gentrace.
    made = span(
        {"gentrace.pipeline_id": "p1", "gentrace.sample": "true"}, name="weather", kind="internal",
        events=[event("gentrace.fn.args", args='[{"q": "Weather?"}]'),
                event("gentrace.fn.output", 20, output='"Sunny."')],
    )  # fmt: skip
    assert (made.input_text, made.output_text) == ("Weather?", "Sunny.")
    spoken = span(
        {}, name="talk", kind="internal",
        events=[event("gentrace.fn.args", args='[{"messages": [{"role": "user", "content": "Go!"}]}]'),
                event("gentrace.fn.output", 20, output='{"role": "assistant", "content": "Done."}')],
    )  # fmt: skip
    assert (spoken.input_text, spoken.output_text) == ("Go!", "Done.")


def test_cached_tokens_of_the_answer_lie_beside_an_input_that_is_the_answers() -> None:
    # FutureAGI's for Anthropic: the counts are the provider's, the cached part is in the answer alone.
    answer = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3-5-haiku-20241022",
        "content": [{"type": "text", "text": "Paris."}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 23, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 0, "output_tokens": 12},
    }  # fmt: skip
    asked = {"model": "claude-3-5-haiku-20241022", "max_tokens": 50, "system": "Brief."}
    llm = _llm(
        span(
            {"gen_ai.span.kind": "LLM", "gen_ai.provider.name": "anthropic",
             "gen_ai.request.model": "claude-3-5-haiku-20241022", "gen_ai.request.parameters": json.dumps(asked),
             "gen_ai.usage.input_tokens": 23, "gen_ai.usage.output_tokens": 12, "gen_ai.usage.total_tokens": 35,
             "input.value": "Capital?", "output.value": json.dumps(answer)},
            name="Messages", kind="internal",
        )
    )  # fmt: skip
    assert (llm.usage.input_tokens, llm.usage.cached_input_tokens, llm.usage.output_tokens) == (31, 8, 12)
    assert (llm.system, llm.output_text) == ("Brief.", "Paris.")


@pytest.mark.parametrize(
    ("printed", "result", "error"),
    [
        ("content=[TextContent(type='text', text=\"Tool 'boom' failed: nope\")] structuredContent=None isError=True",
         "Tool 'boom' failed: nope", "Tool 'boom' failed: nope"),
        ("meta=None content=[TextContent(type='text', text='sunny', annotations=None, meta=None)] "
         "structuredContent={'result': 'sunny'} isError=False", "sunny", None),
        ("content=what it says isError=True", "content=what it says isError=True", None),
    ],
)  # fmt: skip
def test_a_result_of_the_model_context_protocol_may_be_printed(
    printed: str, result: str, error: str | None
) -> None:
    # Dapr's agents, whose span of a tool that failed ends well.
    made = span(
        {"openinference.span.kind": "TOOL", "tool.name": "boom", "input.value": '{"city": "Paris"}', "output.value": printed},
        name="execute_tool boom", kind="internal", status="ok",
    )  # fmt: skip
    assert made.tool is not None and (made.tool.result, made.tool.error) == (result, error)


def test_an_answer_may_have_its_choices_as_results_and_the_rest_as_metadata() -> None:
    # Dapr's agents.
    usage = {
        "prompt_tokens": 31,
        "completion_tokens": 12,
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    answer = {
        "results": [
            {"message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop", "index": 0}
        ],
        "metadata": {"provider": "openai", "id": "c-1", "model": "gpt-4o-mini-2024-07-18", "usage": usage},
    }
    llm = _llm(
        span(
            {"openinference.span.kind": "LLM", "gen_ai.operation.name": "chat", "llm.model_name": "gpt-4o-mini",
             "gen_ai.request.model": "gpt-4o-mini", "llm.token_count.prompt": 31, "llm.token_count.completion": 12,
             "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "Paris.",
             "output.value": json.dumps(answer)},
            name="chat gpt-4o-mini", kind="internal",
        )
    )  # fmt: skip
    assert (llm.finish_reason, llm.response_id, llm.request_model, llm.response_model) == (
        "stop", "c-1", "gpt-4o-mini", "gpt-4o-mini-2024-07-18",
    )  # fmt: skip
    assert (llm.usage.reasoning_output_tokens, llm.output_text) == (3, "Paris.")


def test_what_went_into_a_tool_may_be_told_as_an_event() -> None:
    # The OpenTelemetry extension of OpenAI's agents.
    made = span(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup", "agent.span.type": "function"},
        name="execute_tool lookup", kind="internal",
        events=[event("gen_ai.tool.input", gen_ai__tool__call__arguments='{"city": "Paris"}'),
                event("gen_ai.tool.output", 20, gen_ai__tool__call__result="sunny")],
    )  # fmt: skip
    assert made.tool is not None and (made.tool.arguments, made.tool.result) == ({"city": "Paris"}, "sunny")
    failed = span(
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "error.message": "Error getting response",
         "error.data": '{"error": "Error code: 429 - scripted failure"}', "agent.group_id": "s-1"},
        status="error", kind="internal",
    )  # fmt: skip
    assert failed.error is not None
    assert (failed.error.class_, failed.error.message) == ("rate_limit", "Error getting response")
    assert failed.context.session_id == "s-1"


def test_a_failed_call_without_a_model_is_a_call() -> None:
    # Lumina's SDK, which reads the model from the answer.
    made = span(
        {"gen_ai.system": "openai", "gen_ai.prompt": "Capital?"}, name="llm.request", kind="internal", status="error",
        message="Error code: 429 - scripted failure",
    )  # fmt: skip
    assert (made.kind, made.input_text, made.error and made.error.class_) == ("llm", "Capital?", "rate_limit")
