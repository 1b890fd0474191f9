"""Chat messages in any provider's shape as GenAI message parts, and what provider answers hold."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from watchkeeper.sdk.values import Plain, json_of, plain, text_of, to_json

_quoted = json.encoder.encode_basestring


def looks_like_messages(value: object) -> bool:
    """Whether ``value`` is a list of chat messages (mappings or objects with a ``role``)."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    first = cast("Sequence[object]", value)[0]
    return (isinstance(first, Mapping) and "role" in first) or isinstance(getattr(first, "role", None), str)


def to_messages(value: object, role: str, limit: int) -> str:
    """JSON of the GenAI message list for a text, one message or a list of messages in any known shape."""
    if isinstance(value, str):
        messages = [_text_message(role, text_of(value, limit))]
    elif looks_like_messages(value):
        messages = [_read_message(item, role, limit) for item in cast("Sequence[object]", value)]
    elif isinstance(value, Mapping) and "role" in value:
        messages = [to_json(_message(plain(cast("object", value), limit), role))]
    else:
        messages = [_text_message(role, json_of(value, limit))]
    return f"[{','.join(messages)}]"


def _text_message(role: str, text: str) -> str:
    # Written by hand: this is most of what an LLM span costs the application's thread.
    return f'{{"role":{_quoted(role)},"parts":[{{"type":"text","content":{_quoted(text)}}}]}}'


def _read_message(item: object, role: str, limit: int) -> str:
    if type(item) is dict and len(cast("dict[str, object]", item)) == 2:
        message = cast("dict[str, object]", item)
        own, content = message.get("role"), message.get("content")
        if type(own) is str and type(content) is str and own != "tool":
            return _text_message(own, text_of(content, limit))
    return to_json(_message(plain(item, limit), role))


def _message(raw: Plain, role: str) -> Plain:
    if not isinstance(raw, dict):
        return {"role": role, "parts": [{"type": "text", "content": text_of(raw)}]}
    own_role = raw.get("role") if isinstance(raw.get("role"), str) else role
    out: dict[str, Plain] = {"role": own_role}
    if isinstance(raw.get("name"), str):
        out["name"] = raw["name"]
    parts = raw.get("parts")
    out["parts"] = parts if isinstance(parts, list) else _parts(raw, str(own_role))
    if isinstance(raw.get("finish_reason"), str):
        out["finish_reason"] = raw["finish_reason"]
    return out


def _parts(raw: dict[str, Plain], role: str) -> list[Plain]:
    content = raw.get("content")
    if role == "tool":
        return [{"type": "tool_call_response", "id": raw.get("tool_call_id"), "response": content}]
    parts: list[Plain] = []
    if isinstance(content, str):
        parts.append({"type": "text", "content": content})
    elif isinstance(content, list):
        parts.extend(_part(block) for block in content)
    elif content is not None:
        parts.append({"type": "text", "content": text_of(content)})
    if isinstance(raw.get("refusal"), str):
        parts.append({"type": "refusal", "content": raw["refusal"]})
    calls = raw.get("tool_calls")
    parts.extend(_call(call) for call in (calls if isinstance(calls, list) else []))
    return parts


def _part(block: Plain) -> Plain:
    if not isinstance(block, dict):
        return {"type": "text", "content": text_of(block)}
    kind = block.get("type")
    if kind in ("text", "input_text", "output_text"):
        return {"type": "text", "content": block.get("text", block.get("content"))}
    if kind == "tool_use":
        return {
            "type": "tool_call",
            "id": block.get("id"),
            "name": block.get("name"),
            "arguments": block.get("input"),
        }
    if kind == "tool_result":
        return {
            "type": "tool_call_response",
            "id": block.get("tool_use_id"),
            "response": block.get("content"),
        }
    if kind == "thinking":
        return {"type": "reasoning", "content": block.get("thinking")}
    if kind == "image_url" and isinstance(block.get("image_url"), dict):
        return {
            "type": "uri",
            "modality": "image",
            "uri": cast("dict[str, Plain]", block["image_url"]).get("url"),
        }
    return block


def _call(call: Plain) -> Plain:
    if not isinstance(call, dict):
        return {"type": "tool_call", "name": text_of(call)}
    function = call.get("function")
    inner = function if isinstance(function, dict) else call
    arguments = inner.get("arguments", inner.get("args"))
    if isinstance(arguments, str):
        # A model may write broken JSON; then what it wrote is what we keep.
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return {"type": "tool_call", "id": call.get("id"), "name": inner.get("name"), "arguments": arguments}


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a streamed tool call. ``key`` says which call of the answer it is of; the first piece has id and name."""

    key: str
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider's answer or stream chunk says; None where it says nothing. ``thought``: it is a piece of reasoning."""

    text: str | None = None
    message: Plain = None
    model: str | None = None
    id: str | None = None
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    calls: tuple[CallPiece, ...] = ()
    thought: bool = False


_FINISH = {"completed": "stop", "max_output_tokens": "length"}


def read_answer(value: object) -> Answer:
    """The parts of an OpenAI or Anthropic answer, event or chunk (object or mapping), or a plain text."""
    if isinstance(value, str):
        return Answer(text=value)
    kind = _string(_get(value, "type")) or ""
    if kind == "chunk" and _get(value, "chunk") is not None:
        return read_answer(_get(value, "chunk"))
    if _get(value, "snapshot") is not None:
        # Clients' helpers make such events up beside the provider's own, which say the same.
        return Answer()
    choice, delta = _first(_get(value, "choices")), _get(value, "delta")
    delta = _get(choice, "delta") or delta
    message = _get(choice, "message")
    response = _get(value, "response")
    source = next(
        (s for s in (response, _get(value, "message"), value) if _get(s, "model") is not None), value
    )
    whole = None if kind else message
    if whole is None and choice is None and not kind.startswith(("response.", "content_block", "message_")):
        whole = _whole_message(value)
    tokens = _tokens(_get(value, "usage") or _get(_get(value, "message"), "usage") or _get(response, "usage"))
    return Answer(
        text=_text(value, kind, delta, message),
        message=plain(whole) if whole is not None else None,
        model=_string(_get(source, "model")),
        id=_string(_get(source, "id")),
        finish=_finish(response or value, choice, delta),
        calls=tuple(_calls(value, kind, delta)),
        thought=_thinks(kind, delta),
        **tokens,
    )


def _text(value: object, kind: str, delta: object, message: object) -> str | None:
    if kind.startswith("response."):
        return _string(delta) if kind == "response.output_text.delta" else None
    found = (
        _string(_get(message, "content")) or _string(_get(delta, "content")) or _string(_get(delta, "text"))
    )
    if found is None and "." not in kind:
        found = _string(delta) or _string(_get(value, "text")) or _string(_get(value, "output_text"))
    return found


def _whole_message(value: object) -> object:
    """The message of an Anthropic answer, or of one of OpenAI's Responses API; None when it is neither."""
    content, output = _get(value, "content"), _get(value, "output")
    if isinstance(content, (list, tuple)):
        return {"role": "assistant", "content": content}
    if not isinstance(output, (list, tuple)):
        return None
    parts: list[object] = []
    calls: list[object] = []
    for item in cast("Sequence[object]", output):
        if _get(item, "type") == "function_call":
            function = {"name": _get(item, "name"), "arguments": _get(item, "arguments")}
            calls.append({"id": _get(item, "call_id"), "function": function})
        elif isinstance(found := _get(item, "content"), (list, tuple)):
            parts.extend(cast("Sequence[object]", found))
    return {"role": "assistant", "content": parts, "tool_calls": calls}


def _finish(answer: object, choice: object, delta: object) -> str | None:
    said = (
        _string(_get(choice, "finish_reason"))
        or _string(_get(answer, "stop_reason"))
        or _string(_get(delta, "stop_reason"))
    )
    if said is None and isinstance(output := _get(answer, "output"), (list, tuple)):
        cut = _string(_get(_get(answer, "incomplete_details"), "reason"))
        said = _FINISH.get(cut or _string(_get(answer, "status")) or "", cut)
        if said == "stop" and any(
            _get(i, "type") == "function_call" for i in cast("Sequence[object]", output)
        ):
            said = "tool_calls"
    return said


def _tokens(usage: object) -> dict[str, int | None]:
    details = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
    more = _get(usage, "completion_tokens_details") or _get(usage, "output_tokens_details")
    given = _whole(_get(usage, "prompt_tokens"), _get(usage, "input_tokens"))
    # Anthropic counts them beside the input, the conventions within it.
    read, written = (_whole(_get(usage, f"cache_{what}_input_tokens")) for what in ("read", "creation"))
    return {
        "input_tokens": None if given is None else given + (read or 0) + (written or 0),
        "output_tokens": _whole(_get(usage, "completion_tokens"), _get(usage, "output_tokens")),
        "cached_tokens": _whole(_get(details, "cached_tokens"), read),
        "cache_write_tokens": written,
        "reasoning_tokens": _whole(_get(more, "reasoning_tokens")),
    }


def _calls(value: object, kind: str, delta: object) -> Iterator[CallPiece]:
    """The pieces of tool calls in a chunk or event."""
    listed = _get(delta, "tool_calls")
    for at, call in enumerate(cast("Sequence[object]", listed) if isinstance(listed, (list, tuple)) else ()):
        key, function = _get(call, "index"), _get(call, "function")
        yield _piece(
            at if key is None else key, _get(call, "id"), _get(function, "name"), _get(function, "arguments")
        )
    block, index = _get(value, "content_block"), _get(value, "index")
    if kind == "content_block_start" and "tool_use" in str(_get(block, "type")):
        yield _piece(index, _get(block, "id"), _get(block, "name"), None)
    elif kind == "content_block_delta" and _get(delta, "type") == "input_json_delta":
        yield _piece(index, None, None, _get(delta, "partial_json"))
    elif (
        kind == "response.output_item.added" and _get(item := _get(value, "item"), "type") == "function_call"
    ):
        yield _piece(_get(item, "id"), _get(item, "call_id"), _get(item, "name"), None)
    elif kind == "response.function_call_arguments.delta":
        yield _piece(_get(value, "item_id"), None, None, delta)


def _piece(key: object, id: object, name: object, arguments: object) -> CallPiece:
    return CallPiece(str(key), _string(id), _string(name), _string(arguments) or "")


def _thinks(kind: str, delta: object) -> bool:
    if kind.startswith("response.reasoning"):
        return kind.endswith(".delta")
    return bool(_get(delta, "reasoning_content") or _get(delta, "reasoning") or _get(delta, "thinking"))


def _get(value: object, name: str) -> object:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).get(name)
    return getattr(value, name, None)


def _first(value: object) -> object:
    return cast("Sequence[object]", value)[0] if isinstance(value, (list, tuple)) and value else None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(*values: object) -> int | None:
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)
