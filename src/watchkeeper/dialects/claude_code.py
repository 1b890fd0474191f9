"""Claude Code's own spans: a turn, its requests to the model, its tools (its log records are read in `agents.py`)."""

from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import Tokens
from watchkeeper.dialects.values import as_bool, as_float, as_int, as_text, decode, first, identifier, word
from watchkeeper.model.span import RawSpan

NAME = "claude_code"
HEADS: frozenset[str] = frozenset()
_KINDS = {"interaction": "agent", "llm_request": "llm", "tool": "tool"}


def recognise(raw: RawSpan) -> bool:
    """Whether Claude Code made this span."""
    attributes = raw.attributes
    return "claude_code" in raw.scope_name or ("span.type" in attributes and "session.id" in attributes)


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from bare attribute names; the waits and hooks around a tool stay steps."""
    head, _, step = draft.raw.name.partition(".")
    if head != NAME:
        return
    kind = _KINDS.get(step, "other")
    draft.kind = draft.kind or kind
    draft.agent = draft.agent or NAME
    if kind == "llm":
        _request(draft, attributes)
    elif kind == "tool":
        _tool(draft, attributes)
    elif kind == "agent":
        prompt = as_text(attributes.get("user_prompt"))
        draft.input_text = draft.input_text or (identifier(prompt) and prompt)
    if kind in ("llm", "tool") and as_bool(attributes.get("success")) is False:
        draft.failed = True
        draft.error_message = draft.error_message or as_text(attributes.get("error"))
        draft.error_status = draft.error_status or as_int(attributes.get("status_code"))


def _request(draft: Draft, attributes: dict[str, Any]) -> None:
    draft.request_model = draft.request_model or word(first(attributes, "gen_ai.request.model", "model"))
    draft.provider_raw.setdefault("client", "anthropic")
    draft.tokens.fill(
        Tokens(
            as_int(attributes.get("input_tokens")),
            as_int(attributes.get("output_tokens")),
            as_int(attributes.get("cache_read_tokens")),
            as_int(attributes.get("cache_creation_tokens")),
            # Cached tokens are counted beside the input.
            exclusive=True,
        )
    )
    draft.finish_raw = draft.finish_raw or word(attributes.get("stop_reason"))
    draft.response_id = draft.response_id or word(first(attributes, "gen_ai.response.id", "request_id"))
    draft.attempts = as_int(attributes.get("attempt"))
    draft.ttft_ms = as_float(attributes.get("ttft_ms")) if draft.ttft_ms is None else draft.ttft_ms
    if not draft.outputs:
        draft.take_reply("response.model_output", attributes.get("response.model_output"))


def _tool(draft: Draft, attributes: dict[str, Any]) -> None:
    draft.tool_name = draft.tool_name or word(attributes.get("tool_name"))
    draft.tool_call_id = draft.tool_call_id or word(first(attributes, "gen_ai.tool.call.id", "tool_use_id"))
    if draft.tool_arguments is None:
        given = decode(first(attributes, "tool_input", "tool_parameters"))
        told = {key: attributes[key] for key in ("full_command", "file_path") if key in attributes}
        draft.tool_arguments = given if given is not None else (told or None)
    for event in draft.raw.events:
        if event.name == "tool.output" and draft.tool_result is None:
            draft.tool_result = decode(first(event.attributes, "output", "content"))
