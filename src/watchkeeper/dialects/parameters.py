"""Request parameters under whatever name they travel, as one set of names."""

from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_bool, as_dict, decode, is_object_repr, word

_NAMES = {
    "temperature": "temperature", "top_p": "top_p", "topP": "top_p", "top_k": "top_k", "topK": "top_k",
    "max_tokens": "max_tokens", "maxTokens": "max_tokens", "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens", "maxOutputTokens": "max_tokens", "max_new_tokens": "max_tokens",
    "stop": "stop_sequences", "stop_sequences": "stop_sequences", "stopSequences": "stop_sequences",
    "seed": "seed", "frequency_penalty": "frequency_penalty", "frequencyPenalty": "frequency_penalty",
    "presence_penalty": "presence_penalty", "presencePenalty": "presence_penalty", "n": "n",
    "candidate_count": "n", "reasoning_effort": "reasoning_effort", "tool_choice": "tool_choice",
    "response_format": "response_format", "parallel_tool_calls": "parallel_tool_calls",
    "service_tier": "service_tier", "thinking": "thinking", "logprobs": "logprobs", "maxRetries": "max_retries",
    "encoding_format": "encoding_format", "dimensions": "dimensions",
}  # fmt: skip
# Ollama's, Gemini's, LangChain's and Portkey's objects within the request.
_NESTED = ("options", "config", "invocation_params", "kwargs")
_UNKNOWN = frozenset(("", "Infinity", "NOT_GIVEN", "NotGiven", "None", "null", "Not set", "undefined"))


def take(draft: Draft, value: Any) -> dict[str, Any]:
    """Fill `draft.params`, model and stream from an object of parameters or a whole request; returns the object."""
    table = as_dict(value) or {}
    for key, entry in table.items():
        name = _NAMES.get(key)
        if name is not None and entry is not None and not (isinstance(entry, str) and unsaid(entry)):
            draft.params.setdefault(name, decode(entry))
    for nested in _NESTED:
        if isinstance(table.get(nested), dict):
            draft.take_tools(take(draft, table[nested]).get("tools"))
    if draft.stream is None:
        draft.stream = as_bool(table.get("stream"))
    model = word(table.get("model") or table.get("model_id") or table.get("modelId"))
    if "created_at" in table or "object" in table:
        # A client that dumps the response as parameters gives the served model.
        draft.response_model = draft.response_model or model
    else:
        draft.request_model = draft.request_model or model
    return table


def unsaid(entry: str) -> bool:
    """Whether an entry is how a client prints a parameter that was not given."""
    return entry in _UNKNOWN or is_object_repr(entry)


def take_prefixed(draft: Draft, attributes: dict[str, Any], prefix: str) -> None:
    """The same from attributes `prefix` + name."""
    start = len(prefix)
    take(draft, {key[start:]: value for key, value in attributes.items() if key.startswith(prefix)})
