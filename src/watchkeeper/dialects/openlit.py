"""OpenLIT: GenAI names plus its own cost and server timings (in seconds, also on calls that do not stream)."""

from typing import Any

from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import as_float
from watchkeeper.model.span import RawSpan

NAME = "openlit"
HEADS = frozenset(("openlit",))


def recognise(raw: RawSpan) -> bool:
    """Whether OpenLIT made this span."""
    return raw.scope_name.startswith("openlit") or raw.attributes.get("telemetry.sdk.name") == "openlit"


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """First-token time only means something on a stream; on other calls it is the whole answer's time."""
    seconds = as_float(attributes.get("gen_ai.server.time_to_first_token"))
    if draft.ttft_ms is None and seconds is not None and attributes.get("gen_ai.request.stream") is True:
        draft.ttft_ms = seconds * 1000
