"""Spans no dialect claims: HTTP, databases, the application's own. Kept whole and shown."""

from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_text, first
from watchkeeper.model.span import RawSpan

NAME = "plain"
HEADS = frozenset(("http", "url", "db", "rpc", "input", "output"))


def recognise(raw: RawSpan) -> bool:
    """Always: this is the last resort."""
    return True


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """HTTP spans are `http`; a client span called `chat …` with nothing else is a failed model call."""
    raw = draft.raw
    if draft.kind is None:
        if "http.request.method" in attributes or "http.method" in attributes:
            draft.kind = "http"
        elif raw.otel_kind == "client" and raw.name.startswith(
            ("chat ", "text_completion ", "generate_content ")
        ):
            draft.kind = "llm"
            draft.request_model = draft.request_model or raw.name.split(" ", 1)[1].strip() or None
    draft.input_text = draft.input_text or as_text(first(attributes, "input.value", "input"))
    draft.output_text = draft.output_text or as_text(first(attributes, "output.value", "output"))
