"""Shapes of agent frameworks and small SDKs: records of usage, printed messages, tools under a name of their own."""

import json
from typing import Any

from tests.unit.dialects.make import event, log, raw, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, ErrorInfo, Span

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
USED = {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2}


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _answer(*parts: Any) -> LLM:
    told = [{"role": "assistant", "parts": list(parts)}]
    return _llm(span({**CHAT, "gen_ai.output.messages": json.dumps(told)}))


def test_what_a_call_used_is_counted_once_though_a_span_tells_it_again() -> None:
    call = span(
        {**CHAT, **USED, "gen_ai.input.messages": '[{"role": "user", "content": "Hi"}]'}, span_id="0a" * 8
    )
    told = {"gen_ai.response.model": "m", "gen_ai.provider.name": "openai", **USED}
    account = {"name": "record_usage model_call", "kind": "internal", "start": 1001, "end": 1001}
    again = span(told, span_id="0b" * 8, **account)
    other = span(told, span_id="0c" * 8, **account)
    trace = dialects.assemble([other, again, call], [])
    assert [s.span_id for s in trace.llm_calls] == ["0a" * 8, "0c" * 8]
    assert trace.totals.input_tokens == 18
    assert dialects.assemble([call, again], []).totals.input_tokens == 9


def test_calls_of_the_same_size_are_each_their_own() -> None:
    calls = [
        span({**CHAT, **USED}, span_id=f"0{n}" * 8, start=n * 10, end=n * 10 + 5, kind="client")
        for n in range(3)
    ]
    assert dialects.assemble(calls, []).totals.input_tokens == 27


def test_a_message_or_a_block_printed_into_a_text_is_read() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
    printed = str({"content": None, "role": "assistant", "tool_calls": [call]})
    made = _answer({"type": "text", "content": printed})
    assert made.output_text is None and [(c.id, c.arguments) for c in made.tool_calls] == [("t1", {"q": "x"})]
    block = str({"annotations": [], "text": "Hello.", "type": "output_text"})
    assert _answer({"type": "text", "content": block}).output_text == "Hello."


def test_calls_are_read_from_the_names_a_small_sdk_gives_them() -> None:
    told = '[{"tool.name": "find", "tool.args": "{\\"q\\": \\"x\\"}"}]'
    made = _llm(span({**CHAT, "gen_ai.output": told}))
    assert [(c.name, c.arguments) for c in made.tool_calls] == [("find", {"q": "x"})]
    flat = "gen_ai.completion.0."
    made = _llm(
        span({"llm.request.type": "response", "gen_ai.request.model": "m", f"{flat}role": "assistant",
              f"{flat}content": '{"name": "find", "arguments": "{}"}', f"{flat}tool_call_id": "t1"})
    )  # fmt: skip
    assert [(c.id, c.name, c.arguments) for c in made.tool_calls] == [("t1", "find", {})]


def test_items_of_a_stream_told_by_an_event_each_are_one_answer() -> None:
    name = "gen_ai.client.inference.operation.details"
    call = {"type": "tool_call", "id": "t1", "name": "find", "arguments": "{}"}
    told = [([{"type": "text", "content": "Let me look."}], "stop"), ([call], "tool_call")]
    details = [
        log(
            name,
            attributes={"gen_ai.output.messages": [{"role": "assistant", "parts": p, "finish_reason": end}]},
            at=at,
        )
        for at, (p, end) in enumerate(told, 10)
    ]
    for records in (details, details[::-1], details * 2):
        (made,) = dialects.assemble([span(CHAT)], records).spans
        assert (_llm(made).output_text, [c.id for c in _llm(made).tool_calls]) == ("Let me look.", ["t1"])
        assert _llm(made).finish_reason == "tool_calls" and len(_llm(made).output_messages) == 1


def test_a_result_without_an_id_gets_that_of_the_call_it_answers_however_its_json_is_written() -> None:
    asked = {
        "role": "assistant",
        "tool_calls": [{"id": "t1", "function": {"name": "find", "arguments": "{}"}}],
    }
    given = [asked, {"role": "tool", "content": '{"found": 1}'}]
    call = span({**CHAT, "gen_ai.input.messages": json.dumps(given)})
    tool = span(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.call.id": "t1",
            "gen_ai.tool.call.result": '{"found":1}',
        },
        span_id="0b" * 8,
    )
    made = next(s for s in dialects.assemble([call, tool], []).spans if s.llm)
    assert [p.id for m in _llm(made).input_messages for p in m.parts] == ["t1", "t1"]


def test_a_result_told_as_a_text_too_is_told_once() -> None:
    parts = [
        {"type": "text", "content": "none"},
        {"type": "tool_call_response", "id": "t1", "result": "none"},
    ]
    given = [{"role": "user", "content": "Find it"}, {"role": "tool", "parts": parts}]
    made = span({**CHAT, "gen_ai.input.messages": json.dumps(given)})
    assert [m.role for m in _llm(made).input_messages] == ["user", "tool"]
    assert made.input_text == "Find it"


def test_a_tool_under_names_of_a_client_s_own_is_a_tool() -> None:
    made = span(
        {"shop.tool.name": "find", "shop.tool.call_id": "t1", "shop.tool.args": '{"q": "x"}',
         "shop.tool.result": "none"}, name="tool.execute", kind="internal"
    )  # fmt: skip
    assert made.tool is not None
    assert (made.tool.name, made.tool.call_id, made.tool.arguments) == ("find", "t1", {"q": "x"})
    assert made.tool.result == "none"
    told = '[{"role": "tool", "content": "{\\"q\\": \\"x\\"}"}]'
    usual = {"gen_ai.tool.name": "find", "gen_ai.tool.call.id": "t1", "gen_ai.input.messages": told}
    known = span(
        {**usual, "langfuse.observation.input": told}, name="execute_tool find", kind="internal"
    ).tool
    assert known is not None and known.arguments == {"q": "x"}
    agent = span({"shop.agent.name": "support"}, name="agent.run", kind="internal")
    assert (agent.kind, agent.context.agent_name) == ("agent", "support")
    assert span({"shop.agent.name": "support"}, name="load", kind="internal").kind == "other"


def test_a_guardrail_says_its_verdict_its_name_and_why() -> None:
    made = span(
        {"openinference.span.kind": "GUARDRAIL", "validator.name": "no-fruit", "input.value": '{"value": "Apple"}',
         "output.value": '{"outcome": "fail"}', "validator.validate.output.error_message": "fruit found"}
    )  # fmt: skip
    assert made.guardrail is not None and made.input_text == "Apple"
    assert (made.guardrail.name, made.guardrail.triggered) == ("no-fruit", True)
    assert made.guardrail.reasons == ["fruit found"]
    checked = span({"gen_ai.operation.name": "guardrail_check", "gen_ai.guardrail.triggered": True})
    assert checked.guardrail is not None and checked.guardrail.triggered is True


def test_what_a_guardrail_raises_is_no_error_of_the_transport() -> None:
    raised = {"status": "error", "message": "Validation failed: fruit found"}
    events = [event("exception", exception__type="ValidationError", exception__message=raised["message"])]
    rail = span(
        {"openinference.span.kind": "GUARDRAIL"}, span_id="0b" * 8, parent="0a" * 8, events=events, **raised
    )
    root = span({"openinference.span.kind": "CHAIN"}, span_id="0a" * 8, events=events, **raised)
    assert rail.error is not None and rail.error.class_ == "other"
    assert dialects.assemble([root, rail], []).error_class is None


def test_a_failed_call_of_unknown_class_failed_as_its_request_did_and_keeps_its_words() -> None:
    call = span(
        {**CHAT, "error.type": "HttpResponseError"}, span_id="0a" * 8, status="error", message="no luck"
    )
    request = span({"http.request.method": "POST", "http.response.status_code": 429}, parent="0a" * 8)
    failed = next(s for s in dialects.assemble([call, request], []).spans if s.llm)
    assert failed.error == ErrorInfo("rate_limit", "no luck", "HttpResponseError")


def test_an_address_is_no_provider_and_a_span_s_name_may_be_one() -> None:
    for address in ("127.0.0.1:8000", "localhost", "https://models.shop/v1", "models.shop:8000", "[::1]:80"):
        assert _llm(span({**CHAT, "gen_ai.provider.name": address})).provider is None
    assert _llm(span({**CHAT, "gen_ai.provider.name": "api.openai.com"})).provider == "openai"
    assert _llm(span({**CHAT, "gen_ai.provider.name": "az.ai.inference"})).provider == "azure"
    assert _llm(span(CHAT, name="openai.chat")).provider == "openai"
    told = span({"openinference.span.kind": "LLM", "llm.model_name": "unknown", "metrics.model": "m"})
    assert _llm(told).request_model == "m"
    assert _llm(span(CHAT, name="ChatOpenAI.chat")).provider is None


def test_nothing_printed_as_null_is_nothing_and_a_printed_object_is_no_answer() -> None:
    made = span({"openinference.span.kind": "CHAIN", "input.value": "null", "output.value": "null"})
    assert (made.input_text, made.output_text) == (None, None)
    chain = {"openinference.span.kind": "CHAIN", "output.value": "content='Paris.' additional_kwargs={}"}
    call = {**CHAT, "gen_ai.output.messages": '[{"role": "assistant", "content": "Paris."}]'}
    spans = [dialects.normalise(raw(chain, span_id="0a" * 8)), span(call, span_id="0b" * 8, parent="0a" * 8)]
    assert dialects.assemble(spans, []).output_text == "Paris."


def test_the_message_of_a_tool_that_python_printed_is_its_result() -> None:
    called = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find"}
    text = "content='{\"found\": \"it\\'s\"}' name='find' tool_call_id='t1'"
    made = span({**called, "gen_ai.tool.call.result": text}).tool
    assert made is not None and (made.result, made.call_id) == ({"found": "it's"}, "t1")
    failed = span({**called, "gen_ai.tool.call.result": f"{text} status='error'"}).tool
    assert failed is not None and failed.error == '{"found": "it\'s"}'
    other = span({**called, "gen_ai.tool.call.result": "content=none"}).tool
    assert other is not None and other.result == "content=none"


def test_laminar_s_spans_without_a_type_and_users_nobody_knows() -> None:
    made = span(
        {"lmnr.span.input": "search", "lmnr.span.output": "found", "ai.telemetry.metadata.userId": "unknown"},
        name="handle", kind="internal",
    )  # fmt: skip
    assert (made.kind, made.input_text, made.output_text) == ("workflow", "search", "found")
    assert made.context.user_id is None


def test_the_status_in_the_words_of_a_coding_agent_s_failure_is_its_class() -> None:
    told = "Claude Code returned an error result: API Error: 429 no luck (exit code: 1)"
    made = span({"openinference.span.kind": "AGENT"}, status="error", message=told)
    assert made.error is not None and made.error.class_ == "rate_limit"


def test_items_of_which_only_the_last_tells_the_end_are_one_answer() -> None:
    told = [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": f"t{n}", "name": "find", "arguments": "{}"}],
        }
        for n in range(2)
    ]
    said = {
        "role": "assistant",
        "parts": [{"type": "text", "content": "Wait."}],
        "finish_reason": "completed",
    }
    made = _llm(span({**CHAT, "gen_ai.output.messages": json.dumps([*told, said])}))
    assert (len(made.tool_calls), made.output_text, made.finish_reason) == (2, "Wait.", "tool_calls")


def test_a_run_of_azure_s_agents_is_counted_once_however_often_it_is_asked_for() -> None:
    asked = [
        span({"gen_ai.system": "az.ai.agents", "gen_ai.operation.name": name, "gen_ai.thread.id": "thread-1",
              "gen_ai.thread.run.id": "run-123", "gen_ai.response.model": "gpt-4o", **used},
             name=name, span_id=f"0{n}" * 8, start=n * 1000, end=n * 1000 + 10)
        for n, (name, used) in enumerate((("start_thread_run", {}), ("get_thread_run", {}), ("get_thread_run", USED),
                                          ("get_thread_run", USED)))
    ]  # fmt: skip
    trace = dialects.assemble(asked, [])
    assert [s.span_id for s in trace.llm_calls] == ["02" * 8]
    assert (trace.totals.input_tokens, trace.context.session_id) == (9, "thread-1")
    assert _llm(trace.llm_calls[0]).provider == "azure"


def test_what_was_heard_and_uttered_is_what_a_guarded_conversation_says() -> None:
    prompt, said = (
        event("gen_ai.content.prompt", content="Is this fine?"),
        event("gen_ai.content.completion", content="Yes"),
    )
    call = span(
        {
            "gen_ai.operation.name": "self_check_input",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
        },
        events=[prompt, said],
    )
    assert (call.kind, call.input_text, call.output_text) == ("llm", "Is this fine?", "Yes")
    heard = [event("guardrails.utterance.user.finished", content="Hi"),
             event("guardrails.utterance.bot.started", at=20, content="No.")]  # fmt: skip
    request = span(
        {"gen_ai.operation.name": "guardrails"}, name="guardrails.request", events=heard, kind="server"
    )
    assert (request.input_text, request.output_text) == ("Hi", "No.")


def test_pydantic_ai_s_own_messages_are_read_where_mlflow_prints_them() -> None:
    asked = {"kind": "request", "parts": [{"part_kind": "system-prompt", "content": "Be kind."},
                                          {"part_kind": "user-prompt", "content": "Find it"}]}  # fmt: skip
    call = {
        "part_kind": "tool-call",
        "tool_name": "find",
        "args": '{"q": "x"}',
        "tool_call_id": "t1",
        "id": None,
    }
    called = {"kind": "response", "parts": [call], "finish_reason": "tool_call", "model_name": "m-2024-07-18",
              "provider_response_id": "chatcmpl-1"}  # fmt: skip
    failed = {"part_kind": "retry-prompt", "tool_name": "find", "tool_call_id": "t1", "content": "again"}
    given = {"messages": [asked, called, {"kind": "request", "parts": [failed]}],
             "model_request_parameters": {"function_tools": [{"name": "find"}]}}  # fmt: skip
    made = _llm(
        span({"mlflow.spanType": '"LLM"', "mlflow.spanInputs": json.dumps(given), "model_id": '"openai:m"',
              "mlflow.llm.model": '"m"', "mlflow.spanOutputs": json.dumps(called)})
    )  # fmt: skip
    assert made.system == "Be kind." and [m.role for m in made.input_messages] == [
        "user",
        "assistant",
        "tool",
    ]
    assert made.input_messages[2].parts[0].raw == {"status": "error"}
    assert [(c.id, c.arguments) for c in made.tool_calls] == [("t1", {"q": "x"})]
    assert (made.request_model, made.response_model, made.response_id) == ("m", "m-2024-07-18", "chatcmpl-1")
    assert made.finish_reason == "tool_calls" and made.tool_definitions == [{"name": "find"}]
    printed = "{'validated': {'call': ToolCallPart(tool_name='find', args='{\"q\": \"x\"}', tool_call_id='t1'), 'x': <y>}}"
    tool = span({"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": json.dumps(printed)}, name="execute").tool
    assert tool is not None and (tool.name, tool.call_id, tool.arguments) == ("find", "t1", {"q": "x"})


def test_mlflow_s_agents_and_tools_of_smolagents() -> None:
    agent = span({"mlflow.spanType": '"AGENT"', "name": '"support"'}, name="Agent.run")
    assert agent.context.agent_name == "support"
    given = {"sanitize_inputs_outputs": True, "kwargs": {"q": "x"}}
    tool = span(
        {
            "mlflow.spanType": '"TOOL"',
            "mlflow.spanInputs": json.dumps(given),
            "mlflow.spanOutputs": '{"_value": "none"}',
        }
    ).tool
    assert tool is not None and (tool.arguments, tool.result) == ({"q": "x"}, "none")


def test_a_conversation_that_only_a_step_prints_says_what_was_asked_and_answered() -> None:
    told = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi?"}]
    step = span(
        {"openinference.span.kind": "CHAIN", "input.value": json.dumps(told),
         "output.value": json.dumps({"messages": [*told, {"role": "assistant", "content": "Hello."}]})}
    )  # fmt: skip
    trace = dialects.assemble([step], [])
    assert (trace.input_text, trace.output_text) == ("Hi?", "Hello.")
    plain = span({"openinference.span.kind": "CHAIN", "output.value": '["one", "two"]'})
    assert dialects.assemble([plain], []).output_text == '["one", "two"]'


def test_an_answer_that_is_json_is_a_text_and_mlflow_s_numbers_are_numbers() -> None:
    made = span(
        {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": '{"prompt": "Hi"}', "temperature": "0.2",
         "max_tokens": "50", "mlflow.spanOutputs": json.dumps(['{"city": "Paris"}'])}
    )  # fmt: skip
    assert made.output_text == '{"city": "Paris"}'
    assert _llm(made).params == {"temperature": 0.2, "max_tokens": 50}


def test_a_conversation_under_a_client_s_own_names_is_read_where_nothing_else_tells_it() -> None:
    told = {"shop.request.body": '[{"role": "user", "content": "Hi?"}]', "shop.response.body": "Hello."}
    made = span({**CHAT, **told})
    assert (made.input_text, made.output_text) == ("Hi?", "Hello.")
    known = span({**CHAT, **told, "gen_ai.input.messages": '[{"role": "user", "content": "Who?"}]'})
    assert known.input_text == "Who?"


def test_the_words_of_a_failure_are_no_answer_though_nothing_else_tells_it() -> None:
    told = '[{"role": "assistant", "parts": [{"type": "text", "content": "API Error: 429 no luck"}]}]'
    made = span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "<synthetic>",
                 "gen_ai.output.messages": told}, status="error")  # fmt: skip
    assert made.error == ErrorInfo("rate_limit", "API Error: 429 no luck")
    assert made.output_text is None and _llm(made).request_model is None
    cut = span(
        {**CHAT, "gen_ai.output.messages": told.replace("API Error: 429", "Once upon")}, status="error"
    )
    assert cut.output_text == "Once upon no luck"
