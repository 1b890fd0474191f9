"""Datadog's tracer: what its LLM Observability knows of a span is one object, packed into one attribute."""

from typing import Any

from watchkeeper.dialects import common, messages, parameters, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import Tokens, read_usage, seconds
from watchkeeper.dialects.values import as_dict, as_list, as_text, decode, first, word
from watchkeeper.model.span import Message, Part, RawSpan

NAME = "datadog"
HEADS = frozenset(("_llmobs",))
_PACKED = "_llmobs"
# On every span of its tracer.
_MARK = "_sampling_priority_v1"
_KINDS = {"llm": "llm", "embedding": "embedding", "retrieval": "retrieval", "tool": "tool", "agent": "agent"}


def recognise(raw: RawSpan) -> bool:
    """Whether Datadog's tracer made this span of a model's use, with its LLM Observability switched on or not."""
    return _PACKED in raw.attributes or (
        _MARK in raw.attributes and "gen_ai.operation.name" in raw.attributes
    )


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from `meta`, `metrics` and `tags`; the conventions' names beside them are read after."""
    told = as_dict(attributes.get(_PACKED)) or {}
    meta = as_dict(told.get("meta"))
    if meta is None:
        _models(draft, attributes, word(attributes.get("component")) or "", None)
        return
    kind = word((as_dict(meta.get("span")) or {}).get("kind") or meta.get("span.kind")) or ""
    draft.kind = draft.kind or _KINDS.get(kind, "workflow")
    tags = as_dict(told.get("tags")) or {}
    draft.session = draft.session or word(told.get("session_id"))
    draft.user = draft.user or word(first(tags, "user_id", "user.id", "usr.id"))
    given, result = as_dict(meta.get("input")) or {}, as_dict(meta.get("output")) or {}
    draft.inputs = draft.inputs or _said(given)
    draft.outputs = draft.outputs or (_said(result) if draft.kind != "embedding" else None)
    if draft.kind in ("llm", "embedding"):
        _call(draft, attributes, meta, tags)
        metrics = as_dict(told.get("metrics")) or {}
        draft.tokens.fill(read_usage(metrics) or Tokens())
        draft.ttft_ms = (
            seconds(metrics.get("time_to_first_token")) if draft.ttft_ms is None else draft.ttft_ms
        )
        draft.take_inputs(_PACKED, _embedded(given) or given.get("value"))
        if draft.kind == "llm":
            draft.take_reply(_PACKED, result.get("value"))
        return
    name, gave = word(told.get("name")), first(result, "documents", "value")
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or name
    else:
        draft.weak_agent = draft.weak_agent or (name if draft.kind == "agent" else None)
        draft.input_text = draft.input_text or common.plain_text(given.get("value"))
        draft.output_text = draft.output_text or common.plain_text(result.get("value"))
    common.step(draft, given.get("value"), gave)


def _call(draft: Draft, attributes: dict[str, Any], meta: dict[str, Any], tags: dict[str, Any]) -> None:
    """Provider, models, parameters, tools and the end of a call."""
    library = word(tags.get("integration")) or ""
    for key, name in (("model_provider", word(meta.get("model_provider"))), ("integration", library)):
        if name and spellings.is_provider(name):
            draft.provider_raw.setdefault(key, name)
    _models(draft, attributes, library, word(meta.get("model_name")))
    params = parameters.take(draft, meta.get("metadata"))
    # The ends of several choices stand in one text.
    ended = as_text(params.get("finish_reason")) or ""
    draft.finish_raw = draft.finish_raw or word(ended.partition(",")[0])
    draft.take_tools(meta.get("tool_definitions"))


def _models(draft: Draft, attributes: dict[str, Any], library: str, named: str | None) -> None:
    """The models that a library's own tags tell; what Datadog names is the served one where there is one."""
    asked = word(attributes.get(f"{library}.request.model"))
    draft.request_model = draft.request_model or asked or named
    if draft.response_model is None:
        served = word(attributes.get(f"{library}.response.model")) or named
        draft.response_model = served if asked not in (None, served) else None


def _embedded(side: dict[str, Any]) -> list[str]:
    found = common.documents(side.get("documents")) or []
    return [d.content for d in found if d.content]


def _said(side: dict[str, Any]) -> list[Message] | None:
    """The messages of one side; the blocks of one answer of Anthropic's come as a message each."""
    out: list[Message] = []
    for item in as_list(side.get("messages")) or []:
        table = as_dict(item) or {}
        results = [_result(r) for r in _tables(table.get("tool_results"))]
        out += [Message("tool", [part], part.name) for part in results]
        thought = table.get("role") == "reasoning"
        role = "assistant" if thought else messages.role_of(table.get("role"), "user")
        parts = [_thought(table.get("content"))] if thought else messages.parts_of(table.get("content"))
        parts += [
            Part(
                "tool_call",
                id=word(c.get("tool_id")),
                name=word(c.get("name")),
                arguments=decode(c.get("arguments")),
            )
            for c in _tables(table.get("tool_calls"))
        ]
        blocks = any(p.type in ("tool_call", "reasoning") for p in (*parts, *(out[-1].parts if out else ())))
        if out and blocks and out[-1].role == role == "assistant":
            out[-1].parts.extend(parts)
        elif parts or not results:
            out.append(Message(role, parts))
    return out or None


def _tables(listed: Any) -> list[dict[str, Any]]:
    return [t for item in as_list(listed) or [] if (t := as_dict(item)) is not None]


def _result(told: dict[str, Any]) -> Part:
    name = word(told.get("name"))
    return Part("tool_result", id=word(told.get("tool_id")), name=name, result=decode(told.get("result")))


def _thought(content: Any) -> Part:
    """A model's reasoning, told as a text or as the item of the Responses API it was."""
    summary = (as_dict(content) or {}).get("summary")
    texts = [text for t in _tables(summary) if (text := as_text(t.get("text")))]
    return Part("reasoning", text="\n".join(texts) or (as_text(content) if summary is None else None))
