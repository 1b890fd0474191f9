"""SDKs that name a span's kind, input and output under a prefix of their own: one row each, one reader for all."""

from typing import Any, NamedTuple

from watchkeeper.dialects import common, parameters
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import Tokens, read_usage
from watchkeeper.dialects.values import as_dict, as_int, decode, first, word
from watchkeeper.model.span import RawSpan

NAME = "typed"


class _Sdk(NamedTuple):
    """Where an SDK puts what. `kind` is a word or an object with a `type`; usage and parameters are objects."""

    kind: str
    given: str
    result: str
    usage: str = ""
    params: str = ""
    documents: tuple[str, ...] = ()
    model: str = ""
    tokens: tuple[str, str] = ("", "")
    name: str = ""


_SDKS = (
    _Sdk("langwatch.span.type", "langwatch.input", "langwatch.output", "langwatch.metrics", "langwatch.params",
         ("langwatch.contexts", "langwatch.rag_contexts")),
    _Sdk("braintrust.span_attributes", "braintrust.input_json", "braintrust.output_json", "braintrust.metrics",
         "braintrust.metadata"),
    _Sdk("confident.span.type", "confident.span.input", "confident.span.output",
         documents=("confident.span.retrieval_context",), model="confident.llm.model",
         tokens=("confident.llm.input_token_count", "confident.llm.output_token_count"), name="confident.tool.name"),
    _Sdk("lmnr.span.type", "lmnr.span.input", "lmnr.span.output"),
)  # fmt: skip
HEADS = frozenset(sdk.kind.partition(".")[0] for sdk in _SDKS)
_KINDS = {
    "llm": "llm", "generation": "llm", "tool": "tool", "function": "tool", "rag": "retrieval",
    "retriever": "retrieval", "retrieval": "retrieval", "agent": "agent", "guardrail": "guardrail",
    "evaluation": "evaluator", "evaluator": "evaluator", "score": "evaluator", "embedding": "embedding",
    "rerank": "rerank",
}  # fmt: skip


def recognise(raw: RawSpan) -> bool:
    """Whether one of these SDKs names this span's kind."""
    return any(sdk.kind in raw.attributes for sdk in _SDKS)


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` by the row of the SDK that made the span."""
    sdk = next((s for s in _SDKS if s.kind in attributes), None)
    if sdk is None:
        return
    named = attributes[sdk.kind]
    kind = word((as_dict(named) or {}).get("type", named)) or ""
    draft.kind = draft.kind or _KINDS.get(kind.lower(), "workflow")
    given, result = _value(attributes.get(sdk.given)), _value(attributes.get(sdk.result))
    if draft.kind in ("llm", "embedding"):
        _call(draft, attributes, sdk, given, result)
    else:
        draft.tool_name = draft.tool_name or word(attributes.get(sdk.name))
        found = common.documents(first(attributes, *sdk.documents)) if draft.kind == "retrieval" else None
        draft.documents = found if draft.documents is None else draft.documents
        common.step(draft, given, result)
    draft.input_text = draft.input_text or common.plain_text(given)
    draft.output_text = draft.output_text or common.plain_text(result)


def _value(told: Any) -> Any:
    """A value, also where it lies beside the name of its type."""
    value = decode(told)
    table = as_dict(value)
    return table["value"] if table is not None and set(table) == {"type", "value"} else value


def _call(draft: Draft, attributes: dict[str, Any], sdk: _Sdk, given: Any, result: Any) -> None:
    draft.request_model = draft.request_model or word(attributes.get(sdk.model))
    params = parameters.take(draft, attributes.get(sdk.params))
    draft.take_tools(params.get("tools"))
    if provider := word(params.get("provider")):
        draft.provider_raw.setdefault(sdk.params, provider)
    draft.take_inputs(sdk.given, given)
    if draft.kind == "llm" and not draft.outputs:
        draft.take_reply(sdk.result, result)
    usage = read_usage(attributes.get(sdk.usage))
    sent, received = (as_int(attributes.get(key)) for key in sdk.tokens)
    draft.tokens.fill(usage or Tokens(sent, received))
