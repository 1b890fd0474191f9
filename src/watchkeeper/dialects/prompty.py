"""Prompty's traced functions: a `signature`, what went in under `inputs` and what came out under `result`, taken apart."""

from typing import Any

from watchkeeper.dialects import common, parameters, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_dict, decode, first, nested, word
from watchkeeper.model.span import RawSpan

NAME = "prompty"
HEADS = frozenset(("signature",))
_TREES = ("inputs", "result")


def recognise(raw: RawSpan) -> bool:
    """Whether the span is a function told by its signature and its values."""
    return "signature" in raw.attributes and any(key.startswith(_TREES) for key in raw.attributes)


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` by what the function is: a call to a provider, or a step."""
    if not recognise(draft.raw):
        return
    given, result = (_tree(attributes, name) for name in _TREES)
    if (word(attributes.get("type")) or "").lower() == "llm":
        draft.kind = draft.kind or "llm"
    draft.kind = draft.kind or "workflow"
    if draft.kind != "llm":
        draft.input_text = draft.input_text or common.plain_text(given)
        draft.output_text = draft.output_text or common.plain_text(result)
        return
    if maker := spellings.maker(str(attributes["signature"])):
        draft.provider_raw.setdefault("signature", maker)
    request = parameters.take(draft, {k: decode(v) for k, v in (as_dict(given) or {}).items()})
    draft.request_model = draft.request_model or word(request.get("model"))
    draft.take_tools(request.get("tools"))
    draft.take_inputs(
        "inputs", request if "system" in request else first(request, "messages", "input", "prompt")
    )
    draft.take_reply("result", result)


def _tree(attributes: dict[str, Any], name: str) -> Any:
    """The value under `name`, put together where it was taken apart (`result.choices[0].message`)."""
    if name in attributes:
        return decode(attributes[name])
    start = (f"{name}.", f"{name}[")
    parts = {
        k.replace("[", ".").replace("]", ""): decode(v) for k, v in attributes.items() if k.startswith(start)
    }
    return nested(parts, f"{name}.")
