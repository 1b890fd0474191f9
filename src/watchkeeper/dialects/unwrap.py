"""Tool arguments and results without what frameworks wrap around them."""

import ast
import re
from typing import Any, cast

from watchkeeper.dialects import messages, printed
from watchkeeper.dialects.values import as_dict, as_list, as_text, decode, word

# What Python's calls have, and what smolagents adds to those of its tools.
_OF_CALL = frozenset(("args", "kwargs", "sanitize_inputs_outputs"))

_OF_ASKED = frozenset(("name", "args", "id", "type"))


def plain_arguments(value: Any) -> Any:
    """Tool arguments without a framework's wrapping: LangChain's `input_str`, `args` and `kwargs` of a Python call."""
    table = as_dict(value)
    if table is None:
        return value
    if "input_str" in table:
        return decode(table["input_str"])
    if _is_call(table):
        return decode(table["arguments"])
    kwargs = table.get("kwargs")
    if isinstance(kwargs, dict) and set(table) <= _OF_CALL:
        return cast(dict[str, Any], kwargs) or table.get("args") or {}
    return value


def asked_call(value: Any) -> tuple[Any, str | None]:
    """Arguments and id of a call that LangChain hands to a tool as the model asked for it; other arguments as they are."""
    table = as_dict(value)
    if table is None or not {"name", "args", "id"} <= set(table) <= _OF_ASKED:
        return value, None
    return decode(table["args"]), word(table["id"])


def called_with(given: Any) -> Any:
    """What a decorated function was called with: its only argument, or all of them; None for no arguments."""
    table = as_dict(given)
    if table is None or not set(table) <= {"args", "kwargs"}:
        return given
    told = plain_arguments(table)
    if isinstance(told, tuple):
        # As Python prints them.
        told = list(cast(tuple[Any, ...], told))
    listed = as_list(told)
    return (listed[0] if listed and len(listed) == 1 else told) or None


def _is_call(table: dict[str, Any]) -> bool:
    """Whether arguments lie beside the name of the tool (OpenLLMetry's spans of the Model Context Protocol)."""
    return "arguments" in table and set(table) <= {"tool_name", "name", "arguments"} and len(table) == 2


def called_result(arguments: Any, result: Any) -> Any:
    """The result of a call told with its name: it lies under `result`, beside whether it is an error."""
    told, table = as_dict(arguments), as_dict(result)
    if told is None or table is None or not _is_call(told) or not set(table) <= {"result", "is_error"}:
        return result
    return decode(table.get("result"))


# How Python prints LangChain's message of a tool.
_PRINTED = re.compile(
    r"""(?:ToolMessage\()?content=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")[ ,].*?tool_call_id='([^']*)'(.*)""",
    re.DOTALL,
)


# How it prints a result of the Model Context Protocol: its fields, and no name before them. Begin and end are matched apart: between
# them anything may stand, megabytes of it.
_MCP_BEGINS = re.compile(r"(?:(?:_?meta|result_?[tT]ype)=\S+ )*content=(?=\[)")
_MCP_ENDS = (" isError=True", " isError=False", " is_error=True", " is_error=False")
_MCP_BESIDE = ("] structuredContent=", "] structured_content=")


def _mcp_printed(text: str) -> tuple[Any, str | None, str | None] | None:
    text = text.strip()
    begin, ending = _MCP_BEGINS.match(text), next((e for e in _MCP_ENDS if text.endswith(e)), None)
    if begin is None or ending is None:
        return None
    listed = text[begin.end() : -len(ending)]
    for beside in _MCP_BESIDE:
        listed = listed[: at + 1] if (at := listed.rfind(beside)) >= 0 else listed
    blocks = printed.objects(listed)
    if not blocks:
        return None
    texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
    content = "\n".join(texts)
    failed = (content or "error") if ending.endswith("True") else None
    return decode(content) if len(texts) == len(blocks) else blocks, None, failed


def _printed(text: str) -> tuple[Any, str | None, str | None] | None:
    found = _PRINTED.match(text)
    if found is None:
        return _mcp_printed(text)
    try:
        content = ast.literal_eval(found[1])
    except (ValueError, SyntaxError):
        return None
    return decode(content), found[2], content if "status='error'" in found[3] else None


def plain_result(value: Any) -> tuple[Any, str | None, str | None]:
    """A tool's result without a framework's wrapping, with the call id and the error a tool message carries."""
    if isinstance(value, str) and value.startswith(("content=", "ToolMessage(", "meta=", "_meta=")):
        return _printed(value) or (value, None, None)
    table = as_dict(value)
    if table is None:
        return value, None, None
    if set(table) == {"_value"}:
        # smolagents' texts, as MLflow prints them.
        return decode(table["_value"]), None, None
    if "response" in table and set(table) == {"id", "name", "response"}:
        # Gemini's FunctionResponse.
        return decode(table["response"]), word(table["id"]), None
    if "toolUseId" in table and set(table) <= {"toolUseId", "status", "content", "type"}:
        # Bedrock's (Strands' own spans tell its content alone).
        told = messages.result_of(decode(table.get("content")))
        said = as_text(told) or "error" if table.get("status") == "error" else None
        return decode(told), word(table["toolUseId"]), said
    body = as_dict(table.get("output")) or table
    body = as_dict(body.get("kwargs")) or as_dict(body.get("data")) or body
    if "tool_call_id" not in body or "content" not in body:
        return value, None, None
    failed = as_text(body.get("content")) or "error" if body.get("status") == "error" else None
    return decode(body["content"]), word(body.get("tool_call_id")), failed
