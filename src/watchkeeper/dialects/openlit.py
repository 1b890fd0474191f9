"""OpenLIT: GenAI names plus its own cost and server timings (in seconds, also on calls that do not stream)."""

from typing import Any

from watchkeeper.dialects import gen_ai, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_bool, as_float, as_int, word
from watchkeeper.model.span import Message, Part, RawSpan

NAME = "openlit"
HEADS = frozenset(("openlit",))


def recognise(raw: RawSpan) -> bool:
    """Whether OpenLIT made this span."""
    return raw.scope_name.startswith("openlit") or raw.attributes.get("telemetry.sdk.name") == "openlit"


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """First-token time only means something on a stream; on other calls it is the whole answer's time."""
    gen_ai.read(draft, attributes)
    tokens = draft.tokens
    google = spellings.provider(word(attributes.get("gen_ai.provider.name"))) == "google"
    if google and tokens.output is not None and tokens.total is None:
        # Google counts what was thought beside what was said, and so does OpenLIT.
        tokens.output += tokens.reasoning or 0
    for message in draft.outputs or ():
        if any(p.type == "tool_call" for p in message.parts):
            # How Python prints a text that there was not.
            message.parts = [p for p in message.parts if p.type != "text" or p.text != "None"]
    seconds = as_float(attributes.get("gen_ai.server.time_to_first_token"))
    streamed = as_bool(attributes.get("gen_ai.request.stream"))
    if draft.ttft_ms is None and seconds is not None and streamed is True:
        draft.ttft_ms = seconds * 1000
    choices = as_int(attributes.get("gen_ai.request.choice.count", draft.params.get("n")))
    if choices is not None and choices > 1 and draft.outputs and len(draft.outputs) == 1:
        _split_choices(draft, choices)


def _split_choices(draft: Draft, choices: int) -> None:
    """OpenLIT joins the choices' texts with spaces; only equal choices can be told apart again."""
    message = (draft.outputs or [])[0]
    text = message.text
    if text is None or len(message.parts) != 1:
        return
    size, rest = divmod(len(text) - (choices - 1), choices)
    if rest == 0 and size > 0 and text == " ".join([text[:size]] * choices):
        draft.outputs = [
            Message(message.role, [Part("text", text=text[:size])], finish_reason=message.finish_reason)
            for _ in range(choices)
        ]
