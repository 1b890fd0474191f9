"""LiteLLM: GenAI names beside its own bookkeeping, and a child span with the raw provider exchange."""

from typing import Any

from watchkeeper.dialects import traceloop
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_float, as_list, decode, first, from_repr, identifier, word
from watchkeeper.model.span import RawSpan

NAME = "litellm"
HEADS = frozenset(("litellm", "hidden_params", "SpanAttributes"))
# Versions before 1.76 print the names of the constants that hold the prefixes.
_PROMPTS, _COMPLETIONS = "SpanAttributes.LLM_PROMPTS.", "SpanAttributes.LLM_COMPLETIONS."


def recognise(raw: RawSpan) -> bool:
    """Whether LiteLLM's callback wrote this span, its own or the application's."""
    return raw.scope_name == "litellm" or "litellm.call_id" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """The raw exchange repeats its parent's call; assembly lends what only the exchange knows to the parent."""
    if draft.kind is None and "gen_ai.operation.name" not in attributes and recognise(draft.raw):
        if draft.raw.name == "raw_gen_ai_request" or any(_raw_key(key) for key in attributes):
            _exchange(draft, attributes)
        elif draft.raw.name.startswith("guardrail"):
            draft.kind = "guardrail"
    if f"{_PROMPTS}0.role" in attributes or f"{_COMPLETIONS}0.role" in attributes:
        traceloop.flattened(draft, attributes, _PROMPTS, _COMPLETIONS)
    usage_text = attributes.get("metadata.usage_object")
    usage = read_usage(from_repr(usage_text) if isinstance(usage_text, str) else usage_text)
    if usage is not None and draft.kind != "http":
        draft.tokens.fill(usage)
    if draft.cost_client is None:
        hidden = as_dict(attributes.get("hidden_params")) or {}
        draft.cost_client = as_float(hidden.get("response_cost")) or None
    model = word(attributes.get("litellm.provider.model"))
    if model:
        draft.provider_raw.setdefault("litellm.provider.model", model)
    asked = as_dict(attributes.get("metadata.requester_metadata"))
    if asked is not None:
        # What the proxy's client sent along.
        draft.session = draft.session or identifier(
            first(asked, "session_id", "conversation_id", "thread_id")
        )
        draft.user = draft.user or identifier(asked.get("user_id"))
        draft.tags = draft.tags or [t for tag in as_list(asked.get("tags")) or () if (t := word(tag))]


def _raw_key(key: str) -> bool:
    return key.startswith("llm.") and key.endswith((".messages", ".choices", ".input", ".contents"))


def _exchange(draft: Draft, attributes: dict[str, Any]) -> None:
    """`llm.<provider>.<field>` holds request and response, fields printed with repr."""
    table: dict[str, Any] = {}
    for key, value in attributes.items():
        parts = key.split(".", 2)
        if len(parts) == 3 and parts[0] == "llm":
            table[parts[2]] = decode(value)
    answered = "choices" in table or "candidates" in table or isinstance(table.get("content"), list)
    draft.kind = "llm" if answered or "messages" in table or "contents" in table else "http"
    if draft.kind == "http":
        return
    request = {k: table[k] for k in ("messages", "contents", "system") if k in table}
    draft.take_inputs("llm.messages", request)
    if answered:
        draft.take_reply(
            "llm.response", {k: v for k, v in table.items() if k not in ("messages", "contents", "system")}
        )
