"""MLflow's own span format: JSON scalars with quotes, raw provider requests and responses as inputs and outputs."""

from typing import Any

from watchkeeper.dialects import common, parameters, pydantic_ai, replies
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_float, as_int, as_text, decode, first, word
from watchkeeper.model.span import Message, RawEvent, RawSpan

NAME = "mlflow"
HEADS = frozenset(("mlflow", "invocation_params"))
_KINDS = {
    "CHAT_MODEL": "llm", "LLM": "llm", "EMBEDDING": "embedding", "RETRIEVER": "retrieval", "TOOL": "tool",
    "AGENT": "agent", "CHAIN": "workflow", "RERANKER": "rerank", "PARSER": "other", "UNKNOWN": "other",
    "MEMORY": "memory", "GUARDRAIL": "guardrail", "EVALUATOR": "evaluator", "WORKFLOW": "workflow", "TASK": "workflow",
}  # fmt: skip


def recognise(raw: RawSpan) -> bool:
    """Whether MLflow names this span's type."""
    return "mlflow.spanType" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from the span's inputs, outputs and bare parameter keys."""
    kind = word(attributes.get("mlflow.spanType"))
    if draft.kind is None and kind:
        draft.kind = _KINDS.get(kind.upper(), "other")
    given, result = attributes.get("mlflow.spanInputs"), attributes.get("mlflow.spanOutputs")
    if draft.kind in ("llm", "embedding"):
        _model(draft, attributes, given, result)
    else:
        if draft.kind == "tool" and (call := pydantic_ai.printed_call(as_text(given) or "")) is not None:
            draft.tool_name, draft.tool_call_id, draft.tool_arguments = call
        if draft.kind == "agent":
            draft.weak_agent = draft.weak_agent or word(first(attributes, "agent_name", "name"))
        common.step(draft, given, result)
    draft.input_text = draft.input_text or common.plain_text(given)
    draft.output_text = draft.output_text or common.plain_text(result)


def _model(draft: Draft, attributes: dict[str, Any], given: Any, result: Any) -> None:
    provider = word(attributes.get("mlflow.llm.provider"))
    if provider:
        draft.provider_raw.setdefault("mlflow.llm.provider", provider)
    request = parameters.take(draft, given)
    parameters.take(draft, {key: _value(value) for key, value in attributes.items() if "." not in key})
    offered = as_dict(request.get("model_request_parameters")) or {}
    listed = request.get("tools") or attributes.get("mlflow.chat.tools") or offered.get("function_tools")
    draft.take_tools(listed)
    draft.take_inputs("mlflow.spanInputs", given)
    usage = read_usage(attributes.get("mlflow.chat.tokenUsage"))
    if usage is not None:
        draft.tokens.fill(usage)
    served = word(attributes.get("mlflow.llm.model"))
    if draft.kind == "embedding":
        draft.request_model = draft.request_model or served
        table = as_dict(result) or {}
        usage = read_usage(table.get("usage"))
        if usage is not None:
            draft.tokens.fill(usage)
        return
    if result is not None:
        draft.take_reply("mlflow.spanOutputs", result)
    if draft.raw.events:
        _chunks(draft)
    if served and (draft.request_model or "").endswith(f":{served}"):
        # Pydantic AI's model, with its provider before it.
        draft.request_model = served
    if served and served != draft.request_model and not draft.failed:
        draft.response_model = draft.response_model or served
    draft.request_model = draft.request_model or served
    cost = as_dict(attributes.get("mlflow.llm.cost")) or {}
    draft.cost_client = as_float(cost.get("total_cost")) if draft.cost_client is None else draft.cost_client
    draft.error_message = draft.error_message or as_text(attributes.get("mlflow.error"))


def _value(told: Any) -> Any:
    """What an attribute stands for: MLflow writes numbers as JSON too."""
    number = as_float(told) if isinstance(told, str) and told[:1] in "-0123456789" else None
    return decode(told) if number is None else as_int(told) if number.is_integer() else number


def _chunks(draft: Draft) -> None:
    """The answer from its stream chunks (`mlflow.chunk.item.N`).

    The assembled response drops streamed tool calls and reasoning, and says of every end that it is `stop`; before 3.2 it
    is the text alone.
    """
    prefix = "mlflow.chunk.item."
    numbered = [
        (int(n), e)
        for e in draft.raw.events
        if (n := e.name.removeprefix(prefix)).isdecimal() and n != e.name
    ]
    if not numbered:
        return
    chunks = [as_dict(e.attributes.get("mlflow.chunk.value")) or {} for _, e in sorted(numbered, key=_number)]
    ended = next((r for c in chunks if isinstance(r := c.get("response"), dict) and r.get("output")), None)
    reply = replies.read(ended) if ended is not None else replies.of_chunks(chunks)
    if reply is None:
        return
    if _kinds(reply.messages) > _kinds(draft.outputs):
        draft.outputs = reply.messages
    draft.finish_raw = reply.finish or draft.finish_raw
    draft.adopt(reply)


def _kinds(answers: list[Message] | None) -> set[str]:
    return {p.type for m in answers or [] for p in m.parts}


def _number(numbered: tuple[int, RawEvent]) -> int:
    return numbered[0]
