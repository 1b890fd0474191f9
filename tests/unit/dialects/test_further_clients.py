"""Shapes of clients run after the others: HoneyHive, Patronus, Agno, AG2, ADK and rerankers under other instrumentations."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import event, log, span
from watchkeeper import dialects
from watchkeeper.dialects import duplicates
from watchkeeper.model.span import LLM, Span, Tool

LLM_KIND = {"openinference.span.kind": "LLM"}
MISTRAL = {"gen_ai.request.model": "mistral-small-latest", "gen_ai.usage.output_tokens": 12}
SAID = [{"role": "user", "content": "Sunny?"}]


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _tool(made: Span) -> Tool:
    assert made.tool is not None
    return made.tool


def _flat(prefix: str, **values: Any) -> dict[str, Any]:
    return {f"{prefix}{name.replace('__', '.')}": value for name, value in values.items()}


def test_honeyhives_settings_are_taken_apart() -> None:
    made = span(
        {"honeyhive_event_type": "model", "honeyhive_inputs.messages": json.dumps(SAID),
         "honeyhive_outputs.result": "Yes.", "honeyhive_config.model": "gpt-4o", "honeyhive_config.provider": "openai",
         "honeyhive_config.temperature": 0.4, "honeyhive_metadata.prompt_tokens": 20,
         "honeyhive_metadata.completion_tokens": 4}
    )  # fmt: skip
    llm = _llm(made)
    assert (llm.provider, llm.request_model, llm.params) == ("openai", "gpt-4o", {"temperature": 0.4})
    assert (llm.usage.input_tokens, llm.usage.output_tokens, llm.output_text) == (20, 4, "Yes.")


def test_what_honeyhive_tells_again_of_a_failure_is_no_second_call_of_the_tool() -> None:
    ran = span({"honeyhive_event_type": "tool", "honeyhive_inputs.city": "Oslo"}, name="app.tools.find",
               status="error", events=[event("exception", exception__message="no such city")])  # fmt: skip
    again = span(
        {"honeyhive_event_type": "tool", "honeyhive_error": "no such city", "honeyhive_error_type": "ValueError"},
        name="find_error", span_id="02" * 8, status="error",
    )  # fmt: skip
    trace = dialects.assemble([ran, again], [])
    assert [(s.tool.name, s.tool.error) for s in trace.tools if s.tool] == [("find", "no such city")]
    assert again.kind == "other" and again.error is not None and again.error.raw_type == "ValueError"


def test_deepevals_retriever_and_tool_are_told_whole() -> None:
    found = span({"confident.span.type": "retriever", "confident.span.input": "Sunny?",
                  "confident.span.output": '["a"]', "confident.retriever.top_k": 3})  # fmt: skip
    assert found.retrieval is not None and (found.retrieval.query, found.retrieval.top_k) == ("Sunny?", 3)
    assert (
        _tool(span({"confident.span.type": "tool", "confident.span.name": "find"}, name="x")).name == "find"
    )


def test_a_functions_record_tells_what_its_span_took_and_gave() -> None:
    body = {"function.name": "ask", "function.arguments": {"q": "Sunny?"}, "function.output": "Yes."}
    trace = dialects.assemble([span({"pat.app": "a"}, name="ask", scope="patronus.sdk")], [log("", body)])
    assert (trace.spans[0].input_text, trace.spans[0].output_text) == ("Sunny?", "Yes.")


@pytest.mark.parametrize("content", ["Paris is sunny", None], ids=["told again", "told once"])
def test_a_ranking_told_as_an_answer_is_read(content: str | None) -> None:
    places = ["Doc 1, Score: 0.9", "Doc 0, Score: 0.2"]
    places = [f"{p}\n{t}" for p, t in zip(places, (content, "rain"), strict=True)] if content else places
    made = span(
        {"gen_ai.system": "Cohere", "llm.request.type": "rerank", "gen_ai.request.model": "rerank-v3.5",
         **_flat("gen_ai.prompt.0.", role="system", content="rain"),
         **_flat("gen_ai.prompt.1.", role="system", content="Paris is sunny"),
         **_flat("gen_ai.prompt.2.", role="user", content="Sunny?"),
         **_flat("gen_ai.completion.0.", role="assistant", content=places[0]),
         **_flat("gen_ai.completion.1.", role="assistant", content=places[1])}
    )  # fmt: skip
    assert made.kind == "rerank" and made.retrieval is not None and made.retrieval.query == "Sunny?"
    assert [(d.content, d.score) for d in made.retrieval.documents] == [
        ("Paris is sunny", 0.9),
        ("rain", 0.2),
    ]


@pytest.mark.parametrize(
    ("printed", "result", "error"),
    [
        ("status='success' result='{\"temp\": 20}' error=None updated_session_state=None", {"temp": 20}, None),
        ('status=\'failure\' result=None error="no city" updated_session_state=None', {"error": "no city"}, "no city"),
        ("status='success' result=[<Doc>] error=None updated_session_state=None",
         "status='success' result=[<Doc>] error=None updated_session_state=None", None),
        ("status='unknown'", "status='unknown'", None),
    ],
    ids=["returned", "failed", "no literal", "a text"],
)  # fmt: skip
def test_an_outcome_as_agno_prints_it_is_what_the_tool_returned(
    printed: str, result: Any, error: str | None
) -> None:
    made = span({"gen_ai.system": "agno", "traceloop.span.kind": "tool", "gen_ai.tool.name": "find",
                 "traceloop.entity.output": printed})  # fmt: skip
    assert (_tool(made).result, _tool(made).error) == (result, error)


@pytest.mark.parametrize(("well", "error"), [(True, None), (False, "20 °C")], ids=["well", "failed"])
def test_whether_it_went_well_beside_the_message_is_no_result(well: bool, error: str | None) -> None:
    told = json.dumps([well, {"name": "find", "role": "function", "content": "20 °C"}])
    made = span({"openinference.span.kind": "TOOL", "tool.name": "find", "output.value": told})
    assert (_tool(made).result, _tool(made).error) == ("20 °C", error)


def test_a_tool_that_says_all_but_its_id_gets_that_of_its_call() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"city": "Paris"}'}}
    asked = span({"gen_ai.operation.name": "chat",
                  "gen_ai.completion": json.dumps([{"role": "assistant", "tool_calls": [call]}])})  # fmt: skip
    ran = span({"traceloop.span.kind": "tool", "traceloop.entity.name": "find",
                "traceloop.entity.input": '{"city": "Paris"}', "traceloop.entity.output": "20"},
               span_id="02" * 8, name="find.tool")  # fmt: skip
    (tool,) = dialects.assemble([asked, ran], []).tools
    assert _tool(tool).call_id == "t1"


def test_a_failed_call_of_a_processors_translation_did_not_end_well() -> None:
    empty = {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": ""}}],
             "usage": {"prompt_tokens": 0, "completion_tokens": 0}}  # fmt: skip
    made = span({**LLM_KIND, "llm.model_name": "gpt-4o-mini", "llm.finish_reason": "stop",
                 "llm.token_count.prompt": 0, "llm.token_count.completion": 0, "output.value": json.dumps(empty)},
                status="error")  # fmt: skip
    assert (_llm(made).finish_reason, _llm(made).output_messages) == (None, [])


def test_choices_that_the_response_names_one_of_are_all_told() -> None:
    answer = {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "A"}}]}
    made = span({**LLM_KIND, "llm.model_name": "gpt-4o-mini", "output.value": json.dumps(answer),
                 **_flat("llm.output_messages.0.message.", role="assistant", content="A"),
                 **_flat("llm.output_messages.1.message.", role="assistant", content="B")})  # fmt: skip
    assert [m.text for m in _llm(made).output_messages] == ["A", "B"]


def test_calls_of_an_earlier_answer_on_the_same_span_are_not_this_ones() -> None:
    last = {"content": {"parts": [{"text": "Yes."}], "role": "model"}, "finish_reason": "STOP"}
    call = "llm.output_messages.0.message.tool_calls.0.tool_call.function."
    made = span({**LLM_KIND, "llm.model_name": "gemini-2.5-flash", "output.value": json.dumps(last),
                 **_flat("llm.output_messages.0.message.", role="model", content="Yes."),
                 **_flat(call, name="find", arguments="{}")})  # fmt: skip
    assert (_llm(made).finish_reason, _llm(made).tool_calls, _llm(made).output_text) == ("stop", [], "Yes.")


def test_a_run_of_googles_adk_took_its_message_and_gave_its_last_event() -> None:
    asked = {"user_id": "u", "new_message": {"parts": [{"text": "Sunny?"}], "role": "user"}}
    gave = {"model_version": "gemini-2.5-flash", "content": {"parts": [{"text": "Yes."}], "role": "model"}}
    made = span({"openinference.span.kind": "CHAIN", "input.value": json.dumps(asked),
                 "output.value": json.dumps(gave)})  # fmt: skip
    assert (made.input_text, made.output_text) == ("Sunny?", "Yes.")


def test_roles_without_contents_are_no_messages() -> None:
    made = span({"gen_ai.system": "MistralAI", "llm.request.type": "chat", "gen_ai.prompt.0.role": "user",
                 "gen_ai.completion.0.content": "Yes.", "gen_ai.completion.0.role": "assistant"})  # fmt: skip
    assert _llm(made).input_messages == [] and _llm(made).output_text == "Yes."


def test_a_model_asked_of_a_gateway_is_not_what_was_served() -> None:
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.response.model": "gpt-4o-mini",
    }
    asked = {**told, "gen_ai.request.model": "openai/gpt-4o-mini"}
    assert _llm(span(asked)).response_model is None
    assert _llm(span({**asked, "gen_ai.response.model": "openai/gpt-4o-mini"})).response_model is None
    assert _llm(span({**told, "gen_ai.request.model": "openai/gpt-4o"})).response_model == "gpt-4o-mini"
    routed = {**asked, "gen_ai.system": "openrouter", "gen_ai.response.model": "openai/gpt-4o-mini"}
    assert _llm(span(routed)).response_model == "openai/gpt-4o-mini"


def test_mistrals_own_span_beside_an_instrumentations_is_the_same_call() -> None:
    called = span({**MISTRAL, "gen_ai.system": "MistralAI", "llm.request.type": "chat", "gen_ai.response.id": "c-00001",
                   "gen_ai.usage.input_tokens": 25}, scope="opentelemetry.instrumentation.mistralai",
                  parent="0f" * 8)  # fmt: skip
    own = span({**MISTRAL, "gen_ai.provider.name": "mistral_ai", "gen_ai.usage.prompt_tokens": 25,
                "gen_ai.request.temperature": 0.3}, scope="mistralai_sdk_tracer", span_id="02" * 8, start=5, end=900,
               parent="0f" * 8)  # fmt: skip
    trace = dialects.assemble([own, called], [])
    (call,) = trace.llm_calls
    assert call.span_id == called.span_id and _llm(call).params == {"temperature": 0.3}
    assert trace.totals.input_tokens == 25


@pytest.mark.parametrize(
    ("other", "calls"),
    [({}, 1), ({"gen_ai.request.model": "gpt-4o"}, 2), ({"gen_ai.prompt.0.content": "Rainy?"}, 2),
     ({"gen_ai.response.id": "c-00002"}, 2)],
    ids=["same", "another model", "another question", "another answer"],
)  # fmt: skip
def test_a_call_that_two_libraries_tell_within_each_others_time_is_one(
    other: dict[str, Any], calls: int
) -> None:
    told = {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o-mini",
            **_flat("gen_ai.prompt.0.", role="user", content="Sunny?")}  # fmt: skip
    outer = span(
        {**told, "llm.request.type": "chat", "gen_ai.response.id": "c-00001"}, scope="one", parent="0f" * 8
    )
    inner = span({**told, "llm.request.type": "chat", **other}, scope="two", span_id="02" * 8, start=5, end=900,
                 parent="0f" * 8)  # fmt: skip
    assert len(dialects.assemble([outer, inner], []).llm_calls) == calls


@pytest.mark.parametrize(
    ("wait", "ms"), [(0.5, 500.0), (40, 40.0), (28_000_000, 28.0), (9e15, None), (-1, None)]
)
def test_a_wait_in_an_unknown_unit_fits_into_its_span(wait: float, ms: float | None) -> None:
    told = {"gen_ai.operation.name": "chat", "gen_ai.response.time_to_first_token": wait}
    assert _llm(span(told)).ttft_ms == ms


def test_a_guardrail_under_a_clients_own_names_is_one() -> None:
    own = "weave.openai_agents.guardrail."
    made = span(
        {**_flat(own, name="topic", triggered=True), "gen_ai.conversation.id": "s"}, name="guardrail topic"
    )
    assert made.kind == "guardrail" and made.guardrail is not None
    assert (made.guardrail.name, made.guardrail.triggered) == ("topic", True)


def test_what_failed_is_read_where_a_client_keeps_it() -> None:
    made = span({"gen_ai.operation.name": "chat", "weave.openai_agents.error.data": "{'error': 'Error code: 429 - slow'}"},
                status="error", message="Error getting response")  # fmt: skip
    assert made.error is not None
    assert (made.error.class_, made.error.message) == ("rate_limit", "Error getting response")


def test_weave_puts_the_served_model_where_the_asked_one_belongs() -> None:
    pinned = "gpt-4o-mini-2024-07-18"
    told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": pinned, "gen_ai.response.model": pinned}
    assert _llm(span(told, scope="weave.openai_agents")).request_model == "gpt-4o-mini"
    assert _llm(span(told, scope="app")).request_model == pinned


def test_an_answers_record_beside_the_applications_span_belongs_to_the_call() -> None:
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.id": "c-00001",
    }
    call = span({**told, "gen_ai.usage.input_tokens": 9}, span_id="02" * 8, parent="01" * 8)
    record = log("gen_ai.client.inference.operation.details", None,
                 {**told, "gen_ai.input.messages": json.dumps(SAID)})  # fmt: skip
    trace = dialects.assemble([span({}, name="app", kind="internal"), call], [record])
    assert [(s.span_id, s.input_text) for s in trace.llm_calls] == [("02" * 8, "Sunny?")]
    assert trace.spans[0].kind == "other"


def test_an_empty_message_whose_calls_were_left_out_is_the_message_that_called() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    asked = span({"gen_ai.operation.name": "chat",
                  "gen_ai.completion": json.dumps([{"role": "assistant", "tool_calls": [call]}])})  # fmt: skip
    given = [
        *SAID,
        {"role": "assistant", "content": ""},
        {"role": "tool", "tool_call_id": "t1", "content": "20"},
    ]
    then = span({"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(given)},
                span_id="02" * 8, start=2000, end=3000)  # fmt: skip
    told = _llm(dialects.assemble([asked, then], []).spans[1]).input_messages
    assert [(m.role, [p.type for p in m.parts]) for m in told] == [
        ("user", ["text"]), ("assistant", ["tool_call"]), ("tool", ["tool_result"])]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "provider"), [("openai/gpt-4o-mini", "openai"), ("shop/small", None), ("gpt-4o-mini", None)]
)
def test_litellms_provider_is_named_before_the_model(model: str, provider: str | None) -> None:
    told = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "litellm", "gen_ai.request.model": model}
    assert _llm(span(told)).provider == provider


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("acompletion", "llm"),
        ("anthropic_messages", "llm"),
        ("aresponses", "llm"),
        ("aembedding", "embedding"),
    ],
)
def test_calls_of_litellms_proxy_are_asynchronous(said: str, kind: str) -> None:
    asked = {"session_id": "s-1", "tags": ["a"], "headers": {"host": "h"}}
    made = span({"llm.request.type": said, "gen_ai.request.model": "gpt-4o-mini", "gen_ai.system": "openai",
                 "litellm.call_id": "0f-1", "gen_ai.response.id": "0f-1", "metadata.requester_metadata": str(asked)},
                name="litellm_request", scope="litellm", kind="internal")  # fmt: skip
    assert (made.kind, made.context.session_id, made.context.tags) == (kind, "s-1", ["a"])
    assert _llm(made).response_id is None


def test_settings_that_are_the_whole_response_tell_what_was_served() -> None:
    pinned = "gpt-4o-mini-2024-07-18"
    tool = {"type": "function", "function": {"name": "find"}}
    response = {"id": "resp_000001", "created_at": 1.0, "model": pinned, "temperature": 1.0}
    made = span({"gen_ai.span.kind": "LLM", "gen_ai.request.model": pinned, "gen_ai.usage.input_tokens": 25,
                 "gen_ai.usage.input_tokens.cache_read": 5, "gen_ai.request.parameters": json.dumps(response),
                 "gen_ai.tool.definitions.0.tool.json_schema": json.dumps(tool)})  # fmt: skip
    llm = _llm(made)
    assert (llm.request_model, llm.response_model, llm.response_id) == ("gpt-4o-mini", pinned, "resp_000001")
    assert (llm.usage.input_tokens, llm.usage.cached_input_tokens) == (25, 5)
    assert llm.tool_definitions == [tool]


def test_an_empty_object_is_no_question() -> None:
    made = span({"openinference.span.kind": "AGENT", "input.value": "{}", "output.value": "[]"})
    assert (made.input_text, made.output_text) == (None, None)


def test_names_of_an_answers_fields_are_no_answer() -> None:
    told = {"gen_ai.system": "OpenAI", "llm.request.type": "chat", "gen_ai.completion.0.role": "assistant"}
    made = span(
        {**told, "gen_ai.completion.0.content": "replies"}, scope="opentelemetry.instrumentation.haystack"
    )
    assert _llm(made).output_text is None
    assert (
        _llm(span({**told, "gen_ai.completion.0.content": "replies"}, scope="app")).output_text == "replies"
    )


def test_a_thousand_calls_at_once_are_not_compared_each_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    beside = duplicates._beside
    monkeypatch.setattr(duplicates, "_beside", lambda a, b: looks.append(1) or beside(a, b))
    calls: list[Span] = []
    for i in range(300):
        asked = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"question {i}"}]}])
        attributes = {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
            "gen_ai.input.messages": asked, "gen_ai.usage.input_tokens": i + 1,
        }  # fmt: skip
        scope = "one" if i % 2 else "other"
        calls.append(span(attributes, span_id=f"{i + 1:016x}", scope=scope, start=i, end=1000 - i))
    duplicates.mark(calls)
    assert len(looks) < 300 and not any(_llm(c).duplicate_of for c in calls)
