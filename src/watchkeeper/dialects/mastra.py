"""Mastra's exporter: the kind under `mastra.span.type`; a step holds the provider's request and response."""

import re
from typing import Any

from watchkeeper.dialects import common, messages, parameters, replies
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_dict, as_list, as_text, decode, first, word
from watchkeeper.model.span import Message, Part, RawSpan

NAME = "mastra"
HEADS = frozenset(("mastra",))
_KINDS = {
    "agent_run": "agent", "tool_call": "tool", "mcp_tool_call": "tool", "model_step": "llm", "model_chunk": "other",
    "llm_generation": "llm", "llm_step": "llm", "llm_chunk": "other", "scorer_run": "evaluator",
    "rag_embedding": "embedding", "rag_vector_operation": "retrieval", "memory_operation": "memory",
}  # fmt: skip


_CALLS = re.compile(r"(\[tool: [^\[\]]+\])+")
_RESULTS = re.compile(r"(\[tool-result: [^\[\]]+\])+")
_NAME = re.compile(r"\[tool-result: ([^\[\]]+)\]")


def recognise(raw: RawSpan) -> bool:
    """Whether Mastra names this span's type."""
    return "mastra.span.type" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from the type, the input and the output; the conventions' names beside them are read after."""
    kind = word(attributes.get("mastra.span.type")) or ""
    given = first(attributes, f"mastra.{kind}.input", "input")
    result = first(attributes, f"mastra.{kind}.output", "output")
    if draft.kind is None and kind == "model_step" and not _answered(attributes, result):
        # What a failed call left; the call is on the span below or above.
        draft.kind = "workflow"
    if draft.kind is None:
        # The call itself, or from version 1 on what surrounds its steps, says so by its operation.
        called = attributes.get("gen_ai.operation.name") == "chat" or "llm.token_count.prompt" in attributes
        draft.kind = _KINDS.get(kind) or ("llm" if called else "workflow")
    if draft.kind == "llm":
        _call(draft, attributes, given, result)
    else:
        draft.tool_name = draft.tool_name or word(attributes.get("gen_ai.tool.name"))
        common.step(draft, given, result)
    if draft.kind == "agent":
        draft.weak_agent = word(attributes.get("agent.id")) or draft.weak_agent
    draft.input_text = draft.input_text or _text(given)
    draft.output_text = draft.output_text or _text(result)


def _text(value: Any) -> str | None:
    table = as_dict(value) or {}
    return as_text(table["text"]) if "text" in table else common.plain_text(value)


def _answered(attributes: dict[str, Any], result: Any) -> bool:
    told = as_dict(result) or {}
    return bool(told.get("text") or told.get("toolCalls") or _meta(attributes, "body"))


def _meta(attributes: dict[str, Any], name: str) -> Any:
    """What a span's metadata say: each under a name of its own, or all of them in one object (the exporter for Arize)."""
    value = first(attributes, f"mastra.metadata.{name}", name)
    return (as_dict(attributes.get("metadata")) or {}).get(name) if value is None else value


def _call(draft: Draft, attributes: dict[str, Any], given: Any, result: Any) -> None:
    model = as_dict(_meta(attributes, "modelMetadata")) or {}
    provider = word(model.get("modelProvider"))
    if provider:
        draft.provider_raw.setdefault("modelMetadata.modelProvider", provider)
    draft.request_model = draft.request_model or word(model.get("modelId"))
    request = as_dict((as_dict(given) or {}).get("body"))
    if request is not None:
        draft.take_tools(parameters.take(draft, request).get("tools"))
    draft.take_inputs("input", _unsummed(given) if request is None else request)
    _answer(draft, as_dict(result) or {})
    body = replies.read(decode(_meta(attributes, "body")))
    if body is not None:
        draft.adopt(body)
    reasons = as_list(attributes.get("gen_ai.response.finish_reasons")) or []
    if "error" in (*reasons, attributes.get("gen_ai.response.finish_reasons")):
        draft.failed = True
    started = word(attributes.get("mastra.completion_start_time"))
    if started is not None:
        common.first_token(draft, started)


def _unsummed(given: Any) -> Any:
    """The messages of a step, in which Mastra writes `[tool: NAME]` for a call and `[tool-result: NAME]` for a result.

    Calls and results are elsewhere in the trace: what is left is a message that said nothing, and a message for each result.
    """
    out: list[Any] = []
    listed = as_list(given)
    for item in listed or []:
        table = as_dict(item) or {}
        said, role = table.get("content"), table.get("role")
        if role == "tool" and isinstance(said, str) and _RESULTS.fullmatch(said):
            out += [{"role": "tool", "name": name, "content": None} for name in _NAME.findall(said)]
        elif role == "assistant" and isinstance(said, str) and _CALLS.fullmatch(said):
            out.append({**table, "content": ""})
        else:
            out.append(item)
    return given if listed is None else out


def _answer(draft: Draft, told: dict[str, Any]) -> None:
    text = as_text(told.get("text"))
    parts = [Part("text", text=text)] if text else []
    for call in as_list(told.get("toolCalls")) or []:
        table = as_dict(call)
        if table is not None:
            parts += messages.parts_of({"type": "tool-call", **table})
    if parts and not draft.outputs:
        draft.outputs = [Message("assistant", parts)]
