"""Monocle: entities numbered in attributes, and what went in, came out and was counted as three events."""

from typing import Any

from watchkeeper.dialects import common, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_list, as_text, decode, first, word
from watchkeeper.model.span import RawSpan

NAME = "monocle"
HEADS = frozenset(("monocle_apptrace",))
_MARK = "monocle_apptrace.version"
_KINDS = {
    "agentic.invocation": "agent", "agentic.tool.invocation": "tool", "agentic.mcp.invocation": "tool",
    "retrieval": "retrieval", "embedding": "embedding", "inference": "llm", "inference.framework": "llm",
    "http.process": "http", "http.send": "http",
}  # fmt: skip
# A call that an orchestrator's span beside it tells is `inference.modelapi`, and says nothing more.
_ENTITIES = {
    "inference": "call", "model": "model", "tool": "tool", "mcp": "tool", "agent": "agent", "agentic": "agent",
}  # fmt: skip


def recognise(raw: RawSpan) -> bool:
    """Whether Monocle made this span."""
    return _MARK in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from the numbered entities and the events."""
    told = {event.name: event.attributes for event in draft.raw.events}
    named = word(attributes.get("span.type")) or ""
    entities = _entities(attributes)
    model = entities.get("model", {})
    if named == "inference.modelapi" and model:
        named = "inference"
    kind = _KINDS.get(named) or ("embedding" if named.startswith("embedding") else "workflow")
    if kind == "llm" and str(model.get("type")).startswith("model.embedding"):
        kind = "embedding"
    draft.kind = draft.kind or kind
    given, result = told.get("data.input", {}), told.get("data.output", {})
    asked, answer = first(given, "input", "query"), first(result, "response", "output")
    if draft.kind in ("llm", "embedding"):
        _call(draft, entities, told.get("metadata", {}))
        if asked is not None:
            draft.take_inputs("data.input", [_message(item) for item in as_list(asked) or [asked]])
        if draft.failed:
            # The error stands where the answer would.
            draft.error_message = draft.error_message or as_text(answer)
        elif draft.kind == "llm" and answer is not None and not draft.outputs:
            draft.take_reply("data.output", _message(answer, "assistant"))
        return
    draft.tool_name = draft.tool_name or word(entities.get("tool", {}).get("name"))
    draft.weak_agent = draft.weak_agent or word(entities.get("agent", {}).get("name"))
    asked, answer = _only(asked), _only(answer)
    common.step(draft, asked, [answer] if draft.kind == "retrieval" and isinstance(answer, str) else answer)
    if draft.kind != "tool":
        draft.input_text = draft.input_text or as_text(asked)
        draft.output_text = draft.output_text or common.plain_text(answer)


def _entities(attributes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in attributes.items():
        number, _, field = key.removeprefix("entity.").partition(".")
        if key.startswith("entity.") and number.isdigit() and field:
            found.setdefault(number, {})[field] = value
    return {
        _ENTITIES[start]: entity
        for entity in found.values()
        if (start := str(entity.get("type", "")).partition(".")[0]) in _ENTITIES
    }


def _call(draft: Draft, entities: dict[str, dict[str, Any]], metadata: dict[str, Any]) -> None:
    called = entities.get("call", {})
    maker = str(called.get("type", "")).removeprefix("inference.")
    if spellings.is_provider(maker):
        draft.provider_raw.setdefault("entity.type", maker)
    draft.request_model = draft.request_model or word(entities.get("model", {}).get("name"))
    usage = read_usage(metadata)
    if usage is not None:
        draft.tokens.fill(usage)
    draft.finish_raw = draft.finish_raw or word(metadata.get("finish_reason"))


def _only(value: Any) -> Any:
    """The only one of a list."""
    listed = as_list(value)
    return listed[0] if listed is not None and len(listed) == 1 else value


def _message(told: Any, role: str = "user") -> Any:
    """A message that Monocle has written as `{"role": "text"}`, or a text of `role`."""
    table = as_dict(told)
    if table is None:
        return {"role": role, "content": told}
    if "tool_function" in table:
        return {"role": "assistant", "tool_calls": _calls(table)}
    if "output" in table and "call_id" in table:
        return {"role": "tool", "tool_call_id": table["call_id"], "content": table["output"]}
    if len(table) != 1:
        return table
    said, content = next(iter(table.items()))
    calls = _calls(decode(content))
    if calls:
        return {"role": "assistant", "tool_calls": calls}
    return {"role": said, "content": content}


def _calls(value: Any) -> list[dict[str, Any]]:
    """The tool calls that stand for the content of a message that has none."""
    tables = [as_dict(item) for item in ([value] if isinstance(value, dict) else as_list(value) or [])]
    made: list[dict[str, Any]] = []
    for table in tables:
        name = word(first(table or {}, "name", "tool_name", "tool_function"))
        if table is None or name is None or not {"args", "tool_arguments"} & set(table):
            return []
        given = first(table, "args", "tool_arguments")
        made.append(
            {"id": first(table, "id", "tool_id", "call_id"), "function": {"name": name, "arguments": given}}
        )
    return made
