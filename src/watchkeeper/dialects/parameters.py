"""Request parameters under whatever name they travel, as one set of names."""

from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_bool, as_dict, as_float, as_int, decode, is_object_repr, word

_NAMES = {
    "temperature": "temperature", "top_p": "top_p", "topP": "top_p", "top_k": "top_k", "topK": "top_k",
    "max_tokens": "max_tokens", "maxTokens": "max_tokens", "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens", "maxOutputTokens": "max_tokens", "max_new_tokens": "max_tokens", "maximumLength": "max_tokens",
    "maxTokenCount": "max_tokens", "max_gen_len": "max_tokens",
    "stop": "stop_sequences", "stop_sequences": "stop_sequences", "stopSequences": "stop_sequences",
    "seed": "seed", "frequency_penalty": "frequency_penalty", "frequencyPenalty": "frequency_penalty",
    "presence_penalty": "presence_penalty", "presencePenalty": "presence_penalty", "n": "n",
    "candidate_count": "n", "reasoning_effort": "reasoning_effort", "tool_choice": "tool_choice",
    "response_format": "response_format", "parallel_tool_calls": "parallel_tool_calls",
    "service_tier": "service_tier", "thinking": "thinking", "logprobs": "logprobs", "maxRetries": "max_retries",
    "encoding_format": "encoding_format", "dimensions": "dimensions",
}  # fmt: skip
# Ollama's, Gemini's, LangChain's, Portkey's and Bedrock's objects within the request.
_NESTED = ("options", "config", "invocation_params", "kwargs", "inferenceConfig", "textGenerationConfig")
_COUNTS = frozenset(("max_tokens", "top_k", "n", "seed", "max_retries"))
_NUMBERS = frozenset(("temperature", "top_p", "frequency_penalty", "presence_penalty"))
_UNKNOWN = frozenset(("", "Infinity", "NOT_GIVEN", "NotGiven", "None", "null", "Not set", "undefined"))


def take(draft: Draft, value: Any) -> dict[str, Any]:
    """Fill `draft.params`, model and stream from an object of parameters or a whole request; returns the object."""
    table = as_dict(value) or {}
    for key, entry in table.items():
        name = _NAMES.get(key)
        if name is not None:
            put(draft, name, entry)
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


def put(draft: Draft, name: str, entry: Any) -> None:
    """Fill one parameter, unless the client says nothing by it; numbers may travel as texts, lists as JSON."""
    if isinstance(entry, str):
        if unsaid(entry):
            return
        entry = decode(entry)
    if name == "max_tokens" and as_float(entry) == -1:
        # A client's way to say that no limit was set.
        return
    if name in _COUNTS:
        count = as_int(entry)
        entry = entry if count is None else count
    elif name in _NUMBERS and isinstance(entry, str):
        number = as_float(entry)
        entry = entry if number is None else number
    if entry is not None and entry != []:
        draft.params.setdefault(name, entry)


def unsaid(entry: str) -> bool:
    """Whether an entry is how a client prints a parameter that was not given."""
    return entry in _UNKNOWN or is_object_repr(entry)


def take_prefixed(draft: Draft, attributes: dict[str, Any], prefix: str) -> None:
    """The same from attributes `prefix` + name."""
    start = len(prefix)
    take(draft, {key[start:]: value for key, value in attributes.items() if key.startswith(prefix)})
