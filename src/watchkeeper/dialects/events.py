"""GenAI events: messages sent as span events or as log records, inference details, evaluations, guardrails.

A log record that belongs to a span is handed in as one more event whose body lies under `body`, so both signals
are read by the same code and in any order of arrival.
"""

import re
from typing import Any, cast

from watchkeeper.dialects import common, gen_ai, gen_ai_tool, messages, replies
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import Reply
from watchkeeper.dialects.values import (
    as_dict,
    as_int,
    as_list,
    as_text,
    decode,
    first,
    is_hidden,
    unfold,
    word,
)
from watchkeeper.model.span import LogRecord, Message, Part, RawEvent

MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_OF_ROLE = {role: name for name, role in MESSAGE_EVENTS.items()}
_RANK = {name: rank for rank, name in enumerate(MESSAGE_EVENTS)} | {"gen_ai.choice": 9}
DETAILS = frozenset(("gen_ai.client.inference.operation.details", "gen_ai.client.inference.details"))
# Claude Code's record of what was answered, beside its spans.
ANSWERED = "claude_code.assistant_response"
# Messages as events that bear their place: gen_ai.prompt.0 with gen_ai.prompt.role and gen_ai.prompt.content.
_PLACED = re.compile(r"(gen_ai\.(prompt|completion|embedding))\.(\d+)")
_STREAM_MARKS = frozenset(("First Token Stream Event", "ai.stream.firstChunk", "gen_ai.content.first_token",
                           # MLflow under LangChain, AgentOps.
                           "new_token", "first_token_received"))  # fmt: skip
_BLOCK_KEYS = frozenset(("type", "text", "parts", "role", "content", "toolUse", "toolResult", "functionCall",
                         "function_call", "functionResponse", "function_response", "reasoningContent", "image",
                         "inlineData", "inline_data", "document"))  # fmt: skip
_DUMPED = frozenset(("messages", "choices", "generations", "model"))
# What an older OpenLIT says instead of the calls that were asked for.
_CALLED = "Function called with tools"
# Its answer where several were asked for, each on an event that bears its place.
_CHOICE = "gen_ai.content.completion."
# NeMo Guardrails tells a conversation by what was heard and uttered.
_HEARD = ("guardrails.utterance.user.", "guardrails.user_message")
_UTTERED = "guardrails.utterance.bot."
_FLAG_EVENTS = frozenset(("feature_flag", "feature_flag.evaluation"))
# A function's arguments and its result as an event each (Gentrace: `gentrace.fn.args` with `args` alone).
_ARGUMENTS = frozenset(("args", "arguments", "input", "inputs"))
_RESULTS = frozenset(("output", "outputs", "result"))
_CHUNK_MARKS = (
    "llm.content.completion.chunk",
    "gen_ai.content.completion.chunk",
    "mlflow.chunk.item.",
    "gen_ai.choice.chunk",
    "stream.chunk",
)


def as_event(log: LogRecord) -> RawEvent:
    """A log record as an event of its span."""
    values = dict(log.attributes)
    if log.body is not None:
        values["body"] = log.body
    return RawEvent(log.name, log.time_ns, values)


def read(draft: Draft, events: list[RawEvent]) -> None:
    """Fill `draft` from a span's events and log records."""
    if not events:
        return
    ordered = sorted(events, key=lambda e: (e.time_ns, _RANK.get(e.name, 5)))
    spoken: list[RawEvent] = []
    choices: list[RawEvent] = []
    details: list[RawEvent] = []
    several: list[tuple[int, dict[str, Any]]] = []
    for event in map(_unplaced, ordered):
        name = event.name
        if name in MESSAGE_EVENTS:
            spoken.append(event)
        elif name == "gen_ai.choice":
            choices.append(event)
        elif name in DETAILS:
            details.append(event)
        elif name == "gen_ai.usage":
            gen_ai.counts(draft, _with_body(event))
        elif name == "gen_ai.content.prompt":
            _prompt(draft, event.attributes)
        elif name == "gen_ai.content.completion":
            _completion(draft, event.attributes)
        elif name.startswith(_CHOICE) and name[len(_CHOICE) :].isdecimal():
            several.append((int(name[len(_CHOICE) :]), event.attributes))
        elif name == "gen_ai.evaluation.result":
            common.evaluation_event(draft, _with_body(event), event.time_ns)
        elif name == "gen_ai.guardrail.result":
            common.guardrail_values(draft, _with_body(event))
        elif name == ANSWERED:
            # The turn's span names its question and not its answer; the last is the one the person read.
            if draft.kind == "agent":
                draft.output_text = as_text(event.attributes.get("response")) or draft.output_text
        elif name.startswith(_HEARD):
            draft.input_text = draft.input_text or as_text(event.attributes.get("content"))
        elif name.startswith(_UTTERED):
            draft.output_text = as_text(event.attributes.get("content")) or draft.output_text
        elif is_exchange(event.attributes.get("body")):
            _exchange(draft, event.attributes["body"])
        elif name in _FLAG_EVENTS:
            common.flag_evaluation(draft, _with_body(event))
        elif name in _STREAM_MARKS or name.startswith(_CHUNK_MARKS):
            # What came in pieces was streamed, whatever the model's own parameters say.
            draft.stream = True
            if draft.ttft_ms is None and event.time_ns > draft.raw.start_ns > 0:
                draft.ttft_ms = (event.time_ns - draft.raw.start_ns) / 1e6
        elif draft.kind == "tool" and name.startswith("gen_ai.tool."):
            gen_ai_tool.read(draft, _with_body(event))
        elif len(event.attributes) == 1:
            _side_of_function(draft, event)
    if several and not draft.outputs:
        said = [first(told, "gen_ai.completion", "content") for _, told in sorted(several, key=_place)]
        draft.outputs = [
            Message("assistant", [Part("text", text=t)]) for v in said if (t := as_text(v))
        ] or None
    if details:
        _details(draft, details)
    if spoken or choices:
        _conversation(draft, spoken, choices)


def _place(told: tuple[int, dict[str, Any]]) -> int:
    return told[0]


def _side_of_function(draft: Draft, event: RawEvent) -> None:
    """What a function took or gave, where the event is called like the only thing it holds."""
    end = event.name.rpartition(".")[2]
    value = event.attributes.get(end)
    if value is None or "." not in event.name:
        return
    if end in _ARGUMENTS:
        listed = as_list(value)
        given = listed[0] if listed and len(listed) == 1 else value
        common.step(draft, given, None)
        if common.are_messages(given):
            draft.take_inputs(event.name, given)
        draft.input_text = draft.input_text or common.plain_text(given)
    elif end in _RESULTS:
        common.step(draft, None, value)
        if common.are_messages(value):
            draft.take_reply(event.name, value)
        draft.output_text = draft.output_text or common.plain_text(value)


def _unplaced(event: RawEvent) -> RawEvent:
    """An event that bears its message's place as the event of that message."""
    placed = _PLACED.fullmatch(event.name) if event.name[-1:].isdigit() else None
    if placed is None:
        return event
    values = {k.removeprefix(placed[1] + "."): v for k, v in event.attributes.items()}
    if placed[2] == "completion":
        return RawEvent("gen_ai.choice", event.time_ns, {"index": placed[3], **values})
    role = messages.role_of(str(values.get("role") or ""), "user")
    return RawEvent(_OF_ROLE.get(role, "gen_ai.user.message"), event.time_ns, values)


def _with_body(event: RawEvent) -> dict[str, Any]:
    values = event.attributes
    # Azure's clients put what others send as the body into an attribute.
    body = as_dict(values.get("body") or values.get("gen_ai.event.content"))
    return {**body, **values} if body else values


def is_exchange(body: Any) -> bool:
    """Whether a record's body is what went in and came out.

    As messages each (AWS's distribution, whatever made the span), or as a function's arguments and result (Patronus).
    """
    if not isinstance(body, dict) or not body:
        return False
    table = cast(dict[str, Any], body)
    if "function.name" in table:
        return True
    return set(table) <= {"input", "output"} and all(
        isinstance(side, dict) and isinstance(side.get("messages"), list) for side in table.values()
    )


def _exchange(draft: Draft, body: dict[str, Any]) -> None:
    if "function.name" in body:
        given, result = body.get("function.arguments"), body.get("function.output")
        common.step(draft, given, result)
        if draft.kind != "tool":
            draft.input_text = draft.input_text or common.plain_text(given)
            draft.output_text = draft.output_text or common.plain_text(result)
        return
    given = _side(body.get("input"), "user")
    said = _side(body.get("output"), "assistant")
    if draft.kind == "tool":
        if given and draft.tool_arguments is None:
            draft.tool_arguments = decode(given[-1].get("content"))
        if said and draft.tool_result is None:
            draft.tool_result = decode(said[-1].get("content"))
        return
    if draft.inputs is None and given:
        draft.take_inputs("input", given if len(given) > 1 else _whole(given[0]))
    if not draft.outputs and said:
        draft.take_reply("output", said if len(said) > 1 else _whole(said[0]))


def _side(side: Any, role: str) -> list[dict[str, Any]]:
    """The messages of one side: contents without their wrapping, each once, no dump of a request beside its messages."""
    out: list[dict[str, Any]] = []
    for item in cast(list[Any], (as_dict(side) or {}).get("messages") or []):
        message = dict(as_dict(item) or {"role": role, "content": item})
        wrapped = message.get("content")
        if isinstance(wrapped, dict) and ("content" in wrapped or "message" in wrapped):
            inner = cast(dict[str, Any], wrapped)
            message |= {"content": decode(first(inner, "content", "message"))}
            message |= {k: v for k, v in inner.items() if k in ("finish_reason", "id")}
        if message not in out:
            out.append(message)
    told = [m for m in out if not _is_dump(m.get("content"))]
    return told or out


def _is_dump(content: Any) -> bool:
    """Whether a content is a whole request or response, printed."""
    return not _DUMPED.isdisjoint(as_dict(content) or ()) if isinstance(content, str) else False


def _whole(message: dict[str, Any]) -> Any:
    return decode(message["content"]) if _is_dump(message.get("content")) else [message]


def _details(draft: Draft, details: list[RawEvent]) -> None:
    """Inference events repeat the span's attributes and add the content; the items of a stream may have one each."""
    untold = not draft.outputs
    items: list[Message] = []
    for event in details:
        values = _with_body(event)
        gen_ai.read(draft, values)
        for message in messages.read(values.get("gen_ai.output.messages"), "assistant") or ():
            if message not in items:
                items.append(message)
    if untold and len(details) > 1 and len(items) > len(draft.outputs or ()):
        parts = [part for message in items for part in message.parts]
        draft.outputs = [Message("assistant", parts, items[0].name, items[-1].finish_reason)]


def _prompt(draft: Draft, attributes: dict[str, Any]) -> None:
    value = first(attributes, "gen_ai.prompt", "content")
    if draft.inputs is None and value is not None:
        draft.inputs = _lines(value) or messages.read(value, "user")


def _completion(draft: Draft, attributes: dict[str, Any]) -> None:
    said = first(attributes, "gen_ai.completion", "content")
    if not draft.outputs and said != _CALLED:
        draft.take_reply("gen_ai.completion", said)
        if isinstance(said, str) and not draft.outputs and as_dict(said) and replies.read(said) is None:
            # An answer that is JSON of its own.
            draft.outputs = [Message("assistant", [Part("text", text=said)])]


def _lines(value: Any) -> list[Message] | None:
    """`role: text` lines of an older client, None when the text is anything else."""
    text = decode(value)
    if not isinstance(text, str):
        return None
    out: list[Message] = []
    for line in text.split("\n"):
        head, colon, rest = line.partition(": ")
        role = messages.role_of(head, "") if colon else ""
        if role:
            out.append(Message(role, [Part("text", text=rest)]))
        elif not out:
            return None
        else:
            part = out[-1].parts[-1]
            part.text = f"{part.text}\n{line}"
    return out


def _conversation(draft: Draft, spoken: list[RawEvent], choices: list[RawEvent]) -> None:
    if draft.kind == "tool":
        _tool(draft, spoken, choices)
        return
    if draft.inputs is None and spoken:
        found = _once([m for event in spoken for m in _message(event, MESSAGE_EVENTS[event.name])])
        # Events whose content was left out: nothing was told, which is not the same as empty messages.
        draft.inputs = found if any(_told(m) for m in found) else None
    if not draft.outputs and choices:
        out: list[Message] = []
        last, finish = -1, None
        ordered = sorted(choices, key=_index)
        ended = [word(_with_body(event).get("finish_reason")) for event in ordered]
        # Google's counts the pieces of a stream where the choices belong.
        pieces = len(ended) > 1 and ended[-1] is not None and not any(ended[:-1])
        draft.stream = True if pieces and draft.stream is None else draft.stream
        for event in ordered:
            table = _with_body(event)
            made = _choice(table)
            reason = word(table.get("finish_reason"))
            for message in made:
                message.finish_reason = message.finish_reason or reason
            finish = finish or reason
            if out and made and (pieces or _index(event) == last) and out[-1].finish_reason is None:
                # A stream told piece by piece: what has not ended goes on.
                out[-1].parts = messages.joined(out[-1].parts + made[0].parts)
                out[-1].finish_reason = made[0].finish_reason
                made = made[1:]
            out += made
            last = _index(event)
        draft.adopt(Reply(out, finish))


def _once(told: list[Message]) -> list[Message]:
    """The messages without results told before: botocore's tells those in a user's message as a tool's, too."""
    answered: set[str] = set()
    out: list[Message] = []
    for message in told:
        repeated = {p.id for p in message.parts if p.type == "tool_result" and p.id in answered}
        if repeated:
            message.parts = [p for p in message.parts if p.type != "tool_result" or p.id not in repeated]
        answered |= {p.id for p in message.parts if p.type == "tool_result" and p.id}
        if message.parts or not repeated:
            out.append(message)
    return out


def _told(message: Message) -> bool:
    """Whether a message has content: text, a result, or any other part."""
    return any(p.text or p.result is not None or p.type not in ("text", "tool_result") for p in message.parts)


def _index(event: RawEvent) -> int:
    return as_int(_with_body(event).get("index")) or 0


def _message(event: RawEvent, role: str) -> list[Message]:
    table = _with_body(event)
    body = event.attributes.get("body")
    if isinstance(body, str) and "role" not in (as_dict(body) or {}):
        table = {**event.attributes, "content": body}
    if is_hidden(table.get("content")):
        table = {**table, "content": None}
    content = unfold(table.get("content"))
    if (role == "tool" and isinstance(content, str | dict)) or not _is_blocks(content):
        # What a person wrote may be JSON too.
        content = table.get("content")
    shaped = {
        k: v
        for k, v in table.items()
        if k in ("tool_calls", "tool_call_id", "id", "name", "refusal", "reasoning_content")
    }
    return messages.message_of({"role": role, "content": content, **shaped}, role)


def _is_blocks(content: Any) -> bool:
    """Whether a decoded content is made of blocks of a message."""
    blocks = cast(list[Any], content) if isinstance(content, list) else [content]
    return any(isinstance(b, dict) and not _BLOCK_KEYS.isdisjoint(cast(dict[str, Any], b)) for b in blocks)


def _choice(table: dict[str, Any]) -> list[Message]:
    message = unfold(table.get("message"))
    if isinstance(message, dict):
        return messages.message_of({"role": "assistant", **cast(dict[str, Any], message)}, "assistant")
    content = message if message is not None else unfold(table.get("content"))
    content = None if is_hidden(content) else content
    shaped = {k: v for k, v in table.items() if k in ("tool_calls", "refusal")}
    return messages.message_of({"role": "assistant", "content": content, **shaped}, "assistant")


def _tool(draft: Draft, spoken: list[RawEvent], choices: list[RawEvent]) -> None:
    """On a tool span the tool message is what went in and the choice what came out."""
    for event in spoken:
        table = _with_body(event)
        if draft.tool_arguments is None and event.name == "gen_ai.tool.message":
            draft.tool_arguments = decode(table.get("content"))
            draft.tool_call_id = draft.tool_call_id or word(table.get("id"))
    for event in choices:
        table = _with_body(event)
        if draft.tool_result is None:
            draft.tool_result = messages.result_of(decode(table.get("message")))
