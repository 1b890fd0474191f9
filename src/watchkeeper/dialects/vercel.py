"""Vercel AI SDK: `ai.*` attributes; only the `.do…` operations are provider calls, the rest wrap them."""

from typing import Any

from watchkeeper.dialects import common, messages, parameters
from watchkeeper.dialects.draft import Draft, last_user_text
from watchkeeper.dialects.replies import Tokens, read_usage
from watchkeeper.dialects.values import as_dict, as_float, as_int, as_list, as_text, decode, first, word
from watchkeeper.model.span import Document, Message, Part, RawSpan

NAME = "vercel"
HEADS = frozenset(("ai",))


def recognise(raw: RawSpan) -> bool:
    """Whether the AI SDK names this span's operation."""
    return "ai.operationId" in raw.attributes


def _kind(operation: str) -> str:
    if operation.endswith((".doGenerate", ".doStream")):
        return "llm"
    if operation.endswith(".doEmbed"):
        return "embedding"
    if operation.endswith(".doRerank"):
        return "rerank"
    return "tool" if operation == "ai.toolCall" else "workflow"


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from the AI SDK's attributes."""
    operation = word(attributes.get("ai.operationId"))
    if draft.kind is None and operation:
        draft.kind = _kind(operation)
    draft.workflow = draft.workflow or word(attributes.get("ai.telemetry.functionId"))
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or word(attributes.get("ai.toolCall.name"))
        draft.tool_call_id = draft.tool_call_id or word(attributes.get("ai.toolCall.id"))
        if draft.tool_arguments is None:
            draft.tool_arguments = decode(first(attributes, "ai.toolCall.args", "ai.toolCall.input"))
        if draft.tool_result is None:
            draft.tool_result = decode(first(attributes, "ai.toolCall.result", "ai.toolCall.output"))
        draft.tool_error = draft.tool_error or common.tool_failure(draft.tool_result)
        return
    if draft.kind in ("llm", "embedding"):
        _call(draft, attributes, operation or "")
    elif draft.kind == "rerank":
        _ranking(draft, attributes)
    elif draft.kind == "workflow":
        _wrapper(draft, attributes)


def _ranking(draft: Draft, attributes: dict[str, Any]) -> None:
    """Places and scores, of the documents that were sent."""
    sent = as_list(attributes.get("ai.documents")) or []
    found: list[Document] = []
    for place in as_list(attributes.get("ai.ranking")) or []:
        table = as_dict(place) or {}
        index = as_int(first(table, "index", "originalIndex"))
        if index is None:
            continue
        content = as_text(decode(sent[index])) if index < len(sent) else None
        found.append(Document(None, as_float(first(table, "relevanceScore", "score")), content))
    draft.documents = found if draft.documents is None and found else draft.documents


def _call(draft: Draft, attributes: dict[str, Any], operation: str) -> None:
    provider = word(attributes.get("ai.model.provider"))
    if provider:
        draft.provider_raw.setdefault("ai.model.provider", provider)
    draft.request_model = draft.request_model or word(attributes.get("ai.model.id"))
    draft.response_model = draft.response_model or word(attributes.get("ai.response.model"))
    draft.response_id = draft.response_id or word(attributes.get("ai.response.id"))
    parameters.take_prefixed(draft, attributes, "ai.settings.")
    if draft.stream is None and draft.kind == "llm" and operation:
        draft.stream = operation.endswith(".doStream")
    draft.take_inputs("ai.prompt.messages", first(attributes, "ai.prompt.messages", "ai.prompt"))
    if draft.inputs is None:
        draft.inputs = messages.read(
            [
                decode(v)
                for v in as_list(attributes.get("ai.values")) or as_list(attributes.get("ai.value")) or []
            ]
        )
    draft.take_tools(attributes.get("ai.prompt.tools"))
    _answer(draft, attributes)
    tokens = Tokens(
        as_int(first(attributes, "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens")),
        as_int(first(attributes, "ai.usage.outputTokens", "ai.usage.completionTokens")),
        as_int(first(attributes, "ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens")),
        as_int(first(attributes, "ai.usage.inputTokenDetails.cacheWriteTokens")),
        as_int(first(attributes, "ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens")),
    )
    draft.tokens.fill(tokens)
    if tokens.cached is None or "anthropic" in (provider or ""):
        _provider_usage(draft, attributes.get("ai.response.providerMetadata"))
    draft.finish_raw = draft.finish_raw or word(attributes.get("ai.response.finishReason"))
    if draft.ttft_ms is None:
        draft.ttft_ms = as_float(attributes.get("ai.response.msToFirstChunk"))


def _provider_usage(draft: Draft, value: Any) -> None:
    """Versions 4 and 5 leave what it has no name for to the provider's own metadata."""
    told = [t for item in (as_dict(value) or {}).values() if (t := as_dict(item)) is not None]
    for item in [*told, *(t[k] for t in told for k in ("usage", "usageMetadata") if k in t)]:
        usage = read_usage(item)
        if usage is not None:
            thoughts = usage.reasoning or 0
            if draft.tokens.output is not None and usage.output == draft.tokens.output + thoughts:
                # Version 5 counts what Gemini thought in nothing but the provider's own count.
                draft.tokens.output = usage.output
            # Version 5 passes Anthropic's count on, which leaves out what was cached.
            same = usage.exclusive and usage.input == draft.tokens.input
            draft.tokens.exclusive = draft.tokens.exclusive or same
            usage.input = usage.output = usage.total = None
            draft.tokens.fill(usage)


def _answer(draft: Draft, attributes: dict[str, Any]) -> None:
    if draft.outputs:
        return
    parts: list[Part] = []
    reasoning = as_text(attributes.get("ai.response.reasoning"))
    if reasoning:
        parts.append(Part("reasoning", text=reasoning))
    text = attributes.get("ai.response.text")
    if text is None:
        text = attributes.get("ai.response.object")
    if isinstance(text, str) and text:
        parts.append(Part("text", text=text))
    elif text is not None and text != "":
        parts.append(Part("text", text=as_text(text)))
    for call in as_list(attributes.get("ai.response.toolCalls")) or []:
        table = as_dict(call)
        if table is not None:
            parts += messages.parts_of({"type": "tool-call", **table})
    if parts:
        draft.outputs = [Message("assistant", parts)]


def _wrapper(draft: Draft, attributes: dict[str, Any]) -> None:
    prompt = decode(first(attributes, "ai.prompt", "ai.prompt.messages", "ai.value", "ai.schema.prompt"))
    if isinstance(prompt, dict | list):
        draft.input_text = draft.input_text or last_user_text(messages.read(prompt, "user") or [])
    if not isinstance(prompt, dict):
        draft.input_text = draft.input_text or as_text(prompt)
    draft.output_text = draft.output_text or as_text(
        first(attributes, "ai.response.text", "ai.response.object")
    )
