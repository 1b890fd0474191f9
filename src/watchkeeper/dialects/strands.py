"""Strands Agents: GenAI names with its own units and its own provider word."""

from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_float
from watchkeeper.model.span import RawSpan

NAME = "strands"
HEADS = frozenset(("event_loop", "agent_loop"))
_CYCLES = frozenset(("event_loop.cycle_id", "agent_loop.cycle_id"))


def recognise(raw: RawSpan) -> bool:
    """Whether Strands made this span."""
    return raw.scope_name.startswith("strands") or raw.attributes.get("gen_ai.system") == "strands-agents"


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Time to first token is in milliseconds here and in seconds elsewhere; older versions do not name their cycles."""
    if (
        draft.kind is None
        and "gen_ai.operation.name" not in attributes
        and not _CYCLES.isdisjoint(attributes)
    ):
        draft.kind = "workflow"
    if draft.ttft_ms is None and recognise(draft.raw):
        draft.ttft_ms = as_float(attributes.get("gen_ai.server.time_to_first_token"))
