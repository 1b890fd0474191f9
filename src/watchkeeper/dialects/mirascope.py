"""Mirascope: GenAI names on its calls, names of its own on what is decorated around them and beside the calls."""

import re
from typing import Any

from watchkeeper.dialects import common, gen_ai, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, as_text, decode, word
from watchkeeper.model.span import RawSpan

NAME = "mirascope"
HEADS = frozenset(("mirascope",))
# `openai/gpt-4o-mini:completions`: the provider, the model, and the interface that was used.
_INTERFACE = re.compile(r":(?:completions|responses)$")


def recognise(raw: RawSpan) -> bool:
    """Whether Mirascope, or Lilypad, which came before it, made this span."""
    return raw.scope_name.startswith("mirascope.") or "lilypad.type" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """A decorated call tells its answer as well: it repeats the call beneath it, or is the only one to tell of it."""
    if (told := common.renamed(attributes, NAME, "type", "trace.arg_values")) is not None:
        attributes = {**told, **attributes}
    if "mirascope.type" in attributes:
        named = word(attributes.get("mirascope.response.model_id"))
        draft.kind = draft.kind or ("llm" if named else "workflow")
        draft.request_model = draft.request_model or named
        if provider := word(attributes.get("mirascope.response.provider_id")):
            draft.provider_raw.setdefault("mirascope.response.provider_id", provider)
        draft.input_text = draft.input_text or common.plain_text(_given(attributes))
        draft.output_text = draft.output_text or as_text(attributes.get("mirascope.trace.output"))
    gen_ai.read(draft, attributes)
    if draft.kind == "llm":
        draft.take_inputs("mirascope.response.messages", attributes.get("mirascope.response.messages"))
        content = decode(attributes.get("mirascope.response.content"))
        if content is not None and not draft.outputs:
            draft.take_reply("mirascope.response.content", {"role": "assistant", "content": content})
        usage = read_usage(attributes.get("mirascope.response.usage"))
        if usage is not None:
            draft.tokens.fill(usage)
    _models(draft)


def _given(attributes: dict[str, Any]) -> Any:
    """What a function was called with; None for no arguments."""
    return as_dict(attributes.get("mirascope.trace.arg_values")) or None


def _models(draft: Draft) -> None:
    """The model of an id; what was served is not told: the id stands there again."""
    asked = draft.request_model
    draft.unserved = draft.response_model == asked
    if asked is None:
        return
    provider, slash, model = asked.partition("/")
    if slash and spellings.is_provider(provider.lower()):
        draft.request_model = _INTERFACE.sub("", model)
