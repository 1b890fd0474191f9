"""Pydantic AI's own messages, which MLflow passes on: a request or a response made of parts that name their kind."""

import re
from typing import Any, cast

from watchkeeper.dialects.values import decode

_TYPES = {"text": "text", "tool-call": "tool_call", "builtin-tool-call": "tool_call", "thinking": "thinking"}
# How Python prints a call where a tool's arguments belong.
_CALL = re.compile(
    r"ToolCallPart\(tool_name='([^']*)', args=('(?:[^'\\]|\\.)*'|\{.*?\}), tool_call_id='([^']*)'", re.DOTALL
)


def is_message(raw: dict[str, Any]) -> bool:
    """Whether `raw` is one of Pydantic AI's requests or responses."""
    return raw.get("kind") in ("request", "response") and isinstance(raw.get("parts"), list)


def messages(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a request, or the one of a response, in the shape of OpenAI's."""
    parts = [cast(dict[str, Any], p) for p in cast(list[Any], raw["parts"]) if isinstance(p, dict)]
    if raw["kind"] == "request":
        told = [{"role": "system", "content": raw["instructions"]}] if raw.get("instructions") else []
        return told + [_asked(part) for part in parts]
    blocks = [
        {**part, "type": _TYPES.get(part.get("part_kind", ""), part.get("part_kind"))} for part in parts
    ]
    return [{"role": "assistant", "content": blocks, "finish_reason": raw.get("finish_reason")}]


def _asked(part: dict[str, Any]) -> dict[str, Any]:
    kind, content = part.get("part_kind"), part.get("content")
    if kind == "system-prompt":
        return {"role": "system", "content": content}
    if kind == "tool-return" or (kind == "retry-prompt" and part.get("tool_name")):
        told = {"role": "tool", "tool_call_id": part.get("tool_call_id"), "name": part.get("tool_name")}
        return {**told, "content": content, **({"status": "error"} if kind == "retry-prompt" else {})}
    return {"role": "user", "content": content}


def printed_call(text: str) -> tuple[str, str, Any] | None:
    """Name, id and arguments of the call that a tool's printed arguments hold, None where they hold none."""
    found = _CALL.search(text[:4000])
    if found is None:
        return None
    given = found[2]
    return found[1], found[3], decode(given[1:-1].replace("\\'", "'") if given[0] == "'" else given)
