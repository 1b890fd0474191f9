"""Google ADK: `call_llm` spans with the whole Gemini request and response as JSON."""

from typing import Any

from watchkeeper.dialects import common, parameters
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import read_usage
from watchkeeper.dialects.values import as_dict, decode, first, word
from watchkeeper.model.span import RawSpan

NAME = "adk"
HEADS = frozenset(("gcp",))
_MERGED = "(merged tools)"
_REQUEST, _RESPONSE = "gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"


def recognise(raw: RawSpan) -> bool:
    """Whether ADK made this span."""
    return raw.scope_name == "gcp.vertex.agent" or raw.attributes.get("gen_ai.system") == "gcp.vertex.agent"


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft`; the tool spans of ADK end ok and say the error in their response."""
    if draft.kind is None and attributes.get("gen_ai.tool.name") == _MERGED:
        # The tools of one turn together, beside a span for each.
        draft.kind = "workflow"
    if draft.kind is None and "gen_ai.operation.name" not in attributes and recognise(draft.raw):
        draft.kind = _kind(draft, attributes)
    if draft.kind == "llm":
        request, response = attributes.get(_REQUEST), attributes.get(_RESPONSE)
        table = as_dict(request)
        if table is not None:
            draft.request_model = draft.request_model or word(table.get("model"))
            draft.take_inputs(_REQUEST, request)
            draft.take_tools((parameters.take(draft, table.get("config"))).get("tools"))
        if response is not None and not draft.outputs:
            draft.take_reply(_RESPONSE, response)
        usage = read_usage((as_dict(response) or {}).get("usage_metadata"))
        if usage is not None:
            draft.tokens.fill(usage)
    elif draft.kind == "tool":
        if draft.tool_arguments is None:
            draft.tool_arguments = decode(first(attributes, "gcp.vertex.agent.tool_call_args"))
        if draft.tool_result is None:
            draft.tool_result = decode(first(attributes, "gcp.vertex.agent.tool_response"))
        draft.tool_error = draft.tool_error or common.tool_failure(draft.tool_result)
    draft.session = draft.session or word(attributes.get("gcp.vertex.agent.session_id"))


def _kind(draft: Draft, attributes: dict[str, Any]) -> str | None:
    name = draft.raw.name
    if name == "call_llm" or attributes.get(_REQUEST):
        return "llm"
    if name.startswith("execute_tool") or "gcp.vertex.agent.tool_call_args" in attributes:
        return "tool"
    if name.startswith(("agent_run", "invoke_agent")):
        draft.weak_agent = draft.weak_agent or name.partition("[")[2].rstrip("]") or None
        return "agent"
    return "workflow" if name == "invocation" else None
