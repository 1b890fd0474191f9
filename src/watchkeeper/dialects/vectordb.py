"""Vector stores: a search is a retrieval, whoever tells it (OpenLLMetry, OpenLIT, the database conventions)."""

from typing import Any

from watchkeeper.dialects.common import documents
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_dict, as_float, as_int, as_text, first, word
from watchkeeper.model.span import Document, RawEvent, RawSpan

NAME = "vectordb"
HEADS = frozenset(("db",))
_STORES = (
    "chroma", "qdrant", "pinecone", "weaviate", "milvus", "marqo", "lancedb", "pgvector", "vespa", "astra", "faiss",
)  # fmt: skip
_READS = ("query", "search", "retrieve", "near_", "near ", "hybrid", "bm25", "recommend")
_WRITES = ("delete", "upsert", "insert", "add", "update", "create", "drop", "remove", "load")
_TOP_K = (
    "db.vector.query.top_k",
    "db.chroma.query.n_results",
    "db.milvus.search.limit",
    "db.milvus.query.limit",
    "db.pinecone.query.top_k",
    "pinecone.query.top_k",
)
_RESULTS = ("db.query.result", "db.search.result")


def recognise(raw: RawSpan) -> bool:
    """Whether an instrumentation of a vector store made this span."""
    library = raw.scope_name.rpartition(".")[2].lower()
    return "db.vector.query.top_k" in raw.attributes or library.startswith(_STORES)


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` when the database is a vector store and the operation reads; writes stay what they are."""
    system = word(first(attributes, "db.system.name", "db.system")) or ""
    store = system.lower().startswith(_STORES) or recognise(draft.raw)
    if not store or draft.kind not in (None, "workflow", "retrieval"):
        return
    operation = word(first(attributes, "db.operation.name", "db.operation")) or draft.raw.name
    told = f"{operation} {draft.raw.name}".lower()
    top_k = as_int(first(attributes, *_TOP_K))
    if any(w in told for w in _WRITES) or (top_k is None and not any(r in told for r in _READS)):
        return
    draft.kind = "retrieval"
    draft.top_k = draft.top_k or top_k
    text = as_text(first(attributes, "db.vector.query.content", "db.marqo.search.query", "db.query.text"))
    if draft.query is None and text is not None and text[0] not in "[{" and "embeddings=" not in text:
        draft.query = text
    if draft.documents is None:
        draft.documents = [_document(e) for e in draft.raw.events if e.name in _RESULTS] or None
        draft.documents = draft.documents or documents(attributes.get("db.vector.query.response.documents"))


def _document(event: RawEvent) -> Document:
    """A result of the search; a distance is no score, less of it is better."""
    told = {key.removeprefix(f"{event.name}."): value for key, value in event.attributes.items()}
    metadata = dict(as_dict(told.get("metadata")) or as_dict(told.get("entity")) or {})
    if told.get("distance") is not None:
        metadata["distance"] = told["distance"]
    content = first(told, "document", "content", "text") or first(metadata, "text", "content", "page_content")
    return Document(
        as_text(first(told, "id", "_id")),
        as_float(first(told, "score", "_score")),
        as_text(content),
        metadata,
    )
