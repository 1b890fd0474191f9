"""Shapes of clients that were run last: Genkit in Python, LangChain's tracer for Azure, Pydantic Evals, LiteLLM's callbacks."""

import json
from typing import Any

import pytest

from tests.unit.dialects.make import START, event, span
from watchkeeper.model.span import LLM, RawEvent, Span


def _llm(made: Span) -> LLM:
    assert made.llm is not None
    return made.llm


def _genkit(kind: str, given: Any, result: Any, **more: Any) -> Span:
    told = {"genkit:type": "action", "genkit:metadata:subtype": kind, "genkit:name": "openai/gpt-4o-mini",
            "genkit:input": json.dumps(given), "genkit:output": json.dumps(result)}  # fmt: skip
    return span({**told, **{k.replace("_", ":"): v for k, v in more.items()}}, name="action", kind="internal")


def test_the_pieces_of_genkits_stream_are_one_text_in_the_answer_and_in_what_is_sent_after_it() -> None:
    said = {"role": "model", "content": [{"text": "Paris "}, {"text": "is it."}]}
    made = _genkit("model", {"messages": [said]}, {"message": said, "finishReason": "stop"})
    assert made.output_text == "Paris is it."
    assert [p.text for m in _llm(made).input_messages for p in m.parts] == ["Paris is it."]


def test_genkits_embedder_tells_the_texts_it_was_given() -> None:
    made = _genkit("embedder", {"input": [{"content": [{"text": "a"}]}, {"content": [{"text": "b"}]}]}, {})
    assert (made.kind, [m.text for m in _llm(made).input_messages]) == ("embedding", ["a", "b"])


def test_a_tool_of_genkit_returned_what_its_wrapping_holds() -> None:
    bare, files = {"output": {"sky": "clear"}}, {"output": "x", "content": [{"text": "y"}]}
    for result, expected in ((bare, {"sky": "clear"}), (files, files)):
        tool = _genkit("tool.v2", "Paris", result).tool
        assert tool is not None and (tool.arguments, tool.result) == ("Paris", expected)
    plain = _genkit("tool", "Paris", bare).tool
    assert plain is not None and plain.result == bare


def test_a_step_of_genkit_that_answers_with_its_failure_has_failed() -> None:
    said = {"error": {"status": "RESOURCE_EXHAUSTED", "message": "Error code: 429 - slow down"}}
    made = _genkit("util", {"messages": []}, said, genkit_state="error")
    assert made.error is not None and (made.error.class_, made.status) == ("rate_limit", "error")
    assert made.output_text is None
    assert _genkit("util", {"messages": []}, said, genkit_state="success").error is None


@pytest.mark.parametrize("told", [True, False])
def test_a_retriever_told_as_a_tool_is_a_retrieval(told: bool) -> None:
    found = [{"content": "Paris", "metadata": {"source": "a.md", "score": 0.9}}, {"content": "Lyon"}]
    content = {"gen_ai.retriever.query": "Where?", "gen_ai.retriever.results": json.dumps(found)}
    made = span({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "retriever",
                 "gen_ai.tool.type": "retriever", **(content if told else {})})  # fmt: skip
    assert made.kind == "retrieval" and made.retrieval is not None
    assert made.retrieval.query == ("Where?" if told else None)
    documents = [(d.content, d.score) for d in made.retrieval.documents or []]
    assert documents == ([("Paris", 0.9), ("Lyon", None)] if told else [])


def test_a_case_of_pydantic_evals_holds_what_its_evaluators_said() -> None:
    def verdict(name: str, value: Any, reason: str | None = None) -> dict[str, Any]:
        return {name: {"name": name, "value": value, "reason": reason, "source": {"name": "E"}}}

    case = span(
        {"logfire.span_type": "span", "logfire.msg_template": "case: {case_name}", "case_name": "fr", "task_name": "answer",
         "inputs": "Capital?", "output": "Paris", "assertions": json.dumps(verdict("right", False, "it is not")),
         "scores": json.dumps(verdict("length", 5.0)), "labels": json.dumps(verdict("tone", "dry"))},
        name="case: {case_name}", scope="logfire", kind="internal",
    )  # fmt: skip
    assert (case.kind, case.input_text, case.output_text) == ("workflow", "Capital?", "Paris")
    told = [(e.name, e.value, e.label, e.passed, e.explanation) for e in case.evaluations]
    assert told == [("right", 0.0, None, False, "it is not"), ("length", 5.0, None, None, None),
                    ("tone", None, "dry", None, None)]  # fmt: skip
    evaluator = {"logfire.span_type": "span", "evaluator_name": "E"}
    assert span(evaluator, name="evaluator: {evaluator_name}", scope="logfire").kind == "evaluator"


@pytest.mark.parametrize("key", ["langfuse.trace.metadata", "latitude.metadata", "confident.trace.metadata"])
def test_metadata_that_travels_as_one_object_is_metadata(key: str) -> None:
    made = span(
        {
            "openinference.span.kind": "LLM",
            key: '{"plan": "pro", "session_id": "s-1"}',
            "metadata": '{"a": 1}',
        }
    )
    assert made.context.metadata == {"plan": "pro", "session_id": "s-1", "a": 1}
    assert made.context.session_id == "s-1"


def test_the_pieces_of_replicates_answer_are_one_and_the_choices_of_others_are_not() -> None:
    told = {"gen_ai.request.model": "meta/llama-3", "gen_ai.prompt.0.user": "Capital?", "llm.request.type": "completion",
            "gen_ai.completion.0.content": "Paris ", "gen_ai.completion.1.content": "is it."}  # fmt: skip
    scope = "opentelemetry.instrumentation."
    assert span(told, scope=f"{scope}replicate").output_text == "Paris is it."
    assert len(_llm(span(told, scope=f"{scope}transformers")).output_messages) == 2


@pytest.mark.parametrize("listed", [True, False])
def test_what_an_endpoint_of_sagemaker_took_and_gave_is_the_call(listed: bool) -> None:
    answer = {"generated_text": "Paris"}
    asked = {"inputs": "Capital?", "parameters": {"max_new_tokens": 20}}
    made = span({"gen_ai.request.model": "llama-3", "traceloop.entity.input": json.dumps(asked),
                 "traceloop.entity.output": json.dumps([answer] if listed else answer)},
                name="sagemaker.completion", scope="opentelemetry.instrumentation.sagemaker")  # fmt: skip
    llm = _llm(made)
    assert (llm.input_messages[0].text, llm.output_text, llm.params) == (
        "Capital?",
        "Paris",
        {"max_tokens": 20},
    )


def test_vector_stores_call_ids_scores_and_numbers_by_names_of_their_own() -> None:
    found = RawEvent("db.query.result", START, {"_id": "d1", "_score": 0.9, "text": "Paris"})
    marqo = span({"db.system": "marqo", "db.operation": "search"}, name="marqo.search", events=[found],
                 scope="opentelemetry.instrumentation.marqo").retrieval  # fmt: skip
    assert marqo is not None and marqo.documents is not None
    assert [(d.id, d.score, d.content) for d in marqo.documents] == [("d1", 0.9, "Paris")]
    pinecone = {"db.system": "Pinecone", "pinecone.query.top_k": 2}
    scope = "opentelemetry.instrumentation.pinecone"
    searched = span(pinecone, name="pinecone.query", scope=scope).retrieval
    assert searched is not None and searched.top_k == 2


def test_what_a_retriever_was_asked_stands_beside_its_settings_and_a_tool_is_named_in_the_metadata() -> None:
    given = json.dumps({"query": "Capital?", "filters": None, "top_k": 2})
    asked = {"langfuse.observation.type": "retriever", "langfuse.observation.input": given}
    found = span(asked, name="retriever").retrieval
    assert found is not None and found.query == "Capital?"
    called = {
        "langfuse.observation.type": "tool",
        "langfuse.observation.metadata.haystack.tool.name": '"find"',
    }
    tool = span(called, name="tool - find").tool
    assert tool is not None and tool.name == "find"


def test_the_arguments_of_an_action_of_bedrocks_agents_are_named_in_a_list() -> None:
    told = [
        {"name": "city", "type": "string", "value": "Paris"},
        {"name": "days", "type": "integer", "value": "2"},
    ]
    tool = {"openinference.span.kind": "TOOL", "tool.name": "lookup"}
    made = span(
        {**tool, "tool.parameters": json.dumps(told), "output.value": "sunny"}, name="action_group"
    ).tool
    assert made is not None and (made.arguments, made.result) == ({"city": "Paris", "days": "2"}, "sunny")
    schema = span({**tool, "tool.parameters": '[{"name": "city", "type": "string"}]'}).tool
    assert schema is not None and schema.arguments is None
    call = {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"maximumLength": 64}'}
    assert _llm(span({**call, "input.value": "Hi?"})).params == {"max_tokens": 64}


def test_a_kind_under_a_prefix_of_the_clients_own_is_the_kind() -> None:
    chain = span({"acme.span.type": "chain", "acme.input": "Capital?", "acme.output": "Paris"}, name="step")
    assert (chain.kind, chain.input_text, chain.output_text) == ("workflow", "Capital?", "Paris")
    call = span({"acme.span_kind": "LLM", "acme.inputs": '[{"role": "user", "content": "Capital?"}]', "acme.model": "m",
                 "acme.output.value": "Paris", "acme.usage.input_tokens": 3}, name="call")  # fmt: skip
    llm = _llm(call)
    assert (llm.request_model, llm.input_messages[0].text, llm.output_text, llm.usage.input_tokens) == (
        "m",
        "Capital?",
        "Paris",
        3,
    )
    tool = span(
        {"acme.span.kind": "tool", "acme.tool.name": "find", "acme.input": '{"q": 1}', "acme.output": "x"},
        name="run",
    )
    assert tool.tool is not None
    assert (tool.tool.name, tool.tool.arguments, tool.tool.result) == ("find", {"q": 1}, "x")
    assert span({"otel.span.kind": "internal"}, name="step", kind="internal").kind == "other"
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.llm.input.user": "Capital?",
        "gen_ai.llm.input.system": "Brief.",
    }
    said = _llm(span({**asked, "gen_ai.llm.output": "Paris"}))
    assert (said.system, said.input_messages[0].text, said.output_text) == ("Brief.", "Capital?", "Paris")


def test_an_id_printed_as_none_is_none_and_what_was_raised_without_a_status_is_a_failure() -> None:
    prefix = "llm.input_messages.0.message."
    told = {
        f"{prefix}role": "tool",
        f"{prefix}content": "sunny",
        f"{prefix}id": "null",
        f"{prefix}name": "find",
    }
    (message,) = _llm(span({"openinference.span.kind": "LLM", **told})).input_messages
    assert (message.role, message.parts[0].id, message.parts[0].result) == ("tool", None, "sunny")
    raised = event("ExceptionRaised", exception_type="RateLimitError", exception_message="Error code: 429")
    made = span({"openinference.span.kind": "AGENT"}, name="run", kind="internal", events=[raised])
    assert made.error is not None and (made.status, made.error.class_) == ("error", "rate_limit")


def test_a_model_that_is_made_is_not_called() -> None:
    told = {"gen_ai.system": "Watsonx", "llm.request.type": "completion"}
    scope = "opentelemetry.instrumentation.watsonx"
    assert span(told, name="watsonx.model_init", scope=scope).kind == "other"
    assert span(told, name="watsonx.generate", scope=scope).kind == "llm"


@pytest.mark.parametrize("kind", ["openinference.span.kind", "langfuse.observation.type"])
def test_what_an_evaluator_returns_is_its_verdict(kind: str) -> None:
    key = "output.value" if kind.startswith("open") else "langfuse.observation.output"
    told = [{"name": "helpful", "score": 1.0, "label": "yes", "explanation": "It is.", "kind": "llm"},
            {"name": "exact", "score": False}, {"name": "nothing"}]  # fmt: skip
    made = span({kind: "evaluator", key: json.dumps(told)}, name="helpful.evaluate")
    assert [(e.name, e.value, e.label, e.passed, e.explanation) for e in made.evaluations] == [
        ("helpful", 1.0, "yes", None, "It is."),
        ("exact", 0.0, None, False, None),
    ]
    alone = span({kind: "evaluator", key: '{"score": 0.5, "reason": "so"}'}, name="tone")
    assert [(e.name, e.value, e.explanation) for e in alone.evaluations] == [("tone", 0.5, "so")]


def test_promptlayers_functions_are_told_as_python_prints_them() -> None:
    step = span(
        {"function_input": "{'args': ('Capital?',), 'kwargs': {}}", "function_output": "Paris"}, name="answer"
    )
    assert (step.input_text, step.output_text) == ("Capital?", "Paris")
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Capital?"}]}
    answer = "ChatCompletion(id='c1', choices=[Choice(finish_reason='stop', index=0, message=Message(content='Paris', role='assistant'))])"
    told = {
        "function_input": str({"args": (), "kwargs": asked}),
        "function_output": answer,
        "provider": "openai",
    }
    call = span(told, name="openai.OpenAI.chat.completions.create", kind="internal")
    assert (call.kind, call.input_text, call.output_text) == ("llm", "Capital?", "Paris")
    assert (_llm(call).provider, _llm(call).request_model) == ("openai", "gpt-4o-mini")
    versioned = span({"promptlayer.prompt.name": "greet", "promptlayer.prompt.version": 3}).context
    assert (versioned.prompt_name, versioned.prompt_version) == ("greet", "3")


@pytest.mark.parametrize("level", [None, "info", "error"])
def test_a_shield_of_llama_stack_is_a_guardrail(level: str | None) -> None:
    prefix = "llama_stack.safety."
    told: dict[str, Any] = {f"{prefix}request.shield_id": "llama-guard",
                            f"{prefix}request.messages": '[{"role": "user", "content": "How to?"}]'}  # fmt: skip
    if level:
        told |= {
            f"{prefix}response.violation.level": level,
            f"{prefix}response.violation.user_message": "No.",
        }
    made = span(told, name="run_shield llama-guard", kind="internal")
    assert (made.kind, made.input_text) == ("guardrail", "How to?") and made.guardrail is not None
    assert (made.guardrail.name, made.guardrail.triggered) == ("llama-guard", level == "error")
    assert made.guardrail.reasons == (["No."] if level else [])


def test_the_texts_of_an_embedding_may_be_told_as_messages() -> None:
    made = span({"openinference.span.kind": "EMBEDDING", "input.value": '{"messages": ["a", "b"]}'})
    assert [m.text for m in _llm(made).input_messages] == ["a", "b"]
