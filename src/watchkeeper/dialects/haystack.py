"""Haystack's own tracing: a span a component, named by its class, with its input and output as JSON."""

from typing import Any

from watchkeeper.dialects import common, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_dict, as_int, word
from watchkeeper.model.span import RawSpan

NAME = "haystack"
HEADS = frozenset(("haystack",))
# By the end or the middle of a component's class, the more telling first.
_KINDS = (
    ("Generator", "llm"), ("Retriever", "retrieval"), ("Embedder", "embedding"), ("Ranker", "rerank"),
    ("ToolInvoker", "workflow"), ("Agent", "agent"), ("Evaluator", "evaluator"),
)  # fmt: skip


def recognise(raw: RawSpan) -> bool:
    """Whether Haystack's tracer made this span."""
    return "haystack.component.type" in raw.attributes or "haystack.pipeline.input_data" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` by the component's class; whatever is no step of these kinds is part of the workflow."""
    component = word(attributes.get("haystack.component.type")) or ""
    if draft.kind is None and recognise(draft.raw):
        draft.kind = next((kind for stem, kind in _KINDS if stem in component), "workflow")
    given, result = attributes.get("haystack.component.input"), attributes.get("haystack.component.output")
    if draft.kind == "llm":
        _generator(draft, component, given, result)
    elif draft.kind in ("retrieval", "rerank"):
        request = as_dict(given) or {}
        draft.query = draft.query or word(request.get("query"))
        draft.top_k = draft.top_k or as_int(request.get("top_k"))
        common.step(draft, None, result)
    elif draft.kind == "agent":
        draft.weak_agent = draft.weak_agent or word(attributes.get("haystack.component.name"))


def _generator(draft: Draft, component: str, given: Any, result: Any) -> None:
    if spellings.is_provider(component.lower()):
        draft.provider_raw.setdefault("haystack.component.type", component)
    draft.take_inputs("haystack.component.input", given)
    draft.take_reply("haystack.component.output", result)
