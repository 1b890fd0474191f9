"""Shapes of SDKs with names of their own, of voice agents and coding agents, and of names an application made up."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import event, log, span
from watchkeeper import dialects
from watchkeeper.model.span import LLM, Document, Evaluation, Span, Tool, Usage

ASKED = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}])
ORDER = {"order_id": "A-1042"}


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        # VoltAgent.
        ({"entity.id": "a1", "entity.type": "agent", "span.type": "llm", "llm.provider": "openai",
          "llm.model": "gpt-4o-mini", "llm.messages": ASKED, "output": "Shipped.", "llm.usage.prompt_tokens": 20,
          "llm.usage.completion_tokens": 7, "llm.finish_reason": "stop"}, ("openai", "stop")),
        # Prompt flow's names, written by hand.
        ({"llm.vendor": "openai", "llm.request.model": "gpt-4o-mini", "llm.prompt": ASKED, "llm.response": "Shipped.",
          "llm.tokens.in": 20, "llm.tokens.out": 7, "llm.stop_reason": "end_turn"}, ("openai", "stop")),
        ({"model": "gpt-4o-mini", "prompt": ASKED, "response": "Shipped.", "input_tokens": 20, "output_tokens": 7},
         (None, None)),
        # Langtrace before it took the conventions' names.
        ({"langtrace.service.name": "OpenAI", "llm.model": "gpt-4o-mini", "llm.prompts": ASKED, "llm.responses":
          json.dumps([{"message": {"role": "assistant", "content": "Shipped."}, "finish_reason": "stop"}]),
          "llm.token.counts": json.dumps({"input_tokens": 20, "output_tokens": 7, "total_tokens": 27})},
         ("openai", "stop")),
        # FutureAGI's instrumentations.
        ({"gen_ai.span.kind": "LLM", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
          "gen_ai.input.messages.0.message.role": "system", "gen_ai.input.messages.0.message.content": "Be brief.",
          "gen_ai.input.messages.1.message.role": "user", "gen_ai.input.messages.1.message.content": "Where is it?",
          "gen_ai.output.messages.0.message.role": "assistant",
          "gen_ai.output.messages.0.message.content": "Shipped.", "gen_ai.usage.input_tokens": 20,
          "gen_ai.usage.output_tokens": 7}, ("openai", None)),
        # Dify.
        ({"gen_ai.span.kind": "LLM", "gen_ai.system": "langgenius/openai/openai", "gen_ai.request.model": "gpt-4o-mini",
          "gen_ai.prompt": ASKED.replace('"content"', '"text"'), "gen_ai.completion": "Shipped.",
          "gen_ai.usage.input_tokens": "20", "gen_ai.usage.output_tokens": "7",
          "gen_ai.response.finish_reason": "stop"}, ("openai", "stop")),
        # Pipecat.
        ({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
          "stream": True, "input": ASKED, "output": "Shipped.", "metrics.ttfb": 0.4, "gen_ai.usage.input_tokens": 20,
          "gen_ai.usage.output_tokens": 7}, ("openai", None)),
        # Braintrust, whose answer is a list of choices.
        ({"braintrust.span_attributes": json.dumps({"type": "llm"}), "braintrust.input_json": ASKED,
          "braintrust.output_json": json.dumps([{"index": 0, "finish_reason": "stop",
                                                 "message": {"role": "assistant", "content": "Shipped."}}]),
          "braintrust.metrics": json.dumps({"prompt_tokens": 20, "completion_tokens": 7, "tokens": 27}),
          "braintrust.metadata": json.dumps({"model": "gpt-4o-mini", "provider": "openai"})}, ("openai", "stop")),
    ],
)  # fmt: skip
def test_a_call_is_read_whatever_its_names(
    attributes: dict[str, Any], said: tuple[str | None, str | None]
) -> None:
    made = span(attributes, name="call", kind="internal")
    llm = _llm(made)
    assert (made.kind, made.input_text, made.output_text) == ("llm", "Where is it?", "Shipped.")
    assert (llm.request_model, llm.system, llm.usage) == ("gpt-4o-mini", "Be brief.", Usage(20, 7))
    assert (llm.provider, llm.finish_reason) == said


@pytest.mark.parametrize(
    ("attributes", "call_id"),
    [
        ({"agentops.span.kind": "AgentOpsSpanKindValues.TOOL", "tool.name": "get_order", "tool.call.id": "c1",
          "tool.parameters": json.dumps(ORDER), "tool.result": "shipped"}, "c1"),
        ({"agentops.span.kind": "tool", "operation.name": "get_order", "agentops.tool.output": "shipped",
          "agentops.tool.input": json.dumps({"args": [], "kwargs": ORDER})}, None),
        ({"entity.id": "a1", "entity.type": "agent", "span.type": "tool", "tool.name": "get_order",
          "tool.call.id": "c1", "input": json.dumps(ORDER), "output": "shipped"}, "c1"),
        ({"nat.span.kind": "TOOL", "nat.subspan.name": "get_order", "input.value": "{'order_id': 'A-1042'}",
          "output.value": "shipped"}, None),
        ({"lk.function_tool.id": "c1", "lk.function_tool.name": "get_order", "lk.function_tool.is_error": False,
          "lk.pii.function_tool.arguments": json.dumps(ORDER), "lk.pii.function_tool.output": "shipped"}, "c1"),
        ({"tool.function_name": "get_order", "tool.call_id": "c1", "tool.arguments": json.dumps(ORDER),
          "tool.result": "shipped", "tool.result_status": "completed"}, "c1"),
        ({"gen_ai.operation.name": "llm_tool_call", "gen_ai.request.model": "gemini-live", "tool.call_id": "c1",
          "tool.function_name": "get_order", "tool.arguments": json.dumps(ORDER), "tool.result": "shipped"}, "c1"),
    ],
)  # fmt: skip
def test_a_tool_is_read_whatever_its_names(attributes: dict[str, Any], call_id: str | None) -> None:
    made = span(attributes, name="get_order", kind="internal")
    assert made.kind == "tool" and made.tool == Tool("get_order", call_id, ORDER, "shipped", None)


def test_a_tool_that_a_voice_agent_calls_broken_has_failed() -> None:
    told = {
        "lk.function_tool.name": "get_order",
        "lk.function_tool.output": "no such order",
        "lk.function_tool.is_error": True,
    }
    made = span(told, name="function_tool", kind="internal")
    assert made.error is not None and made.error.class_ == "tool_error"
    assert made.tool is not None and made.tool.error == "no such order"


def test_trulens_names_its_steps_what_they_cost_and_what_they_were_worth() -> None:
    def of(kind: str, **values: Any) -> Span:
        told = {f"ai.observability.{k.replace('__', '.')}": v for k, v in values.items()}
        return span({"ai.observability.span_type": kind, **told}, name="app.step", kind="internal")

    root = of("record_root", record_root__input="Where is it?", record_root__output="Shipped.")
    assert (root.kind, root.input_text, root.output_text) == ("workflow", "Where is it?", "Shipped.")
    found = of("retrieval", retrieval__query_text="order", retrieval__retrieved_contexts=["one", "two"])
    assert found.retrieval is not None and found.retrieval.query == "order"
    assert found.retrieval.documents == [Document(content="one"), Document(content="two")]
    call = of("generation", call__kwargs__prompt="Where is it?", call__return="Shipped.", cost__model="gpt-4o-mini",
              cost__cost=0.002, cost__num_prompt_tokens=20, cost__num_completion_tokens=7)  # fmt: skip
    assert (call.kind, call.input_text, call.output_text) == ("llm", "Where is it?", "Shipped.")
    assert (_llm(call).usage, _llm(call).cost_client) == (Usage(20, 7), 0.002)
    score = of(
        "eval_root", eval_root__metric_name="Relevance", eval_root__score=0.9, eval_root__explanation="Good."
    )
    assert score.kind == "evaluator"
    assert score.evaluations == [Evaluation("Relevance", 0.9, None, "Good.", score.span_id)]


def test_prompt_flow_tells_as_events_what_went_in_and_came_out() -> None:
    request = {"model": "gpt-4o", "messages": json.loads(ASKED)}
    call = span(
        {"framework": "promptflow", "span_type": "LLM", "session_id": "s1", "llm.usage.prompt_tokens": 20,
         "llm.usage.completion_tokens": 7, "llm.response.model": "gpt-4o-2024-08-06"},
        events=[event("promptflow.function.inputs", payload=json.dumps(request)),
                event("promptflow.llm.generated_message", payload=json.dumps({"role": "assistant", "content": "Yes."}))],
    )  # fmt: skip
    assert (call.input_text, call.output_text, call.context.session_id) == ("Where is it?", "Yes.", "s1")
    assert (_llm(call).request_model, _llm(call).response_model) == ("gpt-4o", "gpt-4o-2024-08-06")
    document = {"document.id": "d1", "document.score": 2.5, "document.content": "text"}
    found = span(
        {"framework": "promptflow", "span_type": "Retrieval"},
        events=[event("promptflow.retrieval.query", payload='"order"'),
                event("promptflow.retrieval.documents", payload=json.dumps([document]))],
    )  # fmt: skip
    assert found.retrieval is not None and found.retrieval.query == "order"
    assert found.retrieval.documents == [Document("d1", 2.5, "text")]


def test_scores_of_braintrust_and_evaluations_on_a_span_are_evaluations() -> None:
    scored = span({"braintrust.span_attributes": json.dumps({"type": "score"}),
                   "braintrust.scores": json.dumps({"Factuality": 0.8})})  # fmt: skip
    assert scored.evaluations == [Evaluation("Factuality", 0.8, None, None, scored.span_id)]
    judged = span({"gen_ai.operation.name": "evaluation", "gen_ai.evaluation.name": "Relevance",
                   "gen_ai.evaluation.score.value": 0.7, "gen_ai.evaluation.score.label": "pass"})  # fmt: skip
    assert [(e.name, e.value, e.label) for e in judged.evaluations] == [("Relevance", 0.7, "pass")]


def test_a_rail_that_stopped_the_request_is_a_guardrail_with_its_reason() -> None:
    made = span({"rail.type": "input", "rail.name": "self check input", "rail.stop": True,
                 "guardrails.rail.reason": "policy"}, name="guardrails.rail", kind="internal")  # fmt: skip
    assert made.guardrail is not None
    assert (made.guardrail.name, made.guardrail.triggered) == ("self check input", True)
    assert made.guardrail.reasons == ["policy"]
    failed = span({"type": "guardrails/guard/step/validator", "validator.name": "profanity-free", "input": "Damn.",
                   "validator.validate.output.outcome": '"fail"', "validator.validate.output.error_message": "Rude."})  # fmt: skip
    assert failed.guardrail is not None and failed.guardrail.triggered is True
    assert (failed.guardrail.name, failed.guardrail.reasons) == ("profanity-free", ["Rude."])
    asked = span({"gen_ai.operation.name": "guardrails", "guardrails.request.input": "Hi?",
                  "guardrails.request.output": "I cannot."}, name="guardrails.request", kind="server")  # fmt: skip
    assert (asked.kind, asked.input_text, asked.output_text) == ("workflow", "Hi?", "I cannot.")


def test_dify_tells_what_it_found_in_one_attribute() -> None:
    document = {"document": {"content": "text", "metadata": {"id": "d1", "score": 0.8}}}
    made = span({"gen_ai.span.kind": "RETRIEVER", "retrieval.query": "order", "gen_ai.session.id": "s1",
                 "retrieval.document": json.dumps([document])}, kind="internal")  # fmt: skip
    assert made.retrieval is not None and made.retrieval.query == "order" and made.context.session_id == "s1"
    assert [(d.id, d.score, d.content) for d in made.retrieval.documents] == [("d1", 0.8, "text")]


def test_qwen_codes_spans_are_its_turn_its_requests_and_its_tools() -> None:
    common = {"session.id": "s1"}
    turn = span(
        {**common, "new_context": "[USER PROMPT]\nFix it"}, name="qwen-code.interaction", scope="qwen-code"
    )
    assert (turn.kind, turn.input_text, turn.context.agent_name) == ("agent", "Fix it", "qwen-code")
    call = span(
        {**common, "gen_ai.operation.name": "chat", "gen_ai.provider.name": "dashscope", "ttft_ms": 30, "attempt": 2,
         "gen_ai.request.model": "qwen3-coder-plus", "gen_ai.usage.input_tokens": 1054, "thoughts_token_count": 40,
         "gen_ai.usage.output_tokens": 60, "gen_ai.usage.cache_read.input_tokens": 1024, "success": True,
         "system_prompt": "You are Qwen.", "response.model_output": "Done.", "finish_reason": "STOP"},
        name="qwen-code.llm_request", scope="qwen-code", kind="internal",
    )  # fmt: skip
    llm = _llm(call)
    assert (llm.provider, llm.finish_reason, llm.ttft_ms, llm.attempts) == ("dashscope", "stop", 30.0, 2)
    assert (llm.usage, llm.system, llm.output_text) == (
        Usage(1054, 60, 1024, None, 40),
        "You are Qwen.",
        "Done.",
    )
    tool = span(
        {**common, "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "read_file", "tool.call_id": "c1",
         "tool_input": '[TOOL INPUT: read_file]\n{"path": "a"}', "tool_result": "[TOOL RESULT: read_file]\ntext"},
        name="qwen-code.tool", scope="qwen-code", kind="internal",
    )  # fmt: skip
    assert tool.tool == Tool("read_file", "c1", {"path": "a"}, "text", None)
    waiting = span(
        {**common, "tool.name": "read_file"}, name="qwen-code.tool.blocked_on_user", scope="qwen-code"
    )
    assert waiting.kind == "other"


def test_qwen_codes_records_are_no_calls_beside_its_spans() -> None:
    call = span({"session.id": "s1", "gen_ai.operation.name": "chat", "gen_ai.request.model": "qwen3-coder-plus",
                 "gen_ai.usage.input_tokens": 1054, "gen_ai.usage.output_tokens": 60}, name="qwen-code.llm_request",
                scope="qwen-code", kind="internal")  # fmt: skip
    record = log("qwen-code.api_response", "API response", {"session.id": "s1", "model": "qwen3-coder-plus",
                 "input_token_count": 1054, "output_token_count": 60, "duration_ms": 900}, span_id="0f" * 8)  # fmt: skip
    assert dialects.assemble([call], [record]).totals.input_tokens == 1054
    assert dialects.assemble([], [record]).totals.input_tokens == 1054


def test_copilot_counts_its_first_token_in_milliseconds_and_marks_what_it_cut() -> None:
    asked = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "x" * 80}]}])
    made = span({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "github", "gen_ai.request.model": "gpt-4o",
                 "gen_ai.conversation.id": "c1", "copilot_chat.time_to_first_token": 450,
                 "gen_ai.input.messages": f"{asked[:60]}...[truncated, original 81234 chars]",
                 "gen_ai.usage.input_tokens": 1500, "gen_ai.usage.output_tokens": 250})  # fmt: skip
    assert (_llm(made).provider, _llm(made).ttft_ms, made.context.session_id) == ("github", 450.0, "c1")
    assert made.context.metadata["watchkeeper.truncated"] == ["gen_ai.input.messages"]
    assert _llm(made).input_messages == []


def test_a_chat_context_of_items_is_a_conversation() -> None:
    items = [{"type": "message", "role": "system", "content": ["Be brief."]},
             {"type": "message", "role": "user", "content": ["Where is it?"]},
             {"type": "function_call", "call_id": "c1", "name": "get_order", "arguments": "{}"},
             {"type": "function_call_output", "call_id": "c1", "name": "get_order", "output": "shipped"}]  # fmt: skip
    made = span({"gen_ai.operation.name": "chat", "gen_ai.prompt": json.dumps({"items": items})})
    assert _llm(made).system == "Be brief."
    assert [m.role for m in _llm(made).input_messages] == ["user", "assistant", "tool"]


def test_calls_told_by_the_spans_beneath_an_answer_are_its_calls() -> None:
    call = span({"gen_ai.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.request.model": "gpt-4o-mini",
                 "gen_ai.request.streaming": False, "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hi?",
                 "gen_ai.request.functions.0.name": "get_order", "gen_ai.request.functions.0.parameters": "{}",
                 "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.finish_reason": "tool_calls",
                 "gen_ai.usage.prompt_tokens": 80, "gen_ai.usage.completion_tokens": 20}, span_id="0a" * 8)  # fmt: skip
    tool = span({"agentops.span.kind": "AgentOpsSpanKindValues.TOOL", "tool.name": "get_order", "tool.call.id": "c1",
                 "tool.parameters": json.dumps(ORDER)}, span_id="0b" * 8, parent="0a" * 8, kind="internal")  # fmt: skip
    for order in ([call, tool], [tool, call]):
        llm = _llm(next(s for s in dialects.assemble(order, []).spans if s.kind == "llm"))
        assert [(c.id, c.name, c.arguments) for c in llm.tool_calls] == [("c1", "get_order", ORDER)]
        assert llm.tool_definitions == [{"name": "get_order", "parameters": {}}] and llm.stream is False
    assert _llm(call).tool_calls == []


@pytest.mark.parametrize("parent", ["0a" * 8, None])
def test_an_sdks_own_span_beside_or_beneath_an_instrumentations_is_the_same_call(parent: str | None) -> None:
    told = span(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic", "gen_ai.usage.input_tokens": 30,
         "gen_ai.request.model": "claude-sonnet-4-20250514", "gen_ai.usage.output_tokens": 1,
         "gen_ai.prompt": ASKED, "gen_ai.completion": "Shipped."}, span_id="0a" * 8, end=900,
    )  # fmt: skip
    own = span(
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.response.id": "msg_01",
         "gen_ai.response.model": "claude-sonnet-4-20250514", "gen_ai.usage.input_tokens": 1054,
         "gen_ai.usage.cache_read.input_tokens": 1024, "gen_ai.usage.output_tokens": 60,
         "anthropic.message.stop_reason": "end_turn"},
        span_id="0b" * 8, parent=parent, scope="com.anthropic.sdk.python", start=5, end=890,
    )  # fmt: skip
    for order in ([told, own], [own, told]):
        trace = dialects.assemble(order, [])
        (call,) = trace.llm_calls
        assert call.span_id == "0a" * 8 and call.llm is not None
        assert call.llm.usage == Usage(1054, 60, 1024, input_tokens_as_sent=30)
        assert (call.llm.response_id, call.llm.finish_reason) == ("msg_01", "stop")
        assert (trace.totals.input_tokens, trace.totals.cost) == (1054, _llm(own).cost)


def test_definitions_printed_into_a_list_of_one_are_tools_and_calls_may_lie_in_the_content() -> None:
    tool = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object"}}}
    call = {"id": "c1", "type": "function", "function": {"name": "get_order", "arguments": json.dumps(ORDER)}}
    made = span(
        {"gen_ai.operation.name": "chat", "gen_ai.request.max_tokens": 200.0,
         "gen_ai.request.tools": json.dumps([json.dumps([tool])])},
        events=[event("gen_ai.content.completion",
                      gen_ai__completion=json.dumps([{"role": "assistant", "content": [call]}]))],
    )  # fmt: skip
    assert _llm(made).tool_definitions == [tool] and _llm(made).params == {"max_tokens": 200}
    assert [(c.id, c.name, c.arguments) for c in _llm(made).tool_calls] == [("c1", "get_order", ORDER)]
    assert isinstance(_llm(made).params["max_tokens"], int)


def test_a_spans_own_names_are_no_model_call_when_nothing_of_one_is_told() -> None:
    assert span({"model": "T-1000", "colour": "grey"}, name="build", kind="internal").kind == "other"
    assert span({"tool.name": "hammer"}, name="build", kind="internal").kind == "other"
    assert span({"span.type": "web", "entity.type": "user"}, name="GET /", kind="server").kind == "other"


def test_llama_indexs_own_spans_are_what_their_events_tell() -> None:
    scope = {"scope": "llamaindex.opentelemetry.tracer", "kind": "internal"}
    blocks = [{"block_type": "text", "text": "Where is it?"}]
    choice = {"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "Shipped."}}
    call = span(
        {}, name="OpenAI.chat", **scope,
        events=[event("LLMChatStartEvent", messages=json.dumps([{"role": "user", "blocks": blocks}]),
                      model_dict__class_name="openai_llm", model_dict__model_name="gpt-4o-mini"),
                event("LLMChatEndEvent", at=90, response__raw__id="chatcmpl-1", response__raw__object="chat.completion",
                      response__raw__choices=json.dumps([choice]), response__raw__model="gpt-4o-mini-2024-07-18",
                      response__raw__usage__prompt_tokens=1054, response__raw__usage__completion_tokens=60,
                      response__raw__usage__prompt_tokens_details__cached_tokens=1024)],
    )  # fmt: skip
    llm = _llm(call)
    assert (call.kind, call.input_text, call.output_text) == ("llm", "Where is it?", "Shipped.")
    assert (llm.provider, llm.request_model, llm.response_model) == (
        "openai",
        "gpt-4o-mini",
        "gpt-4o-mini-2024-07-18",
    )
    assert (llm.response_id, llm.finish_reason, llm.usage) == ("chatcmpl-1", "stop", Usage(1054, 60, 1024))
    node = {"node": {"id_": "n1", "text": "Ships on Thursday.", "metadata": {}}, "score": 0.9}
    found = span(
        {}, name="VectorIndexRetriever.retrieve", **scope,
        events=[event("RetrievalStartEvent", str_or_query_bundle__query_str="order"),
                event("RetrievalEndEvent", at=20, nodes=json.dumps([node]))],
    )  # fmt: skip
    assert found.retrieval is not None and found.retrieval.query == "order"
    assert found.retrieval.documents == [Document("n1", 0.9, "Ships on Thursday.")]
    asked = [
        event("QueryStartEvent", query="order?"),
        event("QueryEndEvent", at=99, response__response="Thursday."),
    ]
    query = span({}, name="RetrieverQueryEngine.query", events=asked, **scope)
    assert (query.kind, query.input_text, query.output_text) == ("workflow", "order?", "Thursday.")
    stream = span({}, name="OpenAI.stream_chat", events=[event("LLMChatStartEvent", messages="[]")], **scope)
    assert _llm(stream).stream is True
    assert span({}, name="FunctionAgent.run", **scope).context.agent_name == "FunctionAgent"


@pytest.mark.parametrize("name", ["gen_ai.client.operation.exception", "exception"])
def test_what_a_call_raised_may_be_a_record_beside_it(name: str) -> None:
    asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "error.type": "429"}
    told = {"exception.type": "openai.RateLimitError", "exception.message": "Error code: 429 - slow down"}
    trace = dialects.assemble([span(asked, status="error")], [log(name, attributes=told)])
    error = trace.spans[0].error
    assert error is not None and (error.class_, error.message) == (
        "rate_limit",
        "Error code: 429 - slow down",
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {"judgment.span_kind": "llm", "judgment.llm.provider": "anthropic", "judgment.llm.model": "claude-sonnet-4",
         "judgment.input": ASKED, "judgment.output": "Shipped.", "judgment.usage.non_cached_input_tokens": 2030,
         "judgment.usage.cache_read_input_tokens": 1024, "judgment.usage.output_tokens": 60},
        {"honeyhive_event_type": "model", "honeyhive_config.model": "claude-sonnet-4", "llm.provider": "anthropic",
         "honeyhive_inputs._params_.messages": ASKED, "honeyhive_outputs.result": "Shipped.", "cached_tokens": 1024,
         "prompt_tokens": 3054, "completion_tokens": 60},
        {"ag.type.node": "chat", "ag.meta.request.model": "claude-sonnet-4", "ag.meta.system": "anthropic",
         "ag.data.inputs": json.dumps({"prompt": json.loads(ASKED)}), "ag.data.outputs": "Shipped.",
         "cached_tokens": 1024, "ag.metrics.unit.tokens.prompt": 3054, "ag.metrics.unit.tokens.completion": 60},
    ],
)  # fmt: skip
def test_more_sdks_are_a_row_of_the_table(attributes: dict[str, Any]) -> None:
    made = span(attributes, name="call", kind="internal")
    llm = _llm(made)
    assert (made.kind, made.input_text, made.output_text) == ("llm", "Where is it?", "Shipped.")
    assert (llm.provider, llm.request_model, llm.system) == ("anthropic", "claude-sonnet-4", "Be brief.")
    assert (llm.usage.input_tokens, llm.usage.output_tokens, llm.usage.cached_input_tokens) == (
        3054,
        60,
        1024,
    )


def test_steps_say_what_went_in_and_came_out_under_names_of_their_own() -> None:
    searched = span({"gen_ai.operation.name": "search_memory", "gen_ai.memory.query.text": "diet?",
                     "gen_ai.memory.records": json.dumps([{"content": "vegan"}])}, kind="internal")  # fmt: skip
    assert (searched.kind, searched.input_text) == ("memory", "diet?") and "vegan" in (
        searched.output_text or ""
    )
    ran = span({"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.input": "Hi?",
                "gen_ai.workflow.output": "Hello."}, kind="internal")  # fmt: skip
    assert (ran.kind, ran.input_text, ran.output_text) == ("workflow", "Hi?", "Hello.")


def test_adks_merged_tools_are_no_tool_beside_those_they_merge() -> None:
    told = {"gen_ai.system": "gcp.vertex.agent", "gen_ai.operation.name": "execute_tool"}
    merged = span({**told, "gen_ai.tool.name": "(merged tools)"}, scope="gcp.vertex.agent", kind="internal")
    assert merged.kind == "workflow" and merged.tool is None
    one = span({**told, "gen_ai.tool.name": "get_order", "gcp.vertex.agent.tool_call_args": json.dumps(ORDER),
                "gcp.vertex.agent.tool_response": "<not specified>"}, scope="gcp.vertex.agent", kind="internal")  # fmt: skip
    assert one.tool == Tool("get_order", None, ORDER, None, None)


def test_what_came_in_pieces_was_streamed_and_vectors_are_no_text() -> None:
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.stream": False,
    }
    made = span(asked, events=[event("new_token", at=20, token="Hi"), event("new_token", at=30, token="!")])
    assert (_llm(made).stream, _llm(made).ttft_ms) == (True, 20.0)
    vectors = {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "text-embedding-3-small",
               "input.value": "order", "output.value": "[0.1, 0.2]"}  # fmt: skip
    assert (span(vectors).input_text, span(vectors).output_text) == ("order", None)


def test_the_model_of_the_request_was_asked_and_the_one_beside_it_served() -> None:
    made = span({"gen_ai.span.kind": "LLM", "gen_ai.request.model": "gpt-4o-mini-2024-07-18",
                 "gen_ai.request.parameters": json.dumps({"model": "gpt-4o-mini", "temperature": 0.2})})  # fmt: skip
    assert (_llm(made).request_model, _llm(made).response_model) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert _llm(made).params == {"temperature": 0.2}


_MONOCLE = {"monocle_apptrace.version": "0.7.0", "workflow.name": "travel", "scope.agentic.session": "s-1",
            "entity.1.type": "inference.openai", "entity.1.provider_name": "api.openai.com",
            "entity.2.type": "model.llm.gpt-4o", "entity.2.name": "gpt-4o", "entity.count": 2}  # fmt: skip


@pytest.mark.parametrize("beside", [{}, {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "api.openai.com",
                                         "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 269,
                                         "gen_ai.usage.output_tokens": 15}])  # fmt: skip
def test_monocle_tells_a_call_in_entities_and_events(beside: dict[str, Any]) -> None:
    call = {"name": "get_weather", "args": {"city": "Oslo"}, "id": "call_X", "type": "tool_call"}
    given = [json.dumps({"system": "Be brief."}), json.dumps({"human": "Rain?"}),
             json.dumps({"ai": json.dumps([call])}), json.dumps({"tool": "dry"})]  # fmt: skip
    made = span({**_MONOCLE, **beside, "span.type": "inference.framework"}, name="langchain.BaseChatModel.ainvoke",
                kind="internal",
                events=[event("data.input", input=given), event("data.output", response=json.dumps({"ai": call})),
                        event("metadata", prompt_tokens=269, completion_tokens=15, total_tokens=284,
                              finish_reason="tool_calls", finish_type="success")])  # fmt: skip
    llm = _llm(made)
    assert (made.kind, llm.provider, llm.request_model, llm.finish_reason) == (
        "llm",
        "openai",
        "gpt-4o",
        "tool_calls",
    )
    assert (llm.system, made.input_text, [m.role for m in llm.input_messages]) == (
        "Be brief.",
        "Rain?",
        ["user", "assistant", "tool"],
    )
    assert [(c.name, c.arguments) for c in llm.tool_calls] == [("get_weather", {"city": "Oslo"})]
    assert (llm.usage.input_tokens, llm.usage.output_tokens, made.context.session_id) == (269, 15, "s-1")


def test_monocle_tells_steps_in_entities_and_events() -> None:
    def told(kind: str, given: Any, result: Any, entity: str, name: str) -> Span:
        return span({"monocle_apptrace.version": "0.7.0", "span.type": kind, "entity.1.type": entity,
                     "entity.1.name": name}, kind="internal",
                    events=[event("data.input", input=given), event("data.output", response=result)])  # fmt: skip

    tool = told("agentic.tool.invocation", "{'city': 'Oslo'}", "dry", "tool.adk", "get_weather")
    assert tool.tool == Tool("get_weather", None, {"city": "Oslo"}, "dry", None)
    agent = told("agentic.invocation", ["Rain?"], "No.", "agent.adk", "weather")
    assert (agent.kind, agent.context.agent_name, agent.input_text, agent.output_text) == (
        "agent",
        "weather",
        "Rain?",
        "No.",
    )
    found = told("retrieval", "coffee?", "Latte is milk.", "vectorstore.chroma", "Chroma")
    assert found.retrieval is not None and found.retrieval.documents == [Document(content="Latte is milk.")]
    inner = span(
        {"monocle_apptrace.version": "0.7.0", "span.type": "inference.modelapi"}, name="openai.create"
    )
    assert (inner.kind, inner.llm) == ("workflow", None)
    failed = span({**_MONOCLE, "span.type": "inference"}, status="error",
                  events=[event("data.output", response="Error code: 429 - rate limited")])  # fmt: skip
    assert (
        failed.error is not None and failed.error.class_ == "rate_limit" and not _llm(failed).output_messages
    )


def test_a_providers_own_tools_and_a_compacted_past_are_parts() -> None:
    parts = [{"type": "compaction", "content": "So far: rain."},
             {"type": "server_tool_call", "id": "s1", "name": "web_search",
              "server_tool_call": {"type": "web_search", "query": "Oslo"}},
             {"type": "server_tool_call_response", "id": "s1",
              "server_tool_call_response": {"type": "web_search", "hits": 2}}]  # fmt: skip
    made = span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
                 "gen_ai.input.messages": json.dumps([{"role": "assistant", "parts": parts}])})  # fmt: skip
    read = {p.type: p for m in _llm(made).input_messages for p in m.parts}
    assert read["text"].text == "So far: rain."
    assert (read["tool_call"].arguments, read["tool_result"].result["hits"]) == ({"query": "Oslo"}, 2)


def test_openrouter_tells_the_request_it_was_sent_beside_the_answer() -> None:
    completion = {"completion": "On its way.", "reasoning": "Ask the carrier.",
                  "toolCalls": [{"id": "c1", "type": "function",
                                 "function": {"name": "get_order", "arguments": json.dumps(ORDER)}}],
                  "rawRequest": {"model": "google/gemini-2.5-flash", "stream": True, "temperature": 0.1,
                                 "tools": [{"type": "function", "function": {"name": "get_order"}}]}}  # fmt: skip
    made = span({"span.type": "generation", "gen_ai.operation.name": "chat", "gen_ai.provider.name": "Google AI Studio",
                 "gen_ai.request.model": "google/gemini-2.5-flash", "gen_ai.response.id": "gen-1",
                 "gen_ai.prompt": json.dumps({"messages": json.loads(ASKED)}), "span.output": "{}",
                 "gen_ai.completion": json.dumps(completion), "gen_ai.response.finish_reason": "tool_calls",
                 "gen_ai.usage.input_tokens": 2000, "gen_ai.usage.input_tokens.cached": 1024,
                 "gen_ai.usage.input_tokens.cache_write": 512, "gen_ai.usage.output_tokens": 60,
                 "gen_ai.usage.output_tokens.reasoning": 20, "gen_ai.usage.total_cost": "0.001859", "user.id": "u-1",
                 "session.id": "s-1", "trace.metadata.openrouter.first_token_ms": 412}, name="LLM Generation")  # fmt: skip
    llm = _llm(made)
    assert (llm.provider, made.input_text, llm.output_text, llm.system) == (
        "google",
        "Where is it?",
        "On its way.",
        "Be brief.",
    )
    assert [(c.name, c.arguments) for c in llm.tool_calls] == [("get_order", ORDER)]
    assert (llm.params, llm.stream, len(llm.tool_definitions), llm.ttft_ms) == (
        {"temperature": 0.1},
        True,
        1,
        412.0,
    )
    assert llm.usage == Usage(2000, 60, 1024, 512, 20) and llm.cost_client == 0.001859
    assert (made.context.user_id, made.context.session_id) == ("u-1", "s-1")
    attempt = span(
        {"span.type": "span", "gen_ai.response.id": "gen-1:attempt-0"}, name="provider attempt 1: Relace"
    )
    assert attempt.llm is None


def test_a_model_nobody_knows_is_none() -> None:
    made = span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "unknown"})
    assert _llm(made).request_model is None


def test_turns_of_the_claude_agent_sdk_are_its_calls() -> None:
    turn = span({"claude_agent.span_kind": "assistant_turn", "claude_agent.model": "claude-sonnet-4-5",
                 "claude_agent.message.content": "On its way.", "gen_ai.usage.input_tokens": 12,
                 "gen_ai.usage.output_tokens": 60, "gen_ai.usage.cache_read_tokens": 1024}, kind="internal")  # fmt: skip
    assert (turn.kind, _llm(turn).request_model, turn.output_text) == (
        "llm",
        "claude-sonnet-4-5",
        "On its way.",
    )
    assert (_llm(turn).usage.input_tokens, _llm(turn).usage.cached_input_tokens) == (1036, 1024)
    tool = span({"claude_agent.span_kind": "tool_execution", "claude_agent.tool.name": "get_order",
                 "claude_agent.tool.use_id": "t1", "claude_agent.tool.input": json.dumps(ORDER),
                 "claude_agent.tool.output": "Shipped.", "claude_agent.tool.is_error": False}, kind="internal")  # fmt: skip
    assert tool.tool == Tool("get_order", "t1", ORDER, "Shipped.", None)
    whole = span({"claude_agent.span_kind": "conversation", "claude_agent.prompt": "Where is it?",
                  "claude_agent.session_id": "s-1", "gen_ai.usage.input_tokens": 12}, kind="internal")  # fmt: skip
    assert (whole.kind, whole.input_text, whole.context.session_id, whole.llm) == (
        "agent",
        "Where is it?",
        "s-1",
        None,
    )
