"""LangSmith's OTel export: one JSON blob for what went in and one for what came out, LangChain-shaped."""

from typing import Any

from watchkeeper.dialects import common, gen_ai, messages, parameters
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_list, as_text, decode, first, from_repr, word
from watchkeeper.model.span import RawSpan

NAME = "langsmith"
HEADS = frozenset(("langsmith",))
_KINDS = {
    "llm": "llm", "retriever": "retrieval", "tool": "tool", "chain": "workflow", "embedding": "embedding",
    "prompt": "other", "parser": "other", "agent": "agent",
}  # fmt: skip


def recognise(raw: RawSpan) -> bool:
    """Whether LangSmith names this run's type."""
    return "langsmith.span.kind" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft`; LangSmith's own kind wins over the operation name it also sends."""
    kind = word(attributes.get("langsmith.span.kind"))
    if draft.kind is None and kind:
        draft.kind = _KINDS.get(kind.lower(), "other")
    given, result = _request(attributes.get("gen_ai.prompt")), attributes.get("gen_ai.completion")
    if any(e.name == "exception" for e in draft.raw.events):
        # What a run raised is recorded, and its span may still be called ok.
        draft.failed = True
    if draft.kind in ("llm", "embedding"):
        _model(draft, attributes, given, result)
    elif draft.kind == "retrieval":
        table = as_dict(given) or {}
        draft.query = (
            draft.query
            or as_text(first(table, "query", "question", "q", "input"))
            or common.plain_text(given)
        )
        draft.documents = common.documents(result) if draft.documents is None else draft.documents
    elif draft.kind == "tool":
        _tool(draft, given, result)
    draft.input_text = draft.input_text or _text(given)
    if draft.kind != "llm":
        draft.output_text = draft.output_text or _text(result)
    draft.weak_agent = draft.weak_agent or word(attributes.get("langsmith.metadata.lc_agent_name"))


def _request(given: Any) -> Any:
    """A run's input; of a wrapped JS client's method the request, which is the first of its arguments."""
    table = as_dict(given)
    args = as_list(table.get("args")) if table is not None and len(table) == 1 else None
    return args[0] if args and isinstance(args[0], dict) else given


def _model(draft: Draft, attributes: dict[str, Any], given: Any, result: Any) -> None:
    provider = word(attributes.get("langsmith.metadata.ls_provider"))
    draft.request_model = draft.request_model or word(attributes.get("gen_ai.request.model"))
    draft.request_model = draft.request_model or word(attributes.get("langsmith.metadata.ls_model_name"))
    if isinstance(given, dict):
        draft.take_inputs("gen_ai.prompt", given)
    gen_ai.read(draft, attributes)
    if provider:
        draft.provider_raw.setdefault("langsmith.metadata.ls_provider", provider)
    for name in ("temperature", "max_tokens", "stop"):
        value = attributes.get(f"langsmith.metadata.ls_{name}")
        if value is not None:
            parameters.take(draft, {name: value})
    parameters.take(draft, attributes.get("langsmith.metadata.ls_invocation_params"))
    request = as_dict(given)
    if request is not None and "model" in request:
        parameters.take(draft, request)
        draft.take_tools(request.get("tools"))
    usage = read_usage(attributes.get("langsmith.metadata.usage_metadata"))
    if usage is not None:
        draft.tokens.fill(usage)
    for key in ("gen_ai.usage.input_token_details", "gen_ai.usage.output_token_details"):
        text = attributes.get(key)
        details = from_repr(text) if isinstance(text, str) else text
        usage = read_usage(details)
        if usage is not None:
            usage.input = usage.output = None
            draft.tokens.fill(usage)


def _tool(draft: Draft, given: Any, result: Any) -> None:
    draft.tool_name = draft.tool_name or draft.raw.name
    if draft.tool_arguments is None:
        table = as_dict(given)
        value = decode(given)
        if table is not None and set(table) == {"input"}:
            value = decode(table["input"])
        draft.tool_arguments = value
    if draft.tool_result is None:
        table = as_dict(result) or {}
        body = as_dict(table.get("output")) or table
        if body.get("status") == "error":
            draft.tool_error = draft.tool_error or as_text(body.get("content")) or "error"
        if "content" in body:
            draft.tool_result = decode(body["content"])
        elif table:
            draft.tool_result = decode(table.get("output", table))
    draft.tool_error = draft.tool_error or common.tool_failure(draft.tool_result)


def _text(value: Any) -> str | None:
    table = as_dict(value)
    if table is None:
        return common.plain_text(value)
    listed = as_list(table.get("messages"))
    if listed:
        found = messages.read(listed, "user") or []
        texts = [t for m in found if m.role in ("user", "assistant") and (t := m.text)]
        return texts[-1] if texts else as_text(value)
    return common.plain_text(value)
