"""No content makes normalising fail: junk under any known key, nesting without end, wrong types everywhere."""

import json
import random
from typing import Any

import pytest

from tests.unit.dialects.make import event, log, raw, span
from watchkeeper import dialects
from watchkeeper.server.trace_json import trace_json

KEYS = [
    "openinference.span.kind", "langfuse.observation.type", "langsmith.span.kind", "mlflow.spanType", "ai.operationId",
    "gen_ai.operation.name", "traceloop.span.kind", "llm.request.type", "gen_ai.input.messages", "gen_ai.output.messages",
    "gen_ai.system_instructions", "gen_ai.tool.definitions", "gen_ai.prompt", "gen_ai.completion", "gen_ai.prompt.0.content",
    "gen_ai.prompt.0", "gen_ai.completion.0.tool_calls", "llm.input_messages.0.message.role", "llm.input_messages.0",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function", "llm.invocation_parameters", "input.value", "output.value",
    "retrieval.documents.0.document.metadata", "langfuse.observation.input", "langfuse.observation.output", "langfuse.trace.tags",
    "langfuse.observation.usage_details", "langfuse.observation.cost_details", "langfuse.observation.completion_start_time",
    "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.tokenUsage", "ai.prompt.messages", "ai.prompt", "ai.response.toolCalls",
    "ai.prompt.tools", "ai.toolCall.args", "traceloop.entity.input", "traceloop.entity.output", "metadata", "tag.tags", "session.id",
    "user.id", "gen_ai.response.finish_reasons", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.cost",
    "request_data", "response_data", "response", "events", "raw_input", "usage", "litellm.call_id", "hidden_params",
    "metadata.usage_object", "llm.openai.messages", "llm.openai.choices", "gen_ai.tool.call.result", "gen_ai.tool.name",
    "gen_ai.retrieval.documents", "evaluations.0.evaluation.name", "watchkeeper.span.kind", "watchkeeper.input", "watchkeeper.output",
    "watchkeeper.score.tone", "gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response", "crew_tasks", "error.type",
    "http.response.status_code", "gen_ai.request.model", "gen_ai.response.model", "pydantic_ai.all_messages", "sampling.probability",
    "langsmith.metadata.usage_metadata", "gen_ai.usage.input_token_details", "gen_ai.request.choice.count",
]  # fmt: skip
WORDS = ["LLM", "TOOL", "RETRIEVER", "EMBEDDING", "GUARDRAIL", "AGENT", "generation", "tool", "retriever", "guardrail", "llm", '"CHAT_MODEL"',
         '"TOOL"', "ai.generateText.doGenerate", "ai.toolCall", "chat", "execute_tool", "retrieval", "embeddings", "odd"]  # fmt: skip


def _junk(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(14)
    if kind < 3 and depth < 4:
        names = ["role", "content", "parts", "type", "messages", "tool_calls", "function", "id", "text", "name", "choices", "message",
                 "usage", "output", "input", "kwargs", "documents", "metadata", "status", "error", "finish_reason", "event.name"]  # fmt: skip
        return {rng.choice(names): _junk(rng, depth + 1) for _ in range(rng.randrange(5))}
    if kind < 5 and depth < 4:
        return [_junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    return rng.choice([None, True, -1, 7, 1.5, 10**30, "", "x", "user", "tool", "assistant", "text", "[", "{", '{"a":', "null", "'", "{'a': 1}",
                       "2026-01-01", "1e999", "\ud7ff", "function_call", *WORDS])  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_it_reads_junk_under_every_known_key(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        attributes: dict[str, Any] = {}
        for key in rng.sample(KEYS, rng.randrange(1, 14)):
            value = rng.choice(WORDS) if key in KEYS[:8] else _junk(rng)
            attributes[key] = json.dumps(value) if rng.random() < 0.5 else value
        events = [event(n, content=_junk(rng), message=_junk(rng), body=_junk(rng), gen_ai__prompt=_junk(rng))
                  for n in ("gen_ai.user.message", "gen_ai.tool.message", "gen_ai.choice", "gen_ai.content.prompt", "exception")]  # fmt: skip
        made = dialects.normalise(raw(attributes, events=events, status=rng.choice(["ok", "error", "unset"])))
        logs = [log(n, _junk(rng), {"gen_ai.evaluation.name": _junk(rng)}, at=i)
                for i, n in enumerate(("gen_ai.user.message", "gen_ai.choice", "gen_ai.evaluation.result"))]  # fmt: skip
        json.dumps(trace_json(dialects.assemble([made], logs), []), allow_nan=False)


def test_nesting_without_end_is_marked_and_does_not_fail() -> None:
    for opening, closing in (
        ('{"messages":[', "]}"),
        ('{"message":', "}"),
        ("[", "]"),
        ('{"content":[', "]}"),
        ('{"output":', "}"),
    ):
        deep = opening * 400 + '"x"' + closing * 400
        for key in (
            "gen_ai.input.messages",
            "gen_ai.output.messages",
            "input.value",
            "output.value",
            "gen_ai.prompt",
        ):
            made = dialects.normalise(raw({"openinference.span.kind": "LLM", key: deep}))
            assert made.raw is not None and made.raw.attributes[key] == deep


def test_a_very_long_conversation_is_read_in_full() -> None:
    given = [
        {"role": "user" if i % 2 else "assistant", "parts": [{"type": "text", "content": "x" * 300}]}
        for i in range(4000)
    ]
    made = dialects.normalise(
        raw({"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(given)})
    )
    assert made.llm is not None and len(made.llm.input_messages) == 4000


# Each SDK's word for the kind, with what makes it known, and what may lie beside it.
SDKS = [
    {"agentops.span.kind": "llm"}, {"span.type": "tool", "entity.id": "a"}, {"entity.type": "agent", "entity.id": "a"},
    {"ai.observability.span_type": "eval_root"}, {"nat.span.kind": "LLM"}, {"span_type": "Retrieval", "framework": "x"},
    {"braintrust.span_attributes": '{"type": "score"}'}, {"honeyhive_event_type": "model"}, {"ag.type.node": "chat"},
    {"judgment.span_kind": "llm"}, {"lk.function_tool.name": "f"}, {"rail.name": "r"}, {"llm.model": "m"},
    {"gen_ai.span.kind": "LLM"}, {"gen_ai.request.type": "chat"}, {"session.id": "s"}, {},
]  # fmt: skip
BESIDE = [
    "agentops.tool.input", "agentops.entity.output", "input", "output", "ai.observability.call.kwargs.x",
    "ai.observability.call.return", "ai.observability.retrieval.retrieved_contexts", "ai.observability.eval_root.metric_name",
    "ai.observability.eval_root.score", "braintrust.scores", "braintrust.metrics", "braintrust.output_json",
    "honeyhive_inputs", "honeyhive_inputs._params_.x", "ag.data.inputs", "ag.data.outputs", "llm.messages", "llm.usage",
    "llm.token.counts", "llm.usage.prompt_tokens", "llm.response", "llm.tools", "lk.function_tool.arguments",
    "lk.function_tool.is_error", "lk.chat_ctx", "rail.stop", "guardrails.rail.reason", "retrieval.document",
    "gen_ai.request.parameters", "gen_ai.request.tools", "gen_ai.request.functions.0.name", "gen_ai.request.tools.0",
    "gen_ai.input.messages.0.message.role", "gen_ai.input.messages.0.message.content", "gen_ai.output.messages.0.role",
    "gen_ai.request.max_tokens", "gen_ai.evaluation.name", "tool_input", "tool_result", "new_context", "system_prompt",
    "ttft_ms", "stream", "metrics.ttfb", "gen_ai.request.model", "tool.name", "tool.parameters", "tools",
]  # fmt: skip
TOLD = [
    "LLMChatStartEvent",
    "LLMChatEndEvent",
    "RetrievalEndEvent",
    "QueryEndEvent",
    "promptflow.function.inputs",
]


@pytest.mark.parametrize("seed", range(20))
def test_it_reads_junk_beside_the_word_of_every_sdk(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        attributes: dict[str, Any] = dict(rng.choice(SDKS))
        for key in rng.sample(BESIDE, rng.randrange(1, 12)):
            value = _junk(rng)
            attributes[key] = json.dumps(value) if rng.random() < 0.5 else value
        events = [event(name, payload=_junk(rng), messages=_junk(rng), nodes=_junk(rng), response__raw=_junk(rng),
                        response__raw__choices=_junk(rng), model_dict__model_name=_junk(rng)) for name in TOLD]  # fmt: skip
        scope = rng.choice(["", "qwen-code", "llamaindex.opentelemetry.tracer", "com.anthropic.sdk.python"])
        name = rng.choice(["qwen-code.tool", "qwen-code.llm_request", "OpenAI.chat", "x"])
        made = [
            dialects.normalise(raw(attributes, events=events, scope=scope, name=name)),
            dialects.normalise(raw(attributes, span_id="02" * 8, parent="01" * 8, scope=scope)),
        ]
        json.dumps(trace_json(dialects.assemble(made, []), []), allow_nan=False)


def _twice(value: Any) -> str:
    return json.dumps(json.dumps(value))


def test_what_was_encoded_twice_on_its_way_is_read_as_what_it_was() -> None:
    asked = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Capital?"}]
    made = span({"langfuse.observation.type": "generation", "langfuse.observation.input": _twice(asked),
                 "langfuse.observation.model.parameters": _twice({"temperature": 0.2}),
                 "langfuse.observation.usage_details": _twice({"prompt_tokens": 32, "completion_tokens": 7})}).llm  # fmt: skip
    assert made is not None and (made.system, made.params["temperature"]) == ("Be terse.", 0.2)
    assert (made.usage.input_tokens, made.usage.output_tokens) == (32, 7)
    answer = {"id": "c1", "model": "m", "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "No."}}]}  # fmt: skip
    made = span({"openinference.span.kind": "LLM", "input.value": _twice({"model": "m", "messages": asked}),
                 "output.value": _twice(answer)}).llm  # fmt: skip
    assert made is not None and (made.request_model, made.refusal, made.finish_reason) == ("m", "No.", "stop")
    found = [{"id": "d1", "score": 0.9, "content": "Refunds."}]
    retrieved = span(
        {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": _twice(found)}
    ).retrieval
    assert retrieved is not None and [(d.id, d.score) for d in retrieved.documents] == [("d1", 0.9)]
    spoken = [event("gen_ai.user.message", content=_twice([{"text": "Where?"}])),
              event("gen_ai.choice", message=_twice([{"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": "x"}}}]))]  # fmt: skip
    made = span({"gen_ai.operation.name": "chat"}, events=spoken).llm
    assert made is not None and [m.text for m in made.input_messages] == ["Where?"]
    assert [(c.name, c.arguments) for c in made.tool_calls] == [("find", {"q": "x"})]


def test_metadata_under_a_name_of_ours_does_no_harm() -> None:
    told = {"metadata": {"watchkeeper.redacted": "x"}, "gen_ai.operation.name": "chat"}
    hidden = log("gen_ai.client.inference.operation.details", attributes={"session.id": "[REDACTED]"})
    made = dialects.normalise(raw(told), [hidden])
    assert made.context.metadata["watchkeeper.redacted"] == ["session_id"]
