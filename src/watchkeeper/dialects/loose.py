"""Names an application, or a small SDK, made up: `llm.model`, `llm.usage.prompt_tokens`, a tool's or a rail's own."""

from typing import Any

from watchkeeper.dialects import common, gen_ai_tool, messages, parameters, searches
from watchkeeper.dialects.draft import Draft, last_user_text
from watchkeeper.dialects.replies import Tokens, read_usage
from watchkeeper.dialects.spare import KIND_ENDS
from watchkeeper.dialects.values import Picker, as_bool, as_float, as_int, as_text, decode, first, said, word
from watchkeeper.model.span import RawSpan

NAME = "loose"
# Only where no client is recognised: the names are too common to fill what one of them left out.
HEADS: frozenset[str] = frozenset()
_MODEL = (
    "llm.request.model", "llm.model", "llm.model.name", "llm.model_name", "llm.request_model", "llm.model_id",
    "ai.model.name", "ai.model", "model.name", "model_name", "model", "request.model",
)  # fmt: skip
_SERVED = ("llm.response.model", "llm.response_model", "response.model", "response_model")
_IN = (
    "llm.usage.prompt_tokens", "llm.usage.input_tokens", "llm.prompt_tokens", "llm.input_tokens", "llm.tokens.input",
    "llm.tokens.prompt", "llm.tokens.in", "llm.token_count.prompt", "ai.usage.prompt_tokens", "ai.usage.input_tokens",
    "usage.prompt_tokens", "usage.input_tokens", "tokens.prompt", "tokens.input", "prompt_tokens", "input_tokens",
)  # fmt: skip
_OUT = (
    "llm.usage.completion_tokens", "llm.usage.output_tokens", "llm.completion_tokens", "llm.output_tokens",
    "llm.tokens.output", "llm.tokens.completion", "llm.tokens.out", "llm.token_count.completion",
    "ai.usage.completion_tokens", "ai.usage.output_tokens", "usage.completion_tokens", "usage.output_tokens",
    "tokens.completion", "tokens.output", "completion_tokens", "output_tokens",
)  # fmt: skip
_GIVEN = (
    "llm.messages", "llm.request.messages", "llm.input.messages", "llm.prompts", "llm.prompt", "llm.request.prompt",
    "llm.input", "llm.input.value", "agent.messages", "lk.chat_ctx", "lk.pii.chat_ctx", "ai.prompt", "messages",
    "prompt", "input",
)  # fmt: skip
_SAID = (
    "llm.output.messages", "llm.response.content", "llm.response.text", "llm.response.messages", "llm.responses",
    "llm.response", "llm.completions", "llm.completion", "llm.output", "lk.response.text", "lk.pii.response.text",
    "ai.response", "response.text", "completion", "response", "output",
)  # fmt: skip
_pick = Picker(
    {
        "model": _MODEL,
        "served": _SERVED,
        "id": ("llm.response.id", "llm.response_id", "response.id", "response_id"),
        "provider": (
            "llm.provider",
            "llm.vendor",
            "llm.system",
            "ai.provider.name",
            "ai.provider",
            "langtrace.service.name",
            "judgment.llm.provider",
            "confident.span.provider",
            "ag.meta.system",
            "provider",
        ),
        "system": ("llm.system_prompt", "llm.request.system", "system_prompt"),
        "given": _GIVEN,
        "said": _SAID,
        "tools": ("llm.tools", "llm.request.tools", "tools"),
        "in": _IN,
        "out": _OUT,
        "total": (
            "llm.usage.total_tokens",
            "llm.total_tokens",
            "usage.total_tokens",
            "tokens.total",
            "total_tokens",
        ),
        "cached": (
            "llm.usage.cached_tokens",
            "llm.usage.cache_read_input_tokens",
            "llm.token_count.cache_read",
            "usage.cached_tokens",
            "tokens.cache_read",
            "tokens.cached",
            "judgment.usage.cache_read_input_tokens",
            "tfy.model.metric.cache_read_input_tokens",
            "cached_tokens",
            "cache_read_input_tokens",
        ),
        "written": (
            "llm.usage.cache_creation_input_tokens",
            "llm.token_count.cache_write",
            "tokens.cache_write",
            "judgment.usage.cache_creation_input_tokens",
            "tfy.model.metric.cache_creation_input_tokens",
            "cache_creation_input_tokens",
        ),
        "reasoning": (
            "llm.usage.reasoning_tokens",
            "llm.token_count.reasoning",
            "usage.reasoning_tokens",
            "reasoning_tokens",
            "ai.observability.cost.num_reasoning_tokens",
        ),
        "usage": ("llm.usage", "llm.token.counts", "llm.token_counts", "usage"),
        "cost": (
            "llm.cost.total",
            "llm.cost.usd",
            "llm.cost_usd",
            "llm.cost.total_usd",
            "llm.cost",
            "cost_usd",
        ),
        "finish": (
            "llm.finish_reason",
            "llm.response.finish_reason",
            "llm.stop_reason",
            "llm.response.stop_reason",
            "ai.response.finish_reason",
            "finish_reason",
            "stop_reason",
        ),
        "stream": (
            "llm.stream",
            "llm.streaming",
            "llm.request.stream",
            "llm.request.streaming",
            "llm.is_streaming",
            "stream",
            "ai.observability.generation.is_streaming",
            "cozeloop.stream",
            "tfy.model.streaming",
        ),
        "ttft_ms": (
            "llm.ttft_ms",
            "llm.metrics.ttft_ms",
            "llm.time_to_first_token_ms",
            "ttft_ms",
            "time_to_first_token_ms",
            "ai.observability.generation.time_to_first_token_ms",
            "tfy.model.metric.time_to_first_token_in_ms",
        ),
    }
)
_PARAMETERS = ("llm.request.", "llm.", "ai.model.", "param.")
_NAMED, _COUNTED = frozenset((*_MODEL, *_SERVED)), frozenset((*_IN, *_OUT))
# Names no one gives anything but a call to a model.
_OWN = frozenset(key for key in (*_GIVEN, *_SAID) if key.startswith("llm.")) | {
    "llm.input_messages.0.message.role",
    "llm.output_messages.0.message.role",
    "llm.output_messages.0.message.content",
}
# The steps of a graph of LangGraph's, of which some clients tell nothing else (AWS's distribution, Coralogix).
_NODES = frozenset(("langgraph.node", "gen_ai.langgraph.node"))
_AGENTS_OWN = frozenset(("agent.input", "agent.output", "agent.query", "agent.response"))
_SNAKE_TOOL = ("tool_name", "function.name")
_TOOLS = frozenset(("lk.function_tool.name", "tool.function_name"))
# Effect's toolkits.
_HANDLED = frozenset(("tool", "parameters"))
_TOOL_VALUES = frozenset(
    (
        "tool.arguments",
        "tool.args",
        "tool.input",
        "tool.parameters",
        "tool.result",
        "tool.output",
        "tool.response",
        # The id of a call, also where its values are left out.
        "tool.call.id",
        "tool.call_id",
        "tool_call.id",
        "tool_call_id",
        "function.id",
    )
)
# What lies beside a tool's name under a prefix of the client's own.
_OWN_TOOL = ("call_id", "call.id", "arguments", "args", "input", "parameters", "result", "output")
# NeMo Guardrails' rails and Guardrails AI's validators.
_VERDICTS = ("triggered", "passed", "blocked")
# Llama Stack's shields.
_SHIELD = "llama_stack.safety."
_GUARDS = ("rail.name", "validator.name", f"{_SHIELD}request.shield_id")


def recognise(raw: RawSpan) -> bool:
    """Whether the names say what the span is although no client is known by them."""
    return _kind(raw.attributes) is not None


# What lies beside the bare `type` of a step, all of one group: the data of OpenAI's agents as it is.
_TOOL_DATA = (frozenset(("name", "input")), frozenset(("name", "output")))
_TYPES: dict[str, tuple[str, tuple[frozenset[str], ...]]] = {
    "agent": (
        "agent",
        (frozenset(("agent_name",)), frozenset(("name", "handoffs")), frozenset(("name", "tools"))),
    ),
    "function": ("tool", _TOOL_DATA),
    "tool": ("tool", _TOOL_DATA),
    "guardrail": ("guardrail", (frozenset(("name", "triggered")),)),
    "handoff": ("workflow", (frozenset(("from_agent",)), frozenset(("to_agent",)))),
    "generation": ("llm", (frozenset(("model", "input")), frozenset(("model", "usage")))),
}


def _typed(attributes: dict[str, Any]) -> str | None:
    """The kind that a bare `type` tells where what it says of the step lies beside it."""
    told = attributes.get("type")
    kind, groups = _TYPES.get(told, ("", ())) if isinstance(told, str) else ("", ())
    return kind if any(attributes.keys() >= group for group in groups) else None


def _kind(attributes: dict[str, Any]) -> str | None:
    if "type" in attributes and (typed := _typed(attributes)) is not None:
        return typed
    if not _TOOLS.isdisjoint(attributes) or attributes.keys() >= _HANDLED:
        return "tool"
    if "tool.name" in attributes and _has_values(attributes):
        return "tool"
    if _own_tool(attributes) is not None or _snake(attributes):
        return "tool"
    if any(name in attributes for name in _GUARDS) or _own_guard(attributes) is not None:
        return "guardrail"
    named = not _NAMED.isdisjoint(attributes)
    told = not _COUNTED.isdisjoint(attributes) or not _OWN.isdisjoint(attributes)
    if named and (told or "llm.usage" in attributes or "llm.token.counts" in attributes):
        return "llm"
    if searches.prefix(attributes) is not None:
        return "retrieval"
    if named:
        return None
    if _own_call(attributes) is not None:
        return "llm"
    if "agent.name" in attributes and not _AGENTS_OWN.isdisjoint(attributes):
        return "agent"
    return "workflow" if not _NODES.isdisjoint(attributes) else None


def _has_values(attributes: dict[str, Any]) -> bool:
    scattered = (*gen_ai_tool.GIVEN, *gen_ai_tool.SAID)
    return not _TOOL_VALUES.isdisjoint(attributes) or any(key.startswith(scattered) for key in attributes)


# What these used is the sum of the calls beneath them.
_STEPS = frozenset(
    ("agent", "workflow", "session", "run", "task", "crew", "graph", "trace", "conversation", "turn")
)


def _own_call(attributes: dict[str, Any]) -> str | None:
    """The prefix under which a client tells a model and what it used (`openclaw.model`, `openclaw.tokens.input`)."""
    for key in attributes:
        prefix, _, name = key.rpartition(".")
        prefix = prefix.removesuffix(".request")
        if name not in ("model", "model_name") or prefix in ("", "gen_ai"):
            continue
        if prefix.rpartition(".")[2] in _STEPS:
            continue
        # A span whose kind stands beside them is of that kind.
        if any(prefix + end in attributes for end in KIND_ENDS):
            return None
        if any(f"{prefix}.{count}" in attributes for count in _COUNTED):
            return prefix + "."
    return None


_GIVEN_TOOL = ("tool_input", "tool_args", "tool_arguments", "function.arguments", "function.input")
_SAID_TOOL = ("tool_output", "tool_result", "tool_response", "function.result", "function.output")


def _snake(attributes: dict[str, Any]) -> bool:
    """Whether a tool's name stands beside what went in or came out (`tool_name`, `tool_input`)."""
    return any(name in attributes for name in _SNAKE_TOOL) and any(
        name in attributes for name in (*_GIVEN_TOOL, *_SAID_TOOL)
    )


def _own_tool(attributes: dict[str, Any]) -> str | None:
    """The prefix under which a client tells a call to a tool (`upsonic.tool.`)."""
    for key in attributes:
        if key.endswith(".tool.name") and not key.startswith("gen_ai."):
            prefix = key.removesuffix("name")
            if any(prefix + end in attributes for end in _OWN_TOOL):
                return prefix
    return None


def _own_guard(attributes: dict[str, Any]) -> tuple[str, str] | None:
    """The prefix under which a client tells a guardrail and its verdict (`weave.openai_agents.guardrail.`), and the verdict's name."""
    for key in attributes:
        prefix, _, verdict = key.rpartition(".")
        own = prefix == "guardrail" or prefix.endswith(".guardrail")
        if verdict in _VERDICTS and own and f"{prefix}.name" in attributes:
            return f"{prefix}.", verdict
    return None


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` by what the names say."""
    draft.kind = draft.kind or _kind(attributes)
    if draft.kind == "llm":
        if (own := _own_call(attributes)) is not None:
            told = {k.removeprefix(own): v for k, v in attributes.items() if k.startswith(own)}
            attributes = {**told, **attributes}
        call(draft, attributes)
    elif draft.kind == "tool":
        own = _own_tool(attributes) or "tool."
        typed = _typed(attributes) == "tool"
        draft.tool_name = draft.tool_name or word(
            first(attributes, f"{own}name", "tool", *_SNAKE_TOOL) or (attributes["name"] if typed else None)
        )
        common.step(draft, first(attributes, *_GIVEN_TOOL), first(attributes, *_SAID_TOOL))
        if draft.tool_arguments is None and attributes.keys() >= _HANDLED:
            draft.tool_arguments = decode(attributes["parameters"])
        gen_ai_tool.read(draft, attributes)
        if own != "tool.":
            given = first(attributes, *(own + end for end in ("arguments", "args", "input", "parameters")))
            common.step(draft, given, first(attributes, f"{own}result", f"{own}output"))
        elif typed:
            common.step(draft, attributes.get("input"), attributes.get("output"))
    elif draft.kind == "guardrail":
        guard(draft, attributes)
    elif draft.kind == "agent":
        draft.weak_agent = draft.weak_agent or word(first(attributes, "agent_name", "agent.name", "name"))
        draft.input_text = draft.input_text or said(first(attributes, "agent.input", "agent.query"))
        draft.output_text = draft.output_text or said(first(attributes, "agent.output", "agent.response"))
    elif draft.kind == "retrieval" and (asked := searches.prefix(attributes)) is not None:
        searches.read(draft, attributes, asked)


def guard(draft: Draft, attributes: dict[str, Any]) -> None:
    """What a rail or a validator says of itself under names of its own."""
    draft.guardrail_name = draft.guardrail_name or word(first(attributes, *_GUARDS))
    if (found := _own_guard(attributes)) is not None:
        own, verdict = found
        draft.guardrail_name = draft.guardrail_name or word(attributes[f"{own}name"])
        common.guardrail_outcome(draft, {verdict: attributes[f"{own}{verdict}"]})
    if _typed(attributes) == "guardrail":
        draft.guardrail_name = draft.guardrail_name or word(attributes["name"])
        common.guardrail_outcome(draft, {"triggered": attributes["triggered"]})
    if "guardrail.triggered" in attributes:
        # OpenInference's for OpenAI's agents in JS, whose span has the guardrail's name.
        common.guardrail_outcome(draft, {"triggered": attributes["guardrail.triggered"]})
    given = first(attributes, "guardrails.rail.input", "validator.validate.input.value")
    draft.input_text = draft.input_text or as_text(given)
    stopped = as_bool(attributes.get("rail.stop"))
    if stopped is not None:
        common.guardrail_outcome(draft, {"blocked": stopped})
    common.guardrail_outcome(draft, as_text(attributes.get("validator.validate.output.outcome")))
    if f"{_SHIELD}request.shield_id" in attributes:
        # What was found to be harmless has no level.
        level = attributes.get(f"{_SHIELD}response.violation.level")
        common.guardrail_outcome(draft, {"blocked": level == "error"})
        asked = messages.read(attributes.get(f"{_SHIELD}request.messages"), "user")
        draft.input_text = draft.input_text or last_user_text(asked or [])
    told = first(attributes, "guardrails.rail.reason", "validator.validate.output.error_message",
                 f"{_SHIELD}response.violation.user_message")  # fmt: skip
    reason = as_text(told)
    draft.guardrail_reasons = draft.guardrail_reasons or ([reason] if reason else None)


def call(draft: Draft, attributes: dict[str, Any]) -> None:
    """What made-up names say of a call to a model."""
    got = _pick(attributes)
    draft.request_model = draft.request_model or word(got.get("model"))
    draft.response_model = draft.response_model or word(got.get("served"))
    draft.response_id = draft.response_id or word(got.get("id"))
    if provider := word(got.get("provider")):
        draft.provider_raw.setdefault("provider", provider)
    for prefix in _PARAMETERS:
        parameters.take_prefixed(draft, attributes, prefix)
    draft.take_tools(got.get("tools"))
    draft.take_inputs("prompt", got.get("given"))
    draft.system = draft.system or as_text(got.get("system"))
    if not draft.outputs:
        draft.take_reply("response", got.get("said"))
    draft.tokens.fill(
        Tokens(
            as_int(got.get("in")),
            as_int(got.get("out")),
            as_int(got.get("cached")),
            as_int(got.get("written")),
            as_int(got.get("reasoning")),
            total=as_int(got.get("total")),
        )
    )
    if (usage := read_usage(decode(got.get("usage")))) is not None:
        draft.tokens.fill(usage)
    draft.cost_client = as_float(got.get("cost")) if draft.cost_client is None else draft.cost_client
    draft.finish_raw = draft.finish_raw or word(got.get("finish"))
    draft.stream = as_bool(got.get("stream")) if draft.stream is None else draft.stream
    draft.ttft_ms = as_float(got.get("ttft_ms")) if draft.ttft_ms is None else draft.ttft_ms
