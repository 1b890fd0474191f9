"""Chat messages in any provider's shape as GenAI message parts, and what provider answers hold."""

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from watchkeeper.sdk.values import Plain, fitted, json_of, plain, text_of, to_json

_quoted = json.encoder.encode_basestring


def looks_like_messages(value: object) -> bool:
    """Whether ``value`` is a list of chat messages (mappings or objects with a ``role``)."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    first = cast("Sequence[object]", value)[0]
    # Asked of a dictionary first: what an abstract class is costs several times as much to find out.
    if isinstance(first, (dict, Mapping)) and "role" in first:
        return True
    return isinstance(getattr(first, "role", None), str)


def to_messages(value: object, role: str, limit: int) -> str:
    """JSON, of at most about ``limit`` characters, of the GenAI message list for a text, one message or a list of messages in any
    known shape."""
    made = _messages(value, role, limit)
    if len(made) <= limit:
        return made
    return fitted(lambda share: _messages(value, role, int(limit * share)), limit)


def _messages(value: object, role: str, limit: int) -> str:
    messages: list[str] = []
    if isinstance(value, str):
        messages = [_text_message(role, text_of(value, limit))]
    elif looks_like_messages(value):
        for item in cast("Sequence[object]", value):
            if limit <= 0:
                messages.append(_text_message(role, "…[truncated: too many messages]"))
                break
            messages.append(_read_message(item, role, limit))
            limit -= len(messages[-1])
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
    choice = _first(_get(value, "choices"))
    delta = _get(choice, "delta")
    if delta is not None:
        return _chunk(value, choice, delta)
    kind = _string(_get(value, "type")) or ""
    if kind == "chunk" and _get(value, "chunk") is not None:
        return read_answer(_get(value, "chunk"))
    if _get(value, "snapshot") is not None:
        # Clients' helpers make such events up beside the provider's own, which say the same.
        return Answer()
    delta = _get(value, "delta")
    if kind.startswith("response.") and kind.endswith(".delta"):
        return _response_piece(value, kind, delta)
    if kind.startswith("content_block_"):
        return _block(value, kind, delta)
    return _answer(value, kind, choice, delta)


def _chunk(value: object, choice: object, delta: object) -> Answer:
    """A chunk of OpenAI's chat completions; chunks are many, so only what they can hold is looked for."""
    text = _string(_get(delta, "content")) or _string(_get(delta, "text"))
    listed, usage = _get(delta, "tool_calls"), _get(value, "usage")
    return Answer(
        text=text,
        model=_string(_get(value, "model")),
        id=_string(_get(value, "id")),
        finish=_string(_get(choice, "finish_reason")),
        calls=tuple(_called(cast("Sequence[object]", listed))) if isinstance(listed, (list, tuple)) else (),
        thought=not text and bool(_get(delta, "reasoning_content") or _get(delta, "reasoning")),
        **(_tokens(usage) if usage is not None else {}),
    )


def _called(listed: Sequence[object]) -> Iterator[CallPiece]:
    for at, call in enumerate(listed):
        key, function = _get(call, "index"), _get(call, "function")
        name, arguments = _get(function, "name"), _get(function, "arguments")
        yield _piece(at if key is None else key, _get(call, "id"), name, arguments)


def _response_piece(value: object, kind: str, delta: object) -> Answer:
    """A piece in an event of OpenAI's Responses API."""
    if kind == "response.output_text.delta":
        return Answer(text=_string(delta))
    if kind == "response.function_call_arguments.delta":
        return Answer(calls=(_piece(_get(value, "item_id"), None, None, delta),))
    return Answer(thought=kind.startswith("response.reasoning"))


def _block(value: object, kind: str, delta: object) -> Answer:
    """A piece in an event of Anthropic's messages."""
    block, index = _get(value, "content_block"), _get(value, "index")
    if kind == "content_block_start" and "tool_use" in str(_get(block, "type")):
        return Answer(calls=(_piece(index, _get(block, "id"), _get(block, "name"), None),))
    if kind != "content_block_delta":
        return Answer()
    if (arguments := _get(delta, "partial_json")) is not None:
        return Answer(calls=(_piece(index, None, None, arguments),))
    return Answer(text=_string(_get(delta, "text")), thought=bool(_get(delta, "thinking")))


def _answer(value: object, kind: str, choice: object, delta: object) -> Answer:
    """A whole answer, or an event that says something of one."""
    message, response = _get(choice, "message"), _get(value, "response")
    source = next(
        (s for s in (response, _get(value, "message"), value) if _get(s, "model") is not None), value
    )
    text = None
    if not kind.startswith("response."):
        text = (
            _string(_get(message, "content"))
            or _string(_get(delta, "content"))
            or _string(_get(delta, "text"))
        )
        if text is None and "." not in kind:
            text = _string(delta) or _string(_get(value, "text")) or _string(_get(value, "output_text"))
    whole = message
    if whole is None and choice is None and not kind.startswith(("response.", "message_")):
        whole = _whole_message(value)
    item = _get(value, "item") if kind == "response.output_item.added" else None
    called = _get(item, "type") == "function_call"
    piece = _piece(_get(item, "id"), _get(item, "call_id"), _get(item, "name"), None)
    usage = _get(value, "usage") or _get(_get(value, "message"), "usage") or _get(response, "usage")
    return Answer(
        text=text,
        message=plain(whole) if whole is not None else None,
        model=_string(_get(source, "model")),
        id=_string(_get(source, "id")),
        finish=_finish(response or value, choice, delta),
        calls=(piece,) if called else (),
        **_tokens(usage),
    )


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


def _tokens(usage: object) -> dict[str, Any]:
    details = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
    more = _get(usage, "completion_tokens_details") or _get(usage, "output_tokens_details")
    given = _whole(_get(usage, "prompt_tokens"), _get(usage, "input_tokens"))
    # Anthropic counts them beside the input, the conventions within it.
    read, written = (_whole(_get(usage, f"cache_{what}_input_tokens")) for what in ("read", "creation"))
    return {
        "input_tokens": None if given is None else given + (read or 0) + (written or 0),
        "output_tokens": _whole(_get(usage, "completion_tokens"), _get(usage, "output_tokens")),
        "cached_tokens": _whole(_get(details, "cached_tokens"), read),
        "cache_write_tokens": _whole(_get(details, "cache_write_tokens"), written),
        "reasoning_tokens": _whole(_get(more, "reasoning_tokens")),
    }


def _piece(key: object, id: object, name: object, arguments: object) -> CallPiece:
    return CallPiece(str(key), _string(id), _string(name), _string(arguments) or "")


def _get(value: object, name: str) -> object:
    if value is None:
        return None
    if type(value) is dict:
        return cast("dict[str, object]", value).get(name)
    held: Mapping[str, object] | None = getattr(value, "__dict__", None)
    if held is not None and name in held:
        return held[name]
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).get(name)
    if _may_have(type(value), name):
        return getattr(value, name, None)
    extra: object = getattr(value, "__pydantic_extra__", None)
    return cast("dict[str, object]", extra).get(name) if type(extra) is dict else None


@functools.lru_cache(1024)
def _may_have(kind: type, name: str) -> bool:
    """Whether objects of this class can have an attribute that is not among their own. Asking a pydantic model for a field it
    lacks costs 5 µs, and a chunk of a stream is asked for twenty."""
    return hasattr(kind, name) or (hasattr(kind, "__getattr__") and not hasattr(kind, "__pydantic_fields__"))


def _first(value: object) -> object:
    return cast("Sequence[object]", value)[0] if isinstance(value, (list, tuple)) and value else None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(*values: object) -> int | None:
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)
