"""One reader for every shape of message the clients send.

Understood, mixed freely: gen_ai parts, OpenAI chat and Responses items, Anthropic blocks, Bedrock blocks, Gemini
contents, LangChain constructors and dumps, Vercel parts, OpenInference's unflattened messages. A part of an unknown
type survives as `unknown` with its raw value.
"""

from typing import Any, cast

from watchkeeper.dialects import printed, pydantic_ai
from watchkeeper.dialects.values import as_text, decode, is_cut, is_object_repr, packed, unfold, word
from watchkeeper.model.span import Message, Part, ToolCall

_ROLES = {
    "human": "user", "ai": "assistant", "model": "assistant", "developer": "system", "function": "tool",
    "humanmessage": "user", "humanmessagechunk": "user", "aimessage": "assistant", "aimessagechunk": "assistant",
    "systemmessage": "system", "toolmessage": "tool", "functionmessage": "tool", "bot": "assistant",
    "chatmessage": "user", "system": "system", "user": "user", "assistant": "assistant", "tool": "tool",
    "tool_call_result": "tool", "tool-response": "tool", "tool-call": "assistant", "tool_response": "tool",
    "tool_call": "assistant", "observation": "tool", "ipython": "tool", "critic": "system",
}  # fmt: skip
# What stands where a part was left out: nothing, or the name of its class (Splunk's LangChain).
_LEFT_OUT = ("", "ToolCall")
_TEXT_TYPES = frozenset(("text", "input_text", "output_text", "summary_text", "reasoning_text"))
_CALL_TYPES = frozenset(("tool_call", "tool_use", "tool-call", "function_call", "tooluse", "custom_tool_call",
                         "server_tool_use", "server_tool_call", "mcp_call", "mcp_tool_use"))  # fmt: skip
_RESULT_TYPES = frozenset(("tool_call_response", "tool_result", "tool-result", "function_call_output", "toolresult",
                           "tool_response", "tool_output", "custom_tool_call_output", "server_tool_call_response",
                           "web_search_tool_result", "mcp_tool_result", "tool_call_result"))  # fmt: skip
_RESULT_KEYS = (
    "toolResult",
    "functionResponse",
    "function_response",
    "tool_result",
    "toolResponse",
    "tool_call_result",
)
# What a Responses answer is made of beside messages.
ITEM_TYPES = frozenset(("function_call", "custom_tool_call", "mcp_call", "reasoning"))
_REASONING_TYPES = frozenset(("reasoning", "thinking", "redacted_thinking", "thought"))
# What a message holds that is nothing but one: who said what.
_SAID = {"role", "content"}
# How a text begins that may be an object or a conversation a client has printed.
_DUMPS = ('{"', "[{", "{'")
_MEDIA_TYPES = frozenset(("image", "image_url", "input_image", "input_audio", "audio", "file", "input_file", "blob",
                          "uri", "document", "video", "media", "file_ref", "output_image"))  # fmt: skip


def role_of(raw: Any, default: str) -> str:
    """One of system, user, assistant, tool from a client's word."""
    if not isinstance(raw, str):
        return default
    return _ROLES.get(raw.strip().lower(), default)


def _table(value: Any) -> dict[str, Any] | None:
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def parts_of(content: Any) -> list[Part]:
    """The parts of one message's content: text, a block, or a list of either."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Part("text", text=content)]
    if isinstance(content, list):
        out: list[Part] = []
        for item in cast(list[Any], content):
            if item is not None and item not in _LEFT_OUT:
                made = _part(item)
                blocks = _dumped_blocks(made.text) if made.type == "text" else None
                out += [made] if blocks is None else parts_of(blocks)
        return out
    return [_part(content)]


def _dumped_blocks(text: str | None) -> list[Any] | None:
    """The blocks that some clients dump into the string of a content; None for any other text."""
    if text is None or text[:2] != "[{":
        return None
    blocks = decode(text)
    listed = cast(list[Any], blocks) if isinstance(blocks, list) else []
    dumped = listed and all(isinstance(b, dict) and ("type" in b or "text" in b) for b in listed)
    return listed if dumped else None


def _part(item: Any) -> Part:
    if isinstance(item, str):
        return Part("text", text=item)
    block = _table(item)
    if block is None:
        return Part("unknown", raw=item)
    inner = _table(block.get("message_content"))
    if inner is not None:
        block = inner
    kind = block.get("type") or block.get("block_type")
    kind = kind.lower() if isinstance(kind, str) else ""
    if kind in _TEXT_TYPES:
        text = block.get("text")
        text = block.get("content") if text is None else text
        text = _table_text(text)
        if text is not None and text[:2] in _DUMPS and ("thinking" in text or "annotations" in text):
            # A client that dumps a block it does not know into a text.
            dumped = _table(decode(text))
            if dumped is not None and dumped.get("type") in (*_REASONING_TYPES, "output_text"):
                return _part(dumped)
        return Part("text", text=text if text is not None else "")
    if kind in _CALL_TYPES:
        return _call_part(block)
    if kind in _RESULT_TYPES:
        return _result_part(block)
    if kind in _REASONING_TYPES:
        return Part("reasoning", text=_reasoning_text(block), id=as_text(block.get("id")))
    if kind == "refusal":
        return Part(
            "refusal", text=as_text(block.get("refusal") or block.get("content") or block.get("text"))
        )
    if kind in _MEDIA_TYPES:
        return _media_part(block)
    if kind == "compaction" and isinstance(block.get("content"), str):
        return Part("text", text=block["content"], raw={"type": kind})
    if kind == "function" and isinstance(block.get("function"), dict):
        # OpenAI's calls where others have the parts of a message.
        return _call_part(block)
    return _untyped_part(block, kind)


def _table_text(text: Any) -> str | None:
    """Text that may be wrapped: OpenAI's assistants put {"value": …} where a string belongs."""
    table = _table(text)
    return as_text(table.get("value", text)) if table is not None else as_text(text)


def _untyped_part(block: dict[str, Any], kind: str) -> Part:
    """Bedrock, Gemini and ADK name a part by its only key."""
    for key in ("toolUse", "functionCall", "function_call", "tool_call", "toolRequest"):
        inner = _table(block.get(key))
        if inner is not None:
            return _call_part(inner)
    for key in _RESULT_KEYS:
        inner = _table(block.get(key))
        if inner is not None:
            return _result_part(inner)
    reasoning = block.get("reasoningContent")
    if reasoning is not None:
        table = _table(reasoning) or {}
        return Part("reasoning", text=as_text((_table(table.get("reasoningText")) or table).get("text")))
    for key in (
        "inlineData",
        "inline_data",
        "fileData",
        "file_data",
        "image",
        "image_url",
        "document",
        "video",
        "media",
    ):
        inner = _table(block.get(key))
        if inner is not None:
            return _media_part({"type": key, **inner})
    if not kind and ((isinstance(block.get("name"), str) and "arguments" in block) or "tool.args" in block):
        return _call_part(block)
    text = block.get("text")
    if isinstance(text, str) and kind in ("", "message", "textblock", "text_content"):
        return Part("reasoning" if block.get("thought") is True else "text", text=text)
    content = block.get("content")
    if isinstance(content, str) and kind in ("", "textcontent", "text_content"):
        return Part("text", text=content)
    return Part("unknown", text=text if isinstance(text, str) else None, raw=block)


def _reasoning_text(block: dict[str, Any]) -> str | None:
    for key in ("text", "content", "thinking", "reasoning", "summary"):
        value = block.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value:
            texts = [p.text for p in parts_of(cast(list[Any], value)) if p.text]
            if texts:
                return "\n".join(texts)
    return None


def _media_part(block: dict[str, Any]) -> Part:
    source = _table(block.get("source")) or _table(block.get("image_url")) or _table(block.get("file"))
    source = (
        source
        or _table(block.get("image"))
        or _table(block.get("input_audio"))
        or _table(block.get("audio"))
        or {}
    )
    # OpenInference's `message_content.image.image.url`.
    source = _table(source.get("image")) or _table(source.get("audio")) or source
    uri = None
    for table in (block, source):
        for key in ("uri", "url", "image_url", "fileUri", "file_uri", "file_id", "file_url"):
            value = table.get(key)
            if isinstance(value, str) and value:
                uri = uri or value
    mime = None
    for table in (block, source):
        for key in ("mime_type", "mimeType", "media_type", "mediaType", "contentType", "format"):
            value = table.get(key)
            if isinstance(value, str) and value:
                mime = mime or value
    return Part("media", uri=uri, mime_type=mime, raw=block)


def _first(block: dict[str, Any], *keys: str) -> Any:
    for key in keys:
        value = block.get(key)
        if value is not None:
            return value
    return None


def _call_part(block: dict[str, Any]) -> Part:
    function = _table(block.get("function")) or {}
    name = _first(block, "name", "toolName", "tool_name", "tool.name") or function.get("name")
    call_id = _first(block, "call_id", "id", "toolCallId", "tool_call_id", "toolUseId", "ref")
    arguments = _first(block, "arguments", "args", "input", "parameters", "tool_kwargs", "tool.args")
    if arguments is None:
        arguments = function.get("arguments")
    if arguments is None and (served := _table(block.get("server_tool_call"))):
        # What the provider's own tool was asked, whatever it calls it.
        arguments = {k: v for k, v in served.items() if k != "type"}
    if arguments is None:
        arguments = packed(block, "arguments_b64")
    return Part("tool_call", id=word(call_id), name=as_text(name), arguments=arguments_of(arguments))


def arguments_of(value: Any) -> Any:
    """Tool arguments as the object they stand for; the text itself where it does not parse."""
    return unfold(value)


def _result_part(block: dict[str, Any]) -> Part:
    call_id = _first(block, "tool_use_id", "toolUseId", "toolCallId", "tool_call_id", "call_id", "id", "ref")
    name = _first(block, "name", "toolName", "tool_name")
    if (origin := _table(block.get("origin"))) is not None:
        # Haystack's, with the call that it answers.
        call_id, name = origin.get("id"), origin.get("tool_name")
    result = _first(block, "response", "result", "output", "content", "server_tool_call_response")
    error = block.get("status") == "error" or block.get("is_error") is True or block.get("isError") is True
    return Part(
        "tool_result",
        id=word(call_id),
        name=as_text(name),
        result=result_of(result),
        raw={"status": "error"} if error else None,
    )


def result_of(value: Any) -> Any:
    """A tool's result; text wrapped in blocks ([{"type": "text", "text": …}], {"value": …}) becomes the text."""
    table = _table(value)
    if table is not None and set(table) <= {"type", "value"} and "value" in table:
        return table["value"]
    if isinstance(value, list):
        blocks = cast(list[Any], value)
        if blocks and all(isinstance(b, dict) for b in blocks):
            parts = parts_of(blocks)
            if all(p.type == "text" for p in parts):
                return "\n".join(p.text or "" for p in parts)
            if len(blocks) == 1 and len(blocks[0]) == 1 and "json" in blocks[0]:
                return blocks[0]["json"]
    return value


def message_of(raw: dict[str, Any], default_role: str) -> list[Message]:
    """The messages one client message stands for: several when it carries several tool results."""
    if pydantic_ai.is_message(raw):
        return [m for told in pydantic_ai.messages(raw) for m in message_of(told, default_role)]
    wrapped = _table(raw.get("message"))
    executed = raw.get("function")
    if isinstance(executed, list):
        # Results of functions beside an empty message of theirs (AutoGen under OpenInference).
        told = [t for item in cast(list[Any], executed) if (t := _table(decode(item))) is not None]
        return [Message("tool", [_result_part(t)]) for t in told]
    if wrapped is not None and "role" not in raw and "type" not in raw:
        ended = raw.get("finish_reason")
        raw = {"finish_reason": ended, **wrapped} if ended is not None else wrapped
    kwargs = _table(raw.get("kwargs"))
    if kwargs is not None and isinstance(raw.get("id"), list):
        kind = str(cast(list[Any], raw["id"])[-1]) if raw["id"] else ""
        raw = {"type": kind, **kwargs}
        raw["role"] = role_of(kind, role_of(kwargs.get("type"), default_role))
    data = _table(raw.get("data"))
    if data is not None and "content" in data and "content" not in raw:
        raw = {**data, "type": raw.get("type")}
    kind = raw.get("type")
    role = raw.get("role")
    if role is None and isinstance(kind, str):
        lowered = kind.lower()
        if lowered in _CALL_TYPES or lowered in _REASONING_TYPES or lowered.endswith("_call"):
            return [Message("assistant", [_part(raw)])]
        if lowered in _RESULT_TYPES:
            return [Message("tool", [_result_part(raw)])]
        if lowered in _ROLES:
            role = lowered
    elif role is None and isinstance(raw.get("event.name"), str):
        role = raw["event.name"].removeprefix("gen_ai.").removesuffix(".message")
    elif isinstance(role, dict):
        role = cast(dict[str, Any], role).get("value") or cast(dict[str, Any], role).get("_value_")
    made = _assemble(raw, role_of(role, default_role))
    if len(made.parts) == 1 and (text := made.parts[0].text) is not None:
        if made.role == "user" and text[:3] == '[{"':
            return _dumped(text) or [made]
        if made.role == "assistant" and text[:1] == "{" and "tool_calls" in text:
            # The provider's message, printed (OpenAI Agents).
            whole = _table(decode(text)) or {}
            return message_of(whole, "assistant") if whole.get("role") == "assistant" else [made]
    return _split_results(made)


def _dumped(text: str | None) -> list[Message] | None:
    """The conversation a client prints into one message of the user; None for what a user may have written."""
    listed = decode(text)
    tables = (
        [t for i in cast(list[Any], listed) if (t := _table(i)) is not None]
        if isinstance(listed, list)
        else []
    )
    spoken = [t for t in tables if _is_message(t)]
    if not spoken or len(spoken) != len(tables):
        return None
    if all(t.get("role") == "user" for t in tables) and any(set(t) != _SAID for t in tables):
        return None
    return _read_list(cast(list[Any], tables), "user")


def _assemble(raw: dict[str, Any], role: str) -> Message:
    content = raw.get("parts")
    content = raw.get("content") if content is None else content
    content = raw.get("contents") if content is None else content
    content = raw.get("text") if content is None else content
    content = raw.get("blocks") if content is None else content
    wrapped = _table(content)
    if wrapped is not None and isinstance(wrapped.get("parts"), list):
        # Gemini's Content object where others have the list itself.
        content = wrapped["parts"]
    if isinstance(content, str):
        content = _dumped_blocks(content) or content
    call_id = _first(raw, "tool_call_id", "toolCallId", "tool_use_id")
    if call_id is not None and role == "user":
        # Anthropic's results travel in messages of the user.
        role = "tool"
    if role == "tool" and call_id is None and isinstance(raw.get("id"), str) and "parts" not in raw:
        call_id = word(raw.get("id"))
    parts = parts_of(content)
    if role == "assistant" and call_id is not None and (call := _table(decode(content))) and "name" in call:
        # A call told as the content of a message that has its id (Netra).
        parts = [_call_part({**call, "id": call_id})]
    if role == "tool" and not any(p.type == "tool_result" for p in parts):
        error = raw.get("status") == "error"
        parts = [
            Part(
                "tool_result",
                id=word(call_id),
                name=as_text(raw.get("name")),
                result=result_of(content),
                raw={"status": "error"} if error else None,
            )
        ]
    reasoning = raw.get("reasoning_content") or raw.get("reasoning")
    if isinstance(reasoning, str) and reasoning and not any(p.type == "reasoning" for p in parts):
        parts.insert(0, Part("reasoning", text=reasoning))
    extra = _table(raw.get("additional_kwargs")) or {}
    refusal = raw.get("refusal") or extra.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(Part("refusal", text=refusal))
    called = _calls(raw, extra, {p.id for p in parts if p.type == "tool_call" and p.id})
    if called:
        # A block that only says that a call follows, beside the call itself.
        parts = [p for p in parts if p.type != "tool_call" or p.name or p.id]
    parts += called
    finish = (
        raw.get("finish_reason")
        or raw.get("finishReason")
        or raw.get("stop_reason")
        or extra.get("stop_reason")
    )
    name = raw.get("name")
    return Message(role, parts, as_text(name), as_text(finish))


def _calls(raw: dict[str, Any], extra: dict[str, Any], known: set[str]) -> list[Part]:
    calls = raw.get("tool_calls") or raw.get("toolCalls") or extra.get("tool_calls")
    out: list[Part] = []
    calls = decode(calls)
    if isinstance(calls, list):
        for call in cast(list[Any], calls):
            table = _table(decode(call))
            if table is None or table.get("type") == "message":
                # Sentry's in JS takes a stream's text for a call too.
                continue
            part = _call_part(_table(table.get("tool_call")) or table)
            if part.name is None and part.id is None and part.arguments is None:
                continue
            if part.id is None or part.id not in known:
                out.append(part)
    single = _table(raw.get("function_call") or extra.get("function_call"))
    if single is not None and not out and single.get("name"):
        out.append(_call_part(single))
    return out


def _split_results(message: Message) -> list[Message]:
    """A tool result is a message of its own, whatever message it travelled in."""
    results = [p for p in message.parts if p.type == "tool_result"]
    if not results or (message.role == "tool" and len(message.parts) == 1):
        return [message]
    # A client that tells a result as a text too (OpenAI Agents) has nothing else to say.
    told = {as_text(p.result) for p in results} if message.role == "tool" else ()
    rest = [p for p in message.parts if p.type != "tool_result" and (p.text is None or p.text not in told)]
    out = [Message("tool", [p], p.name) for p in results]
    if rest:
        role = "user" if message.role == "tool" else message.role
        out.append(Message(role, rest, message.name, message.finish_reason))
    return out


def read(value: Any, role: str = "user") -> list[Message] | None:
    """Any value a client sends as messages; None when it is absent, cut or not messages.

    Plain text is one message of `role`. A request object (messages, contents, input, prompt, with system or
    instructions beside it) gives its messages with the system message first.
    """
    value = decode(value)
    if value is None or is_cut(value) or value == "":
        return None
    if isinstance(value, str):
        told = printed.objects(value)
        if told is None or not any(map(is_message, told if isinstance(told, list) else [told])):
            return [Message(role, [Part("text", text=value)])]
        value = told
    if isinstance(value, list):
        return _read_list(cast(list[Any], value), role)
    table = _table(value)
    return _read_object(table, role) if table is not None else None


def _read_list(items: list[Any], role: str) -> list[Message] | None:
    if len(items) == 1 and isinstance(items[0], list):
        return _read_list(cast(list[Any], items[0]), role)
    decoded = [decode(item) if isinstance(item, str) else item for item in items]
    tables = [t for item in decoded if (t := _table(item)) is not None]
    if not tables:
        texts = [t for t in decoded if isinstance(t, str) and not t.startswith("ChatMessage(")]
        return [Message(role, [Part("text", text=t)]) for t in texts] or None
    if len(items) > 1 and all(t.keys() == {"content"} and isinstance(t["content"], str) for t in tables):
        # Texts that are a message each and say no role (Laminar's embeddings).
        return [Message(role, [Part("text", text=t["content"])]) for t in tables]
    if "role" not in tables[0] and not any(_is_message(t) for t in tables):
        # An answer that is JSON of its own is the text it came as.
        own = [isinstance(i, str) and _part(t).type == "unknown" for i, t in zip(items, decoded, strict=True)]
        kept = [i if text else t for i, t, text in zip(items, decoded, own, strict=True)]
        return _split_results(Message(role, parts_of(kept)))
    out: list[Message] = []
    for item in decoded:
        table = _table(item)
        if table is None:
            if isinstance(item, str):
                out.append(Message(role, [Part("text", text=item)]))
            continue
        quick = _quick(table)
        if quick is not None:
            out.append(quick)
            continue
        inner = _table(table.get("message")) or table
        speaker = table.get("role")
        if isinstance(speaker, str) and speaker.lower() not in _ROLES and _called(out, speaker):
            # A tool that speaks under its own name (Langfuse's callback in JS).
            table = {"name": speaker, **table, "role": "tool"}
        for message in message_of(table, role):
            _append(out, message, inner)
    return out


def _called(told: list[Message], name: str) -> bool:
    """Whether a tool of this name was asked for in what was said so far."""
    return any(p.type == "tool_call" and p.name == name for m in told for p in m.parts)


def _quick(table: dict[str, Any]) -> Message | None:
    """The two commonest shapes without the detours: gen_ai parts of text and calls, and OpenAI text messages."""
    role = _ROLES.get(table["role"]) if isinstance(table.get("role"), str) else None
    if role is None or role == "tool" or "tool_calls" in table:
        return None
    listed = table.get("parts")
    if listed is None:
        content = table.get("content")
        if isinstance(content, str) and content and len(table) == 2 and content[0] != "[":
            return Message(role, [Part("text", text=content)])
        return None
    if not isinstance(listed, list):
        return None
    parts: list[Part] = []
    for block in cast(list[Any], listed):
        kind = cast(dict[str, Any], block).get("type") if isinstance(block, dict) else None
        if kind == "text" and isinstance(block.get("content"), str) and block["content"][:2] not in _DUMPS:
            parts.append(Part("text", text=block["content"]))
        elif kind == "tool_call":
            parts.append(_call_part(block))
        else:
            return None
    return Message(role, parts, as_text(table.get("name")), as_text(table.get("finish_reason")))


def _append(out: list[Message], message: Message, raw: dict[str, Any]) -> None:
    """Responses items of one turn (reasoning, text, several calls) belong to one assistant message."""
    is_item = "role" not in raw and message.role == "assistant" and "kwargs" not in raw
    if is_item and out and out[-1].role == "assistant" and out[-1].finish_reason is None:
        out[-1].parts.extend(message.parts)
    else:
        out.append(message)


def _is_message(table: dict[str, Any]) -> bool:
    if "role" in table or "message" in table or "event.name" in table or pydantic_ai.is_message(table):
        return True
    kind = table.get("type")
    if isinstance(kind, str) and (
        kind.lower() in _ROLES or kind in ("function_call", "function_call_output")
    ):
        return True
    return isinstance(table.get("kwargs"), dict) and isinstance(table.get("id"), list)


def is_message(item: Any) -> bool:
    """Whether a value is one message, of whatever shape."""
    return (table := _table(item)) is not None and _is_message(table)


def _read_object(table: dict[str, Any], role: str) -> list[Message] | None:
    system = _first(
        table, "system", "instructions", "system_instruction", "systemInstruction", "system_prompt"
    )
    system = _nested_system(table) if system is None else system
    system = None if isinstance(system, str) and is_object_repr(system) else system
    body: list[Message] | None = None
    for key in ("messages", "contents", "input", "prompts", "chat_history", "new_message"):
        if key in table:
            body = read(table[key], role)
            break
    else:
        if _is_message(table) or "parts" in table or "content" in table:
            return message_of(table, role)
        for key in ("prompt", "text", "query", "question", "user_prompt"):
            if isinstance(table.get(key), str | list):
                body = read(table[key], role)
                break
    items = table.get("items")
    if body is None and isinstance(items, list) and all(map(is_message, cast(list[Any], items))):
        # LiveKit's chat context.
        body = read(items, role)
    args = table.get("args")
    if body is None and isinstance(args, list) and args and isinstance(args[0], list | dict):
        # The arguments of a function that was given the messages.
        body = read(args[0], role)
    if body is None and system is None:
        return None
    out = [Message("system", parts_of(_system_content(system)))] if system else []
    return out + (body or [])


def _nested_system(table: dict[str, Any]) -> Any:
    config = _table(table.get("config"))
    return _first(config, "system_instruction", "systemInstruction") if config is not None else None


def _system_content(system: Any) -> Any:
    table = _table(decode(system))
    return table.get("parts", table.get("content", table)) if table is not None else decode(system)


def split_system(messages: list[Message]) -> tuple[str | None, list[Message]]:
    """The text of the system messages (each once, joined by newlines) and the messages without them."""
    if not any(m.role == "system" for m in messages):
        return None, messages
    texts = dict.fromkeys(t for m in messages if m.role == "system" and (t := m.text))
    return "\n".join(texts) or None, [m for m in messages if m.role != "system"]


def joined(parts: list[Part]) -> list[Part]:
    """The parts of a streamed answer with the pieces of each text put together."""
    out: list[Part] = []
    for part in parts:
        if out and part.type == out[-1].type and part.type in ("text", "reasoning"):
            out[-1] = Part(part.type, text=(out[-1].text or "") + (part.text or ""), id=out[-1].id)
        else:
            out.append(part)
    return out


def tool_calls(message: Message) -> list[ToolCall]:
    """The calls an assistant message asks for."""
    return [ToolCall(p.id, p.name, p.arguments) for p in message.parts if p.type == "tool_call"]
