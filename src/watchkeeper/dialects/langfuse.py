"""Langfuse SDK: one observation a span, inputs and outputs as JSON or free text."""

from typing import Any, cast

from watchkeeper.dialects import common, context, messages, parameters, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_float, as_text, decode, first, word
from watchkeeper.model.span import RawSpan

NAME = "langfuse"
HEADS = frozenset(("langfuse",))
_KINDS = {
    "generation": "llm", "embedding": "embedding", "retriever": "retrieval", "tool": "tool", "agent": "agent",
    "chain": "workflow", "guardrail": "guardrail", "evaluator": "evaluator", "span": "workflow", "event": "other",
}  # fmt: skip
_IN, _OUT = "langfuse.observation.input", "langfuse.observation.output"
_TOOL = "langfuse.observation.metadata.haystack.tool.name"


def recognise(raw: RawSpan) -> bool:
    """Whether this span is a Langfuse observation."""
    return "langfuse.observation.type" in raw.attributes or _renamed(raw.attributes) is not None


def _renamed(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """What an SDK made from Langfuse's says, in Langfuse's words (`darkhunt.observation.type`)."""
    return common.renamed(attributes, NAME, "observation.type")


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from the observation's attributes."""
    if "langfuse.observation.type" not in attributes and (told := _renamed(attributes)) is not None:
        context.fill(draft, told)
        attributes = {**told, **attributes}
    kind = word(attributes.get("langfuse.observation.type"))
    if draft.kind is None and kind:
        draft.kind = _KINDS.get(kind.lower(), "other")
    given, result = attributes.get(_IN), attributes.get(_OUT)
    if draft.kind in ("llm", "embedding"):
        _generation(draft, attributes)
    else:
        if draft.kind == "tool":
            # What an observation is called may be more than the tool's name (Haystack's connector).
            draft.tool_name = draft.tool_name or word(attributes.get(_TOOL))
        common.step(draft, given, result)
    if attributes.get("langfuse.observation.level") == "ERROR":
        draft.failed = True
        draft.error_message = draft.error_message or as_text(
            attributes.get("langfuse.observation.status_message")
        )
    draft.input_text = draft.input_text or common.plain_text(first(attributes, _IN, "langfuse.trace.input"))
    draft.output_text = draft.output_text or common.plain_text(
        first(attributes, _OUT, "langfuse.trace.output")
    )


def _generation(draft: Draft, attributes: dict[str, Any]) -> None:
    parameters.take(draft, attributes.get("langfuse.observation.model.parameters"))
    model = word(attributes.get("langfuse.observation.model.name"))
    given = decode(attributes.get(_IN))
    request = as_dict(given)
    if request is not None:
        draft.take_tools(request.get("tools"))
    elif isinstance(given, list):
        given = _without_tools(draft, cast(list[Any], given))
    draft.take_inputs(_IN, given)
    # What the JS client leaves out of a Responses request's input.
    draft.system = draft.system or as_text(attributes.get("langfuse.observation.metadata.instructions"))
    draft.take_tools(attributes.get("langfuse.observation.metadata.tools"))
    if spellings.embeds(model) and not attributes.get(_OUT):
        draft.kind = "embedding"
    if draft.kind == "embedding":
        draft.request_model = draft.request_model or model
    elif _output(draft, attributes) or attributes.get("langfuse.observation.usage_details"):
        draft.response_model = draft.response_model or model
    else:
        draft.request_model = draft.request_model or model
    usage = read_usage(attributes.get("langfuse.observation.usage_details"))
    if usage is not None:
        draft.tokens.fill(usage)
    cost = as_dict(attributes.get("langfuse.observation.cost_details")) or {}
    total = as_float(first(cost, "total", "total_cost"))
    if total and draft.cost_client is None:
        # The SDK sends zeros for a model it has no price for: that is unknown, not free.
        draft.cost_client = total
    cut = as_dict(attributes.get("langfuse.observation.metadata.incomplete_details")) or {}
    told = (attributes.get(f"langfuse.observation.metadata.{key}") for key in ("finish_reason", "status"))
    # Why an answer was cut says more than that it was.
    draft.finish_raw = (
        word(cut.get("reason")) or draft.finish_raw or next(filter(None, map(word, told)), None)
    )
    started = word(attributes.get("langfuse.observation.completion_start_time"))
    if started is not None:
        draft.stream = True if draft.stream is None else draft.stream
        common.first_token(draft, started)


def _without_tools(draft: Draft, given: list[Any]) -> list[Any]:
    """The messages without the tools' definitions, which the LangChain callback appends as messages of tools."""
    defined = [body for item in given if (body := _definition(item)) is not None]
    draft.take_tools(defined or None)
    return [item for item in given if _definition(item) is None] if defined else given


def _definition(item: Any) -> dict[str, Any] | None:
    body = item.get("content") if isinstance(item, dict) and item.get("role") == "tool" else None
    return cast(dict[str, Any], body) if isinstance(body, dict) and "function" in body else None


def _output(draft: Draft, attributes: dict[str, Any]) -> bool:
    output = attributes.get(_OUT)
    if output is None:
        return False
    draft.take_reply(_OUT, output)
    if draft.outputs is None and isinstance(decode(output), str):
        draft.outputs = messages.read(output, "assistant")
    return True
