"""Genkit: every action is a span with its input and output as JSON; only models are provider calls."""

from typing import Any

from watchkeeper.dialects import common, messages, parameters
from watchkeeper.dialects.draft import Draft, last_user_text
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_list, as_text, word
from watchkeeper.model.span import RawSpan

NAME = "genkit"
HEADS = frozenset(("genkit:type",))
_KINDS = {
    "model": "llm", "tool": "tool", "tool.v2": "tool", "flow": "workflow", "retriever": "retrieval",
    "embedder": "embedding", "evaluator": "evaluator", "reranker": "rerank", "agent": "agent",
}  # fmt: skip
_IN, _OUT = "genkit:input", "genkit:output"


def recognise(raw: RawSpan) -> bool:
    """Whether this span is a Genkit action or step."""
    return "genkit:type" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` by the kind of action; `generate` and flow steps wrap the calls."""
    action = word(attributes.get("genkit:metadata:subtype")) or word(attributes.get("genkit:type")) or ""
    if draft.kind is None:
        draft.kind = _KINDS.get(action, "workflow")
    given, result = attributes.get(_IN), attributes.get(_OUT)
    name = word(attributes.get("genkit:name")) or draft.raw.name
    draft.session = draft.session or word(attributes.get("genkit:sessionId"))
    if attributes.get("genkit:state") == "error" and (why := _failure(attributes, result)) is not None:
        # In Python `generate` answers with its failure where it does not raise it.
        draft.failed = True
        draft.error_message = draft.error_message or why
        result = None
    if draft.kind in ("llm", "embedding"):
        _model(draft, name, given, result)
        return
    if draft.kind == "workflow" and name == "generate":
        draft.take_inputs(_IN, given)
    elif draft.kind == "tool":
        draft.tool_name = draft.tool_name or name
        if action == "tool.v2":
            result = _bare(result)
    elif draft.kind == "retrieval":
        asked = messages.read((as_dict(given) or {}).get("query"), "user")
        draft.query = draft.query or last_user_text(asked or [])
    common.step(draft, given, result)
    if draft.inputs is None:
        draft.input_text = draft.input_text or common.plain_text(given)
    message = as_dict((as_dict(result) or {}).get("message"))
    if message is not None:
        draft.take_reply(_OUT, _written(message))
    else:
        draft.output_text = draft.output_text or common.plain_text(result)


def _failure(attributes: dict[str, Any], result: Any) -> str | None:
    told = as_dict((as_dict(result) or {}).get("error")) or {}
    return word(attributes.get("genkit:error")) or as_text(told.get("message"))


def _bare(result: Any) -> Any:
    """What a tool returned, without the wrapping that has room for files beside it."""
    table = as_dict(result)
    return table["output"] if table is not None and table.keys() == {"output"} else result


def _written(message: dict[str, Any]) -> dict[str, Any]:
    """The message as it was said: what Genkit has parsed of it, which is JSON, is text, and the pieces of a stream are one."""
    parts = as_list(message.get("content"))
    if parts is None:
        return message
    parsed = [t["data"] if (t := as_dict(p)) is not None and t.keys() == {"data"} else None for p in parts]
    told = [p if data is None else {"text": as_text(data)} for p, data in zip(parts, parsed, strict=True)]
    return {**message, "content": _joined(told)}


def _joined(parts: list[Any]) -> list[Any]:
    out: list[Any] = []
    for part in parts:
        told = as_dict(part)
        last = as_dict(out[-1]) if out else None
        if told is not None and told.keys() == {"text"} and last is not None and last.keys() == {"text"}:
            out[-1] = {"text": f"{last['text']}{told['text']}"}
        else:
            out.append(part)
    return out


def _asked(request: dict[str, Any]) -> list[Any] | None:
    """What was sent: the texts of the documents to embed, or the conversation with its streamed answers whole."""
    listed = as_list(request.get("input"))
    if listed is not None:
        return [{"role": "user", "content": (as_dict(d) or {}).get("content")} for d in listed]
    tables = [as_dict(m) or {} for m in as_list(request.get("messages")) or ()]
    return [_written(m) if m.get("role") == "model" else m for m in tables]


def _model(draft: Draft, name: str, given: Any, result: Any) -> None:
    provider, slash, model = name.partition("/")
    if slash:
        draft.provider_raw.setdefault("genkit:name", provider)
    draft.request_model = draft.request_model or (model if slash else name)
    request = as_dict(given) or {}
    parameters.take(draft, request.get("config"))
    draft.take_tools(request.get("tools"))
    draft.take_inputs(_IN, _asked(request) or given)
    answer = as_dict(result)
    if answer is None or draft.kind == "embedding":
        return
    said = as_dict(answer.get("message"))
    draft.take_reply(_OUT, answer if said is None else {**answer, "message": _written(said)})
    # The provider's own answer: under `custom` for Google's plugins, under `raw` for OpenAI's.
    provided = as_dict(answer.get("custom")) or as_dict(answer.get("raw")) or {}
    draft.response_model = draft.response_model or word(provided.get("modelVersion") or provided.get("model"))
    draft.response_id = draft.response_id or word(provided.get("responseId") or provided.get("id"))
    if (usage := read_usage(provided.get("usage"))) is not None:
        draft.tokens.fill(usage)
