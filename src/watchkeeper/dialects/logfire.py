"""Logfire and Pydantic AI: templates as span names, requests and responses as JSON, events in an attribute."""

from typing import Any, cast

import msgspec

from watchkeeper.dialects import common, messages, parameters
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import Reply, read_usage
from watchkeeper.dialects.values import as_bool, as_dict, as_list, as_text, decode, first, word
from watchkeeper.model.span import Evaluation, Message, RawSpan

NAME = "logfire"
HEADS = frozenset(("logfire", "pydantic_ai", "all_messages_events"))
# Pydantic Evals: a case's span holds what each evaluator said of it.
_VERDICTS = ("assertions", "scores", "labels")


def recognise(raw: RawSpan) -> bool:
    """Whether Logfire or Pydantic AI made this span."""
    return "logfire.span_type" in raw.attributes or raw.scope_name.startswith(
        ("logfire", "pydantic-ai", "pydantic_ai")
    )


def begun(raw: RawSpan) -> RawSpan:
    """The span that a pending one announces under an id of its own: it runs until its end arrives."""
    if raw.attributes.get("logfire.span_type") != "pending_span" or raw.parent_id is None:
        return raw
    parent = word(raw.attributes.get("logfire.pending_parent_id"))
    above = parent if parent is not None and parent.strip("0") else None
    return msgspec.structs.replace(raw, span_id=raw.parent_id, parent_id=above, end_ns=0)


def _kind(raw: RawSpan, attributes: dict[str, Any]) -> str | None:
    template = as_text(attributes.get("logfire.msg_template")) or raw.name
    if raw.scope_name == "logfire.openai_agents":
        for stem, kind in (("Responses API", "llm"), ("Chat completion", "llm"), ("Function:", "tool"),
                           ("Guardrail", "guardrail"), ("Agent run", "agent"), ("Handoff", "workflow"),
                           ("Task:", "workflow"), ("Turn ", "workflow"), ("OpenAI Agents trace", "workflow")):  # fmt: skip
            if template.startswith(stem):
                return kind
        return None
    if "gen_ai.operation.name" in attributes:
        return None
    if "request_data" in attributes:
        table = as_dict(attributes["request_data"]) or {}
        if "model" in table or "gen_ai.request.model" in attributes or "response_data" in attributes:
            return "embedding" if "messages" not in table and "encoding_format" in table else "llm"
    if "events" in attributes and "gen_ai.request.model" in attributes:
        return "llm"
    if template.startswith(("running tool", "running {")) and "gen_ai.tool.name" in attributes:
        return "tool"
    if "evaluator_name" in attributes:
        return "evaluator"
    if "case_name" in attributes or template == "execute {task}":
        return "workflow"
    if "all_messages_events" in attributes or "pydantic_ai.all_messages" in attributes:
        return "agent"
    return None


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from Logfire's attributes."""
    if draft.kind is None:
        draft.kind = _kind(draft.raw, attributes)
    if draft.kind is None and "gen_ai.tool.name" in attributes and "tool_arguments" in attributes:
        draft.kind = "tool"
    if draft.kind == "llm" or (draft.kind is None and "gen_ai.request.model" in attributes):
        _model(draft, attributes)
    elif draft.kind == "embedding":
        draft.take_inputs("request_data", attributes.get("request_data"))
    elif draft.kind == "tool":
        _tool(draft, attributes)
    elif draft.kind == "guardrail":
        draft.guardrail_name = draft.guardrail_name or word(attributes.get("name"))
        draft.guardrail_triggered = as_bool(attributes.get("triggered"))
    elif draft.kind == "agent":
        draft.agent = draft.agent or word(first(attributes, "agent_name", "gen_ai.agent.name", "name"))
    if "case_name" in attributes:
        _case(draft, attributes)
    _run(draft, attributes)


def _case(draft: Draft, attributes: dict[str, Any]) -> None:
    draft.input_text = draft.input_text or common.plain_text(attributes.get("inputs"))
    draft.output_text = draft.output_text or common.plain_text(attributes.get("output"))
    for key in _VERDICTS:
        for name, said in (as_dict(attributes.get(key)) or {}).items():
            told = as_dict(said) or {}
            value = told.get("value")
            made = Evaluation(name, explanation=as_text(told.get("reason")), span_id=draft.raw.span_id)
            made.version = word(told.get("evaluator_version"))
            if isinstance(value, str):
                made.label = word(value)
            else:
                common.rate(made, value)
            draft.evaluations.append(made)


def _model(draft: Draft, attributes: dict[str, Any]) -> None:
    draft.response_id = draft.response_id or word(attributes.get("response_id"))
    for key in ("model_settings", "model_config", "request_data"):
        if key in attributes:
            request = parameters.take(draft, attributes[key])
            draft.take_tools(request.get("tools"))
    offered = as_dict(attributes.get("model_request_parameters"))
    if offered is not None:
        draft.take_tools(offered.get("function_tools"))
    if draft.stream is None and "request_data" in attributes and draft.raw.end_ns:
        draft.stream = as_bool((as_dict(attributes["request_data"]) or {}).get("stream"))
    if draft.stream is None and attributes.get("logfire.span_type") == "log":
        # Only a stream is told of after its call has ended.
        draft.stream = True
    _response(draft, attributes)
    events = as_list(attributes.get("events"))
    if events is not None:
        _events(draft, events, bool(draft.outputs))
    draft.take_inputs("raw_input", attributes.get("raw_input"))
    draft.take_inputs("input", attributes.get("input"))
    draft.take_inputs("request_data", attributes.get("request_data"))


def _response(draft: Draft, attributes: dict[str, Any]) -> None:
    for key in ("response", "response_data", "output"):
        value = attributes.get(key)
        table = as_dict(value)
        if table is not None and "combined_chunk_content" in table:
            draft.adopt(Reply(messages.read(table["combined_chunk_content"], "assistant") or []))
            draft.stream = True
        elif table is not None and isinstance(table.get("message"), dict):
            draft.take_reply(key, table["message"])
            _unwrap(draft)
            usage = read_usage(table.get("usage"))
            if usage is not None:
                draft.tokens.fill(usage)
        elif value is not None and not draft.outputs:
            draft.take_reply(key, value)
    usage = read_usage(first(attributes, "usage", "gen_ai.usage.raw"))
    if usage is not None:
        draft.tokens.fill(usage)


def _unwrap(draft: Draft) -> None:
    """Before version 5 the calls of Anthropic's answers are printed as the block's `input` alone."""
    for part in (p for m in draft.outputs or [] for p in m.parts if p.type == "tool_call" and p.id is None):
        table = as_dict(part.arguments)
        if table is not None and set(table) == {"input"} and isinstance(table["input"], dict):
            part.arguments = table["input"]


def _of_unknown(event: dict[str, Any]) -> dict[str, Any]:
    """An item Logfire has no event for lies under `data`."""
    if event.get("event.name") != "gen_ai.unknown" or not isinstance(event.get("data"), dict):
        return event
    role = "assistant" if event.get("role") == "assistant" else "user"
    return {"event.name": f"gen_ai.{role}.message", "role": role, "content": [event["data"]]}


def _events(draft: Draft, events: list[Any], answered: bool) -> None:
    """`events` holds the whole conversation, the answer last (as a choice or as messages of the assistant)."""
    tables = [_of_unknown(t) for e in events if (t := as_dict(e)) is not None]
    choices = [t for t in tables if t.get("event.name") == "gen_ai.choice"]
    spoken = [t for t in tables if t.get("event.name") != "gen_ai.choice"]
    answer: list[dict[str, Any]] = []
    while not choices and not draft.failed and spoken and _by_assistant(spoken[-1]):
        answer.insert(0, spoken.pop())
    if draft.inputs is None:
        draft.inputs = [m for t in spoken for m in messages.message_of(t, "user")]
    if not answered and answer:
        parts = [p for t in answer for m in messages.message_of(t, "assistant") for p in m.parts]
        draft.adopt(Reply([Message("assistant", parts)]))
    elif not answered and choices:
        found: list[Any] = []
        for choice in choices:
            body = choice.get("message")
            body = cast(dict[str, Any], body) if isinstance(body, dict) else choice
            found += messages.message_of({"role": "assistant", **body}, "assistant")
        draft.adopt(
            Reply(
                found, next((word(c.get("finish_reason")) for c in choices if c.get("finish_reason")), None)
            )
        )


def _by_assistant(event: dict[str, Any]) -> bool:
    return event.get("event.name") == "gen_ai.assistant.message"


def _tool(draft: Draft, attributes: dict[str, Any]) -> None:
    draft.tool_name = draft.tool_name or word(first(attributes, "gen_ai.tool.name", "name"))
    if draft.tool_arguments is None:
        draft.tool_arguments = decode(first(attributes, "tool_arguments", "input"))
    if draft.tool_result is None:
        draft.tool_result = decode(first(attributes, "tool_response", "output"))
    error = as_dict(attributes.get("error"))
    if error is not None and draft.tool_error is None:
        detail = as_dict(error.get("data")) or {}
        draft.tool_error = as_text(first(detail, "error")) or as_text(error.get("message")) or "error"
    draft.tool_error = draft.tool_error or common.tool_failure(draft.tool_result)


def _run(draft: Draft, attributes: dict[str, Any]) -> None:
    found = messages.read(first(attributes, "pydantic_ai.all_messages", "all_messages_events"), "user")
    if found and draft.kind in ("agent", "workflow", None):
        texts = [t for m in found if m.role == "user" and (t := m.text)]
        draft.input_text = draft.input_text or (texts[-1] if texts else None)
    draft.output_text = draft.output_text or as_text(attributes.get("final_result"))
