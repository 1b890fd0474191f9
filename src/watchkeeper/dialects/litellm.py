"""LiteLLM: GenAI names beside its own bookkeeping, and a child span with the raw provider exchange."""

from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_float, from_repr, word
from watchkeeper.model.span import RawSpan

NAME = "litellm"
HEADS = frozenset(("litellm", "hidden_params"))


def recognise(raw: RawSpan) -> bool:
    """Whether LiteLLM's callback wrote this span, its own or the application's."""
    return raw.scope_name == "litellm" or "litellm.call_id" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """The raw exchange repeats its parent's call: it is transport, not another call."""
    if draft.kind is None and "gen_ai.operation.name" not in attributes and recognise(draft.raw):
        if draft.raw.name == "raw_gen_ai_request" or any(_raw_key(key) for key in attributes):
            draft.kind = "http"
        elif draft.raw.name.startswith("guardrail"):
            draft.kind = "guardrail"
    usage_text = attributes.get("metadata.usage_object")
    usage = read_usage(from_repr(usage_text) if isinstance(usage_text, str) else usage_text)
    if usage is not None and draft.kind != "http":
        draft.tokens.fill(usage)
    if draft.cost_client is None:
        hidden = as_dict(attributes.get("hidden_params")) or {}
        draft.cost_client = as_float(hidden.get("response_cost")) or None
    model = word(attributes.get("litellm.provider.model"))
    if model and "/" in model and draft.kind == "llm":
        draft.provider_raw.setdefault("litellm.provider.model", model.split("/", 1)[0])
    if draft.failed and draft.response_id == word(attributes.get("litellm.call_id")):
        # A failed call has no provider response; the callback puts its own call id there.
        draft.response_id = None


def _raw_key(key: str) -> bool:
    return key.startswith("llm.") and key.endswith((".messages", ".choices", ".input"))
