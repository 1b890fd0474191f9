"""Spans no dialect claims: HTTP, databases, the application's own. Kept whole and shown."""

from typing import Any

from watchkeeper.dialects import gen_ai_tool, parameters, spellings, unwrap
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import first, said
from watchkeeper.model.span import RawSpan

NAME = "plain"
HEADS = frozenset(("http", "url", "db", "rpc", "input", "output", "guardrails", "lk"))
_GIVEN = (
    "input.value",
    "input",
    "guardrails.request.input",
    "lk.user_input",
    "lk.pii.user_input",
    "lk.input_text",
)
_SAID = ("output.value", "output", "guardrails.request.output", "lk.response.text", "lk.pii.response.text")
_MODEL_METHODS = frozenset(("chat", "completions", "messages", "responses", "generate_content", "generate"))
_TOOL_NAMES = ("tools/call ", "langchain4j.tools.")
_VECTOR_METHODS = frozenset(("embeddings", "embed", "embed_content"))


def recognise(raw: RawSpan) -> bool:
    """Always: this is the last resort."""
    return True


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """HTTP spans are `http`; a client span called `chat …` with nothing else is a failed model call."""
    if draft.kind is None:
        if "http.request.method" in attributes or "http.method" in attributes:
            draft.kind = "http"
        else:
            guess(draft)
    if "function_input" in attributes:
        _function(draft, attributes["function_input"], attributes.get("function_output"))
    draft.input_text = draft.input_text or said(first(attributes, *_GIVEN))
    draft.output_text = draft.output_text or said(first(attributes, *_SAID))


def _function(draft: Draft, given: Any, result: Any) -> None:
    """PromptLayer's spans: a function, or a provider's method, with what it took and gave as Python prints it."""
    if draft.kind is None:
        _method(draft, draft.raw.name)
    asked = unwrap.called_with(given)
    if draft.kind == "llm":
        request = parameters.take(draft, asked)
        draft.take_inputs("function_input", request.get("messages"))
        draft.take_tools(request.get("tools"))
        draft.take_reply("function_output", result)
    else:
        draft.input_text = draft.input_text or said(asked)
        draft.output_text = draft.output_text or said(result)


def guess(draft: Draft) -> None:
    """A client span called `chat MODEL` or `openai.chat.completions` is a model call even when nothing else says so
    (a failed OpenLIT call); an MCP request names the tool it calls, and so does LangChain4j in Quarkus."""
    raw = draft.raw
    if raw.attributes.get("mcp.method.name") == "tools/call" or "mcp.tool.name" in raw.attributes:
        draft.kind = "tool"
        gen_ai_tool.read(draft, raw.attributes)
        draft.tool_name = draft.tool_name or raw.name.rpartition("tools/call ")[2]
        return
    for prefix in _TOOL_NAMES:
        if raw.name.startswith(prefix):
            draft.kind, draft.tool_name = "tool", raw.name.removeprefix(prefix)
            return
    if raw.otel_kind == "client" and not draft.provider_raw and "." in raw.name:
        _method(draft, raw.name)
        return
    operation, space, model = raw.name.partition(" ")
    if raw.otel_kind == "client" and space and operation in ("chat", "text_completion", "generate_content"):
        draft.kind = "llm"
        draft.request_model = draft.request_model or model.strip() or None


def _method(draft: Draft, name: str) -> None:
    """A provider and the method that was called on it, and nothing but the failure."""
    maker, *path = name.lower().split(".")
    if spellings.is_provider(maker) and not _MODEL_METHODS.isdisjoint(path):
        draft.kind = "llm"
        draft.provider_raw["span"] = maker
    elif spellings.is_provider(maker) and not _VECTOR_METHODS.isdisjoint(path):
        draft.kind = "embedding"
        draft.provider_raw["span"] = maker
