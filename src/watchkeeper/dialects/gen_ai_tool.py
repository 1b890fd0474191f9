"""What the GenAI conventions, and those who follow them loosely, say of the call to a tool on its own span."""

from typing import Any, cast

from watchkeeper.dialects import common
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.values import Picker, as_bool, as_text, decode, nested, word

_pick = Picker(
    {
        "name": (
            "gen_ai.tool.name",
            "spring.ai.tool.definition.name",
            "lk.function_tool.name",
            "tool.function_name",
            "mcp.tool.name",
        ),
        "id": (
            "gen_ai.tool.call.id",
            "gen_ai.tool.call_id",
            "tool.call.id",
            "tool.call_id",
            "lk.function_tool.id",
            "claude_agent.tool.use_id",
            "function.id",
        ),
        "arguments": (
            "gen_ai.tool.call.arguments",
            "gen_ai.tool.args",
            "gen_ai.tool.arguments",
            "gen_ai.tool.input",
            "gen_ai.function.call.arguments",
            "gcp.vertex.agent.tool_call_args",
            "spring.ai.tool.call.arguments",
            "lk.function_tool.arguments",
            "lk.pii.function_tool.arguments",
            "tool.call.arguments",
            "tool.arguments",
            "tool.args",
            "tool.input",
        ),
        "result": (
            "gen_ai.tool.call.result",
            "code.function.return.value",
            "gen_ai.tool.result",
            "gen_ai.tool.output",
            "gen_ai.function.call.result",
            "gen_ai.tool.message",
            "gen_ai.output",
            "gcp.vertex.agent.tool_response",
            "spring.ai.tool.call.result",
            "lk.function_tool.output",
            "lk.pii.function_tool.output",
            "tool.call.result",
            "tool.result",
            "tool.output",
            "tool.response",
            "mcp.tool.result.content",
        ),
        "status": ("gen_ai.tool.status", "tool.status", "tool.result_status"),
        "failed": (
            "lk.function_tool.is_error",
            "tool.is_error",
            "claude_agent.tool.is_error",
            "mcp.tool.result.is_error",
        ),
    }
)
# What went in and came out, each field under a name of its own (Claude's hooks).
GIVEN = ("tool.input.", "tool.arguments.", "tool.args.")
SAID = ("tool.response.", "tool.output.", "tool.result.")
_MCP_ARGUMENT = "mcp.request.argument."
_MCP_TYPES = frozenset(("text", "image", "audio", "resource", "resource_link"))


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """What a tool's span says of its call."""
    got = _pick(attributes)
    draft.tool_name = draft.tool_name or word(got.get("name"))
    draft.tool_call_id = draft.tool_call_id or word(got.get("id"))
    if draft.tool_arguments is None:
        draft.tool_arguments = decode(got.get("arguments"))
        if draft.tool_arguments is None and "code.function.name" in attributes:
            # google-genai's automatic function calling.
            params = nested(attributes, "code.function.parameters.")
            if isinstance(params, dict):
                draft.tool_arguments = {k: v.get("value") for k, v in params.items() if isinstance(v, dict)}
        if draft.tool_arguments is None and "mcp.method.name" in attributes:
            start = len(_MCP_ARGUMENT)
            told = {k[start:]: decode(v) for k, v in attributes.items() if k.startswith(_MCP_ARGUMENT)}
            draft.tool_arguments = told or None
        if draft.tool_arguments is None:
            draft.tool_arguments = _fields(attributes, GIVEN)
    if draft.tool_result is None:
        result = decode(got.get("result"))
        # Some servers tell the types of a result's parts where others tell the parts.
        typed = isinstance(result, list) and set(map(str, cast(list[Any], result))) <= _MCP_TYPES
        draft.tool_result = None if typed and "mcp.tool.result.content" in attributes else result
        if draft.tool_result is None:
            draft.tool_result = _fields(attributes, SAID)
    if draft.tool_error is None:
        draft.tool_error = common.tool_failure(draft.tool_result)
        if draft.tool_error is None and isinstance(told := attributes.get("tool.error"), str):
            draft.tool_error = as_text(told)
        failed = got.get("status") == "error" or as_bool(got.get("failed")) is True
        if draft.tool_error is None and failed:
            draft.failed = True


def _fields(attributes: dict[str, Any], prefixes: tuple[str, ...]) -> Any:
    """The fields under the first of the prefixes that has more than what was measured of the content."""
    for prefix in prefixes:
        found = nested(attributes, prefix)
        if isinstance(found, dict):
            fields = cast(dict[str, Any], found)
            if not _MEASURES.issuperset(fields):
                return {key: decode(value) for key, value in fields.items()}
    return None


# What is told of a content that is left out.
_MEASURES = frozenset(
    ("length", "size", "bytes", "chars", "hash", "sha256", "mime_type", "type", "truncated")
)
