"""Searches that an application tells in names of its own: `retrieval.query` beside `retrieval.documents`."""

from typing import Any

from watchkeeper.dialects import common
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_int, as_text, first, nested
from watchkeeper.model.span import Document

# Most telling first; a search engine's own spans say `search.query` and have no documents.
_PREFIXES = ("retrieval", "retriever", "retrieve", "rag.retrieval", "rag", "vector_search", "search")
_ASKED = ("query", "query.text", "query_text", "question")
_FOUND = ("documents", "results", "chunks", "contexts", "docs", "sources")
_MOST = ("top_k", "k", "limit")
_BARE = frozenset(("query", "documents"))


def prefix(attributes: dict[str, Any]) -> str | None:
    """The prefix under which a question stands beside what was found for it; None for every other span."""
    for name in _PREFIXES:
        if any(f"{name}.{asked}" in attributes for asked in _ASKED) and _found(attributes, name) is not None:
            return name + "."
    return (
        "" if attributes.keys() >= _BARE and common.documents(attributes["documents"]) is not None else None
    )


def read(draft: Draft, attributes: dict[str, Any], own: str) -> None:
    """The question, how many were wanted, and the documents."""
    asked = as_text(first(attributes, *(own + name for name in _ASKED)))
    draft.query = draft.query or asked
    draft.top_k = draft.top_k or as_int(first(attributes, *(own + name for name in _MOST)))
    if draft.documents is None:
        draft.documents = _found(attributes, own.removesuffix("."))


def _found(attributes: dict[str, Any], name: str) -> list[Document] | None:
    own = f"{name}." if name else ""
    told = common.documents(first(attributes, *(own + end for end in _FOUND)))
    if told is not None:
        return told
    return next(
        (d for end in _FOUND if (d := common.documents(nested(attributes, f"{own}{end}."))) is not None), None
    )
