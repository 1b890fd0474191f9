"""LlamaIndex's own tracing: spans without attributes, and what happened as events named after their classes."""

from typing import Any

from watchkeeper.dialects import common, parameters, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_list, as_text, decode, first, nested, word
from watchkeeper.model.span import RawSpan

NAME = "llama_index"
HEADS: frozenset[str] = frozenset()
# The first event of a span that has one of these says what the span is; those after it are told by spans of their own.
_KINDS = {
    "LLMChatStartEvent": "llm", "LLMCompletionStartEvent": "llm", "LLMPredictStartEvent": "workflow",
    "LLMStructuredPredictStartEvent": "workflow", "EmbeddingStartEvent": "embedding",
    "SparseEmbeddingStartEvent": "embedding", "RetrievalStartEvent": "retrieval", "ReRankStartEvent": "rerank",
    "QueryStartEvent": "workflow", "SynthesizeStartEvent": "workflow", "AgentToolCallEvent": "tool",
    "AgentRunStepStartEvent": "agent", "AgentChatWithStepStartEvent": "agent", "StreamChatStartEvent": "workflow",
}  # fmt: skip
_STREAM = ("LLMChatInProgressEvent", "LLMCompletionInProgressEvent")


def recognise(raw: RawSpan) -> bool:
    """Whether LlamaIndex's own tracer made this span."""
    return raw.scope_name.startswith("llamaindex.")


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from the events; a component without events of its own is a step."""
    if not recognise(draft.raw):
        return
    events: dict[str, dict[str, Any]] = {}
    for event in sorted(draft.raw.events, key=lambda e: e.time_ns):
        events.setdefault(event.name, event.attributes)
        if event.name in _STREAM and draft.ttft_ms is None:
            draft.stream = True
            draft.ttft_ms = (event.time_ns - draft.raw.start_ns) / 1e6
        if event.name.endswith("EndEvent"):
            events[event.name] = event.attributes
    began = next((name for name in _KINDS if name in events), None)
    component, _, method = draft.raw.name.rpartition(".")
    runs = component.endswith("Agent") and method == "run"
    draft.kind = draft.kind or (_KINDS[began] if began else "agent" if runs else "workflow")
    if draft.kind == "agent":
        draft.weak_agent = draft.weak_agent or component or None
    elif draft.kind == "llm" and "stream_" in method:
        # Its span ends with the first piece: what came after is told nowhere.
        draft.stream = True
    given = events.get(began or "", {})
    told = events.get((began or "").replace("StartEvent", "EndEvent"), {})
    if draft.kind in ("llm", "embedding"):
        _call(draft, given, told)
    elif draft.kind in ("retrieval", "rerank"):
        draft.query = draft.query or as_text(_query(given) or _query(told))
        if draft.documents is None:
            draft.documents = common.documents(first(told, "nodes"))
    elif draft.kind == "tool":
        draft.tool_name = draft.tool_name or word(first(given, "tool.name", "tool_name"))
        draft.tool_arguments = (
            decode(given.get("arguments")) if draft.tool_arguments is None else draft.tool_arguments
        )
    draft.input_text = draft.input_text or as_text(_query(given) or first(given, "user_msg", "input"))
    draft.output_text = draft.output_text or as_text(
        first(told, "response.response", "response.message.content", "response", "output")
    )


def _query(values: dict[str, Any]) -> Any:
    return first(values, "query.query_str", "query", "str_or_query_bundle.query_str", "str_or_query_bundle")


def _call(draft: Draft, given: dict[str, Any], told: dict[str, Any]) -> None:
    draft.request_model = draft.request_model or word(
        first(given, "model_dict.model_name", "model_dict.model", "model_dict.model_id")
    )
    maker = (word(given.get("model_dict.class_name")) or "").lower()
    if spellings.is_provider(maker) and "like" not in maker:
        draft.provider_raw.setdefault("model_dict.class_name", maker)
    for prefix in ("model_dict.", "additional_kwargs."):
        settings = {k.removeprefix(prefix): decode(v) for k, v in given.items() if k.startswith(prefix)}
        settings.pop("model", None)
        parameters.take(draft, {k: v for k, v in settings.items() if v not in (None, "null")})
    draft.take_inputs("messages", first(given, "messages", "prompt"))
    if draft.kind == "embedding":
        texts = [t for t in as_list(told.get("chunks")) or [] if isinstance(t, str)]
        draft.take_inputs("chunks", texts or None)
        return
    # What the provider said, and what LlamaIndex made of it.
    draft.take_reply("response.raw", _object(told, "response.raw"))
    if not draft.outputs:
        draft.take_reply("response.message", _object(told, "response.message") or told.get("response.text"))
    usage = read_usage(nested(told, "response.additional_kwargs."))
    if usage is not None:
        draft.tokens.fill(usage)


def _object(told: dict[str, Any], name: str) -> dict[str, Any] | None:
    """An object that lies under `name` as JSON or, of late, taken apart."""
    whole = as_dict(told.get(name)) or as_dict(nested(told, f"{name}.")) or {}
    return {k: decode(v) for k, v in whole.items() if v != "null"} or None
