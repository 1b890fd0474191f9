"""What a provider answered, whoever's shape it is in, and the usage it reported."""

from typing import Any, cast

import msgspec

from watchkeeper.dialects import messages as msgs
from watchkeeper.dialects import printed, spellings
from watchkeeper.dialects.values import as_dict, as_float, as_int, as_text, decode, is_cut, unfold
from watchkeeper.model.span import Message


class Tokens(msgspec.Struct, gc=False):
    """Token counts as found; `exclusive` when the provider counts cached tokens beside the input, not within it."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    exclusive: bool = False
    total: int | None = None
    # Cached tokens that only the total tells of: whether they were read or written is unknown.
    beside: int = 0

    def fill(self, other: "Tokens") -> None:
        """Take from `other` what is unknown here. A zero yields to a number: several clients send zero for unknown."""
        if self.input is None:
            self.input, self.exclusive = other.input, other.exclusive
        elif other.exclusive and other.input == self.input:
            # The client passed on the provider's number as it was.
            self.exclusive = True
        if self.output is None:
            self.output = other.output
        self.cached = self.cached or (other.cached if other.cached is not None else self.cached)
        self.cache_write = self.cache_write or (
            other.cache_write if other.cache_write is not None else self.cache_write
        )
        self.reasoning = self.reasoning or (
            other.reasoning if other.reasoning is not None else self.reasoning
        )
        if self.total is None:
            self.total = other.total


def settle_total(tokens: Tokens, provider: str | None, generates: bool) -> None:
    """Put right by the total what a client counts beside input and output, and not within them, or leaves out.

    A total above their sum is the sum with the reasoning, with the cached part, or with both. Where the client does not
    pass the part on, the total alone tells of it: of Google's thoughts, of what Anthropic counts beside its input.
    """
    if tokens.total is None or tokens.input is None:
        return
    if tokens.output is None:
        # Some clients leave out a zero, or all that was thought where nothing was said.
        if generates and not tokens.exclusive and tokens.total >= tokens.input:
            tokens.output = tokens.total - tokens.input
        return
    rest = tokens.total - tokens.input - tokens.output
    reasoning, cached = tokens.reasoning or 0, (tokens.cached or 0) + (tokens.cache_write or 0)
    if rest <= 0:
        return
    if reasoning and rest in (reasoning, reasoning + cached):
        tokens.output += reasoning
        tokens.exclusive = tokens.exclusive or rest != reasoning
    elif cached and rest == cached:
        tokens.exclusive = True
    elif provider == "google" and not reasoning:
        tokens.output += rest
    elif provider == "anthropic" and not cached:
        tokens.beside = rest


class Reply(msgspec.Struct):
    """A provider's answer: one message per choice, and what came with them."""

    messages: list[Message] = []
    finish: str | None = None
    tokens: Tokens | None = None
    model: str | None = None
    id: str | None = None
    error: str | None = None
    status: int | None = None
    tool_error: bool = False
    streamed: bool = False


def _table(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


_INPUT = ("input_tokens", "prompt_tokens", "inputTokens", "promptTokens", "input", "prompt_token_count",
          "promptTokenCount", "prompt", "inputTokenCount", "input_token_count", "inputTextTokenCount")  # fmt: skip
_OUTPUT = ("output_tokens", "completion_tokens", "outputTokens", "completionTokens", "output",
           "candidates_token_count", "candidatesTokenCount", "completion", "outputTokenCount",
           "output_token_count", "response_token_count")  # fmt: skip
_CACHED = ("cache_read_input_tokens", "cached_input_tokens", "cachedInputTokens", "cached_tokens",
           "cacheReadInputTokens", "cachedPromptTokens", "cached_content_token_count", "cachedContentTokenCount", "cache_read_tokens",
           "input_cached_tokens", "cached_prompt_tokens", "prompt_cached_tokens", "cachedContentTokens", "cache_read", "input_cache_read", "cached_token_count")  # fmt: skip
_WRITTEN = ("cache_creation_input_tokens", "cache_write_input_tokens", "cacheWriteInputTokens", "cacheCreationInputTokens",
            "cache_creation_tokens", "cache_write_tokens", "cache_creation", "cache_write",
            "input_cache_creation", "cached_creation_tokens", "prompt_cache_creation_tokens")  # fmt: skip
_REASONING = ("reasoning_tokens", "reasoningTokens", "thoughts_token_count", "thoughtsTokenCount",
              "reasoning_output_tokens", "reasoning", "output_reasoning_tokens", "output_reasoning",
              "thoughts_tokens", "thoughtsTokens", "completion_reasoning_tokens")  # fmt: skip
# How LangChain's own ids begin.
_RUN_IDS = ("run-", "lc_run-", "run_")
_TOTAL = ("total_tokens", "totalTokens", "total_token_count", "totalTokenCount", "total")
_IN_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details", "inputTokenDetails",
               "inputTokensDetails", "prompt_details")  # fmt: skip
_OUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details", "outputTokenDetails",
                "outputTokensDetails", "completion_details")  # fmt: skip


def _count(table: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    for key in keys:
        value = table.get(key)
        if value is not None and not isinstance(value, dict | list):
            number = as_int(value)
            if number is not None:
                return number
    return None


def read_usage(value: Any) -> Tokens | None:
    """A usage object in any spelling; None when it holds no count."""
    table = as_dict(value)
    if not table:
        return None
    tokens = Tokens(
        _count(table, _INPUT),
        _count(table, _OUTPUT),
        _count(table, _CACHED),
        _count(table, _WRITTEN),
        _count(table, _REASONING),
        total=_count(table, _TOTAL),
    )
    for key in _IN_DETAILS:
        details = as_dict(table.get(key))
        if details:
            tokens.cached = tokens.cached if tokens.cached is not None else _count(details, _CACHED)
            if tokens.cache_write is None:
                tokens.cache_write = _count(details, _WRITTEN)
    for key in _OUT_DETAILS:
        details = as_dict(table.get(key))
        if details and tokens.reasoning is None:
            tokens.reasoning = _count(details, _REASONING)
    gemini = "candidatesTokenCount" in table or "candidates_token_count" in table
    if gemini and tokens.output is not None and tokens.reasoning:
        # Gemini counts thoughts beside the candidates; our output includes reasoning.
        tokens.output += tokens.reasoning
    if "input_tokens" in table and ("cache_creation_input_tokens" in table or "cache_creation" in table):
        # Anthropic's own object: input_tokens is what was neither read from nor written to the cache.
        tokens.exclusive = "total_tokens" not in table and "prompt_tokens" not in table
    if "cacheReadInputTokens" in table and "inputTokens" in table:
        tokens.exclusive = True
    known = (tokens.input, tokens.output, tokens.cached, tokens.cache_write, tokens.reasoning)
    return tokens if any(v is not None for v in known) else None


def read(value: Any) -> Reply | None:
    """Any value a client sends as a model's answer; None when it is absent, cut or says nothing."""
    value = unfold(value)
    if value is None or is_cut(value) or value == "":
        return None
    if isinstance(value, str):
        told = printed.objects(value)
        whole = _of_object(told) if isinstance(told, dict) else None
        said = whole.messages if whole is not None else None
        # Its words alone: what else a client prints of an answer it does not report.
        return Reply(said or msgs.read(value, "assistant") or [])
    if isinstance(value, list):
        return _of_list(cast(list[Any], value))
    table = _table(value)
    return _of_object(table) if table else None


def _of_list(items: list[Any]) -> Reply | None:
    tables = [_table(i) for i in items]
    if items and _is_piece(items[0]):
        return of_chunks([_table(decode(i)) for i in items])
    if tables and all("candidates" in t or "usageMetadata" in t for t in tables):
        return _of_streamed(tables)
    if len(tables) == 1 and (
        tables[0].get("object") == "response" or "choices" in tables[0] or "generated_text" in tables[0]
    ):
        return _of_object(tables[0])
    if (
        tables
        and any(t.get("type") == "message" or _is_item(t) for t in tables)
        and any(("type" in t and "role" not in t) or t.get("type") == "message" for t in tables)
    ):
        return _of_items(items)
    found = msgs.read(items, "assistant")
    if not found:
        return None
    if _in_pieces(tables):
        whole = msgs.joined([p for m in found for p in m.parts])
        return Reply([msgs.Message("assistant", whole)], found[-1].finish_reason, streamed=True)
    finish = next((m.finish_reason for m in found if m.finish_reason), None)
    return Reply(found, finish)


def _is_piece(item: Any) -> bool:
    """Whether an item is a chunk of OpenAI's streams, also as the text it came as."""
    if isinstance(item, str):
        return item.find("chat.completion.chunk", 0, 400) >= 0
    return isinstance(item, dict) and cast(dict[str, Any], item).get("object") == "chat.completion.chunk"


def _in_pieces(tables: list[dict[str, Any]]) -> bool:
    """Whether messages are the pieces of one stream: none but the last has come to an end (Gemini's, as they came)."""
    ends = [t.get("finish_reason") for t in tables]
    return len(ends) > 1 and ends[0] == "" and all(e == "" for e in ends[:-1])


def _of_object(table: dict[str, Any]) -> Reply | None:
    reply: Reply | None = None
    if "completion" in table and ("toolCalls" in table or "tool_calls" in table or "reasoning" in table):
        # OpenRouter's: the text beside what else a message holds.
        table = {"role": "assistant", "content": table["completion"], **table}
    listed, about = table.get("results"), as_dict(table.get("metadata"))
    if about and isinstance(listed, list) and all("message" in _table(r) for r in cast(list[Any], listed)):
        # Dapr's: the choices, and what is told of the call beside them.
        table = {**about, "choices": listed}
    if isinstance(table.get("choices"), list):
        reply = _of_choices(cast(list[Any], table["choices"]))
    elif isinstance(table.get("candidates"), list):
        reply = _of_candidates(cast(list[Any], table["candidates"]))
    elif isinstance(table.get("generations"), list):
        reply = _of_generations(table)
    elif isinstance(table.get("output"), list) and (
        "object" in table or "status" in table or _typed(table["output"])
    ):
        reply = _of_items(cast(list[Any], table["output"]))
        # A response whose status is null was made of chunks: what its items say of their ends is made up too.
        made_up = "status" in table and table["status"] is None
        reply.finish = _status_finish(table) or (None if made_up else reply.finish)
    elif isinstance(table.get("output"), dict) and "message" in table["output"]:
        reply = Reply(
            msgs.message_of(_table(table["output"]["message"]), "assistant"), as_text(table.get("stopReason"))
        )
    elif table.get("type") == "message" and isinstance(table.get("content"), list):
        made = msgs.message_of(table, "assistant")
        finish = as_text(table.get("stop_reason")) or as_text(table.get("status"))
        reply = Reply(made, finish)
    elif _is_item(table):
        reply = _of_items([table])
    elif "role" in table or "kwargs" in table or "parts" in table or "tool_calls" in table:
        made = msgs.message_of(table, "assistant")
        reply = Reply(made, next((m.finish_reason for m in made if m.finish_reason), None))
    elif isinstance(table.get("content"), dict) and "parts" in table["content"]:
        made = msgs.message_of(_table(table["content"]), "assistant")
        reply = Reply(made, as_text(table.get("finish_reason") or table.get("finishReason")))
    elif isinstance(table.get("message"), dict):
        made = msgs.message_of(_table(table["message"]), "assistant")
        ended = table.get("finish_reason") or table.get("done_reason") or table.get("finishReason")
        reply = Reply(made, as_text(ended))
    elif isinstance(table.get("messages"), list):
        reply = _of_conversation(cast(list[Any], table["messages"]))
    else:
        reply = _of_plain(table)
    if reply is None:
        return None
    reply.tokens = reply.tokens or read_usage(
        table.get("usage")
        or table.get("usage_metadata")
        or table.get("usageMetadata")
        or table.get("token_usage")
    )
    reply.model = reply.model or as_text(
        table.get("model")
        or table.get("modelVersion")
        or table.get("model_version")
        or (table.get("model_name") if "provider_response_id" in table else None)
    )
    reply.id = reply.id or _identity(table)
    reply.streamed = reply.streamed or table.get("streaming") is True
    return reply


def _of_conversation(items: list[Any]) -> Reply | None:
    """The answers in an object of messages; of a whole conversation its last."""
    found = msgs.read(items, "assistant") or []
    said = [m for m in found if m.role == "assistant"]
    return Reply(said if len(said) == len(found) else said[-1:]) if said else None


def _identity(table: dict[str, Any]) -> str | None:
    """The id the provider gave; OpenAI's agents put `__fake_id__` where they made the response of chunks."""
    told = as_text(
        table.get("id")
        or table.get("responseId")
        or table.get("response_id")
        or table.get("provider_response_id")
    )
    if told is None or not told.startswith("__fake"):
        return told
    items = table.get("output")
    origins = (
        [_table(_table(i).get("provider_data")) for i in cast(list[Any], items)]
        if isinstance(items, list)
        else []
    )
    return next((found for origin in origins if (found := as_text(origin.get("response_id")))), None)


def _is_item(table: dict[str, Any]) -> bool:
    kind = table.get("type")
    return isinstance(kind, str) and kind in msgs.ITEM_TYPES


def _typed(items: Any) -> bool:
    return any(isinstance(i, dict) and "type" in i for i in cast(list[Any], items))


def _of_plain(table: dict[str, Any]) -> Reply | None:
    """Objects of applications: the text under one of the usual names."""
    for key in (
        "text",
        "content",
        "completion",
        "output_text",
        "response",
        "answer",
        "generated_text",
    ):
        value = table.get(key)
        if isinstance(value, str) and value:
            return Reply(msgs.read(value, "assistant") or [], as_text(table.get("finish_reason")))
        if key == "content" and isinstance(value, list) and value:
            finish = as_text(table.get("stop_reason") or table.get("finish_reason"))
            return Reply(msgs.read(value, "assistant") or [], finish)
    said = table.get("replies")
    return _of_replies(cast(list[Any], said), table.get("meta")) if isinstance(said, list) and said else None


def _of_replies(said: list[Any], beside: Any) -> Reply:
    """Haystack's answers: how the first ended lies in its `meta`, or in the first of the list `beside` texts."""
    told = _table(said[0])
    listed = cast(list[Any], beside) if isinstance(beside, list) else []
    meta = _table(told.get("meta")) or (_table(listed[0]) if listed else {})
    found = msgs.read(said, "assistant") or []
    return Reply(
        found, as_text(meta.get("finish_reason")), read_usage(meta.get("usage")), as_text(meta.get("model"))
    )


def _of_choices(choices: list[Any]) -> Reply:
    out: list[Message] = []
    finish = None
    for choice in choices:
        table = _table(choice)
        inner = _table(table.get("message") or table.get("delta"))
        made = (
            msgs.message_of(inner, "assistant")
            if inner
            else (msgs.read(table.get("text"), "assistant") or [])
        )
        reason = as_text(table.get("finish_reason"))
        for message in made:
            message.finish_reason = message.finish_reason or reason
        out += made
        finish = finish or reason
    return Reply(out, finish)


# Google's numbers for the ends that its two APIs number alike.
_GOOGLES_ENDS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION"}


def _of_candidates(candidates: list[Any]) -> Reply:
    out: list[Message] = []
    finish = None
    for candidate in candidates:
        table = _table(candidate)
        said = _table(table.get("content")) or _table(table.get("message"))
        out += msgs.message_of(said or {"role": "model"}, "assistant")
        end = table.get("finishReason") or table.get("finish_reason")
        finish = finish or (_GOOGLES_ENDS.get(end) if isinstance(end, int) else as_text(end))
    return Reply(out, finish)


def _of_streamed(chunks: list[dict[str, Any]]) -> Reply | None:
    """A streamed Gemini answer, from its chunks in order: the last usage counts, the texts are one."""
    parts = [p for c in chunks for m in _of_candidates(c.get("candidates") or []).messages for p in m.parts]
    last = _of_object({**{k: v for c in chunks for k, v in c.items()}})
    if last is not None:
        last.messages = [msgs.Message("assistant", msgs.joined(parts))] if parts else []
        last.streamed = True
    return last


def _of_items(items: list[Any]) -> Reply:
    """The items of one Responses answer are one message."""
    parts = [
        p
        for item in items
        if isinstance(item, dict)
        for m in msgs.message_of(item, "assistant")
        for p in m.parts
    ]
    status = next((s for i in reversed(items) if (s := as_text(_table(i).get("status")))), None)
    return Reply([msgs.Message("assistant", parts)] if parts else [], status)


def _status_finish(table: dict[str, Any]) -> str | None:
    reason = as_text(_table(table.get("incomplete_details")).get("reason"))
    return reason or as_text(table.get("status"))


def _of_generations(table: dict[str, Any]) -> Reply:
    """LangChain's LLMResult: a list (per prompt) of lists (per choice)."""
    out: list[Message] = []
    reply = Reply(out)
    rows = cast(list[Any], table["generations"])
    flat = [g for row in rows for g in (cast(list[Any], row) if isinstance(row, list) else [row])]
    for generation in map(_table, flat):
        message = _table(generation.get("message"))
        made = msgs.message_of(message, "assistant") if message else []
        made = made or msgs.read(generation.get("text"), "assistant") or []
        kwargs = _table(message.get("kwargs")) or message
        meta = _table(kwargs.get("response_metadata"))
        info = _table(generation.get("generation_info") or generation.get("generationInfo"))
        # Only what came in chunks is told as one; JS names the message's class alone.
        kind = generation.get("type")
        chunk = _is_chunk(message) if kind is None else kind == "ChatGenerationChunk"
        reply.streamed = reply.streamed or chunk
        status = as_int(meta.get("status_code"))
        if status is not None and status >= 400:
            reply.status = status
            reply.error = as_text(_table(_table(meta.get("body")).get("error")).get("message"))
            continue
        reason = as_text(info.get("finish_reason") or meta.get("finish_reason") or meta.get("stop_reason")
                         or info.get("stop_reason") or meta.get("done_reason") or _status_finish(meta))  # fmt: skip
        for one in made:
            one.finish_reason = one.finish_reason or reason
        reply.finish = reply.finish or reason or next((m.finish_reason for m in made), None)
        reply.model = reply.model or as_text(
            meta.get("model_name") or meta.get("model") or info.get("model_name")
        )
        reply.id = reply.id or as_text(meta.get("id")) or _provider_id(kwargs.get("id"))
        reply.tokens = (
            reply.tokens or read_usage(kwargs.get("usage_metadata")) or read_usage(meta.get("token_usage"))
        )
        out += [m for m in made if m.parts]
    llm_output = _table(table.get("llm_output") or table.get("llmOutput"))
    reply.model = reply.model or as_text(llm_output.get("model_name"))
    reply.id = reply.id or as_text(llm_output.get("id"))
    reply.tokens = reply.tokens or read_usage(llm_output.get("token_usage") or llm_output.get("tokenUsage"))
    return reply


def _is_chunk(message: dict[str, Any]) -> bool:
    """Whether LangChain's message was put together of pieces."""
    name = message.get("id")
    return isinstance(name, list) and bool(name) and str(cast(list[Any], name)[-1]).endswith("MessageChunk")


def _provider_id(told: Any) -> str | None:
    """A message's id where it is the provider's; LangChain calls its own after the run."""
    text = as_text(told) if isinstance(told, str) else None
    return None if text is None or text.startswith(_RUN_IDS) else text


def of_chunks(chunks: list[dict[str, Any]]) -> Reply:
    """The first choice of a streamed chat completion, from its chunks in order."""
    text: list[str] = []
    refusal: list[str] = []
    thought: list[str] = []
    calls: dict[int, dict[str, Any]] = {}
    reply = Reply(streamed=True)
    for chunk in chunks:
        listed = chunk.get("choices")
        if not isinstance(listed, list):
            continue
        reply.model = reply.model or as_text(chunk.get("model"))
        reply.id = reply.id or as_text(chunk.get("id"))
        reply.tokens = read_usage(chunk.get("usage")) or reply.tokens
        for choice in map(_table, cast(list[Any], listed)):
            if choice.get("index") not in (0, None):
                continue
            delta = _table(choice.get("delta"))
            mind = delta.get("reasoning_content") or delta.get("reasoning")
            for part, told in (
                (text, delta.get("content")),
                (refusal, delta.get("refusal")),
                (thought, mind),
            ):
                if isinstance(told, str):
                    part.append(told)
            for call in cast(list[Any], delta.get("tool_calls") or []):
                _merge_call(calls, _table(call))
            reply.finish = as_text(choice.get("finish_reason")) or reply.finish
    if calls or any(text) or refusal or any(thought):
        told = {
            "content": "".join(text),
            "refusal": "".join(refusal),
            "reasoning_content": "".join(thought),
            "tool_calls": [calls[i] for i in sorted(calls)],
        }
        reply.messages = msgs.message_of({"role": "assistant", **told}, "assistant")
    return reply


def _merge_call(calls: dict[int, dict[str, Any]], delta: dict[str, Any]) -> None:
    index = delta.get("index")
    known = calls.setdefault(
        index if isinstance(index, int) else len(calls), {"id": None, "name": "", "arguments": ""}
    )
    known["id"] = known["id"] or delta.get("id")
    function = _table(delta.get("function"))
    for field in ("name", "arguments"):
        if isinstance(function.get(field), str):
            known[field] += function[field]


def seconds(value: Any) -> float | None:
    """A duration in seconds as milliseconds."""
    number = as_float(value)
    return None if number is None else number * 1000


_ITEMS = ("reasoning", "tool_call")


def one_answer(answers: list[Message], choices: Any) -> list[Message]:
    """The choices of an answer, which end each by itself; the items of a Responses answer are one.

    `choices` is how many the request asked for, None when unknown. Without reasoning or calls among them several texts
    are taken for choices.
    """
    parts = [p for m in answers for p in m.parts]
    if (isinstance(choices, int) and choices > 1) or not any(p.type in _ITEMS for p in parts):
        return answers
    ends = [m.finish_reason for m in answers if m.finish_reason]
    if len(ends) == len(answers):
        # A choice with calls ends by them; some clients give every item the end of the whole answer (Agento11y).
        item = any(m.parts and all(p.type in _ITEMS for p in m.parts) for m in answers)
        if not item or {spellings.finish_reason(end, False) for end in ends} != {"stop"}:
            return answers
    return [Message("assistant", parts, answers[0].name, ends[-1] if ends else None)]
