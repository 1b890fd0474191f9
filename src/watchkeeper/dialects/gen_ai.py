"""The OpenTelemetry GenAI conventions on spans: current names and those still in the wild."""

from typing import Any, cast

from watchkeeper.dialects import common, gen_ai_tool, messages, parameters, spellings
from watchkeeper.dialects.draft import Draft, last_user_text
from watchkeeper.dialects.replies import Tokens
from watchkeeper.dialects.values import (
    Picker,
    as_bool,
    as_dict,
    as_float,
    as_int,
    as_list,
    as_text,
    decode,
    first,
    nested,
    word,
)
from watchkeeper.model.span import Document, RawSpan

NAME = "gen_ai"
HEADS = frozenset(("gen_ai",))
_PARAMS = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.max_completion_tokens": "max_tokens",
    "gen_ai.request.max_output_tokens": "max_tokens",
    "gen_ai.request.n": "n",
    "gen_ai.request.stop_sequences": "stop_sequences",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.choice.count": "n",
    "gen_ai.request.reasoning_effort": "reasoning_effort",
    "gen_ai.request.encoding_formats": "encoding_formats",
    "gen_ai.output.type": "output_type",
}
_FLATTENED = (
    "gen_ai.input.messages.0.message.role",
    "gen_ai.output.messages.0.message.role",
    "gen_ai.input.messages.0.role",
    "gen_ai.output.messages.0.role",
    "gen_ai.request.functions.0.name",
    "gen_ai.request.tools.0.name",
    "gen_ai.tool.definitions.0.tool.json_schema",
)
_pick = Picker(
    {
        "operation": (
            "gen_ai.operation.name",
            "gen_ai.span.kind",
            "gen_ai.span_kind_name",
            "gen_ai.l9.span.kind",
            "gen_ai.request.type",
            "gen_ai.step.type",
        ),
        "request_model": (
            "gen_ai.request.model",
            "gen_ai.request_model",
            "gen_ai.model",
            "gen_ai.model.name",
            "gen_ai.model_name",
        ),
        "response_model": ("gen_ai.response.model", "gen_ai.response_model"),
        # A run of Azure's agents is told by every request that asks how it is.
        "response_id": ("gen_ai.response.id", "gen_ai.response_id", "gen_ai.thread.run.id"),
        "agent": ("gen_ai.agent.name",),
        "stream": (
            "gen_ai.request.stream",
            "gen_ai.request.is_stream",
            "llm.is_streaming",
            "gen_ai.is_streaming",
            "gen_ai.response.streaming",
            "gen_ai.request.streaming",
            "gen_ai.streaming",
            "gen_ai.request.llm_is_streaming",
            "stream",
        ),
        "finish": (
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "anthropic.message.stop_reason",
            "gen_ai.response.stop_reason",
            "gen_ai.finish_reason",
            "gen_ai.finish_reasons",
            "gen_ai.stop_reason",
        ),
        "cost": (
            "gen_ai.usage.cost",
            "gen_ai.cost.total_cost",
            "operation.cost",
            "gen_ai.usage.total_cost",
            "gen_ai.usage.cost.total",
            "gen_ai.usage.cost.total_usd",
            "gen_ai.usage.cost_usd",
            "gen_ai.cost.total",
            "gen_ai.cost_usd",
            "gen_ai.cost.usd",
            "gen_ai.cost.total_usd",
            "gen_ai.estimated_cost_usd",
            "gen_ai.cost",
        ),
        "cost_ticks": ("gen_ai.usage.cost_in_usd_ticks",),
        "ttft": (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.latency.time_to_first_token",
            "gen_ai.streaming.time_to_first_token",
            "lk.response.ttft",
            "metrics.ttfb",
        ),
        "ttft_ms": (
            "copilot_chat.time_to_first_token",
            "gen_ai.response.time_to_first_token_ms",
            "trace.metadata.openrouter.first_token_ms",
            "ttft_ms",
            "time_to_first_token_ms",
            "gen_ai.ttft_ms",
            "gen_ai.latency.ttft_ms",
            "gen_ai.time_to_first_token_ms",
            "gen_ai.first_token_latency_ms",
        ),
        "first_at": ("gen_ai.completion.start_time", "gen_ai.response.start_time"),
        "ttft_somehow": (
            "gen_ai.response.time_to_first_token",
            "gen_ai.time_to_first_token",
            "gen_ai.response.ttft",
            "gen_ai.ttft",
        ),
        "queue": ("gen_ai.latency.time_in_queue",),
        "inputs": ("gen_ai.input.messages",),
        "outputs": ("gen_ai.output.messages",),
        "system": (
            "gen_ai.system_instructions",
            "gen_ai.request.instructions",
            "gen_ai.agent.system_instructions",
            "gen_ai.llm.input.system",
            "gen_ai.system.instructions",
            "gen_ai.system_prompt",
            "gen_ai.system_message",
            "gen_ai.request.system",
            "gen_ai.request.system_prompt",
            "gen_ai.prompt.system",
        ),
        "step_given": (
            "gen_ai.workflow.input",
            "gen_ai.agent.input_context",
            "gen_ai.memory.query.text",
            "gen_ai.memory.query",
        ),
        "step_result": (
            "gen_ai.workflow.output",
            "gen_ai.agent.output_result",
            "gen_ai.agent.final_result",
            "gen_ai.memory.records",
        ),
        "prompt": (
            "gen_ai.prompt",
            "gen_ai.prompt_json",
            "gen_ai.prompt.messages",
            "gen_ai.prompt.content",
            "gen_ai.messages",
            "gen_ai.user.message",
            "gen_ai.user_message",
            "gen_ai.request.messages",
            "gen_ai.content.prompt",
            "gen_ai.request.prompt",
            "gen_ai.request.input",
            "gen_ai.request.embedding_inputs",
            "gen_ai.embeddings.input_texts",
            "gen_ai.input",
            "gen_ai.input.text",
            "gen_ai.llm.input.user",
            "span.input",
            "input",
        ),
        "completion": (
            "gen_ai.completion",
            "gen_ai.completion_json",
            "gen_ai.completion.choices",
            "gen_ai.completion.content",
            "gen_ai.response.message",
            "gen_ai.assistant.message",
            "gen_ai.assistant_message",
            "gen_ai.response.messages",
            "gen_ai.content.completion",
            "gen_ai.response.text",
            "gen_ai.response.content",
            "gen_ai.response.output",
            "gen_ai.output",
            "gen_ai.output.text",
            "gen_ai.response",
            "gen_ai.llm.output",
            "span.output",
            "output",
        ),
        "calls": (
            "gen_ai.response.tool_calls",
            "gen_ai.output.tool_calls",
            "gen_ai.completion.tool_calls",
            "gen_ai.tool_calls",
        ),
        "tools": (
            "gen_ai.tool.definitions",
            "gen_ai.request.available_tools",
            "gen_ai.request.tools",
            "gen_ai.request.tool_definitions",
            "gen_ai.request.functions",
            "gen_ai.tools",
            "tools.definitions",
            "tools",
        ),
        "flattened": _FLATTENED,
        "maker": ("gen_ai.model.provider", "gen_ai.provider", "langtrace.service.name"),
        "parameters": ("gen_ai.request.parameters",),
        "evaluation": ("gen_ai.evaluation.name",),
        "in": (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "gen_ai.response.prompt_tokens",
            "gen_ai.prompt_tokens",
            "gen_ai.input_tokens",
        ),
        "out": (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "gen_ai.response.completion_tokens",
            "gen_ai.completion_tokens",
            "gen_ai.output_tokens",
        ),
        "total": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "gen_ai.total_tokens"),
        "cached": (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.details.cache_read_input_tokens",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.input_tokens.cache_read",
            "gen_ai.usage.details.cached_tokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.input_cached_tokens",
            "gen_ai.usage.cached_input_tokens",
            "gen_ai.usage.cached_prompt_tokens",
            "gen_ai.usage.cached_prompt_text_tokens",
            "gen_ai.usage.cache_read_tokens",
            "gen_ai.usage.prompt_tokens_details.cached_tokens",
            "gen_ai.usage.prompt_tokens_details.cache_read",
            "gen_ai.usage.input_tokens_details.cached_tokens",
        ),
        "written": (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.cache_write_input_tokens",
            "gen_ai.usage.details.cache_creation_input_tokens",
            "gen_ai.usage.details.cache_write_tokens",
            "gen_ai.usage.cache_write_tokens",
            "gen_ai.usage.input_tokens.cache_write",
            "gen_ai.usage.input_tokens.cache_creation",
            "gen_ai.usage.cache_creation_tokens",
            "gen_ai.usage.prompt_tokens_details.cache_write",
        ),
        "reasoning": (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.details.reasoning_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.reasoning_output_tokens",
            "gen_ai.usage.experimental.reasoning_tokens",
            "gen_ai.usage.thoughts_tokens",
            "gen_ai.usage.details.thoughts_tokens",
            "gen_ai.usage.output_reasoning_tokens",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
            "gen_ai.usage.completion_tokens_details.reasoning",
            "gen_ai.usage.output_tokens_details.reasoning_tokens",
            "gen_ai.usage.thinking_tokens",
            "llm.usage.reasoning_tokens",
            "thoughts_token_count",
        ),
    }
)


# In which xAI counts a dollar.
_TICKS = 1e10
_TOOL_SIGNS = frozenset(
    ("gen_ai.tool.name", "spring.ai.tool.definition.name", "lk.function_tool.name", "tool.function_name")
)
_CONVERSATIONS = frozenset(("messages", "contents", "input"))
# What is read beside `_pick`, and the kinds for which there is nothing more.
_RETRIEVED = (
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.query",
    "gen_ai.retriever.query",
    "gen_ai.retrieval.top_k",
    "gen_ai.request.top_k",
)
_ASIDE = frozenset(
    (*_PARAMS, *_RETRIEVED, "gen_ai.retrieval.documents", "gen_ai.provider.name", "gen_ai.system")
)
_READ = frozenset(("retrieval", "rerank", "agent", "workflow", "other", "llm", "embedding"))
_CALL_SIGNS = frozenset(("in", "out", "total", "inputs", "outputs", "prompt", "completion"))


def recognise(raw: RawSpan) -> bool:
    """Whether the GenAI conventions describe this span."""
    attributes = raw.attributes
    return (
        "gen_ai.operation.name" in attributes
        or "gen_ai.provider.name" in attributes
        or "gen_ai.system" in attributes
        or "gen_ai.span.kind" in attributes
        or "gen_ai.request.type" in attributes
        or (raw.otel_kind == "client" and "gen_ai.request.model" in attributes)
    )


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from a span's own attributes (or those of an inference event on it)."""
    got = _pick(attributes)
    if (
        not got
        and draft.kind in _READ
        and _ASIDE.isdisjoint(attributes)
        and not draft.inputs
        and not draft.outputs
    ):
        return
    operation = word(got.get("operation"))
    if draft.kind is None and operation:
        draft.kind = spellings.kind_of_operation(operation)
        if operation == "function" and not any(key.startswith("gen_ai.tool.") for key in attributes):
            # Any function that was traced (telemetry.dev), no tool that a model called.
            draft.kind = "workflow"
    if draft.kind == "tool" and _searches(attributes):
        draft.kind = "retrieval"
    for key in ("gen_ai.provider.name", "gen_ai.system"):
        value = word(attributes.get(key))
        if value:
            draft.provider_raw.setdefault(key, value)
    if "maker" in got and (maker := word(got["maker"])):
        # Cloudflare's gateway, Langtrace in JS.
        draft.provider_raw.setdefault("gen_ai.model.provider", maker)
    draft.request_model = draft.request_model or word(got.get("request_model"))
    draft.response_model = draft.response_model or word(got.get("response_model"))
    draft.response_id = draft.response_id or word(got.get("response_id"))
    for key, value in attributes.items():
        name = _PARAMS.get(key)
        if name is not None:
            parameters.put(draft, name, value)
    if draft.stream is None and "stream" in got:
        draft.stream = as_bool(got["stream"])
    if "finish" in got and draft.finish_raw is None:
        listed = as_list(got["finish"])
        # SGLang tells what it stopped at beside why.
        told = (as_dict(got["finish"]) or {}).get("type", got["finish"])
        draft.finish_raw = _end(listed) if listed else (word(told) if listed is None else None)
    if draft.cost_client is None:
        draft.cost_client = as_float(got.get("cost"))
        if draft.cost_client is None and (ticks := as_float(got.get("cost_ticks"))) is not None:
            draft.cost_client = ticks / _TICKS
    if draft.ttft_ms is None and (seconds := as_float(got.get("ttft"))) is not None:
        draft.ttft_ms = seconds * 1000
    if draft.ttft_ms is None and "ttft_ms" in got:
        draft.ttft_ms = as_float(got["ttft_ms"])
    if draft.ttft_ms is None and "ttft_somehow" in got:
        draft.ttft_ms = _within(draft.raw, as_float(got["ttft_somehow"]))
    if "first_at" in got and (began := word(got["first_at"])):
        common.first_token(draft, began)
    if draft.queue_ms is None and (seconds := as_float(got.get("queue"))) is not None:
        draft.queue_ms = seconds * 1000
    _usage(draft, got, attributes)
    _content(draft, got)
    if "parameters" in got:
        _asked(draft, got["parameters"])
    if "flattened" in got:
        _flattened(draft, attributes)
    if draft.kind is None:
        draft.kind = _guess(draft, operation, got, attributes)
    kind = draft.kind
    if kind in ("llm", "embedding"):
        if "tools" in got:
            draft.take_tools(got["tools"])
        # One value each for what went in and came out: older clients, gateways.
        draft.take_inputs("gen_ai.prompt", got.get("prompt"))
        request = as_dict(got.get("prompt")) or {}
        if "model" in request and not _CONVERSATIONS.isdisjoint(request):
            # The request as it was sent.
            draft.take_tools(_asked(draft, request).get("tools"))
        if "completion" in got and not draft.outputs:
            draft.take_reply("gen_ai.completion", got["completion"])
            if isinstance(got["completion"], str) and '"rawRequest"' in got["completion"]:
                # OpenRouter tells the request it was sent beside the answer.
                draft.take_tools(parameters.take(draft, _sent(got["completion"])).get("tools"))
        if "calls" in got:
            draft.take_calls(got["calls"])
    elif kind == "tool":
        gen_ai_tool.read(draft, attributes)
    elif kind in ("retrieval", "rerank") or "gen_ai.retrieval.documents" in attributes:
        _retrieval(draft, attributes)
    elif kind == "guardrail":
        common.guardrail_values(draft, attributes)
    else:
        draft.input_text = draft.input_text or as_text(got.get("step_given"))
        draft.output_text = draft.output_text or as_text(got.get("step_result"))
        if kind in ("agent", "workflow"):
            draft.input_text = draft.input_text or _words(got.get("prompt"))
            draft.output_text = draft.output_text or _words(got.get("completion"))
    if "inputs" in got or "outputs" in got:
        _stepped(draft, got)
    if "evaluation" in got:
        common.evaluation_event(draft, attributes)
    draft.agent = draft.agent or word(got.get("agent"))


def _words(value: Any) -> str | None:
    """What a step was asked, or answered, where it is told as plain text."""
    return value if isinstance(value, str) and not isinstance(decode(value), dict | list) else None


def _stepped(draft: Draft, got: dict[str, Any]) -> None:
    """What decorators of functions put where messages belong: the arguments and what was returned."""
    given, result = (
        None if common.are_messages(got.get(side)) else got.get(side) for side in ("inputs", "outputs")
    )
    if draft.kind in ("tool", "retrieval", "rerank"):
        common.step(draft, given, result)
        return
    if draft.inputs is None:
        draft.input_text = draft.input_text or common.plain_text(given)
    if not draft.outputs:
        draft.output_text = draft.output_text or common.plain_text(result)


def _searches(attributes: dict[str, Any]) -> bool:
    """Whether what is called the execution of a tool is a retriever's (LangChain's tracer for Azure)."""
    return attributes.get("gen_ai.tool.type") == "retriever" or "gen_ai.retriever.results" in attributes


def _within(raw: RawSpan, wait: float | None) -> float | None:
    """Milliseconds of a wait in an unknown unit (LoongSuite counts nanoseconds): the largest that the span has room for."""
    lasted = (raw.end_ns - raw.start_ns) / 1e6
    told = (wait * unit for unit in (1000.0, 1.0, 1e-6)) if wait is not None and wait >= 0 else ()
    return next((ms for ms in told if ms <= lasted), None)


def _end(reasons: list[Any]) -> str | None:
    """The first reason that is one: a stream's may begin with the states it went through."""
    if len(reasons) > 1:
        for reason in reasons:
            if spellings.finish_reason(word(reason), False) is not None:
                return word(reason)
    return word(reasons[0])


def _guess(
    draft: Draft, operation: str | None, got: dict[str, Any], attributes: dict[str, Any]
) -> str | None:
    """The kind of a span whose operation is missing or not in any table."""
    if "llm.request.type" in attributes or "traceloop.span.kind" in attributes:
        return None
    named = "request_model" in got or "response_model" in got
    told = named and not _CALL_SIGNS.isdisjoint(got)
    if operation is None and (said := draft.raw.name.partition(" ")[0]) and "_" in said:
        # A span is named after its operation.
        kind = spellings.kind_of_operation(said)
        if kind is not None and not (told and kind == "workflow"):
            return kind
    executed = not _TOOL_SIGNS.isdisjoint(attributes)
    if executed and "request_model" not in got:
        return "tool"
    # A request sent to a provider for a model is a call, also where nothing is told of what came back.
    sent = draft.raw.otel_kind == "client" and bool(draft.provider_raw)
    if told or (named and sent):
        return "llm"
    # Some clients know the model from the answer alone: a call that failed has a provider and a question.
    asked = operation is None and ("prompt" in got or "inputs" in got)
    if draft.failed and asked and any(map(spellings.is_provider, draft.provider_raw.values())):
        return "llm"
    if _found(draft) is not None:
        return "retrieval"
    # Messages that went to no model, and counted nothing, are what a step of the application took and gave (Galileo).
    step = ("inputs" in got or "outputs" in got) and not named and "in" not in got and "out" not in got
    return "workflow" if operation or (step and not sent) else None


def _found(draft: Draft) -> list[Document] | None:
    """The documents that an answer made of nothing else holds (Galileo's retrievers)."""
    parts = [p for m in draft.outputs or [] for p in m.parts]
    told = parts[0].raw if len(parts) == 1 else None
    return common.documents(told) if isinstance(told, dict) and set(told) == {"documents"} else None


def counts(draft: Draft, attributes: dict[str, Any]) -> None:
    """Token counts that are told apart from the span's attributes."""
    _usage(draft, _pick(attributes), attributes)


def _usage(draft: Draft, got: dict[str, Any], attributes: dict[str, Any]) -> None:
    """Token counts in current and older names; on other spans than calls they are sums of calls."""
    if draft.kind in ("llm", "embedding", None) and ("in" in got or "out" in got or "cached" in got):
        tokens = Tokens(
            as_int(got.get("in")),
            as_int(got.get("out")),
            as_int(got.get("cached")),
            as_int(got.get("written")),
            as_int(got.get("reasoning")),
            total=as_int(got.get("total")),
        )
        draft.tokens.fill(tokens)
        draft.tokens.fill(_parts(attributes))


def _parts(attributes: dict[str, Any]) -> Tokens:
    """The parts of the counts under names that no table has, by their words (Bifrost's `prompt_token_details.cached_read_tokens`)."""
    found: dict[str, int | None] = {}
    for key, value in attributes.items():
        if (
            key.startswith("gen_ai.usage.")
            and key.endswith("tokens")
            and (part := spellings.part_of_usage(key)) is not None
        ):
            found.setdefault(part, as_int(value))
    return Tokens(None, None, found.get("cached"), found.get("written"), found.get("reasoning"))


def _content(draft: Draft, got: dict[str, Any]) -> None:
    draft.take_inputs("gen_ai.input.messages", got.get("inputs"))
    if "outputs" in got and not draft.outputs:
        draft.take_reply("gen_ai.output.messages", got["outputs"])
    if "system" in got and draft.system is None:
        draft.system = system_text(got["system"])


def _asked(draft: Draft, value: Any) -> dict[str, Any]:
    """The whole request (FutureAGI, Judgment): the model beside it may be the one that served."""
    request = parameters.take(draft, value)
    draft.system = draft.system or system_text(first(request, "system", "instructions"))
    if "created_at" in request:
        # The response, whose settings are those of the request (FutureAGI's for OpenAI's agents).
        draft.response_id = draft.response_id or word(request.get("id"))
        served = draft.response_model
        if served is not None and served == draft.request_model and spellings.is_pinned(served):
            draft.request_model = None
        return request
    asked = word(request.get("model"))
    if asked is not None and draft.request_model not in (None, asked):
        draft.response_model = draft.response_model or draft.request_model
        draft.request_model = asked
    return request


def _sent(completion: str) -> Any:
    return (as_dict(completion) or {}).get("rawRequest")


def _flattened(draft: Draft, attributes: dict[str, Any]) -> None:
    """Messages and tools under numbered names (FutureAGI's instrumentations, AgentOps)."""
    if draft.inputs is None:
        draft.take_inputs("gen_ai.input.messages", nested(attributes, "gen_ai.input.messages."))
    if not draft.outputs:
        draft.take_reply("gen_ai.output.messages", nested(attributes, "gen_ai.output.messages."))
    defined = nested(attributes, "gen_ai.tool.definitions.")
    if isinstance(defined, list):
        told = [as_dict((as_dict(t) or {}).get("tool")) or {} for t in cast(list[Any], defined)]
        draft.take_tools([t.get("json_schema") for t in told])
    for prefix in ("gen_ai.request.functions.", "gen_ai.request.tools."):
        told = nested(attributes, prefix)
        for one in cast(list[Any], told) if isinstance(told, list) else []:
            table = as_dict(one)
            if table is not None:
                draft.tool_definitions.append({k: decode(v) for k, v in table.items()})


def system_text(value: Any) -> str | None:
    """The text of system instructions: parts, messages or plain text."""
    found = messages.read(value, "system")
    texts = [t for m in found or [] if (t := m.text)]
    return "\n".join(texts) or None


def _retrieval(draft: Draft, attributes: dict[str, Any]) -> None:
    draft.query = draft.query or as_text(
        first(attributes, "gen_ai.retrieval.query.text", "gen_ai.retrieval.query", "gen_ai.retriever.query")
    )
    draft.top_k = draft.top_k or as_int(first(attributes, "gen_ai.retrieval.top_k", "gen_ai.request.top_k"))
    if draft.documents is None:
        told = first(attributes, "gen_ai.retrieval.documents", "gen_ai.retriever.results")
        told = nested(attributes, "gen_ai.retrieval.documents.") if told is None else told
        draft.documents = common.documents(told)
        draft.documents = _found(draft) if draft.documents is None else draft.documents
    draft.query = draft.query or last_user_text(draft.inputs or [])
