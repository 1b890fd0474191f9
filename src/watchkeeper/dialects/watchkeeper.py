"""Our own SDK's attributes for what the GenAI conventions lack."""

from typing import Any

from watchkeeper.dialects import common
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_float, as_list, as_text, decode, first, word
from watchkeeper.model.span import KINDS, Evaluation, RawSpan

NAME = "watchkeeper"
_FLAGS = "watchkeeper.flag."
HEADS = frozenset(("watchkeeper",))


def recognise(raw: RawSpan) -> bool:
    """Whether our SDK names this span's kind."""
    return "watchkeeper.span.kind" in raw.attributes or raw.scope_name.startswith("watchkeeper")


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from `watchkeeper.*`; `workflow` when a traced function says no kind."""
    kind = word(attributes.get("watchkeeper.span.kind"))
    if draft.kind is None and (kind or ("gen_ai.operation.name" not in attributes and recognise(draft.raw))):
        draft.kind = kind if kind in KINDS else "workflow"
    given, result = attributes.get("watchkeeper.input"), attributes.get("watchkeeper.output")
    draft.input_text = as_text(given) or draft.input_text
    draft.output_text = as_text(result) or draft.output_text
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or word(attributes.get("gen_ai.tool.name")) or draft.raw.name
        draft.tool_arguments = decode(given) if draft.tool_arguments is None else draft.tool_arguments
        draft.tool_result = decode(result) if draft.tool_result is None else draft.tool_result
    elif draft.kind == "retrieval":
        draft.query = draft.query or as_text(
            first(attributes, "gen_ai.retrieval.query.text", "watchkeeper.input")
        )
        found = first(attributes, "watchkeeper.documents", "gen_ai.retrieval.documents", "watchkeeper.output")
        draft.documents = common.documents(found) if draft.documents is None else draft.documents
    elif draft.kind == "llm":
        draft.take_inputs(
            "watchkeeper.input", first(attributes, "gen_ai.input.messages", "watchkeeper.input")
        )
        if not draft.outputs:
            draft.take_reply(
                "watchkeeper.output", first(attributes, "gen_ai.output.messages", "watchkeeper.output")
            )
    elif draft.kind == "guardrail" and not _guard(draft, attributes):
        common.guardrail_outcome(draft, result)
    _times(draft, attributes)
    prefix = "watchkeeper.score."
    for key, value in attributes.items():
        if not key.startswith("watchkeeper."):
            continue
        if key.startswith(prefix) and as_float(value) is not None:
            draft.evaluations.append(
                Evaluation(key[len(prefix) :], as_float(value), span_id=draft.raw.span_id)
            )
        elif key.startswith(_FLAGS):
            common.flag(draft, key[len(_FLAGS) :], value)


def _guard(draft: Draft, attributes: dict[str, Any]) -> bool:
    """The verdict of a guard of ours; False when the span has none. The span's output is the text that was checked."""
    verdict = word(attributes.get("watchkeeper.guard.verdict"))
    if verdict is None:
        return False
    draft.guardrail_name = draft.guardrail_name or word(attributes.get("watchkeeper.guard.name"))
    draft.guardrail_result, draft.guardrail_triggered = verdict, verdict != "pass"
    draft.guardrail_reasons = [str(r) for r in as_list(attributes.get("watchkeeper.guard.reasons")) or []]
    draft.guardrail_skipped = [str(s) for s in as_list(attributes.get("watchkeeper.guard.skipped")) or []]
    return True


def _times(draft: Draft, attributes: dict[str, Any]) -> None:
    waited = as_float(attributes.get("watchkeeper.queue_ms"))
    if draft.queue_ms is None and waited is not None and waited >= 0:
        draft.queue_ms = waited
    seconds = as_float(attributes.get("watchkeeper.time_per_output_token"))
    if draft.tpot_ms is None and seconds is not None and seconds >= 0:
        draft.tpot_ms = seconds * 1000
