"""What no dialect found, under names of a client's own: `tanstack.ai.finish_reason` says by its end what it is."""

from typing import Any

from watchkeeper.dialects import common
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import Tokens, read_usage
from watchkeeper.dialects.values import as_bool, as_int, as_list, as_text, first, identifier, word

# The dialects know these names one by one; what they leave unread is something else.
_KNOWN = ("gen_ai.", "llm.", "ai.", "langfuse.", "langsmith.", "traceloop.", "mlflow.", "metadata.")
# Whose users are accounts, of a machine or a service, and nobody who asked.
_MACHINES = (
    "process.",
    "host.",
    "os.",
    "system.",
    "container.",
    "k8s.",
    "db.",
    "aws.",
    "azure.",
    "gcp.",
    "cloud.",
    "git.",
    "github.",
)
# What clients write where an application names no session and no user (Spring AI's memory: `default`).
UNNAMED = frozenset(("unknown", "Unknown", "UNKNOWN", "default"))
KIND_ENDS = (".span.type", ".span.kind", ".span_type", ".span_kind", ".observation.type")
_ENDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("finish", (".finish_reason", ".finish_reasons", ".stop_reason", ".finishReason", ".stopReason")),
    ("call", (".tool.call.id", ".tool.call_id", ".tool_call.id", ".tool_call_id", ".toolCallId")),
    ("stream", (".is_streaming", ".streaming")),
    ("in", (".input_tokens", ".prompt_tokens", ".inputTokens", ".promptTokens")),
    ("usage", (".usage", ".usage.metadata", ".usage_metadata")),
    ("given", (".request.body", ".request.messages")),
    ("said", (".response.body", ".response.text")),
    ("model", (".model", ".model_name")),
    ("agent", (".agent.name", ".agent_name")),
    ("raised", ("error.data", "error.detail", "error.details")),
    # A conversation is a person's; the sessions of a transport, a browser or a database are not.
    (
        "talk",
        (
            ".conversation.id",
            ".conversation_id",
            ".conversationId",
            ".trace.session_id",
            ".trace.sessionId",
            "agent.group_id",
        ),
    ),
    ("user", (".trace.user_id", ".trace.userId", ".user.id", ".user_id", ".userId")),
    ("kind", KIND_ENDS),
    ("out", (".output_tokens", ".completion_tokens", ".outputTokens", ".completionTokens")),
)
# The words for a span's kind that leave no doubt, whoever uses them.
_KINDS = {
    "llm": "llm", "generation": "llm", "embedding": "embedding", "tool": "tool", "agent": "agent",
    "retriever": "retrieval", "retrieval": "retrieval", "reranker": "rerank", "rerank": "rerank", "chain": "workflow",
    "workflow": "workflow", "guardrail": "guardrail", "evaluator": "evaluator", "evaluation": "evaluator",
}  # fmt: skip
# The steps of OpenAI's agents, as their extension for OpenTelemetry calls them.
_STEPS = {"response": "llm", "task": "workflow", "turn": "workflow", "handoff": "workflow"}
_INPUTS = ("input", "inputs", "input.value", "span.input", "observation.input")
_OUTPUTS = ("output", "outputs", "output.value", "span.output", "observation.output")


def names(attributes: dict[str, Any]) -> dict[str, str]:
    """For each field the first name that ends like it."""
    found: dict[str, str] = {}
    for key in attributes:
        if "." in key and not key.startswith(_KNOWN):
            for field, ends in _ENDS:
                if key.endswith(ends) and not (field == "user" and key.startswith(_MACHINES)):
                    found.setdefault(field, key)
    return found


def fill(draft: Draft, found: dict[str, str], attributes: dict[str, Any]) -> None:
    """What is still unknown of a conversation, a failure, or a call to a model or a tool."""
    told = {field: attributes[key] for field, key in found.items()}
    if draft.kind_told is not None and draft.kind == draft.kind_told:
        _typed(draft, found["kind"], attributes)
    if "talk" in told and "gen_ai.conversation.id" not in attributes:
        talk = word(told["talk"])
        draft.weak_session = draft.weak_session or (None if talk in UNNAMED else talk)
    if "user" in told:
        draft.user = draft.user or identifier(told["user"])
    if draft.failed and draft.error_detail is None:
        draft.error_detail = as_text(told.get("raised"))
    if "agent" in told and draft.kind is None and "agent" in draft.raw.name.lower():
        draft.kind = "agent"
    if draft.kind in ("agent", "workflow"):
        draft.weak_agent = draft.weak_agent or word(told.get("agent"))
    if draft.kind == "llm":
        draft.stream = as_bool(told.get("stream")) if draft.stream is None else draft.stream
        if draft.request_model in (None, "unknown") and draft.response_model is None:
            draft.request_model = word(told.get("model"))
        draft.take_inputs(found.get("given", ""), told.get("given"))
        if not draft.outputs and draft.output_text is None:
            draft.take_reply(found.get("said", ""), told.get("said"))
        listed = as_list(told.get("finish"))
        draft.finish_raw = draft.finish_raw or word(listed[0] if listed else told.get("finish"))
        if "usage" in told and (usage := read_usage(told["usage"])) is not None:
            draft.tokens.fill(usage)
        if draft.tokens.input is None and draft.tokens.output is None:
            draft.tokens.fill(Tokens(as_int(told.get("in")), as_int(told.get("out"))))
    elif draft.kind == "tool":
        draft.tool_call_id = draft.tool_call_id or word(told.get("call"))


def kind(found: dict[str, str], attributes: dict[str, Any]) -> str | None:
    """The kind that stands under a prefix of the client's own."""
    if "kind" not in found:
        return None
    told = (word(attributes[found["kind"]]) or "").lower()
    return _KINDS.get(told) or (_STEPS.get(told) if found["kind"] == "agent.span.type" else None)


def inside(found: dict[str, str], attributes: dict[str, Any]) -> dict[str, Any]:
    """What stands under the prefix that tells the kind, without the prefix."""
    prefix = next(found["kind"].removesuffix(end) for end in KIND_ENDS if found["kind"].endswith(end)) + "."
    return {key.removeprefix(prefix): value for key, value in attributes.items() if key.startswith(prefix)}


def _typed(draft: Draft, key: str, attributes: dict[str, Any]) -> None:
    """What went in and came out of a span whose kind stands under a prefix of the client's own, beside it."""
    prefix = next(key.removesuffix(end) for end in KIND_ENDS if key.endswith(end))
    # Beside the kind, or under the kind's own word (agentUniverse's `au.agent.input`).
    told = (word(attributes[key]) or "").lower()
    given = first(
        attributes, *(f"{prefix}.{name}" for name in _INPUTS), f"{prefix}.{told}.input", "input.value"
    )
    result = first(
        attributes, *(f"{prefix}.{name}" for name in _OUTPUTS), f"{prefix}.{told}.output", "output.value"
    )
    if draft.kind in ("llm", "embedding"):
        draft.take_inputs(key, given)
        if draft.kind == "llm" and not draft.outputs:
            draft.take_reply(key, result)
        return
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or word(
            first(attributes, f"{prefix}.tool.name", f"{prefix}.tool_name")
        )
    common.step(draft, given, result)
    draft.input_text = draft.input_text or common.plain_text(given)
    draft.output_text = draft.output_text or common.plain_text(result)
