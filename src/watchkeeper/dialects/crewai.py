"""CrewAI: crews and tasks around agents; its own telemetry and what OpenInference adds."""

from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_dict, as_list, as_text, first, word
from watchkeeper.model.span import RawSpan

NAME = "crewai"
HEADS = frozenset(("crewai", "crew_key", "crew_id", "crew_tasks", "task_id", "task_key"))


def recognise(raw: RawSpan) -> bool:
    """Whether CrewAI's own instrumentation made this span."""
    return raw.scope_name.startswith("crewai") or "crewai.crew.id" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """The task's description is the question; `raw` of the result is the answer."""
    name = draft.raw.name.lower()
    if draft.kind is None and recognise(draft.raw):
        draft.kind = "agent" if ".agent" in name else "tool" if "tool" in name else "workflow"
    tasks = as_list(first(attributes, "crew_tasks", "crewai.crew.tasks"))
    if tasks and (task := as_dict(tasks[0])) is not None:
        draft.input_text = draft.input_text or as_text(task.get("description"))
    output = as_dict(attributes.get("output.value"))
    if output is not None and isinstance(output.get("raw"), str):
        draft.output_text = output["raw"]
        if isinstance(output.get("description"), str):
            draft.input_text = output["description"]
    draft.weak_agent = draft.weak_agent or word(first(attributes, "crewai.agent.role", "graph.node.id"))
