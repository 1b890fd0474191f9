"""The own spans of Claude Code and Qwen Code: a turn, its requests to the model, its tools.

Their log records are read in `agents.py`.
"""

import re
from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import Tokens
from watchkeeper.dialects.values import as_bool, as_float, as_int, as_text, decode, first, identifier, word
from watchkeeper.model.span import RawSpan

NAME = "claude_code"
HEADS: frozenset[str] = frozenset()
_AGENTS = ("claude_code", "qwen-code")
_KINDS = {"interaction": "agent", "subagent": "agent", "llm_request": "llm", "tool": "tool"}
# What stands before a text that is shown to a person: "[TOOL INPUT: read_file]".
_LABEL = re.compile(r"\[(?:USER PROMPT|TOOL INPUT: [^\]\n]*|TOOL RESULT: [^\]\n]*)\]\n")


def recognise(raw: RawSpan) -> bool:
    """Whether one of them made this span."""
    attributes = raw.attributes
    known = "claude_code" in raw.scope_name or raw.scope_name.startswith("qwen-code")
    return known or ("span.type" in attributes and "session.id" in attributes)


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from bare attribute names; the waits and hooks around a tool stay steps."""
    head, _, step = draft.raw.name.partition(".")
    if head not in _AGENTS:
        return
    kind = _KINDS.get(step, "other")
    draft.kind = draft.kind or kind
    draft.agent = draft.agent or word(first(attributes, "gen_ai.agent.name", "subagent_name")) or head
    if kind == "llm":
        _request(draft, attributes, head)
    elif kind == "tool":
        _tool(draft, attributes)
    elif kind == "agent":
        prompt = _text(first(attributes, "user_prompt", "new_context"))
        draft.input_text = draft.input_text or (identifier(prompt) and prompt)
    if kind in ("llm", "tool") and as_bool(attributes.get("success")) is False:
        draft.failed = True
        draft.error_message = draft.error_message or as_text(attributes.get("error"))
        draft.error_status = draft.error_status or as_int(
            first(attributes, "status_code", "error_status_code")
        )


def _text(value: Any) -> str | None:
    """A text without the label that some of them put before it."""
    text = as_text(value)
    return text and _LABEL.sub("", text, count=1)


def _request(draft: Draft, attributes: dict[str, Any], head: str) -> None:
    draft.request_model = draft.request_model or word(first(attributes, "gen_ai.request.model", "model"))
    if head == NAME:
        draft.provider_raw.setdefault("client", "anthropic")
    draft.tokens.fill(
        Tokens(
            as_int(attributes.get("input_tokens")),
            as_int(attributes.get("output_tokens")),
            as_int(attributes.get("cache_read_tokens")),
            as_int(attributes.get("cache_creation_tokens")),
            # Claude Code counts cached tokens beside the input.
            exclusive=head == NAME,
        )
    )
    draft.finish_raw = draft.finish_raw or word(first(attributes, "stop_reason", "finish_reason"))
    draft.system = draft.system or as_text(attributes.get("system_prompt"))
    draft.response_id = draft.response_id or word(first(attributes, "gen_ai.response.id", "request_id"))
    draft.attempts = as_int(attributes.get("attempt"))
    draft.ttft_ms = as_float(attributes.get("ttft_ms")) if draft.ttft_ms is None else draft.ttft_ms
    if not draft.outputs:
        draft.take_reply("response.model_output", attributes.get("response.model_output"))


def _tool(draft: Draft, attributes: dict[str, Any]) -> None:
    draft.tool_name = draft.tool_name or word(attributes.get("tool_name"))
    draft.tool_call_id = draft.tool_call_id or word(
        first(attributes, "gen_ai.tool.call.id", "tool_use_id", "tool.call_id")
    )
    if draft.tool_arguments is None:
        given = decode(_text(first(attributes, "tool_input", "tool_parameters")))
        told = {key: attributes[key] for key in ("full_command", "file_path") if key in attributes}
        draft.tool_arguments = given if given is not None else (told or None)
    if draft.tool_result is None:
        draft.tool_result = decode(_text(attributes.get("tool_result")))
    for event in draft.raw.events:
        if event.name == "tool.output" and draft.tool_result is None:
            draft.tool_result = decode(first(event.attributes, "output", "content"))
